"""How long `hpc-sweep status` takes, as a user runs it, and how much memory: 10,000 and 100,000 points.

make bench        (or: pytest -s -m bench tests/benchmarks/bench_status.py)

All points are done but those of one task that runs, so that Slurm is asked once. The files are as real ones, but not
forced to the disk while they are made, and all dumps hold the same bytes: `status` looks at size and time only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from measure import best

import build
import stubs
from hpc_sweep import dump
from hpc_sweep.ledger import Sweep
from hpc_sweep.records import Point

STATUS = "from hpc_sweep.cli import main; main()"


def finished(project: Path, count: int, per_shard: int, slurm: stubs.Slurm) -> Sweep:
    """A sweep whose tasks are all done but the last, which runs."""
    points = build.points(count)
    sweep = build.sweep(project, points)
    shards = [points[i : i + per_shard] for i in range(0, count, per_shard)]
    arrays = [shards[i : i + 1001] for i in range(0, len(shards), 1001)]
    build.claim(sweep, *arrays)
    slurm.add(100 + len(arrays) - 1, build.array_name(sweep, k=len(arrays) - 1), len(arrays[-1]))
    slurm.task(f"{100 + len(arrays) - 1}_{len(arrays[-1]) - 1}", "RUNNING")
    data = build.packed(points[0])
    for number, shard in enumerate(shards[:-1]):
        finish(sweep, number, shard, data)
    build.attempt(sweep, len(shards) - 1, build.begin(shards[-1][0]))
    return sweep


def finish(sweep: Sweep, number: int, shard: Sequence[Point], data: bytes) -> None:
    events = []
    for point in shard:
        _, sha256, size, changed = dump.write(sweep.dumps, point.id, data)
        told = {"point": point.id, "sha256": sha256, "bytes": size, "mtime_ns": changed, "until": 812}
        events += [build.begin(point), ("done", {**told, "seconds": 2.153, "host_mb": 61})]
    build.attempt(sweep, number, *events, build.end())


@pytest.mark.bench
@pytest.mark.parametrize(
    ("count", "per_shard", "target"), [(10_000, 10, 0.6), (10_000, 1, 0.6), (100_000, 10, 6.0), (100_000, 1, 6.0)]
)
def test_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, per_shard: int, target: float) -> None:
    slurm = stubs.install(tmp_path / "bin", monkeypatch)
    project = build.project(tmp_path / "project")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        finished(project.root, count, per_shard, slurm)
    took = best(5 if count < 50_000 else 3, [sys.executable, "-c", STATUS, "status", "trial"], cwd=project.root)
    assert f"{count - per_shard:,}" in took.output and "running" in took.output
    queries = len(slurm.calls()) // took.runs
    print(
        f"\nstatus  {count:>7,} points, {per_shard:>2} a task: {took.seconds:5.2f} s ({took.cpu:.2f} s of a core), "
        f"{took.memory_mb:,.0f} MB, {queries} Slurm query; wanted under {target} s and 1,000 MB"
    )
