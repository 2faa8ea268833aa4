"""A rerun gives a point what its kind of failure needs and asks it the same question; a cancel stops what it names."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

import build
from hpc_sweep import local, mend, shards, slurm, status
from hpc_sweep.child import KINDS
from hpc_sweep.cluster import Limits, Node, Profile
from hpc_sweep.errors import InputError, RefusedError, SurroundingsError
from hpc_sweep.ledger import Sweep
from hpc_sweep.mend import Wishes
from hpc_sweep.records import Point
from hpc_sweep.status import PointStatus, Status
from stubs import Slurm

PROFILE = Profile(
    name="v100", scheduler="slurm", node=Node(gpus=4, cpus=40, memory=360), limits=Limits(minutes=24 * 60)
)
SMALL = Profile(name="small", scheduler="slurm", node=Node(gpus=1, cpus=8, memory=32), limits=Limits(minutes=60))
BARE = Profile(name="bare", scheduler="slurm")
NONE = Wishes()


@pytest.fixture
def points() -> list[Point]:
    return build.points(6)


@pytest.fixture
def sweep(tmp_path: Path, points: list[Point]) -> Sweep:
    return build.sweep(tmp_path, points)


def of_kind(kind: str, **more: Any) -> PointStatus:
    return replace(PointStatus(build.points(1)[0], "failed", kind=kind, node="n7"), **more)


def again(kind: str, profile: Profile = PROFILE, **given: Any) -> dict[str, Any]:
    """What the policy changes for a point that failed so."""
    before = {"minutes": 9.0, "points_per_shard": 1, "cpus": 2, "mem": None, "gpus": 1, **given}
    after = mend.policy(of_kind(kind), dict(before), profile)
    return {key: value for key, value in after.items() if before.get(key) != value}


# what each kind gets


@pytest.mark.parametrize(
    ("mem", "profile", "expected"),
    [
        (16.0, PROFILE, 32.0), (200.0, PROFILE, 360), (16.0, BARE, 32.0),
        (None, PROFILE, 36.0),  # twice the share of two of forty cores
        (None, BARE, 8.0),
    ],
)  # fmt: skip
def test_killed_for_memory_gets_twice_of_it(mem: float | None, profile: Profile, expected: float) -> None:
    assert again("host-oom", profile, mem=mem) == {"mem": expected}


def test_memory_is_never_taken_away() -> None:
    assert again("host-oom", SMALL, mem=32.0) == {}
    assert again("host-oom", SMALL, mem=40.0) == {}


def test_a_time_limit_is_doubled() -> None:
    assert again("timeout") == {"minutes": 18.0}
    assert again("timeout", BARE, points_per_shard=6) == {"minutes": 18.0}


def test_where_a_task_may_not_take_twice_the_time_it_gets_fewer_points() -> None:
    assert again("timeout", SMALL, points_per_shard=4) == {"minutes": 18.0, "points_per_shard": 2}
    assert again("timeout", SMALL, minutes=30.0) == {"minutes": 40.0}  # 40 × 1.5 is the hour
    assert again("timeout", SMALL, minutes=40.0) == {}


@settings(deadline=None)
@hypothesis_given(st.floats(0.01, 5000), st.integers(1, 50), st.integers(1, 3000))
def test_a_point_that_timed_out_never_gets_less_time(minutes: float, per_shard: int, limit: int) -> None:
    profile = BARE.model_copy(update={"limits": Limits(minutes=limit)})
    before = {"minutes": minutes, "points_per_shard": per_shard}
    after = mend.policy(of_kind("timeout"), dict(before), profile)

    def task(given: dict[str, Any]) -> float:
        """The time that a point has, alone in its task or in a full one, under the limit of the partition."""
        each, count = float(given["minutes"]), int(given["points_per_shard"])
        return min(limit, shards.MARGIN * each * count) / count

    assert after["minutes"] >= minutes
    assert 1 <= after["points_per_shard"] <= per_shard
    assert task(after) >= task(before) * 0.999
    if task(before) < limit * 0.999:
        assert task(after) > task(before)  # it makes a difference


def test_a_full_card_takes_smaller_pieces() -> None:
    assert again("oom") == {"accumulate": 2}
    assert again("oom", accumulate=4) == {"accumulate": 8}


def test_a_node_that_failed_is_kept_away_from() -> None:
    assert again("node-fail") == {"exclude": "n7"}
    assert again("node-fail", exclude="n1,n2") == {"exclude": "n1,n2,n7"}
    assert again("node-fail", exclude="n7") == {}
    unknown = mend.policy(of_kind("node-fail", node=""), {"minutes": 1}, PROFILE)
    assert unknown == {"minutes": 1}


@pytest.mark.parametrize("kind", [*sorted(set(KINDS) - {"oom", "host-oom", "timeout", "node-fail"}), ""])
def test_other_kinds_get_what_they_had(kind: str) -> None:
    assert again(kind, points_per_shard=3) == {}


def resources(state: Status, wishes: Wishes = NONE) -> Callable[[Any], dict[str, Any]]:
    def original(point: Any) -> dict[str, Any]:
        return {"minutes": 9.0, "points_per_shard": 1, "by": "grid"}

    return mend.resources_for(state, PROFILE, original, wishes)


def test_wishes_go_over_the_policy(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "host-oom"), build.end())
    state = status.compute(sweep)
    plain = resources(state)(points[0])
    assert plain["mem"] == 36.0
    wished = resources(state, Wishes(mem=50.0, minutes=90.0, exclude="n9"))(points[0])
    assert (wished["mem"], wished["exclude"]) == (50.0, "n9")
    assert shards.time_limit(wished["minutes"] * wished["points_per_shard"]) == 90
    assert {k: v for k, v in wished.items() if k not in ("mem", "minutes", "exclude", "time")} == {
        k: v for k, v in plain.items() if k not in ("mem", "minutes")
    }


def test_a_point_gets_what_it_had_last_and_not_what_the_plan_added(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    """Its second array had other resources than its first; the limits are for the new plan to set."""
    build.claim(sweep, [points[:2]], [points[2:4], points[4:]])
    state = status.compute(sweep)
    claim = state.submissions[0].claim
    other = {**build.RESOURCES, "mem": 64.0, "minutes": 5.0}
    arrays = (claim.arrays[0], replace(claim.arrays[1], resources=other))
    state = replace(state, submissions=[replace(state.submissions[0], claim=replace(claim, arrays=arrays))])
    found = [resources(state)(p) for p in points]
    assert [f["mem"] for f in found] == [None, None, 64.0, 64.0, 64.0, 64.0]
    assert {k for f in found for k in f} == set(build.RESOURCES) - {"limit", "warn_seconds", "lane_after", "at_once"}


def test_a_point_that_was_never_submitted_gets_what_the_grid_says(sweep: Sweep, points: list[Point]) -> None:
    assert resources(status.compute(sweep))(points[0])["by"] == "grid"


# choosing


@pytest.fixture
def mixed(sweep: Sweep, points: list[Point], cluster: Slurm) -> Status:
    """Done, failed as code, lost, damaged, running, new."""
    build.claim(sweep, [[p] for p in points[:5]])
    build.finish(sweep, points[:1])
    build.attempt(sweep, 1, build.begin(points[1]), build.failed(points[1]), build.end())
    build.attempt(sweep, 2, build.begin(points[2]))
    build.finish(sweep, [points[3]], shard=3)
    sweep.dump_path(points[3].id).write_bytes(b"damaged")
    build.attempt(sweep, 4, build.begin(points[4]))
    cluster.add(100, build.array_name(sweep), 5)
    cluster.task("100_2", "FAILED", exit="0:9")
    cluster.task("100_4", "RUNNING", node="n2")
    build.age(sweep)
    state = status.compute(sweep)
    assert build.states(state) == ["done", "failed", "lost", "damaged", "running", "new"]
    return state


def chosen(state: Status, only: list[str], names: list[str] | None = None) -> list[int]:
    return [p.point.index for p in mend.choose(state, only, names or [])]


def test_all_that_failed_is_chosen(mixed: Status) -> None:
    assert chosen(mixed, []) == [1, 2, 3]


@pytest.mark.parametrize(
    ("only", "found"),
    [(["code"], [1]), (["lost"], [2]), (["damaged"], [3]), (["damaged", "code"], [1, 3]), (["oom"], [])],
)
def test_kinds_are_chosen(only: list[str], found: list[int], mixed: Status) -> None:
    assert chosen(mixed, only) == found


def test_an_unknown_kind_lists_those_there_are(mixed: Status) -> None:
    with pytest.raises(InputError, match="`mood` is not a kind of failure") as caught:
        chosen(mixed, ["code", "mood"])
    assert all(kind in str(caught.value.hint) for kind in (*KINDS, "damaged"))


def test_points_are_chosen_by_name(mixed: Status, points: list[Point]) -> None:
    assert chosen(mixed, [], [points[3].id, points[1].id[:8]]) == [3, 1]
    assert chosen(mixed, [], [points[5].id]) == [5]  # never run: it can be


@pytest.mark.parametrize(("number", "word"), [(0, "done"), (4, "running")])
def test_what_is_done_or_under_way_is_not_run_again(number: int, word: str, mixed: Status, points: list[Point]) -> None:
    with pytest.raises(RefusedError, match=f"{points[number].id} is {word}"):
        chosen(mixed, [], [points[1].id, points[number].id])


def test_a_name_must_mean_one_point(mixed: Status, points: list[Point]) -> None:
    assert mend.find_point(mixed, points[2].id[:9]).point.id == points[2].id
    with pytest.raises(InputError, match="trial has no point `zzz`") as caught:
        mend.find_point(mixed, "zzz")
    assert caught.value.hint == "hpc-sweep status trial --all"
    with pytest.raises(InputError, match="6 points begin with ``") as caught:
        mend.find_point(mixed, "")
    assert caught.value.hint == "give more letters of the id"


# putting aside


def test_damaged_dumps_are_put_aside_and_all_are_kept(mixed: Status, points: list[Point]) -> None:
    path = mixed.sweep.dump_path(points[3].id)
    assert mend.quarantine(mixed, mixed.points) == 1
    assert not path.exists()
    assert (mixed.sweep.quarantine / path.name).read_bytes() == b"damaged"
    assert mixed.sweep.dump_path(points[0].id).exists()
    for text in (b"again", b"and again"):
        path.write_bytes(text)
        mend.quarantine(mixed, mixed.points)
    kept = {p.name: p.read_bytes() for p in mixed.sweep.quarantine.iterdir()}
    stem = points[3].id
    assert kept == {f"{stem}.h5": b"damaged", f"{stem}-1.h5": b"again", f"{stem}-2.h5": b"and again"}
    assert status.compute(mixed.sweep).points[3].state == "lost"


def test_only_the_chosen_are_put_aside(mixed: Status, points: list[Point]) -> None:
    assert mend.quarantine(mixed, [p for p in mixed.points if p.point.index != 3]) == 0
    assert mixed.sweep.dump_path(points[3].id).exists()
    assert not mixed.sweep.quarantine.exists()


def test_what_somebody_else_put_aside_is_no_failure(mixed: Status, points: list[Point]) -> None:
    os.unlink(mixed.sweep.dump_path(points[3].id))
    assert mend.quarantine(mixed, mixed.points) == 1


# cancelling


@pytest.fixture
def waiting(sweep: Sweep, points: list[Point], cluster: Slurm) -> Status:
    """Two arrays that wait: shards of two points, then shards of one."""
    build.claim(sweep, [points[0:2], points[2:4]], [points[4:5], points[5:6]])
    cluster.add(100, build.array_name(sweep, k=0), 2)
    cluster.add(101, build.array_name(sweep, k=1), 2)
    state = status.compute(sweep)
    assert build.states(state) == ["waiting"] * 6
    return state


def seeds(*wanted: int) -> Callable[[PointStatus], bool]:
    return lambda s: s.point.axes["seed"] in wanted


def scancelled(cluster: Slurm) -> list[str]:
    return [word for call in cluster.calls("scancel") for word in call[1:]]


def test_cancel_stops_all(waiting: Status, cluster: Slurm) -> None:
    assert mend.cancel(waiting, lambda s: True, "lea") == mend.Cancelled(tasks=4, points=6, spared=0)
    assert scancelled(cluster) == ["100_0", "100_1", "101_0", "101_1"]
    assert waiting.sweep.submission(0).cancelled == {0, 1, 2, 3}


def test_cancel_spares_a_task_that_others_share(waiting: Status, cluster: Slurm) -> None:
    outcome = mend.cancel(waiting, seeds(0, 2, 3, 5), "lea")
    assert outcome == mend.Cancelled(tasks=2, points=3, spared=1)
    assert scancelled(cluster) == ["100_1", "101_1"]
    assert waiting.sweep.submission(0).cancelled == {1, 3}


def test_cancel_counts_only_what_is_left_of_a_task(
    sweep: Sweep, points: list[Point], waiting: Status, cluster: Slurm
) -> None:
    """The other point of the task is done: nothing of it is lost."""
    build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]))
    cluster.task("100_0", "RUNNING")
    outcome = mend.cancel(status.compute(sweep), seeds(1), "lea")
    assert outcome == mend.Cancelled(tasks=1, points=1, spared=0)
    assert scancelled(cluster) == ["100_0"]


def test_cancel_of_nothing_writes_and_asks_nothing(waiting: Status, cluster: Slurm) -> None:
    assert mend.cancel(waiting, lambda s: False, "lea") == mend.Cancelled(0, 0, 0)
    assert cluster.calls("scancel") == []
    assert waiting.sweep.submission(0).cancelled == frozenset()


def test_what_is_over_is_not_cancelled(mixed: Status, cluster: Slurm) -> None:
    assert mend.cancel(mixed, lambda s: True, "lea") == mend.Cancelled(1, 1, 0)
    assert scancelled(cluster) == ["100_4"]
    assert mixed.sweep.submission(0).cancelled == {4}


def test_a_job_whose_number_was_never_written_is_cancelled_too(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.claim(sweep, [[p] for p in points], job=None, pid=build.dead_process())
    cluster.add(700, build.array_name(sweep), 6)
    mend.cancel(status.compute(sweep), seeds(3), "lea")
    assert scancelled(cluster) == ["700_3"]


def test_an_array_of_one_task_is_named_as_one(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.claim(sweep, [points])
    cluster.add(100, build.array_name(sweep), 1)
    mend.cancel(status.compute(sweep), lambda s: True, "lea")
    assert scancelled(cluster) == ["100_0"]


def test_where_slurm_is_silent_the_wish_is_on_the_disk_all_the_same(waiting: Status, cluster: Slurm) -> None:
    cluster.refuse("scancel", "Unable to contact slurm controller")
    with pytest.raises(slurm.SilentError, match="Unable to contact") as caught:
        mend.cancel(waiting, lambda s: True, "lea")
    assert isinstance(caught.value, SurroundingsError)
    assert waiting.sweep.submission(0).cancelled == {0, 1, 2, 3}  # the tasks see it for themselves


@pytest.mark.parametrize(("wanted", "runner_ends"), [((0, 1, 2, 3, 4, 5), True), ((0, 1), False)])
def test_on_a_laptop_the_runner_ends_only_with_its_last_shard(
    wanted: tuple[int, ...], runner_ends: bool, sweep: Sweep, points: list[Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    build.claim(sweep, [[p] for p in points], cluster="local", job=None)
    ended: list[int] = []
    monkeypatch.setattr(local, "cancel", lambda sweep, number: ended.append(number))
    with local.path(sweep, 0).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = mend.cancel(status.compute(sweep), seeds(*wanted), "lea")
    assert (outcome.tasks, outcome.points) == (len(wanted), len(wanted))
    assert ended == ([0] if runner_ends else [])
    assert sweep.submission(0).cancelled == set(wanted)
