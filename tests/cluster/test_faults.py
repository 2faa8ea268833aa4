"""Failures of every kind, planted on a real Slurm: each is called what it was, and rerunning mends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cluster.lab import Lab

pytestmark = pytest.mark.slurm

EVERY_KIND = """
name: faults
job: selftest
about: 36 points, most of which fail once
fixed: {steps: 20, fault_step: 5, values: 50}
max_fails: 100%
axes:
  seed: {range: [0, 3]}
  fault: [none, oom, host-oom, timeout, nan, crash, exit, killed, disk, data, code, wait]
resources:
  - {minutes: 0.5, mem: 0.5}
  - {when: {fault: wait}, minutes: 5}
expect: {points: 36}
"""

EXPECTED = {
    "none": {"done"}, "oom": {"oom"}, "host-oom": {"host-oom"}, "timeout": {"timeout"}, "nan": {"nan"},
    "crash": {"crash"}, "exit": {"crash"}, "killed": {"lost"}, "disk": {"disk"}, "data": {"data"}, "code": {"code"},
    "wait": {"cancelled"},
}  # fmt: skip


def named(lab: Lab, name: str) -> dict[str, set[str]]:
    """What the points of each planted fault are called."""
    found: dict[str, set[str]] = {}
    for point in lab.points(name):
        found.setdefault(point["axes"]["fault"], set()).add(point["kind"] or point["state"])
    return found


def all_but_waiting(document: dict) -> bool:
    return all(p["state"] not in ("running", "waiting") or p["axes"]["fault"] == "wait" for p in document["points"])


def every_kind(lab: Lab) -> None:
    lab.submit(EVERY_KIND)
    lab.wait("faults", until=all_but_waiting)
    lab.sweep("cancel", "faults", "--only", "fault=wait", "--yes")
    lab.wait("faults")
    assert named(lab, "faults") == EXPECTED
    first = lab.dumps("faults")
    assert len(first) == 3
    for _ in range(3):
        lab.sweep("rerun", "faults", "--yes")
        points = lab.wait("faults")
        if all(p["state"] == "done" for p in points):
            break
    assert {p["state"] for p in points} == {"done"}
    after = lab.dumps("faults")
    assert len(after) == 36
    assert {k: after[k] for k in first} == first
    done = [e["point"] for e in lab.events("faults", "done")]
    assert sorted(done) == sorted(set(done)), "a point that was done ran again"
    told = lab.sweep("collect", "faults", "--to", "mlflow")
    assert "36 new" in told
    assert "36 unchanged" in lab.sweep("collect", "faults", "--to", "mlflow")


def test_every_kind_of_failure_is_named_and_mended(lab: Lab) -> None:
    every_kind(lab)


@pytest.mark.cluster("noacct,cgroup")
def test_every_kind_without_accounting(lab: Lab) -> None:
    every_kind(lab)


@pytest.mark.cluster("accounting,fast")
def test_a_node_that_dies(lab: Lab) -> None:
    lab.submit(
        "name: dying\njob: selftest\nfixed: {steps: 60, step_seconds: 0.5}\naxes: {seed: [1, 2]}\n"
        "resources: [{minutes: 5, gpus: 3, checkpoint_minutes: 0.05}]\n"
    )
    lab.wait("dying", until=lambda d: d["counts"]["running"] == 2)
    time.sleep(6)
    node = next(e["node"] for e in lab.events("dying", "start"))
    lab.cluster.tool("kill-node", node)
    points = lab.wait(
        "dying",
        until=lambda d: (
            any(p["kind"] == "node-fail" for p in d["points"])
            or any(len(label.split("-")) == 3 and not label.endswith("-0") for label in lab.attempts("dying"))
        ),
    )
    lab.cluster.tool("start-node", node)
    lab.sweep("rerun", "dying", "--yes", code=(0, 2, 4))
    points = lab.wait("dying")
    if any(p["state"] != "done" for p in points):
        lab.sweep("rerun", "dying", "--yes")
        points = lab.wait("dying")
    assert {p["state"] for p in points} == {"done"}
    resumed = [events for events in lab.attempts("dying").values() if any(e["event"] == "done" for e in events)]
    assert len(resumed) == 2


def test_a_worker_killed_in_the_middle_loses_one_point_and_resumes(lab: Lab) -> None:
    lab.submit(
        "name: killed\njob: selftest\nfixed: {steps: 16, step_seconds: 0.5}\naxes: {seed: {range: [0, 4]}}\n"
        "resources: [{minutes: 2, points_per_shard: 4, checkpoint_minutes: 0.01}]\n"
    )
    lab.wait("killed", until=lambda d: d["counts"]["done"] >= 1 and d["counts"]["running"] == 1)
    time.sleep(3)
    worker = lab.events("killed", "start")[0]["pid"]
    os.kill(worker, signal.SIGKILL)
    points = lab.wait("killed")
    assert sorted(p["kind"] or p["state"] for p in points).count("lost") == 1
    done_before = lab.dumps("killed")
    lost = next(p["id"] for p in points if p["kind"] == "lost")
    saved = lab.root / "sweeps" / "killed" / "scratch" / lost
    assert list(saved.glob("step-*")), "a checkpoint was kept"
    lab.sweep("rerun", "killed", "--yes")
    assert {p["state"] for p in lab.wait("killed")} == {"done"}
    assert done_before.items() <= lab.dumps("killed").items()
    undisturbed = Lab(lab.root.with_name("undisturbed"), lab.cluster)
    undisturbed.submit((lab.root / "grid.yaml").read_text())
    undisturbed.wait("killed")
    assert undisturbed.dumps("killed") == lab.dumps("killed")


def test_no_process_is_left(lab: Lab) -> None:
    lab.submit(
        "name: left\njob: selftest\nfixed: {steps: 1000, step_seconds: 1}\naxes: {seed: [1]}\n"
        "resources: [{minutes: 5}]\n"
    )
    lab.wait("left", until=lambda d: d["counts"]["running"] == 1)
    worker = lab.events("left", "start")[0]["pid"]
    child = subprocess.run(["pgrep", "-P", str(worker)], capture_output=True, text=True).stdout.split()
    assert child
    os.kill(worker, signal.SIGKILL)
    end = time.monotonic() + 5
    while any(alive(c) for c in child):
        assert time.monotonic() < end, "the child outlived its killed parent"
        time.sleep(0.1)


def alive(pid: str) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
