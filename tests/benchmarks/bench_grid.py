"""How long a grid takes: an everyday one to read, and one of 100,000 points to check and to name. CPU time.

`python tests/benchmarks/bench_grid.py`, or `pytest -m bench tests/benchmarks/bench_grid.py -s`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from gridtools import load  # noqa: E402 - the tests' own helper

GRID = """
name: bench
job: train
fixed: {epochs: 200, batch: 16, lr: 7e-5, model: s2lif}
axes:
  tuning: [frozen, finetune]
  data: [mosi, meld, mosei, csmv, iemocap]
  seed: {range: [0, SEEDS]}
skip:
  - {tuning: frozen, data: csmv, seed: 1}
resources:
  - {gpus: 1, minutes: 9, points_per_shard: 6}
  - {when: {tuning: finetune}, minutes: 95, points_per_shard: 1}
"""

# CPU time of a fresh process: what reading adds to the imports that a job's Config needs anyway.
READ = """
import sys, time
from pathlib import Path
import pydantic
from hpc_sweep import config
start = time.process_time()
config.read(Path(sys.argv[1]))
print(1000 * (time.process_time() - start))
"""


def read_small(folder: Path) -> str:
    path = folder / "small.yaml"
    path.write_text(GRID.replace("SEEDS", "5"))
    runs = [subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, check=True) for _ in range(5)]
    return f"an everyday grid is read in {min(float(r.stdout) for r in runs):.0f} ms, ruamel.yaml imported with it"


def plan(folder: Path, seeds: int) -> str:
    start = time.process_time()
    made = load(folder, GRID.replace("SEEDS", str(seeds)))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{len(made.points):,} points are read, checked and named in {seconds:.2f} s, with at most {peak:.0f} MB"


def figures(folder: Path) -> str:
    return "\n".join([read_small(folder), *(plan(folder, seeds) for seeds in (5, 1_000, 10_000))])


@pytest.mark.bench
def test_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(tmp_path)
    with capsys.disabled():
        print(told)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(figures(Path(temporary)))
