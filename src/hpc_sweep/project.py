"""The project around the current folder: where its jobs, profiles and sweeps lie, and which cluster this is."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_sweep import ledger, slurm
from hpc_sweep.errors import InputError

if TYPE_CHECKING:
    from hpc_sweep import cluster


@dataclass(frozen=True)
class Project:
    """A folder with a `jobs/` in it."""

    root: Path

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def sweeps(self) -> Path:
        return self.root / "sweeps"

    def sweep(self, name: str | None) -> ledger.Sweep:
        """The sweep of that name, or the newest."""
        return ledger.find(self.sweeps, name)

    def profile(self, name: str | None) -> cluster.Profile:
        """The named profile, or the first that recognises this host; `local` otherwise."""
        from hpc_sweep import cluster  # reading YAML takes longer than most of what needs no profile

        profiles = cluster.load(self.root / "slurm")
        wants_name = name is None and any(p.identify.cluster_name for p in profiles.values())
        known = slurm.cluster_name() if wants_name else ""
        return cluster.choose(profiles, name, dict(os.environ), socket.gethostname(), known)

    def file_delay(self, sweep: ledger.Sweep) -> float:
        """How late a file may show here that a node has written: as the profile had it when it was submitted."""
        submissions = sweep.submissions()
        return float(submissions[-1].claim.arrays[-1].resources.get("file_delay", 0.0)) if submissions else 0.0


def here() -> Project:
    """The nearest folder above the current one that has a `jobs/`."""
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / "jobs").is_dir():
            return Project(folder)
    raise InputError(f"{current} is not in a project: no folder above it has a `jobs/`", "cd into your project")
