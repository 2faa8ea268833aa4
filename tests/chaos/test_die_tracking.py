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
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import dying, ground
from chaos.dying import Outcome
from hpc_sweep import gather, tracking_sql
from hpc_sweep.project import Project

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
        keys = dict(database.execute("SELECT run_uuid, value FROM tags WHERE key IN ('hpc_sweep.point', 'hpc_sweep.key')"))
        runs: Runs = {}
        for run, *about in database.execute(active).fetchall():
            held: dict[str, Any] = {"about": about}
            for table in ("params", "metrics", "latest_metrics", "tags"):
                rows = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run,)).fetchall()  # noqa: S608
                held[table] = sorted(str([keys.get(cell, cell) for cell in row]) for row in rows)
            files = [p for p in (root / "mlartifacts").rglob("*") if p.is_file() and run in p.parts]
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


@pytest.mark.parametrize(("how", "least", "step"), [("before", 120, 1), ("half", 2, 1), ("ENOSPC", 120, 7)])
def test_it_dies_at_any_statement(how: str, least: int, step: int, template: Path, undisturbed: Runs) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        track_again(root, undisturbed)

    dying.every(template, track, check, how=how, least=least, step=step)
