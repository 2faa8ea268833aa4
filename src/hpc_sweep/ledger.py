"""The sweep folder: the only module that knows its paths, and what each file in it holds.

Every file has one writer. Grids and claims are written once, exclusively; attempts grow by whole lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpc_sweep import files
from hpc_sweep.errors import DamagedError, InputError, RefusedError
from hpc_sweep.records import Array, Attempt, Claim, Point, Submission, claim_of, plain

__all__ = ["SWEEP_NAME", "Array", "Attempt", "Claim", "Point", "Submission", "Sweep", "find"]

SCHEMA = 1
_RESTORE = "restore it from a copy of the sweep"
SWEEP_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
_ATTEMPT = re.compile(r"(\d{3,})-(\d+)-(\d+)\.jsonl\Z")
_VERSION = re.compile(r"sweep(?:-(\d{3,}))?\.json\Z")


class Sweep:
    """A sweep folder that exists."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = os.path.basename(os.path.abspath(folder))  # of `.`, too
        self.dumps = folder / "dumps"
        self.logs = folder / "logs"
        self.code = folder / "code"
        self.results = folder / "results"
        self.quarantine = folder / "quarantine"

    # the question

    def header(self) -> dict[str, Any]:
        """The newest grid of this sweep, as it was written and as it was resolved."""
        return self._header(self._version())

    def _version(self) -> int:
        found = [_VERSION.match(name) for name in _names(self.folder)]
        numbers = [int(m.group(1) or 0) for m in found if m]
        if not numbers:
            raise InputError(f"{self.folder} is not a sweep: it has no sweep.json")
        return max(numbers)

    def _header(self, version: int) -> dict[str, Any]:
        path = self.folder / _version_name(version)
        try:
            header = files.read_json(path)
            schema = int(header["schema"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path} cannot be read: {_said(error)}", _RESTORE) from error
        if schema > SCHEMA:
            raise InputError(
                f"{path} has schema {schema}; this hpc-sweep reads up to {SCHEMA}", "use a newer hpc-sweep"
            )
        return dict(header, version=version)

    def points(self) -> list[Point]:
        """The points of the newest grid, in the grid's order."""
        return self.points_of(self.header())

    def points_of(self, header: dict[str, Any]) -> list[Point]:
        try:
            name, digest = header["points"]["file"], header["points"]["sha256"]
        except (KeyError, TypeError) as error:
            raise DamagedError(f"{self.folder / _version_name(header['version'])} names no points", _RESTORE) from error
        path = self.folder / name
        try:
            data = files.read_bytes(path)
        except FileNotFoundError as error:
            raise DamagedError(f"{path} is gone", _RESTORE) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedError(f"{path} was changed after it was written", "submit the grid again")
        rows = json.loads(b"[" + data.replace(b"\n", b",").rstrip(b",") + b"]")
        return [Point(i, row["id"], row["config"], row["axes"]) for i, row in enumerate(rows)]

    def configs(self, ids: Iterable[str], points_file: str) -> dict[str, dict[str, Any]]:
        """The configurations of a few points, without reading a long list whole."""
        data = files.read_bytes(self.folder / points_file)
        found = {}
        for point in ids:
            at = data.find(b',"id":"%s"}\n' % point.encode())  # at the end of its line, and nowhere else
            if at < 0:
                raise DamagedError(f"{self.folder / points_file} does not hold point {point}")
            line = data[data.rfind(b"\n", 0, at) + 1 : data.find(b"\n", at)]
            found[point] = json.loads(line)["config"]
        return found

    def write_version(self, version: int, grid: dict[str, Any], points: Iterable[Any]) -> None:
        """Write a grid and its points once; FileExistsError when somebody else wrote this version."""
        files.make_folder(self.folder)
        from pydantic_core import to_json  # five times as fast as json; who writes a grid has it loaded

        lines = b"".join(to_json({"axes": p.axes, "config": p.config, "id": p.id}) + b"\n" for p in points)
        digest = hashlib.sha256(lines).hexdigest()
        name = self._write_points(lines, "points.jsonl" if version == 0 else f"points-{digest[:8]}.jsonl", digest)
        header = {"schema": SCHEMA, **grid, "points": {"file": name, "sha256": digest}}
        files.write_new(self.folder / _version_name(version), files.json_bytes(header))

    def _write_points(self, lines: bytes, name: str, digest: str) -> str:
        """Write a list of points under a name that no other list has; returns the name."""
        try:
            files.write_new(self.folder / name, lines)
        except FileExistsError:  # of a submitter that was killed, or that is about to write this version too
            if files.read_bytes(self.folder / name) != lines:
                return self._write_points(lines, f"points-{digest[:8]}.jsonl", digest)
        return name

    # submissions

    def submissions(self) -> list[Submission]:
        """Every claim, oldest first."""
        names = _names(self.folder / "submissions")
        numbers = sorted(int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit())
        return [self._submission(n, names) for n in numbers]

    def submission(self, number: int) -> Submission:
        """One claim as it stands now."""
        return self._submission(number, _names(self.folder / "submissions"))

    def _submission(self, number: int, names: set[str]) -> Submission:
        folder, stem = self.folder / "submissions", f"{number:03d}"
        path = folder / f"{stem}.json"
        cancels = [n for n in names if n.startswith(f"{stem}.cancel-")]
        return Submission(
            claim=_read_claim(path),
            jobs=self.jobs(number) if f"{stem}.slurm.json" in names else {},
            closed=files.read_json(folder / f"{stem}.closed.json") if f"{stem}.closed.json" in names else None,
            cancelled=frozenset(s for n in cancels for s in files.read_json(folder / n)["shards"]),
            claimed_at=path.stat().st_mtime,
        )

    def claim(self, claim: Claim) -> None:
        """Take the next number; FileExistsError tells that somebody else did, so that the plan is stale."""
        folder = files.make_folder(self.folder / "submissions")
        document = {"schema": SCHEMA, **plain(claim)}
        text = json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"
        files.write_new(folder / f"{claim.number:03d}.json", text.encode())

    def jobs(self, number: int) -> dict[int, dict[str, Any]]:
        """What is written down of a claim's arrays, without reading the claim."""
        try:
            told = files.read_json(self.folder / "submissions" / f"{number:03d}.slurm.json")
        except FileNotFoundError:
            return {}
        return {int(k): v for k, v in told.items()}

    def record_jobs(self, number: int, jobs: dict[int, dict[str, Any]]) -> None:
        """Write the Slurm ids of a claim's arrays; only the one who submits them does."""
        path = self.folder / "submissions" / f"{number:03d}.slurm.json"
        files.write_atomic(path, files.json_bytes({str(k): v for k, v in jobs.items()}))

    def close(self, number: int, why: str, words: str) -> bool:
        """Say once that a submission starts nothing more; False when somebody has said so already."""
        path = self.closed_path(number)
        try:
            files.write_new(path, files.json_bytes({"why": why, "words": words}))
        except FileExistsError:
            return False
        return True

    def closed_path(self, number: int) -> Path:
        return self.folder / "submissions" / f"{number:03d}.closed.json"

    def cancel_shards(self, number: int, shards: list[int], by: str) -> None:
        """Say that these shards of a submission shall not run on."""
        names = _names(self.folder / "submissions")
        k = sum(n.startswith(f"{number:03d}.cancel-") for n in names)
        while True:
            path = self.folder / "submissions" / f"{number:03d}.cancel-{k:03d}.json"
            try:
                return files.write_new(path, files.json_bytes({"shards": shards, "by": by}))
            except FileExistsError:  # somebody else cancels at the same moment
                k += 1

    def check_unedited(self) -> None:
        """Refuse to go on with a sweep.json that is not the one that the claims were made from."""
        for submission in self.submissions():
            told = submission.claim.sweep
            now = self._text_now(told["file"])
            if now != told["text"]:
                import difflib

                lines = difflib.unified_diff(
                    told["text"].splitlines(), now.splitlines(), "as submitted", "now", lineterm="", n=1
                )
                raise RefusedError(
                    f"{self.folder / told['file']} was edited after it was submitted:\n" + "\n".join(lines),
                    "undo the edit; to ask another question, change the grid and submit that",
                )

    def _text_now(self, name: str) -> str:
        try:
            return files.read_bytes(self.folder / name).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def told(self, header: dict[str, Any]) -> dict[str, str]:
        """What a claim keeps of the grid that it was made from."""
        name = _version_name(header["version"])
        text = files.read_bytes(self.folder / name).decode()
        return {"file": name, "points": header["points"]["file"], "text": text}

    # attempts

    def open_attempt(self, submission: int, shard: int, restart: int) -> tuple[files.Appender, str]:
        """The file of a new attempt; when the same shard runs twice at once, each gets its own."""
        folder = files.make_folder(self.folder / "attempts")
        while True:
            label = f"{submission:03d}-{shard}-{restart}"
            try:
                return files.Appender(folder / f"{label}.jsonl"), label
            except FileExistsError:
                restart += 1

    def attempts(self, submission: int | None = None, shard: int | None = None) -> Iterator[Attempt]:
        """The attempts, oldest first, without the lines that only the screen of one run needs."""
        folder = self.folder / "attempts"
        found = []
        for name in _names(folder):
            match = _ATTEMPT.match(name)
            if match:
                numbers = (int(match[1]), int(match[2]), int(match[3]))
                if submission in (None, numbers[0]) and shard in (None, numbers[1]):
                    found.append((numbers, name))
        for numbers, name in sorted(found):
            events, torn = files.read_events(files.read_bytes(f"{folder}/{name}"), skip=b"log")
            yield Attempt(*numbers, tuple(events), torn)

    def attempt_path(self, attempt: Attempt) -> Path:
        return self.folder / "attempts" / f"{attempt.label}.jsonl"

    # points' own files

    def dump_path(self, point: str) -> Path:
        return self.dumps / point[:2] / f"{point}.h5"

    def scratch(self, point: str) -> Path:
        return self.folder / "scratch" / point

    def dump_sizes(self) -> dict[str, tuple[int, int, str]]:
        """Size, time of change (ns) and path of each dump that is there, by point."""
        found = {}
        for prefix in _names(self.dumps):
            with suppress(NotADirectoryError), os.scandir(self.dumps / prefix) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(".h5") and not name.startswith(files.TEMPORARY):
                        try:
                            stat = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:  # a rerun has put it aside at this moment
                            continue
                        found[name[:-3]] = (stat.st_size, stat.st_mtime_ns, entry.path)
        return found

    def strays(self) -> list[Path]:
        """Temporaries that a killed writer left."""
        return sorted(self.folder.rglob(f"{files.TEMPORARY}*"))


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _version_name(version: int) -> str:
    return "sweep.json" if version == 0 else f"sweep-{version:03d}.json"


def _read_claim(path: Path) -> Claim:
    try:
        raw = files.read_json(path)
        if raw.pop("schema") > SCHEMA:
            raise InputError(f"{path} was written by a newer hpc-sweep", "use that one")
        return claim_of(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} cannot be read: {_said(error)}", _RESTORE) from error


def _said(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def find(root: Path, name: str | None) -> Sweep:
    """The sweep called `name` (or lying at that path); without a name the one last submitted to."""
    if name is not None:
        folder = root / name if SWEEP_NAME.match(name) else Path(name)
        if not folder.is_dir():
            raise InputError(f"there is no sweep `{name}` in {root}", _known(root))
        return Sweep(folder)
    sweeps = [f for f in root.iterdir() if (f / "sweep.json").exists()] if root.is_dir() else []
    if not sweeps:
        raise InputError(f"there is no sweep in {root} yet", "start one: hpc-sweep submit GRID")
    return Sweep(max(sweeps, key=_touched))


def _known(root: Path) -> str:
    known = sorted(f.name for f in root.iterdir() if f.is_dir()) if root.is_dir() else []
    return f"the sweeps there: {', '.join(known)}" if known else "start one: hpc-sweep submit GRID"


def _touched(folder: Path) -> float:
    claims = folder / "submissions"
    return (claims if claims.is_dir() else folder).stat().st_mtime
