"""Tasks that are interrupted: time limit, preemption with and without a user signal, several ranks, cancellation.

What was saved is gone on from, and the dump of a point has the same bytes however often it was interrupted.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from cluster.lab import HPC_SWEEP, Lab

pytestmark = pytest.mark.slurm

HERE = Path(__file__).parent


def undisturbed(lab: Lab, name: str) -> dict[str, bytes]:
    """The dumps of the same points, run without a pause and without Slurm."""
    root = lab.root.with_name("undisturbed")
    shutil.copytree(lab.root, root, ignore=shutil.ignore_patterns("sweeps"))
    command = [str(HPC_SWEEP), "submit", "grid.yaml", "--yes", "--wait", "--cluster", "local"]
    subprocess.run(command, cwd=root, env=lab.cluster.environment, check=True, capture_output=True, timeout=300)
    return Lab(root, lab.cluster).dumps(name)


def steps_run_twice(lab: Lab, name: str) -> bool:
    """Whether an attempt began although none before it had saved anything."""
    for events in lab.attempts(name).values():
        if events[-1].get("why") == "requeue" and not any(e["event"] == "checkpoint" for e in events):
            return True
    return False


@pytest.mark.cluster("preempt,cgroup")
def test_a_time_limit_is_gone_on_from_and_the_bytes_are_the_same(lab: Lab) -> None:
    lab.submit(
        "name: limit\njob: selftest\nfixed: {steps: 90, step_seconds: 0.5}\naxes: {seed: [1, 2]}\n"
        "resources: [{minutes: 0.6, checkpoint_minutes: 100}]\n"
    )
    assert {p["state"] for p in lab.wait("limit")} == {"done"}
    ends = lab.events("limit", "end")
    assert [e["cause"] for e in ends if e["why"] == "requeue"] and "cancelled" not in {e["why"] for e in ends}
    assert {e["cause"] for e in ends if e["why"] == "requeue"} == {"timeout"}
    assert lab.events("limit", "signal")
    assert not steps_run_twice(lab, "limit")
    assert len(lab.events("limit", "done")) == 2
    assert lab.dumps("limit") == undisturbed(lab, "limit")


def preempted(lab: Lab) -> None:
    lab.submit(
        "name: taken\njob: selftest\nfixed: {steps: 120, step_seconds: 0.5}\naxes: {seed: [1, 2]}\n"
        "resources: [{minutes: 8, gpus: 1, checkpoint_minutes: 100}]\n"
    )
    lab.wait("taken", until=lambda d: d["counts"]["running"] == 2)
    time.sleep(3)
    urgent = ["sbatch", "-p", "urgent", "-N4", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2"]
    lab.cluster.run(*urgent)
    points = lab.wait("taken")
    assert {p["state"] for p in points} == {"done"}, points
    assert {p["tries"] for p in points} == {2}
    causes = [e["cause"] for e in lab.events("taken", "end") if e["why"] == "requeue"]
    assert causes == ["preempted", "preempted"]
    assert not steps_run_twice(lab, "taken")
    assert len(lab.events("taken", "done")) == 2


@pytest.mark.cluster("preempt,cgroup")
def test_a_preemption_is_gone_on_from(lab: Lab) -> None:
    preempted(lab)


@pytest.mark.cluster("preempt,usersig,cgroup")
def test_a_preemption_with_the_users_signal_is_gone_on_from(lab: Lab) -> None:
    preempted(lab)


@pytest.mark.cluster("preempt,cgroup")
def test_ranks_of_two_nodes_meet_save_together_and_go_on(lab: Lab) -> None:
    shutil.copy(HERE / "meet.py", lab.root / "jobs")
    lab.submit(
        "name: ranks\njob: meet\naxes: {steps: [10, 150], fails_on: [-1, 3]}\nskip: [{steps: 150, fails_on: 3}]\n"
        "resources: [{minutes: 0.6, nodes: 2, tasks_per_node: 2, checkpoint_minutes: 100}]\n"
    )
    points = lab.wait("ranks", seconds=300)
    by_kind = {p["kind"] or p["state"] for p in points}
    assert by_kind == {"done", "crash"}
    assert next(p["words"] for p in points if p["kind"]) == "rank 3: killed by SIGSEGV"
    lab.sweep("collect", "ranks", code=1)
    rows = (lab.root / "sweeps/ranks/results/results.csv").read_text().splitlines()
    header = rows[0].split(",")
    for row in rows[1:]:
        cell = dict(zip(header, row.split(","), strict=True))
        assert float(cell["ranks"]) == 4 and float(cell["nodes"]) == 2
        assert float(cell["total"]) == int(cell["steps"]) * (1 + 2 + 3 + 4)
    long = next(p for p in points if p["axes"]["steps"] == 150)
    assert long["tries"] >= 2, "the long point was to be interrupted"
    saved = [e for e in lab.events("ranks", "checkpoint") if e["point"] == long["id"]]
    assert saved and not list((lab.root / "sweeps/ranks/scratch").glob(".ranks-*"))


@pytest.mark.cluster("accounting", MAXARRAY="8")
def test_cancelling_and_submitting_again(lab: Lab) -> None:
    grid = (
        "name: stopped\njob: selftest\nfixed: {steps: 400, step_seconds: 0.2}\naxes: {seed: {range: [0, 12]}}\n"
        "resources: [{minutes: 3}]\n"
    )
    lab.submit(grid)
    lab.wait("stopped", until=lambda d: d["counts"]["running"] >= 1)
    assert "nothing to submit" in lab.submit(grid)
    assert len(list((lab.root / "sweeps/stopped/submissions").glob("[0-9][0-9][0-9].json"))) == 1
    lab.sweep("cancel", "stopped", "--yes")
    points = lab.wait("stopped", hurry=False)
    assert {p["kind"] for p in points} == {"cancelled"}
    assert lab.cluster.run("squeue", "-h", "-t", "PD,R") == ""


@pytest.mark.cluster("accounting", MAXARRAY="8")
def test_arrays_are_split_and_wait_for_each_other_under_one_cap(lab: Lab) -> None:
    """Runs on a cluster whose MaxArraySize is 8: 20 points come in three arrays, at most 3 at once."""
    profile = lab.root / "slurm" / "devcluster.yaml"
    profile.write_text(profile.read_text() + "limits: {shards_at_once: 3}\n")
    told = lab.submit(
        "name: split\njob: selftest\nfixed: {steps: 2, step_seconds: 0.1}\naxes: {seed: {range: [0, 20]}}\n"
        "resources: [{minutes: 1}]\n"
    )
    jobs = json.loads((lab.root / "sweeps/split/submissions/000.slurm.json").read_text())
    assert len(jobs) == 3, told
    assert {p["state"] for p in lab.wait("split")} == {"done"}


@pytest.mark.cluster("accounting", MAXARRAY="8")
def test_a_grid_waits_for_the_one_it_needs(lab: Lab) -> None:
    lab.submit("name: first\njob: selftest\nfixed: {steps: 20, step_seconds: 0.2}\nresources: [{minutes: 1}]\n")
    lab.submit(
        "name: second\njob: selftest\nfixed: {steps: 1}\nneeds: [first]\nresources: [{minutes: 1}]\n",
    )
    assert lab.status("second")["counts"]["waiting"] == 1
    assert {p["state"] for p in lab.wait("second")} == {"done"}
    first, second = lab.events("first", "done")[0], lab.events("second", "begin")[0]
    assert second["time"] > first["time"]
