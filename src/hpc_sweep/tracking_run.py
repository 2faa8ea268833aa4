"""What MLflow is told of one run, and within which limits. Refuses names that MLflow would not take.

The two stores (`tracking_sql`, `tracking_client`) write a `Record` each in their way, to the same effect.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpc_sweep.files import canonical

POINT_TAG = "hpc_sweep.point"
SWEEP_TAG = "hpc_sweep.sweep"
FINGERPRINT_TAG = "hpc_sweep.sha256"  # written last: a run without it is not whole
NAME_TAG = "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on the runs, not on traces

LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
_LONGEST_RUN_NAME = 250
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/.-]{0,249}\Z")
_LARGEST = 1.7976931348623157e308  # what MLflow's databases hold for infinity


class Refused(Exception):  # noqa: N818 - the name of what happened
    """One run was not taken; the others may be."""


class Unreachable(Exception):  # noqa: N818 - the name of what happened
    """The store does not do its part, so that there is no point in trying the next run."""

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.hint = hint


@dataclass(frozen=True)
class Run:
    """A finished run. `params` may be nested; `history` is read only when the run is not tracked as it is."""

    key: str
    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    history: Mapping[str, Sequence[tuple[int, float]]]
    tags: Mapping[str, str]
    artifact: Path | None
    sha256: str
    start_ms: int
    end_ms: int


class Metric(NamedTuple):
    """One row of MLflow's metric table: NaN is stored as 0 and a flag, infinity as the largest number."""

    key: str
    step: int
    value: float
    is_nan: bool
    timestamp: int

    @property
    def identity(self) -> tuple[str, int, float, bool]:
        """What makes it the same number, whenever it was logged."""
        return self[:4]


@dataclass(frozen=True)
class Record:
    """A run in MLflow's own terms; `files` maps the path of an artifact to a file or to its text."""

    key: str
    name: str
    sha256: str
    start_ms: int
    end_ms: int
    params: dict[str, str]
    metrics: tuple[Metric, ...]
    tags: dict[str, str]
    files: dict[str, Path | str]
    weight: int  # how many rows it is worth: a row takes as long as a kilobyte of its files


@dataclass(frozen=True)
class Found:
    """A run of ours that the store has; without a fingerprint it is not whole."""

    key: str
    run_id: str
    sha256: str | None
    parent_id: str | None = None


@dataclass(frozen=True)
class Content:
    """What a tracked run holds already."""

    params: Mapping[str, str]
    metrics: frozenset[tuple[str, int, float, bool]]

    def fits(self, record: Record) -> bool:
        """Whether the run can be completed: nothing that was logged can be taken back."""
        same = all(record.params.get(key) == value for key, value in self.params.items())
        return same and self.metrics <= {m.identity for m in record.metrics}


class Store(Protocol):
    """One experiment of an MLflow store."""

    rows_a_batch: int

    def found(self) -> list[Found]:
        """The runs of ours that are there and not in the trash."""

    def trash(self, run_id: str) -> None: ...

    def write(self, batch: Sequence[tuple[Record, Found | None]]) -> list[str]:
        """Put these runs in, whole; what is there of them already is completed or replaced. Answers their ids."""

    def close(self) -> None: ...


def point_key(sweep_uid: str, point: str) -> str:
    """The key of a point's run: what a worker that tracks live and `collect` must agree on."""
    return f"{sweep_uid}/{point}"


def record(run: Run, tag: str = POINT_TAG, parent_id: str | None = None) -> Record:
    """Turn a run into what MLflow takes."""
    params, files = flat_params(run.params)
    if run.artifact is not None:
        files[run.artifact.name] = run.artifact
    tags = {key: str(value)[:_LONGEST_TAG] for key, value in run.tags.items()}
    metrics = tuple(dict.fromkeys(_metrics(run)))
    tags |= {tag: run.key} | ({PARENT_TAG: parent_id} if parent_id else {})
    made = Record(
        key=run.key,
        name=run.name[:_LONGEST_RUN_NAME],
        sha256=run.sha256,
        start_ms=run.start_ms,
        end_ms=max(run.start_ms, run.end_ms),
        params=params,
        metrics=metrics,
        tags=tags,
        files=files,
        weight=len(metrics) + _size(run.artifact) // 1000,
    )
    for name in sorted({*made.params, *made.tags, *(m.key for m in made.metrics)}):
        if not is_name(name):
            raise Refused(f"MLflow takes no name like `{name}`")
    return made


def flat_params(values: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Path | str]]:
    """Parameters by dotted name, and an artifact for each that is too long to be one."""
    params, texts = dict(_flattened(values)), {}
    for key, value in params.items():
        if len(value) > LONGEST_PARAM:
            texts[f"params/{key}.txt"] = value
            params[key] = f"{len(value):,} characters, in the artifact params/{key}.txt"
    return params, {**texts}


def metric(key: str, step: int, value: float, timestamp: int) -> Metric:
    """A number as MLflow's databases hold it."""
    if math.isnan(value):
        return Metric(key, step, 0.0, True, timestamp)
    return Metric(key, step, min(max(float(value), -_LARGEST), _LARGEST), False, timestamp)


def _metrics(run: Run) -> Iterator[Metric]:
    """The history, its steps spread evenly over the run's time, and then the results.

    A result whose name has a history goes by `final/NAME`: the history's last value need not be the result.
    """
    steps = [int(step) for rows in run.history.values() for step, _ in rows]
    first, last = min(steps, default=0), max(steps, default=0)
    a_step = max(run.end_ms - run.start_ms, 0) / max(last - first, 1)
    for key, rows in run.history.items():
        for step, value in rows:
            yield metric(key, int(step), value, run.start_ms + int((int(step) - first) * a_step))
    for key, result in run.metrics.items():
        if result is not None:
            yield metric(_free_name(key, run.history), last, result, max(run.start_ms, run.end_ms))


def _size(artifact: Path | None) -> int:
    try:
        return artifact.stat().st_size if artifact is not None else 0
    except OSError as error:
        raise Refused(f"{artifact} is gone") from error


def _free_name(key: str, taken: Mapping[str, object]) -> str:
    while key in taken:
        key = f"final/{key}"
    return key


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else canonical(value)


def is_name(name: str) -> bool:
    """Whether it is one of our names, and one that MLflow takes: no `a//b`, no `a/../b`."""
    return bool(_NAME.match(name)) and posixpath.normpath(name) == name


def deleted_experiment(name: str, number: object) -> Unreachable:
    """What to say of an experiment that lies in MLflow's trash."""
    return Unreachable(
        f"the experiment `{name}` was deleted in MLflow",
        f"restore it with `mlflow experiments restore --experiment-id {number}`",
    )
