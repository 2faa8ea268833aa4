"""One computational sequence of the CMU-MultimodalSDK: an HDF5 file of features with their times in seconds.

Owns the layout `<root>/data/<key>/{features,intervals}`, where a key is a video, or `video[3]` in an aligned file, and
the rule that tells what a sequence is (`RULE`). `<root>/metadata` is not read. Refuses files of any other layout; an
entry whose shapes do not fit is kept, with what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affect.data import hdf5
from affect.data.draft import Array
from affect.errors import DataError

_MARKS = {
    "labels": ("label",),
    "vision": ("facet", "openface", "visual", "vision", "face"),
    "audio": ("covarep", "opensmile", "acoustic", "audio"),
    "text": ("glove", "vector", "bert", "language"),
}
RULE = "entries of text are words (phones where a name has `phone`); entries of numbers are told by the names: " + (
    "; ".join(f"{role} by {', '.join(f'`{mark}`' for mark in marks)}" for role, marks in _MARKS.items())
)


@dataclass(frozen=True)
class Entry:
    """One key of a sequence. `wrong` is "" where features (rows, width) and intervals (rows, 2) fit together."""

    rows: int
    width: int
    wrong: str = ""


@dataclass(frozen=True)
class Sequence:
    """A file that was opened and looked at. `width` is what most of its entries have."""

    path: Path
    root: str
    is_text: bool
    width: int
    entries: Mapping[str, Entry]
    file: Any  # stays open: its arrays are read when they are asked for

    @property
    def role(self) -> str:
        """words, phones, labels, vision, audio or text, by RULE."""
        names = f"{self.root} {self.path.stem}".casefold()
        if self.is_text:
            return "phones" if "phone" in names else "words"
        for role, marks in _MARKS.items():
            if any(mark in names for mark in marks):
                return role
        raise DataError(
            f"{self.path} (root `{self.root}`): its names do not say what it is; rename the file. The rule: {RULE}"
        )

    def features(self, key: str, start: int, stop: int) -> Array:  # (stop - start, width)
        return self._read(key, "features", slice(start, stop))

    def intervals(self, key: str) -> Array:  # (rows, 2) seconds
        return self._read(key, "intervals", slice(None))

    def _read(self, key: str, part: str, rows: slice) -> Array:
        with hdf5.reading(self.path):
            found: Array = self.file[self.root]["data"][key][part][rows]
        return found


def open_sequence(path: Path) -> Sequence:
    """Open a .csd file, and look at all of its entries before any is read."""
    file = hdf5.open_foreign(path)
    try:
        with hdf5.reading(path):
            return _looked_at(file, path)
    except DataError:
        file.close()
        raise


def _looked_at(file: Any, path: Path) -> Sequence:
    roots = list(file)
    if len(roots) != 1:
        raise DataError(f"{path} has {len(roots)} groups at its root; a computational sequence has one")
    parts = _parts(file, path)
    entries = {key: _entry(key, found, path) for key, found in parts.items()}
    kinds = {found["features"].dtype.kind == "S" for found in parts.values()}
    if len(kinds) != 1:
        raise DataError(f"{path} has {'no entries' if not kinds else 'entries of text and entries of numbers'}")
    widths = Counter(entry.width for entry in entries.values() if not entry.wrong)
    width = widths.most_common(1)[0][0] if widths else 0
    entries = {key: _with_width(entry, width) for key, entry in entries.items()}
    return Sequence(path, str(roots[0]), kinds.pop(), width, entries, file)


def _parts(file: Any, path: Path) -> dict[str, dict[str, Any]]:
    """The two arrays of each key."""
    import h5py

    found: dict[str, dict[str, Any]] = {}
    for names, dataset in hdf5.walk(file, path, deepest=4):
        if len(names) == 3 and names[1] == "metadata":
            if h5py.check_string_dtype(dataset.dtype) is None:
                raise DataError(f"{path}: `{'/'.join(names)}` has the type {dataset.dtype}; metadata is text")
        elif len(names) == 4 and names[1] == "data" and names[3] in ("features", "intervals"):
            hdf5.check(dataset, path)
            found.setdefault(names[2], {})[names[3]] = dataset
        else:
            raise DataError(f"{path}: `{'/'.join(names)}` belongs in no computational sequence")
    for key, parts in found.items():
        if len(parts) < 2:
            raise DataError(f"{path}: `{key}` has {next(iter(parts))} only; it needs features and intervals")
    return found


def _entry(key: str, parts: Mapping[str, Any], path: Path) -> Entry:
    features, intervals = parts["features"], parts["intervals"]
    if intervals.dtype.kind not in "iuf":
        raise DataError(f"{path}: the intervals of `{key}` have the type {intervals.dtype}, which is no number")
    if features.ndim != 2 or intervals.shape != (len(features), 2):
        return Entry(0, 0, f"features {features.shape} and intervals {intervals.shape} do not fit together")
    return Entry(*features.shape)


def _with_width(entry: Entry, width: int) -> Entry:
    if entry.wrong or entry.width == width:
        return entry
    return replace(entry, wrong=f"rows of {entry.width} numbers, and most others have {width}")
