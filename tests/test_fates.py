"""The fate of each shard: what Slurm and the runner say of it, and that silence or nonsense makes nothing dead."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import local, slurm, status
from hpc_sweep.ledger import Sweep
from hpc_sweep.records import Point
from hpc_sweep.status import PointStatus, Status
from stubs import ENDED, Slurm

LIVE = (
    "PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "RESIZING", "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
)  # fmt: skip


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
    build.submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state, node="n2", only=teller)
    begun, not_begun = look(sweep).points[:2]
    assert (begun.state, begun.kind, begun.words) == ("failed", *WORDS[state])
    shared = state != "OUT_OF_MEMORY"  # one point took the memory; the end of the whole task is the end of all
    assert (not_begun.state, not_begun.kind) == ("failed", WORDS[state][0] if shared else "never-started")


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_a_task_that_left_no_word_lost_its_point(sweep: Sweep, points: list[Point], cluster: Slurm, state: str) -> None:
    build.submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state)
    begun, not_begun = look(sweep).points[:2]
    assert (begun.state, begun.kind, begun.words) == ("lost", "lost", "its task is gone and left no word")
    assert (not_begun.state, not_begun.kind) == ("failed", "never-started")


def test_a_task_that_never_became_a_worker_never_started(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[points[0]], [points[1]]])
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
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    steps = [["batch", "OUT_OF_MEMORY"]]
    cluster.task("100_0", state, exit="0:125", steps=steps, only=None if teller == "both" else teller)
    assert only(look(sweep)).kind == "host-oom"


def test_late_accounting_does_not_bring_a_task_back(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
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
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), at=1500.0)
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure", node="n2", exit="0:9", only=teller)
    cluster.node("n2", **node)
    found = only(look(sweep))
    assert (found.kind, found.words) == (kind, words)
    assert found.state == ("lost" if kind == "lost" else "failed")


def test_a_launch_failure_is_a_loss_when_nobody_tells_of_the_node(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure", node="n2")
    cluster.remove("scontrol")
    assert only(look(sweep)).kind == "lost"


@pytest.mark.parametrize("state", ["PENDING", "CANCELLED"])
def test_a_task_whose_need_failed_does_not_wait_for_ever(
    sweep: Sweep, points: list[Point], cluster: Slurm, state: str
) -> None:
    build.submitted(sweep, cluster, [points])
    cluster.task("100_0", state, reason="DependencyNeverSatisfied")
    found = look(sweep)
    assert found.over and found.live == frozenset()
    assert (only(found).state, only(found).kind) == ("failed", "cancelled")
    assert only(found).words == "what it needs was not done"


def test_tasks_cancelled_before_they_started_share_a_row_of_sacct(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [[p] for p in points])
    cluster.forget("squeue")
    cluster.forget("sacct")
    cluster.row(id="100_[0-3%2]", name=build.array_name(sweep), state="CANCELLED by 0")
    assert [(p.state, p.kind) for p in look(sweep).points] == [("failed", "cancelled")] * 4


def test_one_row_of_squeue_may_stand_for_all_tasks_that_never_started(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [[p] for p in points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.behave(
        "squeue",
        stdout=f"100|0|RUNNING|None|n1|1|{build.array_name(sweep)}\n"
        f"100|N/A|CANCELLED|JobHeldUser||0|{build.array_name(sweep)}\n",
    )
    assert [(p.state, p.kind) for p in look(sweep).points] == [("running", ""), *[("failed", "cancelled")] * 3]
    assert look(sweep).points[0].words == ""


def test_a_workers_own_word_goes_before_slurms(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points[:2]])
    end = build.end("timeout", point=points[0].id, words="epoch 31 of 40 when the hour ended")
    build.attempt(sweep, 0, build.begin(points[0]), end)
    cluster.task("100_0", "NODE_FAIL")
    first, second = look(sweep).points[:2]
    assert (first.kind, first.words) == ("timeout", "epoch 31 of 40 when the hour ended")
    assert second.kind == "timeout"


def test_what_a_full_disk_left_untried_never_started(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points[:2]])
    failed = build.failed(points[0], "disk", "No space left on device (ENOSPC)")
    build.attempt(sweep, 0, build.begin(points[0]), failed, build.end("disk"))
    assert [(p.state, p.kind) for p in look(sweep).points[:2]] == [("failed", "disk"), ("failed", "never-started")]


def test_what_was_cancelled_by_filter_is_cancelled(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[p] for p in points])
    sweep.cancel_shards(0, [1], "lea")
    cluster.task("100_1", "CANCELLED")
    assert [p.kind for p in look(sweep).points] == ["", "cancelled", "", ""]


def test_too_many_failures_are_told_to_what_was_not_tried(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[points[0]], [points[1]], [points[2]]])
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
    build.submitted(sweep, cluster, [points[:2]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", state)
    found = look(sweep)
    assert found.over is (state in ENDED)
    if state not in ENDED:
        assert only(found).state in ("running", "waiting") and only(found, 1).state == "waiting"
        assert only(found).words == ("" if state == "RUNNING" else state)


def test_slurms_reason_is_told_of_what_waits(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[points[0]], [points[1]], [points[2]]])
    cluster.task("100_0", "PENDING", reason="Priority")
    cluster.task("100_1", "PENDING", reason="AssocGrpGRES")
    cluster.task("100_2", "RUNNING")
    assert [p.words for p in look(sweep).points[:3]] == ["Priority", "AssocGrpGRES", ""]


@pytest.mark.parametrize("reason", ["BeginTime", "None"])
def test_a_requeued_task_waits(sweep: Sweep, points: list[Point], cluster: Slurm, reason: str) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"))
    cluster.task("100_0", "PENDING", reason=reason)
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert only(found).words == ("BeginTime" if reason == "BeginTime" else "PENDING")


def test_a_task_that_slurm_requeued_after_its_node_died_waits(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "PENDING", reason="BeginTime")
    assert build.states(look(sweep)) == ["waiting"] * 4


def test_the_second_attempt_counts(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="preempted"), node="n1")
    build.attempt(sweep, 0, build.begin(points[0]), restart=1, node="n4")
    cluster.task("100_0", "RUNNING")
    found = only(look(sweep))
    assert (found.state, found.tries, found.attempt, found.node) == ("running", 2, "000-0-1", "n4")


def test_a_point_of_an_earlier_attempt_waits_until_it_begins_again(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="preempted"))
    build.attempt(sweep, 0, restart=1)
    cluster.task("100_0", "RUNNING")
    assert only(look(sweep)).state == "waiting"


def test_a_task_that_was_requeued_and_then_ended_without_a_word_is_over(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"))
    cluster.task("100_0", "CANCELLED")
    assert only(look(sweep)).kind == "cancelled"


def test_the_last_submission_of_a_point_decides(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    build.submitted(sweep, cluster, [[points[0]]], number=1, job="200", why="rerun")
    assert only(look(sweep)).state == "waiting"
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "oom"), build.end(), submission=1)
    found = only(look(sweep))
    assert (found.kind, found.tries, found.attempt, found.submission) == ("oom", 2, "001-0-0", 1)


def test_a_rerun_that_never_reached_slurm_leaves_the_point_failed(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [[points[0]]])
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
    build.submitted(sweep, cluster, [points])
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
    build.submitted(sweep, cluster, [points])
    cluster.task("100_0", state, exit="0:0")
    assert look(sweep).counts["done"] == 0


def test_a_task_that_slurm_does_not_know_yet_waits(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points], old=False)
    cluster.forget("squeue")
    cluster.forget("sacct")
    assert build.states(look(sweep)) == ["waiting"] * 4


def test_silence_does_not_wake_what_was_rerun(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    """The first submission was killed without a word; the second ended on the point. Slurm is silent now."""
    build.submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]))
    build.submitted(sweep, cluster, [[points[0]]], number=1, job="200")
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
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.end("requeue", cause="timeout"), at=5000.0, node="n1")
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end(), restart=1, at=10.0)
    for restart in range(2, 12):
        build.attempt(sweep, 0, build.begin(points[1]), restart=restart, at=-1.0 * restart, node=f"n{restart}")
    cluster.task("100_0", "RUNNING")
    found = look(sweep)
    assert only(found).kind == "nan"
    assert (only(found, 1).attempt, only(found, 1).tries) == ("000-0-11", 10)


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
    build.submitted(sweep, cluster, [points], job=None, pid=build.dead_process())
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
        lock.write('{"event":"runner","pid":1}\n')
        lock.flush()
        assert build.states(look(sweep)) == ["running", "waiting", "waiting", "waiting"]
        assert {p.words for p in look(sweep).points} == {""}
    found = look(sweep)
    assert [(p.state, p.kind) for p in found.points] == [("lost", "lost"), *[("failed", "never-started")] * 3]
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
    """The lock is made before the runner is born; the first line in it is the runner's."""
    build.claim(sweep, [points], cluster="local", job=None)
    assert build.states(look(sweep)) == ["waiting"] * 4
    local.path(sweep, 0).touch()
    assert build.states(look(sweep)) == ["waiting"] * 4
    local.path(sweep, 0).write_text('{"event":"runner","pid":1}\n')
    assert build.states(look(sweep)) == ["failed"] * 4


def test_another_hosts_runner_is_not_judged(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points], cluster="local", job=None, host="laptop")
    found = look(sweep)
    assert build.states(found) == ["waiting"] * 4
    assert found.notes == ["submission 000 runs on laptop; what it does now is not known here"]
