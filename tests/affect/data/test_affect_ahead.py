"""Making ahead: in order, so many and no more, errors in their turn, and no thread that stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from affect.data.ahead import ahead


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("ahead")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    assert threads() == []
    yield
    assert threads() == []


def until(true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 10
        time.sleep(0.001)


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_everything_comes_in_its_turn(count: int, depth: int) -> None:
    assert list(ahead(lambda n: n * n, range(count), depth)) == [n * n for n in range(count)]


def test_without_depth_nothing_is_made_before_it_is_asked_for() -> None:
    made: list[int] = []
    coming = ahead(made.append, range(3), 0)
    next(coming)
    assert made == [0] and threads() == []


@pytest.mark.parametrize("depth", [1, 3])
def test_so_many_are_made_before_they_are_asked_for_and_no_more(depth: int) -> None:
    made: list[int] = []
    coming = ahead(lambda n: made.append(n), range(20), depth)
    next(coming)
    until(lambda: len(made) == depth + 1)
    time.sleep(0.05)
    assert made == list(range(depth + 1)) and len(threads()) == 1
    coming.close()


def test_making_overlaps_what_is_done_with_the_things() -> None:
    """The second thing is only made while the first is worked on, and that work waits for it."""
    working, made = threading.Event(), threading.Event()

    def make(n: int) -> int:
        if n == 1:
            assert working.wait(10)
            made.set()
        return n

    for n in ahead(make, range(2), 1):
        working.set()
        assert made.wait(10), n


def test_an_error_comes_in_its_turn_and_with_its_place() -> None:
    def make(n: int) -> float:
        return 6 / (2 - n)

    seen = []
    with pytest.raises(ZeroDivisionError) as caught:
        for value in ahead(make, range(10), 3):
            seen.append(value)
    assert seen == [3.0, 6.0]
    assert any(entry.name == "make" for entry in caught.traceback)


def test_an_error_of_what_gives_the_items_comes_too() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    coming = ahead(lambda n: n, items(), 1)
    with pytest.raises(OSError, match="gone"):
        list(coming)


def test_a_loop_that_is_left_early_leaves_no_thread() -> None:
    made: list[int] = []
    for _ in ahead(made.append, range(1000), 2):
        break
    assert threads() == [] and len(made) < 5


def test_a_loop_that_ends_with_an_error_leaves_no_thread() -> None:
    with pytest.raises(KeyError):
        for _ in ahead(lambda n: n, range(1000), 2):
            raise KeyError("in the loop")
    assert threads() == []


def test_what_is_never_begun_starts_no_thread() -> None:
    coming = ahead(lambda n: n, range(3), 2)
    assert threads() == []
    coming.close()
