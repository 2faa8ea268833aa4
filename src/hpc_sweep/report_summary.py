"""Numbers over axes: mean, spread and count by the values of axes, and what each cell lacks.

Seeds are repetitions. Other axes that do not head a table are averaged, and its title says so. A repetition counts
once all its points are there: a mean over fewer settings would be a mean of something else. Refuses to choose:
nothing is called best, nothing is selected, and nothing is left out without a mark.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from statistics import median
from typing import Any

from hpc_sweep import files
from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.report_page import MINUS, NOTHING
from hpc_sweep.results import Results, Row
from hpc_sweep.status import PointStatus, Status

MOST_ROWS, MOST_COLUMNS = 60, 12
_LONGEST_REASON = 100

Key = tuple[int, ...]
Cells = dict[Key, list[int]]

_STATES = {"running": "still running", "waiting": "waiting", "new": "not started", "done": "done, but not collected"}


@dataclass(frozen=True)
class Cell:
    """The mean of a metric over repetitions, and their spread; `note` says what is missing and why."""

    mean: float | None
    sd: float | None
    note: str


@dataclass(frozen=True)
class Study:
    """The points of a grid, what was collected of each, and where each stands on the axes."""

    points: Sequence[PointStatus]
    rows: Sequence[Row | None]
    values: Mapping[str, list[Any]]
    spots: Sequence[Key]

    @cached_property
    def seed(self) -> str | None:
        """The axis that repeats, if there is one."""
        return next((name for name in self.values if name.rpartition(".")[2] == "seed"), None)

    @cached_property
    def axes(self) -> list[str]:
        """The axes with several values, without the seed."""
        return [name for name, given in self.values.items() if len(given) > 1 and name != self.seed]

    @cached_property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows if row for name in row.metrics))

    def cells(self, names: Sequence[str], among: Iterable[int] | None = None) -> Cells:
        """The points by their places on some axes."""
        at = [list(self.values).index(name) for name in names]
        found: Cells = defaultdict(list)
        for i in range(len(self.points)) if among is None else among:
            spot = self.spots[i]
            found[tuple(spot[k] for k in at)].append(i)
        return dict(found)

    def repetitions(self, members: Sequence[int]) -> list[list[int]]:
        """The points of a cell by seed, or all together where there is none."""
        return list(self.cells([self.seed] if self.seed else [], members).values())

    def lack(self, i: int, metric: str) -> str:
        """Why a point has no value."""
        row, point = self.rows[i], self.points[i]
        if row is not None:
            reason = words.one_line(row.missing.get(metric, ""))
            shown = reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"
            return f"without a value ({shown})" if shown else "without a value"
        return _STATES.get(point.state) or (f"failed ({point.kind})" if point.state == "failed" else point.state)


def study(state: Status, results: Results) -> Study:
    """Lay what was collected over the points of the newest grid; what belongs to an earlier one is not in it."""
    collected = {row.id: row for row in results.rows}
    places: list[dict[str, int]] = []
    values: dict[str, list[Any]] = {}
    for name, given in state.header["axes"].items():
        there = {files.canonical(p.point.axes[name]): p.point.axes[name] for p in state.points}
        order = dict.fromkeys([key for key in map(files.canonical, given) if key in there] + list(there))
        places.append({key: k for k, key in enumerate(order)})
        values[name] = [there[key] for key in order]
    spots = [
        tuple(place[files.canonical(p.point.axes[name])] for name, place in zip(values, places, strict=True))
        for p in state.points
    ]
    return Study(state.points, [collected.get(p.point.id) for p in state.points], values, spots)


@dataclass(frozen=True)
class Group:
    """The points of a cell: those of each repetition, and what the grid leaves out of it."""

    repetitions: list[list[int]]
    gap: str


@dataclass(frozen=True)
class Layout:
    """The cells of a table, before any number is in it; `how` says over what it averages."""

    heads: tuple[str, ...]
    groups: Mapping[Key, Group]
    how: str


def layout(study: Study, *heads: str) -> Layout:
    """Sort the points into cells by the values of some axes."""
    cells = study.cells(heads)
    varying = [
        (k, name)
        for k, name in enumerate(study.values)
        if name not in heads and any(len({study.spots[i][k] for i in at}) > 1 for at in cells.values())
    ]
    within = {key: {tuple(study.spots[i][k] for k, _ in varying) for i in at} for key, at in cells.items()}
    everywhere: set[Key] = set().union(*within.values())
    names = [name for _, name in varying]
    groups = {
        key: Group(study.repetitions(at), _gap(study, names, within[key], everywhere)) for key, at in cells.items()
    }
    return Layout(heads, groups, _how(study, names, everywhere, groups.values()))


def _gap(study: Study, names: Sequence[str], here: set[Key], everywhere: set[Key]) -> str:
    """Which values of averaged axes the grid leaves out of a cell, so that it is a mean over others."""
    if here == everywhere:
        return ""
    said = []
    for k, name in enumerate(names):
        places = sorted({spot[k] for spot in here})
        if len(places) < len({spot[k] for spot in everywhere}):
            shown = " ".join(words.value(study.values[name][at]) for at in places[:MOST_COLUMNS])
            more = f" and {len(places) - MOST_COLUMNS} more" if len(places) > MOST_COLUMNS else ""
            said.append(f"{name} {shown}{more}")
    return f"the grid has only {', '.join(said) or words.plural(len(here), 'point')} here"


def _how(study: Study, names: Sequence[str], everywhere: set[Key], groups: Iterable[Group]) -> str:
    """Over what a table averages, and what its spread is."""
    seeds = max((len(group.repetitions) for group in groups), default=0)
    said = [f"mean ± sd, n = {seeds} seeds" if seeds > 1 else "n = 1 seed"] if study.seed else []
    for k, name in enumerate(names):
        if name != study.seed:
            said.append(f"mean over {name} ({len({spot[k] for spot in everywhere})} values)")
    return "; ".join(said)


def measure(study: Study, group: Group, metric: str) -> Cell:
    """One cell of a table."""
    lacking: Counter[str] = Counter()
    means = []
    for members in group.repetitions:
        found = [_value(study.rows[i], metric) for i in members]
        whole = [value for value in found if value is not None]
        if len(whole) == len(members):
            means.append(_mean(whole))
        else:
            lacking.update(study.lack(i, metric) for i, value in zip(members, found, strict=True) if value is None)
    notes = [_shortage(study, len(means), group.repetitions, lacking)] if lacking else []
    notes += [group.gap] if group.gap else []
    return Cell(_mean(means) if means else None, _sd(means), "; ".join(notes))


def _value(row: Row | None, metric: str) -> float | None:
    value = row.metrics.get(metric) if row else None
    return None if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    if len(values) == 1:
        return values[0]
    scale = max(map(abs, values)) or 1.0  # the sum of large numbers does not fit into a number
    return math.fsum(value / scale for value in values) / len(values) * scale


def _sd(values: Sequence[float]) -> float | None:
    """The sample standard deviation; one value has none."""
    if len(values) < 2:
        return None
    scale = max(map(abs, values)) or 1.0
    middle = _mean(values) / scale
    return math.sqrt(math.fsum((value / scale - middle) ** 2 for value in values) / (len(values) - 1)) * scale


def _shortage(study: Study, n: int, repetitions: Sequence[Sequence[int]], lacking: Counter[str]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in lacking.most_common())
    several = any(len(group) > 1 for group in repetitions)
    if study.seed and len(repetitions) > 1:
        complete = " complete; points missing: " if several else "; "
        return f"{n} of {len(repetitions)} seeds{complete}{reasons}"
    total = sum(map(len, repetitions))
    return f"{total - lacking.total()} of {total} points; {reasons}" if several else next(iter(lacking))


# tables


def pair(study: Study, found: Layout, metric: str) -> Table:
    """A metric by the values of two axes; the first heads the rows unless the second has too many for columns."""
    one, other = found.heads
    turned = len(study.values[other]) > MOST_COLUMNS and len(study.values[one]) < len(study.values[other])
    if turned:
        one, other = other, one
    cells = {key[::-1] if turned else key: measure(study, group, metric) for key, group in found.groups.items()}
    rows, columns = range(len(study.values[one])), range(len(study.values[other]))
    marks = _marks(cells.values())
    show = _writer(cells.values(), marks)
    blank = ["blank: the grid has no such point"] if len(cells) < len(rows) * len(columns) else []
    return Table(
        title=f"{metric} by {one} and {other}" + (f": {found.how}" if found.how else ""),
        columns=[one, *(words.value(value) for value in study.values[other])],
        rows=[[words.value(study.values[one][r]), *(show(cells.get((r, c))) for c in columns)] for r in rows],
        note="\n".join([*_explained(marks), *blank]),
        across=other,
    )


def line(study: Study, found: Layout, metrics: Sequence[str]) -> Table:
    """Several metrics by the values of one axis, or in a single row."""
    axis = found.heads[0] if found.heads else ""
    cells = {m: {key: measure(study, group, m) for key, group in found.groups.items()} for m in metrics}
    marks = _marks(cell for m in metrics for cell in cells[m].values())
    show = {m: _writer(cells[m].values(), marks) for m in metrics}
    names = {key: words.value(study.values[axis][key[0]]) if axis else "all points" for key in sorted(found.groups)}
    return Table(
        title=f"metrics{f' by {axis}' if axis else ''}" + (f": {found.how}" if found.how else ""),
        columns=[axis, *metrics],
        rows=[[name, *(show[m](cells[m][key]) for m in metrics)] for key, name in names.items()],
        note="\n".join(_explained(marks)),
    )


def usable(study: Study) -> list[str]:
    """The axes that can head a table."""
    return [name for name in study.axes if len(study.values[name]) <= MOST_ROWS]


def pairs(study: Study) -> list[tuple[str, str]]:
    """Every two axes that a table can have, in the order of the grid."""
    return [p for p in combinations(usable(study), 2) if min(len(study.values[name]) for name in p) <= MOST_COLUMNS]


def _marks(cells: Iterable[Cell]) -> dict[str, str]:
    """A mark for each different footnote: `*`, or `*a`, `*b` and so on where there are several."""
    notes = list(dict.fromkeys(cell.note for cell in cells if cell.note))
    if len(notes) == 1:
        return {notes[0]: "*"}
    letters = ("".join(each) for length in (1, 2, 3) for each in product("abcdefghijklmnopqrstuvwxyz", repeat=length))
    return {note: f"*{letter}" for note, letter in zip(notes, letters, strict=False)}


def _explained(marks: Mapping[str, str]) -> list[str]:
    return [f"{mark} {note}" for note, mark in marks.items()]


def _writer(cells: Iterable[Cell], marks: Mapping[str, str]) -> Callable[[Cell | None], str]:
    """How the cells of one metric are written, all to the same place."""
    places = _places(list(cells))

    def show(cell: Cell | None) -> str:
        return "" if cell is None else _written(cell, places) + (marks[cell.note] if cell.note else "")

    return show


def _places(cells: Sequence[Cell]) -> int:
    """How many decimals the cells deserve: two figures of the middle spread, or four of the largest mean."""
    means = [abs(c.mean) for c in cells if c.mean is not None]
    if all(mean.is_integer() for mean in means) and all(not c.sd for c in cells):
        return 0
    spreads = [c.sd for c in cells if c.sd]
    wanted = 1 - math.floor(math.log10(median(spreads))) if spreads else 3 - math.floor(math.log10(max(means)))
    return min(6, max(0, wanted))


def _written(cell: Cell, places: int) -> str:
    if cell.mean is None:
        return NOTHING
    size = abs(cell.mean)
    tiny = size and round(size, places) < 10 * 10.0**-places and (cell.sd is None or round(cell.sd, places) == 0)
    if size >= 1e7 or tiny:
        mean, sd = f"{cell.mean:.3g}", "" if cell.sd is None else f"{cell.sd:.1g}"
    else:
        mean = f"{round(cell.mean, places) + 0.0:.{places}f}"  # never −0.00
        sd = "" if cell.sd is None else f"{cell.sd:.{places}f}"
        if cell.sd and float(sd) == 0:
            sd = f"<{10.0**-places:.{places}f}"
    mean = mean.replace("-", MINUS, 1) if mean.startswith("-") else mean
    return f"{mean} ± {sd}" if sd else mean
