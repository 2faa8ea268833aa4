"""How long the report of 10,000 points takes, figures and all, on results that were collected before. CPU time.

`python tests/benchmarks/bench_report.py`, or `pytest -m bench tests/benchmarks/bench_report.py -s`.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from hpc_sweep import collect, dump, report, results  # noqa: E402
from hpc_sweep.job import Result  # noqa: E402
from reporttools import made  # noqa: E402 - the tests' own helper

AXES: dict[str, list[Any]] = {
    "model": ["s2lif", "mart"], "data": ["mosi", "mosei", "sims", "meld", "csmv"],
    "rate": [k / 1000 for k in range(1, 11)], "seed": list(range(100)),
}  # fmt: skip
METRICS = ("mae", "accuracy_2", "accuracy_5", "accuracy_7", "f1", "correlation")
STEPS = 160


def broken(values: dict[str, Any]) -> tuple[str, str, str] | None:
    return ("failed", "oom", "CUDA out of memory") if values["seed"] % 50 == 7 else None


def figures(folder: Path) -> str:
    draw = random.Random(0)
    state, told = made(AXES, lambda v: {name: draw.random() for name in METRICS}, broken=broken)
    entries = []
    for row in told.rows:
        history = {name: [(k, draw.random()) for k in range(STEPS)] for name in ("train/loss", "valid/mae")}
        data = dump.pack(
            id=row.id, job="train", config=row.config, code="c", result=Result(row.metrics), history=history
        )
        path = folder / f"{row.id}.h5"
        path.write_bytes(data)
        entries.append(collect.Entry(row.id, row.config, row.axes, path, None, len(data)))
    collect.collect(entries, folder / "results", name="bench", expected=len(state.points), to={"hdf5"})
    table = results.load(folder / "results")
    begin = time.process_time()
    written = report.write(replace(state, used_gpu_hours=1.0), table, folder / "results", None)
    whole = time.process_time() - begin
    begin = time.process_time()
    report.write(state, table, folder / "results", None, with_figures=False)
    bare = time.process_time() - begin
    return f"report of {len(state.points):,} points: {whole:.1f} s with {written.figures} figures, {bare:.1f} s without"


@pytest.mark.bench
def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = figures(tmp_path)
    with capsys.disabled():
        print(line)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(figures(Path(temporary)))
