"""Subtitles in SubRip's form (.srt): lines of speech with their times.

Lines that say "Conversion failed" are what a recogniser left behind, and are skipped. Refuses a block whose number or
times are missing or damaged, rather than reading them as speech.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from affect.data.plain import read_text, whole_number
from affect.errors import DataError

FAILED = "Conversion failed"
_TIME = r"(\d{1,4}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})"
_TIMES = re.compile(rf"{_TIME}\s*-->\s*{_TIME}(?:\s.*)?", re.ASCII)


@dataclass(frozen=True)
class Line:
    """What is said between two times, in seconds."""

    start: float
    end: float
    text: str


def read_srt(path: Path) -> list[Line]:
    """The lines of speech of a subtitle file, in its order; blocks without words are left out."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)]
    found = [_line(block, path) for block in _blocks([x for x in lines if FAILED not in x[1]])]
    return [line for line in found if line.text]


def _blocks(lines: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Runs of lines that are not empty."""
    blocks: list[list[tuple[int, str]]] = [[]]
    for number, line in lines:
        if line:
            blocks[-1].append((number, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _line(block: list[tuple[int, str]], path: Path) -> Line:
    first, head = block[0]
    if whole_number(head) is None:
        raise DataError(f"{path.name} line {first}: a block of subtitles begins with {head[:40]!r}, not its number")
    times = _TIMES.fullmatch(block[1][1]) if len(block) > 1 else None
    if times is None:
        raise DataError(f"{path.name} line {first}: block {head} has no times `00:00:01,000 --> 00:00:02,000`")
    start, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
    if end < start:
        raise DataError(f"{path.name} line {first}: block {head} ends at {end:g} s, before it starts at {start:g} s")
    for number, text in block[2:]:
        if _TIMES.fullmatch(text):
            raise DataError(f"{path.name} line {number}: times within block {head}; no empty line ends that block")
    return Line(start, end, " ".join(text for _, text in block[2:]))


def _seconds(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
