"""CSV files of foreign datasets: their rows, numbered as a spreadsheet numbers them.

Reads a file whole, in UTF-8, or in cp1252 where it is not that. Puts right the characters that come of reading cp1252
as Latin-1. Both are told in `notes`. Refuses what is no text, is far too large, or has a quote that does not close.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affect.data.plain import read_noted
from affect.errors import DataError

_C1 = ((code, bytes([code]).decode("cp1252", "ignore")) for code in range(0x80, 0xA0))
_MEANT = {code: character for code, character in _C1 if character}  # cp1252 leaves five codes free


@dataclass(frozen=True)
class Table:
    """The rows of a file that hold anything, each with its number; the first row of the file is row 1."""

    path: Path
    rows: list[tuple[int, list[str]]]
    notes: list[str]


def read_table(path: Path) -> Table:
    """A file's rows, with nothing said yet of what they should hold."""
    text, notes = read_noted(path)
    fixed, count = put_right(text)
    if count:
        notes.append(f"{path.name}: {count:,} characters of cp1252 that were read as Latin-1 were put right.")
    rows: list[tuple[int, list[str]]] = []
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(fixed, newline=""), strict=True), start=1):
            if cells:
                rows.append((number, cells))
    except csv.Error as error:
        raise DataError(f"{path} row {number + 1} cannot be read as CSV: {error}; mend the row") from error
    return Table(path, rows, notes)


def columns(table: Table, names: Sequence[str]) -> dict[str, int]:
    """Which cell each of some columns is, by the table's first row; that row is taken off."""
    if not table.rows:
        raise DataError(f"{table.path} is empty; fetch the file again")
    _, header = table.rows.pop(0)
    places = {cell.strip(): place for place, cell in enumerate(header)}
    missing = [name for name in names if name not in places]
    if missing:
        raise DataError(f"{table.path} has no column `{missing[0]}`; its first row is {','.join(header)[:200]!r}")
    if len(places) < len(header):
        raise DataError(f"{table.path} has two columns of one name; its first row is {','.join(header)[:200]!r}")
    return places


def put_right(text: str) -> tuple[str, int]:
    """The text with each C1 control character, which no text has, as the character of cp1252 that was meant."""
    count = sum(text.count(chr(code)) for code in _MEANT)
    return (text.translate(_MEANT) if count else text), count
