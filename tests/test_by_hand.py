"""A job is a script, too: its options are its settings, and a point of a sweep can be run again under a debugger."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import build
from hpc_sweep import by_hand
from hpc_sweep import job as jobs
from hpc_sweep.ledger import Sweep

JOB = '''"""Train something.

More words.
"""

from dataclasses import field
from enum import Enum
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpc_sweep.job import Config as Base, Result


class Inner(Base):
    lr: float = 0.1


class Config(Base):
    order: Literal["t->v", "v->t"]
    epochs: Annotated[int, Field(ge=1, description="how long")] = 3
    layers: tuple[int, ...] = (1, 2)
    frozen: bool = False
    name: str = "x"
    inner: Inner = Inner()
    more: Annotated[dict[str, int], Field(description="what else")] = field(default_factory=dict)


def run(config, ctx):
    assert ctx.resume() is None and ctx.seed == 0 and ctx.rank == 0
    ctx.log(1, loss=0.5, none=None)
    ctx.checkpoint(1, lambda folder: None)
    ctx.log(2, loss=0.25)
    ctx.progress(2, 3)
    numbers = {"loss": np.float32(0.25), "epochs": config.epochs, "absent": None, "layers": sum(config.layers)}
    return Result({**numbers, "lr": config.inner.lr, "frozen": config.frozen}, {"b": np.zeros(2), "a": np.zeros(1)})
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "train.py").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    before = signal.getsignal(signal.SIGUSR2)
    yield tmp_path
    signal.signal(signal.SIGUSR2, before)


def run(folder: Path, *words: str) -> Result:
    command = by_hand._command(jobs.load("train", folder / "jobs"))
    return CliRunner().invoke(command, list(words))


def metrics(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["metrics"]
    return found


def script(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/selftest.py", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


# as people type it


def test_the_self_test_by_hand() -> None:
    done = script(build.ROOT, "--steps", "5", "--rate", "0.2", "--model", "large")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document["metrics"]) == {"loss", "accuracy"}
    assert document["arrays"] == ["predictions"]
    assert done.stderr.startswith("log  step 0  loss ")


def test_a_point_of_a_sweep_by_hand(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    shutil.copy(build.ROOT / "jobs" / "selftest.py", tmp_path / "jobs")
    points = build.points(2, steps=4, rate=0.3)
    sweep = build.sweep(tmp_path, points)
    before = sorted(tmp_path.rglob("*"))
    done = script(tmp_path, "--point", f"trial/{points[1].id[:6]}")
    assert done.returncode == 0, done.stderr
    asked = script(tmp_path, "--steps", "4", "--rate", "0.3", "--seed", "1")
    assert json.loads(done.stdout) == json.loads(asked.stdout)
    changed = script(tmp_path, "--point", points[1].id, "--seed", "0")
    assert json.loads(changed.stdout) == json.loads(script(tmp_path, "--point", points[0].id).stdout)
    assert sorted(p for p in tmp_path.rglob("*") if "__pycache__" not in p.parts) == before
    assert not sweep.dumps.exists()


# options


def test_options_are_the_settings(folder: Path) -> None:
    found = metrics(run(folder, "--order", "t->v", "--epochs", "5", "--layers", "[3, 4]", "--frozen", "true"))
    assert found == {"loss": 0.25, "epochs": 5.0, "absent": None, "layers": 7.0, "lr": 0.1, "frozen": 1.0}
    assert metrics(run(folder, "--order", "v->t", "--inner", '{"lr": 1}'))["lr"] == 1.0


def test_the_result_and_the_talk_go_apart(folder: Path) -> None:
    result = run(folder, "--order", "t->v")
    assert json.loads(result.stdout)["arrays"] == ["a", "b"]
    assert result.stderr.splitlines()[0] == "log  step 1  loss 0.5"
    assert result.stderr.splitlines()[-1] == "log  step 2  loss 0.25  progress 2 of 3"


def test_help_says_what_there_is(folder: Path) -> None:
    text = run(folder, "--help").output
    assert "Train something." in text
    assert "More words" not in text
    for words in (
        "--order",
        "[required]",
        "--epochs",
        "how long [3]",
        "what else [{}]",
        "--layers",
        "--point SWEEP/ID",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "order"),
        (["--order", "sideways"], "'t->v' or 'v->t'"),
        (["--order", "t->v", "--epochs", "0"], "--epochs: Input should be greater than or equal to 1"),
        (["--order", "t->v", "--epochs", "many"], "valid integer"),
        (["--order", "t->v", "--epochs", "1.5"], "valid integer"),
        (["--order", "t->v", "--frozen", "1"], "valid boolean"),
        (["--order", "t->v", "--inner", '{"lr": 1, "x": 2}'], "--inner.x: Unexpected"),
        (["--order", "t->v", "--inner", '{"lr": NaN}'], "lr"),
        (["--colour", "red"], "No such option"),
    ],
)
def test_a_wrong_setting_is_a_sentence(words: list[str], said: str, folder: Path) -> None:
    result = run(folder, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


# points


@pytest.fixture
def sweep(folder: Path) -> Sweep:
    return build.sweep(folder, build.points(40))


def test_points_that_are_not_there_are_said(sweep: Sweep, folder: Path) -> None:
    assert "40 points of trial begin with ``" in run(folder, "--point", "trial/").output
    assert "0 points of trial begin with `zz`" in run(folder, "--point", "zz").output
    assert "there is no sweep `other`" in run(folder, "--point", "other/3fa9").output


def test_a_point_of_another_job_is_refused(sweep: Sweep, folder: Path) -> None:
    result = run(folder, "--point", sweep.points()[0].id)
    assert result.exit_code == 2
    assert "--steps: Unexpected" in result.output


def test_lists_of_a_point_are_what_the_job_wants(folder: Path) -> None:
    config = {"order": "t->v", "epochs": 2, "layers": [5, 6], "frozen": True, "name": "1", "inner": {"lr": 0.5}}
    point = build.points(1)[0]
    build.sweep(folder, [type(point)(0, "3fa9c1d20b77", config, {"seed": 0})])
    found = metrics(run(folder, "--point", "trial/3fa9"))
    assert (found["layers"], found["lr"], found["frozen"]) == (11.0, 0.5, 1.0)


# stopping


def test_a_run_that_is_asked_to_stop_ends_with_a_code_of_its_own(folder: Path) -> None:
    stop = f"    import os, signal; os.kill({os.getpid()}, signal.SIGUSR2)\n"
    text = JOB.replace("    ctx.checkpoint(1", stop + "    ctx.checkpoint(1")
    (folder / "jobs" / "train.py").write_text(text)
    importlib.invalidate_caches()
    result = run(folder, "--order", "t->v")
    assert result.exit_code == 75
    assert result.stdout == ""
    assert "checkpoint  step 1" in result.stderr


def test_an_error_of_the_job_is_its_own(folder: Path) -> None:
    (folder / "jobs" / "train.py").write_text(
        JOB.replace("    ctx.log(1", "    raise KeyError('labels')\n    ctx.log(1")
    )
    importlib.invalidate_caches()
    result = run(folder, "--order", "t->v")
    assert isinstance(result.exception, KeyError)  # for a debugger
