"""From combinations to points: what a Config checks, completes and refuses, and how the faults of a job are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtools import TRAIN, load, refused, spot, unmark
from hpc_sweep import job, points
from hpc_sweep.errors import InputError
from hpc_sweep.nodes import Mark, plain

HEAD = "name: x\njob: train\nresources: [{minutes: 1}]\n"
MINIMAL = """
from pydantic import field_validator
from hpc_sweep.job import Config as Base

class Config(Base):
{body}

def run(config, ctx): ...
"""


def minimal(*lines: str) -> str:
    return MINIMAL.replace("{body}", "\n".join(f"    {line}" for line in lines))


# dotted keys


def test_dotted_keys_and_nested_keys_are_one(tmp_path: Path) -> None:
    one = load(tmp_path, HEAD + "fixed: {optimizer: {name: sgd}}\naxes: {optimizer.lr: [0.1, 1]}\n")
    two = load(tmp_path, HEAD + "fixed: {optimizer.name: sgd}\naxes: {optimizer.lr: [0.1, 1.0]}\n")
    assert [p.id for p in one.points] == [p.id for p in two.points]
    assert one.points[1].config["optimizer"] == {"name": "sgd", "lr": 1.0}
    assert one.points[1].axes == {"optimizer.lr": 1.0}
    assert one.axes == {"optimizer.lr": [0.1, 1.0]}


def test_a_misfit_of_a_dotted_axis_is_told_at_its_value(tmp_path: Path) -> None:
    text, places = unmark(HEAD + "fixed: {optimizer.name: «adm»}\naxes: {optimizer.lr: [0.1, «-1», «x»]}\n")
    found = refused(tmp_path, text)
    assert [spot(p) for p in found] == places
    assert found[1].message == "`optimizer.lr` wants more than 0, not -1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed: {optimizer.lr: 0.1, optimizer: {«lr»: 0.2}}\n", "`lr` has a value already, in line 4"),
        ("fixed: {optimizer.lr: 0.1, «optimizer»: adam}\n", "one is a single value, one has keys inside"),
        ("fixed: {«optimizer..lr»: 0.1}\n", "`optimizer..lr` is no path to a value"),
        ("axes: {«.lr»: [0.1]}\n", "`.lr` is no path to a value"),
        ("fixed: {«a.b.c.d.e.f.g.h.i.j.k»: 1}\n", "is no path to a value"),
        ("fixed:\n  ? «" + "a." * 2000 + "a»\n  : 1\n", "is no path to a value"),
        ("fixed: {«optimizr.lr»: 0.1}\n", "job `train` has no `optimizr` | did you mean `optimizer`?"),
        ("fixed: {optimizer: {«rate»: 0.1}}\n", "job `train` has no `optimizer.rate`"),
    ],
)
def test_paths_that_lead_nowhere(tmp_path: Path, text: str, message: str) -> None:
    clean, (place,) = unmark(HEAD + text)
    (problem,) = refused(tmp_path, clean)
    words, _, hint = message.partition(" | ")
    assert words in problem.message and spot(problem) == place
    assert hint in (problem.hint or "")


def test_nest_shares_what_is_not_on_the_path() -> None:
    from gridtools import parse

    entries = parse("a.b: 1\nc: {d: 2}\na.e.f: 3\n").root.entries.values()
    assert plain(points.nest(Mark(1, 1, 1), entries)) == {"a": {"b": 1, "e": {"f": 3}}, "c": {"d": 2}}


# values that do not go together


def together(folder: Path, text: str, train: str = TRAIN) -> tuple[str, str | None, tuple[int, int, int]]:
    (problem,) = refused(folder, HEAD + text, train=train)
    return problem.message, problem.hint, spot(problem)


def test_what_does_not_go_together_is_told_with_the_rule_that_leaves_it_out(tmp_path: Path) -> None:
    marked = "axes:\n  model: [s2lif, mart]\n  seed: [1, 2]\n  tuning: [finetune, «frozen»]\n"
    text, (place,) = unmark(HEAD + marked)
    (problem,) = refused(tmp_path, text)
    assert problem.message == "model=mart, tuning=frozen do not go together: MART has nothing to freeze"
    assert problem.hint == "leave them out: skip: [{model: mart, tuning: frozen}]"
    assert spot(problem) == place
    made = load(tmp_path, text + "skip: [{model: mart, tuning: frozen}]\n")
    assert len(made.points) == 6


def test_the_rule_names_every_value_that_fails(tmp_path: Path) -> None:
    train = minimal(
        "a: int = 0", "b: int = 0", "def __post_init__(self):",
        "    if self.a > 1 and self.b == 1: raise ValueError('a is too large for b')",
    )  # fmt: skip
    text = "axes: {a: {range: [0, 4]}, b: [0, 1]}\n"
    message, hint, _ = together(tmp_path, text, train)
    assert message == "a=2|3, b=1 do not go together: a is too large for b"
    assert hint == "leave them out: skip: [{a: [2, 3], b: 1}]"
    assert len(load(tmp_path, HEAD + text + "skip: [{a: [2, 3], b: 1}]\n", train=train).points) == 6


def test_where_no_single_rule_would_do_an_example_is_given(tmp_path: Path) -> None:
    train = minimal(
        "a: int = 0", "b: int = 0", "seed: int = 0", "def __post_init__(self):",
        "    if self.a == self.b: raise ValueError('a and b must differ')",
    )  # fmt: skip
    message, hint, _ = together(tmp_path, "axes: {a: [1, 2], b: [1, 2], seed: [7]}\n", train)
    assert message == "a=1, b=1 do not go together: a and b must differ"
    assert hint == "leave such points out: skip: [{a: 1, b: 1}]"


def test_zipped_values_that_do_not_go_together(tmp_path: Path) -> None:
    marked = "axes: {p: {zip: {model: [s2lif, «mart»], tuning: [frozen, frozen]}}}\n"
    text, (place,) = unmark(HEAD + marked)
    (problem,) = refused(tmp_path, text)
    assert problem.hint == "leave them out: skip: [{model: mart, tuning: frozen}]" and spot(problem) == place


def test_what_every_point_refuses_is_told_at_fixed(tmp_path: Path) -> None:
    text, (place,) = unmark(HEAD + "«fixed»: {model: mart, tuning: frozen}\naxes: {seed: [1, 2]}\n")
    (problem,) = refused(tmp_path, text)
    assert problem.message == "job `train` refuses every point: MART has nothing to freeze" and spot(problem) == place


def test_what_skip_leaves_out_need_not_go_together(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + "axes: {model: [mart], tuning: [frozen, finetune]}\nskip: [{tuning: frozen}]\n")
    assert [p.axes for p in made.points] == [{"model": "mart", "tuning": "finetune"}]
    assert made.axes == {"model": ["mart"], "tuning": ["frozen", "finetune"]}


def test_a_value_that_skip_leaves_out_must_still_be_one(tmp_path: Path) -> None:
    text, (place,) = unmark(HEAD + "axes: {tuning: [finetune, «frosen»]}\nskip: [{tuning: frosen}]\n")
    (problem,) = refused(tmp_path, text)
    assert spot(problem) == place


def test_many_different_refusals_do_not_take_for_ever(tmp_path: Path) -> None:
    train = minimal(
        "seed: int = 0", "def __post_init__(self):",
        "    if self.seed: raise ValueError(f'seed {self.seed} is unlucky')",
    )  # fmt: skip
    found = refused(tmp_path, HEAD + "axes: {seed: [" + ",".join(map(str, range(3000))) + "]}\n", train=train)
    assert len(found) == 10


# what a job needs, and what it does


def test_what_a_job_needs_is_told_once(tmp_path: Path) -> None:
    text, (place,) = unmark(HEAD + "«axes»: {seed: [1, 2, 3]}\n")
    (problem,) = refused(tmp_path, text, train=minimal("seed: int", "model: str"))
    assert problem.message == "`model` is missing: job `train` needs it" and spot(problem) == place


def test_what_a_broken_axis_would_have_given_is_not_called_missing(tmp_path: Path) -> None:
    found = refused(tmp_path, HEAD + "axes: {model: [], seed: [1]}\n", train=minimal("seed: int", "model: str"))
    assert [p.message for p in found] == ["axis `model` is empty"]


def test_a_tuple_and_an_enumeration_are_what_json_has(tmp_path: Path) -> None:
    train = "from enum import Enum\nclass Colour(Enum):\n    red = 'red'\n" + minimal(
        "colour: Colour", "sizes: tuple[int, ...]"
    )
    (point,) = load(tmp_path, HEAD + "fixed: {colour: red, sizes: [1, 2]}\n", train=train).points
    assert point.config == {"colour": "red", "sizes": [1, 2]}


def test_two_values_that_the_job_reads_alike_are_one_point(tmp_path: Path) -> None:
    train = minimal("data: str = 'x'", "@field_validator('data')", "@classmethod", "def low(cls, v): return v.lower()")
    text, (place,) = unmark(HEAD + "axes: {data: [mosi, meld, «MOSI»]}\n")
    (problem,) = refused(tmp_path, text, train=train)
    assert problem.message == "points 0 and 2 are one: job `train` reads both alike" and spot(problem) == place


def test_two_points_with_one_id_by_chance_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "point_id", lambda job, config: f"{config['seed'] % 2:012x}")
    text, (place,) = unmark(HEAD + "axes: {seed: [1, 2, «3»]}\n")
    (problem,) = refused(tmp_path, text)
    assert problem.message == "points 0 and 2 have the same id 000000000001, by chance" and spot(problem) == place


def test_a_config_must_read_back_what_it_wrote(tmp_path: Path) -> None:
    train = minimal(
        "x: float = 1.0", "@field_validator('x')", "@classmethod", "def half(cls, v): return v / 2",
    )  # fmt: skip
    text, (place,) = unmark(HEAD.replace("train", "«train»") + "fixed: {x: 4}\n")
    (problem,) = refused(tmp_path, text, train=train)
    assert "does not read back what it wrote: x (2.0 becomes 1.0)" in problem.message and spot(problem) == place


def test_a_point_can_be_read_by_its_job(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + "fixed: {sources: [a, b]}\naxes: {optimizer.lr: [1, 0.5]}\n")
    train = job.load("train", tmp_path / "jobs")
    for point in made.points:
        assert train.adapter.dump_python(train.check(point.config), mode="json") == point.config


# a job that does not work

BROKEN = {
    "raises": ("import json\n\nraise RuntimeError('no\\ndata')\n", "train.py:3: RuntimeError: no data"),
    "deep": ("def f():\n    return {}['key']\nf()\n", "train.py:2: KeyError: 'key'"),
    "syntax": ("def run(:\n", "train.py:1: SyntaxError: invalid syntax"),
    "import": ("\nimport no_such_module\n", "train.py:2: ModuleNotFoundError: No module named 'no_such_module'"),
    "elsewhere": ("import json\njson.loads('{')\n", "train.py:2: JSONDecodeError: Expecting property name"),
    "exits": ("import sys\nsys.exit(3)\n", "train.py:2: SystemExit: 3"),
    "silent": ("raise ValueError\n", "train.py:1: ValueError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_job_that_cannot_be_loaded_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    source, words = BROKEN[name]
    text, (place,) = unmark(HEAD.replace("train", "«train»"))
    (problem,) = refused(tmp_path, text, train=source)
    assert problem.message.startswith("job `train` cannot be loaded: ") and words in problem.message
    assert spot(problem) == place


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\n", "has no `Config`"),
        ("from hpc_sweep.job import Config\n", "has no `run`"),
        ("Config = 3\ndef run(c, x): ...\n", "must derive from hpc_sweep.job.Config"),
    ],
)
def test_a_file_that_is_no_job(tmp_path: Path, source: str, words: str) -> None:
    (problem,) = refused(tmp_path, HEAD, train=source)
    assert words in problem.message and (problem.line, problem.column) == (2, 6)


def test_a_broken_job_does_not_hide_the_other_mistakes(tmp_path: Path) -> None:
    found = refused(tmp_path, HEAD + "axes: {seed: [1, 1]}\naxis: 1\n", train="1/0\n")
    assert [p.line for p in found] == [2, 4, 5]


def test_a_validator_that_breaks_is_told_with_its_line(tmp_path: Path) -> None:
    train = minimal("x: int = 1", "@field_validator('x')", "@classmethod", "def bad(cls, v): return {}['key']")
    with pytest.raises(InputError) as caught:
        load(tmp_path, HEAD + "fixed: {x: 2}\n", train=train)
    assert "the Config of job `train` fails" in caught.value.message
    assert "train.py:9: KeyError: 'key'" in caught.value.message
