"""Features of CSMV's videos: one `.npy` a video, which all comments on it share.

Finds the folder by the names and the width of the files in it. Reads through a memory map, and a video only when it
is asked for. Refuses two folders that both fit; a file that is no such array is told when it is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect.data.draft import Array, Frames
from affect.data.plain import scan
from affect.errors import DataError

_TRIED = 20  # files of a folder that are looked at for their width


@dataclass(frozen=True)
class Kind:
    """How the release names and cuts one kind of features."""

    told: str
    width: int
    ending: str
    most: int  # frames of a video that are kept, as the release's own loader keeps them


KINDS: Mapping[str, Kind] = {
    "i3d": Kind("I3D", 1024, ".npy", 180),
    "r21d": Kind("R(2+1)D", 512, "_r21d.npy", 180),
    "videomae": Kind("VideoMAE v2", 1408, ".npy", 720),
}
_OTHERS = tuple(kind.ending for kind in KINDS.values() if kind.ending != ".npy")


def read_features(source: Path, kind: Kind, videos: Sequence[str]) -> tuple[Frames | None, list[str]]:
    """The features of each sample's video, and what to know of them; None where there is no folder of this kind."""
    folder = _folder(source, kind)
    if folder is None:
        return None, [f"There are no {kind.told} features below the folder, so there is text only."]
    names = list(dict.fromkeys(videos))
    there = set(_files(folder, kind))
    paths = [folder / file if (file := name + kind.ending) in there else None for name in names]
    lengths = np.array([_length(path, kind) for path in paths], np.int64)
    numbers = {name: number for number, name in enumerate(names)}

    def read(number: int) -> Array:
        path = paths[number]
        return np.zeros((0, kind.width), np.float32) if path is None else np.array(_open(path, kind)[: kind.most])

    of = np.array([numbers[name] for name in videos], np.int64)
    about = f"{kind.told}, one sequence a video"
    frames = Frames(np.minimum(lengths, kind.most), kind.width, read, about, of)
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    return frames, _notes(kind, videos, missing, len(names), int(np.sum(lengths > kind.most)))


def _notes(kind: Kind, videos: Sequence[str], missing: Sequence[str], count: int, cut: int) -> list[str]:
    notes = [f"{kind.told} features of {count - len(missing):,} videos were read; a video's comments share them."]
    if missing:
        comments = Counter(videos)
        lost = sum(comments[name] for name in missing)
        notes.append(
            f"{len(missing):,} of {count:,} videos have no {kind.told} features, so that {lost:,} of {len(videos):,} "
            f"comments have frames of length 0; the first is {missing[0]}."
        )
    if cut:
        notes.append(f"{cut:,} videos have more than {kind.most} frames; their first {kind.most} are kept.")
    return notes


def _folder(source: Path, kind: Kind) -> Path | None:
    """The one folder with features of this kind: the source, a folder in it, or one in that."""
    inside = _folders(source)
    found = [f for f in (source, *inside, *(f for folder in inside for f in _folders(folder))) if _fits(f, kind)]
    if len(found) > 1:
        raise DataError(f"{found[0]} and {found[1]} both hold {kind.told} features; move one of them away")
    return found[0] if found else None


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _fits(folder: Path, kind: Kind) -> bool:
    """Whether the first file that is an array has the width; I3D and VideoMAE v2 name their files alike."""
    for name in _files(folder, kind)[:_TRIED]:
        array = _array(folder / name)
        if array is not None:
            return array.ndim == 2 and array.shape[1] == kind.width
    return False


def _files(folder: Path, kind: Kind) -> list[str]:
    files = [name for name in scan(folder) if name.endswith(kind.ending)]
    return files if kind.ending in _OTHERS else [name for name in files if not name.endswith(_OTHERS)]


def _length(path: Path | None, kind: Kind) -> int:
    try:
        return 0 if path is None else len(_open(path, kind))
    except DataError:
        return 0  # told for each of its comments, when it is read


def _open(path: Path, kind: Kind) -> Array:
    array = _array(path)
    if array is None:
        raise DataError(f"{path} is no array of numbers in the .npy format, or was cut short; fetch it again")
    if array.ndim != 2 or array.shape[1] != kind.width:
        raise DataError(f"{path} has the shape {array.shape}, not (frames, {kind.width}) of {kind.told}")
    return array


def _array(path: Path) -> Array | None:
    """The array in a file, mapped; None where there is none."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError, TypeError, OverflowError):
        return None
    if isinstance(found, np.ndarray):
        return found
    found.close()  # a zip of arrays
    return None
