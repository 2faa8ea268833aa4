"""The ranks of a task meet turn by turn, hear of each other's failures, and go home together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_sweep import ranks
from hpc_sweep.errors import DiskError
from hpc_sweep.place import Place
from hpc_sweep.ranks import Failure, Ranks, told

LEADER = Place("123_4", 4, 0, "n1", 0, 3, 0, 2, True)
NEVER = lambda: False  # noqa: E731


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "POLL", 0.005)
    monkeypatch.setattr(ranks, "_ECHO_TIME", 0.3)


def meeting(scratch: Path, world_size: int = 3, **more: Any) -> list[Ranks]:
    """All ranks of one task, two a node."""
    return [
        Ranks(
            scratch,
            replace(LEADER, rank=k, world_size=world_size, local_rank=k % 2, node=f"n{k // 2}", **more),
        )
        for k in range(world_size)
    ]


class Follower(threading.Thread):
    """A rank that goes through its turns as the worker does, and remembers them."""

    def __init__(self, own: Ranks, stopped: Callable[[], bool] = NEVER) -> None:
        super().__init__(daemon=True)
        self.own = own
        self.stopped = stopped
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.start()

    def run(self) -> None:
        while call := self.own.follow(self.stopped):
            self.calls.append(call)


@pytest.fixture
def leader_and_followers(tmp_path: Path) -> Iterator[tuple[Ranks, list[Follower]]]:
    leader, *others = meeting(tmp_path / "scratch")
    followers = [Follower(other) for other in others]
    yield leader, followers
    leader.end()
    for follower in followers:
        follower.join(10)
        assert not follower.is_alive()


def soon(what: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.002)


# turns


def test_all_ranks_come_to_every_point(leader_and_followers: tuple[Ranks, list[Follower]]) -> None:
    leader, followers = leader_and_followers
    own = []
    for turn, point in enumerate(["aaaa", "bbbb", "cccc"], 1):
        own.append(leader.lead(point))
        soon(lambda turn=turn: all(len(f.calls) == turn for f in followers))
    for follower in followers:
        assert [point for point, _ in follower.calls] == ["aaaa", "bbbb", "cccc"]
        for (_, theirs), ours in zip(follower.calls, own, strict=True):
            shared = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
            assert {k: theirs[k] for k in shared} == {k: ours[k] for k in shared}
    assert len({e["MASTER_PORT"] for e in own}) == 3  # the port of a turn that has just ended may be held still


def test_each_rank_is_told_what_torch_needs(leader_and_followers: tuple[Ranks, list[Follower]]) -> None:
    leader, followers = leader_and_followers
    environments = [leader.lead("aaaa")]
    soon(lambda: all(f.calls for f in followers))
    environments += [f.calls[0][1] for f in followers]
    assert [(e["RANK"], e["LOCAL_RANK"]) for e in environments] == [("0", "0"), ("1", "1"), ("2", "0")]
    assert {(e["WORLD_SIZE"], e["LOCAL_WORLD_SIZE"]) for e in environments} == {("3", "2")}
    assert all(isinstance(value, str) for e in environments for value in e.values())


def test_a_rank_that_comes_late_finds_its_turn(tmp_path: Path) -> None:
    leader, one, two = meeting(tmp_path)
    leader.lead("aaaa")
    found = two.follow(NEVER)
    assert found is not None
    assert found[0] == "aaaa"
    leader.lead("bbbb")
    assert [call[0] for call in (one.follow(NEVER), one.follow(NEVER)) if call] == ["aaaa", "bbbb"]
    followers = [Follower(one), Follower(two)]
    leader.end()
    for follower in followers:
        follower.join(10)
    assert [f.calls for f in followers] == [[], [("bbbb", followers[1].calls[0][1])]]


def test_a_rank_that_is_asked_to_stop_waits_no_longer(tmp_path: Path) -> None:
    _, one, _ = meeting(tmp_path)
    stop = threading.Event()
    follower = Follower(one, stop.is_set)
    assert follower.is_alive()
    stop.set()
    follower.join(10)
    assert not follower.is_alive()
    assert follower.calls == []


# the end


def test_the_end_dismisses_all_and_leaves_nothing(tmp_path: Path) -> None:
    leader, *others = meeting(tmp_path)
    followers = [Follower(other) for other in others]
    leader.lead("aaaa")
    soon(lambda: all(f.calls for f in followers))
    leader.end()
    for follower in followers:
        follower.join(10)
    assert not any(f.is_alive() for f in followers)
    assert list(tmp_path.iterdir()) == []


def test_ranks_are_dismissed_where_no_point_was_left(tmp_path: Path) -> None:
    """A task that came again, all of whose points were done: rank 0 never called anybody."""
    leader, *others = meeting(tmp_path / "scratch")
    followers = [Follower(other) for other in others]
    leader.end()
    for follower in followers:
        follower.join(10)
        assert not follower.is_alive()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_end_does_not_wait_for_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_GOODBYE", 0.1)
    leader, _, _ = meeting(tmp_path)
    leader.lead("aaaa")
    leader.end()
    assert list(tmp_path.iterdir()) == []


def test_the_end_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that asks to come again dismisses the others before it does, and again when it ends."""
    leader, *others = meeting(tmp_path)
    followers = [Follower(other) for other in others]
    leader.end()
    for follower in followers:
        follower.join(10)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for those who have gone"))
    leader.end()
    assert list(tmp_path.iterdir()) == []


def test_a_rank_alone_writes_nothing(tmp_path: Path) -> None:
    (alone,) = meeting(tmp_path / "scratch", 1)
    assert alone.lead("aaaa") == {}
    alone.report(Failure("code", "words"))
    assert alone.failures() == {}
    assert alone.verdict(Failure("nan", "loss is nan")) == Failure("nan", "loss is nan")
    alone.end()
    assert not (tmp_path / "scratch").exists()


def test_two_executions_do_not_meet(tmp_path: Path) -> None:
    first, *_ = meeting(tmp_path)
    _, again, _ = meeting(tmp_path, restart=1)
    first.lead("aaaa")
    calls = iter([False, False, True])
    assert again.follow(lambda: next(calls)) is None


# failures


def test_a_failure_is_heard_in_its_turn_and_no_other(tmp_path: Path) -> None:
    leader, one, two = meeting(tmp_path)
    leader.lead("aaaa")
    assert leader.failures() == {}
    one.follow(NEVER)
    two.follow(NEVER)
    two.report(Failure("oom", "CUDA out of memory"))
    assert leader.failures() == one.failures() == {2: Failure("oom", "CUDA out of memory")}
    leader.lead("bbbb")
    one.follow(NEVER)
    assert leader.failures() == one.failures() == {}


@pytest.mark.parametrize(
    ("kind", "words", "echo"),
    [
        ("code", "DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970", True),
        ("code", "RuntimeError: [gloo/transport/tcp/pair.cc:598] Connection closed by peer [127.0.0.1]:1", True),
        ("code", "RuntimeError: Connection reset by peer", True),
        ("code", "BrokenPipeError: [Errno 32] Broken pipe", True),
        ("code", "KeyError: 'labels'", False),
        ("data", "Connection closed is a label of this dataset", False),
        ("crash", "killed by SIGSEGV", False),
    ],
)
def test_the_loss_of_a_peer_is_an_echo(kind: str, words: str, echo: bool) -> None:
    assert told(kind, words) == Failure(kind, words, echo)


def test_the_rank_that_failed_by_itself_is_named(tmp_path: Path) -> None:
    leader, one, two = meeting(tmp_path)
    leader.lead("aaaa")
    for other in (one, two):
        other.follow(NEVER)
    one.report(told("code", "RuntimeError: Connection closed by peer"))
    two.report(told("crash", "killed by SIGKILL"))
    own = told("code", "RuntimeError: Connection reset by peer")
    assert leader.verdict(own) == Failure("crash", "rank 2: killed by SIGKILL")


def test_the_word_of_a_dead_ranks_parent_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_ECHO_TIME", 10.0)
    leader, one, _ = meeting(tmp_path)
    leader.lead("aaaa")
    one.follow(NEVER)
    late = threading.Timer(0.05, one.report, [Failure("host-oom", "killed by the kernel: out of host memory")])
    late.start()
    verdict = leader.verdict(told("code", "RuntimeError: Connection closed by peer"))
    late.join()
    assert verdict == Failure("host-oom", "rank 1: killed by the kernel: out of host memory")


def test_an_echo_without_a_cause_is_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_ECHO_TIME", 0.02)
    leader, _, _ = meeting(tmp_path)
    leader.lead("aaaa")
    verdict = leader.verdict(told("code", "RuntimeError: Connection closed by peer"))
    assert verdict == Failure("code", "rank 0: RuntimeError: Connection closed by peer", echo=True)


def test_of_two_that_failed_by_themselves_the_first_rank_is_named(tmp_path: Path) -> None:
    leader, one, two = meeting(tmp_path)
    leader.lead("aaaa")
    for other in (two, one):
        other.follow(NEVER)
        other.report(Failure("nan", f"loss is nan on {other.place.rank}"))
    assert leader.verdict(Failure("code", "x", echo=True)) == Failure("nan", "rank 1: loss is nan on 1")


def test_a_meeting_place_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("")
    leader, *_ = meeting(tmp_path / "scratch")
    with pytest.raises(DiskError, match="ENOTDIR"):
        leader.lead("aaaa")
