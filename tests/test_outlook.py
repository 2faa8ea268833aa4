"""What failures share, the tables of a status, and what is left to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

import screen_samples as samples
from hpc_sweep import outlook
from hpc_sweep.ledger import Point
from hpc_sweep.status import PointStatus, Status


def point(**axes: object) -> Point:
    return Point(0, "".join(map(str, axes.values())), dict(axes), dict(axes))


EVERYTHING = [point(model=m, data=d, lr=0.1) for m in ("a", "b") for d in ("x", "y")]


def test_shared_is_what_the_failures_have_and_the_sweep_has_not() -> None:
    assert outlook.shared(EVERYTHING[:2], EVERYTHING) == {"model": "a"}
    assert outlook.shared([EVERYTHING[0], EVERYTHING[2]], EVERYTHING) == {"data": "x"}
    assert outlook.shared(EVERYTHING[:1], EVERYTHING) == {"model": "a", "data": "x"}
    assert outlook.shared(EVERYTHING, EVERYTHING) == {}
    assert outlook.shared([EVERYTHING[0], EVERYTHING[3]], EVERYTHING) == {}
    assert outlook.shared([], EVERYTHING) == {}


def test_shared_takes_values_that_cannot_be_hashed() -> None:
    odd = [point(shape=[1, 2]), point(shape=[1, 2]), point(shape=[3])]
    assert outlook.shared(odd[:2], odd) == {"shape": [1, 2]}


def test_failures_are_grouped_by_kind_the_most_frequent_first() -> None:
    found = outlook.failures(samples.busy().points)
    assert [(f.kind, len(f.points)) for f in found] == [("oom", 5), ("nan", 1), ("timeout", 1)]
    assert found[0].shared == {"model": "mart", "data": "mosei", "lr": 0.0001}
    assert found[0].words == "CUDA out of memory. Tried to allocate 2.40 GiB"


def test_the_words_of_a_group_are_its_commonest() -> None:
    state = samples.status([(1, "failed", "code", "a"), (2, "failed", "code", "b"), (1, "failed", "code", "c")])
    assert [f.words for f in outlook.failures(state.points)] == ["b"]


def test_lost_and_damaged_are_failures_with_a_name() -> None:
    state = samples.status([(1, "lost", "lost", "gone"), (3, "damaged", "", "checksum differs"), (2, "new", "", "")])
    assert [(f.kind, len(f.points)) for f in outlook.failures(state.points)] == [("damaged", 3), ("lost", 1)]


def test_axes_that_can_head_a_table() -> None:
    axes = {"one": [1], "many": list(range(13)), "two": ["a", "b"], "odd": [[1], [2]], "seed": [1, 2, 3]}
    state = replace(samples.status(), header={"axes": axes})
    assert outlook.table_axes(state) == ["two", "seed"]
    assert outlook.table_axes(replace(state, header={"axes": {}})) == []


def test_a_breakdown_counts_every_point_once() -> None:
    state = samples.busy()
    rows = outlook.breakdown(state, "model")
    assert [(r.value, r.done, r.running, r.waiting, r.failed) for r in rows] == [
        ("s2lif", 18, 6, 6, 0),
        ("mart", 10, 0, 3, 7),
        ("vc_csa", 30, 0, 0, 0),
    ]
    assert all(480 <= (r.median or 0) <= 540 for r in rows)


def test_a_row_of_which_nothing_is_done_has_no_median() -> None:
    rows = outlook.breakdown(samples.status([(80, "waiting", "", "")]), "model")
    assert [r.median for r in rows] == [None, None, None]


def test_a_cross_table_leaves_out_what_was_skipped() -> None:
    found = outlook.cross(samples.busy(), "model", "data")
    assert found["mart", "mosei"] == (3, 10)
    assert found["vc_csa", "sims"] == (10, 10)
    assert ("mart", "sims") not in found
    assert sum(total for _, total in found.values()) == 80


# what is left


def halves(running: int, waiting: int, seconds: float = 540.0, **changes: object) -> Status:
    """A sweep whose first points run and wait, and whose others took exactly so long."""
    state = samples.status([(running, "running", "", ""), (waiting, "waiting", "", "")], **changes)  # type: ignore[arg-type]
    return replace(state, points=[replace(p, seconds=seconds) if p.state == "done" else p for p in state.points])


def test_what_is_left_goes_by_the_pace_of_the_finished() -> None:
    ahead = outlook.outlook(halves(0, 40))
    assert ahead.left == pytest.approx(40 * 540 / 3600)
    assert ahead.takes == pytest.approx(40 * 540 / 8)
    slower = outlook.outlook(halves(0, 40, seconds=1080.0))
    assert slower.left == pytest.approx(2 * ahead.left)


def test_a_running_point_is_thought_half_done() -> None:
    assert outlook.outlook(halves(4, 0)).left == pytest.approx(4 * 270 / 3600)


def test_the_plan_is_all_there_is_before_anything_is_done() -> None:
    ahead = outlook.outlook(samples.status([(80, "waiting", "", "")], used=0.0))
    assert ahead.planned == pytest.approx(80 * 9 / 60)
    assert ahead.left == pytest.approx(ahead.planned)


def test_the_end_counts_what_may_run_at_once() -> None:
    eight = outlook.outlook(halves(4, 60))  # 16 shards live, 8 of them at a time
    assert eight.takes == pytest.approx((4 * 270 + 60 * 540) / 8)
    two = samples.claim(samples.cut([p.id for p in samples.points()], 4))
    array = replace(two.arrays[0], resources={**two.arrays[0].resources, "at_once": 0})
    free = outlook.outlook(halves(4, 60, arrays=(array,)))
    assert free.takes == pytest.approx((4 * 270 + 60 * 540) / 16)


def test_the_end_is_never_nearer_than_the_longest_point() -> None:
    one_each = samples.claim(samples.cut([p.id for p in samples.points()], 1)).arrays
    state = halves(3, 1, arrays=one_each)
    state = replace(state, points=[replace(p, shard=i) for i, p in enumerate(state.points)])
    assert outlook.outlook(state).takes == pytest.approx(540)


def test_points_of_one_shard_follow_each_other() -> None:
    assert outlook.outlook(halves(1, 1)).takes == pytest.approx(270 + 540)


def test_nothing_is_left_of_what_is_done() -> None:
    ahead = outlook.outlook(samples.status())
    assert (ahead.left, ahead.takes, ahead.spread) == (0, 0, 0)


def test_a_laptop_says_how_many_run_at_once_in_its_jobs() -> None:
    state = halves(4, 60)
    local = replace(state.submissions[0], jobs={0: {"job": "local", "tasks": 20, "at_once": 2}})
    ahead = outlook.outlook(replace(state, submissions=[local]))
    assert ahead.takes == pytest.approx((4 * 270 + 60 * 540) / 2)


def test_without_cards_no_gpu_hours_are_counted() -> None:
    array = samples.claim(samples.cut([p.id for p in samples.points()], 4)).arrays[0]
    array = replace(array, resources={**array.resources, "gpus": 0})
    ahead = outlook.outlook(halves(4, 10, arrays=(array,)))
    assert (ahead.planned, ahead.left) == (0, 0)
    assert ahead.takes > 0


def test_an_uneven_pace_makes_the_end_less_sure() -> None:
    even, state = outlook.outlook(halves(4, 60)), halves(4, 60)
    uneven = [replace(p, seconds=p.seconds * (1 + i % 5)) if p.seconds else p for i, p in enumerate(state.points)]
    assert outlook.outlook(replace(state, points=uneven)).spread > even.spread


def test_points_that_no_submission_holds_are_not_under_way() -> None:
    state = samples.status([(80, "new", "", "")])
    bare = [PointStatus(p.point, "new") for p in state.points]
    ahead = outlook.outlook(replace(state, points=bare, submissions=[]))
    assert (ahead.planned, ahead.left, ahead.takes) == (0, 0, 0)
