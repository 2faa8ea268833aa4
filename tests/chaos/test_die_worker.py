"""A worker, its child or both die at any operation, or the disk fails: what is done stays, all else is done again.

And every dump has the bytes that it has when nothing disturbs.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chaos import dying, ground
from chaos.dying import CHILD, DISK, PARENT, Fate, Outcome

IN_CHILD = 80  # operations of three points that save after none, one and two steps
IN_PARENT = 15


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three points in one shard, submitted, and nobody has begun."""
    root = ground.project(tmp_path_factory.mktemp("worker") / "p", ground.ONE_SHARD)
    assert dying.well(lambda: ground.submit_locally(root, ground.never), folder=root) == 0
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> dict[str, str]:
    root = dying.copy(template, "undisturbed")
    assert dying.well(lambda: ground.shard(root), folder=root) == 0
    assert ground.strays(root) == []
    return ground.written(root)


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 36 steps in all, as job 100 of a Slurm."""
    root = ground.project(tmp_path_factory.mktemp("queued") / "p", ground.LONG)
    ground.with_slurm(root)
    assert dying.well(lambda: ground.submit_to_slurm(root), folder=root) == 0
    return root


def checkpoints(root: Path) -> list[Path]:
    return sorted((ground.sweep(root).folder / "scratch").glob("[0-9a-f]*/step-*"))


def look(root: Path) -> dict[str, int]:
    """Nothing is half there: not a dump, not a checkpoint. Which file each dump is."""
    assert "damaged" not in ground.states(root).values()
    for found in checkpoints(root):
        assert {p.name for p in found.iterdir()} == {"state.json", "history.json"}
    assert sum(a.torn for a in ground.sweep(root).attempts()) <= 1
    return ground.inodes(root)


def all_done(root: Path, before: dict[str, int]) -> None:
    assert set(ground.states(root).values()) == {"done"}
    assert ground.inodes(root).items() >= before.items()  # what was done was left alone
    assert max(ground.dones(root).values(), default=1) == 1


def come_again(root: Path) -> None:
    """Slurm starts the same task again."""
    before = look(root)
    assert ground.shard(root) == 0
    all_done(root, before)
    assert checkpoints(root) == []


def rerun(root: Path) -> None:
    """The user has what failed run again."""
    before = look(root)
    assert ground.rerun_locally(root, ground.never) == 0
    last = ground.sweep(root).submissions()[-1].number
    if last:
        assert ground.shard(root, last) == 0
    all_done(root, before)


@pytest.mark.parametrize(
    ("how", "where", "least"), [("before", PARENT, IN_PARENT), ("half", PARENT, 10), ("node", CHILD, IN_CHILD)]
)
def test_killed_and_started_again(
    how: str, where: str, least: int, template: Path, undisturbed: dict[str, str]
) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.status == -9
        dying.well(lambda: come_again(root), folder=root)
        assert ground.written(root) == undisturbed

    dying.every(template, ground.shard, check, how=how, least=least, where=where)


@pytest.mark.parametrize(("how", "least", "step"), [("before", IN_CHILD, 3), ("half", 9, 1)])
def test_the_death_of_a_child_costs_its_point(
    how: str, least: int, step: int, template: Path, undisturbed: dict[str, str]
) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert (outcome.status, outcome.error) == (0, "")
        assert [(f["kind"], f["words"]) for f in ground.told(root, "failed")] == [("crash", "killed by SIGKILL")]
        assert (outcome.value == 0) == (len(ground.inodes(root)) == 3)
        dying.well(lambda: rerun(root), folder=root)
        assert ground.written(root) == undisturbed

    dying.every(template, ground.shard, check, how=how, least=least, where=CHILD, step=step)


@pytest.mark.parametrize("where", [PARENT, CHILD])
@pytest.mark.parametrize("how", DISK)
def test_a_failing_disk(how: str, where: str, template: Path, undisturbed: dict[str, str]) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert (outcome.status, outcome.error) == (0, "")
        if outcome.value == 0:  # what failed was to remove something
            assert len(ground.inodes(root)) == 3
        else:
            assert outcome.value == 3
            assert f"({how})" in outcome.text
            assert str(root) in outcome.text
        begun = {e["point"] for e in ground.told(root, "begin")}
        assert len(begun) <= len(ground.inodes(root)) + 1  # the others were not tried
        assert {e["kind"] for e in ground.told(root, "failed")} <= {"disk"}
        dying.well(lambda: rerun(root), folder=root)
        assert ground.written(root) == undisturbed

    least, step = (
        (IN_PARENT, 1 if how == "ENOSPC" else 5) if where == PARENT else (IN_CHILD, 3 if how == "ENOSPC" else 17)
    )
    dying.every(template, ground.shard, check, how=how, least=least, where=where, step=step)


def test_a_full_disk_is_named_though_the_attempt_could_not_say_so(queued: Path) -> None:
    """The exit code tells it, as Slurm's accounting keeps it."""
    root = dying.copy(queued, "full")
    outcome = dying.run(lambda: ground.task(root, "100"), Fate(6, "ENOSPC", PARENT), folder=root)
    assert (outcome.value, ground.told(root, "failed"), ground.told(root, "end")) == (3, [], [])
    ground.say(root, "100_0", "FAILED", exit="3:0")
    found = dying.well(lambda: ground.on_slurm(root) or ground.kinds(root), folder=root)
    assert found == ["disk", "never-started", "never-started"]


def test_a_warning_in_the_middle_of_a_write_leaves_no_half(queued: Path) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert (outcome.status, outcome.error, outcome.value) == (0, "", 0)
        assert ground.strays(root) == []
        assert [e["why"] for e in ground.told(root, "end")] in (["requeue"], ["finished"])
        dying.well(lambda: (ground.on_slurm(root), look(root)), folder=root)

    dying.every(queued, lambda root: ground.task(root, "100"), check, how="signal", least=500, where=CHILD, step=29)


@pytest.mark.parametrize("seed", range(3))
def test_interrupted_ten_times_it_has_the_same_bytes(seed: int, queued: Path) -> None:
    root, calm = dying.copy(queued, f"restless-{seed}"), dying.copy(queued, f"calm-{seed}")
    dice = random.Random(seed)
    for restart in range(10):
        fate = Fate(dice.randint(5, 40), dice.choice(["node", "signal"]), CHILD)
        outcome = dying.run(lambda r=restart: ground.task(root, "100", restart=r), fate, folder=root)  # type: ignore[misc]
        assert outcome.fired
        dying.well(lambda: (ground.on_slurm(root), look(root)), folder=root)
    assert len(list(ground.sweep(root).attempts())) == 10
    for place in (root, calm):
        assert dying.well(lambda at=place: ground.task(at, "100", restart=10), folder=place) == 0  # type: ignore[misc]
    assert ground.written(root) == ground.written(calm)
    assert ground.dones(root) == ground.dones(calm)
