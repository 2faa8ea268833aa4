"""One of several processes does a piece of work, and the others wait for it; one that dies never keeps them for long.

Owns the claim: a file made with O_EXCL, which its maker touches every few seconds from a thread. Whoever waits looks
whether its time changes between two looks of its own, since clocks of two machines do not agree. When it stops changing
for long enough, one of those who wait makes the next claim. Two may then work at once, where the first was only slow:
this is for work whose result appears whole, and is the same whoever does it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0  # seconds without a sign of life
_BEAT = 3.0
_LOOK = 1.0


class Stopped(Exception):  # noqa: N818 - not an error: what was asked to stop has stopped
    """`stopping` said so. What is whole is kept, and asking again goes on from there."""


@contextmanager
def alone(
    path: Path,
    done: Callable[[], bool],
    *,
    patience: float = PATIENCE,
    stopping: Callable[[], bool] | None = None,
) -> Iterator[bool]:
    """True where the block should do the work that `path` stands for; False once it is done."""
    mine = None if done() else _claimed(path, done, patience, stopping)
    if mine is None:
        yield False
        return
    ended = threading.Event()
    thread = threading.Thread(target=_touch, args=(mine, ended, min(_BEAT, patience / 4)), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        ended.set()
        thread.join(_BEAT)
        for claim in _claims(path).values() if done() else [mine]:
            claim.unlink(missing_ok=True)


def _claimed(path: Path, done: Callable[[], bool], patience: float, stopping: Callable[[], bool] | None) -> Path | None:
    """A new claim, once nobody who shows signs of life has one; None once it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: dict[Path, tuple[int, float]] = {}  # a claim's time, and since when it was that
    while not done():
        if stopping and stopping():
            raise Stopped(f"stopped while another process was making {path.name}")
        claims = _claims(path)
        last = max(claims, default=-1)
        if last < 0 or _quiet_for(claims[last], seen) > patience:
            mine = _made(path.with_name(f"{path.name}.claim-{last + 1}"))
            if mine and done():  # it was done between the look and the claim
                mine.unlink(missing_ok=True)
                return None
            if mine:
                return mine
        time.sleep(min(_LOOK, patience / 20))
    return None


def _claims(path: Path) -> dict[int, Path]:
    """The claims that there are, by number: each takes the place of one whose maker died."""
    start = f"{path.name}.claim-"
    found = (entry for entry in path.parent.iterdir() if entry.name.startswith(start))
    return {int(entry.name[len(start) :]): entry for entry in found if entry.name[len(start) :].isdecimal()}


def _made(claim: Path) -> Path | None:
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return None
    return claim


def _quiet_for(claim: Path, seen: dict[Path, tuple[int, float]]) -> float:
    """For how many seconds, by our own clock, we have seen no change of it."""
    try:
        descriptor = os.open(claim, os.O_RDONLY)  # a network file system asks anew when a file is opened
    except FileNotFoundError:
        return 0.0
    try:
        changed = os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)
    now = time.monotonic()
    before, since = seen.get(claim, (changed, now))
    seen[claim] = (changed, since if before == changed else now)
    return now - seen[claim][1]


def _touch(claim: Path, ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        try:
            os.utime(claim)
        except FileNotFoundError:  # another one has done the work, and cleared up
            return
