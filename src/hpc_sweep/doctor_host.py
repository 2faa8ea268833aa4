"""What is installed here: versions against the lock, and the known holes of older ones. It imports none of them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from hpc_sweep.doctor_case import Case, Finding, Mark, note, ok

LOCK = "requirements.lock"
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;\\#]+)\s*(;)?")
_MOST_NAMED = 5


class Floor(NamedTuple):
    """A version below which something has a hole that is publicly known."""

    package: str
    version: str
    hole: str
    mark: Mark
    fix: str


FLOORS = (
    Floor("h5py", "3.16", "brings an HDF5 with a heap overflow (CVE-2026-26200)", "note", "pip install 'h5py>=3.16'"),
    Floor(
        "torch", "2.10", "can be made to corrupt its memory by a weights file (CVE-2026-24747)", "note",
        "pip install 'torch>=2.10', or load foreign weights only as safetensors",
    ),
    Floor(
        "deepspeed", "0.15.1", "runs commands that others give it (CVE-2024-43497)", "problem",
        "pip install 'deepspeed>=0.15.1'",
    ),
)  # fmt: skip


def installed(package: str) -> str | None:
    """The version of a package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def at_least(version: str, floor: str) -> bool:
    """Whether a version is not below another: `3.10.1` is not below `3.9`."""
    return _numbers(version) >= _numbers(floor)


def _numbers(version: str) -> list[int]:
    release = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in release[0].split(".")] if release else []


def python(case: Case) -> Iterator[Finding]:
    """Python, and every package that the lock names, in the version that it names."""
    here = platform.python_version()
    path = case.project.root / LOCK
    if not path.is_file():
        yield ok(f"{here}; the project has no {LOCK} to compare with")
        return
    pinned = read_lock(path)
    others = _differences(pinned)
    told = f"{here}, {len(pinned) - len(others)} of {len(pinned)} packages as in the lock"
    if others:
        more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        yield note(f"{told}, but {', '.join(others[:_MOST_NAMED])}{more}", f"pip install -r {LOCK}")
    else:
        yield ok(told)


def read_lock(path: Path) -> dict[str, str]:
    """The pinned versions; a line for other platforms counts only where its package is here."""
    pinned = {}
    for line in path.read_text().splitlines():
        match = _PINNED.match(line.strip())
        if match and not (match[3] and installed(match[1]) is None):
            pinned[match[1]] = match[2]
    return pinned


def _differences(pinned: dict[str, str]) -> list[str]:
    others = []
    for package, wanted in pinned.items():
        version = installed(package)
        if version is None:
            others.append(f"{package} is missing")
        elif _public(version) != _public(wanted):
            others.append(f"{package} is {version} (lock: {wanted})")
    return others


def _public(version: str) -> str:
    """Without the build: 2.13.0+cpu and 2.13.0+cu126 are the same torch for a lock."""
    return version.partition("+")[0]


def safety(case: Case) -> Iterator[Finding]:
    """The installed versions against the known holes of older ones."""
    sound = []
    for floor in FLOORS:
        version = installed(floor.package)
        if version is None:
            continue
        if at_least(version, floor.version):
            sound.append(f"{floor.package} {version}")
        else:
            yield Finding(floor.mark, f"{floor.package} {version} {floor.hole}", floor.fix)
    plugins = os.environ.get("HDF5_PLUGIN_PATH")
    if plugins:
        yield note(f"HDF5 loads code from {plugins} to read a file (HDF5_PLUGIN_PATH)", "unset HDF5_PLUGIN_PATH")
    if sound:
        yield ok(f"{', '.join(sound)}: no hole known")
