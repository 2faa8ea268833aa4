"""Object headers of an HDF5 file, read from its bytes: what an object is, before any library opens it.

Knows the part of the HDF5 file format (version 3.0, sections II and IV.A) that HDF5 1.10 and later use for the few
kinds of object in a dump. Refuses all else, so that nothing in a header is skipped unseen: HDF5 itself crashes over
headers that were made to that end.
"""

from __future__ import annotations

import struct
from mmap import mmap
from typing import Any, NamedTuple

import numpy as np

from hpc_sweep.errors import DamagedError

Bytes = bytes | mmap

# messages of an object header
SPACE, LINKS, TYPE, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 5, 6, 7, 8
GROUP, FILTERS, ATTRIBUTE, ATTRIBUTES = 10, 11, 12, 21
# filters, and the layout of an array that is put together from others
GZIP, SHUFFLE, FLETCHER32 = 1, 2, 3
VIRTUAL = 3

_NOTHING, _CONTINUED = 0, 16
_FLAGS = 0b101  # that a message is constant, that it is not to be shared
_MESSAGE = struct.Struct("<BHB")
_PAIR = struct.Struct("<QQ")
_ATTRIBUTE = struct.Struct("<BBHHHB")
_CHUNK = struct.Struct("<QIQ")
_NOWHERE = b"\xff" * 8
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n\x03\x08\x08\0" + bytes(8) + _NOWHERE
_ROOT = slice(36, 44)
_EMPTY_LISTS = {LINKS: b"\0\0" + 2 * _NOWHERE, ATTRIBUTES: b"\0\0" + 2 * _NOWHERE}
_GROUPS = (b"\0\0", b"\0\1\xff\xff\xfe\xff")  # as HDF5 makes them; with as many links as one likes in the header
_SCALAR = b"\2\0\0\0"
_ASCII, _UTF8 = b"\x13\1\0\0", b"\x13\x11\0\0"
_INT8 = bytes.fromhex("100800000100000000000800")
_INT64 = bytes.fromhex("100800000800000000004000")
_FLOAT64 = bytes.fromhex("11203f000800000000004000340b0034ff030000")
_TYPES = {
    _INT8: "|i1",
    bytes.fromhex("100800000200000000001000"): "<i2",
    bytes.fromhex("100800000400000000002000"): "<i4",
    _INT64: "<i8",
    bytes.fromhex("100000000100000000000800"): "|u1",
    bytes.fromhex("100000000200000000001000"): "<u2",
    bytes.fromhex("100000000400000000002000"): "<u4",
    bytes.fromhex("100000000800000000004000"): "<u8",
    bytes.fromhex("11200f0002000000000010000a05000a0f000000"): "<f2",
    bytes.fromhex("11201f000400000000002000170800177f000000"): "<f4",
    _FLOAT64: "<f8",
    b"\x38\2\0\0\1\0\0\0" + _INT8 + b"FALSE\0TRUE\0\0\1": "|b1",
}


class Link(NamedTuple):
    """A name in a group: `kind` is hard, soft or external; a hard one tells where the object's header is."""

    kind: str
    name: bytes
    address: int


class Piece(NamedTuple):
    """Where the data of an array lie, and through which filters they went, in that order."""

    start: int
    stop: int
    filters: tuple[int, ...]


def root(image: Bytes) -> int:
    """Where the header of the first group is."""
    if image[: len(_SUPERBLOCK)] != _SUPERBLOCK:
        raise DamagedError("is not a file as HDF5 1.10 and later write it")
    return int.from_bytes(image[_ROOT], "little")


def messages(image: Bytes, at: int, most: int) -> list[tuple[int, int, bytes]]:
    """The messages of the header that begins there: number, place and content. Empty ones only count for `most`."""
    if image[at : at + 5] != b"OHDR\2" or image[at + 5] > 3:
        raise DamagedError("has a header of another kind than a dump's")
    start = at + 6 + (1 << image[at + 5])
    blocks = [(start, start + int.from_bytes(image[at + 6 : start], "little"))]
    found = []
    for at, end in blocks:  # which grows on the way
        while at + 4 <= end:
            kind, length, flags = _MESSAGE.unpack_from(image, at)
            at += 4
            body = image[at : at + length]
            most -= 1
            if kind == _CONTINUED:
                offset, size = _PAIR.unpack(body)
                if image[offset : offset + 4] != b"OCHK":
                    raise DamagedError("has a header that leads nowhere")
                blocks.append((offset + 4, offset + size - 4))
            elif kind != _NOTHING:
                found.append((kind, at, body))
            at += length
            if at > end or not most or flags & ~_FLAGS:
                raise DamagedError("has a header that leads elsewhere, such as to a committed type")
    return found


def check_group(kind: int, body: bytes) -> None:
    """Refuse what a group's header says of lists that it keeps elsewhere, and messages that no group has."""
    if kind in _EMPTY_LISTS:
        if body != _EMPTY_LISTS[kind]:
            raise DamagedError("keeps links or attributes outside of its header")
    elif kind != GROUP or body not in _GROUPS:
        raise DamagedError(f"has a header that no dump has (message {kind})")


def link(body: bytes) -> Link:
    """A link of a group that keeps its links in its header."""
    version, flags = body[:2]
    at, kind = 2, 0
    if flags & 8:
        kind, at = body[at], at + 1
    at += 8 * bool(flags & 4) + bool(flags & 16)
    width = 1 << (flags & 3)
    end = at + width + int.from_bytes(body[at : at + width], "little")
    name = body[at + width : end]
    if kind:
        return Link("external" if kind == 64 else "soft", name, 0)
    if (version, flags, len(body)) != (1, 0, end + 8):
        raise DamagedError("has a link of another kind than a dump's")
    return Link("hard", name, int.from_bytes(body[end:], "little"))


def attribute(body: bytes) -> tuple[bytes, Any]:
    """Name and value of an attribute that is one integer or one text; None for any other value."""
    version, shared, name, kind, space, _ = _ATTRIBUTE.unpack_from(body)
    name_end = _ATTRIBUTE.size + name
    type_end = name_end + kind
    label, its_type = body[_ATTRIBUTE.size : name_end].rstrip(b"\0"), body[name_end:type_end]
    value = body[type_end + space :]
    if (version, shared, body[type_end : type_end + space]) == (3, 0, _SCALAR):
        if its_type == _INT64 and len(value) == 8:
            return label, int.from_bytes(value, "little", signed=True)
        if its_type == _UTF8 + len(value).to_bytes(4, "little"):
            return label, value.decode()
    return label, None


def shape(body: bytes) -> tuple[int, ...] | None:
    """The lengths of an array whose size is fixed; None for any other space."""
    version, rank, growing, kind = body[:4]
    if version != 2 or growing > 1 or kind > 1 or (kind == 0) != (rank == 0):
        return None
    if len(body) != 4 + 8 * rank * (1 + growing):
        return None
    lengths = struct.unpack_from(f"<{rank * (1 + growing)}Q", body, 4)
    return lengths[:rank] if not growing or lengths[:rank] == lengths[rank:] else None


def dtype(body: bytes) -> np.dtype[Any] | None:
    """The type of an array of numbers, truth values or text; None for any other."""
    if body in _TYPES:
        return np.dtype(_TYPES[body])
    size = int.from_bytes(body[4:8], "little")
    if size and body == _ASCII + body[4:8]:
        return np.dtype(f"S{size}")
    if size and body == _UTF8 + body[4:8]:
        return text_dtype(size)
    return None


def text_dtype(size: int) -> np.dtype[Any]:
    """Text in UTF-8 as h5py notes it in a type."""
    return np.dtype(f"S{size}", metadata={"h5py_encoding": "utf-8"})


def rows_dtype(body: bytes) -> np.dtype[Any] | None:
    """The type of a history's rows; None for any other."""
    length = int.from_bytes(body[4:8], "little") - 16
    if not 0 < length <= 100:
        return None
    size, text = length.to_bytes(4, "little"), (length + 16).to_bytes(4, "little")
    step, value = bytes([length]), bytes([length + 8])
    known = b"\x36\3\0\0" + text + b"metric\0\0" + _ASCII + size + b"step\0" + step + _INT64 + b"value\0" + value
    return rows_type(length) if body == known + _FLOAT64 else None


def rows_type(length: int) -> np.dtype[Any]:
    """One row of a history whose longest name has `length` letters."""
    return np.dtype([("metric", f"S{length}"), ("step", "<i8"), ("value", "<f8")])


def filters(body: bytes, itemsize: int) -> tuple[int, ...] | None:
    """The filters of an array, if they are those of a dump: perhaps shuffle and gzip, then fletcher32."""
    if body == b"\2\1\3\0\0\0\0\0":
        return (FLETCHER32,)
    shuffle = b"\2\0\1\0\1\0" + itemsize.to_bytes(4, "little")
    gzip = b"\1\0\1\0\1\0" + body[18:22]
    if body == b"\2\3" + shuffle + gzip + b"\3\0\0\0\0\0" and body[18] <= 9 and body[19:22] == b"\0\0\0":
        return (SHUFFLE, GZIP, FLETCHER32)
    return None


def compact(at: int, body: bytes) -> Piece | None:
    """The data of an array that lies in its own header; None if it does not."""
    if body[0] not in (3, 4) or body[1] != 0 or int.from_bytes(body[2:4], "little") != len(body) - 4:
        return None
    return Piece(at + 4, at + len(body), ())


def chunk_head(lengths: tuple[int, ...], itemsize: int) -> bytes:
    """How the layout begins of an array that lies in one filtered chunk."""
    sides = (*lengths, itemsize)
    width = -(-max(sides).bit_length() // 8)
    return bytes([4, 2, 2, len(sides), width]) + b"".join(n.to_bytes(width, "little") for n in sides) + b"\1"


def single_chunk(body: bytes, head: bytes, used: tuple[int, ...]) -> Piece | None:
    """The data of an array whose layout begins like that; None if it lies in any other way."""
    if not body.startswith(head) or len(body) != len(head) + _CHUNK.size:
        return None
    size, mask, address = _CHUNK.unpack_from(body, len(head))
    if size <= 4 or mask >> (len(used) - 1):  # HDF5 takes the checksum's four bytes away unseen; it is never left out
        return None
    kept = tuple(number for place, number in enumerate(used) if not mask >> place & 1) if mask else used
    return Piece(address, address + size, kept)
