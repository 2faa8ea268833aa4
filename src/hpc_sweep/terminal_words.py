"""How figures, times and foreign texts are written on the screen. Pure functions from values to text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\n]*?(?:\x07|\x1b\\|\x9c|$)"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]?"
    r"|[\x90\x98\x9d-\x9f][^\n]*?(?:\x07|\x1b\\|\x9c|$)",
    re.MULTILINE,
)
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_ASCII = str.maketrans(
    {"█": "#", "░": ".", "·": "|", "✓": "ok", "✗": "x", "…": "..", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+-"}
    | {"│": "|", "→": "->", "≤": "<=", "≥": ">=", "µ": "u", "‘": "'", "’": "'", "“": '"', "”": '"'}
)


def clean(text: str) -> str:
    """Text from a log, an exception or a grid without what could steer a terminal or reorder what is read."""
    if text.isprintable() and text.isascii():
        return text
    text = _BREAKS.sub("\n", _ESCAPES.sub("", text)).expandtabs(4)
    return "".join(_harmless(c) for c in text)


def _harmless(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    category = unicodedata.category(character)
    if category in ("Cc", "Cf"):
        return ""
    return " " if category == "Zs" else "?"


def one_line(text: str) -> str:
    """Clean text that fits into a cell."""
    return " ".join(part.strip() for part in clean(text).split("\n") if part.strip())


def ascii_only(text: str) -> str:
    """The nearest that a terminal without UTF-8 can show."""
    text = text.translate(_ASCII)
    return text if text.isascii() else "".join(map(_nearest, text))


def _nearest(character: str) -> str:
    if character.isascii():
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or ("" if unicodedata.combining(character) else "?")


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `8 min 50`, `1 h 30`, `2 d 3 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d}"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def about(seconds: float) -> str:
    """An estimate, no finer than it deserves: `under a minute`, `about 7 min`, `about 1 h 50`."""
    return "under a minute" if seconds < 60 else f"about {roughly(seconds)}"


def roughly(seconds: float) -> str:
    """Whole minutes, or hours in steps of five minutes: `7 min`, `1 h 50`."""
    return f"{round(seconds / 60)} min" if seconds < 3570 else duration(300 * round(seconds / 300))


def ago(seconds: float) -> str:
    """`just now`, `8 min ago`, `3 h 12 min ago`, `2 d 3 h ago`; a clock that was set back makes nothing negative."""
    minutes = int(max(0.0, seconds)) // 60
    if minutes == 0:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 1440:
        return f"{minutes // 60} h {minutes % 60} min ago"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h ago"


def hours(value: float) -> str:
    """Hours of a card or a core: `0.02`, `9.4`, `1,240`."""
    if 0 < value < 0.095:
        return f"{max(0.01, value):.2f}"
    return f"{value:,.1f}" if value < 99.95 else f"{value:,.0f}"


def percent(part: int, whole: int) -> str:
    """A share in whole percent: 100 only when it is all, 0 only when it is none."""
    if not whole:
        return "0 %"
    share = 100 * part // whole
    return f"{max(share, 1) if part else 0} %"


def plural(count: int, noun: str) -> str:
    """`1 point`, `1,200 points`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `13th`."""
    last = 0 if 10 < number % 100 < 14 else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def size(count: int) -> str:
    """Bytes as people say them: `812 B`, `19.2 kB`, `3.9 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def memory(megabytes: float) -> str:
    """Memory in the binary units that Slurm and torch count in: `512 MB`, `21.4 GB`."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def value(given: Any) -> str:
    """A value of a grid as the grid would write it."""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def values(given: Sequence[Any]) -> str:
    """The values of an axis; a run of consecutive integers by its ends."""
    numbers = all(isinstance(v, int) and not isinstance(v, bool) for v in given)
    if numbers and len(given) > 3 and list(given) == list(range(given[0], given[0] + len(given))):
        return f"{given[0]} … {given[-1]}"
    return "  ".join(map(value, given))


def settings(axes: Mapping[str, Any]) -> str:
    """`model=mart data=mosei`."""
    return " ".join(f"{name}={value(given)}" for name, given in axes.items())


def figure(number: float) -> str:
    """A number that a run logged."""
    return f"{number:.4g}" if abs(number) < 10_000 else f"{number:.5g}"
