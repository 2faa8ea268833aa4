"""What was collected of a sweep: a row a point, for tables and CSV, and `results.h5` read again.

The rows are exact (JSON, a value that is missing is None); columns of numbers and text are made of them. Refuses a
`results.h5` of another schema, and arrays in it that no dump could have held.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpc_sweep import dump, files, headers, structure
from hpc_sweep.errors import DamagedError, InputError
from hpc_sweep.job import History
from hpc_sweep.structure import Array

SCHEMA = 1
FILE, CSV_FILE = "results.h5", "results.csv"
POINTS, ROWS, TABLE, MORE = b"points", b"rows", b"table", b"more"
MOST_COLUMNS = 1_000  # HDF5 describes a table in at most 64 kB

Columns = dict[str, list[Any]]

_QUOTED = re.compile(r'[,"\r\n]')


@dataclass(frozen=True, slots=True)
class Row:
    """One finished point: what was asked, and the numbers that it gave."""

    id: str
    axes: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float | None]
    missing: dict[str, str]


@dataclass(frozen=True)
class Results:
    """What `collect` made of a sweep. Histories and arrays are read when they are asked for."""

    path: Path
    name: str
    expected: int
    rows: tuple[Row, ...]

    @property
    def columns(self) -> Columns:
        """The table by column: id, axes, the rest of the configuration, metrics."""
        return columns(self.rows)

    def history(self, id: str) -> History:
        """Every number that the run logged, by name."""
        kept = self._read(id, lambda name: name == structure.HISTORY)
        return dump.history_of(kept[structure.HISTORY]) if kept else {}

    def arrays(self, id: str) -> dict[str, Array]:
        """Every array that the run returned."""
        return {name: dump.as_given(a) for name, a in self._read(id, lambda name: name != structure.HISTORY).items()}

    def check(self) -> None:
        """Raise DamagedError unless the histories and arrays of every row are where they should be."""
        for row in self.rows:
            self._read(row.id, lambda name: False)

    def _read(self, id: str, wanted: Callable[[str], bool]) -> dict[str, Array]:
        image, places = self._file
        if id not in places:
            raise InputError(f"{self.path} holds no point {id}")
        with _unreadable(self.path):
            _, links = structure.group(image, places[id])
            arrays = structure.arrays_of(image, links)
            return {name: stored.read(image) for name, stored in arrays.items() if wanted(name)}

    @cached_property
    def _file(self) -> tuple[mmap.mmap, dict[str, int]]:
        image, document = _open(self.path)
        with _unreadable(self.path):
            return image, {row["id"]: at for row, at in zip(document["rows"], document["places"], strict=True)}


def load(folder: Path) -> Results:
    """The results that were collected last."""
    path = folder / FILE
    if not path.exists():
        raise InputError(f"nothing was collected yet: there is no {path}", "collect first: hpc-sweep collect")
    return read(path)


def read(path: Path) -> Results:
    """The rows of a `results.h5`, whatever it is called."""
    image, document = _open(path)
    image.close()
    with _unreadable(path):
        rows = tuple(Row(**row) for row in document["rows"])
        return Results(path, document["name"], document["expected"], rows)


def document(name: str, expected: int, rows: Iterable[Row], places: Sequence[int]) -> str:
    """The exact rows, as `results.h5` keeps them; `places` are those of the points' groups in it."""
    plain = [{name: getattr(row, name) for name in Row.__slots__} for row in rows]
    return files.canonical({"schema": SCHEMA, "name": name, "expected": expected, "rows": plain, "places": places})


def columns(rows: Sequence[Row]) -> Columns:
    """The table by column; a metric that is called like a setting is `metric.NAME`."""
    settings = [{**row.axes, **_flat(row.config), "id": row.id} for row in rows]
    names = ["id", *_keys(row.axes for row in rows), *_keys(settings)]
    table = {name: [setting.get(name) for setting in settings] for name in dict.fromkeys(names)}
    for name in _keys(row.metrics for row in rows):
        label = f"metric.{name}" if name in table else name
        table[label] = [row.metrics.get(name) for row in rows]
    return table


def csv_text(table: Columns) -> str:
    """The table as CSV. Text that a spreadsheet would take for a formula gets a quote before it."""
    columns = [[_cell(name), *map(_cell, column)] for name, column in table.items()]
    return "".join(",".join(line) + "\n" for line in zip(*columns, strict=True))


def records(table: Columns) -> Array:
    """The table as one array with a field a column; a missing number is NaN, missing text is empty."""
    fields = {name: _field(column) for name, column in table.items()}
    array = np.empty(len(next(iter(fields.values()))), [(name, field.dtype) for name, field in fields.items()])
    for name, field in fields.items():
        array[name] = field
    return array


def _field(column: list[Any]) -> Array:
    kinds = {type(value) for value in column if value is not None}
    whole = None not in column
    if kinds == {bool} and whole:
        return np.array(column, bool)
    if kinds == {int} and whole and all(-(2**63) <= value < 2**63 for value in column):
        return np.array(column, "<i8")
    if kinds <= {int, float}:
        return np.array([np.nan if value is None else float(value) for value in column], "<f8")
    texts = [_text(value).encode() for value in column]
    return np.array(texts, headers.text_dtype(max(1, *map(len, texts))))


def _cell(value: Any) -> str:
    if type(value) is float:
        return repr(value)
    text = _text(value)
    if isinstance(value, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else files.canonical(value)


def _flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {f"{above}{key}": value}
    return flat


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _open(path: Path) -> tuple[mmap.mmap, dict[str, Any]]:
    """The bytes of a `results.h5`, and its exact rows; they tell where all else is, so that HDF5 is not needed."""
    with _unreadable(path):
        with open(path, "rb") as file:
            image = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _, links = structure.group(image, headers.root(image))
        stored = structure.arrays_of(image, [link for link in links if link.name == ROWS])[ROWS.decode()]
        document = json.loads(stored.read(image).tobytes())
        if document["schema"] <= SCHEMA:
            return image, document
    raise InputError(f"{path} was written by a newer hpc-sweep", "use that one, or collect again")


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except (*structure.UNREADABLE, DamagedError) as error:
        raise DamagedError(f"{path} cannot be read: {error}", "collect again: hpc-sweep collect") from error
