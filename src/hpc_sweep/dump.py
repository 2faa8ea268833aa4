"""The HDF5 schema of one finished point: pack it, write it, check it, read it.

A dump is one group, `point`: `schema`, `about` (JSON), `history`, and one dataset an array; behind the HDF5 bytes
stands one line with their checksum. Refuses what cannot be stored faithfully, and on reading whatever `pack` would
not have written (see `structure`). Only packing loads h5py.
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

from hpc_sweep import files, structure
from hpc_sweep.errors import DamagedError
from hpc_sweep.headers import rows_type, text_dtype
from hpc_sweep.job import METRIC_NAME, History, Result
from hpc_sweep.structure import ARRAY_NAME, HISTORY, LIMIT, POINT_ID, Array


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
    _check_size(result.arrays)
    metrics, missing = _metrics(result)
    arrays = {name: _storable(name, result.arrays[name]) for name in sorted(result.arrays)}
    if any(history.values()):
        arrays[HISTORY] = _rows_of(history)
    found = {"config": dict(config), "metrics": metrics, "missing": missing}
    about = {**found, "id": id, "job": job, "code": code, "content": _content(found, arrays)}
    text = files.canonical(about)
    if len(text.encode()) > structure.ABOUT_LIMIT:
        advice = "put long lists of numbers into an array"
        raise ValueError(f"configuration and metrics have over {structure.ABOUT_LIMIT:,} bytes: {advice}")
    from hpc_sweep import hdf5

    return structure.seal(hdf5.dump_image(text, arrays), id)


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
    structure.check(data, id, sha256, size)


def read(data: bytes, id: str, sha256: str | None = None, size: int | None = None) -> Dump:
    """Everything that a dump holds, checked first."""
    checked = structure.check(data, id, sha256, size)
    about = checked.about
    with structure.unreadable_is_damaged():
        kept = {name: stored.read(data) for name, stored in checked.arrays.items()}
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


def history_of(rows: Array) -> History:
    """Steps and values by name, from the table that `pack` made of them."""
    history: History = {}
    for name, step, value in rows.tolist():
        history.setdefault(name.decode(), []).append((step, value))
    return history


def _check_size(arrays: Mapping[str, Any]) -> None:
    if len(arrays) > structure.MOST_ARRAYS:
        raise ValueError(f"{len(arrays):,} arrays; a dump holds at most {structure.MOST_ARRAYS:,}")
    size = sum(getattr(array, "nbytes", 0) for array in arrays.values())
    if size > LIMIT:
        raise ValueError(f"arrays of {size:,} bytes are too much for a dump, which holds at most {LIMIT:,}")


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
        if isinstance(value, str | bytes) or getattr(value, "ndim", 0) > 0:
            raise TypeError
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
        return array.astype(text_dtype(max(1, array.dtype.itemsize)), order="C")
    if array.dtype.kind not in "iufbS" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        advice = "convert it to numbers, truth values or text first"
        raise ValueError(f"array `{name}` has the type {array.dtype}, which cannot be stored: {advice}")
    dtype = array.dtype.newbyteorder("<") if array.dtype.itemsize else np.dtype("S1")
    return np.array(array, dtype, order="C")


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
