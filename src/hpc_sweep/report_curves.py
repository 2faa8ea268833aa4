"""Learning curves as numbers: which panels, which lines, and the mean and spread of each over seeds.

As in the tables, a seed counts when none of its points is missing, and a line with fewer seeds is named. Nothing is
drawn here, and nothing beyond the steps that all runs of a line have reached is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpc_sweep import terminal_words as words
from hpc_sweep.report_summary import Study
from hpc_sweep.results import Results

MOST_PANELS, MOST_LINES, MOST_NAMES = 12, 6, 4
WIDE = 3  # panels side by side
_MOST_STEPS = 300
_MOST_NAMED = 6

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Run = tuple[Numbers, Numbers]
Key = tuple[int, ...]
Groups = dict[Key, dict[Key, list[int]]]


@dataclass(frozen=True)
class Line:
    """The mean of a logged number at each step, with its spread where there are several seeds."""

    label: str
    steps: Numbers
    mean: Numbers
    sd: Numbers | None
    n: int
    of: int
    cut: bool  # some run went on for longer


@dataclass(frozen=True)
class Panel:
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Curves:
    """The small multiples of one logged number; `note` says what they average and what they leave out."""

    name: str
    panels: tuple[Panel, ...]
    labels: tuple[str, ...]  # of all lines, in the order of the axis
    legend: str  # the axis that they are values of
    ordered: bool  # whether its values are numbers
    columns: int
    note: str


@dataclass(frozen=True)
class _Plan:
    """Which axes make panels, which one makes lines, and the points of each line."""

    panels: tuple[str, ...]
    lines: str | None
    groups: Groups
    notes: tuple[str, ...]


def curves(study: Study, results: Results) -> tuple[list[Curves], list[str]]:
    """The curves of the first few logged numbers, those that are metrics too before others; and the others' names."""
    plan = _plan(study)
    points = [i for by_line in plan.groups.values() for members in by_line.values() for i in members]
    runs = _runs(study, results, points)
    names = sorted({name for by_name in runs.values() for name in by_name})
    names.sort(key=lambda name: name not in study.metrics)
    drawn = [_curves(study, plan, runs, name) for name in names[:MOST_NAMES]]
    return [c for c in drawn if c.panels], names[MOST_NAMES:]


# which panels and lines


def _plan(study: Study) -> _Plan:
    panels, lines = _heads(study)
    kept: dict[str, set[int]] = {}
    notes = []
    for name in (*panels, *([lines] if lines else [])):
        count = len(study.values[name])
        most = MOST_LINES if name == lines else MOST_PANELS
        kept[name] = set(_spread(count, most))
        if most < count:
            notes.append(f"{most} of the {count} values of {name} are drawn, evenly spread")
    position = {name: k for k, name in enumerate(study.values)}
    shown = [i for i, spot in enumerate(study.spots) if all(spot[position[name]] in at for name, at in kept.items())]
    by_panel = study.cells(panels, shown)
    groups = {key: study.cells([lines] if lines else [], by_panel[key]) for key in sorted(by_panel)}
    averaged = [name for name in study.axes if name not in (*panels, lines)]
    notes += [f"mean over {name} ({len(study.values[name])} values)" for name in averaged]
    return _Plan(panels, lines, groups, tuple(notes))


def _heads(study: Study) -> tuple[tuple[str, ...], str | None]:
    """Panels by two axes and lines by a third where there are three; with two, one of each, to be compared."""
    axes = study.axes
    sizes = [len(study.values[name]) for name in axes]
    if len(axes) < 2:
        few = sizes and sizes[0] <= MOST_LINES
        return ((), axes[0]) if few else (tuple(axes), None)
    if sizes[0] * sizes[1] <= MOST_PANELS and (len(axes) > 2 or sizes[1] > MOST_LINES):
        return (axes[0], axes[1]), axes[2] if len(axes) > 2 else None
    return (axes[0],), axes[1]


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})


# the numbers


def _runs(study: Study, results: Results, points: Sequence[int]) -> dict[int, dict[str, Run]]:
    found = {}
    for i in points:
        row = study.rows[i]
        if row is not None:
            found[i] = {name: _run(pairs) for name, pairs in results.history(row.id).items() if pairs}
    return found


def _run(pairs: Sequence[tuple[int, float]]) -> Run:
    """Steps that increase, each with what was logged last at it."""
    table = np.array(pairs, np.float64)
    steps, values = table[:, 0], table[:, 1]
    if np.any(np.diff(steps) <= 0):
        steps, last = np.unique(steps[::-1], return_index=True)
        values = values[::-1][last]
    return steps, values


def _curves(study: Study, plan: _Plan, runs: dict[int, dict[str, Run]], name: str) -> Curves:
    panels, lacking = [], []
    for key, by_line in plan.groups.items():
        title = words.settings({n: study.values[n][k] for n, k in zip(plan.panels, key, strict=True)})
        found = [_line(study, plan, runs, name, value, by_line[value]) for value in sorted(by_line)]
        short = [line for line in found if line.n < line.of]
        axis = f" {plan.lines}=" if plan.lines else ""
        lacking += [f"{title}{axis}{line.label} ({line.n} of {line.of})".strip() for line in short]
        lines = tuple(line for line in found if len(line.steps))
        if lines:
            panels.append(Panel(words.one_line(title) + ("*" if short and title else ""), lines))
    ends = any(line.cut for panel in panels for line in panel.lines)
    columns = len({key[1] for key in plan.groups}) if len(plan.panels) == 2 else min(WIDE, len(panels))
    values = study.values[plan.lines] if plan.lines else []
    ordered = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return Curves(
        name, tuple(panels), tuple(words.one_line(words.value(v)) for v in values), plan.lines or "", ordered,
        max(1, columns), "; ".join(_said(study, plan, lacking, ends)),
    )  # fmt: skip


def _said(study: Study, plan: _Plan, lacking: Sequence[str], ends: bool) -> list[str]:
    seeds = study.seed and len(study.values[study.seed]) > 1
    said = ["mean over seeds, band ± one sample standard deviation" if seeds else "one run a line", *plan.notes]
    if ends:
        said.append("a line ends where the shortest of its runs ends")
    if lacking:
        more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
        what = "seeds" if study.seed else "points"
        said.append(f"* fewer {what}: {', '.join(lacking[:_MOST_NAMED])}{more}")
    return said


def _line(
    study: Study, plan: _Plan, runs: dict[int, dict[str, Run]], name: str, value: Key, members: Sequence[int]
) -> Line:
    repetitions = study.repetitions(members)
    whole = [[runs[i][name] for i in at] for at in repetitions if all(name in runs.get(i, {}) for i in at)]
    label = words.one_line(words.value(study.values[plan.lines][value[0]])) if plan.lines else ""
    grid, cut = _grid([run for repetition in whole for run in repetition])
    rows = np.array([np.mean([np.interp(grid, *run) for run in repetition], axis=0) for repetition in whole])
    mean = rows.mean(axis=0) if len(rows) else grid
    sd = rows.std(axis=0, ddof=1) if len(rows) > 1 else None
    return Line(label, grid, mean, sd, len(whole), len(repetitions), cut)


def _grid(runs: Sequence[Run]) -> tuple[Numbers, bool]:
    """The steps that all runs reach, at most so many; whether some run went on for longer."""
    if not runs:
        return np.empty(0), False
    first = max(float(steps[0]) for steps, _ in runs)
    last = min(float(steps[-1]) for steps, _ in runs)
    grid = np.unique(np.concatenate([steps for steps, _ in runs]))
    grid = grid[(grid >= first) & (grid <= last)]
    return grid[_spread(len(grid), _MOST_STEPS)], any(float(steps[-1]) > last for steps, _ in runs)
