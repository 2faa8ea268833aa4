"""Submitting dies, or the disk fails, at any operation: the same command again starts everything, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import dying, ground
from chaos.dying import DISK, Fate, Outcome
from hpc_sweep import slurm, status

LEAST = 60  # file operations of one submission, and what it asks of Slurm


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = ground.project(tmp_path_factory.mktemp("submit") / "p")
    ground.with_slurm(root)
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> dict[str, str]:
    """What a submission comes to that nothing disturbs."""
    root = dying.copy(template, "undisturbed")
    dying.well(lambda: submit_again(root), folder=root)
    return dict(dying.well(lambda: finish(root), folder=root))


def finish(root: Path) -> dict[str, str]:
    """Run all tasks that Slurm has, collect; the bytes of all dumps and results."""
    for job in ground.jobs(root):
        assert ground.task(root, job) == 0
    assert ground.command(root, "collect") == 0
    return ground.written(root)


def look(root: Path) -> dict[str, str]:
    """What status says; before there is a sweep, nothing."""
    if (ground.sweep(root).folder / "sweep.json").exists():
        return ground.states(root)
    assert ground.jobs(root) == {}
    return {}


def started(root: Path) -> list[str]:
    """The points of every job that sbatch took, as its claim has them."""
    claims = {a.name: a for s in ground.sweep(root).submissions() for a in s.claim.arrays}
    taken = [claims[job["name"]] for job in ground.jobs(root).values()]
    return [point for array in taken for shard in array.shards for point in shard]


def submit_again(root: Path) -> None:
    """The same command again: what Slurm has stays, what it lacks is given to it, once."""
    ground.on_slurm(root)
    before = ground.jobs(root)
    assert {point for point, state in look(root).items() if state == "waiting"} == set(started(root) if before else ())
    assert ground.submit_to_slurm(root) == 0
    ground.once_each(started(root), ground.ids(root))
    assert ground.jobs(root).items() >= before.items()
    assert set(look(root).values()) == {"waiting"}
    found = status.compute(ground.sweep(root))
    arrays = {(s.number, k) for s in found.submissions for k in range(len(s.claim.arrays))}
    known = {(s.number, k) for s in found.submissions for k in s.jobs} | set(found.jobs_found)
    assert known == arrays  # of none it is left open what became of it


@pytest.mark.parametrize(("how", "least"), [("before", LEAST), ("half", 7)])
def test_killed_and_repeated(how: str, least: int, template: Path, undisturbed: dict[str, str]) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.status == -9
        dying.well(lambda: submit_again(root), folder=root)
        if len(outcome.operations) % 5 == 0:
            assert dying.well(lambda: finish(root), folder=root) == undisturbed

    dying.every(template, ground.submit_to_slurm, check, how=how, least=least)


@pytest.mark.parametrize("how", DISK)
def test_a_failing_disk(how: str, template: Path) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        if outcome.value == 0:  # a temporary that had become the file could not be removed
            assert outcome.operations[-1].startswith("unlink")
        else:
            ground.refused(outcome, how, root)
        if how in ("ENOSPC", "EDQUOT") and (root / "sweeps").exists():
            assert ground.strays(root) == []
        dying.well(lambda: submit_again(root), folder=root)

    dying.every(template, ground.submit_to_slurm, check, how=how, least=LEAST, step=1 if how == "ENOSPC" else 5)


def test_an_array_that_arrives_after_it_was_given_up_does_nothing(template: Path, undisturbed: dict[str, str]) -> None:
    """The submitter is killed while sbatch waits for a slow controller; its user submits again at once."""
    root = dying.copy(template, "late")
    calm = dying.copy(template, "calm")
    calls = dying.run(lambda: ground.submit_to_slurm(calm), folder=calm).operations
    first = 1 + next(n for n, call in enumerate(calls) if call.startswith("sbatch"))
    assert dying.run(lambda: ground.submit_to_slurm(root), Fate(first, "before"), folder=root).fired
    dying.well(lambda: submit_again(root), folder=root)
    (script,) = ground.sweep(root).logs.glob("hs-trial-000-0-*.sh")
    job = dying.well(lambda: ground.on_slurm(root) or slurm.ask(["sbatch", str(script)]).split()[-1], folder=root)
    assert dying.well(lambda: ground.task(root, job), folder=root) == 1
    assert ground.told(root, "begin") == []
    for job in ("100", "101"):
        assert dying.well(lambda j=job: ground.task(root, j), folder=root) == 0  # type: ignore[misc]
    assert dying.well(lambda: ground.command(root, "collect"), folder=root) == 0
    assert ground.written(root) == undisturbed


def test_rerun_takes_up_what_never_reached_slurm(template: Path) -> None:
    """What the note of `status` promises of a submission whose submitter was killed."""

    def check(root: Path, outcome: Outcome) -> None:
        if not (ground.sweep(root).folder / "submissions" / "000.json").exists():
            return
        before = set(started(root) if ground.jobs(root) else ())
        dying.well(lambda: ground.on_slurm(root) or ground.command(root, "rerun", "--yes"), folder=root)
        ground.once_each(started(root), ground.ids(root))
        assert before <= set(started(root))

    dying.every(template, ground.submit_to_slurm, check, how="before", least=LEAST, step=4)
