"""The dataset file: one checked HDF5 a dataset, which is all that training ever sees of foreign data.

Writing checks every id, split, length, number and label. A sample that does not fit is refused with its sentence,
unless it is asked to be dropped; numbers that are not finite are refused unless they are asked to become 0. Both are
counted and recorded in the file, with the sources and their SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from affect import files
from affect.data import container
from affect.data.container import Container, Ragged, Stream
from affect.data.draft import MEDIA, SPLITS, Array, Draft, Frames, Labels, Problem
from affect.errors import DataError

KIND = "dataset"
MOST_SHOWN = 10
_LIMIT = 3e38  # of float32


@dataclass(frozen=True)
class Dataset:
    """A dataset that was opened. Arrays are views of the file: reading one sample reads that sample."""

    file: Container

    @property
    def name(self) -> str:
        return str(self.file.about["name"])

    @property
    def about(self) -> dict[str, Any]:
        """Where it comes from: importer, sources, what was dropped, notes, and the rule of each label."""
        return self.file.about

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ids(self) -> list[str]:
        return self.file.ragged("ids").texts()

    def split(self, name: str) -> Array:
        """The samples of `train`, `valid` or `test`, by number."""
        return np.flatnonzero(self.file.arrays["split"] == SPLITS.index(name))

    @cached_property
    def text(self) -> Ragged | None:
        """The words of each sample, where it has any: `text.text(i)`."""
        return self.file.ragged("text") if "text/values" in self.file.arrays else None

    @cached_property
    def frames(self) -> dict[str, Ragged]:
        return {name: self.file.ragged(f"frames/{name}") for name in self.file.names("frames")}

    @cached_property
    def tokens(self) -> dict[str, Ragged]:
        return {name: self.file.ragged(f"tokens/{name}") for name in self.file.names("tokens")}

    @cached_property
    def labels(self) -> dict[str, Labels]:
        told = self.about["labels"]
        return {
            name: Labels(self.file.arrays[f"labels/{name}"], tuple(told[name]["classes"]), told[name]["rule"])
            for name in self.file.names("labels")
        }

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """What each sample belongs to: its video, its speaker."""
        return {name: self.file.ragged(f"groups/{name}").texts() for name in self.file.names("groups")}

    def media(self, kind: str, index: int, root: Path | None = None) -> Path | None:
        """The sample's video, audio, frames or subtitles, below the folder that was imported, or `root`."""
        if f"media/{kind}/values" not in self.file.arrays:
            return None
        name = self.file.ragged(f"media/{kind}").text(index)
        return (root or Path(self.about["root"])) / name if name else None

    def verify(self) -> None:
        self.file.verify()

    def describe(self) -> list[str]:
        """N, the classes of each label and what always saying the commonest would score, split by split."""
        lines = [f"{self.name}: {len(self):,} samples, importer {self.about['importer']}"]
        for split in SPLITS:
            chosen = self.split(split)
            if not len(chosen):
                continue
            lines.append(f"  {split}: N = {len(chosen):,}")
            for task, labels in self.labels.items():
                if labels.classes:
                    counts = labels.counts(chosen)
                    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
                    most = max(counts.values()) / len(chosen)
                    lines.append(f"    {task}: {told}; always the commonest: {most:.3f}")
        lines += [f"  dropped {d['count']:,}: {d['why']}" for d in self.about["dropped_by_reason"]]
        return lines


def open_dataset(path: Path) -> Dataset:
    """Open a dataset file; DataError where it is not one, or was cut short."""
    return Dataset(container.read(path, KIND))


# writing


@dataclass(frozen=True)
class Mending:
    """What may be done to samples that do not fit; nothing, unless it is asked for."""

    drop: bool = False
    zero: bool = False  # numbers that are NaN or infinite become 0


def write(draft: Draft, path: Path, mending: Mending = Mending()) -> Dataset:  # noqa: B008 - frozen, and says nothing
    """Check a draft and write it; what was dropped or set to 0 is recorded."""
    _check_shape(draft)
    problems, zeroed = _problems(draft, mending)
    if problems and not mending.drop:
        raise DataError(_told(draft, problems))
    bad = {p.index for p in problems}
    kept = [i for i in range(len(draft)) if i not in bad]
    if not kept:
        raise DataError(f"{draft.name}: nothing is left of {len(draft):,} samples; the first: {problems[0].what}")
    container.write(path, KIND, _about(draft, kept, problems, zeroed), dict(_arrays(draft, kept, mending)))
    return open_dataset(path)


def _check_shape(draft: Draft) -> None:
    """What an importer must never give: lists of different lengths, and names that nobody knows."""
    n = len(draft.ids)
    columns: list[tuple[str, Any]] = [
        ("splits", draft.splits), ("texts", draft.texts),
        *draft.tokens.items(), *draft.groups.items(), *draft.media.items(),
        *((name, frames.lengths if frames.of is None else frames.of) for name, frames in draft.frames.items()),
        *((name, labels.values) for name, labels in draft.labels.items()),
    ]  # fmt: skip
    for name, column in columns:
        if column is not None and len(column) != n:
            raise DataError(f"{draft.name}: {n:,} ids, and {len(column):,} of `{name}`")
    if not n:
        raise DataError(f"{draft.name}: no samples in {', '.join(map(str, draft.sources))}")
    unknown = sorted(set(draft.splits) - set(SPLITS)) + sorted(set(draft.media) - set(MEDIA))
    if unknown:
        raise DataError(f"{draft.name}: `{unknown[0]}` is none of {', '.join((*SPLITS, *MEDIA))}")
    for name, frames in draft.frames.items():
        if frames.of is not None and (np.min(frames.of) < 0 or np.max(frames.of) >= len(frames.lengths)):
            raise DataError(f"{draft.name}: `{name}` points beyond its {len(frames.lengths):,} sequences")


def _problems(draft: Draft, mending: Mending) -> tuple[list[Problem], int]:
    """Everything that does not fit, and how many numbers are set to 0."""
    found = [*draft.problems, *_id_problems(draft), *_text_problems(draft)]
    known = {p.index for p in found}
    for task, labels in draft.labels.items():
        found += [p for p in _label_problems(draft, task, labels) if p.index not in known]
    zeroed = 0
    for name, frames in draft.frames.items():
        for sequence, samples in _users(frames, [i for i in range(len(draft)) if i not in known]).items():
            wrong, count = _frame_problem(frames, sequence)
            zeroed += count if mending.zero else 0
            if wrong is None and count and not mending.zero:
                wrong = f"{count:,} numbers are NaN or infinite"
            if wrong:
                found += [Problem(i, f"{_where(draft, i)}: {name}: {wrong}") for i in samples]
    return found, zeroed


def _users(frames: Frames, samples: Sequence[int]) -> dict[int, list[int]]:
    """The samples that have each sequence."""
    if frames.of is None:
        return {i: [i] for i in samples}
    users: dict[int, list[int]] = {}
    for i, sequence in zip(samples, frames.of[list(samples)].tolist(), strict=True):
        users.setdefault(sequence, []).append(i)
    return users


def _id_problems(draft: Draft) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for i, name in enumerate(draft.ids):
        if not name:
            yield Problem(i, f"{draft.name} sample {i}: it has no id")
        elif seen.setdefault(name, i) != i:
            yield Problem(i, f"{draft.name} sample {i}: id `{name}` is that of sample {seen[name]} too")


def _text_problems(draft: Draft) -> Iterator[Problem]:
    """Texts that UTF-8 has no form for: JSON and pickles can hold half a character."""
    columns: list[tuple[str, list[str] | None]] = [
        ("its id", draft.ids), ("its text", draft.texts),
        *((f"its {name}", column) for name, column in (*draft.groups.items(), *draft.media.items())),
    ]  # fmt: skip
    for name, column in columns:
        for i, text in enumerate(column or []):
            try:
                text.encode()
            except UnicodeEncodeError:
                yield Problem(i, f"{draft.name} sample {i} ({ascii(draft.ids[i])}): {name} holds half a character")


def _label_problems(draft: Draft, task: str, labels: Labels) -> Iterator[Problem]:
    values = np.asarray(labels.values)
    count = len(labels.classes)
    wrong = (values < 0) | (values >= count) if count else ~np.isfinite(values)
    outside = f", outside 0..{count - 1}" if count else ""
    for i in map(int, np.flatnonzero(wrong)):
        yield Problem(i, f"{_where(draft, i)}: {task} is {values[i]}{outside}")


def _frame_problem(frames: Frames, i: int) -> tuple[str | None, int]:
    """What is wrong with the shape of one sequence, and how many of its numbers are not finite."""
    length = int(frames.lengths[i])
    try:
        array = np.asarray(frames.read(i))
    except DataError as error:
        return str(error), 0
    if array.dtype.kind not in "iuf":
        return f"has the type {array.dtype}, which is no number", 0
    if array.shape != (length, frames.width):
        return f"has the shape {array.shape}, not {(length, frames.width)}", 0
    return None, int(array.size - np.count_nonzero(np.abs(array) < _LIMIT)) if array.dtype.kind == "f" else 0


def _where(draft: Draft, i: int) -> str:
    return f"{draft.name} sample {i} ({draft.ids[i]})"


def _told(draft: Draft, problems: Sequence[Problem]) -> str:
    lines = [p.what for p in problems[:MOST_SHOWN]]
    more = f"\n... and {len(problems) - MOST_SHOWN:,} more" if len(problems) > MOST_SHOWN else ""
    samples = len({p.index for p in problems if p.index >= 0}) + sum(p.index < 0 for p in problems)
    head = f"{draft.name}: {samples:,} of {len(draft):,} samples do not fit"
    return "\n".join([head, *lines]) + more + "\nhint: `drop: true` leaves them out and records them in the file"


def _about(draft: Draft, kept: Sequence[int], problems: Sequence[Problem], zeroed: int) -> dict[str, Any]:
    reasons = Counter(p.what.rpartition(": ")[2] for p in problems)
    return {
        "name": draft.name,
        "importer": draft.importer,
        "sources": [{"file": p.name, "bytes": p.stat().st_size, "sha256": files.sha256(p)} for p in draft.sources],
        "root": str(draft.root) if draft.root else "",
        "samples": len(kept),
        "labels": {k: {"classes": list(x.classes), "rule": x.rule} for k, x in draft.labels.items()},
        "frames": {k: {"width": f.width, "about": f.about} for k, f in draft.frames.items()},
        "dropped": [p.what for p in problems],
        "dropped_by_reason": [{"why": why, "count": count} for why, count in reasons.most_common()],
        "zeroed": zeroed,
        "notes": draft.notes,
    }


def _arrays(draft: Draft, kept: Sequence[int], mending: Mending) -> Iterator[tuple[str, Array | Stream]]:
    yield from container.strings("ids", (draft.ids[i] for i in kept)).items()
    yield "split", np.array([SPLITS.index(draft.splits[i]) for i in kept], np.uint8)
    if draft.texts is not None:
        yield from container.strings("text", (draft.texts[i] for i in kept)).items()
    for kind, columns in (("groups", draft.groups), ("media", draft.media)):
        for name, column in columns.items():
            yield from container.strings(f"{kind}/{name}", (column[i] for i in kept)).items()
    for name, labels in draft.labels.items():
        values = np.asarray(labels.values)[list(kept)]
        yield f"labels/{name}", values.astype(np.int64 if labels.classes else np.float32)
    for name, rows in draft.tokens.items():
        yield from _ragged(f"tokens/{name}", [len(rows[i]) for i in kept], None, "<i4", (rows[i] for i in kept))
    for name, frames in draft.frames.items():
        sequences: Sequence[int] = kept
        if frames.of is not None:  # each sequence that is left, once
            found, places = np.unique(frames.of[list(kept)], return_inverse=True)
            sequences = found.tolist()
            yield f"frames/{name}/of", places.astype(np.int64)
        lengths = np.asarray(frames.lengths)[list(sequences)]
        yield from _ragged(f"frames/{name}", lengths, frames.width, "<f4", _rows(frames.read, sequences, mending))


def _ragged(
    name: str, lengths: Iterable[int], width: int | None, dtype: str, rows: Iterable[Array]
) -> Iterator[tuple[str, Array | Stream]]:
    ends = container.offsets(lengths)
    yield f"{name}/offsets", ends
    yield f"{name}/values", Stream((int(ends[-1]), *([] if width is None else [width])), dtype, rows)


def _rows(read: Callable[[int], Array], kept: Iterable[int], mending: Mending) -> Iterator[Array]:
    for i in kept:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and that was looked at already
            row = np.asarray(read(i), np.float32)
        yield np.nan_to_num(row, nan=0.0, posinf=0.0, neginf=0.0) if mending.zero else row
