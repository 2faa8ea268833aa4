"""Reads CSMV: comments on short videos, each with an opinion and an emotion, and the features of the videos.

Reads the JSON files of the release as they are, the annotations alone in a zip too. Refuses label maps that differ
from `rules`, and files of another form. A null or unknown label, an entry without its fields, and a comment that is
listed twice or not annotated, is a problem with its file and id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import rules
from affect.data.csmv_features import KINDS, read_features
from affect.data.draft import Array, Draft, Labels, Problem
from affect.data.json_files import read_json
from affect.errors import DataError

IMPORTER = "csmv 1"
ANNOTATIONS = ("lable_data_dict.json", "lable_data_dict.json.zip")  # so spelled in the release
LISTS = {"train": "train_set.json", "valid": "dev_set.json", "test": "test_set.json"}
MAPS = {"opinion_label_map.json": rules.CSMV_OPINIONS, "emotion_label_map.json": rules.CSMV_EMOTIONS}
SPLITTINGS = ("official", "video-disjoint")
_FIELDS = ("video_file_id", "comment", "hashtag")
_TASKS = {"opinion": rules.CSMV_OPINIONS, "emotion": rules.CSMV_EMOTIONS}


def read_csmv(source: Path, *, split: str = "official", features: str = "i3d") -> Draft:
    """The comments in the release's three lists. `split` is `official`, by comments, or `video-disjoint`.

    `features` is one of i3d, r21d, videomae and none.
    """
    _check("split", split, SPLITTINGS)
    _check("features", features, (*KINDS, "none"))
    source = source.absolute()
    found = _Found()
    annotations = _annotations(found, source)
    for name, file in LISTS.items():
        _read_list(found, name, source / file, annotations)
    _check_maps(found, source)
    _note_unused(found, annotations)
    draft = Draft(
        name="csmv", importer=IMPORTER, sources=found.sources, ids=list(found.ids), splits=_splits(found, split),
        texts=found.texts, labels=_labels(found), groups={"video": found.videos, "hashtag": found.hashtags},
        problems=found.problems, notes=found.notes, root=source,
    )  # fmt: skip
    if features != "none":
        _add_features(draft, source, features)
    return draft


def video_split(video: str) -> str:
    """The split of a video where videos are divided: 8 in 10 train, 1 valid, 1 test, by the SHA-256 of its name."""
    rank = int.from_bytes(hashlib.sha256(video.encode("utf-8", "surrogatepass")).digest()) % 10
    return {0: "valid", 1: "test"}.get(rank, "train")


@dataclass
class _Found:
    """The comments that are listed and annotated, and what is wrong with these and others."""

    sources: list[Path] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)  # where each is listed
    listed: list[str] = field(default_factory=list)  # in which split
    texts: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    hashtags: list[str] = field(default_factory=list)
    labels: dict[str, list[int]] = field(default_factory=lambda: {task: [] for task in _TASKS})
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, what: str, index: int = -1) -> None:
        self.problems.append(Problem(index, what))


@dataclass(frozen=True)
class _Annotations:
    file: str
    entries: Mapping[str, Any]
    repeated: frozenset[str]


def _check(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise DataError(f"option `{option}` of csmv is {value!r}; it can be {', '.join(known)}")


def _annotations(found: _Found, source: Path) -> _Annotations:
    there = [source / name for name in ANNOTATIONS if (source / name).is_file()]
    if not there:
        raise DataError(f"there is no {' or '.join(ANNOTATIONS)} in {source}; it comes with the release of CSMV")
    path = there[0]
    if len(there) > 1:
        found.notes.append(f"{path.name} was read, and not {there[1].name} beside it.")
    entries, repeated = _read(found, path, dict)
    other = next((key for key in repeated if key not in entries), None)
    if other is not None:
        raise DataError(f"{path}: one entry has the key {other[:80]!r} twice; fetch the file again")
    return _Annotations(path.name, entries, frozenset(repeated))


def _read(found: _Found, path: Path, kind: type) -> tuple[Any, list[str]]:
    content, repeated = read_json(path)
    if not isinstance(content, kind):
        raise DataError(f"{path} holds a {type(content).__name__}, not a {kind.__name__}; is it another file?")
    found.sources.append(path)
    return content, repeated


def _read_list(found: _Found, split: str, path: Path, annotations: _Annotations) -> None:
    names, _ = _read(found, path, list)
    for place, name in enumerate(names):
        where = f"{path.name} entry {place}"
        if not isinstance(name, str):
            found.refuse(f"{where}: {name!r:.80} is no id of a comment")
        elif name in found.ids:
            found.refuse(f"{where} ({name}): it is in {found.ids[name].split(' ')[0]} already")
        elif name not in annotations.entries:
            found.refuse(f"{where} ({name}): it is not in {annotations.file}")
        else:
            _take(found, split, where, name, annotations)


def _take(found: _Found, split: str, where: str, name: str, annotations: _Annotations) -> None:
    entry, told = annotations.entries[name], f"{annotations.file} ({name})"
    lacking = [key for key in _FIELDS if not isinstance(entry, dict) or not isinstance(entry.get(key), str)]
    if lacking:
        found.refuse(f"{told}: it has no text for {', '.join(lacking)}")
        return
    words = {f"{task}_label": entry.get(f"{task}_label") for task in _TASKS}
    numbers = [_number(word, classes) for word, classes in zip(words.values(), _TASKS.values(), strict=True)]
    wrong = _wrong_labels(words)
    if name in annotations.repeated:
        wrong.append("it is there more than once, and only the last is read")
    if wrong:
        found.refuse(f"{told}: {'; '.join(wrong)}", len(found.ids))
    found.ids[name] = where
    found.listed.append(split)
    found.texts.append(entry["comment"])
    found.videos.append(entry["video_file_id"].removesuffix(".mp4"))
    found.hashtags.append(entry["hashtag"])
    for task, number in zip(_TASKS, numbers, strict=True):
        found.labels[task].append(number)


def _wrong_labels(words: Mapping[str, Any]) -> list[str]:
    """What is wrong with an entry's labels, in words that are the same for all that have the same fault."""
    wrong = []
    nulls = [key for key, word in words.items() if word is None]
    if nulls:
        wrong.append(f"{' and '.join(nulls)} {'is' if len(nulls) == 1 else 'are'} null")
    for (key, word), classes in zip(words.items(), _TASKS.values(), strict=True):
        if word is not None and _number(word, classes) < 0:
            wrong.append(f"{key} {word!r:.60} is none of {', '.join(classes)}")
    return wrong


def _number(word: Any, classes: Sequence[str]) -> int:
    return classes.index(word.casefold()) if isinstance(word, str) and word.casefold() in classes else -1


def _labels(found: _Found) -> dict[str, Labels]:
    values: dict[str, Array] = {task: np.array(numbers, np.int64) for task, numbers in found.labels.items()}
    table = np.array([rules.POLARITY.index(name) for name in rules.CSMV_OPINIONS])
    polarity = np.where(values["opinion"] >= 0, table[np.maximum(values["opinion"], 0)], -1)
    return {
        **{task: Labels(values[task], classes, f"the field {task}_label") for task, classes in _TASKS.items()},
        "polarity": Labels(polarity, rules.POLARITY, "the opinion"),
    }


def _check_maps(found: _Found, source: Path) -> None:
    """The release's numbers of the classes should be ours, or its models' outputs would mean other things."""
    for name, classes in MAPS.items():
        if not (source / name).is_file():
            found.notes.append(f"There is no {name}; the classes are in the release's usual order.")
            continue
        content, repeated = _read(found, source / name, dict)
        if content != {label: number for number, label in enumerate(classes)} or repeated:
            raise DataError(f"{source / name} is {content!r:.200}, not {', '.join(classes)} from 0 on")


def _note_unused(found: _Found, annotations: _Annotations) -> None:
    unused = len(annotations.entries) - len(found.ids)
    if unused:
        found.notes.append(f"{unused:,} of {len(annotations.entries):,} annotated comments are in no list of a split.")


def _splits(found: _Found, split: str) -> list[str]:
    if split == "video-disjoint":
        found.notes.append(
            "The splits are by video, not the release's: a video is in valid or test, 1 in 10 each, by the SHA-256 of "
            "its name. No video is in two splits."
        )
        return [video_split(video) for video in found.videos]
    train, test = (
        {v for v, s in zip(found.videos, found.listed, strict=True) if s == name} for name in ("train", "test")
    )
    found.notes.append(
        f"{len(test & train):,} of {len(test):,} test videos occur in train too, since the release splits by comment; "
        "`split: video-disjoint` divides by video."
    )
    return found.listed


def _add_features(draft: Draft, source: Path, features: str) -> None:
    frames, notes = read_features(source, KINDS[features], draft.groups["video"])
    if frames is None and features != "i3d":
        raise DataError(f"{source}: {notes[0]} Say `features: none` for the text alone")
    draft.notes += notes
    if frames is not None:
        draft.frames["vision"] = frames
