"""What an importer makes of foreign files: a dataset that is not written yet, and what is wrong with it.

Sequences are read a sample at a time, so that a large file is in memory once. Nothing is mended silently: each sample
that does not fit becomes a `Problem`, and whoever writes the dataset decides what becomes of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SPLITS = ("train", "valid", "test")
MEDIA = ("video", "audio", "frames", "subtitles")


@dataclass(frozen=True)
class Problem:
    """A sample that does not fit. `index` counts the draft's samples; -1 is one that is not in the draft at all."""

    index: int
    what: str  # the file, the sample's place and id, and the value: "dev.csv row 17 (dia3_utt4): emotion 'glee' ..."


@dataclass(frozen=True)
class Frames:
    """A sequence for each sample: `read(i)` gives (lengths[i], width) numbers. A length of 0 is a missing modality.

    Where samples share sequences, as the comments on one video do, `of` says which sequence each sample has, and
    `lengths` and `read` count sequences. Each is then read and stored once.
    """

    lengths: Array  # (N,) integers, or one for each sequence where there is `of`
    width: int
    read: Callable[[int], Array]
    about: str = ""  # what the numbers are: "COVAREP, aligned to words"
    of: Array | None = None  # (N,) numbers of sequences


@dataclass(frozen=True)
class Labels:
    """One answer a sample: the number of a class, or a value where there are no classes."""

    values: Array  # (N,) integers, or floats
    classes: tuple[str, ...] = ()
    rule: str = ""  # how it was made of what the file says

    def counts(self, chosen: Sequence[int] | Array) -> dict[str, int]:
        """How many of the chosen samples each class has."""
        found = Counter(np.asarray(self.values)[np.asarray(chosen, dtype=int)].tolist())
        return {name: found[number] for number, name in enumerate(self.classes)}


@dataclass
class Draft:
    """A dataset as an importer found it: everything a list or an array with one entry a sample."""

    name: str
    importer: str  # which importer, and its version: "mmsa 1"
    sources: list[Path]  # the files it was made of
    ids: list[str]
    splits: list[str]  # of SPLITS
    texts: list[str] | None = None
    frames: dict[str, Frames] = field(default_factory=dict)  # vision, audio, text, ...
    tokens: dict[str, list[Array]] = field(default_factory=dict)  # by vocabulary: 1-D integers, no padding
    labels: dict[str, Labels] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)  # what a sample belongs to: its video, its speaker
    media: dict[str, list[str]] = field(default_factory=dict)  # of MEDIA: a path below `root`, "" where there is none
    root: Path | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader should know, in sentences

    def __len__(self) -> int:
        return len(self.ids)
