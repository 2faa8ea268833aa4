"""What Slurm says, or that it says nothing. Its answers are hints: this module never decides what a point is."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hpc_sweep.errors import SurroundingsError

TIMEOUT = 10.0
# Only these mean that a task has ended; every other word, known or not, is a task that may still run.
ENDED = frozenset(
    ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"]
    + ["NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"]
)
_WHO = re.compile(r"^\w+: (error|fatal): ")
# The index of a row that stands for all tasks of an array that were ended before they had begun.
REST = -1
_QUEUE_FORMAT = "%F|%K|%T|%r|%N|%M|%j"
_JOB_ID = re.compile(r"(\d+)(?:_(?:(\d+)|\[(\d+(?:[-,]\d+)*)(?:%\d+)?\]))?(\..+)?")
_HISTORY_FIELDS = "JobID,JobName%80,State,ExitCode,DerivedExitCode,NodeList,Reason,ElapsedRaw"


@dataclass(frozen=True)
class Task:
    """One array task as Slurm sees it."""

    job: str
    index: int
    name: str
    state: str
    reason: str = ""
    node: str = ""
    exit: str = ""
    steps: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def killed(self) -> bool:
        """Whether it ended by SIGKILL, which Slurm did not send."""
        return self.state == "FAILED" and (self.reason == "JobLaunchFailure" or self.exit == "0:9")


class SilentError(SurroundingsError):
    """A Slurm command is missing, failed, or did not answer in time."""


def ask(command: Sequence[str], timeout: float = TIMEOUT, environment: Mapping[str, str] = os.environ) -> str:
    """Run one Slurm command; whatever goes wrong is a SilentError that quotes it."""
    environment = {**environment, "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment
        )
    except FileNotFoundError:
        raise SilentError(f"`{command[0]}` is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise SilentError(f"`{command[0]}` did not answer in {timeout:.0f} s") from None
    except OSError as error:
        raise SilentError(f"`{command[0]}` cannot be run: {error}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()
        words = "; ".join(_WHO.sub("", line) for line in lines[-3:])  # the last is the rule, one before it the limit
        raise SilentError(f"`{command[0]}` failed: {words}")
    return done.stdout


def outside_of_jobs() -> dict[str, str]:
    """This environment without what a Slurm job adds to it: a job of ours must not take itself for that one."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in ("SLURM_CONF", "SLURM_CLUSTERS")}


def queue(names: Iterable[str]) -> list[Task]:
    """The tasks of these job names that the controller knows: all that live, and those that ended lately."""
    command = ["squeue", "-h", "-r", "-t", "all", "-o", _QUEUE_FORMAT, f"--name={','.join(names)}"]
    return [_queue_line(line) for line in filter(str.strip, ask(command).splitlines())]


def _queue_line(line: str) -> Task:
    fields = line.split("|")
    if len(fields) != 7 or not fields[0].isdigit():
        raise SilentError(f"`squeue` answered {line[:100]!r}, which is no task")
    job, index, state, reason, node, _elapsed, name = fields
    return Task(job, int(index) if index.isdigit() else REST, name, state, reason, node)


def history(jobs: Iterable[str]) -> list[Task]:
    """What the accounting remembers of these jobs, each task with the states of its steps."""
    command = ["sacct", "-n", "-P", "--delimiter=|", "-j", ",".join(jobs), "-o", _HISTORY_FIELDS]
    tasks: dict[tuple[str, int], Task] = {}
    steps: dict[tuple[str, int], list[str]] = {}
    for line in filter(str.strip, ask(command).splitlines()):
        fields = line.split("|")
        match = _JOB_ID.fullmatch(fields[0])
        if len(fields) < 8:
            raise SilentError(f"`sacct` answered {line[:100]!r}, which is no task")
        if not match:
            continue  # a part of somebody's heterogeneous job
        job, one, several, step = match.groups()
        state = fields[2].split()[0] if fields[2] else ""
        for index in _indices(several) if several else [int(one) if one else REST]:
            if step:
                steps.setdefault((job, index), []).append(state)
            elif not several or (job, index) not in tasks:
                tasks[job, index] = Task(job, index, fields[1], state, fields[6], fields[5], fields[3])
    return [replace(task, steps=tuple(steps.get(key, ()))) for key, task in tasks.items()]


def _indices(text: str) -> Iterator[int]:
    """`0-2,7` as 0, 1, 2, 7: tasks that never started share one row."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


@dataclass(frozen=True)
class Node:
    """A node as the controller sees it."""

    name: str
    state: str
    up_since: float  # when its slurmd was started, by the controller's clock; 0 where it does not tell

    @property
    def ill(self) -> bool:
        return "*" in self.state or any(w in self.state for w in ("DOWN", "NOT_RESPONDING", "FAIL", "REBOOT"))


def nodes(names: Iterable[str]) -> dict[str, Node]:
    """The state of some nodes."""
    told = ask(["scontrol", "-o", "show", "node", ",".join(sorted(names))])
    found = {}
    for line in told.splitlines():
        fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
        since = fields.get("SlurmdStartTime", "")
        name = fields.get("NodeName", "")
        found[name] = Node(name, fields.get("State", ""), float(since) if since.isdigit() else 0.0)
    return found


@dataclass(frozen=True)
class Limits:
    """What this cluster takes in one go."""

    max_array: int
    submit_left: int | None
    accounting: bool
    cluster: str
    version: str


def settings() -> dict[str, str]:
    """`scontrol show config`, as a dictionary."""
    pairs = (line.partition("=") for line in ask(["scontrol", "show", "config"]).splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def limits(user: str) -> Limits:
    """The limits that a plan must keep to."""
    known = settings()
    accounting = not known.get("AccountingStorageType", "").endswith("none")
    enforced = "limits" in known.get("AccountingStorageEnforce", "").split(",")
    return Limits(
        max_array=int(known.get("MaxArraySize", "1001")),
        submit_left=_submit_left(user) if accounting and enforced else None,
        accounting=accounting,
        cluster=known.get("ClusterName", ""),
        version=known.get("SLURM_VERSION", ""),
    )


def _submit_left(user: str) -> int | None:
    """How many more tasks this user may have in the queue; None where no limit is set or told."""
    try:
        told = ask(["sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=MaxSubmit,GrpSubmit"])
        allowed = [int(n) for n in re.findall(r"\d+", told)]
        if not allowed:
            return None
        queued = len(ask(["squeue", "-h", "-r", "-u", user, "-o", "%i"]).splitlines())
    except SilentError:
        return None
    return max(0, min(allowed) - queued)


def cluster_name() -> str:
    """The name of the cluster that this host belongs to, or nothing."""
    try:
        return settings().get("ClusterName", "")
    except SilentError:
        return ""


def cancel(tasks: Sequence[str]) -> None:
    """`scancel` jobs (`12`) or array tasks (`12_3`)."""
    for start in range(0, len(tasks), 500):
        ask(["scancel", *tasks[start : start + 500]], timeout=60)


def cancel_pending(names: Iterable[str]) -> None:
    """`scancel` what has not started of the arrays with these names."""
    ask(["scancel", "--state=PENDING", f"--name={','.join(names)}"], timeout=60)


def requeue(job: str) -> None:
    """Have Slurm run a task again from its start."""
    ask(["scontrol", "requeue", job], timeout=60)


@dataclass(frozen=True)
class Comeback:
    """What Slurm intends with a task that it is ending."""

    preempted: bool  # it gave the task a grace time, because another job takes its node
    restarts: int  # how often it has put the task back into the queue


def comeback(job: str) -> Comeback:
    """Ask the controller why a task of ours was sent a signal."""
    told = ask(["scontrol", "show", "job", job])
    preempt = re.search(r"\bPreemptTime=(\S+)", told)
    restarts = re.search(r"\bRestarts=(\d+)", told)
    taken = preempt is not None and preempt[1] not in ("None", "N/A")
    return Comeback(taken, int(restarts[1]) if restarts else 0)
