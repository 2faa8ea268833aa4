"""The order of samples: each once, the same everywhere and for ever, and shared out without a gap."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect.data.order import order, padding, share, steps

LENGTHS = np.array([5, 1, 9, 3, 3, 7, 2, 8, 1, 6, 4, 2])


def words(count: int) -> np.ndarray[Any, Any]:
    """Lengths such as those of spoken sentences."""
    drawn = np.random.default_rng(3).gamma(2.2, 12 / 2.2, count)
    return np.clip(drawn, 1, 50).astype(np.int64)


# Written down once. If a test here fails, runs that are taken up again would see other samples: mend the code instead.


def test_the_order_never_changes() -> None:
    assert order(12, 4, seed=7, epoch=0).tolist() == [1, 8, 6, 5, 9, 10, 2, 4, 7, 0, 11, 3]
    assert order(12, 4, seed=7, epoch=1).tolist() == [1, 10, 4, 9, 3, 2, 11, 6, 5, 8, 0, 7]
    assert order(12, 4, seed=1 << 80, epoch=0).tolist() == [10, 4, 6, 8, 1, 3, 2, 0, 9, 5, 7, 11]
    assert order(12, 4, seed=7, epoch=0, lengths=LENGTHS).tolist() == [1, 8, 6, 11, 9, 5, 7, 2, 4, 3, 10, 0]


def test_the_order_is_that_of_another_process() -> None:
    program = (
        "import sys\nfrom affect.data.order import order\n"
        "print(*order(200, 3, seed=5, epoch=2, lengths=[n % 17 for n in range(200)]))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine = order(200, 3, seed=5, epoch=2, lengths=np.arange(200) % 17)
    assert [int(n) for n in done.stdout.split()] == mine.tolist()


def test_numpys_own_state_has_no_say() -> None:
    first = order(50, 4, seed=1, epoch=1)
    np.random.seed(9)
    np.random.random(3)
    assert order(50, 4, seed=1, epoch=1).tolist() == first.tolist()


def test_seeds_and_epochs_give_orders_of_their_own() -> None:
    found = {tuple(order(30, 4, seed=s, epoch=e).tolist()) for s in range(20) for e in range(20)}
    assert len(found) == 400


def test_every_place_is_as_likely_for_every_sample() -> None:
    places = np.array([np.argsort(order(10, 4, seed=s, epoch=0)) for s in range(4000)])
    counts = np.array([np.bincount(places[:, sample], minlength=10) for sample in range(10)])
    assert np.abs(counts - 400).max() < 100  # five times the 19 that chance gives
    bucketed = np.array([order(10, 4, seed=s, epoch=0, lengths=LENGTHS[:10])[8:] for s in range(4000)])
    assert np.abs(np.bincount(bucketed.ravel(), minlength=10) - 800).max() < 140  # who is in the short step


def test_without_shuffling_samples_come_as_they_are() -> None:
    for epoch in (0, 3):
        assert order(5, 2, seed=1, epoch=epoch, shuffle=False).tolist() == [0, 1, 2, 3, 4]


def test_without_shuffling_buckets_are_sorted_the_longest_first() -> None:
    found = order(12, 4, seed=1, epoch=0, shuffle=False, lengths=LENGTHS)
    assert LENGTHS[found].tolist() == sorted(LENGTHS, reverse=True)
    assert found.tolist().index(3) < found.tolist().index(4), "equal ones keep their order"


@given(
    lengths=st.lists(st.integers(0, 60), min_size=0, max_size=300),
    size=st.integers(1, 20),
    seed=st.integers(0, 1 << 70),
    epoch=st.integers(0, 1 << 40),
    shuffle=st.booleans(),
    bucket=st.booleans(),
)
def test_every_sample_comes_once(
    lengths: list[int], size: int, seed: int, epoch: int, shuffle: bool, bucket: bool
) -> None:
    by = np.array(lengths, np.int64) if bucket else None
    found = order(len(lengths), size, seed=seed, epoch=epoch, shuffle=shuffle, lengths=by)
    assert sorted(found.tolist()) == list(range(len(lengths)))
    again = order(len(lengths), size, seed=seed, epoch=epoch, shuffle=shuffle, lengths=by)
    assert found.tolist() == again.tolist()


@pytest.mark.parametrize(("full", "pools"), [(1, [1]), (51, [51]), (74, [74]), (76, [38, 38]), (200, [50, 50, 50, 50])])
@pytest.mark.parametrize("rest", [0, 3])
def test_pools_of_about_fifty_steps_are_sorted_and_their_steps_shuffled(full: int, pools: list[int], rest: int) -> None:
    size = 8
    lengths = words(full * size + rest)
    found = lengths[order(len(lengths), size, seed=0, epoch=0, lengths=lengths)][: full * size].reshape(full, size)
    assert (np.diff(found, axis=1) >= 0).all(), "sorted within a step"
    for pool in np.split(found, np.cumsum(pools)[:-1]):
        assert (np.sort(pool[:, -1])[:-1] <= np.sort(pool[:, 0])[1:]).all(), "the steps of a pool do not overlap"
        assert len(pool) == 1 or (np.diff(pool[:, 0]) < 0).any(), "the steps of a pool are shuffled"
    if len(pools) > 1:
        assert (np.sort(found[:, -1])[:-1] > np.sort(found[:, 0])[1:]).any(), "those of all pools do"


def test_buckets_save_most_of_the_padding() -> None:
    lengths = words(1284)
    plain = padding(lengths, order(1284, 16, seed=0, epoch=0), 16)
    bucketed = padding(lengths, order(1284, 16, seed=0, epoch=0, lengths=lengths), 16)
    whole = padding(lengths, order(1284, 16, seed=0, epoch=0, shuffle=False, lengths=lengths), 16)
    assert whole < bucketed < 0.1 and plain > 0.5


# padding


@pytest.mark.parametrize(
    ("lengths", "ordered", "size", "share_of_padding"),
    [
        ([3, 3, 3], [0, 1, 2], 2, 0.0),
        ([1, 3], [0, 1], 2, 2 / 6),
        ([1, 3], [1, 0], 1, 0.0),
        ([1, 3, 2], [0, 1, 2], 2, 2 / 8),  # the short step is as wide as its own longest
        ([0, 0, 2], [0, 1, 2], 2, 2 / 4),  # a step where nobody has anything has one column
        ([], [], 4, 0.0),
        ([4, 1, 4, 1], [0, 2, 1, 3], 2, 0.0),
    ],
)
def test_padding(lengths: list[int], ordered: list[int], size: int, share_of_padding: float) -> None:
    assert padding(np.array(lengths, int), np.array(ordered, int), size) == pytest.approx(share_of_padding)


# shares


@given(
    count=st.integers(1, 60), size=st.integers(1, 20), world=st.integers(1, 9), seed=st.integers(0, 9)
)  # fmt: skip
def test_over_all_ranks_each_sample_is_fresh_once(count: int, size: int, world: int, seed: int) -> None:
    size = max(size, world)
    ordered = order(count, size, seed=seed, epoch=0)
    for number in range(steps(count, size)):
        parts = [share(ordered, number, size, rank=r, world=world) for r in range(world)]
        whole = ordered[number * size : (number + 1) * size].tolist()
        assert sorted(n for p in parts for n in p.entries[p.fresh].tolist()) == sorted(whole)
        assert {p.total for p in parts} == {len(whole)}
        assert max(len(p.entries) for p in parts) - min(len(p.entries) for p in parts) <= 1
        assert min(len(p.entries) for p in parts) >= 1
        assert all(p.fresh.all() or not p.fresh.any() for p in parts), "no rank has both kinds"


def test_ranks_take_turns_within_a_step() -> None:
    ordered = np.arange(10, 22)
    assert [share(ordered, 1, 6, rank=r, world=3).entries.tolist() for r in range(3)] == [[16, 19], [17, 20], [18, 21]]


def test_a_short_step_is_filled_from_the_start_of_the_order() -> None:
    ordered = np.array([4, 2, 0, 3, 1])
    parts = [share(ordered, 1, 4, rank=r, world=3) for r in range(3)]
    assert [p.entries.tolist() for p in parts] == [[1], [4], [2]]
    assert [p.fresh.tolist() for p in parts] == [[True], [False], [False]]


def test_fewer_samples_than_ranks_go_round() -> None:
    ordered = np.array([1, 0])
    assert [share(ordered, 0, 5, rank=r, world=5).entries.tolist() for r in range(5)] == [[1], [0], [1], [0], [1]]


@pytest.mark.parametrize(("count", "expected", "dropped"), [(0, 0, 0), (1, 1, 0), (4, 1, 1), (5, 2, 1), (8, 2, 2)])
def test_steps(count: int, expected: int, dropped: int) -> None:
    assert (steps(count, 4), steps(count, 4, drop_last=True)) == (expected, dropped)
