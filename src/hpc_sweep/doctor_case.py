"""What `doctor` examines, and the form in which a check answers. It asks only what several checks need to know."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from hpc_sweep import doctor_job, doctor_probe, slurm
from hpc_sweep.cluster import Profile
from hpc_sweep.doctor_probe import Answer
from hpc_sweep.errors import HpcSweepError
from hpc_sweep.ledger import SWEEP_NAME, Sweep
from hpc_sweep.project import Project

Mark = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What a check says, and what mends it."""

    mark: Mark
    sentence: str
    fix: str | None = None


def ok(sentence: str) -> Finding:
    return Finding("ok", sentence)


def note(sentence: str, fix: str | None = None) -> Finding:
    return Finding("note", sentence, fix)


def problem(sentence: str, fix: str) -> Finding:
    return Finding("problem", sentence, fix)


@dataclass(frozen=True)
class Case:
    """A project on a cluster, and what the user allowed to be done to it."""

    project: Project
    profile: Profile
    clean: bool = False
    job: bool = False

    @property
    def on_slurm(self) -> bool:
        return self.profile.scheduler == "slurm"

    @property
    def profile_file(self) -> str:
        return f"slurm/{self.profile.name}.yaml"

    @cached_property
    def sweeps(self) -> list[Sweep]:
        """Every folder that is, or was about to become, a sweep."""
        folder = self.project.sweeps
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [Sweep(folder / name) for name in names if SWEEP_NAME.match(name) and (folder / name).is_dir()]

    @cached_property
    def settings(self) -> dict[str, str] | slurm.SilentError:
        """What `scontrol show config` says, or why it says nothing."""
        try:
            return slurm.settings()
        except slurm.SilentError as error:
            return error

    @cached_property
    def answer(self) -> Answer | HpcSweepError | None:
        """What a job found on a compute node, or why there is no answer; None where no job was wanted."""
        if not self.job or not self.on_slurm:
            return None
        try:
            return doctor_job.run(self.profile, self.project.root, self.project.sweeps)
        except HpcSweepError as error:
            return error

    @cached_property
    def machine(self) -> doctor_probe.Node:
        """What the same look finds on this machine."""
        return doctor_probe.look_here()

    def short(self, path: Path) -> str:
        """A path as a user types it in the project."""
        return os.path.relpath(path, self.project.root)


def gigabytes(size: float) -> str:
    """Free space in the unit that people know their quota in."""
    return f"{size / 1e9:,.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
