"""The screen of `status`: what is done, runs, waits and failed, what the failures share, what to run next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from hpc_sweep import ledger, outlook, terminal_hints
from hpc_sweep import terminal_words as words
from hpc_sweep.errors import HpcSweepError
from hpc_sweep.outlook import Failures, Outlook
from hpc_sweep.status import Status
from hpc_sweep.terminal_page import Column, Line, Page, Part, blocks
from hpc_sweep.terminal_screen import Screen

MOST_LINES = 24
_BAR = 30
_STYLE = {"done": "good", "running": "busy", "failed": "bad", "lost": "bad", "damaged": "bad"}
_ORDER = ("done", "damaged", "running", "waiting", "failed", "lost", "new")


class _Room(NamedTuple):
    """How many rows each part of the screen may take."""

    table: int
    kinds: int
    notes: int
    hints: int


_ALL = _Room(1000, 1000, 1000, 3)
_ROOMS = (
    _Room(12, 5, 3, 3),
    _Room(8, 5, 2, 2),
    _Room(4, 5, 1, 2),
    _Room(0, 5, 1, 2),
    _Room(0, 3, 1, 1),
    _Room(0, 2, 1, 0),
)


def status(screen: Screen, state: Status, *, everything: bool = False) -> None:
    """Show a sweep as it is now; `everything` leaves nothing out, down to every point."""
    screen.show(status_lines(screen.page, state, everything=everything))


def status_line(state: Status) -> str:
    """The whole in one line, for a log."""
    c = state.counts
    broken = c["failed"] + c["lost"] + c["damaged"]
    parts = {"done": c["done"], "running": c["running"], "waiting": c["waiting"], "failed": broken}
    return "  ".join(f"{name} {count}" for name, count in parts.items()) + f"  total {len(state.points)}"


def status_lines(page: Page, state: Status, *, everything: bool = False, now: float | None = None) -> list[Line]:
    now = time.time() if now is None else now
    failed = outlook.failures(state.points)
    if everything:
        return blocks(_compose(page, state, failed, _ALL, now), _points(page, state))
    lines: list[Line] = []
    for room in _ROOMS:
        lines = _compose(page, state, failed, room, now)
        if len(lines) <= MOST_LINES:
            break
    return lines


def _compose(page: Page, state: Status, failed: list[Failures], room: _Room, now: float) -> list[Line]:
    ahead = outlook.outlook(state)
    return blocks(
        [_heading(page, state, now)],
        _states(page, state, failed),
        _table(page, state, room.table),
        _ahead(page, state, ahead, now),
        _failures(page, state, failed, room.kinds),
        _notes(page, state, room.notes),
        page.commands(_next(state, failed, room.hints)),
    )


def _heading(page: Page, state: Status, now: float) -> Line:
    if not state.submissions:
        return page.heading(state.sweep.name, ["nothing submitted yet"])
    claim, jobs = state.submissions[-1].claim, state.submissions[-1].jobs
    ids = [str(told["job"]) for told in jobs.values() if told.get("job") not in (None, "local")]
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    earlier = len(state.submissions) - 1
    return page.heading(
        state.sweep.name,
        [
            claim.cluster,
            ids[0] + more if ids else "",
            f"submitted {words.ago(now - claim.at)} by {claim.by}",
            f"code {claim.code['label'].removesuffix(' (clean)')}",
            f"{words.plural(earlier, 'submission')} before" if earlier else "",
        ],
    )


def _states(page: Page, state: Status, failed: list[Failures]) -> list[Line]:
    total, counts = len(state.points), state.counts
    share = f"  {words.percent(counts['done'], total)}   of {total:,}"
    room = page.width - 2 - 8 - 2 - 5 - 2
    rows: list[list[Part]] = []
    for name in _ORDER:
        if name == "done":
            bar = page.bar(counts[name], total, max(0, min(_BAR, room - len(share))))
            rows.append([("done", "good"), f"{counts[name]:,}", bar + share])
        elif counts[name]:
            rows.append([(name, _STYLE.get(name, "")), f"{counts[name]:,}", _beside(page, state, name, failed, room)])
    return page.table([Column(wide=8), Column(right=True, wide=5), Column(least=1)], rows)


def _beside(page: Page, state: Status, name: str, failed: list[Failures], room: int) -> str:
    """What there is to say about the points in one state."""
    points = [p for p in state.points if p.state == name]
    parts = []
    if name == "running":
        again = Counter(p.tries for p in points if p.tries > 1)
        parts = [f"{count:,} on a {words.ordinal(tries)} attempt" for tries, count in sorted(again.items())]
    elif name == "failed":
        kinds = sum(any(p.state == "failed" for p in f.points) for f in failed)
        parts = [words.plural(kinds, "kind")]
    elif name == "new":
        parts = ["no submission holds them"]
    elif name == "waiting":
        parts = [text for text, _ in Counter(p.words for p in points if p.words).most_common(2)]
    return page.joined(parts, room)


# the table of axes


def _table(page: Page, state: Status, most: int) -> list[Line]:
    axes = outlook.table_axes(state)
    if not axes or not most or not state.submissions:
        return []
    rows = outlook.breakdown(state, axes[0])
    head = [Column(axes[0], least=6)] + [Column(t, right=True) for t in ("done", "run", "wait", "fail")]
    head.append(Column("med/point", right=True, drop=1))
    cells: list[list[Part]] = []
    for row in rows:
        counts = [f"{n:,}" for n in (row.done, row.running, row.waiting, row.failed)]
        middle = words.duration(row.median) if row.median is not None else "–"
        cells.append([words.value(row.value), *counts, middle])
    for other in axes[1:]:
        values = state.header["axes"][other]
        found = outlook.cross(state, axes[0], other)
        wider = [*head, *(Column(_title(other, v), right=True) for v in values)]
        full = [
            [*cell, *(_share(found.get((row.value, v))) for v in values)] for row, cell in zip(rows, cells, strict=True)
        ]
        if page.fits(wider, full):
            head, cells = wider, full
            break
    lines = page.table(head, cells[:most])
    more = len(cells) - most
    return lines + ([[f"  {more} more: --all"]] if more > 0 else [])


def _title(axis: str, value: object) -> str:
    """A word speaks for itself, a number does not."""
    return value if isinstance(value, str) else words.settings({axis: value})


def _share(found: tuple[int, int] | None) -> str:
    return f"{found[0]:,}/{found[1]:,}" if found else "–"


# what is left


def _ahead(page: Page, state: Status, ahead: Outlook, now: float) -> list[Line]:
    parts = []
    if ahead.planned:
        parts.append(f"used {words.hours(ahead.used)} of {words.hours(ahead.planned)} GPU-h planned")
    if not state.over:
        if ahead.left:
            parts.append(f"left about {words.hours(ahead.left)}")
        if state.count("running"):
            parts.append(_end(ahead, now))
        elif ahead.takes:
            parts.append(f"{words.about(ahead.takes)} once running")
    return page.wrapped(" · ".join(parts), "  ") if parts else []


def _end(ahead: Outlook, now: float) -> str:
    if ahead.takes < 600:
        return f"{words.about(ahead.takes)} left"
    end, today = datetime.fromtimestamp(now + ahead.takes), datetime.fromtimestamp(now)
    when = f"{end:%H:%M}" if end.date() == today.date() else f"{end:%Y-%m-%d %H:%M}"
    minutes = ahead.spread / 60
    step = 1 if minutes < 10 else 5 if minutes < 60 else 15
    return f"ends about {when} ± {words.roughly(max(60, 60 * step * round(minutes / step)))}"


# failures


def _failures(page: Page, state: Status, failed: list[Failures], most: int) -> list[Line]:
    if not failed:
        return []
    rows: list[list[Part]] = [
        [(f"{len(f.points):,}", "bad"), (f.kind, "strong"), words.settings(f.shared), f.words] for f in failed[:most]
    ]
    columns = [Column("failed", right=True), Column("kind"), Column("shared by all", least=13, drop=1)]
    lines = page.table([*columns, Column("last words", least=12)], rows)
    more = len(failed) - most
    return lines + ([[f"  {more} more: --all"]] if more > 0 else [])


def _notes(page: Page, state: Status, most: int) -> list[Line]:
    lines = [line for note in state.notes[:most] for line in page.wrapped(note, "note    ")]
    more = len(state.notes) - most
    return lines + ([[f"        {words.plural(more, 'more note')}: --all"]] if more > 0 else [])


def _next(state: Status, failed: Sequence[Failures], most: int) -> list[tuple[str, str]]:
    name, ids = _unless_newest(state), [p.point.id for p in state.points]
    commands = [terminal_hints.command(f.kind, short(f.points[0].point.id, ids), name) for f in failed[:most]]
    if failed and not any(" log " in command for command, _ in commands):
        first = failed[0]
        what = f"one of the {len(first.points):,} {first.kind}" if len(first.points) > 1 else f"the {first.kind}"
        point = short(first.points[0].point.id, ids)
        commands.insert(0, (f"hpc-sweep log {point}" + (f" --sweep {name}" if name else ""), what))
    if commands:
        return commands
    own = f" {name}" if name else ""
    if not state.over:
        return [(f"hpc-sweep status{own} --watch", "")]
    return [(f"hpc-sweep collect{own}", "")] if state.count("done") else []


def short(point: str, ids: Sequence[str]) -> str:
    """The beginning of an id that names one point."""
    return next((point[:n] for n in range(6, len(point)) if sum(i.startswith(point[:n]) for i in ids) < 2), point)


def _name(state: Status) -> str:
    """What to call the sweep in a command."""
    folder = state.sweep.folder
    return state.sweep.name if folder.parent.name == "sweeps" else str(folder)


def _unless_newest(state: Status) -> str:
    """The same, or nothing where a command takes this sweep anyway."""
    try:
        newest = ledger.find(state.sweep.folder.parent, None).folder
    except (HpcSweepError, OSError):
        return _name(state)
    return "" if newest == state.sweep.folder and newest.parent.name == "sweeps" else _name(state)


def _points(page: Page, state: Status) -> list[Line]:
    """Every point, one a line and nothing of it cut, as fast as a long list needs."""
    name = max((len(outlook.kind_of(p) or p.state) for p in state.points), default=0)
    lines: list[Line] = []
    for p in state.points:
        what = outlook.kind_of(p) or p.state
        took = words.duration(p.seconds) if p.seconds else ""
        lines.append([f"  {p.point.id}  {what:<{name}}  {took:>9}  {page.text(words.settings(p.point.axes))}"])
    return lines
