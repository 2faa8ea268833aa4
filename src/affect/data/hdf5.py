"""HDF5 files of others: what may be read of them, looked at before anything is read.

Owns the checks that importers of foreign HDF5 share. Refuses links, objects that are reached twice, external and
virtual storage, filters that HDF5 would load a program for, types that are neither numbers nor text of a fixed length,
and shapes that hold more than the file can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affect.errors import DataError

_DEFLATE, _SHUFFLE, _CHECKSUM, _LZF = 1, 2, 3, 32000
_PACKING = {_DEFLATE, _LZF}
_MOST_PACKED = 1100  # no deflate stream grows by more than 1032


def open_foreign(path: Path) -> Any:
    """The h5py file, open for reading; nothing of it was checked yet."""
    import h5py

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with reading(path):
        return h5py.File(path, "r", locking=False)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever h5py says of a damaged file becomes a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as HDF5: {error}") from error


def walk(file: Any, path: Path, deepest: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each array below `file` after the names that lead to it. Links are refused, and so are circles."""
    seen: set[int] = set()
    with reading(path):
        yield from _walk(file, path, (), deepest, seen)


def check(dataset: Any, path: Path) -> None:
    """Refuse an array whose numbers or texts do not lie plainly in this file."""
    import h5py

    told = f"{path}: array `{dataset.name}`"
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise DataError(f"{told} lies in other files; ask for a file that holds everything")
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if set(filters) - {_DEFLATE, _SHUFFLE, _CHECKSUM, _LZF} or len(set(filters)) < len(filters):
        raise DataError(f"{told} is packed with the filters {filters}; only gzip, lzf, shuffle and fletcher32 are read")
    if dataset.dtype.kind not in "iufS" or dataset.shape is None:
        raise DataError(f"{told} has the type {dataset.dtype}, which is neither numbers nor text of a fixed length")
    if dataset.size and not _lies_inside(dataset, plist.get_layout(), bool(_PACKING & set(filters)), path):
        raise DataError(f"{told} claims the shape {dataset.shape}, which is more than the file holds")


def _walk(
    group: Any, path: Path, above: tuple[str, ...], deepest: int, seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    import h5py

    for name in group:
        if not isinstance(name, str) or not name.isprintable():  # h5py gives bytes where they are not UTF-8
            raise DataError(f"{path}: {name!a} in `{'/'.join(above)}` is no name that can be printed")
        where = "/".join((*above, name))
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DataError(f"{path}: `{where}` is a link to somewhere else")
        child = group[name]
        address = h5py.h5o.get_info(child.id).addr
        if address in seen:
            raise DataError(f"{path}: `{where}` is in the file under another name too")
        seen.add(address)
        if isinstance(child, h5py.Dataset):
            yield (*above, name), child
        elif isinstance(child, h5py.Group) and len(above) + 1 < deepest:
            yield from _walk(child, path, (*above, name), deepest, seen)
        else:
            raise DataError(f"{path}: `{where}` is no array, or lies too deep")


def _lies_inside(dataset: Any, layout: int, packed: bool, path: Path) -> bool:
    import h5py

    bytes_, end = dataset.size * dataset.dtype.itemsize, path.stat().st_size
    if layout == h5py.h5d.CONTIGUOUS:
        offset = dataset.id.get_offset()
        return offset is not None and bool(offset + bytes_ <= end)
    if layout == h5py.h5d.CHUNKED:
        count = math.prod(-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        unpacked, stored = count * math.prod(dataset.chunks) * dataset.dtype.itemsize, dataset.id.get_storage_size()
        whole = dataset.id.get_num_chunks() == count and stored <= end
        return bool(whole and unpacked <= stored * (_MOST_PACKED if packed else 1))
    return bool(bytes_ <= end)  # compact: in the header itself
