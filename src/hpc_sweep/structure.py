"""What a dump may look like inside, looked at before any of its data is read.

One group with two attributes and datasets, nothing else. Refuses links, groups, other types, storage elsewhere,
unknown filters, declarations that no memory holds: whatever `dump.pack` would not have written.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from h5py import h5f, h5l, h5p, h5t, h5z

from hpc_sweep import headers
from hpc_sweep.errors import DamagedError
from hpc_sweep.headers import Bytes, Link
from hpc_sweep.job import METRIC_NAME

SCHEMA = 1
LIMIT = 2_000_000_000  # bytes of all arrays of one dump together
ABOUT = b"about"  # the attribute that holds everything but numbers in arrays
ABOUT_LIMIT = 60_000  # HDF5 keeps an attribute in its object's header up to 64 kB
POINT_ID = re.compile(r"[0-9a-f]{4,64}\Z")
ARRAY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}\Z")
HISTORY = "history"
FORMAT = (h5f.LIBVER_V110, h5f.LIBVER_V110)  # HDF5 1.10 (2016) and later read it

# what h5py, numpy and json raise over bytes that are not what they should be
UNREADABLE = (OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError, MemoryError, struct.error)

_KEYS = {"id": str, "job": str, "config": dict, "code": str, "metrics": dict, "missing": dict, "content": str}
_MOST_ARRAYS = 10_000
_ROOT_HAS = {headers.LINKS, headers.LINK, headers.GROUP, headers.ATTRIBUTE, headers.ATTRIBUTES}
_DATASET_HAS = {headers.SPACE, headers.TYPE, headers.FILL, headers.LAYOUT, headers.FILTERS}
_TYPES = {h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.STRING}
_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
_numbers = itertools.count()
_SEAL = re.compile(rb"\nhpc-sweep point ([0-9a-f]{4,64}) sha256 ([0-9a-f]{64})\n\Z")
_SEAL_LENGTH = 160  # the longest seal fits


@dataclass(frozen=True)
class Checked:
    """A dump whose bytes and structure are as they should be; HDF5 has not seen it yet.

    `links` is None where there are too many for the header: then they are checked when it is opened.
    """

    data: bytes
    about: dict[str, Any]
    links: list[Link] | None


@dataclass(frozen=True)
class Opened:
    """A checked dump held open in memory, its arrays still unread."""

    root: h5f.FileID
    about: dict[str, Any]
    names: tuple[str, ...]


def check(data: bytes, id: str, sha256: str | None, size: int | None) -> Checked:
    """Raise DamagedError unless these are the bytes that were written, and they are shaped like a dump of `id`."""
    _check_bytes(data, id, sha256, size)
    with unreadable_is_damaged():
        about, links = _check_root(data, id)
        if links is not None:
            _check_arrays(data, links)
    return Checked(data, about, links)


@contextmanager
def opened(checked: Checked, access: h5p.PropFAID | None = None) -> Iterator[Opened]:
    """Open a checked dump. Many are opened faster through one `access`, made by `in_memory`."""
    access = access or in_memory()
    access.set_file_image(checked.data)
    with unreadable_is_damaged():
        file = h5f.open(no_name(), h5f.ACC_RDONLY, access)
    try:
        links = checked.links
        if links is None:
            with unreadable_is_damaged():
                links = list(links_of(file))
                _check_arrays(checked.data, links)
        yield Opened(file, checked.about, tuple(link.name.decode() for link in links))
    finally:
        file.close()


def seal(image: bytes, id: str) -> bytes:
    """The image with the line behind it that lets a reader know the bytes before they are parsed."""
    return image + f"\nhpc-sweep point {id} sha256 {hashlib.sha256(image).hexdigest()}\n".encode()


def no_name() -> bytes:
    """A name for a file in memory: HDF5 takes two of one name for one file, and refuses one that is on the disk."""
    return b"/dev/null/%d" % next(_numbers)


def in_memory() -> h5p.PropFAID:
    """How to open a file that is only in memory."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(*FORMAT)
    return access


def rows_type(length: int) -> np.dtype[Any]:
    """The type of one row of a history whose longest name has `length` letters."""
    return np.dtype([("metric", f"S{length}"), ("step", "<i8"), ("value", "<f8")])


def links_of(group: Any) -> Iterator[Link]:
    """The links of a group as HDF5 tells them: they need not stand in its header."""
    kinds = {h5l.TYPE_HARD: headers.HARD, h5l.TYPE_EXTERNAL: headers.EXTERNAL_LINK}
    for number in range(min(group.get_num_objs(), _MOST_ARRAYS + 1)):
        name = group.get_objname_by_idx(number)
        info = group.links.get_info(name)
        yield Link(kinds.get(info.type, headers.SOFT_LINK), name, info.u)


def check_array(image: Bytes, link: Link) -> int:
    """The bytes that a dataset declares, if it lies in this file and is of a kind that `pack` writes."""
    name = shown(link.name)
    if link.kind == headers.EXTERNAL_LINK:
        raise DamagedError(f"refers to another file (external link `{name}`)")
    if link.kind != headers.HARD:
        raise DamagedError(f"refers to another place (soft link `{name}`)")
    if not ARRAY_NAME.match(link.name.decode()):
        raise DamagedError(f"`{name}` cannot name an array")
    header: dict[int, bytes] = {}
    for kind, body in headers.messages(image, link.address):
        if kind == headers.EXTERNAL:
            raise DamagedError(f"refers to another file (external storage of `{name}`)")
        if kind not in _DATASET_HAS or kind in header:
            raise DamagedError(f"`{name}` is not an array as a dump has them")
        header[kind] = body
    if not header.keys() >= {headers.SPACE, headers.TYPE, headers.LAYOUT}:
        raise DamagedError(f"`{name}` is not an array")
    size = _item_size(header[headers.TYPE], link.name == HISTORY.encode())
    shape = headers.shape(header[headers.SPACE])
    if not size:
        raise DamagedError(f"`{name}` has a type that no dump uses")
    if shape is None or (link.name == HISTORY.encode() and len(shape) != 1):
        raise DamagedError(f"`{name}` has a shape that no dump uses")
    declared = math.prod(shape) * size
    _check_layout(header[headers.LAYOUT], declared, name)
    _check_filters(header.get(headers.FILTERS), name)
    return declared


@contextmanager
def unreadable_is_damaged() -> Iterator[None]:
    """What a library raises over bytes that are not what they should be, as the one error for it."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedError(f"is not a dump that can be read: {error}") from error


def shown(name: bytes) -> str:
    """A name out of a file, safe to print."""
    return ascii(name.decode(errors="replace"))[1:65].removesuffix("'")


def _check_bytes(data: bytes, id: str, sha256: str | None, size: int | None) -> None:
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


def _check_root(image: bytes, id: str) -> tuple[dict[str, Any], list[Link] | None]:
    """What the dump says of itself, and its links, if they stand in its header."""
    attributes: dict[bytes, Any] = {}
    links: list[Link] = []
    elsewhere = False
    for kind, body in headers.messages(image, headers.root(image)):
        if kind == headers.ATTRIBUTE:
            name, value = headers.attribute(body)
            if value is None or name in attributes or len(body) > ABOUT_LIMIT + 100:
                raise DamagedError(f"attribute `{shown(name)}` is not one text of at most {ABOUT_LIMIT:,} bytes")
            attributes[name] = value
        elif kind == headers.LINK:
            links.append(headers.link(body))
        elif kind == headers.LINKS:
            elsewhere = headers.is_listed_elsewhere(kind, body)
        elif kind not in _ROOT_HAS or (kind == headers.ATTRIBUTES and headers.is_listed_elsewhere(kind, body)):
            raise DamagedError(f"has a header that no dump has (message {kind})")
    if attributes.keys() != {b"schema", ABOUT}:
        raise DamagedError("has other attributes than a dump")
    _check_about(attributes[b"schema"], about := json.loads(attributes[ABOUT], parse_constant=_no_constant), id)
    return about, None if elsewhere else links


def _check_about(schema: Any, about: Any, id: str) -> None:
    if schema != SCHEMA:
        raise DamagedError(f"has schema {schema!r}; this hpc-sweep reads {SCHEMA}", "use a newer hpc-sweep")
    if not isinstance(about, dict) or {key: type(value) for key, value in about.items()} != _KEYS:
        raise DamagedError("does not say what it is as a dump does")
    if about["id"] != id:
        raise DamagedError(f"holds point {shown(about['id'].encode())}, not {id}")
    for name, value in about["metrics"].items():
        if not METRIC_NAME.match(name) or not (value is None or (type(value) is float and math.isfinite(value))):
            raise DamagedError(f"`{shown(name.encode())}` is not a metric")
    if not all(type(reason) is str for reason in about["missing"].values()):
        raise DamagedError("its reasons for missing numbers are not text")


def _check_arrays(image: bytes, links: Iterable[Link]) -> None:
    total = 0
    for number, link in enumerate(links):
        total += check_array(image, link)
        if total > LIMIT or number == _MOST_ARRAYS:
            raise DamagedError(f"declares {total:,} bytes of arrays; at most {LIMIT:,} are read")


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


def _check_layout(body: bytes, declared: int, name: str) -> None:
    """In the header, or in chunks that are no larger than the array."""
    kind, piece = headers.layout(body)
    if kind == headers.VIRTUAL:
        raise DamagedError(f"refers to other arrays (`{name}` is virtual)")
    if kind == headers.COMPACT and piece == declared:
        return
    if kind != headers.CHUNKED or not 0 < piece <= declared:
        raise DamagedError(f"`{name}` is stored in another way than a dump's")


@lru_cache(1000)
def _check_filters(body: bytes | None, name: str) -> None:
    used = headers.filters(body) if body else []
    if not _FILTERS.issuperset(used) or len(set(used)) < len(used):
        raise DamagedError(f"`{name}` needs filters that no dump uses ({', '.join(map(str, used))})")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
