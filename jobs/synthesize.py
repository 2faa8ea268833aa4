"""Write a synthetic dataset in the form that the real one has on disk, with the true answer beside it. By hand:
    python jobs/synthesize.py --dataset mosi --scale 0.05

The dataset appears whole or not at all. One that was made with the same settings is kept; one that was made with
others is refused, since points that ran on it would no longer mean what they say.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from affect.data import rules
from affect.data.draft import SPLITS
from affect.data.synthetic import Domain
from affect.data.synthetic_files import world_for, write_dataset
from affect.data.synthetic_kinds import sizes
from affect.data.synthetic_truth import truth_arrays
from affect.encoders.video import write_video
from affect.errors import DataError
from hpc_sweep.job import Config as BaseConfig
from hpc_sweep.job import Context, Result

SETTINGS = "settings.json"
FORM = 1  # of the files; raised where the same settings give other bytes


class Config(BaseConfig):
    """Which dataset, how large, and how strongly it leads astray."""

    dataset: Literal["mosi", "mosei", "meld", "csmv", "videoemotion8"]
    scale: Annotated[float, Interval(gt=0, le=1)] = 0.015  # of the real dataset's size
    seed: Annotated[int, Ge(0)] = 0
    folder: str = "data/synthetic"  # in the project; the dataset's own folder is made in it
    strength: Annotated[float, Interval(ge=0, le=3)] = 1.0  # of the columns whose meaning changes with the domain

    def __post_init__(self) -> None:
        place = Path(self.folder)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(
                f"folder `{self.folder}` must lie in the project: a path without / in front and without .."
            )


def run(config: Config, ctx: Context) -> Result:
    """Make the dataset, unless it is there, and say what it holds."""
    world = world_for(config.dataset, config.seed, config.strength)
    domain = world.domain(config.dataset, sizes(config.dataset, config.scale))
    folder = Path(config.folder) / config.dataset
    if folder.exists():
        _check(folder, config)
        print(f"{folder} was made with the same settings, and is kept", flush=True)  # noqa: T201 - into the task's log
    else:
        with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=f".tmp-{config.dataset}-") as beside:
            write_dataset(world, domain, Path(beside) / config.dataset, write_video)
            (Path(beside) / config.dataset / SETTINGS).write_text(json.dumps(_settings(config), indent=1) + "\n")
            _commit(Path(beside) / config.dataset, folder, config)
    return Result({**_counts(domain), **_weight(folder)}, truth_arrays(world, domain))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _commit(whole: Path, folder: Path, config: Config) -> None:
    """Take its place, unless another run was faster: then its dataset is as good."""
    try:
        whole.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        _check(folder, config)
        shutil.rmtree(whole)


def _settings(config: Config) -> dict[str, object]:
    return {"form": FORM, **{name: value for name, value in asdict(config).items() if name != "folder"}}


def _check(folder: Path, config: Config) -> None:
    """Refuse a dataset that is not what this configuration would make."""
    try:
        found = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is no synthetic dataset: it has no {SETTINGS}; give another `folder`") from error
    wanted, found = _settings(config), found if isinstance(found, dict) else {}
    if found != wanted:
        other = ", ".join(f"{k} {found.get(k)}, not {v}" for k, v in wanted.items() if found.get(k) != v)
        raise DataError(f"{folder} was made with {other}: remove it, or give another `folder`")


def _counts(domain: Domain) -> dict[str, float]:
    """Samples of each split, and of each class in it."""
    counts: dict[str, float] = {}
    for split in SPLITS:
        chosen = domain.split(split)
        counts[f"{split}/samples"] = len(chosen)
        for side, name in enumerate(rules.POLARITY):
            counts[f"{split}/{name}"] = int((domain.polarity[list(chosen)] == side).sum())
    return counts


def _weight(folder: Path) -> dict[str, float]:
    found = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(found), "bytes": sum(found)}


if __name__ == "__main__":
    from hpc_sweep.by_hand import main

    main(__file__)
