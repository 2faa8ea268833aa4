"""Running a program several times and telling its best: what the benchmarks here share."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """The quickest of some runs: seconds on the clock, seconds of a core, the most memory of any, what it printed."""

    seconds: float
    cpu: float
    memory_mb: float
    output: str
    runs: int


def best(runs: int, command: Sequence[str], cwd: Path) -> Took:
    """Run a command so often, one after the other; it must go well."""
    found = [_once(command, cwd) for _ in range(runs)]
    quickest = min(found, key=lambda t: t.seconds)
    return Took(quickest.seconds, quickest.cpu, max(t.memory_mb for t in found), quickest.output, runs)


def _once(command: Sequence[str], cwd: Path) -> Took:
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    output = process.stdout.read()
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    assert process.returncode == 0, errors
    return Took(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output, 1)
