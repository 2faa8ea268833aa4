"""One works and the others wait; a claim whose maker shows no sign of life is worth nothing."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from affect.encoders import claim
from affect.encoders.claim import Stopped, alone


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "made [1].h5"


def claims(target: Path) -> list[str]:
    return sorted(path.name.removeprefix(target.name) for path in target.parent.iterdir() if path != target)


def test_the_first_does_the_work_and_leaves_no_claim(target: Path) -> None:
    with alone(target, target.exists) as mine:
        assert mine
        assert claims(target) == [".claim-0"]
        target.touch()
    assert claims(target) == []


def test_nothing_is_claimed_or_made_where_it_is_done(tmp_path: Path) -> None:
    with alone(tmp_path / "nowhere" / "x", lambda: True) as mine:
        assert not mine
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_claim_goes_with_its_maker(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), alone(target, target.exists):
        raise error
    assert claims(target) == []


def test_a_living_claim_is_waited_for_much_longer_than_the_patience(target: Path) -> None:
    target.parent.mkdir()
    other = target.with_name(f"{target.name}.claim-0")
    other.touch()
    old = time.time() - 1e6  # its machine's clock is days behind
    stamps = iter(range(100))

    def lives() -> None:
        for _ in range(12):
            os.utime(other, (old, old + next(stamps)))
            time.sleep(0.1)
        target.touch()

    thread = threading.Thread(target=lives)
    thread.start()
    with alone(target, target.exists, patience=0.6) as mine:
        assert not mine
    thread.join()


def test_a_dead_claim_is_replaced_and_cleared_up(target: Path) -> None:
    target.parent.mkdir()
    for number in (0, 3):
        target.with_name(f"{target.name}.claim-{number}").touch()
    target.with_name(f"{target.name}.claim-x").touch()
    future = time.time() + 1e6  # its clock is days ahead: that is no sign of life
    os.utime(target.with_name(f"{target.name}.claim-3"), (future, future))
    began = time.monotonic()
    with alone(target, target.exists, patience=0.3) as mine:
        assert mine
        assert ".claim-4" in claims(target)
        target.touch()
    assert 0.3 < time.monotonic() - began < 5
    assert claims(target) == [".claim-x"]


def test_one_of_those_who_wait_replaces_a_dead_one(target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.claim-0").touch()
    worked = []

    def ask(number: int) -> None:
        with alone(target, target.exists, patience=0.4) as mine:
            if mine:
                worked.append(number)
                time.sleep(1.0)  # longer than the patience
                target.touch()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(worked) == 1
    assert claims(target) == []


def test_a_maker_that_gives_up_is_followed_at_once(target: Path) -> None:
    began = threading.Event()

    def gives_up() -> None:
        with pytest.raises(OSError, match="full"), alone(target, target.exists):
            began.set()
            time.sleep(0.2)
            raise OSError("the disk is full")

    thread = threading.Thread(target=gives_up)
    thread.start()
    began.wait()
    start = time.monotonic()
    with alone(target, target.exists, patience=8) as mine:
        assert mine
    assert time.monotonic() - start < 4
    thread.join()


def test_waiting_ends_when_it_is_asked_to(target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.claim-0").touch()
    asked = iter([False, False, True])
    with (
        pytest.raises(Stopped, match="while another process"),
        alone(target, target.exists, patience=2, stopping=lambda: next(asked)),
    ):
        pytest.fail("it was not its turn")
    assert claims(target) == [".claim-0"], "another's claim stays"


def test_work_that_is_done_between_the_look_and_the_claim(target: Path) -> None:
    answers = iter([False, False, True])  # before, at the look, after the claim
    with alone(target, lambda: next(answers)) as mine:
        assert not mine
    assert claims(target) == []


def test_a_maker_whose_claim_was_cleared_up_goes_on(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_BEAT", 0.02)
    with alone(target, target.exists) as mine:
        target.with_name(f"{target.name}.claim-0").unlink()
        time.sleep(0.1)
        assert mine
    assert claims(target) == []


def test_a_maker_shows_signs_of_life(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_BEAT", 0.05)
    with alone(target, target.exists):
        mine = target.with_name(f"{target.name}.claim-0")
        first = mine.stat().st_mtime_ns
        time.sleep(0.3)
        assert mine.stat().st_mtime_ns > first
