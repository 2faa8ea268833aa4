"""What the tests of grids share: a job, and texts that mark with « and » where a mistake stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpc_sweep import config, grid
from hpc_sweep.errors import GridError, Problem
from hpc_sweep.nodes import Document

TRAIN = """
from typing import Annotated, Literal
from annotated_types import Ge, Gt, Interval
from hpc_sweep.job import Config as Base

class Optimizer(Base):
    name: Literal["adam", "sgd"] = "adam"
    lr: Annotated[float, Gt(0)] = 1e-3

class Config(Base):
    model: Literal["s2lif", "mart", "mult"] = "s2lif"
    data: str = "mosi"
    tuning: Literal["frozen", "finetune"] = "finetune"
    lr: Annotated[float, Interval(gt=0, le=1)] = 1e-3
    epochs: Annotated[int, Ge(1)] = 10
    batch: Annotated[int, Gt(0)] = 16
    seed: Annotated[int, Ge(0)] = 0
    layers: int | Literal["all"] = 2
    dropout: bool = False
    limit: int | None = None
    sources: tuple[str, ...] = ()
    optimizer: Optimizer = Optimizer()

    def __post_init__(self):
        if self.model == "mart" and self.tuning == "frozen":
            raise ValueError("MART has nothing to freeze")

def run(config, ctx): ...
"""

Spot = tuple[int, int, int]


def unmark(text: str) -> tuple[str, list[Spot]]:
    """The text without its marks, and the line, column and length of each marked piece."""
    spots, clean = [], ""
    for piece in re.split("(«[^»]*»)", text):
        if piece.startswith("«"):
            first = piece[1:-1].split("\n")[0]
            spots.append((clean.count("\n") + 1, len(clean) - clean.rfind("\n"), max(len(first), 1)))
            piece = piece[1:-1]
        clean += piece
    return clean, spots


def spot(problem: Problem) -> Spot:
    return problem.line, problem.column, problem.length


def parse(text: str | bytes) -> Document:
    """Read a text; its lesser mistakes stay in the document."""
    data = text if isinstance(text, bytes) else text.encode()
    return config.parse(Path("x.yaml"), data)


def mistakes(text: str | bytes) -> list[Problem]:
    """Everything that is wrong with a YAML text, in the order of its lines."""
    try:
        parse(text).check()
    except GridError as error:
        return error.problems
    return []


def jobs_folder(folder: Path, **others: str) -> Path:
    """A folder of jobs with `train` and what else is given."""
    folder.mkdir(exist_ok=True)
    for name, text in {"train": TRAIN, **others}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def load(folder: Path, text: str | bytes, **jobs: str) -> grid.Grid:
    """Load a grid of this text."""
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return grid.load(path, jobs_folder(folder / "jobs", **jobs))


def refused(folder: Path, text: str | bytes, **jobs: str) -> list[Problem]:
    """What is wrong with a grid of this text; a grid that is well fails the test."""
    with pytest.raises(GridError) as caught:
        load(folder, text, **jobs)
    assert caught.value.exit_code == 2
    return caught.value.problems
