"""What a status comes to: failures by kind and what they share, a table of two axes, what is left to do.

Pure functions of a Status. Nothing here decides what a point is, and nothing prints.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from hpc_sweep.ledger import Array, Point
from hpc_sweep.status import PointStatus, Status

MOST_VALUES = 12  # an axis with more is no heading of a table
_UNSURE = 0.5  # how wrong a plan may be of which hardly anything is done yet


@dataclass(frozen=True)
class Failures:
    """Points that failed in the same way."""

    kind: str
    points: list[PointStatus]
    shared: dict[str, Any]
    words: str


def kind_of(point: PointStatus) -> str:
    """The kind of failure, with damaged dumps as one; empty for a point that did not fail."""
    return "damaged" if point.state == "damaged" else point.kind


def failures(points: Sequence[PointStatus]) -> list[Failures]:
    """What went wrong, the most frequent kind first."""
    by_kind: dict[str, list[PointStatus]] = defaultdict(list)
    for point in points:
        if point.state in ("failed", "lost", "damaged"):
            by_kind[kind_of(point)].append(point)
    everything = [p.point for p in points]
    found = [
        Failures(kind, group, shared([p.point for p in group], everything), _commonest(p.words for p in group))
        for kind, group in by_kind.items()
    ]
    return sorted(found, key=lambda f: -len(f.points))


def shared(points: Sequence[Point], everything: Sequence[Point]) -> dict[str, Any]:
    """The axis values that all of `points` have and that not every point of the sweep has."""
    if not points:
        return {}
    return {
        name: given
        for name, given in points[0].axes.items()
        if all(p.axes.get(name) == given for p in points) and any(p.axes.get(name) != given for p in everything)
    }


def _commonest(texts: Iterable[str]) -> str:
    return Counter(texts).most_common(1)[0][0]


# the table


@dataclass
class Row:
    """The points that have one value of an axis."""

    value: Any
    done: int = 0
    running: int = 0
    waiting: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, point: PointStatus) -> None:
        if point.state == "done":
            self.done += 1
            self.seconds += [point.seconds] if point.seconds else []
        elif point.state == "running":
            self.running += 1
        elif point.state == "waiting":
            self.waiting += 1
        elif point.state != "new":
            self.failed += 1

    @property
    def median(self) -> float | None:
        return median(self.seconds) if self.seconds else None


def table_axes(status: Status) -> list[str]:
    """The axes that can head a table, in the order of the grid."""
    axes: dict[str, list[Any]] = status.header.get("axes", {})
    return [
        name
        for name, given in axes.items()
        if all(isinstance(v, str | int | float | None) for v in given) and 2 <= len(set(given)) <= MOST_VALUES
    ]


def breakdown(status: Status, axis: str) -> list[Row]:
    """The states of the points, by the value of an axis."""
    rows = {given: Row(given) for given in status.header["axes"][axis]}
    for point in status.points:
        rows[point.point.axes[axis]].count(point)
    return list(rows.values())


def cross(status: Status, axis: str, other: str) -> dict[tuple[Any, Any], tuple[int, int]]:
    """How many points are done, and how many there are, by the values of two axes."""
    done: Counter[tuple[Any, Any]] = Counter()
    total: Counter[tuple[Any, Any]] = Counter()
    for point in status.points:
        key = point.point.axes[axis], point.point.axes[other]
        total[key] += 1
        done[key] += point.state == "done"
    return {key: (done[key], count) for key, count in total.items()}


# what is left


@dataclass(frozen=True)
class Outlook:
    """GPU hours used, planned and left (0 where no card was asked for), and the time that it will take."""

    used: float
    planned: float
    left: float
    takes: float  # seconds, if all runs at once that may
    spread: float  # how many more or fewer it may be


@dataclass(frozen=True)
class _Place:
    """The array that a shard belongs to."""

    array: Array
    number: int  # counted through all submissions
    at_once: int  # how many of its tasks may run at the same time; 0 for all

    @property
    def minutes(self) -> float:
        return float(self.array.resources.get("minutes") or 1)


def outlook(status: Status) -> Outlook:
    """What the points that live will still take, going by what the finished ones took."""
    places = _places(status)
    ratios = [
        p.seconds / 60 / place.minutes
        for p in status.points
        if p.state == "done" and p.seconds and (place := places.get((p.submission, p.shard)))
    ]
    ratio = median(ratios) if ratios else 1.0
    work = left = longest = 0.0
    shards: dict[tuple[int, int], set[int | None]] = defaultdict(set)
    for point in status.points:
        place = places.get((point.submission, point.shard))
        if place and point.state in ("running", "waiting"):
            seconds = 60 * place.minutes * ratio * (0.5 if point.state == "running" else 1.0)
            work += seconds
            left += seconds * _cards(place.array) / 3600
            longest = max(longest, seconds)
            shards[place.number, place.at_once].add(point.shard)
    at_once = sum(min(len(live), allowed or len(live)) for (_, allowed), live in shards.items())
    takes = max(work / max(at_once, 1), longest)
    planned = sum(_planned(a) for s in status.submissions for a in s.claim.arrays)
    return Outlook(status.used_gpu_hours, planned, left, takes, max(takes * _spread(ratios), longest / 2))


def _spread(ratios: Sequence[float]) -> float:
    """How far half of the points are from the middle one, as a share of it."""
    if len(ratios) < 4:
        return _UNSURE
    first, middle, third = quantiles(ratios, n=4)
    return (third - first) / 2 / middle


def _places(status: Status) -> dict[tuple[int | None, int | None], _Place]:
    """The array of each shard, by submission and shard."""
    found: dict[tuple[int | None, int | None], _Place] = {}
    number = 0
    for submission in status.submissions:
        shard = 0
        for k, array in enumerate(submission.claim.arrays):
            at_once = submission.jobs.get(k, {}).get("at_once") or array.resources.get("at_once") or 0
            place = _Place(array, number, int(at_once))
            for _ in array.shards:
                found[submission.number, shard] = place
                shard += 1
            number += 1
    return found


def _cards(array: Array) -> float:
    return float(array.resources.get("gpus") or 0) * float(array.resources.get("nodes") or 1)


def _planned(array: Array) -> float:
    return sum(map(len, array.shards)) * float(array.resources.get("minutes") or 1) * _cards(array) / 60
