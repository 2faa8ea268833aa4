"""Reads the transcripts of CMU-MOSI in one CSV: id, words, the number of the speaker, and whether the clip is positive.

The file has no header and no splits, so the splits are made here, by speaker. A row with other than four cells, or
with an id that another row has, or with another label, is a problem with its row and id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np

from affect.data.draft import SPLITS, Draft, Labels, Problem
from affect.data.tables import read_table
from affect.errors import DataError

IMPORTER = "mosi-transcripts 1"
NAME = "transcripts.csv"
CLASSES = ("negative", "positive")
_NUMBER = re.compile(r"[0-9]{1,6}")
_SHARES = (52, 10, 31)  # how many of MOSI's 93 videos, each of another speaker, the standard folds give each split


def read_transcripts(source: Path) -> Draft:
    """The clips of a file, or of the `transcripts.csv` in a folder."""
    path = source / NAME if source.is_dir() else source
    table = read_table(path)
    rows: dict[str, tuple[int, list[str]]] = {}
    problems = []
    for number, cells in table.rows:
        wrong = _wrong(cells, rows)
        if wrong:
            problems.append(Problem(-1, f"{path.name} row {number}{wrong}"))
        else:
            rows[cells[0]] = number, cells
    if not rows:
        raise DataError(f"{path} has no row of four cells (id, words, speaker, 0 or 1); is it another file?")
    ids, texts, speakers, labels = (list(column) for column in zip(*(cells for _, cells in rows.values()), strict=True))
    splits = _splits(set(speakers))
    return Draft(
        name="mosi-transcripts", importer=IMPORTER, sources=[path], ids=ids, texts=texts,
        splits=[splits[speaker] for speaker in speakers],
        labels={"positive": Labels(np.array(labels, np.int64), CLASSES, "the fourth cell, 0 or 1")},
        groups={"video": [name.rpartition("_")[0] or name for name in ids], "speaker": speakers},
        problems=problems, notes=[*table.notes, _note(splits)],
    )  # fmt: skip


def _wrong(cells: list[str], rows: Mapping[str, tuple[int, list[str]]]) -> str:
    """What is wrong with a row, after its number; nothing where it is right."""
    if len(cells) != 4:
        return f": it has {len(cells)} cells, not 4"
    name, _, speaker, label = cells
    if name in rows:
        return f" ({name}): this id is that of row {rows[name][0]} too"
    if not _NUMBER.fullmatch(speaker):
        return f" ({name}): the speaker {speaker[:40]!r} is no whole number"
    if label not in ("0", "1"):
        return f" ({name}): the label {label[:40]!r} is none of 0, 1"
    return ""


def _splits(speakers: Set[str]) -> dict[str, str]:
    """The split of each speaker: they are put in the order of their hashes, and shared out as the standard folds do."""
    order = sorted(speakers, key=lambda speaker: hashlib.sha256(speaker.encode()).hexdigest())
    ends = [round(len(order) * sum(_SHARES[: k + 1]) / sum(_SHARES)) for k in range(len(_SHARES))]
    return {speaker: SPLITS[sum(place >= end for end in ends)] for place, speaker in enumerate(order)}


def _note(splits: Mapping[str, str]) -> str:
    train, valid, test = (list(splits.values()).count(split) for split in SPLITS)
    return (
        f"The file has no splits. Its {len(splits):,} speakers were put in the order of the SHA-256 of their numbers: "
        f"the first {train} are train, the next {valid} valid, the last {test} test. These are the shares of the "
        "standard folds, and not those folds."
    )
