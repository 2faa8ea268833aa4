"""Axes, their product, and the rules that choose among its points."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtools import parse, spot, unmark
from hpc_sweep import nodes
from hpc_sweep.axes import (
    Axis,
    Selection,
    check_mixed,
    combinations,
    multiplication,
    read_axes,
    same,
    select,
    size,
)
from hpc_sweep.nodes import Document, Mapping


def read(text: str) -> tuple[Document, list[Axis]]:
    document = parse(text)
    return document, read_axes(document, document.root)


def rows(axis: Axis) -> list[list[Any]]:
    return [[nodes.plain(value) for value in row] for row in axis.rows]


def test_a_list_is_an_axis() -> None:
    _, (axis,) = read("lr: [1e-4, 0.1]\n")
    assert axis.label.value == "lr" and [n.value for n in axis.names] == ["lr"]
    assert rows(axis) == [[1e-4], [0.1]]


@pytest.mark.parametrize(
    ("written", "values"),
    [("[0, 3]", [0, 1, 2]), ("[1, 10, 4]", [1, 5, 9]), ("[3, 0, -1]", [3, 2, 1]), ("[-2, 0]", [-2, -1])],
)
def test_a_range_is_an_axis(written: str, values: list[int]) -> None:
    _, (axis,) = read(f"seed: {{range: {written}}}\n")
    assert rows(axis) == [[v] for v in values]


def test_zipped_values_are_one_axis_with_several_names() -> None:
    document, (axis,) = read("pair: {zip: {model: [a, b], lr: [0.1, 0.2], seed: {range: [0, 2]}}}\n")
    assert axis.label.value == "pair" and [n.value for n in axis.names] == ["model", "lr", "seed"]
    assert rows(axis) == [["a", 0.1, 0], ["b", 0.2, 1]]
    assert axis.column("lr") == 1 and axis.column("pair") is None
    assert document.problems == []


def test_a_zip_may_repeat_a_value_but_not_a_row() -> None:
    assert read("p: {zip: {a: [1, 1], b: [1, 2]}}\n")[0].problems == []
    (problem,) = read("p: {zip: {a: [1, 1], b: [1, 1]}}\n")[0].problems
    assert problem.message == "1, 1 is listed twice on axis `p`"


WRONG = {
    "a: {zip: «[1, 2]»}": "`zip` of `a` wants keys with lists of equal length",
    "a: {zip: «{}»}": "`zip` of `a` wants keys with lists of equal length",
    "a: {zip: {x: [1, 2], y: «[1]»}}": "`y` has 1 values and `x` has 2",
    "a: {zip: {x: «1»}}": "axis `x` wants a list, not 1",
    "a: {range: «5»}": "`range` of `a` wants two integers, or three with a step that is not 0",
    "a: {range: «[0]»}": "`range` of `a` wants two integers",
    "a: {range: «[0, 1, 2, 3]»}": "`range` of `a` wants two integers",
    "a: {range: «[0, 1.5]»}": "`range` of `a` wants two integers",
    "a: {range: «[0, true]»}": "`range` of `a` wants two integers",
    "a: {range: «[0, 5, 0]»}": "`range` of `a` wants two integers, or three with a step that is not 0",
    "a: {range: «[5, 0]»}": "axis `a` is empty: this range has no value",
    "a: «{rnge: [0, 5]}»": "axis `a` wants a list, not keys and values",
    "a: «fast»": "axis `a` wants a list, not fast",
    "«a»:": "axis `a` wants a list, not nothing (null)",
    "a: [x, «{y: 1}»]": "axis `a` holds keys and values; an axis is a list of single values",
    "a: [true, «true»]": "true is listed twice on axis `a`",
    "a: [x, «'x'»]": '"x" is listed twice on axis `a`',
    "a: [null, 1, «~»]": "nothing (null) is listed twice on axis `a`",
    "a: [1]\np: {zip: {«a»: [1]}}": "`a` is an axis already, in line 1",
}


@pytest.mark.parametrize("marked", WRONG)
def test_what_is_no_axis(marked: str) -> None:
    text, (place,) = unmark(marked + "\n")
    document, _ = read(text)
    (problem,) = document.problems
    assert problem.message.startswith(WRONG[marked]) and spot(problem) == place


def test_a_wrong_axis_is_left_out_and_the_others_are_read() -> None:
    document, axes = read("a: 1\nb: [1]\nc: []\nd: [1, 2]\n")
    assert [axis.label.value for axis in axes] == ["b", "d"] and len(document.problems) == 2


@pytest.mark.parametrize(
    ("text", "place", "kinds"),
    [
        ("a: [1, «x»]", True, "numbers and text"),
        ("a: [x, «1.5», y]", True, "numbers and text"),
        ("a: [null, true, «1»]", True, "numbers and true/false"),
        ("a: [1, 2.5, null]", False, ""),
        ("a: [x, null, y]", False, ""),
        ("p: {zip: {a: [1, 2], b: [x, «3»]}}", True, "numbers and text"),
    ],
)
def test_mixed_types(text: str, place: bool, kinds: str) -> None:
    clean, spots = unmark(text + "\n")
    document, axes = read(clean)
    check_mixed(document, axes)
    assert [spot(p) for p in document.problems] == (spots if place else [])
    assert all(f"mixes {kinds}" in p.message for p in document.problems)


def test_what_is_known_to_be_wrong_is_not_called_mixed() -> None:
    document, axes = read("a: [1, .nan, 2]\n")
    check_mixed(document, axes)
    assert len(document.problems) == 1


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1", "1.0", True),
        ("1", "true", False),
        ("0", "false", False),
        ("x", "'x'", True),
        ("1", "'1'", False),
        ("~", "null", True),
        ("~", "''", False),
    ],
)
def test_when_two_values_are_one(one: str, other: str, equal: bool) -> None:
    first, second = parse(f"a: [{one}, {other}]\n").root.entries["a"][1].items  # type: ignore[union-attr]
    assert same(first, second) is equal


# the product


def test_the_multiplication_is_shown() -> None:
    _, axes = read("a: [1, 2]\nseed: {range: [0, 2000]}\nc: [x]\n")
    assert size(axes) == 4000
    assert multiplication(axes) == "2 × 2,000 × 1 = 4,000"
    assert multiplication(axes, 3990) == "2 × 2,000 × 1 − 10 skipped = 3,990"
    assert multiplication([]) == "no axes = 1"
    assert multiplication(axes[:1]) == "2"
    assert multiplication(axes[:1], 1) == "2 − 1 skipped = 1"


def test_the_last_axis_changes_fastest() -> None:
    _, axes = read("a: [1, 2]\nb: [x, y]\n")
    assert list(combinations(axes, [], [])) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(combinations([], [], [])) == [()]


def selection(text: str, rule: str) -> tuple[Document, Selection | None]:
    document, axes = read(text)
    return document, select(document, parse(rule).root, axes)


AXES = "model: [mart, s2lif]\nlr: [0.1, 1]\np: {zip: {x: [1, 1, 2], y: [a, b, b]}}\n"


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        ("model: mart", {(0, b, c) for b in range(2) for c in range(3)}),
        ("model: [mart, s2lif]", {(a, b, c) for a in range(2) for b in range(2) for c in range(3)}),
        ("{model: mart, lr: 1.0}", {(0, 1, c) for c in range(3)}),
        ("x: 1", {(a, b, c) for a in range(2) for b in range(2) for c in range(2)}),
        ("{x: 1, y: b}", {(a, b, 1) for a in range(2) for b in range(2)}),
        ("{x: 2, y: a}", set()),
    ],
)
def test_a_rule_takes_the_points_it_names(rule: str, taken: set[tuple[int, ...]]) -> None:
    document, chosen = selection(AXES, rule)
    assert chosen and document.problems == []
    every = product(range(2), range(2), range(3))
    assert {c for c in every if chosen.takes(c)} == taken


@pytest.mark.parametrize(
    ("rule", "message", "hint"),
    [
        ("modl: mart", "`modl` is no axis", "did you mean `model`?"),
        ("p: 1", "`p` is no axis", "the axes: lr, model, x, y"),
        ("model: marta", "no such value on axis `model`: marta", "did you mean `mart`?"),
        ("lr: 5", "no such value on axis `lr`: 5", "its values: 0.1, 1"),
        ("lr: '1'", 'no such value on axis `lr`: "1"', None),
        ("model: [mart, {a: 1}]", "no such value on axis `model`: keys and values", None),
    ],
)
def test_a_rule_names_what_is_there(rule: str, message: str, hint: str | None) -> None:
    document, chosen = selection(AXES, rule)
    (problem,) = document.problems
    assert chosen is None and problem.message == message
    assert hint is None or problem.hint == hint


def test_every_mistake_of_a_rule_is_told() -> None:
    document, chosen = selection(AXES, "{a: 1, model: [x, y], lr: 7}")
    assert chosen is None and len(document.problems) == 4


def test_only_keeps_and_skip_takes_away() -> None:
    _, axes = read("a: [1, 2]\nb: [1, 2]\n")
    one, two = Selection(((0, frozenset({0})),)), Selection(((1, frozenset({1})),))
    assert list(combinations(axes, [one], [])) == [(1, 0), (1, 1)]
    assert list(combinations(axes, [], [one])) == [(0, 0), (0, 1)]
    assert list(combinations(axes, [two], [one])) == [(0, 0)]
    assert list(combinations(axes, [], [one, two])) == [(0, 0), (0, 1), (1, 1)]


@given(
    st.lists(st.integers(1, 4), max_size=4),
    st.lists(st.lists(st.sets(st.integers(0, 3), min_size=1), max_size=4), max_size=3),
)
def test_skipped_and_kept_make_the_whole(sizes: list[int], wanted: list[list[set[int]]]) -> None:
    _, axes = read("".join(f"a{i}: {{range: [0, {n}]}}\n" for i, n in enumerate(sizes)) or "{}\n")
    rules = [Selection(tuple((i, frozenset(s)) for i, s in enumerate(sets[: len(sizes)]))) for sets in wanted]
    kept, taken = list(combinations(axes, rules, [])), list(combinations(axes, [], rules)) if rules else []
    assert sorted(kept + taken) == sorted(product(*(range(n) for n in sizes)))
    assert len(kept) + len(taken) == size(axes)


def test_an_axis_that_is_no_mapping_is_left_to_the_type_check() -> None:
    document = parse("axes: [1]\n")
    assert read_axes(document, document.root.get("axes")) == [] and read_axes(document, None) == []
    assert document.problems == [] and isinstance(document.root, Mapping)
