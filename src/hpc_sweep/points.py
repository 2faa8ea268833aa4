"""From combinations to points: each a configuration that the job's `Config` has checked and completed, with its id.

Owns ids and what is said when values do not fit the job. It refuses two points with one configuration.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json

from hpc_sweep import files, nodes
from hpc_sweep.axes import Axis, Combination
from hpc_sweep.errors import InputError
from hpc_sweep.explain import explain
from hpc_sweep.job import Job
from hpc_sweep.nodes import Document, Mapping, Mark, Node, Scalar, shorten, show
from hpc_sweep.records import Point, point_id

Clash = Callable[[Scalar, Node, Scalar, Node], None]


def nest(place: Mark, entries: Iterable[tuple[Scalar, Node]], clash: Clash | None = None) -> Mapping:
    """Keys and values, where a key may be a path (`optimizer.lr`), as the nested mapping that they mean."""
    root = Mapping(place, {})
    for key, node in entries:
        name, *rest = key.written.split(".")
        for part in reversed(rest):
            node = Mapping(key.mark, {part: (key, node)})
        root = _merge(root, Mapping(place, {name: (key, node)}), clash)
    return root


def _merge(one: Mapping, other: Mapping, clash: Clash | None) -> Mapping:
    entries = dict(one.entries)
    for name, (key, node) in other.entries.items():
        if name in entries:
            first, before = entries[name]
            if isinstance(before, Mapping) and isinstance(node, Mapping):
                node = _merge(before, node, clash)
            elif clash:
                clash(first, before, key, node)
        entries[name] = (key, node)
    return Mapping(one.mark, entries)


@dataclass
class Question:
    """A job with what is fixed and what varies; it checks and completes one combination after the other."""

    document: Document
    job: Job
    fixed: Mapping
    axes: Sequence[Axis]
    configs: dict[Combination, dict[str, Any]] = field(default_factory=dict)
    _together: dict[str, list[Combination]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._base = nodes.plain(self.fixed)
        self._paths = [[tuple(n.written.split(".")) for n in axis.names] for axis in self.axes]
        self._rows = [[[nodes.plain(v) for v in row] for row in axis.rows] for axis in self.axes]
        self._names = [(n.written, tuple(n.written.split("."))) for axis in self.axes for n in axis.names]
        self._validator = self.job.adapter.validator
        self._serializer = self.job.adapter.serializer

    def check(self, combinations: Iterable[Combination], missing: bool = True) -> None:
        """Try some combinations, and report the values that the job's Config refuses."""
        for combination in combinations:
            errors = [e for e in self._try(combination) if missing or e["type"] != "missing"]
            if errors:
                owner = f"job `{self.job.name}`"
                self.document.add(explain(self._tree(combination), errors, self.job.config, owner))

    def resolve(self, combinations: Sequence[Combination]) -> tuple[Point, ...]:
        """All points; what does not go together in them is reported, and then they are not complete."""
        self._together.clear()
        self.check(c for c in combinations if c not in self.configs)
        for message, failed in islice(self._together.items(), 10):
            self._report_together(message, failed, combinations)
        if self.document.problems:
            return ()
        self._check_reads_back(self.configs[combinations[0]])
        points = tuple(self._point(i, self.configs[c]) for i, c in enumerate(combinations))
        self._check_ids(points, combinations)
        return points

    def values_at(self, axis: int, combination: Combination) -> tuple[Any, ...]:
        """The values of an axis in a combination, as resolved where the combination is one of the points."""
        config = self.configs.get(combination)
        if config is None:
            return tuple(self._rows[axis][combination[axis]])
        return tuple(_at(config, path) for path in self._paths[axis])

    def _values(self, combination: Combination) -> dict[str, Any]:
        values: dict[str, Any] = self._base
        for paths, rows, row in zip(self._paths, self._rows, combination, strict=True):
            for path, value in zip(paths, rows[row], strict=True):
                values = _with(values, path, value)
        return values

    def _tree(self, combination: Combination) -> Mapping:
        chosen = (
            entry
            for axis, row in zip(self.axes, combination, strict=True)
            for entry in zip(axis.names, axis.rows[row], strict=True)
        )
        return _merge(self.fixed, nest(self.fixed.mark, chosen), None)

    def _try(self, combination: Combination) -> list[ErrorDetails]:
        """Resolve one combination, or give the errors that have a place; others wait until all are known."""
        values = to_json(self._values(combination))
        try:
            model = self._validator.validate_json(values)
            self.configs[combination] = self._serializer.to_python(model, mode="json")
        except ValidationError as error:
            return self._placed(error, combination)
        except Exception as error:
            file = Path(self.job.module.__file__ or self.job.name)
            raise InputError(f"the Config of job `{self.job.name}` fails: {blame(error, file)}") from error
        return []

    def _placed(self, error: ValidationError, combination: Combination) -> list[ErrorDetails]:
        placed = []
        for details in error.errors(include_url=False):
            if details["type"] in ("value_error", "assertion_error") and isinstance(details["input"], dict):
                message = shorten(str(details["ctx"]["error"]) or "the job's Config refuses it", 300)
                self._together.setdefault(message, []).append(combination)
            else:
                placed.append(details)
        return placed

    def _check_reads_back(self, config: dict[str, Any]) -> None:
        """A run is given what is written here: a Config that takes its own values for others has no stable ids."""
        try:
            model = self._validator.validate_json(to_json(config))
            again = self._serializer.to_python(model, mode="json")
        except ValidationError as error:
            wrong = ".".join(map(str, error.errors()[0]["loc"]))
        else:
            pairs = ((key, files.canonical(value), files.canonical(again.get(key))) for key, value in config.items())
            wrong = next((f"{key} ({one} becomes {two})" for key, one, two in pairs if one != two), "")
        if wrong:
            message = f"the Config of job `{self.job.name}` does not read back what it wrote: {wrong}"
            self.document.report(self.document.root.entries["job"][1].mark, message, "write 1.0 for a float, not 1")

    def _point(self, index: int, config: dict[str, Any]) -> Point:
        axes = {name: _at(config, path) for name, path in self._names}
        return Point(index, point_id(self.job.name, config), config, axes)

    def _report_together(self, message: str, failed: list[Combination], combinations: Sequence[Combination]) -> None:
        """Say which values do not go together, at one of them, and how to leave exactly those points out."""
        if len(failed) == len(combinations):
            self.document.report(self.fixed.mark, f"job `{self.job.name}` refuses every point: {message}")
            return
        every, rows = ([{c[i] for c in some} for i in range(len(self.axes))] for some in (combinations, failed))
        telling = [i for i in range(len(self.axes)) if rows[i] < every[i]]
        exact = len(failed) == sum(all(c[i] in rows[i] for i in telling) for c in combinations)
        telling = telling if exact else [i for i in range(len(self.axes)) if len(every[i]) > 1]
        chosen = {i: sorted(rows[i]) if exact else [failed[0][i]] for i in telling}
        said = {
            name.written: [show(self.axes[i].rows[row][column]) for row in chosen[i]]
            for i in telling
            for column, name in enumerate(self.axes[i].names)
        }
        where = ", ".join(f"{name}={'|'.join(values)}" for name, values in said.items())
        rule = ", ".join(f"{n}: {v[0] if len(v) == 1 else '[' + ', '.join(v) + ']'}" for n, v in said.items())
        last = telling[-1]
        mark = self.axes[last].rows[chosen[last][0]][0].mark
        hint = f"leave {'them' if exact else 'such points'} out: skip: [{{{rule}}}]"
        self.document.report(mark, f"{shorten(where, 120)} do not go together: {message}", hint)

    def _check_ids(self, points: Sequence[Point], combinations: Sequence[Combination]) -> None:
        first: dict[str, Point] = {}
        for point in points:
            other = first.setdefault(point.id, point)
            if other is point:
                continue
            one, two = combinations[other.index], combinations[point.index]
            i = max(k for k in range(len(one)) if one[k] != two[k])
            mark = self.axes[i].rows[two[i]][0].mark
            if other.config == point.config:
                message = f"points {other.index} and {point.index} are one: job `{self.job.name}` reads both alike"
                self.document.report(mark, message, "take one of the values away")
            else:
                message = f"points {other.index} and {point.index} have the same id {point.id}, by chance"
                self.document.report(mark, message, "split the grid in two")


def blame(error: BaseException, file: Path) -> str:
    """Where in a job's own file an exception came from, and what it says."""
    line = None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = Path(error.filename), error.lineno
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).resolve() == file.resolve():
            line = frame.lineno
    said = shorten(str(error.msg if isinstance(error, SyntaxError) else error), 200)
    return f"{file}{f':{line}' if line else ''}: {type(error).__name__}{': ' + said if said else ''}"


def _with(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy with one more value; what is not on the path is shared."""
    name, rest = path[0], path[1:]
    return {**values, name: _with(values.get(name) or {}, rest, value) if rest else value}


def _at(config: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = config
    for part in path:
        value = value[part]
    return value
