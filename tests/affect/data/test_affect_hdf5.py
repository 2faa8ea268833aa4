"""HDF5 files of others: a file that lies about itself, or leads elsewhere, is refused before anything is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from affect.data import hdf5
from affect.data.csd_file import open_sequence
from affect.errors import DataError

ROWS = np.arange(200, dtype=np.float64).reshape(100, 2)


def put(file: h5py.File, name: str, data: Any, **options: Any) -> None:
    file.create_dataset(f"facet/data/{name}", data=data, **options)


def whole(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        put(file, "v/features", ROWS)
        put(file, "v/intervals", ROWS)
        file.create_dataset("facet/metadata/root name", (1,), dtype=h5py.special_dtype(vlen=str))[0] = '"facet"'
    return path


def damaged(path: Path, change: Callable[[h5py.File], object]) -> str:
    with h5py.File(whole(path), "r+") as file:
        change(file)
    with pytest.raises(DataError) as caught:
        open_sequence(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"chunks": (7, 2)}, {"fletcher32": True}],
    ids=str,
)
def test_plain_and_packed_arrays_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.csd", "w") as file:
        put(file, "v/features", ROWS, **options)
        put(file, "v/intervals", np.zeros_like(ROWS), **options)
    found = open_sequence(tmp_path / "x.csd")
    np.testing.assert_array_equal(found.features("v", 0, 100), ROWS)
    np.testing.assert_array_equal(found.features("v", 10, 12), ROWS[10:12])
    assert (found.root, found.is_text, found.width, found.entries["v"].rows) == ("facet", False, 2, 100)


def test_very_compressible_arrays_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.csd", "w") as file:
        put(file, "v/features", np.zeros((200_000, 35)), compression="gzip", compression_opts=9)
        put(file, "v/intervals", np.zeros((200_000, 2)), compression="gzip", compression_opts=9)
    assert open_sequence(tmp_path / "x.csd").features("v", 0, 1).tolist() == [[0.0] * 35]


def test_arrays_of_no_rows_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.csd", "w") as file:
        put(file, "v/features", ROWS[:0])
        put(file, "v/intervals", ROWS[:0])
    assert open_sequence(tmp_path / "x.csd").features("v", 0, 0).shape == (0, 2)


def external(file: h5py.File) -> None:
    file.create_dataset("facet/data/w/features", (4, 1), "u1", external=[("/etc/hostname", 0, 4)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((100, 2), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (100, 2))
    file.create_virtual_dataset("facet/data/w/features", layout)


def unallocated(file: h5py.File) -> None:
    file.create_dataset("facet/data/w/features", (10**12, 2), "f8")


def sparse(file: h5py.File) -> None:
    file.create_dataset("facet/data/w/features", (10**9, 2), "f8", chunks=(10**6, 2))[:1] = 1


def bomb(file: h5py.File) -> None:
    """Two deflate filters, one on the other: each makes the stream a thousand times smaller."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1 << 20, 2))
    plist.set_deflate(9)
    plist.set_deflate(9)
    group = file.create_group("facet/data/w")
    space = h5py.h5s.create_simple((1 << 20, 2))
    made = h5py.h5d.create(group.id, b"features", h5py.h5t.IEEE_F64LE, space, plist)
    h5py.Dataset(made)[:] = 0


def big_chunk(file: h5py.File) -> None:
    """A chunk of which only few rows count, and which would be unpacked whole."""
    made = file.create_dataset("facet/data/w/features", (4, 2), "f8", chunks=(1 << 22, 2), maxshape=(None, 2))
    made.id.write_direct_chunk((0, 0), b"abc")


def unknown_filter(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((10, 2))
    plist.set_scaleoffset(h5py.h5z.SO_INT, 0)
    group = file.create_group("facet/data/w")
    h5py.h5d.create(group.id, b"features", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((100, 2)), plist)


HOSTILE: list[tuple[Callable[[h5py.File], object], str]] = [
    (lambda f: f["facet/data"].__setitem__("s", h5py.SoftLink("/facet/data/v")), "`facet/data/s` is a link"),
    (lambda f: f["facet/data"].__setitem__("e", h5py.ExternalLink("o.h5", "/x")), "`facet/data/e` is a link"),
    (lambda f: f["facet/data"].__setitem__("h", f["facet/data/v"]), "is in the file under another name too"),
    (lambda f: f["facet/data"].__setitem__("loop", f["facet"]), "is in the file under another name too"),
    (lambda f: put(f, "v/deeper/array", ROWS), "`facet/data/v/deeper` is no array, or lies too deep"),
    (lambda f: f["facet/data"].__setitem__("t", np.dtype("f8")), "`facet/data/t` is no array"),
    (external, "`/facet/data/w/features` lies in other files"),
    (virtual, "`/facet/data/w/features` lies in other files"),
    (unallocated, "claims the shape (1000000000000, 2), which is more than the file holds"),
    (sparse, "claims the shape (1000000000, 2)"),
    (bomb, "packed with the filters [1, 1]"),
    (big_chunk, "claims the shape (4, 2)"),
    (unknown_filter, "packed with the filters"),
    (lambda f: put(f, "w/features", [["a"]], dtype=h5py.string_dtype()), "has the type object"),
    (lambda f: put(f, "w/features", np.zeros((2, 2), "c16")), "has the type complex128"),
    (lambda f: put(f, "w/features", np.zeros((2, 2), "i4,i4")), "which is neither numbers nor text"),
    (lambda f: put(f, "w/features", h5py.Empty("f8")), "which is neither numbers nor text"),
    (lambda f: put(f, "w/features", [[True]]), "has the type bool"),
    (lambda f: put(f, "w/features", ROWS), "`w` has features only"),
    (lambda f: put(f, "loose", ROWS), "`facet/data/loose` belongs in no computational sequence"),
    (lambda f: put(f, "v/more", ROWS), "`facet/data/v/more` belongs in no computational sequence"),
    (lambda f: f.create_dataset("facet/metadata/x", data=ROWS), "metadata is text"),
    (lambda f: f.create_dataset("facet/metadata/r", (1,), h5py.ref_dtype), "metadata is text"),
    (lambda f: f.create_group("second"), "has 2 groups at its root"),
    (lambda f: f["facet"].__delitem__("data"), "has no entries"),
    (lambda f: f["facet/data"].create_group("a\nb"), r"'a\nb' in `facet/data` is no name that can be printed"),
    (lambda f: h5py.h5g.create(f["facet/data"].id, b"\xff\xfe"), "is no name that can be printed"),
]


@pytest.mark.parametrize(("change", "told"), HOSTILE, ids=[told for _, told in HOSTILE])
def test_hostile_files_are_refused(change: Callable[[h5py.File], object], told: str, tmp_path: Path) -> None:
    assert told in damaged(tmp_path / "x.csd", change)


def test_entries_of_text_among_entries_of_numbers_are_refused(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        put(file, "w/features", np.array([[b"x"]]))
        put(file, "w/intervals", ROWS[:1])

    assert "has entries of text and entries of numbers" in damaged(tmp_path / "x.csd", change)


def test_intervals_that_are_text_are_refused(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        put(file, "w/features", ROWS[:1])
        put(file, "w/intervals", np.array([[b"x", b"y"]]))

    assert "the intervals of `w` have the type |S1" in damaged(tmp_path / "x.csd", change)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n"], ids=["empty", "text", "head"])
def test_what_is_no_hdf5_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csd").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        open_sequence(tmp_path / "x.csd")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csd", tmp_path):
        with pytest.raises(DataError, match="there is no file"):
            hdf5.open_foreign(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused(kept: float, tmp_path: Path) -> None:
    path = whole(tmp_path / "x.csd")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        open_sequence(path)


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_give_a_sequence_or_a_sentence(seed: int, tmp_path: Path) -> None:
    path, rng = whole(tmp_path / "x.csd"), random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 40)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    try:
        found = open_sequence(path)
        for key, entry in found.entries.items():
            found.features(key, 0, entry.rows)
            found.intervals(key)
    except DataError as error:
        assert str(path) in str(error)
