"""Looking at a sweep again and again: a picture in place on a terminal, a line for each change in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpc_sweep import terminal_words as words
from hpc_sweep.outlook import outlook
from hpc_sweep.status import Status
from hpc_sweep.terminal_page import Line, Page
from hpc_sweep.terminal_screen import Draw, Screen
from hpc_sweep.terminal_status import status_line, status_lines

_BAR, _LEAST_BAR = 24, 8


def watch(screen: Screen, look: Callable[[], Status], interval: float, until_over: bool) -> Status:
    """Look until nothing runs or waits any more, or for ever; returns the last status.

    Waiting for an end is talk (stderr): one bar. Watching is a result (stdout): the whole screen of `status`.
    """
    stream = screen.err if until_over else screen.out
    if not stream.lively:
        return _lines(screen, look, interval, until_over)
    with stream.picture(keep=not until_over) as draw:
        return _pictures(stream.page, draw, look, interval, until_over)


def _lines(screen: Screen, look: Callable[[], Status], interval: float, until_over: bool) -> Status:
    said = ""
    while True:
        state = look()
        line = status_line(state)
        if line != said:
            (screen.talk if until_over else screen.show)([[line]])
            said = line
        if until_over and state.over:
            return state
        time.sleep(interval)


def _pictures(page: Page, draw: Draw, look: Callable[[], Status], interval: float, until_over: bool) -> Status:
    while True:
        state = look()
        again: list[Line] = [[], [(f"every {interval:g} s; Ctrl-C ends this, not the sweep", "dim")]]
        draw(bar_lines(page, state) if until_over else [*status_lines(page, state), *again])
        if until_over and state.over:
            return state
        time.sleep(interval)


def bar_lines(page: Page, state: Status) -> list[Line]:
    """`s2lif  ██████░░░░  58 of 80   6 running, 9 waiting, 7 failed   about 12 min left`."""
    total, c = len(state.points), state.counts
    broken = c["failed"] + c["lost"] + c["damaged"]
    counts = [f"{n:,} {what}" for n, what in ((c["running"], "running"), (c["waiting"], "waiting")) if n]
    counts += [f"{broken:,} failed"] if broken else []
    ahead = outlook(state)
    left = f"{words.about(ahead.takes)} left" if c["running"] else ""
    name = page.cut(page.text(state.sweep.name), 16)
    parts = list(filter(None, [f"{c['done']:,} of {total:,}", ", ".join(counts), left]))
    room = page.width - len(name) - 6
    while len(parts) > 1 and len("   ".join(parts)) + _LEAST_BAR > room:
        parts.pop()
    tail = "   ".join(parts)
    bar = page.bar(c["done"], total, max(0, min(_BAR, room - len(tail))))
    return [["  ", (name, "strong"), "  ", (bar, "good"), "  ", page.cut(tail, room - len(bar))]]
