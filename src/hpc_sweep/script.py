"""The sbatch script of one array, made by Submitit from typed values. Nothing else reaches a shell.

Refuses any text that is not plain: a line break in a name would become a line that the shell runs.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc_sweep.cluster import Profile
from hpc_sweep.errors import InputError
from hpc_sweep.ledger import Array, Claim

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@,+=/-]{0,119}\Z")
_NODES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,\[\]-]{0,3999}\Z")


def text(profile: Profile, sweep: Path, claim: Claim, k: int, root: Path, jobs: Mapping[int, str] | None = None) -> str:
    """The text of the sbatch script of one array, made by Submitit."""
    from submitit.slurm.slurm import _make_sbatch_string  # the executor itself wants srun on this machine

    for folder in (sweep, root):
        _check_folder(folder)
    array, known = claim.arrays[k], jobs or {}
    r = array.resources
    ranks = int(r["nodes"]) * int(r["tasks_per_node"])
    code = sweep / "code" / f"{claim.code['fingerprint']}.zip"
    warn = f"USR2@{r['warn_seconds']}"
    more = {"signal": warn if ranks > 1 else f"B:{warn}", "requeue": True, "chdir": str(root), **profile.extra}
    if r.get("exclude"):
        more["exclude"] = _checked(str(r["exclude"]), _NODES) or ""
    if array.after:
        more["kill-on-invalid-dep"] = "yes"  # else it waits for ever for what has failed
    worker = [sys.executable, "-P", "-u", "-m", "hpc_sweep.worker", str(sweep), str(claim.number), str(k)]
    script: str = _make_sbatch_string(
        command=("" if ranks > 1 else "exec ") + shlex.join(worker),
        folder=sweep / "logs",
        job_name=_checked(array.name) or "",
        partition=_checked(profile.partition),
        account=_checked(profile.account),
        qos=_checked(profile.qos),
        time=int(r["limit"]),
        nodes=int(r["nodes"]),
        ntasks_per_node=int(r["tasks_per_node"]),
        cpus_per_task=int(r["cpus"]),
        mem=f"{int(float(r['mem']) * 1024)}MB" if r.get("mem") else None,
        setup=_setup(profile, code),
        dependency=_dependency(array, known),
        array_parallelism=int(r.get("at_once") or len(array.shards)),
        map_count=len(array.shards),
        wckey=None,  # type: ignore[arg-type]  # left out: a site may know no such key
        stderr_to_stdout=True,
        additional_parameters=more,
        use_srun=ranks > 1,
        srun_args=[f"--cpus-per-task={int(r['cpus'])}", "--kill-on-bad-exit=1", "--wait=60"],  # srun inherits no cores
        **_gpus(profile, int(r.get("gpus") or 0)),
    )
    return script


def _gpus(profile: Profile, gpus: int) -> dict[str, Any]:
    if not gpus:
        return {}
    if profile.gpu_request == "gres":
        kind = f":{_checked(profile.gpu_type)}" if profile.gpu_type else ""
        return {"gres": f"gpu{kind}:{gpus}"}
    return {"gpus_per_node": f"{_checked(profile.gpu_type)}:{gpus}" if profile.gpu_type else gpus}


def _setup(profile: Profile, code: Path) -> list[str]:
    path = shlex.quote(f"{code}:{code}/src")
    modules = " ".join(profile.modules)
    environment = code.with_suffix(".env.sh")
    return [
        f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}",
        *([f"export HPC_SWEEP_MODULES={shlex.quote(modules)}"] if modules else []),
        f"[ ! -e {shlex.quote(str(environment))} ] || source {shlex.quote(str(environment))}",
        *profile.setup,
    ]


def _dependency(array: Array, jobs: Mapping[int, str]) -> str | None:
    parts = []
    if array.after:
        parts.append("afterok:" + ":".join(_checked(j) or "" for j in array.after))
    lane = array.resources.get("lane_after")
    if lane is not None and lane in jobs:
        parts.append(f"afterany:{jobs[lane]}")
    return ",".join(parts) or None


def _checked(value: str | None, allowed: re.Pattern[str] = _SAFE) -> str | None:
    """The last look at a text before it reaches a shell."""
    if value is not None and not allowed.match(value):
        signs = ". _ : @ , + = / -" if allowed is _SAFE else ". _ , - [ ]"
        raise InputError(f"{value!r} cannot be passed to Slurm: letters, digits and {signs} only")
    return value


def _check_folder(path: Path) -> None:
    if re.search(r"[%\\\x00-\x1f\x7f]", str(path)):
        raise InputError(f"{str(path)!r}: Slurm cannot work in a folder with % or a backslash or a line break")
