"""What is known of one point: its last attempt, the numbers that it logged, its last words. Reads, and prints nothing.

Refuses to read a log file whole, however long it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_sweep import files
from hpc_sweep.ledger import Attempt, Sweep
from hpc_sweep.status import PointStatus, Status

_TAIL = 1 << 16  # bytes of a log that are looked at
_TAIL_LINES = 12


@dataclass(frozen=True)
class LogView:
    """One point and the story of its last attempt."""

    id: str
    sweep: str
    job: str
    axes: dict[str, Any]
    state: str
    kind: str
    words: str
    attempt: str = ""
    tries: int = 0
    node: str = ""
    seconds: float = 0.0
    host_mb: int | None = None
    gpu_mb: int | None = None
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    done: int | None = None  # of `total`, by the job's own count
    total: int | None = None
    checkpoint: int | None = None  # the last step that was saved
    trace: list[str] = field(default_factory=list)
    log: Path | None = None
    tail: list[str] = field(default_factory=list)  # the end of the log, where the job said nothing itself
    earlier: list[tuple[str, str]] = field(default_factory=list)  # other attempts, and how each ended

    @property
    def live(self) -> bool:
        return self.state in ("running", "waiting")


def log_view(status: Status, prefix: str) -> LogView:
    """The view of the one point whose id begins so."""
    from hpc_sweep import mend

    return view(status, mend.find_point(status, prefix))


def view(status: Status, point: PointStatus) -> LogView:
    sweep = status.sweep
    base = LogView(
        id=point.point.id, sweep=_place(sweep), job=status.header["job"], axes=point.point.axes,
        state=point.state, kind=point.kind, words=point.words, attempt=point.attempt, tries=point.tries,
        node=point.node, seconds=point.seconds,
    )  # fmt: skip
    attempts = _attempts(status, point.point.id)
    mine = [a for a in attempts if a.label == point.attempt]
    if not mine:
        return base
    told = _told(sweep, mine[0], point.point.id)
    earlier = [(a.label, _end(a, point.point.id)) for a in attempts if a.label != point.attempt]
    return LogView(**{**vars(base), **told, "earlier": earlier})


def _place(sweep: Sweep) -> str:
    return sweep.name if sweep.folder.parent.name == "sweeps" else str(sweep.folder)


def _attempts(status: Status, point: str) -> list[Attempt]:
    """The attempts in which a point began, oldest first."""
    found = []
    for submission in status.submissions:
        for number, shard in enumerate(submission.claim.shards):
            if point in shard:
                found += list(status.sweep.attempts(submission.number, number))
    return [a for a in found if any(e.get("point") == point for e in a.events)]


def _end(attempt: Attempt, point: str) -> str:
    """How a point ended in an attempt."""
    for event in attempt.events:
        if event.get("point") == point and event["event"] in ("done", "failed"):
            return str(event.get("kind", "done"))
    last = attempt.events[-1] if attempt.events else {"event": ""}
    if last["event"] == "end":
        return str(last.get("cause") or last["why"])
    return "no word"


def _told(sweep: Sweep, attempt: Attempt, point: str) -> dict[str, Any]:
    """What the lines of an attempt say of a point, those of its curve among them."""
    events, _ = files.read_events(files.read_bytes(sweep.attempt_path(attempt)))
    told: dict[str, Any] = {"curve": []}
    log, begin, until = None, 0, None
    for event in events:
        name = event["event"]
        if name == "start":
            log = event.get("log")
        elif event.get("point") != point:
            continue
        elif name == "begin":
            begin = event.get("at") or 0
        elif name == "log":
            if "progress" in event:
                told["done"], told["total"] = event["progress"]
            if "step" in event:
                told["curve"].append((int(event["step"]), _numbers(event)))
        elif name == "checkpoint":
            told["checkpoint"] = event["step"]
        elif name in ("done", "failed"):
            until = event.get("until")
            told |= {key: event.get(key) for key in ("host_mb", "gpu_mb")}
            told["trace"] = [str(line) for line in event.get("where") or event.get("trace") or ()]
    if log:
        told["log"] = sweep.folder / log
        if not told.get("trace"):
            told["tail"] = _tail(told["log"], begin, until)
    return told


def _numbers(event: dict[str, Any]) -> dict[str, float]:
    own = ("event", "point", "step", "progress")
    return {k: float(v) for k, v in event.items() if k not in own and isinstance(v, int | float)}


def _tail(path: Path, begin: int, until: int | None) -> list[str]:
    """The last lines that a point wrote into its log."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        end = min(until or 1 << 62, os.fstat(descriptor).st_size)
        start = max(begin, end - _TAIL)
        data = os.pread(descriptor, max(0, end - start), start)
    except OSError:
        return []
    finally:
        os.close(descriptor)
    lines = [line for line in data.decode(errors="replace").splitlines() if line.strip()]
    return lines[-_TAIL_LINES:]
