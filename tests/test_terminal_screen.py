"""Results go to stdout and talk to stderr; colour and pictures only where somebody watches."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import pytest

from hpc_sweep import terminal_screen
from hpc_sweep.terminal_page import Page, content
from hpc_sweep.terminal_screen import Screen, Stream, speaks_utf8


class Pipe(io.StringIO):
    """A stream that is no terminal."""

    encoding = "utf-8"


@dataclass
class Terminal:
    """A pseudo-terminal: what is written to `file` is collected in `shown`."""

    file: TextIO
    shown: str = ""


@contextmanager
def terminal(columns: int = 80) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    file = os.fdopen(slave, "w", encoding="utf-8")
    found = Terminal(file)
    chunks: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                return
            if not data:
                return
            chunks.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield found
    finally:
        file.close()
        thread.join(timeout=10)
        os.close(master)
        found.shown = b"".join(chunks).decode()


COLOURS = {"TERM": "xterm", "LANG": "C.UTF-8"}
LINE = [["  ", ("✓", "good"), " claimed"]]


def test_results_and_talk_go_their_own_ways() -> None:
    out, err = Pipe(), Pipe()
    screen = Screen(out, err, {})
    screen.show(LINE)
    screen.talk([["hint: ", ("do this", "strong")]])
    assert (out.getvalue(), err.getvalue()) == ("  ✓ claimed\n", "hint: do this\n")


def test_a_pipe_has_80_columns_and_no_colour() -> None:
    stream = Stream(Pipe(), COLOURS)
    assert stream.page == Page(80, utf8=True)
    assert not stream.colour and not stream.lively


@pytest.mark.parametrize(("told", "width"), [("40", 40), ("5", 20), ("0", 80), ("wide", 80), ("", 80), ("²", 80)])
def test_columns_can_be_told(told: str, width: int) -> None:
    assert Stream(Pipe(), {"COLUMNS": told}).page.width == width


def test_a_terminal_has_its_own_width_and_colour() -> None:
    with terminal(53) as tty:
        screen = Screen(tty.file, Pipe(), COLOURS)
        assert screen.page.width == 53
        screen.show([*LINE, ["x" * 60]])
    assert tty.shown == "  \x1b[32m✓\x1b[0m claimed\r\n" + "x" * 60 + "\r\n"


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1", **COLOURS}, {**COLOURS, "TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(environ: dict[str, str]) -> None:
    with terminal() as tty:
        Screen(tty.file, Pipe(), environ).show([*LINE, [("bold", "strong")]])
    assert tty.shown == "  ✓ claimed\r\nbold\r\n"


def test_markup_of_others_is_text() -> None:
    with terminal() as tty:
        Screen(tty.file, Pipe(), COLOURS).show([["[red]not red[/red] :smile: 12 /tmp/x"]])
    assert tty.shown == "[red]not red[/red] :smile: 12 /tmp/x\r\n"


@pytest.mark.parametrize(
    ("environ", "utf8"),
    [
        ({}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LC_ALL": "C"}, False),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, False),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # what Python makes of LANG=C
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
    ],
)
def test_who_reads_utf8(environ: dict[str, str], utf8: bool) -> None:
    assert speaks_utf8(Pipe(), environ) is utf8


def test_an_ascii_stream_is_given_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = Stream(file, {})
    stream.write([[stream.page.text("█ · é")]])
    file.seek(0)
    assert file.read() == "# | e\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_in_the_locale_of_a_real_process(locale: str) -> None:
    code = "from hpc_sweep.terminal import Screen; s = Screen(); s.show([[s.page.text('a · b')]])"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**kept, "LC_ALL": locale})
    assert done.stdout.decode() == ("a | b\n" if locale == "C" else "a · b\n")


def test_nothing_of_rich_is_loaded_for_a_pipe() -> None:
    code = (
        "import sys; from hpc_sweep import terminal; s = terminal.Screen(); s.show([['plain']]);"
        "sys.exit(any(m == 'rich' or m.startswith('rich.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_screens_load_nothing_heavy() -> None:
    code = (
        "import sys, hpc_sweep.terminal;"
        "print([m for m in ('pydantic', 'ruamel.yaml', 'numpy', 'h5py', 'submitit', 'mlflow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_progress_shows_nothing_in_a_pipe() -> None:
    out, err = Pipe(), Pipe()
    with Screen(out, err, {}).progress("read") as tell:
        tell(1, 10)
        tell(2)
    assert out.getvalue() == err.getvalue() == ""


def test_progress_is_drawn_on_a_terminal_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_screen, "_REDRAW", 0.0)
    with terminal() as tty:
        screen = Screen(Pipe(), tty.file, COLOURS)
        with screen.progress("read") as tell:
            tell(412, 1000)
        screen.talk([["done"]])
    assert "412 of 1,000" in tty.shown
    assert "█" in tty.shown
    *_, last = tty.shown.split("\x1b[2K")  # the line is wiped before what follows
    assert last.replace("\r", "").strip() == "done"


def test_progress_can_be_kept_silent() -> None:
    with terminal() as tty, Screen(Pipe(), tty.file, COLOURS).progress("read", show=False) as tell:
        tell(1, 2)
    assert tty.shown == ""


def test_a_progress_line_fits_any_page() -> None:
    def text(width: int, total: int | None) -> str:
        line = terminal_screen.progress_line(Page(width), "mlflow", 28, total, 3.2)
        return "".join(map(content, line))

    assert text(80, 73) == "  mlflow  ████████████░░░░░░░░░░░░░░░░░░░░  28 of 73   3.2 s"
    assert text(40, 73) == "  mlflow  ████░░░░░░░░  28 of 73   3.2 s"
    assert text(30, 73) == "  mlflow    28 of 73   3.2 s"
    assert text(80, None) == "  mlflow    28   3.2 s"
