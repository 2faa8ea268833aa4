"""What the real datasets are like that synthetic ones are made after: sizes, classes, lengths. It makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from affect.data.rules import CORRECTED_TEST_COUNTS, POLARITY_OF
from affect.errors import DataError

LEAST = 24  # samples in a split, however small the scale


@dataclass(frozen=True)
class Kind:
    """What is known of the real dataset that a domain is like."""

    sizes: tuple[int, int, int]  # train, valid, test
    shares: tuple[float, float, float]  # of negative, neutral, positive samples; any scale
    words: tuple[float, float]  # mean and deviation
    group: float  # samples of one video or dialogue, on average
    frames: tuple[int, int] | None = None  # fewest and most; None: one for each token
    shared: bool = False  # the samples of a group have one video, and stand in any split
    emotions: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)  # counts in each polarity


def _sides(family: str, counts: Mapping[str, int]) -> dict[str, tuple[float, float, float]]:
    rows = {name: [0.0, 0.0, 0.0] for name in counts}
    for name, count in counts.items():
        rows[name][POLARITY_OF[family][name]] = count
    return {name: (row[0], row[1], row[2]) for name, row in rows.items()}


KINDS: Mapping[str, Kind] = {
    "mosi": Kind((1284, 229, 686), CORRECTED_TEST_COUNTS["mosi"], (12.5, 9.0), 24),
    "mosei": Kind((16326, 1871, 4659), CORRECTED_TEST_COUNTS["mosei"], (19.5, 11.0), 7),
    "meld": Kind(
        (9989, 1109, 2610), CORRECTED_TEST_COUNTS["meld"], (8.0, 6.2), 9.6, (8, 16),
        emotions={
            "neutral": (0, 1, 0), "joy": (0, 0, 1743), "anger": (1109, 0, 0), "sadness": (683, 0, 0),
            "surprise": (614, 0, 591), "disgust": (271, 0, 0), "fear": (268, 0, 0),
        },
    ),
    "csmv": Kind(
        (75086, 10727, 21454), (11.1, 42.4, 46.6), (8.8, 6.1), 13, (12, 180), shared=True,
        emotions={
            "joy": (1682, 17758, 18233), "disgust": (6883, 2271, 505), "surprise": (717, 6411, 2192),
            "sadness": (879, 3754, 1562), "trust": (647, 6342, 24511), "fear": (509, 1531, 335),
            "anger": (986, 478, 298), "anticipation": (455, 11541, 6572),
        },
    ),
    "videoemotion8": Kind(
        (732, 0, 367), (482, 0, 616), (30.0, 12.0), 1, (48, 96),
        emotions=_sides("videoemotion8", {
            "Anger": 101, "Anticipation": 100, "Disgust": 114, "Fear": 167, "Joy": 180, "Sadness": 100,
            "Surprise": 236, "Trust": 100,
        }),
    ),
}  # fmt: skip
MOST_WORDS = 48  # with the two marks of a sentence they are 50 tokens


def sizes(name: str, scale: float) -> tuple[int, int, int]:
    """How many samples each split has at this scale: at least a handful, where the real one has any."""
    real = kind_of(name).sizes
    train, valid, test = (max(LEAST, round(n * scale)) if n else 0 for n in real)
    return train, valid, test


def kind_of(name: str) -> Kind:
    """What is known of the dataset of this name; DataError where nothing is."""
    if name not in KINDS:
        raise DataError(f"there is no synthetic `{name}`: there are {', '.join(KINDS)}")
    return KINDS[name]
