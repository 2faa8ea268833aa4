"""Containers: what is written comes back through the map, and what nobody wrote so is refused before it is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect.data import container
from affect.data.container import Container, Ragged, Stream
from affect.errors import DataError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "x.h5"


def put(path: Path, **arrays: Any) -> Container:
    container.write(path, "dataset", {"name": "x"}, arrays or {"frames/vision/values": ROWS, "split": np.arange(4)})
    return container.read(path, "dataset")


def test_what_is_written_comes_back(path: Path) -> None:
    found = put(path)
    assert found.about["name"] == "x" and sorted(found.arrays) == ["frames/vision/values", "split"]
    np.testing.assert_array_equal(found.arrays["frames/vision/values"], ROWS)
    assert found.arrays["frames/vision/values"].dtype == np.float32
    assert found.names("frames") == ["vision"] and found.names("labels") == []
    found.verify()


def test_arrays_are_views_of_the_file_that_cannot_be_written_to(path: Path) -> None:
    array = put(path).arrays["frames/vision/values"]
    assert not array.flags.owndata and array.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_empty_arrays_and_big_ones(path: Path) -> None:
    big = np.arange(3_000_000, dtype=np.int64)
    found = put(path, none=np.empty((0, 5), np.float16), big=big, one=np.array([7], np.uint8))
    assert found.arrays["none"].shape == (0, 5) and found.arrays["one"].tolist() == [7]
    np.testing.assert_array_equal(found.arrays["big"], big)
    found.verify()


def test_an_array_may_come_in_pieces(path: Path) -> None:
    found = put(path, x=Stream((4, 3), "<f4", (ROWS[i : i + 1] for i in range(4))))
    np.testing.assert_array_equal(found.arrays["x"], ROWS)


@pytest.mark.parametrize("rows", [3, 5])
def test_pieces_that_are_too_few_or_too_many_leave_nothing(rows: int, path: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        put(path, x=Stream((rows, 3), "<f4", [ROWS[:2], ROWS[2:]]))
    assert list(path.parent.iterdir()) == []


def test_the_same_content_gives_the_same_bytes(path: Path) -> None:
    put(path)
    first = path.read_bytes()
    put(path)
    assert path.read_bytes() == first


@settings(max_examples=30)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_texts_come_back(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "replace").decode() for t in texts]
    arrays = container.strings("t", texts)
    ragged = Ragged(arrays["t/values"], arrays["t/offsets"])
    assert ragged.texts() == texts and len(ragged) == len(texts)
    assert [ragged.text(i) for i in range(len(ragged))] == texts
    assert ragged.lengths.tolist() == [len(t.encode()) for t in texts]


@pytest.mark.parametrize(
    ("offsets", "of"),
    [
        ([], None), ([1, 4], None), ([0, 3], None), ([0, 5], None), ([0, 3, 2, 4], None), ([0, -1, 4], None),
        ([0, 2, 4], [0, 2]), ([0, 2, 4], [-1]),
    ],
)  # fmt: skip
def test_sequences_that_do_not_hang_together_are_refused(offsets: list[int], of: list[int] | None, path: Path) -> None:
    arrays = {"x/values": ROWS, "x/offsets": np.array(offsets, np.int64)}
    if of is not None:
        arrays["x/of"] = np.array(of, np.int64)
    found = put(path, **arrays)
    with pytest.raises(DataError, match="the sequences of `x` do not hang together"):
        found.ragged("x")


def test_sequences_may_be_shared(path: Path) -> None:
    found = put(path, **{"x/values": ROWS, "x/offsets": np.array([0, 3, 3, 4]), "x/of": np.array([2, 0, 0, 1])})
    ragged = found.ragged("x")
    assert len(ragged) == 4 and ragged.lengths.tolist() == [1, 3, 3, 0]
    np.testing.assert_array_equal(ragged[0], ROWS[3:])


def test_a_reader_in_another_process_needs_no_lock(path: Path) -> None:
    put(path)
    code = "import sys; from pathlib import Path; from affect.data import container as c;"
    code += "print(c.read(Path(sys.argv[1]), 'dataset').arrays['split'].tolist())"
    with h5py.File(path, "r"):
        told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == [0, 1, 2, 3]


# what is refused


def damaged(path: Path, change: Callable[[h5py.File], object]) -> str:
    put(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError) as caught:
        container.read(path, "dataset")
    assert str(path) in str(caught.value)
    return str(caught.value)


def external(file: h5py.File) -> None:
    file.create_dataset("secret", (4,), "u1", external=[("/etc/hostname", 0, 4)])


HOSTILE: list[tuple[Callable[[h5py.File], object], str]] = [
    (lambda f: f.__setitem__("s", h5py.SoftLink("/split")), "`s` is a link"),
    (lambda f: f.__setitem__("e", h5py.ExternalLink("other.h5", "/x")), "`e` is a link"),
    (external, "`secret` is not stored plainly"),
    (lambda f: f.create_dataset("z", data=np.zeros(100), compression="gzip"), "`z` is not stored plainly"),
    (lambda f: f.create_dataset("c", data=np.zeros(100), chunks=(10,)), "`c` is not stored plainly"),
    (lambda f: f.create_dataset("t", data=["a", "b"]), "is no number"),
    (lambda f: f.create_dataset("n", data=h5py.Empty("f4")), "array `n`"),
    (lambda f: f.create_dataset("huge", (10**13,), "f8"), "ends inside array `huge`"),
    (lambda f: f.create_group("a/b/c/d/e"), "lies too deep"),
    (lambda f: f.__setitem__("type", np.dtype("f8")), "`type` is no array"),
    (lambda f: f.__delitem__("about"), "has no description"),
    (lambda f: f.create_dataset("more", data=np.zeros(3)), "make it again"),
    (lambda f: f.__delitem__("split"), "make it again"),
]


@pytest.mark.parametrize(("change", "words"), HOSTILE)
def test_what_we_would_not_have_written_is_refused(
    change: Callable[[h5py.File], object], words: str, path: Path
) -> None:
    assert words in damaged(path, change)


def test_a_group_that_leads_back_to_itself_ends(path: Path) -> None:
    def loop(file: h5py.File) -> None:
        file["frames/again"] = file["frames"]

    assert "lies too deep" in damaged(path, loop)


def test_a_file_that_was_cut_short_is_refused(path: Path) -> None:
    put(path)
    size = path.stat().st_size
    for keep in (0, 10, 100, size // 2, size - 1):
        put(path)
        os.truncate(path, keep)
        with pytest.raises(DataError):
            container.read(path, "dataset").verify()


def test_a_flipped_byte_is_found_by_verify(path: Path) -> None:
    found = put(path, x=np.zeros(1000, np.float32))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"\0" * 3000) + 100] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="array `x` is not what was written"):
        container.read(path, "dataset").verify()
    assert found.arrays["x"].sum() == 0  # the old file is still mapped


@pytest.mark.parametrize("what", ["absent", "folder", "text", "other"])
def test_what_is_no_container_is_a_sentence(what: str, path: Path) -> None:
    path.parent.mkdir()
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("hello")
    elif what == "other":
        container.write(path, "features", {}, {})
    words = {"absent": "there is no", "other": "holds features, schema 1, not dataset"}.get(what, "cannot be read")
    with pytest.raises(DataError, match=words):
        container.read(path, "dataset")


def test_a_writer_that_is_stopped_leaves_what_was_there(path: Path) -> None:
    put(path)
    before = path.read_bytes()

    def pieces() -> Any:
        yield ROWS[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        container.write(path, "dataset", {}, {"x": Stream((4, 3), "<f4", pieces())})
    assert path.read_bytes() == before and os.listdir(path.parent) == ["x.h5"]
