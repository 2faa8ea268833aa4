"""Text files and names of foreign datasets, and the split that is made where a release has none.

Reads a text file whole, in UTF-8 or else cp1252. Refuses files that are no text or far too large, and names that
could lead out of the folder that they belong to.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from affect.errors import DataError

MOST_BYTES = 1 << 28
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]")


def read_noted(path: Path) -> tuple[str, list[str]]:
    """What a text file says, without its byte order mark, and a sentence where it is cp1252 and not UTF-8."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise DataError(f"{path} is larger than {MOST_BYTES:,} bytes; is it the right file?")
    if b"\0" in data:
        raise DataError(f"{path} holds zero bytes, so it is no text in UTF-8 or cp1252; save it as UTF-8")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is neither UTF-8 (line {line}) nor cp1252; save it as UTF-8") from error
    return text, [f"{path.name}: line {line} is no UTF-8, so the file was read as cp1252."]


def read_text(path: Path) -> str:
    """What a text file says, with each end of line a newline."""
    return read_noted(path)[0].replace("\r\n", "\n").replace("\r", "\n")


def numbered(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that say something, stripped, and their numbers from 1."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def safe_name(name: str, where: str) -> str:
    """The name of one file or folder, or DataError where it could be a path to somewhere else."""
    if name in ("", ".", "..") or _UNSAFE.search(name):
        raise DataError(f"{where}: {name!r} is no name of a file in the dataset's own folder; mend the list")
    return name


def whole_number(text: str) -> int | None:
    """The number that a text of up to nine digits says."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def scan(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def hold_out(splits: Sequence[str], units: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The splits, with one in ten of the training units made `valid`, whatever else is in the list.

    All samples of a unit go together. A kind with ten training samples gets at least one.
    """
    training = [i for i, split in enumerate(splits) if split == "train"]
    held = {units[i] for i in training if _rank(units[i]) % 10 == 0}
    for kind in dict.fromkeys(kinds):
        mine = [units[i] for i in training if kinds[i] == kind]
        if len(mine) >= 10 and held.isdisjoint(mine):
            held.add(min(mine, key=_rank))
    return ["valid" if split == "train" and units[i] in held else split for i, split in enumerate(splits)]


def _rank(unit: str) -> int:
    return int.from_bytes(hashlib.sha256(unit.encode()).digest(), "big")
