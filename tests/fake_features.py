"""A dataset of sentences, and an encoder that needs no torch and writes down every time that it is asked.

Run as a program, it asks the cache for the features of a dataset: `fake_features.py DATASET FOLDER LOG PATIENCE SLOW`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import store
from affect.data.draft import Array, Draft, Labels
from affect.encoders import cache

WORDS = ("the", "film", "was", "great", "and", "sad", "but", "never", "dull", "umm", "yes", "no", "a", "music")


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, size)) for size in draw.integers(1, 20, count)]


def dataset(folder: Path, texts: list[str] | None = None, **more: Any) -> store.Dataset:
    """A dataset of these texts, or of 23 sentences; `more` replaces fields of the draft."""
    texts = sentences(23) if texts is None else texts
    n = len(texts)
    source = folder / "source.txt"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("made up")
    fields = {
        "name": "made", "importer": "test 1", "sources": [source], "ids": [f"s{i}" for i in range(n)],
        "splits": ["train"] * n, "texts": texts, "labels": {"sentiment": Labels(np.zeros(n))}, **more,
    }  # fmt: skip
    return store.write(Draft(**fields), folder / "made.h5")


@dataclass
class Fake:
    """Each letter of a text gives a row; the letter z is a number that fp16 cannot hold."""

    log: Path
    slow: float = 0.0
    width: int = 3
    block: int = 5
    name: str = "fake/letters"
    key: dict[str, Any] = field(default_factory=lambda: {"class": "Fake", "weights": "0"})
    counts: Counter[str] = field(default_factory=Counter)

    def encode(self, items: list[Any]) -> list[Array]:
        with open(self.log, "a") as log:
            log.write(f"{os.getpid()} {len(items)}\n")
        time.sleep(self.slow)
        self.counts["texts with an a"] += sum("a" in item for item in items)
        return [self._rows(item) for item in items]

    def _rows(self, item: str) -> Array:
        codes = np.array([1e6 if letter == "z" else ord(letter) / 7 for letter in item], np.float32)
        return np.stack([codes, codes**2 / 100, -codes], axis=1) if len(codes) else np.zeros((0, 3), np.float32)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


if __name__ == "__main__":
    opened, folder, log = (Path(argument) for argument in sys.argv[1:4])
    patience, slow = float(sys.argv[4]), float(sys.argv[5])
    print("ready", flush=True)
    found = cache.features(
        store.open_dataset(opened), Fake(log, slow), cache.text_of, folder, patience=patience,
        progress=lambda done, total: print(done, flush=True),
    )  # fmt: skip
    print("rows", len(found.ragged.values), flush=True)
