"""A laptop as a cluster: one runner process per submission, which keeps as many shards going as there are slots.

The runner holds a lock on `submissions/000.runner` for as long as it lives, so that nobody has to guess whether it
does; how each shard's worker ended stands in that file, as the accounting of a cluster would have it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from hpc_sweep import files
from hpc_sweep.errors import SURROUNDINGS
from hpc_sweep.ledger import Submission, Sweep
from hpc_sweep.place import die_with_parent
from hpc_sweep.slurm import Task

JOB = "local"


def slots(resources: dict[str, int], wanted: int | None) -> int:
    """How many shards this machine runs at once: by its cards where they ask for some, else by its cores."""
    if wanted:
        return wanted
    cards = gpus()
    if resources.get("gpus") and cards:
        return max(1, len(cards) // int(resources["gpus"]))
    return max(1, len(os.sched_getaffinity(0)) // max(1, int(resources.get("cpus") or 1)))


def gpus() -> list[str]:
    """The cards of this machine, by index."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        cards = [card.strip() for card in visible.split(",") if card.strip()]
        return cards[: cards.index("-1")] if "-1" in cards else cards  # CUDA's own way to say: no further card
    if not shutil.which("nvidia-smi"):
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE)


def path(sweep: Sweep, number: int) -> Path:
    return sweep.folder / "submissions" / f"{number:03d}.runner"


def start(sweep: Sweep, number: int, at_once: int, environment: dict[str, str]) -> None:
    """Start the runner of a claimed submission in the background; it outlives this terminal."""
    with files.disk(path(sweep, number)):
        descriptor = os.open(path(sweep, number), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # passes to the runner with the descriptor: it is never free between
        command = [sys.executable, "-P", "-m", "hpc_sweep.local", str(sweep.folder), str(number), str(at_once)]
        log = sweep.logs / f"runner-{number:03d}.log"
        with files.disk(log):
            output = log.open("ab")
        with output:
            runner = subprocess.Popen(
                [*command, str(descriptor)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, pass_fds=[descriptor], env=environment,
            )  # fmt: skip
            runner.returncode = 0  # nobody waits for it here
    finally:
        os.close(descriptor)


def alive(sweep: Sweep, number: int) -> bool:
    """Whether the runner of a submission lives."""
    try:
        descriptor = os.open(path(sweep, number), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def tasks(sweep: Sweep, submission: Submission) -> list[Task]:
    """The shards of a submission, in the words that Slurm would use."""
    lives = alive(sweep, submission.number)
    try:
        events, _ = files.read_events(files.read_bytes(path(sweep, submission.number)))
    except FileNotFoundError:
        events = []
    pid = str(_pid(events) or "")
    ended = {e["shard"]: e["code"] for e in events if e["event"] == "exit"}
    stopped = any(e["event"] == "stopped" for e in events)  # it was asked to; else it was killed
    found = []
    for shard in range(len(submission.claim.shards)):
        state, code = "PENDING" if lives else "CANCELLED" if stopped else "FAILED", ended.get(shard)
        if code is not None:
            state = "FAILED" if code else "COMPLETED"
        exit = "" if code is None else f"{max(code, 0)}:{max(-code, 0)}"  # as Slurm writes it
        reason = "" if lives else "the runner has ended"
        found.append(Task(JOB, shard, pid, state, reason=reason, exit=exit))
    return found


def cancel(sweep: Sweep, number: int) -> None:
    """Ask the runner to end: its workers save what they can."""
    if not alive(sweep, number):
        return
    pid = _pid(files.read_events(files.read_bytes(path(sweep, number)))[0])
    if pid is not None:
        _end(pid)


def _pid(events: list[dict[str, Any]]) -> int | None:
    return next((int(e["pid"]) for e in events if e["event"] == "runner"), None)


class Runner:
    """The process that starts the workers of one submission."""

    def __init__(self, sweep: Sweep, number: int, at_once: int, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self.sweep, self.number, self.descriptor = sweep, number, descriptor
        self.claim = sweep.submission(number).claim
        self.free = at_once
        self.cards = gpus()
        self.cards_in_all = len(self.cards)
        self.running: dict[int, tuple[int, list[str], subprocess.Popen[bytes]]] = {}
        self.stopping = False
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        for pid in self.running:
            _end(pid)

    def run(self) -> None:
        """Start every shard in its turn and wait for all."""
        self._note("runner", pid=os.getpid())
        waiting = [(a, t) for a, array in enumerate(self.claim.arrays) for t in range(len(array.shards))]
        while self.running or (waiting and not self.stopping):
            while waiting and not self.stopping and self._fits(waiting[0][0]):
                self._start(*waiting.pop(0))
            self._reap()
        if self.stopping:
            self._note("stopped")

    def _wanted_cards(self, array: int) -> int:
        return min(self.cards_in_all, int(self.claim.arrays[array].resources.get("gpus") or 0))

    def _fits(self, array: int) -> bool:
        return self.free > 0 and len(self.cards) >= self._wanted_cards(array)

    def _start(self, array: int, task: int) -> None:
        wanted = self._wanted_cards(array)
        cards, self.cards = self.cards[:wanted], self.cards[wanted:]
        self.free -= 1
        shard = self.claim.first_shard(array) + task
        cores = int(self.claim.arrays[array].resources.get("cpus") or 1)
        log = self.sweep.logs / f"local_{self.number:03d}_{shard}.out"
        command = [sys.executable, "-P", "-u", "-m", "hpc_sweep.worker", str(self.sweep.folder)]
        runner = os.getpid()
        try:
            with log.open("ab") as output:
                worker = subprocess.Popen(
                    [*command, str(self.number), str(array)], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    env=_environment(task, cards, cores), preexec_fn=lambda: die_with_parent(runner),
                cwd=self.sweep.folder.parents[1],
                )  # fmt: skip
        except OSError as error:  # a full disk, too many processes: it must not end the other workers
            sys.stderr.write(f"shard {shard} was not started: {error}\n")
            self._ended(shard, cards, SURROUNDINGS)
            return
        self.running[worker.pid] = (shard, cards, worker)
        if self.stopping:  # the signal came while this one was being started
            _end(worker.pid)

    def _reap(self) -> None:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            time.sleep(0.02)
            return
        shard, cards, worker = self.running.pop(pid)
        worker.returncode = os.waitstatus_to_exitcode(status)
        self._ended(shard, cards, worker.returncode)

    def _ended(self, shard: int, cards: list[str], code: int) -> None:
        self.free += 1
        self.cards = sorted([*self.cards, *cards])
        self._note("exit", shard=shard, code=code)

    def _note(self, event: str, **fields: int) -> None:
        line = files.canonical({"event": event, **fields}) + "\n"
        with suppress(OSError):  # the attempts tell the same
            os.write(self.descriptor, line.encode())


def _end(pid: int) -> None:
    """Ask a worker to end; not through Popen, which may reap it unseen."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _environment(task: int, cards: list[str], cores: int) -> dict[str, str]:
    """What a worker gets: nothing of a Slurm job around us, its own cards where it asked for some, and its threads.

    Libraries that take every core in each of several workers make all of them many times slower.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SUBMITIT_"))}
    if cards:
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(cards)
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**threads, **kept, "HPC_SWEEP_TASK": str(task)}


if __name__ == "__main__":
    _folder, _number, _at_once, _descriptor = sys.argv[1:]
    Runner(Sweep(Path(_folder)), int(_number), int(_at_once), int(_descriptor)).run()
