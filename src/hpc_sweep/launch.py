"""What a submission would do and cost, and doing it: claim first, then sbatch. The only module that uses Submitit.

Refuses to run a point that is done or in flight, and to pass anything to a shell that is not a typed, checked value.
"""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpc_sweep import fates, files, local, sbatch, script, shards, slurm, snapshot, status
from hpc_sweep.cluster import Profile
from hpc_sweep.errors import RefusedError, SurroundingsError
from hpc_sweep.ledger import Array, Claim, Submission, Sweep
from hpc_sweep.shards import Plan
from hpc_sweep.status import Status

LEAST_FAILS = 5
_ENVIRONMENT = "slurm/env.sh"


@dataclass(frozen=True)
class Price:
    """What a submission costs, in hours of one GPU (or of one core where no GPU is asked for)."""

    hours: float
    at_most: float
    wall_minutes: float
    unit: str


@dataclass(frozen=True)
class Proposal:
    """Everything that a submission would do, before any of it is done."""

    sweep: Sweep
    profile: Profile
    grid: dict[str, Any]
    version: int
    new_version: bool
    points: Sequence[Any]
    state: Status | None
    code: snapshot.Snapshot
    plans: list[Plan]
    held_back: int  # points that do not fit under MaxSubmitJobs
    after: tuple[str, ...]
    number: int
    uid: str
    max_fails: int
    why: str
    live_tracking: str | None
    new_code: bool = True

    @property
    def chosen(self) -> list[str]:
        return [point for plan in self.plans for shard in plan.shards for point in shard]

    @property
    def tasks(self) -> int:
        return sum(len(plan.shards) for plan in self.plans)

    @property
    def files(self) -> int:
        """How many files submitting writes: grid, points, code and its env.sh, claim, ids, a script an array."""
        scripts = len(self.plans) if self.profile.scheduler == "slurm" else 2
        code = 1 + any(name == _ENVIRONMENT for name, _ in self.code.sources) if self.new_code else 0
        return 2 * self.new_version + code + 2 + scripts

    @property
    def price(self) -> Price:
        return _price(self.plans)


def _price(plans: Sequence[Plan]) -> Price:
    hours = most = 0.0
    ends: list[float] = []  # of each array, in minutes from the first start
    unit = "GPU" if any(plan.resources.get("gpus") for plan in plans) else "core"
    for plan in plans:
        r = plan.resources
        each = float(r.get("gpus") or 0) if unit == "GPU" else float(r.get("cpus") or 1) * float(r["tasks_per_node"])
        width = each * float(r["nodes"])
        points = sum(len(shard) for shard in plan.shards)
        hours += points * float(r["minutes"]) * width / 60
        most += len(plan.shards) * float(r["limit"]) * width / 60
        rounds = -(-len(plan.shards) // (plan.at_once or len(plan.shards)))
        start = 0.0 if plan.after is None else ends[plan.after]
        ends.append(start + rounds * max(len(s) for s in plan.shards) * float(r["minutes"]))
    return Price(hours, most, max(ends, default=0.0), unit)


# planning


def propose(
    sweep: Sweep,
    profile: Profile,
    grid: dict[str, Any],
    points: Sequence[Any],
    resources_of: Callable[[Any], dict[str, Any]],
    *,
    root: Path,
    wanted: Callable[[status.PointStatus], bool],
    compatible: Callable[..., Any] | None = None,
    max_fails: Callable[[int], int] | None = None,
    limit: int | None = None,
    why: str = "submit",
    live_tracking: str | None = None,
    frozen: bool = False,
    only_shown: bool = False,
) -> Proposal:
    """Plan the wanted points of a grid. `grid` is what sweep.json keeps of it; nothing is written."""
    exists = (sweep.folder / "sweep.json").exists()
    code = snapshot.take(root)
    state, version, new_version, uid = None, 0, True, os.urandom(4).hex()
    if exists:
        sweep.check_unedited()
        header = sweep.header()
        uid = header["uid"]
        ids = {p.id for p in sweep.points_of(header)}
        new_version = ids != {p.id for p in points} or header["text"] != grid["text"]
        version = header["version"] + new_version
        state = status.compute(sweep, file_delay=profile.file_delay, points=list(points))
        if frozen:
            _check_frozen(state, code)
    statuses = state.points if state else [status.PointStatus(p, "new") for p in points]
    chosen = [s.point for s in statuses if wanted(s)][:limit]
    told = _limits(only_shown) if profile.scheduler == "slurm" and chosen else None
    plans = shards.arrange(
        chosen, lambda p: _complete(resources_of(p), profile), compatible,
        told.max_array if told else 1_000_000, profile.limits.shards_at_once or 0,
    )  # fmt: skip
    plans = [_with_limit(plan, profile) for plan in plans]
    left = told.submit_left if told else None
    fitting = _fit(plans, left)
    held = sum(len(s) for p in plans for s in p.shards) - sum(len(s) for p in fitting for s in p.shards)
    if chosen and not fitting:
        raise SurroundingsError(
            f"you may have no more tasks in the queue (MaxSubmitJobs): none of {len(chosen)} points fits now",
            "run the same command again when some of your tasks have ended",
        )
    number = state.submissions[-1].number + 1 if state and state.submissions else 0
    after = _needs(sweep, grid.get("needs", ()), profile) if chosen else ()
    most = (max_fails or _default_max_fails)(len(chosen))
    return Proposal(
        sweep, profile, {**grid, "uid": uid}, version, new_version, points, state, code, fitting, held, after,
        number, uid, most, why, live_tracking, new_code=not (sweep.code / f"{code.fingerprint}.zip").exists(),
    )  # fmt: skip


def _limits(only_shown: bool) -> slurm.Limits:
    """What the cluster takes in one go; a plan that is only shown may be for a cluster that is not here."""
    try:
        return slurm.limits(getpass.getuser())
    except slurm.SilentError:
        if not only_shown:
            raise
        return slurm.Limits(max_array=1001, submit_left=None, accounting=False, cluster="", version="")


def _default_max_fails(points: int) -> int:
    return max(LEAST_FAILS, -(-points // 5))


def _check_frozen(state: Status, code: snapshot.Snapshot) -> None:
    submissions = {s.number: s for s in state.submissions}
    other = sum(
        p.state == "done" and status.code_of(p, submissions) not in ("", code.fingerprint) for p in state.points
    )
    if other:
        raise RefusedError(
            f"--frozen: {other} done points ran on other code than this ({code.label})",
            "go back to that code, or submit without --frozen",
        )


def _complete(resources: dict[str, Any], profile: Profile) -> dict[str, Any]:
    return {**resources, "warn_seconds": profile.warn_seconds, "file_delay": profile.file_delay}


def _with_limit(plan: Plan, profile: Profile) -> Plan:
    limit = int(plan.resources.get("time") or plan.minutes)  # a time that was wished for is for the task
    if profile.limits.minutes:
        limit = min(limit, int(profile.limits.minutes))
    warn = min(int(profile.warn_seconds), limit * 60 // 3)
    return replace(plan, resources={**plan.resources, "limit": limit, "warn_seconds": warn})


def _fit(plans: list[Plan], left: int | None) -> list[Plan]:
    """The first arrays, and the first shards of the next one, that may still be queued."""
    if left is None:
        return plans
    fitting = []
    for plan in plans:
        if left <= 0:
            break
        kept = plan.shards[:left]
        fitting.append(replace(plan, shards=kept))
        left -= len(kept)
    return fitting


def _needs(sweep: Sweep, names: Sequence[str], profile: Profile) -> tuple[str, ...]:
    """The jobs that must end well first; refused when what is needed is neither done nor under way."""
    jobs: list[str] = []
    for name in names:
        folder = sweep.folder.parent / name
        if not (folder / "sweep.json").exists():
            raise RefusedError(f"this grid needs `{name}`, which was never submitted", f"submit {name} first")
        needed = status.compute(Sweep(folder))
        missing = [p for p in needed.points if p.state not in ("done", "running", "waiting")]
        if missing:
            raise RefusedError(
                f"this grid needs `{name}`, of which {len(missing)} points are neither done nor under way",
                f"hpc-sweep status {name}",
            )
        live = [s for s in needed.submissions if s.number in needed.live]
        elsewhere = any(s.claim.cluster != profile.name for s in live)
        if live and (elsewhere or profile.scheduler == "local"):
            raise RefusedError(
                f"this grid needs `{name}`, which still runs, and Slurm cannot be told to wait for it",
                f"submit it again when {name} is done: hpc-sweep status {name}",
            )
        jobs += [job for s in live for k in range(len(s.claim.arrays)) if (job := _job(needed, s, k))]
    return tuple(jobs)


def _job(state: Status, submission: Submission, array: int) -> str | None:
    told: str | None = submission.jobs.get(array, {}).get("job")
    return told or state.jobs_found.get((submission.number, array))


# doing it


def submit(proposal: Proposal, root: Path) -> Claim:
    """Write the grid if it is new, take the next number, and start the arrays. Safe to kill at any instant."""
    sweep, profile = proposal.sweep, proposal.profile
    scripts(proposal, root)  # whatever cannot be passed to Slurm is refused before anything is written
    if proposal.new_version:
        sweep.write_version(proposal.version, proposal.grid, proposal.points)
    _write_code(proposal.code, sweep.code)
    files.make_folder(sweep.logs, mode=0o700)
    claim = draft(proposal, sweep.told(sweep.header()))
    sweep.claim(claim)
    if profile.scheduler == "local":
        _start_local(sweep, claim, profile, proposal.code)
    else:
        sbatch.start_arrays(sweep, claim, profile, root)
    return claim


def scripts(proposal: Proposal, root: Path) -> list[str]:
    """The sbatch texts of a proposal, as `submit` would write them."""
    if proposal.profile.scheduler != "slurm" or not proposal.plans:
        return []
    claim = draft(proposal, {})
    return [script.text(proposal.profile, proposal.sweep.folder, claim, k, root) for k in range(len(claim.arrays))]


def _write_code(code: snapshot.Snapshot, folder: Path) -> None:
    path = snapshot.write(code, folder)
    environment = dict(code.sources).get(_ENVIRONMENT)
    if environment is not None and not path.with_suffix(".env.sh").exists():
        files.write_atomic(path.with_suffix(".env.sh"), environment)


def draft(proposal: Proposal, told: dict[str, str]) -> Claim:
    """The claim that a proposal comes to; `told` is what it keeps of the grid."""
    sweep, number, uid = proposal.sweep, proposal.number, proposal.uid
    arrays = tuple(
        Array(
            name=f"hs-{sweep.name}-{number:03d}-{k}-{uid}",
            resources={**plan.resources, "at_once": plan.at_once, "lane_after": plan.after},
            shards=plan.shards,
            after=proposal.after,
        )
        for k, plan in enumerate(proposal.plans)
    )
    return Claim(
        number=number, uid=uid, job=proposal.grid["job"], sweep=told, cluster=proposal.profile.name,
        by=getpass.getuser(), host=socket.gethostname(), pid=fates.own_process(), code=proposal.code.record(),
        why=proposal.why, max_fails=proposal.max_fails, arrays=arrays, live_tracking=proposal.live_tracking,
        at=round(time.time(), 3),
    )  # fmt: skip


def _start_local(sweep: Sweep, claim: Claim, profile: Profile, code: snapshot.Snapshot) -> None:
    path = str(sweep.code / f"{code.fingerprint}.zip")
    inherited = os.environ.get("PYTHONPATH")
    parts = [path, f"{path}/src"] + ([inherited] if inherited else [])
    at_once = min(local.slots(array.resources, profile.slots) for array in claim.arrays)
    local.start(sweep, claim.number, at_once, {**os.environ, "PYTHONPATH": os.pathsep.join(parts)})
    sweep.record_jobs(claim.number, {0: {"job": local.JOB, "tasks": len(claim.shards), "at_once": at_once}})


# mending what was left half-way


def adopt(state: Status) -> None:
    """Write down the jobs of claims whose submitter died after sbatch; give up arrays that never reached Slurm."""
    for submission in state.submissions:
        number, jobs = submission.number, dict(submission.jobs)
        if submission.closed or len(jobs) == len(submission.claim.arrays) or fates.may_arrive(submission):
            continue
        for k, array in enumerate(submission.claim.arrays):
            if k in jobs:
                continue
            if (number, k) in state.jobs_found:
                jobs[k] = {"job": state.jobs_found[number, k], "tasks": len(array.shards)}
            elif (number, k) in state.unreached:
                jobs[k] = {"refused": "its submitter was killed before Slurm took it", "tasks": 0}
        if jobs != submission.jobs:
            state.sweep.record_jobs(number, jobs)


def counted(plans: Sequence[Plan]) -> Counter[str]:
    """How many tasks each shape of task has, for the screen."""
    shapes: Counter[str] = Counter()
    for plan in plans:
        shapes[files.canonical(plan.resources)] += len(plan.shards)
    return shapes
