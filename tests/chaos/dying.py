"""A process that dies at its n-th file operation, or whose disk fails from then on; what it left is for the test.

The process is forked from the test, so that an n costs milliseconds. Counted is what changes a file (through `os`, or
written through `open`) and every start of a program; what only reads is not. To die after the n-th operation is to die
before the next, so "before" covers both; `fsync` is counted and not done, since a process that dies loses no cache.
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import json
import mmap
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

PARENT, CHILD = "parent", "child"
DISK = ("ENOSPC", "EDQUOT", "EROFS", "EIO")

_CHANGES = (
    *("write", "pwrite", "replace", "rename", "link", "symlink", "unlink", "remove", "rmdir", "mkdir"),
    *("fsync", "ftruncate", "truncate", "utime", "chmod"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_DATA = ("write", "pwrite")
_FREES = ("unlink", "remove", "rmdir")  # works on a full disk
_PATIENCE = 60.0


@dataclass(frozen=True)
class Fate:
    """What happens to whom at which operation.

    `how`: "before" and "after" kill the process, "half" does so once half of the n-th write is out, "node" kills its
    parent too, "signal" warns both; the name of an errno lets this and every later operation fail with it.
    `where`: in the process that is run, or in those that it forks. `only` counts operations whose name begins so.
    """

    at: int
    how: str
    where: str = PARENT
    only: tuple[str, ...] = ("",)


_CALM = Fate(0, "before")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its value or its error, what it counted, whether its fate came, what it printed."""

    value: Any
    error: str
    operations: tuple[str, ...]
    fired: bool
    text: str
    status: int


class _Counting:
    """The functions of a process that change files, counted in memory that its children share."""

    def __init__(self, fate: Fate, channel: int) -> None:
        self.fate = fate
        self.pid = os.getpid()
        self.channel = channel
        self.asleep = False
        self._shared = mmap.mmap(-1, 16)
        self._write = os.write
        for name in _CHANGES:
            setattr(os, name, self._counted(name, getattr(os, name)))
        os.open = self._os_open(os.open)  # type: ignore[assignment]
        io.open = builtins.open = self._open(io.open)  # type: ignore[assignment]
        start = subprocess.Popen.__init__
        subprocess.Popen.__init__ = (  # type: ignore[method-assign]
            lambda process, words, *args, **kwargs: self.meet("start", partial(start, process), words, *args, **kwargs)
        )

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        if name == "fsync":
            real = os.fstat  # complains of a bad descriptor all the same
        return lambda *args, **kwargs: self.meet(name, real, *args, **kwargs)

    def _os_open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, flags: int, *args: Any, **kwargs: Any) -> Any:
            if flags & _WRITES:
                return self.meet("open", real, path, flags, *args, **kwargs)
            return real(path, flags, *args, **kwargs)

        return call

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wxa+"):
                return real(file, mode, *args, **kwargs)
            return _File(self, self.meet("open", real, file, mode, *args, **kwargs))

        return call

    @property
    def fired(self) -> bool:
        return self._shared[8] == 1

    def meet(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do one operation, unless its time has come."""
        if self.asleep:
            return real(*args, **kwargs)
        if self.fired:
            self._fail(name, args)
            return real(*args, **kwargs)
        if (os.getpid() == self.pid) != (self.fate.where == PARENT):
            return real(*args, **kwargs)
        if not name.startswith(_DATA if self.fate.how == "half" else self.fate.only):
            return real(*args, **kwargs)
        (count,) = struct.unpack_from("=Q", self._shared)
        struct.pack_into("=Q", self._shared, 0, count + 1)
        self.tell(operation=f"{name} {args[0] if args else ''}")
        if count + 1 != self.fate.at:
            return real(*args, **kwargs)
        self._shared[8] = 1
        return self._come(name, real, *args, **kwargs)

    def _come(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        how = self.fate.how
        if how == "signal":
            os.kill(os.getpid(), signal.SIGUSR2)
            os.kill(self.pid, signal.SIGUSR2)
            return real(*args, **kwargs)
        if how in DISK:
            if name in _DATA and len(args[-1 if name == "write" else 1]) > 1:  # what is left of the disk is filled
                return _half(name, real, *args)
            self._fail(name, args)
            return real(*args, **kwargs)
        if how == "after":
            real(*args, **kwargs)
        elif how == "half":
            _half(name, real, *args)
        elif how == "node":
            os.kill(self.pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    def _fail(self, name: str, args: tuple[Any, ...]) -> None:
        how = self.fate.how
        works = name not in (*_CHANGES, "open") or (how in ("ENOSPC", "EDQUOT") and name in _FREES)
        if how in DISK and not works:
            number = getattr(errno, how)
            raise OSError(number, os.strerror(number), *[a for a in args[:1] if isinstance(a, str | Path)])

    def tell(self, **words: Any) -> None:
        self._write(self.channel, json.dumps(words).encode() + b"\n")


class _File:
    """A file object whose writes are counted."""

    def __init__(self, counting: _Counting, file: Any) -> None:
        self._counting = counting
        self._file = file

    def write(self, data: Any) -> Any:
        return self._counting.meet("write", self._out, data)

    def _out(self, data: Any) -> Any:
        written = self._file.write(data)
        self._file.flush()
        return written

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _half(name: str, real: Callable[..., Any], *args: Any) -> Any:
    """Write the first half of what was to be written."""
    *before, data = args[: 2 if name == "pwrite" else None]
    part = data[: len(data) // 2] if isinstance(data, str | bytes) else bytes(data)[: len(data) // 2]
    return real(*before, part, *(args[2:] if name == "pwrite" else ()))


_counting: _Counting | None = None


def operation(name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Count something that stands for the start of a program."""
    return _counting.meet(name, real, *args, **kwargs) if _counting else real(*args, **kwargs)


@contextmanager
def uncounted() -> Iterator[None]:
    """What another program does is not counted, and does not fail."""
    before = _counting.asleep if _counting else False
    if _counting:
        _counting.asleep = True
    try:
        yield
    finally:
        if _counting:
            _counting.asleep = before


def run(action: Callable[[], Any], fate: Fate | None = _CALM, *, folder: Path) -> Outcome:
    """Do something in a forked child and wait until that child and all that it forked have ended.

    Without a fate nothing is counted.
    """
    log = folder / "out.log"
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _victim(action, fate, writing, log)
    os.close(writing)
    try:
        said = _all(reading, pid)
    finally:
        os.close(reading)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    words = [json.loads(line) for line in said.splitlines()]
    last: dict[str, Any] = next((w for w in words if "value" in w or "error" in w), {})
    operations = tuple(w["operation"] for w in words if "operation" in w)
    fired = fate is not None and 0 < fate.at <= len(operations)
    text = log.read_text(errors="replace")
    return Outcome(last.get("value"), last.get("error", ""), operations, fired, text, status)


def well(action: Callable[[], Any], *, folder: Path) -> Any:
    """Do something in a forked child that nothing disturbs; its value."""
    outcome = run(action, None, folder=folder)
    assert not outcome.error and not outcome.status, outcome.error + outcome.text
    return outcome.value


def _victim(action: Callable[[], Any], fate: Fate | None, channel: int, log: Path) -> NoReturn:
    global _counting
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        write = os.write
        _counting = _Counting(fate, channel) if fate else None
        try:
            value = action()
            sys.stdout.flush()
            said = {"value": value}
        except BaseException:
            said = {"error": traceback.format_exc()}
        write(channel, json.dumps(said).encode() + b"\n")
    finally:
        os._exit(0)


def _all(reading: int, pid: int) -> bytes:
    """Everything that is said, until nobody is left who could say more."""
    said, until = b"", time.monotonic() + _PATIENCE
    while True:
        if not select.select([reading], [], [], max(0, until - time.monotonic()))[0]:
            os.killpg(pid, signal.SIGKILL)
            raise AssertionError(f"it did not end in {_PATIENCE:.0f} s; the last it said: {said[-1000:].decode()}")
        part = os.read(reading, 1 << 16)
        if not part:
            return said
        said += part


def copy(template: Path, name: str) -> Path:
    """A folder as a test found it, to be disturbed."""
    return shutil.copytree(template, template.with_name(f"{template.name}-{name}"), symlinks=True)


def every(
    template: Path,
    act: Callable[[Path], Any],
    check: Callable[[Path, Outcome], None],
    *,
    how: str,
    least: int,
    where: str = PARENT,
    step: int = 1,
    only: tuple[str, ...] = ("",),
) -> None:
    """Let it happen at operation 1, 2, 3, ... of `act`, each time in a fresh copy of a folder, until it comes through.

    `check` looks at what was left each time; the run that came through must have counted `least` operations.
    """
    for n in itertools.count(1, step):
        place = copy(template, f"{how}-{where}-{n}")
        outcome = run(lambda at=place: act(at), Fate(n, how, where, only), folder=place)  # type: ignore[misc]
        try:
            if not outcome.fired:
                assert len(outcome.operations) >= least, outcome.operations
                assert not outcome.error, outcome.error
            else:
                check(place, outcome)
        except BaseException as error:
            at = outcome.operations[n - 1] if outcome.fired else "the end"
            error.add_note(f"{how} {n}: {at}\nin {place}\n{outcome.text[-2000:]}")
            raise
        shutil.rmtree(place)
        if not outcome.fired:
            return
