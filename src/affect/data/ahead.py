"""Making things ahead of time in one thread, so that reading overlaps the work that is done with what was read.

Owns the thread: it has ended when the loop has, also where the loop is left early or something goes wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(make: Callable[[T], U], items: Iterable[T], depth: int) -> Generator[U]:
    """What `make` gives for each item, in order; `depth` of them are made before they are asked for.

    An error in `make` is raised here, in its turn. A depth of 0 takes no thread.
    """
    if depth == 0:
        yield from map(make, items)
        return
    coming = iter(items)
    maker = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        waiting: deque[Future[U]] = deque(maker.submit(make, item) for item in islice(coming, depth))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(maker.submit(make, item) for item in islice(coming, 1))
            yield made
    finally:
        maker.shutdown(cancel_futures=True)
