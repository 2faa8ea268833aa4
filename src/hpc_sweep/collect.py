"""Dumps into one `results.h5` and one `results.csv`, each whole or not there, the same bytes from the same dumps.

`results.h5` holds `table` (a row a point, for any program), `rows` (the same, exactly, for `load`) and below
`points` all that the dumps hold. Refuses no sweep for a damaged dump: it is left out and named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5a, h5f, h5fd, h5g, h5o, h5p, h5s, h5t

from hpc_sweep import dump, files, structure
from hpc_sweep import results as tables
from hpc_sweep.errors import DamagedError, DiskError, InputError
from hpc_sweep.results import Results, Row, load

__all__ = ["Entry", "Outcome", "Results", "Row", "collect", "load"]

Progress = Callable[[int, int], None]

_IN_MEMORY = 1 << 27
_FILES_AT_ONCE, _BYTES_AT_ONCE = 100, 1 << 25
_UNKNOWN = 1 << 20  # the size to reckon with where no attempt told it


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
        take.all(lambda id, found: None)
    if "csv" in to:
        csv = folder / tables.CSV_FILE
        files.write_atomic(csv, tables.csv_text(take.columns).encode())
    return Outcome(len(take.rows), len(take.columns), take.read_bytes, take.damaged, csv, h5, sha256)


class _Take:
    """Goes through the dumps once: rows of the whole ones, names of the others."""

    def __init__(self, entries: Sequence[Entry], progress: Progress) -> None:
        self.entries = entries
        self.progress = progress
        self.rows: list[Row] = []
        self.damaged: list[tuple[str, str]] = []
        self.read_bytes = 0

    @cached_property
    def columns(self) -> tables.Columns:
        """The table, once all rows are there."""
        return tables.columns(self.rows)

    def all(self, keep: Callable[[str, structure.Opened], None]) -> None:
        """Hand every whole dump to `keep`, which may still find it damaged.

        In batches: a hundred small files are checked, then opened, in two thirds of the time that it takes in turn.
        """
        access = structure.in_memory()
        done = 0
        for batch in _batches(self.entries):
            for entry, checked in [(entry, self._check(entry)) for entry in batch]:
                try:
                    if isinstance(checked, DamagedError):
                        raise checked
                    with structure.opened(checked, access) as found:
                        keep(entry.id, found)
                    self.rows.append(_row(entry, checked.about))
                except DamagedError as error:
                    self.damaged.append((entry.id, error.message))
                done += 1
                self.progress(done, len(self.entries))

    def _check(self, entry: Entry) -> structure.Checked | DamagedError:
        try:
            data = files.read_bytes(entry.path)
            self.read_bytes += len(data)
            return structure.check(data, entry.id, entry.sha256, entry.size)
        except DamagedError as error:
            return error
        except InputError as error:
            return DamagedError(error.message)
        except OSError as error:
            return DamagedError(f"cannot be read: {error.strerror}")


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    batch, size = [], 0
    for entry in entries:
        batch.append(entry)
        size += _UNKNOWN if entry.size is None else entry.size
        if len(batch) == _FILES_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    yield batch


def _row(entry: Entry, about: dict[str, Any]) -> Row:
    return Row(entry.id, entry.axes, entry.config, about["metrics"], about["missing"])


def _write_h5(path: Path, take: _Take, name: str, expected: int) -> str:
    """Build results.h5 and put it in its place whole; its SHA-256. In memory, unless it is too large for that."""
    if sum(_UNKNOWN if entry.size is None else entry.size for entry in take.entries) <= _IN_MEMORY:
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fapl_core(1 << 24, False)
        with _hdf5(access) as root:
            _fill(root, take, name, expected, lambda: None)
            h5f.flush(root)
            data = root.get_file_image()
        files.write_atomic(path, data)
        return hashlib.sha256(data).hexdigest()
    with files.growing(path) as file:
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fileobj_driver(h5fd.fileobj_driver, file)
        with _hdf5(access) as root:
            _fill(root, take, name, expected, file.check)
        file.check()
        return _looked_at(file.path, take.rows)


@contextmanager
def _hdf5(access: h5p.PropFAID) -> Iterator[h5f.FileID]:
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(*structure.FORMAT)
    root = h5f.create(structure.no_name(), h5f.ACC_TRUNC, dump.untimed(h5p.FILE_CREATE), access)
    try:
        yield root
    finally:
        root.close()


def _fill(root: h5f.FileID, take: _Take, name: str, expected: int, check: Callable[[], None]) -> None:
    points = h5g.create(root, tables.POINTS, None, dump.untimed(h5p.GROUP_CREATE))

    def keep(id: str, found: structure.Opened) -> None:
        try:
            h5o.copy(found.root, b"/", points, id.encode())
        except structure.UNREADABLE as error:
            check()  # the fault may be on the writing side
            raise DamagedError(f"is not a dump that can be read: {error}") from error
        check()

    take.all(keep)
    _write_tables(root, take, name, expected)


def _write_tables(root: h5f.FileID, take: _Take, name: str, expected: int) -> None:
    rows = take.rows
    _write_number(root, b"schema", tables.SCHEMA)
    _write_number(root, b"rows", len(rows))
    _write_number(root, b"expected", expected)
    complete = f"{len(rows)} of {expected} points"
    dump.write_text(root, b"name", name)
    dump.write_text(root, b"complete", complete)
    exact = np.frombuffer(tables.document(name, expected, rows).encode(), np.uint8)
    dump.write_dataset(root, tables.ROWS.decode(), exact)
    columns = list(take.columns.items())
    for part, start in enumerate(range(0, len(columns), tables.MOST_COLUMNS)):
        label = tables.TABLE.decode() + (f"-{part + 1}" if part else "")
        table = tables.records(dict(columns[start : start + tables.MOST_COLUMNS]))
        dump.write_text(dump.write_dataset(root, label, table), b"complete", complete)


def _write_number(root: h5f.FileID, name: bytes, number: int) -> None:
    attribute = h5a.create(root, name, h5t.STD_I64LE, h5s.create(h5s.SCALAR))
    attribute.write(np.array(number, "<i8"))


def _looked_at(path: Path, rows: Sequence[Row]) -> str:
    """The SHA-256 of what was written, once it reads as what was meant."""
    again = tables.read(path)
    if again.rows != tuple(rows) or again.points != len(rows):
        raise DiskError(f"{path}: what was written does not read the same", "look at the disk, then collect again")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
