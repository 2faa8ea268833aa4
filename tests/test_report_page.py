"""What cells say, where they stand, and tables on a terminal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.cells import cell_len

from hpc_sweep.job import Table
from hpc_sweep.report_page import aligned, cell, note_lines, split_mark, text_lines, to_the_right
from reporttools import HOSTILE


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("text", "text"),
        ("two\nlines", "two lines"),
        ("\x1b[31mred\x1b[0m \u202etfel", "red tfel"),
        (3, "3"),
        (12_345, "12,345"),
        (-3, "−3"),
        (0.123456, "0.1235"),
        (-0.5, "−0.5"),
        (np.float32(0.25), "0.25"),
        (np.int64(1_234_567), "1,234,567"),
        (float("nan"), "nan"),
    ],
)
def test_a_cell(value: str | float | None, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0.5 ± 0.1*", ("0.5 ± 0.1", "*")),
        ("0.5 ± 0.1*ab", ("0.5 ± 0.1", "*ab")),
        ("0.5 *b", ("0.5", "*b")),
        ("–*", ("–", "*")),
        ("*", ("", "*")),
        ("plain", ("plain", "")),
        ("2*3", ("2*3", "")),
        ("*bold*", ("*bold", "*")),
        ("", ("", "")),
    ],
)
def test_a_mark_stands_at_the_end(text: str, parts: tuple[str, str]) -> None:
    assert split_mark(text) == parts


def test_a_note_line_begins_with_the_mark_that_it_explains() -> None:
    table = Table("t", ["a"], [], "* three of five\n*b none\n\nblank: nothing\n2*3 is six")
    assert note_lines(table) == [("*", "three of five"), ("*b", "none"), ("", "blank: nothing"), ("", "2*3 is six")]


@pytest.mark.parametrize(
    ("column", "right"),
    [
        (["1", "2.5", "1,234"], True),
        (["0.71 ± 0.01", "–", "0.8*a", ""], True),
        (["8 min 50", "0.4 s", "1 h 30", "2 d 3 h"], True),
        (["<0.001", "1e-07 ± 2e-08", "−3"], True),
        (["12 %", "3.9 MB"], True),
        (["small", "1"], False),
        (["11abf565aa5d", "9405ef08778b"], False),
        (["1 of 2"], False),
    ],
)
def test_numbers_stand_to_the_right(column: list[str], right: bool) -> None:
    assert to_the_right(Table("", ["name", "x"], [["a", text] for text in column])) == [False, right]


def test_a_table_without_rows_has_columns_all_the_same() -> None:
    table = Table("empty", ["a", "b"], [])
    assert to_the_right(table) == [False, False]
    assert text_lines(table) == ("empty", "", "  a    b")


def test_a_table_on_a_terminal() -> None:
    rows = [["small", "0.71 ± 0.01", "0.5 ± 0.1*"], ["large", "12.30 ± 0.20", None]]
    table = Table("accuracy: mean ± sd", ["model", "0.1", "0.2"], rows, "* 2 of 3 seeds\nblank: none", "rate")
    assert text_lines(table) == (
        "accuracy: mean ± sd",
        "",
        "           rate",
        "  model             0.1          0.2",
        "  small     0.71 ± 0.01    0.5 ± 0.1*",
        "  large    12.30 ± 0.20            –",
        "",
        "  * 2 of 3 seeds",
        "  blank: none",
    )


def test_wide_letters_keep_columns_straight() -> None:
    lines = text_lines(Table("t", ["name", "n"], [["微博", 1], ["mosi", 2]]))
    assert {cell_len(line) for line in lines[2:]} == {len("  name    n")}


def test_nothing_hostile_reaches_a_terminal() -> None:
    lines = text_lines(Table(HOSTILE, [HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]], f"* {HOSTILE}", HOSTILE))
    assert all(line.isprintable() for line in lines)


@given(some.lists(some.text(), min_size=1, max_size=5), some.booleans())
def test_any_column_is_equally_wide(texts: list[str], right: bool) -> None:
    cells = [cell(text) for text in texts]
    assert len({cell_len(text) for text in aligned(cells, right)}) == 1
