"""Writing HDF5 through h5py's low level, so that equal content gives equal bytes: no times, nothing by chance.

The only module that loads h5py to write, together with `collect`. It decides on no schema: `dump` and `collect` do.
"""

from __future__ import annotations

import io
import itertools
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from h5py import h5a, h5d, h5f, h5fd, h5g, h5p, h5s, h5t, string_dtype

from hpc_sweep import structure
from hpc_sweep.structure import Array

_FORMAT = (h5f.LIBVER_V110, h5f.LIBVER_V110)  # HDF5 1.10 (2016) and later read it
_COMPACT = 2_048  # up to here an array lies in its own header, under the header's checksum
_SAMPLE = 1 << 16
_GZIP = 4
_numbers = itertools.count()

# h5py has no call for how many links a group keeps in its header (8, unless told otherwise), but takes it over from
# a group that exists: the only one of this file keeps 65,535. (HDF5 crashes over a list elsewhere if that is forged.)
_ROOMY = bytes.fromhex(
    "894844460d0a1a0a030808000000000000000000ffffffffffffffff5b000000000000003000000000000000852ec972"
    "4f484452020020021200000000ffffffffffffffffffffffffffffffff0a0600010001fffffeff004439dc"
)


def dump_image(about: str, arrays: Mapping[str, Array]) -> bytes:
    """The file of one point."""
    buffer = io.BytesIO()
    with new(buffer, block=0) as file:
        group = h5g.create(file, structure.POINT, None, _roomy())
        write_number(group, b"schema", structure.SCHEMA)
        write_text(group, structure.ABOUT, about)
        for name, array in arrays.items():
            write_array(group, name.encode(), array)
    return buffer.getvalue()


@contextmanager
def new(file: Any, block: int = 1 << 16) -> Iterator[h5f.FileID]:
    """A new file, written through a Python file; headers are put side by side in blocks of so many bytes.

    (HDF5's own files in memory cannot be taken out before version 2: their first checksum is wrong.)
    """
    access = bounded(h5p.create(h5p.FILE_ACCESS))
    access.set_fileobj_driver(h5fd.fileobj_driver, file)
    access.set_meta_block_size(block)
    try:
        root = h5f.create(no_name(), h5f.ACC_TRUNC, untimed(h5p.FILE_CREATE), access)
    finally:
        access.close()  # left to an exit after an error, it calls into a Python that is gone
    try:
        yield root
    finally:
        root.close()


def no_name() -> bytes:
    """A name for a file in memory: HDF5 takes two of one name for one file, and refuses one that is on the disk."""
    return b"/dev/null/%d" % next(_numbers)


def in_memory() -> h5p.PropFAID:
    """How to open bytes as a file; give them by `set_file_image`."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    return bounded(access)


def bounded(access: h5p.PropFAID) -> h5p.PropFAID:
    """Keep to one version of the format, and close with a file what is open in it."""
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(*_FORMAT)
    return access


def untimed(kind: h5p.PropClassID) -> Any:
    """Creation properties under which no time goes into the file."""
    properties = h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def write_number(at: Any, name: bytes, number: int) -> None:
    """An attribute that is an integer."""
    h5a.create(at, name, h5t.STD_I64LE, h5s.create(h5s.SCALAR)).write(np.array(number, "<i8"))


def write_text(at: Any, name: bytes, text: str) -> None:
    """An attribute of fixed length in UTF-8."""
    encoded = text.encode()
    kind = h5t.py_create(string_dtype("utf-8", max(1, len(encoded))))
    h5a.create(at, name, kind, h5s.create(h5s.SCALAR)).write(np.array(encoded), kind)


def write_array(at: Any, name: bytes, array: Array) -> h5d.DatasetID:
    """A small array in its header; another in one chunk with a checksum, compressed where that pays."""
    properties = untimed(h5p.DATASET_CREATE)
    if array.nbytes <= _COMPACT:
        properties.set_layout(h5d.COMPACT)
    else:
        properties.set_chunk(array.shape or (1,))
        if _compresses(array):
            properties.set_shuffle()
            properties.set_deflate(_GZIP)
        properties.set_fletcher32()
    kind = h5t.py_create(array.dtype)
    space = h5s.create_simple(array.shape) if array.shape else h5s.create(h5s.SCALAR)
    dataset = h5d.create(at, name, kind, space, properties)
    dataset.write(h5s.ALL, h5s.ALL, array, kind)
    return dataset


def _roomy() -> h5p.PropGCID:
    access = in_memory()
    access.set_file_image(_ROOMY)
    file = h5f.open(no_name(), h5f.ACC_RDONLY, access)
    try:
        properties = h5g.open(file, b"/").get_create_plist()
    finally:
        file.close()
    properties.set_obj_track_times(False)
    return properties


def _compresses(array: Array) -> bool:
    """Whether gzip saves a quarter (noise does not): tried on the first 64 kB, shuffled by byte as HDF5 does."""
    sample = array.reshape(-1)[: max(1, _SAMPLE // array.dtype.itemsize)]
    shuffled = sample.view(np.uint8).reshape(len(sample), -1).T.tobytes()
    return len(zlib.compress(shuffled, _GZIP)) < 0.75 * len(shuffled)
