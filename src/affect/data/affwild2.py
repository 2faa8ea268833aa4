"""Aff-Wild2 as it is released: annotations frame by frame, cut into samples of one expression, or of equal length.

Frames that the annotators left out (-1 or -5) belong to no sample's label. Refuses files whose first line names
other columns or classes than the challenge has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from affect.data.draft import Draft, Labels, Problem
from affect.data.plain import hold_out, read_text, scan
from affect.data.rules import AFFWILD2
from affect.errors import DataError

CHALLENGES = ("EXPR", "VA")
SETS = {"Train_Set": "train", "Validation_Set": "test"}
OTHER = "Other"
FRAMES = "cropped_aligned"
_CLIP = re.compile(r"(.+)_(?:Train|Validation)_\d+to\d+", re.ASCII)
_FACE = re.compile(r"_(?:left|right)$")
_SCORE = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class _Film:
    """The annotations of one face in one video."""

    path: Path
    part: str  # Train_Set or Validation_Set
    head: list[str]
    frames: list[str]  # frame k is frames[k - 1], and line k + 1 of the file

    @property
    def where(self) -> str:
        return f"{self.part}/{self.path.name}"


@dataclass(frozen=True)
class _Clip:
    """The frames `first` to `last` of a film: a sample."""

    film: _Film
    first: int
    last: int
    values: tuple[float, ...]
    wrong: str = ""

    @property
    def id(self) -> str:
        return f"{self.film.path.stem}_{self.film.part.removesuffix('_Set')}_{self.first}to{self.last}"


@dataclass
class _Found:
    clips: list[_Clip]
    wrong: list[str]  # what is in no clip
    left: Counter[str]


def read_affwild2(source: Path, *, challenge: str = "EXPR", least_frames: int = 16) -> Draft:
    """Runs of one expression (EXPR), or windows with their mean valence and arousal (VA)."""
    if challenge not in CHALLENGES:
        raise DataError(f"challenge is {challenge!r}; Aff-Wild2 is read for {' or '.join(CHALLENGES)}")
    if least_frames < 1:
        raise DataError(f"least_frames is {least_frames}; a sample has at least 1 frame")
    films = list(_films(source, challenge))
    found = _Found([], [], Counter())
    for film in films:
        found.clips += (_expressions if challenge == "EXPR" else _windows)(film, least_frames, found)
    return _draft(source, challenge, films, found)


def video_of(name: str) -> str | None:
    """The video of a clip's id such as `7-60-1920x1080_Train_46to175`, or None. Two faces in a video share it."""
    match = _CLIP.fullmatch(name)
    return _FACE.sub("", match[1]) if match else None


def _draft(source: Path, challenge: str, films: list[_Film], found: _Found) -> Draft:
    clips = found.clips
    labels = _labels(challenge, clips)
    videos = [_FACE.sub("", clip.film.path.stem) for clip in clips]
    kinds = [labels["expression"].classes[int(clip.values[0])] if challenge == "EXPR" else "" for clip in clips]
    draft = Draft(
        name="affwild2",
        importer="affwild2 1",
        sources=[film.path for film in films],
        ids=[clip.id for clip in clips],
        splits=hold_out([SETS[clip.film.part] for clip in clips], videos, kinds),
        labels=labels,
        groups={
            "video": videos,
            "first": [str(clip.first) for clip in clips],
            "last": [str(clip.last) for clip in clips],
        },
        root=source,
        problems=[Problem(-1, what) for what in found.wrong],
        notes=_notes(found),
    )
    draft.problems += [Problem(index, clip.wrong) for index, clip in enumerate(clips) if clip.wrong]
    _add_frames(draft, source, clips)
    return draft


def _labels(challenge: str, clips: list[_Clip]) -> dict[str, Labels]:
    if challenge == "EXPR":
        numbers = np.array([clip.values[0] for clip in clips], np.int64)
        return {"expression": Labels(numbers, AFFWILD2, "a run of frames with one expression")}
    rule = "the mean over the frames of the window that are annotated"
    return {
        task: Labels(np.array([clip.values[k] for clip in clips], np.float32), rule=rule)
        for k, task in enumerate(("valence", "arousal"))
    }


def _notes(found: _Found) -> list[str]:
    return [
        "Validation_Set is the test split: the labels of the real test set are not public.",
        "The valid split is made from Train_Set: one video in ten, by the SHA-256 of its name.",
        "The dataset has no annotations of dominance, although the paper speaks of valence, arousal and dominance.",
        "Groups `first` and `last` are the sample's frames in its video, counted from 1.",
        *(f"Left out by definition: {count:,} {what}." for what, count in sorted(found.left.items())),
    ]


def _add_frames(draft: Draft, source: Path, clips: list[_Clip]) -> None:
    """The folder of faces of each film, where there is one; the clip is some of its frames."""
    folders = set(scan(source / FRAMES))
    column = [f"{FRAMES}/{clip.film.path.stem}" if clip.film.path.stem in folders else "" for clip in clips]
    if any(column):
        draft.media["frames"] = column
        missing = column.count("")
        draft.notes += [f"{missing:,} samples have no folder in {FRAMES}."] if missing else []


# the files


def _films(source: Path, challenge: str) -> Iterator[_Film]:
    names = [name for name in scan(source) if re.split(r"[_\s-]", name)[0].upper() == challenge]
    if len(names) != 1:
        told = " and ".join(names) or "none"
        raise DataError(
            f"{source} needs one folder of the {challenge} challenge, with {' and '.join(SETS)}; has {told}"
        )
    for part in SETS:
        folder = source / names[0] / part
        files = [name for name in scan(folder) if name.endswith(".txt")]
        if not files:
            raise DataError(f"{folder} holds no annotations (*.txt); unpack them there")
        for name in files:
            head, *frames = read_text(folder / name).rstrip().split("\n")
            yield _Film(folder / name, part, [word.strip() for word in head.split(",")], frames)


# expressions: runs


def _expressions(film: _Film, least: int, found: _Found) -> Iterator[_Clip]:
    numbers = {str(number): name for number, name in enumerate(_classes(film))}
    last = 0
    for word, run in groupby(frame.strip() for frame in film.frames):
        count = sum(1 for _ in run)
        first, last = last + 1, last + count
        if word == "-1":
            continue
        name = numbers.get(word)
        if name is None:
            found.wrong.append(f"{film.where} line {first + 1}, {count:,} lines: {word[:40]!r} is no class number")
        elif name == OTHER:
            found.left["frames of Other"] += count
        elif count < least:
            found.left[f"runs of fewer than {least:,} frames"] += 1
        else:
            yield _Clip(film, first, last, (AFFWILD2.index(name),))


def _classes(film: _Film) -> list[str]:
    """The classes in the file's own order: 7 of them in 2020, and `Other` after that."""
    spelled = {name.casefold(): name for name in (*AFFWILD2, OTHER)}
    names = [spelled.get(word.casefold(), "") for word in film.head]
    if not set(AFFWILD2) <= set(names) or len(names) not in (7, 8) or "" in names:
        raise DataError(f"{film.path} line 1 is {','.join(film.head)[:120]!r}, not the 7 or 8 expressions")
    return names


# valence and arousal: windows


def _windows(film: _Film, least: int, found: _Found) -> Iterator[_Clip]:
    if [word.casefold() for word in film.head] != ["valence", "arousal"]:
        raise DataError(f"{film.path} line 1 is {','.join(film.head)[:120]!r}, not 'valence,arousal'")
    for start in range(0, len(film.frames), 4 * least):
        frames = film.frames[start : start + 4 * least]
        if len(frames) < least:
            found.left[f"windows of fewer than {least:,} frames, at a video's end"] += 1
            continue
        clip = _window(film, start, frames)
        if clip is None:
            found.left["windows without an annotated frame"] += 1
        else:
            yield clip


def _window(film: _Film, start: int, frames: list[str]) -> _Clip | None:
    scores, wrong = [], ""
    for place, frame in enumerate(frames, start=start + 2):
        pair = _scores(frame)
        if pair is None:
            wrong = wrong or f"{film.where} line {place}: {frame[:40]!r} is no valence and arousal in -1..1"
        elif -5 not in pair:
            scores.append(pair)
    if not scores and not wrong:
        return None
    means = tuple(np.mean(scores, axis=0).tolist()) if scores else (np.nan, np.nan)
    return _Clip(film, start + 1, start + len(frames), means, wrong)


def _scores(frame: str) -> tuple[float, ...] | None:
    """Valence and arousal; -5 is a frame without one. None is anything else."""
    words = [word.strip() for word in frame.split(",")]
    if len(words) != 2 or not all(_SCORE.fullmatch(word) for word in words):
        return None
    pair = tuple(map(float, words))
    return pair if all(-1 <= value <= 1 or value == -5 for value in pair) else None
