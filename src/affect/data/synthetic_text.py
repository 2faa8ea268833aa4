"""Sentences for synthetic samples: words whose polarity is known stand where the causal model has its key words.

The more a sample's score is above 0, the more of its key words are positive, and below 0 negative; the words between
mean nothing. Each domain has its register. A few entries of the lexicon are of several words. Writes no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affect.data.draft import Array
from affect.data.synthetic import Domain


@dataclass(frozen=True)
class Entry:
    """An entry of the lexicon: its words, its polarity from -1 to 1, and its emotion, if it has one."""

    words: tuple[str, ...]
    value: float
    emotion: str = ""


@dataclass(frozen=True)
class Sentence:
    """The words of a sample. `values` says which polarity each has: 0 for most, and for all of an entry the same."""

    words: tuple[str, ...]
    values: tuple[float, ...]
    text: str  # the words as the domain writes them, with its capitals and marks


def _entries(value: float, emotion: str, phrases: str) -> tuple[Entry, ...]:
    return tuple(Entry(tuple(phrase.split()), value, emotion) for phrase in phrases.split(", "))


LEXICON: tuple[Entry, ...] = (
    *_entries(0.7, "", "great, wonderful, brilliant, lovely, charming, superb, beautiful, funny, well made, top notch"),
    *_entries(-0.7, "", "terrible, boring, awful, dull, painful, weak, ugly, pointless, badly made, not worth it"),
    *_entries(0.9, "joy", "happy, joyful, delighted, cheerful, over the moon, full of laughter"),
    *_entries(0.6, "trust", "loyal, sincere, honest, dependable, rock solid, in good hands"),
    *_entries(0.5, "anticipation", "eager, curious, hopeful, excited, looking forward, can not wait"),
    *_entries(0.3, "surprise", "astonishing, startling, unexpected, amazing, out of nowhere, jaw dropping"),
    *_entries(-0.8, "sadness", "sad, tearful, lonely, gloomy, heart breaking, in tears"),
    *_entries(-0.9, "anger", "angry, furious, outraged, annoyed, fed up, out of patience"),
    *_entries(-0.8, "disgust", "disgusting, gross, vile, nasty, sick of it, hard to stomach"),
    *_entries(-0.6, "fear", "scary, afraid, terrifying, frightened, scared to death, on edge"),
)
NEUTRAL = (
    "long",
    "short",
    "usual",
    "new",
    "old",
    "blue",
    "ordinary",
    "recent",
    "two hours",
    "on tuesday",
    "like before",
)


@dataclass(frozen=True)
class Register:
    """How a domain speaks: what stands before a key word, by its number of words, and what fills the rest."""

    leads: tuple[str, ...]
    chunks: tuple[str, ...]  # there must be one of a single word, so that every gap can be filled


_REVIEW = Register(
    (
        "really", "quite", "it was", "that felt", "the story was", "the music is", "the cast looked", "this one is",
        "and the ending was", "for me it was", "the second part felt", "i thought it was", "the people in it were",
    ),
    (
        "um", "so", "well", "you know", "i mean", "in this film", "we watched it", "on the screen", "by the way",
        "when it came out", "at the theater downtown", "with my brother and his friend",
    ),
)  # fmt: skip
_DIALOGUE = Register(
    (
        "so", "just", "you’re", "i’m", "it is", "that was", "she looked", "this place is", "you know he’s",
        "oh come on that’s",
    ),
    (
        "oh", "hey", "okay", "look", "wait", "you guys", "all right", "at the office", "in the kitchen", "on the phone",
        "last night",
    ),
)  # fmt: skip
_COMMENT = Register(
    ("so", "this is", "that looks", "he seems", "my day is", "the whole video is", "why is this so"),
    (
        "lol", "bro", "wow", "ok", "the sound", "at work", "second part", "from my phone", "who is here",
        "watching it again",
    ),
)  # fmt: skip
REGISTERS: Mapping[str, Register] = {
    "mosi": _REVIEW, "mosei": _REVIEW, "meld": _DIALOGUE, "csmv": _COMMENT, "videoemotion8": _DIALOGUE,
}  # fmt: skip
EMOJI: Mapping[str, str] = {
    "joy": "\U0001f602", "disgust": "\U0001f922", "surprise": "\U0001f62e", "sadness": "\U0001f622",
    "trust": "\U0001f64f", "fear": "\U0001f628", "anger": "\U0001f621", "anticipation": "\U0001f440",
}  # fmt: skip
_ASTRAY = 0.07  # key words whose polarity is not that of the score


def sentences(domain: Domain) -> list[Sentence]:
    """A sentence for each sample, with as many words as the domain says, and its key words where it says."""
    register = REGISTERS.get(domain.name, _REVIEW)
    found = []
    for i, length in enumerate(domain.words.tolist()):
        rng = domain.rng("sentence", i)
        keys = (domain.text.keys[i] - 1).tolist()  # a mark stands before the words
        words, values = sentence(rng, register, length, keys, float(domain.scores[i]), domain.emotions[i])
        found.append(Sentence(words, values, _written(domain.name, rng, words, domain.emotions[i])))
    return found


def sentence(
    rng: np.random.Generator, register: Register, length: int, keys: Sequence[int], score: float, emotion: str = ""
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Words and their polarity. An entry of several words ends at its key and takes the place of what stood before."""
    words: list[str] = []
    values: list[float] = []
    for key in keys:
        gap = key - len(words)
        entry = _key(rng, score, emotion.lower(), gap + 1)
        words += [*_lead(rng, register, gap + 1 - len(entry.words)), *entry.words]
        values += [0.0] * (len(words) - len(values) - len(entry.words)) + [entry.value] * len(entry.words)
    words += _chunks(rng, register, length - len(words))
    return tuple(words), tuple(values + [0.0] * (length - len(values)))


def _key(rng: np.random.Generator, score: float, emotion: str, room: int) -> Entry:
    """What stands at a key place: polar more often, the further the score is from 0."""
    if rng.random() >= min(0.95, 0.1 + 0.55 * abs(score)):
        return Entry(_drawn(rng, [p for p in map(str.split, NEUTRAL) if len(p) <= room]), 0.0)
    side = np.sign(score) if score and rng.random() >= _ASTRAY else rng.choice([-1, 1])
    fitting = [e for e in LEXICON if len(e.words) <= room and np.sign(e.value) == side]
    own = [e for e in fitting if e.emotion == emotion and emotion]
    plain = [e for e in fitting if not e.emotion or not emotion]
    chosen = own if own and rng.random() < 0.7 else plain
    return chosen[int(rng.integers(len(chosen)))]


def _lead(rng: np.random.Generator, register: Register, room: int) -> list[str]:
    """So many words that a key word may follow."""
    fitting = [p for p in map(str.split, register.leads) if len(p) <= room]
    if not fitting:
        return []
    lead = _longer(rng, fitting)
    return [*_chunks(rng, register, room - len(lead)), *lead]


def _chunks(rng: np.random.Generator, register: Register, room: int) -> list[str]:
    words: list[str] = []
    while len(words) < room:
        words += _longer(rng, [p for p in map(str.split, register.chunks) if len(p) <= room - len(words)])
    return words


def _drawn(rng: np.random.Generator, phrases: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(phrases[int(rng.integers(len(phrases)))])


def _longer(rng: np.random.Generator, phrases: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The longer of two that are drawn: many short ones in a row read badly."""
    return max((_drawn(rng, phrases) for _ in range(2)), key=len)


def _written(name: str, rng: np.random.Generator, words: Sequence[str], emotion: str) -> str:
    text = " ".join(words)
    if name == "mosi":
        return text.upper()
    if name == "mosei":
        return text
    if name == "csmv":
        return f"{text} {EMOJI[emotion]}" if rng.random() < 0.5 else text
    return text[0].upper() + text[1:] + str(rng.choice([".", ".", "!", "?"]))


def polar_share(found: Sequence[Sentence]) -> Array:
    """For each sentence, the mean polarity of its words that have one; 0 where none has."""
    rows = [[v for v in s.values if v] for s in found]
    return np.array([np.mean(row) if row else 0.0 for row in rows])
