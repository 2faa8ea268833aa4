"""How errors look: what happened and where, then what to do on a line of its own that starts `hint:`. All on stderr."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
import traceback
from pathlib import Path

from hpc_sweep import __version__, files
from hpc_sweep import terminal_words as words
from hpc_sweep.errors import GridError, HpcSweepError, Problem
from hpc_sweep.terminal_page import Line, Page, blocks, width_of
from hpc_sweep.terminal_screen import Screen

_MOST_PROBLEMS = 10
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def error(screen: Screen, told: HpcSweepError) -> None:
    """Say what went wrong, and what to do about it."""
    screen.talk(error_lines(screen.err.page, told))


def error_lines(page: Page, told: HpcSweepError) -> list[Line]:
    """The whole sentence on one line, however long: it is copied and searched for."""
    first, *more = page.verbatim(told.message)
    later: list[Line] = [["  ", *row] for row in more]
    return [[page.part(("✗", "bad")), " ", *first], *later, *_hint(page, told.hint)]


def _hint(page: Page, hint: str | None) -> list[Line]:
    return [[("hint:", "strong"), " ", page.text(hint)]] if hint else []


# a bad grid


def bad_grid(screen: Screen, told: GridError) -> None:
    """Show every mistake of a file at its place."""
    screen.talk(bad_grid_lines(screen.err.page, told))


def bad_grid_lines(page: Page, told: GridError) -> list[Line]:
    problems = told.problems[:_MOST_PROBLEMS]
    source = told.text.splitlines()
    gutter = max(3, *(len(str(p.line)) for p in problems)) + 1
    shown: list[Line] = []
    above: Line = []
    for problem in problems:
        first, *rest = _problem(page, problem, source, gutter)
        shown += rest if first == above else [first, *rest]  # two mistakes in one line: it is shown once
        above = first
    more = len(told.problems) - len(problems)
    count = words.plural(len(told.problems), "problem") + (f", the first {len(problems)} shown" if more else "")
    return blocks([[(page.path(told.path), "strong")]], shown, [[f"{count}; nothing was submitted"]])


def _problem(page: Page, problem: Problem, source: list[str], gutter: int) -> list[Line]:
    bar = page.text("│")
    raw = source[problem.line - 1] if 0 < problem.line <= len(source) else ""
    room = page.width - gutter - 4
    text, start, length = _window(page, raw, problem.column, problem.length, room)
    blank = f"{'':>{gutter}} {bar} "
    lines: list[Line] = [[f"{problem.line:>{gutter}} {bar} {text}"]]
    message, caret = page.text(problem.message), "^" * length
    if start + length + 1 + width_of(message) <= room:
        lines.append([blank + " " * start, (caret, "bad"), f" {message}"])
    else:
        lines.append([blank + " " * start, (caret, "bad")])
        lines += page.wrapped(message, blank)
    if problem.hint:
        lines += page.wrapped(f"hint: {problem.hint}", blank)
    return [_with_bar(line, blank) for line in lines]


def _with_bar(line: Line, blank: str) -> Line:
    """Later lines of a sentence keep the bar at the left."""
    return [blank, *line[1:]] if line and line[0] == " " * len(blank) else line


def _window(page: Page, raw: str, column: int, length: int, room: int) -> tuple[str, int, int]:
    """The part of a source line around a mistake, where the mistake starts in it, and how wide it is."""
    index = max(0, min(column - 1, len(raw)))
    before = _source(page, raw[:index])
    wrong = _source(page, raw[index : index + max(1, length)])
    after = _source(page, raw[index + max(1, length) :])
    if width_of(before) > room // 2 and width_of(before + wrong + after) > room:
        mark = "…" if page.utf8 else "~"
        before = mark + before[-(room // 3) :]
    start = width_of(before)
    span = min(max(1, width_of(wrong)), max(1, room - start))
    return page.cut(before + wrong + after, room).rstrip(), start, span


def _source(page: Page, text: str) -> str:
    """A piece of a line with every character in its place, those that cannot be shown as `?`."""
    shown = "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)
    return shown if page.utf8 else "".join(c if c.isascii() else "?" for c in shown)


# a mistake of ours


def bug(screen: Screen, caught: Exception) -> None:
    """Say that we failed, and keep what is needed to find out why."""
    details = _details(caught)
    try:
        path = _folder() / f"crash-{time.strftime('%Y-%m-%dT%H-%M-%S')}-{os.getpid()}.txt"
        files.make_folder(path.parent, mode=0o700)
        files.write_atomic(path, details.encode(errors="replace"))
    except (HpcSweepError, OSError, RuntimeError):
        screen.talk([*bug_lines(screen.err.page, caught, None), *screen.err.page.verbatim(details)])
    else:
        screen.talk(bug_lines(screen.err.page, caught, path))


def bug_lines(page: Page, caught: Exception, path: Path | None) -> list[Line]:
    what = page.text(f"{type(caught).__name__} {caught} in {_where(caught)}".replace("  ", " "))
    lines: list[Line] = [
        [page.part(("✗", "bad")), " ", ("bug", "strong"), f"       {what}"],
        ["            this is our fault; what is on the disk is whole"],
    ]
    kept = f"details in {_short(path)}, please attach them to a report" if path else "please report what follows"
    return lines + _hint(page, kept)


def _where(caught: BaseException) -> str:
    """The innermost line of our own that it came from."""
    frames = traceback.extract_tb(caught.__traceback__)
    own = [f for f in frames if "hpc_sweep" in Path(f.filename).parts] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "an unknown place"


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hpc-sweep"


def _short(path: Path) -> str:
    home = os.path.expanduser("~")
    return f"~{str(path)[len(home) :]}" if str(path).startswith(f"{home}/") else str(path)


def _details(caught: BaseException) -> str:
    """The traceback and the surroundings, without what may be secret."""
    command = _SECRET.sub("***@", " ".join(sys.argv))
    trace = _SECRET.sub("***@", "".join(traceback.format_exception(caught)))
    return (
        f"hpc-sweep {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"at {time.strftime('%Y-%m-%d %H:%M:%S %z')}\ncommand: {command}\n\n{trace}"
    )
