"""On a laptop: the one who submits or the runner dies at any operation, and submitting or rerunning finishes the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import dying, ground
from chaos.dying import DISK, Outcome


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ground.project(tmp_path_factory.mktemp("local") / "p")


@pytest.fixture(scope="module")
def claimed(template: Path) -> Path:
    """Submitted, and the runner has not begun."""
    root = dying.copy(template, "claimed")
    assert dying.well(lambda: ground.submit_locally(root, ground.never), folder=root) == 0
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> dict[str, str]:
    root = dying.copy(template, "undisturbed")
    assert dying.well(lambda: ground.submit_locally(root), folder=root) == 0
    return ground.written(root)


def finish(root: Path) -> None:
    """Submit again, then have run again what failed: two commands are enough."""
    before = ground.inodes(root)
    if before:
        ground.states(root)
    assert dying.well(lambda: ground.submit_locally(root), folder=root) == 0
    if set(ground.states(root).values()) != {"done"}:
        assert dying.well(lambda: ground.rerun_locally(root), folder=root) == 0
    assert set(ground.states(root).values()) == {"done"}
    assert ground.inodes(root).items() >= before.items()
    assert max(ground.dones(root).values()) == 1


@pytest.mark.parametrize(("how", "least"), [("before", 35), ("half", 6)])
def test_a_killed_submission(how: str, least: int, template: Path, undisturbed: dict[str, str]) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.status == -9
        finish(root)
        assert ground.written(root) == undisturbed

    dying.every(template, ground.submit_locally, check, how=how, least=least)


@pytest.mark.parametrize("how", DISK)
def test_a_failing_disk_under_a_submission(how: str, template: Path, undisturbed: dict[str, str]) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        if outcome.value:
            ground.refused(outcome, how, root)
        finish(root)
        assert ground.written(root) == undisturbed

    dying.every(template, ground.submit_locally, check, how=how, least=35, step=2 if how == "ENOSPC" else 11)


@pytest.mark.parametrize("how", ["before", "half", "ENOSPC", "EIO"])
def test_a_runner(how: str, claimed: Path, undisturbed: dict[str, str]) -> None:
    """It dies with its workers; a full disk keeps it from taking down how they ended, and no more."""

    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.error == ""
        finish(root)
        assert ground.written(root) == undisturbed

    dying.every(claimed, ground.run_locally, check, how=how, least=3 if how == "half" else 5)
