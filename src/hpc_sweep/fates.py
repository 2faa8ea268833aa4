"""What became of each shard of each submission: live, dead or never reached, as its files, Slurm and the runner say.

Refuses to call a task dead that may still run: what Slurm does not know yet, or does not answer, is alive.
"""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_sweep import local, slurm
from hpc_sweep.errors import SURROUNDINGS
from hpc_sweep.ledger import Array, Attempt, Submission, Sweep
from hpc_sweep.slurm import Task

GRACE = 60.0  # seconds in which a claim may still be on its way to Slurm

_A_DAY = 86_400.0
_NEVER = "DependencyNeverSatisfied"
_UNCLEAR = ("COMPLETED", "FAILED")  # a step may have been killed for memory: only the accounting tells of steps
_IN_QUEUE = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")

_KIND_OF_STATE = {
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node-fail",
    "BOOT_FAIL": "node-fail",
    "OUT_OF_MEMORY": "host-oom",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "PREEMPTED": "preempted",
}
# what ends a whole task ends the points that it had not come to, too; the rest of them merely never began
SHARED_FATE = {"timeout", "node-fail", "cancelled", "preempted"}
WORDS = {
    "timeout": "the time limit came",
    "node-fail": "the node failed",
    "host-oom": "killed: out of host memory",
    "cancelled": "cancelled",
    "disk": "the disk failed; the log of its task tells how",
    "preempted": "a job of higher priority took the node",
    "never-started": "its task ended before it began",
    "lost": "its task is gone and left no word",
}


@dataclass
class Shard:
    """One shard of one submission: its attempts, and what is known of its end."""

    submission: Submission
    number: int
    array: Array
    array_number: int
    index: int  # of the task in its array
    points: tuple[str, ...]
    arriving: bool  # whether its submitter lived before Slurm was asked, and had not written the job's number yet
    attempts: list[Attempt] = field(default_factory=list)
    task: Task | None = None
    fate: str = ""  # live, dead, unreached; empty while the files alone tell that it is over
    node_failed: bool = False

    @property
    def end(self) -> dict[str, Any] | None:
        """The last attempt's own last word, if it had one."""
        events = self.attempts[-1].events if self.attempts else ()
        return events[-1] if events and events[-1]["event"] == "end" else None

    @property
    def told_done(self) -> list[str]:
        """The points that its attempts say are done."""
        return [e["point"] for a in self.attempts for e in a.events if e["event"] == "done"]

    @property
    def began(self) -> float:
        """When the last attempt started, by the clock of its node."""
        events = self.attempts[-1].events if self.attempts else ()
        return float(events[0].get("time", 0.0)) if events else float("inf")

    @property
    def queued(self) -> bool:
        """Whether Slurm has (again) to start it; a laptop's runner does not tell."""
        return self.task is not None and self.task.job != local.JOB and self.task.state in _IN_QUEUE

    @property
    def said(self) -> str:
        """Slurm's word for what its task does, where it is not just running."""
        if self.task is None or self.task.job == local.JOB or self.task.state == "RUNNING":
            return ""
        waits = self.task.state == "PENDING" and self.task.reason not in ("", "None")
        return self.task.reason if waits else self.task.state

    @property
    def over(self) -> bool:
        return self.end is not None and self.end["why"] != "requeue"


def gather(sweep: Sweep, submissions: Iterable[Submission]) -> dict[tuple[int, int], Shard]:
    shards = {}
    for submission in submissions:
        number, claim = 0, submission.claim
        told = set(range(len(claim.arrays))) if claim.cluster == "local" and submission.jobs else set(submission.jobs)
        at_work = len(told) < len(claim.arrays) and may_arrive(submission)
        for k, array in enumerate(claim.arrays):
            for index, points in enumerate(array.shards):
                arriving = at_work and k not in told
                shards[submission.number, number] = Shard(submission, number, array, k, index, points, arriving)
                number += 1
    for attempt in sweep.attempts():
        shard = shards.get((attempt.submission, attempt.shard))
        if shard is not None:
            shard.attempts.append(attempt)
    return shards


def settle(sweep: Sweep, shards: Iterable[Shard], dumps: dict[str, Any]) -> list[str]:
    """Give every shard that its files leave open a fate: live, dead or unreached. Returns what a reader must know."""
    undecided = []
    for shard in shards:
        if refused(shard) and not shard.attempts:
            shard.fate = "unreached"
        elif not shard.over and not all(p in dumps for p in shard.points):
            undecided.append(shard)
    notes = _settle_local(sweep, [s for s in undecided if s.submission.claim.cluster == "local"])
    on_slurm = [s for s in undecided if s.submission.claim.cluster != "local"]
    return notes + (_settle_slurm(on_slurm) if on_slurm else [])


def _settle_local(sweep: Sweep, shards: list[Shard]) -> list[str]:
    by_submission = defaultdict(list)
    for shard in shards:
        by_submission[shard.submission.number].append(shard)
    notes = []
    for number, group in by_submission.items():
        submission = group[0].submission
        if submission.claim.host != socket.gethostname() and not submission.closed:
            notes.append(f"submission {number:03d} runs on {submission.claim.host}; what it does now is not known here")
            for shard in group:
                shard.fate = "live"
            continue
        path = local.path(sweep, number)
        never = not submission.jobs and not path.exists()
        unborn = never or path.exists() and path.stat().st_size == 0  # a runner that was born has written so
        tasks = local.tasks(sweep, submission)
        for shard in group:
            shard.task = tasks[shard.number]
            shard.fate = "dead" if shard.task.ended else "live"
            if shard.arriving and unborn:
                shard.fate = "live"
            elif never:
                shard.fate = "unreached"
    return notes


def _settle_slurm(shards: list[Shard]) -> list[str]:
    names = {s.array.name for s in shards}
    try:
        known = {(t.name, t.index): t for t in slurm.queue(sorted(names))}
    except slurm.SilentError as error:
        for shard in shards:
            shard.fate = "live"
        return [f"Slurm is silent ({error.message}): running and waiting are guesses from the files"]
    for shard in shards:
        shard.task = _own(known, shard)
        if shard.task is not None:
            shard.fate = "dead" if shard.task.ended or shard.task.reason == _NEVER else "live"
    notes = _ask_accounting(shards)
    _look_at_nodes([s for s in shards if s.fate == "dead" and s.task is not None and s.task.killed])
    return notes


def _look_at_nodes(shards: list[Shard]) -> None:
    """Slurm says the same of a worker that was killed and of a node that died with all it ran: ask for the node."""
    names = {s.task.node for s in shards if s.task is not None and s.task.node}
    if not names:
        return
    try:
        nodes = slurm.nodes(names)
    except slurm.SilentError:
        return
    for shard in shards:
        node = nodes.get(shard.task.node if shard.task is not None else "")
        if node is not None:
            shard.node_failed = node.ill or node.up_since > shard.began


def _ask_accounting(shards: list[Shard]) -> list[str]:
    """Ask how those tasks ended that the controller does not know (any more), or of which it does not tell why."""
    gone = [s for s in shards if s.task is None]
    unclear = [s for s in shards if s.fate == "dead" and s.task is not None and s.task.state in _UNCLEAR]
    jobs = {_job(s) for s in gone} | {s.task.job for s in unclear if s.task is not None}
    known, notes = None, []
    if jobs - {""}:
        try:
            known = slurm.history(sorted(jobs - {""}))
        except slurm.SilentError:
            notes = ["Slurm keeps no accounting here: how a task ended is read from the files alone"] if gone else []
    tasks = {(t.name, t.index): t for t in known or ()}
    for shard in unclear:
        task = _own(tasks, shard)
        shard.task = task if task is not None and task.ended else shard.task
    heard = {t.job for t in known} if known is not None else None
    strange = {_job(s) for s in gone if _settle_gone(s, _own(tasks, s), heard)}
    if strange:
        listed = ", ".join(sorted(strange)[:3]) + (" and more" if len(strange) > 3 else "")
        notes.append(
            f"Slurm knows nothing of {listed}: running and waiting are guesses from the files; "
            "is this its cluster? if it is gone for good: hpc-sweep cancel"
        )
    return notes


def _settle_gone(shard: Shard, task: Task | None, heard: set[str] | None) -> bool:
    """Give a fate to a shard that the controller does not know; True when Slurm should know its job, and does not.

    `heard` are the jobs that the accounting knows; None where there is none.
    """
    job, age = _job(shard), time.time() - shard.submission.claimed_at
    shard.task = task
    if task is not None:
        shard.fate = "dead" if task.ended else "live"
    elif not job and not shard.attempts:
        shard.fate = "live" if shard.arriving else "unreached"
    elif age < GRACE and not shard.attempts:
        shard.fate = "live"  # not known yet is not lost
    elif heard is None or job in heard or not job or shard.number in shard.submission.cancelled:
        shard.fate = "dead"
    else:
        since = time.time() - shard.began if shard.attempts else age
        shard.fate = "live" if since < 60 * float(shard.array.resources["limit"]) + _A_DAY else "dead"
    return shard.fate == "live" and task is None and bool(job) and heard is not None and job not in heard


def may_arrive(submission: Submission) -> bool:
    """Whether the one who claimed may still be about to submit: on this host its process tells, else its age."""
    claim = submission.claim
    if submission.closed:
        return False
    if claim.host == socket.gethostname():
        return process_lives(claim.pid)
    return time.time() - submission.claimed_at < GRACE


def own_process() -> str:
    """This process, told apart from any that has its number later."""
    return f"{os.getpid()}:{_started(os.getpid())}"


def process_lives(process: str) -> bool:
    pid, _, started = process.partition(":")
    return _started(int(pid)) == started


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _own(known: dict[tuple[str, int], Task], shard: Shard) -> Task | None:
    """What Slurm says of a shard's task, or of all tasks of its array that were ended before they had begun."""
    task = known.get((shard.array.name, shard.index))
    return task if task is not None or shard.attempts else known.get((shard.array.name, slurm.REST))


def refused(shard: Shard) -> bool:
    """Whether it is settled that Slurm never took the array of this shard."""
    closed = shard.submission.closed or {}
    return "refused" in shard.submission.jobs.get(shard.array_number, {}) or closed.get("why") == "rejected"


def _job(shard: Shard) -> str:
    return str(shard.submission.jobs.get(shard.array_number, {}).get("job", ""))


def kind_of_end(shard: Shard, begun: bool, closed: dict[str, Any]) -> tuple[str, str]:
    """The kind and words of a task's own end."""
    end, task = shard.end, shard.task
    if end is not None and end["why"] in WORDS:
        told = closed.get("words") if end["why"] == "cancelled" and not begun else end.get("words")
        return end["why"], told or WORDS[end["why"]]
    if shard.number in shard.submission.cancelled or (closed and not begun):
        return "cancelled", closed.get("words") or WORDS["cancelled"]
    if task is None:
        return "lost", WORDS["lost"]
    if "OUT_OF_MEMORY" in (task.state, *task.steps):
        return "host-oom", WORDS["host-oom"]
    if shard.node_failed or task.state in ("NODE_FAIL", "BOOT_FAIL"):
        return "node-fail", WORDS["node-fail"] + (f" ({task.node})" if task.node else "")
    if task.killed:
        return "lost", "its worker was killed (SIGKILL)"
    if task.exit == f"{SURROUNDINGS}:0":  # a worker whose attempt could not be written any more
        return "disk", WORDS["disk"]
    if task.reason == _NEVER:
        return "cancelled", "what it needs was not done"
    kind = _KIND_OF_STATE.get(task.state, "lost")
    return kind, WORDS[kind]
