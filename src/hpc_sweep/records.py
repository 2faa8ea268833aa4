"""What the files of a sweep hold, as values: points, claims, submissions, attempts. It opens no file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from hpc_sweep import files


def point_id(job: str, config: dict[str, Any]) -> str:
    """The name of a point: the same for the same job and configuration, wherever and in whichever grid."""
    text = files.canonical({"job": job, "config": config})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Point:
    """One line of `points.jsonl`."""

    index: int
    id: str
    config: dict[str, Any]
    axes: dict[str, Any]


@dataclass(frozen=True)
class Array:
    """One Slurm array of a submission: shards that ask for the same resources."""

    name: str
    resources: dict[str, Any]
    shards: tuple[tuple[str, ...], ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """`submissions/003.json`: who runs which points, where, with which code. Written before Slurm hears of it."""

    number: int
    uid: str  # of the sweep, so that a copy of its folder is not taken for it
    job: str
    sweep: dict[str, str]
    cluster: str
    by: str
    host: str
    pid: str
    code: dict[str, Any]
    why: str
    max_fails: int
    arrays: tuple[Array, ...]
    at: float  # the claimer's clock; shown to people, compared with nothing
    live_tracking: str | None = None

    @property
    def shards(self) -> list[tuple[str, ...]]:
        """All shards of all arrays: a shard's number counts through the arrays."""
        return [shard for array in self.arrays for shard in array.shards]

    def first_shard(self, array: int) -> int:
        return sum(len(a.shards) for a in self.arrays[:array])


@dataclass(frozen=True)
class Submission:
    """A claim and what became of it: the job ids (by array), and why it was closed, if it was."""

    claim: Claim
    jobs: dict[int, dict[str, Any]]
    closed: dict[str, Any] | None
    cancelled: frozenset[int]
    claimed_at: float

    @property
    def number(self) -> int:
        return self.claim.number


@dataclass(frozen=True)
class Attempt:
    """The lines of one execution of one shard."""

    submission: int
    shard: int
    restart: int
    events: tuple[dict[str, Any], ...]
    torn: int

    @property
    def label(self) -> str:
        return f"{self.submission:03d}-{self.shard}-{self.restart}"


def plain(claim: Claim) -> dict[str, Any]:
    """A claim as JSON keeps it."""
    arrays = [{**vars(a), "shards": [list(s) for s in a.shards], "after": list(a.after)} for a in claim.arrays]
    return {**vars(claim), "arrays": arrays}


def claim_of(raw: dict[str, Any]) -> Claim:
    """The claim that `plain` made this of; KeyError or TypeError when it is something else."""
    arrays = tuple(
        Array(a["name"], a["resources"], tuple(tuple(s) for s in a["shards"]), tuple(a["after"])) for a in raw["arrays"]
    )
    return Claim(**{**raw, "arrays": arrays})
