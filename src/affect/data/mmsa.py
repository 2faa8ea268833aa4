"""Reads the pickles of MMSA, aligned and not, and what MMSA-FET makes.

The arrays stay as the file has them: a sample is sliced when it is asked for, -inf and NaN included. Refuses a file
whose splits or keys do not belong together. A length beyond the array, a mask that is none, a score beyond 3 and a
text that is none are each a problem of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from affect.data import padded, pickles, rules
from affect.data.draft import SPLITS, Array, Draft, Frames, Labels
from affect.data.padded import Padded
from affect.errors import DataError

IMPORTER = "mmsa 1"
MODALITIES = ("text", "audio", "vision")
_LABELS = "regression_labels"
_VARIANTS = {f"{_LABELS}_T": "text", f"{_LABELS}_A": "audio", f"{_LABELS}_V": "vision"}  # of one modality alone
_LENGTHS = {name: f"{name}_lengths" for name in ("audio", "vision")}
_UNUSED = ("annotations", "classification_labels")  # both follow from the scores, and differ between releases
_KNOWN = ("id", "raw_text", *MODALITIES, "text_bert", _LABELS, *_VARIANTS, *_LENGTHS.values(), *_UNUSED)
_BETWEEN = "$_$"  # a video and its clip, in an id


def read_mmsa(source: Path, encoding: Literal["ASCII", "latin1"] = "ASCII") -> Draft:
    """A draft of `aligned_50.pkl`, `unaligned_50.pkl`, or a pickle that MMSA-FET wrote."""
    file = padded.open_splits(source, pickles.load(source, encoding=encoding), _KNOWN, ("id", _LABELS))
    file.ids = file.texts("id")
    if not any(name in file for name in MODALITIES):
        raise DataError(f"{source}: there is none of {', '.join(MODALITIES)} in it")
    notes = _ignored(file)
    words = _words(file) if "text_bert" in file else None
    return Draft(
        name=source.stem, importer=IMPORTER, sources=[source], ids=file.ids, splits=file.splits(),
        texts=file.texts("raw_text") if "raw_text" in file else None,
        frames=_frames(file, None if words is None else np.array([len(w) for w in words]), notes),
        tokens={} if words is None else {"bert": words},
        labels=_labels(file, notes), groups=_groups(file, notes), problems=list(file.problems.values()), notes=notes,
    )  # fmt: skip


def _ignored(file: Padded) -> list[str]:
    unknown = sorted({str(key)[:60] for part in file.parts for key in part} - set(_KNOWN))
    return [f"Not read: {', '.join(unknown)}."] if unknown else []


def _labels(file: Padded, notes: list[str]) -> dict[str, Labels]:
    scores = file.numbers(_LABELS)
    file.check_scores(_LABELS, scores)
    labels = rules.score_labels(scores)
    for key, modality in _VARIANTS.items():
        if key not in file:
            continue
        alone = file.numbers(key).astype(np.float32)
        if np.isnan(alone).all():
            notes.append(f"{key} is NaN throughout, and left out.")
        else:
            labels[f"sentiment_{modality}"] = Labels(alone)
    return labels


def _groups(file: Padded, notes: list[str]) -> dict[str, list[str]]:
    if not all(_BETWEEN in id for id in file.ids if id):
        notes.append(f"Not every id is video{_BETWEEN}clip, so nobody knows which clips are of one video.")
        return {}
    return {"video": [id.rpartition(_BETWEEN)[0] for id in file.ids]}


# the words: ids, mask and segments of BERT


def _words(file: Padded) -> list[Array]:
    """The ids where the mask is 1; none, and a problem, where the mask or the ids are no such thing."""
    found: list[Array] = []
    for split, array in zip(SPLITS, file.arrays("text_bert", 3), strict=True):
        if array.shape[1] != 3:
            raise DataError(f"{file.path}, {split}: `text_bert` has the shape {array.shape}, not (samples, 3, length)")
        for ids, mask, _ in array:
            wrong = _wrong_words(ids, mask)
            if wrong:
                file.report(len(found), f"text_bert: {wrong}")
            found.append(np.empty(0, np.int64) if wrong else ids[mask == 1].astype(np.int64))
    return found


def _wrong_words(ids: Array, mask: Array) -> str:
    count = np.count_nonzero(mask)
    if not count:
        return "its mask is 0 throughout"
    if not (mask[:count] == 1).all():
        return "its mask is not ones and then zeros"
    used = ids[:count]
    if not ((used >= 0) & (used < 2**31) & (used == np.floor(used))).all():
        return "its ids are no whole numbers from 0 on"
    return ""


# the sequences, and how long each is


def _frames(file: Padded, words: Array | None, notes: list[str]) -> dict[str, Frames]:
    arrays = {name: file.arrays(name, 3) for name in MODALITIES if name in file}
    steps = {name: tuple(array.shape[1] for array in found) for name, found in arrays.items()}
    aligned = not any(key in file for key in _LENGTHS.values()) and len(set(steps.values())) == 1
    lengths = {}
    for name, found in steps.items():
        rows = np.repeat(found, np.diff(file.starts))
        if name in _LENGTHS and _LENGTHS[name] in file:
            lengths[name] = _told(file, _LENGTHS[name], rows)
        elif words is not None and (aligned or name == "text"):
            lengths[name] = np.minimum(words, rows)
    unknown = {name: found for name, found in arrays.items() if name not in lengths}
    if unknown:
        notes.append(f"Nothing tells the lengths of {', '.join(unknown)}: they end with the last row that is not 0.")
        lengths |= _guessed(unknown, aligned)
    return {name: file.frames(found, lengths[name], _about(name, aligned)) for name, found in arrays.items()}


def _guessed(unknown: Mapping[str, Sequence[Array]], aligned: bool) -> dict[str, Array]:
    """Lengths by the rows of zeros at the end; where all are aligned, the longest of a sample is that of all."""
    found = {name: padded.filled(arrays) for name, arrays in unknown.items()}
    longest: Array = np.maximum.reduce(list(found.values()))
    return dict.fromkeys(found, longest) if aligned else found


def _told(file: Padded, key: str, rows: Array) -> Array:
    """The lengths that the file gives; a problem where one is no length of that array."""
    lengths = file.numbers(key)
    whole = np.isfinite(lengths) & (lengths >= 0) & (lengths == np.floor(lengths))
    for i in map(int, np.flatnonzero(~whole | (lengths > rows))):
        why = f"more than the {rows[i]} rows of the array" if whole[i] else "no length"
        file.report(i, f"{key} is {lengths[i]:g}: {why}")
    return np.where(whole, np.minimum(np.nan_to_num(lengths), rows), 0).astype(np.int64)


def _about(name: str, aligned: bool) -> str:
    if name == "text":
        return "BERT, a row a word piece"
    return "a row a word piece" if aligned else "not aligned"
