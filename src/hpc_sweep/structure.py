"""What a dump may look like inside, looked at before any of its data is read.

One group with two attributes and datasets, nothing else. Refuses links, groups, other types, storage elsewhere,
unknown filters, declarations that no memory holds: whatever `dump.pack` would not have written.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from mmap import mmap
from typing import Any

import numpy as np
from h5py import h5f, h5l, h5p, h5t, h5z

from hpc_sweep.errors import DamagedError
from hpc_sweep.job import METRIC_NAME

SCHEMA = 1
LIMIT = 2_000_000_000  # bytes of all arrays of one dump together
ABOUT = b"about"  # the attribute that holds everything but numbers in arrays
ABOUT_LIMIT = 60_000  # HDF5 keeps an attribute beside its object up to 64 kB
ARRAY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}\Z")
HISTORY = "history"
FORMAT = (h5f.LIBVER_V110, h5f.LIBVER_V110)  # HDF5 1.10 (2016) and later read it

# what h5py, numpy and json raise over bytes that are not what they should be
UNREADABLE = (OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError, MemoryError, struct.error)

Bytes = bytes | mmap

NAMELESS = b"/dev/null/dump"  # HDF5 refuses an image whose name is a file's: this can never be one

_KEYS = {"id": str, "job": str, "config": dict, "code": str, "metrics": dict, "missing": dict, "content": str}
_OBJECTS = 10_000
_TYPES = {h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.STRING}
_FILTER_NUMBERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}

# The HDF5 file format, version 3.0: superblock (II.A), messages of object headers (IV.A.2), their contents
_NOWHERE = b"\xff" * 8
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n\x03\x08\x08\0" + bytes(8) + _NOWHERE
_HEAD = struct.Struct("<BHB")
_BLOCK = struct.Struct("<QQ")
_ATTRIBUTE_HEAD = struct.Struct("<BBHHHB")
_SHARED = 2
_NOTHING, _SPACE, _LINK_INFO, _TYPE, _FILL, _LINK, _EXTERNAL, _LAYOUT = 0, 1, 2, 3, 5, 6, 7, 8
_GROUP_INFO, _FILTERS, _ATTRIBUTE, _CONTINUED, _ATTRIBUTE_INFO = 10, 11, 12, 16, 21
_GROUP_HAS = {_LINK_INFO, _LINK, _GROUP_INFO, _ATTRIBUTE_INFO}
_DATASET_HAS = {_SPACE, _TYPE, _FILL, _LAYOUT, _FILTERS}
_COMPACT, _CHUNKED, _VIRTUAL = 0, 2, 3
_ONE = b"\x02\0\0\0"
_INTEGER = bytes.fromhex("100800000800000000004000")
_TEXT = b"\x13\x11\0\0"

_SEAL = re.compile(rb"\nhpc-sweep point ([0-9a-f]{4,64}) sha256 ([0-9a-f]{64})\n\Z")
_SEAL_LENGTH = 160  # the longest seal fits


@dataclass(frozen=True)
class Opened:
    """A dump whose bytes and structure are checked, and whose arrays are still unread."""

    root: h5f.FileID
    about: dict[str, Any]
    names: tuple[str, ...]


@contextmanager
def opened(data: bytes, id: str, sha256: str | None, size: int | None) -> Iterator[Opened]:
    """A dump held open in memory, its bytes and its structure checked."""
    check_bytes(data, id, sha256, size)
    with opened_image(data, id) as found:
        yield found


@contextmanager
def opened_image(data: bytes, id: str) -> Iterator[Opened]:
    """A dump whose bytes are already checked, held open in memory, its structure checked."""
    with unreadable_is_damaged():
        about = _about(data)
        if about["id"] != id:
            raise DamagedError(f"holds point {ascii(about['id'])[1:65]}, not {id}")
        file = h5f.open(NAMELESS, h5f.ACC_RDONLY, in_memory(data))
    try:
        with unreadable_is_damaged():
            found = Opened(file, about, _check_arrays(file, data))
        yield found
    finally:
        file.close()


def seal(image: bytes, id: str) -> bytes:
    """The image with the line behind it that lets a reader know the bytes before they are parsed."""
    return image + f"\nhpc-sweep point {id} sha256 {hashlib.sha256(image).hexdigest()}\n".encode()


def check_bytes(data: bytes, id: str, sha256: str | None, size: int | None) -> None:
    """Raise DamagedError unless these are the bytes that were written; nothing of them is parsed."""
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


def in_memory(data: bytes | None = None) -> h5p.PropFAID:
    """How to open a file that is bytes: `data`, or empty."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(*FORMAT)
    if data is not None:
        access.set_file_image(data)
    return access


def rows_type(length: int) -> np.dtype[Any]:
    """The type of one row of a history whose longest name has `length` letters."""
    return np.dtype([("metric", f"S{length}"), ("step", "<i8"), ("value", "<f8")])


@contextmanager
def unreadable_is_damaged() -> Iterator[None]:
    """What a library raises over bytes that are not what they should be, as the one error for it."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedError(f"is not a dump that can be read: {error}") from error


def _about(image: Bytes) -> dict[str, Any]:
    """What the dump says of itself, from the header of its one group."""
    if image[: len(_SUPERBLOCK)] != _SUPERBLOCK:
        raise DamagedError("is not a file as `pack` writes it")
    attributes: dict[bytes, Any] = {}
    for kind, body in _messages(image, int.from_bytes(image[36:44], "little")):
        if kind == _ATTRIBUTE:
            name, value = _attribute(body)
            if name in attributes:
                raise DamagedError("has an attribute twice")
            attributes[name] = value
        elif kind not in _GROUP_HAS or (kind == _ATTRIBUTE_INFO and body[2:10] != _NOWHERE):
            raise DamagedError(f"has a header that no dump has (message {kind})")
    if attributes.keys() != {b"schema", ABOUT}:
        raise DamagedError("has other attributes than a dump")
    if attributes[b"schema"] != SCHEMA:
        found = attributes[b"schema"]
        raise DamagedError(f"has schema {found!r}; this hpc-sweep reads {SCHEMA}", "use a newer hpc-sweep")
    return _valid(json.loads(attributes[ABOUT], parse_constant=_no_constant))


def _attribute(body: bytes) -> tuple[bytes, Any]:
    """Name and value of an attribute, if that is one integer or one text."""
    version, shared, name, kind, space, _ = _ATTRIBUTE_HEAD.unpack_from(body)
    parts, at = [], _ATTRIBUTE_HEAD.size
    for length in (name, kind, space):
        parts.append(body[at : at + length])
        at += length
    label, value = parts[0].rstrip(b"\0"), body[at:]
    if (version, shared, parts[2]) != (3, 0, _ONE):
        raise DamagedError(f"attribute `{_shown(label)}` is not one value")
    if parts[1] == _INTEGER and len(value) == 8:
        return label, int.from_bytes(value, "little", signed=True)
    if parts[1] == _TEXT + len(value).to_bytes(4, "little") and len(value) <= ABOUT_LIMIT:
        return label, value.decode()
    raise DamagedError(f"attribute `{_shown(label)}` is not a text of at most {ABOUT_LIMIT:,} bytes")


def _valid(about: Any) -> dict[str, Any]:
    if not isinstance(about, dict) or {key: type(value) for key, value in about.items()} != _KEYS:
        raise DamagedError("does not say what it is as a dump does")
    for name, value in about["metrics"].items():
        if not METRIC_NAME.match(name) or not (value is None or (type(value) is float and math.isfinite(value))):
            raise DamagedError(f"`{ascii(name)[1:65]}` is not a metric")
    if not all(type(reason) is str for reason in about["missing"].values()):
        raise DamagedError("its reasons for missing numbers are not text")
    return about


def _check_arrays(file: h5f.FileID, image: Bytes) -> tuple[str, ...]:
    """The names of the datasets, if there is nothing else and each is one that `pack` could have written."""
    count = file.get_num_objs()
    if count > _OBJECTS:
        raise DamagedError(f"declares {count:,} arrays")
    names, total = [], 0
    for number in range(count):
        name = file.get_objname_by_idx(number)
        total += check_link(file, name, image)
        if total > LIMIT:
            raise DamagedError(f"declares {total:,} bytes of arrays; at most {LIMIT:,} are read")
        names.append(name.decode())
    return tuple(names)


def check_link(group: Any, name: bytes, image: Bytes) -> int:
    """The bytes that a group's dataset declares, if it lies in this file and is of a kind that `pack` writes."""
    link = group.links.get_info(name)
    if link.type == h5l.TYPE_EXTERNAL:
        raise DamagedError(f"refers to another file (external link `{_shown(name)}`)")
    if link.type != h5l.TYPE_HARD:
        raise DamagedError(f"refers to another place (soft link `{_shown(name)}`)")
    if not ARRAY_NAME.match(name.decode()):
        raise DamagedError(f"`{_shown(name)}` cannot name an array")
    return _check_dataset(image, link.u, name.decode())


def _check_dataset(image: Bytes, at: int, name: str) -> int:
    """The bytes that a dataset declares, if it is of a kind that `pack` writes."""
    header: dict[int, bytes] = {}
    for kind, body in _messages(image, at):
        if kind == _EXTERNAL:
            raise DamagedError(f"refers to another file (external storage of `{name}`)")
        if kind not in _DATASET_HAS or kind in header:
            raise DamagedError(f"`{name}` is not an array as `pack` stores one (message {kind})")
        header[kind] = body
    if not header.keys() >= {_SPACE, _TYPE, _LAYOUT}:
        raise DamagedError(f"`{name}` is not an array")
    shape = _shape(header[_SPACE], name)
    size = _item_size(header[_TYPE], name == HISTORY)
    if not size:
        raise DamagedError(f"`{name}` has a type that no dump uses")
    if name == HISTORY and len(shape) != 1:
        raise DamagedError("its history is not a table")
    nbytes = math.prod(shape) * size
    _check_layout(header[_LAYOUT], nbytes, name)
    _check_filters(header.get(_FILTERS, b""), name)
    return nbytes


def _shape(body: bytes, name: str) -> tuple[int, ...]:
    version, rank, growing, kind = body[:4]
    lengths = struct.unpack_from(f"<{rank * (1 + growing)}Q", body, 4)
    if version != 2 or growing > 1 or kind > 1 or (kind == 0) != (rank == 0):
        raise DamagedError(f"`{name}` has no extent")
    if growing and lengths[:rank] != lengths[rank:]:
        raise DamagedError(f"`{name}` can grow")
    return lengths[:rank]


@lru_cache(1000)
def _item_size(body: bytes, rows: bool) -> int:
    """The bytes of one item, or 0 where `pack` would not have written this type."""
    kind = h5t.decode(b"\x03\x00" + body)
    size = int(kind.get_size())
    if rows:
        length = size - rows_type(1).itemsize + 1
        return size if 0 < length <= 100 and kind == h5t.py_create(rows_type(length)) else 0
    if kind.get_class() not in _TYPES or (kind.get_class() == h5t.STRING and kind.is_variable_str()):
        return 0
    return size if kind == h5t.py_create(kind.dtype) else 0


def _check_layout(body: bytes, nbytes: int, name: str) -> None:
    """Stored in the header, or in chunks that are no larger than the array."""
    version, kind = body[:2]
    if kind == _VIRTUAL:
        raise DamagedError(f"refers to other arrays (`{name}` is virtual)")
    if kind == _COMPACT and version in (3, 4) and int.from_bytes(body[2:4], "little") == nbytes == len(body) - 4:
        return
    if kind != _CHUNKED or version != 4:
        raise DamagedError(f"`{name}` is stored in another way than a dump's")
    _, rank, width = body[2:5]
    chunk = [int.from_bytes(body[5 + n * width : 5 + (n + 1) * width], "little") for n in range(rank)]
    if math.prod(chunk) > nbytes:
        raise DamagedError(f"the chunks of `{name}` are larger than it")


@lru_cache(1000)
def _check_filters(body: bytes, name: str) -> None:
    """Shuffle, gzip and fletcher32, each at most once."""
    used: list[int] = []
    at = 2
    while len(used) < (body[1] if body else 0):
        number, _, values = struct.unpack_from("<HHH", body, at)
        used.append(number)
        if number not in _FILTER_NUMBERS or used.count(number) > 1 or body[0] != 2:
            raise DamagedError(f"`{name}` needs a filter that no dump uses ({number})")
        at += 6 + 4 * values


def _messages(image: Bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The messages of an object's header, as the HDF5 format calls them: number and content."""
    if image[at : at + 5] != b"OHDR\x02" or image[at + 5] > 3:
        raise DamagedError("has a header of another kind than a dump's")
    start = at + 6 + (1 << image[at + 5])
    blocks = [(start, start + int.from_bytes(image[at + 6 : start], "little"))]
    for at, end in blocks:  # which grows on the way
        if end > len(image) or len(blocks) > _OBJECTS:
            raise DamagedError("has a header that goes on beyond its end")
        while at + _HEAD.size <= end:
            kind, length, flags = _HEAD.unpack_from(image, at)
            body = image[at + _HEAD.size : at + _HEAD.size + length]
            at += _HEAD.size + length
            if kind == _CONTINUED:
                offset, size = _BLOCK.unpack(body)
                if image[offset : offset + 4] != b"OCHK":
                    raise DamagedError("has a header that goes on nowhere")
                blocks.append((offset + 4, offset + size - 4))
            elif kind != _NOTHING:
                if flags & _SHARED:
                    raise DamagedError("has a header that lies elsewhere (a committed type)")
                yield kind, body


def _shown(name: bytes) -> str:
    return ascii(name.decode(errors="replace"))[1:65]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
