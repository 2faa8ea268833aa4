"""The encoders by name, and what each reads of a dataset.

`tiny` in place of weights makes small random ones: a text encoder whose vocabulary comes from the texts at hand, or a
narrow network for faces. Refuses weights for what has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from affect.data.store import Dataset
from affect.encoders import cache
from affect.errors import DataError

TINY = "tiny"
Kind = Literal["text", "faces", "log-mel"]
Unreadable = Literal["refused", "empty"]


@dataclass(frozen=True)
class Wish:
    """Which encoder, with which weights (a name, a folder or a file), and how it is used."""

    kind: Kind
    weights: str = TINY
    most: int = 50  # tokens or frames of a sample
    unreadable: Unreadable = "refused"  # what a file is that cannot be decoded


def make(wish: Wish, vocabulary: Iterable[Dataset], folder: Path) -> tuple[Any, cache.Items]:
    """The encoder, and what it reads of a sample; a tiny one's vocabulary is made of these datasets, in `folder`."""
    return ENCODERS[wish.kind](wish, vocabulary, folder)


def _text(wish: Wish, vocabulary: Iterable[Dataset], folder: Path) -> tuple[Any, cache.Items]:
    from affect.encoders import text

    where = wish.weights
    if where == TINY:
        known = list(vocabulary)
        lines = [line for dataset in known if dataset.text is not None for line in dataset.text.texts()]
        where = str(text.tiny(lines, folder / f"tiny-{'-'.join(dataset.name for dataset in known)}"))
    return text.load(where, most=wish.most), cache.text_of


def _faces(wish: Wish, vocabulary: Iterable[Dataset], folder: Path) -> tuple[Any, cache.Items]:
    from affect.encoders.faces import Faces

    weights = None if wish.weights == TINY else Path(wish.weights)
    return Faces(weights, most=wish.most, unreadable=wish.unreadable), _seen


def _log_mel(wish: Wish, vocabulary: Iterable[Dataset], folder: Path) -> tuple[Any, cache.Items]:
    from affect.encoders.audio import LogMel

    if wish.weights != TINY:
        raise DataError(f"log-mel has no weights: leave `{wish.weights}` out")
    return LogMel(unreadable=wish.unreadable), _heard


def _seen(dataset: Dataset, index: int) -> Path | None:
    """The video of a sample, or the folder of its frames."""
    return dataset.media("video", index) or dataset.media("frames", index)


def _heard(dataset: Dataset, index: int) -> Path | None:
    """The sound of a sample, by itself or in its video."""
    return dataset.media("audio", index) or dataset.media("video", index)


ENCODERS: dict[str, Callable[[Wish, Iterable[Dataset], Path], tuple[Any, cache.Items]]] = {
    "text": _text,
    "faces": _faces,
    "log-mel": _log_mel,
}
