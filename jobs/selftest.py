"""A job that needs nothing: it counts steps, logs a curve, writes arrays, saves where it is, and fails on demand.

It shows every part of the machine in a second, and every failure kind without a GPU. By hand:
    python jobs/selftest.py --steps 50 --rate 0.1
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from hpc_sweep.job import Config as BaseConfig
from hpc_sweep.job import Context, Result

Fault = Literal[
    "none", "oom", "host-oom", "timeout", "nan", "crash", "exit", "killed", "disk", "data", "code", "wait",
]  # fmt: skip


class Config(BaseConfig):
    """What one run of the self-test does."""

    steps: Annotated[int, Interval(ge=0, le=100_000)] = 20
    rate: Annotated[float, Interval(gt=0, le=10)] = 0.1
    model: Literal["small", "large"] = "small"
    seed: Annotated[int, Ge(0)] = 0
    step_seconds: Annotated[float, Interval(ge=0, le=3600)] = 0.0
    values: Annotated[int, Interval(ge=0, le=10_000_000)] = 100
    fault: Fault = "none"
    fault_step: Annotated[int, Ge(0)] = 5
    fault_times: Annotated[int, Ge(0)] = 1  # after so many tries the run goes well


class DataError(ValueError):
    """What a job raises when its data are not what they should be."""

    kind = "data"


def run(config: Config, ctx: Context) -> Result:
    """Walk down a noisy curve; the walk is the same however often it is interrupted."""
    walk = random.Random(config.seed)
    loss, start = 1.0, 0
    saved = ctx.resume()
    if saved is not None:
        state = json.loads((saved.folder / "state.json").read_text())
        loss, start = state["loss"], saved.step
        walk.setstate((state["walk"][0], tuple(state["walk"][1]), state["walk"][2]))
    for step in range(start, config.steps):
        if config.fault != "none" and step == config.fault_step:
            _fail(config, ctx)
        time.sleep(config.step_seconds)
        noise = walk.gauss(0, 0.02)
        loss = abs(loss * (1 - config.rate / 4) + noise * config.rate)
        if step % max(1, config.steps // 200) == 0:
            ctx.log(step, loss=loss, accuracy=math.exp(-loss))
            ctx.progress(step + 1, config.steps)
        ctx.checkpoint(step + 1, partial(_save, loss=loss, walk=walk))
    return _result(config, loss, walk)


def _save(folder: Path, loss: float, walk: random.Random) -> None:
    (folder / "state.json").write_text(json.dumps({"loss": loss, "walk": walk.getstate()}))


def _result(config: Config, loss: float, walk: random.Random) -> Result:
    import numpy as np

    bonus = 0.05 if config.model == "large" else 0.0
    predictions = np.array([walk.random() for _ in range(min(config.values, 1000))] or [0.0])
    arrays = {"predictions": np.resize(predictions, config.values)} if config.values else {}
    return Result({"loss": loss, "accuracy": min(1.0, math.exp(-loss) + bonus)}, arrays)


def _fail(config: Config, ctx: Context) -> None:
    """Fail in the way that was asked for, unless this point has failed often enough."""
    tries = ctx.scratch.parent / f"tries-{ctx.scratch.name}"
    count = len(tries.read_bytes()) if tries.exists() else 0
    if count >= config.fault_times:
        return
    tries.parent.mkdir(parents=True, exist_ok=True)
    with tries.open("ab") as file:
        file.write(b".")
    sys.stdout.flush()
    _FAULTS[config.fault](ctx)


class OutOfMemoryError(RuntimeError):
    """The name of what torch raises when a card is full."""


def _oom(ctx: Context) -> None:
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.40 GiB")


def _host_oom(ctx: Context) -> None:
    hoard = []
    while True:  # a control group's limit, or the bound below, ends it
        hoard.append(bytearray(os.urandom(1 << 16)) * 160)
        if len(hoard) > 400:
            raise MemoryError("took 4 GB and nobody minded")


def _timeout(ctx: Context) -> None:
    time.sleep(7 * 24 * 3600)


def _nan(ctx: Context) -> None:
    ctx.log(118, loss=math.nan, epoch=3, lr=0.0003)


def _crash(ctx: Context) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)


def _exit(ctx: Context) -> None:
    os._exit(7)


def _killed(ctx: Context) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def _disk(ctx: Context) -> None:
    raise OSError(28, "No space left on device", str(ctx.scratch))


def _data(ctx: Context) -> None:
    raise DataError("dataset mosi: label 7 at index 41 is outside 0..2")


def _code(ctx: Context) -> None:
    raise KeyError("labels")


_FAULTS = {
    "oom": _oom, "host-oom": _host_oom, "timeout": _timeout, "nan": _nan, "crash": _crash, "exit": _exit,
    "killed": _killed, "disk": _disk, "data": _data, "code": _code, "wait": _timeout,
}  # fmt: skip


if __name__ == "__main__":
    from hpc_sweep.by_hand import main

    main(__file__)
