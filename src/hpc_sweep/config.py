"""Strict YAML to typed values: what is wrong is said with line and column, all of it at once, in plain English.

Owns how a file is opened and decoded. It refuses what is no plain file, too big, or not UTF-8, and never waits on a
pipe. It knows nothing of grids.
"""

from __future__ import annotations

import json
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hpc_sweep import nodes
from hpc_sweep.errors import GridError, Problem
from hpc_sweep.explain import explain
from hpc_sweep.nodes import INVISIBLE, Document, Mapping, Mark, did_you_mean

SIZE = 1_000_000  # bytes; a question that is longer is data
START = Mark(1, 1, 1)

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """What values of a file are checked against: frozen, no unknown key, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def read(path: Path) -> Document:
    """The nodes of a YAML file. GridError when it cannot be read at all; lesser mistakes are in `problems`."""
    return parse(path, _bytes(path))


def parse(path: Path, data: bytes) -> Document:
    """The nodes of a YAML text; `path` is for the messages."""
    from hpc_sweep.compose import compose

    document = Document(path, _text(path, data), Mapping(START, {}))
    _replace_invisible(document)
    compose(document)
    if not document.root.entries:
        document.check()
    return document


def typed(document: Document, model: type[Model], **given: Any) -> Model | None:
    """The file's values, and those `given`, as `model`; None when they do not fit, which is then reported."""
    try:
        return validate(model, {**nodes.plain(document.root), **given})
    except ValidationError as error:
        document.add(explain(document.root, error.errors(include_url=False), model))
        return None


def validate(model: type[Model], values: Any) -> Model:
    """Check plain values by the rules for JSON: a list may become a tuple, a word an enumeration's member."""
    return model.model_validate_json(json.dumps(values))


# files


def _bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not block
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise _unreadable(path, f"cannot be opened: {reason}", _nearby(path)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "is a folder, not a YAML file", _nearby(path / "x"))
        if not stat.S_ISREG(mode):
            raise _unreadable(path, "is a pipe or a device, not a file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(SIZE + 1)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {os.strerror(error.errno or 0)}") from error
    finally:
        os.close(descriptor)
    return data


def _nearby(path: Path) -> str | None:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return None
    return did_you_mean(path.name, names, "the YAML files there")


def _unreadable(path: Path, what: str, hint: str | None = None, text: str = "", mark: Mark = START) -> GridError:
    return GridError(path, text, [Problem(*mark, f"the file {what}", hint)])


def _text(path: Path, data: bytes) -> str:
    if len(data) > SIZE:
        raise _unreadable(path, f"has more than {SIZE:,} bytes", "a grid is a short text; is this the right file?")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:64].count(0) > 16:
        raise _unreadable(path, "is UTF-16", "save it as UTF-8")
    if (at := data.find(0)) >= 0:
        mark, text = _until(data, at)
        raise _unreadable(path, "holds a NUL byte", "is it a text file?", text, mark)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark, text = _until(data, error.start)
        raise _unreadable(
            path, f"is not UTF-8 (byte 0x{data[error.start]:02x})", "save it as UTF-8", text, mark
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _until(data: bytes, at: int) -> tuple[Mark, str]:
    """Where the byte at `at` stands, and the text for the message."""
    before = data[:at].decode("utf-8", "replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    text = data.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return Mark(line, column, 1), text


def _replace_invisible(document: Document) -> None:
    found = (
        (Mark(number, match.start() + 1, 1), match.group())
        for number, line in enumerate(document.text.split("\n"), start=1)
        for match in INVISIBLE.finditer(line)
    )
    for mark, character in islice(found, 100):
        message = f"an invisible character (U+{ord(character):04X}) stands in the text"
        document.report(mark, message, "take it away; it can make a file look like what it is not")
    document.text = INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", document.text)
