"""Points are cut into shards and arrays so that each runs once, no array is too long and no cap is passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_sweep.shards import MARGIN, Plan, arrange, share, time_limit


@dataclass(frozen=True)
class P:
    """A point: its number, the kind of machine it wants and what it may be trained together with."""

    number: int
    machine: int = 0
    kind: int = 0
    config: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        return f"{self.number:012x}"


def resources(machine: int = 0, *, per_shard: int = 1, minutes: float = 9) -> dict[str, Any]:
    return {"gpus": machine, "minutes": minutes, "points_per_shard": per_shard}


def arranged(
    points: list[P],
    per_shard: int | dict[int, int] = 1,
    *,
    max_array: int = 1000,
    at_once: int = 0,
    compatible: Callable[[dict[str, Any]], Hashable] | None = None,
) -> list[Plan]:
    def resources_of(point: P) -> dict[str, Any]:
        size = per_shard if isinstance(per_shard, int) else per_shard[point.machine]
        return resources(point.machine, per_shard=size)

    return arrange(points, resources_of, compatible, max_array, at_once)


def shards(plans: list[Plan]) -> list[list[int]]:
    return [[int(i, 16) for i in shard] for plan in plans for shard in plan.shards]


machines = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60)
sizes = st.fixed_dictionaries({k: st.integers(1, 9) for k in range(3)})


def made(kinds: list[tuple[int, int]]) -> list[P]:
    return [P(i, machine, kind, {"kind": kind}) for i, (machine, kind) in enumerate(kinds)]


@settings(deadline=None)
@given(machines, sizes, st.integers(1, 7), st.integers(0, 20), st.booleans())
def test_every_point_is_in_exactly_one_shard(
    kinds: list[tuple[int, int]], per_shard: dict[int, int], max_array: int, at_once: int, together: bool
) -> None:
    points = made(kinds)
    compatible = (lambda config: config["kind"]) if together else None
    plans = arranged(points, per_shard, max_array=max_array, at_once=at_once, compatible=compatible)
    placed = [number for shard in shards(plans) for number in shard]
    assert sorted(placed) == list(range(len(points)))
    for plan in plans:
        assert 1 <= len(plan.shards) <= max_array
        for shard in plan.shards:
            mates = [points[int(i, 16)] for i in shard]
            assert 1 <= len(mates) <= plan.resources["points_per_shard"]
            assert {p.machine for p in mates} == {plan.resources["gpus"]}
            assert not together or len({p.kind for p in mates}) == 1


@settings(deadline=None)
@given(machines, sizes, st.booleans())
def test_there_are_no_more_shards_than_it_takes(
    kinds: list[tuple[int, int]], per_shard: dict[int, int], together: bool
) -> None:
    points = made(kinds)
    compatible = (lambda config: config["kind"]) if together else None
    groups = Counter((p.machine, p.kind if together else 0) for p in points)
    fewest = sum(-(-count // per_shard[machine]) for (machine, _), count in groups.items())
    assert len(shards(arranged(points, per_shard, compatible=compatible))) == fewest


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_no_cap_is_passed(lengths: list[int], cap: int) -> None:
    plans = share([Plan({}, tuple((f"{k}-{i}",) for i in range(n))) for k, n in enumerate(lengths)], cap)
    assert [len(p.shards) for p in plans] == lengths
    if sum(lengths) <= cap:
        assert {(p.at_once, p.after) for p in plans} == {(0, None)}
        return
    assert all(p.at_once >= 1 for p in plans)
    assert busiest(plans) <= cap
    assert len({lane_of(plans, k) for k in range(len(plans))}) == min(cap, len(plans))
    first = [p for p in plans if p.after is None]
    assert sum(p.at_once for p in first) == cap  # nothing of the cap is given away


def lane_of(plans: list[Plan], k: int) -> int:
    """The array that begins the lane of array k; each waits for an earlier one."""
    while (after := plans[k].after) is not None:
        assert after < k
        k = after
    return k


def busiest(plans: list[Plan]) -> int:
    """The most that can run at once: of every lane, the array that may run most."""
    most: dict[int, int] = {}
    for k, plan in enumerate(plans):
        lane = lane_of(plans, k)
        most[lane] = max(most.get(lane, 0), plan.at_once)
    return sum(most.values())


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_a_lane_is_a_chain(lengths: list[int], cap: int) -> None:
    plans = share([Plan({}, (("x",),) * n) for n in lengths], cap)
    waited_for = [p.after for p in plans if p.after is not None]
    assert len(waited_for) == len(set(waited_for))  # no two arrays wait for the same one


def test_lanes_follow_one_after_the_other() -> None:
    plans = share([Plan({"name": k}, (("x",), ("y",))) for k in range(5)], 2)
    assert [(p.at_once, p.after) for p in plans] == [(1, None), (1, None), (1, 0), (1, 1), (1, 2)]
    assert [p.resources["name"] for p in plans] == [0, 1, 2, 3, 4]


def test_the_longer_array_gets_the_larger_share() -> None:
    plans = share([Plan({}, (("x",),) * n) for n in (10, 80, 10)], 20)
    assert [p.at_once for p in plans] == [3, 14, 3]


def test_a_cap_of_one_runs_one_task_at_a_time() -> None:
    plans = share([Plan({}, (("x",),) * 3), Plan({}, (("x",),) * 4)], 1)
    assert [(p.at_once, p.after) for p in plans] == [(1, None), (1, 0)]


def test_points_keep_their_order() -> None:
    plans = arranged([P(i) for i in range(7)], 3)
    assert shards(plans) == [[0, 1, 2], [3, 4, 5], [6]]


def test_points_that_ask_for_different_things_are_apart() -> None:
    plans = arranged([P(0, 1), P(1, 0), P(2, 1), P(3, 0)], 2)
    assert [(p.resources["gpus"], p.shards) for p in plans] == [
        (1, ((P(0).id, P(2).id),)),
        (0, ((P(1).id, P(3).id),)),
    ]


def test_points_that_may_not_run_together_are_apart() -> None:
    points = [P(i, kind=i % 2, config={"kind": i % 2}) for i in range(6)]
    plans = arranged(points, 2, compatible=lambda config: config["kind"])
    assert shards(plans) == [[0, 2], [4], [1, 3], [5]]
    assert len(plans) == 1  # they ask for the same resources all the same


def test_resources_may_hold_what_has_no_order() -> None:
    given = [{"mem": None, "gpus": 0}, {"mem": 4.0, "gpus": 0}, {"mem": None, "gpus": 0, "exclude": ["n1"]}]
    plans = arrange(
        [P(i) for i in range(6)],
        lambda p: {**given[p.number % 3], "minutes": 1, "points_per_shard": 2},
        None, 1000, 0,
    )  # fmt: skip
    assert [p.shards for p in plans] == [((P(k).id, P(k + 3).id),) for k in range(3)]


def test_an_array_is_full_before_the_next_begins() -> None:
    plans = arranged([P(i) for i in range(2300)], max_array=1000)
    assert [len(p.shards) for p in plans] == [1000, 1000, 300]
    exact = arranged([P(i) for i in range(2000)], max_array=1000)
    assert [len(p.shards) for p in exact] == [1000, 1000]


def test_nothing_is_nothing() -> None:
    assert arranged([]) == []
    assert arranged([], at_once=4) == []


# time


def test_a_task_gets_time_for_its_longest_shard() -> None:
    (plan,) = arrange([P(i) for i in range(7)], lambda p: resources(per_shard=6, minutes=9), None, 1000, 0)
    assert [len(s) for s in plan.shards] == [6, 1]
    assert plan.minutes == time_limit(54) == 90


@pytest.mark.parametrize(
    ("minutes", "limit"),
    [
        (0.0, 1), (0.01, 1), (0.1, 1), (0.7, 2), (1, 2), (4, 6), (6, 9), (6.01, 10), (7, 15), (10, 15), (20, 30),
        (9, 15), (39, 60), (40, 60), (40.1, 75), (54, 90), (95, 150), (570, 855), (960, 1440),
    ],
)  # fmt: skip
def test_time_limits_are_plain_figures(minutes: float, limit: int) -> None:
    assert time_limit(minutes) == limit


@settings(deadline=None)
@given(st.floats(0, 600_000))
def test_a_limit_is_enough_and_not_much_more(minutes: float) -> None:
    limit = time_limit(minutes)
    assert limit >= 1
    assert limit >= minutes * MARGIN - 1e-3
    assert limit <= max(2, minutes * MARGIN + 16)
    assert limit < 10 or limit % 5 == 0
    assert limit <= 60 or limit % 15 == 0


@settings(deadline=None)
@given(st.floats(0, 600_000), st.floats(0, 600_000))
def test_more_work_never_gets_less_time(one: float, other: float) -> None:
    assert time_limit(min(one, other)) <= time_limit(max(one, other))


def test_the_margin_is_not_rounded_up_for_a_hair() -> None:
    assert time_limit(0.1 * 3 / MARGIN * 10) == 3  # 3.0000000000000004 minutes are three
