"""Small files with the keys, shapes and types of MMSA's, MMSA-FET's and MulT's pickles; the numbers are drawn."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = {"train": 6, "valid": 3, "test": 4}
SPLITS = tuple(COUNTS)
Data = dict[str, Any]


def write(path: Path, data: Any, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump(data, file, protocol)
    return path


def mmsa(counts: Mapping[str, int] = COUNTS, *, aligned: bool = True, width: int = 768) -> Data:
    """As `aligned_50.pkl` of MOSI is, or `unaligned_50.pkl`: 50 word pieces, 375 steps of sound, 500 of video."""
    return {split: _mmsa_split(split, count, aligned, width) for split, count in counts.items()}


def _mmsa_split(split: str, count: int, aligned: bool, width: int) -> Data:
    draw = np.random.default_rng(SPLITS.index(split))
    words = draw.integers(3, 51, count)
    scores = np.round(draw.uniform(-3, 3, count), 1).astype(np.float32)
    found = {
        "raw_text": np.array([f"words of {split} {i}" for i in range(count)], object),
        "audio": _padded(draw, words, 50, 5) if aligned else draw.normal(size=(count, 375, 5)),
        "vision": _padded(draw, words, 50, 20) if aligned else draw.normal(size=(count, 500, 20)),
        "id": np.array([f"{split}{i // 2}$_${i}" for i in range(count)]),
        "text": draw.normal(size=(count, 50, width)).astype(np.float32),
        "text_bert": bert(draw, words),
        "annotations": np.array([("Negative", "Neutral", "Positive")[int(np.sign(s)) + 1] for s in scores]),
        "classification_labels": (np.sign(scores) + 1).astype(np.float64),
        "regression_labels": scores,
    }
    if not aligned:
        found["audio_lengths"] = draw.integers(1, 376, count).tolist()
        found["vision_lengths"] = draw.integers(1, 501, count).tolist()
    return found


def fet(*, aligned: bool = False) -> Data:
    """As MMSA-FET writes them: no classes, labels of each modality, its own configuration beside the splits."""
    data = mmsa(aligned=aligned, width=16)
    for part in data.values():
        del part["classification_labels"]
        for k, key in enumerate(("T", "A", "V")):
            part[f"regression_labels_{key}"] = (part["regression_labels"] / (k + 2)).astype(np.float32)
        part["raw_text"] = part["raw_text"].tolist()
    return {**data, "config": {"audio": {"tool": "librosa"}, "text": {"pretrained": "bert-base-uncased"}}}


def mult(kind: str = "mosi", *, aligned: bool = True) -> Data:
    """As `mosi_data.pkl`, `mosei_senti_data.pkl` and `iemocap_data.pkl` are, or their `_noalign`: padded in front."""
    return {split: _mult_split(split, count, kind, aligned) for split, count in COUNTS.items()}


def _mult_split(split: str, count: int, kind: str, aligned: bool) -> Data:
    draw = np.random.default_rng(SPLITS.index(split))
    words = draw.integers(1, 21, count)
    steps = {"text": 20, "audio": 20 if aligned else 75, "vision": 20 if aligned else 100}
    widths = {"text": 300, "audio": 5, "vision": 20}
    found: Data = {
        name: _padded(draw, words, steps[name], widths[name], in_front=True).astype(np.float32) for name in steps
    }
    rows = [[f"{split}{i // 2}", f"{i}.0", f"{i}.5"] for i in range(count)]
    if kind == "iemocap":
        found["labels"] = np.eye(2, dtype=np.int64)[draw.integers(0, 2, (count, 4))]
        return found
    found["id"] = np.array(rows, "S" if kind == "mosi" else "U")
    found["labels"] = draw.uniform(-3, 3, (count, 1, 7 if kind == "mosei" else 1)).astype(np.float32)
    return found


def bert(draw: np.random.Generator, words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Ids, mask and segments of 50 word pieces."""
    mask = np.arange(50) < words[:, None]
    return np.stack([draw.integers(100, 30_000, mask.shape) * mask, mask, np.zeros(mask.shape)], axis=1).astype(int)


def _padded(
    draw: np.random.Generator, lengths: np.ndarray[Any, Any], steps: int, width: int, *, in_front: bool = False
) -> np.ndarray[Any, Any]:
    used = np.arange(steps) < lengths[:, None]
    return draw.normal(size=(len(lengths), steps, width)) * (used[:, ::-1] if in_front else used)[..., None]
