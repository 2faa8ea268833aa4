"""JSON files of foreign datasets, as they are or alone in a zip.

Reads a file whole, and notices the keys that an object has twice. Refuses what is far too large, even if only after
unpacking, what is not UTF-8, NaN and infinity, and a zip of several files.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from affect.errors import DataError

MOST_BYTES = 1 << 28


def read_json(path: Path) -> tuple[Any, list[str]]:
    """What a file holds, and each key that stands in one object more than once; the last of them counts."""
    data = _unzipped(path) if path.suffix == ".zip" else _plain(path)
    repeated: list[str] = []

    def together(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(pairs)
        if len(whole) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated.extend(key for key, count in counts.items() if count > 1)
        return whole

    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=together, parse_constant=_constant), repeated
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start:,}; fetch the file again") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error


def _constant(word: str) -> NoReturn:
    raise ValueError(f"it holds {word}, which is no number")


def _plain(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return _capped(file.read(MOST_BYTES + 1), path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _unzipped(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise DataError(
                    f"{path} holds {len(members)} files, not one; unpack it, and keep the one that is meant"
                )
            if members[0].file_size > MOST_BYTES:
                raise DataError(f"{path} unpacks to {members[0].file_size:,} bytes; the most is {MOST_BYTES:,}")
            with archive.open(members[0]) as file:
                return _capped(file.read(MOST_BYTES + 1), path)  # what a zip says of its sizes need not be true
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}; fetch the file again") from error


def _capped(data: bytes, path: Path) -> bytes:
    if len(data) > MOST_BYTES:
        raise DataError(f"{path} holds more than {MOST_BYTES:,} bytes; is it the right file?")
    return data
