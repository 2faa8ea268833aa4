"""Reads the pickles of features that are passed around for MELD and IEMOCAP.

Two forms: the tuple of nine by dialogue (`MELD_features_raw.pkl`, `IEMOCAP_features.pkl`), and MELD's own lists of
three dictionaries keyed `0_0`. Each utterance is a sample. Refuses anything else. A dialogue whose lists differ in
their number of utterances, and an utterance with a vector or label that is none, is a problem with its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import iemocap, pickles, rules
from affect.data.draft import Array, Draft, Labels, Problem
from affect.data.meld_lists import read_lists
from affect.data.tables import put_right
from affect.data.vectors import single_frames, vector
from affect.errors import DataError

IMPORTER = "meld-pickle 1"
_SENTIMENTS = ("neutral", "positive", "negative")  # as the files number them
_MELD = ("ids", "speakers", "emotions", "text", "audio", "sentences", "train", "test", "sentiments")
_IEMOCAP = ("ids", "speakers", "emotions", "text", "audio", "vision", "sentences", "train", "test")
_MODALITIES = ("text", "audio", "vision")


def read_meld_pickle(source: Path, *, modality: str = "") -> Draft:
    """The utterances of one pickle. `modality` says what a list of MELD's own is, where its name does not."""
    content = pickles.load(source, encoding="latin1")
    if isinstance(content, tuple | list) and len(content) == 9:
        return _read_nine(source, content)
    if isinstance(content, tuple | list) and len(content) == 3 and all(isinstance(part, dict) for part in content):
        return read_lists(source, content, modality, IMPORTER)
    told = f"{len(content)} parts" if isinstance(content, tuple | list) else f"a {type(content).__name__}"
    raise DataError(
        f"{source} holds {told}; the forms that are read are nine parts by dialogue, as in MELD_features_raw.pkl, and "
        "three dictionaries keyed `0_0`"
    )


@dataclass
class _Found:
    """The utterances of all dialogues, and what is wrong with these and others."""

    file: str
    family: str  # meld or iemocap
    parts: Mapping[str, Any]
    ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=lambda: {"dialogue": [], "speaker": []})
    vectors: dict[str, list[Array | None]] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    mended: int = 0  # characters


def _read_nine(source: Path, content: Sequence[Any]) -> Draft:
    family, names = ("meld", _MELD) if isinstance(content[8], dict) else ("iemocap", _IEMOCAP)
    found = _Found(source.name, family, dict(zip(names, content, strict=True)))
    columns = [name for name in names if name not in ("train", "test")]
    for name in columns:
        if not isinstance(found.parts[name], dict):
            raise DataError(f"{source}: its part {names.index(name)}, the {name}, is no dictionary of dialogues")
    found.vectors = {name: [] for name in _MODALITIES if name in columns}
    found.labels = {name: [] for name in ("emotions", "sentiments") if name in columns}
    splits, notes = _dialogues(found, source)
    for dialogue, split in splits.items():
        _add_dialogue(found, dialogue, split, columns)
    if found.mended:
        notes.append(f"{found.mended:,} characters of cp1252 that were read as Latin-1 were put right.")
    return Draft(
        name=family, importer=IMPORTER, sources=[source], ids=found.ids, splits=found.splits, texts=found.texts,
        labels=_labels(found), groups=found.groups, problems=found.problems, notes=notes,
        frames={name: single_frames(rows) for name, rows in found.vectors.items()},
    )  # fmt: skip


# dialogues


def _dialogues(found: _Found, source: Path) -> tuple[dict[Any, str], list[str]]:
    """The split of each dialogue, in sorted order. The file has no valid split: it is the last tenth of train."""
    train, test = (_keys(source, name, found.parts[name]) for name in ("train", "test"))
    both = sorted(map(str, set(train) & set(test)))
    found.problems += [
        Problem(-1, f"{found.file} dialogue {name}: it is in the lists of train and test, and is read for neither")
        for name in both
    ]
    train, test = ([key for key in keys if str(key) not in both] for keys in (train, test))
    first = len(train) - len(train) // 10
    splits = {key: "train" if place < first else "valid" for place, key in enumerate(train)}
    splits.update(dict.fromkeys(test, "test"))
    note = (
        f"The file has no valid split, so the last {len(train) - first:,} of its {len(train):,} train dialogues, in "
        "sorted order, are valid."
    )
    unused = len([key for key in found.parts["ids"] if key not in splits]) - len(both)
    return splits, [note, *([f"{unused:,} dialogues are in no list of a split."] if unused > 0 else [])]


def _keys(source: Path, name: str, keys: Any) -> list[Any]:
    if not isinstance(keys, list | tuple | set) or not all(isinstance(key, str | int | np.integer) for key in keys):
        raise DataError(f"{source}: its list of {name} dialogues is no list of names or numbers")
    return sorted(set(keys), key=lambda key: (isinstance(key, str), key))


def _add_dialogue(found: _Found, dialogue: Any, split: str, columns: Sequence[str]) -> None:
    rows = {name: found.parts[name].get(dialogue) for name in columns}
    lacking = [name for name, row in rows.items() if not isinstance(row, list | tuple | np.ndarray)]
    where = f"{found.file} dialogue {dialogue}"
    if lacking:
        found.problems.append(Problem(-1, f"{where}: it has no list of {', '.join(lacking)}"))
        return
    counts = {name: len(row) for name, row in rows.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        found.problems.append(Problem(-1, f"{where}: its lists differ in their number of utterances: {told}"))
        return
    for place in range(counts["ids"]):
        _add_utterance(found, dialogue, split, place, {name: row[place] for name, row in rows.items()})


def _add_utterance(found: _Found, dialogue: Any, split: str, place: int, told: Mapping[str, Any]) -> None:
    name = _name(dialogue, told["ids"])
    wrong = []
    for modality, rows in found.vectors.items():
        rows.append(vector(told[modality]))
        if rows[-1] is None:
            wrong.append(f"{modality} is no vector of numbers")
    for task, values in found.labels.items():
        classes = _classes(found, task)
        values.append(_number(told[task], len(classes)))
        if values[-1] < 0:
            wrong.append(f"{task.removesuffix('s')} {told[task]!r:.40} is none of 0..{len(classes) - 1}")
    if not isinstance(told["sentences"], str):
        wrong.append("its sentence is no text")
    if wrong:
        where = f"{found.file} dialogue {dialogue} utterance {place} ({name})"
        found.problems.append(Problem(len(found.ids), f"{where}: {'; '.join(wrong)}"))
    text, mended = put_right(told["sentences"] if isinstance(told["sentences"], str) else "")
    found.mended += mended
    found.ids.append(name)
    found.splits.append(split)
    found.texts.append(text)
    found.groups["dialogue"].append(str(dialogue))
    found.groups["speaker"].append(_speaker(name, dialogue, told["speakers"]))


def _name(dialogue: Any, utterance: Any) -> str:
    if isinstance(utterance, str) and not utterance.isdecimal():
        return utterance
    return f"dia{dialogue}_utt{utterance}"


def _speaker(name: str, dialogue: Any, told: Any) -> str:
    """Who speaks, as far as the file says: M or F of a session, or a place in a dialogue's list of people."""
    known = iemocap.utterance(name)
    if known:
        return known["speaker"]
    if isinstance(told, str):
        return f"{dialogue}_{told}"
    places = vector(told)
    return f"{dialogue}_{int(np.argmax(places))}" if places is not None else f"{dialogue}_?"


# labels and frames


def _classes(found: _Found, task: str) -> tuple[str, ...]:
    if task == "sentiments":
        return _SENTIMENTS
    return rules.MELD_EMOTIONS if found.family == "meld" else iemocap.IEMOCAP6


def _number(value: Any, count: int) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole and 0 <= value < count else -1


def _labels(found: _Found) -> dict[str, Labels]:
    classes = _classes(found, "emotions")
    labels = {"emotion": Labels(np.array(found.labels["emotions"], np.int64), classes, "the numbers of the file")}
    if "sentiments" in found.labels:
        table = np.array([*(rules.POLARITY.index(word) for word in _SENTIMENTS), -1])  # the last is that of -1
        rule = f"the numbers of the file: {', '.join(f'{n} {word}' for n, word in enumerate(_SENTIMENTS))}"
        labels["polarity"] = Labels(table[np.array(found.labels["sentiments"], np.int64)], rules.POLARITY, rule)
    return labels
