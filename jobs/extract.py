"""Run a frozen encoder over a dataset once, and keep what it gives for every later run. By hand:
    python jobs/extract.py --dataset mosi --encoder text --weights google/electra-base-discriminator

Points that need the same features share one file, whoever makes it. `parts` divides a large dataset among tasks; what
was made is kept when a task is stopped. `weights: tiny` takes random weights, for machines that have no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Interval, MinLen
from pydantic import Field

from affect.data import store
from affect.data.store import Dataset
from affect.encoders import cache, registry
from affect.encoders.registry import TINY, Kind, Unreadable, Wish
from hpc_sweep.job import Config as BaseConfig
from hpc_sweep.job import Context, Result


class Config(BaseConfig):
    """Which features of which dataset."""

    dataset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$", description="its name, as it was imported")]
    encoder: Annotated[Kind, Field(description="what is encoded, and how")]
    weights: Annotated[str, MinLen(1), Field(description="a name, a folder or a file; or tiny")] = TINY
    most: Annotated[int, Interval(ge=2, le=10_000), Field(description="tokens or frames of a sample")] = 50
    tiny_of: Annotated[tuple[str, ...], Field(description="datasets whose words make the tiny vocabulary")] = ()
    sets: Annotated[str, Field(description="where datasets lie")] = "data/sets"
    folder: Annotated[str, Field(description="where features are kept")] = "data/features"
    parts: Annotated[int, Ge(1), Field(description="how many tasks share the work")] = 1
    part: Annotated[int, Ge(0), Field(description="which of them this is")] = 0
    unreadable: Annotated[
        Unreadable, Field(description="a file that cannot be decoded stops the run, or counts as empty")
    ] = "refused"

    def __post_init__(self) -> None:
        if self.part >= self.parts:
            raise ValueError(f"part {self.part} of {self.parts}: parts are counted from 0")
        if self.encoder == "log-mel" and self.weights != TINY:
            raise ValueError("log-mel has no weights: leave `weights` out")


def run(config: Config, ctx: Context) -> Result:
    """Make the features, or this point's part of them."""
    dataset = _opened(config, config.dataset)
    wish = Wish(config.encoder, config.weights, config.most, config.unreadable)
    vocabulary = (_opened(config, name) for name in config.tiny_of or (config.dataset,))
    encoder, items = registry.make(wish, vocabulary, Path(config.folder))
    try:
        path = cache.build(
            dataset, encoder, items, Path(config.folder), part=config.part, parts=config.parts, progress=ctx.progress,
            stopping=ctx.stopping,
        )  # fmt: skip
    except cache.Stopped:
        ctx.checkpoint(0, lambda folder: None)  # what is whole is kept beside the features; this ends the run
        raise
    print(f"{path}", flush=True)  # noqa: T201 - into the log of the task
    metrics: dict[str, float | None] = {"samples": len(dataset), "width": encoder.width}
    if config.parts == 1:  # with several parts, which one comes last is chance
        found = cache.features(dataset, encoder, items, Path(config.folder))
        metrics |= {"rows": int(found.ragged.offsets[-1]), "empty": found.about["empty"]}
    return Result(metrics)


def _opened(config: Config, name: str) -> Dataset:
    return store.open_dataset(Path(config.sets) / f"{name}.h5")


if __name__ == "__main__":
    from hpc_sweep.by_hand import main

    main(__file__)
