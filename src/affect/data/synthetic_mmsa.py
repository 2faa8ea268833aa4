"""Synthetic domains as MMSA publishes MOSI and MOSEI: one pickle, aligned to words or not.

Refuses domains that have no such file. The token numbers in it are of no real vocabulary, and the sound is noise.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from affect.data.draft import SPLITS, Array
from affect.data.rules import POLARITY, by_sign
from affect.data.synthetic import Domain
from affect.data.synthetic_text import Sentence
from affect.errors import DataError

TOKENS = 50


@dataclass(frozen=True)
class Shape:
    """The columns of an MMSA file, and the frames that its unaligned form has room for."""

    audio: int
    vision: int
    audio_frames: int
    vision_frames: int


SHAPES = {"mosi": Shape(5, 20, 375, 500), "mosei": Shape(74, 35, 500, 500)}
_STALE = {"vision": 302 / 2199, "audio": 71 / 2199}  # of the public unaligned files: padding that is not 0
_REPEATS = {"vision": 7, "audio": 5}  # frames of a token in the unaligned form


def write_mmsa(domain: Domain, told: Sequence[Sentence], path: Path, aligned: bool = True) -> list[str]:
    """One pickle as MMSA publishes it, `aligned_50.pkl` or `unaligned_50.pkl`."""
    if domain.name not in SHAPES:
        raise DataError(f"there is no MMSA file of `{domain.name}`: there are {', '.join(SHAPES)}")
    width, room = domain.vision.clips.shape[1], SHAPES[domain.name].vision
    if width > room:
        raise DataError(f"{domain.name} has {width} columns of vision, and its MMSA file has room for {room}")
    ids = _clip_ids(domain)
    content = {name: _mmsa_split(domain, told, ids, domain.split(name), aligned) for name in SPLITS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol=4)
    return ids


def _mmsa_split(
    domain: Domain, told: Sequence[Sentence], ids: Sequence[str], chosen: Sequence[int], aligned: bool
) -> dict[str, Any]:
    shape, scores = SHAPES[domain.name], domain.scores[list(chosen)]
    content: dict[str, Any] = {
        "raw_text": np.array([told[i].text for i in chosen]),
        "id": np.array([ids[i] for i in chosen]),
        "text": _padded(domain.text.sequence, chosen, TOKENS)[0],
        "text_bert": np.stack([_bert(told[i].words) for i in chosen]),
        "annotations": np.array([POLARITY[side].capitalize() for side in by_sign(scores)]),
        "classification_labels": by_sign(scores),
        "regression_labels": scores.astype(np.float32),
    }
    rooms = {"audio": (shape.audio, shape.audio_frames), "vision": (shape.vision, shape.vision_frames)}
    for modality, (width, room) in rooms.items():
        read = partial(_rows, domain, modality, width, 1 if aligned else _REPEATS[modality])
        content[modality], lengths = _padded(read, chosen, TOKENS if aligned else room)
        if not aligned:
            content[f"{modality}_lengths"] = lengths
            _spoil(content[modality], lengths, modality, domain.rng("stale " + modality))
    return content


def _rows(domain: Domain, modality: str, width: int, repeats: int, i: int) -> Array:
    """(frames, width): the causal model's columns first, then noise; of sound there is nothing but noise."""
    rng, length = domain.rng(modality + " rows", i), int(domain.text.lengths[i])
    known = domain.vision.sequence(i)[:, :width] if modality == "vision" else np.zeros((length, 0))
    rows = np.repeat(np.hstack([known, rng.normal(0, 0.5, (length, width - known.shape[1]))]), repeats, axis=0)
    return rows + rng.normal(0, 0.01, rows.shape) if repeats > 1 else rows.astype(np.float64)


def _padded(read: Callable[[int], Array], chosen: Sequence[int], room: int) -> tuple[Array, list[int]]:
    """(samples, room, width) numbers with 0 behind each sequence, and how long each is."""
    first = read(chosen[0])
    block, lengths = np.zeros((len(chosen), room, first.shape[1]), first.dtype), []
    for place, i in enumerate(chosen):
        rows = read(i)
        block[place, : len(rows)] = rows
        lengths.append(len(rows))
    return block, lengths


def _spoil(block: Array, lengths: Sequence[int], modality: str, rng: np.random.Generator) -> None:
    """Leave something behind the end of a few sequences, as the public files have it."""
    for row, length in zip(block, lengths, strict=True):
        if rng.random() < _STALE[modality]:
            row[length : length + 3] = 1.0


def _bert(words: Sequence[str]) -> Array:
    """(3, TOKENS): numbers of the words, which of them count, and 0. They are no real vocabulary's."""
    numbers = [101, *(1000 + zlib.crc32(word.encode()) % 29000 for word in words), 102]
    rows = np.zeros((3, TOKENS), np.int64)
    rows[0, : len(numbers)], rows[1, : len(numbers)] = numbers, 1
    return rows


def _clip_ids(domain: Domain) -> list[str]:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))
    names = ["".join(domain.rng("video name", g).choice(letters, 11)) for g in range(int(domain.groups.max()) + 1)]
    return [f"{names[group]}$_${place}" for group, place in zip(domain.groups, domain.places, strict=True)]
