"""Sweeps on disk for tests, made by the functions that make real ones: no file of a sweep is written by hand."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from hpc_sweep import cluster, dump, fates, files, job, launch, orders, status
from hpc_sweep.job import Result
from hpc_sweep.launch import Proposal
from hpc_sweep.ledger import Array, Claim, Sweep
from hpc_sweep.project import Project
from hpc_sweep.records import Point, point_id
from stubs import Slurm

ROOT = Path(__file__).parents[1]
UID = "0a1b2c3d"
CODE = {"fingerprint": "c0de" * 4, "commit": "", "dirty": False, "label": "c0dec0de (not in git)"}
RESOURCES: dict[str, Any] = {
    "gpus": 1, "cpus": 2, "mem": None, "minutes": 9.0, "points_per_shard": 1, "nodes": 1, "tasks_per_node": 1,
    "deepspeed": None, "accumulate": 1, "checkpoint_minutes": 10.0, "limit": 60, "warn_seconds": 120,
    "at_once": 0, "lane_after": None,
}  # fmt: skip

GRID = """\
name: {name}
job: selftest
about: a grid of the tests
fixed: {{steps: 3}}
axes:
  rate: [0.1, 0.2]
  seed: {{range: [0, {seeds}]}}
resources:
  - {{gpus: 1, minutes: {minutes}, points_per_shard: {per_shard}}}
{more}"""

Event = tuple[str, dict[str, Any]]


# a project, with real grids


def project(folder: Path, *profiles: str) -> Project:
    """A folder with the self-test job in it, and `devcluster` or the named ones of this project's profiles."""
    wanted = {"jobs": ["selftest.py"], "slurm": ["env.sh", *(f"{p}.yaml" for p in profiles or ("devcluster",))]}
    for part, names in wanted.items():
        (folder / part).mkdir(parents=True)
        for name in names:
            shutil.copy(ROOT / part / name, folder / part)
    return Project(folder)


def grid(
    project: Project, name: str = "trial", *, seeds: int = 4, minutes: float = 9, per_shard: int = 2, more: str = ""
) -> str:
    """Write a grid of 2 x seeds points; the path to give to `submit`."""
    path = project.root / f"{name}.yaml"
    path.write_text(GRID.format(name=name, seeds=seeds, minutes=minutes, per_shard=per_shard, more=more))
    return str(path)


def submit(project: Project, path: str, cluster: str = "devcluster", **options: Any) -> tuple[Proposal, Claim]:
    """What `hpc-sweep submit` does after its question was answered."""
    order = orders.from_grid(project, path, cluster, **options)
    return order.carry_out(order.propose())


def again(project: Project, path: str) -> Claim | None:
    """Run `submit` a second time, as a user does: nothing is started where nothing is left."""
    order = orders.from_grid(project, path, "devcluster")
    proposal = order.propose()
    return order.carry_out(proposal)[1] if proposal.chosen else None


def rerun(project: Project, name: str = "trial", **options: Any) -> tuple[Proposal, Claim]:
    """What `hpc-sweep rerun` does after its question was answered."""
    order = orders.from_failures(project, name, None, **options)
    return order.carry_out(order.propose())


def profile(name: str, **changes: Any) -> cluster.Profile:
    """A profile of this project, changed."""
    return _profiles()[name].model_copy(update=changes)


@cache
def _profiles() -> dict[str, cluster.Profile]:
    return cluster.load(ROOT / "slurm")


# a sweep without a grid


@cache
def selftest() -> job.Job:
    return job.load("selftest", ROOT / "jobs")


def points(count: int, **fixed: Any) -> list[Point]:
    """So many points of the self-test job, one a seed."""
    resolved = [asdict(selftest().check({**fixed, "seed": seed})) for seed in range(count)]
    return [Point(i, point_id("selftest", c), c, {"seed": i}) for i, c in enumerate(resolved)]


def sweep(folder: Path, points: Sequence[Point], name: str = "trial") -> Sweep:
    """A sweep of these points that nobody has submitted."""
    made = Sweep(folder / "sweeps" / name)
    seeds = [p.axes["seed"] for p in points]
    header = {
        "name": name, "job": "selftest", "about": "", "text": f"name: {name}\n", "axes": {"seed": seeds}, "fixed": {},
        "needs": [], "expect": None, "skipped": 0, "uid": UID,
    }  # fmt: skip
    made.write_version(0, header, points)
    files.make_folder(made.logs, mode=0o700)
    return made


def claim(
    sweep: Sweep,
    *arrays: Sequence[Sequence[Point]],
    job: str | None = "100",
    number: int = 0,
    code: str = CODE["fingerprint"],
    **changes: Any,
) -> Claim:
    """Claim shards, an array after the other, and write down their jobs: 100, 101 and so on; None writes none."""
    made = Claim(
        **{
            "number": number, "uid": UID, "job": "selftest", "sweep": sweep.told(sweep.header()),
            "cluster": "devcluster", "by": "lea", "host": socket.gethostname(), "pid": fates.own_process(),
            "code": {**CODE, "fingerprint": code}, "why": "submit", "max_fails": 100, "at": 1_790_000_000.0,
            "arrays": tuple(
                Array(array_name(sweep, number, k), RESOURCES, tuple(tuple(p.id for p in shard) for shard in array))
                for k, array in enumerate(arrays)
            ),
            **changes,
        }
    )  # fmt: skip
    sweep.claim(made)
    if job is not None:
        ids = {k: {"job": str(int(job) + k), "tasks": len(a.shards)} for k, a in enumerate(made.arrays)}
        sweep.record_jobs(number, ids)
    return made


def array_name(sweep: Sweep, number: int = 0, k: int = 0) -> str:
    return f"hs-{sweep.name}-{number:03d}-{k}-{UID}"


def age(sweep: Sweep, seconds: float = 3600, number: int = 0) -> None:
    """Make a claim look this old."""
    then = time.time() - seconds
    os.utime(sweep.folder / "submissions" / f"{number:03d}.json", (then, then))


def dead_process() -> str:
    """What a claim says of a submitter that lives no more."""
    return f"{os.getpid()}:1"


# Slurm and time


def submitted(sweep: Sweep, slurm: Slurm, *arrays: list[list[Point]], old: bool = True, **more: Any) -> None:
    """Claim arrays that Slurm has taken as 100, 101, ..., by default an hour ago."""
    number = more.get("number", 0)
    claim(sweep, *arrays, **more)
    for k, array in enumerate(arrays):
        slurm.add(int(more.get("job") or 100) + k, array_name(sweep, number, k), len(array))
    if old:
        age(sweep, number=number)


def sent(sweep: Sweep, slurm: Slurm) -> Counter[str]:
    """How often each point was handed to Slurm, by the arrays that sbatch took."""
    points = {a.name: [p for s in a.shards for p in s] for sub in sweep.submissions() for a in sub.claim.arrays}
    return Counter(p for job in slurm.jobs.values() for p in points.get(job["name"], ()))


def run_all(sweep: Sweep, slurm: Slurm, number: int = 0) -> None:
    """Have every task of a submission end well."""
    by_id = {p.id: p for p in sweep.points()}
    submission = sweep.submission(number)
    for shard, ids in enumerate(submission.claim.shards):
        finish(sweep, [by_id[i] for i in ids], shard, submission=number)
    for told in submission.jobs.values():
        for index in range(told["tasks"]):
            slurm.task(f"{told['job']}_{index}", "COMPLETED")


def fail_all(sweep: Sweep, kind: str, node: str = "n1", number: int = 0) -> None:
    by_id = {p.id: p for p in sweep.points()}
    for shard, ids in enumerate(sweep.submission(number).claim.shards):
        events = [e for i in ids for e in (begin(by_id[i]), failed(by_id[i], kind))]
        attempt(sweep, shard, *events, end(), submission=number, node=node)


# attempts and dumps


def attempt(
    sweep: Sweep, shard: int, *events: Event, submission: int = 0, restart: int = 0, node: str = "n1", at: float = 0.0
) -> str:
    """Write an attempt as a worker does; returns its label."""
    appender, label = sweep.open_attempt(submission, shard, restart)
    appender.write("start", job=f"100_{shard}", node=node, pid=1, code=CODE["fingerprint"], time=at)
    for name, fields in events:
        appender.write(name, **fields)
    appender.close()
    return label


def begin(point: Point) -> Event:
    return "begin", {"point": point.id, "at": 0}


def failed(point: Point, kind: str = "code", words: str = "KeyError: 'labels'", seconds: float = 2.0) -> Event:
    return "failed", {"point": point.id, "kind": kind, "words": words, "seconds": seconds}


def end(why: str = "finished", **more: Any) -> Event:
    return "end", {"why": why, "time": 0.0, **more}


def done(sweep: Sweep, point: Point, loss: float = 0.5, seconds: float = 2.0, code: str = CODE["fingerprint"]) -> Event:
    """Write the dump of a point; the event that tells of it."""
    data = packed(point, loss, code)
    _, sha256, size, changed = dump.write(sweep.dumps, point.id, data)
    return "done", {"point": point.id, "sha256": sha256, "bytes": size, "mtime_ns": changed, "seconds": seconds}


def packed(point: Point, loss: float = 0.5, code: str = CODE["fingerprint"]) -> bytes:
    """The bytes of a dump."""
    history = {"loss": [(0, 1.0), (1, loss)]}
    return dump.pack(
        id=point.id, job="selftest", config=point.config, code=code, result=Result({"loss": loss}), history=history
    )


def finish(sweep: Sweep, points: Sequence[Point], shard: int = 0, **more: Any) -> str:
    """An attempt that ran these points well from beginning to end."""
    events = [event for p in points for event in (begin(p), done(sweep, p))]
    return attempt(sweep, shard, *events, end(), **more)


def states(found: status.Status) -> list[str]:
    return [p.state for p in found.points]


def proposal(
    project: Project,
    found: Sequence[Point],
    *,
    profile: cluster.Profile,
    resources: Callable[[Point], dict[str, Any]],
    name: str = "trial",
    **options: Any,
) -> Proposal:
    """Plan points without a grid file."""
    header = {
        "name": name, "job": "selftest", "about": "", "text": f"name: {name}\n", "axes": {}, "fixed": {},
        "needs": [], "expect": None, "skipped": 0,
    }  # fmt: skip
    return launch.propose(
        Sweep(project.sweeps / name), profile, header, list(found), resources, root=project.root,
        wanted=lambda s: s.state == "new", **options,
    )  # fmt: skip


# breaking


class Killed(BaseException):
    """The end of a process, as far as one process can play it."""


def raiser(error: BaseException) -> Callable[..., Any]:
    def raises(*args: Any, **more: Any) -> Any:
        raise error

    return raises
