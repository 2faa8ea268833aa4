"""The HDF5 schema of one finished point: pack it, write it, check it, read it.

A dump is one group: `schema`, `about` (JSON), `history`, and one dataset an array; behind the HDF5 bytes stands
one line with their checksum. Refuses what cannot be stored faithfully, and on reading whatever `pack` would not have
written (see `structure`). Import it late: it loads h5py.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5a, h5d, h5f, h5p, h5s, h5t, string_dtype

from hpc_sweep import files, structure
from hpc_sweep.errors import DamagedError
from hpc_sweep.job import METRIC_NAME, History, Result
from hpc_sweep.structure import (
    ABOUT,
    ABOUT_LIMIT,
    ARRAY_NAME,
    HISTORY,
    LIMIT,
    POINT_ID,
    SCHEMA,
    in_memory,
    no_name,
    opened,
    rows_type,
    seal,
    unreadable_is_damaged,
)

Array = np.ndarray[Any, np.dtype[Any]]

_COMPACT = 2_048  # up to here an array lies in its own header, under the header's checksum
_CHUNK = 1 << 20
_GZIP = 4


@dataclass(frozen=True)
class Dump:
    """What a dump holds."""

    id: str
    job: str
    config: dict[str, Any]
    code: str
    metrics: dict[str, float | None]
    missing: dict[str, str]
    history: History
    arrays: dict[str, Array]


def pack(*, id: str, job: str, config: Mapping[str, Any], code: str, result: Result, history: History) -> bytes:
    """The bytes of a dump; equal content gives equal bytes."""
    metrics, missing = _metrics(result)
    arrays = {name: _storable(name, result.arrays[name]) for name in sorted(result.arrays)}
    if any(history.values()):
        arrays[HISTORY] = _rows_of(history)
    if sum(a.nbytes for a in arrays.values()) > LIMIT:
        raise ValueError(f"the arrays have more than {LIMIT:,} bytes: too much for a dump")
    found = {"config": dict(config), "metrics": metrics, "missing": missing}
    about = {**found, "id": id, "job": job, "code": code, "content": _content(found, arrays)}
    file = h5f.create(no_name(), h5f.ACC_TRUNC, untimed(h5p.FILE_CREATE), in_memory())
    try:
        number = h5a.create(file, b"schema", h5t.STD_I64LE, h5s.create(h5s.SCALAR))
        number.write(np.array(SCHEMA, dtype="<i8"))
        write_text(file, ABOUT, files.canonical(about))
        for name, array in arrays.items():
            write_dataset(file, name, array)
        h5f.flush(file)
        return seal(file.get_file_image(), id)
    finally:
        file.close()


def write(folder: Path, id: str, data: bytes) -> tuple[Path, str, int, int]:
    """Put a packed dump in its place: path, SHA-256, bytes and time of change (ns)."""
    path = path_of(folder, id)
    files.make_folder(path.parent)
    files.write_atomic(path, data)
    with files.disk(path):
        stat = os.stat(path)
    return path, hashlib.sha256(data).hexdigest(), stat.st_size, stat.st_mtime_ns


def path_of(folder: Path, id: str) -> Path:
    """Where the dump of a point lies."""
    if not POINT_ID.match(id):
        raise ValueError(f"`{id}` is not the id of a point")
    return folder / id[:2] / f"{id}.h5"


def check(data: bytes, id: str, sha256: str | None = None, size: int | None = None) -> None:
    """Raise DamagedError unless these are the bytes that were written, shaped like a dump of point `id`.

    `sha256` and `size` stand in the attempt's line; where that was lost, the checksum at the end decides.
    """
    with opened(structure.check(data, id, sha256, size)):
        pass


def read(data: bytes, id: str, sha256: str | None = None, size: int | None = None) -> Dump:
    """Everything that a dump holds, checked first."""
    with opened(structure.check(data, id, sha256, size)) as found, unreadable_is_damaged():
        about = found.about
        kept = {name: stored(h5d.open(found.root, name.encode())) for name in found.names}
        if sha256 is None and _content(about, kept) != about["content"]:
            raise DamagedError("its content does not match its own checksum")
    return Dump(
        id=id,
        job=about["job"],
        config=about["config"],
        code=about["code"],
        metrics=about["metrics"],
        missing=about["missing"],
        history=history_of(kept.pop(HISTORY)) if HISTORY in kept else {},
        arrays={name: as_given(array) for name, array in kept.items()},
    )


# pieces that the collected results share


def untimed(kind: h5p.PropClassID) -> Any:
    """Creation properties under which no time goes into the file."""
    properties = h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def write_text(at: Any, name: bytes, text: str) -> None:
    """An attribute of fixed length in UTF-8."""
    encoded = text.encode()
    if len(encoded) > ABOUT_LIMIT:
        advice = "put long lists of numbers into an array"
        raise ValueError(f"configuration and metrics have {len(encoded):,} bytes, over {ABOUT_LIMIT:,}: {advice}")
    kind = h5t.py_create(string_dtype("utf-8", max(1, len(encoded))))
    h5a.create(at, name, kind, h5s.create(h5s.SCALAR)).write(np.array(encoded), kind)


def write_dataset(at: Any, name: str, array: Array) -> h5d.DatasetID:
    """One array: small ones in their header, others in chunks with a checksum, compressed where that pays."""
    properties = untimed(h5p.DATASET_CREATE)
    if array.nbytes <= _COMPACT:
        properties.set_layout(h5d.COMPACT)
    else:
        properties.set_chunk(_chunk(array.shape, array.dtype.itemsize))
        if _compresses(array):
            properties.set_shuffle()
            properties.set_deflate(_GZIP)
        properties.set_fletcher32()
    kind = h5t.py_create(array.dtype)
    space = h5s.create_simple(array.shape) if array.shape else h5s.create(h5s.SCALAR)
    dataset = h5d.create(at, name.encode(), kind, space, properties)
    dataset.write(h5s.ALL, h5s.ALL, array, kind)
    return dataset


def history_of(rows: Array) -> History:
    """Steps and values by name, from the table that `pack` made of them."""
    history: History = {}
    for name, step, value in rows.tolist():
        history.setdefault(name.decode(), []).append((step, value))
    return history


def _metrics(result: Result) -> tuple[dict[str, float | None], dict[str, str]]:
    metrics: dict[str, float | None] = dict.fromkeys(result.missing)
    missing = {name: str(reason) for name, reason in result.missing.items()}
    for name, value in result.metrics.items():
        number = None if value is None else _number(name, value)
        if number is not None and name in missing:
            raise ValueError(f"metric `{name}` has a value and a reason for having none")
        if number is not None and not math.isfinite(number):
            missing[name] = f"the value is {number}"
            number = None
        metrics[name] = number
    for name in metrics:
        _check_name(name, METRIC_NAME, "a metric", "_ / . -")
    return metrics, missing


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"metric `{name}` is not a number: {type(value).__name__}") from error


def _check_name(name: str, allowed: re.Pattern[str], what: str, signs: str) -> None:
    if not allowed.match(name):
        raise ValueError(f"`{name}` cannot name {what}: letters, digits and {signs} only, a letter first")


def _rows_of(history: History) -> Array:
    """One row a number, sorted by name: a run that was resumed leaves the bytes of one that was not."""
    for name in history:
        _check_name(name, METRIC_NAME, "a number", "_ / . -")
    rows = [(name.encode(), step, value) for name in sorted(history) for step, value in history[name]]
    return np.array(rows, dtype=rows_type(max(map(len, history))))


def _storable(name: str, value: Any) -> Array:
    """The array as it is stored: in order, little-endian, of numbers, truth values or text."""
    _check_name(name, ARRAY_NAME, "an array", "_ . -")
    if name == HISTORY:
        raise ValueError(f"an array cannot be called `{HISTORY}`: that is where the logged numbers are")
    if not isinstance(value, np.ndarray | np.generic) or isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"array `{name}` is a {type(value).__name__}: give a plain numpy array")
    array = np.asarray(value)
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
        return array.astype(string_dtype("utf-8", max(1, array.dtype.itemsize)), order="C")
    if array.dtype.kind not in "iufbS" or array.dtype == np.longdouble:
        advice = "convert it to numbers, truth values or text first"
        raise ValueError(f"array `{name}` has the type {array.dtype}, which cannot be stored: {advice}")
    dtype = array.dtype.newbyteorder("<") if array.dtype.itemsize else np.dtype("S1")
    return np.array(array, dtype, order="C")


def stored(dataset: h5d.DatasetID) -> Array:
    array = np.empty(dataset.shape, dataset.dtype)
    dataset.read(h5s.ALL, h5s.ALL, array, dataset.get_type())
    return array


def as_given(array: Array) -> Array:
    """Without what h5py notes in a type of text; text that was str is str again."""
    if array.dtype.kind != "S":
        return array
    is_text = dict(array.dtype.metadata or {}).get("h5py_encoding") == "utf-8"
    return np.char.decode(array, "utf-8") if is_text else array.astype(f"S{array.dtype.itemsize}")


def _content(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """A checksum of what the point found, whatever the version of HDF5 that wrote it."""
    found = [about["config"], about["metrics"], about["missing"]]
    digest = hashlib.sha256(files.canonical(found).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _chunk(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The largest even slices along the first axes that stay within the size of a chunk."""
    chunk = list(shape)
    for axis, length in enumerate(shape):
        pieces = -(-math.prod(chunk) * itemsize // _CHUNK)
        chunk[axis] = -(-length // min(pieces, length))
    return tuple(chunk)


def _compresses(array: Array) -> bool:
    """Whether gzip saves a tenth: tried on the first 64 kB, shuffled by byte as HDF5 does."""
    import zlib

    sample = array.reshape(-1)[: max(1, (1 << 16) // array.dtype.itemsize)]
    shuffled = sample.view(np.uint8).reshape(len(sample), -1).T.tobytes()
    return len(zlib.compress(shuffled, _GZIP)) < 0.9 * len(shuffled)
