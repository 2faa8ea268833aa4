"""What became of each point: the files decide, Slurm only hints, and whatever it does nothing live is called dead."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import dump, files, local, slurm, status
from hpc_sweep.errors import DamagedError, InputError
from hpc_sweep.grid import Point
from hpc_sweep.ledger import Sweep
from hpc_sweep.status import PointStatus, Status
from stubs import ENDED, Slurm, install

LIVE = (
    "PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "RESIZING", "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
)  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def points() -> list[Point]:
    return build.points(4)


@pytest.fixture
def sweep(tmp_path: Path, points: list[Point]) -> Sweep:
    return build.sweep(tmp_path, points)


def look(sweep: Sweep, **more: Any) -> Status:
    return status.compute(sweep, **more)


def only(found: Status, index: int = 0) -> PointStatus:
    return found.points[index]


def submitted(sweep: Sweep, cluster: Slurm, *arrays: list[list[Point]], old: bool = True, **more: Any) -> None:
    """Claim arrays that Slurm has taken as 100, 101, ..., by default an hour ago."""
    number = more.get("number", 0)
    build.claim(sweep, *arrays, **more)
    for k, array in enumerate(arrays):
        cluster.add(int(more.get("job") or 100) + k, build.array_name(sweep, number, k), len(array))
    if old:
        build.age(sweep, number=number)


# the order of the states


def test_a_sweep_that_nobody_submitted_is_new(sweep: Sweep, cluster: Slurm) -> None:
    found = look(sweep)
    assert build.states(found) == ["new"] * 4
    assert found.over and not found.notes and not cluster.calls()


def test_every_state_at_once(sweep: Sweep, points: list[Point], cluster: Slurm, tmp_path: Path) -> None:
    points = build.points(8)
    sweep = build.sweep(tmp_path, points, "all")
    submitted(sweep, cluster, [[p] for p in points[:7]])
    build.finish(sweep, [points[0]], 0)
    build.finish(sweep, [points[1]], 1)
    sweep.dump_path(points[1].id).write_bytes(b"")
    build.attempt(sweep, 2, build.begin(points[2]))
    cluster.task("100_2", "RUNNING")
    build.attempt(sweep, 4, build.begin(points[4]), build.failed(points[4]), build.end())
    build.attempt(sweep, 5, build.begin(points[5]))
    cluster.task("100_5", "COMPLETED")
    build.attempt(sweep, 6, build.begin(points[6]), build.failed(points[6], "nan", "loss is nan"), build.end())
    found = look(sweep)
    assert build.states(found) == ["done", "damaged", "running", "waiting", "failed", "lost", "failed", "new"]
    assert found.counts == {"done": 1, "damaged": 1, "running": 1, "waiting": 1, "failed": 2, "lost": 1, "new": 1}
    assert not found.over and found.live == {0}
    assert found.count("failed") == 2


def test_a_dump_beats_everything_that_is_said(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, *[e for p in points for e in (build.begin(p), build.failed(p))])
    for point in points:
        build.done(sweep, point)
    for state in ("RUNNING", "FAILED", "NODE_FAIL"):
        cluster.task("100_0", state)
        assert build.states(look(sweep)) == ["done"] * 4


def test_a_damaged_dump_is_damaged_while_its_task_runs(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]))
    sweep.dump_path(points[0].id).write_bytes(b"x")
    cluster.task("100_0", "RUNNING")
    assert build.states(look(sweep)) == ["damaged", "running", "waiting", "waiting"]


def test_what_is_all_done_asks_nobody(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    assert look(sweep).over
    assert cluster.calls() == []


def test_slurm_is_asked_once_however_many_arrays(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, *[[[p]] for p in points])
    look(sweep)
    assert [call[0] for call in cluster.calls()] == ["squeue"]


def test_a_failed_point_is_failed_while_the_rest_of_its_shard_lives(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    events = build.begin(points[0]), build.failed(points[0], "nan", "loss is nan at step 3"), build.begin(points[1])
    build.attempt(sweep, 0, *events, node="n3")
    cluster.task("100_0", "RUNNING")
    found = look(sweep)
    assert build.states(found) == ["failed", "running", "waiting", "waiting"]
    assert (only(found).kind, only(found).words, only(found).node) == ("nan", "loss is nan at step 3", "n3")
    assert (only(found).attempt, only(found).submission, only(found).shard) == ("000-0-0", 0, 0)


def test_points_of_an_earlier_grid_are_kept_and_told(tmp_path: Path, cluster: Slurm) -> None:
    points = build.points(5)
    sweep = build.sweep(tmp_path, points)
    submitted(sweep, cluster, [[p] for p in points])
    build.finish(sweep, [points[0]], 0)
    header = {k: v for k, v in sweep.header().items() if k not in ("schema", "version", "points")}
    sweep.write_version(1, {**header, "text": "name: trial\n# smaller\n"}, points[:2])
    found = look(sweep)
    assert build.states(found) == ["done", "waiting"]
    assert found.notes == ["3 points of an earlier grid are kept, 3 of them still live"]


def test_the_points_of_a_grid_not_yet_written_can_be_asked_for(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    longer = build.points(6)
    assert build.states(look(sweep, points=longer)) == ["done"] * 4 + ["new"] * 2


def test_gpu_hours_are_those_of_the_points_that_ran(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    events = build.done(sweep, points[0], seconds=1800), build.failed(points[1], seconds=900)
    build.attempt(sweep, 0, *events, build.end())
    assert look(sweep).used_gpu_hours == pytest.approx(0.75)


# the kinds, from Slurm's word

WORDS = {
    "TIMEOUT": ("timeout", "the time limit came"),
    "DEADLINE": ("timeout", "the time limit came"),
    "NODE_FAIL": ("node-fail", "the node failed (n2)"),
    "BOOT_FAIL": ("node-fail", "the node failed (n2)"),
    "CANCELLED": ("cancelled", "cancelled"),
    "REVOKED": ("cancelled", "cancelled"),
    "PREEMPTED": ("preempted", "a job of higher priority took the node"),
    "OUT_OF_MEMORY": ("host-oom", "killed: out of host memory"),
}


@pytest.mark.parametrize("teller", ["squeue", "sacct"])
@pytest.mark.parametrize("state", WORDS)
def test_a_point_is_called_what_slurm_calls_its_end(
    sweep: Sweep, points: list[Point], cluster: Slurm, state: str, teller: str
) -> None:
    submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state, node="n2", only=teller)
    begun, not_begun = look(sweep).points[:2]
    assert (begun.state, begun.kind, begun.words) == ("failed", *WORDS[state])
    shared = state != "OUT_OF_MEMORY"  # one point took the memory; the end of the whole task is the end of all
    assert (not_begun.state, not_begun.kind) == ("failed", WORDS[state][0] if shared else "never-started")


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_a_task_that_left_no_word_lost_its_point(sweep: Sweep, points: list[Point], cluster: Slurm, state: str) -> None:
    submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state)
    begun, not_begun = look(sweep).points[:2]
    assert (begun.state, begun.kind, begun.words) == ("lost", "lost", "its task is gone and left no word")
    assert (not_begun.state, not_begun.kind) == ("failed", "never-started")


def test_a_task_that_never_became_a_worker_never_started(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[points[0]], [points[1]]])
    cluster.task("100_0", "FAILED", node="n2", exit="1:0")
    cluster.task("100_1", "COMPLETED", node="n2")
    for found in look(sweep).points[:2]:
        assert (found.state, found.kind) == ("failed", "never-started")
        assert found.words == "its task ended before it began"


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize("teller", ["both", "sacct"])
def test_memory_is_named_when_only_a_step_tells(
    sweep: Sweep, points: list[Point], cluster: Slurm, state: str, teller: str
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    steps = [["batch", "OUT_OF_MEMORY"]]
    cluster.task("100_0", state, exit="0:125", steps=steps, only=None if teller == "both" else teller)
    assert only(look(sweep)).kind == "host-oom"


def test_late_accounting_does_not_bring_a_task_back(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "FAILED")
    state = cluster._read()
    state["tasks"]["100_0"]["sacct"]["state"] = "RUNNING"
    cluster._write(state)
    assert only(look(sweep)).state == "lost"


@pytest.mark.parametrize(
    ("node", "kind", "words"),
    [
        ({"State": "DOWN*"}, "node-fail", "the node failed (n2)"),
        ({"State": "IDLE", "SlurmdStartTime": "2000"}, "node-fail", "the node failed (n2)"),
        ({"State": "IDLE", "SlurmdStartTime": "1000"}, "lost", "its worker was killed (SIGKILL)"),
    ],
    ids=["ill", "restarted", "healthy"],
)
@pytest.mark.parametrize("teller", ["squeue", "sacct"])
def test_a_launch_failure_is_the_nodes_when_the_node_was_ill(
    sweep: Sweep, points: list[Point], cluster: Slurm, node: dict[str, str], kind: str, words: str, teller: str
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), at=1500.0)
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure", node="n2", exit="0:9", only=teller)
    cluster.node("n2", **node)
    found = only(look(sweep))
    assert (found.kind, found.words) == (kind, words)
    assert found.state == ("lost" if kind == "lost" else "failed")


def test_a_launch_failure_is_a_loss_when_nobody_tells_of_the_node(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure", node="n2")
    cluster.remove("scontrol")
    assert only(look(sweep)).kind == "lost"


@pytest.mark.parametrize("state", ["PENDING", "CANCELLED"])
def test_a_task_whose_need_failed_does_not_wait_for_ever(
    sweep: Sweep, points: list[Point], cluster: Slurm, state: str
) -> None:
    submitted(sweep, cluster, [points])
    cluster.task("100_0", state, reason="DependencyNeverSatisfied")
    found = look(sweep)
    assert found.over and found.live == frozenset()
    assert (only(found).state, only(found).kind) == ("failed", "cancelled")
    assert only(found).words == "what it needs was not done"


def test_tasks_cancelled_before_they_started_share_a_row_of_sacct(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [[p] for p in points])
    cluster.forget("squeue")
    cluster.forget("sacct")
    cluster.row(id="100_[0-3%2]", name=build.array_name(sweep), state="CANCELLED by 0")
    assert [(p.state, p.kind) for p in look(sweep).points] == [("failed", "cancelled")] * 4


def test_one_row_of_squeue_may_stand_for_all_tasks_that_never_started(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [[p] for p in points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.behave(
        "squeue",
        stdout=f"100|0|RUNNING|None|n1|1|{build.array_name(sweep)}\n"
        f"100|N/A|CANCELLED|JobHeldUser||0|{build.array_name(sweep)}\n",
    )
    assert [(p.state, p.kind) for p in look(sweep).points] == [("running", ""), *[("failed", "cancelled")] * 3]
    assert look(sweep).points[0].words == ""


def test_a_workers_own_word_goes_before_slurms(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points[:2]])
    end = build.end("timeout", point=points[0].id, words="epoch 31 of 40 when the hour ended")
    build.attempt(sweep, 0, build.begin(points[0]), end)
    cluster.task("100_0", "NODE_FAIL")
    first, second = look(sweep).points[:2]
    assert (first.kind, first.words) == ("timeout", "epoch 31 of 40 when the hour ended")
    assert second.kind == "timeout"


def test_what_a_full_disk_left_untried_never_started(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points[:2]])
    failed = build.failed(points[0], "disk", "No space left on device (ENOSPC)")
    build.attempt(sweep, 0, build.begin(points[0]), failed, build.end("disk"))
    assert [(p.state, p.kind) for p in look(sweep).points[:2]] == [("failed", "disk"), ("failed", "never-started")]


def test_what_was_cancelled_by_filter_is_cancelled(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[p] for p in points])
    sweep.cancel_shards(0, [1], "lea")
    cluster.task("100_1", "CANCELLED")
    assert [p.kind for p in look(sweep).points] == ["", "cancelled", "", ""]


def test_too_many_failures_are_told_to_what_was_not_tried(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[points[0]], [points[1]], [points[2]]])
    sweep.close(0, "max-fails", "1 of 4 points failed with nan; the rest was not tried")
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    build.attempt(sweep, 1, build.end("cancelled", words="cancelled while it ran"))
    cluster.task("100_2", "CANCELLED")
    found = look(sweep)
    assert [p.kind for p in found.points[:3]] == ["nan", "cancelled", "cancelled"]
    assert {p.words for p in found.points[1:3]} == {"1 of 4 points failed with nan; the rest was not tried"}
    assert found.notes == [
        "submission 000 was closed (max-fails): 1 of 4 points failed with nan; the rest was not tried"
    ]


# what lives


@pytest.mark.parametrize("state", [*LIVE, *ENDED, "UNDEAD", ""])
def test_only_ten_states_end_a_task(sweep: Sweep, points: list[Point], cluster: Slurm, state: str) -> None:
    assert len({*LIVE, *ENDED}) == 24
    submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state)
    found = look(sweep)
    assert found.over is (state in ENDED)
    if state not in ENDED:
        assert only(found).state in ("running", "waiting") and only(found, 1).state == "waiting"
        assert only(found).words == ("" if state == "RUNNING" else state)


def test_slurms_reason_is_told_of_what_waits(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[points[0]], [points[1]], [points[2]]])
    cluster.task("100_0", "PENDING", reason="Priority")
    cluster.task("100_1", "PENDING", reason="AssocGrpGRES")
    cluster.task("100_2", "RUNNING")
    assert [p.words for p in look(sweep).points[:3]] == ["Priority", "AssocGrpGRES", ""]


@pytest.mark.parametrize("reason", ["BeginTime", "None"])
def test_a_requeued_task_waits(sweep: Sweep, points: list[Point], cluster: Slurm, reason: str) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"))
    cluster.task("100_0", "PENDING", reason=reason)
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert only(found).words == ("BeginTime" if reason == "BeginTime" else "PENDING")


def test_a_task_that_slurm_requeued_after_its_node_died_waits(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "PENDING", reason="BeginTime")
    assert build.states(look(sweep)) == ["waiting"] * 4


def test_the_second_attempt_counts(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="preempted"), node="n1")
    build.attempt(sweep, 0, build.begin(points[0]), restart=1, node="n4")
    cluster.task("100_0", "RUNNING")
    found = only(look(sweep))
    assert (found.state, found.tries, found.attempt, found.node) == ("running", 2, "000-0-1", "n4")


def test_a_point_of_an_earlier_attempt_waits_until_it_begins_again(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="preempted"))
    build.attempt(sweep, 0, restart=1)
    cluster.task("100_0", "RUNNING")
    assert only(look(sweep)).state == "waiting"


def test_a_task_that_was_requeued_and_then_ended_without_a_word_is_over(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"))
    cluster.task("100_0", "CANCELLED")
    assert only(look(sweep)).kind == "cancelled"


def test_the_last_submission_of_a_point_decides(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    submitted(sweep, cluster, [[points[0]]], number=1, job="200", why="rerun")
    assert only(look(sweep)).state == "waiting"
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "oom"), build.end(), submission=1)
    found = only(look(sweep))
    assert (found.kind, found.tries, found.attempt, found.submission) == ("oom", 2, "001-0-0", 1)


def test_a_rerun_that_never_reached_slurm_leaves_the_point_failed(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    build.claim(sweep, [[points[0]]], number=1, job=None, pid=build.dead_process())
    assert only(look(sweep)).kind == "nan"


# Slurm says nothing, or nonsense

Mischief = Callable[[Slurm, str], None]
MISCHIEF: dict[str, Mischief] = {
    "missing": lambda cluster, program: cluster.remove(program),
    "hangs": lambda cluster, program: cluster.hang(program),
    "fails": lambda cluster, program: cluster.refuse(program, "Unable to contact slurm controller"),
    "garbage": lambda cluster, program: cluster.behave(program, stdout="<html>502 Bad Gateway</html>\n"),
    "half a line": lambda cluster, program: cluster.behave(program, stdout="100|0|RUNN"),
}


@pytest.fixture
def half_done(sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """One point done, one failed, one in hand, one not begun; nobody waits long for Slurm."""
    monkeypatch.setattr(slurm, "ask", partial(slurm.ask, timeout=0.3))
    submitted(sweep, cluster, [points])
    events = build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]), build.failed(points[1])
    build.attempt(sweep, 0, *events, build.begin(points[2]))
    return sweep


@pytest.mark.parametrize("how", MISCHIEF)
def test_without_the_queue_the_files_are_all_there_is(half_done: Sweep, cluster: Slurm, how: str) -> None:
    cluster.task("100_0", "COMPLETED")
    MISCHIEF[how](cluster, "squeue")
    found = look(half_done)
    assert build.states(found) == ["done", "failed", "running", "waiting"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("Slurm is silent (`squeue`") and "guesses from the files" in found.notes[0]


@pytest.mark.parametrize("how", MISCHIEF)
def test_without_accounting_the_controller_is_enough(half_done: Sweep, cluster: Slurm, how: str) -> None:
    MISCHIEF[how](cluster, "sacct")
    cluster.task("100_0", "RUNNING")
    assert build.states(look(half_done)) == ["done", "failed", "running", "waiting"]
    assert look(half_done).notes == []
    cluster.task("100_0", "TIMEOUT")
    assert [p.kind for p in look(half_done).points] == ["", "code", "timeout", "timeout"]
    cluster.forget("squeue")  # after MinJobAge
    found = look(half_done)
    assert build.states(found) == ["done", "failed", "lost", "failed"]
    assert found.notes == ["Slurm keeps no accounting here: how a task ended is read from the files alone"]


def test_a_slurm_that_knows_nothing_of_its_own_job_is_not_believed(half_done: Sweep, cluster: Slurm) -> None:
    cluster.forget("squeue")
    cluster.forget("sacct")
    build.attempt(half_done, 0, build.begin(build.points(3)[2]), restart=1, at=time.time())
    found = look(half_done)
    assert build.states(found) == ["done", "failed", "running", "waiting"]
    assert "Slurm knows nothing of 100: running and waiting are guesses" in found.notes[0]
    half_done.cancel_shards(0, [0], "lea")
    assert build.states(look(half_done)) == ["done", "failed", "failed", "failed"]


def test_what_the_accounting_has_purged_is_lost(half_done: Sweep, cluster: Slurm) -> None:
    cluster.forget("squeue")
    cluster.forget("sacct")
    build.age(half_done, 30 * 86_400)
    assert build.states(look(half_done)) == ["done", "failed", "lost", "failed"]


def test_a_job_number_that_somebody_else_has_now_says_nothing(half_done: Sweep, cluster: Slurm) -> None:
    cluster.forget("squeue")
    cluster.forget("sacct")
    cluster.row(id="100_0", name="somebody-elses", state="RUNNING")
    found = look(half_done)
    assert build.states(found) == ["done", "failed", "lost", "failed"]
    assert only(found, 2).words == "its task is gone and left no word"


@pytest.mark.parametrize("state", ["COMPLETED", "RUNNING", "FAILED"])
def test_slurm_alone_makes_nothing_done(sweep: Sweep, points: list[Point], cluster: Slurm, state: str) -> None:
    submitted(sweep, cluster, [points])
    cluster.task("100_0", state, exit="0:0")
    assert look(sweep).counts["done"] == 0


def test_a_task_that_slurm_does_not_know_yet_waits(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points], old=False)
    cluster.forget("squeue")
    cluster.forget("sacct")
    assert build.states(look(sweep)) == ["waiting"] * 4


def test_silence_does_not_wake_what_was_rerun(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    """The first submission was killed without a word; the second ended on the point. Slurm is silent now."""
    submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]))
    submitted(sweep, cluster, [[points[0]]], number=1, job="200")
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end(), submission=1)
    cluster.remove("squeue")
    assert only(look(sweep)).kind == "nan"


@pytest.mark.parametrize("now", [0.0, 1e9, 4e9])
def test_a_clock_that_jumps_changes_nothing(
    half_done: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    cluster.task("100_0", "RUNNING")
    before = look(half_done)
    monkeypatch.setattr(time, "time", lambda: now)
    assert look(half_done).points == before.points
    assert look(half_done).notes == before.notes


def test_attempts_are_ordered_by_number_not_by_time(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"), at=5000.0, node="n1")
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end(), restart=1, at=10.0)
    for restart in range(2, 12):
        build.attempt(sweep, 0, build.begin(points[1]), restart=restart, at=-1.0 * restart, node=f"n{restart}")
    cluster.task("100_0", "RUNNING")
    found = look(sweep)
    assert only(found).kind == "nan"
    assert (only(found, 1).attempt, only(found, 1).tries) == ("000-0-11", 10)


# files that show late


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[float]:
    """Do something while `status` waits for files; the list tells how long it would have waited."""
    real, waited = time.sleep, []

    def sleep(seconds: float) -> None:
        if seconds < 1:
            return real(seconds)  # the standard library, waiting for a program
        waited.append(seconds)
        act()
        return None

    monkeypatch.setattr(time, "sleep", sleep)
    return waited


def test_a_file_that_shows_late_is_looked_for_again(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [[points[0]], [points[1]]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "COMPLETED")
    cluster.task("100_1", "COMPLETED")

    def show() -> None:
        build.done(sweep, points[0])  # its line is still not to be seen
        build.finish(sweep, [points[1]], 1)

    waited = meanwhile(monkeypatch, show)
    assert build.states(look(sweep, file_delay=3.0))[:2] == ["done", "done"]
    assert waited == [3.0]


def test_a_dump_that_shows_after_its_line_is_waited_for(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    path = sweep.dump_path(points[2].id)
    hidden = path.rename(path.with_suffix(".late"))
    meanwhile(monkeypatch, lambda: hidden.rename(path))
    assert build.states(look(sweep, file_delay=3.0)) == ["done"] * 4


def test_what_ended_while_slurm_was_asked_is_not_lost(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "COMPLETED")

    def ask(names: Any) -> list[slurm.Task]:
        build.finish(sweep, points, restart=1)
        return queue(names)

    queue = slurm.queue
    monkeypatch.setattr(slurm, "queue", ask)
    assert build.states(look(sweep)) == ["done"] * 4


def test_what_ended_while_the_files_were_read_is_not_lost(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [[points[0]]])
    read = Sweep.attempts

    def attempts(self: Sweep, *args: Any) -> Any:
        build.finish(sweep, [points[0]])
        monkeypatch.undo()
        return read(self, *args)

    monkeypatch.setattr(Sweep, "attempts", attempts)
    assert only(look(sweep)).state == "done"


def test_what_is_gone_is_gone_after_a_second_look(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    sweep.dump_path(points[1].id).unlink()
    waited = meanwhile(monkeypatch, lambda: None)
    found = look(sweep, file_delay=2.0)
    assert (only(found, 1).state, only(found, 1).words) == ("lost", "it was done, and its dump is gone")
    assert waited == [2.0]


# dumps


@pytest.mark.parametrize("told", [True, False], ids=["with its line", "line lost"])
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "checksum differs"),
        (lambda data: data[:-30] + bytes([data[-30] ^ 1]) + data[-29:], "checksum differs|without the line"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[: len(data) // 2], "cut short"),
        (lambda data: b"", "0 bytes"),
        (lambda data: b"hello", "cut short"),
        (lambda data: data + b"\0", "instead of|without the line"),
    ],
    ids=["byte", "byte of the seal", "last byte", "half", "empty", "another file", "one more"],
)
def test_a_dump_that_is_not_what_was_written_is_damaged(
    sweep: Sweep, points: list[Point], cluster: Slurm, told: bool, harm: Callable[[bytes], bytes], words: str
) -> None:
    import re

    submitted(sweep, cluster, [points])
    events = [build.begin(points[0]), build.done(sweep, points[0])]
    build.attempt(sweep, 0, *events[: 2 if told else 1], build.end())
    path = sweep.dump_path(points[0].id)
    path.write_bytes(harm(path.read_bytes()))
    found = only(look(sweep))
    assert found.state == "damaged" and found.path == path
    assert re.search(words, found.words), found.words


@pytest.mark.parametrize("told", [True, False], ids=["with its line", "line lost"])
def test_the_dump_of_another_point_is_damaged(sweep: Sweep, points: list[Point], cluster: Slurm, told: bool) -> None:
    submitted(sweep, cluster, [points])
    events = [build.begin(points[0]), build.done(sweep, points[0])]
    build.attempt(sweep, 0, *events[: 2 if told else 1], build.end())
    sweep.dump_path(points[0].id).write_bytes(build.packed(points[1]))
    found = only(look(sweep))
    assert (found.state, found.words) == ("damaged", f"holds point {points[1].id}, not {points[0].id}")


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_no_file_is_damaged(sweep: Sweep, points: list[Point], cluster: Slurm, kind: str) -> None:
    path = sweep.dump_path(points[0].id)
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    else:
        os.mkfifo(path)
    assert only(look(sweep)).state == "damaged"


def test_the_dump_decides_and_not_the_log(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    """Killed between the rename of the dump and the line that tells of it."""
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    build.done(sweep, points[0])
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure")
    found = only(look(sweep))
    assert (found.state, found.done) == ("done", None)


def test_a_whole_dump_is_done_though_the_lines_tell_of_another(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    """The first dump was damaged and put aside; the second one's line was lost, and its code was another."""
    submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.end())
    build.done(sweep, points[0], loss=0.25, code="0ther" * 3)
    assert only(look(sweep)).state == "done"


def test_a_dump_with_another_time_of_change_is_hashed_again(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    for point in points:
        os.utime(sweep.dump_path(point.id))
    found = look(sweep)
    assert build.states(found) == ["done"] * 4
    assert all(p.done and p.done["attempt"] == "000-0-0" for p in found.points)


def test_strays_are_no_dumps(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    folder = files.make_folder(sweep.dump_path(points[0].id).parent)
    (folder / f"{files.TEMPORARY}{points[0].id}.h5").write_bytes(b"half")
    (folder / f"{files.TEMPORARY}{points[0].id}.h5-12-ab").write_bytes(b"half")
    assert only(look(sweep)).state == "new"


def test_attempts_that_disagree_are_told(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points])
    first = build.done(sweep, points[0], loss=0.5)
    build.attempt(sweep, 0, build.begin(points[0]), first, build.end())
    second = build.done(sweep, points[0], loss=0.6)
    build.attempt(sweep, 0, build.begin(points[0]), second, build.end())  # the same task, twice at once
    found = look(sweep)
    hashes = sorted(event["sha256"][:12] for _, event in (first, second))
    assert only(found).state == "done"
    assert found.notes == [f"{points[0].id}: 2 attempts disagree: {hashes[0]}, {hashes[1]}"]


def test_attempts_that_agree_are_not(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points[:1]])
    build.finish(sweep, points[:1])
    build.finish(sweep, points[:1])
    found = look(sweep)
    assert (only(found).state, only(found).tries, found.notes) == ("done", 2, [])


def test_a_failure_is_forgotten_when_its_rerun_is_done_and_gone(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    submitted(sweep, cluster, [[points[0]]], number=1, job="200")
    build.finish(sweep, [points[0]], submission=1)
    sweep.dump_path(points[0].id).unlink()
    assert only(look(sweep)).state == "lost"


# attempts


def test_an_attempt_cut_anywhere_is_read_as_far_as_it_goes(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(sweep, cluster, [points[:3]])
    events = build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]), build.failed(points[1])
    label = build.attempt(sweep, 0, *events, build.begin(points[2]))
    path = sweep.folder / "attempts" / f"{label}.jsonl"
    whole = path.read_bytes()
    gone = slurm.Task("100", 0, build.array_name(sweep), "NODE_FAIL")
    monkeypatch.setattr(slurm, "queue", lambda names: [gone])
    seen = set()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = look(sweep)
        assert only(found).state == "done"
        seen.add((only(found, 1).kind, only(found, 2).kind))
        lines, rest = whole[:length].count(b"\n"), whole[:length].rpartition(b"\n")[2]
        torn = bool(rest) and rest != whole.split(b"\n")[lines]
        assert ("1 torn line in attempts/ skipped" in found.notes) is torn
    assert seen == {("node-fail", "node-fail"), ("code", "node-fail")}


def test_torn_lines_are_counted_over_all_attempts(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [[p] for p in points])
    for shard, point in enumerate(points[:2]):
        label = build.finish(sweep, [point], shard)
        with (sweep.folder / "attempts" / f"{label}.jsonl").open("a") as file:
            file.write('{"event":"do')
    assert look(sweep).notes == ["2 torn lines in attempts/ skipped"]


def test_attempts_of_nobodys_submission_are_passed_over(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.attempt(sweep, 7, build.begin(points[0]), build.failed(points[0]), submission=3)
    (sweep.folder / "attempts" / "notes.txt").write_text("mine")
    assert build.states(look(sweep)) == ["new"] * 4


# claims that did not get through


def test_a_claim_whose_maker_was_killed_never_reached_slurm(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points[:2]], [points[2:]], job=None, pid=build.dead_process())
    found = look(sweep)
    assert build.states(found) == ["new"] * 4 and found.over
    assert found.unreached == {(0, 0), (0, 1)}
    assert found.notes == [
        "submission 000 never reached Slurm; `hpc-sweep submit` or `rerun` takes its points up again"
    ]


def test_a_claim_whose_maker_lives_waits_however_long(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points], job=None)
    build.age(sweep)
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert not found.unreached and not found.notes


@pytest.mark.parametrize(("age", "state"), [(0, "waiting"), (600, "new")])
def test_a_claim_of_another_host_is_given_a_minute(
    sweep: Sweep, points: list[Point], cluster: Slurm, age: float, state: str
) -> None:
    build.claim(sweep, [points], job=None, host="login2", pid=build.dead_process())
    build.age(sweep, age)
    assert build.states(look(sweep)) == [state] * 4


def test_an_array_whose_number_was_never_written_is_found_by_its_name(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points], job=None, pid=build.dead_process())
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert found.jobs_found == {(0, 0): "100"} and not found.unreached


def test_what_slurm_did_not_take_is_new_again(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points], job=None)
    sweep.close(0, "rejected", "Invalid partition name specified")
    found = look(sweep)
    assert build.states(found) == ["new"] * 4
    assert found.notes == ["submission 000 was closed (rejected): Invalid partition name specified"]
    assert cluster.calls() == []


def test_an_array_that_was_refused_leaves_the_others(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points[:2]], [points[2:]])
    cluster.add(100, build.array_name(sweep), 1)
    sweep.record_jobs(0, {0: {"job": "100", "tasks": 1}, 1: {"refused": "AssocMaxSubmitJobLimit", "tasks": 0}})
    assert build.states(look(sweep)) == ["waiting", "waiting", "new", "new"]


# this machine as a cluster


def test_a_runner_that_lives_keeps_its_shards(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [[p] for p in points], cluster="local", job=None, pid=build.dead_process())
    build.attempt(sweep, 0, build.begin(points[0]))
    with local.path(sweep, 0).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert build.states(look(sweep)) == ["running", "waiting", "waiting", "waiting"]
        assert {p.words for p in look(sweep).points} == {""}
    found = look(sweep)
    assert [(p.state, p.kind) for p in found.points] == [("failed", "cancelled")] * 4
    assert cluster.calls() == []


def test_a_worker_that_its_runner_saw_die_lost_its_point(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points[:2]], cluster="local", job=None, pid=build.dead_process())
    build.attempt(sweep, 0, build.begin(points[0]))
    local.path(sweep, 0).write_text('{"event":"runner","pid":1}\n{"event":"exit","shard":0,"code":-9}\n')
    assert [(p.state, p.kind) for p in look(sweep).points[:2]] == [("lost", "lost"), ("failed", "never-started")]


def test_a_local_submission_that_was_killed_before_its_runner(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.claim(sweep, [points], cluster="local", job=None, pid=build.dead_process())
    found = look(sweep)
    assert build.states(found) == ["new"] * 4
    assert found.notes[0].startswith("submission 000 was never started; ")


def test_a_local_submission_whose_maker_is_at_work_lives(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    """Its runner may have ended before the submitter has written that there is one."""
    build.claim(sweep, [points], cluster="local", job=None)
    local.path(sweep, 0).write_text('{"event":"runner","pid":1}\n')
    assert build.states(look(sweep)) == ["waiting"] * 4


def test_another_hosts_runner_is_not_judged(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points], cluster="local", job=None, host="laptop")
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert found.notes == ["submission 000 runs on laptop; what it does now is not known here"]


# code


def test_points_that_ran_on_other_code_are_told(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    submitted(sweep, cluster, [points[:3]])
    build.finish(sweep, points[:3])
    assert look(sweep).notes == []
    submitted(sweep, cluster, [points[3:]], number=1, job="200", code="0ther" * 3)
    build.finish(sweep, points[3:], submission=1)
    assert look(sweep).notes == [f"3 points ran on other code than what was submitted last ({build.CODE['label']})"]


def test_a_point_whose_line_is_lost_is_not_said_to_have_run_on_other_code(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    submitted(sweep, cluster, [points[:1]])
    build.done(sweep, points[0])
    submitted(sweep, cluster, [points[1:]], number=1, job="200", code="0ther" * 3)
    assert look(sweep).notes == []


# the folder as a whole


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_sweep_may_be_moved_or_copied(
    sweep: Sweep, points: list[Point], cluster: Slurm, tmp_path: Path, how: Callable[..., Any]
) -> None:
    submitted(sweep, cluster, [points[:3]])
    build.attempt(
        sweep,
        0,
        *[e for p in points[:2] for e in (build.begin(p), build.done(sweep, p))],
        build.begin(points[2]),
        build.failed(points[2]),
        build.end(),
    )
    before = look(sweep)
    how(sweep.folder, tmp_path / "elsewhere" / "trial")
    after = look(Sweep(tmp_path / "elsewhere" / "trial"))
    assert build.states(after) == build.states(before) == ["done", "done", "failed", "new"]
    for path in (tmp_path / "elsewhere").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("file", ["sweep.json", "submissions/000.json"])
def test_a_sweep_of_a_newer_program_is_refused(sweep: Sweep, points: list[Point], cluster: Slurm, file: str) -> None:
    submitted(sweep, cluster, [points])
    path = sweep.folder / file
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2').replace('"schema":1', '"schema":2'))
    with pytest.raises(InputError, match="newer|schema 2"):
        look(sweep)


def test_a_list_of_points_that_was_changed_is_not_read(sweep: Sweep, cluster: Slurm) -> None:
    path = sweep.folder / "points.jsonl"
    path.write_text(path.read_text().replace('"seed":1', '"seed":9'))
    with pytest.raises(DamagedError, match="was changed"):
        look(sweep)


def test_the_golden_sweep_of_schema_1_is_read(cluster: Slurm, tmp_path: Path) -> None:
    """A folder that version 0.1.0 left; git keeps no times of change, so its dumps are hashed."""
    shutil.copytree(build.ROOT / "tests" / "golden" / "old" / "schema1", tmp_path / "schema1")
    found = look(Sweep(tmp_path / "schema1"))
    assert [(p.state, p.kind) for p in found.points] == [("done", ""), ("done", ""), ("failed", "nan"), ("new", "")]
    assert dump.read(found.points[0].path.read_bytes(), found.points[0].point.id).metrics == {"loss": 0.5}
    assert found.header["about"] == "a sweep of schema 1" and not found.notes
