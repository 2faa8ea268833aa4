"""MLflow's version, and every kind of store that runs could go to."""

from __future__ import annotations

import http.server
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctoring import case, found
from hpc_sweep import doctor_mlflow
from hpc_sweep.doctor_mlflow import tracking_store


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    versions = {"mlflow": "3.17.2"}
    monkeypatch.setattr(doctor_mlflow, "installed", versions.get)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return versions


def look(folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str | None = None) -> list[tuple[str, str, str]]:
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return found(tracking_store, case(folder))


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, int]]]:
    """An address, and the status with which it answers."""
    says = {"status": 200}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(says["status"])
            self.end_headers()

        def log_message(self, *given: object) -> None:
            """Quiet."""

    listening = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", says
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_the_default_before_the_first_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(mark, sentence, _)] = look(tmp_path, monkeypatch)
    assert mark == "ok" and "made by the first" in sentence and "3.17.2" in sentence
    assert not (tmp_path / "project" / "mlflow.db").exists()


def test_a_database_that_takes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a folder" / "my 100% runs.db"
    path.parent.mkdir()
    sqlite3.connect(path).execute("CREATE TABLE runs (id)").connection.close()
    before = path.read_bytes()
    assert look(tmp_path, monkeypatch, f"sqlite:///{path}") == [("ok", "sqlite, writable, 3.17.2", "")]
    assert path.read_bytes() == before


def test_a_database_that_somebody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, f"sqlite:///{path}")
    holder.close()
    assert mark == "note" and "in use by another program" in sentence


def test_a_file_that_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    path.write_text("somebody's notes " * 100)
    [(mark, sentence, fix)] = look(tmp_path, monkeypatch, f"sqlite:///{path}")
    assert mark == "problem" and "is not a database" in sentence and "put it aside" in fix


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(mark, sentence, fix)] = look(tmp_path, monkeypatch, f"sqlite:///{tmp_path}/nowhere/runs.db")
    assert mark == "problem" and "is not there" in sentence and fix == f"mkdir -p {tmp_path}/nowhere"


def test_a_database_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "closed" / "runs.db"
    path.mkdir(parents=True)  # root may write anything but a folder
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, f"sqlite:///{path}")
    assert mark == "problem" and "cannot be written" in sentence
    monkeypatch.setattr(doctor_mlflow.os, "access", lambda *given: False)
    [(mark, sentence, _)] = look(tmp_path / "b", monkeypatch, f"sqlite:///{tmp_path}/new.db")
    assert mark == "problem" and "cannot be written" in sentence


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    [(mark, sentence, fix)] = look(tmp_path, monkeypatch, uri)
    assert mark == "problem" and "no longer writes to folders" in sentence and "sqlite:///" in fix


@pytest.mark.parametrize("status", [200, 401, 404])
def test_a_server_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, dict[str, int]], status: int
) -> None:
    server[1]["status"] = status
    assert look(tmp_path, monkeypatch, server[0]) == [("ok", f"{server[0]} answers, 3.17.2", "")]


def test_a_server_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, dict[str, int]]
) -> None:
    server[1]["status"] = 503
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, server[0])
    assert mark == "problem" and "error 503" in sentence


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, "http://127.0.0.1:9")
    assert mark == "problem" and sentence.startswith("http://127.0.0.1:9 does not answer: ")


def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_mlflow, "_PATIENCE", 0.2)
    with http.server.socketserver.TCPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent:
        began = time.monotonic()
        [(mark, sentence, _)] = look(tmp_path, monkeypatch, f"http://127.0.0.1:{silent.server_address[1]}")
    assert mark == "problem" and "timed out" in sentence and time.monotonic() - began < 2


def test_a_password_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = look(tmp_path, monkeypatch, "http://lea:geheim@127.0.0.1:9")
    assert "geheim" not in str(shown)


def test_plain_http_across_the_net_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_mlflow, "_server", lambda uri, version: doctor_mlflow.ok("answers"))
    first, second = look(tmp_path, monkeypatch, "http://mlflow.example.org")
    assert first[0] == "note" and "not encrypted" in first[1] and second[0] == "ok"
    assert len(look(tmp_path / "b", monkeypatch, "https://mlflow.example.org")) == 1


def test_other_stores_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, "postgresql://db/mlflow")
    assert mark == "note" and "postgresql" in sentence


def test_no_address_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [(mark, sentence, _)] = look(tmp_path, monkeypatch, "http://[nonsense")
    assert mark == "problem" and "is no address" in sentence


def test_without_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    installed.clear()
    [(mark, _, fix)] = look(tmp_path, monkeypatch)
    assert mark == "note" and fix == "pip install 'hpc-sweep[mlflow]'"


def test_an_old_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    installed["mlflow"] = "3.9.0"
    first, second = look(tmp_path, monkeypatch)
    assert first[0] == "problem" and "CVE-2026-2614" in first[1] and "--upgrade" in first[2]
    assert second[0] == "ok"


def test_mlflow_itself_is_not_imported() -> None:
    code = "import hpc_sweep.doctor, sys; print([m for m in ('mlflow', 'torch', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
