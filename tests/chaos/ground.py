"""What the tests of dying stand on: a small project, a Slurm and a laptop without new processes, what must hold after.

Everything runs in processes forked by `dying`, so that patches need no undoing.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import io
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import SimpleNamespace
from typing import Any

from rich.cells import cell_len

import build
import hpc_sweep
import stubs
from chaos import dying
from hpc_sweep import cli, cluster, dump, files, grid, job, local, place, slurm, snapshot, status, worker
from hpc_sweep.errors import DamagedError
from hpc_sweep.ledger import Sweep

NAME = "trial"
GRID = """\
name: trial
job: selftest
fixed: {steps: 2, values: 20}
axes:
  model: [small, large]
  seed: {range: [0, 2]}
resources:
  - {gpus: 1, minutes: 9, points_per_shard: 2}
  - {when: {model: large}, minutes: 20, checkpoint_minutes: 1.0e-9}
"""
ONE_SHARD = """\
name: trial
job: selftest
fixed: {values: 20}
axes: {steps: [0, 1, 2]}
resources: [{minutes: 1, points_per_shard: 3, checkpoint_minutes: 1.0e-9}]
"""
LONG = ONE_SHARD.replace("0, 1, 2", "8, 12, 16")
_PROGRAM = compile(stubs._PROGRAM, "stub", "exec")
_PROFILES = cluster.load(build.ROOT / "slurm")
_JOB = job.load("selftest", build.ROOT / "jobs")
_grids: dict[str, grid.Grid] = {}

for _name in (m.name for m in iter_modules(hpc_sweep.__path__) if not m.name.startswith(("doctor", "report"))):
    import_module(f"hpc_sweep.{_name}")  # else every forked child would do it anew
for _name in ("submitit.slurm.slurm", "numpy.ma"):
    import_module(_name)
cell_len("✓")
gc.collect()
gc.freeze()  # else every forked child copies the memory of all this when it looks for garbage


# a project


def project(folder: Path, text: str = GRID) -> Path:
    """A project of its own with one grid."""
    made = build.project(folder)
    path = made.root / "grid.yaml"
    path.write_text(text)
    _grids[text] = grid.load(path, made.jobs)
    return made.root


def sweep(root: Path) -> Sweep:
    return Sweep(root / "sweeps" / NAME)


def ids(root: Path) -> list[str]:
    return [p.id for p in sweep(root).points()]


def command(root: Path, *words: str) -> int:
    """A command of hpc-sweep in this process, as it would run in that project."""
    os.chdir(root)
    os.environ["HOME"] = str(root)
    cluster.load = lambda folder: _PROFILES  # reading is not what dies here, and YAML takes long
    grid.load = lambda path, jobs: _grids[path.read_text()]
    job.load = lambda name, folder: _JOB
    snapshot._git = lambda root, *words: ""
    return cli.run(words)


def be_worker(root: Path, number: str, array: str) -> int:
    """A task of a submission in this process; what it runs is loaded already."""
    job.load = lambda name, folder: _JOB
    return worker.main([str(sweep(root).folder), number, array])


# a Slurm


def with_slurm(root: Path) -> None:
    """Make this project's own pretended Slurm."""
    stubs.Slurm(root / "slurm-state")


def jobs(root: Path) -> dict[str, dict[str, Any]]:
    """What sbatch took, by job."""
    return _known(root).jobs


def calls(root: Path, program: str) -> list[list[str]]:
    """What a program of Slurm was asked."""
    return _known(root).calls(program)


def say(root: Path, task: str, state: str, **more: str) -> None:
    """Let Slurm say so of a task."""
    _known(root).task(task, state, **more)


def _known(root: Path) -> stubs.Slurm:
    """The Slurm that was made for this project."""
    found = object.__new__(stubs.Slurm)
    found.folder = root / "slurm-state"
    return found


def on_slurm(root: Path) -> None:
    """From now on this process talks to that project's Slurm, within the process."""
    state = root / "slurm-state"

    def program(words: Sequence[str]) -> str:
        out, before = io.StringIO(), sys.argv
        sys.argv = ["stub", str(state / words[0]), *words[1:]]
        try:
            with redirect_stdout(out), dying.uncounted():
                exec(_PROGRAM, {"__name__": "stub"})
        finally:
            sys.argv = before
        return out.getvalue()

    def ask(words: Sequence[str], timeout: float = 0, environment: Any = None) -> str:
        return str(dying.operation(words[0], program, words))

    slurm.ask = ask


def submit_to_slurm(root: Path) -> int:
    on_slurm(root)
    return command(root, "submit", "grid.yaml", "--cluster", "devcluster", "--yes")


def task(root: Path, job: str, index: int = 0, restart: int = 0) -> int:
    """One task of a job that sbatch took."""
    text = jobs(root)[job]["text"]
    number, array = re.findall(r"hpc_sweep\.worker \S+ (\d+) (\d+)", text)[0]
    os.environ |= {
        "SLURM_JOB_ID": job, "SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_RESTART_COUNT": str(restart),
    }  # fmt: skip
    on_slurm(root)
    return be_worker(root, number, array)


# a laptop


class _Runner(local.Runner):
    """Forks its workers instead of starting Python anew."""

    def _start(self, array: int, task: int) -> None:
        shard = self.claim.first_shard(array) + task
        runner = os.getpid()
        pid = dying.operation("worker", os.fork)
        if pid == 0:
            try:
                place.die_with_parent(runner)
                os.environ["HPC_SWEEP_TASK"] = str(task)
                os._exit(worker.main([str(self.sweep.folder), str(self.number), str(array)]))
            finally:
                os._exit(70)
        self.free -= 1
        self.running[pid] = (shard, [], SimpleNamespace(returncode=None))  # type: ignore[assignment]


def runner(folder: str, number: str, at_once: str, descriptor: str) -> None:
    local.time = SimpleNamespace(sleep=lambda seconds: time.sleep(0.002))  # type: ignore[assignment]
    _Runner(Sweep(Path(folder)), int(number), int(at_once), int(descriptor)).run()


def on_laptop(started: Callable[..., None] = runner) -> None:
    """From now on a runner that this process starts is forked."""

    def fork(words: Sequence[str], **options: Any) -> SimpleNamespace:
        if dying.operation("runner", os.fork) == 0:
            try:
                os.setsid()
                started(*words[-4:])
            finally:
                os._exit(0)
        return SimpleNamespace()

    local.subprocess = SimpleNamespace(Popen=fork, DEVNULL=subprocess.DEVNULL)  # type: ignore[assignment]
    local.gpus = list


def submit_locally(root: Path, started: Callable[..., None] = runner, *words: str) -> int:
    on_laptop(started)
    return command(root, "submit", "grid.yaml", "--cluster", "local", "--yes", *words)


def rerun_locally(root: Path, started: Callable[..., None] = runner) -> int:
    on_laptop(started)
    return command(root, "rerun", NAME, "--yes")


def never(*words: str) -> None:
    """A runner that dies at once."""


def run_locally(root: Path, number: int = 0) -> None:
    """Be the runner of a submission."""
    on_laptop()
    with dying.uncounted():
        descriptor = os.open(local.path(sweep(root), number), os.O_RDWR | os.O_APPEND)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    runner(str(sweep(root).folder), str(number), "2", str(descriptor))


def shard(root: Path, number: int = 0, index: int = 0) -> int:
    """Be the worker of one shard of the first array."""
    os.environ["HPC_SWEEP_TASK"] = str(index)
    return be_worker(root, str(number), "0")


# what must hold


def states(root: Path) -> dict[str, str]:
    """What status says of each point; its word is held against the files."""
    found = status.compute(sweep(root))
    for point in found.points:
        path = sweep(root).dump_path(point.point.id)
        assert (point.state in ("done", "damaged")) == path.exists(), (point, path)
        if path.exists():
            assert (point.state == "done") == is_whole(path), point
    return {p.point.id: p.state for p in found.points}


def kinds(root: Path) -> list[str]:
    return [p.kind or p.state for p in status.compute(sweep(root)).points]


def is_whole(path: Path) -> bool:
    try:
        dump.read(path.read_bytes(), path.stem)
    except DamagedError:
        return False
    return True


def written(root: Path) -> dict[str, str]:
    """The dumps and the results, by name: the hash of each. A temporary is none."""
    folder = sweep(root).folder
    found = [p for part in ("dumps", "results") for p in sorted((folder / part).rglob("*")) if p.is_file()]
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in found
        if not p.name.startswith(files.TEMPORARY)
    }


def told(root: Path, name: str) -> list[dict[str, Any]]:
    """The events of that name in all attempts."""
    return [e for a in sweep(root).attempts() for e in a.events if e["event"] == name]


def dones(root: Path) -> Counter[str]:
    return Counter(e["point"] for e in told(root, "done"))


def strays(root: Path) -> list[str]:
    return [str(p) for p in sweep(root).strays()]


def inodes(root: Path) -> dict[str, int]:
    """Which file each dump is, to see that none is written again."""
    return {p.name: p.stat().st_ino for p in sweep(root).dumps.rglob("*.h5") if not p.name.startswith(files.TEMPORARY)}


def refused(outcome: dying.Outcome, how: str, root: Path) -> None:
    """A full or failing disk is told of: exit code 3, the errno's name, the path, what to do; no traceback."""
    assert outcome.value == 3, outcome
    line = next(line for line in outcome.text.splitlines() if f"({how})" in line)
    assert str(root) in line, line
    assert "hint: " in outcome.text, outcome.text
    assert "Traceback" not in outcome.text, outcome.text


def once_each(points: Iterable[str], expected: Sequence[str]) -> None:
    """Every point is there, and none twice."""
    assert Counter(points) == Counter(expected)
