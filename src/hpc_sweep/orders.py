"""What each command comes to: the modules that know, called in turn. Prints nothing."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_sweep import files, launch, ledger, mend, status
from hpc_sweep import grid as grids
from hpc_sweep import job as jobs
from hpc_sweep.cluster import check
from hpc_sweep.errors import InputError
from hpc_sweep.launch import Proposal
from hpc_sweep.points import blame
from hpc_sweep.project import Project
from hpc_sweep.status import PointStatus, Status

_TIME = re.compile(r"(?:(?P<days>\d{1,4})-)?(?P<first>\d{1,6})(?::(?P<minutes>\d\d?))?", re.ASCII)
_RACES = 20  # as many people submitting at the same moment as anybody has seen, and some


@dataclass(frozen=True)
class Order:
    """Something to start: how to plan it, and what to do just before it starts."""

    project: Project
    propose: Callable[[], Proposal]
    before: Callable[[Proposal], object] = lambda proposal: None

    def carry_out(self, proposal: Proposal) -> tuple[Proposal, ledger.Claim]:
        """Start what was proposed; when somebody else was quicker, plan again with what they took."""
        for _ in range(_RACES):
            if not proposal.chosen:
                raise InputError("somebody else has just submitted these points", "hpc-sweep status")
            if proposal.state is not None:
                launch.adopt(proposal.state)
            self.before(proposal)
            try:
                return proposal, launch.submit(proposal, self.project.root)
            except FileExistsError:
                proposal = self.propose()
        raise InputError(f"{_RACES} others submitted to this sweep at the same time", "try again")


def from_grid(
    project: Project,
    path: str,
    cluster: str | None,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    frozen: bool = False,
    only_shown: bool = False,
    live: str | None = None,
) -> Order:
    """What `submit GRID` starts: the points that nobody has run or holds."""
    grid = grids.load(Path(path), project.jobs)
    profile = project.profile(cluster)
    check(grid, profile)
    if live is not None:
        from hpc_sweep import tracking

        live = tracking.live_uri(live)
    wanted_by_axis = axis_filter(only, grid.axes)
    sweep = ledger.Sweep(project.sweeps / grid.name)
    job = jobs.load(grid.job, project.jobs)
    cost = _asked(job, "cost")
    document = {
        "name": grid.name, "job": grid.job, "about": grid.about, "text": grid.text, "axes": grid.axes,
        "fixed": grid.fixed, "needs": list(grid.needs), "expect": grid.expect, "skipped": grid.skipped,
    }  # fmt: skip

    def propose() -> Proposal:
        return launch.propose(
            sweep, profile, document, grid.points, lambda p: _priced(grid.resources_of(p).model_dump(), p, cost),
            root=project.root, wanted=lambda s: s.state == "new" and wanted_by_axis(s),
            compatible=_asked(job, "compatible"), max_fails=grid.fails_allowed, limit=limit,
            live_tracking=live, frozen=frozen, only_shown=only_shown,
        )  # fmt: skip

    return Order(project, propose)


def from_failures(
    project: Project,
    name: str | None,
    cluster: str | None,
    *,
    points: Sequence[str] = (),
    only: Sequence[str] = (),
    mem: float | None = None,
    time: str | None = None,
    exclude: str | None = None,
) -> Order:
    """What `rerun` starts: failed, lost and damaged points, each with what its kind of failure needs."""
    if name is not None and not (project.sweeps / name).is_dir() and not Path(name).is_dir():
        points = [name, *points]  # `rerun 3fa9c1`: a point of the newest sweep
        name = None
    sweep = project.sweep(name)
    wishes = mend.Wishes(mem, minutes(time) if time else None, exclude)
    first = status.compute(sweep, file_delay=project.file_delay(sweep))
    last = first.submissions[-1].claim.cluster if first.submissions else None
    profile = project.profile(cluster or last)
    header = {k: v for k, v in first.header.items() if k not in ("schema", "version", "points")}
    job = jobs.load(header["job"], project.jobs)

    def propose() -> Proposal:
        state = status.compute(sweep, file_delay=profile.file_delay)
        chosen = {p.point.id for p in mend.choose(state, only, points)}
        return launch.propose(
            sweep, profile, header, [p.point for p in state.points],
            mend.resources_for(state, profile, _unasked, wishes), root=project.root,
            wanted=lambda s: s.point.id in chosen and mend.mendable(s),
            compatible=_asked(job, "compatible"), why="rerun",
        )  # fmt: skip

    def before(proposal: Proposal) -> None:
        chosen = set(proposal.chosen)
        if proposal.state is None or not any(p.state == "damaged" for p in proposal.state.points):
            return
        now = status.compute(sweep)  # somebody may have mended it while the question stood on the screen
        mend.quarantine(now, [p for p in now.points if p.point.id in chosen])

    return Order(project, propose, before)


def _asked(job: jobs.Job, name: str) -> Callable[[dict[str, Any]], Any] | None:
    """A function that the job may have; an error in it is told as the job's."""
    function = job.optional(name)
    if function is None:
        return None

    def ask(config: dict[str, Any]) -> Any:
        try:
            return function(config)
        except Exception as error:
            file = Path(job.module.__file__ or f"{job.name}.py")
            raise InputError(f"{name}() of job `{job.name}` fails: {blame(error, file)}") from error

    return ask


def _priced(resources: dict[str, Any], point: Any, cost: Callable[[dict[str, Any]], Any] | None) -> dict[str, Any]:
    """The resources of a point, with the time that its job says it takes."""
    times = 1.0 if cost is None else cost(point.config)
    if not isinstance(times, int | float) or not 0 < times < math.inf:
        raise InputError(f"cost() gives {times!r} for point {point.id}", "a number above 0: 2 is twice the minutes")
    return {**resources, "minutes": resources["minutes"] * times}


def _unasked(point: Any) -> dict[str, Any]:
    raise InputError(f"point {point.id} was never submitted", "hpc-sweep submit GRID")


def axis_filter(only: Sequence[str], axes: dict[str, list[Any]]) -> Callable[[PointStatus], bool]:
    """`tuning=frozen` and the like: several values of an axis widen the choice, several axes narrow it."""
    wanted: dict[str, set[str]] = {}
    for text in only:
        name, sign, value = text.partition("=")
        if not sign or name not in axes:
            raise InputError(f"--only {text}: there is no axis `{name}`", f"the axes: {', '.join(axes) or 'none'}")
        found = {_written(v) for v in axes[name] if _means(value, v)}
        if not found:
            known = ", ".join(map(_written, axes[name]))
            raise InputError(f"--only {text}: axis `{name}` has no such value", f"it has {known}")
        wanted.setdefault(name, set()).update(found)
    return lambda s: all(_written(s.point.axes.get(name)) in values for name, values in wanted.items())


def _written(value: Any) -> str:
    """A value as a grid has it: text without quotes, `true` and not `True`."""
    return value if isinstance(value, str) else files.canonical(value)


def _means(text: str, value: Any) -> bool:
    """Whether this is a way to write the value: `1e-4` is 0.0001."""
    if text == _written(value):
        return True
    try:
        return type(value) is not bool and float(text) == value
    except ValueError:
        return False


def minutes(text: str) -> float:
    """`90`, `1:30`, `1-12` or `1-12:30` as minutes, read as Slurm reads them."""
    match = _TIME.fullmatch(text)
    if match is None or int(match["minutes"] or 0) > 59:
        raise InputError(
            f"--time {text} is not a time", "minutes (90), hours and minutes (1:30), days and hours (1-12)"
        )
    first, minutes = int(match["first"]), match["minutes"]
    hours = match["days"] is not None or minutes is not None
    total = 1440 * int(match["days"] or 0) + (60 * first if hours else first) + int(minutes or 0)
    if total == 0:
        raise InputError("--time 0 leaves no time to run")
    return float(total)


def scripts(proposal: Proposal, root: Path) -> list[str]:
    """The sbatch texts of a proposal, as `submit` would write them."""
    return launch.scripts(proposal, root)


def cancel(project: Project, sweep: ledger.Sweep, only: Sequence[str]) -> mend.Cancelled:
    """Stop what runs and waits, or the part of it that a filter names."""
    state = status.compute(sweep, file_delay=project.file_delay(sweep))
    states = {word for word in only if word in ("running", "waiting")}
    by_axis = axis_filter([word for word in only if word not in states], state.header["axes"])
    return mend.cancel(state, lambda s: by_axis(s) and (not states or s.state in states), getpass.getuser())


def exists(state: Status, point: str) -> PointStatus:
    """The point of that id, or an error that says where to look."""
    return mend.find_point(state, point)
