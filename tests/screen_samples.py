"""A sweep that never was, in all its states, for the tests of the screens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from hpc_sweep.cluster import Profile
from hpc_sweep.launch import Proposal
from hpc_sweep.ledger import Array, Claim, Point, Submission, Sweep
from hpc_sweep.shards import Plan
from hpc_sweep.snapshot import Snapshot
from hpc_sweep.status import PointStatus, Status

NAME = "s2lif_table2"
NOW = 1_800_000_000.0
AXES: dict[str, list[Any]] = {
    "model": ["s2lif", "mart", "vc_csa"],
    "data": ["mosi", "mosei", "sims"],
    "lr": [0.0001, 0.0003],
    "seed": [1, 2, 3, 4, 5],
}
RESOURCES: dict[str, Any] = {
    "gpus": 1, "cpus": 8, "mem": 32.0, "minutes": 9, "points_per_shard": 4, "nodes": 1, "tasks_per_node": 1,
    "deepspeed": None, "accumulate": 1, "checkpoint_minutes": 10, "warn_seconds": 120, "limit": 60,
}  # fmt: skip
CODE = Snapshot("a" * 16, "4f2c1aa9d", False, ())


def points(axes: dict[str, list[Any]] = AXES) -> list[Point]:
    """The product without ten points that the grid skips."""
    rows = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    rows = [r for r in rows if not (r.get("model") == "mart" and r.get("data") == "sims")]
    return [Point(i, hashlib.sha256(repr(r).encode()).hexdigest()[:12], r, r) for i, r in enumerate(rows)]


def claim(shards: Sequence[tuple[str, ...]], **changes: Any) -> Claim:
    resources = {**RESOURCES, "at_once": 8, "lane_after": None}
    given: dict[str, Any] = {
        "number": 0, "uid": "0123abcd", "job": "train", "sweep": {}, "cluster": "a100", "by": "lea", "host": "jz1",
        "pid": "1:1", "code": CODE.record(), "why": "submit", "max_fails": 16, "at": NOW - 11_520,
        "arrays": (Array("hs-s2lif_table2-000-0-0123abcd", resources, tuple(shards)),),
    }  # fmt: skip
    return Claim(**{**given, **changes})


def cut(ids: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(ids[i : i + size]) for i in range(0, len(ids), size)]


def told(found: list[Point], plan: Sequence[tuple[int, str, str, str]]) -> list[PointStatus]:
    """Points with their states: (how many, state, kind, words), in order."""
    states = [(state, kind, words) for count, state, kind, words in plan for _ in range(count)]
    states += [("done", "", "")] * (len(found) - len(states))
    return [
        PointStatus(
            p, state, kind, words, attempt=f"000-{i // 4}-0", tries=0 if state in ("waiting", "new") else 1 + i % 2,
            seconds=480.0 + 7 * (i % 9) if state == "done" else 0.0, node="n3", submission=0, shard=i // 4,
        )
        for i, (p, (state, kind, words)) in enumerate(zip(found, states, strict=True))
    ]  # fmt: skip


def status(
    plan: Sequence[tuple[int, str, str, str]] = (),
    *,
    axes: dict[str, list[Any]] = AXES,
    notes: Sequence[str] = (),
    used: float = 9.4,
    name: str = NAME,
    **changes: Any,
) -> Status:
    """A status of the sweep, with one submission of everything."""
    found = points(axes)
    submission = Submission(
        claim(cut([p.id for p in found], 4), **changes), {0: {"job": "8841203", "tasks": 20}}, None, frozenset(), NOW
    )
    header = {"name": name, "job": "train", "axes": axes, "version": 0, "text": "", "about": "S2LIF, Table 2"}
    return Status(
        Sweep(Path("sweeps") / name), header, told(found, plan), [submission], list(notes), used,
        live=frozenset([0]), jobs_found={}, unreached=frozenset(),
    )  # fmt: skip


def busy() -> Status:
    """Some of everything: 58 done, 6 running, 9 waiting, 7 failed in three ways."""
    state = status(notes=["Slurm is silent (`squeue` did not answer in 10 s): running and waiting are guesses"])
    oom = [i for i, p in enumerate(state.points) if p.point.axes["model"] == "mart" and p.point.axes["data"] == "mosei"]
    found = list(state.points)
    for k, i in enumerate(oom[:7]):
        kind, words = ("oom", "CUDA out of memory. Tried to allocate 2.40 GiB")
        if k == 5:
            kind, words = "nan", "loss is nan at step 118 (mae 0.4)"
        if k == 6:
            kind, words = "timeout", "31 of 40 done when the 60 min ended; it had saved no checkpoint"
        found[i] = replace(found[i], state="failed", kind=kind, words=words, tries=1)
    others = [i for i in range(len(found)) if found[i].state == "done" and found[i].point.axes["seed"] > 3]
    for k, i in enumerate(others[:15]):
        found[i] = replace(found[i], state="running" if k < 6 else "waiting", seconds=0.0, tries=2 if k < 2 else k < 6)
    return replace(state, points=found)


def every_kind() -> Status:
    """One or two points of each kind there is, and all else that a screen can hold."""
    from hpc_sweep.child import KINDS

    plan = [(1, "lost" if k == "lost" else "failed", k, f"the last words of a point that ended as {k}") for k in KINDS]
    plan += [(2, "damaged", "", "checksum differs (8,002,048 bytes, as written)"), (3, "new", "", "")]
    plan += [(4, "running", "", ""), (5, "waiting", "", "Priority")]
    return status(plan, notes=[f"note number {i} about something that a reader must know of" for i in range(7)])


def proposal(**changes: Any) -> Proposal:
    """The first submission of the grid."""
    found = changes.pop("found", points())
    ids = [p.id for p in found]
    given: dict[str, Any] = {
        "sweep": Sweep(Path("sweeps") / NAME),
        "profile": Profile(
            name="a100", scheduler="slurm", about="Jean Zay", partition="gpu_p5", account="abc@a100"
        ),
        "grid": {
            "name": NAME, "job": "train", "about": "S2LIF, Table 2; five seeds", "text": "", "axes": AXES, "fixed": {},
            "skipped": 10, "expect": 80, "needs": [],
        },
        "version": 0, "new_version": True, "points": found, "state": None, "code": CODE,
        "plans": [Plan(RESOURCES, tuple(cut(ids, 4)), 8)], "held_back": 0, "after": (), "number": 0,
        "uid": "0123abcd", "max_fails": 16, "why": "submit", "live_tracking": None,
    }  # fmt: skip
    return Proposal(**{**given, **changes})


def sixth_seed() -> Proposal:
    """The same grid with one more seed, when the first five are done."""
    axes = {**AXES, "seed": [1, 2, 3, 4, 5, 6]}
    wider = points(axes)
    state = status()
    known = {p.point.id: p for p in state.points}
    state = replace(state, points=[known.get(p.id, PointStatus(p, "new")) for p in wider])
    new = [p.id for p in wider if p.id not in known]
    first = proposal()
    grid = {**first.grid, "axes": axes, "skipped": 12, "expect": None}
    return replace(
        first, grid=grid, points=wider, state=state, plans=[Plan(RESOURCES, tuple(cut(new, 4)))], version=1, number=1
    )


def rerun(state: Status, kinds: Sequence[str], **resources: Any) -> Proposal:
    """What `rerun --only KIND` proposes."""
    ids = [p.point.id for p in state.points if p.kind in kinds]
    plans = [Plan({**RESOURCES, **resources}, tuple(cut(ids, 4)))]
    return proposal(state=state, plans=plans, why="rerun", new_version=False, number=1)


@dataclass(frozen=True)
class Collected:
    """What `collect` made."""

    name: str = NAME
    points: int = 80
    failed: int = 7
    rows: int = 73
    columns: int = 19
    read_bytes: int = 48_000_000
    damaged: Sequence[tuple[str, str]] = ()
    csv: Path | None = Path("sweeps/s2lif_table2/results/results.csv")
    h5: Path | None = Path("sweeps/s2lif_table2/results/results.h5")
    sha256: str | None = "9b0c" * 16


@dataclass(frozen=True)
class Check:
    """A line of doctor."""

    name: str
    mark: str
    sentence: str
    fix: str | None = None


CHECKS = [
    Check("python", "ok", "3.11.9, 41 of 41 packages as in the lock"),
    Check("slurm", "ok", "24.05.3 · MaxArraySize 1001 · accounting answers in 0.3 s"),
    Check("files", "note", "new files appear on compute nodes after 2.8 s; waits adjusted", "file_delay: 3"),
    Check(
        "logs", "problem", "sweeps/s2lif_table2/logs is writable by group: others could run code as you",
        "chmod 700 sweeps/s2lif_table2/logs",
    ),
    Check("mlflow", "ok", "sqlite, writable, 3.17.2"),
]  # fmt: skip
