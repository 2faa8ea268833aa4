"""What to do about each kind of failure. The sentences must be true of what `rerun` does (`mend.policy`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """A command (of `{sweep}`, `{kind}` and `{point}`), and why it helps."""

    command: str
    why: str


_RERUN = "hpc-sweep rerun {sweep} --only {kind}"
_LOG = "hpc-sweep log {point} --sweep {sweep}"

HINTS: dict[str, Hint] = {
    "oom": Hint(_RERUN, "smaller micro-batches, accumulated; more host memory would not help"),
    "host-oom": Hint(_RERUN, "doubles the memory, up to the node's; --mem GB says how much"),
    "timeout": Hint(_RERUN, "doubles the time, up to the partition's limit; --time H:MM says how long"),
    "preempted": Hint(_RERUN, "goes on from the last checkpoint"),
    "node-fail": Hint(_RERUN, "goes on from the last checkpoint, on other nodes"),
    "nan": Hint(_LOG, "the same code will fail again: mend it first, then rerun --only nan"),
    "crash": Hint(_LOG, "see where it died; rerun --only crash tries the same once more"),
    "disk": Hint("hpc-sweep doctor", "tells what is full or cannot be written; then rerun --only disk"),
    "data": Hint(_LOG, "the same data will fail again: mend them first, then rerun --only data"),
    "code": Hint(_LOG, "the same code will fail again: mend it first, then rerun --only code"),
    "cancelled": Hint(_RERUN, "takes up again what was stopped"),
    "never-started": Hint("hpc-sweep doctor --job", "why tasks end before they begin; then rerun --only never-started"),
    "lost": Hint(_RERUN, "goes on from the last checkpoint"),
    "damaged": Hint(_RERUN, "moves the file to quarantine/ and computes it again"),
}


def command(kind: str, sweep: str, point: str) -> tuple[str, str]:
    """What to run for points that failed so, `point` being one of them, and why."""
    hint = HINTS[kind]
    return hint.command.format(sweep=sweep, kind=kind, point=point), hint.why
