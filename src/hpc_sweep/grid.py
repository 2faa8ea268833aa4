"""A grid file as a question: which job, over which points, with which resources.

Every bad grid ends here, in one GridError that holds all its mistakes. It refuses what could leave the project's
folder or reach a shell: names are small letters, digits and `_`; paths are relative and stay inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hpc_sweep import config, job, nodes
from hpc_sweep.axes import (
    MOST,
    Axis,
    Combination,
    Selection,
    check_mixed,
    combinations,
    multiplication,
    read_axes,
    select,
    size,
)
from hpc_sweep.errors import InputError
from hpc_sweep.explain import WrongValueError
from hpc_sweep.nodes import Document, Mapping, Node, Scalar, shorten, show
from hpc_sweep.points import Question, blame, nest
from hpc_sweep.records import Point
from hpc_sweep.resources import HasAxes, Resources, Rule, applying, read_rules, settle, shapes_of

__all__ = ["Grid", "Resources", "Rule", "changes", "load"]

RESERVED = ("id", "seed_base")
LEAST_FAILS = 5
DEEPEST = 10
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
_PERCENT = re.compile(r"(\d{1,3})\s*%\Z")
_OUTSIDE = re.compile(r"^/\w|^~([/a-z]|$)|(^|/)\.\.(/|$)|\$\{?[A-Z_]{2,}")


def _name(value: str) -> str:
    if "\n" in value:
        raise WrongValueError("a name has no line break", "Slurm would take the next line for an order")
    if len(value) > 60:
        raise WrongValueError(f"{len(value)} characters; a name has at most 60")
    if not _NAME.match(value):
        better = re.sub(r"\W+", "_", value.lower(), flags=re.ASCII).lstrip("_0123456789").rstrip("_")
        hint = f"for example {better}" if _NAME.match(better) else None
        raise WrongValueError("a name is small letters, digits and _, a letter first", hint)
    return value


def _fails(value: str) -> str:
    match = _PERCENT.match(value)
    if not match or not 0 < int(match[1]) <= 100:
        raise WrongValueError(f"a number of points or a percentage such as 20%, not {shorten(value)}")
    return value


class _Expect(config.Strict):
    points: int = Field(ge=0)


class _Written(config.Strict):
    """The keys of a grid file. What is inside axes, rules and resources is read with its places, elsewhere."""

    name: Annotated[str, AfterValidator(_name)]
    job: Annotated[str, AfterValidator(_name)]
    about: str = ""
    fixed: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    skip: list[dict[str, Any]] = []
    only: list[dict[str, Any]] = []
    resources: list[dict[str, Any]] = Field(min_length=1)
    needs: list[Annotated[str, AfterValidator(_name)]] = []
    expect: _Expect | None = None
    max_fails: Annotated[int, Field(ge=1)] | Annotated[str, AfterValidator(_fails)] | None = None


@dataclass(frozen=True)
class Grid:
    """A question that was read, checked and worked out."""

    path: Path
    text: str
    name: str
    job: str
    about: str
    axes: dict[str, list[Any]]
    fixed: dict[str, Any]
    needs: tuple[str, ...]
    expect: int | None
    max_fails: int | str | None
    points: tuple[Point, ...] = field(repr=False)
    skipped: int
    multiplication: str
    rules: tuple[Rule, ...] = field(repr=False)
    shapes: dict[tuple[int, ...], Resources] = field(repr=False)  # what the rules of these numbers come to

    def resources_of(self, point: HasAxes) -> Resources:
        """What a point needs: the rules that apply to it, a later one over an earlier one, key by key."""
        return self.shapes[applying(self.rules, point)]

    def fails_allowed(self, points: int) -> int:
        """How many points of a submission may fail in one way before the rest is cancelled."""
        if isinstance(self.max_fails, int):
            return self.max_fails
        if self.max_fails is None:
            return max(LEAST_FAILS, ceil(points / 5))
        return max(1, ceil(points * int(self.max_fails.rstrip("% ")) / 100))


def changes(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> list[str]:
    """What became of the axes of a grid: `axis seed gained 6`."""
    said = [f"axis {name} is gone" for name in old if name not in new]
    for name, values in new.items():
        if name not in old:
            said.append(f"axis {name} is new")
            continue
        for verb, one, other in (("gained", values, old[name]), ("lost", old[name], values)):
            different = [str(v) for v in one if v not in other]
            if different:
                listed = ", ".join(different[:5]) + (f" and {len(different) - 5} more" if different[5:] else "")
                said.append(f"axis {name} {verb} {listed}")
    return said


def load(path: Path, jobs_folder: Path) -> Grid:
    """Read a grid file and work out its points; GridError says everything that is wrong with it."""
    document = config.read(path)
    written = config.typed(document, _Written)
    kind = _job(document, jobs_folder)
    axes = read_axes(document, document.root.get("axes"))
    rules = read_rules(document, axes)
    _check_needs(document)
    kept = _kept(document, axes)
    fixed = _fixed(document, axes)
    cover = _cover(axes, kept)
    question = Question(document, kind, fixed, axes) if kind and fixed else None
    if question:
        question.check(dict.fromkeys(cover.values()), missing=_whole(document, axes))
    check_mixed(document, axes)
    document.check()
    assert written and fixed and question  # what they lacked was raised a line ago
    points = question.resolve(kept)
    document.check()
    values = [[question.values_at(i, cover[i, row]) for row in range(len(a.rows))] for i, a in enumerate(axes)]
    settled = tuple(settle(rule, axes, values) for rule in rules)
    shapes = shapes_of(document, settled, points)
    document.check()
    return Grid(
        path=path,
        text=document.text,
        name=written.name,
        job=written.job,
        about=written.about,
        axes={n.written: [row[k] for row in values[i]] for i, a in enumerate(axes) for k, n in enumerate(a.names)},
        fixed=nodes.plain(fixed),
        needs=tuple(written.needs),
        expect=written.expect.points if written.expect else None,
        max_fails=written.max_fails,
        points=points,
        skipped=size(axes) - len(points),
        multiplication=multiplication(axes, len(points)),
        rules=settled,
        shapes=shapes,
    )


# the job


def _job(document: Document, folder: Path) -> job.Job | None:
    node = document.root.get("job")
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not job.JOB_NAME.match(node.value):
        return None
    known = job.names(folder)
    if node.value not in known:
        hint = f"the jobs there: {', '.join(known) or 'none'}"
        close = nodes.closest(node.value, known)
        hint = f"did you mean `{close}`? {hint}" if close else hint
        document.report(node.mark, f"there is no job `{shorten(node.value)}` in {folder}", hint)
        return None
    try:
        return job.load(node.value, folder)
    except InputError as error:
        document.report(node.mark, error.message, error.hint)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's file does when it is imported
        said = blame(error, folder / f"{node.value}.py")
        document.report(node.mark, f"job `{node.value}` cannot be loaded: {said}")
    return None


def _check_needs(document: Document) -> None:
    name, needs = document.root.get("name"), document.root.get("needs")
    for node in needs.items if isinstance(needs, nodes.Sequence) else ():
        if nodes.plain(node) == (nodes.plain(name) if name else None):
            document.report(node.mark, "a grid cannot need itself")


# fixed values and axes


def _whole(document: Document, axes: Sequence[Axis]) -> bool:
    """Whether every axis of the file could be read."""
    node = document.root.get("axes")
    return node is None or isinstance(node, Mapping) and len(axes) == len(node.entries)


def _fixed(document: Document, axes: Sequence[Axis]) -> Mapping | None:
    """What is fixed, nested; reports keys that clash or are reserved, and values that lead out of the project."""
    root = document.root
    place = next((root.entries[key][0].mark for key in ("fixed", "axes") if key in root.entries), root.mark)
    node = root.get("fixed")
    entries = list(node.entries.values()) if isinstance(node, Mapping) else []
    names = [(name, axis.rows[0][i]) for axis in axes for i, name in enumerate(axis.names)]
    for value in [value for _, value in entries] + [v for axis in axes for row in axis.rows for v in row]:
        _check_path(document, value)
    readable = [_check_key(document, key) for key, _ in entries + names]
    if not all(readable):
        return None
    clashes: list[tuple[Scalar, Node, Scalar, Node]] = []
    nest(place, [*entries, *names], lambda *clash: clashes.append(clash))
    shapely = [_clash(document, *clash) for clash in clashes]
    return nest(place, entries) if all(shapely) else None


def _check_key(document: Document, key: Scalar) -> bool:
    parts = key.written.split(".")
    if parts[0] in RESERVED:
        message = f"`{key.written}` is reserved: a run gets it without asking"
        document.report(key.mark, message, "choose another name")
    if "" in parts or len(parts) > DEEPEST:
        document.report(key.mark, f"`{shorten(key.written)}` is no path to a value", "such as optimizer.lr")
        return False
    return True


def _clash(document: Document, first: Scalar, before: Node, key: Scalar, node: Node) -> bool:
    """Report two keys for one place; whether both are single values, so that the rest can still be checked."""
    line = first.mark.line
    if isinstance(before, Mapping) or isinstance(node, Mapping):
        message = f"`{key.written}` and `{first.written}` (line {line}): one is a single value, one has keys inside"
        document.report(key.mark, message)
        return False
    message = f"`{key.written}` has a value already, in line {line}"
    document.report(key.mark, message, "a key stands in `fixed` or in `axes`, once")
    return True


def _check_path(document: Document, node: Node) -> None:
    if isinstance(node, nodes.Sequence):
        for item in node.items:
            _check_path(document, item)
    elif isinstance(node, Mapping):
        for _, value in node.entries.values():
            _check_path(document, value)
    elif isinstance(node.value, str) and _OUTSIDE.search(node.value):
        message = f"{show(node)} leads out of the project: no absolute path, no `..`, no `~`, no `$NAME`"
        document.report(node.mark, message, "give a path below the project's folder")


# which points


def _kept(document: Document, axes: Sequence[Axis]) -> list[Combination]:
    """The combinations that `skip` and `only` leave; reports rules that take nothing, all, or not what is expected."""
    skip, only = _selections(document, "skip", axes), _selections(document, "only", axes)
    entry = document.root.entries.get("axes")
    if entry and size(axes) > MOST:
        message = f"{multiplication(axes)} points; a grid has at most {MOST:,}"
        document.report(entry[0].mark, message, "split it into several grids")
        return []
    if skip is None or only is None or not _whole(document, axes):
        return []
    kept = list(combinations(axes, skip, only))
    if not kept:
        key = document.root.entries["skip" if skip else "only"][0]
        document.report(key.mark, f"`{key.written}` leaves none of the {size(axes):,} points")
    else:
        _check_expected(document, axes, len(kept))
    return kept


def _selections(document: Document, key: str, axes: Sequence[Axis]) -> list[Selection] | None:
    """The rules of `skip` or `only`; None when one of them cannot be read."""
    node = document.root.get(key)
    rules = [r for r in node.items if isinstance(r, Mapping)] if isinstance(node, nodes.Sequence) else []
    found = [_selection(document, rule, key, axes) for rule in rules]
    selections = [s for s in found if s]
    return selections if len(selections) == len(found) else None


def _selection(document: Document, rule: Mapping, key: str, axes: Sequence[Axis]) -> Selection | None:
    values = rule.without("why")
    if not values.entries:
        document.report(rule.mark, f"this rule of `{key}` names no axis")
        return None
    selection = select(document, values, axes)
    if selection and not all(rows for _, rows in selection.rows):
        document.report(rule.mark, f"this rule of `{key}` matches no point", "its values never stand side by side")
        return None
    return selection


def _check_expected(document: Document, axes: Sequence[Axis], count: int) -> None:
    expect = document.root.get("expect")
    node = expect.get("points") if isinstance(expect, Mapping) else None
    if isinstance(node, Scalar) and type(node.value) is int and node.value != count:
        message = f"{node.value:,} points are expected, but there are {multiplication(axes, count)}"
        document.report(node.mark, message, "correct the axes, or write what you now expect")


def _cover(axes: Sequence[Axis], kept: Sequence[Combination]) -> dict[tuple[int, int], Combination]:
    """For each value of each axis one combination that has it, if possible one of those that are kept."""
    if size(axes) > MOST:
        return {}
    base = kept[0] if kept else (0,) * len(axes)
    cover = {(-1, 0): base}
    for combination in kept:
        for place in enumerate(combination):
            if place not in cover:
                cover[place] = combination
    for i, axis in enumerate(axes):
        for row in range(len(axis.rows)):
            cover.setdefault((i, row), (*base[:i], row, *base[i + 1 :]))
    return cover
