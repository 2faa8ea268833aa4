"""Synthetic domains from a causal model whose answer is known. Nothing here writes a file.

A sample has a sentiment score. Some columns of its features follow the score in the same way in every domain; others
follow it with a sign and a strength of the domain, so that what is learned from them in one domain is wrong in the
next; the rest is noise. A sequence shows its clip's features in a few key words or frames, and redundant runs between.
Everything follows from the seed and the domain's name, in whatever order domains are made. Refuses shares of columns
that leave no room, and domains that it does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from affect.data.draft import SPLITS, Array
from affect.data.rules import by_round
from affect.data.synthetic_kinds import MOST_WORDS, Kind, kind_of
from affect.errors import DataError

MODALITIES = ("text", "vision")
FACTORS = 3  # the columns of a kind are noisy copies of so many hidden factors
KEY_SHARE = 0.2  # of a sequence's words or frames

# By which sign a domain's spurious factors follow the score. Any two of the first three disagree on two of three.
_SIGNS: Mapping[str, tuple[int, int, int]] = {
    "mosi": (1, 1, -1), "mosei": (1, -1, 1), "meld": (-1, 1, 1), "csmv": (-1, -1, -1), "videoemotion8": (1, 1, 1),
}  # fmt: skip
_FACTOR_NOISE = {"text": 0.35, "vision": 0.5}  # of the invariant factors: it bounds what can be known from them
_SPURIOUS_NOISE = 0.3
_COLUMN_NOISE = 0.7
_BACKGROUND, _JITTER = 0.4, 0.02
_RUN = 6  # frames or words that a redundant run has at most


@dataclass(frozen=True)
class Columns:
    """Which columns of one modality mean what, and how they follow their factors."""

    width: int
    invariant: Array  # numbers of columns, sorted
    spurious: Array
    factor: Array  # (width,) which of the factors a column follows
    loading: Array  # (width,) how strongly, and with which sign


@dataclass(frozen=True)
class Signal:
    """One modality of a domain: what each clip says as a whole, and where in its sequence it says so."""

    clips: Array  # (clips, width)
    lengths: Array  # (clips,)
    keys: tuple[Array, ...]  # by clip: the places that carry the signal, sorted
    spurious: Array  # (clips, FACTORS): the spurious factors, which drawings show as a colour
    entropy: tuple[int, ...]  # what its random numbers follow from

    def sequence(self, clip: int) -> Array:
        """(length, width) numbers whose mean is near the clip's features: runs that repeat, and key places."""
        rng = _generator((*self.entropy, clip))
        length, width, keys = int(self.lengths[clip]), self.clips.shape[1], self.keys[clip]
        of_run = runs(rng, length, keys)
        rows = rng.standard_normal((int(of_run[-1]) + 1, width), np.float32)[of_run] * np.float32(_BACKGROUND)
        rows[keys] = self.clips[clip] * (length / len(keys))
        return rows + rng.standard_normal(rows.shape, np.float32) * np.float32(_JITTER)

    def pooled(self) -> Array:
        """The mean of each sequence."""
        return np.stack([self.sequence(clip).mean(axis=0) for clip in range(len(self.clips))])


@dataclass(frozen=True)
class Domain:
    """A synthetic dataset, before it takes any form on disk."""

    name: str
    sizes: tuple[int, int, int]
    scores: Array  # (N,) multiples of 0.2 in [-3, 3]
    emotions: tuple[str, ...]  # of each sample, "" where the dataset has none
    groups: Array  # (N,) the number of its video or dialogue
    text: Signal  # a sequence has a mark, the words, a mark
    vision: Signal
    units: Array  # (N,) which clip of `vision` a sample has
    seed: int

    def __len__(self) -> int:
        return len(self.scores)

    def rng(self, purpose: str, sample: int = 0) -> np.random.Generator:
        """Random numbers for what is made of this domain, a sample at a time, in whatever order."""
        return _generator((*_entropy(self.seed, purpose, self.name), sample))

    @property
    def words(self) -> Array:
        """How many words each sample has."""
        return self.text.lengths - 2

    @property
    def places(self) -> list[int]:
        """Which one of its group each sample is, from 0."""
        seen: Counter[int] = Counter()
        found = []
        for group in self.groups.tolist():
            found.append(seen[group])
            seen[group] += 1
        return found

    @property
    def polarity(self) -> Array:
        return by_round(self.scores)

    def split(self, name: str) -> range:
        """The samples of a split, by number."""
        ends = np.cumsum([0, *self.sizes]).tolist()
        place = SPLITS.index(name)
        return range(ends[place], ends[place + 1])


@dataclass(frozen=True)
class World:
    """The causal model. Worlds with the same seed and widths mean the same by a column, whatever the domain."""

    seed: int = 0
    width_text: int = 768
    width_vision: int = 20
    invariant_share: float = 0.15
    spurious_share: float = 0.3
    strength: float = 1.0  # of the spurious columns; 0 makes them noise

    def __post_init__(self) -> None:
        if min(self.invariant_share, self.spurious_share) <= 0 or self.strength < 0:
            raise DataError("a synthetic world needs shares of columns above 0, and a strength of at least 0")
        for modality in MODALITIES:
            width, (invariant, spurious) = self._width(modality), self._counts(modality)
            if invariant + spurious > width:
                raise DataError(
                    f"{modality} has {width} columns, too few for {invariant} invariant and {spurious} spurious ones: "
                    "make it wider, or the shares smaller"
                )

    def columns(self, modality: str) -> Columns:
        """The same in every domain."""
        rng = self._rng("columns", modality)
        width, (invariant, spurious) = self._width(modality), self._counts(modality)
        order = rng.permutation(width)
        chosen, other = np.sort(order[:invariant]), np.sort(order[invariant : invariant + spurious])
        factor = np.zeros(width, np.int64)
        factor[chosen] = np.arange(invariant) % FACTORS
        factor[other] = np.arange(spurious) % FACTORS
        loading = rng.uniform(0.7, 1.3, width) * rng.choice([-1.0, 1.0], width)
        return Columns(width, chosen, other, factor, loading)

    def signs(self, name: str) -> Array:
        """With which sign and strength each spurious factor follows the score in this domain."""
        rng = self._rng("signs", name)
        signs = np.array(_SIGNS.get(name, rng.choice([-1, 1], FACTORS)), np.float64)
        return self.strength * signs * rng.uniform(0.9, 1.1, FACTORS)

    def domain(self, name: str, n: int | tuple[int, int, int], kind: Kind | None = None) -> Domain:
        """So many samples, or so many of each split, of a domain like the real dataset of this name."""
        kind = kind or kind_of(name)
        counts = (n, 0, 0) if isinstance(n, int) else n
        rng = self._rng("samples", name)
        scores = np.concatenate([_scores(rng, count, kind.shares) for count in counts])
        groups = _shared_groups(rng, scores, kind.group) if kind.shared else _groups(rng, counts, kind.group)
        units = groups if kind.shared else np.arange(len(scores))
        said = np.bincount(units, scores) / np.bincount(units)  # by clip: the mean score of its samples
        tokens = _lengths(rng, len(scores), kind.words) + 2
        frames = tokens if kind.frames is None else _between(rng, len(said), *kind.frames)
        return Domain(
            name, counts, scores, _emotions(rng, scores, counts, kind), groups,
            self._signal("text", name, scores, tokens, marks=1), self._signal("vision", name, said, frames),
            units, self.seed,
        )  # fmt: skip

    def _signal(self, modality: str, name: str, scores: Array, lengths: Array, marks: int = 0) -> Signal:
        rng, columns, n = self._rng("signal", name, modality), self.columns(modality), len(scores)
        keys = tuple(_keys(rng, int(length), marks) for length in lengths)
        said = scores / 1.5
        followed = np.stack([said, 1.3 * np.tanh(said), 0.8 * said + 0.1 * said**3], axis=1)
        invariant = followed + rng.normal(0, _FACTOR_NOISE[modality], (n, 1)) + rng.normal(0, 0.1, (n, FACTORS))
        spurious = said[:, None] * self.signs(name) + rng.normal(0, _SPURIOUS_NOISE, (n, FACTORS))
        # nothing that was drawn until here depends on how many columns there are
        clips = rng.normal(0, _COLUMN_NOISE, (n, columns.width))
        for chosen, factors in ((columns.invariant, invariant), (columns.spurious, spurious)):
            clips[:, chosen] += factors[:, columns.factor[chosen]] * columns.loading[chosen]
        return Signal(
            clips.astype(np.float32), lengths, keys, spurious, _entropy(self.seed, "sequence", name, modality)
        )

    def _width(self, modality: str) -> int:
        return self.width_text if modality == "text" else self.width_vision

    def _counts(self, modality: str) -> tuple[int, int]:
        width = self._width(modality)
        return max(FACTORS, round(self.invariant_share * width)), max(FACTORS, round(self.spurious_share * width))

    def _rng(self, *names: str) -> np.random.Generator:
        return _generator(_entropy(self.seed, *names))


def _entropy(seed: int, *names: str) -> tuple[int, ...]:
    return (seed, *"/".join(names).encode())


def _generator(entropy: tuple[int, ...]) -> np.random.Generator:
    """Random numbers of their own for each purpose and domain: none depends on what was drawn before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy[0], spawn_key=entropy[1:])))


def quotas(total: int, shares: Array) -> Array:
    """Whole numbers in these proportions that sum to the total."""
    exact = total * np.asarray(shares, float) / np.sum(shares)
    counts: Array = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _scores(rng: np.random.Generator, n: int, shares: tuple[float, float, float]) -> Array:
    sides = rng.permutation(np.repeat([-1, 0, 1], quotas(n, np.array(shares))))
    strong = 0.6 + 2.4 * rng.beta(1.6, 1.8, n)
    scores = np.where(
        sides == 0, rng.choice([-0.4, -0.2, 0.0, 0.2, 0.4], n, p=[0.1, 0.15, 0.5, 0.15, 0.1]), sides * strong
    )
    return np.asarray(np.round(scores * 5) / 5)


def _lengths(rng: np.random.Generator, n: int, words: tuple[float, float]) -> Array:
    mean, deviation = words
    drawn = rng.gamma((mean / deviation) ** 2, deviation**2 / mean, n)
    return np.clip(np.round(drawn), 1, MOST_WORDS).astype(np.int64)


def _between(rng: np.random.Generator, n: int, fewest: int, most: int) -> Array:
    return np.clip(np.round(fewest + rng.gamma(2.0, (most - fewest) / 8, n)), fewest, most).astype(np.int64)


def _groups(rng: np.random.Generator, counts: tuple[int, int, int], mean: float) -> Array:
    """Neighbours belong together; no group reaches into another split."""
    found, first = [np.zeros(0, np.int64)], 0
    for count in counts:
        members = rng.integers(1, max(2, round(2 * mean)), count)
        numbers = np.repeat(np.arange(first, first + count), members)[:count]
        found.append(numbers)
        first += count and int(numbers[-1] - numbers[0]) + 1
    return np.concatenate(found)


def _shared_groups(rng: np.random.Generator, scores: Array, mean: float) -> Array:
    """Samples of like mind belong together, wherever they stand: 2 to twice the mean of them."""
    order = np.argsort(scores + rng.normal(0, 1.0, len(scores)), kind="stable")
    members = rng.integers(2, max(3, round(2 * mean) - 1), len(scores))
    numbers = np.repeat(np.arange(len(scores)), members)[: len(scores)]
    groups = np.empty(len(scores), np.int64)
    groups[order] = numbers
    return groups


def _emotions(rng: np.random.Generator, scores: Array, counts: tuple[int, int, int], kind: Kind) -> tuple[str, ...]:
    """Emotions that go with the side of each score, in each split as often as in the real dataset."""
    names, sides = list(kind.emotions), by_round(scores)
    splits = np.repeat(np.arange(len(counts)), counts)
    found = np.full(len(scores), "", object)
    for split, side in np.ndindex(len(counts), 3) if names else ():
        chosen = np.flatnonzero((splits == split) & (sides == side))
        if len(chosen):
            shares = np.array([row[side] for row in kind.emotions.values()])
            found[chosen] = rng.permutation(np.repeat(names, quotas(len(chosen), shares)))
    return tuple(map(str, found))


def _keys(rng: np.random.Generator, length: int, marks: int) -> Array:
    """Some places of a sequence, its marks at both ends left out."""
    room = length - 2 * marks
    count = max(1, round(KEY_SHARE * room))
    return np.sort(rng.choice(room, count, replace=False)) + marks


def runs(rng: np.random.Generator, length: int, keys: Array) -> Array:
    """(length,) the number of the run that each place belongs to: a new one after a key, and every few places."""
    begins = rng.random(length) < 1 / _RUN
    begins[keys] = True
    begins[keys[keys + 1 < length] + 1] = True
    begins[0] = False
    return np.cumsum(begins)
