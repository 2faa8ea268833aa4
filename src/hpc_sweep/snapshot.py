"""The code that a submission runs: one zip file of the project's sources, named by what is in it.

Tasks import from it, so an edit made while they wait changes nothing. It holds `jobs/`, `src/`, `slurm/` and
`configs/`: the files that git tracks there and those not yet tracked but not ignored.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import subprocess
import warnings
import zipfile
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import Any

from hpc_sweep import files
from hpc_sweep.errors import InputError

FOLDERS = ("jobs", "src", "slurm", "configs")
LIMIT = 20 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Snapshot:
    """What was found, before it is written."""

    fingerprint: str
    commit: str
    dirty: bool
    sources: tuple[tuple[str, bytes], ...]

    @property
    def label(self) -> str:
        """How a person names this code: the commit, and whether something was changed since."""
        if not self.commit:
            return f"{self.fingerprint[:8]} (not in git)"
        return f"{self.commit[:7]} ({'with changes' if self.dirty else 'clean'})"

    def record(self) -> dict[str, Any]:
        """What a claim keeps of it."""
        return {
            "fingerprint": self.fingerprint,
            "commit": self.commit,
            "dirty": self.dirty,
            "label": self.label,
        }


def take(root: Path) -> Snapshot:
    """Read the sources of the project at `root`."""
    commit = _git(root, "rev-parse", "HEAD").strip()
    dirty = bool(_git(root, "status", "--porcelain", "--", *FOLDERS).strip())
    sources, total = [], 0
    for name in _listing(root):
        path = root / name
        if path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        total += size
        if total > LIMIT:
            raise InputError(
                f"the code of this project is over {LIMIT >> 20} MB with {name} ({size:,} bytes)",
                f"keep data out of {', '.join(FOLDERS)}, or name it in .gitignore",
            )
        sources.append((name, path.read_bytes()))
    digest = hashlib.sha256()
    for name, data in sources:
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return Snapshot(digest.hexdigest()[:16], commit, dirty, tuple(sources))


def _listing(root: Path) -> list[str]:
    listed = _git(root, "ls-files", "-z", "-co", "--exclude-standard", "--", *FOLDERS)
    if listed:
        return sorted({name for name in listed.split("\0") if name})  # a file in conflict is listed thrice
    found = (p for folder in FOLDERS for p in (root / folder).rglob("*") if "__pycache__" not in p.parts)
    return sorted(str(p.relative_to(root)) for p in found if p.is_file())


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, encoding="utf-8", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def write(snapshot: Snapshot, folder: Path) -> Path:
    """Write the zip file, unless one with the same content is there."""
    path = folder / f"{snapshot.fingerprint}.zip"
    if not path.exists():
        files.make_folder(folder)
        files.write_atomic(path, _zipped(snapshot.sources))
    return path


def _zipped(sources: tuple[tuple[str, bytes], ...]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sources:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
            if name.endswith(".py") and (compiled := _compiled(name, data)):
                archive.writestr(zipfile.ZipInfo(name + "c", _EPOCH), compiled)
    return buffer.getvalue()


def _compiled(name: str, source: bytes) -> bytes:
    """Byte code beside the source: an import from a zip file cannot keep its own. Nothing where it is not Python.

    It names its file as one in a snapshot, so that a traceback shows the line that ran and not what stands there now.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(source, f"snapshot.zip/{name}", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # whoever imports it will hear of it
        return b""
    unchecked_hash = (1).to_bytes(4, "little")  # PEP 552: trust it, the source lies in the same file
    return MAGIC_NUMBER + unchecked_hash + source_hash(source) + marshal.dumps(code)
