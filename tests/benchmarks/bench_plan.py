"""How long it takes to plan 100,000 points, and to submit 10,000 beside Submitit's own `map_array` of 10,000.

make bench        (or: pytest -s -m bench tests/benchmarks/bench_plan.py)

Slurm is pretended, and answers at once. Both ways of submitting call its `sbatch`, a program that writes one line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from measure import best

import build
import stubs
from hpc_sweep import launch, orders

PLAN = "from hpc_sweep.cli import main; main()"
POINTS, ROUNDS = 10_000, 3


@pytest.mark.bench
def test_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubs.install(tmp_path / "bin", monkeypatch)
    project = build.project(tmp_path / "project")
    path = build.grid(project, seeds=50_000, per_shard=10)
    command = [sys.executable, "-c", PLAN, "submit", path, "--cluster", "devcluster", "--dry-run"]
    took = best(3, command, cwd=project.root)
    assert "100,000" in took.output and not project.sweeps.exists()
    print(
        f"\nplan    100,000 points: {took.seconds:.2f} s ({took.cpu:.2f} s of a core), {took.memory_mb:,.0f} MB; "
        "wanted under 5 s and 1,000 MB"
    )


@pytest.mark.bench
def test_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = stubs.install(tmp_path / "bin", monkeypatch)
    sbatch = '#!/bin/sh\necho "Submitted batch job 100"\n'
    for name in ("sbatch", "srun"):
        (slurm.folder / name).write_text(sbatch)
        (slurm.folder / name).chmod(0o755)
    theirs = min((map_array(tmp_path / f"submitit{k}") for k in range(ROUNDS)), key=lambda t: t[0])
    for most in (1_001, POINTS + 1):
        slurm.config(MaxArraySize=str(most))
        ours = min((ours_in(tmp_path / f"ours{most}-{k}") for k in range(ROUNDS)), key=lambda t: t[0])
        print(
            f"\nsubmit  {POINTS:,} points, MaxArraySize {most:,}: {ours[0]:.3f} s, {ours[1]} files; "
            f"map_array {theirs[0]:.2f} s, {theirs[1]:,} files: {ours[0] / theirs[0]:.3f} of it; wanted 0.1, 30 files"
        )
    planned = min(timed(partial(plan, tmp_path / f"plan-{k}"))[0] for k in range(ROUNDS))
    print(f"\n        (reading and planning that grid before it: {planned:.2f} s)")


def map_array(folder: Path) -> tuple[float, int]:
    import submitit

    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(time=5, array_parallelism=256)
    seconds, _ = timed(lambda: executor.map_array(abs, range(POINTS)))
    return seconds, count(folder)


def ours_in(folder: Path) -> tuple[float, int]:
    order, proposal = plan(folder)
    seconds, _ = timed(lambda: launch.submit(proposal, order.project.root))
    return seconds, count(folder / "sweeps")


def plan(folder: Path) -> tuple[orders.Order, launch.Proposal]:
    project = build.project(folder)
    order = orders.from_grid(project, build.grid(project, seeds=POINTS // 2, per_shard=1), "devcluster")
    return order, order.propose()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
