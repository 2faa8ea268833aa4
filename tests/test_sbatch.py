"""Handing arrays to Slurm: what its refusals come to, and that no point is sent twice whatever breaks on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import fates, files, launch, sbatch, status
from hpc_sweep.errors import SurroundingsError
from hpc_sweep.ledger import Sweep
from hpc_sweep.project import Project
from hpc_sweep.sbatch import SbatchTimeout
from stubs import Slurm


@pytest.fixture
def project(tmp_path: Path, cluster: Slurm) -> Project:
    return build.project(tmp_path / "a project")


@pytest.fixture
def sweep(project: Project) -> Sweep:
    return Sweep(project.sweeps / "trial")


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims say that they were made by a process that lives no more."""
    monkeypatch.setattr(fates, "own_process", build.dead_process)


# sbatch refuses

REFUSALS = [
    ("Invalid partition name specified", "check `partition` in the profile"),
    ("Invalid account or account/partition combination specified", "check `(account|partition)` in the profile"),
    ("Requested node configuration is not available", "asks for more than any node has"),
    ("Requested time limit is invalid (missing or exceeds some limit)", "check `limits: minutes`"),
    ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "limit of your account"),
    ("Unable to contact slurm controller (connect failure)", "nothing was started"),
    ("Access/permission denied", "nothing was started"),
]


@pytest.mark.parametrize(("sentence", "hint"), REFUSALS)
def test_a_refusal_is_passed_on_and_the_claim_closed(
    project: Project, sweep: Sweep, cluster: Slurm, sentence: str, hint: str
) -> None:
    import re

    cluster.refuse("sbatch", f"sbatch: error: Batch job submission failed: {sentence}")
    path = build.grid(project)
    with pytest.raises(SurroundingsError) as caught:
        build.submit(project, path)
    assert caught.value.exit_code == 3 and sentence in caught.value.message
    assert caught.value.hint and re.search(hint, caught.value.hint)
    closed = sweep.submission(0).closed
    assert closed and closed["why"] == "rejected" and sentence in closed["words"]
    assert status.compute(sweep).counts["new"] == 8
    cluster.recover("sbatch")
    build.submit(project, path)
    assert [s.number for s in sweep.submissions()] == [0, 1]
    assert set(build.sent(sweep, cluster).values()) == {1}


def test_the_limit_of_the_queue_at_the_first_array(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    sentence = "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates policy"
    cluster.refuse("sbatch", sentence)
    with pytest.raises(SurroundingsError, match="AssocMaxSubmitJobLimit") as caught:
        build.submit(project, build.grid(project))
    assert caught.value.hint and "--limit" in caught.value.hint


@pytest.mark.parametrize("limit", ["AssocMaxSubmitJobLimit", "QOSMaxSubmitJobPerUserLimit", "AssocGrpSubmitJobsLimit"])
def test_the_limit_of_the_queue_at_a_later_array_leaves_the_rest_for_later(
    project: Project, sweep: Sweep, cluster: Slurm, limit: str
) -> None:
    cluster.config(MaxArraySize="3")
    rule = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit)"
    cluster.refuse("sbatch", f"sbatch: error: {limit}\nsbatch: error: {rule}", first=2)
    path = build.grid(project, seeds=4, per_shard=1)
    build.submit(project, path)
    jobs = sweep.submission(0).jobs
    assert jobs[0] == {"job": "100", "tasks": 3}
    assert limit in jobs[1]["refused"] and limit in jobs[2]["refused"]
    assert status.compute(sweep).counts == {**dict.fromkeys(status.STATES, 0), "waiting": 3, "new": 5}
    cluster.recover("sbatch")
    proposal, _ = build.submit(project, path)
    assert len(proposal.chosen) == 5
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8


def test_another_refusal_at_a_later_array_says_what_was_taken(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    cluster.refuse("sbatch", "sbatch: error: Batch job submission failed: Unspecified error", first=3)
    with pytest.raises(SurroundingsError, match="Slurm took 2 of 3 arrays: .*Unspecified error"):
        build.submit(project, build.grid(project, seeds=4, per_shard=1))
    assert status.compute(sweep).counts["new"] == 2
    assert sweep.submission(0).closed is None


DOUBTS: dict[str, dict[str, Any]] = {
    "hangs": {"sleep": 60},
    "nonsense": {"stdout": "Have a nice day\n"},
    "nothing": {},
    "broken connection": {
        "exit": 1,
        "stderr": "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
    },
}


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("how", DOUBTS)
def test_when_nobody_knows_whether_slurm_took_it_its_name_tells(
    project: Project, sweep: Sweep, cluster: Slurm, monkeypatch: pytest.MonkeyPatch, mortal: None, how: str, taken: bool
) -> None:
    monkeypatch.setattr(sbatch, "TIMEOUT", 0.5)
    cluster.behave("sbatch", does_it=taken, **DOUBTS[how])
    path = build.grid(project)
    with pytest.raises(SbatchTimeout) as caught:
        build.submit(project, path)
    assert caught.value.hint and "by its name" in caught.value.hint
    assert sweep.submission(0).closed is None and sweep.submission(0).jobs == {}
    found = status.compute(sweep)
    assert found.counts["waiting" if taken else "new"] == 8
    cluster.recover("sbatch")
    build.again(project, path)
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8


# killed on the way

STEPS: dict[str, tuple[Any, str]] = {
    "grid": (Sweep, "write_version"),
    "code": (launch, "_write_code"),
    "claim": (Sweep, "claim"),
    "file": (files, "write_atomic"),
    "sbatch": (sbatch, "hand_in"),
    "ids": (Sweep, "record_jobs"),
}
MOMENTS = [
    *((step, 1, when) for step in ("grid", "code", "claim") for when in ("before", "after")),
    *(("file", call, "before") for call in range(1, 7)),
    *((step, call, when) for step in ("sbatch", "ids") for call in (1, 2) for when in ("before", "after")),
]


@pytest.mark.parametrize(("step", "call", "when"), MOMENTS)
def test_killed_anywhere_and_repeated_every_point_is_sent_once(
    project: Project, sweep: Sweep, cluster: Slurm, mortal: None, step: str, call: int, when: str
) -> None:
    cluster.config(MaxArraySize="2")
    path = build.grid(project)  # two arrays of two tasks of two points
    owner, name = STEPS[step]
    real, calls = getattr(owner, name), 0

    def fatal(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if (calls, when) == (call, "before"):
            raise build.Killed
        result = real(*args, **more)
        if calls == call:
            raise build.Killed
        return result

    with pytest.MonkeyPatch.context() as patch, pytest.raises(build.Killed):
        patch.setattr(owner, name, fatal)
        build.submit(project, path)
    build.again(project, path)
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8
    assert status.compute(sweep).counts["waiting"] == 8


def test_a_claim_that_never_reached_slurm_is_given_up_by_the_next_submit(
    project: Project, sweep: Sweep, cluster: Slurm, mortal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build.grid(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbatch, "hand_in", build.raiser(build.Killed()))
        with pytest.raises(build.Killed):
            build.submit(project, path)
    assert build.again(project, path)
    assert sweep.submission(0).jobs == {0: {"refused": "its submitter was killed before Slurm took it", "tasks": 0}}
    assert sweep.submission(1).jobs == {0: {"job": "100", "tasks": 4}}
    assert "never reached" not in " ".join(status.compute(sweep).notes)


def test_an_array_whose_id_was_never_written_is_adopted(
    project: Project, sweep: Sweep, cluster: Slurm, mortal: None
) -> None:
    cluster.config(MaxArraySize="3")
    path = build.grid(project, seeds=4, per_shard=1)
    real = Sweep.record_jobs

    def record(self: Sweep, number: int, jobs: dict[int, Any]) -> None:
        if 1 in jobs:
            raise build.Killed
        real(self, number, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "record_jobs", record)
        with pytest.raises(build.Killed):
            build.submit(project, path)
    claim = build.again(project, path)
    assert claim and [len(a.shards) for a in claim.arrays] == [2]
    adopted = sweep.submission(0).jobs
    assert (adopted[0]["job"], adopted[1]) == ("100", {"job": "101", "tasks": 3})
    assert "killed" in adopted[2]["refused"]


def test_a_submitter_that_lives_is_left_alone(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    """Another `submit` looks while the first is between its claim and sbatch."""
    path = build.grid(project)
    real = sbatch.hand_in
    seen: list[Any] = []

    def meanwhile(script: Path) -> str:
        seen.append(build.again(project, path))
        seen.append(sweep.submission(0).jobs)
        return real(script)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbatch, "hand_in", meanwhile)
        build.submit(project, path)
    assert seen == [None, {}]
    assert sweep.submission(0).jobs == {0: {"job": "100", "tasks": 4}}


def test_nobody_else_writes_down_the_arrays_of_a_submitter_that_lives(
    project: Project, sweep: Sweep, cluster: Slurm
) -> None:
    """Another submits other points while the first has called sbatch and not yet written its answer down."""
    path = build.grid(project)
    real, seen = Sweep.record_jobs, []

    def record(self: Sweep, number: int, jobs: dict[int, Any]) -> None:
        if number == 0:
            build.submit(project, path, only=["seed=1"])
            seen.append(sweep.jobs(0))
        real(self, number, jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "record_jobs", record)
        build.submit(project, path, only=["seed=0"])
    assert seen == [{}]
    assert [s.jobs[0]["job"] for s in sweep.submissions()] == ["100", "101"]


@pytest.mark.parametrize("how", ["closed", "refused"])
def test_a_submission_that_somebody_gave_up_is_not_gone_on_with(
    project: Project, sweep: Sweep, cluster: Slurm, how: str
) -> None:
    cluster.config(MaxArraySize="3")
    real = sbatch.hand_in

    def meanwhile(script: Path) -> str:
        job = real(script)
        if how == "closed":
            sweep.close(0, "max-fails", "5 of 8 points failed with nan")
        return job

    def record(self: Sweep, number: int, jobs: dict[int, Any]) -> None:
        given_up = {1: {"refused": "given up", "tasks": 0}} if how == "refused" else {}
        recorded(self, number, {**jobs, **given_up})

    recorded = Sweep.record_jobs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbatch, "hand_in", meanwhile)
        patch.setattr(Sweep, "record_jobs", record)
        with pytest.raises(SurroundingsError, match="submission 000 was given up by somebody else"):
            build.submit(project, build.grid(project, seeds=4, per_shard=1))
    assert len(cluster.jobs) == 1
