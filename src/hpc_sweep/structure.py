"""What a dump may look like inside, told from its bytes alone, and its arrays.

A file with one group, `point`, with two attributes and datasets in it, nothing else. Refuses links, groups, other
types, storage elsewhere, other filters, declarations that no memory holds: whatever `dump.pack` would not have
written, before anything of it is read and before HDF5 sees it. Reading needs no HDF5 at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hpc_sweep import headers
from hpc_sweep.errors import DamagedError
from hpc_sweep.headers import Bytes, Link, Piece
from hpc_sweep.job import METRIC_NAME

SCHEMA = 1
LIMIT = 2_000_000_000  # bytes of all arrays of one dump together
MOST_ARRAYS = 1_000
POINT = b"point"  # the group
ABOUT = b"about"  # the attribute that holds everything but numbers in arrays
ABOUT_LIMIT = 60_000  # HDF5 keeps an attribute in its object's header up to 64 kB
POINT_ID = re.compile(r"[0-9a-f]{4,64}\Z")
ARRAY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}\Z")
HISTORY = "history"

Array = np.ndarray[Any, np.dtype[Any]]

# what numpy, json, zlib and h5py raise over bytes that are not what they should be
UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError, MemoryError, struct.error, zlib.error,
)  # fmt: skip

_KEYS = {"id": str, "job": str, "config": dict, "code": str, "metrics": dict, "missing": dict, "content": str}
_DATASET_HAS = {headers.SPACE, headers.TYPE, headers.FILL, headers.LAYOUT, headers.FILTERS}
_MOST_MESSAGES = 100  # in the header of an array
_DATASET_NEEDS = {headers.SPACE, headers.TYPE, headers.LAYOUT}
_FILLS = (b"\3\x09", b"\3\x0b")  # as HDF5 notes that nothing was asked for
_SEAL = re.compile(rb"\nhpc-sweep point ([0-9a-f]{4,64}) sha256 ([0-9a-f]{64})\n\Z")
_SEAL_LENGTH = 160  # the longest seal fits


class Stored(NamedTuple):
    """An array that is declared in a header, not read yet."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int
    piece: Piece

    def read(self, image: Bytes) -> Array:
        """The array, through its filters backwards."""
        data: bytes = image[self.piece.start : self.piece.stop]
        for number in reversed(self.piece.filters):
            if number == headers.FLETCHER32:
                data = data[:-4]  # SHA-256 says more
            elif number == headers.GZIP:
                data = zlib.decompressobj().decompress(data, self.nbytes + 1)
            elif len(data) == self.nbytes:
                data = np.frombuffer(data, np.uint8).reshape(self.dtype.itemsize, -1).T.tobytes()
        if len(data) != self.nbytes:
            raise DamagedError("an array is shorter or longer than it should be")
        return np.frombuffer(data, self.dtype).reshape(self.shape).copy()


class Checked(NamedTuple):
    """A dump whose bytes and structure are as they should be."""

    data: bytes
    about: dict[str, Any]
    arrays: dict[str, Stored]


def check(data: bytes, id: str, sha256: str | None = None, size: int | None = None) -> Checked:
    """Raise DamagedError unless these are the bytes that were written, and they are shaped like a dump of `id`."""
    _check_bytes(data, id, sha256, size)
    with unreadable_is_damaged():
        about, links = _check_groups(data)
        _check_about(about, id)
        return Checked(data, about, arrays_of(data, links))


def seal(image: bytes, id: str) -> bytes:
    """The image with the line behind it that lets a reader know the bytes before they are parsed."""
    return image + f"\nhpc-sweep point {id} sha256 {hashlib.sha256(image).hexdigest()}\n".encode()


def group(image: Bytes, at: int) -> tuple[dict[bytes, Any], list[Link]]:
    """The attributes and the links of a group that keeps them in its header, and nothing else in it."""
    attributes: dict[bytes, Any] = {}
    links: list[Link] = []
    seen: set[int] = set()
    for kind, _, body in headers.messages(image, at, 20 * MOST_ARRAYS):
        if kind == headers.LINK:
            links.append(headers.link(body))
        elif kind == headers.ATTRIBUTE:
            name, value = headers.attribute(body)
            if value is None or name in attributes or len(body) > ABOUT_LIMIT + 100:
                raise DamagedError(f"attribute `{shown(name)}` is not one text of at most {ABOUT_LIMIT:,} bytes")
            attributes[name] = value
        else:
            headers.check_group(kind, body)
            if kind in seen:
                raise DamagedError("has a header that says things twice")
            seen.add(kind)
    return attributes, links


def arrays_of(image: Bytes, links: Iterable[Link]) -> dict[str, Stored]:
    """The datasets behind these links, if each lies in this file and is of a kind that `pack` writes."""
    arrays: dict[str, Stored] = {}
    declared = 0
    for link in links:
        if link.kind != "hard":
            where = "file" if link.kind == "external" else "place"
            raise DamagedError(f"refers to another {where} ({link.kind} link `{shown(link.name)}`)")
        name = link.name.decode()
        if not ARRAY_NAME.match(name) or name in arrays:
            raise DamagedError(f"`{shown(link.name)}` cannot name an array")
        arrays[name] = stored = _stored(image, link.address, name)
        declared += stored.nbytes
        if declared > LIMIT:
            raise DamagedError(f"declares {declared:,} bytes of arrays; at most {LIMIT:,} are read")
    return arrays


@contextmanager
def unreadable_is_damaged() -> Iterator[None]:
    """What a library raises over bytes that are not what they should be, as the one error for it."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedError(f"is not a dump that can be read: {error}") from error


def shown(name: bytes) -> str:
    """A name out of a file, safe to print."""
    return ascii(name.decode(errors="replace"))[1:-1][:64]


def _check_bytes(data: bytes, id: str, sha256: str | None, size: int | None) -> None:
    """Whether these are the bytes that were written; nothing of them is parsed."""
    if not data:
        raise DamagedError("0 bytes")
    if size is not None and len(data) != size:
        short = f"cut short: {len(data):,} of {size:,} bytes"
        raise DamagedError(short if len(data) < size else f"{len(data):,} bytes instead of {size:,}")
    if sha256 is not None:
        if hashlib.sha256(data).hexdigest() != sha256:
            as_written = ", as written" if size is not None else ""
            raise DamagedError(f"checksum differs ({len(data):,} bytes{as_written})")
        return
    line = _SEAL.search(data, max(0, len(data) - _SEAL_LENGTH))
    if line is None:
        raise DamagedError(f"cut short, or not a dump: {len(data):,} bytes without the line that ends one")
    if hashlib.sha256(memoryview(data)[: line.start()]).hexdigest() != line[2].decode():
        raise DamagedError(f"checksum differs ({len(data):,} bytes)")
    if line[1].decode() != id:
        raise DamagedError(f"holds point {line[1].decode()}, not {id}")


def _check_groups(image: bytes) -> tuple[Any, list[Link]]:
    """What the dump says of itself, and the links of its group."""
    attributes, links = group(image, headers.root(image))
    if attributes or len(links) != 1 or links[0].name != POINT or links[0].kind != "hard":
        raise DamagedError("is not a dump: it holds other things than one point")
    attributes, links = group(image, links[0].address)
    if attributes.keys() != {b"schema", ABOUT}:
        raise DamagedError("has other attributes than a dump")
    if attributes[b"schema"] != SCHEMA:
        found = attributes[b"schema"]
        raise DamagedError(f"has schema {found!r}; this hpc-sweep reads {SCHEMA}", "use a newer hpc-sweep")
    return json.loads(attributes[ABOUT], parse_constant=_no_constant), links


def _check_about(about: Any, id: str) -> None:
    if not isinstance(about, dict) or {key: type(value) for key, value in about.items()} != _KEYS:
        raise DamagedError("does not say what it is as a dump does")
    if about["id"] != id:
        raise DamagedError(f"holds point {shown(about['id'].encode())}, not {id}")
    for name, value in about["metrics"].items():
        if not METRIC_NAME.match(name) or not (value is None or (type(value) is float and math.isfinite(value))):
            raise DamagedError(f"`{shown(name.encode())}` is not a metric")
    if not all(type(reason) is str for reason in about["missing"].values()):
        raise DamagedError("its reasons for missing numbers are not text")


def _stored(image: Bytes, at: int, name: str) -> Stored:
    """What a dataset's header declares, if `pack` could have written it."""
    header: dict[int, bytes] = {}
    layout_at = 0
    for kind, place, body in headers.messages(image, at, _MOST_MESSAGES):
        if kind == headers.EXTERNAL:
            raise DamagedError(f"refers to another file (external storage of `{name}`)")
        if kind in header:
            raise DamagedError(f"`{name}` has a header that says things twice")
        header[kind] = body
        if kind == headers.LAYOUT:
            layout_at = place
    if not header.keys() >= _DATASET_NEEDS:
        raise DamagedError(f"`{name}` is not an array")
    layout = header[headers.LAYOUT]
    if layout[1] == headers.VIRTUAL:
        raise DamagedError(f"refers to other arrays (`{name}` is virtual)")
    filters = header.get(headers.FILTERS)
    dtype, shape, nbytes, head, used = _declared(name, header[headers.TYPE], header[headers.SPACE], filters)
    if filters is None:
        piece = headers.compact(layout_at, layout)
    else:
        piece = headers.single_chunk(layout, head, used)
    if piece is None:
        raise DamagedError(f"`{name}` is stored in another way than a dump's")
    if not header.keys() <= _DATASET_HAS or header.get(headers.FILL) not in _FILLS:
        raise DamagedError(f"`{name}` is not an array as a dump has them")
    if piece.stop > len(image) or (filters is None and piece.stop - piece.start != nbytes):
        raise DamagedError(f"`{name}` is not where its header says, or not all of it")
    return Stored(dtype, shape, nbytes, piece)


@lru_cache(1_000)
def _declared(
    name: str, kind: bytes, space: bytes, filters: bytes | None
) -> tuple[np.dtype[Any], tuple[int, ...], int, bytes, tuple[int, ...]]:
    """Type, shape, size, the beginning of the layout, filters: the same in all dumps of most sweeps."""
    dtype = headers.rows_dtype(kind) if name == HISTORY else headers.dtype(kind)
    if dtype is None:
        raise DamagedError(f"`{name}` has a type that no dump uses")
    shape = headers.shape(space)
    if shape is None or (name == HISTORY and len(shape) != 1):
        raise DamagedError(f"`{name}` has a shape that no dump uses")
    used = () if filters is None else headers.filters(filters, dtype.itemsize)
    if used is None:
        raise DamagedError(f"`{name}` needs filters that no dump uses")
    head = headers.chunk_head(shape, dtype.itemsize)
    return dtype, shape, math.prod(shape) * dtype.itemsize, head, used


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
