"""A report before it is Markdown, HTML or LaTeX: sections of facts, sentences, tables and pictures.

Everything here is text without control characters; escaping is left to whoever writes a format. Owns how a cell
reads, which columns stand to the right, and a table as plain lines for a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral

from rich.cells import cell_len

from hpc_sweep import terminal_words as words
from hpc_sweep.job import Table

MINUS = "−"
NOTHING = "–"
_MARK = re.compile(r"(.*?)\s?(\*[a-z]{0,3})\Z", re.DOTALL)
_NUMBER = re.compile(r"[-−+<>]?[\d.,]+(e[-+]?\d+)?( ± <?[\d.]+(e[-+]?\d+)?)?( (%|s|min|h|d|GB|MB|kB)( \d+)?( h)?)?\Z")


@dataclass(frozen=True)
class Words:
    """Sentences, a paragraph each."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What something is called and what it is."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shares:
    """How many points are in which state."""

    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Picture:
    """A figure, and where its file lies beside the report."""

    title: str
    file: str
    svg: bytes = field(repr=False)
    note: str = ""


@dataclass(frozen=True)
class Fold:
    """What only some readers want to see."""

    title: str
    blocks: tuple[Block, ...]


Block = Words | Facts | Shares | Picture | Table | Fold


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; `findings` is what a paper or a terminal wants of a report."""

    title: str
    blocks: tuple[Block, ...]
    findings: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    lead: tuple[Block, ...]
    sections: tuple[Section, ...]


def cell(value: str | float | None) -> str:
    """What a cell says, on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return words.one_line(value)
    text = f"{int(value):,}" if isinstance(value, Integral) else words.figure(float(value))
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def split_mark(text: str) -> tuple[str, str]:
    """A cell, or a line of a note, and the mark that it ends with."""
    match = _MARK.match(text)
    return (match[1], match[2]) if match else (text, "")


def note_lines(table: Table) -> list[tuple[str, str]]:
    """The lines below a table: the mark that each explains, if it does, and the rest."""
    lines = [words.one_line(line) for line in table.note.splitlines()]
    return [_led(line) for line in lines if line]


def _led(line: str) -> tuple[str, str]:
    first, _, rest = line.partition(" ")
    plain, mark = split_mark(first)
    return (mark, rest) if mark and not plain else ("", line)


def to_the_right(table: Table) -> list[bool]:
    """Which columns hold numbers."""
    columns = list(zip(*([cell(c) for c in row] for row in table.rows), strict=True))
    found = [k > 0 and all(_is_number(text) for text in column) for k, column in enumerate(columns)]
    return found or [False] * len(table.columns)


def _is_number(text: str) -> bool:
    plain, _ = split_mark(text)
    return plain in ("", NOTHING) or bool(_NUMBER.match(plain))


def aligned(texts: Sequence[str], to_right: bool) -> list[str]:
    """The cells of a column, equally wide; marks hang behind the numbers."""
    if not to_right:
        width = max(map(cell_len, texts))
        return [text + " " * (width - cell_len(text)) for text in texts]
    parts = [split_mark(text) for text in texts]
    width, hang = (max(cell_len(part[k]) for part in parts) for k in (0, 1))
    return [" " * (width - cell_len(plain)) + plain + mark.ljust(hang) for plain, mark in parts]


def text_lines(table: Table) -> tuple[str, ...]:
    """A table as it looks on a terminal."""
    rows = [[cell(c) for c in table.columns], *([cell(c) for c in row] for row in table.rows)]
    columns = [aligned(column, r) for column, r in zip(zip(*rows, strict=True), to_the_right(table), strict=True)]
    lines = [words.one_line(table.title), ""]
    if table.across and len(columns) > 1:
        lines.append(" " * (2 + cell_len(columns[0][0]) + 4) + words.one_line(table.across))
    lines += [f"  {'    '.join(row)}".rstrip() for row in zip(*columns, strict=True)]
    notes = [f"  {mark} {text}" if mark else f"  {text}" for mark, text in note_lines(table)]
    return (*lines, *(["", *notes] if notes else []))
