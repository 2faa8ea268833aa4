"""From synthetic files of foreign forms to features, as a user would: three sweeps on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affect.data import container, store

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).with_name("hpc-sweep"))
GRIDS = ("synthesize", "import_synthetic", "extract_synthetic")

pytestmark = pytest.mark.xdist_group("chain")


def submit(folder: Path, grid: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MLFLOW_"))}
    return subprocess.run(
        [PROGRAM, "submit", f"configs/grids/{grid}.yaml", "--cluster", "local", "--yes", "--wait"],
        cwd=folder, env={**kept, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain") / "project"
    for part in ("jobs", "slurm"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "configs" / "grids").mkdir(parents=True)
    for grid in GRIDS:
        text = (ROOT / "configs" / "grids" / f"{grid}.yaml").read_text()
        (folder / "configs" / "grids" / f"{grid}.yaml").write_text(text.replace("scale: 0.015", "scale: 0.002"))
        done = submit(folder, grid)
        logs = "\n".join(p.read_text() for p in (folder / "sweeps" / grid / "logs").glob("*.out"))
        assert done.returncode == 0, done.stdout + done.stderr + logs
    return folder


@pytest.mark.parametrize("name", ["mosi", "mosei", "meld", "csmv", "videoemotion8"])
def test_every_dataset_is_there_and_whole(name: str, project: Path) -> None:
    found = store.open_dataset(project / "data" / "sets" / f"{name}.h5")
    found.verify()
    assert found.name == name and len(found) > 40 and found.about["dropped"] == [] and found.about["sources"]
    assert set(found.labels["polarity"].values.tolist()) == ({0, 2} if name == "videoemotion8" else {0, 1, 2})
    assert found.text is not None and all(found.text.texts())
    if name in ("mosi", "mosei", "meld"):
        assert found.frames["faces"].lengths.min() > 0 and found.about["frames"]["faces"]["width"] == 512


def test_features_stand_beside_the_datasets_they_are_of(project: Path) -> None:
    files = {path.name.rpartition("-")[0]: path for path in (project / "data" / "features").glob("*.h5")}
    assert sorted(files) == [
        "meld-faces", "meld-log_mel", "meld-tiny_mosi_mosei_meld", "mosei-tiny_mosi_mosei_meld",
        "mosi-tiny_mosi_mosei_meld", "videoemotion8-faces", "videoemotion8-log_mel",
    ]  # fmt: skip
    for name, path in files.items():
        features = container.read(path, "features").ragged("features")
        assert len(features) == len(store.open_dataset(project / "data" / "sets" / f"{name.split('-')[0]}.h5"))
        assert features.values.dtype == np.float16 and features.lengths.min() > 0, name
        assert features.values.shape[1] == {"faces": 512, "log_mel": 128}.get(name.split("-")[1], 32)


def test_one_vocabulary_serves_all_three_domains(project: Path) -> None:
    folders = [p for p in (project / "data" / "features").iterdir() if p.is_dir()]
    assert [p.name for p in folders] == ["tiny-mosi-mosei-meld"]


def test_doing_it_again_does_nothing(project: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (project / "data").rglob("*")}
    for grid in GRIDS:
        assert "nothing to submit" in submit(project, grid).stdout
    assert {p: p.stat().st_mtime_ns for p in (project / "data").rglob("*")} == before
