"""Pickles of three splits whose sequences are padded to one length: what MMSA's and MulT's files have in common.

Owns the checks of such a file as a whole, the way from a sample's number to its row, and the slicing of rows without a
copy of the array. Refuses a lacking or empty split, keys with different numbers of samples, and widths that differ.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from affect.data.draft import SPLITS, Array, Frames, Problem
from affect.errors import DataError

MOST = 3  # a score of sentiment goes from -3 to 3
_BLOCK = 256  # samples that are looked at together
_SHOWN = 60  # letters of a value in a message


@dataclass
class Padded:
    """The splits of one file, in order; sample numbers run through all of them."""

    path: Path
    parts: Sequence[Mapping[str, Any]]
    starts: Sequence[int]  # of each split, and the number of all samples
    ids: list[str] = field(default_factory=list)
    problems: dict[int, Problem] = field(default_factory=dict)  # the first of each sample

    def __len__(self) -> int:
        return self.starts[-1]

    def __contains__(self, key: str) -> bool:
        return key in self.parts[0]

    def splits(self) -> list[str]:
        """The split of each sample."""
        sizes = (b - a for a, b in pairwise(self.starts))
        return [name for name, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]

    def row(self, index: int) -> tuple[int, int]:
        """The split of a sample, and its row there."""
        part = bisect_right(self.starts, index) - 1
        return part, index - self.starts[part]

    def report(self, index: int, what: str) -> None:
        """A sample does not fit. What comes after the last colon is the reason that such samples are counted by."""
        part, row = self.row(index)
        name = f" ({self.ids[index]})" if self.ids else ""
        self.problems.setdefault(index, Problem(index, f"{self.path}, {SPLITS[part]}, index {row}{name}: {what}"))

    def arrays(self, key: str, axes: int) -> list[Array]:
        """The arrays of a key, one a split, as they are in the file; of numbers, and of one width."""
        found = [part[key] for part in self.parts]
        for split, array in zip(SPLITS, found, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.ndim != axes:
                raise DataError(f"{self.path}, {split}: `{key}` is {_kind(array)}, not an array of {axes} axes")
            if axes == 3 and array.shape[2] != found[0].shape[2]:
                widths = f"{array.shape[2]} numbers wide, and {found[0].shape[2]} in {SPLITS[0]}"
                raise DataError(f"{self.path}, {split}: `{key}` is {widths}")
        return found

    def numbers(self, key: str) -> Array:
        """One number a sample, of an array or a list."""
        found = []
        for split, part in zip(SPLITS, self.parts, strict=True):
            try:
                values = np.asarray(part[key], np.float64)
            except (TypeError, ValueError) as error:
                raise DataError(f"{self.path}, {split}: `{key}` holds something that is no number: {error}") from error
            if values.size != len(values):
                raise DataError(f"{self.path}, {split}: `{key}` has the shape {values.shape}, not one number a sample")
            found.append(values.reshape(-1))
        return np.concatenate(found)

    def check_scores(self, key: str, scores: Array) -> None:
        """Report the scores that lie outside of what the people who scored were asked for."""
        for index in map(int, np.flatnonzero(np.abs(scores) > MOST)):
            self.report(index, f"{key} is {scores[index]:g}: it is outside -{MOST}..{MOST}")

    def texts(self, key: str) -> list[str]:
        """One text a sample; a problem and "" where there is none."""
        found = []
        for index, value in enumerate(chain.from_iterable(part[key] for part in self.parts)):
            text = as_text(value)
            if text is None:
                self.report(index, f"{key} is {repr(value)[:_SHOWN]}: it is no text")
            found.append(text or "")
        return found

    def frames(self, arrays: Sequence[Array], lengths: Array, about: str, *, at_end: bool = False) -> Frames:
        """Rows of padded arrays, sliced when they are asked for; `at_end` where the padding is in front."""

        def read(index: int) -> Array:
            part, row = self.row(index)
            length = int(lengths[index])
            rows: Array = arrays[part][row]
            return rows[len(rows) - length :] if at_end else rows[:length]

        return Frames(lengths, arrays[0].shape[2], read, about)


def open_splits(path: Path, data: Any, known: Iterable[str], needed: Iterable[str]) -> Padded:
    """The file as a whole: three splits, each key in all of them, as many samples under each."""
    if not isinstance(data, dict):
        raise DataError(f"{path} holds {_kind(data)}, not a dictionary with the splits {', '.join(SPLITS)}")
    for split in SPLITS:
        if not isinstance(data.get(split), dict) or not data[split]:
            raise DataError(f"{path}: there is no split `{split}`; it has {_names(data)}")
    parts = [data[split] for split in SPLITS]
    keys = [key for key in known if any(key in part for part in parts)]
    for key in chain(needed, keys):
        for split, part in zip(SPLITS, parts, strict=True):
            if key not in part:
                raise DataError(f"{path}, {split}: there is no key `{key}`; it has {_names(part)}")
    sizes = [_size(path, split, part, keys) for split, part in zip(SPLITS, parts, strict=True)]
    return Padded(path, parts, list(accumulate(sizes, initial=0)))


def _size(path: Path, split: str, part: Mapping[str, Any], keys: Sequence[str]) -> int:
    sizes = {}
    for key in keys:
        value = part[key]
        if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
            raise DataError(f"{path}, {split}: `{key}` is {_kind(value)}, not a list or an array")
        sizes[key] = len(value)
    first, size = next(iter(sizes.items()))
    for key, other in sizes.items():
        if other != size:
            raise DataError(f"{path}, {split}: {size:,} samples of `{first}`, and {other:,} of `{key}`")
    if not size:
        raise DataError(f"{path}, {split}: there are no samples in it")
    return size


def filled(arrays: Sequence[Array], *, at_end: bool = False) -> Array:
    """How many rows of each sequence are left without the rows of zeros that pad it."""
    return np.concatenate([_filled(a[i : i + _BLOCK], at_end) for a in arrays for i in range(0, len(a), _BLOCK)])


def _filled(block: Array, at_end: bool) -> Array:
    used = (block != 0).any(axis=2)  # (N, L); NaN and -inf are no padding
    first = np.argmax(used if at_end else used[:, ::-1], axis=1) if block.shape[1] else np.zeros(len(block), int)
    return np.where(used.any(axis=1), block.shape[1] - first, 0)


def as_text(value: object) -> str | None:
    """A text that UTF-8 can write, of a text or of bytes; None of anything else."""
    try:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, str):
            value.encode()
            return str(value)
    except UnicodeError:
        return None
    return None


def _names(found: Mapping[Any, Any]) -> str:
    names = ", ".join(f"`{str(key)[:_SHOWN]}`" for key in list(found)[:20])
    return names or "nothing"


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of the shape {value.shape} and type {value.dtype}"
    return f"a {type(value).__name__}"
