"""What is written to HDF5 has no time and no chance in it, and keeps its links where they can be looked at."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from h5py import h5f, h5g, h5p

from hpc_sweep import hdf5, headers, structure
from hpc_sweep.structure import Array


def arrays(count: int) -> dict[str, Array]:
    return {f"a{n}": np.arange(n + 1) for n in range(count)}


def group_of(image: bytes) -> list[tuple[int, int, bytes]]:
    """The messages of the header of the group `point`."""
    (link,) = (body for kind, _, body in headers.messages(image, headers.root(image), 99) if kind == headers.LINK)
    return headers.messages(image, headers.link(link).address, 100_000)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 100, 500])
def test_all_links_are_in_the_header(count: int) -> None:
    found = group_of(hdf5.dump_image("{}", arrays(count)))

    assert sum(kind == headers.LINK for kind, _, _ in found) == count


def test_the_same_content_gives_the_same_bytes() -> None:
    assert hdf5.dump_image("{}", arrays(20)) == hdf5.dump_image("{}", arrays(20))


def test_no_header_holds_a_time() -> None:
    """Bit 5 of an object header's flags says that four times follow."""
    image = hdf5.dump_image("{}", {"small": np.arange(3), "large": np.arange(3_000)})
    at = image.find(b"OHDR\2")
    seen = 0
    while at >= 0:
        assert not image[at + 5] & 0x20
        at, seen = image.find(b"OHDR\2", at + 1), seen + 1
    assert seen == 4


def test_every_file_in_memory_has_a_name_of_its_own() -> None:
    names = {hdf5.no_name() for _ in range(100)}

    assert len(names) == 100
    assert all(name.startswith(b"/dev/null/") for name in names)


def test_two_files_in_memory_are_two() -> None:
    one = h5f.create(hdf5.no_name(), h5f.ACC_TRUNC, hdf5.untimed(h5p.FILE_CREATE), hdf5.in_memory())
    two = h5f.create(hdf5.no_name(), h5f.ACC_TRUNC, hdf5.untimed(h5p.FILE_CREATE), hdf5.in_memory())
    h5g.create(one, b"only-here")

    assert not two.links.exists(b"only-here")
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("array", "filters"),
    [
        (np.zeros(9_000), (headers.SHUFFLE, headers.GZIP, headers.FLETCHER32)),
        (np.random.default_rng(0).normal(size=9_000), (headers.FLETCHER32,)),
        (np.random.default_rng(0).integers(0, 7, 9_000), (headers.SHUFFLE, headers.GZIP, headers.FLETCHER32)),
        (np.zeros(256), ()),
        (np.zeros(257), (headers.SHUFFLE, headers.GZIP, headers.FLETCHER32)),
        (np.zeros((0, 9)), ()),
        (np.float64(1.0), ()),
    ],
)
def test_filters_are_used_where_they_pay(array: Array, filters: tuple[int, ...]) -> None:
    image = hdf5.dump_image("{}", {"x": np.asarray(array)})
    links = [headers.link(body) for kind, _, body in group_of(image) if kind == headers.LINK]

    assert structure.arrays_of(image, links)["x"].piece.filters == filters


def test_a_filter_that_hdf5_skipped_is_not_undone() -> None:
    """Gzip is left out of a chunk that it would make larger; the chunk says so."""
    file = h5py.File(hdf5.no_name().decode(), "w", driver="core", backing_store=False, libver=("v110", "v110"))
    data = np.arange(1_000)
    space = h5py.h5s.create_simple((1_000,))
    properties = hdf5.untimed(h5p.DATASET_CREATE)
    properties.set_chunk((1_000,))
    properties.set_shuffle()
    properties.set_deflate(4)
    properties.set_fletcher32()
    dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.STD_I64LE, space, properties)
    shuffled = data.view(np.uint8).reshape(1_000, 8).T.tobytes()
    dataset.write_direct_chunk((0,), shuffled + b"\0\0\0\0", filter_mask=0b010)
    file.flush()
    image = file.id.get_file_image()
    file.close()
    _, links = structure.group(image, headers.root(image))
    stored = structure.arrays_of(image, links)["x"]

    assert stored.piece.filters == (headers.SHUFFLE, headers.FLETCHER32)
    assert (stored.read(image) == data).all()


def test_text_and_numbers_are_attributes_of_fixed_length() -> None:
    image = hdf5.dump_image('{"ä": 1}', {})
    found = dict(headers.attribute(body) for kind, _, body in group_of(image) if kind == headers.ATTRIBUTE)

    assert found == {b"schema": structure.SCHEMA, b"about": '{"ä": 1}'}
