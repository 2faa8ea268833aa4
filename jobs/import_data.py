"""Turn a dataset as it was downloaded into one checked HDF5 file. By hand:
    python jobs/import_data.py --dataset mosi --format mmsa --source downloads/mosi/aligned_50.pkl

Pickles are read in a process of their own, with a limit on its memory, by a reader that builds arrays and nothing else.
A sample that does not fit is refused with its place and value, unless `drop` asks for it to be left out. With `encode`,
frozen encoders are run over the dataset at once; `jobs/extract.py` divides that work among tasks where it is large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from affect.data import importing, store
from affect.data.store import Mending
from affect.encoders import cache, registry
from affect.encoders.registry import Kind, Wish
from hpc_sweep.job import Config as BaseConfig
from hpc_sweep.job import Context, Result

Option = str | bool | int | float


class Config(BaseConfig):
    """What is imported, from where, and what may be done to samples that do not fit."""

    dataset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$", description="its name; the file is NAME.h5")]
    format: Annotated[str, Field(description="of what form the files are: see the table in the README")]
    source: Annotated[str, Field(min_length=1, description="the file or folder as it was downloaded")]
    folder: Annotated[str, Field(description="where datasets lie, in the project")] = "data/sets"
    drop: Annotated[bool, Field(description="leave samples out that do not fit, and record them")] = False
    zero: Annotated[bool, Field(description="set numbers to 0 that are NaN or infinite, and count them")] = False
    memory_gb: Annotated[float | None, Gt(0), Field(description="the most memory that reading may take")] = None
    faces: Annotated[str | None, Field(description="VGGFace2 features made elsewhere: a folder or an HDF5 file")] = None
    encode: Annotated[Mapping[Kind, str], Field(description="encoders to run, each with its weights, or tiny")] = field(
        default_factory=dict
    )
    features: Annotated[str, Field(description="where features are kept, in the project")] = "data/features"
    options: Annotated[Mapping[str, Option], Field(description="what this format may be asked for")] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.format not in importing.FORMATS:
            raise ValueError(f"format `{self.format}` is none of {', '.join(sorted(importing.FORMATS))}")
        for name in ("folder", "features"):
            place = Path(getattr(self, name))
            if place.is_absolute() or ".." in place.parts:
                raise ValueError(f"{name} `{place}` must lie in the project: no / in front, and no ..")


def run(config: Config, ctx: Context) -> Result:
    """Import it, and say what it holds."""
    report = importing.run(
        config.format,
        Path(config.source),
        Path(config.folder) / f"{config.dataset}.h5",
        name=config.dataset,
        mending=Mending(config.drop, config.zero),
        options=config.options,
        faces=Path(config.faces) if config.faces else None,
        memory_gb=config.memory_gb,
    )
    print("\n".join([*report.lines, *report.notes]), flush=True)  # noqa: T201 - into the log of the task
    told = {**report.counts, "samples": sum(report.counts.values()), "dropped": report.dropped, "zeroed": report.zeroed}
    try:
        told |= _encoded(config, ctx, report.path)
    except cache.Stopped:
        ctx.checkpoint(0, lambda folder: None)  # what is whole is kept beside the features; this ends the run
        raise
    return Result({name: float(value) for name, value in told.items()})


def _encoded(config: Config, ctx: Context, path: Path) -> dict[str, int]:
    """Run the encoders, and count what each gives."""
    dataset, folder = store.open_dataset(path), Path(config.features)
    rows = {}
    for kind, weights in config.encode.items():
        encoder, items = registry.make(Wish(kind, weights), [dataset], folder)
        found = cache.features(dataset, encoder, items, folder, progress=ctx.progress, stopping=ctx.stopping)
        rows[f"{kind}_rows"] = int(found.ragged.offsets[-1])
    return rows


if __name__ == "__main__":
    from hpc_sweep.by_hand import main

    main(__file__)
