"""Reads MELD: the three CSV files of utterances, and the clips that belong to them.

Dialogue numbers begin anew in each split, so an id names its split. Refuses a folder without the three files, and a
file without the columns. A row with an unknown word, a number that is none, too few or too many cells, or the id of
another row, is a problem with its file, row and id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affect.data import rules
from affect.data.draft import Draft, Labels, Problem
from affect.data.plain import scan
from affect.data.tables import columns, read_table
from affect.errors import DataError

IMPORTER = "meld 1"
FILES = {"train": "train_sent_emo.csv", "valid": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
CLIPS = {"train": "train_splits", "valid": "dev_splits_complete", "test": "output_repeated_splits_test"}
BROKEN = ("test_dia220_utt0", "test_dia38_utt4")  # cut at wrong times: they last 3 min 35 s and 5 min

_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_NUMBER = re.compile(r"[0-9]{1,6}")


def read_meld(source: Path) -> Draft:
    """The utterances of all three splits. `source` holds the CSV files, or they lie in folders of it."""
    source = source.absolute()
    paths = {split: _find(source, name) for split, name in FILES.items()}
    found = _Found()
    for split, path in paths.items():
        _read(found, split, path)
    media = _media(found, source, paths)
    broken = [name for name in BROKEN if name in found.ids]
    if broken:
        told = " and ".join(broken)
        found.notes.append(f"The clips of {told} are cut at wrong times and last minutes: do not trust their length.")
    return Draft(
        name="meld", importer=IMPORTER, sources=list(paths.values()),
        ids=list(found.ids), splits=found.splits, texts=found.texts, labels=_labels(found),
        groups={"speaker": found.speakers, "dialogue": found.dialogues},
        media=media, root=source, problems=found.problems, notes=found.notes,
    )  # fmt: skip


@dataclass
class _Found:
    """The rows that have an id, and what is wrong with these and others."""

    ids: dict[str, str] = field(default_factory=dict)  # where each is: "dev_sent_emo.csv row 5"
    splits: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    dialogues: list[str] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    emotions: list[int] = field(default_factory=list)
    sentiments: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _find(source: Path, name: str) -> Path:
    """A file in the folder, or in just one of the folders in it."""
    if (source / name).is_file():
        return source / name
    found = [source / folder / name for folder in scan(source) if (source / folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{found[0]} and {found[1]} have the same name; put the right one into {source}")
    raise DataError(f"there is no {name} in {source}, nor in a folder of it; it comes with MELD's repository")


def _read(found: _Found, split: str, path: Path) -> None:
    table = read_table(path)
    places = columns(table, _COLUMNS)
    found.notes += table.notes
    for number, cells in table.rows:
        where = f"{path.name} row {number}"
        if len(cells) != len(places):
            found.problems.append(Problem(-1, f"{where}: it has {len(cells)} cells, not {len(places)}"))
            continue
        _take(found, split, where, {name: cells[place] for name, place in places.items()})


def _take(found: _Found, split: str, where: str, cells: Mapping[str, str]) -> None:
    row = {column: cells[column].strip() for column in _COLUMNS}
    for column in ("Dialogue_ID", "Utterance_ID"):
        if not _NUMBER.fullmatch(row[column]):
            found.problems.append(Problem(-1, f"{where}: {column} {row[column][:40]!r} is no whole number"))
            return
    dialogue, utterance = int(row["Dialogue_ID"]), int(row["Utterance_ID"])
    name = f"{split}_dia{dialogue}_utt{utterance}"
    if name in found.ids:
        found.problems.append(Problem(-1, f"{where} ({name}): this id is that of {found.ids[name]} too"))
        return
    emotion, wrong_emotion = _number(row, "Emotion", rules.MELD_EMOTIONS)
    sentiment, wrong_sentiment = _number(row, "Sentiment", rules.POLARITY)
    wrong = [text for text in (wrong_emotion, wrong_sentiment) if text]
    if wrong:
        found.problems.append(Problem(len(found.ids), f"{where} ({name}): {'; '.join(wrong)}"))
    found.ids[name] = where
    found.splits.append(split)
    found.texts.append(cells["Utterance"])
    found.speakers.append(row["Speaker"])
    found.dialogues.append(f"{split}_dia{dialogue}")
    found.clips.append(f"dia{dialogue}_utt{utterance}.mp4")
    found.emotions.append(emotion)
    found.sentiments.append(sentiment)


def _number(row: Mapping[str, str], column: str, classes: tuple[str, ...]) -> tuple[int, str]:
    """The number of a word's class, and what is wrong with the word."""
    word = row[column].casefold()
    if word in classes:
        return classes.index(word), ""
    return -1, f"{column} {row[column][:40]!r} is none of {', '.join(classes)}"


def _labels(found: _Found) -> dict[str, Labels]:
    return {
        "polarity": Labels(np.array(found.sentiments, np.int64), rules.POLARITY, "the column Sentiment"),
        "emotion": Labels(np.array(found.emotions, np.int64), rules.MELD_EMOTIONS, "the column Emotion"),
    }


# clips


def _media(found: _Found, source: Path, paths: Mapping[str, Path]) -> dict[str, list[str]]:
    """The clip of each utterance, below the source; no entry at all where there is no folder of clips."""
    folders = {split: _clip_folder(source, paths[split].parent, name) for split, name in CLIPS.items()}
    if not any(folders.values()):
        found.notes.append("There are no clips beside the CSV files, so there is text only.")
        return {}
    there: dict[str, set[str]] = {split: set(scan(folder)) if folder else set() for split, folder in folders.items()}
    videos = []
    for split, clip in zip(found.splits, found.clips, strict=True):
        folder = folders[split]
        videos.append(f"{folder.relative_to(source)}/{clip}" if folder and clip in there[split] else "")
    for split in CLIPS:
        missing = sum(s == split and not video for s, video in zip(found.splits, videos, strict=True))
        if missing:
            found.notes.append(f"{missing:,} of {found.splits.count(split):,} clips of {split} are missing.")
    return {"video": videos}


def _clip_folder(source: Path, beside: Path, name: str) -> Path | None:
    """The folder of a split's clips: with the CSV files, or one folder further down."""
    places = dict.fromkeys([beside, source, *(source / folder for folder in scan(source))])
    return next((place / name for place in places if (place / name).is_dir()), None)
