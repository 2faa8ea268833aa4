"""Where lines go: results to stdout, talk and progress to stderr, in colour only on a terminal that wants it.

The one place that writes to the two streams. Rich is loaded only for colour and for what is drawn again in place.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from hpc_sweep.terminal_page import Line, Page, content

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPED_WIDTH = 80
_LEAST_WIDTH = 20
_STYLES = {"": "", "good": "green", "bad": "red", "busy": "cyan", "strong": "bold", "dim": "dim"}
_REDRAW = 0.1  # seconds between two pictures of a progress bar

Draw = Callable[[list[Line]], None]
Progress = Callable[..., None]  # progress(done) or progress(done, total)


class Stream:
    """One of the two streams, and what it can show."""

    def __init__(self, file: TextIO, environ: Mapping[str, str]) -> None:
        self.file = file
        self.lively = file.isatty() and environ.get("TERM") != "dumb"
        self.colour = self.lively and not environ.get("NO_COLOR")
        self.page = Page(_width(file, environ), speaks_utf8(file, environ))
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """Rich's view of this stream, made when it is first needed."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self.file, width=self.page.width, force_terminal=self.lively, legacy_windows=False,
                color_system="standard" if self.colour else None, markup=False, emoji=False, highlight=False,
            )  # fmt: skip
        return self._console

    def write(self, lines: Iterable[Line]) -> None:
        if not self.colour:
            self.file.writelines("".join(map(content, line)) + "\n" for line in lines)
        else:
            for line in lines:
                self.console.print(styled(line), soft_wrap=True)
        self.file.flush()

    @contextmanager
    def picture(self, keep: bool) -> Iterator[Draw]:
        """Lines that are drawn over the ones before; `keep` leaves the last of them on the screen."""
        from rich.live import Live

        with Live(
            console=self.console, transient=not keep, auto_refresh=False, vertical_overflow="crop",
            redirect_stdout=False, redirect_stderr=False,
        ) as live:  # fmt: skip
            yield lambda lines: live.update(_picture(lines), refresh=True)


def styled(line: Line) -> Text:
    from rich.text import Text

    return Text.assemble(*(p if isinstance(p, str) else (p[0], _STYLES[p[1]]) for p in line))


def _picture(lines: Iterable[Line]) -> Text:
    from rich.text import Text

    picture = Text("\n", no_wrap=True, overflow="crop").join(map(styled, lines))
    picture.no_wrap = True
    return picture


class Screen:
    """What a command prints on."""

    def __init__(
        self, out: TextIO | None = None, err: TextIO | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.out = Stream(out or sys.stdout, environ)
        self.err = Stream(err or sys.stderr, environ)

    @property
    def page(self) -> Page:
        return self.out.page

    def show(self, lines: Iterable[Line]) -> None:
        """Print a result."""
        self.out.write(lines)

    def talk(self, lines: Iterable[Line]) -> None:
        """Print what is about the command itself: errors, hints."""
        self.out.file.flush()
        self.err.write(lines)

    @contextmanager
    def progress(self, label: str, show: bool = True) -> Iterator[Progress]:
        """A bar on a terminal that goes away when it is done; nothing where nobody watches."""
        if not show or not self.err.lively:
            yield lambda done, total=None: None
            return
        began, drawn = time.monotonic(), 0.0
        with self.err.picture(keep=False) as draw:

            def tell(done: int, total: int | None = None) -> None:
                nonlocal drawn
                now = time.monotonic()
                if now - drawn >= _REDRAW:
                    drawn = now
                    draw([progress_line(self.err.page, label, done, total, now - began)])

            yield tell


def progress_line(page: Page, label: str, done: int, total: int | None, seconds: float) -> Line:
    """`read      ██████░░░░  412 of 1,000   3.2 s`."""
    from hpc_sweep.terminal_words import duration

    count = f"{done:,} of {total:,}" if total else f"{done:,}"
    tail = f"  {count}   {duration(seconds)}"
    room = min(32, page.width - 10 - len(tail))
    bar = page.bar(done, total, room) if total and room > 3 else ""
    return [f"  {page.text(label):<8}", (bar, "good"), tail]


def speaks_utf8(file: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the reader of a stream understands more than ASCII.

    In the C locale Python itself writes UTF-8 and sets LC_CTYPE to C.UTF-8 (PEP 538, PEP 540), so that the
    encoding alone does not tell.
    """
    if (getattr(file, "encoding", None) or "").lower().replace("-", "") != "utf8":
        return False
    coerced = environ.get("LC_CTYPE") == "C.UTF-8"
    told = environ.get("LC_ALL") or (not coerced and environ.get("LC_CTYPE")) or environ.get("LANG")
    return told not in ("C", "POSIX")


def _width(file: TextIO, environ: Mapping[str, str]) -> int:
    told = environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return max(_LEAST_WIDTH, int(told))
    if not file.isatty():
        return PIPED_WIDTH
    try:
        width = os.get_terminal_size(file.fileno()).columns
    except OSError:
        width = 0
    return max(_LEAST_WIDTH, width or shutil.get_terminal_size().columns)
