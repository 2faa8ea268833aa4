"""Sweeps that never ran, with results and histories, for the tests of the report; and one that did."""

from __future__ import annotations

import hashlib
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from build import CODE, RESOURCES
from hpc_sweep import collect, dump, fates, files, job, results, status
from hpc_sweep.job import History, Job
from hpc_sweep.ledger import Array, Claim, Point, Submission, Sweep
from hpc_sweep.records import point_id
from hpc_sweep.results import Results, Row
from hpc_sweep.status import PointStatus, Status

AT = 1_795_000_000.0
AXES: dict[str, list[Any]] = {"model": ["small", "large"], "rate": [0.1, 0.2], "seed": [0, 1, 2]}
HOSTILE = "<script>alert(1)</script> | $x_1$ \\ {%} *b* `c` \x1b[31m\u202e\x00 &amp; [a](b) # ~^ -- \"q\" 'r'"

Values = dict[str, Any]
Broken = Callable[[Values], tuple[str, str, str] | None]


@dataclass(frozen=True)
class Told(Results):
    """Results whose histories are given."""

    histories: Mapping[str, History] = field(default_factory=dict)

    def history(self, id: str) -> History:
        return self.histories.get(id, {})


def made(
    axes: dict[str, list[Any]] = AXES,
    metrics: Callable[[Values], Mapping[str, float | None]] = lambda v: {"loss": 1.0 + v.get("seed", 0) / 10},
    *,
    broken: Broken = lambda v: None,
    skip: Callable[[Values], bool] = lambda v: False,
    missing: Callable[[Values], dict[str, str]] = lambda v: {},
    history: Callable[[Values], History] = lambda v: {},
    gpus: int = 1,
    **header: Any,
) -> tuple[Status, Told]:
    """A status and results: each point has the numbers that `metrics` gives it, unless it is broken."""
    rows = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    kept = [r for r in rows if not skip(r)]
    points = [Point(i, hashlib.sha256(repr(r).encode()).hexdigest()[:12], r, r) for i, r in enumerate(kept)]
    found = [_point(p, broken(p.axes)) for p in points]
    whole = [p.point for p in found if p.state == "done"]
    collected = tuple(Row(p.id, p.axes, p.config, dict(metrics(p.axes)), missing(p.axes)) for p in whole)
    told = {
        "name": "trial", "job": "train", "about": "", "axes": axes, "fixed": {"epochs": 40}, "version": 0, "text": "",
        "skipped": len(rows) - len(kept), **header,
    }  # fmt: skip
    sweep = Sweep(Path("sweeps") / "trial")
    claim = _claim(sweep, [p.id for p in points], gpus)
    state = Status(
        sweep, told, found, [Submission(claim, {}, None, frozenset(), AT)], [], 0.5 * gpus,
        live=frozenset(), jobs_found={}, unreached=frozenset(),
    )  # fmt: skip
    return state, Told(Path("results.h5"), "trial", len(points), collected, {p.id: history(p.axes) for p in whole})


def _point(point: Point, broken: tuple[str, str, str] | None) -> PointStatus:
    common: dict[str, Any] = {"attempt": "000-0-0", "submission": 0, "shard": point.index}
    if broken:
        state, kind, words = broken
        return PointStatus(point, state, kind, words, tries=1, node="n1", **common)
    done = {"attempt": "000-0-0", "time": AT + 600 + point.index}
    return PointStatus(point, "done", tries=1, seconds=60.0 + point.index, node="n1", done=done, **common)


def _claim(of: Sweep, ids: Sequence[str], gpus: int, **changes: Any) -> Claim:
    code = {**CODE, "commit": "4f2c1aa9d0b1", "label": "4f2c1aa (clean)"}
    array = Array(f"hs-{of.name}-000-0", {**RESOURCES, "gpus": gpus}, tuple((id,) for id in ids))
    given: dict[str, Any] = {
        "number": 0, "uid": "0a1b2c3d", "job": "train", "sweep": {}, "cluster": "v100", "by": "lea",
        "host": socket.gethostname(), "pid": fates.own_process(), "code": code, "why": "submit", "max_fails": 100,
        "arrays": (array,), "at": AT,
    }  # fmt: skip
    return Claim(**{**given, **changes})


def one_failed(values: Values) -> tuple[str, str, str] | None:
    """The last seed of the large model at the larger rate."""
    if values == {"model": "large", "rate": 0.2, "seed": 2}:
        return "failed", "oom", "CUDA out of memory. Tried to allocate 2.40 GiB"
    return None


def curve(values: Values) -> History:
    """A loss that falls, for the longer the later the seed."""
    steps = 10 + values.get("seed", 0)
    return {"loss": [(k, math.exp(-k * values.get("rate", 0.1)) + 0.01 * values.get("seed", 0)) for k in range(steps)]}


def a_job(folder: Path, **functions: Any) -> Job:
    """A job with these functions in its module."""
    module: Any = SimpleNamespace(__file__=str(folder / "train.py"), **functions)
    return Job("train", module)


# a sweep on disk, run by the self-test job itself


def ran(folder: Path, axes: dict[str, list[Any]], broken: Broken = lambda v: None) -> tuple[Status, Results]:
    """Run every point, write dumps and attempts as a worker does, look at the status and collect."""
    kind = job.load("selftest", Path(__file__).parents[1] / "jobs")
    configs = [{"steps": 20, "values": 5, **dict(zip(axes, row, strict=True))} for row in product(*axes.values())]
    resolved = [asdict(kind.check(c)) for c in configs]
    points = [Point(i, point_id("selftest", c), c, {name: c[name] for name in axes}) for i, c in enumerate(resolved)]
    sweep = Sweep(folder / "sweeps" / "trial")
    header = {
        "name": "trial", "job": "selftest", "about": "a real one", "text": "", "axes": axes, "fixed": {"steps": 20},
        "needs": [], "expect": None, "skipped": 0, "uid": "0a1b2c3d",
    }  # fmt: skip
    sweep.write_version(0, header, points)
    sweep.claim(_claim(sweep, [p.id for p in points], 0, sweep=sweep.told(sweep.header())))
    for point in points:
        _run(sweep, kind, point, broken(point.axes))
    state = status.compute(sweep)
    entries = [
        collect.Entry(p.point.id, p.point.config, p.point.axes, p.path, p.done["sha256"], p.done["bytes"])
        for p in state.points
        if p.path and p.done
    ]
    collect.collect(entries, sweep.results, name="trial", expected=len(points), to={"hdf5"})
    return state, results.load(sweep.results)


def _run(sweep: Sweep, kind: Job, point: Point, broken: tuple[str, str, str] | None) -> None:
    attempt, _ = sweep.open_attempt(0, point.index, 0)
    attempt.write("start", job="100", node="n1", pid=1, code="", time=AT)
    attempt.write("begin", point=point.id, at=0)
    if broken:
        attempt.write("failed", point=point.id, kind=broken[1], words=broken[2], seconds=9.0)
    else:
        context = job.Context(
            seed=point.config["seed"], scratch=sweep.scratch(point.id), resources={},
            send=lambda *args, **fields: None, stop_asked=lambda: False,
        )  # fmt: skip
        result = kind.module.run(kind.check(point.config), context)
        data = dump.pack(
            id=point.id, job="selftest", config=point.config, code="c", result=result, history=context.history
        )
        _, sha256, size, changed = dump.write(sweep.dumps, point.id, data)
        told = {"sha256": sha256, "bytes": size, "mtime_ns": changed, "seconds": 30.0, "time": AT + 60}
        attempt.write("done", point=point.id, **told)
    attempt.write("end", why="finished", time=AT + 90)
    attempt.close()
    files.make_folder(sweep.logs)
