"""The job that writes synthetic data: whole or not at all, kept when it is the same, refused when it is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data.synthetic_files import RELEASE, world_for
from affect.data.synthetic_kinds import KINDS
from affect.errors import DataError
from hpc_sweep import grid, job

ROOT = Path(__file__).parents[2]
JOB = job.load("synthesize", ROOT / "jobs")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders are relative to where the job runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**values: Any) -> job.Result:
    config = JOB.check({"dataset": "mosi", "scale": 0.001, **values})
    context = job.Context(
        seed=0, scratch=Path("scratch"), resources={}, send=lambda event, **_: None, stop_asked=lambda: False
    )
    result: job.Result = JOB.module.run(config, context)
    return result


def same(one: job.Result, other: job.Result) -> bool:
    arrays = set(one.arrays) == set(other.arrays)
    return (
        arrays
        and one.metrics == other.metrics
        and all(np.array_equal(one.arrays[k], other.arrays[k]) for k in one.arrays)
    )


def test_it_writes_the_release_and_the_truth_and_says_what_is_in_it(project: Path) -> None:
    result = run()
    folder = project / "data" / "synthetic" / "mosi"
    assert sorted(p.name for p in folder.iterdir()) == [RELEASE, "settings.json", "truth.json", "truth.npz"]
    assert [p.name for p in folder.parent.iterdir()] == ["mosi"]  # nothing temporary is left
    assert result.metrics["train/samples"] == 24 and result.metrics["test/negative"] == 12
    assert result.metrics["bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert "seconds" not in result.metrics and all(job.METRIC_NAME.match(name) for name in result.metrics)
    assert np.array_equal(result.arrays["text_invariant"], world_for("mosi").columns("text").invariant)
    assert result.arrays["scores"].shape == (72,)


def test_a_dataset_of_the_same_settings_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run()
    path = project / "data/synthetic/mosi" / RELEASE / "aligned_50.pkl"
    before = path.stat().st_mtime_ns
    second = run()
    assert same(first, second) and path.stat().st_mtime_ns == before
    assert "was made with the same settings, and is kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "data/synthetic/mosi was made with seed 0, not 1: remove it, or give another `folder`"),
        ({"scale": 0.002}, "scale 0.001, not 0.002"),
        ({"strength": 2.0}, "strength 1.0, not 2.0"),
    ],
)
def test_other_settings_are_refused(project: Path, change: dict[str, Any], words: str) -> None:
    run()
    before = (project / "data/synthetic/mosi/truth.json").read_bytes()
    with pytest.raises(DataError, match=re.escape(words)):
        run(**change)
    assert (project / "data/synthetic/mosi/truth.json").read_bytes() == before
    run(**change, folder="data/elsewhere")


@pytest.mark.parametrize("content", [None, "no json", "[1]"])
def test_a_folder_of_something_else_is_refused(project: Path, content: str | None) -> None:
    folder = project / "data/synthetic/mosi"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "settings.json").write_text(content)
    with pytest.raises(DataError, match="data/synthetic/mosi (is no synthetic dataset|was made with)"):
        run()


def test_a_run_that_fails_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("affect.data.synthetic_files.write_truth", fail)  # most is written by then
        with pytest.raises(OSError, match="No space"):
            run()
    assert list((project / "data/synthetic").iterdir()) == []
    run()


def test_of_two_runs_at_once_the_slower_takes_what_the_faster_made(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run()
    real = JOB.module.write_dataset
    (project / "data/synthetic/mosi").rename(project / "ready")

    def late(*given: Any) -> None:
        real(*given)
        (project / "ready").rename(project / "data/synthetic/mosi")

    monkeypatch.setattr(JOB.module, "write_dataset", late)
    assert same(first, run())
    assert [p.name for p in (project / "data/synthetic").iterdir()] == ["mosi"]


@pytest.mark.parametrize(
    "values",
    [
        {"dataset": "iemocap"}, {"scale": 0.0}, {"scale": 1.5}, {"seed": -1}, {"strength": 4.0},
        {"folder": "/somewhere"}, {"folder": "../out"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_runs(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="dataset|scale|seed|strength|folder"):
        JOB.check({"dataset": "mosi", **values})


def test_the_grid_makes_all_five_at_demo_scale() -> None:
    points = grid.load(ROOT / "configs" / "grids" / "synthesize.yaml", ROOT / "jobs").points
    assert {point.config["dataset"] for point in points} == set(KINDS)
    assert {point.config["scale"] for point in points} == {0.015}


def test_settings_are_readable(project: Path) -> None:
    run(seed=3)
    found = json.loads((project / "data/synthetic/mosi/settings.json").read_text())
    assert found == {"form": 1, "dataset": "mosi", "scale": 0.001, "seed": 3, "strength": 1.0}
