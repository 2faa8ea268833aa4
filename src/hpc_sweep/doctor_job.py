"""The small job of `doctor --job`: the look of doctor_probe on one compute node, asked for as a sweep would ask.

It runs through sbatch with the profile's partition, account, options, modules and setup, and is taken back when
nobody waits for it any more. Nothing but the profile's checked values and quoted paths reaches the script.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpc_sweep import files, slurm
from hpc_sweep.cluster import Profile
from hpc_sweep.doctor_probe import ANSWER, SCRIPT, Answer, parse
from hpc_sweep.errors import InputError, SurroundingsError
from hpc_sweep.nodes import shorten

LIMIT_MINUTES = 3  # it takes seconds; importing torch for the first time from a slow disk takes a minute
QUEUE_SECONDS = 600.0
LEAST_PATIENCE, FAILED_PATIENCE = 60.0, 5.0  # how long a file is waited for after its job has ended, well or not
_LOG, _SCRIPT = "job.log", "job.sh"
_POLL_WAITING, _POLL = 2.0, 0.5


class StillWaitingError(SurroundingsError):
    """The queue is too long to wait for the answer."""


def run(profile: Profile, root: Path, sweeps: Path) -> Answer:
    """Submit the job, wait for its answer, and leave nothing behind."""
    began = time.monotonic()
    with _folder(sweeps) as folder:
        name = f"hs-doctor-{os.urandom(4).hex()}"
        script = folder / _SCRIPT
        files.write_atomic(script, text(profile, name, folder, root).encode())
        told = slurm.ask(["sbatch", str(script)], timeout=60, environment=slurm.outside_of_jobs())
        match = re.search(r"Submitted batch job (\d+)", told)
        if not match:
            raise SurroundingsError(f"sbatch answered {shorten(told, 200)!r}, which names no job")
        late = _Wait(match[1], name, folder, 3 * profile.file_delay).run()
        node = parse(files.read_bytes(folder / ANSWER).decode())
    return Answer(match[1], node, time.monotonic() - began, late)


@contextmanager
def _folder(sweeps: Path) -> Iterator[Path]:
    """A folder where the sweeps lie, because it is their file system that is tried."""
    new = not sweeps.exists()
    folder = sweeps / f"{files.TEMPORARY}doctor-{os.urandom(4).hex()}"
    if re.search(r"[%\\\x00-\x1f\x7f]", str(folder)):
        raise InputError(f"{str(sweeps)!r}: Slurm cannot work in a folder with % or a backslash or a line break")
    files.make_folder(folder, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if new:
            with suppress(OSError):  # a sweep may have come meanwhile
                sweeps.rmdir()


def text(profile: Profile, name: str, folder: Path, root: Path) -> str:
    """The sbatch script: one task with one card and its share of the cores."""
    node = profile.node
    gpus = 1 if node and node.gpus else 0
    options: dict[str, object] = {
        "job-name": name, "time": LIMIT_MINUTES, "nodes": 1, "ntasks-per-node": 1,
        "cpus-per-task": max(1, (node.cpus or 1) // node.gpus) if node and node.gpus else 1,
        "output": folder / _LOG, "chdir": root,
        "partition": profile.partition, "account": profile.account, "qos": profile.qos,
        "gres": f"gpu:{_kind(profile)}1" if gpus and profile.gpu_request == "gres" else None,
        "gpus-per-node": f"{_kind(profile)}1" if gpus and profile.gpu_request == "gpus-per-node" else None,
        **profile.extra,
    }  # fmt: skip
    lines = [_option(key, value) for key, value in options.items() if value is not None]
    environment = shlex.quote(str(root / "slurm" / "env.sh"))
    modules = [f"export HPC_SWEEP_MODULES={shlex.quote(' '.join(profile.modules))}"] if profile.modules else []
    setup = [*modules, f"[ ! -e {environment} ] || source {environment}", *profile.setup]
    command = shlex.join([sys.executable, "-P", "-c", SCRIPT, str(folder)])
    return "\n".join(["#!/bin/bash", *lines, *setup, f"exec {command}", ""])


def _kind(profile: Profile) -> str:
    return f"{profile.gpu_type}:" if profile.gpu_type else ""


def _option(key: str, value: object) -> str:
    return f"#SBATCH --{key}" if value is True else f"#SBATCH --{key}={shlex.quote(str(value))}"


class _Wait:
    """Waiting for the answer of one job: first for its start, then for its end, then for its file."""

    def __init__(self, job: str, name: str, folder: Path, delay: float) -> None:
        self.job, self.name, self.folder, self.delay = job, name, folder, delay
        self.task: slurm.Task | None = None
        self.submitted = time.monotonic()

    def run(self) -> float:
        """How many seconds after Slurm said that the job had ended its file was seen; 0 when before."""
        try:
            while not self._over():
                if self._seen():
                    return 0.0
                self._check_queue()
                time.sleep(_POLL_WAITING if self._waits() else _POLL)
        except BaseException:  # an interruption too: nobody would read the answer
            with suppress(slurm.SilentError):
                slurm.cancel([self.job])
            raise
        ended, failed = time.monotonic(), self.task is not None and self.task.state not in ("RUNNING", "COMPLETED")
        patience = max(FAILED_PATIENCE if failed else LEAST_PATIENCE, self.delay)
        while not self._seen():
            if time.monotonic() - ended > patience:
                raise self._failed()
            time.sleep(_POLL / 5)
        return time.monotonic() - ended

    def _seen(self) -> bool:
        return ANSWER in os.listdir(self.folder)

    def _over(self) -> bool:
        """Whether Slurm says that the job has ended, or has forgotten it."""
        try:
            tasks = slurm.queue([self.name])
        except slurm.SilentError:
            return False
        if tasks:
            self.task = tasks[0]
            return tasks[0].ended
        return self.task is not None or time.monotonic() - self.submitted > LEAST_PATIENCE

    def _waits(self) -> bool:
        return self.task is None or self.task.state in ("PENDING", "CONFIGURING")

    def _check_queue(self) -> None:
        waited = time.monotonic() - self.submitted
        limit = QUEUE_SECONDS if self._waits() else QUEUE_SECONDS + 60 * LIMIT_MINUTES
        if waited < limit:
            return
        reason = f" ({self.task.reason})" if self.task and self.task.reason else ""
        raise StillWaitingError(
            f"job {self.job} gave no answer in {waited / 60:.0f} min{reason}, and was cancelled",
            "try again when the partition is less busy",
        )

    def _failed(self) -> SurroundingsError:
        state = self.task.state if self.task else "Slurm does not know it"
        words = self._last_words()
        said = f": {words}" if words else ", and its log is empty"
        return SurroundingsError(
            f"job {self.job} ended ({state}) without an answer{said}",
            "a sweep would fail the same way: check modules and setup in the profile, and that nodes see this folder",
        )

    def _last_words(self) -> str:
        try:
            log = files.read_bytes(self.folder / _LOG, limit=1 << 20).decode(errors="replace")
        except OSError:
            return ""
        return shorten((log.strip().splitlines() or [""])[-1], 200)
