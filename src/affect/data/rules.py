"""What labels mean: three classes of a score, the polarity of each emotion, the domain settings, known test counts.

One place for every rule. Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from affect.data.draft import Array, Labels

POLARITY = ("negative", "neutral", "positive")
Polarity = Literal["negative", "neutral", "positive"]


def by_round(scores: Array) -> Array:
    """Classes of sentiment scores: up to half a point from 0 is neutral. It gives the S2LIF paper's counts exactly."""
    return np.round(np.clip(scores, -1, 1)).astype(np.int64) + 1  # NumPy rounds -0.5 and 0.5 to 0


def by_sign(scores: Array) -> Array:
    """Classes of sentiment scores by their sign, as the S2LIF paper words it (its counts say otherwise)."""
    return np.sign(scores).astype(np.int64) + 1


def score_labels(scores: Array) -> dict[str, Labels]:
    """A score, and its three classes by either rule. Scores that are not finite get a class that is none."""
    scores = np.asarray(scores, np.float32)
    known = np.isfinite(scores)
    clean = np.where(known, scores, 0)
    return {
        "sentiment": Labels(scores),
        "polarity": Labels(np.where(known, by_round(clean), -1), POLARITY, "round(clip(sentiment, -1, 1))"),
        "polarity_sign": Labels(np.where(known, by_sign(clean), -1), POLARITY, "sign(sentiment)"),
    }


def word_labels(words: Sequence[str | None], classes: Sequence[str], rule: str) -> Labels:
    """Class numbers of words, in whatever case; -1 for a word that names no class."""
    numbers = {name.casefold(): number for number, name in enumerate(classes)}
    values = [numbers.get(str(word).strip().casefold(), -1) for word in words]
    return Labels(np.array(values, np.int64), tuple(classes), rule)


# classes of emotion, in the order of the public releases, and which side of 0 each is on

VIDEOEMOTION8 = ("Anger", "Anticipation", "Disgust", "Fear", "Joy", "Sadness", "Surprise", "Trust")
EKMAN6 = ("Anger", "Disgust", "Fear", "Joy", "Sadness", "Surprise")
PERR = ("Hostile", "Intimate", "Mild", "Neutral", "Tense")
IEMOCAP4 = ("Anger", "Happy", "Neutral", "Sadness")
AFFWILD2 = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
MELD_EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
CSMV_EMOTIONS = ("joy", "disgust", "surprise", "sadness", "trust", "fear", "anger", "anticipation")
CSMV_OPINIONS = ("positive", "neutral", "negative")

_NEGATIVE, _NEUTRAL, _POSITIVE = 0, 1, 2
POLARITY_OF: Mapping[str, Mapping[str, int]] = {
    "videoemotion8": {
        name: _POSITIVE if name in ("Anticipation", "Joy", "Surprise", "Trust") else _NEGATIVE for name in VIDEOEMOTION8
    },
    "ekman6": {name: _POSITIVE if name in ("Joy", "Surprise") else _NEGATIVE for name in EKMAN6},
    "perr": {
        "Hostile": _NEGATIVE, "Intimate": _NEUTRAL, "Mild": _NEUTRAL, "Neutral": _POSITIVE, "Tense": _NEGATIVE,
    },  # as the release of MART numbers them: Neutral 2, Mild and Intimate 1, Tense and Hostile 0
}  # fmt: skip


def polarity_of_emotion(family: str, labels: Labels) -> Labels:
    """The polarity of each sample's emotion, for the families that have such a map."""
    sides = POLARITY_OF[family]
    table = np.array([sides[name] for name in labels.classes], np.int64)
    values = np.where(labels.values >= 0, table[np.maximum(labels.values, 0)], -1)
    return Labels(values, POLARITY, f"polarity of the emotion, as MART's release maps {family}")


# domain settings of S2LIF: where a model learns, and where it is tried


@dataclass(frozen=True)
class Setting:
    """Source domains, on whose validation split a model is selected, and the domains it is tested on."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]


SETTINGS: Mapping[str, Setting] = {
    "single-a": Setting(("mosei",), ("mosi", "meld")),
    "single-b": Setting(("mosi",), ("meld", "mosei")),
    "single-c": Setting(("meld",), ("mosi", "mosei")),
    "multi-a": Setting(("mosei", "meld"), ("mosi",)),
    "multi-b": Setting(("mosi", "meld"), ("mosei",)),
    "multi-c": Setting(("mosi", "mosei"), ("meld",)),
}

# Test counts (negative, neutral, positive) as the S2LIF paper prints them, where MELD's and MOSEI's are swapped, and as
# the labels themselves give them. They are for reading beside what a dataset says of itself.
PRINTED_TEST_COUNTS = {"mosi": (347, 106, 233), "meld": (1015, 1891, 1685), "mosei": (831, 1256, 521)}
CORRECTED_TEST_COUNTS = {"mosi": (347, 106, 233), "meld": (833, 1256, 521), "mosei": (1023, 1927, 1709)}
