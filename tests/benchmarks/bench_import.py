"""How much memory and time the import of a large MMSA pickle takes, beside `pickle` and `np.savez` in a plain loop.

make bench        (or: pytest -s -m bench tests/benchmarks/bench_import.py)

The file has the keys, shapes and types of MOSEI's `aligned_50.pkl`, but 4,000 of its 22,856 samples: 0.79 GB of 4.5.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from measure import best

import foreign_files
from affect.data import importing, store

COUNTS = {"train": 2_858, "valid": 327, "test": 815}
GB = 1e9
WANTED = 1.3  # times the file's size, besides what the interpreter and its libraries take

MAKE = """
import sys, numpy as np
from pathlib import Path
import foreign_files
data = foreign_files.mmsa({counts})
for part in data.values():
    draw = np.random.default_rng(0)
    used = part["text_bert"][:, 1, :, None]
    part["audio"] = draw.normal(size=(len(used), 50, 74)) * used
    part["vision"] = draw.normal(size=(len(used), 50, 35)) * used
foreign_files.write(Path(sys.argv[1]), data)
"""

PLAIN = """
import sys, numpy as np
from pickle import load
from affect.data.importing import _peak
with open(sys.argv[1], "rb") as file:
    data = load(file)
for split, part in data.items():
    arrays = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in part.items() if v.dtype != object}
    np.savez(f"{sys.argv[2]}-{split}.npz", raw_text=part["raw_text"].astype(str), **arrays)
print(_peak())
"""


@pytest.mark.bench
def test_import(tmp_path: Path) -> None:
    source, tests = tmp_path / "aligned_50.pkl", Path(foreign_files.__file__).parent
    try:
        best(1, [sys.executable, "-c", MAKE.replace("{counts}", repr(COUNTS)), str(source)], cwd=tests)
        size = source.stat().st_size
        small = foreign_files.write(tmp_path / "small.pkl", foreign_files.mmsa(width=4))
        own = importing.run("mmsa", small, tmp_path / "small.h5").peak_gb
        ours = importing.run("mmsa", source, tmp_path / "mosei.h5")
        assert len(store.open_dataset(ours.path)) == sum(COUNTS.values())
        plain = best(1, [sys.executable, "-c", PLAIN, str(source), str(tmp_path / "plain")], cwd=tests)
        theirs = int(plain.output) / GB
        besides = (ours.peak_gb - own) / (size / GB)
        print(
            f"\nimport  {size / GB:.2f} GB, {sum(COUNTS.values()):,} samples of MOSEI's shapes: the child's peak "
            f"{ours.peak_gb:.2f} GB = {ours.peak_gb * GB / size:.2f} of the file; {own:.2f} GB is the interpreter's own, "
            f"{besides:.2f} without it; wanted {WANTED}\n"
            f"        {ours.seconds:.1f} s with every check, digests and {ours.path.stat().st_size / GB:.2f} GB written\n"
            f"        pickle and np.savez in a plain loop: {theirs:.2f} GB = {theirs * GB / size:.2f} of the file, "
            f"{plain.seconds:.1f} s, nothing checked"
        )
        assert besides < WANTED
    finally:
        shutil.rmtree(tmp_path)
