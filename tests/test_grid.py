"""Grids: every kind of bad grid has its sentence and its place, and a good one becomes the points that it asks for."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bad_grids import HEAD, KINDS
from gridtools import TRAIN, jobs_folder, load, refused, spot, unmark
from hpc_sweep import cluster, grid
from hpc_sweep.cluster import Profile
from hpc_sweep.errors import GridError
from hpc_sweep.records import point_id

V100 = Profile(
    name="v100",
    scheduler="slurm",
    partition="gpu_p13",
    node=cluster.Node(gpus=4, cpus=40, memory=192.0),
    limits=cluster.Limits(minutes=1200),
)


def test_every_kind_of_bad_grid_has_a_row() -> None:
    assert {int(kind.split()[0]) for kind in KINDS} == set(range(1, 65))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bad_grid_has_its_sentence_and_its_place(kind: str, tmp_path: Path) -> None:
    written, words = KINDS[kind]
    path, place = tmp_path / "x.yaml", None
    if isinstance(written, str):
        written, places = unmark(written)
        place = places[0] if places else None
        path.write_text(written)
    elif isinstance(written, bytes):
        path.write_bytes(written)
    else:
        assert isinstance(written, Callable)
        path = written(tmp_path)
    jobs = jobs_folder(tmp_path / "jobs", other=TRAIN)
    if words is None:
        assert grid.load(path, jobs).points
        return
    with pytest.raises(GridError) as caught:
        cluster.check(grid.load(path, jobs), V100)
    (problem,) = caught.value.problems
    if place is None:
        place_text, _, words = words.partition(" ")
        place = tuple(int(n) for n in place_text.split(":"))
    message, _, hint = words.partition(" | ")
    assert spot(problem) == place
    assert message in problem.message.replace(f" {jobs}", "")
    assert (hint or "") in (problem.hint or "")
    assert caught.value.exit_code == 2


def test_all_mistakes_are_told_together_in_the_order_of_lines(tmp_path: Path) -> None:
    text, places = unmark(
        "name: «X y»\n"
        "job: train\n"
        "fixed: {optimizer.lr: «-1», «lrr»: 3, epochs: «1.5», batch: «0», dropout: «no», limit: «'5'»}\n"
        "axes:\n"
        "  lr: [1e-4, «fast», «010», «1:30:00»]\n"
        "  model: [mart, «s2lf», s2lif]\n"
        "  data: [a, «a», «../x»]\n"
        "  seed: [1, 2, «2», «-1»]\n"
        "  layers: [1, «all», «some»]\n"
        "  «id»: [1]\n"
        "«axis»: 3\n"
        "skip:\n"
        "  - {model: «marta»}\n"
        "resources:\n"
        "  - {gpus: «-1», «mins»: 5}\n"
        "needs: [«Y»]\n"
        "max_fails: «120%»\n"
    )
    found = refused(tmp_path, text)
    assert [spot(p) for p in found] == places


def test_the_screen_of_the_specification(tmp_path: Path) -> None:
    """`A bad grid` of screens.md: each with its caret and its hint."""
    text, places = unmark(
        "name: x\njob: train\naxes:\n  lr: [1e-4, «fast»]\n  model: [mart, s2lif]\nresources: [{minutes: 1}]\n«axis»:\n"
        "only:\n- {seed: [1, 2]}\nskip:\n  - {model: «marta»}\n".replace("- {seed: [1, 2]}", "- {model: mart}")
    )
    found = refused(tmp_path, text)
    assert [spot(p) for p in found] == places
    assert [p.message for p in found] == [
        "`lr` wants a number, not fast",
        "unknown key `axis`",
        "no such value on axis `model`: marta",
    ]
    assert [p.hint for p in found] == [None, "did you mean `axes`?", "did you mean `mart`?"]


# a good grid

GOOD = """
name: s2lif_tables
job: train
about: tables 1 and 2
fixed: {epochs: 200, batch: 16, optimizer.name: sgd}
axes:
  tuning: [frozen, finetune]
  lr: [1e-3, 1]
  pair: {zip: {data: [mosi, meld], seed: [1, 2]}}
skip:
  - {tuning: frozen, data: [meld], why: example}
only:
  - {lr: 1}
  - {tuning: finetune, seed: 1}
resources:
  - {gpus: 1, minutes: 9, points_per_shard: 6}
  - {when: {tuning: finetune}, minutes: 95, points_per_shard: 1, deepspeed: zero1-fp16}
  - {when: {tuning: finetune, lr: 1.0}, mem: 64}
  - {when: {data: meld}, cpus: 8}
needs: [import_data]
expect: {points: 4}
max_fails: 20%
"""


def test_a_grid_becomes_points_in_the_order_of_its_axes(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    assert [tuple(p.axes.values()) for p in made.points] == [
        ("frozen", 1.0, "mosi", 1),
        ("finetune", 0.001, "mosi", 1),
        ("finetune", 1.0, "mosi", 1),
        ("finetune", 1.0, "meld", 2),
    ]
    assert [p.index for p in made.points] == [0, 1, 2, 3]
    assert list(made.points[0].axes) == ["tuning", "lr", "data", "seed"]
    assert made.points[3].config == {
        "model": "s2lif", "data": "meld", "tuning": "finetune", "lr": 1.0, "epochs": 200, "batch": 16, "seed": 2,
        "layers": 2, "dropout": False, "limit": None, "sources": [], "optimizer": {"name": "sgd", "lr": 0.001},
    }  # fmt: skip


def test_a_grid_keeps_what_was_asked(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    assert (made.name, made.job, made.about) == ("s2lif_tables", "train", "tables 1 and 2")
    assert made.text == GOOD and made.path == tmp_path / "x.yaml"
    assert made.fixed == {"epochs": 200, "batch": 16, "optimizer": {"name": "sgd"}}
    assert made.axes == {"tuning": ["frozen", "finetune"], "lr": [0.001, 1.0], "data": ["mosi", "meld"], "seed": [1, 2]}
    assert made.needs == ("import_data",) and made.expect == 4 and made.skipped == 4
    assert made.multiplication == "2 × 2 × 2 − 4 skipped = 4"
    with pytest.raises(FrozenInstanceError):
        made.name = "y"  # type: ignore[misc]


def test_later_rules_go_over_earlier_ones_key_by_key(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    first, second, third, fourth = (made.resources_of(p) for p in made.points)
    assert first == grid.Resources(gpus=1, minutes=9.0, points_per_shard=6)
    assert second == grid.Resources(gpus=1, minutes=95.0, points_per_shard=1, deepspeed="zero1-fp16")
    assert third == second.model_copy(update={"mem": 64.0})
    assert fourth == third.model_copy(update={"cpus": 8})
    assert set(made.shapes.values()) == {first, second, third, fourth}


def test_a_point_read_back_from_a_sweep_has_the_same_resources(tmp_path: Path) -> None:
    from hpc_sweep import files, ledger

    made = load(tmp_path, GOOD)
    for point in made.points:
        line = files.canonical({"id": point.id, "config": point.config, "axes": point.axes})
        read = ledger.Point(index=point.index, **__import__("json").loads(line))
        assert made.resources_of(read) == made.resources_of(point)
        assert read.id == point_id("train", read.config)


def test_resources_have_the_defaults_of_a_laptop(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD)
    asked = made.resources_of(made.points[0])
    assert asked.model_dump() == {
        "gpus": 0, "cpus": 1, "mem": None, "minutes": 1.0, "points_per_shard": 1, "nodes": 1, "tasks_per_node": 1,
        "deepspeed": None, "accumulate": 1, "checkpoint_minutes": 10.0,
    }  # fmt: skip


def test_every_point_needs_minutes(tmp_path: Path) -> None:
    text, (place,) = unmark(
        "name: x\njob: train\n«resources»:\n- {when: {seed: 1}, minutes: 1}\naxes: {seed: [1, 2]}\n"
    )
    (problem,) = refused(tmp_path, text)
    assert spot(problem) == place
    assert problem.message == "no rule says how many `minutes` a point takes: seed=2"


def test_resources_are_needed(tmp_path: Path) -> None:
    assert [p.message for p in refused(tmp_path, "name: x\njob: train\n")] == ["`resources` is missing"]


def test_what_a_grid_lacks_is_told_at_once(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "about: words\n")
    assert problem.message == "`name` and `job` and `resources` are missing"


def test_a_grid_without_axes_is_one_point(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD)
    assert len(made.points) == 1 and made.points[0].axes == {} and made.axes == {}
    assert made.multiplication == "no axes = 1"


def test_range_leaves_its_end_out_and_may_step(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + "axes: {seed: {range: [0, 5]}, epochs: {range: [30, 0, -10]}}\n")
    assert made.axes == {"seed": [0, 1, 2, 3, 4], "epochs": [30, 20, 10]}
    assert made.multiplication == "5 × 3 = 15"


def test_a_grid_cannot_need_itself(tmp_path: Path) -> None:
    text, (place,) = unmark(HEAD + "needs: [y, «x»]\n")
    (problem,) = refused(tmp_path, text)
    assert (spot(problem), problem.message) == (place, "a grid cannot need itself")


@pytest.mark.parametrize(
    ("written", "points", "allowed"),
    [
        ("", 10, 5),
        ("", 100, 20),
        ("3", 100, 3),
        ("20%", 100, 20),
        ("1 %", 10, 1),
        ("100%", 7, 7),
    ],
)
def test_how_many_may_fail(tmp_path: Path, written: str, points: int, allowed: int) -> None:
    assert load(tmp_path, HEAD + (f"max_fails: {written}\n" if written else "")).fails_allowed(points) == allowed


@pytest.mark.parametrize("written", ["0", "-1", "0%", "101%", "20", "some", "1.5", "[1]", "null"])
def test_how_many_may_not_fail(tmp_path: Path, written: str) -> None:
    if written in ("20", "null"):
        assert load(tmp_path, HEAD + f"max_fails: {written}\n").points
        return
    text, (place,) = unmark(HEAD + f"max_fails: «{written}»\n")
    (problem,) = refused(tmp_path, text)
    assert spot(problem) == place and "`max_fails`" in problem.message


# ids


def ids(folder: Path, text: str) -> list[str]:
    return [p.id for p in load(folder, HEAD + text).points]


def test_an_id_is_of_the_configuration_alone(tmp_path: Path) -> None:
    one = ids(tmp_path, "fixed: {lr: 1, data: mosi}\naxes: {seed: [1, 2]}\n")
    assert one == ids(tmp_path, "about: other words\nfixed: {data: mosi, lr: 1.0}\naxes: {seed: {range: [1, 3]}}\n")
    assert one == ids(tmp_path, "axes: {lr: [1e0], data: [mosi], seed: [1, 2]}\n")
    assert one == ids(tmp_path, "axes: {seed: [1, 2]}\nfixed: {lr: 1, model: s2lif}\n"), "a default is written or not"
    assert one != ids(tmp_path, "fixed: {lr: 0.5, data: mosi}\naxes: {seed: [1, 2]}\n")
    assert all(len(i) == 12 and set(i) <= set("0123456789abcdef") for i in one)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    job = TRAIN.replace("lr: Annotated[float, Interval(gt=0, le=1)] = 1e-3", "lr: float = 0.0")
    one, two = (load(tmp_path, HEAD + f"fixed: {{lr: {lr}}}\n", train=job).points[0].id for lr in ("-0.0", "0"))
    assert one == two


def test_ids_do_not_change_between_versions() -> None:
    """If this fails, every dump that exists has lost its name."""
    assert (
        point_id("train", {"lr": 1e-05, "seed": 1, "data": "é", "deep": {"b": [1, None], "a": True}}) == "11bc7028c78a"
    )


def test_a_longer_grid_holds_the_points_of_a_shorter_one(tmp_path: Path) -> None:
    short = set(ids(tmp_path, "axes: {seed: {range: [0, 3]}, model: [s2lif]}\n"))
    long = set(ids(tmp_path, "axes: {model: [mult, s2lif], seed: {range: [0, 4]}}\n"))
    assert short < long and len(long) == 8


def test_another_job_gives_other_ids(tmp_path: Path) -> None:
    (one,) = load(tmp_path, HEAD).points
    (two,) = load(tmp_path, HEAD.replace("train", "other"), other=TRAIN).points
    assert one.config == two.config and one.id != two.id


# changes of a grid


def test_what_became_of_the_axes() -> None:
    old = {"seed": [1, 2, 3, 4, 5], "lr": [0.1, 0.2], "gone": [1], "same": ["a"]}
    new = {"seed": [1, 2, 3, 4, 5, 6], "lr": [0.1, 0.3], "same": ["a"], "tuning": ["frozen"]}
    assert grid.changes(old, new) == [
        "axis gone is gone", "axis seed gained 6", "axis lr gained 0.3", "axis lr lost 0.2", "axis tuning is new",
    ]  # fmt: skip
    assert grid.changes(new, new) == []
    assert grid.changes({"seed": [0]}, {"seed": list(range(10))}) == ["axis seed gained 1, 2, 3, 4, 5 and 4 more"]


# anything at all

TEMPLATE = (
    HEAD
    + """
about: words
fixed: {epochs: 200, optimizer.lr: 7e-5}
axes:
  model: [s2lif, mart]
  tuning: [frozen, finetune]
  seed: {range: [0, 3]}
  pair: {zip: {lr: [0.1, 0.2], data: [a, b]}}
skip:
  - {model: mart, tuning: frozen}
expect: {points: 18}
"""
)
SCRAPS = [
    *("", "", ":", ": ", "- ", "[", "]", "{", "}", ",", "\n", "  ", "'", '"', "0", "-1", "1.5", ".nan", "null", "true"),
    *("&a ", "*a", "!x ", "x", "mart", "seed", "lr", "range", "zip", "when", "id", "\t", "#", "..", "%", "\u202e"),
    *("e\u0301", "optimizer", "optimizer.lr"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_no_mutant_of_a_grid_raises_anything_but_grid_error(folder: Path, chance: random.Random) -> None:
    text = TEMPLATE
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice([0, 0, 1, 3, 10]))
        text = text[:start] + chance.choice(SCRAPS) + text[end:]
    try:
        made = load(folder, text)
    except GridError as error:
        lines = error.text.split("\n")
        assert error.problems
        for problem in error.problems:
            assert problem.column + problem.length <= len(lines[problem.line - 1]) + 2
    else:
        assert all(made.resources_of(p).minutes > 0 for p in made.points)


def test_a_grid_is_read_without_torch_mlflow_or_h5py() -> None:
    heavy = "{'torch', 'mlflow', 'h5py', 'submitit', 'numpy'}"
    code = f"import hpc_sweep.grid, hpc_sweep.cluster, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
