"""A child process as its worker sees it: what it says, how to warn it, how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import Any

from hpc_sweep.child import Work, start
from hpc_sweep.place import oom_kills

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
