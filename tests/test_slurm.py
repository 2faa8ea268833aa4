"""What Slurm says is read as it says it, and whatever else it does is one error that quotes it."""

from __future__ import annotations

import getpass
from functools import partial

import pytest

from hpc_sweep import slurm
from hpc_sweep.errors import SURROUNDINGS
from hpc_sweep.slurm import Node, SilentError, Task
from stubs import ENDED, PROGRAMS, Slurm

QUESTIONS = {
    "squeue": lambda: slurm.queue(["a", "b"]),
    "sacct": lambda: slurm.history(["100"]),
    "scontrol": lambda: slurm.nodes(["n1"]),
    "scancel": lambda: slurm.cancel(["100_1"]),
    "sbatch": lambda: slurm.ask(["sbatch", "script.sh"]),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "ask", partial(slurm.ask, timeout=0.3))


# what it does not do


@pytest.mark.parametrize("program", QUESTIONS)
def test_a_missing_program_is_named(cluster: Slurm, program: str) -> None:
    cluster.remove(program)
    with pytest.raises(SilentError, match=f"`{program}` is not on this machine") as caught:
        QUESTIONS[program]()
    assert caught.value.exit_code == SURROUNDINGS


@pytest.mark.parametrize("program", [p for p in QUESTIONS if p != "scancel"])
def test_a_program_that_hangs_is_given_up(cluster: Slurm, impatient: None, program: str) -> None:
    cluster.hang(program)
    with pytest.raises(SilentError, match=f"`{program}` did not answer in"):
        QUESTIONS[program]()


@pytest.mark.parametrize("program", QUESTIONS)
def test_a_failure_is_quoted_without_the_name_of_the_program(cluster: Slurm, program: str) -> None:
    cluster.refuse(program, f"{program}: error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(SilentError) as caught:
        QUESTIONS[program]()
    assert caught.value.message == f"`{program}` failed: Unable to contact slurm controller (connect failure)"


def test_the_limit_is_quoted_that_stands_a_line_before_the_rule(cluster: Slurm) -> None:
    rule = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit)"
    cluster.refuse("sbatch", f"sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: {rule}")
    with pytest.raises(SilentError) as caught:
        slurm.ask(["sbatch", "x"])
    assert caught.value.message == f"`sbatch` failed: AssocMaxSubmitJobLimit; {rule}"


def test_a_failure_without_a_word_says_so(cluster: Slurm) -> None:
    cluster.behave("squeue", exit=3)
    with pytest.raises(SilentError, match="no reason given"):
        slurm.queue(["a"])


def test_a_program_that_may_not_be_run_is_named(cluster: Slurm) -> None:
    (cluster.folder / "squeue").chmod(0o644)
    with pytest.raises(SilentError, match="`squeue` "):
        slurm.queue(["a"])


@pytest.mark.parametrize(
    "nonsense", ["<html>504 Gateway Time-out</html>", "slurm_load_jobs error", "100|0|RUNNING", "100_1|0|R|x|n|1|a"]
)
def test_an_answer_that_is_no_answer_is_silence(cluster: Slurm, nonsense: str) -> None:
    cluster.behave("squeue", stdout=f"{nonsense}\n")
    cluster.behave("sacct", stdout=f"{nonsense}\n")
    with pytest.raises(SilentError, match="`squeue` answered"):
        slurm.queue(["a"])
    with pytest.raises(SilentError, match="`sacct` answered"):
        slurm.history(["100"])


def test_bytes_that_are_no_text_are_silence_too(cluster: Slurm) -> None:
    (cluster.folder / "squeue").write_text("#!/bin/sh\nprintf '\\377\\376\\000\\n'\n")
    with pytest.raises(SilentError, match="`squeue` answered"):
        slurm.queue(["a"])


# what is asked


def test_slurm_answers_in_seconds_and_in_full_whatever_the_users_settings(
    cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    monkeypatch.setenv("SLURM_BITSTR_LEN", "8")
    (cluster.folder / "squeue").write_text('#!/bin/sh\necho "$SLURM_TIME_FORMAT $SLURM_BITSTR_LEN $LC_ALL"\n')
    assert slurm.ask(["squeue"]) == "%s 0 C.UTF-8\n"


def test_the_queue_is_asked_once_for_all_names(cluster: Slurm) -> None:
    cluster.add(100, "a", 2)
    cluster.add(101, "b", 1)
    cluster.add(102, "somebody-elses", 5)
    assert [(t.job, t.index, t.name) for t in slurm.queue(["a", "b"])] == [
        ("100", 0, "a"),
        ("100", 1, "a"),
        ("101", 0, "b"),
    ]
    assert len(cluster.calls("squeue")) == 1


def test_tasks_that_were_ended_before_they_began_are_one_row_and_not_task_0(cluster: Slurm) -> None:
    cluster.behave("squeue", stdout="12|N/A|CANCELLED|None||0:00|a\n12|0|RUNNING|None|n1|0:03|a\n")
    assert slurm.queue(["a"]) == [
        Task("12", slurm.REST, "a", "CANCELLED", "None", ""),
        Task("12", 0, "a", "RUNNING", "None", "n1"),
    ]


def test_a_task_that_ended_lately_is_told_by_the_queue(cluster: Slurm) -> None:
    cluster.add(100, "a", 1)
    cluster.task("100_0", "NODE_FAIL", node="n3")
    assert slurm.queue(["a"]) == [Task("100", 0, "a", "NODE_FAIL", "None", "n3")]


def test_the_history_has_the_state_of_every_step(cluster: Slurm) -> None:
    cluster.add(100, "a", 2)
    cluster.task("100_1", "FAILED", node="n2", exit="0:9", steps=[("batch", "OUT_OF_MEMORY"), ("0", "CANCELLED by 0")])
    found = {t.index: t for t in slurm.history(["100"])}
    assert found[1] == Task("100", 1, "a", "FAILED", "None", "n2", "0:9", ("OUT_OF_MEMORY", "CANCELLED"))
    assert found[0].steps == ()


def test_tasks_that_never_started_share_a_row(cluster: Slurm) -> None:
    cluster.row(id="60850016_[0-2,7%4]", name="a", state="CANCELLED by 0", exit="0:0", reason="JobHeldUser")
    found = slurm.history(["60850016"])
    assert [(t.index, t.state) for t in found] == [(i, "CANCELLED") for i in (0, 1, 2, 7)]


def test_a_row_of_its_own_goes_over_the_shared_one(cluster: Slurm) -> None:
    cluster.row(id="12_3", name="a", state="COMPLETED", exit="0:0")
    cluster.row(id="12_[0-5]", name="a", state="PENDING")
    assert {t.index: t.state for t in slurm.history(["12"])}[3] == "COMPLETED"


def test_a_part_of_a_heterogeneous_job_is_passed_over(cluster: Slurm) -> None:
    cluster.row(id="12+0", name="other", state="RUNNING")
    cluster.row(id="12", name="a", state="", exit="")
    assert slurm.history(["12"]) == [Task("12", slurm.REST, "a", "")]


@pytest.mark.parametrize("state", ENDED)
def test_ten_states_end_a_task(state: str) -> None:
    assert Task("1", 0, "a", state).ended
    assert state in slurm.ENDED
    assert len(slurm.ENDED) == 10


@pytest.mark.parametrize(
    ("state", "reason", "exit_", "killed"),
    [
        ("FAILED", "JobLaunchFailure", "", True),
        ("FAILED", "None", "0:9", True),
        ("FAILED", "NonZeroExitCode", "1:0", False),
        ("CANCELLED", "None", "0:9", False),
        ("TIMEOUT", "None", "0:15", False),
    ],
)
def test_a_task_was_killed_when_slurm_did_not_do_it(state: str, reason: str, exit_: str, killed: bool) -> None:
    assert Task("1", 0, "a", state, reason, exit=exit_).killed is killed


# nodes


@pytest.mark.parametrize(
    ("state", "ill"),
    [
        ("IDLE", False), ("MIXED", False), ("ALLOCATED", False), ("IDLE+DRAIN", False), ("DOWN", True),
        ("DOWN+DRAIN", True), ("IDLE*", True), ("MIXED+NOT_RESPONDING", True), ("FAIL", True), ("REBOOT_ISSUED", True),
    ],
)  # fmt: skip
def test_a_node_is_ill_by_its_state(cluster: Slurm, state: str, ill: bool) -> None:
    cluster.node("n1", State=state)
    assert slurm.nodes(["n1"])["n1"].ill is ill


def test_nodes_are_asked_for_at_once_and_know_when_they_came_up(cluster: Slurm) -> None:
    cluster.node("n2", SlurmdStartTime="1790000000")
    cluster.node("n3", SlurmdStartTime="None")
    assert slurm.nodes({"n3", "n2"}) == {"n2": Node("n2", "IDLE", 1_790_000_000.0), "n3": Node("n3", "IDLE", 0.0)}
    assert cluster.calls("scontrol") == [["scontrol", "-o", "show", "node", "n2,n3"]]


# limits


def test_limits_of_a_cluster(cluster: Slurm) -> None:
    cluster.config(MaxArraySize="500")
    limits = slurm.limits(getpass.getuser())
    assert (limits.max_array, limits.submit_left, limits.accounting) == (500, None, True)
    assert (limits.cluster, limits.version) == ("pretended", "22.05.8")


@pytest.mark.parametrize(
    ("lines", "queued", "left"),
    [
        (["|"], 7, None),
        (["10|"], 7, 3),
        (["10|8"], 7, 1),
        (["|", "12|"], 7, 5),
        (["5|"], 7, 0),
    ],
)
def test_what_may_still_be_queued(cluster: Slurm, lines: list[str], queued: int, left: int | None) -> None:
    cluster.limits(*lines)
    cluster.add(90, "others", queued)
    assert slurm.limits("lea").submit_left == left


@pytest.mark.parametrize("program", ["sacctmgr", "squeue"])
def test_a_limit_that_nobody_tells_is_none(cluster: Slurm, program: str) -> None:
    cluster.limits("10|")
    cluster.remove(program)
    assert slurm.limits("lea").submit_left is None


def test_without_accounting_nobody_is_asked_for_limits(cluster: Slurm) -> None:
    cluster.config(AccountingStorageType="accounting_storage/none")
    assert slurm.limits("lea").accounting is False
    assert cluster.calls("sacctmgr") == []


def test_limits_that_are_not_enforced_are_none(cluster: Slurm) -> None:
    cluster.limits("10|")
    cluster.config(AccountingStorageEnforce="associations")
    assert slurm.limits("lea").submit_left is None
    assert cluster.calls("sacctmgr") == []


def test_a_cluster_has_a_name_or_none(cluster: Slurm) -> None:
    assert slurm.cluster_name() == "pretended"
    cluster.remove("scontrol")
    assert slurm.cluster_name() == ""


# orders


def test_many_tasks_are_cancelled_in_bundles(cluster: Slurm) -> None:
    slurm.cancel([f"100_{k}" for k in range(1200)])
    assert [len(call) - 1 for call in cluster.calls("scancel")] == [500, 500, 200]


def test_what_waits_is_cancelled_by_name(cluster: Slurm) -> None:
    slurm.cancel_pending(["a", "b"])
    assert cluster.calls("scancel") == [["scancel", "--state=PENDING", "--name=a,b"]]


@pytest.mark.parametrize(
    ("text", "preempted", "restarts"),
    [
        ("JobId=12 Restarts=2 PreemptTime=2026-11-20T10:00:00 Reason=None", True, 2),
        ("JobId=12 Restarts=0 PreemptTime=None", False, 0),
        ("JobId=12", False, 0),
    ],
)
def test_what_slurm_intends_with_a_task(cluster: Slurm, text: str, preempted: bool, restarts: int) -> None:
    cluster.job_text(text)
    told = slurm.comeback("12")
    assert (told.preempted, told.restarts) == (preempted, restarts)


def test_every_program_is_pretended(cluster: Slurm) -> None:
    """The tests of this file would reach a real Slurm if one of the programs were not ours."""
    import shutil

    assert {shutil.which(p) for p in PROGRAMS} == {str(cluster.folder / p) for p in PROGRAMS}
