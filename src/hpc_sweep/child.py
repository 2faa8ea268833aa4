"""What the child of a worker does: load the job, run its points in order, write each dump, say how each ended.

It runs in a process of its own, forked from the worker, so that whatever a point breaks ends with it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hpc_sweep import files
from hpc_sweep.errors import DamagedError
from hpc_sweep.place import die_with_parent, shorten
from hpc_sweep.records import point_id

if TYPE_CHECKING:
    from hpc_sweep import job as jobs
    from hpc_sweep.ledger import Sweep

KINDS = (
    "oom", "host-oom", "timeout", "preempted", "node-fail", "nan", "crash",
    "disk", "data", "code", "cancelled", "never-started", "lost",
)  # fmt: skip
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
_CUDA_MEMORY = ("OutOfMemoryError", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_HOST_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
# libraries that write files by themselves raise what they like, and quote the system
_DISK_WORDS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS))


@dataclass(frozen=True)
class Work:
    """What a child is to do, and where."""

    sweep: Sweep
    job: str
    code: Path
    fingerprint: str
    points: tuple[str, ...]
    points_file: str
    resources: Mapping[str, Any]
    attempt: str
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    environment: Mapping[str, str] | None = None


class _StopFlag:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which passes it on

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


def start(work: Work, parent: int, channel: int) -> None:
    """The whole life of a child; never returns."""
    code = 70
    try:
        stop = _StopFlag()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        die_with_parent(parent)
        os.environ.update(work.environment or {})
        with os.fdopen(channel, "w", buffering=1) as pipe:
            code = _Child(work, stop, pipe.write).run()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)  # no clean-up of what was inherited from the parent


class _Child:
    def __init__(self, work: Work, stop: Callable[[], bool], write: Callable[[str], object]) -> None:
        self.work = work
        self.stop = stop
        self._write = write
        self.point: str | None = None
        self.contexts: dict[str, jobs.Context] = {}  # of the points that have begun and not ended
        self.began = time.monotonic()

    def say(self, event: str, **fields: Any) -> None:
        self._write(json.dumps({"event": event, "point": self.point, **fields}) + "\n")

    def run(self) -> int:
        """0 all points were run, 1 one failed, 3 the disk failed, 75 it was asked to stop."""
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # looking for some costs as much as all of numpy
        gc.disable()  # loading modules leaves no garbage, and looking for it takes a while
        from hpc_sweep import job as jobs

        try:
            job = jobs.load(self.work.job, self.work.code / "jobs")
            values = _values(self.work)
            configs = {point: job.restore(found) for point, found in values.items()}
            many = job.optional("run_many")
            if many and len(configs) > 1 and self.work.world_size == 1:
                self._run_many(many, configs, values)
            else:
                for point, config in configs.items():
                    if self.stop():
                        raise jobs.Stopped
                    context = self._begin(point, config)
                    self._end(context, job.module.run(config, context), values[point])
        except jobs.Stopped:
            self.say("stopped")
            return 75
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            return self._failed(error)
        return 0

    def _begin(self, point: str, config: jobs.Config) -> jobs.Context:
        from hpc_sweep.job import Context

        gc.enable()
        self.point = point
        self.began = time.monotonic()
        work = self.work
        context = Context(
            seed=int(getattr(config, "seed", int(point[:8], 16))),
            scratch=work.sweep.scratch(point),
            resources=work.resources,
            send=partial(self.say, point=point),  # several points may run together
            stop_asked=self.stop,
            attempt=work.attempt,
            rank=work.rank,
            world_size=work.world_size,
            local_rank=work.local_rank,
        )
        self.contexts[point] = context
        self.say("begin", at=_log_position())
        return context

    def _end(self, context: jobs.Context, result: jobs.Result, config: dict[str, Any]) -> None:
        """Write the dump of a finished point; on every rank but the first there is nothing to write."""
        context.flush()
        assert self.point is not None
        del self.contexts[self.point]
        if self.work.rank:
            return
        from hpc_sweep import dump

        data = dump.pack(
            id=self.point,
            job=self.work.job,
            config=config,
            code=self.work.fingerprint,
            result=result,
            history=context.history,
        )
        _, sha256, size, changed = dump.write(self.work.sweep.dumps, self.point, data)
        files.remove_folder(context.scratch)
        self.say(
            "done", sha256=sha256, bytes=size, mtime_ns=changed, until=_log_position(),
            seconds=round(time.monotonic() - self.began, 3), **_peaks(),
        )  # fmt: skip

    def _run_many(
        self, run_many: Callable[..., Iterable[Any]], configs: dict[str, jobs.Config], values: dict[str, dict[str, Any]]
    ) -> None:
        """Train compatible points in one process; results come in the order of the points."""
        contexts = {point: self._begin(point, config) for point, config in configs.items()}
        left = iter(configs)
        self.point = next(left)  # the one to blame for an error that names no point
        results = run_many(list(configs.values()), list(contexts.values()))
        for point, result in zip(configs, results, strict=True):
            self._end(contexts[point], result, values[point])
            self.point, self.began = next(left, point), time.monotonic()  # so that the seconds add up to what was used

    def _failed(self, error: BaseException) -> int:
        import traceback

        for point, context in self.contexts.items():
            context.flush()
            if context is getattr(error, "context", None):
                self.point = point
        kind = classify(error)
        frames = [
            f"{shorten(f.filename, self.work.sweep.folder.parent.parent)}:{f.lineno}  {f.line}"
            for f in traceback.extract_tb(error.__traceback__)
        ]
        own = [f for f in frames if not f.startswith(("/", "src/hpc_sweep"))] or frames
        name = type(error).__name__
        first = (str(error).strip() or name).splitlines()[0][:500]
        words = first if kind in ("nan", "data", "oom", "disk") else f"{name}: {first}" if first != name else name
        traceback.print_exception(error)
        self.say("failed", kind=kind, words=words, where=own[-1:], trace=frames[-12:], until=_log_position(),
                 seconds=round(time.monotonic() - self.began, 3), **_peaks())  # fmt: skip
        return 3 if kind == "disk" else 1


def classify(error: BaseException) -> str:
    """The kind of failure that an exception means."""
    told = getattr(error, "kind", None)
    if told in KINDS:
        return str(told)
    text = f"{type(error).__name__}: {error}"
    if any(words in text for words in _CUDA_MEMORY):
        return "oom"
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in _HOST_MEMORY):
        return "host-oom"
    if isinstance(error, FloatingPointError) or "loss scale already at minimum" in text:
        return "nan"
    if number in _DISK or any(words in text for words in _DISK_WORDS):
        return "disk"
    return "code"


def _values(work: Work) -> dict[str, dict[str, Any]]:
    """The configuration of each point, as the sweep's list of points has it and as the id says that it was."""
    found = work.sweep.configs(work.points, work.points_file)
    for point, config in found.items():
        if point_id(work.job, config) != point:
            raise DamagedError(f"{work.sweep.folder / work.points_file}: point {point} is not what was submitted")
    return found


def _log_position() -> int | None:
    """How long the log file of this task is now, to find a point's part in it."""
    try:
        sys.stdout.flush()
        return os.fstat(1).st_size or None
    except OSError:
        return None


def _peaks() -> dict[str, int]:
    """The most memory that this process has used so far: on the host, and on the card if it has one in use."""
    import resource

    peaks = {"host_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["gpu_mb"] = torch.cuda.max_memory_allocated() >> 20
    return peaks
