"""A run may be interrupted anywhere and goes on as if it had not been; whole checkpoints and true numbers count."""

from __future__ import annotations

import errno
import importlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_sweep import files, job
from hpc_sweep.errors import DiskError, InputError
from hpc_sweep.job import Checkpoint, Config, Context, History, NotFiniteError, Stopped

ROOT = Path(__file__).parents[1]
Event = dict[str, Any]


class Bench:
    """A context with what is around it: what it sent, whether it is asked to stop, the time."""

    def __init__(self, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scratch = scratch
        self.sent: list[Event] = []
        self.stop = False
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def context(self, **more: Any) -> Context:
        def send(event: str, **fields: Any) -> None:
            json.dumps(fields, allow_nan=False)  # as the child does
            self.sent.append({"event": event, **fields})

        asked = lambda: self.stop  # noqa: E731
        given = {"seed": 0, "scratch": self.scratch, "resources": {}, "send": send, "stop_asked": asked, **more}
        return Context(**given)

    def take(self) -> list[Event]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "scratch" / "3fa9", monkeypatch)


def write(folder: Path) -> None:
    (folder / "state").write_text("state")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


# numbers


def test_numbers_are_kept_by_name(bench: Bench) -> None:
    ctx = bench.context()
    ctx.log(1, loss=0.5, **{"val/f1-macro_2.x": 1})
    ctx.log(2, loss=0.25, absent=None)
    assert ctx.history == {"loss": [(1, 0.5), (2, 0.25)], "val/f1-macro_2.x": [(1, 1.0)]}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_stops_the_run_and_says_which(value: float, bench: Bench) -> None:
    ctx = bench.context()
    with pytest.raises(NotFiniteError) as caught:
        ctx.log(118, lr=0.0003, loss=value, epoch=3)
    assert str(caught.value) == f"loss is {value} at step 118 (lr 0.0003, epoch 3)"
    assert caught.value.kind == "nan"
    with pytest.raises(NotFiniteError, match=r"^loss is \S+ at step 7$"):
        ctx.log(7, loss=value)


@pytest.mark.parametrize("name", ["acc@1", "a%b", "../x", "ä", "a b", "a\n", "1st", "", "_x", "x" * 101, "a:b"])
def test_a_bad_name_is_refused(name: str, bench: Bench) -> None:
    with pytest.raises(ValueError, match="cannot name a number"):
        bench.context().log(1, **{name: 1.0})


@pytest.mark.parametrize("name", ["event", "point", "progress"])
def test_a_name_that_an_event_needs_itself_is_refused(name: str, bench: Bench) -> None:
    with pytest.raises(ValueError, match=f"`{name}_` can"):
        bench.context().log(1, **{name: 1.0})
    bench.context().log(1, **{f"{name}_": 1.0})


def test_numbers_of_numpy_are_numbers(bench: Bench) -> None:
    numpy = importlib.import_module("numpy")
    ctx = bench.context()
    ctx.log(numpy.int64(3), loss=numpy.float32(0.5))
    bench.now += 10
    ctx.progress(numpy.int64(3), numpy.int64(9))
    ctx.checkpoint(numpy.int64(3), write)
    assert ctx.history == {"loss": [(3, 0.5)]}
    assert [e["event"] for e in bench.sent] == ["log", "log"]


# what the screen hears


def test_the_screen_hears_at_most_once_a_second_and_the_last_word(bench: Bench) -> None:
    ctx = bench.context()
    for step in range(50):
        ctx.log(step, loss=1.0 / (step + 1))
        ctx.progress(step + 1, 50)
        bench.now += 0.1
    sent = bench.take()
    assert 4 <= len(sent) <= 6
    assert sent[0] == {"event": "log", "step": 0, "loss": 1.0}
    assert sent[1]["progress"][0] - sent[1]["step"] in (0, 1)
    ctx.flush()
    assert bench.take() == [{"event": "log", "step": 49, "loss": 0.02, "progress": [50, 50]}]
    ctx.flush()
    assert bench.take() == []
    assert len(ctx.history["loss"]) == 50


def test_a_long_run_is_heard_less_often(bench: Bench) -> None:
    ctx = bench.context()
    for minute in range(24 * 60):
        ctx.log(minute, loss=0.5)
        bench.now += 60
    assert 200 < len(bench.sent) < 1000


# stopping


def test_stopping_is_what_all_ranks_agree_on(bench: Bench) -> None:
    ctx = bench.context()
    assert not ctx.stopping()
    bench.stop = True
    assert ctx.stopping()
    bench.stop = False
    asked: list[int] = []
    ctx.agree = lambda number: asked.append(number) or 1  # type: ignore[func-returns-value]
    assert ctx.stopping()  # another rank was asked
    assert asked == [0]


def test_a_run_that_is_asked_to_stop_saves_and_ends(bench: Bench) -> None:
    ctx = bench.context()
    ctx.log(4, loss=0.5)
    ctx.checkpoint(4, write)
    assert names(bench.scratch) == []
    bench.stop = True
    with pytest.raises(Stopped):
        ctx.checkpoint(5, write)
    assert names(bench.scratch) == ["step-000000005"]
    assert bench.sent[-1] == {"event": "checkpoint", "step": 5}
    assert not isinstance(Stopped(), Exception)  # no `except Exception` of a job swallows it


def test_a_run_saves_when_it_is_time(bench: Bench) -> None:
    ctx = bench.context(resources={"checkpoint_minutes": 2})
    saved = []
    for step in range(10):
        ctx.checkpoint(step, write)
        saved.append(bench.take() != [])
        bench.now += 50
    assert saved == [step in (3, 6, 9) for step in range(10)]
    assert names(bench.scratch) == ["step-000000009"]  # the older ones are gone


def test_another_rank_may_call_for_a_checkpoint_or_a_stop(bench: Bench) -> None:
    ctx = bench.context()
    ctx.agree = lambda number: max(number, 1)
    ctx.checkpoint(3, write)
    assert names(bench.scratch) == ["step-000000003"]
    ctx.agree = lambda number: max(number, 2)
    with pytest.raises(Stopped):
        ctx.checkpoint(4, write)
    assert names(bench.scratch) == ["step-000000004"]


# whole checkpoints


def test_nothing_to_resume(bench: Bench) -> None:
    assert bench.context().resume() is None
    bench.scratch.mkdir(parents=True)
    assert bench.context().resume() is None


def save(bench: Bench, step: int, write: Callable[[Path], object] = write, **more: Any) -> Context:
    ctx = bench.context(**more)
    ctx.agree = lambda number: max(number, 1)
    ctx.history = {"loss": [(step, 0.5)]}
    ctx.checkpoint(step, write)
    return ctx


def test_a_checkpoint_comes_back_with_its_history(bench: Bench) -> None:
    history: History = {"loss": [(1, 0.1), (2, 1 / 3)], "val/f1": [(2, 5e-324)]}
    ctx = bench.context()
    ctx.history = history
    ctx.agree = lambda number: max(number, 1)
    ctx.checkpoint(2, write)
    later = bench.context()
    assert later.resume() == Checkpoint(2, bench.scratch / "step-000000002")
    assert later.history == history
    assert (bench.scratch / "step-000000002" / "state").read_text() == "state"


def test_the_newest_by_number_counts(bench: Bench) -> None:
    save(bench, 5)
    for step in (999_999_999, 1_000_000_000):
        shutil.copytree(bench.scratch / "step-000000005", bench.scratch / f"step-{step:09d}")
    found = bench.context().resume()
    assert found is not None
    assert found.step == 1_000_000_000


def test_what_is_no_whole_checkpoint_does_not_count(bench: Bench) -> None:
    save(bench, 5)
    for name in (".tmp-step-000000009-100_3-0", "step-", "step-9x", "other", "tries"):
        (bench.scratch / name).mkdir()
    found = bench.context().resume()
    assert found is not None
    assert found.step == 5


class Killed(BaseException):
    """The process ends here."""


OPERATIONS = ["mkdir", "open", "write", "fsync", "replace", "unlink", "rename", "rmdir"]


def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> list[str]:
    """Let the process die at its n-th file operation; the names of those that went well."""
    done: list[str] = []
    for name in OPERATIONS:
        real = getattr(os, name)

        def call(*args: Any, real: Any = real, name: str = name, **kwargs: Any) -> Any:
            if len(done) >= after:
                raise Killed
            done.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)
    return done


def test_killed_at_any_file_operation_of_a_save_an_old_or_the_new_checkpoint_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for after in range(100):
        shutil.rmtree(bench.scratch, ignore_errors=True)
        save(bench, 5)
        with monkeypatch.context() as patch:
            done = dying(patch, after)
            try:
                save(bench, 6)
                survived = True
            except Killed:
                survived = False
        later = bench.context()
        found = later.resume()
        assert found is not None, done
        assert (found.folder / "state").read_text() == "state"
        assert later.history == {"loss": [(found.step, 0.5)]}
        seen.add(found.step)
        save(bench, 6)  # the next attempt gets there all the same
        assert bench.context().resume() == Checkpoint(6, bench.scratch / "step-000000006")
        if survived:
            break
    assert survived
    assert seen == {5, 6}
    assert after > 10


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_full_disk_keeps_the_old_checkpoint(name: str, bench: Bench) -> None:
    save(bench, 5)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(getattr(errno, name), "no")

    with pytest.raises(DiskError, match=name):
        save(bench, 6, fail)
    assert bench.context().resume() == Checkpoint(5, bench.scratch / "step-000000005")


def test_a_half_written_folder_of_an_earlier_try_is_not_written_into(bench: Bench) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyError("x")

    with pytest.raises(KeyError):
        save(bench, 5, fail)
    save(bench, 5)
    assert names(bench.scratch / "step-000000005") == [job.HISTORY, "state"]


def test_the_same_step_again_changes_nothing(bench: Bench) -> None:
    save(bench, 5)
    before = (bench.scratch / "step-000000005").stat().st_ino
    save(bench, 5)
    assert names(bench.scratch) == ["step-000000005"]
    assert (bench.scratch / "step-000000005").stat().st_ino == before


def test_all_ranks_write_into_one_folder(bench: Bench) -> None:
    """Three ranks as threads, of which one is asked to stop: all save and end, and rank 0 gives the folder its name."""
    barrier, numbers, stopped = threading.Barrier(3), [0, 0, 0], []

    def one(rank: int) -> None:
        def agree(number: int) -> int:
            numbers[rank] = number
            barrier.wait(10)
            most = max(numbers)
            barrier.wait(10)
            return most

        ctx = bench.context(rank=rank, world_size=3, stop_asked=lambda: rank == 2)
        ctx.agree = agree
        ctx.history = {"loss": [(4, float(rank))]}
        try:
            ctx.checkpoint(4, lambda folder: (folder / f"rank-{rank}").write_text("x"))
        except Stopped:
            stopped.append(rank)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(stopped) == [0, 1, 2]
    folder = bench.scratch / "step-000000004"
    assert names(folder) == [job.HISTORY, "rank-0", "rank-1", "rank-2"]
    assert files.read_json(folder / job.HISTORY) == {"loss": [[4, 0.0]]}


# interrupted ten times


def walk(ctx: Context, steps: int) -> float:
    """A run like any other: it resumes, logs, saves."""
    rng, value, start = random.Random(3), 1.0, 0
    if found := ctx.resume():
        state = json.loads((found.folder / "state.json").read_text())
        value, start = state["value"], found.step
        rng.setstate((state["rng"][0], tuple(state["rng"][1]), state["rng"][2]))
    for step in range(start, steps):
        value = value * 0.9 + rng.gauss(0, 0.1)
        ctx.log(step, value=value, half=value / 2 if step % 2 else None)

        def save(folder: Path, value: float = value) -> None:
            (folder / "state.json").write_text(json.dumps({"value": value, "rng": rng.getstate()}))

        ctx.checkpoint(step + 1, save)
    return value


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 59), min_size=10, max_size=10, unique=True))
def test_a_run_interrupted_ten_times_ends_as_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, stops: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("walk")

    def context(name: str, stop_asked: Callable[[], bool]) -> Context:
        send = lambda event, **fields: None  # noqa: E731
        return Context(seed=0, scratch=folder / name, resources={}, send=send, stop_asked=stop_asked)

    undisturbed = context("a", lambda: False)
    result = walk(undisturbed, 60)
    begin = 0
    for stop in sorted(stops):
        steps = iter(range(begin + 1, 61))
        with pytest.raises(Stopped):
            walk(context("b", lambda steps=steps, stop=stop: next(steps) == stop), 60)  # type: ignore[misc]
        begin = stop
    last = context("b", lambda: False)
    assert walk(last, 60) == result
    assert last.history == undisturbed.history
    assert len(last.history["value"]) == 60
    shutil.rmtree(folder)


# jobs


JOB = "from hpc_sweep.job import Config as Base\nclass Config(Base):\n    lr: float = 1.0\ndef run(config, ctx): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "jobs").mkdir()
    yield tmp_path / "jobs"
    importlib.invalidate_caches()


def put(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()


def test_a_job_is_a_file(folder: Path) -> None:
    put(folder, "train", JOB + "def cost(config): return 3\n")
    put(folder, "other", JOB)
    (folder / "Not-A-Job.py").write_text("")
    (folder / "__init__.py").write_text("")
    assert job.names(folder) == ["other", "train"]
    found = job.load("train", folder)
    assert (found.name, asdict(found.check({"lr": 2}))) == ("train", {"lr": 2.0})
    cost = found.optional("cost")
    assert cost is not None
    assert cost(None) == 3
    assert found.optional("run_many") is None


@pytest.mark.parametrize("name", ["../evil", "a.b", "Train", "", "x" * 61, "a\n", "1x"])
def test_a_name_that_is_no_job_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(InputError, match="cannot name a job"):
        job.load(name, folder)


def test_an_unknown_job_lists_the_known_ones(folder: Path) -> None:
    put(folder, "train", JOB)
    with pytest.raises(InputError, match=r"there is no job `test`") as caught:
        job.load("test", folder)
    assert caught.value.hint == "the jobs there: train"
    with pytest.raises(InputError) as caught:
        job.load("test", folder / "absent")
    assert caught.value.hint == "the jobs there: none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no `Config`"),
        (JOB.replace("def run", "def walk"), "has no `run`"),
        ("Config = 3\ndef run(c, x): ...\n", "must derive from"),
        ("from pydantic import BaseModel as Config\ndef run(c, x): ...\n", "must derive from"),
    ],
)
def test_a_file_that_is_no_job_says_what_it_lacks(text: str, words: str, folder: Path) -> None:
    put(folder, "train", text)
    with pytest.raises(InputError, match=words):
        job.load("train", folder)


def test_a_job_that_cannot_be_imported_raises_its_own_error(folder: Path) -> None:
    put(folder, "train", "import nowhere_to_be_found\n")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        job.load("train", folder)
    put(folder, "train2", JOB)
    assert job.load("train2", folder).name == "train2"


@pytest.mark.parametrize("values", [{"lr": "1"}, {"lr": True}, {"lr": math.nan}, {"lr": 1, "x": 2}, {"lr": None}])
def test_a_config_converts_nothing_but_integers(values: dict[str, Any], folder: Path) -> None:
    put(folder, "train", JOB)
    found = job.load("train", folder)
    with pytest.raises(ValueError, match="validation error"):
        found.check(values)


def test_a_config_is_frozen() -> None:
    class Mine(Config):
        lr: float = 1.0

    with pytest.raises(FrozenInstanceError):
        Mine().lr = 2.0


RESTORE = """
import sys
from pathlib import Path
from hpc_sweep import job

found = job.load("train", Path(sys.argv[1]))
config = found.restore(eval(sys.argv[2]))
print("pydantic" in sys.modules, list(vars(config).values()))
"""
TYPED = """
from typing import Annotated, Literal
from annotated_types import Ge
from hpc_sweep.job import Config as Base

class Config(Base):
    lr: Annotated[float, Ge(0)] = 1.0
    size: int | Literal["all"] | None = None
    sizes: list[int] | tuple[int, ...] | None = None
def run(config, ctx): ...
"""


@pytest.mark.parametrize(
    ("text", "values", "told"),
    [
        (JOB, "{'lr': 0.5}", "False [0.5]"),
        (JOB, "{}", "True [1.0]"),  # not all there: it must be completed
        (TYPED.replace("    sizes", "    # "), "{'lr': 0.5, 'size': 'all'}", "False [0.5, 'all']"),
        (TYPED.replace("list[int] | ", ""), "{'lr': 0.5, 'size': 2, 'sizes': [1, 2]}", "True [0.5, 2, (1, 2)]"),
        ("import pydantic\n" + JOB, "{'lr': 0.5}", "True [0.5]"),
    ],
)
def test_a_point_of_plain_values_is_restored_without_pydantic(text: str, values: str, told: str, folder: Path) -> None:
    put(folder, "train", text)
    command = [sys.executable, "-c", RESTORE, str(folder), values]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == told


def test_what_is_restored_is_what_was_checked(folder: Path) -> None:
    put(folder, "train", TYPED)
    found = job.load("train", folder)
    config = found.check({"lr": 2, "sizes": [3]})
    assert found.restore(found.adapter.dump_python(config, mode="json")) == config
