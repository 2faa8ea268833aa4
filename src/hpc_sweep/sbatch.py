"""Handing the arrays of a claim to Slurm, one after the other, and what its refusals mean."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from pathlib import Path
from typing import Any

from hpc_sweep import files, script, slurm
from hpc_sweep.cluster import Profile
from hpc_sweep.errors import SurroundingsError
from hpc_sweep.ledger import Claim, Sweep

TIMEOUT = 60.0
_TOO_MANY = re.compile(r"(Assoc|QOS)\w*SubmitJob")
# what sbatch says when the connection broke: the controller may have taken the array all the same
_UNSURE = re.compile(r"timed out|Zero Bytes|Connection reset|Transport endpoint|Unexpected message", re.IGNORECASE)
_FINDS = "`hpc-sweep status` finds the array by its name if Slurm did take it"


def start_arrays(sweep: Sweep, claim: Claim, profile: Profile, root: Path) -> None:
    """Hand every array to Slurm, and write down its id before the next."""
    jobs: dict[int, dict[str, Any]] = {}
    for k, array in enumerate(claim.arrays):
        if sweep.closed_path(claim.number).exists() or "refused" in sweep.jobs(claim.number).get(k, {}):
            raise SurroundingsError(f"submission {claim.number:03d} was given up by somebody else while it was made")
        text = script.text(profile, sweep.folder, claim, k, root, {i: j["job"] for i, j in jobs.items() if "job" in j})
        path = sweep.logs / f"{array.name}.sh"
        files.write_atomic(path, text.encode())
        try:
            jobs[k] = {"job": hand_in(path), "tasks": len(array.shards)}
        except SbatchTimeout:
            raise  # whether it was taken is not known: it is looked up by its name later
        except slurm.SilentError as error:
            if not k:
                sweep.close(claim.number, "rejected", error.message)
                raise SurroundingsError(
                    f"Slurm did not take the work: {error.message}",
                    _advice(error.message) or "nothing was started; mend it and run the same command again",
                ) from error
            _refuse_rest(sweep, claim, k, jobs, error.message)
            if _TOO_MANY.search(error.message):
                return
            raise SurroundingsError(
                f"Slurm took {k} of {len(claim.arrays)} arrays: {error.message}",
                _advice(error.message) or "the same command submits the rest",
            ) from error
        sweep.record_jobs(claim.number, jobs)


def _refuse_rest(sweep: Sweep, claim: Claim, first: int, jobs: dict[int, dict[str, Any]], words: str) -> None:
    """Say of the arrays that Slurm did not take that nothing holds their points."""
    for k in range(first, len(claim.arrays)):
        jobs[k] = {"refused": words, "tasks": 0}
    sweep.record_jobs(claim.number, jobs)


class SbatchTimeout(SurroundingsError):
    """sbatch did not answer, or not to the point, so nobody knows whether it took the array."""


def hand_in(path: Path) -> str:
    from submitit.slurm.slurm import SlurmExecutor

    try:
        told = slurm.ask(["sbatch", str(path)], timeout=TIMEOUT, environment=slurm.outside_of_jobs())
    except slurm.SilentError as error:
        if isinstance(error.__context__, subprocess.TimeoutExpired) or _UNSURE.search(error.message):
            raise SbatchTimeout(error.message, _FINDS) from error
        raise
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            job: str = SlurmExecutor._get_job_id_from_submission_command(told)
        except Exception as error:  # noqa: BLE001 - Submitit's own error type is of no use to a user
            raise SbatchTimeout(f"sbatch answered {told.strip()[:200]!r}, which names no job", _FINDS) from error
    return job


def _advice(words: str) -> str | None:
    for part, advice in (
        ("submitjob", "you may not have so many tasks in the queue: --limit N submits fewer points"),
        (
            "policy",
            "a limit of your account or QOS; `sacctmgr show assoc user=$USER` and `sacctmgr show qos` list them",
        ),
        ("partition", "check `partition` in the profile against `sinfo`"),
        ("account", "check `account` in the profile against `sacctmgr show assoc user=$USER`"),
        ("node configuration", "the grid asks for more than any node has: check gpus, cpus and mem"),
        ("time limit", "check `limits: minutes` in the profile against `sinfo -o '%P %l'`"),
    ):
        if part in words.lower():
            return advice
    return None
