"""The lists of an emotion tree: which video has which class, and which split it is in.

Reads `trainlist01.txt` and `testlist01.txt` with `classInd.txt`, or the JSON that the releases make of them, or both,
which are then held against each other. Refuses lists of other classes, and names that lead out of the tree.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affect.data.draft import Problem
from affect.data.plain import numbered, read_text, safe_name, scan, whole_number
from affect.errors import DataError

TEXT_LISTS = {"trainlist01.txt": "train", "testlist01.txt": "test"}
CLASSES = "classInd.txt"
SUBSETS = {"training": "train", "validation": "test"}  # the releases test on what their JSON calls validation


@dataclass(frozen=True)
class Entry:
    """One video of a list."""

    kind: str  # its class, spelled as in `rules`
    name: str
    split: str

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass
class Listing:
    """What the lists say, and what in them does not fit. The problems' numbers count the entries."""

    sources: list[Path] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, what: str, index: int = -1) -> None:
        self.problems.append(Problem(index, what))


def read_listing(source: Path, classes: Sequence[str]) -> Listing:
    """The lists of a folder, or of one JSON file."""
    spelled = {name.casefold(): name for name in classes}
    if source.is_file():
        return _read_json(source, spelled)
    texts = [source / name for name in (*TEXT_LISTS, CLASSES) if (source / name).is_file()]
    jsons = [source / name for name in scan(source) if name.endswith(".json")]
    if len(jsons) > 1:
        raise DataError(f"{source} holds {jsons[0].name} and {jsons[1].name}; give the one that is the list")
    if not texts and not jsons:
        raise DataError(f"{source} holds no list: neither {', '.join(TEXT_LISTS)} nor a JSON file")
    if not texts:
        return _read_json(jsons[0], spelled)
    listing = _read_texts(source, texts, spelled)
    if jsons:
        _compare(listing, _read_json(jsons[0], spelled))
    return listing


# the three text files


def _read_texts(source: Path, paths: list[Path], spelled: Mapping[str, str]) -> Listing:
    listing = Listing(paths)
    numbers = {name: number for number, name in enumerate(spelled.values(), start=1)}
    if source / CLASSES in paths:
        numbers = _read_classes(source / CLASSES, spelled)
    for name, split in TEXT_LISTS.items():
        if source / name not in paths:
            raise DataError(f"{source} holds no {name}, but others of its kind; put it there")
        for number, line in numbered(source / name):
            _add_line(listing, f"{name} line {number}", line, split, numbers, spelled)
    _note_same_names(listing)
    return listing


def _read_classes(path: Path, spelled: Mapping[str, str]) -> dict[str, int]:
    """The number of each class: "1 Anger"."""
    numbers = {}
    for place, line in numbered(path):
        word, _, name = line.partition(" ")
        number = whole_number(word)
        if number is None or name.strip().casefold() not in spelled:
            raise DataError(f"{path} line {place}: {line!r} is no number and one of {', '.join(spelled.values())}")
        numbers[spelled[name.strip().casefold()]] = number
    if len(numbers) != len(spelled):
        raise DataError(f"{path} names {len(numbers)} of the {len(spelled)} classes {', '.join(spelled.values())}")
    return numbers


def _add_line(
    listing: Listing, where: str, line: str, split: str, numbers: Mapping[str, int], spelled: Mapping[str, str]
) -> None:
    """Take in "Class/video k" or "Class/video"."""
    path, _, last = line.rpartition(" ")
    number = whole_number(last)
    if not path or number is None:
        path, number = line, None
    word, slash, name = path.partition("/")
    if not slash:
        listing.refuse(f"{where}: {line[:80]!r} is no `Class/video`")
        return
    safe_name(word, where)
    safe_name(name, where)
    kind = spelled.get(word.casefold())
    if kind is None:
        listing.refuse(f"{where} ({path}): {word!r} is none of {', '.join(spelled.values())}")
        return
    if number is not None and number != numbers[kind]:
        listing.refuse(f"{where} ({path}): {number} is not the number of {kind}", len(listing.entries))
    listing.entries.append(Entry(kind, name, split))


def _note_same_names(listing: Listing) -> None:
    kinds = defaultdict(set)
    for entry in listing.entries:
        kinds[entry.name].add(entry.kind)
    for name, several in kinds.items():
        if len(several) > 1:
            listing.notes.append(f"The name {name} is that of a video in each of {', '.join(sorted(several))}.")


# the JSON of the releases


def _read_json(path: Path, spelled: Mapping[str, str]) -> Listing:
    listing = Listing([path])
    repeated: list[str] = []
    content = _parsed(path, repeated)
    words = content.get("labels")
    if not isinstance(words, list) or {str(w).casefold() for w in words} != set(spelled):
        raise DataError(f"{path}: its labels are {words!r:.200}, not {', '.join(spelled.values())}; is it another's?")
    if not isinstance(content.get("database"), dict):
        raise DataError(f"{path} has no `database` of videos")
    for name, told in content["database"].items():
        _add_told(listing, f"{path.name} ({safe_name(name, path.name)})", name, told, spelled)
    for name in repeated:
        listing.refuse(f"{path.name} ({name!r}): the key is there more than once, and only the last is read")
    listing.notes.append(f"What {path.name} calls validation is the test list, as the releases use it.")
    return listing


def _parsed(path: Path, repeated: list[str]) -> dict[str, Any]:
    def notice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                repeated.append(key)
            seen[key] = value
        return seen

    try:
        content = json.loads(read_text(path), object_pairs_hook=notice)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no labels and database")
    return content


def _add_told(listing: Listing, where: str, name: str, told: Any, spelled: Mapping[str, str]) -> None:
    """Take in {subset, annotations: {label}}."""
    try:
        subset, word = told["subset"], told["annotations"]["label"]
    except (TypeError, KeyError):
        listing.refuse(f"{where}: it has no `subset` and `annotations.label`")
        return
    kind = spelled.get(str(word).casefold())
    if kind is None:
        listing.refuse(f"{where}: label {word!r} is none of {', '.join(spelled.values())}")
    elif not isinstance(subset, str) or subset not in SUBSETS:
        listing.refuse(f"{where}: subset {subset!r} is none of {', '.join(SUBSETS)}")
    else:
        listing.entries.append(Entry(kind, name, SUBSETS[subset]))


def _compare(listing: Listing, other: Listing) -> None:
    """Hold the text lists against the JSON. It knows a name once, so that it loses one that two classes have."""
    file = other.sources[0].name
    known = {entry.name: entry for entry in other.entries}
    for index, entry in enumerate(listing.entries):
        told = known.get(entry.name)
        if told is None:
            listing.refuse(f"{file} ({entry.id}): it is in the text lists, and not in this file", index)
        elif told != entry:
            listing.refuse(
                f"{file} ({entry.id}): it is {told.id} in {told.split} here, {entry.split} in the text lists", index
            )
    names = {entry.name for entry in listing.entries}
    for entry in other.entries:
        if entry.name not in names:
            listing.refuse(f"{file} ({entry.id}): it is in no text list")
    listing.sources += other.sources
    listing.problems += [problem for problem in other.problems if problem.index < 0]
    listing.notes += other.notes
