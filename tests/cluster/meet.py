"""A job of several ranks for the tests: they meet over gloo, add up their numbers, save together and go on."""

from __future__ import annotations

import os
import signal
import time

from hpc_sweep.job import Config as BaseConfig
from hpc_sweep.job import Context, Result


class Config(BaseConfig):
    """How many steps, and which rank dies at the third."""

    steps: int = 20
    step_seconds: float = 0.2
    fails_on: int = -1


def run(config: Config, ctx: Context) -> Result:
    """Every rank adds the sum over all ranks of (rank + 1), once a step."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")

    def agree(number: int) -> int:
        highest = torch.tensor(number)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        return int(highest)

    ctx.agree = agree
    saved, start, total = ctx.resume(), 0, 0
    if saved is not None:
        start, total = saved.step, int((saved.folder / f"rank-{ctx.rank}").read_text())
    for step in range(start, config.steps):
        if ctx.rank == config.fails_on and step == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        share = torch.tensor(ctx.rank + 1)
        dist.all_reduce(share)
        total += int(share)
        time.sleep(config.step_seconds)
        ctx.log(step, total=total)
        ctx.checkpoint(step + 1, lambda folder, total=total: (folder / f"rank-{ctx.rank}").write_text(str(total)))
    nodes = [None] * ctx.world_size
    dist.all_gather_object(nodes, os.environ["SLURMD_NODENAME"])
    dist.destroy_process_group()
    return Result({"total": total, "ranks": ctx.world_size, "nodes": len(set(nodes))})
