"""Batches of an opened dataset as torch tensors: padded, masked, in an order that can be told and taken up again.

Owns choosing samples, padding them and reading ahead. A step has `size` samples over all ranks, so a run sees the same
steps on one GPU and on four. Every sample of the split comes once an epoch; where a rank would have none at the end, it
repeats one, which `weight` marks with 0. Refuses names that the dataset does not have, and a split without samples.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from affect.data.ahead import ahead
from affect.data.draft import SPLITS, Array
from affect.data.order import Share, order, padding, share, steps
from affect.data.store import Dataset
from affect.errors import DataError

__all__ = ["Batch", "Batches", "Sequences", "padding"]


class Sequences(Protocol):
    """Anything with a sequence for each sample, such as `container.Ragged`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Array: ...
    @property
    def lengths(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples. B is how many, and T the longest sequence of its name among them, at least 1."""

    index: Tensor  # (B,) the samples' numbers in the dataset
    frames: dict[str, Tensor]  # (B, T, F) float32, 0 where there is nothing
    tokens: dict[str, Tensor]  # (B, T) int64, 0 where there is nothing
    masks: dict[str, Tensor]  # (B, T) bool, True where it is real; of frames and of tokens
    lengths: dict[str, Tensor]  # (B,) int64; 0 is a missing modality
    labels: dict[str, Tensor]  # (B,) int64 for classes, float32 for values
    weight: Tensor  # (B,) float32: 0 for a sample that another rank has in this epoch too, else 1
    total: int  # samples of this step over all ranks: `world * sum(loss * weight) / total` averages to the exact mean

    def __len__(self) -> int:
        return len(self.index)

    def over(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed."""
        return replace(self, **{f.name: _over(getattr(self, f.name), change) for f in fields(self)})

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device; the copy does not wait where the batch lies in pinned memory."""
        return self.over(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True, eq=False, kw_only=True)
class Batches:
    """The batches of a split, or of some samples by number, for one of `world` ranks.

    `bucket` names the sequence by whose length samples come together; `most` cuts sequences after so many rows. With
    `even`, every rank has as many batches as the others and none is empty; without, a rank may have one fewer.
    """

    dataset: Dataset = field(kw_only=False)
    chosen: str | Sequence[int] | Array = field(kw_only=False)
    size: int  # samples of a step, over all ranks
    seed: int
    frames: Sequence[str] = ()
    tokens: Sequence[str] = ()
    labels: Sequence[str] = ()
    extra: Mapping[str, Sequences] = field(default_factory=dict)  # more frames, one sequence for each sample
    shuffle: bool = True
    bucket: str | None = None
    most: Mapping[str, int] = field(default_factory=dict)
    rank: int = 0
    world: int = 1
    even: bool = True
    drop_last: bool = False
    device: torch.device | str | None = None
    ahead: int | None = None  # batches that are read while the model works: 2 for a GPU, else 0, which is no thread

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_names(self)

    def __len__(self) -> int:
        """How many batches an epoch has for this rank; without `even`, not the one where it would only repeat."""
        count = steps(len(self.samples), self.size, drop_last=self.drop_last)
        if self.even or not count:
            return count
        last = min(self.size, len(self.samples) - (count - 1) * self.size)
        return count - (self.rank >= last)

    def epoch(self, number: int, start: int = 0) -> Generator[Batch]:
        """The batches of an epoch, from the `start`-th on; those before it are not read."""
        if number < 0 or not 0 <= start <= len(self):
            raise ValueError(f"epochs count from 0 and this one has {len(self)} batches: no ({number}, start={start})")
        ordered = self.order(number)
        numbers = range(start, len(self))
        device = None if self.device is None else _exact(self.device)
        depth = self.ahead if self.ahead is not None else 2 * (device is not None and device.type == "cuda")
        made = ahead(lambda n: _pinned(self.batch(self._share(ordered, n)), device), numbers, depth)
        return made if device is None else _moved(made, device)

    def order(self, epoch: int) -> Array:
        """The samples of an epoch over all ranks, by number, step after step."""
        lengths = None if self.bucket is None else self.lengths[self.bucket][self.samples]
        count = len(self.samples)
        return self.samples[order(count, self.size, seed=self.seed, epoch=epoch, shuffle=self.shuffle, lengths=lengths)]

    def batch(self, taken: Share) -> Batch:
        """The samples that a share holds, by their numbers, read and padded."""
        index = taken.entries
        padded = {name: self._padded(name, index) for name in self.sequences}
        return Batch(
            index=torch.from_numpy(index),
            frames={name: padded[name][0] for name in (*self.frames, *self.extra)},
            tokens={name: padded[name][0] for name in self.tokens},
            masks={name: mask for name, (_, mask, _) in padded.items()},
            lengths={name: lengths for name, (_, _, lengths) in padded.items()},
            labels={name: torch.from_numpy(self.dataset.labels[name].values[index]) for name in self.labels},
            weight=torch.from_numpy(taken.fresh.astype(np.float32)),
            total=taken.total,
        )

    @cached_property
    def samples(self) -> Array:
        """The chosen samples, by number."""
        if isinstance(self.chosen, str):
            return self.dataset.split(self.chosen).astype(np.int64)
        return np.array(self.chosen, np.int64)

    @cached_property
    def sequences(self) -> dict[str, Sequences]:
        """The frames, the tokens and the extra frames, by name."""
        frames = {name: self.dataset.frames[name] for name in self.frames}
        return {**frames, **{name: self.dataset.tokens[name] for name in self.tokens}, **self.extra}

    @cached_property
    def lengths(self) -> dict[str, Array]:
        """Of every sample of the dataset, after cutting."""
        cut = {name: self.most.get(name, np.iinfo(np.int64).max) for name in self.sequences}
        return {name: np.minimum(s.lengths, cut[name]).astype(np.int64) for name, s in self.sequences.items()}

    def _share(self, ordered: Array, number: int) -> Share:
        return share(ordered, number, self.size, rank=self.rank, world=self.world)

    def _padded(self, name: str, index: Array) -> tuple[Tensor, Tensor, Tensor]:
        """A padded copy of some sequences, its mask and its lengths.

        A loop over the samples: half the time of a gather through one array of row numbers, at 768 numbers a row.
        """
        sequences, lengths = self.sequences[name], self.lengths[name][index]
        shape = (len(index), max(1, int(lengths.max())), *sequences[int(index[0])].shape[1:])
        values: Array = np.zeros(shape, np.int64 if name in self.tokens else np.float32)
        for row, (sample, length) in enumerate(zip(index.tolist(), lengths.tolist(), strict=True)):
            values[row, :length] = sequences[sample][:length]
        mask = np.arange(shape[1]) < lengths[:, None]
        return torch.from_numpy(values), torch.from_numpy(mask), torch.from_numpy(lengths)


def _over(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, dict):
        return {name: change(tensor) for name, tensor in value.items()}
    return change(value) if isinstance(value, Tensor) else value


def _exact(device: torch.device | str) -> torch.device:
    """The device with its number, since each thread has a current GPU of its own."""
    found = torch.device(device)
    return torch.device("cuda", torch.cuda.current_device()) if found == torch.device("cuda") else found


def _pinned(batch: Batch, device: torch.device | None) -> Batch:
    """In memory that a GPU copies from by itself, where it is to go to one."""
    if device is None or device.type != "cuda":
        return batch
    with torch.cuda.device(device):
        return batch.over(Tensor.pin_memory)


def _moved(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    with closing(batches):
        for batch in batches:
            yield batch.to(device)


# what is refused


def _check_numbers(of: Batches) -> None:
    if of.size < 1 or of.seed < 0 or (of.ahead or 0) < 0 or not 0 <= of.rank < of.world:
        raise ValueError(f"no batches of {of.size}, seed {of.seed}, {of.ahead} ahead, rank {of.rank} of {of.world}")
    if of.size < of.world:
        raise ValueError(f"a step of {of.size} samples is too small for {of.world} ranks: take {of.world} or more")
    wrong = [f"{name}: {rows}" for name, rows in of.most.items() if rows < 1]
    if wrong:
        raise ValueError(f"`most` should leave a row or more ({wrong[0]})")


def _check_names(of: Batches) -> None:
    path, has = of.dataset.file.path, of.dataset
    if isinstance(of.chosen, str) and of.chosen not in SPLITS:
        raise DataError(f"{path}: `{of.chosen}` is no split; take {', '.join(SPLITS)}")
    for kind, asked, known in (
        ("frames", of.frames, has.frames), ("tokens", of.tokens, has.tokens), ("labels", of.labels, has.labels),
    ):  # fmt: skip
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise DataError(f"{path} has no {kind} `{unknown[0]}`; it has: {', '.join(known) or 'none'}")
    names = [*of.frames, *of.tokens, *of.extra]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: a name stands twice among the frames, tokens and extra: {', '.join(sorted(names))}")
    unknown = [name for name in (*of.most, *([of.bucket] if of.bucket else [])) if name not in names]
    if unknown:
        raise DataError(f"{path}: `{unknown[0]}` is to be cut or sorted by, but is not asked for: {', '.join(names)}")
    _check_samples(of)


def _check_samples(of: Batches) -> None:
    path, count = of.dataset.file.path, len(of.dataset)
    for name, sequences in of.extra.items():
        if len(sequences) != count:
            raise DataError(f"{path} has {count:,} samples, and `{name}` beside it {len(sequences):,}: make it again")
    if not isinstance(of.chosen, str) and len(of.chosen) and np.asarray(of.chosen).dtype.kind not in "iu":
        raise DataError(f"{path}: samples are chosen by their numbers, not by {np.asarray(of.chosen).dtype} values")
    if not len(of.samples):
        raise DataError(f"{path}: no samples in {of.chosen if isinstance(of.chosen, str) else 'the list'}")
    if of.drop_last and len(of.samples) < of.size:
        raise DataError(f"{path}: {len(of.samples):,} samples are less than a step of {of.size}, and that is dropped")
    outside = of.samples[(of.samples < 0) | (of.samples >= count)]
    if len(outside):
        raise DataError(f"{path} has {count:,} samples, none of them number {outside[0]}")
