"""A laptop as a cluster: as many shards as there are slots, cards that nobody shares, and nothing that outlives it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import files, local, snapshot
from hpc_sweep.errors import DiskError
from hpc_sweep.ledger import Sweep

# A worker of which the test says when it ends, and with which code: `<array>-<task>` in the folder `go`.
WORKER = """#!/bin/sh
name="$7-$HPC_SWEEP_TASK"
trap 'echo "$name term" >> "$LAB/said"; exit 1' TERM
env > "$LAB/env-$name"
echo "$name begin $$" >> "$LAB/said"
while [ ! -e "$LAB/go/$name" ]; do sleep 0.01; done
echo "$name end" >> "$LAB/said"
exit "$(cat "$LAB/go/$name")"
"""

RUNNER = """
import sys
from pathlib import Path
from hpc_sweep import local
from hpc_sweep.ledger import Sweep
folder, at_once, descriptor, sys.executable = sys.argv[1:]
local.Runner(Sweep(Path(folder)), 0, int(at_once), int(descriptor)).run()
"""


class Lab:
    """A runner whose workers do what the test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "go").mkdir(parents=True)
        self.worker = folder / "worker"
        self.worker.write_text(WORKER)
        self.worker.chmod(0o755)
        self.points = build.points(8)
        self.sweep = build.sweep(folder, self.points)
        self.runner: subprocess.Popen[bytes] | None = None

    def claim(self, *arrays: int, **resources: Any) -> None:
        """Claim arrays of so many shards of one point; `gpus` names what the tasks of each array ask for."""
        points, shards = iter(self.points), []
        for count in arrays:
            shards.append([[next(points)] for _ in range(count)])
        build.claim(self.sweep, *shards, cluster="local", job=None)
        if resources:
            path = self.sweep.folder / "submissions" / "000.json"
            document = files.read_json(path)
            for k, array in enumerate(document["arrays"]):
                array["resources"] = {**array["resources"], **{n: v[k] for n, v in resources.items()}}
            path.write_bytes(files.json_bytes(document))

    def start(self, at_once: int, note: Path | None = None, **environment: str) -> None:
        """Start the runner as `local.start` does, with its lock."""
        path = note or local.path(self.sweep, 0)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        command = [sys.executable, "-P", "-c", RUNNER, str(self.sweep.folder), str(at_once), str(descriptor)]
        kept = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
        with (self.folder / "runner.log").open("wb") as log:
            self.runner = subprocess.Popen(
                [*command, str(self.worker)], pass_fds=[descriptor], stdout=log, stderr=log,
                env={**kept, "LAB": str(self.folder), **environment},
            )  # fmt: skip
        os.close(descriptor)

    def go(self, *names: str, code: int = 0) -> None:
        """Let workers end."""
        for name in names:
            partial = self.folder / f"go.{name}"
            partial.write_text(f"{code}\n")
            partial.rename(self.folder / "go" / name)

    def said(self, word: str | None = None) -> list[str]:
        """What the workers said: all lines, or who said this word."""
        path = self.folder / "said"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if word is None else [line.split()[0] for line in lines if line.split()[1] == word]

    def pids(self) -> dict[str, int]:
        return {line.split()[0]: int(line.split()[2]) for line in self.said() if line.split()[1] == "begin"}

    def environment(self, name: str) -> dict[str, str]:
        lines = (self.folder / f"env-{name}").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def wait(self) -> None:
        assert self.runner is not None
        assert self.runner.wait(30) == 0, (self.folder / "runner.log").read_text()

    def states(self) -> list[str]:
        return [t.state for t in local.tasks(self.sweep, self.sweep.submission(0))]

    def clear(self) -> None:
        """End what a failed test left."""
        if self.runner is not None and self.runner.poll() is None:
            self.runner.kill()
            self.runner.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab")
    yield made
    made.clear()


def soon(what: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


# slots


def test_no_more_shards_at_once_than_slots(lab: Lab) -> None:
    lab.claim(5)
    lab.start(at_once=2)
    soon(lambda: len(lab.said("begin")) == 2)
    assert lab.states() == ["PENDING"] * 5
    lab.go("0-0")
    soon(lambda: len(lab.said("begin")) == 3)
    lab.go("0-1", "0-2", "0-3", "0-4")
    lab.wait()
    running = most = 0
    for line in lab.said():
        running += {"begin": 1, "end": -1}[line.split()[1]]
        most = max(most, running)
    assert most == 2
    assert sorted(lab.said("end")) == [f"0-{k}" for k in range(5)]
    assert set(lab.said("begin")[:2]) == {"0-0", "0-1"}
    assert lab.states() == ["COMPLETED"] * 5


def test_tasks_count_anew_in_every_array(lab: Lab) -> None:
    lab.claim(2, 1)
    lab.start(at_once=3)
    lab.go("0-0", "0-1", "1-0")
    lab.wait()
    assert sorted(lab.said("end")) == ["0-0", "0-1", "1-0"]
    logs = sorted(p.name for p in lab.sweep.logs.iterdir())
    assert logs == ["local_000_0.out", "local_000_1.out", "local_000_2.out"]


def test_how_each_worker_ended_is_noted(lab: Lab) -> None:
    lab.claim(3)
    lab.start(at_once=3)
    soon(lambda: len(lab.pids()) == 3)
    lab.go("0-0")
    lab.go("0-1", code=3)
    os.kill(lab.pids()["0-2"], signal.SIGKILL)
    lab.wait()
    events, torn = files.read_events(local.path(lab.sweep, 0).read_bytes())
    assert torn == 0
    assert lab.runner is not None
    assert events[0] == {"event": "runner", "pid": lab.runner.pid}
    assert {e["shard"]: e["code"] for e in events[1:]} == {0: 0, 1: 3, 2: -9}
    assert lab.states() == ["COMPLETED", "FAILED", "FAILED"]
    assert {t.job for t in local.tasks(lab.sweep, lab.sweep.submission(0))} == {local.JOB}


def test_a_worker_knows_its_task_and_nothing_of_a_job_around_it(lab: Lab) -> None:
    lab.claim(2)
    lab.start(at_once=2, SLURM_JOB_ID="7", SLURM_PROCID="3", SUBMITIT_EXECUTOR="slurm", MINE="kept")
    lab.go("0-0", "0-1")
    lab.wait()
    for task in ("0", "1"):
        found = lab.environment(f"0-{task}")
        assert (found["HPC_SWEEP_TASK"], found["MINE"]) == (task, "kept")
        assert not [name for name in found if name.startswith(("SLURM_", "SUBMITIT_"))]
        assert "CUDA_VISIBLE_DEVICES" not in found


# cards


def cards(lab: Lab, name: str) -> set[str]:
    return set(lab.environment(name)["CUDA_VISIBLE_DEVICES"].split(","))


def test_each_slot_has_cards_of_its_own(lab: Lab) -> None:
    lab.claim(4, gpus=[2])
    lab.start(at_once=2, CUDA_VISIBLE_DEVICES="4,5,6,7")
    soon(lambda: len(lab.said("begin")) == 2)
    assert cards(lab, "0-0") | cards(lab, "0-1") == {"4", "5", "6", "7"}
    lab.go("0-1")
    soon(lambda: len(lab.said("begin")) == 3)
    assert cards(lab, "0-2") == cards(lab, "0-1")  # those that were given back
    lab.go("0-0", "0-2", "0-3")
    lab.wait()


def test_arrays_that_ask_for_more_cards_wait_for_them(lab: Lab) -> None:
    """Two arrays: tasks of one card, then a task of two. No card is given out twice, and none is left out."""
    lab.claim(2, 1, gpus=[1, 2])
    lab.start(at_once=2, CUDA_VISIBLE_DEVICES="0,1")
    soon(lambda: len(lab.said("begin")) == 2)
    assert sorted([cards(lab, "0-0"), cards(lab, "0-1")], key=str) == [{"0"}, {"1"}]
    lab.go("0-0")
    soon(lambda: lab.said("end") == ["0-0"] and lab.states()[0] == "COMPLETED")
    assert len(lab.said("begin")) == 2  # a slot is free, and one card: it needs two
    lab.go("0-1")
    soon(lambda: "1-0" in lab.said("begin"))
    assert cards(lab, "1-0") == {"0", "1"}
    lab.go("1-0")
    lab.wait()


def test_more_slots_than_cards_run_as_many_as_there_are_cards(lab: Lab) -> None:
    lab.claim(3, gpus=[1])
    lab.start(at_once=3, CUDA_VISIBLE_DEVICES="0,1")
    soon(lambda: len(lab.said("begin")) == 2)
    lab.go("0-0", "0-1", "0-2")
    lab.wait()
    assert {frozenset(cards(lab, f"0-{k}")) for k in range(3)} == {frozenset("0"), frozenset("1")}


def test_who_asks_for_more_cards_than_there_are_gets_all(lab: Lab) -> None:
    lab.claim(1, gpus=[4])
    lab.start(at_once=1, CUDA_VISIBLE_DEVICES="0,1")
    lab.go("0-0")
    lab.wait()
    assert cards(lab, "0-0") == {"0", "1"}


@pytest.mark.parametrize(("given", "threads"), [("", "2"), ("7", "7")])
def test_a_worker_has_as_many_threads_as_cores(given: str, threads: str, lab: Lab) -> None:
    lab.claim(1)
    lab.start(at_once=1, **({"OMP_NUM_THREADS": given} if given else {}))
    lab.go("0-0")
    lab.wait()
    assert lab.environment("0-0")["OMP_NUM_THREADS"] == threads


def test_without_cards_nothing_is_hidden_or_shown(lab: Lab) -> None:
    lab.claim(1, gpus=[1])
    lab.start(at_once=1, CUDA_VISIBLE_DEVICES="")
    lab.go("0-0")
    lab.wait()
    assert lab.environment("0-0")["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("visible", "found"),
    [("0,1", ["0", "1"]), ("", []), ("-1", []), ("0, 2", ["0", "2"]), ("3,-1,4", ["3"]), ("GPU-a,b", ["GPU-a", "b"])],
)
def test_cards_that_the_environment_names(visible: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local.gpus() == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo 'GPU 0: Tesla V100 (UUID: GPU-1)'; echo '  MIG 1g'; echo 'GPU 1: Tesla V100'", ["0", "1"]),
        ("echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9", []),
    ],
)
def test_cards_that_the_driver_names(
    text: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local.gpus() == found
    monkeypatch.setenv("PATH", "/nowhere")
    assert local.gpus() == []


@pytest.mark.parametrize(
    ("resources", "wanted", "visible", "cores", "expected"),
    [
        ({"cpus": 1}, None, "", 8, 8),
        ({"cpus": 3}, None, "", 8, 2),
        ({"cpus": 16}, None, "", 8, 1),
        ({"gpus": 1, "cpus": 1}, None, "0,1,2,3", 8, 4),
        ({"gpus": 2, "cpus": 1}, None, "0,1,2", 8, 1),
        ({"gpus": 8, "cpus": 1}, None, "0,1", 8, 1),
        ({"gpus": 1, "cpus": 2}, None, "", 8, 4),
        ({"gpus": 0, "cpus": None}, None, "0,1", 8, 8),
        ({"cpus": 4}, 5, "0", 8, 5),
    ],
)
def test_how_many_slots_a_machine_has(
    resources: dict[str, Any], wanted: int | None, visible: str, cores: int, expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert local.slots(resources, wanted) == expected


# life and death


def test_a_runner_is_alive_until_it_is_killed_and_its_workers_die_with_it(lab: Lab) -> None:
    lab.claim(3)
    assert not local.alive(lab.sweep, 0)
    lab.start(at_once=2)
    soon(lambda: len(lab.pids()) == 2)
    assert local.alive(lab.sweep, 0)
    assert local.alive(lab.sweep, 0)  # to look does not change it
    lab.go("0-0")
    soon(lambda: lab.states()[0] == "COMPLETED")
    assert lab.runner is not None
    lab.runner.kill()
    lab.runner.wait()
    soon(lambda: not local.alive(lab.sweep, 0))  # a worker just forked still holds the lock for a moment
    soon(lambda: all(ended(pid) for pid in lab.pids().values()))
    assert "term" not in " ".join(lab.said())
    found = local.tasks(lab.sweep, lab.sweep.submission(0))
    assert found[0].state == "COMPLETED"
    assert all(task.ended for task in found)
    assert {task.reason for task in found} == {"the runner has ended"}


def test_a_runner_that_is_asked_to_end_asks_its_workers_and_starts_no_other(lab: Lab) -> None:
    lab.claim(4)
    lab.start(at_once=2)
    soon(lambda: len(lab.pids()) == 2)
    local.cancel(lab.sweep, 0)
    lab.wait()
    assert sorted(lab.said("term")) == ["0-0", "0-1"]
    assert len(lab.said("begin")) == 2
    events, _ = files.read_events(local.path(lab.sweep, 0).read_bytes())
    assert {e["shard"]: e["code"] for e in events if e["event"] == "exit"} == {0: 1, 1: 1}
    local.cancel(lab.sweep, 0)  # it is over: nobody is killed who has its number now


def test_a_submission_that_never_had_a_runner(lab: Lab) -> None:
    lab.claim(2)
    local.cancel(lab.sweep, 0)
    assert not local.alive(lab.sweep, 0)
    assert all(task.ended for task in local.tasks(lab.sweep, lab.sweep.submission(0)))


def test_a_full_disk_does_not_end_the_workers(lab: Lab) -> None:
    lab.claim(3)
    lab.start(at_once=1, note=Path("/dev/full"))
    lab.go("0-0", "0-1", "0-2")
    lab.wait()
    assert sorted(lab.said("end")) == ["0-0", "0-1", "0-2"]


def test_a_worker_that_cannot_be_started_is_noted_and_the_others_run(lab: Lab) -> None:
    lab.claim(3)
    (lab.sweep.logs / "local_000_1.out").mkdir()
    lab.start(at_once=1)
    lab.go("0-0", "0-1", "0-2")
    lab.wait()
    assert lab.said("end") == ["0-0", "0-2"]
    assert lab.states() == ["COMPLETED", "FAILED", "COMPLETED"]
    assert "shard 1 was not started" in (lab.folder / "runner.log").read_text()


# the real thing


@pytest.fixture
def real(tmp_path: Path) -> Sweep:
    """A sweep of the self-test: two shards, the second of which takes for ever."""
    root = tmp_path / "project"
    (root / "jobs").mkdir(parents=True)
    shutil.copy(build.ROOT / "jobs" / "selftest.py", root / "jobs")
    code = snapshot.take(root)
    points = [*build.points(1, steps=2), *build.points(1, steps=100_000, step_seconds=0.01)]
    sweep = build.sweep(root, points)
    snapshot.write(code, sweep.code)
    build.claim(sweep, [[p] for p in points], cluster="local", job=None, code=code.fingerprint)
    return sweep


def test_from_start_to_cancel(real: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    quick, slow = (shard[0] for shard in real.submission(0).claim.shards)
    local.start(real, 0, 2, dict(os.environ))
    try:
        assert local.alive(real, 0)  # from the first moment on
        soon(lambda: said(real, 1, "log") and local.tasks(real, real.submission(0))[0].ended)
    finally:
        local.cancel(real, 0)
    soon(lambda: not local.alive(real, 0))
    assert real.dump_path(quick).exists()
    first, second = local.tasks(real, real.submission(0))
    assert (first.state, second.state) == ("COMPLETED", "FAILED")
    assert [e["event"] for a in real.attempts(0, 0) for e in a.events] == ["start", "begin", "done", "end"]
    assert [e["why"] for a in real.attempts(0, 1) for e in a.events if e["event"] == "end"] == ["cancelled"]
    assert list(real.scratch(slow).glob("step-*"))  # it saved where it was
    assert (real.logs / "runner-000.log").read_text() == ""


def said(sweep: Sweep, shard: int, event: str) -> bool:
    path = sweep.folder / "attempts" / f"000-{shard}-0.jsonl"
    return path.exists() and f'"event":"{event}"' in path.read_text()


def test_a_runner_that_cannot_be_started_is_said(real: Sweep) -> None:
    shutil.rmtree(real.logs)
    with pytest.raises(DiskError, match=r"runner-000\.log: No such file or directory \(ENOENT\)"):
        local.start(real, 0, 1, {})
    assert not local.alive(real, 0)
