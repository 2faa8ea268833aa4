"""Whether `collect --to mlflow` would find MLflow and a store that takes runs. It never imports MLflow."""

from __future__ import annotations

import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from hpc_sweep import tracking
from hpc_sweep.doctor_case import Case, Finding, note, ok, problem
from hpc_sweep.doctor_host import at_least, installed
from hpc_sweep.tracking_client import without_secret

FLOOR = "3.10"
_PATIENCE = 3.0
_INSTALL = "pip install 'hpc-sweep[mlflow]'"


def tracking_store(case: Case) -> Iterator[Finding]:
    """MLflow's version, and the store that runs would go to."""
    version = installed("mlflow") or installed("mlflow-skinny")
    if version is None:
        yield note("not installed; `collect --to mlflow` needs it", _INSTALL)
        return
    if not at_least(version, FLOOR):
        hole = "lets strangers read files of its server (CVE-2026-2614)"
        yield problem(f"{version} {hole}; {FLOOR} or newer is wanted", f"{_INSTALL} --upgrade")
    uri = tracking.default_uri(case.project.root)
    try:
        urlsplit(uri)
    except ValueError as error:
        yield problem(f"`{without_secret(uri)}` is no address: {error}", "mend MLFLOW_TRACKING_URI")
        return
    warning = tracking.plain_http_warning(uri)
    if warning:
        yield note(warning, "use its https address, or reach it through `ssh -L`")
    yield from _store(uri, version)


def _store(uri: str, version: str) -> Iterator[Finding]:
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        yield _server(uri, version)
    elif uri.startswith("sqlite:///"):
        yield _sqlite(Path(uri.removeprefix("sqlite:///").partition("?")[0]), version)
    elif scheme in ("", "file"):
        yield problem(
            f"`{uri}` (MLFLOW_TRACKING_URI) is a folder, and MLflow no longer writes to folders",
            "export MLFLOW_TRACKING_URI=sqlite:////path/to/mlflow.db",
        )
    else:
        yield note(f"{version}; {scheme} is tried only when runs are collected")


def _server(uri: str, version: str) -> Finding:
    shown = without_secret(uri)
    try:
        urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return problem(f"{shown} answers with error {error.code}", "look at the server's log")
    except (OSError, ValueError) as error:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):  # MLflow may trust more than this look does
            why = getattr(error, "reason", error)
            return problem(f"{shown} does not answer: {why}", "check MLFLOW_TRACKING_URI, and that the server runs")
    return ok(f"{shown} answers, {version}")


def _sqlite(path: Path, version: str) -> Finding:
    elsewhere = "mend its mode, or export MLFLOW_TRACKING_URI=sqlite:////another/folder/mlflow.db"
    if not path.parent.is_dir():
        return problem(f"{path.parent}, the folder of the database, is not there", f"mkdir -p {path.parent}")
    if not path.exists():
        if os.access(path.parent, os.W_OK):
            return ok(f"sqlite, made by the first `collect --to mlflow`, {version}")
        return problem(f"{path.parent}, the folder of the database, cannot be written", elsewhere)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=1)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return note(f"{path} is in use by another program", "wait for it, then collect")
        return problem(f"{path} cannot be written: {error}", elsewhere)
    except sqlite3.DatabaseError as error:
        return problem(f"{path} is not a database: {error}", "put it aside; the next collect makes a new one")
    return ok(f"sqlite, writable, {version}")
