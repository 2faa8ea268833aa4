"""Object headers of an HDF5 file, read from its bytes: what an object is, before a library opens it.

Knows the parts of the HDF5 file format (version 3.0, sections II and IV.A) that HDF5 1.10 and later write for small
files. Refuses all others, so that nothing in a header is skipped unseen.
"""

from __future__ import annotations

import struct
from mmap import mmap
from typing import Any, NamedTuple

from hpc_sweep.errors import DamagedError

Bytes = bytes | mmap

# messages of an object header
SPACE, LINKS, TYPE, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 5, 6, 7, 8
GROUP, FILTERS, ATTRIBUTE, ATTRIBUTES = 10, 11, 12, 21
# classes of a layout, kinds of a link
COMPACT, CHUNKED, VIRTUAL = 0, 2, 3
HARD, SOFT_LINK, EXTERNAL_LINK = 0, 1, 64

_NOTHING, _CONTINUED = 0, 16
_SHARED = 2
_MOST = 20_000  # messages, the empty ones too
_NOWHERE = b"\xff" * 8
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n\x03\x08\x08\0" + bytes(8) + _NOWHERE
_ROOT = slice(36, 44)
_MESSAGE = struct.Struct("<BHB")
_BLOCK = struct.Struct("<QQ")
_ATTRIBUTE = struct.Struct("<BBHHHB")
_SCALAR = b"\x02\0\0\0"
_INTEGER = bytes.fromhex("100800000800000000004000")
_TEXT = b"\x13\x11\0\0"


class Link(NamedTuple):
    """A name in a group, and where the object's header is."""

    kind: int
    name: bytes
    address: int


def root(image: Bytes) -> int:
    """Where the header of the first group is."""
    if image[: len(_SUPERBLOCK)] != _SUPERBLOCK:
        raise DamagedError("is not a file as HDF5 1.10 and later write it")
    return int.from_bytes(image[_ROOT], "little")


def messages(image: Bytes, at: int) -> list[tuple[int, bytes]]:
    """The messages of the header that begins there, number and content, without the empty ones."""
    if image[at : at + 5] != b"OHDR\x02" or image[at + 5] > 3:
        raise DamagedError("has a header of another kind than a dump's")
    start = at + 6 + (1 << image[at + 5])
    blocks = [(start, start + int.from_bytes(image[at + 6 : start], "little"))]
    found, left = [], _MOST
    for at, end in blocks:  # which grows on the way
        while at + 4 <= end:
            kind, length, flags = _MESSAGE.unpack_from(image, at)
            body = image[at + 4 : at + 4 + length]
            at += 4 + length
            left -= 1
            if kind == _CONTINUED:
                offset, size = _BLOCK.unpack(body)
                blocks.append((offset + 4, offset + size - 4))
            elif kind != _NOTHING:
                found.append((kind, body))
            if at > end or not left or flags & _SHARED:
                raise DamagedError("has a header that leads elsewhere")
    return found


def attribute(body: bytes) -> tuple[bytes, Any]:
    """Name and value of an attribute that is one integer or one text; None for any other value."""
    version, shared, name, kind, space, _ = _ATTRIBUTE.unpack_from(body)
    names_end = _ATTRIBUTE.size + name
    types_end = names_end + kind
    label = body[_ATTRIBUTE.size : names_end].rstrip(b"\0")
    its_type = body[names_end:types_end]
    value = body[types_end + space :]
    if (version, shared, body[types_end : types_end + space]) == (3, 0, _SCALAR):
        if its_type == _INTEGER and len(value) == 8:
            return label, int.from_bytes(value, "little", signed=True)
        if its_type == _TEXT + len(value).to_bytes(4, "little"):
            return label, value.decode()
    return label, None


def is_listed_elsewhere(kind: int, body: bytes) -> bool:
    """Whether a group keeps its links or attributes not in its header but in a heap."""
    at = {LINKS: 2 + 8 * (body[1] & 1), ATTRIBUTES: 2 + 2 * (body[1] & 1)}[kind]
    return body[at : at + 8] != _NOWHERE


def link(body: bytes) -> Link:
    """A link of a group that keeps its links in its header."""
    version, flags = body[:2]
    at = 2
    kind = HARD
    if flags & 8:
        kind, at = body[at], at + 1
    at += 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    at += width
    name, rest = body[at : at + length], body[at + length :]
    if version != 1 or (kind == HARD and len(rest) != 8):
        raise DamagedError("has a link of another kind than a dump's")
    return Link(kind, name, int.from_bytes(rest, "little"))


def shape(body: bytes) -> tuple[int, ...] | None:
    """The lengths of an array whose size is fixed; None for any other space."""
    version, rank, growing, kind = body[:4]
    lengths = struct.unpack_from(f"<{rank * (1 + growing)}Q", body, 4)
    if version != 2 or growing > 1 or kind > 1 or (kind == 0) != (rank == 0):
        return None
    if growing and lengths[:rank] != lengths[rank:]:
        return None
    return lengths[:rank]


def layout(body: bytes) -> tuple[int, int]:
    """How an array is stored, and the bytes of one piece: the array itself, or a chunk of it."""
    version, kind = body[:2]
    if kind == COMPACT and version in (3, 4):
        return kind, len(body) - 4
    if kind == CHUNKED and version == 4:
        rank, width = body[3:5]
        size = 1
        for at in range(5, 5 + rank * width, width):
            size *= int.from_bytes(body[at : at + width], "little")
        return kind, size
    return kind, -1


def filters(body: bytes) -> list[int]:
    """The numbers of the filters that an array's chunks go through."""
    if body[0] != 2:
        raise DamagedError("has filters of another kind than a dump's")
    numbers, at = [], 2
    for _ in range(body[1]):
        number, _, values = struct.unpack_from("<HHH", body, at)
        numbers.append(number)
        if number > 255:  # its name would follow; such a filter is refused anyway
            break
        at += 6 + 4 * values
    return numbers
