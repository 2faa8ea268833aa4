"""Files of the science: whole or not there, readable by whom umask allows, known by their SHA-256."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from affect import files


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.bin"
    with files.replacing(path) as temporary:
        temporary.write_bytes(b"one")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_bytes() == b"one" and os.listdir(path.parent) == ["x.bin"]
    with files.replacing(path) as temporary:
        temporary.write_bytes(b"two")
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_goes_wrong_leaves_the_old_one(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), files.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x.bin"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_umask_says_who_may_read_it(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with files.replacing(tmp_path / "x") as temporary:
            temporary.write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 7])
def test_the_sha256_of_a_file(size: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a" * size)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(b"a" * size).hexdigest()
