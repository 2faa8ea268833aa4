"""What pydantic finds wrong, in plain English and at its place in the file.

Owns the wording of every type, range and choice. It checks nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from hpc_sweep.errors import Problem
from hpc_sweep.nodes import Mapping, Mark, Node, Scalar, Sequence, did_you_mean, shorten, show

_WANTS = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "none_required": "nothing (null)",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "dataclass_type": "keys and values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_TYPES = frozenset(wanted for kind, wanted in _WANTS.items() if kind.endswith("_type") or kind == "int_from_float")
_NUMBERS = ("an integer", "a number")
_CLOCK = re.compile(r"(\d+):([0-5]?\d)(?::([0-5]?\d))?\Z")
_CHOICE = re.compile(r"'([^']*)'")


class WrongValueError(ValueError):
    """What a validator raises to say what is wrong with a value, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class _Place:
    mark: Mark
    name: str
    node: Node
    path: tuple[str | int, ...]


def explain(root: Mapping, errors: Iterable[ErrorDetails], model: type, owner: str | None = None) -> Iterator[Problem]:
    """Each error at its place in `root`, which holds the values of a `model`; `owner` is whose keys these are."""
    by_place: dict[Mark, tuple[_Place, list[ErrorDetails]]] = {}
    for error in errors:
        place = _find(root, error)
        by_place.setdefault(place.mark, (place, []))[1].append(error)
    for place, found in by_place.values():
        message, hint = _sentence(place, _telling(found), model, owner)
        yield Problem(*place.mark, message, hint)


def _find(root: Mapping, error: ErrorDetails) -> _Place:
    """Follow pydantic's path as far as the file goes; what it names beyond that is the branch of a union."""
    node: Node = root
    mark, name = root.mark, ""
    key: Scalar | None = None
    for part in error["loc"]:
        if isinstance(node, Mapping) and part in node.entries:
            key, node = node.entries[str(part)]
            mark = key.mark if error["type"] in _UNKNOWN else node.mark
            name = f"{name}.{part}" if name else str(part)
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            mark = node.mark
    if key and error["loc"][-1] == "[key]":
        mark = key.mark
    return _Place(mark, name, node, error["loc"])


def _telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of what the branches of a union say, that of the branch which the value has the type for."""
    specific = [e for e in errors if _WANTS.get(e["type"]) not in _TYPES and e["type"] not in ("literal_error", "enum")]
    return specific or errors


def _sentence(place: _Place, errors: list[ErrorDetails], model: type, owner: str | None) -> tuple[str, str | None]:
    kind, context, name = errors[0]["type"], errors[0].get("ctx", {}), place.name
    if kind == "missing":
        missing = [f"`{f'{name}.' if name else ''}{e['loc'][-1]}`" for e in errors if e["type"] == "missing"]
        needed = f": {owner} needs {'it' if len(missing) == 1 else 'them'}" if owner else ""
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing{needed}", None
    if kind in _UNKNOWN:
        what = f"{owner} has no" if owner else "unknown key"
        known_here = _siblings(model, place.path)
        return f"{what} `{shorten(name)}`", did_you_mean(name.rpartition(".")[2], known_here, "it has")
    if kind in ("value_error", "assertion_error"):
        wrong = context.get("error")
        text = shorten(str(wrong) or "this value is refused", 300)
        return (f"`{name}`: {text}" if name else text), getattr(wrong, "hint", None)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag, known = context["discriminator"].strip("'"), _CHOICE.findall(context.get("expected_tags", ""))
        if kind == "union_tag_not_found":
            return f"`{name}.{tag}` is missing", None
        return f"`{name}.{tag}` cannot be {shorten(str(context['tag']))}", did_you_mean(str(context["tag"]), known)
    return _misfit(place, errors)


def _misfit(place: _Place, errors: list[ErrorDetails]) -> tuple[str, str | None]:
    """A value that is not what is wanted; a union wants one of several things."""
    choices = [c for e in errors for c in _CHOICE.findall(e.get("ctx", {}).get("expected", ""))]
    wants = list(dict.fromkeys(_wants(e) for e in errors))
    listed = " or ".join(wants)
    if isinstance(place.node, Mapping) and "keys and values" not in wants:
        inner = next(iter(place.node.entries), "")
        return f"`{place.name}` wants {listed}, so it has no key `{shorten(inner)}`", None
    if choices and len(errors) == 1 and isinstance(place.node, Scalar):
        return f"`{place.name}` cannot be {show(place.node)}", did_you_mean(str(place.node.value), choices)
    return f"`{place.name}` wants {listed}, not {show(place.node)}", _hint(place.node, wants, choices)


def _wants(error: ErrorDetails) -> str:
    template = _WANTS.get(error["type"])
    if template is None:
        return shorten(error["msg"], 200)
    return template.format(**{k: _number(v) for k, v in error.get("ctx", {}).items()})


def _number(value: Any) -> Any:
    return f"{value:.15g}" if isinstance(value, float) else value


def _hint(node: Node, wants: list[str], choices: list[str]) -> str | None:
    """What the writer probably meant."""
    if not isinstance(node, Scalar):
        return None
    number = any(w in _NUMBERS for w in wants)
    if isinstance(node.value, str):
        if number and not node.plain and re.match(r"[-+.]?\d", node.value):
            return f"take the quotes away: {shorten(node.value)}"
        if number and (clock := _CLOCK.match(node.value)):
            return _clock(clock)
        if "true or false" in wants and node.value.lower() in ("yes", "on", "y", "no", "off", "n"):
            return f"write {'true' if node.value.lower() in ('yes', 'on', 'y') else 'false'}"
        return did_you_mean(node.value, choices) if choices else None
    if isinstance(node.value, float) and "an integer" in wants and node.value.is_integer():
        return f"write {node.value:.0f}"
    if "text" in wants and node.value is not None:
        return f"put it in quotes: '{shorten(node.written)}'"
    return None


def _clock(match: re.Match[str]) -> str:
    first, second, third = (int(g) if g else 0 for g in match.groups())
    if match[3]:
        return f"that is {first * 60 + second + third / 60:g} minutes or {first * 3600 + second * 60 + third} seconds"
    return f"that is {first * 60 + second} minutes as h:mm, or {first * 60 + second} seconds as m:ss"


def _siblings(model: type, path: tuple[str | int, ...]) -> set[str]:
    """The keys that may stand where `path` ends."""
    models = [model]
    for part in path[:-1]:
        inner = [m for outer in models if part in _fields(outer) for m in _inside(_fields(outer)[str(part)])]
        models = inner or models
    return {name for m in models for name in _fields(m)}


def _fields(model: Any) -> dict[str, Any]:
    """The keys that values of a model have, and the type of each."""
    if issubclass(model, BaseModel):
        return {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    hints = get_type_hints(model)
    return {f.name: hints[f.name] for f in fields(model)}


def _inside(annotation: Any) -> list[type]:
    waiting: list[Any] = [annotation]
    found: list[type] = []
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and (is_dataclass(annotation) or issubclass(annotation, BaseModel)):
            found.append(annotation)
        else:
            waiting.extend(get_args(annotation))
    return found
