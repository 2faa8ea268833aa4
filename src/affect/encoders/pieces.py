"""How features are made: what decides them, and so their file's name; pieces of a fixed size; and joining those.

Samples are encoded in pieces of a fixed size, whoever does it, so that the bytes do not depend on how the work was
shared; a whole piece is kept, whatever becomes of its maker. Values are fp16; what that costs is measured and stated.
Refuses values that fp16 cannot hold, and pieces without every byte that was written.

Media are known by their names in the dataset, not by their bytes: after changing a video in place, remove its features.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from affect.data import container
from affect.data.container import Container, Stream
from affect.data.draft import MEDIA, Array
from affect.data.store import Dataset
from affect.errors import DataError

KIND, _PIECE = "features", "features-piece"
SCHEMA = 1
BLOCK = 256  # samples a piece; an encoder of large media has an attribute `block` that is less
_LARGEST = float(np.finfo(np.float16).max)

Items = Callable[[Dataset, int], Any]


class Encoder(Protocol):
    """What makes features. Where it has `counts` (a Counter), what is added to them is told in the file."""

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def key(self) -> dict[str, Any]: ...
    def encode(self, items: list[Any], /) -> list[Array]: ...


@dataclass(frozen=True)
class Job:
    """Features that are wanted, whether or not they are there."""

    dataset: Dataset
    encoder: Encoder
    items: Items
    folder: Path

    @cached_property
    def explained(self) -> dict[str, Any]:
        """Everything that decides the features, and nothing else."""
        return {"encoder": self.encoder.key, "content": _content(self.dataset, self.items), "schema": SCHEMA}

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(_canonical(self.explained).encode()).hexdigest()[:16]

    @cached_property
    def target(self) -> Path:
        names = (re.sub(r"[^A-Za-z0-9._]+", "_", name) for name in (self.dataset.name, self.encoder.name))
        return self.folder / f"{'-'.join(names)}-{self.key}.h5"

    @property
    def pieces(self) -> Path:
        return self.target.with_suffix(".pieces")

    def piece(self, number: int) -> Path:
        return self.pieces / f"{number:06d}.h5"

    @cached_property
    def ranges(self) -> list[range]:
        """The samples of each piece."""
        block, n = int(getattr(self.encoder, "block", BLOCK)), len(self.dataset)
        return [range(start, min(start + block, n)) for start in range(0, n, block)]


def _canonical(told: object) -> str:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _content(dataset: Dataset, items: Items) -> str:
    """The SHA-256 of what the encoder reads: each sample's id, and its text or the name of its media."""
    digest = hashlib.sha256()
    for index, name in enumerate(dataset.ids):
        digest.update(_canonical([name, _told(dataset, index, items(dataset, index))]).encode() + b"\n")
    return digest.hexdigest()


def _told(dataset: Dataset, index: int, item: Any) -> Any:
    if isinstance(item, Path):
        return {"path": _media_name(dataset, index, item)}
    if isinstance(item, np.ndarray):
        return {"array": [item.dtype.str, list(item.shape), hashlib.sha256(item.tobytes()).hexdigest()]}
    if isinstance(item, list | tuple):
        return [_told(dataset, index, part) for part in item]
    return item


def _media_name(dataset: Dataset, index: int, path: Path) -> str:
    """A file's name in the dataset, which does not depend on where its folder is now."""
    for kind in MEDIA:
        name = dataset.media(kind, index, Path())
        if name and path.parts[-len(name.parts) :] == name.parts:
            return f"{kind}/{name.as_posix()}"
    return path.as_posix()


# pieces


def whole(job: Job, number: int) -> Container | None:
    """A piece that is there with every byte that was written, or None."""
    try:
        piece = container.read(job.piece(number), _PIECE)
        piece.verify()
    except DataError:
        return None
    fits = piece.about["key"] == job.key and piece.about["samples"] == len(job.ranges[number])
    return piece if fits else None


def make(job: Job, number: int) -> None:
    chosen = job.ranges[number]
    items = [job.items(job.dataset, index) for index in chosen]
    before = Counter(getattr(job.encoder, "counts", {}))
    rows = [np.asarray(row, np.float32) for row in job.encoder.encode(items)]
    if [row.shape for row in rows] != [(len(row), job.encoder.width) for row in rows] or len(rows) != len(items):
        raise ValueError(f"{job.encoder.name} gave {[row.shape for row in rows]} for {len(items)} items")
    absolute, relative, halves = 0.0, 0.0, []
    for index, row in zip(chosen, rows, strict=True):
        halves.append(_half(job, index, row))
        error = _error(row, halves[-1])
        absolute, relative = max(absolute, error[0]), max(relative, error[1])
    counts = Counter(getattr(job.encoder, "counts", {})) - before
    about = {
        "key": job.key, "piece": number, "samples": len(rows), "absolute": absolute, "relative": relative,
        "counts": dict(counts),
    }  # fmt: skip
    values = np.concatenate([*halves, np.zeros((0, job.encoder.width), np.float16)])
    arrays = {"features/offsets": container.offsets(map(len, halves)), "features/values": values}
    container.write(job.piece(number), _PIECE, about, arrays)


def _half(job: Job, index: int, row: Array) -> Array:
    with np.errstate(over="ignore"):
        half = row.astype(np.float16)
    bad = np.argwhere(~np.isfinite(half))
    if len(bad):
        at, column = bad[0]
        raise DataError(
            f"{job.dataset.name} sample {index} ({job.dataset.ids[index]}): {job.encoder.name} gives "
            f"{row[at, column]:g} in row {at}, column {column}, where fp16 holds numbers up to {_LARGEST:g}: look at "
            "that sample and at the weights"
        )
    return half


def _error(row: Array, half: Array) -> tuple[float, float]:
    """What fp16 costs: the largest difference, and the largest of a row against the row's norm."""
    if not row.size:
        return 0.0, 0.0
    exact = row.astype(np.float64)
    difference = half - exact
    norms = np.sqrt((exact**2).sum(axis=1))
    lost = np.sqrt((difference**2).sum(axis=1))
    return float(np.abs(difference).max()), float((lost / np.where(norms > 0, norms, 1)).max())


def join(job: Job) -> bool:
    """Put the pieces together where all are there; whether the file is there in the end."""
    if not all(job.piece(number).exists() for number in range(len(job.ranges))):
        return job.target.exists()
    lengths, told = [], []
    for number in range(len(job.ranges)):
        piece = whole(job, number)
        if piece is None:  # another process has joined them and cleared up, or else it is damaged
            job.piece(number).unlink(missing_ok=True)
            return job.target.exists()
        lengths.append(piece.ragged("features").lengths)
        told.append(piece.about)
    offsets = container.offsets(np.concatenate(lengths))
    values = Stream((int(offsets[-1]), job.encoder.width), "<f2", _values(job))
    try:
        container.write(
            job.target, KIND, _about(job, offsets, told), {"features/offsets": offsets, "features/values": values}
        )
    except DataError:
        if not job.target.exists():
            raise
    return True


def _values(job: Job) -> Iterator[Array]:
    for number in range(len(job.ranges)):
        yield container.read(job.piece(number), _PIECE).arrays["features/values"]


def _about(job: Job, offsets: Array, told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for piece in told:
        counts.update(piece["counts"])
    return {
        "dataset": job.dataset.name,
        "encoder": job.encoder.name,
        "key": job.key,
        "explained": job.explained,
        "samples": len(offsets) - 1,
        "empty": int((np.diff(offsets) == 0).sum()),
        "rows": int(offsets[-1]),
        "width": job.encoder.width,
        "counts": dict(sorted(counts.items())),
        "error": {
            "absolute": max((p["absolute"] for p in told), default=0.0),
            "relative": max((p["relative"] for p in told), default=0.0),
        },
    }
