"""What became of each point: a function of the files and of what Slurm says. Nothing of it is stored.

For each point the first that matches wins: done, damaged, running or waiting, failed (with a kind), lost, new.
A file beats Slurm, and a task that may still run is never called dead.
"""

from __future__ import annotations

import gc
import hashlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_sweep import files, local, slurm
from hpc_sweep.errors import DamagedError, HpcSweepError
from hpc_sweep.ledger import Array, Attempt, Point, Submission, Sweep
from hpc_sweep.slurm import Task

STATES = ("done", "damaged", "running", "waiting", "failed", "lost", "new")
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
_SHARED_FATE = {"timeout", "node-fail", "cancelled", "preempted"}
_WORDS = {
    "timeout": "the time limit came",
    "node-fail": "the node failed",
    "host-oom": "killed: out of host memory",
    "cancelled": "cancelled",
    "preempted": "a job of higher priority took the node",
    "never-started": "its task ended before it began",
    "lost": "its task is gone and left no word",
}


@dataclass(frozen=True, slots=True)
class PointStatus:
    """One point and what became of it."""

    point: Point
    state: str
    kind: str = ""
    words: str = ""
    attempt: str = ""
    tries: int = 0
    seconds: float = 0.0
    node: str = ""
    submission: int | None = None
    shard: int | None = None
    done: dict[str, Any] | None = None
    file: str = ""

    @property
    def path(self) -> Path | None:
        """Where its dump lies, if there is one."""
        return Path(self.file) if self.file else None


@dataclass(frozen=True)
class Status:
    """A sweep at one moment."""

    sweep: Sweep
    header: dict[str, Any]
    points: list[PointStatus]
    submissions: list[Submission]
    notes: list[str]
    used_gpu_hours: float
    live: frozenset[int]  # submissions of which something may still run
    jobs_found: dict[tuple[int, int], str]  # jobs by submission and array, as Slurm names them
    unreached: frozenset[tuple[int, int]]  # arrays by submission that Slurm never heard of

    def count(self, state: str) -> int:
        return sum(p.state == state for p in self.points)

    @property
    def counts(self) -> dict[str, int]:
        counts = dict.fromkeys(STATES, 0)
        for point in self.points:
            counts[point.state] += 1
        return counts

    @property
    def over(self) -> bool:
        """Whether nothing of this sweep runs or waits any more."""
        return not any(p.state in ("running", "waiting") for p in self.points)


@dataclass
class _Shard:
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


@dataclass
class _History:
    """What the attempts say of one point."""

    tries: int = 0
    seconds: float = 0.0
    dones: list[dict[str, Any]] = field(default_factory=list)
    outcome: tuple[str, str, str] | None = None  # state, kind and words by the last submission that held it
    live: str = ""
    words: str = ""  # Slurm's own, of a task that lives
    attempt: str = ""
    node: str = ""
    where: tuple[int, int] | None = None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a search for garbage: of the many small values made here none is, and it takes a quarter of the time."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


@_uncollected()
def compute(sweep: Sweep, *, file_delay: float = 0.0, points: Sequence[Any] | None = None) -> Status:
    """Look at the files, ask Slurm where they leave a question, and say what each point is.

    `points` are those of the sweep's newest grid, unless those of a grid about to be submitted are given.
    """
    header = sweep.header()
    points = sweep.points_of(header) if points is None else points
    submissions = sweep.submissions()
    shards = _shards(sweep, submissions)
    dumps = sweep.dump_sizes()  # after the attempts: a dump is there before the line that tells of it
    notes = _settle(sweep, shards.values(), dumps)
    if _leave_doubt(shards.values(), dumps, file_delay):
        time.sleep(file_delay)  # a file made on another node may not be visible here yet
        fates = {key: (s.fate, s.task, s.node_failed) for key, s in shards.items()}
        shards = _shards(sweep, submissions)
        dumps = sweep.dump_sizes()
        for key, shard in shards.items():
            if not shard.over:
                shard.fate, shard.task, shard.node_failed = fates[key]
    histories: dict[str, _History] = defaultdict(_History)
    gpu_seconds = 0.0
    for shard in shards.values():
        gpu_seconds += _tell(shard, histories)
    found = [_judge(p, histories.get(p.id), dumps.get(p.id)) for p in points]
    notes += _more_notes(sweep, found, histories, shards.values())
    return Status(
        sweep, header, found, submissions, notes, gpu_seconds / 3600,
        live=frozenset(s.submission.number for s in shards.values() if s.fate == "live"),
        jobs_found={(s.submission.number, s.array_number): s.task.job for s in shards.values() if s.task},
        unreached=frozenset((s.submission.number, s.array_number) for s in shards.values() if s.fate == "unreached"),
    )  # fmt: skip


def _leave_doubt(shards: Iterable[_Shard], dumps: dict[str, Any], file_delay: float) -> bool:
    """Whether the files may have changed since they were read: Slurm has ended a task of which they tell no end."""
    return any(
        (s.fate == "dead" and not s.over) or (file_delay > 0 and any(p not in dumps for p in s.told_done))
        for s in shards
    )


def _shards(sweep: Sweep, submissions: Iterable[Submission]) -> dict[tuple[int, int], _Shard]:
    shards = {}
    for submission in submissions:
        number, claim = 0, submission.claim
        told = set(range(len(claim.arrays))) if claim.cluster == "local" and submission.jobs else set(submission.jobs)
        at_work = len(told) < len(claim.arrays) and may_arrive(submission)
        for k, array in enumerate(claim.arrays):
            for index, points in enumerate(array.shards):
                arriving = at_work and k not in told
                shards[submission.number, number] = _Shard(submission, number, array, k, index, points, arriving)
                number += 1
    for attempt in sweep.attempts():
        shard = shards.get((attempt.submission, attempt.shard))
        if shard is not None:
            shard.attempts.append(attempt)
    return shards


# what Slurm says


def _settle(sweep: Sweep, shards: Iterable[_Shard], dumps: dict[str, Any]) -> list[str]:
    """Give every shard that its files leave open a fate: live, dead or unreached. Returns what a reader must know."""
    undecided = []
    for shard in shards:
        if _refused(shard) and not shard.attempts:
            shard.fate = "unreached"
        elif not shard.over and not all(p in dumps for p in shard.points):
            undecided.append(shard)
    notes = _settle_local(sweep, [s for s in undecided if s.submission.claim.cluster == "local"])
    on_slurm = [s for s in undecided if s.submission.claim.cluster != "local"]
    return notes + (_settle_slurm(on_slurm) if on_slurm else [])


def _settle_local(sweep: Sweep, shards: list[_Shard]) -> list[str]:
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


def _settle_slurm(shards: list[_Shard]) -> list[str]:
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


def _look_at_nodes(shards: list[_Shard]) -> None:
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


def _ask_accounting(shards: list[_Shard]) -> list[str]:
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


def _settle_gone(shard: _Shard, task: Task | None, heard: set[str] | None) -> bool:
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


def _own(known: dict[tuple[str, int], Task], shard: _Shard) -> Task | None:
    """What Slurm says of a shard's task, or of all tasks of its array that were ended before they had begun."""
    task = known.get((shard.array.name, shard.index))
    return task if task is not None or shard.attempts else known.get((shard.array.name, slurm.REST))


def _refused(shard: _Shard) -> bool:
    """Whether it is settled that Slurm never took the array of this shard."""
    closed = shard.submission.closed or {}
    return "refused" in shard.submission.jobs.get(shard.array_number, {}) or closed.get("why") == "rejected"


def _job(shard: _Shard) -> str:
    return str(shard.submission.jobs.get(shard.array_number, {}).get("job", ""))


# from shards to points


def _tell(shard: _Shard, histories: dict[str, _History]) -> float:
    """Add what a shard tells of its points; returns the GPU seconds that it used."""
    resources = shard.array.resources
    cards = float(resources.get("gpus") or 0) * float(resources.get("nodes") or 1)
    used, settled, begun = 0.0, set(), {}
    for attempt in shard.attempts:
        node, label = "", attempt.label
        for event in attempt.events:
            name, point = event["event"], event.get("point")
            if name == "start":
                node = event.get("node", "")
            elif name == "begin" and point:
                history = histories[point]
                history.tries += 1
                history.attempt, history.node, begun[point] = label, node, label
            elif name in ("done", "failed") and point:
                history = histories[point]
                history.seconds = float(event.get("seconds", 0.0))
                used += history.seconds * cards
                settled.add(point)
                if name == "done":
                    event["attempt"], event["node"] = label, node
                    history.dones.append(event)
                    history.outcome = None
                else:
                    history.attempt, history.node = label, node
                    history.outcome = ("failed", event["kind"], event.get("words", ""))
    open_points = [p for p in shard.points if p not in settled]
    if shard.attempts and shard.end is None and open_points and not any(p in begun for p in open_points):
        begun[open_points[0]] = shard.attempts[-1].label  # killed before it could say that it began on this one
    for point in shard.points:
        history = histories[point]
        history.where = (shard.submission.number, shard.number)
        history.live = ""  # a submission takes only points that no earlier one holds any more
        if point in settled:
            continue
        if shard.fate == "live" and not shard.over:
            began = begun.get(point) == (shard.attempts[-1].label if shard.attempts else "-")
            history.live = "running" if began and shard.end is None and not shard.queued else "waiting"
            history.words = shard.said
        else:
            history.outcome = _outcome(shard, begun=point in begun, point=point) or history.outcome
    return used


def _outcome(shard: _Shard, begun: bool, point: str) -> tuple[str, str, str] | None:
    """How a point ended that had no chance to say so itself; None leaves it as it was before this submission."""
    closed = shard.submission.closed or {}
    if shard.fate == "unreached":
        return None
    kind, words = _fate_of_task(shard, begun, closed)
    if kind == "lost" and begun:
        return "lost", kind, words
    if begun or kind in _SHARED_FATE:
        return "failed", kind, words
    return "failed", "never-started", _WORDS["never-started"]


def _fate_of_task(shard: _Shard, begun: bool, closed: dict[str, Any]) -> tuple[str, str]:
    """The kind and words of a task's own end."""
    end, task = shard.end, shard.task
    if end is not None and end["why"] in _WORDS:
        told = closed.get("words") if end["why"] == "cancelled" and not begun else end.get("words")
        return end["why"], told or _WORDS[end["why"]]
    if shard.number in shard.submission.cancelled or (closed and not begun):
        return "cancelled", closed.get("words") or _WORDS["cancelled"]
    if task is None:
        return "lost", _WORDS["lost"]
    if "OUT_OF_MEMORY" in (task.state, *task.steps):
        return "host-oom", _WORDS["host-oom"]
    if shard.node_failed or task.state in ("NODE_FAIL", "BOOT_FAIL"):
        return "node-fail", _WORDS["node-fail"] + (f" ({task.node})" if task.node else "")
    if task.killed:
        return "lost", "its worker was killed (SIGKILL)"
    if task.reason == _NEVER:
        return "cancelled", "what it needs was not done"
    kind = _KIND_OF_STATE.get(task.state, "lost")
    return kind, _WORDS[kind]


def _judge(point: Point, history: _History | None, dump: tuple[int, int, str] | None) -> PointStatus:
    """The state of one point: the first that matches wins."""
    if history is None:
        history = _History()
    common = {"attempt": history.attempt, "tries": history.tries, "seconds": history.seconds, "node": history.node}
    if history.where:
        common |= {"submission": history.where[0], "shard": history.where[1]}
    if dump is not None:
        done, why = _verified(point.id, history.dones, dump)
        if not why:
            return PointStatus(point, "done", done=done, file=dump[2], **common)  # type: ignore[arg-type]
        return PointStatus(point, "damaged", words=why, file=dump[2], **common)  # type: ignore[arg-type]
    if history.live:
        return PointStatus(point, history.live, words=history.words, **common)  # type: ignore[arg-type]
    if history.outcome is not None:
        state, kind, words = history.outcome
        return PointStatus(point, state, kind, words, **common)  # type: ignore[arg-type]
    if history.dones:
        return PointStatus(point, "lost", "lost", "it was done, and its dump is gone", **common)  # type: ignore[arg-type]
    return PointStatus(point, "new", **common)  # type: ignore[arg-type]


def _verified(point: str, dones: list[dict[str, Any]], dump: tuple[int, int, str]) -> tuple[dict[str, Any] | None, str]:
    """The line that tells of this dump, and what is wrong with the file.

    A file whose size and time of change are those that its writer saw is the file that was hashed then; any other
    is read and hashed again.
    """
    size, changed, path = dump
    for done in reversed(dones):
        if (done["bytes"], done["mtime_ns"]) == (size, changed):
            return done, ""
    from hpc_sweep import dump as dumps

    try:
        data = files.read_bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        for done in dones:
            if digest == done["sha256"]:
                return done, ""
        try:
            dumps.read(data, point)
        except DamagedError as error:
            if dones and not error.message.startswith("holds"):  # its line tells more of what is wrong
                dumps.check(data, point, dones[-1]["sha256"], dones[-1]["bytes"])
            raise
    except DamagedError as error:
        return None, error.message
    except (OSError, HpcSweepError) as error:
        return None, str(error)
    return None, ""  # whole, and the line that told of it is lost


def _more_notes(
    sweep: Sweep, found: list[PointStatus], histories: dict[str, _History], shards: Iterable[_Shard]
) -> list[str]:
    notes = []
    shards = list(shards)
    for number in sorted({s.submission.number for s in shards if s.fate == "unreached" and not _refused(s)}):
        where = {s.submission.claim.cluster for s in shards if s.submission.number == number}
        what = "was never started" if where == {"local"} else "never reached Slurm"
        notes.append(f"submission {number:03d} {what}; `hpc-sweep submit` or `rerun` takes its points up again")
    for submission in {s.submission.number: s.submission for s in shards}.values():
        if submission.closed:
            words = submission.closed["words"]
            notes.append(f"submission {submission.number:03d} was closed ({submission.closed['why']}): {words}")
    for point, history in histories.items():
        hashes = {d["sha256"][:12] for d in history.dones} if len(history.dones) > 1 else ()
        if len(hashes) > 1:
            notes.append(f"{point}: {len(history.dones)} attempts disagree: {', '.join(sorted(hashes))}")
    notes += _other_code(found, {s.submission.number: s.submission for s in shards})
    torn = sum(a.torn for s in shards for a in s.attempts)
    if torn:
        notes.append(f"{torn} torn line{'s' if torn > 1 else ''} in attempts/ skipped")
    here = {p.point.id for p in found}
    elsewhere = [h for i, h in histories.items() if i not in here]
    if elsewhere:
        live = sum(bool(h.live) for h in elsewhere)
        notes.append(
            f"{len(elsewhere)} points of an earlier grid are kept" + (f", {live} of them still live" if live else "")
        )
    return notes


def _other_code(found: list[PointStatus], submissions: dict[int, Submission]) -> list[str]:
    """Whether what is done was done by one and the same code as what was submitted last."""
    if len({s.claim.code["fingerprint"] for s in submissions.values()}) < 2:
        return []
    newest = submissions[max(submissions)].claim.code
    other = sum(p.state == "done" and code_of(p, submissions) not in ("", newest["fingerprint"]) for p in found)
    points = f"{other} point{'s' if other > 1 else ''}"
    return [f"{points} ran on other code than what was submitted last ({newest['label']})"] if other else []


def code_of(point: PointStatus, submissions: Mapping[int, Submission]) -> str:
    """The fingerprint of the code that a finished point ran on; empty when the line that told of it is lost."""
    number = int(point.done["attempt"].split("-")[0]) if point.done else -1
    return str(submissions[number].claim.code["fingerprint"]) if number in submissions else ""
