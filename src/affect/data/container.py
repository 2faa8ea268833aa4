"""Named arrays and a JSON description in one HDF5 file, read through a memory map.

Owns the layout that datasets and features share: plain, contiguous, little-endian arrays of numbers, each with its
SHA-256 in the description. A reader maps the file, so that opening takes milliseconds, a batch touches only its own
pages, and processes on one machine share them. Refuses, before anything is read, links out of the file, external
storage, filters, sizes beyond the end of the file, and types that are no numbers.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affect import files
from affect.data.draft import Array
from affect.errors import DataError

SCHEMA = 1
_ABOUT = "about"
_ALIGN = 64
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Stream:
    """An array that is written piece by piece, along its first axis."""

    shape: tuple[int, ...]
    dtype: str
    pieces: Iterable[Array]


@dataclass(frozen=True)
class Container:
    """A file that was opened: its description, and its arrays by their path in it."""

    path: Path
    about: dict[str, Any]
    arrays: Mapping[str, Array] = field(repr=False)

    def ragged(self, name: str) -> Ragged:
        """Sequences under this name; DataError where their ends do not fit what is there."""
        found = Ragged(self.arrays[f"{name}/values"], self.arrays[f"{name}/offsets"], self.arrays.get(f"{name}/of"))
        if not found.fits():
            raise DataError(f"{self.path}: the sequences of `{name}` do not hang together; make the file again")
        return found

    def names(self, group: str) -> list[str]:
        """What a group holds, one level down."""
        found = (name[len(group) + 1 :].split("/")[0] for name in self.arrays if name.startswith(f"{group}/"))
        return sorted(set(found))

    def verify(self) -> None:
        """Read everything, and raise DataError unless each array has the bytes that were written."""
        for name, digest in self.about["digests"].items():
            if _digest(_blocks(self.arrays[name])) != digest:
                raise DataError(f"{self.path}: array `{name}` is not what was written; make the file again")


@dataclass(frozen=True)
class Ragged:
    """Sequences of different lengths, end to end: `values[offsets[i]:offsets[i + 1]]` is the i-th.

    Where there is `of`, sequences are shared: the i-th is that of the number `of[i]`.
    """

    values: Array
    offsets: Array
    of: Array | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1 if self.of is None else len(self.of)

    def __getitem__(self, index: int) -> Array:
        place = index if self.of is None else self.of[index]
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    def fits(self) -> bool:
        """Whether every sequence lies within the values."""
        ends = self.offsets
        if len(ends) == 0 or ends[0] != 0 or ends[-1] != len(self.values) or (ends[1:] < ends[:-1]).any():
            return False
        return self.of is None or len(self.of) == 0 or (self.of.min() >= 0 and int(self.of.max()) < len(ends) - 1)

    @property
    def lengths(self) -> Array:
        lengths = np.diff(self.offsets)
        return lengths if self.of is None else lengths[self.of]

    def text(self, index: int) -> str:
        return self[index].tobytes().decode()

    def texts(self) -> list[str]:
        data, ends = self.values.tobytes(), self.offsets.tolist()
        return [data[a:b].decode() for a, b in zip(ends, ends[1:], strict=False)]


# writing


def write(path: Path, kind: str, about: Mapping[str, Any], arrays: Mapping[str, Array | Stream]) -> None:
    """Write a container; it is there whole or not at all."""
    import h5py

    with files.replacing(path) as temporary:
        digests = {}
        with h5py.File(
            temporary, "w", libver=("v110", "v110"), alignment_threshold=_ALIGN, alignment_interval=_ALIGN
        ) as file:
            for name, array in arrays.items():
                digests[name] = _put(file, name, array)
            text = json.dumps(
                {"schema": SCHEMA, "kind": kind, **about, "digests": digests}, allow_nan=False, ensure_ascii=False
            )
            _put(file, _ABOUT, np.frombuffer(text.encode(), np.uint8))


def strings(name: str, texts: Iterable[str]) -> dict[str, Array]:
    """The arrays of a list of texts."""
    data = [text.encode() for text in texts]
    return {f"{name}/values": np.frombuffer(b"".join(data), np.uint8), f"{name}/offsets": offsets(map(len, data))}


def offsets(lengths: Iterable[int]) -> Array:
    """Where each of some sequences begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)


def _put(file: Any, name: str, array: Array | Stream) -> str:
    if not isinstance(array, Stream):
        array = Stream(array.shape, array.dtype.newbyteorder("<").str, [array])
    dataset = file.create_dataset(name, shape=array.shape, dtype=array.dtype, track_times=False)
    written, digest = 0, hashlib.sha256()
    for piece in array.pieces:
        block = np.ascontiguousarray(piece, array.dtype)
        if len(block):
            dataset[written : written + len(block)] = block
            digest.update(block.data)
        written += len(block)
    if written != array.shape[0]:
        raise ValueError(f"{name}: {written} rows came for {array.shape[0]}")
    return digest.hexdigest()


# reading


def read(path: Path, kind: str) -> Container:
    """Open a container of this kind. Its arrays are views of the mapped file, and cannot be written to."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            places = dict(_places(file, path))
        with open(path, "rb") as opened:
            image = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except (OSError, KeyError, RuntimeError) as error:  # what h5py makes of a damaged file
        raise DataError(f"{path} cannot be read as HDF5: {error}") from error
    arrays = {name: _view(path, image, name, *place) for name, place in places.items()}
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        found, schema, listed = about["kind"], about["schema"], set(about["digests"])
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no file of ours: it has no description") from error
    if found != kind or schema > SCHEMA or listed != set(arrays):
        raise DataError(f"{path} holds {found}, schema {schema}, not {kind} of schema {SCHEMA}: make it again")
    return Container(path, about, arrays)


def _places(file: Any, path: Path) -> Iterator[tuple[str, tuple[int | None, Any, tuple[int, ...]]]]:
    """Where each array lies. Anything that is not a plain array of numbers inside this file is refused."""
    import h5py

    def walk(group: Any, above: str) -> Iterator[tuple[str, Any]]:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataError(f"{path}: `{above}{name}` is a link to somewhere else")
            child = group[name]
            if isinstance(child, h5py.Group):
                if above.count("/") > 2:
                    raise DataError(f"{path}: `{above}{name}` lies too deep")
                yield from walk(child, f"{above}{name}/")
            else:
                yield f"{above}{name}", child

    for name, dataset in walk(file, ""):
        if not isinstance(dataset, h5py.Dataset):
            raise DataError(f"{path}: `{name}` is no array")
        plist = dataset.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or plist.get_nfilters():
            raise DataError(f"{path}: array `{name}` is not stored plainly in this file")
        if dataset.dtype.kind not in "iuf" or dataset.dtype.hasobject or dataset.shape is None:
            raise DataError(f"{path}: array `{name}` has the type {dataset.dtype}, which is no number")
        yield name, (dataset.id.get_offset(), dataset.dtype, dataset.shape)


def _view(path: Path, image: mmap.mmap, name: str, offset: int | None, dtype: Any, shape: tuple[int, ...]) -> Array:
    count = 1
    for size in shape:
        count *= size
    if count == 0:
        return np.empty(shape, dtype)
    if offset is None or offset + count * dtype.itemsize > len(image):
        raise DataError(f"{path} ends inside array `{name}`: it was cut short, make it again")
    return np.frombuffer(image, dtype, count, offset).reshape(shape)


def _blocks(array: Array) -> Iterator[Array]:
    rows = max(1, _BLOCK // max(1, array[:1].nbytes))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _digest(blocks: Iterable[Array]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()
