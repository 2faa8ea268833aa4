"""What to do about each kind of failure. The sentences must be true of what `rerun` does (`mend.policy`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """What to run (`{kind}`, `{point}` and the sweep are filled in), and why it helps."""

    command: str
    why: str


_RERUN = "hpc-sweep rerun{sweep} --only {kind}"
_LOG = "hpc-sweep log {point}{of_sweep}"

HINTS: dict[str, Hint] = {
    "oom": Hint(_RERUN, "halves the micro-batch; --mem will not help"),
    "host-oom": Hint(_RERUN, "doubles the memory, up to the node's"),
    "timeout": Hint(_RERUN, "doubles the time, up to the partition's"),
    "preempted": Hint(_RERUN, "goes on from the last checkpoint"),
    "node-fail": Hint(_RERUN, "goes on, on other nodes"),
    "nan": Hint(_LOG, "nan: mend the code, then rerun --only nan"),
    "crash": Hint(_LOG, "crash: see why, then rerun --only crash"),
    "disk": Hint("hpc-sweep doctor", "disk: make room, then rerun --only disk"),
    "data": Hint(_LOG, "data: mend the data, then rerun --only data"),
    "code": Hint(_LOG, "code: mend the code, then rerun --only code"),
    "cancelled": Hint(_RERUN, "takes up again what was stopped"),
    "never-started": Hint("hpc-sweep doctor --job", "tries a node; then rerun --only never-started"),
    "lost": Hint(_RERUN, "goes on from the last checkpoint"),
    "damaged": Hint(_RERUN, "sets the file aside, computes it again"),
}


def command(kind: str, point: str, sweep: str = "") -> tuple[str, str]:
    """What to run for points that failed so, `point` being one of them, and why; `sweep` if it is not the newest."""
    hint = HINTS[kind]
    names = {"sweep": f" {sweep}", "of_sweep": f" --sweep {sweep}"} if sweep else {"sweep": "", "of_sweep": ""}
    return hint.command.format(kind=kind, point=point, **names), hint.why
