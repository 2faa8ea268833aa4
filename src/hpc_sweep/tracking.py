"""Finished runs into MLflow: an experiment a sweep, a parent run, and below it one run a point.

A run is found again by its tag, and its fingerprint is written after everything else, so that tracking may die at any
instant and be repeated: what is whole stays, what is not is completed, nothing is there twice. Refuses folders
(MLflow no longer writes to them). `python -m hpc_sweep.tracking` passes on numbers of a run that is not finished.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hpc_sweep import tracking_client, tracking_sql
from hpc_sweep.errors import DiskError, InputError, SurroundingsError
from hpc_sweep.tracking_run import (
    POINT_TAG,
    SWEEP_TAG,
    Found,
    Record,
    Refused,
    Run,
    Store,
    Unreachable,
    point_key,
    record,
)

__all__ = [
    "Run",
    "Tally",
    "TrackingError",
    "default_uri",
    "live_uri",
    "plain_http_warning",
    "point_key",
    "track",
]

_MOST_RUNS_A_BATCH = 50
_MOST_REFUSED_IN_A_ROW = 5
_RESULTS = "the results on disk are complete without it; the same command"


@dataclass(frozen=True)
class Tally:
    """What became of the runs."""

    new: int
    updated: int
    unchanged: int
    of: int

    @property
    def tracked(self) -> int:
        return self.new + self.updated + self.unchanged


class TrackingError(SurroundingsError):
    """MLflow did not take every run; `tally` says how many it has."""

    def __init__(self, message: str, hint: str | None, tally: Tally) -> None:
        super().__init__(message, hint)
        self.tally = tally

    @property
    def tracked(self) -> int:
        return self.tally.tracked


def default_uri(root: Path) -> str:
    """Where runs go unless the user says so: $MLFLOW_TRACKING_URI, else a SQLite file in the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.absolute()}/mlflow.db"


def plain_http_warning(uri: str) -> str | None:
    """One line for an address whose traffic others can read and change."""
    address = urlsplit(uri)
    if address.scheme != "http" or _is_loopback(address.hostname or ""):
        return None
    return f"{tracking_client.without_secret(uri)} is not encrypted: others on the way can read and change the runs"


def live_uri(uri: str) -> str:
    """An address that workers may be given: it is kept in the sweep, so it may hold no password."""
    if urlsplit(uri).scheme not in ("http", "https"):
        raise InputError(
            f"live tracking needs a server, and {uri} is none",
            "give its address, or track when all is done: hpc-sweep collect --to mlflow",
        )
    if tracking_client.without_secret(uri) != uri:
        raise InputError(
            "the address of the server holds a password, and the sweep would keep it",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
        )
    return uri


def track(
    runs: Iterable[Run],
    count: int,
    *,
    uri: str,
    experiment: str,
    parent: Run,
    progress: Callable[[int], object] | None = None,
) -> Tally:
    """Put `count` runs below `parent`; `runs` is drawn as they are written, so it may be built lazily."""
    tracker = _Tracker(count, uri, progress or (lambda done: None))
    try:
        store = _open(uri, experiment)
        try:
            tracker.run(store, parent, runs)
        finally:
            store.close()
    except (Unreachable, Refused, DiskError) as error:
        raise tracker.broken_off(error) from error
    if tracker.refused:
        raise tracker.incomplete()
    return tracker.tally()


class _Tracker:
    """One pass over the runs, and the count of what became of them."""

    def __init__(self, count: int, uri: str, progress: Callable[[int], object]) -> None:
        self.count = count
        self.where = tracking_client.without_secret(uri)
        self.progress = progress
        self.new = self.updated = self.unchanged = 0
        self.refused: list[str] = []
        self._in_a_row = 0

    def run(self, store: Store, parent: Run, runs: Iterable[Run]) -> None:
        known = _found(store)
        parent_id = self._parent(store, parent, known.get(parent.key))
        for batch in _batches(self._changed(runs, known, parent_id), store.rows_a_batch):
            self._write(store, batch)
        if self.new:
            _found(store)  # another process may have tracked the same runs meanwhile

    def _parent(self, store: Store, parent: Run, found: Found | None) -> str:
        if found is not None and found.sha256 == parent.sha256:
            return found.run_id
        return store.write([(record(parent, SWEEP_TAG), found)])[0]

    def _changed(
        self, runs: Iterable[Run], known: dict[str, Found], parent_id: str
    ) -> Iterator[tuple[Record, Found | None]]:
        for run in runs:
            found = known.get(run.key)
            if found is not None and (found.sha256, found.parent_id) == (run.sha256, parent_id):
                self.unchanged += 1
                self.progress(self.tally().tracked)
                continue
            try:
                made = record(run, POINT_TAG, parent_id)
            except Refused as error:
                self.refused.append(f"{run.name}: {error}")
            else:
                yield made, found

    def _write(self, store: Store, batch: list[tuple[Record, Found | None]]) -> None:
        try:
            store.write(batch)
        except Refused as error:
            self.refused.append(f"{batch[0][0].name}: {error}")
            self._in_a_row += 1
            if self._in_a_row >= _MOST_REFUSED_IN_A_ROW:
                raise Unreachable(f"{self.where} refused {self._in_a_row} runs in a row ({error})") from error
            return
        self._in_a_row = 0
        self.new += sum(found is None for _, found in batch)
        self.updated += sum(found is not None for _, found in batch)
        self.progress(self.tally().tracked)

    def tally(self) -> Tally:
        return Tally(self.new, self.updated, self.unchanged, self.count)

    def broken_off(self, error: Unreachable | Refused | DiskError) -> TrackingError:
        tally = self.tally()
        what = f"{self.where}: {error}" if isinstance(error, Refused) else str(error)
        after = f" after {tally.tracked} of {self.count} runs" if tally.tracked else ""
        start = f"continues at the {_ordinal(tally.tracked + 1)} run" if tally.tracked else "tries again"
        again = f"{_RESULTS} {start}"
        hint = getattr(error, "hint", None)
        return TrackingError(f"{what}{after}", f"{hint}; {again}" if hint else again, tally)

    def incomplete(self) -> TrackingError:
        first, more = "; ".join(self.refused[:3]), len(self.refused) - 3
        some = f"{first}; and {more} more" if more > 0 else first
        message = f"{self.where} has {self.tally().tracked} of {self.count} runs, not {some}"
        return TrackingError(message, f"{_RESULTS} tries these again", self.tally())


def _open(uri: str, experiment: str) -> Store:
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file"):
        raise InputError(
            f"`{uri}` is a folder, and MLflow no longer writes to folders",
            "give sqlite:///PATH/mlflow.db, or the http address of a server",
        )
    if not tracking_client.answers(uri):
        raise Unreachable(
            f"{tracking_client.without_secret(uri)} does not answer", "check the address, and that the server runs"
        )
    path = _sqlite_path(uri)
    if path is None:
        return tracking_client.ClientStore(uri, experiment)
    connection = tracking_sql.connect(path)
    if connection is not None:
        return tracking_sql.SqlStore(connection, path, experiment)
    return tracking_client.ClientStore(uri, experiment, path.absolute().parent / tracking_sql.ARTIFACTS)


def _sqlite_path(uri: str) -> Path | None:
    """The file of `sqlite:///PATH`; other spellings go through MLflow's client."""
    path = uri.removeprefix("sqlite:///")
    return Path(path) if path not in (uri, "", ":memory:") and "?" not in path else None


def _found(store: Store) -> dict[str, Found]:
    """Our runs by their key. Two of one key, left by two programs at once, become one: the whole one stays."""
    kept: dict[str, Found] = {}
    for found in sorted(store.found(), key=lambda f: (f.sha256 is None, f.run_id)):
        if found.key in kept:
            store.trash(found.run_id)
        else:
            kept[found.key] = found
    return kept


def _batches(records: Iterator[tuple[Record, Found | None]], rows: int) -> Iterator[list[tuple[Record, Found | None]]]:
    batch: list[tuple[Record, Found | None]] = []
    for pair in records:
        batch.append(pair)
        if len(batch) >= _MOST_RUNS_A_BATCH or sum(record.weight for record, _ in batch) >= rows:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ordinal(number: int) -> str:
    last = 0 if 10 < number % 100 < 14 else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


if __name__ == "__main__":
    from hpc_sweep import tracking_live

    sys.exit(tracking_live.main(sys.argv[1:]))
