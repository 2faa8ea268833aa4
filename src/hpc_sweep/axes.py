"""The axes of a grid, their product, and the rules (`skip`, `only`, `when`) that choose among its points.

Owns what an axis may look like, and the selections. A combination is a tuple of row numbers, one per axis; what the
values mean to a job is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from hpc_sweep import nodes
from hpc_sweep.nodes import Document, Mapping, Node, Scalar, did_you_mean, show

MOST = 1_000_000

Combination = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """One dimension: a row holds one value for each name (a single one, unless values are zipped)."""

    label: Scalar
    names: tuple[Scalar, ...]
    rows: tuple[tuple[Node, ...], ...]

    def column(self, name: str) -> int | None:
        return next((i for i, n in enumerate(self.names) if n.value == name), None)


@dataclass(frozen=True)
class Selection:
    """Which rows of which axes a rule asks for; it takes a combination when all of them agree."""

    rows: tuple[tuple[int, frozenset[int]], ...]

    def takes(self, combination: Combination) -> bool:
        return all(combination[axis] in rows for axis, rows in self.rows)


def read_axes(document: Document, node: Node | None) -> list[Axis]:
    """The axes in the order of the file; those that are wrong are reported and left out."""
    if not isinstance(node, Mapping):
        return []
    axes = [_axis(document, key, value) for key, value in node.entries.values()]
    found = [axis for axis in axes if axis]
    seen: dict[str, Scalar] = {}
    for name in (name for axis in found for name in axis.names):
        first = seen.setdefault(name.written, name)
        if first is not name:
            document.report(name.mark, f"`{name.written}` is an axis already, in line {first.mark.line}")
    return found


def multiplication(axes: Sequence[Axis], kept: int | None = None) -> str:
    """How many points there are, as people work it out; `kept` of them are left."""
    total = size(axes)
    left = total if kept is None else kept
    factors = " × ".join(f"{len(a.rows):,}" for a in axes) or "no axes"
    skipped = f" − {total - left:,} skipped" if total > left else ""
    return f"{left:,}" if factors + skipped == f"{left:,}" else f"{factors}{skipped} = {left:,}"


def size(axes: Sequence[Axis]) -> int:
    return math.prod(len(axis.rows) for axis in axes)


def combinations(axes: Sequence[Axis], skip: Sequence[Selection], only: Sequence[Selection]) -> Iterator[Combination]:
    """What is left of the product, the last axis changing fastest."""
    for combination in product(*(range(len(axis.rows)) for axis in axes)):
        if only and not any(rule.takes(combination) for rule in only):
            continue
        if not any(rule.takes(combination) for rule in skip):
            yield combination


def select(document: Document, rule: Mapping, axes: Sequence[Axis]) -> Selection | None:
    """The rows that a mapping from axes to values (or lists of values) names; None when it names what is not there."""
    chosen: dict[int, frozenset[int]] = {}
    well = True
    for key, value in rule.entries.values():
        place = _place(axes, key.written)
        if place is None:
            known = [n.written for axis in axes for n in axis.names]
            document.report(key.mark, f"`{key.written}` is no axis", did_you_mean(key.written, known, "the axes"))
            well = False
            continue
        axis, column = place
        rows = _rows(document, axes[axis], column, value)
        if rows is None:
            well = False
        else:
            chosen[axis] = chosen.get(axis, rows) & rows
    return Selection(tuple(chosen.items())) if well else None


def check_mixed(document: Document, axes: Sequence[Axis]) -> None:
    """Report what a job's types may allow and a table cannot order: numbers among text."""
    for name, values in (
        (n, column) for axis in axes for n, column in zip(axis.names, zip(*axis.rows, strict=True), strict=True)
    ):
        kinds = [(value, _identity(value)[0]) for value in values if not document.blames(value.mark)]
        present = [kind for _, kind in kinds if kind != "null"]
        odd = next((value for value, kind in kinds if kind not in ("null", present[0])), None) if present else None
        if odd:
            found = " and ".join(sorted(set(present)))
            document.report(odd.mark, f"axis `{name.written}` mixes {found}", "one axis, one type")


def same(one: Node, other: Node) -> bool:
    """Whether two values are one: 1 and 1.0 are, 1 and true are not."""
    return _identity(one) == _identity(other)


def _place(axes: Sequence[Axis], name: str) -> tuple[int, int] | None:
    for i, axis in enumerate(axes):
        column = axis.column(name)
        if column is not None:
            return i, column
    return None


def _rows(document: Document, axis: Axis, column: int, wanted: Node) -> frozenset[int] | None:
    values = wanted.items if isinstance(wanted, nodes.Sequence) else (wanted,)
    rows: set[int] = set()
    well = True
    for value in values:
        found = {i for i, row in enumerate(axis.rows) if same(row[column], value)}
        if not found:
            name = axis.names[column].written
            known = {show(row[column]) for row in axis.rows}
            hint = did_you_mean(show(value), known, "its values")
            document.report(value.mark, f"no such value on axis `{name}`: {show(value)}", hint)
            well = False
        rows |= found
    return frozenset(rows) if well else None


# reading one axis


def _axis(document: Document, key: Scalar, node: Node) -> Axis | None:
    if isinstance(node, Mapping) and set(node.entries) == {"zip"}:
        return _zipped(document, key, node.entries["zip"][1])
    values = _values(document, key, node)
    if values is None:
        return None
    axis = Axis(key, (key,), tuple((value,) for value in values))
    _check_twice(document, axis)
    return axis


def _zipped(document: Document, key: Scalar, node: Node) -> Axis | None:
    if not isinstance(node, Mapping) or not node.entries:
        document.report(node.mark, f"`zip` of `{key.written}` wants keys with lists of equal length")
        return None
    columns = [(name, _values(document, name, value), value) for name, value in node.entries.values()]
    lists = [(name, values, value) for name, values, value in columns if values is not None]
    if len(lists) < len(columns):
        return None
    first, length = lists[0][0].written, len(lists[0][1])
    for name, values, value in lists:
        if len(values) != length:
            message = f"`{name.written}` has {len(values)} values and `{first}` has {length}"
            document.report(value.mark, message, "zipped lists go side by side: give them one length")
            return None
    axis = Axis(key, tuple(name for name, _, _ in lists), tuple(zip(*(v for _, v, _ in lists), strict=True)))
    _check_twice(document, axis)
    return axis


def _values(document: Document, name: Scalar, node: Node) -> tuple[Node, ...] | None:
    if isinstance(node, nodes.Sequence):
        if not node.items:
            document.report(node.mark, f"axis `{name.written}` is empty", "take it away, or give it a value")
            return None
        nested = [item for item in node.items if not isinstance(item, Scalar)]
        for item in nested:
            message = f"axis `{name.written}` holds {show(item)}; an axis is a list of single values"
            document.report(item.mark, message, "values that change together: {zip: {a: [...], b: [...]}}")
        return None if nested else node.items
    if isinstance(node, Mapping) and set(node.entries) == {"range"}:
        return _range(document, name, node.entries["range"][1])
    hint = "a list, {range: [first, end]} or {zip: {...}}"
    if isinstance(node, Scalar) and node.value is not None:
        hint = f"for one value write [{show(node)}], or move it to `fixed`"
    document.report(node.mark, f"axis `{name.written}` wants a list, not {show(node)}", hint)
    return None


def _range(document: Document, name: Scalar, node: Node) -> tuple[Node, ...] | None:
    numbers = nodes.plain(node)
    if (
        not isinstance(numbers, list)
        or len(numbers) not in (2, 3)
        or any(type(number) is not int for number in numbers)
        or numbers[2:] == [0]
    ):
        message = f"`range` of `{name.written}` wants two integers, or three with a step that is not 0"
        document.report(node.mark, message, "range: [0, 5] is 0, 1, 2, 3, 4")
        return None
    values = range(*numbers)
    count = max(0, -((values.start - values.stop) // values.step))  # len() overflows beyond 64 bits
    if count == 0:
        document.report(node.mark, f"axis `{name.written}` is empty: this range has no value", "the end is left out")
        return None
    if count > MOST:
        document.report(node.mark, f"axis `{name.written}` alone has {count:,} values; at most {MOST:,} points")
        return None
    return tuple(Scalar(node.mark, value, str(value)) for value in values)


def _check_twice(document: Document, axis: Axis) -> None:
    seen = set()
    for row in axis.rows:
        identity = tuple(_identity(value) for value in row)
        if identity in seen:
            shown = ", ".join(show(value) for value in row)
            document.report(row[0].mark, f"{shown} is listed twice on axis `{axis.label.written}`")
        seen.add(identity)


def _identity(node: Node) -> tuple[str, object]:
    """What a value is, so that 1 and 1.0 are one, and 1 and true are two."""
    value = nodes.plain(node)
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "true/false", value
    if isinstance(value, int | float):
        return "numbers", value
    return "text", value if isinstance(value, str) else repr(value)
