"""Files a second of `collect` over 1,000 dumps of 19 KB, beside the loop that one would write oneself.

`python tests/benchmarks/bench_collect.py [FOLDER]`, or `pytest -m bench tests/benchmarks/bench_collect.py -s`.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpc_sweep import dump
from hpc_sweep.collect import Entry, collect
from hpc_sweep.job import Result

FILES = 1_000
ROUNDS = 5


def one(number: int) -> tuple[str, bytes]:
    """A dump as a run of 900 test clips leaves it: predictions, targets, a history of two curves, four metrics."""
    draw = np.random.default_rng(number)
    result = Result(
        metrics={"mae": draw.random(), "accuracy_2": draw.random(), "f1": draw.random(), "correlation": None},
        arrays={
            "prediction": draw.normal(size=(900, 2)).astype("f4"),
            "target": draw.normal(size=(900, 2)).astype("f4"),
        },
        missing={"correlation": "the predictions are constant"},
    )
    curve = [(step, float(value)) for step, value in enumerate(draw.normal(size=160))]
    config = {"model": "s2lif", "data": "mosi", "lr": 7e-5, "epochs": 160, "batch_size": 16, "seed": number}
    id = hashlib.sha256(str(number).encode()).hexdigest()[:12]
    history = {"train/loss": curve, "valid/mae": curve[::-1]}
    return id, dump.pack(id=id, job="s2lif", config=config, code="4f2c1aa", result=result, history=history)


def make(folder: Path, count: int) -> list[Entry]:
    entries = []
    for number in range(count):
        id, data = one(number)
        path = dump.path_of(folder, id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        config = {"model": "s2lif", "data": "mosi", "lr": 7e-5, "epochs": 160, "batch_size": 16, "seed": number}
        entries.append(Entry(id, config, {"seed": number}, path, hashlib.sha256(data).hexdigest(), len(data)))
    return entries


def ours(entries: list[Entry], folder: Path) -> None:
    outcome = collect(entries, folder, name="bench", expected=len(entries), to={"hdf5", "csv"})
    assert (outcome.rows, outcome.damaged) == (len(entries), [])


def naive(entries: list[Entry], folder: Path) -> None:
    """Open, read, create: what h5py's own pages show. No checksum, no table, no safe replacing."""
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "naive.h5", "w") as out:
        for entry in entries:
            with h5py.File(entry.path, "r") as source:
                group = out.create_group(entry.id)
                for key, value in source["point"].attrs.items():
                    group.attrs[key] = value
                for key, dataset in source["point"].items():
                    group.create_dataset(key, data=dataset[()], compression=dataset.compression, fletcher32=True)


def best(run: Callable[[list[Entry], Path], None], entries: list[Entry], folder: Path, rounds: int) -> float:
    """The most files a second in a few rounds: other users of the machine only ever make it slower."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run(entries, folder)
        seconds.append(time.perf_counter() - begin)
    return len(entries) / min(seconds)


def figures(folder: Path, count: int = FILES) -> str:
    entries = make(folder / "dumps", count)
    size = sum(entry.size or 0 for entry in entries) / count
    slow = best(naive, entries, folder / "naive", 2)
    fast = best(ours, entries, folder / "results", ROUNDS)
    return (
        f"collect {count:,} dumps of {size / 1000:.1f} kB: {fast:,.0f} files/s with every check; "
        f"a plain h5py loop {slow:,.0f} files/s ({fast / slow:.1f} times as many)"
    )


@pytest.mark.bench
def test_collect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = figures(tmp_path)
    with capsys.disabled():
        print(line)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        print(figures(Path(temporary)))
