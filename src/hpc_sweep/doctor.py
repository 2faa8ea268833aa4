"""`doctor`: a table of checks, each a name and a function that says what it found and what mends it.

Owns the table and the promise that no check can stop the next. Refuses to mend anything but stray files (`clean`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hpc_sweep import doctor_disk, doctor_host, doctor_mlflow, doctor_node, doctor_profile, doctor_slurm, doctor_sweeps
from hpc_sweep.doctor_case import Case, Finding, Mark
from hpc_sweep.errors import HpcSweepError
from hpc_sweep.project import Project

Test = Callable[[Case], Iterable[Finding]]

CHECKS: tuple[tuple[str, Test], ...] = (
    ("python", doctor_host.python),
    ("safety", doctor_host.safety),
    ("slurm", doctor_slurm.answers),
    ("profile", doctor_profile.profile),
    ("files", doctor_disk.file_system),
    ("space", doctor_disk.places),
    ("modes", doctor_sweeps.modes),
    ("secrets", doctor_sweeps.secrets),
    ("job", doctor_node.job),
    ("node", doctor_node.versions),
    ("files", doctor_node.file_delay),
    ("gpu", doctor_node.gpu),
    ("mlflow", doctor_mlflow.tracking_store),
    ("sweeps", doctor_sweeps.strays),
)


@dataclass(frozen=True)
class Check:
    """One line of `doctor`."""

    name: str
    mark: Mark
    sentence: str
    fix: str | None = None


def examine(project: Project, cluster: str | None, *, clean: bool, job: bool) -> list[Check]:
    """Run every check, in the order of the table; a check with nothing to say has no line."""
    case = Case(project, project.profile(cluster), clean, job)
    return [Check(name, f.mark, f.sentence, f.fix) for name, test in CHECKS for f in _findings(test, case)]


def _findings(test: Test, case: Case) -> Iterator[Finding]:
    """What one check finds; that it cannot be carried out is a finding too."""
    try:
        yield from test(case)
    except HpcSweepError as error:
        yield Finding("problem", error.message, error.hint)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = f"{error.filename}: " if error.filename else ""
        yield Finding("problem", f"{where}{reason} ({name})", "look at it by hand: this check could not go on")
    except Exception as error:  # noqa: BLE001 - a bug in one check must not hide what the others find
        words = f"{type(error).__name__}: {error}"
        yield Finding("problem", f"this check broke down ({words})", "this is our fault: please report it")
