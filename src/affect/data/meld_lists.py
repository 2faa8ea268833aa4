"""MELD's own pickles of features: three dictionaries, for train, dev and test, keyed by dialogue and utterance.

They hold vectors and nothing else, so the words and labels come from MELD's CSV files, which must lie beside them.
Refuses dictionaries of whole dialogues. A vector without a row, and one that is none, is a problem with its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affect.data.draft import SPLITS, Array, Draft, Problem
from affect.data.meld import read_meld
from affect.data.vectors import single_frames, vector
from affect.errors import DataError

MODALITIES = ("text", "audio", "vision")
_KEY = re.compile(r"(\d{1,6})_(\d{1,6})", re.ASCII)


def read_lists(source: Path, content: Sequence[Mapping[Any, Any]], modality: str, importer: str) -> Draft:
    """MELD from its CSV files, with the vectors of one pickle as frames."""
    modality = _modality(source, modality)
    try:
        draft = read_meld(source.parent)
    except DataError as error:
        raise DataError(f"{source} holds vectors only; the labels should lie beside it, but {error}") from error
    given = _given(draft, source, content)
    places = {name: index for index, name in enumerate(draft.ids)}
    vectors: list[Array | None] = [None] * len(draft)
    for name, (where, value) in given.items():
        if name not in places:
            draft.problems.append(Problem(-1, f"{where}: there is no such row in MELD's CSV files"))
            continue
        vectors[places[name]] = vector(value)
        if vectors[places[name]] is None:
            draft.problems.append(Problem(places[name], f"{where}: it is no vector of numbers"))
    missing = sum(name not in given for name in draft.ids)
    if missing:
        told = f"{missing:,} of {len(draft):,} utterances are not in {source.name}"
        draft.notes.append(f"{told}; their {modality} has length 0.")
    draft.importer = importer
    draft.sources.append(source)
    draft.frames[modality] = single_frames(vectors)
    return draft


def _modality(source: Path, modality: str) -> str:
    if not modality:
        found = [name for name in MODALITIES if name in source.name.casefold()]
        modality = found[0] if len(found) == 1 else ""
    if modality not in MODALITIES:
        raise DataError(f"{source}: its name does not say what it holds; set `modality` to {', '.join(MODALITIES)}")
    return modality


def _given(draft: Draft, source: Path, content: Sequence[Mapping[Any, Any]]) -> dict[str, tuple[str, Any]]:
    """Where the vector of each id stands, and the vector."""
    given = {}
    for split, part in zip(SPLITS, content, strict=True):
        for key, value in part.items():
            match = _KEY.fullmatch(key) if isinstance(key, str) else None
            if match is None:
                raise DataError(f"{source}: the key {key!r:.40} of {split} is no dialogue and utterance, as `0_0` is")
            name = f"{split}_dia{int(match[1])}_utt{int(match[2])}"
            given[name] = f"{source.name} {split} {key} ({name})", value
    return given
