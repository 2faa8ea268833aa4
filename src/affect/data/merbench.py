"""Reads the labels of MERBench: `label.npz`, with a dictionary of names for each split, or one of them all.

The file numbers emotions without naming them. The names of MELD's and IEMOCAP's are those of the release's own
preparation, and get our order; other datasets keep the numbers. Refuses a file with neither splits nor a whole, and
splits that are no dictionaries. An entry that lacks its emotion or value, or has an impossible one, is a problem.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import iemocap, pickles, rules
from affect.data.draft import Draft, Labels, Problem
from affect.errors import DataError

IMPORTER = "merbench 1"
NAME = "label.npz"
CORPORA = {"train_corpus": "train", "val_corpus": "valid", "test_corpus": "test"}
WHOLE = "whole_corpus"
NO_VALUE = -10  # what the release writes where a dataset has no scores
MOST_EMOTIONS = 100

_MELD = re.compile(r"((?:train|val|test)_dia\d+)_utt\d+", re.ASCII)
_MELD_ORDER = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
_IEMOCAP_ORDER = {4: ("Happy", "Sadness", "Neutral", "Anger"), 6: iemocap.IEMOCAP6}


def read_merbench(source: Path, *, test_session: int = 5) -> Draft:
    """The labels of a file, or of the `label.npz` in a folder. `test_session` is for IEMOCAP, which has no splits."""
    path = source / NAME if source.is_dir() else source
    if test_session not in iemocap.SESSIONS:
        raise DataError(f"test_session is {test_session}; the sessions of IEMOCAP are 1 to 5")
    corpora, notes = _corpora(path)
    entries = [_Entry(key, name, told) for key, corpus in corpora.items() for name, told in corpus.items()]
    if not entries:
        raise DataError(f"{path} names no sample at all")
    kind = _kind([entry.name for entry in entries])
    draft = Draft("merbench" if kind == "other" else kind, IMPORTER, [path], [], [], notes=notes)
    draft.ids = [entry.name for entry in entries]
    draft.splits, told_splits = _splits(entries, kind, test_session)
    draft.notes += told_splits
    draft.groups = _groups(draft.ids, kind)
    _add_labels(draft, path.name, entries, kind)
    return draft


@dataclass(frozen=True)
class _Entry:
    corpus: str
    name: str
    told: Any  # {"emo": ..., "val": ...}

    def get(self, key: str) -> Any:
        return self.told.get(key) if isinstance(self.told, dict) else None


def _corpora(path: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The dictionaries of the file by their keys, and what was left out."""
    arrays = pickles.load_npz_objects(path)
    chosen = [key for key in CORPORA if key in arrays] or [key for key in (WHOLE,) if key in arrays]
    if not chosen:
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}, neither {', '.join(CORPORA)} nor {WHOLE}")
    if chosen != [WHOLE] and len(chosen) < len(CORPORA):
        raise DataError(f"{path} holds {', '.join(arrays)}; `{next(k for k in CORPORA if k not in arrays)}` is missing")
    notes = [f"`{key}` of {path.name} was left out." for key in arrays if key not in chosen]
    corpora = {}
    for key in chosen:
        corpus = arrays[key].item() if arrays[key].ndim == 0 else None
        if not isinstance(corpus, dict) or not all(isinstance(name, str) for name in corpus):
            raise DataError(f"{path}: `{key}` is no dictionary of names")
        corpora[key] = corpus
    return corpora, notes


def _kind(names: list[str]) -> str:
    if all(iemocap.utterance(name) for name in names):
        return "iemocap"
    return "meld" if all(_MELD.fullmatch(name) for name in names) else "other"


def _splits(entries: list[_Entry], kind: str, test: int) -> tuple[list[str], list[str]]:
    if entries[0].corpus != WHOLE:
        return [CORPORA[entry.corpus] for entry in entries], []
    if kind != "iemocap":
        return ["train"] * len(entries), [f"The file has `{WHOLE}` only, so every sample is train."]
    sessions = [int(entry.name[4]) for entry in entries]  # Ses05F_...
    valid = (test - 2) % len(iemocap.SESSIONS) + 1
    note = f"Session {test} is test and session {valid} valid; `test_session` 1 to 5 gives the five folds."
    return ["test" if s == test else "valid" if s == valid else "train" for s in sessions], [note]


def _groups(ids: list[str], kind: str) -> dict[str, list[str]]:
    if kind == "iemocap":
        found = [iemocap.utterance(name) or {} for name in ids]
        return {key: [group[key] for group in found] for key in ("session", "dialogue", "speaker")}
    if kind == "meld":
        return {"dialogue": [name.rpartition("_")[0] for name in ids]}
    return {}


# labels


def _add_labels(draft: Draft, file: str, entries: list[_Entry], kind: str) -> None:
    emotions = [_whole(entry.get("emo")) for entry in entries]
    values = [_score(entry.get("val")) for entry in entries]
    scored = any(value is not None and value != NO_VALUE for value in values)
    named = _classes(draft, emotions, kind)
    for i, entry in enumerate(entries):
        wrong = []
        if named and not 0 <= emotions[i] < len(named[0]):
            wrong.append(f"emo {entry.get('emo')!r:.40} is none of 0..{len(named[0]) - 1}")
        if values[i] is None or (scored and values[i] == NO_VALUE):
            wrong.append(f"val {entry.get('val')!r:.40} is no score")
        if wrong:
            draft.problems.append(Problem(i, f"{file} {entry.corpus} ({entry.name}): {'; '.join(wrong)}"))
    if named:
        draft.labels["emotion"] = _emotion(emotions, *named)
    if scored:
        scores = np.array([math.nan if value in (None, NO_VALUE) else value for value in values], np.float32)
        draft.labels.update(rules.score_labels(scores))


def _classes(draft: Draft, emotions: list[int], kind: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The names of the file's numbers, and their order with us; None where there is one emotion only."""
    highest = max(emotions)
    if kind == "meld":
        return _MELD_ORDER, rules.MELD_EMOTIONS
    if kind == "iemocap":
        order = _IEMOCAP_ORDER[4 if highest < 4 else 6]
        return order, rules.IEMOCAP4 if len(order) == 4 else iemocap.IEMOCAP6
    if highest < 1:
        return None  # the datasets of scores have 0 everywhere
    numbers = tuple(str(number) for number in range(min(highest, MOST_EMOTIONS - 1) + 1))
    draft.notes.append("The file numbers its emotions and does not name them, so the classes have numbers for names.")
    return numbers, numbers


def _emotion(emotions: list[int], order: tuple[str, ...], ours: tuple[str, ...]) -> Labels:
    table: Mapping[int, int] = {number: ours.index(name) for number, name in enumerate(order)}
    told = ", ".join(f"{number} {name}" for number, name in enumerate(order))
    return Labels(np.array([table.get(n, -1) for n in emotions], np.int64), ours, f"`emo` of the file: {told}")


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else -1


def _score(value: Any) -> float | None:
    """A finite number; None where there is none. The release writes an empty text, too, where there is no score."""
    if value == "":
        return float(NO_VALUE)
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value) if math.isfinite(value) else None
