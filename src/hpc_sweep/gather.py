"""From a sweep's finished points to its results, to MLflow and to a report: what `collect` and `report` do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_sweep import collect as collecting
from hpc_sweep import job as jobs
from hpc_sweep import results, status, tracking
from hpc_sweep.ledger import Sweep
from hpc_sweep.points import blame
from hpc_sweep.project import Project
from hpc_sweep.status import PointStatus, Status
from hpc_sweep.tracking_run import Run

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Gathered:
    """What was collected of which sweep."""

    state: Status
    outcome: collecting.Outcome

    @property
    def name(self) -> str:
        return self.state.sweep.name

    @property
    def points(self) -> int:
        return len(self.state.points)

    @property
    def failed(self) -> int:
        return self.state.count("failed") + self.state.count("lost")

    @property
    def rows(self) -> int:
        return self.outcome.rows

    @property
    def columns(self) -> int:
        return self.outcome.columns

    @property
    def read_bytes(self) -> int:
        return self.outcome.read_bytes

    @property
    def damaged(self) -> list[tuple[str, str]]:
        known = [(p.point.id, p.words) for p in self.state.points if p.state == "damaged"]
        return known + self.outcome.damaged

    @property
    def csv(self) -> Path | None:
        return self.outcome.csv

    @property
    def h5(self) -> Path | None:
        return self.outcome.h5

    @property
    def sha256(self) -> str | None:
        return self.outcome.sha256


def collect(project: Project, sweep: Sweep, to: Collection[str], progress: Progress | None = None) -> Gathered:
    """Gather every dump that is there; a damaged one is named and left out."""
    state = status.compute(sweep, file_delay=project.file_delay(sweep))
    entries = [
        collecting.Entry(
            p.point.id, p.point.config, p.point.axes, p.path,
            str(p.done["sha256"]) if p.done else None, int(p.done["bytes"]) if p.done else None,
        )
        for p in state.points
        if p.path is not None and p.state == "done"
    ]  # fmt: skip
    outcome = collecting.collect(
        entries, sweep.results, name=sweep.name, expected=len(state.points), to=to, progress=progress
    )
    return Gathered(state, outcome)


def track(gathered: Gathered, uri: str, progress: Progress | None = None) -> tracking.Tally:
    """Put what was collected into MLflow: an experiment a sweep, a parent run, a run a point."""
    state = gathered.state
    table = results.load(state.sweep.results)
    by_id = {p.point.id: p for p in state.points}
    uid = str(state.header["uid"])
    total = gathered.outcome.rows
    told = (lambda done: progress(done, total)) if progress else None
    return tracking.track(
        _runs(table, by_id, state, uid), total, uri=uri,
        experiment=state.sweep.name, parent=_parent(state, uid), progress=told,
    )  # fmt: skip


def _runs(table: results.Results, by_id: dict[str, PointStatus], state: Status, uid: str) -> Iterator[Run]:
    for row in table.rows:
        point = by_id[row.id]
        done = point.done or {}
        end = float(done.get("time", 0.0))
        yield Run(
            key=tracking.point_key(uid, row.id),
            name=_name(row.axes) or row.id,
            params=row.config,
            metrics=row.metrics,
            history=table.history(row.id),
            tags={"hpc_sweep.id": row.id, **_tags(point, state)},
            artifact=point.path,
            sha256=str(done.get("sha256", "")) or _fingerprint(row),
            start_ms=int(1000 * (end - point.seconds)),
            end_ms=int(1000 * end),
        )


def _name(axes: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in axes.items())[:250]


def _fingerprint(row: results.Row) -> str:
    """What tells a dump whose attempt line was lost from another of the same point."""
    import hashlib

    from hpc_sweep.files import canonical

    return hashlib.sha256(canonical([row.config, row.metrics]).encode()).hexdigest()


def _tags(point: PointStatus, state: Status) -> dict[str, str]:
    done = point.done or {}
    tags = {
        "hpc_sweep.attempt": str(done.get("attempt", "")),
        "hpc_sweep.node": str(done.get("node", "")),
        "hpc_sweep.seconds": str(done.get("seconds", "")),
        "hpc_sweep.host_mb": str(done.get("host_mb", "")),
        "hpc_sweep.gpu_mb": str(done.get("gpu_mb", "")),
        "hpc_sweep.tries": str(point.tries),
    }
    claim = next((s.claim for s in state.submissions if s.number == point.submission), None)
    if claim is not None:
        tags |= {
            "hpc_sweep.cluster": claim.cluster,
            "hpc_sweep.code": str(claim.code["fingerprint"]),
            "mlflow.source.git.commit": str(claim.code["commit"]),
            "mlflow.user": claim.by,
        }
    return {name: text for name, text in tags.items() if text}


def _parent(state: Status, uid: str) -> Run:
    header, first = state.header, state.submissions[0].claim if state.submissions else None
    return Run(
        key=uid, name=state.sweep.name,
        params={"job": header["job"], **{f"axis.{k}": ", ".join(map(str, v)) for k, v in header["axes"].items()}},
        metrics={"points": float(len(state.points)), "done": float(state.count("done"))}, history={},
        tags={"hpc_sweep.sweep": state.sweep.name, "mlflow.note.content": header.get("about") or state.sweep.name},
        artifact=None, sha256=f"{state.count('done')}/{len(state.points)}",
        start_ms=int(1000 * first.at) if first else 0, end_ms=int(1000 * first.at) if first else 0,
    )  # fmt: skip


def report(project: Project, sweep: Sweep) -> Any:
    """Collect afresh and write the report."""
    from hpc_sweep import report as reports

    gathered = collect(project, sweep, {"hdf5", "csv"})
    name = gathered.state.header["job"]
    job, notes = None, []
    try:
        job = jobs.load(name, project.jobs)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the generic report needs no job
        why = blame(error, project.jobs / f"{name}.py").replace(f"{project.jobs}/", "jobs/")
        notes.append(f"The job's own tables and figures are missing: {why}")
    return reports.write(gathered.state, results.load(sweep.results), sweep.results, job, notes)
