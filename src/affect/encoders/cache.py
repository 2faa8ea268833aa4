"""Features of frozen encoders, computed once: one file for each dataset, encoder, and content that the encoder reads.

Owns how several processes come to one file, and what is asked of it when it is opened. Refuses damaged files, and files
that are not what their name says. How a file is made, and named, stands in `pieces`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import container
from affect.data.container import Container, Ragged
from affect.data.store import Dataset
from affect.encoders import claim, pieces
from affect.encoders.claim import Stopped
from affect.encoders.pieces import KIND, Encoder, Items, Job
from affect.errors import DataError

__all__ = ["Encoder", "Features", "Items", "Stopped", "build", "features", "media_of", "path_of", "text_of"]

Progress = Callable[[int, int], None]
Stopping = Callable[[], bool]


@dataclass(frozen=True)
class Features:
    """Features that were opened: `ragged[i]` are those of sample i, (length, width) in fp16, mapped from the file."""

    file: Container

    @property
    def ragged(self) -> Ragged:
        return self.file.ragged("features")

    @property
    def about(self) -> dict[str, Any]:
        """Dataset, encoder and what the key was made of; samples without features; the error of fp16."""
        return self.file.about

    def __len__(self) -> int:
        return int(self.about["samples"])

    def verify(self) -> None:
        self.file.verify()


def features(
    dataset: Dataset,
    encoder: Encoder,
    items: Items,
    folder: Path,
    *,
    progress: Progress | None = None,
    stopping: Stopping | None = None,
    patience: float = claim.PATIENCE,
) -> Features:
    """The features of a dataset, made now if nobody has made them yet.

    One process makes them while others wait; one that shows no sign of life for `patience` seconds is replaced.
    """
    job = Job(dataset, encoder, items, folder)
    with claim.alone(job.target, job.target.exists, patience=patience, stopping=stopping) as mine:
        if mine:
            _build(job, 0, 1, progress, stopping)
    return _opened(job)


def build(
    dataset: Dataset,
    encoder: Encoder,
    items: Items,
    folder: Path,
    *,
    part: int = 0,
    parts: int = 1,
    progress: Progress | None = None,
    stopping: Stopping | None = None,
) -> Path:
    """Make one of several parts; the last one joins them. Gives the file, or the folder of pieces till then.

    `progress(done, total)` counts this part's samples; `stopping()` is asked before each piece, and ends in `Stopped`.
    """
    if not 0 <= part < parts:
        raise ValueError(f"part {part} of {parts}: parts are counted from 0")
    return _build(Job(dataset, encoder, items, folder), part, parts, progress, stopping)


def path_of(dataset: Dataset, encoder: Encoder, items: Items, folder: Path) -> Path:
    """Where these features are, or would be."""
    return Job(dataset, encoder, items, folder).target


def text_of(dataset: Dataset, index: int) -> str:
    """The words of a sample: what text encoders read."""
    if dataset.text is None:
        raise DataError(f"{dataset.file.path}: {dataset.name} has no text: import it from a source that has")
    return dataset.text.text(index)


def media_of(kind: str, root: Path | None = None) -> Items:
    """A function that gives a sample's video, audio, frames or subtitles, or None; `root` is where they are now."""
    return lambda dataset, index: dataset.media(kind, index, root)


# making and opening


def _build(job: Job, part: int, parts: int, progress: Progress | None, stopping: Stopping | None) -> Path:
    mine = range(part, len(job.ranges), parts)
    total, done = sum(len(job.ranges[number]) for number in mine), 0
    for number in mine:
        if job.target.exists():
            break
        if stopping and stopping():
            raise Stopped(f"stopped after {done:,} of {total:,} samples; what is whole is kept in {job.pieces}")
        if pieces.whole(job, number) is None:
            pieces.make(job, number)
        done += len(job.ranges[number])
        if progress:
            progress(done, total)
    if not job.target.exists() and not pieces.join(job):
        return job.pieces
    shutil.rmtree(job.pieces, ignore_errors=True)
    return job.target


def _opened(job: Job) -> Features:
    """Open the file, and look whether it is the one that was asked for and hangs together."""
    if not job.target.exists():
        raise DataError(f"{job.target} could not be made: its pieces were damaged as they were written; try again")
    try:
        found = Features(container.read(job.target, KIND))
    except DataError as error:
        raise DataError(f"{error}; remove the file, and it is made again when it is next asked for") from error
    if found.about.get("key") != job.key:
        raise DataError(f"{job.target} holds other features than its name says: remove it, and it is made again")
    rows = Ragged(*(found.file.arrays.get(f"features/{name}", np.zeros(0)) for name in ("values", "offsets")))
    wanted = len(job.dataset), job.encoder.width, np.float16
    if not rows.fits() or (len(rows), *rows.values.shape[1:], rows.values.dtype) != wanted:
        raise DataError(f"{job.target} does not hang together: remove it, and it is made again")
    return found
