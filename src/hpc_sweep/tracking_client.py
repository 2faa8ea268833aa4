"""Runs through MLflow's own client: any store that it can reach, above all a server over HTTP.

Bounded in time (one retry, ten seconds a request) and silent. Refuses to write to a run that it cannot complete:
nothing that was logged can be taken back, so such a run goes to the trash and a new one takes its place.
"""

from __future__ import annotations

import logging
import os
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hpc_sweep.errors import SurroundingsError
from hpc_sweep.tracking_run import (
    EXPERIMENT_TAGS,
    FINGERPRINT_TAG,
    PARENT_TAG,
    POINT_TAG,
    SWEEP_TAG,
    Content,
    Found,
    Metric,
    Record,
    Refused,
    Unreachable,
    deleted_experiment,
    metric,
)

T = TypeVar("T")

_ENVIRONMENT = {  # the only switches that MLflow has; what the user has set stays
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_PROBE_SECONDS = 8.0
# One call takes 1,000 entries and 1 MB; six letters of JSON may stand for one of a parameter.
_METRICS_A_CALL, _PARAMS_A_CALL, _TAGS_A_CALL = 900, 20, 20
_PAGE = 500


def quiet_mlflow() -> None:
    """Import MLflow without its log lines, warnings and telemetry."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow
    except ImportError as error:
        raise SurroundingsError(
            f"MLflow cannot be imported ({error})", "install it: pip install 'hpc-sweep[mlflow]'"
        ) from error
    for logger in (mlflow.__name__, "alembic", "urllib3"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic|urllib3)(\.|\Z)")


@contextmanager
def told_by_mlflow(place: str) -> Iterator[None]:
    """Turn what MLflow raises while a store is opened into a sentence: it cannot be used at all."""
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        old = "out-of-date database schema" in str(error)
        hint = f"keep a copy, then: mlflow db upgrade {without_secret(place)}" if old else None
        raise Unreachable(f"{without_secret(place)}: {reason(error)}", hint) from error


def answers(uri: str) -> bool:
    """Whether anything answers at this address; an address that is not of a server is taken to answer."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return True
    try:
        with urllib.request.urlopen(f"{without_secret(uri).rstrip('/')}/health", timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError as error:  # a certificate that this probe does not trust is MLflow's business
        return "CERTIFICATE_VERIFY_FAILED" in str(error)


def without_secret(uri: str) -> str:
    """The address without a user's name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


def reason(error: BaseException) -> str:
    """One line of what MLflow said."""
    text = str(error) or type(error).__name__
    status = re.search(r"too many (\d+) error responses", text)
    line = f"the server answered {status[1]}" if status else text.splitlines()[0]
    return without_secret(line)[:300]


class ClientStore:
    """An experiment that MLflow's client writes to."""

    rows_a_batch = 0  # a run at a time: the server may refuse one and take the next

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None) -> None:
        with told_by_mlflow(uri):
            from mlflow import MlflowClient

            self.uri = uri
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment_id = self._experiment(experiment, artifacts)

    def _experiment(self, name: str, artifacts: Path | None) -> str:
        from mlflow.exceptions import MlflowException

        if self._client.get_experiment_by_name(name) is None:
            place = str(artifacts / name) if artifacts else None
            try:
                return str(self._client.create_experiment(name, place, EXPERIMENT_TAGS))
            except MlflowException as error:  # another process may have been quicker
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        found: Any = self._client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise deleted_experiment(name, found.experiment_id)
        return str(found.experiment_id)

    def found(self) -> list[Found]:
        with self.told():
            return [
                Found(key, run.info.run_id, tags.get(FINGERPRINT_TAG), tags.get(PARENT_TAG))
                for run in self._search("")
                if (key := (tags := run.data.tags).get(POINT_TAG) or tags.get(SWEEP_TAG))
            ]

    def run_of(self, key: str) -> Found | None:
        """The run of one point."""
        for run in self._search(f"tags.`{POINT_TAG}` = '{key}'"):
            return Found(key, run.info.run_id, run.data.tags.get(FINGERPRINT_TAG))
        return None

    def _search(self, condition: str) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], condition, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def trash(self, run_id: str) -> None:
        with self.told():
            self._client.delete_run(run_id)

    def write(self, batch: Sequence[tuple[Record, Found | None]]) -> list[str]:
        with self.told():
            return [self._write(record, found) for record, found in batch]

    def close(self) -> None:
        """Nothing stays open."""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell apart a store that does not take one run from a store that does not answer."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:  # OSError: every exception of requests is one
            if answers(self.uri):
                raise Refused(reason(error)) from error
            raise Unreachable(f"{without_secret(self.uri)} stopped answering") from error

    def _write(self, record: Record, found: Found | None) -> str:
        run_id, known = None, Content({}, frozenset())
        if found is not None:
            known = self.content(found.run_id)
            if known.fits(record):
                run_id = found.run_id
                self._client.update_run(run_id, name=record.name)
            else:
                self._client.delete_run(found.run_id)
        if run_id is None:
            run_id = self.create(record.key, record.name, record.start_ms, record.tags)
        for name, source in record.files.items():
            if isinstance(source, str):
                self._client.log_text(run_id, source, name)
            else:
                self._client.log_artifact(run_id, str(source))
        self._client.set_terminated(run_id, "FINISHED", record.end_ms)
        new = [m for m in record.metrics if m.identity not in known.metrics]
        self.log(run_id, new, record.params, record.tags, record.sha256)
        return run_id

    def create(self, key: str, name: str, start_ms: int, tags: dict[str, str] | None = None) -> str:
        """Start a run that can be found again from its first moment."""
        from mlflow.entities import Run

        first = {tag: value for tag, value in (tags or {POINT_TAG: key}).items() if _is_first(tag)}
        run: Run = self._client.create_run(self._experiment_id, start_ms, first, name)
        return str(run.info.run_id)

    def set_status(self, run_id: str, status: str) -> None:
        self._client.update_run(run_id, status)

    def content(self, run_id: str) -> Content:
        """What a run holds: its parameters and every number of its history."""
        data = self._client.get_run(run_id).data
        history = (m for key in data.metrics for m in self._client.get_metric_history(run_id, key))
        rows = (metric(m.key, m.step, m.value, m.timestamp).identity for m in history)
        return Content(data.params, frozenset(rows))

    def log(
        self,
        run_id: str,
        metrics: Iterable[Metric],
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        sha256: str | None = None,
    ) -> None:
        """Send numbers, parameters and tags within MLflow's limits, the fingerprint with the last of them."""
        from mlflow.entities import Metric as Number
        from mlflow.entities import Param, RunTag

        numbers = [Number(m.key, float("nan") if m.is_nan else m.value, m.timestamp, m.step) for m in metrics]
        few = [Param(key, value) for key, value in (params or {}).items()]
        labels = [RunTag(key, value) for key, value in (tags or {}).items()]
        chunks = _chunks(numbers, _METRICS_A_CALL), _chunks(few, _PARAMS_A_CALL), _chunks(labels, _TAGS_A_CALL)
        calls: list[tuple[Any, ...]] = list(zip_longest(*chunks, fillvalue=[]))
        if sha256 is not None:
            some, params_too, tags_too = calls.pop() if calls else ([], [], [])
            calls.append((some, params_too, [*tags_too, RunTag(FINGERPRINT_TAG, sha256)]))
        for call in calls:
            self._client.log_batch(run_id, *call)


def _is_first(tag: str) -> bool:
    return tag in (POINT_TAG, SWEEP_TAG) or tag.startswith("mlflow.")


def _chunks(items: list[T], size: int) -> list[list[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
