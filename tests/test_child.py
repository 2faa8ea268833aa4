"""What a worker hears of its child, however that ends; and what a child leaves behind for each point."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc_sweep import child, dump, files, process, snapshot
from hpc_sweep.child import KINDS, Work, classify
from hpc_sweep.errors import DiskError
from hpc_sweep.job import NotFiniteError
from hpc_sweep.ledger import Sweep
from hpc_sweep.process import STOPPED, Process
from hpc_sweep.records import Point, point_id

Event = dict[str, Any]

JOB = '''
import faulthandler, os, signal, sys, time
from enum import Enum
from pathlib import Path
import numpy as np
from hpc_sweep.job import Config as Base, Result


class Color(Enum):
    red = "red"
    blue = "blue"


class Config(Base):
    do: str = "well"
    seed: int = 0
    layers: tuple[int, ...] = (1, 2)
    color: Color = Color.red


def run(config, ctx):
    ctx.log(1, loss=0.5)
    return DO[config.do](config, ctx)


def well(config, ctx):
    ctx.progress(1, 2)
    return Result({"loss": 0.25, "seed": ctx.seed}, {"layers": np.array(config.layers)})


def nan(config, ctx):
    ctx.log(3, loss=float("nan"), lr=0.1)


def code(config, ctx):
    raise KeyError("labels")


def wordless(config, ctx):
    raise RuntimeError


def exit7(config, ctx):
    os._exit(7)


def leave(config, ctx):
    sys.exit(0)


def silent(config, ctx):
    os._exit(0)


def segfault(config, ctx):
    faulthandler.disable()  # pytest's own, which would tell of it at length
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def kill(config, ctx):
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def disk(config, ctx):
    raise OSError(28, "No space left on device", str(ctx.scratch))


def steps(config, ctx):
    found = ctx.resume()
    for step in range(found.step if found else 0, 100_000):
        ctx.log(step, loss=1.0)
        ctx.checkpoint(step + 1, lambda folder: (folder / "state").write_text("x"))
        time.sleep(0.005)


def stubborn(config, ctx):
    ctx.log(2, loss=1.0)
    while True:
        time.sleep(0.01)


def orphan(config, ctx):
    """Leaves a process behind, which holds the pipe to the parent open."""
    left = os.fork()
    if not left:
        time.sleep(60)
        os._exit(0)
    ctx.scratch.parent.mkdir()
    (ctx.scratch.parent / "left").write_text(str(left))
    os._exit(7)


def bad_result(config, ctx):
    return Result({"a b": 1.0})


def environment(config, ctx):
    return Result({"rank": ctx.rank, "port": float(os.environ["MASTER_PORT"]), "world": ctx.world_size})


DO = {name: function for name, function in globals().items() if callable(function) and name.islower()}
'''

TOGETHER = (
    JOB.replace("def run(", "def run_one(")
    + """

def run(config, ctx):
    return run_one(config, ctx)


def run_many(configs, contexts):
    for step in (1, 2):
        for config, ctx in zip(configs, contexts):
            ctx.log(step, loss=config.seed + step, **({"lr": float("nan")} if config.do == "nan" else {}))
    for config, ctx in zip(configs, contexts):
        if config.do == "code":
            raise KeyError("labels")
        yield Result({"loss": float(config.seed)})
"""
)


class Bench:
    """A sweep of points of a job, and children that run them."""

    def __init__(self, root: Path, text: str = JOB) -> None:
        self.root = root
        (root / "jobs").mkdir(parents=True)
        (root / "jobs" / "train.py").write_text(text)
        self.sweep = Sweep(root / "sweeps" / "trial")
        self.points: list[Point] = []
        self.fingerprint = ""

    def ask(self, *configs: dict[str, Any]) -> list[str]:
        """Make a sweep of these points; their ids."""
        defaults = {"do": "well", "seed": 0, "layers": [1, 2], "color": "red"}
        resolved = [{**defaults, "seed": seed, **config} for seed, config in enumerate(configs)]
        self.points = [Point(i, point_id("train", c), c, {"seed": c["seed"]}) for i, c in enumerate(resolved)]
        self.sweep.write_version(0, {"text": "", "uid": "0a"}, self.points)
        code = snapshot.take(self.root)
        snapshot.write(code, self.sweep.code)
        self.fingerprint = code.fingerprint
        return [p.id for p in self.points]

    def work(self, *ids: str, **more: Any) -> Work:
        given = {
            "sweep": self.sweep, "job": "train", "code": self.sweep.code / f"{self.fingerprint}.zip",
            "fingerprint": self.fingerprint, "points": ids, "points_file": "points.jsonl",
            "resources": {"checkpoint_minutes": 10}, "attempt": "local-1-0", **more,
        }  # fmt: skip
        return Work(**given)

    def run(self, *ids: str, **more: Any) -> tuple[list[Event], int, tuple[str, str] | None]:
        """Run a child to its end."""
        return listen(Process(self.work(*ids, **more)))

    def dump(self, point: str) -> dump.Dump:
        return dump.read(files.read_bytes(self.sweep.dump_path(point)), point)


def listen(
    running: Process, on_event: Callable[[Event], object] = lambda event: None, timeout: float = 30
) -> tuple[list[Event], int, tuple[str, str] | None]:
    heard: list[Event] = []
    until = time.monotonic() + timeout
    while (events := running.hear(0.05)) is not None:
        for event in events:
            heard.append(event)
            on_event(event)
        assert time.monotonic() < until, heard
    return heard, *running.ended()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "project")


def events(heard: list[Event], name: str) -> list[Event]:
    return [e for e in heard if e["event"] == name]


# points that go well


def test_points_run_in_order_and_leave_their_dumps(bench: Bench) -> None:
    ids = bench.ask({}, {"layers": [3, 4, 5], "color": "blue"}, {})
    heard, code, death = bench.run(*ids)
    assert (code, death) == (0, None)
    told = [(e["event"], e["point"]) for e in heard if e["event"] != "log"]
    assert told == [(name, i) for i in ids for name in ("begin", "done")]
    for seed, (point, done) in enumerate(zip(bench.points, events(heard, "done"), strict=True)):
        path = bench.sweep.dump_path(point.id)
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (done["bytes"], done["mtime_ns"])
        dump.check(files.read_bytes(path), point.id, done["sha256"], done["bytes"])
        found = bench.dump(point.id)
        assert (found.config, found.code, found.job) == (point.config, bench.fingerprint, "train")
        assert found.metrics == {"loss": 0.25, "seed": float(seed)}
        assert found.history == {"loss": [(1, 0.5)]}
        assert np.array_equal(found.arrays["layers"], point.config["layers"])
        assert done["seconds"] >= 0
        assert done["host_mb"] > 0


def test_numbers_are_told_before_the_point_is_done(bench: Bench) -> None:
    (point,) = bench.ask({})
    heard, _, _ = bench.run(point)
    logs = events(heard, "log")
    assert {k: v for e in logs for k, v in e.items()} == {
        "event": "log", "point": point, "step": 1, "loss": 0.5, "progress": [1, 2],
    }  # fmt: skip
    assert heard[-1]["event"] == "done"


def test_the_same_point_leaves_the_same_bytes(bench: Bench) -> None:
    (point,) = bench.ask({})
    bench.run(point)
    first = bench.sweep.dump_path(point).read_bytes()
    bench.sweep.dump_path(point).unlink()
    bench.run(point)
    assert bench.sweep.dump_path(point).read_bytes() == first


def test_only_the_points_asked_for_run(bench: Bench) -> None:
    ids = bench.ask({}, {}, {})
    heard, _, _ = bench.run(ids[1])
    assert [e["point"] for e in events(heard, "done")] == [ids[1]]


def test_code_edited_meanwhile_changes_nothing(bench: Bench) -> None:
    (point,) = bench.ask({})
    (bench.root / "jobs" / "train.py").write_text("this is not even Python")
    assert bench.run(point)[1] == 0


def test_a_rank_knows_its_place_and_only_the_first_writes(bench: Bench) -> None:
    (point,) = bench.ask({"do": "environment"})
    more = {"world_size": 2, "environment": {"MASTER_PORT": "23456"}}
    heard, code, _ = bench.run(point, rank=1, local_rank=1, **more)
    assert code == 0
    assert events(heard, "done") == []
    assert not bench.sweep.dumps.exists()
    heard, code, _ = bench.run(point, rank=0, **more)
    assert code == 0
    assert bench.dump(point).metrics == {"rank": 0.0, "port": 23456.0, "world": 2.0}
    assert "MASTER_PORT" not in os.environ


def test_scratch_is_cleared_when_a_point_is_done(bench: Bench) -> None:
    (point,) = bench.ask({})
    scratch = bench.sweep.scratch(point)
    (scratch / "step-000000001").mkdir(parents=True)
    bench.run(point)
    assert not scratch.exists()


# points that fail


@pytest.mark.parametrize(
    ("do", "kind", "words", "where"),
    [
        ("nan", "nan", "loss is nan at step 3 (lr 0.1)", 'ctx.log(3, loss=float("nan"), lr=0.1)'),
        ("code", "code", "KeyError: 'labels'", 'raise KeyError("labels")'),
        ("wordless", "code", "RuntimeError", "raise RuntimeError"),
        ("leave", "code", "SystemExit: 0", "sys.exit(0)"),
    ],
)
def test_a_point_that_raises_says_what_and_where(do: str, kind: str, words: str, where: str, bench: Bench) -> None:
    ids = bench.ask({}, {"do": do}, {})
    heard, code, death = bench.run(*ids)
    assert (code, death) == (1, None)
    assert [e["point"] for e in events(heard, "done")] == ids[:1]
    (failed,) = events(heard, "failed")
    assert (failed["point"], failed["kind"], failed["words"]) == (ids[1], kind, words)
    assert heard[-1] == failed  # the rest of the shard is for a fresh process
    (place,) = failed["where"]
    assert place.startswith("jobs/train.py:")
    assert place.endswith(f"  {where}")
    assert failed["trace"][-1] == place or do == "nan"
    assert failed["seconds"] < 60


def test_a_result_that_cannot_be_kept_is_the_jobs_fault(bench: Bench) -> None:
    (point,) = bench.ask({"do": "bad_result"})
    heard, code, _ = bench.run(point)
    assert (code, events(heard, "failed")[0]["kind"]) == (1, "code")
    assert "`a b`" in events(heard, "failed")[0]["words"]
    assert not bench.sweep.dump_path(point).exists()


def test_a_full_disk_ends_the_child_with_its_own_code(bench: Bench) -> None:
    ids = bench.ask({"do": "disk"}, {})
    heard, code, death = bench.run(*ids)
    assert (code, death) == (3, None)
    (failed,) = events(heard, "failed")
    assert (failed["kind"], failed["point"]) == ("disk", ids[0])
    assert "No space left on device" in failed["words"]


def test_a_dump_that_finds_no_room_is_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (point,) = bench.ask({})
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if ".tmp-" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "no")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    heard, code, _ = bench.run(point)
    assert code == 3
    assert "(ENOSPC)" in events(heard, "failed")[0]["words"]
    assert not list(bench.sweep.dumps.rglob("*.*"))


def test_a_job_that_cannot_be_loaded_fails_before_any_point(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project", "import nowhere_to_be_found\n")
    ids = bench.ask({}, {})
    heard, code, _ = bench.run(*ids)
    (failed,) = heard
    assert (code, failed["event"], failed["point"], failed["kind"]) == (1, "failed", None, "code")
    assert failed["words"] == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert failed["seconds"] < 60  # not since the machine was started


def test_a_point_that_is_not_in_the_list_is_said(bench: Bench) -> None:
    bench.ask({})
    heard, code, _ = bench.run("ffffffffffff")
    assert code == 1
    assert "does not hold point ffffffffffff" in heard[0]["words"]


def test_a_point_that_was_changed_after_it_was_submitted_is_refused(bench: Bench) -> None:
    (point,) = bench.ask({})
    path = bench.sweep.folder / "points.jsonl"
    path.write_text(path.read_text().replace('"do":"well"', '"do":"nan"'))
    (failed,), code, _ = bench.run(point)
    assert (failed["event"], failed["kind"], code) == ("failed", "data", 1)
    assert f"point {point} is not what was submitted" in failed["words"]


# children that die


@pytest.mark.parametrize(
    ("do", "code", "words"),
    [
        ("segfault", -signal.SIGSEGV, "killed by SIGSEGV"),
        ("kill", -signal.SIGKILL, "killed by SIGKILL"),
        ("exit7", 7, "exited with 7 without a word"),
    ],
)
def test_a_child_that_dies_takes_one_point_with_it(do: str, code: int, words: str, bench: Bench) -> None:
    ids = bench.ask({}, {"do": do}, {})
    heard, ended, death = bench.run(*ids)
    assert (ended, death) == (code, ("crash", words))
    assert [(e["event"], e["point"]) for e in heard if e["event"] != "log"] == [
        ("begin", ids[0]), ("done", ids[0]), ("begin", ids[1]),
    ]  # fmt: skip


def test_a_child_that_ends_without_a_word_says_nothing(bench: Bench) -> None:
    (point,) = bench.ask({"do": "silent"})
    heard, code, death = bench.run(point)
    assert (code, death, events(heard, "done")) == (0, None, [])


def test_a_child_that_the_kernel_killed_for_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (point,) = bench.ask({"do": "kill"})
    counts = iter([4, 5])
    monkeypatch.setattr(process, "oom_kills", lambda: next(counts))
    _, code, death = bench.run(point)
    assert (code, death) == (-signal.SIGKILL, ("host-oom", "killed by the kernel: out of host memory"))


def test_a_process_left_behind_does_not_keep_the_worker(bench: Bench) -> None:
    """As a loader's workers do, that outlive the crash of what started them."""
    (point,) = bench.ask({"do": "orphan"})
    heard, code, death = bench.run(point)
    left = int((bench.sweep.folder / "scratch" / "left").read_text())
    assert _state(left) == "S"  # nobody waited for its end
    os.kill(left, signal.SIGKILL)
    assert (code, death) == (7, ("crash", "exited with 7 without a word"))
    assert [e["event"] for e in heard] == ["begin", "log"]


def test_what_was_said_with_the_last_breath_is_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child may speak and end after its worker has waited in vain, and before it looks whether the child lives."""
    (point,) = bench.ask({})
    running = Process(bench.work(point))
    real, calls = running._speaks, []

    def speaks(timeout: float) -> bool:
        calls.append(timeout)
        if len(calls) == 1:
            os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
            return False
        return real(timeout)

    monkeypatch.setattr(running, "_speaks", speaks)
    heard, code, _ = listen(running)
    assert (code, heard[-1]["event"]) == (0, "done")


PARENT = """
import sys
from pathlib import Path
from hpc_sweep.child import Work
from hpc_sweep.ledger import Sweep
from hpc_sweep.process import Process
folder, fingerprint, point = sys.argv[1:]
sweep = Sweep(Path(folder))
work = Work(sweep, "train", sweep.code / f"{fingerprint}.zip", fingerprint, (point,), "points.jsonl", {}, "x")
running = Process(work)
while not any(e["event"] == "log" for e in running.hear(1.0)): pass
print(running.pid, flush=True)
while True: running.hear(1.0)
"""


def test_a_child_whose_worker_is_killed_dies_with_it(bench: Bench) -> None:
    (point,) = bench.ask({"do": "stubborn"})
    command = [sys.executable, "-P", "-c", PARENT, str(bench.sweep.folder), bench.fingerprint, point]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and _state(pid) != "Z":
        assert time.monotonic() < until, "it lives on"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"


# children that are asked to stop


def test_a_child_that_is_warned_saves_and_stops(bench: Bench) -> None:
    ids = bench.ask({"do": "steps"}, {})
    running = Process(bench.work(*ids))
    heard, code, death = listen(running, lambda e: running.warn() if e["event"] == "log" else None)
    assert (code, death) == (STOPPED, None)
    assert [e["event"] for e in heard[-2:]] == ["checkpoint", "stopped"]
    assert len(events(heard, "begin")) == 1
    step = heard[-2]["step"]
    assert (bench.sweep.scratch(ids[0]) / f"step-{step:09d}" / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_every_warning_of_slurm_is_one(number: int, bench: Bench) -> None:
    (point,) = bench.ask({"do": "steps"})
    running = Process(bench.work(point))
    _, code, _ = listen(running, lambda e: os.kill(running.pid, number) if e["event"] == "begin" else None)
    assert code == STOPPED


def test_ctrl_c_is_left_to_the_worker(bench: Bench) -> None:
    (point,) = bench.ask({})
    running = Process(bench.work(point))
    heard, code, _ = listen(running, lambda e: os.kill(running.pid, signal.SIGINT))
    assert (code, heard[-1]["event"]) == (0, "done")


def test_a_warning_before_the_child_is_ready_is_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(child._StopFlag):
        """What a child of a busy machine does: it is warned before it can say what to do with a warning."""

        def __init__(self) -> None:
            until = time.monotonic() + 10
            while signal.SIGUSR2 not in signal.sigpending() and time.monotonic() < until:
                time.sleep(0.001)
            super().__init__()

    monkeypatch.setattr(child, "_StopFlag", Late)
    ids = bench.ask({"do": "steps"}, {})
    running = Process(bench.work(*ids))
    running.warn()
    heard, code, death = listen(running)
    assert (code, death) == (STOPPED, None)
    assert [e["event"] for e in heard] == ["stopped"]


def test_signals_are_as_they_were_after_a_child_was_started(bench: Bench) -> None:
    (point,) = bench.ask({})
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    bench.run(point)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_child_that_does_not_stop_in_time_is_killed(bench: Bench) -> None:
    (point,) = bench.ask({"do": "stubborn"})
    running = Process(bench.work(point))

    def end(event: Event) -> None:
        if event["event"] == "log":
            running.warn()
            running.kill_in(0.05)
            running.kill_in(3600)  # the first word counts

    _, code, death = listen(running, end)
    assert (code, death) == (-signal.SIGKILL, ("crash", "killed by SIGKILL"))
    running.kill()  # it is gone: nobody minds


# points that run together


@pytest.fixture
def together(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "project", TOGETHER)


def test_points_that_run_together_are_kept_apart(together: Bench) -> None:
    ids = together.ask({}, {}, {})
    heard, code, _ = together.run(*ids)
    assert code == 0
    assert [e["point"] for e in events(heard, "begin")] == ids
    assert [e["point"] for e in events(heard, "done")] == ids
    for seed, point in enumerate(ids):
        found = together.dump(point)
        assert (found.metrics, found.history) == ({"loss": float(seed)}, {"loss": [(1, seed + 1.0), (2, seed + 2.0)]})
        numbers = [e["loss"] for e in events(heard, "log") if e["point"] == point]
        assert numbers == [seed + 1.0, seed + 2.0]


def test_what_breaks_after_a_point_is_done_is_the_next_ones(together: Bench) -> None:
    ids = together.ask({}, {"do": "code"}, {})
    heard, code, _ = together.run(*ids)
    assert code == 1
    assert [e["point"] for e in events(heard, "done")] == ids[:1]
    assert [e["point"] for e in events(heard, "failed")] == [ids[1]]


def test_the_point_whose_number_is_none_is_the_one_that_failed(together: Bench) -> None:
    ids = together.ask({}, {"do": "nan"}, {})
    heard, code, _ = together.run(*ids)
    assert code == 1
    (failed,) = events(heard, "failed")
    assert (failed["point"], failed["kind"]) == (ids[1], "nan")
    assert events(heard, "done") == []


def test_one_point_does_not_run_together(together: Bench) -> None:
    ids = together.ask({"do": "code"}, {})
    heard, _, _ = together.run(ids[1])
    assert together.dump(ids[1]).metrics["loss"] == 0.25  # by `run`
    assert [e["event"] for e in heard if e["event"] != "log"] == ["begin", "done"]


# kinds


class _OfAKind(Exception):
    def __init__(self, kind: object) -> None:
        super().__init__("words")
        self.kind = kind


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


def raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_OfAKind("data"), "data"),
        (_OfAKind("oom"), "oom"),
        (_OfAKind("no such kind"), "code"),
        (_OfAKind(["data"]), "code"),
        (NotFiniteError("loss is nan at step 1"), "nan"),
        (FloatingPointError("underflow"), "nan"),
        (Exception("Current loss scale already at minimum - cannot decrease scale anymore."), "nan"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.40 GiB"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "oom"),
        (RuntimeError("CUDA out of memory."), "oom"),
        (MemoryError(), "host-oom"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "host-oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "host-oom"),
        (OSError(errno.ENOSPC, "x"), "disk"),
        (OSError(errno.EDQUOT, "x"), "disk"),
        (OSError(errno.EROFS, "x"), "disk"),
        (OSError(errno.EIO, "x"), "disk"),
        (OSError(errno.EMFILE, "x"), "disk"),
        (raised(DiskError("x: full (ENOSPC)"), OSError(errno.ENOSPC, "x")), "disk"),
        (raised(DiskError("x: gone (ENOENT)"), OSError(errno.ENOENT, "x")), "code"),
        (RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'), "disk"),
        (RuntimeError("write failed: Disk quota exceeded"), "disk"),
        (FileNotFoundError(errno.ENOENT, "x"), "code"),
        (OSError("without a number"), "code"),
        (KeyError("labels"), "code"),
        (SystemExit(0), "code"),
        (KeyboardInterrupt(), "code"),
        (RuntimeError("CUDA error: device-side assert triggered"), "code"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_every_error_is_of_a_kind(error: BaseException, kind: str) -> None:
    assert classify(error) == kind
    assert classify(error) in KINDS


def test_a_child_does_not_come_back_into_the_test(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks in it before it can speak: it ends, with a code of its own."""
    (point,) = bench.ask({})

    def fail(parent: int) -> None:
        raise RuntimeError("no such call")

    monkeypatch.setattr(child, "die_with_parent", fail)
    heard, code, death = bench.run(point)
    assert (heard, code, death) == ([], 70, ("crash", "exited with 70 without a word"))
