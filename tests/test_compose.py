"""YAML text to nodes: values as YAML 1.2 has them, places from 1, and what a question does not need refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtools import mistakes, parse, spot, unmark
from hpc_sweep import nodes
from hpc_sweep.compose import DEPTH, NODES, resolve


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 0.0001), ("7e-5", 7e-5), ("1E3", 1000.0), (".5", 0.5), ("3.", 3.0), ("-2.5e+3", -2500.0), ("1.0", 1.0),
        ("0", 0), ("-7", -7), ("+3", 3), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
        ("true", True), ("False", False), ("null", None), ("~", None),
        ("no", "no"), ("on", "on"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("NO", "NO"),
        ("1:30:00", "1:30:00"), ("1:30", "1:30"), ("t->v", "t->v"), ("t&v", "t&v"), ("v1.2.3", "v1.2.3"),
        ("1e", "1e"), ("-", "-"), ("+", "+"), (".", "."), ("e5", "e5"), ("1,5", "1,5"), ("nan", "nan"), ("inf", "inf"),
        ("0.10", 0.1), ("0e0", 0.0), ("2026-11", "2026-11"), ("1_", "1_"), ("_1", "_1"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_yaml_1_2_says(written: str, value: object) -> None:
    got, problem, _ = resolve(written)
    assert problem is None
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("010", "write 10 if it is a number, '010' if it is text"),
        ("-010", "write -10 if it is a number, '-010' if it is text"),
        ("0o10", "write 8 if it is a number, '0o10' if it is text"),
        ("0x1F", "write 31 if it is a number, '0x1F' if it is text"),
        ("0b11", "write 3 if it is a number, '0b11' if it is text"),
        ("1_000", "write 1000 if it is a number, '1_000' if it is text"),
        ("00", "write 0 if it is a number, '00' if it is text"),
        ("01.5", "write 1.5 if it is a number, '01.5' if it is text"),
        ("0b12", "write a plain number, or '0b12' if it is text"),
        ("0" * 5000, "write a plain number, or "),
    ],
)
def test_numbers_with_two_readings_are_asked_to_be_written_plainly(written: str, hint: str) -> None:
    _, problem, told = resolve(written)
    assert problem and "can be read in more than one way" in problem
    assert told and told.startswith(hint)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (".nan", "is not a number that a run can be asked with"),
        (".NaN", "is not a number that"),
        (".inf", "is not a number that"),
        ("-.INF", "is not a number that"),
        ("1e999", "too large"),
        ("-1e999", "too large"),
        ("1e-999", "too small"),
        ("9223372036854775808", "beyond 64 bits"),
        ("-9223372036854775809", "beyond 64 bits"),
        ("9" * 5000, "beyond 64 bits"),
        ("2026-11-20", "is a date to some readers"),
        ("2026-1-2", "is a date to some readers"),
        ("2026-11-20T10:00:00Z", "is a date to some readers"),
    ],
)
def test_values_that_cannot_be_meant(written: str, words: str) -> None:
    _, problem, _ = resolve(written)
    assert problem and words in problem
    assert len(problem) < 150


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back_and_minus_zero_is_zero(number: float) -> None:
    value, problem, _ = resolve(repr(number))
    if problem is None:
        assert isinstance(value, float) and value == number
        assert math.copysign(1, value) > 0 or value != 0
    else:
        assert "too small" in problem


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_is_read_back(number: int) -> None:
    assert resolve(str(number)) == (number, None, None)


def test_quoted_values_are_text_whatever_they_look_like() -> None:
    root = parse("a: '1'\nb: \"true\"\nc: '010'\nd: '2026-11-20'\ne: ''\n").root
    assert nodes.plain(root) == {"a": "1", "b": "true", "c": "010", "d": "2026-11-20", "e": ""}


def test_places_are_counted_from_one_in_characters() -> None:
    text, spots = unmark("a: «fast»\nbé:\n  - «[1, 2]»\n  - 𝒳: «'x y'»\n    z: «|»\n      text\n")
    root = parse(text).root
    second = root.get("bé")
    assert isinstance(second, nodes.Sequence)
    inner = second.items[1]
    assert isinstance(inner, nodes.Mapping)
    found = [root.get("a"), second.items[0], inner.get("𝒳"), inner.get("z")]
    assert [node and tuple(node.mark) for node in found] == spots


def test_an_empty_value_is_shown_at_its_key() -> None:
    value = parse("a: 1\nlr:\n").root.get("lr")
    assert isinstance(value, nodes.Scalar)
    assert value.value is None and value.mark == (2, 1, 2)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_give_the_same_places(line_end: str) -> None:
    text = line_end.join(["a: 1", "b: 010", ""])
    assert [spot(p) for p in mistakes(text)] == [(2, 4, 3)]


REFUSED = {
    "anchor": ("a: «&x» 1\n", "anchors are not read: `&x`"),
    "alias": ("a: «*x»\n", "aliases are not read: `*x`"),
    "merge key": ("a: {«<<»: 1}\n", "merge keys (`<<`) are not read"),
    "python tag": ("a: «!!python/name:os.system» [echo]\n", "tags are not read: `!!python/name:os.system`"),
    "binary tag": ("a: «!!binary» aGk=\n", "tags are not read: `!!binary`"),
    "set tag": ("a: «!!set» {x, y}\n", "tags are not read: `!!set`"),
    "own tag": ("a: «!env» HOME\n", "tags are not read: `!env`"),
    "empty tag": ("a: «!» x\n", "tags are not read: `!`"),
    "long tag": ("a: «!<tag:yaml.org,2002:str>» x\n", "tags are not read: `!<tag:yaml.org,2002:str>`"),
    "directive": ("«%YAML 1.1»\n---\na: 1\n", "a YAML directive is not read"),
    "tag directive": ("«%TAG ! x:»\n---\na: 1\n", "a YAML directive is not read"),
    "second document": ("a: 1\n«---»\nb: 2\n", "a second document starts here"),
    "duplicate key": ("a: 1\nb: 2\n«a»: 3\n", "`a` stands here twice; the first is in line 1"),
    "number as key": ("«1»: a\n", "a key must be text"),
    "null as key": ("«~»: a\n", "a key must be text"),
    "list as key": ("«[1]»: a\n", "a key must be text"),
    "mapping as key": ("? «{x: 1}»\n: a\n", "a key must be text"),
    "unclosed list": ("a: «[»1, 2\nb: 3\n", "this `[` is not closed, or a comma is missing before line 2"),
    "unclosed list at the end": ("a: «[»1, 2\n", "this `[` is not closed, or a comma is missing before the end"),
    "unclosed list after its bracket": ("a: «[»\n", "this `[` is not closed"),
    "unclosed mapping": ("a: «{»x: 1\nb: 3\n", "this `{` is not closed, or a comma is missing before line 2"),
    "inner unclosed list": ("a: [1, «[»2\n", "this `[` is not closed"),
    "unclosed quote": ("a: «'»x\nb: 3\n", "this quote is never closed"),
    "unclosed double quote": ('a: «"»x\nb: 3\n', "this quote is never closed"),
    "percent": ("a: «%»5\n", "`%` cannot start a value"),
    "at sign": ("a: «@»x\n", "`@` cannot start a value"),
    "backtick": ("a: «`»x`\n", "``` cannot start a value"),
    "tab": ("a:\n«\t»b: 1\n", "a tab in the indentation"),
    "tab after spaces": ("a:\n  «\t»b: 1\n", "a tab in the indentation"),
    "two colons": ("a: b«:» c\n", "a `:` is not expected here"),
    "odd indentation": ("a: 1\n b«:» 2\n", "a `:` is not expected here"),
    "dash after colon": ("a: «-» 1\n", "a `-` is not expected here"),
    "no space after the colon": ("a: 1\n«b»:2\n", "a key without its `:`"),
    "list then key": ("- a\n«b»: 1\n", "this does not belong to what stands above it"),
    "text after a quote": ("a: 'x' «y»\n", "this does not belong to what stands above it"),
    "unknown escape": ('a: "\\«q»"\n', "this escape is unknown"),
    "escape beyond unicode": ('«a»: "\\UFFFFFFFF"\n', "cannot be read as YAML"),
    "override": ("a: x«\u202e»y\n", "an invisible character (U+202E) stands in the text"),
    "override in a comment": ("a: 1 # x«\u2066»y\n", "an invisible character (U+2066)"),
    "escaped override": ('a: «"x\\u202ey"»\n', "an invisible character (U+202E) stands in this text"),
    "control character": ("a: x«\x07»y\n", "an invisible character (U+0007)"),
    "escaped control character": ('a: «"\\e[2J"»\n', "an invisible character (U+001B)"),
    "line separator": ("a: x«\u2028»y\n", "an invisible character (U+2028)"),
    "half a character": ('a: «"\\ud800"»\n', "an invisible character (U+D800)"),
    "accent apart": ("a: «cafe\u0301»\n", "an accent is written apart from its letter"),
    "accent apart in a key": ("«e\u0301»: 1\n", "an accent is written apart from its letter"),
    "long text": (f"a: «{'x' * 4097}»\n", "a text of 4,097 bytes; at most 4,096"),
    "long text in bytes": (f"a: «{'é' * 2049}»\n", "a text of 4,098 bytes; at most 4,096"),
    "octal": ("a: [1, «010»]\n", "`010` can be read in more than one way"),
    "empty": ("«»", "the file is empty"),
    "spaces": ("«»  \n\n", "the file is empty"),
    "only comments": ("«#» nothing yet\n", "the file holds only comments"),
    "list at the top": ("«-» a\n- b\n", "the file is a list; it must be keys and values"),
    "text at the top": ("«just words»\n", "the file is a single value; it must be keys and values"),
    "null at the top": ("«~»\n", "the file is a single value"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_said_at_its_place(name: str) -> None:
    marked, message = REFUSED[name]
    text, (place,) = unmark(marked)
    (problem,) = mistakes(text)
    assert message in problem.message
    assert spot(problem) == place


def test_all_mistakes_of_a_text_are_told_together_in_the_order_of_lines() -> None:
    text, spots = unmark("a: «010»\nb: «&x» 1\nc: [«.nan», «*x»]\n«a»: 2\nd: «2026-11-20»\n")
    assert [spot(p) for p in mistakes(text)] == spots


def test_mistakes_before_a_broken_line_are_told_too() -> None:
    text, spots = unmark("a: «010»\nb: «[»1\nc: 2\n")
    assert [spot(p) for p in mistakes(text)] == spots


def test_a_problem_is_told_once_a_place() -> None:
    document = parse("a: 1\n")
    document.report(document.root.mark, "first")
    document.report(document.root.mark, "second")
    assert [p.message for p in document.problems] == ["first"]


def test_messages_hold_no_line_break_whatever_the_file_holds() -> None:
    (problem,) = mistakes('"a\\nb": 1\n"a\\nb": 2\n')
    assert "\n" not in problem.message and "stands here twice" in problem.message


def nested(depth: int) -> str:
    return "a: " + "[" * depth + "]" * depth + "\n"


def test_depth_is_bounded() -> None:
    assert mistakes(nested(DEPTH - 1)) == []
    (problem,) = mistakes(nested(DEPTH))
    assert problem.message == "nested deeper than 20 levels" and problem.column == 3 + DEPTH


def test_the_number_of_values_is_bounded() -> None:
    most = NODES - 3  # the mapping, its key and the list
    assert mistakes("a: [" + "x," * most + "]\n") == []
    (problem,) = mistakes("a: [" + "x," * (most + 1) + "]\n")
    assert problem.message == "more than 20,000 values in one file"


BOMBS = {
    "doubling": "a: &a [x, x]\n"
    + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "itself": "a: &a [*a]\n",
    "brackets": "a: " + "[" * 100_000,
    "dashes": "- " * 300_000,
    "questions": "? " * 300_000,
    "digits": "a: " + "9" * 5000 + "\n",
    "exponent": "a: 1e" + "9" * 5000 + "\n",
    "hexadecimal": "a: 0x" + "f" * 5000 + "\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_does_not_go_off(name: str) -> None:
    found = mistakes(BOMBS[name])
    assert found and all(len(p.message) < 200 for p in found)
