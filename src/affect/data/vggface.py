"""Features of faces that a VGGFace2 network gave elsewhere: a file for each sample, or one HDF5 file.

Owns which forms are read: a folder of `<id>.npy` or `<id>.npz` (one array in it), or an HDF5 file of `/<split>/<id>`,
with 512 or 2048 numbers a frame; a single row is one frame. A sample without features gets none, and is counted.
Refuses other widths, two widths in one source, types that are no numbers, and sources in which no id is found. An id
is only looked up among the names that a source lists; no path is ever made of it.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import hdf5
from affect.data.draft import Array, Draft, Frames
from affect.errors import DataError

EXTRACTORS = {512: "InceptionResnetV1", 2048: "senet50"}
_LARGEST = 1 << 30  # bytes of one sample: 36 hours of a frame a second, of 2048 doubles
_UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, LookupError, SyntaxError, RuntimeError, MemoryError,
    tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class _Faces:
    """One sample's features: where they lie, what they claim to be, and how to read them."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Array]

    @property
    def rows(self) -> int:
        return self.shape[0] if len(self.shape) == 2 else 1

    def read(self) -> Array:  # (rows, width)
        with _sentence(self.where):
            array = np.asarray(self.load())
            if array.shape != self.shape:
                raise DataError(f"{self.where} had the shape {self.shape}, and has {array.shape}: it was changed")
            return array.reshape(self.rows, self.shape[-1])


def read_face_features(path: Path, ids: Sequence[str]) -> Frames:
    """The features of each id; what the source has for other ids is left alone."""
    wanted = set(ids)
    found = _of_folder(path, wanted) if path.is_dir() else _of_hdf5(path, wanted)
    if not found:
        form = "<id>.npy or <id>.npz" if path.is_dir() else "/<split>/<id>"
        raise DataError(f"{path} has none of the {len(ids):,} ids as {form}; the first is `{next(iter(ids), '')}`")
    width = _width(list(found.values()))
    lengths = np.array([found[name].rows if name in found else 0 for name in ids], np.int64)
    empty = np.empty((0, width), np.float32)
    about = f"VGGFace2 features of faces; {width} numbers a frame must be of {EXTRACTORS[width]}"
    return Frames(lengths, width, lambda i: found[ids[i]].read() if ids[i] in found else empty, about)


def add_face_features(draft: Draft, path: Path, name: str = "faces") -> None:
    """Give a draft the features as frames of this name, and note how many of its samples have none."""
    if name in draft.frames:
        raise DataError(f"{draft.name} has frames `{name}` already; give those of {path} another name")
    frames = read_face_features(path, draft.ids)
    missing = int(np.count_nonzero(frames.lengths == 0))
    draft.frames[name] = frames
    draft.notes.append(f"{name}: {missing:,} of {len(draft):,} samples have no features in {path.name}")
    if path.is_file():
        draft.sources.append(path)


def _width(found: Sequence[_Faces]) -> int:
    """The one width of all; everything is looked at before anything is read."""
    for faces in found:
        if len(faces.shape) not in (1, 2) or faces.shape[-1] not in EXTRACTORS:
            told = " or ".join(f"{width} ({name})" for width, name in EXTRACTORS.items())
            raise DataError(f"{faces.where} has the shape {faces.shape}; features are (frames, width) of width {told}")
        if faces.shape[-1] != found[0].shape[-1]:
            widths = f"{faces.shape[-1]} numbers a frame, and {found[0].where} has {found[0].shape[-1]}"
            raise DataError(f"{faces.where} has {widths}; two extractors do not go together")
    return found[0].shape[-1]


@contextmanager
def _sentence(where: str | Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _UNREADABLE as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where} cannot be read as an array of numbers: {told}") from error


# a folder


def _of_folder(folder: Path, wanted: set[str]) -> dict[str, _Faces]:
    found: dict[str, _Faces] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".npy", ".npz") or path.stem not in wanted:
            continue
        if path.stem in found:
            raise DataError(f"{folder} has {path.stem}.npy and {path.stem}.npz; take one of them away")
        if not path.is_file():
            raise DataError(f"{path} is no file")
        with _sentence(path):
            found[path.stem] = _npy(path) if path.suffix == ".npy" else _npz(path)
    return found


def _npy(path: Path) -> _Faces:
    with open(path, "rb") as file:
        shape, dtype = _header(file, path, path.stat().st_size)
    return _Faces(str(path), shape, dtype, partial(np.load, path, allow_pickle=False))


def _npz(path: Path) -> _Faces:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1:
            raise DataError(f"{path} holds {len(members)} arrays; it should hold one, the features")
        with archive.open(members[0]) as file:
            shape, dtype = _header(file, path, members[0].file_size)
    return _Faces(str(path), shape, dtype, partial(_unpacked, path))


def _header(file: Any, path: Path, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """What an array claims to be, in the form of .npy, unless it is not what the file holds."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{path} is an .npy of version {version}, which plain numbers do not need")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.kind not in "iuf":
        raise DataError(f"{path} has the type {dtype}, which is no number")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise DataError(f"{path} claims the shape {shape}, which is not what it holds; copy it again")
    if size > _LARGEST:
        raise DataError(f"{path} has {size:,} bytes, which is too much for one sample")
    return shape, dtype


def _unpacked(path: Path) -> Array:
    with np.load(path, allow_pickle=False) as arrays:
        array: Array = arrays[arrays.files[0]]
    return array


# an HDF5 file


def _of_hdf5(path: Path, wanted: set[str]) -> dict[str, _Faces]:
    file = hdf5.open_foreign(path)
    try:
        with hdf5.reading(path):
            return _listed(file, path, wanted)
    except DataError:
        file.close()
        raise


def _listed(file: Any, path: Path, wanted: set[str]) -> dict[str, _Faces]:
    found: dict[str, _Faces] = {}
    for names, dataset in hdf5.walk(file, path, deepest=8):
        if len(names) < 2:
            raise DataError(f"{path}: `{names[0]}` lies at the top; features lie at /<split>/<id>")
        place, name = "/".join(names), "/".join(names[1:])  # an id with slashes lies in groups
        if name not in wanted:
            continue
        if name in found:
            raise DataError(f"{path} has `{name}` in two splits; a sample is in one")
        hdf5.check(dataset, path)
        if dataset.dtype.kind not in "iuf":
            raise DataError(f"{path}: `{place}` has the type {dataset.dtype}, which is no number")
        found[name] = _Faces(f"{path}: `{place}`", dataset.shape, dataset.dtype, partial(_stored, file, place))
    return found


def _stored(file: Any, place: str) -> Array:
    array: Array = file[place][()]
    return array
