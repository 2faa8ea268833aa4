"""The screen of `log`: one point, its curve, its last words and where they were said; and its numbers as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from hpc_sweep import terminal_words as words
from hpc_sweep.logview import LogView
from hpc_sweep.terminal_page import Column, Line, Page, blocks
from hpc_sweep.terminal_screen import Screen

_FIRST, _LAST = 3, 4  # rows of a long curve
_NUMBERS = 6
_LAST_WORDS = 5
_EARLIER = 3

Curve = Sequence[tuple[int, dict[str, float]]]


def log(screen: Screen, view: LogView) -> None:
    """Show one point."""
    screen.show(log_lines(screen.page, view))


def log_lines(page: Page, view: LogView) -> list[Line]:
    trace = [line for row in view.trace[-_LAST_WORDS:] for line in _said(page, row)]
    tail = [line for row in view.tail[-_LAST_WORDS:] for line in _said(page, row)]
    said = page.wrapped(view.words, "  ", "bad") if view.words else []
    return blocks(
        [*page.titled(view.id, words.settings(view.axes)), *page.facts(_facts(view))],
        curve_lines(page, view.curve),
        [*said, *(trace or tail)],
        page.facts(_places(page, view), whole=True),
    )


def _said(page: Page, row: str) -> list[Line]:
    return [[f"    {page.cut(page.text(row), page.width - 4)}"]]


def _facts(view: LogView) -> list[tuple[str, str, str]]:
    how = f"{view.state}: {view.kind}" if view.kind and view.kind != view.state else view.state
    tried = f", attempt {view.attempt}" if view.attempt else ""
    tried += f", the {words.ordinal(view.tries)} try" if view.tries > 1 else ""
    peaks = [
        f"{words.memory(view.gpu_mb)} GPU" if view.gpu_mb else "",
        f"{words.memory(view.host_mb)} host" if view.host_mb else "",
    ]
    where = [
        view.node,
        words.duration(view.seconds) if view.seconds else "",
        "peak " + ", ".join(filter(None, peaks)) if any(peaks) else "",
    ]
    facts = [("state", how + tried, "")]
    if any(where):
        facts.append(("node", " · ".join(filter(None, where)), ""))
    far = [f"{view.done:,} of {view.total:,} done"] if view.done is not None and view.total is not None else []
    far += [f"saved at step {view.checkpoint:,}"] if view.checkpoint is not None else []
    if far and view.state != "done":
        facts.append(("so far", ", ".join(far), ""))
    return facts


def curve_lines(page: Page, curve: Curve) -> list[Line]:
    """The numbers by step, a long curve by its two ends."""
    if not curve:
        return []
    names = list(dict.fromkeys(name for _, numbers in curve for name in numbers))[:_NUMBERS]
    short = len(curve) <= _FIRST + _LAST
    rows = [_row(step, numbers, names) for step, numbers in (curve if short else curve[:_FIRST])]
    if not short:
        rows.append([f"… {len(curve) - _FIRST - _LAST:,} more", *[""] * len(names)])
        rows += [_row(step, numbers, names) for step, numbers in curve[-_LAST:]]
    columns = [Column("step", right=True), *(Column(n, right=True, drop=k) for k, n in enumerate(names))]
    return page.table(columns, rows)


def _row(step: int, numbers: dict[str, float], names: Sequence[str]) -> list[str]:
    return [f"{step:,}", *(words.figure(numbers[n]) if n in numbers else "–" for n in names)]


def _places(page: Page, view: LogView) -> list[tuple[str, str, str]]:
    facts = [("earlier", f"{label} {end}", "") for label, end in view.earlier[-_EARLIER:]]
    if view.log is not None:
        facts.append(("log", page.path(view.log), ""))
    return [*facts, ("by hand", f"python jobs/{view.job}.py --point {view.sweep}/{view.id}", "")]


def follow(screen: Screen, look: Callable[[], LogView], interval: float = 2.0) -> None:
    """Print the numbers of a point as they come, until it has ended."""
    attempt, told = "", 0
    while True:
        view = look()
        if view.attempt != attempt:
            attempt, told = view.attempt, 0
            if attempt:
                screen.show([[f"{view.id}    attempt {attempt} on {screen.page.text(view.node)}"]])
        screen.show(_numbers(screen.page, step, numbers) for step, numbers in view.curve[told:])
        told = len(view.curve)
        if not view.live:
            screen.show([[]])
            return
        time.sleep(interval)


def _numbers(page: Page, step: int, numbers: dict[str, float]) -> Line:
    told = "  ".join(f"{name} {words.figure(value)}" for name, value in numbers.items())
    return ["  ", page.text(f"step {step:<8,}  {told}")]


def log_json(view: LogView) -> dict[str, Any]:
    """The view as a JSON document."""
    document = {**vars(view), "log": str(view.log) if view.log else None}
    document["curve"] = [{"step": step, **numbers} for step, numbers in view.curve]
    document["earlier"] = [{"attempt": label, "ended": end} for label, end in view.earlier]
    return {"schema": 1, **document}
