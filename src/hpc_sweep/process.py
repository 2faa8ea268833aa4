"""A child process as its worker sees it: what it is given, what it says, how to warn it, how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from types import FrameType
from typing import Any

from hpc_sweep.child import Work, start
from hpc_sweep.ledger import Claim, Sweep
from hpc_sweep.place import Place, oom_kills

STOPPED = 75  # the exit code of a child that saved and ended because it was asked to


class Process:
    """A forked child that runs `work`."""

    def __init__(self, work: Work) -> None:
        self._oom_before = oom_kills()
        self._buffer = b""
        self._kill_at: float | None = None
        parent = os.getpid()
        self._reading, writing = os.pipe()
        # a signal that arrives between the fork and the child's own handlers waits until those stand
        signals = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reading)
            start(work, parent, writing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.close(writing)

    def hear(self, timeout: float) -> list[dict[str, Any]] | None:
        """What the child has said by now, waiting at most so long; None once it has closed its end."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self.kill()
        if not self._speaks(timeout):
            return None if self._over() and not self._speaks(0) else []
        data = os.read(self._reading, 1 << 16)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _speaks(self, timeout: float) -> bool:
        return bool(select.select([self._reading], [], [], timeout)[0])

    def _over(self) -> bool:
        """Whether the child has ended, though processes that it left behind hold its end of the pipe."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def warn(self) -> None:
        """Ask the child to save and stop at its next step boundary."""
        self._signal(signal.SIGUSR2)

    def kill_in(self, seconds: float) -> None:
        """Give the child so long, counted from the first time this is called."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + seconds

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def ended(self) -> tuple[int, tuple[str, str] | None]:
        """Wait for the end: the exit code, and the kind and words of a death that it could not tell of itself."""
        os.close(self._reading)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if code in (0, 1, 3, STOPPED):
            return code, None
        if code > 0:
            return code, ("crash", f"exited with {code} without a word")
        name = signal.Signals(-code).name
        if code == -signal.SIGKILL and oom_kills() > self._oom_before:
            return code, ("host-oom", "killed by the kernel: out of host memory")
        return code, ("crash", f"killed by {name}")


class Warnings:
    """The signals that this task was sent, and the child to pass them to."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.told = 0
        self.first_at: float | None = None
        self.process: Process | None = None
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def __bool__(self) -> bool:
        return bool(self.received)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self.first_at is None:
            self.first_at = time.monotonic()
        if self.process is not None:
            self.process.warn()

    def fresh(self) -> list[str]:
        """The names of the signals that came since this was last called."""
        new, self.told = self.received[self.told :], len(self.received)
        return [signal.Signals(number).name for number in new]

    def watch(self, process: Process | None) -> None:
        """Pass signals to this child from now on, and the one that came before it was there."""
        self.process = process
        if process is not None and self.received:
            process.warn()

    @property
    def final(self) -> bool:
        """Whether the end is near: the first TERM may be the beginning of a grace time, a second word is not."""
        return len(self.received) > 1 and self.received[-1] in (signal.SIGTERM, signal.SIGINT)


def work_of(
    sweep: Sweep,
    claim: Claim,
    place: Place,
    points: tuple[str, ...],
    environment: dict[str, str],
) -> Work:
    """What a child is to do, from the claim that its task belongs to."""
    array = next(a for a in claim.arrays if any(points[0] in s for s in a.shards))
    return Work(
        sweep=sweep,
        job=claim.job,
        code=sweep.code / f"{claim.code['fingerprint']}.zip",
        fingerprint=claim.code["fingerprint"],
        points=points,
        points_file=claim.sweep["points"],
        resources=array.resources,
        attempt=place.run_key,
        rank=place.rank,
        world_size=place.world_size,
        local_rank=place.local_rank,
        environment=environment,
    )
