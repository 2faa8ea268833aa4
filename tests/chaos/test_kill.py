"""Real processes, killed by SIGKILL at moments that dice choose: a sweep on a laptop comes to the same bytes in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import ground
from hpc_sweep import local, status

ROUNDS = 10
GRID = """\
name: trial
job: selftest
fixed: {steps: 30, step_seconds: 0.01, values: 50}
axes: {seed: {range: [0, 12]}}
resources: [{minutes: 1, points_per_shard: 2, checkpoint_minutes: 1.0e-3}]
"""
SUBMIT = ("submit", "grid.yaml", "--cluster", "local")
RERUN = ("rerun", "trial")
HPC_SWEEP = [sys.executable, "-c", "from hpc_sweep.cli import main; main()"]


def project(folder: Path) -> Path:
    root = ground.project(folder, GRID)
    (root / "slurm" / "local.yaml").write_text("scheduler: local\nslots: 2\n")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    made = project(tmp_path / "killed")
    yield made
    for pid in processes(made):
        os.kill(pid, signal.SIGKILL)


def start(root: Path, *words: str) -> subprocess.Popen[bytes]:
    with (root / "out.log").open("ab") as log:
        return subprocess.Popen([*HPC_SWEEP, *words], cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def command(root: Path, *words: str) -> int:
    return start(root, *words).wait(timeout=60)


def processes(root: Path, module: str = "hpc_sweep.") -> list[int]:
    """The runner and the workers of a project's sweep that live, by their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(ground.sweep(root).folder) in words and any(w.startswith(module) for w in words):
            found.append(int(pid))
    return sorted(found)


def kill(root: Path, module: str, delay: float, dice: random.Random) -> bool:
    """Kill one of these processes a while after there are some; False when there are none to come."""
    until = time.monotonic() + 10
    while not processes(root, module) and not status.compute(ground.sweep(root)).over:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(delay)
    pids = processes(root, module)
    if pids:
        os.kill(dice.choice(pids), signal.SIGKILL)
    return bool(pids)


def exists(root: Path) -> bool:
    return (ground.sweep(root).folder / "sweep.json").exists()


def look(root: Path, before: dict[str, int]) -> dict[str, int]:
    """Status agrees with the files, and no dump that was there is another file now."""
    if not exists(root):
        return before
    found = ground.inodes(root)
    ground.states(root)
    assert found.items() >= before.items()
    return found


def settle(root: Path) -> None:
    """Wait until nothing of the sweep runs."""
    until = time.monotonic() + 30
    while processes(root) or any(local.alive(ground.sweep(root), n) for n in range(ROUNDS + 5)):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_sweep_that_is_killed_again_and_again(root: Path, tmp_path: Path) -> None:
    dice = random.Random(20)
    dumps: dict[str, int] = {}
    killed: Counter[str] = Counter()
    for round_ in range(ROUNDS):
        victim = ("submitter", "worker", "local")[round_ % 3]
        words = SUBMIT if not exists(root) or (victim == "submitter" and dice.random() < 0.4) else RERUN
        process = start(root, *words, "--yes")
        if victim == "submitter":
            time.sleep(dice.uniform(0.2, 0.5))
            process.kill()
            killed[victim] += process.wait() == -signal.SIGKILL
        else:
            process.wait(timeout=60)
            killed[victim] += kill(root, f"hpc_sweep.{victim}", dice.uniform(0.0, 0.4), dice)
        dumps = look(root, dumps)
    assert killed.keys() == {"submitter", "worker", "local"} and killed.total() > 5, killed
    for _ in range(3):
        settle(root)
        dumps = look(root, dumps)
        if set(ground.states(root).values()) == {"done"}:
            break
        for words in (SUBMIT, RERUN):
            assert command(root, *words, "--yes", "--wait") in (0, 1)
    assert set(ground.states(root).values()) == {"done"}, (root / "out.log").read_text()
    look(root, dumps)
    assert max(ground.dones(root).values()) == 1
    calm = project(tmp_path / "calm")
    assert command(calm, *SUBMIT, "--yes", "--wait") == 0
    assert [command(place, "collect") for place in (root, calm)] == [0, 0]
    assert ground.written(root) == ground.written(calm)
    assert len(ground.written(calm)) == 14
