"""How a file in `jobs/` is found, and what it is given. The one module of the machine that a job imports.

A job is a Python file with a `Config` (a subclass of the one here) and `run(config, ctx) -> Result`.
It may add `run_many(configs, contexts)`, `compatible(config)`, `cost(config)`, `tables(results)` and
`figures(results)`.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from hpc_sweep import files
from hpc_sweep.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from pydantic import TypeAdapter

_OURS = frozenset(["event", "point", "step", "progress"])  # what an event says beside a run's numbers
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/.-]{0,99}\Z")
JOB_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
HISTORY = "history.json"

# steps and values of every number that a run logged, by name
History = dict[str, list[tuple[int, float]]]


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Config:
    """What a job's `Config` derives from: a frozen dataclass, with pydantic's checks where values come from outside.

    No unknown key, no conversion but integer to float.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid", "strict": True, "allow_inf_nan": False, "validate_default": True,
    }  # fmt: skip

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


@dataclass(frozen=True)
class Result:
    """What a finished point leaves: numbers, arrays, and the reason for each number that has no value."""

    metrics: Mapping[str, float | None]
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the report, as a job's `tables(results)` makes it.

    A cell is text, a number, or None where there is no value; the first column names the rows. Text that ends in `*`,
    `*a`, `*b` is marked: a line of `note` that begins with the mark says why. `across` is what the other columns are
    values of.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    note: str = ""
    across: str = ""


class NotFiniteError(ArithmeticError):
    """A number that a run logged is NaN or infinite: the run stops at that step."""

    kind = "nan"

    def __init__(self, message: str, context: Context | None = None) -> None:
        super().__init__(message)
        self.context = context  # whose number it was, where several points run together


class Stopped(BaseException):  # noqa: N818 - not an error: the run was asked to stop, and has saved where it was
    """Raised by `Context.checkpoint` once everything is saved; a job lets it pass."""


@dataclass(frozen=True)
class Checkpoint:
    """Where an interrupted run goes on: the number of steps it has done, and the folder it wrote then."""

    step: int
    folder: Path


class Context:
    """What a run is given beside its configuration."""

    def __init__(
        self,
        *,
        seed: int,
        scratch: Path,
        resources: Mapping[str, Any],
        send: Callable[..., None],
        stop_asked: Callable[[], bool],
        attempt: str = "by-hand",
        rank: int = 0,
        world_size: int = 1,
        local_rank: int = 0,
    ) -> None:
        self.seed = seed
        self.scratch = scratch
        self.resources = resources
        self.rank = rank
        self.world_size = world_size
        self.local_rank = local_rank
        # The largest number that any rank gave; a job with several ranks sets it to its all-reduce.
        self.agree: Callable[[int], int] = int
        self.history: History = {}
        self._send = send
        self._stop_asked = stop_asked
        self._attempt = attempt
        self._seconds = 60.0 * float(resources.get("checkpoint_minutes", 10))
        self._began = self._saved_at = time.monotonic()
        self._told_at = -math.inf
        self._untold: dict[str, Any] | None = None

    def log(self, step: int, **numbers: float | None) -> None:
        """Record numbers at a step. NaN or infinity stops the run; None says that there is no value."""
        step = int(step)
        values = {name: float(value) for name, value in numbers.items() if value is not None}
        for name, value in values.items():
            if not METRIC_NAME.match(name):
                raise ValueError(f"`{name}` cannot name a number: letters, digits and _ / . - only, a letter first")
            if name in _OURS:
                raise ValueError(f"`{name}` cannot name a number: hpc-sweep says something else by it; `{name}_` can")
            if not math.isfinite(value):
                others = ", ".join(f"{k} {v:.6g}" for k, v in values.items() if k != name)
                words = f"{name} is {value} at step {step}" + (f" ({others})" if others else "")
                raise NotFiniteError(words, self)
            self.history.setdefault(name, []).append((step, value))
        self._tell(step=step, **values)

    def progress(self, done: int, total: int) -> None:
        """Say how far the run is; shown by `status`, kept nowhere."""
        self._tell(progress=[int(done), int(total)])

    def stopping(self) -> bool:
        """Whether the run should save and end at this step: the same answer on every rank."""
        return self.agree(int(self._stop_asked())) > 0

    def resume(self) -> Checkpoint | None:
        """The newest checkpoint of this point, if one was saved; what was logged until then is taken over."""
        found = _checkpoints(self.scratch)
        if not found:
            return None
        newest = found[-1]
        kept = files.read_json(newest.folder / HISTORY)
        self.history = {name: [(int(s), float(v)) for s, v in rows] for name, rows in kept.items()}
        return newest

    def checkpoint(self, step: int, write: Callable[[Path], object]) -> None:
        """At a step boundary: save when it is time to, or when the run must stop (and then end it here).

        `write` is given an empty folder, on every rank at the same step. The folder counts once it is whole.
        """
        due = time.monotonic() - self._saved_at >= self._seconds
        wanted = self.agree(2 if self._stop_asked() else int(due))
        if wanted:
            self._save(step, write)
        if wanted == 2:
            raise Stopped

    def _save(self, step: int, write: Callable[[Path], object]) -> None:
        import shutil

        whole = self.scratch / f"step-{step:09d}"
        partial = self.scratch / f"{files.TEMPORARY}step-{step:09d}-{self._attempt}"
        if self.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            files.make_folder(partial)
        self.agree(0)  # the folder is there before any rank writes into it
        with files.disk(partial):
            write(partial)
        self.agree(0)  # every rank has written before the folder counts
        if self.rank == 0 and whole.exists():
            shutil.rmtree(partial, ignore_errors=True)
        elif self.rank == 0:
            files.write_atomic(partial / HISTORY, files.canonical(self.history).encode())
            files.commit_folder(partial, whole)
            for old in _checkpoints(self.scratch):
                if old.step < step:
                    files.remove_folder(old.folder)
        self.agree(0)
        self._saved_at = time.monotonic()
        self._send("checkpoint", step=step)

    def _tell(self, **fields: Any) -> None:
        """At most an event a second, fewer in a long run: the dump keeps every number, the screen the last."""
        self._untold = {**(self._untold or {}), "event": "log", **fields}
        now = time.monotonic()
        if now - self._told_at >= max(1.0, (now - self._began) / 200):
            self.flush()

    def flush(self) -> None:
        """Send what was held back, before the run ends."""
        if self._untold:
            self._send(**self._untold)
            self._told_at = time.monotonic()
        self._untold = None


def _checkpoints(scratch: Path) -> list[Checkpoint]:
    if not scratch.is_dir():
        return []
    names = [n for n in os.listdir(scratch) if n.startswith("step-") and n[5:].isdigit()]
    return sorted((Checkpoint(int(name[5:]), scratch / name) for name in names), key=lambda found: found.step)


@dataclass(frozen=True)
class Job:
    """A loaded file of `jobs/`."""

    name: str
    module: ModuleType

    @property
    def config(self) -> type[Config]:
        config: type[Config] = self.module.Config
        return config

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What checks values against the job's Config, and writes them as JSON has them."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.config)

    def check(self, values: Mapping[str, Any]) -> Config:
        """The configuration that these values make, by the rules for JSON: a list may become a tuple."""
        config: Config = self.adapter.validate_json(json.dumps(values))
        return config

    def restore(self, values: Mapping[str, Any]) -> Config:
        """The configuration of a point, whose values were checked and completed when its grid was read.

        Numbers and words need no second check: pydantic takes longer to load than a short point to run.
        """
        if "pydantic" in sys.modules or not _takes_plain(self.config, values):
            return self.check(values)
        return self.config(**values)

    def optional(self, name: str) -> Callable[..., Any] | None:
        """A function that a job may have: run_many, compatible, cost, tables, figures."""
        function: Callable[..., Any] | None = getattr(self.module, name, None)
        return function


def _takes_plain(config: type[Config], values: Mapping[str, Any]) -> bool:
    """Whether these are all fields, and each is kept just as JSON has it."""
    hints = get_type_hints(config)
    names = [f.name for f in fields(config)]
    return sorted(values) == sorted(names) and all(_is_plain(hints[name]) for name in names)


def _is_plain(hint: Any) -> bool:
    if hint in (int, float, str, bool, NoneType) or get_origin(hint) is Literal:
        return True
    return get_origin(hint) in (Union, UnionType) and all(map(_is_plain, get_args(hint)))


def names(folder: Path) -> list[str]:
    """The kinds of run that a project has."""
    return sorted(p.stem for p in folder.glob("*.py") if JOB_NAME.match(p.stem))


def load(name: str, folder: Path) -> Job:
    """Import `folder/name.py`; `folder` may lie inside the zip file of a code snapshot."""
    if not JOB_NAME.match(name):
        raise InputError(f"`{name}` cannot name a job: small letters, digits and _ only, a letter first")
    full = f"jobs.{name}"
    spec = PathFinder.find_spec(full, [str(folder)])
    if spec is None or spec.loader is None:
        known = ", ".join(names(folder)) or "none"
        raise InputError(f"there is no job `{name}` in {folder}", f"the jobs there: {known}")
    module = module_from_spec(spec)
    sys.modules[full] = module  # pydantic and dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(full, None)
        raise
    for needed in ("Config", "run"):
        if not hasattr(module, needed):
            raise InputError(f"{folder / name}.py has no `{needed}`", "a job needs a Config and run(config, ctx)")
    if not (isinstance(module.Config, type) and issubclass(module.Config, Config)):
        raise InputError(f"the Config in {folder / name}.py must derive from hpc_sweep.job.Config")
    return Job(name, module)
