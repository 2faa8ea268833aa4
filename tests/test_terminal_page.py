"""Nothing is wider than the page, nothing on it steers the terminal, and what is copied stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_sweep.terminal_page import Column, Line, Page, blocks, content, trimmed, width_of


def plain(lines: list[Line]) -> list[str]:
    return ["".join(map(content, line)) for line in lines]


ROWS = [["s2lif", "24", "8 min 50"], ["vc_csa", "1,200", "–"]]


def test_a_table_aligns_numbers_at_the_right() -> None:
    columns = [Column("model"), Column("done", right=True), Column("med/point", right=True)]
    assert plain(Page().table(columns, ROWS)) == [
        "  model    done  med/point",
        "  s2lif      24   8 min 50",
        "  vc_csa  1,200          –",
    ]


def test_the_last_column_leaves_no_blanks_behind() -> None:
    assert plain(Page().table([Column(), Column()], [["a", "b"], ["ccc", ""]])) == ["  a    b", "  ccc"]


def test_a_column_without_a_word_is_left_out() -> None:
    assert plain(Page().table([Column(), Column(), Column()], [["a", "", "b"]])) == ["  a  b"]


def test_where_room_is_short_columns_go_before_others_are_cut() -> None:
    columns = [Column("kind"), Column("shared", least=4, drop=1), Column("words", least=6)]
    rows = [["timeout", "model=mart", "the hour ended"]]
    assert plain(Page(80).table(columns, rows))[1] == "  timeout  model=mart  the hour ended"
    assert plain(Page(32).table(columns, rows))[1] == "  timeout  model=ma…  the hour…"
    assert plain(Page(24).table(columns, rows))[1] == "  timeout  mode…  the h…"
    assert plain(Page(20).table(columns, rows))[1] == "  timeout  the hour…"


def test_a_table_tells_whether_it_fits() -> None:
    columns = [Column("kind"), Column("words", least=2)]
    assert Page(20).fits(columns, [["oom", "w" * 12]])
    assert not Page(20).fits(columns, [["oom", "w" * 13]])


@given(
    st.integers(24, 120),
    st.booleans(),
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=4),
)
def test_a_table_is_never_wider_than_the_page(width: int, utf8: bool, rows: list[tuple[str, str, str]]) -> None:
    columns = [Column("one", least=4), Column("two", least=4, drop=1), Column("three", least=4, right=True)]
    for line in plain(Page(width, utf8).table(columns, rows)):
        assert width_of(line) <= width
        assert line.isprintable()
        assert utf8 or line.isascii()


@given(st.text(max_size=200), st.integers(1, 40))
def test_a_cut_text_fits_and_says_that_it_was_cut(text: str, width: int) -> None:
    page = Page()
    text = page.text(text)
    cut = page.cut(text, width)
    assert width_of(cut) <= width
    assert cut == text or cut.endswith("…")


def test_wide_characters_count_twice() -> None:
    assert width_of("漢字") == 4
    assert Page().cut("漢字漢字", 5) == "漢字…"
    assert Page().cut("漢字漢字", 4) == "漢…"
    assert plain(Page().table([Column(), Column()], [["漢字", "x"], ["abcd", "y"]])) == ["  漢字  x", "  abcd  y"]


def test_a_page_without_utf8_is_ascii_and_still_aligned() -> None:
    lines = plain(Page(40, utf8=False).table([Column(), Column("…")], [["✓", "a · b"], ["!", "é漢"]]))
    assert lines == ["      ..", "  ok  a | b", "  !   e?"]
    assert Page(40, utf8=False).cut("abcdef", 4) == "abc~"


def test_text_from_elsewhere_stays_on_its_line() -> None:
    evil = "a\nnext\r\x1b[31mred\u202e"
    assert plain(Page().table([Column(), Column()], [[evil, "b"]])) == ["  a next red  b"]
    assert plain(Page().titled(evil, evil)) == ["a next red    a next red"]
    assert plain(Page().wrapped(evil)) == ["a next red"]
    assert plain(Page().commands([(evil, evil)])) == ["next    a next red   a next red"]
    assert plain(Page().facts([(evil, evil, evil)])) == ["  a next red  a next red   a next red"]
    assert plain([Page().heading(evil, [evil])]) == ["a next red    a next red"]


def test_verbatim_keeps_lines_and_indents_but_nothing_that_steers() -> None:
    assert plain(Page().verbatim("if x:\n\ty\x1b[2J\n  z")) == ["if x:", "    y", "  z"]


def test_a_heading_leaves_out_the_last_facts_first() -> None:
    facts = ["a100", "8841203", "submitted just now by lea"]
    assert plain([Page(80).heading("demo", facts)]) == ["demo    a100 · 8841203 · submitted just now by lea"]
    assert plain([Page(30).heading("demo", facts)]) == ["demo    a100 · 8841203"]
    assert plain([Page(20).heading("demo", ["", "x" * 30])]) == ["demo    xxxxxxxxxxx…"]
    assert plain([Page(80).heading("demo", [])]) == ["demo"]


def test_a_title_keeps_the_whole_sentence() -> None:
    said = "cancelled 12 points in 3 tasks"
    assert plain(Page(30).titled("demo", said)) == ["demo    cancelled 12 points in", "        3 tasks"]
    long = plain(Page(30).titled("a" * 25, said))
    assert long == ["a" * 25, "    cancelled 12 points in 3", "    tasks"]


def test_joined_takes_as_many_as_fit() -> None:
    assert Page().joined(["one", "two", "three"], 9) == "one · two"
    assert Page().joined(["a long first one"], 9) == "a long f…"
    assert Page().joined([], 9) == ""


def test_sentences_wrap_below_themselves() -> None:
    assert plain(Page(30).wrapped("one two three four five six", "note    ")) == [
        "note    one two three four",
        "        five six",
    ]


def test_facts_stand_beside_each_other_where_there_is_room() -> None:
    rows = [("price", "12.0 GPU-h", "about 1 h 50"), ("code", "4f2c1aa", "")]
    assert plain(Page().facts(rows)) == ["  price     12.0 GPU-h   about 1 h 50", "  code      4f2c1aa"]
    assert plain(Page(26).facts(rows)) == [
        "  price     12.0 GPU-h",
        "            about 1 h 50",
        "  code      4f2c1aa",
    ]


def test_paths_and_commands_stay_whole_on_a_narrow_page() -> None:
    path = "sweeps/s2lif_table2/results/results with a blank.csv"
    assert plain(Page(30).facts([("wrote", path, "")], whole=True)) == [f"  wrote     {path}"]
    command = "hpc-sweep rerun s2lif_table2 --only oom"
    assert plain(Page(30).commands([(command, "halves the batch")])) == [
        f"next    {command}",
        "          halves the batch",
    ]


def test_remarks_stand_under_each_other_if_all_fit() -> None:
    given_ = [("hpc-sweep a", "first"), ("hpc-sweep longer", "second")]
    assert plain(Page(60).commands(given_)) == [
        "next    hpc-sweep a        first",
        "        hpc-sweep longer   second",
    ]
    assert plain(Page(34).commands([("hpc-sweep a", "x" * 12), ("hpc-sweep longer", "y" * 12)])) == [
        "next    hpc-sweep a   " + "x" * 12,
        "        hpc-sweep longer",
        "          " + "y" * 12,
    ]
    assert Page().commands([]) == []


@pytest.mark.parametrize(
    ("part", "whole", "bar"),
    [(0, 10, "░░░░░"), (1, 1000, "█░░░░"), (5, 10, "██░░░"), (999, 1000, "████░"), (10, 10, "█████"), (0, 0, "░░░░░")],
)
def test_a_bar_is_full_only_at_the_end(part: int, whole: int, bar: str) -> None:
    assert Page().bar(part, whole, 5) == bar


def test_a_path_is_as_one_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Page().path(tmp_path / "sweeps" / "x") == "sweeps/x"
    assert Page().path(Path("/elsewhere/x")) == "/elsewhere/x"
    assert Page().path(Path("sweeps/x")) == "sweeps/x"


def test_blocks_have_one_empty_line_between_them() -> None:
    assert plain(blocks([["a"]], [], [["b"], ["c"]])) == ["a", "", "b", "c"]
    assert trimmed(["a", "  ", ("", "dim")]) == ["a"]
