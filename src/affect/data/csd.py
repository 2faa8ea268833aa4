"""Datasets of the CMU-MultimodalSDK (CMU-MOSI, CMU-MOSEI): a folder of .csd files and a file of folds.

Owns the cut into samples: one a row of the label file, `video[3]` being row 3. Words that overlap a sample's seconds
are its text; rows of features whose middle lies in them are its frames. Sequences that were aligned before, with
`video[3]` for keys, are taken as they are. Refuses folders without labels or folds, labels of other widths than those
of MOSI (1) and MOSEI (7), and files whose part in it cannot be told.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect.data import csd_file, rules
from affect.data.csd_file import Entry
from affect.data.draft import Array, Draft, Frames, Labels, Problem
from affect.data.folds import find_folds, read_folds
from affect.errors import DataError

IMPORTER = "csd 1"
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")  # of MOSEI, after the sentiment
PAUSE = "sp"  # what the SDK's word files say where nobody speaks
_KEY = re.compile(r"(.+)\[([0-9]{1,9})\]")
_SENTIMENT, _INTENSITY = (-3.0, 3.0), (0.0, 3.0)


@dataclass(frozen=True)
class _Sample:
    id: str
    video: str
    row: int
    start: float
    end: float
    values: tuple[float, ...]  # what the label file says


@dataclass(frozen=True)
class _Place:
    """Rows `start` to `stop` of a key, or the chosen ones among them."""

    key: str
    start: int
    stop: int
    chosen: Array | None = None

    @property
    def rows(self) -> int:
        return self.stop - self.start if self.chosen is None else len(self.chosen)

    def read(self, sequence: csd_file.Sequence) -> Array:
        rows = sequence.features(self.key, self.start, self.stop)
        return rows if self.chosen is None else rows[self.chosen]


_Inside = Callable[[Array, float, float], Array]
_Places = list[_Place | None]  # a sample's; None where the file has nothing for it


def read_csd(source: Path, *, folds: str = "") -> Draft:
    """The dataset in a folder; `folds` names a file below it, where not exactly one has `folds` in its name."""
    sequences = _by_name(source)
    fold_file = find_folds(source, folds)
    splits = read_folds(fold_file)
    samples, problems = _samples(sequences["labels"])
    draft = Draft(
        name=source.name, importer=IMPORTER, sources=[*(s.path for s in sequences.values()), fold_file],
        ids=[s.id for s in samples], splits=[splits.get(s.video, "train") for s in samples],
        labels=_labels(samples), groups={"video": [s.video for s in samples]},
        problems=[*problems, *_sample_problems(samples, splits, fold_file)],
    )  # fmt: skip
    unused = len(set(splits) - {s.video for s in samples})
    if unused:
        draft.notes.append(f"{unused:,} videos of {fold_file.name} have no labels")
    for name, sequence in sequences.items():
        _refuse_aligned_to_words(sequence, samples, sequences["labels"])
        if name == "words":
            _add_words(draft, sequence, samples)
        elif name == "phones":
            draft.notes.append(f"{sequence.path.name} holds phones, which are left out")
        elif name != "labels":
            _add_frames(draft, name, sequence, samples)
    return draft


# which file is which


def _by_name(source: Path) -> dict[str, csd_file.Sequence]:
    """The files by role; where two are of one kind of feature, each also has its root's name: vision_facet_4_2."""
    if not source.is_dir():
        raise DataError(f"{source} is no folder; it should hold the .csd files of one dataset")
    found = [csd_file.open_sequence(path) for path in sorted(source.glob("*.csd"))]
    counts = Counter(sequence.role for sequence in found)
    for role in ("words", "labels", "phones"):
        if counts[role] > 1 or (role == "labels" and not counts[role]):
            raise DataError(f"{source} has {counts[role]} .csd files of {role}, not one. The rule: {csd_file.RULE}")
    if not set(counts) - {"labels", "phones"}:
        raise DataError(f"{source} has labels, and neither words nor features. The rule: {csd_file.RULE}")
    named = {_name(sequence, counts): sequence for sequence in found}
    if len(named) < len(found):
        raise DataError(f"{source} has two .csd files of the same kind and root; take one of them away")
    return named


def _name(sequence: csd_file.Sequence, counts: Mapping[str, int]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", sequence.root.casefold()).strip("_")
    return sequence.role if counts[sequence.role] == 1 else f"{sequence.role}_{slug}"


# samples


def _samples(labels: csd_file.Sequence) -> tuple[list[_Sample], list[Problem]]:
    if labels.width not in (1, 1 + len(EMOTIONS)):
        raise DataError(
            f"{labels.path} has labels of {labels.width} numbers: those of MOSI have 1, a sentiment, and those of "
            f"MOSEI 7, a sentiment and {', '.join(EMOTIONS)}"
        )
    samples, problems = [], []
    for key, entry in sorted(labels.entries.items(), key=lambda item: _split(item[0])):
        video, number = _split(key)
        wrong = entry.wrong or ("" if number < 0 or entry.rows == 1 else "a key with a number has one row of labels")
        if wrong:
            problems.append(Problem(-1, f"{labels.path.name} `{key}`: {wrong}"))
            continue
        times, values = labels.intervals(key), labels.features(key, 0, entry.rows).astype(np.float64)
        for row, ((start, end), told) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
            place = number if number >= 0 else row
            samples.append(_Sample(f"{video}[{place}]", video, row, start, end, tuple(told)))
    if not samples:
        raise DataError(f"{labels.path} has no labels that fit; the first: {problems[0].what}")
    return samples, problems


def _split(key: str) -> tuple[str, int]:
    """The video of a key, and its number; -1 where it has none."""
    match = _KEY.fullmatch(key)
    return (match[1], int(match[2])) if match else (key, -1)


def _sample_problems(samples: Sequence[_Sample], splits: Mapping[str, str], fold_file: Path) -> list[Problem]:
    found = []
    for i, sample in enumerate(samples):
        limits = (_SENTIMENT, *[_INTENSITY] * len(EMOTIONS))
        outside = [v for v, (low, high) in zip(sample.values, limits, strict=False) if v < low or v > high]
        if sample.video not in splits:
            wrong = f"its video is in no fold of {fold_file.name}"
        elif not sample.start < sample.end:
            wrong = f"its interval of seconds, {sample.start} to {sample.end}, is empty or no interval"
        elif outside:
            wrong = f"the label {outside[0]} is outside its range, -3..3 of sentiment and 0..3 of an emotion"
        else:
            continue
        found.append(Problem(i, f"{_where(i, sample)}: {wrong}"))
    return found


def _where(i: int, sample: _Sample) -> str:
    return f"sample {i} ({sample.id})"


def _labels(samples: Sequence[_Sample]) -> dict[str, Labels]:
    values = np.array([sample.values for sample in samples], np.float32)
    found = rules.score_labels(values[:, 0])
    for name, column in zip(EMOTIONS, values.T[1:], strict=False):
        found[name] = Labels(column, rule=f"intensity of {name}, 0 to 3")
    return found


# what belongs to a sample


def _refuse_aligned_to_words(
    sequence: csd_file.Sequence, samples: Sequence[_Sample], labels: csd_file.Sequence
) -> None:
    """The SDK numbers words as it numbers labels; `video[57]` of a video with five labels is a word."""
    videos, known = {sample.video for sample in samples}, {sample.id for sample in samples} | set(labels.entries)
    for key in sequence.entries:
        video, number = _split(key)
        if number >= 0 and video in videos and key not in known:
            raise DataError(
                f"{sequence.path} has `{key}`, and {labels.path.name} has no label of that number: it is aligned to "
                "words or to other labels; align it to these labels, or take the files that are not aligned"
            )


def _add_frames(draft: Draft, name: str, sequence: csd_file.Sequence, samples: Sequence[_Sample]) -> None:
    places = _places(draft, name, sequence, samples, _middle_inside)
    lengths = np.array([place.rows if place else 0 for place in places], np.int64)
    empty = np.empty((0, sequence.width), np.float32)

    def read(i: int) -> Array:
        place = places[i]
        return place.read(sequence) if place and place.rows else empty

    draft.frames[name] = Frames(lengths, sequence.width, read, f"{sequence.root}, of {sequence.path.name}")
    _note_missing(draft, f"no {name}", lengths)


def _add_words(draft: Draft, sequence: csd_file.Sequence, samples: Sequence[_Sample]) -> None:
    if sequence.width != 1:
        raise DataError(f"{sequence.path} has {sequence.width} words in a row; a file of words has one")
    draft.texts, pauses = [], 0
    for i, place in enumerate(_places(draft, "words", sequence, samples, _overlaps)):
        words = place.read(sequence)[:, 0].tolist() if place and place.rows else []
        spoken = [word for word in words if word != PAUSE.encode()]
        pauses += len(words) - len(spoken)
        text = b" ".join(spoken).decode(errors="replace")
        if "\ufffd" in text:
            draft.problems.append(Problem(i, f"{_where(i, samples[i])}: {sequence.path.name}: words are not UTF-8"))
        draft.texts.append(text)
    if pauses:
        draft.notes.append(f"{pauses:,} pauses, which {sequence.path.name} marks with `{PAUSE}`, are left out")
    _note_missing(draft, "no words", [len(text) for text in draft.texts])


def _places(
    draft: Draft, name: str, sequence: csd_file.Sequence, samples: Sequence[_Sample], inside: _Inside
) -> _Places:
    """Where in a file each sample's rows are; entries that do not fit become problems of their samples."""
    found: _Places = [None] * len(samples)
    videos: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        if sample.id in sequence.entries:
            found[i] = _Place(sample.id, 0, sequence.entries[sample.id].rows)
        elif sample.video in sequence.entries:
            videos[sample.video].append(i)
    wrong = {i: sequence.entries[place.key].wrong for i, place in enumerate(found) if place}
    for video, members in videos.items():
        times, told = _times(sequence, video, sequence.entries[video])
        for i in members:
            wrong[i] = told
            found[i] = _cut(video, inside(times, samples[i].start, samples[i].end))
    if not wrong:
        raise DataError(f"{sequence.path} has no entry of any of the {len(samples):,} samples; is it of this dataset?")
    for i, told in wrong.items():
        if told:
            found[i] = None
            draft.problems.append(Problem(i, f"{_where(i, samples[i])}: {name} in {sequence.path.name}: {told}"))
    return found


def _times(sequence: csd_file.Sequence, key: str, entry: Entry) -> tuple[Array, str]:
    if entry.wrong:
        return np.empty((0, 2)), entry.wrong
    times = sequence.intervals(key).astype(np.float64)
    return times, "" if np.isfinite(times).all() else "its intervals have numbers that are NaN or infinite"


def _cut(key: str, inside: Array) -> _Place:
    rows = np.flatnonzero(inside)
    if not len(rows):
        return _Place(key, 0, 0)
    start, stop = int(rows[0]), int(rows[-1]) + 1
    return _Place(key, start, stop, None if stop - start == len(rows) else rows - start)


def _middle_inside(times: Array, start: float, end: float) -> Array:
    middle: Array = times.mean(axis=1)
    return (middle >= start) & (middle < end)  # a row between two samples belongs to one


def _overlaps(times: Array, start: float, end: float) -> Array:
    return (times[:, 0] < end) & (times[:, 1] > start)


def _note_missing(draft: Draft, what: str, lengths: Sequence[int] | Array) -> None:
    missing = int(np.count_nonzero(np.asarray(lengths) == 0))
    if missing:
        draft.notes.append(f"{missing:,} of {len(lengths):,} samples have {what}")
