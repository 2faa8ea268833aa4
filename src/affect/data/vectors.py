"""Features with one vector a sample: sequences of length 1.

A vector is read as it is. One that is none, or of another width than the first, is told when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affect.data.draft import Array, Frames
from affect.errors import DataError

ABOUT = "one vector an utterance, as a sequence of length 1"


def vector(value: Any) -> Array | None:
    """A list or an array of numbers as an array of one axis; None where it is neither."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of different lengths, numbers beyond any
        return None
    return array if array.ndim == 1 and array.size and array.dtype.kind in "iuf" else None


def single_frames(vectors: Sequence[Array | None]) -> Frames:
    """Sequences of length 1, or 0 where there is no vector. All should be as wide as the first."""
    width = next((len(row) for row in vectors if row is not None), 1)

    def read(number: int) -> Array:
        row = vectors[number]
        if row is None:
            return np.zeros((0, width), np.float32)
        if len(row) != width:
            raise DataError(f"the vector has {len(row)} numbers, and the first one has {width}")
        return row[None]

    return Frames(np.array([row is not None for row in vectors], np.int64), width, read, ABOUT)
