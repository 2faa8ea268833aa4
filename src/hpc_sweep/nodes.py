"""A YAML file as values that know where they stand, and the list of what is wrong with it.

Owns positions and the wording of a value in a message. It reads nothing and knows no type but YAML's own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hpc_sweep.errors import GridError, Problem

# What can make a file look like what it is not, or a terminal do what it should not: control characters (tab and
# newline aside), bidirectional overrides, exotic line ends, stray byte-order marks, halves of characters.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


class Mark(NamedTuple):
    """Where something starts (line and column from 1) and how many characters of that line it takes."""

    line: int
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value, as YAML 1.2 reads it and as it was written; `plain` when it has no quotes."""

    mark: Mark
    value: str | int | float | bool | None
    written: str
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values; a key is kept with its place."""

    mark: Mark
    entries: dict[str, tuple[Scalar, Node]]

    def get(self, name: str) -> Node | None:
        entry = self.entries.get(name)
        return entry[1] if entry else None

    def without(self, *names: str) -> Mapping:
        return Mapping(self.mark, {k: v for k, v in self.entries.items() if k not in names})


Node = Scalar | Sequence | Mapping


@dataclass
class Document:
    """A file that was read, and what was found wrong with it so far."""

    path: Path
    text: str
    root: Mapping
    problems: list[Problem] = field(default_factory=list)
    _places: set[Mark] = field(default_factory=set, repr=False)

    def report(self, mark: Mark, message: str, hint: str | None = None) -> None:
        """Note a mistake; the first one at a place is kept, for the next would only follow from it."""
        if not self.blames(mark):
            self._places.add(mark)
            self.problems.append(Problem(*mark, shorten(message, 400), shorten(hint, 400) if hint else None))

    def blames(self, mark: Mark) -> bool:
        """Whether something was reported at this place."""
        return mark in self._places

    def add(self, problems: Iterable[Problem]) -> None:
        for p in problems:
            self.report(Mark(p.line, p.column, p.length), p.message, p.hint)

    def check(self) -> None:
        """Raise everything that was found, if anything was."""
        if self.problems:
            raise GridError(self.path, self.text, self.problems)


def plain(node: Node) -> Any:
    """The Python value of a node: what JSON has, and nothing else."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {name: plain(value) for name, (_, value) in node.entries.items()}


def show(node: Node) -> str:
    """How a message names a value."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "keys and values"
    if node.value is None:
        return "nothing (null)"
    return shorten(node.written) if node.plain else f'"{shorten(node.written)}"'


def shorten(text: str, width: int = 40) -> str:
    """Text that fits into a sentence: one line, no control characters."""
    clean = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def closest(wrong: str, known: Iterable[str]) -> str | None:
    """The known name that somebody probably meant."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def did_you_mean(wrong: str, known: Iterable[str], otherwise: str = "it can be") -> str | None:
    """The hint for a name that is not there: the closest one, or else all of them."""
    names = sorted(known)
    close = closest(wrong, names)
    if close:
        return f"did you mean `{close}`?"
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{otherwise}: {listed}" if names else None
