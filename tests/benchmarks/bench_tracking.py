"""Runs a second into MLflow's SQLite store, at 1,000 metric points a run: ours beside what a user would write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hpc_sweep import tracking_sql
from hpc_sweep.tracking import Run, track
from hpc_sweep.tracking_client import quiet_mlflow

NAMES, STEPS = tuple(f"metric{n}" for n in range(10)), 100
START, END = 1_790_000_000_000, 1_790_000_100_000


def value(number: int, step: int) -> float:
    return 1.0 / (number + step + 1)


def fluent(folder: Path, runs: int) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("sweep")
    for number in range(runs):
        with mlflow.start_run(run_name=f"p{number}"):
            mlflow.log_params({"lr": 1e-4, "seed": number})
            for step in range(STEPS):
                mlflow.log_metrics({name: value(number, step) for name in NAMES}, step=step)


def log_batch(folder: Path, runs: int) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("sweep")
    for number in range(runs):
        run_id = client.create_run(experiment, run_name=f"p{number}").info.run_id
        metrics = [Metric(n, value(number, s), START + s, s) for s in range(STEPS) for n in NAMES]
        client.log_batch(run_id, metrics, [Param("lr", "0.0001"), Param("seed", str(number))])
        client.set_terminated(run_id)


def ours(folder: Path, runs: int) -> None:
    def run(number: int) -> Run:
        history = {name: [(step, value(number, step)) for step in range(STEPS)] for name in NAMES}
        params = {"lr": 1e-4, "seed": number}
        return Run(f"uid/p{number}", f"p{number}", params, {}, history, {}, None, str(number), START, END)

    parent = Run("uid", "sweep", {}, {}, {}, {}, None, "whole", START, END)
    uri = f"sqlite:///{folder}/mlflow.db"
    tally = track((run(n) for n in range(runs)), runs, uri=uri, experiment="sweep", parent=parent)
    assert tally.new == runs


def runs_a_second(way: Callable[[Path, int], None], fresh: Path, folder: Path, runs: int) -> float:
    """Every way gets a database of its own, made before, and has MLflow imported already."""
    folder.mkdir()
    shutil.copy(fresh, folder / "mlflow.db")
    began = time.perf_counter()
    way(folder, runs)
    speed = runs / (time.perf_counter() - began)
    with closing(tracking_sql.connect(folder / "mlflow.db")) as connection:  # type: ignore[type-var]
        rows = connection.execute("SELECT count(*) FROM metrics").fetchone()[0]
    assert rows == runs * STEPS * len(NAMES)
    return speed


@pytest.mark.bench
def test_runs_a_second(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet_mlflow()
    fresh = tmp_path / "mlflow.db"
    connection = tracking_sql.connect(fresh)
    assert connection is not None
    connection.close()
    ways = {"fluent": (fluent, 10), "log_batch": (log_batch, 30), "ours": (ours, 300)}
    speeds = {name: runs_a_second(way, fresh, tmp_path / name, runs) for name, (way, runs) in ways.items()}
    with capsys.disabled():
        print(f"\nruns a second into SQLite, {STEPS * len(NAMES):,} points each")
        for name, speed in speeds.items():
            print(f"  {name:10} {speed:7.1f}   {speed / speeds['fluent']:6.1f} x the fluent API")
