"""Dumps into one `results.h5` and one `results.csv`, each whole or not there, the same bytes from the same dumps.

`results.h5` holds `table` (a row a point, for any program), `rows` (the same, exactly, for `load`) and below
`points` all that the dumps hold. Refuses no sweep for a damaged dump: it is left out and named.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5f, h5g, h5o, h5p

from hpc_sweep import files, hdf5, structure
from hpc_sweep import results as tables
from hpc_sweep.errors import DamagedError, DiskError, InputError
from hpc_sweep.results import Results, Row, load

__all__ = ["Entry", "Outcome", "Results", "Row", "collect", "load"]

Progress = Callable[[int, int], None]

_IN_MEMORY = 1 << 26  # bytes of dumps; larger results are built in a file
_FILES_AT_ONCE, _BYTES_AT_ONCE = 100, 1 << 25


@dataclass(frozen=True)
class Entry:
    """A finished point: its dump, and what the attempt said of it (None where that line was lost)."""

    id: str
    config: dict[str, Any]
    axes: dict[str, Any]
    path: Path
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Outcome:
    """What was written, and which dumps were left out, with the reason."""

    rows: int
    columns: int
    read_bytes: int
    damaged: list[tuple[str, str]]
    csv: Path | None
    h5: Path | None
    sha256: str | None


def collect(
    entries: Sequence[Entry],
    folder: Path,
    *,
    name: str,
    expected: int,
    to: Collection[str],
    progress: Progress | None = None,
) -> Outcome:
    """Check every dump and write the results of those that are whole, in the order of `entries`.

    `to` names the files: "hdf5", "csv" or both. `expected` is the number of points of the sweep.
    """
    files.make_folder(folder)
    take = _Take(entries, progress or (lambda done, total: None))
    h5 = csv = sha256 = None
    if "hdf5" in to:
        h5 = folder / tables.FILE
        sha256 = _write_h5(h5, take, name, expected)
    else:
        take.all(lambda id, data: None)
    if "csv" in to:
        csv = folder / tables.CSV_FILE
        files.write_atomic(csv, tables.csv_text(take.columns).encode())
    return Outcome(len(take.rows), len(take.columns), take.read_bytes, take.damaged, csv, h5, sha256)


class _Take:
    """Goes through the dumps once: rows of the whole ones, names of the others."""

    def __init__(self, entries: Sequence[Entry], progress: Progress) -> None:
        self.entries = entries
        self.progress = progress
        self.sizes = [_size(entry.path) for entry in entries]
        self.rows: list[Row] = []
        self.damaged: list[tuple[str, str]] = []
        self.read_bytes = 0

    @cached_property
    def columns(self) -> tables.Columns:
        """The table, once all rows are there."""
        return tables.columns(self.rows)

    def all(self, keep: Callable[[str, bytes], None]) -> None:
        """Hand the bytes of every whole dump to `keep`, which may still find it damaged.

        In batches: a hundred small files are checked, then copied, in two thirds of the time that it takes in turn.
        """
        done = 0
        for batch in self._batches():
            for entry, checked in [(entry, self._check(entry)) for entry in batch]:
                try:
                    if isinstance(checked, DamagedError):
                        raise checked
                    keep(entry.id, checked.data)
                    about = checked.about
                    self.rows.append(Row(entry.id, entry.axes, entry.config, about["metrics"], about["missing"]))
                except DamagedError as error:
                    self.damaged.append((entry.id, error.message))
                done += 1
                self.progress(done, len(self.entries))

    def _batches(self) -> Iterator[list[Entry]]:
        batch, held = [], 0
        for entry, size in zip(self.entries, self.sizes, strict=True):
            batch.append(entry)
            held += size
            if len(batch) == _FILES_AT_ONCE or held >= _BYTES_AT_ONCE:
                yield batch
                batch, held = [], 0
        yield batch

    def _check(self, entry: Entry) -> structure.Checked | DamagedError:
        try:
            data = files.read_bytes(entry.path)
            self.read_bytes += len(data)
            return structure.check(data, entry.id, entry.sha256, entry.size)
        except DamagedError as error:
            return error
        except InputError as error:
            return DamagedError(error.message.removeprefix(f"{entry.path}").lstrip(": "))
        except OSError as error:
            return DamagedError(f"cannot be read: {error.strerror}")


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _write_h5(path: Path, take: _Take, name: str, expected: int) -> str:
    """Build results.h5 and put it in its place whole; its SHA-256. In memory, unless it is too large for that."""
    if sum(take.sizes) <= _IN_MEMORY:
        buffer = io.BytesIO()
        with hdf5.new(buffer) as root:
            _fill(root, take, name, expected, lambda: None)
        data = buffer.getvalue()
        files.write_atomic(path, data)
        return hashlib.sha256(data).hexdigest()
    with files.growing(path) as file:
        with hdf5.new(file) as root:
            _fill(root, take, name, expected, file.check)
        file.check()
        return _looked_at(file.path, take.rows)


def _fill(root: h5f.FileID, take: _Take, name: str, expected: int, check: Callable[[], None]) -> None:
    """Copy every whole dump as it is, then write the tables; `check` raises what went wrong in writing."""
    points = h5g.create(root, tables.POINTS, None, hdf5.untimed(h5p.GROUP_CREATE))
    access = hdf5.in_memory()

    def keep(id: str, data: bytes) -> None:
        try:
            access.set_file_image(data)
            file = h5f.open(hdf5.no_name(), h5f.ACC_RDONLY, access)
            try:
                h5o.copy(file, structure.POINT, points, id.encode())
            finally:
                file.close()
        except structure.UNREADABLE as error:
            check()
            raise DamagedError(f"is not a dump that can be read: {error}") from error
        check()

    take.all(keep)
    _write_tables(root, points, take, name, expected)


def _write_tables(root: h5f.FileID, points: h5g.GroupID, take: _Take, name: str, expected: int) -> None:
    complete = f"{len(take.rows)} of {expected} points"
    hdf5.write_number(root, b"schema", tables.SCHEMA)
    hdf5.write_number(root, b"rows", len(take.rows))
    hdf5.write_number(root, b"expected", expected)
    hdf5.write_text(root, b"name", name)
    hdf5.write_text(root, b"complete", complete)
    places = [points.links.get_info(row.id.encode()).u for row in take.rows]
    exact = tables.document(name, expected, take.rows, places).encode()
    hdf5.write_array(root, tables.ROWS, np.frombuffer(exact, np.uint8))
    first, *others = _parts(take.columns)
    hdf5.write_text(hdf5.write_array(root, tables.TABLE, tables.records(first)), b"complete", complete)
    if others:
        more = h5g.create(root, tables.MORE, None, hdf5.untimed(h5p.GROUP_CREATE))
        for number, part in enumerate(others, 2):
            hdf5.write_array(more, b"%b-%d" % (tables.TABLE, number), tables.records(part))


def _parts(table: tables.Columns) -> list[tables.Columns]:
    columns = list(table.items())
    return [dict(columns[at : at + tables.MOST_COLUMNS]) for at in range(0, len(columns), tables.MOST_COLUMNS)]


def _looked_at(path: Path, rows: Sequence[Row]) -> str:
    """The SHA-256 of what was written, once it reads as what was meant."""
    again = tables.read(path)
    again.check()
    if again.rows != tuple(rows):
        raise DiskError(f"{path}: what was written does not read the same", "look at the disk, then collect again")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
