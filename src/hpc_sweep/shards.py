"""Points -> shards -> arrays: pure arithmetic, no files and no Slurm."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MARGIN = 1.5  # a task may take this much longer than its points were thought to


class HasId(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """Shards that ask for the same resources, at most as many as one array may have."""

    resources: dict[str, Any]
    shards: tuple[tuple[str, ...], ...]
    at_once: int = 0  # how many may run at the same time; 0 for all
    after: int | None = None  # starts when this earlier array of the plan has ended

    @property
    def minutes(self) -> int:
        """The time limit of a task."""
        points = max(len(shard) for shard in self.shards)
        return time_limit(points * float(self.resources["minutes"]))


def time_limit(minutes: float) -> int:
    """What to ask Slurm for, for work of so many minutes: a margin, rounded up to a plain figure."""
    wanted = math.ceil(round(minutes * MARGIN, 6))
    step = 1 if wanted < 10 else 5 if wanted < 60 else 15
    return max(1, math.ceil(wanted / step) * step)


def arrange(
    points: Iterable[HasId],
    resources_of: Callable[[Any], dict[str, Any]],
    compatible: Callable[[dict[str, Any]], Hashable] | None,
    max_array: int,
    at_once: int,
) -> list[Plan]:
    """Group points by what they ask for and by what may run together, cut into shards, then into arrays."""
    groups: dict[Hashable, tuple[dict[str, Any], dict[Hashable, list[str]]]] = {}
    for point in points:
        resources = resources_of(point)
        key = tuple(sorted((k, str(v)) for k, v in resources.items()))
        together = compatible(point.config) if compatible else None
        groups.setdefault(key, (resources, {}))[1].setdefault(together, []).append(point.id)
    plans = []
    for resources, by_kind in groups.values():
        size = int(resources["points_per_shard"])
        shards = [tuple(ids[i : i + size]) for ids in by_kind.values() for i in range(0, len(ids), size)]
        plans += [Plan(resources, tuple(shards[i : i + max_array])) for i in range(0, len(shards), max_array)]
    return share(plans, at_once)


def share(plans: Sequence[Plan], at_once: int) -> list[Plan]:
    """Share one cap on what runs at the same time among arrays; more arrays than the cap wait in lanes."""
    if not at_once or sum(len(p.shards) for p in plans) <= at_once:
        return [Plan(p.resources, p.shards, 0) for p in plans]
    lanes = min(at_once, len(plans))
    weights = [sum(len(p.shards) for p in plans[lane::lanes]) for lane in range(lanes)]
    shares = _split(at_once, weights)
    return [
        Plan(p.resources, p.shards, shares[i % lanes], i - lanes if i >= lanes else None) for i, p in enumerate(plans)
    ]


def _split(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares of `total` in proportion to the weights, at least 1 each; `total` is at least their number."""
    spare = total - len(weights)
    exact = [spare * w / sum(weights) for w in weights]
    shares = [1 + math.floor(e) for e in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: math.floor(exact[i]) - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares
