"""What points need of a machine: the entries of `resources`, and which of them apply to a point.

A later rule that applies goes over an earlier one, key by key. It refuses a point that no rule gives `minutes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field, ValidationError

from hpc_sweep import config, nodes
from hpc_sweep.axes import Axis, Selection, select
from hpc_sweep.explain import WrongValueError, explain
from hpc_sweep.nodes import Document, Mapping, shorten, show
from hpc_sweep.records import Point

_RECIPE = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}\Z")


def _recipe(value: str) -> str:
    if not _RECIPE.match(value):
        raise WrongValueError("the name of a file in configs/deepspeed, such as zero1-fp16")
    return value


class Resources(config.Strict):
    """What one point needs; `gpus` and `mem` (GB) count for each node, `cpus` for each task."""

    gpus: int = Field(default=0, ge=0)
    cpus: int = Field(default=1, ge=1)
    mem: float | None = Field(default=None, gt=0)
    minutes: float = Field(gt=0, le=525_600)
    points_per_shard: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    tasks_per_node: int = Field(default=1, ge=1)
    deepspeed: Annotated[str, AfterValidator(_recipe)] | None = None
    accumulate: int = Field(default=1, ge=1)
    checkpoint_minutes: float = Field(default=10.0, gt=0, le=525_600)


class HasAxes(Protocol):
    """A point, from a grid or read back from a sweep."""

    @property
    def axes(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Rule:
    """One entry of `resources`: what it sets, and for which points (all of them when `when` is empty)."""

    node: Mapping
    selection: Selection
    sets: dict[str, Any]
    when: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = ()

    def applies(self, point: HasAxes) -> bool:
        return all(_key(point.axes[name] for name in names) in values for names, values in self.when)


def read_rules(document: Document, axes: Sequence[Axis]) -> list[Rule]:
    node = document.root.get("resources")
    items = node.items if isinstance(node, nodes.Sequence) else ()
    return [_rule(document, item, axes) for item in items if isinstance(item, Mapping)]


def _rule(document: Document, node: Mapping, axes: Sequence[Axis]) -> Rule:
    when, values = node.get("when"), node.without("when")
    sets = nodes.plain(values)
    selection = None
    if isinstance(when, Mapping):
        selection = select(document, when, axes)
    elif when is not None:
        document.report(when.mark, f"`when` wants axes and their values, not {show(when)}")
    try:
        config.validate(Resources, {"minutes": 1, **sets})
    except ValidationError as error:
        document.add(explain(values, error.errors(include_url=False), Resources))
    return Rule(node, selection or Selection(()), sets)


def settle(rule: Rule, axes: Sequence[Axis], values: list[list[tuple[Any, ...]]]) -> Rule:
    """Have a rule know the values of its points, so that a point read back from a sweep can be asked too."""
    when = tuple(
        (tuple(name.written for name in axes[i].names), frozenset(_key(values[i][row]) for row in rows))
        for i, rows in rule.selection.rows
    )
    return replace(rule, when=when)


def _key(values: Iterable[Any]) -> str:
    return repr(tuple(values))


def shapes_of(document: Document, rules: Sequence[Rule], points: Sequence[Point]) -> dict[tuple[int, ...], Resources]:
    """What the rules come to, for every set of rules that applies to a point."""
    first: dict[tuple[int, ...], Point] = {}
    for point in points:
        first.setdefault(applying(rules, point), point)
    shapes = {}
    for numbers, point in first.items():
        merged: dict[str, Any] = {}
        for i in numbers:
            merged |= rules[i].sets
        if "minutes" in merged:
            shapes[numbers] = config.validate(Resources, merged)
        else:
            key = document.root.entries["resources"][0]
            which = ", ".join(f"{name}={value}" for name, value in point.axes.items())
            message = f"no rule says how many `minutes` a point takes: {shorten(which, 80) or 'the one there is'}"
            document.report(key.mark, message, "begin with a rule without `when`: it holds for every point")
    return shapes


def applying(rules: Sequence[Rule], point: HasAxes) -> tuple[int, ...]:
    return tuple(i for i, rule in enumerate(rules) if rule.applies(point))
