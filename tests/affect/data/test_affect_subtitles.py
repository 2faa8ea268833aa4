"""Subtitles: their times and words, what a recogniser left behind, and blocks that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect.data.subtitles import Line, read_srt
from affect.errors import DataError

TWO = "1\n00:00:01,000 --> 00:00:02,500\nHello there\n\n2\n01:02:03,040 --> 01:02:04,000\nsecond\nline\n"


def lines(tmp_path: Path, text: str | bytes) -> list[Line]:
    (tmp_path / "a.srt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_srt(tmp_path / "a.srt")


EXPECTED = [Line(1.0, 2.5, "Hello there"), Line(3723.04, 3724.0, "second line")]


@pytest.mark.parametrize(
    "text",
    [
        TWO, TWO.replace("\n", "\r\n"), TWO.encode("utf-8-sig"), TWO.rstrip(), "\n\n" + TWO + "\n\n\n",
        TWO.replace(",", "."), TWO.replace("\n\n", "\n  \n\n"), TWO.replace("02,500", "02,500  X1:10 Y1:20"),
        TWO.replace("02,500", "02,5"), TWO.replace("1\n00:00:01", "7\n0:0:1"),
    ],
)  # fmt: skip
def test_the_same_two_lines_however_they_are_written(text: str | bytes, tmp_path: Path) -> None:
    assert lines(tmp_path, text) == EXPECTED


def test_curly_quotes_of_windows(tmp_path: Path) -> None:
    assert lines(tmp_path, "1\n00:00:01,000 --> 00:00:02,000\nit’s\n".encode("cp1252"))[0].text == "it’s"


@pytest.mark.parametrize("text", ["", "\n\n", "Conversion failed\n", "1\n00:00:01,000 --> 00:00:02,000\n\n"])
def test_files_in_which_nothing_is_said(text: str, tmp_path: Path) -> None:
    assert lines(tmp_path, text) == []


def test_lines_that_say_conversion_failed_are_skipped(tmp_path: Path) -> None:
    text = TWO.replace("Hello there", "Conversion failed").replace("second\n", "<Conversion failed>\n")
    assert lines(tmp_path, text) == [Line(3723.04, 3724.0, "line")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("1\n00:00:01", "one\n00:00:01", "line 1: .* begins with 'one'"),
        ("\n\n2\n", "\n\n", "line 5: .* begins with '01:02:03"),
        ("00:00:01,000 -->", "00:00:01,000 ->", "line 1: block 1 has no times"),
        ("00:00:01,000", "00:61:01,000", "line 1: block 1 has no times"),
        ("00:00:01,000", "9" * 5000 + ":00:01,000", "line 1: block 1 has no times"),
        ("00:00:02,500", "00:00:00,500", "line 1: block 1 ends at 0.5 s, before it starts at 1 s"),
        ("\n\n2", "\n2", "line 5: times within block 1"),
        ("Hello there", "Hello\n\nthere", "line 5: .* begins with 'there'"),
        ("second\nline\n", "second\n\n3\n", "line 9: block 3 has no times"),
    ],
)
def test_damaged_blocks(old: str, new: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a\.srt {told}"):
        lines(tmp_path, TWO.replace(old, new, 1))
