"""Dumps made by somebody who knows the format: any content under valid checksums, each called by what it tries."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t, h5z

from hpc_sweep import dump, hdf5, structure
from hpc_sweep.job import Result

POINT = "ab12cd34ef56"
SECRET = "the content of another file"
Attack = Callable[[h5py.Group], object]


def honest(id: str = POINT) -> bytes:
    """A dump as a run leaves it."""
    draw = np.random.default_rng(7)
    arrays = {"prediction": draw.normal(size=600), "target": np.arange(5), "mask": np.array([True, False])}
    return dump.pack(
        id=id, job="selftest", config={"seed": 1}, code="c0de", result=Result({"mae": 0.5}, arrays),
        history={"loss": [(step, 1 / (1 + step)) for step in range(300)]},
    )  # fmt: skip


def image_of(data: bytes) -> bytes:
    """The HDF5 file without the line behind it."""
    return data[: data.rindex(b"\nhpc-sweep point ")]


@cache
def forged(attack: Attack, id: str = POINT) -> bytes:
    """An honest dump that `attack` had in its hands, under a valid checksum."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dump.h5"
        path.write_bytes(image_of(honest(id)))
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            attack(file["point"])
        return structure.seal(path.read_bytes(), id)


def external_link(point: h5py.Group) -> None:
    point["stolen"] = h5py.ExternalLink("/etc/passwd.h5", "/x")


def soft_link(point: h5py.Group) -> None:
    point["stolen"] = h5py.SoftLink("/point/target")


def external_storage(point: h5py.Group) -> None:
    point.create_dataset("stolen", (len(SECRET),), "u1", external=[(secret_file(), 0, len(SECRET))])


def secret_file() -> str:
    path = os.path.join(tempfile.gettempdir(), f"hpc-sweep-secret-{os.getpid()}")
    Path(path).write_text(SECRET)
    return path


def virtual_dataset(point: h5py.Group) -> None:
    space = h5s.create_simple((5,))
    properties = hdf5.untimed(h5p.DATASET_CREATE)
    properties.set_virtual(space, b"/somewhere/else.h5", b"x", space)
    h5d.create(point.id, b"stolen", h5t.STD_I64LE, space, properties)


def text_of_any_length(point: h5py.Group) -> None:
    point.create_dataset("words", data=["a", "bc"], dtype=h5py.string_dtype())


def numbers_of_any_length(point: h5py.Group) -> None:
    point.create_dataset("rows", (2,), h5py.vlen_dtype(np.int32))


def object_reference(point: h5py.Group) -> None:
    point.create_dataset("reference", data=point["target"].ref, dtype=h5py.ref_dtype)


def region_reference(point: h5py.Group) -> None:
    point.create_dataset("region", data=point["target"].regionref[1:3], dtype=h5py.regionref_dtype)


def compound(point: h5py.Group) -> None:
    point["pairs"] = np.zeros(3, [("a", "i4"), ("b", "f8")])


def opaque(point: h5py.Group) -> None:
    point["blob"] = np.zeros(3, "V7")


def enumeration(point: h5py.Group) -> None:
    point.create_dataset("colour", (3,), h5py.enum_dtype({"red": 0, "blue": 7}, "i1"))


def array_type(point: h5py.Group) -> None:
    space = h5s.create_simple((2,))
    h5d.create(point.id, b"matrix", h5t.array_create(h5t.STD_I32LE, (2, 2)), space, hdf5.untimed(h5p.DATASET_CREATE))


def committed_type(point: h5py.Group) -> None:
    point["kind"] = np.dtype("f8")


def array_of_committed_type(point: h5py.Group) -> None:
    point.file["kind"] = np.dtype("f8")
    point.create_dataset("numbers", (3,), dtype=point.file["kind"])
    del point.file["kind"]


def lzf_filter(point: h5py.Group) -> None:
    point.create_dataset("squeezed", data=np.arange(999), compression="lzf")


def unknown_filter(point: h5py.Group) -> None:
    """A filter that this machine does not have: HDF5 would look for a plugin, and run it."""
    properties = hdf5.untimed(h5p.DATASET_CREATE)
    properties.set_chunk((999,))
    properties.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL, (1, 2, 3))
    h5d.create(point.id, b"squeezed", h5t.STD_I64LE, h5s.create_simple((999,)), properties)


def gzip_twice(point: h5py.Group) -> None:
    """A thousand times a thousand bytes for one."""
    properties = hdf5.untimed(h5p.DATASET_CREATE)
    properties.set_chunk((1 << 20,))
    properties.set_deflate(9)
    properties.set_deflate(9)
    h5d.create(point.id, b"bomb", h5t.STD_I8LE, h5s.create_simple((1 << 20,)), properties)


def eighty_terabytes(point: h5py.Group) -> None:
    point.create_dataset("huge", (10_000_000_000_000,), "f8", chunks=(1 << 20,), compression="gzip")


def three_times_the_limit(point: h5py.Group) -> None:
    """No array too large by itself; one chunk each, none of them there."""
    for number in range(3):
        point.create_dataset(f"huge{number}", (structure.LIMIT // 8,), "f8", chunks=(1 << 20,), fletcher32=True)


def growing(point: h5py.Group) -> None:
    point.create_dataset("log", (999,), "f4", maxshape=(None,), chunks=(999,), fletcher32=True)


def contiguous(point: h5py.Group) -> None:
    point.create_dataset("plain", data=np.arange(999))


def no_extent(point: h5py.Group) -> None:
    point["nothing"] = h5py.Empty("f8")


def dots_for_a_name(point: h5py.Group) -> None:
    point[".."] = np.arange(3)


def path_for_a_name(point: h5py.Group) -> None:
    point.create_group("..").create_dataset("etc", data=np.arange(3))


def control_characters_in_a_name(point: h5py.Group) -> None:
    point["\x1b[2J"] = np.arange(3)


def deep_nesting(point: h5py.Group) -> None:
    for _ in range(3_000):
        point = point.create_group("g")


def circle(point: h5py.Group) -> None:
    point["again"] = point


def circle_through_the_root(point: h5py.Group) -> None:
    point["again"] = point.file["/"]


def second_point(point: h5py.Group) -> None:
    point.file.create_group("another")


def attribute_of_the_root(point: h5py.Group) -> None:
    point.file.attrs["more"] = 1


def another_attribute(point: h5py.Group) -> None:
    point.attrs["more"] = 1


def huge_attribute(point: h5py.Group) -> None:
    point.attrs["more"] = np.zeros(100_000)


def attribute_of_an_array(point: h5py.Group) -> None:
    point["target"].attrs["more"] = 1


def about_of_any_length(point: h5py.Group) -> None:
    text = point.attrs["about"].decode()
    del point.attrs["about"]
    point.attrs["about"] = text


def about_with_nan(point: h5py.Group) -> None:
    _say(point, point.attrs["about"].decode().replace("0.5", "NaN"))


def about_with_infinity(point: h5py.Group) -> None:
    _say(point, point.attrs["about"].decode().replace("0.5", "1e999"))


def about_nested_deeply(point: h5py.Group) -> None:
    _say(point, "[" * 50_000)


def about_a_list(point: h5py.Group) -> None:
    _say(point, "[]")


def metric_with_a_bad_name(point: h5py.Group) -> None:
    _say(point, point.attrs["about"].decode().replace('"mae"', '"=cmd()"'))


def reason_that_is_no_text(point: h5py.Group) -> None:
    _say(point, point.attrs["about"].decode().replace('"missing":{}', '"missing":{"f1":[]}'))


def schema_to_come(point: h5py.Group) -> None:
    point.attrs["schema"] = np.int64(2)


def _say(point: h5py.Group, text: str) -> None:
    del point.attrs["about"]
    encoded = text.encode()
    point.attrs.create("about", encoded, dtype=h5py.string_dtype("utf-8", len(encoded)))


ATTACKS: dict[Attack, str] = {
    external_link: "refers to another file (external link `stolen`)",
    soft_link: "refers to another place (soft link `stolen`)",
    external_storage: "refers to another file (external storage of `stolen`)",
    virtual_dataset: "refers to other arrays (`stolen` is virtual)",
    text_of_any_length: "`words` has a type",
    numbers_of_any_length: "`rows` has a type",
    object_reference: "`reference` has a type",
    region_reference: "`region` has a type",
    compound: "`pairs` has a type",
    opaque: "`blob` has a type",
    enumeration: "`colour` has a type",
    array_type: "`matrix` has a type",
    committed_type: "another kind than a dump's",
    array_of_committed_type: "leads elsewhere",
    lzf_filter: "`squeezed` needs filters",
    unknown_filter: "`squeezed` needs filters",
    gzip_twice: "`bomb` needs filters",
    eighty_terabytes: "`huge`",
    three_times_the_limit: "`huge",
    growing: "`log` has a shape",
    contiguous: "`plain` is stored in another way",
    no_extent: "`nothing` has a shape",
    dots_for_a_name: "`..` cannot name an array",
    path_for_a_name: "`..` cannot name an array",
    control_characters_in_a_name: "`\\x1b[2J` cannot name an array",
    deep_nesting: "`g` is not an array",
    circle: "a header that no dump has",
    circle_through_the_root: "a header that no dump has",
    second_point: "holds other things than one point",
    attribute_of_the_root: "holds other things than one point",
    another_attribute: "has other attributes than a dump",
    huge_attribute: "outside of its header",
    attribute_of_an_array: "`target` is not an array as a dump has them",
    about_of_any_length: "attribute `about` is not one text",
    about_with_nan: "NaN",
    about_with_infinity: "`mae` is not a metric",
    about_nested_deeply: "is not a dump that can be read",
    about_a_list: "does not say what it is",
    metric_with_a_bad_name: "`=cmd()` is not a metric",
    reason_that_is_no_text: "reasons",
    schema_to_come: "schema 2; this hpc-sweep reads 1",
}


def mutant(image: bytes, draw: random.Random) -> bytes:
    """The image with a few bytes changed in its headers, and the headers' checksums made right again."""
    changed = bytearray(image)
    blocks = header_blocks(image)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        start, stop = draw.choice(blocks)
        at = draw.randrange(start, stop)
        changed[at] = draw.choice((0, 1, 127, 128, 255, changed[at] ^ 1 << draw.randrange(8)))
    for start, stop in blocks:
        changed[stop : stop + 4] = lookup3(bytes(changed[start:stop])).to_bytes(4, "little")
    return bytes(changed)


def header_blocks(image: bytes) -> list[tuple[int, int]]:
    """Beginning and end of everything that HDF5 keeps under a checksum: superblock and object headers."""
    found = [(0, 44)]
    at = image.find(b"OHDR")
    while at >= 0:
        start = at + 6 + (1 << (image[at + 5] & 3))
        stop = start + int.from_bytes(image[at + 6 : start], "little")
        found.append((at, stop))
        blocks = [(start, stop)]
        for start, stop in blocks:
            while start + 4 <= stop:
                length = int.from_bytes(image[start + 1 : start + 3], "little")
                if image[start] == 16:
                    offset, size = (int.from_bytes(image[start + n : start + n + 8], "little") for n in (4, 12))
                    found.append((offset, offset + size - 4))
                    blocks.append((offset + 4, offset + size - 4))
                start += 4 + length
        at = image.find(b"OHDR", at + 1)
    return found


def lookup3(data: bytes) -> int:
    """Bob Jenkins' checksum, which HDF5 puts behind every header."""
    mask = 0xFFFFFFFF

    def turn(x: int, k: int) -> int:
        return (x << k | x >> (32 - k)) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    at = 0
    while len(data) - at > 12:
        a, b, c = (
            (x + int.from_bytes(data[at + n : at + n + 4], "little")) & mask for x, n in ((a, 0), (b, 4), (c, 8))
        )
        for k in (4, 6, 8, 16, 19, 4):
            a, c = ((a - c) & mask) ^ turn(c, k), (c + b) & mask
            a, b, c = b, c, a
        at += 12
    rest = data[at:].ljust(12, b"\0")
    a, b, c = ((x + int.from_bytes(rest[n : n + 4], "little")) & mask for x, n in ((a, 0), (b, 4), (c, 8)))
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - turn(b, k)) & mask
        a, b, c = b, c, a
    return b
