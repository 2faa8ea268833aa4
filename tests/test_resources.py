"""The entries of `resources`: what they may say, and how later ones go over earlier ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtools import load, refused, spot, unmark

HEAD = "name: x\njob: train\naxes: {model: [s2lif, mart], seed: [1, 2]}\n"

WRONG = {
    "[{minutes: 1, gpus: «-1»}]": "`gpus` wants at least 0, not -1",
    "[{minutes: 1, cpus: «0»}]": "`cpus` wants at least 1, not 0",
    "[{minutes: 1, mem: «0»}]": "`mem` wants more than 0, not 0",
    "[{minutes: «0»}]": "`minutes` wants more than 0, not 0",
    "[{minutes: «600000»}]": "`minutes` wants at most 525600, not 600000",
    "[{minutes: «'9'»}]": '`minutes` wants a number, not "9"',
    "[{minutes: «1:30:00»}]": "`minutes` wants a number, not 1:30:00",
    "[{minutes: 1, points_per_shard: «1.5»}]": "`points_per_shard` wants an integer, not 1.5",
    "[{minutes: 1, nodes: «true»}]": "`nodes` wants an integer, not true",
    "[{minutes: 1, tasks_per_node: «0»}]": "`tasks_per_node` wants at least 1, not 0",
    "[{minutes: 1, accumulate: «0»}]": "`accumulate` wants at least 1, not 0",
    "[{minutes: 1, checkpoint_minutes: «0»}]": "`checkpoint_minutes` wants more than 0, not 0",
    "[{minutes: 1, deepspeed: «../x»}]": "`deepspeed`: the name of a file in configs/deepspeed",
    "[{minutes: 1, deepspeed: «a;b»}]": "`deepspeed`: the name of a file in configs/deepspeed",
    "[{minutes: 1, «gpu»: 1}]": "unknown key `gpu`",
    "[{minutes: 1, «partition»: v100}]": "unknown key `partition`",
    "[{minutes: 1, «setup»: rm}]": "unknown key `setup`",
    "[{minutes: 1}, {when: {«sed»: 1}, gpus: 1}]": "`sed` is no axis",
    "[{minutes: 1}, {when: {seed: «3»}, gpus: 1}]": "no such value on axis `seed`: 3",
    "[{minutes: 1}, {when: «seed»}]": "`when` wants axes and their values, not seed",
    "«{minutes: 1}»": "`resources` wants a list, not keys and values",
    "«[]»": "`resources` wants at least 1 values, not a list",
    "[«9»]": "`resources` wants keys and values, not 9",
}  # fmt: skip


@pytest.mark.parametrize("marked", WRONG)
def test_what_no_rule_may_say(tmp_path: Path, marked: str) -> None:
    text, (place,) = unmark(HEAD + f"resources: {marked}\n")
    (problem,) = refused(tmp_path, text)
    assert problem.message.startswith(WRONG[marked].replace(", not keys and values", "")) and spot(problem) == place


def test_all_mistakes_of_all_rules_are_told(tmp_path: Path) -> None:
    text, places = unmark(HEAD + "resources:\n- {gpus: «-1», «mins»: 5}\n- {when: {model: «x»}, cpus: «0»}\n")
    assert [spot(p) for p in refused(tmp_path, text)] == places


def test_rules_go_over_each_other_by_what_they_say(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        HEAD
        + "resources:\n"
        + "- {minutes: 5, gpus: 1, deepspeed: zero1}\n"
        + "- {when: {model: mart}, minutes: 50, deepspeed: null}\n"
        + "- {when: {model: mart, seed: 2}, minutes: 60}\n",
    )
    asked = [made.resources_of(p) for p in made.points]
    assert [(r.minutes, r.gpus, r.deepspeed) for r in asked] == [
        (5, 1, "zero1"), (5, 1, "zero1"), (50, 1, None), (60, 1, None),
    ]  # fmt: skip
    assert len({id(r) for r in asked}) == 3, "points of one shape share it"


def test_a_rule_may_name_several_values(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + "resources: [{minutes: 5}, {when: {model: [mart, s2lif], seed: [2]}, mem: 8}]\n")
    assert [made.resources_of(p).mem for p in made.points] == [None, 8.0, None, 8.0]


def test_a_rule_asks_the_resolved_value(tmp_path: Path) -> None:
    """`when: {lr: 1}` holds for a point whose lr is 1.0, in the grid and in what was written to a sweep."""
    made = load(
        tmp_path, "name: x\njob: train\naxes: {lr: [0.5, 1]}\nresources: [{minutes: 5}, {when: {lr: 1.0}, gpus: 2}]\n"
    )
    assert [made.resources_of(p).gpus for p in made.points] == [0, 2]
    assert made.points[1].axes == {"lr": 1.0}


def test_a_rule_of_a_zipped_axis(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        "name: x\njob: train\naxes: {p: {zip: {lr: [0.5, 0.5, 1], seed: [1, 2, 1]}}}\n"
        "resources: [{minutes: 5}, {when: {lr: 0.5, seed: 1}, gpus: 1}, {when: {seed: 1}, cpus: 2}]\n",
    )
    assert [(made.resources_of(p).gpus, made.resources_of(p).cpus) for p in made.points] == [(1, 2), (0, 1), (0, 2)]


def test_resources_are_no_part_of_an_id(tmp_path: Path) -> None:
    one = load(tmp_path, HEAD + "resources: [{minutes: 5}]\n").points
    two = load(tmp_path, HEAD + "resources: [{minutes: 50, gpus: 4, deepspeed: zero2}]\n").points
    assert [p.id for p in one] == [p.id for p in two]
