"""Where a task runs: its job, its rank, its node; and the few things it asks of the kernel and of Slurm."""

from __future__ import annotations

import os
import re
import signal
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_sweep.errors import InputError

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Place:
    """One task of one job, from the environment that Slurm (or the runner on a laptop) gave it."""

    job: str  # 123_4: the number alone may mean the whole array
    task: int
    restart: int
    node: str
    rank: int
    world_size: int
    local_rank: int
    local_size: int
    on_slurm: bool

    @property
    def run_key(self) -> str:
        """A name that no other execution of any task has."""
        return f"{self.job}-{self.restart}"


def here(environ: Mapping[str, str]) -> Place:
    """Read the environment of this process."""
    host = os.uname().nodename
    if "HPC_SWEEP_TASK" in environ:
        job = f"local-{os.getpid()}"
        return Place(job, int(environ["HPC_SWEEP_TASK"]), 0, host, 0, 1, 0, 1, False)
    if "SLURM_JOB_ID" not in environ:
        raise InputError("a worker is started by Slurm or by `hpc-sweep submit`, not by hand")
    array = environ.get("SLURM_ARRAY_JOB_ID")
    task = int(environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return Place(
        job=f"{array}_{task}" if array else environ["SLURM_JOB_ID"],
        task=task,
        restart=int(environ.get("SLURM_RESTART_COUNT", "0")),
        node=environ.get("SLURMD_NODENAME", host),
        rank=int(environ.get("SLURM_PROCID", "0")),
        world_size=int(environ.get("SLURM_STEP_NUM_TASKS", "1")),
        local_rank=int(environ.get("SLURM_LOCALID", "0")),
        local_size=int(environ.get("SLURM_NTASKS_PER_NODE", "1")),
        on_slurm=True,
    )


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, even of SIGKILL."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was made
        os.kill(os.getpid(), signal.SIGKILL)


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed for memory in this control group; 0 where it does not tell."""
    for file in _memory_files(root):
        try:
            match = re.search(r"^oom_kill (\d+)", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if match:
            return int(match[1])
    return 0


def _memory_files(root: Path) -> list[Path]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found.append(root / f"sys/fs/cgroup/memory{path}/memory.oom_control")
        elif controllers == "":
            found.append(root / f"sys/fs/cgroup{path}/memory.events")
    return found


def free_port(seed: str) -> int:
    """A port that nobody listens on here, derived from the job so that two groups on a node rarely meet."""
    import socket

    first = zlib.crc32(seed.encode()) % 20000
    for k in range(200):
        port = 20000 + (first + 97 * k) % 20000
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
                return port
            except OSError:
                continue
    raise OSError("no free port found between 20000 and 40000")


def address() -> str:
    """A name of this host that resolves, for other ranks to connect to."""
    import socket

    host = socket.gethostname()
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return "127.0.0.1"
    return host


def shorten(path: str, root: Path) -> str:
    """A path as a person of this project knows it: without the folder or the snapshot that it lies in."""
    marker = ".zip/"
    if marker in path:
        return path.split(marker, 1)[1]
    return os.path.relpath(path, root) if Path(path).is_relative_to(root) else path
