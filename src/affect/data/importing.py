"""Foreign files in, one dataset file out: the table of formats, and the child process that reads one.

A foreign file is only ever read in a process of its own whose memory is bounded, so that a damaged or hostile one can
neither take a machine down nor leave half a file behind. The process that asks for it loads no reader and no h5py.
Refuses formats and options that there are not, by naming those that there are.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from affect import files
from affect.data.draft import SPLITS
from affect.data.store import Mending
from affect.errors import DataError

Option = str | int | float | bool

FORMATS: Mapping[str, str] = {
    "mmsa": "affect.data.mmsa:read_mmsa",
    "mult": "affect.data.mult:read_mult",
    "csd": "affect.data.csd:read_csd",
    "meld": "affect.data.meld:read_meld",
    "meld-pickle": "affect.data.meld_pickles:read_meld_pickle",
    "merbench": "affect.data.merbench:read_merbench",
    "mosi-transcripts": "affect.data.transcripts:read_transcripts",
    "csmv": "affect.data.csmv:read_csmv",
    "videoemotion8": "affect.data.trees:read_videoemotion8",
    "ekman6": "affect.data.trees:read_ekman6",
    "perr": "affect.data.trees:read_perr",
    "iemocap": "affect.data.iemocap:read_iemocap",
    "iemocap-tree": "affect.data.trees:read_iemocap_tree",
    "affwild2": "affect.data.affwild2:read_affwild2",
    "affwild2-tree": "affect.data.trees:read_affwild2_tree",
}

GB = 10**9
_OF_FILE, _BESIDES, _FOLDER = 1.5, 2 * GB, 4 * GB  # how much memory a reader gets, unless it is told


@dataclass(frozen=True)
class Report:
    """What an import made, and what it took."""

    path: Path
    name: str
    lines: tuple[str, ...]  # the dataset's description
    counts: Mapping[str, int]  # samples of each split
    sha256: str
    dropped: int
    zeroed: int  # numbers that became 0
    notes: tuple[str, ...]
    seconds: float
    peak_gb: float  # the most memory that the child had at once
    limit_gb: float


def run(
    format: str,
    source: Path,
    out: Path,
    *,
    name: str | None = None,
    mending: Mending = Mending(),  # noqa: B008 - frozen, and says nothing
    options: Mapping[str, Option] | None = None,
    faces: Path | None = None,
    memory_gb: float | None = None,
) -> Report:
    """Read `source` in a child process and write the dataset file `out`; it is there whole or not at all.

    `faces` are VGGFace2 features that were made elsewhere, for the samples of any format.
    """
    if format not in FORMATS:
        raise DataError(f"there is no format `{format}`; there are {', '.join(FORMATS)}")
    for path in (source, faces):
        if path is not None and not path.exists():
            raise DataError(f"there is no {path}")
    limit = _limit(source, memory_gb)
    with files.replacing(out) as place, tempfile.TemporaryDirectory(dir=out.parent, prefix=".import-") as folder:
        written = Path(folder) / "dataset.h5"
        job = {
            "format": format, "source": os.path.abspath(source), "out": str(written), "name": name,
            "mending": asdict(mending), "options": dict(options or {}), "limit": limit,
            "faces": os.path.abspath(faces) if faces else None,
        }  # fmt: skip
        answer = _answer(job, source)
        os.replace(written, place)
    answer |= {key: tuple(answer[key]) for key in ("lines", "notes")}
    return Report(path=out, limit_gb=limit / GB, **answer)


def _limit(source: Path, memory_gb: float | None) -> int:
    if memory_gb is not None:
        return int(memory_gb * GB)
    return _FOLDER if source.is_dir() else int(source.stat().st_size * _OF_FILE) + _BESIDES


def _answer(job: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """What the child says; a DataError with its sentence where it could not do it."""
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread would take of the memory allowed
    child = subprocess.run(
        [sys.executable, "-P", "-m", "affect.data.importing"],
        input=json.dumps(job), capture_output=True, text=True, env={**os.environ, **alone},
    )  # fmt: skip
    if child.returncode < 0:
        died = signal.Signals(-child.returncode).name
        raise DataError(
            f"{source}: the process that read it died of {died}, with {_memory(job)}: "
            "either the file is damaged or hostile, or that is too little"
        )
    if child.returncode:
        raise DataError(f"{source}: the reader `{job['format']}` did not foresee this:\n{child.stderr.strip()[-3000:]}")
    answer: dict[str, Any] = json.loads(child.stdout)
    if "error" in answer:
        raise DataError(answer["error"])
    return answer


def _memory(job: Mapping[str, Any]) -> str:
    return f"{job['limit'] / GB:.1f} GB of memory allowed (`memory_gb` sets it)"


# the child


def main() -> None:
    """Read one job on standard input, do it, and answer with one line of JSON."""
    job = json.load(sys.stdin)
    answer, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    try:
        said = _do(job)
    except (DataError, MemoryError) as error:
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            error = DataError(f"{job['source']} needs more than the {_memory(job)}; or it is damaged or hostile")
        said = {"error": str(error)}
    answer.write(json.dumps(said) + "\n")


def _do(job: Mapping[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    from affect.data import store, vggface

    reader = _reader(job["format"])
    options = _checked(job["format"], reader, job["options"])
    _allow(job["limit"])
    draft = reader(Path(job["source"]), **options)
    if job["name"]:
        draft.name = job["name"]
    if job["faces"]:
        vggface.add_face_features(draft, Path(job["faces"]))
    # What is written is looked at through a map, which counts as memory though it takes none.
    _allow(job["limit"] + sum(4 * int(f.lengths.sum()) * f.width for f in draft.frames.values()))
    out = Path(job["out"])
    dataset = store.write(draft, out, Mending(**job["mending"]))
    return {
        "name": dataset.name,
        "lines": dataset.describe(),
        "counts": {split: len(dataset.split(split)) for split in SPLITS},
        "sha256": files.sha256(out),
        "dropped": len(draft) - len(dataset) + sum(problem.index < 0 for problem in draft.problems),
        "zeroed": dataset.about["zeroed"],
        "notes": dataset.about["notes"],
        "seconds": time.perf_counter() - began,
        "peak_gb": _peak() / GB,
    }


def _reader(format: str) -> Callable[..., Any]:
    module, _, function = FORMATS[format].partition(":")
    reader: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return reader


def _checked(format: str, reader: Callable[..., Any], options: Mapping[str, Option]) -> Mapping[str, Option]:
    """The options, if the reader has them all and each is of the kind that it takes."""
    known, hints = list(inspect.signature(reader).parameters)[1:], get_type_hints(reader)
    for key, value in options.items():
        if key not in known:
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise DataError(f"the format `{format}` has no option `{key}`; {have}")
        if not _fits(value, hints[key]):
            kind = getattr(hints[key], "__name__", str(hints[key]))
            told = ", ".join(map(str, get_args(hints[key]))) if get_origin(hints[key]) is Literal else kind
            raise DataError(f"option `{key}` of the format `{format}` is {value!r}, not {told}")
    return options


def _fits(value: Option | None, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint if hint in (bool, int, str, NoneType) else True


def _allow(bytes: int) -> None:
    """Bound the memory of this process from here on; nor does it leave an image of it when it dies."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = bytes if hard == resource.RLIM_INFINITY else min(bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak() -> int:
    """The most memory this process had at once; what the kernel tells of children begins with their parent's."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
