"""Headers are read as HDF5 writes them, and nothing else is taken for one."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
from h5py import h5t

from hpc_sweep import hdf5, headers
from hpc_sweep.errors import DamagedError


def encoded(dtype: object) -> bytes:
    """A type as HDF5 itself encodes it."""
    return bytes(h5t.py_create(np.dtype(dtype), logical=True).encode()[2:])


@pytest.mark.parametrize(
    "kind", ["i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "S1", "S99"]
)
def test_the_types_of_a_dump_are_known(kind: str) -> None:
    assert headers.dtype(encoded(kind)) == np.dtype(kind)


def test_text_in_utf8_is_told_from_bytes() -> None:
    text, plain = headers.dtype(encoded(h5py.string_dtype("utf-8", 5))), headers.dtype(encoded("S5"))

    assert text is not None and plain is not None
    assert h5py.check_string_dtype(text).encoding == "utf-8"
    assert plain.metadata is None


@pytest.mark.parametrize(
    "kind",
    [
        ">i4", ">f8", "c16", "V3", [("a", "i4")], h5py.string_dtype(), h5py.vlen_dtype("i4"), h5py.ref_dtype,
        h5py.regionref_dtype, h5py.enum_dtype({"a": 1}), ("i4", (2, 2)),
    ],
    ids=str,
)  # fmt: skip
def test_other_types_are_not(kind: object) -> None:
    assert headers.dtype(encoded(kind)) is None


@pytest.mark.parametrize("body", [b"", b"\x10", bytes(12), b"\x13\x01\0\0\0\0\0\0", b"\x13\x01\0\0\5\0\0\0\0"])
def test_what_is_no_type_is_none(body: bytes) -> None:
    assert headers.dtype(body) is None
    assert headers.rows_dtype(body) is None


@pytest.mark.parametrize("length", [1, 2, 7, 99, 100])
def test_the_rows_of_a_history_are_known_by_their_names_and_types(length: int) -> None:
    rows = np.zeros(200, headers.rows_type(length))
    image = hdf5.dump_image("{}", {"history": rows})
    at = image.index(b"\x36\3\0\0")
    size = struct.unpack_from("<H", image, at - 3)[0]

    assert headers.rows_dtype(image[at : at + size]) == rows.dtype
    assert headers.rows_dtype(image[at : at + size].replace(b"step", b"stop")) is None


def test_truth_values_are_known() -> None:
    image = hdf5.dump_image("{}", {"x": np.array([True])})
    at = image.index(b"\x38\2\0\0")
    size = struct.unpack_from("<H", image, at - 3)[0]

    assert headers.dtype(image[at : at + size]) == np.dtype(bool)
    assert headers.dtype(image[at : at + size].replace(b"TRUE", b"MORE")) is None


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b"\2\0\0\0", ()),
        (b"\2\1\0\1" + struct.pack("<Q", 5), (5,)),
        (b"\2\2\1\1" + struct.pack("<4Q", 5, 6, 5, 6), (5, 6)),
        (b"\2\1\1\1" + struct.pack("<2Q", 5, 6), None),
        (b"\2\1\1\1" + struct.pack("<2Q", 5, 2**64 - 1), None),
        (b"\2\0\0\2", None),
        (b"\2\1\0\0" + struct.pack("<Q", 5), None),
        (b"\2\0\0\1", None),
        (b"\1\0\0\0", None),
        (b"\2\1\0\1" + struct.pack("<2Q", 5, 6), None),
        (b"\2\1\2\1" + struct.pack("<3Q", 5, 5, 5), None),
    ],
)
def test_a_shape_is_fixed_or_none(body: bytes, shape: tuple[int, ...] | None) -> None:
    assert headers.shape(body) == shape


FLETCHER = b"\3\0\0\0\0\0"
SHUFFLE = b"\2\0\1\0\1\0\x08\0\0\0"
GZIP = b"\1\0\1\0\1\0\4\0\0\0"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"\2\1" + FLETCHER + b"", (3,)),
        (b"\2\3" + SHUFFLE + GZIP + FLETCHER, (2, 1, 3)),
        (b"\2\2" + GZIP + FLETCHER, None),
        (b"\2\4" + SHUFFLE + GZIP + GZIP + FLETCHER, None),
        (b"\2\3" + SHUFFLE.replace(b"\x08", b"\x04") + GZIP + FLETCHER, None),
        (b"\2\3" + SHUFFLE + GZIP.replace(b"\4", b"\x0a") + FLETCHER, None),
        (b"\2\1\x00\x7d\0\0\0\0", None),
        (b"\2\0", None),
        (b"", None),
    ],
)
def test_filters_are_those_of_a_dump_or_none(body: bytes, found: tuple[int, ...] | None) -> None:
    assert headers.filters(body, 8) == found


def chunk(size: int = 44, mask: int = 0, rank: int = 2, index: int = 1, flags: int = 2) -> bytes:
    """The layout of an array of five numbers in one chunk."""
    return struct.pack("<5B2BBQIQ", 4, 2, flags, rank, 1, 5, 8, index, size, mask, 1_000)


@pytest.mark.parametrize(
    ("body", "piece"),
    [
        (chunk(), headers.Piece(1_000, 1_044, (2, 1, 3))),
        (chunk(mask=0b010), headers.Piece(1_000, 1_044, (2, 3))),
        (chunk(mask=0b100), None),  # without fletcher32
        (chunk(mask=0b1000), None),
        (chunk(size=4), None),  # HDF5 takes the four bytes of the checksum away, and more from there
        (chunk(size=0), None),
        (chunk(index=3), None),
        (chunk(flags=0), None),
        (chunk(rank=1), None),
        (chunk()[:-1], None),
        (chunk() + b"\0", None),
    ],
)
def test_one_chunk_is_one_chunk(body: bytes, piece: headers.Piece | None) -> None:
    assert headers.single_chunk(body, headers.chunk_head((5,), 8), (2, 1, 3)) == piece


@pytest.mark.parametrize("shape", [(5,), (255,), (256,), (65_536,), (3, 70_000), (2**31, 1), (1, 1, 1, 1)])
def test_a_chunk_begins_as_hdf5_writes_it(shape: tuple[int, ...]) -> None:
    """In as few bytes a length as the longest needs."""
    file = h5py.File(hdf5.no_name().decode(), "w", driver="core", backing_store=False, libver=("v110", "v110"))
    file.create_dataset("x", shape, "i1", chunks=shape, fletcher32=True)
    file.flush()
    image = file.id.get_file_image()
    file.close()

    assert headers.chunk_head(shape, 1) in image


def test_links_of_every_kind_are_told_apart() -> None:
    hard = b"\1\0\1x" + struct.pack("<Q", 99)
    assert headers.link(hard) == headers.Link("hard", b"x", 99)
    assert headers.link(b"\1\x08\1\1x\2\0/y").kind == "soft"
    assert headers.link(b"\1\x08\x40\1x\2\0/y").kind == "external"
    assert headers.link(b"\1\x08\xc8\1x").kind == "soft"
    for other in (b"\2" + hard[1:], hard[:-1], hard + b"\0", b"\1\x10\0" + hard[2:]):
        with pytest.raises(DamagedError, match="a link of another kind"):
            headers.link(other)


def header(*messages: bytes, flags: int = 0) -> bytes:
    body = b"".join(messages)
    return b"OHDR\2" + bytes([flags, len(body)]) + body + b"\0\0\0\0"


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("<BHB", kind, len(body), flags) + body


def test_messages_are_found_with_their_places() -> None:
    image = b"....." + header(message(1, b"ab"), message(0, bytes(9)), message(3, b"c", 1))

    assert headers.messages(image, 5, 9) == [(1, 16, b"ab"), (3, 35, b"c")]


def test_a_continued_header_goes_on_where_it_says() -> None:
    more = b"OCHK" + message(3, b"c") + b"\0\0\0\0"
    first = header(message(16, struct.pack("<QQ", 31, len(more))), message(1, b"a"))
    image = header(message(16, struct.pack("<QQ", len(first), len(more))), message(1, b"a")) + more

    assert [(kind, body) for kind, _, body in headers.messages(image, 0, 9)] == [(1, b"a"), (3, b"c")]


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"OHDR\1\0\0",
        header(flags=4),
        header(flags=0x20),
        header(message(1, b"a", flags=2)),
        header(message(1, b"abc")[:-2]),
        header(message(16, struct.pack("<QQ", 0, 40))),
        header(*[message(0, b"")] * 20),
    ],
    ids=["nothing", "version", "order", "times", "shared", "short", "nowhere", "many"],
)
def test_other_headers_are_refused(image: bytes) -> None:
    with pytest.raises(DamagedError):
        headers.messages(image, 0, 9)


def test_a_header_that_goes_on_in_itself_ends() -> None:
    block = b"OCHK" + message(16, struct.pack("<QQ", 31, 28))
    image = header(message(16, struct.pack("<QQ", 31, 28))).ljust(31, b"\0") + block + b"\0\0\0\0"
    with pytest.raises(DamagedError):
        headers.messages(image, 0, 1_000)


def test_groups_that_keep_lists_elsewhere_are_refused() -> None:
    nowhere = b"\0\0" + b"\xff" * 16
    headers.check_group(headers.LINKS, nowhere)
    headers.check_group(headers.ATTRIBUTES, nowhere)
    headers.check_group(headers.GROUP, b"\0\0")
    for kind, body in [(2, b"\0\0" + bytes(16)), (21, nowhere[:-1] + b"\0"), (10, b"\0\2\0\0\0\0"), (17, b"")]:
        with pytest.raises(DamagedError):
            headers.check_group(kind, body)


def test_attributes_are_integers_or_texts_or_none() -> None:
    def attribute(kind: bytes, value: bytes, space: bytes = b"\2\0\0\0") -> bytes:
        return struct.pack("<BBHHHB", 3, 0, 2, len(kind), len(space), 0) + b"x\0" + kind + space + value

    integer, text = bytes.fromhex("100800000800000000004000"), b"\x13\x11\0\0\2\0\0\0"
    assert headers.attribute(attribute(integer, struct.pack("<q", -7))) == (b"x", -7)
    assert headers.attribute(attribute(text, "ä".encode())) == (b"x", "ä")
    for other in (
        attribute(text, b"a"), attribute(integer, bytes(4)), attribute(b"\x19" + text[1:], bytes(16)),
        attribute(text, b"ab", b"\2\1\0\1" + struct.pack("<Q", 1)), b"\1" + attribute(text, b"ab")[1:],
    ):  # fmt: skip
        assert headers.attribute(other) == (b"x", None)
