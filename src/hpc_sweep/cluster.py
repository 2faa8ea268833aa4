"""Cluster profiles: what `slurm/*.yaml` says of a cluster, which one this host is on, and whether a grid fits it.

Profiles are part of the project and trusted (`setup` is shell), but every value that goes into an sbatch line is
checked all the same. It asks Slurm nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hpc_sweep import config
from hpc_sweep.errors import GridError, InputError, Problem
from hpc_sweep.explain import WrongValueError
from hpc_sweep.grid import Grid, Resources
from hpc_sweep.nodes import Mark, shorten

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@,+=/-]{0,119}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")
_OPTION = re.compile(r"[a-z][a-z-]{1,39}\Z")

# What hpc-sweep itself tells sbatch: a profile that says it too would undo a promise.
_OURS = (
    *("account", "array", "chdir", "cpus-per-task", "dependency", "error", "gpus-per-node", "gres", "job-name", "mem"),
    *("nodes", "no-requeue", "ntasks", "ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue"),
    *("signal", "time", "wrap"),
)


def _safe(value: str) -> str:
    if not SAFE.match(value):
        raise WrongValueError("only letters, digits and . _ : @ , + = / - can go to Slurm (120 at most)")
    return value


def _one_line(value: str) -> str:
    if "\n" in value:
        raise WrongValueError("one line of shell, please: the next one is the next entry of the list")
    return value


def _option(value: str) -> str:
    if not _OPTION.match(value):
        raise WrongValueError("the long name of an sbatch option without its dashes, such as constraint")
    if value in _OURS:
        raise WrongValueError("hpc-sweep sets this option itself; it cannot stand in `extra`")
    return value


Safe = Annotated[str, AfterValidator(_safe)]
Line = Annotated[str, AfterValidator(_one_line)]
Option = Annotated[str, AfterValidator(_option)]


class Identify(config.Strict):
    """How a host is known to belong to the cluster; one that fits is enough, of `env` all."""

    cluster_name: str | None = None
    env: dict[str, str] = {}
    host: str | None = None
    slurm_conf: str | None = None


class Node(config.Strict):
    """What one node has; memory in GB."""

    gpus: int = Field(default=0, ge=0)
    cpus: int | None = Field(default=None, ge=1)
    memory: float | None = Field(default=None, gt=0)


class Limits(config.Strict):
    """The longest task, and how many tasks may run at the same time."""

    minutes: int | None = Field(default=None, ge=1)
    shards_at_once: int | None = Field(default=None, ge=1)


class Profile(config.Strict):
    """One cluster, or this machine."""

    name: Safe
    about: str = ""
    scheduler: Literal["slurm", "local"]
    identify: Identify = Identify()
    partition: Safe | None = None
    account: Safe | None = None
    qos: Safe | None = None
    gpu_request: Literal["gres", "gpus-per-node"] = "gres"
    gpu_type: Safe | None = None
    node: Node | None = None
    limits: Limits = Limits()
    warn_seconds: int = Field(default=120, ge=10, le=65_535)  # the most that sbatch --signal takes
    file_delay: float = Field(default=0.0, ge=0, le=600)
    modules: tuple[Safe, ...] = ()
    setup: tuple[Line, ...] = ()
    extra: dict[Option, bool | int | Safe] = {}
    slots: int | None = Field(default=None, ge=1)
    capability: float | None = Field(default=None, gt=0)

    def is_here(self, environ: Mapping[str, str], hostname: str, cluster_name: str | None) -> bool:
        """Whether this host belongs to the cluster."""
        known, conf = self.identify, environ.get("SLURM_CONF")
        return (
            (known.cluster_name is not None and known.cluster_name == cluster_name)
            or (known.env != {} and known.env.items() <= environ.items())
            or (known.host is not None and fnmatchcase(hostname, known.host))
            or (known.slurm_conf is not None and conf is not None and fnmatchcase(conf, known.slurm_conf))
        )


def load(folder: Path) -> dict[str, Profile]:
    """The profiles of a project by name, in the order of their names; `local` is always there."""
    profiles = {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}
    return {"local": Profile(name="local", scheduler="local")} | profiles


def _read(path: Path) -> Profile:
    if not _NAME.match(path.stem):
        raise InputError(f"{path}: a profile is called by its file: small letters, digits, _ and - only")
    document = config.read(path)
    key = document.root.entries.get("name")
    if key:
        document.report(key[0].mark, f"a profile has no `name`: it is `{path.stem}`, as its file", "take it away")
    profile = config.typed(document, Profile, name=path.stem)
    document.check()
    assert profile  # what it lacked was raised a line ago
    return profile


def choose(
    profiles: Mapping[str, Profile],
    name: str | None,
    environ: Mapping[str, str],
    hostname: str,
    cluster_name: str | None = None,
) -> Profile:
    """The profile called `name`; without one, the first that knows this host, else `local`."""
    if name is not None:
        if name not in profiles:
            listed = f"the profiles in slurm/: {', '.join(profiles)}"
            raise InputError(f"there is no cluster profile `{shorten(name)}`", listed)
        return profiles[name]
    told = cluster_name or environ.get("SLURM_CLUSTER_NAME")
    return next((p for p in profiles.values() if p.is_here(environ, hostname, told)), profiles["local"])


def check(grid: Grid, profile: Profile) -> None:
    """Refuse a grid that asks for more than the cluster has, at the lines that do."""
    problems: dict[tuple[int, int], Problem] = {}
    for rules, resources in grid.shapes.items():
        for keys, message, hint in _too_much(resources, profile):
            mark = _place(grid, rules, keys)
            problems.setdefault(mark[:2], Problem(*mark, message, hint))
    if problems:
        raise GridError(grid.path, grid.text, list(problems.values()))


def _too_much(asked: Resources, profile: Profile) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    """The keys that ask too much (the likelier first), a sentence, a hint."""
    where = f"partition {profile.partition}" if profile.partition else f"profile {profile.name}"
    if profile.scheduler == "local" and asked.nodes > 1:
        yield ("nodes",), f"{asked.nodes} nodes, but this machine is one", "name a cluster: --cluster PROFILE"
    if node := profile.node:
        cpus = asked.cpus * asked.tasks_per_node
        if asked.gpus > node.gpus:
            hint = f"`gpus` counts for each node: take more `nodes` with {node.gpus} each" if node.gpus else None
            yield ("gpus",), f"{asked.gpus} GPUs on a node; a node of {where} has {node.gpus}", hint
        if node.cpus and cpus > node.cpus:
            sum_ = f" ({asked.tasks_per_node} tasks × {asked.cpus})" if asked.tasks_per_node > 1 else ""
            yield ("cpus", "tasks_per_node"), f"{cpus} cores{sum_} on a node; a node of {where} has {node.cpus}", None
        if node.memory and asked.mem and asked.mem > node.memory:
            yield ("mem",), f"{asked.mem:g} GB on a node; a node of {where} has {node.memory:g}", None
    if limit := profile.limits.minutes:
        yield from _too_long(asked, limit, where)


def _too_long(asked: Resources, limit: int, where: str) -> Iterator[tuple[tuple[str, ...], str, str | None]]:
    total = asked.points_per_shard * asked.minutes
    if asked.minutes > limit:
        message = f"{asked.minutes:,g} minutes for one point; a task in {where} has at most {limit:,}"
        yield ("minutes",), message, "take a partition or a qos with a longer limit, or make the point smaller"
    elif total > limit:
        message = f"{asked.points_per_shard} points × {asked.minutes:g} minutes = {total:,g}; a task in {where} has"
        hint = f"points_per_shard: {int(limit // asked.minutes)} fits"
        yield ("points_per_shard", "minutes"), f"{message} at most {limit:,}", hint


def _place(grid: Grid, rules: tuple[int, ...], keys: tuple[str, ...]) -> Mark:
    """Where the last rule that applies sets the first of `keys` that is set at all."""
    for key in keys:
        for i in reversed(rules):
            entry = grid.rules[i].node.entries.get(key)
            if entry:
                return entry[1].mark
    return grid.rules[rules[-1]].node.mark
