"""The file systems that a sweep stands on, tried with the very functions that write sweeps."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpc_sweep import files
from hpc_sweep.doctor_case import Case, Finding, gigabytes, note, ok, problem
from hpc_sweep.errors import DiskError

_REPLACEMENTS = 15
_SLOW = 0.2  # seconds for a file of 4 KB: then a point that takes a second spends most of it on its files
_FEW_BYTES, _NO_BYTES = 10e9, 1e9
_FEW_FILES = 10_000
_TRIAL_BYTES = 1 << 20


def file_system(case: Case) -> Iterator[Finding]:
    """What every promise about files rests on, where the sweeps lie; and how much still fits there."""
    sweeps = case.project.sweeps
    folder = sweeps if sweeps.is_dir() else case.project.root
    place = f"{case.short(sweeps)}/ on {_kind(folder)}"
    with _trial(folder) as trial:
        broken = list(_broken(case, trial))
        seconds = _safe_write(trial)
    yield from broken
    took = f"a safe write takes {1000 * seconds:.1f} ms"
    if seconds > _SLOW:
        yield note(f"{place}: {took}", "put several points into a shard, or the project on a faster file system")
    elif not broken:
        yield ok(f"{place} · rename atomic, hard links, {took}")
    yield _room(folder)


@contextmanager
def _trial(folder: Path) -> Iterator[Path]:
    trial = files.make_folder(folder / f"{files.TEMPORARY}doctor-{os.urandom(4).hex()}", mode=0o700)
    try:
        yield trial
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _broken(case: Case, trial: Path) -> Iterator[Finding]:
    elsewhere = "keep the project on another file system"
    if not _replaces_whole(trial / "replaced"):
        yield problem("a file that is replaced can be seen missing or half: dumps could be read torn", elsewhere)
    try:
        files.write_new(trial / "claimed", b"first")
        try:
            files.write_new(trial / "claimed", b"second")
            yield problem("a file can be made twice: two submits at once could take the same number", elsewhere)
        except FileExistsError:
            pass
    except DiskError as error:
        yield problem(f"hard links do not work, so nothing can be claimed: {error.message}", elsewhere)
    if not case.on_slurm and not _locks(trial / "locked"):
        yield problem("locks do not work: local sweeps could not tell whether their runner lives", elsewhere)


def _replaces_whole(path: Path) -> bool:
    """Whether a reader always sees a whole file while another replaces it."""
    contents = [bytes([65 + k]) * 4096 for k in range(2)]
    files.write_atomic(path, contents[0])
    over, torn = threading.Event(), False

    def replace() -> None:
        try:
            for k in range(_REPLACEMENTS):
                files.write_atomic(path, contents[k % 2])
        finally:
            over.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not over.is_set() and not torn:
        try:
            torn = path.read_bytes() not in contents
        except FileNotFoundError:
            torn = True
    writer.join()
    return not torn


def _locks(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _safe_write(trial: Path) -> float:
    """How long one file of 4 KB takes until it is on the disk under its name."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        files.write_atomic(trial / "timed", b"\0" * 4096)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def _room(folder: Path) -> Finding:
    space = os.statvfs(folder)
    free, quota = float(space.f_bavail * space.f_frsize), _quota_left(folder)
    if quota is not None:
        free = min(free, quota)
    left = f"{gigabytes(free)} free{' of quota' if quota is not None and free == quota else ''}"
    inodes = space.f_favail if space.f_files else None  # some file systems have no fixed number
    names = f", room for {inodes:,} files" if inodes is not None else ""
    fix = "make room: old sweeps and checkpoints (scratch/) are the largest; collect first"
    if free < _NO_BYTES or (inodes is not None and inodes < _FEW_FILES / 10):
        return problem(f"{left}{names}: a sweep would stop in the middle", fix)
    if free < _FEW_BYTES or (inodes is not None and inodes < _FEW_FILES):
        return note(f"{left}{names}", fix)
    return ok(f"{left}{names}")


def _mount(folder: Path) -> tuple[str, str]:
    """The type and the device of the file system that a folder is on."""
    best, found = "", ("unknown", "")
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return found
    where = str(folder.resolve())
    for line in lines:
        mounted, _, device = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), mounted.split()[4])
        if len(point) >= len(best) and (where == point or where.startswith(point.rstrip("/") + "/")):
            kind, source = device.split()[:2]
            best, found = point, (kind, source)
    return found


def _kind(folder: Path) -> str:
    return _mount(folder)[0]


def _quota_left(folder: Path) -> float | None:
    """Bytes left of this user's quota; None where `quota` is missing or knows none."""
    if not shutil.which("quota"):
        return None
    try:
        told = subprocess.run(["quota", "-w"], capture_output=True, text=True, errors="replace", timeout=3).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    device = _mount(folder)[1]
    for line in told.splitlines():
        fields = line.replace("*", "").split()
        if len(fields) >= 4 and fields[0] == device and all(f.isdigit() for f in fields[1:4]):
            used, soft, hard = (int(f) for f in fields[1:4])  # in blocks of 1 KiB
            limit = soft or hard
            return max(0, limit - used) * 1024.0 if limit else None
    return None


def places(case: Case) -> Iterator[Finding]:
    """HOME, where libraries keep their caches, and TMPDIR, where they put everything else."""
    caches = "free some of it, or move the caches: export XDG_CACHE_HOME=DIR HF_HOME=DIR MPLCONFIGDIR=DIR"
    told = []
    for name, folder, full in (
        ("HOME", os.environ.get("HOME"), caches),
        ("TMPDIR", os.environ.get("TMPDIR") or "/tmp", "export TMPDIR=/another/folder, in slurm/env.sh too"),
    ):
        if not folder:
            yield problem(f"{name} is not set", f"export {name}=/a/folder/of/yours")
            continue
        finding = _place(name, Path(folder), full)
        if finding.mark == "ok":
            told.append(finding.sentence)
        else:
            yield finding
    if told:
        yield ok(" · ".join(told))


def _place(name: str, folder: Path, full: str) -> Finding:
    if not folder.is_dir():
        return problem(f"{name} is {folder}, which is not there", f"mkdir -p {folder}   (or: export {name}=DIR)")
    trial = folder / f"{files.TEMPORARY}doctor-{os.urandom(4).hex()}"
    try:
        files.write_atomic(trial, os.urandom(_TRIAL_BYTES))
    except DiskError as error:
        return problem(f"{name} ({folder}) takes no files: {error.message.rpartition(': ')[2]}", full)
    finally:
        trial.unlink(missing_ok=True)
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    sentence = f"{name} {gigabytes(free)} free"
    return note(f"{sentence} in {folder}", full) if free < _NO_BYTES else ok(sentence)
