"""Reading YAML files: what is no plain, short UTF-8 text is refused in a sentence, and nothing else ever comes out."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gridtools import mistakes, parse, spot, unmark
from hpc_sweep import config, nodes
from hpc_sweep.errors import GridError, Problem


def unreadable(path: Path) -> Problem:
    """The one thing that is wrong with a path that cannot be read."""
    with pytest.raises(GridError) as caught:
        config.read(path)
    (problem,) = caught.value.problems
    assert spot(problem) == (1, 1, 1)
    assert caught.value.path == path
    return problem


# files


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: [1, 2.5, text, true, null]\nb: {c: d}\n")
    document = config.read(path)
    assert nodes.plain(document.root) == {"a": [1, 2.5, "text", True, None], "b": {"c": "d"}}
    assert document.problems == [] and document.path == path


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    (tmp_path / "link.yaml").symlink_to("x.yaml")
    assert nodes.plain(config.read(tmp_path / "link.yaml").root) == {"a": 1}


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    document = parse(b"\xef\xbb\xbfa: 1\n")
    assert nodes.plain(document.root) == {"a": 1}
    assert document.root.mark[:2] == (1, 1)


def test_a_missing_file_names_the_closest_one(tmp_path: Path) -> None:
    (tmp_path / "s2lif.yaml").write_text("a: 1\n")
    problem = unreadable(tmp_path / "s2lf.yaml")
    assert problem.message == "the file cannot be opened: No such file or directory"
    assert problem.hint == "did you mean `s2lif.yaml`?"


def test_a_missing_folder_has_no_hint(tmp_path: Path) -> None:
    assert unreadable(tmp_path / "no" / "x.yaml").hint is None


def test_a_folder_lists_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: 1\n")
    problem = unreadable(tmp_path)
    assert problem.message == "the file is a folder, not a YAML file"
    assert problem.hint == "the YAML files there: one.yaml"


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert unreadable(tmp_path / "pipe").message == "the file is a pipe or a device, not a file"


def test_devices_and_sockets_are_refused(tmp_path: Path) -> None:
    assert "a pipe or a device" in unreadable(Path("/dev/zero")).message
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "cannot be opened" in unreadable(tmp_path / "s").message


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "Too many levels of symbolic links" in unreadable(tmp_path / "a").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a: 1\n")
    (tmp_path / "x").chmod(0)
    assert "Permission denied" in unreadable(tmp_path / "x").message


def test_a_denied_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "Permission denied" in unreadable(tmp_path / "x").message


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert "cannot be opened" in unreadable(tmp_path / "a\0b").message
    assert "cannot be opened" in unreadable(tmp_path / ("x" * 5000)).message


# bytes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"#" * 1_000_001, "has more than 1,000,000 bytes"),
        ("a: 1\n".encode("utf-16"), "is UTF-16"),
        ("a: 1\nb: some words\n".encode("utf-16-le"), "is UTF-16"),
        ("a: 1\nb: some words\n".encode("utf-16-be"), "is UTF-16"),
    ],
)
def test_what_is_no_short_utf_8_text(data: bytes, words: str) -> None:
    (problem,) = mistakes(data)
    assert words in problem.message and problem.hint


def test_the_largest_file_that_is_read() -> None:
    assert mistakes(b"a: 1\n" + b"#" * 999_995) == []


def test_a_byte_that_is_not_utf_8_is_found() -> None:
    (problem,) = mistakes("a: 1\nbé: caf".encode() + b"\xe9\n")
    assert spot(problem) == (2, 8, 1)
    assert problem.message == "the file is not UTF-8 (byte 0xe9)"


def test_a_nul_byte_is_found() -> None:
    (problem,) = mistakes(b"a: 1\nb: x\0y\n")
    assert spot(problem) == (2, 5, 1)
    assert problem.message == "the file holds a NUL byte"


def test_the_text_of_an_error_can_be_shown() -> None:
    with pytest.raises(GridError) as caught:
        parse("a: \x1b[2J\nb: \u202e\nc: 1\n").check()
    assert caught.value.text == "a: \ufffd[2J\nb: \ufffd\nc: 1\n"
    assert [p.line for p in caught.value.problems] == [1, 2]


def test_very_many_invisible_characters_are_not_all_told() -> None:
    assert len(mistakes("a: " + "\x01" * 1300)) == 100


# typed values


class Inner(config.Strict):
    size: int = 3


class Outer(config.Strict):
    name: str
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    pair: tuple[int, int] = (0, 0)


def test_values_become_typed_values() -> None:
    document = parse("name: x\ninner: {size: 4}\npair: [1, 2]\n")
    assert config.typed(document, Outer) == Outer(name="x", inner=Inner(size=4), pair=(1, 2))
    document.check()


def test_what_does_not_fit_is_reported_in_the_document() -> None:
    text, spots = unmark(
        "«kind»: c\n".replace("«kind»: c", "kind: «c»") + "inner: {«sizes»: 4}\n«names»: x\npair: [1, «x»]\n"
    )
    document = parse(text)
    assert config.typed(document, Outer) is None
    with pytest.raises(GridError) as caught:
        document.check()
    missing = (1, 1, 1)
    assert [spot(p) for p in caught.value.problems] == sorted([missing, *spots])
    assert "`name` is missing" in [p.message for p in caught.value.problems]


def test_given_values_stand_beside_the_files() -> None:
    assert config.typed(parse("kind: b\n"), Outer, name="given") == Outer(name="given", kind="b")


# anything at all

PIECES = st.sampled_from(
    [
        *(": ", "- ", "[", "]", "{", "}", ",", "&a ", "*a", "!!str ", "!x", "!<", "|", "|2\n", ">-", "'", '"', "\\"),
        *("\\U0000FFFF", "\\UFFFFFFFF", "\\ud800", "\n", "\n  ", "  ", "axes", "0o1", "010", "1e999", "%", "@", "`"),
        *(
            "\t",
            "? ",
            "---\n",
            "...\n",
            "#",
            "<<: ",
            "~",
            "2026-01-01",
            "1_0",
            ".nan",
            "é",
            "e\u0301",
            "\u202e",
            "\x00",
        ),
        *("\ufeff", "\r", "\x85", "%YAML 1.1\n", "9" * 30, "\u2028", "\\\n", "&", "*", "!!binary ", "𝒳"),
    ]
)


def only_grid_errors(data: bytes) -> None:
    """Parse; what is wrong comes as problems that stand inside the text and fit on a line."""
    try:
        parse(data).check()
    except GridError as error:
        lines = error.text.split("\n")
        for problem in error.problems:
            assert 1 <= problem.line <= len(lines) and problem.column >= 1 and problem.length >= 1
            assert problem.column + problem.length <= len(lines[problem.line - 1]) + 2
            assert problem.message.isprintable() and len(problem.message) <= 400
            assert problem.hint is None or problem.hint.isprintable()
        assert error.problems


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\0")
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
def test_no_bytes_raise_anything_but_grid_error(data: bytes) -> None:
    only_grid_errors(data)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(), max_size=100))
@example('a: "\\UFFFFFFFF"')
def test_no_text_raises_anything_but_grid_error(text: str) -> None:
    only_grid_errors(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_nothing_that_looks_like_yaml_raises_anything_but_grid_error(text: str) -> None:
    only_grid_errors(text.encode("utf-8", "surrogatepass"))


def test_ruamel_is_imported_only_when_a_file_is_read() -> None:
    code = "import hpc_sweep.grid, hpc_sweep.cluster, sys; sys.exit('ruamel.yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
