"""Numbers to an MLflow server while a run goes on. Best effort: it may stop at any time, `collect` brings the rest.

A process of its own beside the worker, so that a slow server costs the run nothing. It ends by itself: with the
attempt, with its parent, and for good when the server has failed it a few times. Refuses to touch a run that is whole.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_sweep import files, ledger
from hpc_sweep.errors import HpcSweepError, SurroundingsError
from hpc_sweep.tracking_client import ClientStore
from hpc_sweep.tracking_run import Metric, Refused, Unreachable, flat_params, is_name, metric, point_key

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5
_LAST_SECONDS = 3.0  # the worker waits for this process: no longer than that after its last word
_MOST_FAILURES = 3
_NOT_NUMBERS = ("event", "point", "step")
_STATUS = {"done": "FINISHED", "failed": "FAILED"}


def main(arguments: list[str]) -> int:
    """`ATTEMPT-FILE URI EXPERIMENT SWEEP-UID`, started by the worker."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 0
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for warning in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, signal.SIG_IGN)
    os.nice(10)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # the task's own log is for the run
        os.dup2(nowhere, stream)
    attempt, uri, experiment, sweep_uid = arguments
    params_of = _params_of(Path(attempt).parent.parent)
    follow(Path(attempt), uri=uri, experiment=experiment, key_prefix=sweep_uid, params_of=params_of)
    os._exit(0)  # not held up by a request that still waits


def follow(
    attempt: Path,
    *,
    uri: str,
    experiment: str,
    key_prefix: str,
    params_of: Callable[[str], Mapping[str, Any]] = lambda point: {},
    period: float = 2.0,
) -> None:
    """Pass on what the attempt logs until it ends, or until the server has failed a few times."""
    tail, sender = _Tail(attempt), _Sender(uri, experiment, key_prefix, params_of, period)
    sender.start()
    while sender.is_alive():
        events = tail.events()
        sender.add(events)
        if any(event["event"] == "end" for event in events):
            sender.finish()
            return
        time.sleep(min(_LOOK_SECONDS, period))


class _Tail:
    """The whole lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def events(self) -> list[dict[str, Any]]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return files.read_events(whole)[0]


@dataclass
class _Live:
    """A run on the server; `seen` are the steps of each number that it has. No id: it is whole, leave it."""

    run_id: str | None
    seen: set[tuple[str, int]] = field(default_factory=set)


class _Sender(threading.Thread):
    """Sends what was added, every few seconds, and gives up after a few failures in a row."""

    def __init__(
        self,
        uri: str,
        experiment: str,
        sweep_uid: str,
        params_of: Callable[[str], Mapping[str, Any]],
        period: float,
    ) -> None:
        super().__init__(daemon=True)
        self._where = uri, experiment
        self._sweep_uid = sweep_uid
        self._params_of = params_of
        self._period = period
        self._added: list[tuple[int, dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._store: ClientStore | None = None
        self._runs: dict[str, _Live] = {}

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        now = int(time.time() * 1000)
        with self._lock:
            self._added += [(now, event) for event in events]

    def finish(self) -> None:
        """Send what is left, within a few seconds; a shard so short that nothing was sent is left to `collect`."""
        if self._store is not None:
            self._finishing.set()
            self.join(_LAST_SECONDS)

    def run(self) -> None:
        failures = 0
        while failures < _MOST_FAILURES:
            last = self._finishing.wait(self._period * 2**failures)
            with self._lock:
                events, self._added = self._added, []
            try:
                self._send(events)
                failures = 0
            except (Refused, Unreachable, SurroundingsError):
                failures += 1
                with self._lock:
                    self._added = events + self._added
            if last:
                return

    def _send(self, events: list[tuple[int, dict[str, Any]]]) -> None:
        """Sending the same twice does no harm: MLflow keeps a number once."""
        by_point: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for when, event in events:
            if event["event"] in ("begin", "log", *_STATUS) and isinstance(event.get("point"), str):
                by_point.setdefault(event["point"], []).append((when, event))
        if not by_point:
            return
        self._store = self._store or ClientStore(*self._where)
        with self._store.told():
            for point, said in by_point.items():
                self._send_point(self._store, point, said)

    def _send_point(self, store: ClientStore, point: str, said: list[tuple[int, dict[str, Any]]]) -> None:
        if point not in self._runs:
            self._runs[point] = self._run(store, point, said[0][0])
        live = self._runs[point]
        if live.run_id is None:
            return
        numbers = [m for when, event in said for m in _numbers(event, when) if m[:2] not in live.seen]
        if numbers:
            store.log(live.run_id, numbers)
        status = next((_STATUS[e["event"]] for _, e in reversed(said) if e["event"] in _STATUS), None)
        if status:
            store.set_status(live.run_id, status)

    def _run(self, store: ClientStore, point: str, now: int) -> _Live:
        key = point_key(self._sweep_uid, point)
        found = store.run_of(key)
        if found is None:
            run_id = store.create(key, point, now)
            store.log(run_id, [], flat_params(self._params_of(point))[0])
            return _Live(run_id)
        if found.sha256 is not None:
            return _Live(None)
        store.set_status(found.run_id, "RUNNING")
        return _Live(found.run_id, {row[:2] for row in store.content(found.run_id).metrics})


def _params_of(folder: Path) -> Callable[[str], Mapping[str, Any]]:
    """The configuration of a point, as the sweep's folder has it; nothing if it cannot be read."""

    def look(point: str) -> Mapping[str, Any]:
        sweep = ledger.Sweep(folder)
        try:
            return sweep.configs([point], sweep.header()["points"]["file"])[point]
        except (HpcSweepError, OSError):
            return {}

    return look


def _numbers(event: dict[str, Any], when: int) -> list[Metric]:
    step = event.get("step")
    if event["event"] != "log" or not isinstance(step, int):
        return []
    return [
        metric(key, step, float(value), when)
        for key, value in event.items()
        if key not in _NOT_NUMBERS and is_name(key) and isinstance(value, int | float) and not isinstance(value, bool)
    ]
