"""Real processes, killed by SIGKILL at moments that dice choose: a sweep on a laptop comes to the same bytes in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import ground
from hpc_sweep import local

ROUNDS = 10
GRID = """\
name: trial
job: selftest
fixed: {steps: 24, step_seconds: 0.01, values: 50}
axes: {seed: {range: [0, 12]}}
resources: [{minutes: 1, points_per_shard: 2, checkpoint_minutes: 1.0e-3}]
"""
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


def kill(pids: list[int], dice: random.Random) -> None:
    if pids:
        os.kill(dice.choice(pids), signal.SIGKILL)


def look(root: Path, before: dict[str, int]) -> dict[str, int]:
    """Status agrees with the files, and no dump that was there is another file now."""
    if not (ground.sweep(root).folder / "sweep.json").exists():
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
    victims = ["submit", "worker", "runner"] * ROUNDS
    for victim in victims[:ROUNDS]:
        words = dice.choice([("submit", "grid.yaml", "--cluster", "local"), ("rerun", "trial")])
        if not (ground.sweep(root).folder / "sweep.json").exists():
            words = ("submit", "grid.yaml", "--cluster", "local")
        process = start(root, *words, "--yes")
        if victim == "submit":
            time.sleep(dice.uniform(0.2, 0.5))
            process.kill()
            process.wait()
        else:
            assert process.wait(timeout=60) in (0, 4)
            time.sleep(dice.uniform(0.0, 0.4))
            kill(processes(root, "hpc_sweep.worker" if victim == "worker" else "hpc_sweep.local"), dice)
        dumps = look(root, dumps)
    for _ in range(3):
        settle(root)
        dumps = look(root, dumps)
        assert command(root, "submit", "grid.yaml", "--cluster", "local", "--yes", "--wait") in (0, 1)
        assert command(root, "rerun", "trial", "--yes", "--wait") in (0, 1)
    assert set(ground.states(root).values()) == {"done"}, (root / "out.log").read_text()
    look(root, dumps)
    assert max(ground.dones(root).values()) == 1
    calm = project(tmp_path / "calm")
    assert command(calm, "submit", "grid.yaml", "--cluster", "local", "--yes", "--wait") == 0
    assert [command(place, "collect") for place in (root, calm)] == [0, 0]
    assert ground.written(root) == ground.written(calm)
    assert len(ground.written(calm)) == 14
