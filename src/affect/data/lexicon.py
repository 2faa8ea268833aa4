"""SenticNet: the polarity and the moods of concepts, read from its Python files without running them.

Owns the editions 5 and 6, as the authors give them and as the package `senticnet` carries them, and which emotions
their moods stand for. Each line is matched as a whole. Refuses lines that are no entry, files whose edition cannot be
told, moods of the other edition, and values outside -1..1. Where a label and the sign of its value differ, the label
is kept and counted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affect.data.draft import Array
from affect.data.rules import POLARITY, VIDEOEMOTION8
from affect.errors import DataError

MOODS = {
    5: ("joy", "sadness", "anger", "fear", "disgust", "surprise", "interest", "admiration"),
    6: ("joy", "sadness", "anger", "fear", "disgust", "eagerness", "calmness", "pleasantness"),
}
_EMOTIONS: Mapping[int, Mapping[str, str | None]] = {
    5: {"interest": "Anticipation", "admiration": "Trust"},  # the other six have the name of their class
    # Lossy. Pleasantness stands where admiration stood, across from disgust, and eagerness looks ahead as interest did.
    # Calmness is across from anger: none of the eight classes is that. No mood stands for Surprise.
    6: {"eagerness": "Anticipation", "pleasantness": "Trust", "calmness": None},
}
_SENTICS = {5: ("attention", "aptitude"), 6: ("introspection", "temper")}  # fields that one edition has
_FIELDS = 8  # before the semantics: four numbers, two moods, the label and the value of the polarity
_LARGEST, _LONGEST = 1 << 28, 1 << 16  # bytes of a file, and of a line

_ATOM = r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"""
_NEXT = rf"\s*,\s*({_ATOM})"
_ENTRY = re.compile(
    rf"(?:senticnet\[({_ATOM})\]\s*=|(?:senticnet\s*=\s*\{{\s*)?({_ATOM})\s*:)\s*"
    rf"\[\s*({_ATOM}){_NEXT * (_FIELDS - 1)}(?:\s*,\s*(?:{_ATOM}))*\s*,?\s*\]\s*[,;]?\s*\}}?"
)
_AROUND = re.compile(r"(?:senticnet\s*=\s*(?:\{\s*\}?|dict\(\)))?|\}")  # lines that begin or end the dictionary


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The concepts of one edition. Their words are joined by underscores: `a_lot_of_fun`."""

    edition: int  # 5 or 6
    concepts: tuple[str, ...]
    notes: tuple[str, ...]  # what a reader should know, in sentences
    _index: dict[str, int] = field(repr=False)
    _longest: dict[str, int] = field(repr=False)  # by first word, how many words a concept has at most
    _labels: Array = field(repr=False)  # (N,) places in POLARITY
    _values: Array = field(repr=False)  # (N,)
    _moods: Array = field(repr=False)  # (N, 2) places in MOODS; -1 is no second mood

    def __len__(self) -> int:
        return len(self.concepts)

    def __contains__(self, concept: object) -> bool:
        return concept in self._index

    def polarity(self, concept: str) -> tuple[str, float]:
        """The label, one of POLARITY, and the value from -1 to 1; KeyError for what is no concept."""
        place = self._index[concept]
        return POLARITY[self._labels[place]], float(self._values[place])

    def moods(self, concept: str) -> tuple[str, str]:
        """The primary and the secondary mood, "" where there is no second; KeyError for what is no concept."""
        first, second = self._moods[self._index[concept]]
        names = MOODS[self.edition]
        return names[first], names[second] if second >= 0 else ""

    def longest_matches(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """Concepts among words, as (start, end, concept): the longest anywhere first, then the leftmost, none twice."""
        lowered = [word.lower() for word in words]
        found = sorted(self._matches(lowered), key=lambda match: (match[0] - match[1], match[0]))
        free, kept = [True] * len(words), []
        for start, end, concept in found:
            if all(free[start:end]):
                free[start:end] = [False] * (end - start)
                kept.append((start, end, concept))
        return sorted(kept)

    def _matches(self, words: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        for start, word in enumerate(words):
            most = self._longest.get(word.partition("_")[0], 0)
            for end in range(start + 1, min(start + most, len(words)) + 1):
                concept = "_".join(words[start:end])
                if concept in self._index:
                    yield start, end, concept


def mood_classes(edition: int, classes: Sequence[str] = VIDEOEMOTION8, *, allow_lossy: bool = False) -> dict[str, int]:
    """The number of the class that each mood stands for. A mood is left out where its class is not among `classes`.

    The moods of SenticNet 5 are the eight classes of VideoEmotion8. Those of SenticNet 6 are not: that map is refused
    unless it is asked for.
    """
    if edition == 6 and not allow_lossy:
        raise DataError(
            "the moods of SenticNet 6 are not the classes of emotion: calmness is no class, and surprise is no mood; "
            "take SenticNet 5, or allow a lossy map"
        )
    unknown = {name.casefold() for name in classes} - {name.casefold() for name in VIDEOEMOTION8}
    if unknown:
        raise DataError(f"no mood stands for the class `{min(unknown)}`; they stand for {', '.join(VIDEOEMOTION8)}")
    numbers = {name.casefold(): number for number, name in enumerate(classes)}
    named = {mood: (_EMOTIONS[edition].get(mood, mood) or "").casefold() for mood in MOODS[edition]}
    return {mood: numbers[name] for mood, name in named.items() if name in numbers}


def read_senticnet(path: Path) -> Lexicon:
    """Read an edition of SenticNet; DataError with the line that is none of it."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.stat().st_size > _LARGEST:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes, which is too much for SenticNet")
    rows = _Rows()
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            _take(rows, raw, number, f"{path} line {number}")
    if not rows.index:
        raise DataError(f"{path} has no entries of SenticNet")
    edition = _edition(rows, path)
    places = {mood: MOODS[edition].index(mood) for mood in rows.first_seen if mood}
    return Lexicon(
        edition,
        tuple(rows.index),
        _notes(rows, path),
        rows.index,
        _word_counts(rows.index),
        np.array(rows.labels, np.int8),
        np.array(rows.values, np.float64),
        np.array([(places[first], places.get(second, -1)) for first, second in rows.moods], np.int8),
    )


# reading


@dataclass
class _Rows:
    """What was read so far."""

    index: dict[str, int] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    moods: list[tuple[str, str]] = field(default_factory=list)
    first_seen: dict[str, int] = field(default_factory=dict)  # by mood, the line of the file
    told: int = 0  # the edition of which the comments name the fields
    twice: int = 0


def _take(rows: _Rows, raw: bytes, number: int, where: str) -> None:
    """Take in one line."""
    try:
        line = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8: {error}") from error
    match = _ENTRY.fullmatch(line) if len(raw) < _LONGEST else None
    if match:
        name, *fields = (_text(atom, where) for atom in match.groups() if atom is not None)
        _put(rows, name.lower(), fields, number, f"{where} (`{name}`)")
    elif line.startswith("#"):
        rows.told = next((e for e, names in _SENTICS.items() if all(n in line for n in names)), rows.told)
    elif not _AROUND.fullmatch(line):
        raise DataError(f"{where} is no entry of SenticNet 5 or 6: {line[:80]!a}")


def _put(rows: _Rows, name: str, fields: Sequence[str], number: int, where: str) -> None:
    first, second = (mood.strip().removeprefix("#").lower() for mood in fields[4:6])
    label, value = fields[6].lower(), _number(fields[7])
    if not name or not first:
        raise DataError(f"{where}: it has no {'primary mood' if name else 'name'}")
    if label not in POLARITY:
        raise DataError(f"{where}: its polarity `{fields[6]}` is none of {', '.join(POLARITY)}")
    if not abs(value) <= 1:
        raise DataError(f"{where}: the value `{fields[7]}` of its polarity is no number from -1 to 1")
    rows.first_seen.setdefault(first, number)
    rows.first_seen.setdefault(second, number)
    place = rows.index.setdefault(name, len(rows.values))
    rows.twice += place < len(rows.values)
    row = slice(place, place + 1)  # a concept that was there already is written over, as Python would do it
    rows.labels[row], rows.values[row], rows.moods[row] = [POLARITY.index(label)], [value], [(first, second)]


def _text(atom: str, where: str) -> str:
    """What a literal stands for; a number as it is written."""
    if "\\" not in atom:
        return atom[1:-1] if atom[0] in "'\"" else atom
    try:
        return str(ast.literal_eval(atom))
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{where} has text that Python cannot read: {atom[:40]}") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _edition(rows: _Rows, path: Path) -> int:
    """The edition whose fields the comments name, or else the only one that has all the moods."""
    seen = set(rows.first_seen) - {""}
    fit = [edition for edition, moods in MOODS.items() if seen <= set(moods)]
    if rows.told not in (0, *fit) or not fit:
        known = MOODS[rows.told] if rows.told else {mood for moods in MOODS.values() for mood in moods}
        odd = min(seen - set(known), key=rows.first_seen.__getitem__, default="")
        if not odd:
            raise DataError(f"{path} has moods of SenticNet 5 and of SenticNet 6; it should be one edition")
        told = f"SenticNet {rows.told}, whose fields it names" if rows.told else "SenticNet 5 or 6"
        raise DataError(f"{path} line {rows.first_seen[odd]}: `{odd}` is no mood of {told}")
    if not rows.told and len(fit) > 1:
        raise DataError(
            f"{path} may be SenticNet 5 or 6: no comment names its fields, and both editions have its moods"
        )
    return rows.told or fit[0]


def _notes(rows: _Rows, path: Path) -> tuple[str, ...]:
    labels = np.array(rows.labels) - 1  # negative -1, neutral 0, positive 1
    signs = np.sign(rows.values)
    odd = int(np.count_nonzero((signs != 0) & (signs != labels)))
    found = []
    if odd:
        told = "a label that is not the sign of the value; the label is kept, and so is the value"
        found.append(f"{odd:,} of {len(rows.index):,} concepts in {path.name} have {told}")
    if rows.twice:
        found.append(f"{rows.twice:,} entries of {path.name} are written over by a later one of the same concept")
    return tuple(found)


def _word_counts(concepts: Iterable[str]) -> dict[str, int]:
    """By first word, how many words a concept has at most."""
    counts: dict[str, int] = {}
    for concept in concepts:
        first = concept.partition("_")[0]
        counts[first] = max(counts.get(first, 0), concept.count("_") + 1)
    return counts
