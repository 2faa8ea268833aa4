"""Turn a dataset as it was downloaded into one checked HDF5 file. By hand:
    python jobs/import_data.py --dataset mosi --format mmsa --source downloads/mosi/aligned_50.pkl

Pickles are read in a process of their own, with a limit on its memory, by a reader that builds arrays and nothing else.
A sample that does not fit is refused with its place and value, unless `drop` asks for it to be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from affect.data import importing
from affect.data.store import Mending
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
    options: Annotated[Mapping[str, Option], Field(description="what this format may be asked for")] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.format not in importing.FORMATS:
            raise ValueError(f"format `{self.format}` is none of {', '.join(sorted(importing.FORMATS))}")
        if Path(self.folder).is_absolute() or ".." in Path(self.folder).parts:
            raise ValueError(
                f"folder `{self.folder}` must lie in the project: a path without / in front and without .."
            )


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
    return Result({name: float(value) for name, value in told.items()})


if __name__ == "__main__":
    from hpc_sweep.by_hand import main

    main(__file__)
