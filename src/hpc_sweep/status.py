"""What became of each point: a function of the files and of what Slurm says. Nothing of it is stored.

For each point the first that matches wins: done, damaged, running or waiting, failed (with a kind), lost, new.
A file beats Slurm, and a task that may still run is never called dead.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_sweep import fates, files
from hpc_sweep.errors import DamagedError, HpcSweepError
from hpc_sweep.ledger import Point, Submission, Sweep

STATES = ("done", "damaged", "running", "waiting", "failed", "lost", "new")


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
    shards = fates.gather(sweep, submissions)
    dumps = sweep.dump_sizes()  # after the attempts: a dump is there before the line that tells of it
    notes = fates.settle(sweep, shards.values(), dumps)
    if _leave_doubt(shards.values(), dumps, file_delay):
        time.sleep(file_delay)  # a file made on another node may not be visible here yet
        earlier = {key: (s.fate, s.task, s.node_failed) for key, s in shards.items()}
        shards = fates.gather(sweep, submissions)
        dumps = sweep.dump_sizes()
        for key, shard in shards.items():
            if not shard.over:
                shard.fate, shard.task, shard.node_failed = earlier[key]
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


def _leave_doubt(shards: Iterable[fates.Shard], dumps: dict[str, Any], file_delay: float) -> bool:
    """Whether the files may have changed since they were read: Slurm has ended a task of which they tell no end."""
    return any(
        (s.fate == "dead" and not s.over) or (file_delay > 0 and any(p not in dumps for p in s.told_done))
        for s in shards
    )


# from shards to points


def _tell(shard: fates.Shard, histories: dict[str, _History]) -> float:
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


def _outcome(shard: fates.Shard, begun: bool, point: str) -> tuple[str, str, str] | None:
    """How a point ended that had no chance to say so itself; None leaves it as it was before this submission."""
    closed = shard.submission.closed or {}
    if shard.fate == "unreached":
        return None
    kind, words = fates.kind_of_end(shard, begun, closed)
    if kind == "lost" and begun:
        return "lost", kind, words
    if begun or kind in fates.SHARED_FATE:
        return "failed", kind, words
    return "failed", "never-started", fates.WORDS["never-started"]


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
    sweep: Sweep, found: list[PointStatus], histories: dict[str, _History], shards: Iterable[fates.Shard]
) -> list[str]:
    notes = []
    shards = list(shards)
    for number in sorted({s.submission.number for s in shards if s.fate == "unreached" and not fates.refused(s)}):
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
