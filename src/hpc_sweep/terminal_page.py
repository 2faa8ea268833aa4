"""A page: how many columns there are and which characters. Lays words, tables and commands out as styled lines.

Every text passes through `Page.text`, so that nothing gets further that steers a terminal. Nothing is wider than the
page but commands, paths and what is shown verbatim: those stay whole, to be copied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_sweep import terminal_words as words

Part = str | tuple[str, str]  # a text, or a text and its style: good, bad, busy, strong, dim
Line = list[Part]


def content(part: Part) -> str:
    """The text of a part without its style."""
    return part if isinstance(part, str) else part[0]


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


@dataclass(frozen=True)
class Column:
    """One column of a table: what stands above it, and what may happen to it where room is short."""

    title: str = ""
    right: bool = False
    least: int | None = None  # it may be cut down to this width
    drop: int = 0  # it may be left out, the highest first
    wide: int = 0  # it is at least so wide


@dataclass(frozen=True)
class Page:
    """The space that a screen has."""

    width: int = 80
    utf8: bool = True

    def text(self, text: str) -> str:
        """Harmless text on one line, in the characters that this terminal has."""
        text = words.one_line(text)
        return text if self.utf8 or text.isascii() else words.ascii_only(text)

    def verbatim(self, text: str, style: str = "") -> list[Line]:
        """Lines of a program or a log as they are, but for what could steer a terminal."""
        shown = words.clean(text) if self.utf8 else words.ascii_only(words.clean(text))
        return [[(row, style)] if style else [row] for row in shown.split("\n")]

    def part(self, part: Part) -> Part:
        return self.text(part) if isinstance(part, str) else (self.text(part[0]), part[1])

    def cut(self, text: str, width: int) -> str:
        """A text that is no wider, with a mark where the rest was."""
        if width_of(text) <= width:
            return text
        mark = "…" if self.utf8 else "~"
        kept = text[: max(0, width)]
        while kept and width_of(kept) + 1 > width:
            kept = kept[:-1]
        return (kept.rstrip() + mark) if width > 0 else ""

    def path(self, path: Path) -> str:
        """A path as one would type it from here."""
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)

    def heading(self, name: str, parts: Sequence[str]) -> Line:
        """What this is: a name, and as many of the facts after it as there is room for."""
        name, kept = self.text(name), [self.text(p) for p in parts if p]
        dot = self.text("·")
        while kept and width_of(name) + 4 + width_of(f" {dot} ".join(kept)) > self.width and len(kept) > 1:
            kept.pop()
        rest = self.cut(f" {dot} ".join(kept), max(8, self.width - width_of(name) - 4))
        return [(name, "strong"), "    ", rest] if rest else [(name, "strong")]

    def joined(self, parts: Iterable[str], width: int | None = None) -> str:
        """Facts on one line: as many of them as there is room for, the first always."""
        dot, room, text = self.text("·"), width or self.width, ""
        for part in map(self.text, parts):
            longer = f"{text} {dot} {part}" if text else part
            if text and width_of(longer) > room:
                break
            text = longer
        return self.cut(text, room)

    def titled(self, name: str, text: str) -> list[Line]:
        """What this is: a name, and the whole of a sentence after it."""
        name = self.text(name)
        if width_of(name) + 4 > self.width // 2 and width_of(name) + 4 + width_of(self.text(text)) > self.width:
            return [[(name, "strong")], *self.wrapped(text, "    ")]
        first, *more = self.wrapped(text, f"{name}    ")
        return [[(name, "strong"), "    ", *first[1:]], *more]

    def wrapped(self, text: str, before: str = "", style: str = "") -> list[Line]:
        """A sentence over as many lines as it takes, the later ones below the first."""
        room = max(20, self.width - width_of(before))
        rows = textwrap.wrap(self.text(text), room, break_on_hyphens=False, break_long_words=False) or [""]
        blank = " " * width_of(before)
        return [[blank if i else before, (row, style) if style else row] for i, row in enumerate(rows)]

    def bar(self, part: float, whole: float, width: int) -> str:
        """A share as a bar."""
        full = int(width * part / whole) if whole else 0
        if part and not full:
            full = 1
        return self.text("█" * full + "░" * (width - full))

    # tables

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Part]], indent: int = 2) -> list[Line]:
        """Rows under each other; where room is short columns go, then the long ones are cut."""
        cells = [[self.part(part) for part in row] for row in rows]
        if any(c.title for c in columns):
            cells.insert(0, [(self.text(c.title), "dim") for c in columns])
        natural = [max([columns[i].wide, *(width_of(content(row[i])) for row in cells)]) for i in range(len(columns))]
        shown = self._shown(columns, natural, indent)
        widths = self._widths(columns, natural, shown, indent)
        return [self._row(columns, row, widths, indent) for row in cells]

    def fits(self, columns: Sequence[Column], rows: Sequence[Sequence[Part]], indent: int = 2) -> bool:
        """Whether a table needs nothing left out or cut."""
        return _total(filter(None, self._measured(columns, rows)[1]), indent) <= self.width

    def _measured(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Part]]
    ) -> tuple[list[list[Part]], list[int]]:
        """The cells, with the heading first, and the width that each column would like."""
        cells = [[self.part(part) for part in row] for row in rows]
        if any(c.title for c in columns):
            cells.insert(0, [(self.text(c.title), "dim") for c in columns])
        return cells, [max([c.wide, *(width_of(content(row[i])) for row in cells)]) for i, c in enumerate(columns)]

    def _shown(self, columns: Sequence[Column], natural: Sequence[int], indent: int) -> list[int]:
        shown = [i for i in range(len(columns)) if natural[i]]
        while _total([_narrowest(columns[i], natural[i]) for i in shown], indent) > self.width:
            droppable = [i for i in shown if columns[i].drop]
            if not droppable:
                break
            shown.remove(max(droppable, key=lambda i: (columns[i].drop, i)))
        return shown

    def _widths(
        self, columns: Sequence[Column], natural: Sequence[int], shown: Sequence[int], indent: int
    ) -> dict[int, int]:
        widths = {i: natural[i] for i in shown}
        while _total(widths.values(), indent) > self.width:
            elastic = [i for i in shown if widths[i] > _narrowest(columns[i], natural[i])]
            if not elastic:
                break
            widths[max(elastic, key=widths.__getitem__)] -= 1
        return widths

    def _row(self, columns: Sequence[Column], row: Sequence[Part], widths: dict[int, int], indent: int) -> Line:
        line: Line = [" " * indent]
        for k, (i, width) in enumerate(widths.items()):
            text = self.cut(content(row[i]), width)
            pad = " " * (width - width_of(text))
            styled: Part = (text, row[i][1]) if isinstance(row[i], tuple) else text
            line += [*(["  "] if k else []), *([pad, styled] if columns[i].right else [styled, pad])]
        return trimmed(line)

    def facts(self, rows: Iterable[tuple[str, str, str]], label: int = 8, whole: bool = False) -> list[Line]:
        """A label, a fact, and what belongs to it: beside it where there is room, else below.

        Facts that are paths or commands are kept `whole`.
        """
        rows = [(self.text(a), self.text(b), self.text(c)) for a, b, c in rows]
        start = 2 + label + 2
        fits = [width_of(b) for _, b, c in rows if c and start + width_of(b) + 3 + width_of(c) <= self.width]
        column = max(fits, default=0)
        lines: list[Line] = []
        for name, fact, aside in rows:
            before = f"  {name:<{label}}  "
            if aside and start + max(column, width_of(fact)) + 3 + width_of(aside) <= self.width:
                pad = " " * (max(column, width_of(fact)) - width_of(fact))
                lines.append([before, fact, f"{pad}   ", (aside, "dim")])
            else:
                lines += [[before, fact]] if whole else self.wrapped(fact, before)
                lines += self.wrapped(aside, " " * start, "dim") if aside else []
        return lines

    def commands(self, given: Sequence[tuple[str, str]]) -> list[Line]:
        """What to run next, each command whole, with a remark beside it or below."""
        shown = [(self.text(command), self.text(remark)) for command, remark in given]
        column = max((width_of(command) for command, _ in shown), default=0)
        if any(8 + column + 3 + width_of(remark) > self.width for _, remark in shown):
            column = 0  # each remark right after its own command
        lines: list[Line] = []
        for k, (command, remark) in enumerate(shown):
            line: Line = [("next    ", "dim") if k == 0 else " " * 8, (command, "strong")]
            pad = max(column - width_of(command), 0) + 3
            if remark and 8 + width_of(command) + pad + width_of(remark) <= self.width:
                line += [" " * pad, (remark, "dim")]
                remark = ""
            lines += [line, *(self.wrapped(remark, " " * 10, "dim") if remark else [])]
        return lines


def trimmed(line: Line) -> Line:
    """A line without blanks at its end."""
    while line and not content(line[-1]).strip():
        line.pop()
    return line


def blocks(*given: list[Line]) -> list[Line]:
    """Groups of lines with an empty line between them; an empty group leaves none."""
    lines: list[Line] = []
    for block in given:
        if block:
            lines += [[], *block] if lines else block
    return lines


def _narrowest(column: Column, natural: int) -> int:
    return natural if column.least is None else min(natural, column.least)


def _total(widths: Iterable[int], indent: int) -> int:
    widths = list(widths)
    return indent + sum(widths) + 2 * max(0, len(widths) - 1)
