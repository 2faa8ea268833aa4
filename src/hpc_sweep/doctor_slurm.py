"""Whether Slurm is here, what it is, and how quickly it answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from hpc_sweep import slurm
from hpc_sweep.doctor_case import Case, Finding, note, ok, problem

_PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
_SLOW = 5.0


def answers(case: Case) -> Iterator[Finding]:
    """Slurm's programs, its limits, and how quickly the accounting answers."""
    told = case.settings
    if isinstance(told, slurm.SilentError):
        if case.on_slurm:
            yield problem(told.message, "run this on a login node of the cluster, or sweep here: --cluster local")
        else:
            yield note("not on this machine: sweeps run without it")
        return
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing:
        yield problem(f"{', '.join(missing)} cannot be found on PATH", "load the cluster's slurm module, or mend PATH")
    version = told.get("SLURM_VERSION", "of an unknown version")
    if not case.on_slurm:
        name = told.get("ClusterName", "?")
        fix = f"to use it: cp slurm/v100.yaml slurm/{name}.yaml, and there `identify: {{cluster_name: {name}}}`"
        known = case.project.profile(None).scheduler == "slurm"
        yield ok(f"{version}, which --cluster local leaves alone") if known else note(f"{version}, unused", fix)
        return
    first = f"{version} · MaxArraySize {told.get('MaxArraySize', 'not told')}"
    if told.get("AccountingStorageType", "").endswith("none"):
        yield ok(f"{first} · no accounting: status goes by the files and squeue")
        return
    began = time.monotonic()
    try:
        slurm.history(["1"])
    except slurm.SilentError as error:
        yield note(f"{first} · {error.message}", "status goes by the files and squeue until the accounting is back")
        return
    seconds = time.monotonic() - began
    sentence = f"{first} · accounting answers in {seconds:.1f} s"
    yield note(sentence, "status waits for it each time") if seconds > _SLOW else ok(sentence)
