"""Running again what failed, and stopping what runs. A rerun changes what a point is given, never what it asks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hpc_sweep import files, local, slurm
from hpc_sweep.child import KINDS
from hpc_sweep.cluster import Profile
from hpc_sweep.errors import InputError, RefusedError
from hpc_sweep.shards import MARGIN
from hpc_sweep.status import PointStatus, Status

_OF_THE_TASK = ("limit", "warn_seconds", "file_delay", "at_once", "lane_after", "time")  # said anew each time
MENDABLE = ("failed", "lost", "damaged")


@dataclass(frozen=True)
class Wishes:
    """What the user asked to be different this time."""

    mem: float | None = None
    minutes: float | None = None
    exclude: str | None = None


def choose(state: Status, only: Sequence[str], points: Sequence[str]) -> list[PointStatus]:
    """The points to run again: those named, or those that failed, all or of some kinds."""
    if points:
        return [_named(state, prefix) for prefix in points]
    unknown = sorted(set(only) - {*KINDS, "damaged"})
    if unknown:
        raise InputError(f"`{unknown[0]}` is not a kind of failure", f"the kinds: {', '.join([*KINDS, 'damaged'])}")
    chosen = [p for p in state.points if mendable(p)]
    return [p for p in chosen if not only or p.kind in only or p.state in only]


def mendable(point: PointStatus) -> bool:
    """Whether a rerun takes it up: it ended badly, or the submission that held it came to nothing."""
    return point.state in MENDABLE or (point.state == "new" and point.submission is not None)


def _named(state: Status, prefix: str) -> PointStatus:
    found = find_point(state, prefix)
    if found.state in ("done", "running", "waiting"):
        raise RefusedError(f"{found.point.id} is {found.state}", "only what failed, is lost or is damaged is run again")
    return found


def find_point(state: Status, prefix: str) -> PointStatus:
    """The one point whose id begins so."""
    found = [p for p in state.points if p.point.id.startswith(prefix)]
    if not found:
        raise InputError(f"{state.sweep.name} has no point `{prefix}`", f"hpc-sweep status {state.sweep.name} --all")
    if len(found) > 1:
        raise InputError(f"{len(found)} points begin with `{prefix}`", "give more letters of the id")
    return found[0]


def resources_for(
    state: Status, profile: Profile, original: Callable[[Any], dict[str, Any]], wishes: Wishes
) -> Callable[[Any], dict[str, Any]]:
    """What each point is given this time: by the policy of its kind of failure, then by the user's wishes."""
    by_id = {p.point.id: p for p in state.points}

    def resources(point: Any) -> dict[str, Any]:
        status = by_id[point.id]
        given = _last_given(state, status) or original(point)
        return _wished(policy(status, dict(given), profile), wishes)

    return resources


def _last_given(state: Status, status: PointStatus) -> dict[str, Any] | None:
    if status.submission is None or status.shard is None:
        return None
    claim = next(s.claim for s in state.submissions if s.number == status.submission)
    array = max(k for k in range(len(claim.arrays)) if claim.first_shard(k) <= status.shard)
    return {k: v for k, v in claim.arrays[array].resources.items() if k not in _OF_THE_TASK}


def policy(status: PointStatus, given: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """What mends a kind of failure without asking another question."""
    if status.kind == "host-oom":
        had = float(given.get("mem") or _memory_share(given, profile))
        most = profile.node.memory if profile.node else None
        given["mem"] = max(had, min(2 * had, most)) if most else 2 * had
    elif status.kind == "timeout":
        given |= _longer(float(given["minutes"]), int(given["points_per_shard"]), profile.limits.minutes)
    elif status.kind == "oom":
        given["accumulate"] = 2 * int(given.get("accumulate") or 1)
    elif status.kind == "node-fail" and status.node:
        excluded = [n for n in str(given.get("exclude") or "").split(",") if n]
        given["exclude"] = ",".join(dict.fromkeys([*excluded, status.node]))
    return given


def _longer(minutes: float, points: int, limit: int | None) -> dict[str, Any]:
    """Twice the time for each point; where that is more than a task may take, fewer points in a task."""
    if limit is None:
        return {"minutes": 2 * minutes}
    minutes = max(minutes, min(2 * minutes, limit / MARGIN))
    return {"minutes": minutes, "points_per_shard": max(1, min(points, int(limit / (MARGIN * minutes))))}


def _memory_share(given: Mapping[str, Any], profile: Profile) -> float:
    """What Slurm gave where the grid named no memory: about a core's share of the node for each core."""
    if profile.node and profile.node.memory and profile.node.cpus:
        return float(profile.node.memory) / float(profile.node.cpus) * int(given.get("cpus") or 1)
    return 4.0


def _wished(given: dict[str, Any], wishes: Wishes) -> dict[str, Any]:
    if wishes.mem is not None:
        given["mem"] = wishes.mem
    if wishes.minutes is not None:
        given["minutes"] = wishes.minutes / (MARGIN * given["points_per_shard"])
        given["time"] = wishes.minutes  # of the task, however few points of its shard are left
    if wishes.exclude is not None:
        given["exclude"] = wishes.exclude
    return given


def quarantine(state: Status, chosen: Sequence[PointStatus]) -> int:
    """Move damaged dumps aside, so that they are computed again and can still be looked at."""
    damaged = [p for p in chosen if p.state == "damaged" and p.path is not None]
    for status in damaged:
        assert status.path is not None
        folder = files.make_folder(state.sweep.quarantine)
        target = folder / status.path.name
        k = 0
        while target.exists():
            k += 1
            target = folder / f"{status.path.stem}-{k}.h5"
        with files.disk(target), suppress(FileNotFoundError):  # somebody else may do the same just now
            os.rename(status.path, target)
    return len(damaged)


@dataclass(frozen=True)
class Cancelled:
    """What a cancel reached: tasks and points stopped, and points spared because their task has others."""

    tasks: int
    points: int
    spared: int


def cancel(state: Status, wanted: Callable[[PointStatus], bool], by: str) -> Cancelled:
    """Stop the tasks of which every unfinished point is wanted."""
    live = [p for p in state.points if p.state in ("running", "waiting") and p.shard is not None]
    by_shard: dict[tuple[int, int], list[PointStatus]] = defaultdict(list)
    for status in live:
        assert status.submission is not None and status.shard is not None
        by_shard[status.submission, status.shard].append(status)
    chosen = {key: group for key, group in by_shard.items() if all(map(wanted, group))}
    spared = sum(wanted(p) for key, group in by_shard.items() if key not in chosen for p in group)
    for submission in state.submissions:
        shards = sorted(shard for number, shard in chosen if number == submission.number)
        if not shards:
            continue
        state.sweep.cancel_shards(submission.number, shards, by)
        if submission.claim.cluster == "local":
            if len(shards) == sum(number == submission.number for number, _ in by_shard):
                local.cancel(state.sweep, submission.number)
        else:
            slurm.cancel(_slurm_tasks(state, submission.number, shards))
    return Cancelled(len(chosen), sum(map(len, chosen.values())), spared)


def _slurm_tasks(state: Status, number: int, shards: list[int]) -> list[str]:
    submission = next(s for s in state.submissions if s.number == number)
    tasks = []
    for shard in shards:
        array = max(k for k in range(len(submission.claim.arrays)) if submission.claim.first_shard(k) <= shard)
        job = submission.jobs.get(array, {}).get("job") or state.jobs_found.get((number, array))
        if job:
            tasks.append(f"{job}_{shard - submission.claim.first_shard(array)}")
    return tasks
