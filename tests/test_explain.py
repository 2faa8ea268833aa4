"""How a value that does not fit is worded: what is wanted, what is there, what was probably meant."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from gridtools import parse, spot, unmark
from hpc_sweep import config, nodes
from hpc_sweep.errors import Problem
from hpc_sweep.explain import WrongValueError, explain


class Colour(Enum):
    red = "red"
    blue = "blue"


class Adam(config.Strict):
    kind: Literal["adam"] = "adam"
    lr: float = Field(default=0.1, gt=0)


class Sgd(config.Strict):
    kind: Literal["sgd"] = "sgd"
    momentum: float = 0.9


class Everything(config.Strict):
    integer: int = Field(default=0, ge=0, le=10)
    number: float = Field(default=0.5, gt=0, lt=1)
    eights: int = Field(default=8, multiple_of=8)
    flag: bool = False
    text: str = "x"
    short: str = Field(default="ab", min_length=2, max_length=3)
    pattern: str = Field(default="a1", pattern="^[a-z][0-9]$")
    choice: Literal["mart", "s2lif", "mult"] = "mart"
    two: Literal[1, 2] = 1
    colour: Colour = Colour.red
    maybe: int | None = None
    either: int | Literal["all"] = 1
    numbers: tuple[int, ...] = ()
    few: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    table: dict[str, int] = {}
    path: Path = Path("x")
    adam: Adam = Adam()
    one_of: Adam | Sgd = Adam()
    tagged: Annotated[Adam | Sgd, Field(discriminator="kind")] = Adam()
    steps: list[Adam] = []
    checked: str = "x"
    hinted: str = "x"

    @field_validator("checked")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "bad":
            raise ValueError("this word is not wanted")
        if value == "worse":
            raise AssertionError("nor is\nthis")
        return value

    @field_validator("hinted")
    @classmethod
    def _hint(cls, value: str) -> str:
        if value == "bad":
            raise WrongValueError("this word is not wanted", "take another")
        return value


def problems(text: str, owner: str | None = None) -> list[Problem]:
    document = parse(text)
    try:
        config.validate(Everything, nodes.plain(document.root))
    except ValidationError as error:
        return list(explain(document.root, error.errors(include_url=False), Everything, owner))
    return []


SENTENCES = {
    "integer: «1.5»": "`integer` wants an integer, not 1.5",
    "integer: «2.0»": "`integer` wants an integer, not 2.0 | write 2",
    "integer: «1e1»": "`integer` wants an integer, not 1e1 | write 10",
    "integer: «true»": "`integer` wants an integer, not true",
    "integer: «'1'»": '`integer` wants an integer, not "1" | take the quotes away: 1',
    "integer: «null»": "`integer` wants an integer, not nothing (null)",
    "«integer»:": "`integer` wants an integer, not nothing (null)",
    "integer: «[1]»": "`integer` wants an integer, not a list",
    "integer: «{a: 1}»": "`integer` wants an integer, so it has no key `a`",
    "integer: «-1»": "`integer` wants at least 0, not -1",
    "integer: «11»": "`integer` wants at most 10, not 11",
    "number: «fast»": "`number` wants a number, not fast",
    "number: «0»": "`number` wants more than 0, not 0",
    "number: «1.0»": "`number` wants less than 1, not 1.0",
    "number: «true»": "`number` wants a number, not true",
    "number: «1:30:00»": "`number` wants a number, not 1:30:00 | that is 90 minutes or 5400 seconds",
    "number: «1:30»": "`number` wants a number, not 1:30 | that is 90 minutes as h:mm, or 90 seconds as m:ss",
    "number: «'.5'»": '`number` wants a number, not ".5" | take the quotes away: .5',
    "eights: «12»": "`eights` wants a multiple of 8, not 12",
    "flag: «no»": "`flag` wants true or false, not no | write false",
    "flag: «On»": "`flag` wants true or false, not On | write true",
    "flag: «1»": "`flag` wants true or false, not 1",
    "text: «5»": "`text` wants text, not 5 | put it in quotes: '5'",
    "text: «1.10»": "`text` wants text, not 1.10 | put it in quotes: '1.10'",
    "text: «true»": "`text` wants text, not true | put it in quotes: 'true'",
    "text: «~»": "`text` wants text, not nothing (null)",
    "short: «a»": "`short` wants at least 2 characters, not a",
    "short: «abcd»": "`short` wants at most 3 characters, not abcd",
    "pattern: «b»": "`pattern` wants text that matches ^[a-z][0-9]$, not b",
    "choice: «s2lf»": "`choice` cannot be s2lf | did you mean `s2lif`?",
    "choice: «S2LIF»": "`choice` cannot be S2LIF | did you mean `s2lif`?",
    "choice: «zzz»": "`choice` cannot be zzz | it can be: mart, mult, s2lif",
    "choice: «3»": "`choice` cannot be 3 | it can be: mart, mult, s2lif",
    "two: «3»": "`two` wants 1 or 2, not 3",
    "colour: «blu»": "`colour` cannot be blu | did you mean `blue`?",
    "maybe: «x»": "`maybe` wants an integer, not x",
    "either: «al»": "`either` wants an integer or 'all', not al | did you mean `all`?",
    "either: «1.5»": "`either` wants an integer or 'all', not 1.5",
    "numbers: «3»": "`numbers` wants a list, not 3",
    "numbers: [1, «x»]": "`numbers` wants an integer, not x",
    "few: «[]»": "`few` wants at least 1 values, not a list",
    "few: «[1, 2, 3]»": "`few` wants at most 2 values, not a list",
    "table: «[1]»": "`table` wants keys and values, not a list",
    "table: {a: «x»}": "`table.a` wants an integer, not x",
    "path: «3»": "`path` wants text, not 3 | put it in quotes: '3'",
    "adam: «3»": "`adam` wants keys and values, not 3",
    "adam: {lr: «0»}": "`adam.lr` wants more than 0, not 0",
    "adam: {«lrr»: 1}": "unknown key `adam.lrr` | did you mean `lr`?",
    "one_of: «3»": "`one_of` wants keys and values, not 3",
    "one_of: {«momentun»: 1}": "unknown key `one_of.momentun` | did you mean `momentum`?",
    "tagged: {kind: sgd, «momentun»: 1}": "unknown key `tagged.momentun` | did you mean `momentum`?",
    "tagged: «{kind: sdg}»": "`tagged.kind` cannot be sdg | did you mean `sgd`?",
    "tagged: «{lr: 1}»": "`tagged.kind` is missing",
    "steps: [{lr: 1}, {lr: «-1»}]": "`steps.lr` wants more than 0, not -1",
    "steps: [{lr: 1}, {«ler»: 1}]": "unknown key `steps.ler` | did you mean `lr`?",
    "«integr»: 1": "unknown key `integr` | did you mean `integer`?",
    "checked: «bad»": "`checked`: this word is not wanted",
    "checked: «worse»": "`checked`: nor is this",
    "hinted: «bad»": "`hinted`: this word is not wanted | take another",
}  # fmt: skip


@pytest.mark.parametrize("marked", SENTENCES)
def test_a_misfit_is_worded_and_placed(marked: str) -> None:
    text, (place,) = unmark(marked + "\n")
    (problem,) = problems(text)
    message, _, hint = SENTENCES[marked].partition(" | ")
    assert (problem.message, problem.hint) == (message, hint or None)
    assert spot(problem) == place


def test_a_key_with_no_relative_lists_what_there_is() -> None:
    (problem,) = problems("adam: {qqq: 1}\n")
    assert problem.hint == "it has: kind, lr"


def test_the_owner_of_keys_is_named() -> None:
    (problem,) = problems("zzz: 1\n", owner="job `train`")
    assert problem.message == "job `train` has no `zzz`"


def test_what_is_missing_is_told_where_it_should_be() -> None:
    class Inner(config.Strict):
        size: int

    class Wants(config.Strict):
        name: str
        inner: Inner
        other: Inner

    text, (nested,) = unmark("# a comment\ninner: «{}»\nunknown: 1\n")
    document = parse(text)
    with pytest.raises(ValidationError) as caught:
        config.validate(Wants, nodes.plain(document.root))
    found = list(explain(document.root, caught.value.errors(include_url=False), Wants, owner="job `train`"))
    assert sorted((spot(p), p.message) for p in found) == [
        ((2, 1, 1), "`name` and `other` are missing: job `train` needs them"),
        (nested, "`inner.size` is missing: job `train` needs it"),
        ((3, 1, 7), "job `train` has no `unknown`"),
    ]


def test_a_wrong_first_key_does_not_hide_what_is_missing() -> None:
    class Wants(config.Strict):
        name: str

    document = parse("nam: x\n")
    assert config.typed(document, Wants) is None
    assert sorted(p.message for p in document.problems) == ["`name` is missing", "unknown key `nam`"]


def test_several_misfits_are_told_at_once() -> None:
    text, spots = unmark("integer: «x»\nflag: «no»\nnumbers: [«a», 1, «b»]\nadam: {lr: «0», «x»: 1}\n")
    assert [spot(p) for p in problems(text)] == spots


def test_no_word_of_pydantic_reaches_a_reader() -> None:
    told = [f"{p.message} {p.hint}" for marked in SENTENCES for p in problems(unmark(marked + "\n")[0])]
    assert len(told) == len(SENTENCES)
    for word in ("Input should", "valid", "Value error", "literal", "pydantic", "Extra", "assert"):
        assert not [sentence for sentence in told if word in sentence]
