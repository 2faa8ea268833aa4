"""Figures, times and foreign text, as people read them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_sweep import terminal_words as words


@pytest.mark.parametrize(
    ("dirty", "harmless"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("\x1bPdevice\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x1b", ""),
        ("\x9b31mred\x9b0m", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("10 %\r20 %\r\ndone", "10 %\n20 %\ndone"),
        ("a\tb", "a   b"),
        ("bell\x07 back\x08 null\x00 del\x7f", "bell back null del"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u2066isolated\u2069\u200e\u200f", "isolated"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028separator", "line\nseparator"),
        ("lost \udcff byte", "lost ? byte"),
        ("no\xa0break", "no break"),
        ("é 漢字 λ", "é 漢字 λ"),
    ],
)
def test_clean_leaves_nothing_that_steers_a_terminal(dirty: str, harmless: str) -> None:
    assert words.clean(dirty) == harmless


@given(st.text())
def test_clean_text_is_printable_whatever_came_in(text: str) -> None:
    found = words.clean(text)
    assert all(c == "\n" or c.isprintable() for c in found)
    assert not any(unicodedata.category(c) in ("Cf", "Cs") for c in found)
    assert words.clean(found) == found
    assert "\n" not in words.one_line(text)


@given(st.text())
def test_ascii_only_is_ascii(text: str) -> None:
    assert words.ascii_only(text).isascii()


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("█░·", "#.|"),
        ("✓ ✗ …", "ok x .."),
        ("3 × 2 − 1 ± 1 –", "3 x 2 - 1 +- 1 -"),
        ("Zoé, naïve", "Zoe, naive"),
        ("漢字", "??"),
        ("│ → “quoted”", '| -> "quoted"'),
    ],
)
def test_ascii_only_finds_the_nearest(text: str, plain: str) -> None:
    assert words.ascii_only(text) == plain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (3.21, "3.2 s"), (9.96, "10 s"), (42, "42 s"), (59.6, "1 min 00"), (530, "8 min 50"),
        (3599.7, "1 h 00"), (5400, "1 h 30"), (11_520, "3 h 12"), (183_600, "2 d 3 h"),
    ],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(20, "under a minute"), (420, "about 7 min"), (3590, "about 1 h 00"), (6610, "about 1 h 50")],
)
def test_about_is_no_finer_than_an_estimate(seconds: float, text: str) -> None:
    assert words.about(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3600, "just now"),
        (59, "just now"),
        (500, "8 min ago"),
        (11_520, "3 h 12 min ago"),
        (183_600, "2 d 3 h ago"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert words.ago(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (0.001, "0.01"), (0.02, "0.02"), (9.4, "9.4"), (12, "12.0"), (99.96, "100"), (1240.4, "1,240")],
)
def test_hours(value: float, text: str) -> None:
    assert words.hours(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (0, 5, "0 %"), (1, 1000, "1 %"), (58, 80, "72 %"), (999, 1000, "99 %"), (80, 80, "100 %")],
)
def test_percent_says_100_only_for_all_and_0_only_for_none(part: int, whole: int, text: str) -> None:
    assert words.percent(part, whole) == text


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_percent_never_lies_at_the_ends(part: int, whole: int) -> None:
    part = min(part, whole)
    assert (words.percent(part, whole) == "100 %") == (part == whole)
    assert (words.percent(part, whole) == "0 %") == (part == 0)


def test_counts_and_ordinals() -> None:
    assert [words.plural(n, "point") for n in (0, 1, 1200)] == ["0 points", "1 point", "1,200 points"]
    ordinals = ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]
    assert [words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == ordinals


@pytest.mark.parametrize(
    ("count", "text"), [(812, "812 B"), (19_200, "19.2 kB"), (150_000, "150 kB"), (3.9e6, "3.9 MB"), (2e12, "2.0 TB")]
)
def test_size(count: float, text: str) -> None:
    assert words.size(int(count)) == text


def test_memory_is_in_the_units_of_slurm() -> None:
    assert [words.memory(m) for m in (512, 21_913)] == ["512 MB", "21.4 GB"]


def test_values_of_an_axis() -> None:
    assert words.values([1, 2, 3, 4, 5]) == "1 … 5"
    assert words.values([1, 2, 3]) == "1  2  3"
    assert words.values([1, 2, 4, 8]) == "1  2  4  8"
    assert words.values(["t->v", "v->t"]) == "t->v  v->t"
    assert words.values([0.0001, 1e-05, True, None]) == "0.0001  1e-05  true  null"
    assert words.values([False, True]) == "false  true"
    assert words.values([]) == ""


def test_settings_are_unambiguous() -> None:
    assert words.settings({"model": "mart", "lr": 0.0003, "seed": 3}) == "model=mart lr=0.0003 seed=3"


def test_figures_of_a_curve() -> None:
    assert [words.figure(v) for v in (0.123456, 12.5, 123456.0, 1e-7)] == ["0.1235", "12.5", "1.2346e+05", "1e-07"]
