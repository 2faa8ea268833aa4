"""What a report says of any sweep: what ran, the metrics, time and cost, failures.

Each function gives blocks from a status or a study. Refuses to leave out in silence: what is cut is counted, what is
missing has a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations
from statistics import median
from typing import Any

from hpc_sweep import outlook, report_summary
from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table
from hpc_sweep.outlook import Failures
from hpc_sweep.report_page import Block, Facts, Fold, Shares, Words
from hpc_sweep.report_summary import Study
from hpc_sweep.status import STATES, PointStatus, Status

MAIN_METRICS, MAIN_PAIRS, MOST_METRICS = 3, 3, 12
_COLUMNS = 6  # metrics side by side
_SLOWEST, _MOST_POINTS = 5, 50
_LONG_VALUE = 200

_Rows = list[list[str | float | None]]


# what ran


def title(state: Status, study: Study) -> str:
    """The sweep, and how much of it is there when it is not all."""
    there, total = sum(row is not None for row in study.rows), len(study.points)
    return state.sweep.name + (f": {there:,} of {total:,} points" if there < total else "")


def lead(state: Status, failed: Sequence[Failures]) -> list[Block]:
    """What the sweep asked, how far it is, and what went wrong, in a few lines."""
    about = str(state.header.get("about") or "")
    counts = state.counts
    blocks: list[Block] = [Words((about,))] if about else []
    blocks.append(Shares(tuple((name, counts[name]) for name in STATES if counts[name] or name == "done")))
    if failed:
        kinds = ", ".join(f"{len(f.points):,} {f.kind}" for f in failed)
        blocks.append(Words((f"Failures: {kinds}. Cells that lack these points are marked *.",)))
    return blocks


def what_ran(state: Status) -> list[Block]:
    """The question, the code, the place and the time."""
    header = state.header
    rows = [("job", str(header.get("job", ""))), ("points", _points(state)), *_axes(header.get("axes", {}))]
    fixed = header.get("fixed") or {}
    rows += [("fixed", words.settings(fixed))] if fixed else []
    claims = [s.claim for s in state.submissions]
    rows += [("cluster", ", ".join(dict.fromkeys(c.cluster for c in claims)))] if claims else []
    rows += [("submitted", _submitted(state))] if claims else []
    last = max((float(p.done.get("time", 0.0)) for p in state.points if p.done), default=0.0)
    rows += [("last done", _moment(last))] if last else []
    codes = _codes(state)
    rows += [("code", "; ".join(_code(c, n, alone=len(codes) == 1) for c, n in codes))] if codes else []
    blocks: list[Block] = [Facts(tuple(rows))]
    if len(codes) > 1:
        blocks.append(Words((f"The points ran on {len(codes)} versions of the code.",)))
    return blocks


def _points(state: Status) -> str:
    sizes = [len(given) for given in state.header.get("axes", {}).values()]
    skipped = int(state.header.get("skipped") or 0)
    product = " × ".join(map(str, sizes))
    total = f"{len(state.points):,}"
    if len(sizes) < 2 or math.prod(sizes) - skipped != len(state.points):  # axes that go together do not multiply
        return total
    return f"{product}{f' − {skipped} skipped' if skipped else ''} = {total}"


def _submitted(state: Status) -> str:
    claims = [s.claim for s in state.submissions]
    by = ", ".join(dict.fromkeys(c.by for c in claims))
    first, last = min(c.at for c in claims), max(c.at for c in claims)
    if len(claims) == 1:
        return f"{_moment(first)} by {by}"
    return f"{len(claims)} times by {by}, from {_moment(first)} to {_moment(last)}"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _codes(state: Status) -> list[tuple[dict[str, Any], int]]:
    """The versions of the code that finished points ran on, and how many did."""
    by_number = {s.number: s.claim.code for s in state.submissions}
    found: Counter[str] = Counter()
    records: dict[str, dict[str, Any]] = {}
    for point in state.points:
        if point.state == "done":
            label = str((point.done or {}).get("attempt", ""))
            code = by_number.get(int(label.partition("-")[0]) if label else point.submission or 0)
            if code:
                found[code["fingerprint"]] += 1
                records[code["fingerprint"]] = code
    return [(records[fingerprint], count) for fingerprint, count in found.most_common()]


def _code(code: dict[str, Any], count: int, alone: bool) -> str:
    fingerprint = f", fingerprint {code['fingerprint']}" if code["commit"] else ""
    return f"{code['label']}{fingerprint}" + ("" if alone else f": {words.plural(count, 'point')}")


def _axes(axes: dict[str, list[Any]]) -> list[tuple[str, str]]:
    listed = {name: words.values(given).replace("  ", ", ") for name, given in axes.items()}
    return [(f"axis {name}", f"{_shortened(listed[name])} ({len(given):,})") for name, given in axes.items()]


def _shortened(text: str) -> str:
    text = words.one_line(text)
    return text if len(text) <= _LONG_VALUE else text[: _LONG_VALUE - 1] + "…"


# metrics


def metrics(study: Study) -> list[Block]:
    """Every metric over every pair of axes; the first few open, the others folded."""
    names = study.metrics
    if not names:
        return [Words(("No metrics were collected.",))]
    shown, left = names[:MOST_METRICS], names[MOST_METRICS:]
    pairs = report_summary.pairs(study)
    tables = _over_pairs(study, shown, pairs) if pairs else _over_one(study, shown)
    blocks: list[Block] = [Words(tuple(_reading(study, _marked(tables)))), *tables]
    if left:
        blocks.append(Words((f"{len(left)} more metrics are in results.csv: {_shortened(', '.join(left))}.",)))
    return blocks


def _marked(blocks: Iterable[Block]) -> bool:
    """Whether some cell needs explaining."""
    return any(b.note if isinstance(b, Table) else isinstance(b, Fold) and _marked(b.blocks) for b in blocks)


def _reading(study: Study, marked: bool) -> list[str]:
    """How to read the tables."""
    said = []
    if study.seed:
        said.append(
            "Numbers are means over seeds ± the sample standard deviation (n − 1). Where a table averages over another "
            "axis, its title says so; the spread is that of the seeds' averages."
        )
    else:
        said.append(
            "The grid has no axis called seed: each number is one run, or the average that the title of its table "
            "names. There is no spread to show."
        )
    if marked:
        said.append(
            "A cell marked * lacks points: the line below its table says how many, and why. An average counts only "
            "what is complete, – means that there is none."
        )
    said.append("Nothing was selected, and no value is called best.")
    used, paired = report_summary.usable(study), report_summary.pairs(study)
    for name in study.axes:
        if name not in used:
            said.append(f"Axis {name} has {len(study.values[name]):,} values, too many for a table: it is averaged.")
    for pair in combinations(used, 2):
        if pair not in paired:
            said.append(f"Axes {pair[0]} and {pair[1]} have too many values for a table of both.")
    return said


def _over_pairs(study: Study, names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[Block]:
    layouts = [report_summary.layout(study, *pair) for pair in pairs]
    tables = {name: [report_summary.pair(study, layout, name) for layout in layouts] for name in names}
    blocks: list[Block] = []
    for name in names[:MAIN_METRICS]:
        blocks += tables[name][:MAIN_PAIRS]
        more = tables[name][MAIN_PAIRS:]
        if more:
            blocks.append(Fold(f"{name} over {words.plural(len(more), 'other pair')} of axes", tuple(more)))
    return blocks + [Fold(name, tuple(tables[name])) for name in names[MAIN_METRICS:]]


def _over_one(study: Study, names: Sequence[str]) -> list[Block]:
    tables: list[Block] = []
    for heads in [[axis] for axis in report_summary.usable(study)] or [[]]:
        layout = report_summary.layout(study, *heads)
        for start in range(0, len(names), _COLUMNS):
            tables.append(report_summary.line(study, layout, names[start : start + _COLUMNS]))
    return tables


# time and cost


def time_and_cost(state: Status, seed: str | None) -> list[Block]:
    """What it cost, how long a point takes by the values of each axis, and which took longest."""
    took = [p for p in state.points if p.seconds]
    if not took:
        return []
    done = [p.seconds for p in took if p.state == "done"]
    rows = [_cost(state, took)]
    if done:
        rows.append(("a point took", f"{words.duration(median(done))} (median), {words.duration(max(done))} at most"))
    tries = sum(p.tries > 1 for p in state.points)
    rows += [("tried again", words.plural(tries, "point"))] if tries else []
    blocks: list[Block] = [Facts(tuple(rows))]
    by_value = _by_value(state, seed)
    blocks += [by_value] if by_value.rows else []
    slowest = sorted((p for p in took if p.state == "done"), key=lambda p: (-p.seconds, p.point.index))[:_SLOWEST]
    if len(done) > _SLOWEST:
        each: _Rows = [
            [_settings(state, p.point.axes), words.duration(p.seconds), p.tries, p.node, p.point.id] for p in slowest
        ]
        blocks.append(Table("Slowest points", ["point", "took", "tries", "node", "id"], each))
    return blocks


def _cost(state: Status, took: Sequence[PointStatus]) -> tuple[str, str]:
    ahead = outlook.outlook(state)
    if ahead.planned or ahead.used:
        return "GPU-hours", f"{words.hours(ahead.used)} used of {words.hours(ahead.planned)} planned"
    hours = sum(p.seconds * _cores(state, p) for p in took) / 3600
    return "core-hours", f"{words.hours(hours)}, counting the last try of each point"


def _cores(state: Status, point: PointStatus) -> float:
    """How many cores a point had."""
    claim = next((s.claim for s in state.submissions if s.number == point.submission), None)
    shard = point.shard or 0
    for array in claim.arrays if claim else ():
        if shard < len(array.shards):
            r = array.resources
            return math.prod(float(r.get(name) or 1) for name in ("cpus", "tasks_per_node", "nodes"))
        shard -= len(array.shards)
    return 1.0


def _by_value(state: Status, seed: str | None) -> Table:
    rows: _Rows = []
    for axis in outlook.table_axes(state):
        if axis == seed:  # no setting that anybody would look for time in
            continue
        for k, row in enumerate(outlook.breakdown(state, axis)):
            if row.median is not None:
                longest = words.duration(max(row.seconds))
                name = axis if k == 0 else ""
                rows.append([name, words.value(row.value), row.done, words.duration(row.median), longest])
    return Table("Time a point, by axis", ["axis", "value", "done", "median", "longest"], rows)


def _settings(state: Status, axes: Mapping[str, Any]) -> str:
    """The values of some axes, in the order of the grid."""
    return _shortened(words.settings({name: axes[name] for name in state.header.get("axes", {}) if name in axes}))


# failures


def failures(state: Status, failed: Sequence[Failures]) -> list[Block]:
    """What went wrong by kind, what the failures share, and the points themselves."""
    if not failed:
        return []
    rows: _Rows = [
        [f.kind, len(f.points), _settings(state, f.shared) or "nothing", _shortened(f.words)] for f in failed
    ]
    points = [p for f in failed for p in f.points]
    each: _Rows = [
        [_settings(state, p.point.axes), outlook.kind_of(p), p.tries, p.node, _shortened(p.words), p.point.id]
        for p in points
    ]
    more = len(points) - _MOST_POINTS
    note = f"{more:,} more: hpc-sweep status --all" if more > 0 else ""
    columns = ["point", "kind", "tries", "node", "last words", "id"]
    return [
        Table("By kind", ["kind", "points", "shared by all", "last words"], rows),
        Fold(f"Point by point ({len(points):,})", (Table("", columns, each[:_MOST_POINTS], note),)),
    ]


def notes(texts: Iterable[str]) -> list[Block]:
    """What a reader must know beside the numbers."""
    found = tuple(texts)
    return [Words(found)] if found else []
