"""The sweeps' own folders: who could write into them, what secrets they show, what killed writers left in them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hpc_sweep import files, status
from hpc_sweep.doctor_case import Case, Finding, gigabytes, note, ok, problem
from hpc_sweep.ledger import Sweep

DAY = 86_400.0
_MOST_NAMED = 3
_LARGEST = 16 << 20

_SECRETS = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("an API key", re.compile(r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("a password", re.compile(r"\b[a-z][a-z0-9+]*://[^/\s:@\"']+:[^/\s@\"']+@")),
)


def modes(case: Case) -> Iterator[Finding]:
    """Whether anybody else could write where tasks find what they run."""
    folders = [case.project.sweeps, *(f for s in case.sweeps for f in (s.folder, s.logs, s.code))]
    found = [(folder, who) for folder in folders if (who := _writers(folder))]
    for folder, who in found[:_MOST_NAMED]:
        name = case.short(folder)
        mend = "chmod 700" if folder.name == "logs" else "chmod go-w"
        yield problem(f"{name} is writable by {who}: others could run code as you", f"{mend} {name}")
    if len(found) > _MOST_NAMED:
        yield problem(
            f"{len(found) - _MOST_NAMED} more such folders", f"chmod -R go-w {case.short(case.project.sweeps)}"
        )
    umask = _umask()
    if umask is not None and umask & 0o022 != 0o022:
        who = " and ".join(w for w, bit in (("your group", 0o020), ("everybody", 0o002)) if not umask & bit)
        yield note(f"umask is {umask:03o}: what you make is writable by {who}", "umask 022, in ~/.bashrc or ~/.profile")
    elif not found:
        yield ok("only you can write into the sweeps' folders")


def _writers(folder: Path) -> str:
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return ""
    return " and ".join(who for who, bit in (("group", stat.S_IWGRP), ("everybody", stat.S_IWOTH)) if mode & bit)


def _umask() -> int | None:
    """The mask of this process, read without changing it."""
    with suppress(OSError):
        match = re.search(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(match[1], 8) if match else None
    return None


def secrets(case: Case) -> Iterator[Finding]:
    """Keys and tokens where they do not belong: in grids, profiles, and what sweeps keep of them."""
    paths = list(_texts(case))
    found = [(path, line, what) for path in paths for line, what in _secrets(path)]
    for path, line, what in found[: 2 * _MOST_NAMED]:
        yield problem(
            f"{case.short(path)}:{line} looks like {what}",
            "take it out, and revoke it: whoever could read the file has it",
        )
    if len(found) > 2 * _MOST_NAMED:
        yield problem(f"{len(found) - 2 * _MOST_NAMED} more such lines", "take them out, and revoke them")
    if not found:
        yield ok(f"none in {len(paths)} grids, profiles and sweeps")


def _texts(case: Case) -> Iterator[Path]:
    root = case.project.root
    for folder in (root, root / "slurm"):
        yield from sorted(p for p in folder.glob("*") if p.suffix in (".yaml", ".yml", ".sh"))
    yield from sorted(p for p in (root / "configs").rglob("*") if p.suffix in (".yaml", ".yml", ".json"))
    for sweep in case.sweeps:
        yield from sorted(sweep.folder.glob("sweep*.json"))


def _secrets(path: Path) -> Iterator[tuple[int, str]]:
    """Line and kind of each; never the secret itself."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        what = next((what for what, shape in _SECRETS if shape.search(line)), None)
        if what:
            yield number, what


def strays(case: Case) -> Iterator[Finding]:
    """What killed writers left behind and nobody has touched for a day; `clean` removes it."""
    if not case.project.sweeps.is_dir():
        yield ok("none yet")
        return
    now = _now(case.project.sweeps)
    count = f"{len(case.sweeps)} sweep{'s' * (len(case.sweeps) != 1)}"
    found = {path: sweep for sweep, path in _left_behind(case) if now - _last_change(path) > DAY}
    if not found:
        yield ok(f"{count}, nothing left behind")
        return
    size = gigabytes(sum(map(_size, found)))
    if case.clean:
        for path in found:
            _remove(path)
        gone = sum(not os.path.lexists(path) for path in found)
        if gone < len(found):
            yield problem(f"{len(found) - gone} stray files cannot be removed", f"rm -r {_example(case, found)}")
        yield ok(f"{count} · removed {gone} stray files and folders ({size})")
        return
    by_sweep = Counter(found.values()).most_common(_MOST_NAMED)
    where = ", ".join(f"{name or 'none of them'} {n}" for name, n in by_sweep)
    sentence = f"{count} · {len(found)} stray files and folders older than a day ({size}): {where}"
    yield note(sentence, "hpc-sweep doctor --clean")


def _now(folder: Path) -> float:
    """The time by the clock of the file system: clocks differ, and this is the one that dated the strays."""
    fresh = folder / f"{files.TEMPORARY}doctor-{os.urandom(4).hex()}"
    files.write_atomic(fresh, b"")
    try:
        return fresh.stat().st_mtime
    finally:
        fresh.unlink()


def _left_behind(case: Case) -> Iterator[tuple[str, Path]]:
    for path in case.project.sweeps.glob(f"{files.TEMPORARY}*"):
        yield "", path
    for sweep in case.sweeps:
        inside: list[Path] = []
        for path in [*sweep.strays(), *_finished_scratch(sweep)]:
            if not any(parent in inside for parent in path.parents):  # what goes with its folder counts once
                inside.append(path)
                yield sweep.name, path


def _finished_scratch(sweep: Sweep) -> list[Path]:
    """Checkpoints of points that are done: the worker removes them, unless it was killed just then."""
    try:
        names = os.listdir(sweep.scratch("x").parent)
    except FileNotFoundError:
        return []
    dumps = sweep.dump_sizes()
    likely = [name for name in names if name in dumps]
    if not likely:
        return []
    done = {p.point.id for p in status.compute(sweep).points if p.state == "done"}
    return [sweep.scratch(name) for name in likely if name in done]


def _last_change(path: Path) -> float:
    """When anything in it was last written."""
    newest = 0.0
    for inner in _tree(path):
        with suppress(FileNotFoundError):
            newest = max(newest, inner.lstat().st_mtime)
    return newest or time.time()  # it went away by itself


def _size(path: Path) -> int:
    total = 0
    for inner in _tree(path):
        with suppress(FileNotFoundError):
            total += inner.lstat().st_size
    return total


def _tree(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _example(case: Case, paths: dict[Path, str]) -> str:
    return case.short(next(p for p in paths if os.path.lexists(p)))
