"""How long points that do nothing take on a real Slurm, from the submission to the last dump, beside the plain ways.

make bench        (or: pytest -s -m bench tests/benchmarks/bench_tasks.py)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from cluster.lab import Cluster, Lab

pytestmark = [pytest.mark.bench, pytest.mark.slurm]

MAP_ARRAY = """
import sys, time
from pathlib import Path
from statistics import median
import submitit

def nothing(i):
    return i

if __name__ == "__main__":
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(time=5, partition="v100", array_parallelism=256)
    executor.map_array(nothing, range(count))
    while len(list(folder.glob("*_result.pkl"))) < count:
        time.sleep(0.05)
"""


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def ours(lab: Lab, count: int, shards: int) -> tuple[float, int]:
    """Seconds from the command to the last dump, and how many files that made."""
    name = f"nothing_{count}_{shards}"
    per_shard = -(-count // shards)
    grid = (
        f"name: {name}\njob: selftest\nfixed: {{steps: 0, values: 0}}\naxes: {{seed: {{range: [0, {count}]}}}}\n"
        f"resources: [{{minutes: 0.01, points_per_shard: {per_shard}}}]\n"
    )
    dumps = lab.root / "sweeps" / name / "dumps"

    def work() -> None:
        lab.submit(grid)
        while sum(name.endswith(".h5") and name[0] != "." for _, _, names in os.walk(dumps) for name in names) < count:
            time.sleep(0.05)

    seconds = timed(work)
    lab.wait(name)
    return seconds, sum(p.is_file() for p in (lab.root / "sweeps" / name).rglob("*"))


def map_array(lab: Lab, count: int) -> float:
    script, folder = lab.root / "map_array.py", lab.root / f"map_array_{count}"
    script.write_text(MAP_ARRAY)
    command = [sys.executable, str(script), str(count), str(folder)]
    return timed(lambda: subprocess.run(command, check=True, env=lab.cluster.environment, cwd=lab.root))


def bare_array(lab: Lab, tasks: int) -> float:
    command = ["sbatch", "-W", "-o", "/dev/null", f"--array=0-{tasks - 1}", "--wrap", f"{sys.executable} -c pass"]
    return timed(lambda: lab.cluster.run(*command))


def test_points_that_do_nothing(clusters: Callable[..., Cluster], tmp_path: Path) -> None:
    lab = Lab(tmp_path / "project", clusters("accounting"))
    ours(lab, 4, 4)  # warms the caches of both ways
    map_array(lab, 4)
    ratios = []
    for turn in range(5):
        theirs = map_array(lab, 36)
        lab.root = tmp_path / f"project-{turn}"
        Lab(lab.root, lab.cluster)
        one_each, files = ours(lab, 36, 36)
        ratios.append(one_each / theirs)
        print(f"\n36 points, one a shard: {one_each:.1f} s, {files / 36:.1f} files a point;", end=" ")
        print(f"submitit map_array of 36: {theirs:.1f} s; ratio {ratios[-1]:.2f}")
        bare = bare_array(lab, 4)
        four, _ = ours(lab, 36, 4)
        print(f"36 points in four shards: {four:.1f} s;", end=" ")
        print(f"bare sbatch --array=0-3 of `python -c pass`: {bare:.1f} s; ratio {four / bare:.2f}")
    print(f"one a shard beside map_array, median of five: {median(ratios):.2f}")
    thousand, files = ours(lab, 1000, 8)
    theirs = map_array(lab, 1000)
    print(f"1,000 points in eight shards: {thousand:.1f} s, {files} files;", end=" ")
    print(f"submitit map_array of 1,000: {theirs:.1f} s; ratio {theirs / thousand:.1f} times faster")
