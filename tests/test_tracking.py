"""Runs go into MLflow once, whole, and again after anything that dies: a database, a server, a program."""

from __future__ import annotations

import http.client
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc_sweep import files, ledger, tracking, tracking_client, tracking_live, tracking_run, tracking_sql
from hpc_sweep.errors import InputError, SurroundingsError
from hpc_sweep.tracking import Run, Tally, TrackingError, point_key, track

START, END = 1_790_000_000_000, 1_790_000_100_000
PARENT = Run("uid", "sweep", {}, {}, {}, {"about": "a question"}, None, "whole", START, END)

PROGRAM = f"""
import sys
from hpc_sweep.tracking import Run, track

uri, count, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def run(number):
    history = {{"loss": [(step, step / 7) for step in range(steps)]}}
    return Run(f"uid/p{{number}}", f"p{{number}}", {{}}, {{}}, history, {{}}, None, str(number), {START}, {END})

parent = Run("uid", "sweep", {{}}, {{}}, {{}}, {{}}, None, "whole", {START}, {END})
track(map(run, range(count)), count, uri=uri, experiment="sweep", parent=parent)
"""


def a_run(number: int, steps: int = 4, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "key": point_key("uid", f"p{number}"),
        "name": f"p{number}",
        "params": {"lr": 1e-4, "seed": number, "net": {"depth": 3, "kinds": ["a", "b"]}, "on": True},
        "metrics": {"test/mae": 0.5 + number, "none": None},
        "history": {"loss": [(step, 1.0 / (step + number + 1)) for step in range(steps)]},
        "tags": {"mlflow.source.git.commit": "4f2c1aa", "hpc_sweep.host": "n1"},
        "artifact": None,
        "sha256": f"sha-{number}",
        "start_ms": START,
        "end_ms": END,
    }
    return Run(**(fields | changes))


def put(runs: list[Run], uri: str, experiment: str = "sweep", **more: Any) -> Tally:
    return track(runs, len(runs), uri=uri, experiment=experiment, parent=PARENT, **more)


def client(uri: str) -> Any:
    tracking_client.quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def stored(uri: str, experiment: str = "sweep") -> dict[str, Any]:
    """The runs that MLflow has, by the key of their point; fails if one is there twice."""
    asked = client(uri)
    found = asked.get_experiment_by_name(experiment)
    runs = [r for r in asked.search_runs([found.experiment_id]) if tracking_run.POINT_TAG in r.data.tags]
    keys = [r.data.tags[tracking_run.POINT_TAG] for r in runs]
    assert len(keys) == len(set(keys))
    return dict(zip(keys, runs, strict=True))


def history(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in client(uri).get_metric_history(run_id, name))


def everything(uri: str, experiment: str = "sweep") -> dict[str, Any]:
    """All that a reader can see of the runs but their ids and places, so that two stores can be compared."""
    seen = {}
    for key, run in stored(uri, experiment).items():
        tags = {k: v for k, v in run.data.tags.items() if k != tracking_run.PARENT_TAG}
        rows = {
            name: sorted(
                (m.step, repr(m.value), m.timestamp) for m in client(uri).get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }
        latest = {name: repr(value) for name, value in run.data.metrics.items()}
        times = run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.info.user_id
        listed = sorted(f.path for f in client(uri).list_artifacts(run.info.run_id))
        seen[key] = (times, run.data.params, tags, rows, latest, listed)
    return seen


# ---------------------------------------------------------------- places


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    connection = tracking_sql.connect(path)
    assert connection is not None
    connection.close()
    return path


@pytest.fixture
def database(fresh_database: Path, tmp_path: Path) -> str:
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="session", autouse=True)
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real `mlflow server`; started first, so that it comes up while other tests run."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True
        )
    yield f"http://127.0.0.1:{port}", process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def server(server_process: tuple[str, subprocess.Popen[bytes]]) -> str:
    uri, process = server_process
    deadline = time.monotonic() + 60
    while not tracking_client.answers(uri):
        assert process.poll() is None and time.monotonic() < deadline, "mlflow server did not start"
        time.sleep(0.2)
    return uri


@pytest.fixture(params=["database", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Between:
    """Stands before the real server and lets `decide(number, path, body)` answer, die ("die"), or pass on (None)."""

    def __init__(self, target: str, decide: Callable[[int, str, bytes], tuple[int, bytes] | str | None]) -> None:
        self.count = 0
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                between.count += self.path != "/health"
                answer = decide(between.count, self.path, body)
                if answer == "die":
                    between.server.socket.close()
                    self.close_connection = True
                    return
                status, data = answer if isinstance(answer, tuple) else self.passed_on(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def passed_on(self, body: bytes) -> tuple[int, bytes]:
                with closing(http.client.HTTPConnection(target.removeprefix("http://"), timeout=30)) as real:
                    real.request(self.command, self.path, body, {"Content-Type": self.headers["Content-Type"] or ""})
                    answer = real.getresponse()
                    return answer.status, answer.read()

            do_GET = do_POST = do_PUT = do_PATCH = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        try:
            self.server.serve_forever(0.05)
        except (OSError, ValueError):
            pass  # the socket was closed under it: that is how it dies

    def __enter__(self) -> Between:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.server.shutdown()
        self.server.server_close()


# ---------------------------------------------------------------- what MLflow has afterwards


def test_a_run_arrives_with_all_that_it_has(uri: str, experiment: str, tmp_path: Path) -> None:
    dump = tmp_path / "p1.h5"
    dump.write_bytes(b"dump")
    steps = []
    tally = put([a_run(1, artifact=dump), a_run(2)], uri, experiment, progress=steps.append)
    assert tally == Tally(new=2, updated=0, unchanged=0, of=2)
    assert steps[-1] == 2

    run = stored(uri, experiment)["uid/p1"]
    assert run.data.params == {
        "lr": "0.0001",
        "seed": "1",
        "net.depth": "3",
        "net.kinds": '["a","b"]',
        "on": "true",
    }
    assert run.data.metrics == {"loss": pytest.approx(1 / 5), "test/mae": 1.5}
    assert history(uri, run.info.run_id, "loss") == [(s, 1 / (s + 2)) for s in range(4)]
    assert (run.info.run_name, run.info.status) == ("p1", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (START, END)
    assert run.data.tags["hpc_sweep.host"] == "n1"
    assert run.data.tags["mlflow.source.git.commit"] == "4f2c1aa"
    place = client(uri).download_artifacts(run.info.run_id, "p1.h5", str(tmp_path))
    assert Path(place).read_bytes() == b"dump"

    parent = client(uri).get_run(run.data.tags["mlflow.parentRunId"])
    assert (parent.info.run_name, parent.info.status) == ("sweep", "FINISHED")
    assert parent.data.tags["about"] == "a question"
    assert tracking_run.POINT_TAG not in parent.data.tags


def test_the_metric_times_lie_within_the_run(database: str) -> None:
    put([a_run(1, history={"loss": [(10, 1.0), (20, 0.5), (30, 0.25)]})], database)
    run = stored(database)["uid/p1"]
    times = [m.timestamp for m in client(database).get_metric_history(run.info.run_id, "loss")]
    assert times == [START, (START + END) // 2, END]


def test_a_result_named_like_a_history_does_not_mix_with_it(database: str) -> None:
    put([a_run(1, metrics={"loss": 0.125, "mae": 0.5}, history={"loss": [(0, 1.0), (9, 0.25)]})], database)
    run = stored(database)["uid/p1"]
    assert run.data.metrics == {"loss": 0.25, "final/loss": 0.125, "mae": 0.5}
    assert history(database, run.info.run_id, "loss") == [(0, 1.0), (9, 0.25)]


def awkward_runs() -> list[Run]:
    wild = {"loss": [(0, math.nan), (1, math.inf), (2, -math.inf), (2, 0.0), (2, 0.0), (3, math.nan)]}
    return [
        a_run(1, history=wild, metrics={"mae": math.nan, "r": None}),
        a_run(2, steps=2500, history={n: [(s, s / 7) for s in range(625)] for n in ("a", "b/c", "d.e", "f-g")}),
        a_run(3, params={f"p{i}": i for i in range(250)}),
        a_run(4, params={"long": "ä" * 6001, "just": "x" * 6000, "empty": "", "none": None}),
        a_run(5, history={}, metrics={}, params={}, tags={f"t{i}": "y" * 9000 for i in range(45)}),
        a_run(6, history={"unordered": [(5, 1.0), (1, 2.0), (3, 3.0)]}, start_ms=END, end_ms=START),
    ]


def test_rows_put_in_directly_read_back_like_those_of_log_batch(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = f"sqlite:///{tmp_path}/other/mlflow.db"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "other")
    assert put(awkward_runs(), database).new == 6
    monkeypatch.setattr(tracking_sql, "KNOWN_SCHEMAS", set())  # so that MLflow's client has to do it
    assert put(awkward_runs(), other).new == 6

    directly, by_client = everything(database), everything(other)
    assert directly == by_client
    assert directly["uid/p1"][4] == {"loss": "nan", "mae": "nan"}
    assert directly["uid/p2"][4] == {n: repr(624 / 7) for n in ("a", "b/c", "d.e", "f-g")} | {"test/mae": "2.5"}
    assert len(directly["uid/p3"][1]) == 250
    for table in ("metrics", "latest_metrics", "params", "tags", "runs", "experiments", "experiment_tags"):
        assert columns(tmp_path / "mlflow.db", table) == columns(tmp_path / "other" / "mlflow.db", table), table


def columns(path: Path, table: str) -> list[Any]:
    """Every row of a table, without the ids and places, which differ."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        own = {"run_uuid", "artifact_uri", "artifact_location", "creation_time", "last_update_time"}
        rows = [
            {k: v for k, v in dict(row).items() if k not in own} for row in connection.execute(f"SELECT * FROM {table}")
        ]
    return sorted(repr(row) for row in rows if row.get("key") != tracking_run.PARENT_TAG)


def test_the_limits_of_a_server_are_kept(server: str, experiment: str) -> None:
    runs = awkward_runs()
    assert put(runs, server, experiment).new == len(runs)
    seen = stored(server, experiment)
    assert len(seen["uid/p3"].data.params) == 250
    assert len(history(server, seen["uid/p2"].info.run_id, "b/c")) == 625
    long = seen["uid/p4"]
    assert long.data.params["long"] == "6,001 characters, in the artifact params/long.txt"
    assert long.data.params["just"] == "x" * 6000
    assert client(server).list_artifacts(long.info.run_id, "params")[0].path == "params/long.txt"
    assert len(seen["uid/p5"].data.tags["t0"]) == 8000
    assert math.isnan(seen["uid/p1"].data.metrics["mae"])


def test_the_schema_that_is_known_is_the_installed_one() -> None:
    tracking_client.quiet_mlflow()
    from mlflow.store.db.utils import _get_latest_schema_revision

    assert _get_latest_schema_revision() in tracking_sql.KNOWN_SCHEMAS, (
        "compare MLflow's tables runs, tags, params, metrics, latest_metrics, experiments before adding it"
    )


# ---------------------------------------------------------------- again


def test_a_second_time_nothing_is_added_and_a_bigger_sweep_adds_what_is_new(uri: str, experiment: str) -> None:
    put([a_run(1), a_run(2)], uri, experiment)
    before = everything(uri, experiment)
    assert put([a_run(1), a_run(2)], uri, experiment) == Tally(0, 0, 2, 2)
    assert everything(uri, experiment) == before
    assert put([a_run(1), a_run(2), a_run(3)], uri, experiment) == Tally(1, 0, 2, 3)
    assert len(stored(uri, experiment)) == 3


def test_the_history_of_a_tracked_run_is_not_read_again(database: str) -> None:
    class Unread(dict):  # type: ignore[type-arg]
        def values(self) -> Any:
            raise AssertionError("read")

    put([a_run(1)], database)
    put([a_run(1, history=Unread())], database)


def test_runs_are_drawn_as_they_are_written(database: str) -> None:
    there = []

    def drawn() -> Iterator[Run]:
        for number in range(120):
            if number == 119:
                there.append(len(stored(database)))
            yield a_run(number)

    track(drawn(), 120, uri=database, experiment="sweep", parent=PARENT)
    assert there == [100]


def test_other_tags_complete_the_run_and_other_numbers_replace_it(uri: str, experiment: str) -> None:
    put([a_run(1), a_run(2)], uri, experiment)
    before = stored(uri, experiment)
    client(uri).set_tag(before["uid/p1"].info.run_id, "mine", "kept")
    told = a_run(1, sha256="b", name="renamed", tags={"hpc_sweep.host": "n2"})
    other = a_run(2, sha256="b", history={"loss": [(0, 9.0)]})
    assert put([told, other], uri, experiment) == Tally(0, 2, 0, 2)

    after = stored(uri, experiment)
    assert after["uid/p1"].info.run_id == before["uid/p1"].info.run_id
    assert after["uid/p1"].info.run_name == "renamed"
    assert after["uid/p1"].data.tags["hpc_sweep.host"] == "n2"
    assert after["uid/p1"].data.tags["mine"] == "kept"
    assert len(history(uri, after["uid/p1"].info.run_id, "loss")) == 4
    assert history(uri, after["uid/p2"].info.run_id, "loss") == [(0, 9.0)]
    old = client(uri).get_run(before["uid/p2"].info.run_id)
    assert old.info.lifecycle_stage == "deleted"  # in the trash, where it can be had back
    assert put([told, other], uri, experiment) == Tally(0, 0, 2, 2)


def test_a_run_that_was_replaced_can_be_replaced_again(database: str) -> None:
    for sha in "abc":
        put([a_run(1, sha256=sha, history={"loss": [(0, float(ord(sha)))]})], database)
    assert stored(database)["uid/p1"].data.metrics["loss"] == ord("c")


def test_a_run_that_died_half_way_is_completed(uri: str, experiment: str) -> None:
    whole = a_run(1)
    put([whole], uri, experiment)
    wanted = everything(uri, experiment)
    asked = client(uri)
    run_id = stored(uri, experiment)["uid/p1"].info.run_id
    asked.delete_tag(run_id, tracking_run.FINGERPRINT_TAG)
    assert put([whole], uri, experiment) == Tally(0, 1, 0, 1)
    assert everything(uri, experiment) == wanted

    asked.delete_run(run_id)  # and one of which only the beginning arrived
    number = asked.get_experiment_by_name(experiment).experiment_id
    half = asked.create_run(number, START, {tracking_run.POINT_TAG: "uid/p1"}, "half").info.run_id
    asked.log_metric(half, "loss", 1 / 3, START, 1)
    asked.log_param(half, "seed", "1")
    assert put([whole], uri, experiment) == Tally(0, 1, 0, 1)
    assert stored(uri, experiment)["uid/p1"].info.run_id == half
    assert history(uri, half, "loss") == [(s, 1 / (s + 2)) for s in range(4)]


def test_what_a_killed_writer_left_among_the_artifacts_goes(database: str, tmp_path: Path) -> None:
    dump = tmp_path / "p1.h5"
    dump.write_bytes(b"dump")
    put([a_run(1, artifact=dump)], database)
    run = stored(database)["uid/p1"]
    (Path(run.info.artifact_uri) / f"{files.TEMPORARY}p1.h5-1-abc").write_bytes(b"du")
    client(database).delete_tag(run.info.run_id, tracking_run.FINGERPRINT_TAG)
    put([a_run(1, artifact=dump)], database)
    assert os.listdir(run.info.artifact_uri) == ["p1.h5"]


def test_a_run_that_was_deleted_by_hand_comes_back(database: str) -> None:
    put([a_run(1)], database)
    client(database).delete_run(stored(database)["uid/p1"].info.run_id)
    assert put([a_run(1)], database) == Tally(1, 0, 0, 1)
    assert len(stored(database)) == 1


def test_runs_whose_parent_was_deleted_by_hand_get_the_new_one(uri: str, experiment: str) -> None:
    put([a_run(1)], uri, experiment)
    before = stored(uri, experiment)["uid/p1"]
    client(uri).delete_run(before.data.tags["mlflow.parentRunId"])
    assert put([a_run(1)], uri, experiment) == Tally(0, 1, 0, 1)
    after = stored(uri, experiment)["uid/p1"]
    parent = client(uri).get_run(after.data.tags["mlflow.parentRunId"])
    assert (after.info.run_id, parent.info.lifecycle_stage) == (before.info.run_id, "active")
    assert put([a_run(1)], uri, experiment) == Tally(0, 0, 1, 1)


def test_two_runs_of_one_point_become_one(uri: str, experiment: str) -> None:
    put([a_run(1)], uri, experiment)
    whole = stored(uri, experiment)["uid/p1"].info.run_id
    number = client(uri).get_experiment_by_name(experiment).experiment_id
    client(uri).create_run(number, START, {tracking_run.POINT_TAG: "uid/p1"})
    assert put([a_run(1)], uri, experiment) == Tally(0, 0, 1, 1)
    assert stored(uri, experiment)["uid/p1"].info.run_id == whole


def test_what_fails_in_the_middle_leaves_whole_runs_and_is_continued(database: str) -> None:
    runs = [a_run(n) for n in range(60)]

    def dying() -> Iterator[Run]:
        yield from runs[:57]
        raise RuntimeError("a dump cannot be read")

    with pytest.raises(RuntimeError):
        track(dying(), 60, uri=database, experiment="sweep", parent=PARENT)
    assert len(stored(database)) == 50
    assert put(runs, database) == Tally(10, 0, 50, 60)


def test_killed_at_any_instant_it_is_finished_afterwards(database: str) -> None:
    command = [sys.executable, "-c", PROGRAM, database, "300", "300"]
    for delay in (0.0, 0.1, 0.3):
        process = subprocess.Popen(command)
        while process.poll() is None and rows_of(database) == 0:
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
        process.wait()
        assert rows_of(database) % 300 == 0  # whole runs only
    subprocess.run(command, check=True)
    assert rows_of(database) == 300 * 300
    assert len(stored(database)) == 300


def rows_of(database: str) -> int:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


def test_programs_may_start_together_on_a_database_that_is_not_there(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/new/mlflow.db"
    command = [sys.executable, "-c", PROGRAM, database, "20", "5"]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    assert [(p.communicate()[0], p.returncode) for p in several] == [(b"", 0)] * 2
    assert len(stored(database)) == 20
    assert rows_of(database) == 20 * 5
    assert os.listdir(tmp_path / "new") == ["mlflow.db"]


# ---------------------------------------------------------------- names and addresses


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a/.", "../x", "acc@1", "a%b", "ä", "a\n", "", "1a", "a" * 251])
def test_a_name_that_mlflow_does_not_take_is_said_and_the_others_go_on(name: str, database: str) -> None:
    with pytest.raises(TrackingError, match="no name like") as caught:
        put([a_run(1), a_run(2, metrics={name: 1.0}), a_run(3)], database)
    assert caught.value.tally == Tally(2, 0, 0, 3)
    assert "p2" in caught.value.message and caught.value.exit_code == 3
    assert sorted(stored(database)) == ["uid/p1", "uid/p3"]


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_/.-]{0,99}", fullmatch=True))
@example("a/b.c-d")
def test_every_name_of_ours_is_one_that_mlflow_takes(name: str) -> None:
    tracking_client.quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_metric_name

    try:
        _validate_metric_name(name)
        taken = True
    except MlflowException:
        taken = False
    assert tracking_run.is_name(name) == taken


def test_a_dump_that_is_gone_costs_its_run_only(database: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="gone.h5 is gone") as caught:
        put([a_run(1, artifact=tmp_path / "gone.h5"), a_run(2)], database)
    assert caught.value.tracked == 1


def test_where_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert tracking.default_uri(tmp_path) == "http://there:5000"


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "http://localhost", "http://[::1]:5000", "https://x.org"])
def test_an_address_that_nobody_can_listen_to_needs_no_warning(address: str) -> None:
    assert tracking.plain_http_warning(address) is None


def test_a_plain_address_elsewhere_is_warned_of_without_its_password() -> None:
    warning = tracking.plain_http_warning("http://lea:secret@tracking.lab:5000")
    assert warning is not None and "tracking.lab" in warning and "secret" not in warning
    assert "\n" not in warning


def test_live_tracking_wants_a_server_and_no_password() -> None:
    assert tracking.live_uri("https://tracking.lab") == "https://tracking.lab"
    with pytest.raises(InputError, match="needs a server"):
        tracking.live_uri("sqlite:///mlflow.db")
    with pytest.raises(InputError, match="password") as caught:
        tracking.live_uri("https://lea:secret@tracking.lab")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("folder", ["mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_refused(folder: str) -> None:
    with pytest.raises(InputError, match="folder"):
        put([a_run(1)], folder)


def test_a_deleted_experiment_is_said(uri: str, experiment: str) -> None:
    put([a_run(1)], uri, experiment)
    number = client(uri).get_experiment_by_name(experiment).experiment_id
    client(uri).delete_experiment(number)
    with pytest.raises(TrackingError, match="was deleted in MLflow") as caught:
        put([a_run(1)], uri, experiment)
    assert f"restore --experiment-id {number}" in (caught.value.hint or "")


def test_without_mlflow_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SurroundingsError, match="cannot be imported") as caught:
        tracking_client.quiet_mlflow()
    assert "pip install" in (caught.value.hint or "")


# ---------------------------------------------------------------- a database that does not do its part


def test_a_locked_database_is_said(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put([a_run(1)], database)
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout, **more: real(path, timeout=0.1, **more))
    with closing(real(database.removeprefix("sqlite:///"), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="database is locked") as caught:
            put([a_run(1), a_run(2)], database)
    assert "another program is writing" in (caught.value.hint or "")
    assert put([a_run(1), a_run(2)], database) == Tally(1, 0, 1, 2)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"something else altogether" * 100)
    with pytest.raises(TrackingError, match="file is not a database"):
        put([a_run(1)], f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_of_another_mlflow_is_said(database: str) -> None:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '71994744cf8e'")
    with pytest.raises(TrackingError, match="out-of-date database schema") as caught:
        put([a_run(1)], database)
    assert f"mlflow db upgrade {database}" in (caught.value.hint or "")


def test_a_full_disk_leaves_whole_runs(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = tmp_path / "p.h5"
    dump.write_bytes(b"dump")
    put([a_run(1)], database)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(TrackingError, match="ENOSPC") as caught:
            put([a_run(1), a_run(2, artifact=dump)], database)
    assert caught.value.tally == Tally(0, 0, 1, 2)
    assert "free some space" in (caught.value.hint or "") and "2nd run" in (caught.value.hint or "")
    assert put([a_run(1), a_run(2, artifact=dump)], database) == Tally(1, 0, 1, 2)


# ---------------------------------------------------------------- a server that does not do its part


def test_a_dead_port_is_said_soon(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(TrackingError, match=f"{address} does not answer") as caught:
        put([a_run(1)], address)
    assert time.monotonic() - began < 5
    assert caught.value.exit_code == 3 and caught.value.tracked == 0


def test_a_server_that_takes_calls_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_client, "_PROBE_SECONDS", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match="does not answer"):
            put([a_run(1)], address)


@pytest.mark.parametrize("calls", [7, 15])
def test_a_server_that_dies_loses_nothing(calls: int, server: str, experiment: str) -> None:
    runs = [a_run(n) for n in range(1, 6)]
    with (
        Between(server, lambda count, path, body: "die" if count > calls else None) as between,
        pytest.raises(TrackingError, match="stopped answering") as caught,
    ):
        put(runs, between.uri, experiment)
    tracked = caught.value.tracked
    assert tracked < 5
    if tracked:
        assert f"stopped answering after {tracked} of 5 runs" in caught.value.message
    assert ("continues at the" if tracked else "tries again") in (caught.value.hint or "")

    rest = put(runs, server, experiment)
    assert rest.unchanged == tracked and rest.tracked == 5
    for run in stored(server, experiment).values():
        assert len(history(server, run.info.run_id, "loss")) == 4


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_that_refuses_one_run_gets_the_others(status: int, server: str, experiment: str) -> None:
    said = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "not this one"}).encode()

    def decide(count: int, path: str, body: bytes) -> tuple[int, bytes] | None:
        return (status, said) if b"sha-2" in body else None

    with (
        Between(server, decide) as between,
        pytest.raises(TrackingError, match="has 2 of 3 runs, not p2") as caught,
    ):
        put([a_run(n) for n in (1, 2, 3)], between.uri, experiment)
    assert caught.value.tally == Tally(2, 0, 0, 3)
    assert ("not this one" if status == 400 else "the server answered 500") in caught.value.message
    assert put([a_run(n) for n in (1, 2, 3)], server, experiment) == Tally(0, 1, 2, 3)


def test_a_server_that_refuses_every_run_is_not_asked_a_thousand_times(server: str, experiment: str) -> None:
    said = json.dumps({"error_code": "PERMISSION_DENIED", "message": "you may only read"}).encode()
    asked = []

    def decide(count: int, path: str, body: bytes) -> tuple[int, bytes] | None:
        if path.endswith("runs/create") and b"hpc_sweep.point" in body:
            asked.append(path)
            return 403, said
        return None

    with Between(server, decide) as between, pytest.raises(TrackingError, match="in a row .*only read"):
        put([a_run(n) for n in range(1000)], between.uri, experiment)
    assert len(asked) == 5


def test_a_server_that_lets_nobody_in_is_said_with_its_address(server: str, experiment: str) -> None:
    said = json.dumps({"error_code": "UNAUTHENTICATED", "message": "who are you"}).encode()
    for part in ("experiments", "runs"):
        with (
            Between(server, lambda count, path, body, part=part: (401, said) if part in path else None) as between,
            pytest.raises(TrackingError, match=f"{between.uri}: .*who are you") as caught,
        ):
            put([a_run(1)], between.uri, experiment)
        assert caught.value.tracked == 0


def test_nothing_is_printed(server: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, server, "1", "5"]
    done = subprocess.run(command, capture_output=True)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_a_password_in_an_address_stays_unsaid() -> None:
    with pytest.raises(TrackingError, match="does not answer") as caught:
        put([a_run(1)], f"http://lea:secret@127.0.0.1:{free_port()}")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


# ---------------------------------------------------------------- live


class Attempt:
    """An attempt's file, as the worker writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("start", pid=os.getpid())

    def write(self, event: str, **fields: Any) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")

    def log(self, steps: range, point: str = "p1", number: int = 1) -> None:
        for step in steps:
            self.write("log", point=point, step=step, loss=1.0 / (step + number + 1))


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "000-0-0.jsonl")


def following(attempt: Attempt, uri: str, experiment: str, period: float = 0.05) -> threading.Thread:
    def follow() -> None:
        tracking_live.follow(attempt.path, uri=uri, experiment=experiment, key_prefix="uid", period=period)

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def eventually(what: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return value


def numbers_of(uri: str, experiment: str, name: str = "loss") -> list[tuple[int, float]]:
    if client(uri).get_experiment_by_name(experiment) is None:
        return []
    run = stored(uri, experiment).get("uid/p1")
    return history(uri, run.info.run_id, name) if run else []


def test_numbers_come_while_the_run_goes_on_and_collect_meets_the_same_run(
    server: str, experiment: str, attempt: Attempt
) -> None:
    thread = following(attempt, server, experiment)
    attempt.write("begin", point="p1")
    attempt.log(range(2))
    assert eventually(lambda: numbers_of(server, experiment)) == [(0, 1 / 2), (1, 1 / 3)]
    live = stored(server, experiment)["uid/p1"]
    assert live.info.status == "RUNNING"
    attempt.write("progress", point="p1", done=1, total=4)
    attempt.log(range(2, 3))
    attempt.write("done", point="p1")
    attempt.write("end", why="finished")
    thread.join(15)
    assert not thread.is_alive()
    assert stored(server, experiment)["uid/p1"].info.status == "FINISHED"

    assert put([a_run(1)], server, experiment) == Tally(0, 1, 0, 1)
    run = stored(server, experiment)["uid/p1"]
    assert run.info.run_id == live.info.run_id
    assert history(server, run.info.run_id, "loss") == [(s, 1 / (s + 2)) for s in range(4)]
    assert run.data.metrics["loss"] == pytest.approx(1 / 5)
    assert run.data.tags["mlflow.parentRunId"]
    assert set(everything(server, experiment)["uid/p1"][1]) == {"lr", "seed", "net.depth", "net.kinds", "on"}


def test_a_second_attempt_goes_on_in_the_same_run(server: str, experiment: str, tmp_path: Path) -> None:
    for number, steps in enumerate((range(3), range(1, 4))):
        attempt = Attempt(tmp_path / f"000-0-{number}.jsonl")
        thread = following(attempt, server, experiment)
        attempt.log(steps)
        if number == 0:
            attempt.write("failed", point="p1", kind="oom", words="no memory")
        eventually(lambda steps=steps: (steps[-1], 1 / (steps[-1] + 2)) in numbers_of(server, experiment))
        if number == 0:
            eventually(lambda: stored(server, experiment)["uid/p1"].info.status == "FAILED")
        attempt.write("end", why="finished")
        thread.join(15)
    assert numbers_of(server, experiment) == [(s, 1 / (s + 2)) for s in range(4)]
    assert stored(server, experiment)["uid/p1"].info.status == "RUNNING"


def test_live_numbers_that_the_dump_does_not_have_are_put_aside(server: str, experiment: str, attempt: Attempt) -> None:
    thread = following(attempt, server, experiment)
    attempt.log(range(2), number=7)
    eventually(lambda: numbers_of(server, experiment))
    attempt.write("end", why="finished")
    thread.join(15)
    assert put([a_run(1)], server, experiment) == Tally(0, 1, 0, 1)
    assert numbers_of(server, experiment) == [(s, 1 / (s + 2)) for s in range(4)]


def test_a_whole_run_is_left_alone(server: str, experiment: str, attempt: Attempt) -> None:
    put([a_run(1)], server, experiment)
    before = everything(server, experiment)
    thread = following(attempt, server, experiment)
    attempt.log(range(20, 25))
    attempt.log(range(1), point="p2")
    eventually(lambda: "uid/p2" in stored(server, experiment))
    attempt.write("end", why="finished")
    thread.join(15)
    assert everything(server, experiment)["uid/p1"] == before["uid/p1"]


def test_a_torn_line_and_odd_fields_do_no_harm(server: str, experiment: str, attempt: Attempt) -> None:
    thread = following(attempt, server, experiment)
    with open(attempt.path, "a") as file:
        file.write('{"event":"log","point":"p1","step":0,"loss":1.5,"bad name":1,"a//b":2,"text":"x","yes":true}\n')
        file.write('not json\n{"event":"log","point":"p1","st')
    assert eventually(lambda: numbers_of(server, experiment)) == [(0, 1.5)]
    with open(attempt.path, "a") as file:
        file.write('ep":1,"loss":1.25}\n{"event":"log","step":3,"loss":9}\n')
    eventually(lambda: numbers_of(server, experiment) == [(0, 1.5), (1, 1.25)])
    attempt.write("end", why="finished")
    thread.join(15)
    assert set(stored(server, experiment)["uid/p1"].data.metrics) == {"loss"}


def test_it_gives_up_when_the_server_fails_and_says_nothing(
    attempt: Attempt, experiment: str, capfd: pytest.CaptureFixture[str]
) -> None:
    thread = following(attempt, f"http://127.0.0.1:{free_port()}", experiment)
    attempt.write("begin", point="p1")
    thread.join(40)
    assert not thread.is_alive()
    assert capfd.readouterr() == ("", "")


def live_command(attempt: Attempt, uri: str, experiment: str = "live") -> list[str]:
    return [sys.executable, "-P", "-m", "hpc_sweep.tracking", str(attempt.path), uri, experiment, "uid"]


def test_the_process_beside_the_worker_tells_the_parameters_too(server: str, experiment: str, tmp_path: Path) -> None:
    whole = a_run(1)
    ledger.Sweep(tmp_path / "sweep").write_version(0, {}, [ledger.Point(0, "p1", dict(whole.params), {})])
    (tmp_path / "sweep" / "attempts").mkdir()
    attempt = Attempt(tmp_path / "sweep" / "attempts" / "000-0-0.jsonl")
    process = subprocess.Popen(live_command(attempt, server, experiment))
    attempt.log(range(2))
    eventually(lambda: numbers_of(server, experiment))
    live = stored(server, experiment)["uid/p1"]
    attempt.write("end", why="finished")
    assert process.wait(20) == 0

    assert live.data.params["net.kinds"] == '["a","b"]'
    assert put([whole], server, experiment) == Tally(0, 1, 0, 1)
    run = stored(server, experiment)["uid/p1"]
    assert (run.info.run_id, run.data.params) == (live.info.run_id, live.data.params)


def test_it_ends_soon_after_the_attempt_though_the_server_hangs(attempt: Attempt) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(live_command(attempt, address), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        attempt.log(range(3))
        silent.settimeout(30)
        connection, _ = silent.accept()  # it has begun to send
        attempt.write("end", why="finished")
        began = time.monotonic()
        assert process.communicate(timeout=20)[0] == b""
        assert process.returncode == 0
        assert time.monotonic() - began < 8
        connection.close()


def test_it_does_not_wait_for_a_server_that_stops_answering(server: str, experiment: str, attempt: Attempt) -> None:
    released = threading.Event()

    def decide(count: int, path: str, body: bytes) -> str | None:
        if b'"step": 1' in body:
            released.wait(30)
            return "die"
        return None

    with Between(server, decide) as between:
        thread = following(attempt, between.uri, experiment)
        attempt.log(range(1))
        eventually(lambda: numbers_of(server, experiment))
        attempt.log(range(1, 2))
        attempt.write("end", why="finished")
        began = time.monotonic()
        thread.join(15)
        assert time.monotonic() - began < 5
        released.set()


def test_it_dies_with_its_parent_and_survives_a_warning(attempt: Attempt, tmp_path: Path) -> None:
    command = live_command(attempt, f"http://127.0.0.1:{free_port()}")
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import subprocess, sys, time\n"
        "process = subprocess.Popen(sys.argv[1:])\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, worker, *command], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    eventually(lambda: ignores(child, signal.SIGUSR2))
    os.kill(child, signal.SIGUSR2)
    time.sleep(0.3)
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not alive(child), seconds=5)


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
