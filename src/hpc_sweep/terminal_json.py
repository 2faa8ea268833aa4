"""The same as on the screens, for programs: one document a command, each with a `schema` number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpc_sweep.launch import Proposal
    from hpc_sweep.ledger import Claim, Submission, Sweep
    from hpc_sweep.mend import Cancelled
    from hpc_sweep.status import PointStatus, Status
    from hpc_sweep.terminal_results import Check, Collected
    from hpc_sweep.tracking import Tally

SCHEMA = 1


def status_json(state: Status) -> dict[str, Any]:
    """A sweep as it is now, down to every point."""
    return {
        "schema": SCHEMA,
        "sweep": state.sweep.name,
        "over": state.over,
        "counts": state.counts,
        "used_gpu_hours": round(state.used_gpu_hours, 4),
        "points": [_point(p) for p in state.points],
        "submissions": [_submission(s, state) for s in state.submissions],
        "notes": list(state.notes),
    }


def _point(p: PointStatus) -> dict[str, Any]:
    return {
        "id": p.point.id, "state": p.state, "kind": p.kind, "words": p.words, "attempt": p.attempt, "tries": p.tries,
        "seconds": p.seconds, "node": p.node, "submission": p.submission, "shard": p.shard, "axes": p.point.axes,
    }  # fmt: skip


def _submission(s: Submission, state: Status) -> dict[str, Any]:
    claim = s.claim
    return {
        "number": s.number, "why": claim.why, "cluster": claim.cluster, "by": claim.by, "host": claim.host,
        "at": claim.at, "code": claim.code["label"], "points": sum(map(len, claim.shards)),
        "tasks": len(claim.shards), "jobs": _jobs(s.jobs), "live": s.number in state.live, "closed": s.closed,
    }  # fmt: skip


def _jobs(jobs: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"array": k, **told} for k, told in sorted(jobs.items())]


def plan_json(proposal: Proposal, scripts: Sequence[str] = ()) -> dict[str, Any]:
    """What would be started."""
    price = proposal.price
    return {
        "schema": SCHEMA,
        "sweep": proposal.sweep.name,
        "why": proposal.why,
        "cluster": proposal.profile.name,
        "points": len(proposal.points),
        "skipped": proposal.grid["skipped"],
        "counts": proposal.state.counts if proposal.state else None,
        "chosen": proposal.chosen,
        "held_back": proposal.held_back,
        "after": list(proposal.after),
        "tasks": proposal.tasks,
        "arrays": [
            {"tasks": len(p.shards), "at_once": p.at_once, "after": p.after, "resources": p.resources}
            for p in proposal.plans
        ],
        "price": {
            "unit": f"{price.unit} hours", "expected": round(price.hours, 4), "at_most": round(price.at_most, 4),
            "wall_minutes": round(price.wall_minutes, 2),
        },
        "files": proposal.files,
        "max_fails": proposal.max_fails,
        "code": proposal.code.record(),
        "scripts": list(scripts),
    }  # fmt: skip


def submitted_json(proposal: Proposal, claim: Claim) -> dict[str, Any]:
    """What was started."""
    submission = proposal.sweep.submission(claim.number)
    return {**plan_json(proposal), "submission": claim.number, "jobs": _jobs(submission.jobs)}


def cancelled_json(sweep: Sweep, outcome: Cancelled) -> dict[str, Any]:
    return {"schema": SCHEMA, "sweep": sweep.name, **vars(outcome)}


def collected_json(outcome: Collected, tally: Tally | None = None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "sweep": outcome.name,
        "points": outcome.points,
        "rows": outcome.rows,
        "columns": outcome.columns,
        "failed": outcome.failed,
        "damaged": [{"id": point, "why": why} for point, why in outcome.damaged],
        "csv": _path(outcome.csv),
        "hdf5": _path(outcome.h5),
        "sha256": outcome.sha256,
        "mlflow": vars(tally) if tally else None,
    }


def reported_json(name: str, written: Sequence[Path], notes: Sequence[str] = ()) -> dict[str, Any]:
    return {"schema": SCHEMA, "sweep": name, "wrote": [str(p) for p in written], "notes": list(notes)}


def doctor_json(checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "checks": [{"name": c.name, "mark": c.mark, "sentence": c.sentence, "fix": c.fix} for c in checks],
    }


def _path(path: Path | None) -> str | None:
    return str(path) if path else None
