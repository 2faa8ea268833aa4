"""YAML text to nodes: the one module that talks to ruamel.yaml.

Reads YAML 1.2. It refuses what a question does not need and what can be read in two ways: anchors, aliases, merge
keys, tags, directives, several documents, duplicate keys, keys that are not text, `010`, unquoted dates, NaN, and
whatever is too deep, too many or too long. Everything that is wrong is noted in the document.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError

from hpc_sweep.nodes import INVISIBLE, Document, Mapping, Mark, Node, Scalar, Sequence, shorten

DEPTH, NODES, TEXT = 20, 20_000, 4096

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_BASED = re.compile(r"[-+]?0[oOxXbB][0-9a-fA-F_]+\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?\Z")
_GROUPED = re.compile(r"[-+]?[0-9]+(_[0-9]+)+(\.[0-9]*)?\Z")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?\Z")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

# A piece of ruamel's wording, and ours with a hint.
_SYNTAX = (
    ("found unexpected end of stream", "this quote is never closed", None),
    (
        "mapping values are not allowed",
        "a `:` is not expected here",
        "put text that holds `: ` in quotes, and look at the indentation",
    ),
    ("sequence entries are not allowed", "a `-` is not expected here", "start the list on a line of its own"),
    ("could not find expected ':'", "a key without its `:` and a space", None),
    ("expected <block end>", "this does not belong to what stands above it", "look at the indentation"),
    ("expected '<document start>'", "this does not belong to what stands above it", "look at the indentation"),
    ("unknown escape character", "this escape is unknown", "use 'single quotes' for text with a backslash"),
)


class _Stop(Exception):  # noqa: N818 - not an error of its own: the problem is noted already
    """The rest of the file cannot be read."""


def compose(document: Document) -> None:
    """Read `document.text` into `document.root`; what is wrong is added to `document.problems`."""
    with contextlib.suppress(_Stop):
        composer = _Composer(document)
        root = composer.root()
        if isinstance(root, Mapping):
            document.root = root
        elif root is None:
            what = "is empty" if not document.text.strip() else "holds only comments"
            document.report(Mark(1, 1, 1), f"the file {what}", "it should hold lines such as `name: value`")
        else:
            what = "a list" if isinstance(root, Sequence) else "a single value"
            document.report(root.mark, f"the file is {what}; it must be keys and values (`name: value`)")


class _Composer:
    """Walks the events of one document; recursion is bounded by DEPTH."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._lines = document.text.split("\n")
        self._count = 0
        self._open: list[Mark] = []  # the brackets that are not closed yet
        self._events = self._stream()

    def root(self) -> Node | None:
        next(self._events)
        event = next(self._events)
        if isinstance(event, events.StreamEndEvent):
            return None
        if event.version or event.tags or self._lines[0].startswith("%"):
            self._fail(Mark(1, 1, len(self._lines[0])), "a YAML directive is not read: take this line away")
        node = self._node(next(self._events), depth=1)
        next(self._events)
        after = next(self._events)
        if isinstance(after, events.DocumentStartEvent):
            self._fail(self._mark(after), "a second document starts here", "one file, one document")
        return node

    def _stream(self) -> Iterator[Any]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self._document.text)
        except YAMLError as error:
            self._syntax(error)
        except (ValueError, OverflowError) as error:  # ruamel on "\UFFFFFFFF"
            self._fail(Mark(1, 1, 1), f"this cannot be read as YAML: {error}", "look for a strange escape")

    def _node(self, event: Any, depth: int) -> Node:
        mark = self._mark(event)
        self._count += 1
        if self._count > NODES:
            self._fail(mark, f"more than {NODES:,} values in one file")
        if depth > DEPTH:
            self._fail(mark, f"nested deeper than {DEPTH} levels")
        self._refuse_properties(event, mark)
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event, mark)
        if isinstance(event, events.SequenceStartEvent):
            return self._sequence(event, mark, depth)
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(event, mark, depth)
        return Scalar(mark, None, "")  # an alias, refused above

    def _sequence(self, event: Any, mark: Mark, depth: int) -> Sequence:
        items = []
        with self._bracket(event, mark):
            while not isinstance(item := next(self._events), events.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
        return Sequence(_until(mark, item), tuple(items))

    def _mapping(self, event: Any, mark: Mark, depth: int) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        with self._bracket(event, mark):
            while not isinstance(first := next(self._events), events.MappingEndEvent):
                key = self._node(first, depth + 1)
                value = self._node(next(self._events), depth + 1)
                if isinstance(value, Scalar) and value.plain and not value.written:
                    value = Scalar(key.mark, None, "")  # nothing after the colon: the key is what one can see
                name = self._key(key, entries)
                if name is not None and isinstance(key, Scalar):
                    entries[name] = (key, value)
        return Mapping(_until(mark, first), entries)

    @contextlib.contextmanager
    def _bracket(self, event: Any, mark: Mark) -> Iterator[None]:
        if event.flow_style:
            self._open.append(mark)
        yield
        if event.flow_style:
            self._open.pop()

    def _key(self, key: Node, entries: dict[str, tuple[Scalar, Node]]) -> str | None:
        report = self._document.report
        if not isinstance(key, Scalar) or not isinstance(key.value, str):
            hint = f"put it in quotes: '{key.written}'" if isinstance(key, Scalar) and key.written else None
            report(key.mark, "a key must be text", hint)
        elif key.value == "<<" and key.plain:
            report(key.mark, "merge keys (`<<`) are not read", "write the values out")
        elif key.value in entries:
            first = entries[key.value][0].mark.line
            report(key.mark, f"`{shorten(key.value)}` stands here twice; the first is in line {first}")
        else:
            return key.value
        return None

    def _scalar(self, event: Any, mark: Mark) -> Scalar:
        written, is_plain = event.value, event.style is None
        value, message, hint = resolve(written) if is_plain else (written, None, None)
        if isinstance(value, str) and message is None:
            message, hint = _text_problem(value)
            value = INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", value)
        if message:
            self._document.report(mark, message, hint)
        return Scalar(mark, value, written, is_plain)

    def _refuse_properties(self, event: Any, mark: Mark) -> None:
        report = self._document.report
        if isinstance(event, events.AliasEvent):
            report(mark, f"aliases are not read: `*{shorten(event.anchor)}`", "write the value out")
        elif event.anchor is not None:
            length = len(event.anchor) + 1
            report(mark._replace(length=length), f"anchors are not read: `&{shorten(event.anchor)}`", "take it away")
        elif event.tag is not None:
            tag = re.match(r"!\S*", self._lines[mark.line - 1][mark.column - 1 :])
            written = tag.group() if tag else event.tag
            report(mark._replace(length=len(written)), f"tags are not read: `{shorten(written)}`", "take it away")

    def _mark(self, event: Any) -> Mark:
        start, end = event.start_mark, event.end_mark
        if end.line == start.line:
            length = end.column - start.column
        else:
            length = len(self._lines[start.line].rstrip()) - start.column
        return Mark(start.line + 1, start.column + 1, max(length, 1))

    def _fail(self, mark: Mark, message: str, hint: str | None = None) -> None:
        self._document.report(mark, message, hint)
        raise _Stop

    def _syntax(self, error: YAMLError) -> None:
        problem, mark = getattr(error, "problem", None) or "not YAML", getattr(error, "problem_mark", None)
        before = getattr(error, "context_mark", None)
        line, column = (mark.line, mark.column) if mark else (0, 0)
        text = self._lines[line]
        indent = re.match(r" *\t", text)
        odd = re.match(r"found character '(.)' that cannot start", problem)
        if indent and (not odd or column < indent.end()):
            self._fail(Mark(line + 1, indent.end(), 1), "a tab in the indentation", "use spaces")
        if odd:
            self._fail(Mark(line + 1, column + 1, 1), f"`{odd[1]}` cannot start a value", "put the value in quotes")
        if self._open and ("expected ',' or" in problem or "<stream end>" in problem):
            place = self._open[-1]
            bracket = self._lines[place.line - 1][place.column - 1]
            where = f"line {line + 1}" if line < len(self._lines) - 1 else "the end of the file"
            self._fail(
                place._replace(length=1), f"this `{bracket}` is not closed, or a comma is missing before {where}"
            )
        for piece, message, hint in _SYNTAX:
            if piece in problem:
                if before and piece in (_SYNTAX[0][0], _SYNTAX[3][0]):
                    line, column = before.line, before.column
                self._fail(Mark(line + 1, column + 1, 1), message, hint)
        self._fail(Mark(line + 1, column + 1, 1), f"not valid YAML: {shorten(problem, 120)}")


def _until(mark: Mark, end: Any) -> Mark:
    """A bracket that closes on its own line is marked as a whole."""
    if end.end_mark.line + 1 == mark.line and end.end_mark.column >= mark.column:
        return mark._replace(length=end.end_mark.column - mark.column + 1)
    return mark


def resolve(written: str) -> tuple[str | int | float | bool | None, str | None, str | None]:
    """The value of a plain scalar in YAML 1.2, and what is wrong with how it is written, with a hint."""
    if written in _WORDS:
        return _WORDS[written], None, None
    if _BASED.match(written) or _LEADING_ZERO.match(written) or _GROUPED.match(written):
        return written, f"`{shorten(written)}` can be read in more than one way", _plainly(written)
    if _DATE.match(written):
        return written, f"`{shorten(written)}` is a date to some readers and text to others", f"write '{written}'"
    if _NOT_FINITE.match(written):
        return written, f"`{written}` is not a number that a run can be asked with", None
    if _INTEGER.match(written):
        if len(written) > 20 or not -(2**63) <= int(written) < 2**63:
            return written, f"{shorten(written, 24)} is beyond 64 bits", None
        return int(written), None, None
    if _FLOAT.match(written):
        return _finite(written)
    return written, None, None


def _finite(written: str) -> tuple[str | float, str | None, str | None]:
    value = float(written)
    nothing = value == 0 and re.search("[1-9]", re.split("[eE]", written)[0])
    if nothing or value in (float("inf"), float("-inf")):
        return written, f"{shorten(written)} is too {'small' if nothing else 'large'} for a number", None
    return value + 0.0, None, None  # -0.0 is 0.0: two spellings must not be two points


def _plainly(written: str) -> str:
    quoted = f"'{written}' if it is text"
    if len(written) > 24:
        return f"write a plain number, or {quoted}"
    digits = written.replace("_", "")
    try:
        number = int(digits, 0) if _BASED.match(written) else float(digits)
    except ValueError:
        return f"write a plain number, or {quoted}"
    return f"write {number:.16g} if it is a number, {quoted}"


def _text_problem(value: str) -> tuple[str | None, str | None]:
    odd = INVISIBLE.search(value)
    if odd:
        return f"an invisible character (U+{ord(odd.group()):04X}) stands in this text", "take it away"
    if not unicodedata.is_normalized("NFC", value):
        return "an accent is written apart from its letter: two spellings of one name", "type it anew (Unicode NFC)"
    if len(value.encode()) > TEXT:
        return f"a text of {len(value.encode()):,} bytes; at most {TEXT:,}", None
    return None, None
