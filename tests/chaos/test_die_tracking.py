"""Tracking dies at any statement, at any byte that SQLite writes, between any two calls: done again, nothing is twice."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import dying, ground
from chaos.dying import Outcome
from hpc_sweep import gather, tracking_client, tracking_sql
from hpc_sweep.project import Project
from hpc_sweep.tracking_run import POINT_TAG, SWEEP_TAG

Runs = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two points, collected; a database of MLflow's in which no experiment of ours is."""
    root = ground.project(tmp_path_factory.mktemp("tracking") / "p")
    for act in (partial(ground.submit_locally, root, ground.runner, "--limit", "2"), partial(collect, root)):
        assert dying.well(act, folder=root) == 0
    dying.well(lambda: tracking_sql._create(root / "mlflow.db"), folder=root)  # MLflow is loaded in the child only
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> Runs:
    root = dying.copy(template, "undisturbed")
    assert dying.well(lambda: track(root), folder=root) == [2, 0, 0]
    return tracked(root)


def collect(root: Path) -> int:
    return ground.command(root, "collect")


def track(root: Path, uri: str = "") -> list[int]:
    """What `collect --to mlflow` does after it has collected: how many runs were new, updated, unchanged."""
    os.chdir(root)
    sqlite3.connect = partial(sqlite3.connect, factory=_Connection)  # type: ignore[assignment]
    gathered = gather.collect(Project(root), ground.sweep(root), ())
    tally = gather.track(gathered, uri or f"sqlite:///{root}/mlflow.db")
    return [tally.new, tally.updated, tally.unchanged]


class _Connection(sqlite3.Connection):
    """Counts statements, and the rows of one that writes many."""

    def execute(self, sql: str, *values: Any) -> Any:
        return dying.operation("sql", super().execute, sql, *values)

    def executemany(self, sql: str, rows: Any) -> Any:
        return dying.operation("sql", super().executemany, sql, self._counted(rows))

    def _counted(self, rows: Any) -> Iterator[Any]:
        for row in rows:
            dying.operation("row", lambda: None)
            yield row


def tracked(root: Path) -> Runs:
    """What MLflow has: a run by its key, with all that it holds."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        active = "SELECT run_uuid, name, status, start_time, end_time FROM runs WHERE lifecycle_stage = 'active'"
        ours = "SELECT run_uuid, value FROM tags WHERE key IN (?, ?)"
        keys = dict(database.execute(ours, (POINT_TAG, SWEEP_TAG)))
        runs: Runs = {}
        for run, *about in database.execute(active).fetchall():
            held: dict[str, Any] = {"about": about}
            for table in ("params", "metrics", "latest_metrics", "tags"):
                rows = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run,)).fetchall()  # noqa: S608
                held[table] = sorted(str([keys.get(cell, cell) for cell in row]) for row in rows)
            files = [p for p in root.glob("ml*/**/*") if p.is_file() and run in p.parts]
            held["files"] = sorted((p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files)
            assert keys[run] not in runs, "there are two runs of one point"
            runs[keys[run]] = held
    return runs


def whole_or_absent(root: Path, undisturbed: Runs) -> None:
    """A run that is there is complete: each is written in one transaction."""
    for key, run in tracked(root).items():
        assert {**run, "files": []} == {**undisturbed[key], "files": []}


def track_again(root: Path, undisturbed: Runs) -> None:
    whole_or_absent(root, undisturbed)
    dying.well(lambda: track(root), folder=root)
    assert tracked(root) == undisturbed
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (3,)  # none in the trash either
    assert dying.well(lambda: track(root), folder=root) == [0, 0, 2]


FILES = ("sql", "open", "write", "fsync", "replace", "mkdir", "unlink")


@pytest.mark.parametrize(
    ("how", "only", "least", "step"), [("before", FILES, 55, 1), ("before", ("row",), 60, 7), ("half", ("",), 2, 1)]
)
def test_it_dies_at_any_statement(
    how: str, only: tuple[str, ...], least: int, step: int, template: Path, undisturbed: Runs
) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.status == -9
        track_again(root, undisturbed)

    dying.every(template, track, check, how=how, least=least, step=step, only=only)


def collect_to_mlflow(root: Path) -> int:
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return ground.command(root, "collect", "--to", "mlflow")


def test_a_full_disk_is_told_of(template: Path, undisturbed: Runs) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        ground.refused(outcome, "ENOSPC", root)
        track_again(root, undisturbed)

    dying.every(template, collect_to_mlflow, check, how="ENOSPC", least=30, step=4)


def limited(root: Path, size: int, action: signal.Handlers) -> list[int]:
    """Track, while no file can grow beyond a size: the write across it is cut short, the next one ends the process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, action)
    return track(root)


@pytest.mark.parametrize("action", [signal.SIG_DFL, signal.SIG_IGN])
def test_it_dies_at_any_byte_of_the_database(action: signal.Handlers, template: Path, undisturbed: Runs) -> None:
    """In the middle of SQLite's own writing: of the journal, of the pages, of a page. Ignored, it is a full disk."""
    sizes = (template / "mlflow.db").stat().st_size
    died = 0
    for size in range(2000, sizes + 200_000, 40_011 if action == signal.SIG_DFL else 70_011):
        root = dying.copy(template, f"size-{size}")
        outcome = dying.run(partial(limited, root, size, action), folder=root)
        died += outcome.value is None
        assert outcome.status == (-signal.SIGXFSZ if outcome.value is None and action == signal.SIG_DFL else 0)
        if outcome.error:
            assert "TrackingError: " in outcome.error
        track_again(root, undisturbed)
        shutil.rmtree(root)
    assert died > 5
    assert outcome.value == [2, 0, 0]


class _Made:
    """Makes the database that MLflow makes, in no time."""

    ready: Path

    def __init__(self, uri: str, artifacts: str) -> None:
        dying.operation("store", shutil.copyfile, self.ready, uri.removeprefix("sqlite:///"))
        self.engine = SimpleNamespace(dispose=lambda: None)


@pytest.mark.parametrize("how", ["before", "half", "ENOSPC", "EIO"])
def test_it_dies_while_the_database_is_made(how: str, template: Path, undisturbed: Runs) -> None:
    def make(root: Path) -> None:
        _Made.ready = template / "mlflow.db"
        sys.modules["mlflow.store.tracking.sqlalchemy_store"] = SimpleNamespace(SqlAlchemyStore=_Made)  # type: ignore[assignment]
        tracking_sql.told_by_mlflow = lambda place: nullcontext()  # type: ignore[assignment]
        with dying.uncounted():
            (root / "mlflow.db").unlink(missing_ok=True)
        tempfile.tempdir = str(root)
        connection = tracking_sql.connect(root / "mlflow.db")
        assert connection is not None
        connection.close()

    def check(root: Path, outcome: Outcome) -> None:
        if outcome.error:
            assert "DiskError: " in outcome.error
            assert f"({how})" in outcome.error
        if (root / "mlflow.db").exists():
            assert (root / "mlflow.db").read_bytes() == (template / "mlflow.db").read_bytes()
        dying.well(lambda: make(root), folder=root)
        track_again(root, undisturbed)

    dying.every(template, make, check, how=how, least=1 if how == "half" else 8)


def through_mlflow(root: Path) -> list[int]:
    """Track through MLflow's own client, as to a server: each of its calls is counted."""
    from mlflow import MlflowClient

    for name in ("create_experiment", "create_run", "log_batch", "log_artifact", "set_terminated", "delete_run"):
        setattr(MlflowClient, name, _call(getattr(MlflowClient, name)))
    return track(root, f"sqlite:///{root}/mlflow.db?timeout=20")


def _call(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(client: Any, *args: Any, **kwargs: Any) -> Any:
        return dying.operation("call", lambda: real(client, *args, **kwargs))

    return call


def test_it_dies_between_two_calls_of_mlflow(template: Path, tmp_path: Path) -> None:
    """What is not whole is completed, or goes to the trash and is made anew."""

    def check(root: Path, outcome: Outcome) -> None:
        dying.well(lambda: through_mlflow(root), folder=root)
        assert tracked(root) == tracked(calm)

    def family() -> None:
        tracking_client.quiet_mlflow()  # loaded once, and not in the process that runs all tests
        for module in ("mlflow.store.tracking.sqlalchemy_store", "mlflow.utils.name_utils", "alembic.command"):
            import_module(module)
        sys.modules["mlflow.store.db.utils"]._verify_schema = lambda engine: None  # type: ignore[attr-defined]  # 0.3 s
        dying.every(calm_before, through_mlflow, check, how="before", least=9, only=("call",))

    calm_before, calm = (shutil.copytree(template, tmp_path / name) for name in ("p", "calm"))
    assert dying.well(lambda: through_mlflow(calm), folder=calm) == [2, 0, 0]
    dying.well(family, folder=tmp_path)
