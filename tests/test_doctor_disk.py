"""The file system where sweeps lie, and HOME and TMPDIR: well, full, read-only, and not what it should be."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from doctoring import case, found
from hpc_sweep import doctor_disk, files
from hpc_sweep.doctor_case import Case
from hpc_sweep.doctor_disk import file_system, places


@pytest.fixture
def examined(tmp_path: Path) -> Case:
    made = case(tmp_path)
    made.project.sweeps.mkdir()
    return made


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What statvfs says, as a test sets it; and no `quota`."""
    space = {"f_bavail": 10**9, "f_frsize": 1000, "f_files": 10**7, "f_favail": 10**6}
    monkeypatch.setattr(doctor_disk.os, "statvfs", lambda folder: SimpleNamespace(**space))
    monkeypatch.setenv("PATH", "/nowhere")
    return space


def problems(of: Case) -> list[str]:
    return [sentence for mark, sentence, _ in found(file_system, of) if mark == "problem"]


def test_a_good_file_system(examined: Case) -> None:
    first, second = found(file_system, examined)
    assert first[0] == "ok" and first[1].startswith("sweeps/ on ") and "rename atomic, hard links, a safe" in first[1]
    assert second == ("ok", "1,000 GB free, room for 1,000,000 files", "")
    assert list(examined.project.sweeps.iterdir()) == []


def test_before_the_first_sweep_nothing_is_made(tmp_path: Path) -> None:
    made = case(tmp_path)
    before = sorted(made.project.root.rglob("*"))
    assert found(file_system, made)[0][0] == "ok"
    assert sorted(made.project.root.rglob("*")) == before


def test_a_rename_that_is_not_atomic(examined: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_two_steps(old: Path, new: Path) -> None:
        Path(new).unlink(missing_ok=True)
        time.sleep(0.002)
        os.rename(old, new)

    monkeypatch.setattr(files.os, "replace", in_two_steps)
    assert any("missing or half" in p for p in problems(examined))


def test_a_file_system_without_hard_links(examined: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(old: Path, new: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(files.os, "link", refuse)
    [sentence] = problems(examined)
    assert "hard links do not work" in sentence and "EPERM" in sentence


def test_a_link_that_replaces(examined: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "link", os.replace)
    assert any("made twice" in p for p in problems(examined))


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(doctor_disk.fcntl, "flock", refuse)
    assert "locks do not work" in problems(case(tmp_path))[0]
    assert problems(case(tmp_path / "b", "v100")) == [], "a cluster's sweeps need none"


def test_a_slow_file_system(examined: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_disk, "_SLOW", 0.0)
    mark, sentence, fix = found(file_system, examined)[0]
    assert mark == "note" and "a safe write takes" in sentence and "shard" in fix


@pytest.mark.parametrize(
    ("number", "name"), [(errno.EROFS, "EROFS"), (errno.ENOSPC, "ENOSPC"), (errno.EDQUOT, "EDQUOT"), (errno.EIO, "EIO")]
)
def test_a_file_system_that_refuses(examined: Case, monkeypatch: pytest.MonkeyPatch, number: int, name: str) -> None:
    def refuse(self: Path, *given: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(files.DiskError, match=name) as raised:  # which `examine` shows as a problem
        found(file_system, examined)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("blocks", "inodes", "mark"),
    [
        (10**9, 10**6, "ok"),
        (5 * 10**6, 10**6, "note"),
        (10**5, 10**6, "problem"),
        (10**9, 5000, "note"),
        (10**9, 9, "problem"),
    ],
)
def test_room(examined: Case, roomy: dict[str, int], blocks: int, inodes: int, mark: str) -> None:
    roomy.update(f_bavail=blocks, f_favail=inodes)
    last = found(file_system, examined)[-1]
    assert last[0] == mark and (mark == "ok") == (last[2] == "")


def test_a_file_system_that_counts_no_files(examined: Case, roomy: dict[str, int]) -> None:
    roomy.update(f_files=0, f_favail=0)
    assert found(file_system, examined)[-1] == ("ok", "1,000 GB free", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{device} 400000 1000000 1100000  12 0 0", ("note", "0.6 GB free of quota, room for 1,000,000 files")),
        (
            "{device} 1000500* 1000000 1100000 6days 12 0 0",
            ("problem", "0.0 GB free of quota, room for 1,000,000 files"),
        ),
        ("{device} 400000 0 0  12 0 0", ("ok", "1,000 GB free, room for 1,000,000 files")),
        ("/dev/other 9 10 10  12 0 0", ("ok", "1,000 GB free, room for 1,000,000 files")),
    ],
)
def test_quota(
    examined: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(doctor_disk, "_NO_BYTES", 5e8)
    device = doctor_disk._mount(examined.project.sweeps)[1]
    told = f"Disk quotas for user lea (uid 7):\n Filesystem blocks quota limit grace\n {line.format(device=device)}\n"
    program = tmp_path / "bin" / "quota"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf %s '{told}'\nexit 1\n")  # it fails when a quota is exceeded
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    mark, sentence, _ = found(file_system, examined)[-1]
    assert (mark, sentence.split(":")[0]) == expected


def test_the_file_system_of_a_folder(tmp_path: Path) -> None:
    assert doctor_disk._mount(Path("/proc/self"))[0] == "proc"
    assert doctor_disk._mount(tmp_path)[0] not in ("unknown", "proc")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    yield tmp_path / "HOME"
    assert list(tmp_path.glob("*/.tmp-*")) == []


def test_home_and_tmpdir_are_well(tmp_path: Path, home: Path) -> None:
    assert found(places, case(tmp_path)) == [("ok", "HOME 1,000 GB free · TMPDIR 1,000 GB free", "")]


def test_tmpdir_is_not_set(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR")
    assert found(places, case(tmp_path))[0][0] == "ok"


def test_tmpdir_is_not_there(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch/lea/tmp")
    first, second = found(places, case(tmp_path))
    assert first[:2] == ("problem", "TMPDIR is /scratch/lea/tmp, which is not there")
    assert first[2] == "mkdir -p /scratch/lea/tmp   (or: export TMPDIR=DIR)"
    assert second == ("ok", "HOME 1,000 GB free", "")


def test_home_is_not_set(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    first = found(places, case(tmp_path))[0]
    assert first[0] == "problem" and first[1] == "HOME is not set" and first[2].startswith("export HOME=")


@pytest.mark.parametrize(("name", "fix"), [("HOME", "export XDG_CACHE_HOME"), ("TMPDIR", "export TMPDIR")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_one_of_them_is_full(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, fix: str, number: int
) -> None:
    writing = os.write

    def refuse(descriptor: int, data: bytes) -> int:
        if f"/{name}/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        return writing(descriptor, data)

    monkeypatch.setattr(files.os, "write", refuse)
    told = found(places, case(tmp_path))
    first, second = told
    assert first[0] == "problem" and first[1].startswith(f"{name} (") and errno.errorcode[number] in first[1]
    assert fix in first[2]
    assert second[0] == "ok" and name not in second[1]


def test_little_space(tmp_path: Path, home: Path, roomy: dict[str, int]) -> None:
    roomy.update(f_bavail=500_000)
    assert [(m, s.split(" in ")[0]) for m, s, _ in found(places, case(tmp_path))] == [
        ("note", "HOME 0.5 GB free"), ("note", "TMPDIR 0.5 GB free"),
    ]  # fmt: skip
