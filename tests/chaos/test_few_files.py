"""A process that may open only so many files: each command says so by name, leaves nothing half, and works afterwards."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chaos import dying, ground

Act = Callable[[Path], int]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Submitted, and nobody has begun."""
    root = ground.project(tmp_path_factory.mktemp("few") / "p", ground.ONE_SHARD)
    assert dying.well(lambda: submit(root), folder=root) == 0
    return root


@pytest.fixture(scope="module")
def done(template: Path) -> Path:
    root = dying.copy(template, "done")
    assert dying.well(lambda: ground.shard(root), folder=root) == 0
    return root


def submit(root: Path) -> int:
    return ground.submit_locally(root, ground.never)


def rerun(root: Path) -> int:
    return ground.rerun_locally(root, ground.never)


def status(root: Path) -> int:
    return ground.command(root, "status")


def collect(root: Path) -> int:
    return ground.command(root, "collect")


def with_few(act: Act, root: Path, more: int) -> int:
    """Do it with only so many files to open."""
    free = os.dup(1)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, free + more))
    return act(root)


def new(template: Path, done: Path) -> Path:
    """A project whose grid was never submitted."""
    return ground.project(template.with_name("new"), ground.ONE_SHARD)


def claimed(template: Path, done: Path) -> Path:
    return template


def finished(template: Path, done: Path) -> Path:
    return done


@pytest.mark.parametrize(
    ("act", "start", "code"),
    [(submit, new, 0), (ground.shard, claimed, 0), (rerun, claimed, 0), (status, finished, 0), (collect, finished, 0)],
)
def test_too_many_open_files(
    act: Act, start: Callable[[Path, Path], Path], code: int, template: Path, done: Path
) -> None:
    begin, met = start(template, done), 0
    for more in range(30):
        root = dying.copy(begin, f"{act.__name__}-{more}")
        outcome = dying.run(partial(with_few, act, root, more), None, folder=root)
        if outcome.value == code:
            break
        met += 1
        assert outcome.value == 3, (more, outcome.text, outcome.error)
        assert "(EMFILE)" in outcome.text
        assert "Traceback" not in outcome.text
        if act is not ground.shard:
            assert "hint: too many open files" in outcome.text
        assert dying.well(partial(act, root), folder=root) == code
    assert met > 0
    assert outcome.value == code, outcome.text
