"""Reads the pickles that the authors of MulT released: MOSI, MOSEI and IEMOCAP, aligned and not.

Their sequences are padded in front, so that a sample is the end of its row. There are no texts in them. Refuses a file
whose splits or keys do not belong together, and labels of a form that none of the three datasets has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from affect.data import padded, pickles, rules
from affect.data.draft import SPLITS, Array, Draft, Frames, Labels
from affect.data.padded import Padded
from affect.errors import DataError

IMPORTER = "mult 1"
MODALITIES = ("text", "audio", "vision")
EMOTIONS = ("neutral", "happy", "sad", "angry")  # of IEMOCAP, in the order of its labels
_KNOWN = (*MODALITIES, "labels", "id")
_ABOUT = {"text": "GloVe, a row a word"}


def read_mult(source: Path, encoding: Literal["ASCII", "latin1"] = "ASCII") -> Draft:
    """A draft of `<data>_data.pkl` or `<data>_data_noalign.pkl`."""
    file = padded.open_splits(source, pickles.load(source, encoding=encoding), _KNOWN, (*MODALITIES, "labels"))
    notes = ["The file has no texts."]
    videos = _name(file, notes)
    return Draft(
        name=source.stem, importer=IMPORTER, sources=[source], ids=file.ids, splits=file.splits(),
        frames=_frames(file), labels=_labels(file, notes), groups={} if videos is None else {"video": videos},
        problems=list(file.problems.values()), notes=notes,
    )  # fmt: skip


def _name(file: Padded, notes: list[str]) -> list[str] | None:
    """Give each sample its id, and tell its video: a row of video, start and end, or the video's name with a number."""
    if "id" not in file:
        notes.append("The file has no ids: a sample is called after its split and its place there.")
        file.ids = [f"{SPLITS[part]}-{row}" for part, row in map(file.row, range(len(file)))]
        return None
    videos: list[str] = []
    ids: list[str] = []
    for part in file.parts:
        for value in part["id"]:
            parts = _parts(value)
            if not parts:
                file.report(len(ids), f"id is {str(value)[:60]}: it is no text, nor a row of up to three")
            ids.append(parts[0] + (f"[{','.join(parts[1:])}]" if parts[1:] else "") if parts else "")
            videos.append(parts[0].partition("[")[0] if parts else "")
    file.ids = ids
    return videos


def _parts(value: object) -> list[str]:
    """The texts of an id; none where it is something else."""
    row = value.tolist() if isinstance(value, np.ndarray) else value
    row = row if isinstance(row, list | tuple) else [row]
    found = [str(part) if isinstance(part, int | float | np.number) else padded.as_text(part) for part in row]
    return [part for part in found if part is not None] if 1 <= len(found) <= 3 and None not in found else []


def _frames(file: Padded) -> dict[str, Frames]:
    """Where all have as many steps they are aligned, and the longest of a sample's three is the length of all."""
    arrays = {name: file.arrays(name, 3) for name in MODALITIES}
    lengths = {name: padded.filled(found, at_end=True) for name, found in arrays.items()}
    aligned = len({tuple(array.shape[1] for array in found) for found in arrays.values()}) == 1
    if aligned:
        longest: Array = np.maximum.reduce(list(lengths.values()))
        lengths = dict.fromkeys(arrays, longest)
    about = "a row a word" if aligned else "not aligned"
    return {
        name: file.frames(found, lengths[name], _ABOUT.get(name, about), at_end=True) for name, found in arrays.items()
    }


def _labels(file: Padded, notes: list[str]) -> dict[str, Labels]:
    arrays = file.arrays("labels", 3)
    shapes = {array.shape[1:] for array in arrays}
    if shapes == {(4, 2)}:
        return _emotions(arrays)
    if shapes == {(1, 7)}:
        notes.append("Of the seven labels the first is read, the sentiment.")
    elif shapes != {(1, 1)}:
        told = " and ".join(str(shape) for shape in sorted(shapes))
        raise DataError(f"{file.path}: a sample's labels have the shape {told}, not (1, 1), (1, 7) or (4, 2)")
    scores = np.concatenate([array[:, 0, 0] for array in arrays])
    file.check_scores("labels", scores)
    return rules.score_labels(scores)


def _emotions(arrays: Sequence[Array]) -> dict[str, Labels]:
    """Four questions, each of no and yes; -1, which the dataset file refuses, where neither number is the larger."""
    pairs = np.concatenate(arrays)
    answers = np.where(pairs[..., 1] > pairs[..., 0], 1, np.where(pairs[..., 0] > pairs[..., 1], 0, -1))
    return {
        name: Labels(answers[:, i], ("no", "yes"), "the larger of two numbers of the file")
        for i, name in enumerate(EMOTIONS)
    }
