"""Rerunning and cancelling die, or the disk fails, at any operation: said again, every point is mended or stopped once."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import dying, ground
from chaos.dying import Outcome


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four points wait in two tasks of a Slurm."""
    root = ground.project(tmp_path_factory.mktemp("mend") / "p")
    ground.with_slurm(root)
    assert dying.well(lambda: ground.submit_to_slurm(root), folder=root) == 0
    return root


@pytest.fixture(scope="module")
def whole(waiting: Path) -> Path:
    """All four are done."""
    root = dying.copy(waiting, "whole")
    for job in ("100", "101"):
        assert dying.well(lambda j=job: ground.task(root, j), folder=root) == 0  # type: ignore[misc]
    return root


@pytest.fixture(scope="module")
def broken(whole: Path) -> Path:
    """The first and the last dump are damaged."""
    root = dying.copy(whole, "broken")
    for point in damaged(root):
        path = ground.sweep(root).dump_path(point)
        path.write_bytes(path.read_bytes()[:-40])
    return root


def damaged(root: Path) -> list[str]:
    points = ground.ids(root)
    return [points[0], points[-1]]


def rerun(root: Path) -> int:
    ground.on_slurm(root)
    return ground.command(root, "rerun", "--yes")


def rerun_again(root: Path) -> None:
    """What is in the way goes aside once, and every damaged point is queued once."""
    ground.on_slurm(root)
    assert set(ground.states(root).values()) <= {"done", "damaged", "lost", "waiting"}
    assert rerun(root) == 0
    assert rerun(root) == 0
    aside = {p.name: p.read_bytes() for p in ground.sweep(root).quarantine.iterdir()}
    assert aside.keys() == {f"{point}.h5" for point in damaged(root)}
    assert all(data[-1:] != b"\n" for data in aside.values())  # as they were found
    claims = {a.name: a for s in ground.sweep(root).submissions() for a in s.claim.arrays}
    new = [j["name"] for number, j in ground.jobs(root).items() if int(number) > 101]
    ground.once_each([p for name in new for shard in claims[name].shards for p in shard], damaged(root))


def run_again(root: Path) -> None:
    for number in ground.jobs(root):
        if int(number) > 101:
            assert ground.task(root, number) == 0


@pytest.mark.parametrize(("how", "least"), [("before", 35), ("half", 4), ("ENOSPC", 35), ("EIO", 35)])
def test_rerun(how: str, least: int, broken: Path, whole: Path) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        if how in dying.DISK and outcome.value:
            ground.refused(outcome, how, root)
        dying.well(lambda: rerun_again(root), folder=root)
        if len(outcome.operations) % 5 == 0:
            dying.well(lambda: run_again(root), folder=root)
            assert ground.written(root) == ground.written(whole)

    dying.every(broken, rerun, check, how=how, least=least, step=7 if how in dying.DISK else 1)


def cancel(root: Path) -> int:
    ground.on_slurm(root)
    return ground.command(root, "cancel", "--yes")


def cancelled(root: Path) -> set[str]:
    """The tasks that scancel was told of."""
    return {task for _, *words in ground.calls(root, "scancel") for task in words}


def cancel_again(root: Path) -> None:
    """Slurm is told of every task; one that starts all the same begins nothing."""
    assert cancel(root) == 0
    assert cancelled(root) == {"100_0", "101_0"}
    for job in ("100", "101"):
        assert ground.task(root, job) == 1
    assert ground.told(root, "begin") == []
    assert set(ground.states(root).values()) == {"failed"}


@pytest.mark.parametrize(("how", "least"), [("before", 8), ("half", 1), ("ENOSPC", 8)])
def test_cancel(how: str, least: int, waiting: Path) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        if how in dying.DISK and outcome.value:
            ground.refused(outcome, how, root)
            assert cancelled(root) == set()  # a task that Slurm would only start again must know why it ended
        dying.well(lambda: cancel_again(root), folder=root)

    dying.every(waiting, cancel, check, how=how, least=least)
