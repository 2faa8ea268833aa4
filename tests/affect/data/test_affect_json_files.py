"""JSON files: plain or in a zip, with their repeated keys, and nothing that is too large or no JSON."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from affect.data import json_files
from affect.data.json_files import read_json
from affect.errors import DataError


def plain(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "x.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def zipped(tmp_path: Path, *members: tuple[str, bytes]) -> Path:
    path = tmp_path / "x.json.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


VALUE = {"a": [1, 2.5, None, True, "é \N{PILE OF POO}"], "b": {"c": {}}}


def test_a_file_and_the_same_in_a_zip(tmp_path: Path) -> None:
    data = json.dumps(VALUE).encode()
    assert read_json(plain(tmp_path, data)) == (VALUE, [])
    assert read_json(plain(tmp_path, b"\xef\xbb\xbf" + data)) == (VALUE, [])
    assert read_json(zipped(tmp_path, ("x.json", data))) == (VALUE, [])


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a": 1, "b": 2, "a": 3}', ["a"]),
        ('[{"a": 1}, {"a": 2}]', []),
        ('{"x": {"a": 1, "a": 1, "a": 1}, "b": 0, "b": 1}', ["a", "b"]),
    ],
)
def test_repeated_keys_are_noticed(text: str, repeated: list[str], tmp_path: Path) -> None:
    assert read_json(plain(tmp_path, text))[1] == repeated


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "it holds NaN, which is no number"),
        ("[-Infinity]", "it holds -Infinity"),
        ('{"a": 1', "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("1" * 5000, "cannot be read as JSON"),
    ],
)
def test_what_is_no_json(text: str, words: str, tmp_path: Path) -> None:
    assert words in refused(plain(tmp_path, text))


def test_what_is_no_utf8(tmp_path: Path) -> None:
    assert "is not UTF-8 at byte 3" in refused(plain(tmp_path, b'["a\xe9"]'))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "x.json")
    assert "cannot be unpacked" in refused(tmp_path / "x.json.zip")


@pytest.mark.parametrize("kind", ["plain", "zip"])
def test_what_is_far_too_large(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps(["x" * 1000]).encode()
    monkeypatch.setattr(json_files, "MOST_BYTES", 500)
    path = plain(tmp_path, data) if kind == "plain" else zipped(tmp_path, ("x.json", data))
    assert "500" in refused(path)


def test_a_zip_that_lies_about_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path, ("x.json", json.dumps(["x" * 1000]).encode()))
    data = path.read_bytes()
    path.write_bytes(data.replace((1004).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    monkeypatch.setattr(json_files, "MOST_BYTES", 500)
    assert refused(path)


@pytest.mark.parametrize("members", [(), (("x.json", b"1"), ("__MACOSX/x", b""))])
def test_a_zip_holds_just_one_file(members: tuple[tuple[str, bytes], ...], tmp_path: Path) -> None:
    assert f"holds {len(members)} files, not one" in refused(zipped(tmp_path, *members))


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path, ("x.json", json.dumps(list(range(1000))).encode()))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    assert "cannot be unpacked" in refused(path)
    path.write_bytes(data[:100])
    assert "cannot be unpacked" in refused(path)
