"""Collecting dies, or the disk fails, at any operation: what was collected before remains until the new takes its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos import dying, ground
from chaos.dying import DISK, Outcome
from hpc_sweep import collect as collecting
from hpc_sweep import results


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of four points were collected, the other two are done since."""
    root = ground.project(tmp_path_factory.mktemp("collect") / "p")
    for more in (("--limit", "2"), ()):
        assert dying.well(lambda words=more: ground.submit_locally(root, ground.runner, *words), folder=root) == 0  # type: ignore[misc]
        if more:
            assert dying.well(lambda: ground.command(root, "collect"), folder=root) == 0
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> dict[str, str]:
    root = dying.copy(template, "undisturbed")
    assert dying.well(lambda: ground.command(root, "collect"), folder=root) == 0
    return ground.written(root)


def collect(root: Path) -> int:
    return ground.command(root, "collect")


def collect_large(root: Path) -> int:
    """As if it did not fit into memory: HDF5 writes to the disk as it goes."""
    collecting._IN_MEMORY = 0
    return collect(root)


WAYS = pytest.mark.parametrize(("act", "least"), [(collect, 12), (collect_large, 25)])


def old_or_new(root: Path, template: Path, undisturbed: dict[str, str]) -> None:
    old, now = ground.written(template), ground.written(root)
    assert now.keys() == undisturbed.keys()
    for name, digest in now.items():
        assert digest in (old[name], undisturbed[name]), name
    rows = len(results.load(ground.sweep(root).results).rows)
    assert rows == (2 if now["results/results.h5"] == old["results/results.h5"] else 4)


@WAYS
@pytest.mark.parametrize("how", ["before", "half"])
def test_killed(how: str, act: Callable[[Path], int], least: int, template: Path, undisturbed: dict[str, str]) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        assert outcome.status == -9
        old_or_new(root, template, undisturbed)
        assert dying.well(lambda: act(root), folder=root) == 0
        assert ground.written(root) == undisturbed

    step = 3 if (how, act) == ("half", collect_large) else 1
    dying.every(template, act, check, how=how, least=2 if how == "half" else least, step=step)


@WAYS
@pytest.mark.parametrize("how", DISK)
def test_a_failing_disk(
    how: str, act: Callable[[Path], int], least: int, template: Path, undisturbed: dict[str, str]
) -> None:
    def check(root: Path, outcome: Outcome) -> None:
        old_or_new(root, template, undisturbed)
        if outcome.value == 0:
            assert outcome.operations[-1].startswith("unlink")
        else:
            ground.refused(outcome, how, root)
        if how in ("ENOSPC", "EDQUOT"):
            assert ground.strays(root) == []
        assert dying.well(lambda: act(root), folder=root) == 0
        assert ground.written(root) == undisturbed

    dying.every(template, act, check, how=how, least=least, step=2 if how == "ENOSPC" else 7)
