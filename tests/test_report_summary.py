"""Means, spreads and what cells lack."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpc_sweep import report_summary as summary
from hpc_sweep.job import Table
from hpc_sweep.report_page import cell
from reporttools import AXES, made, one_failed


def pair(one: str, other: str, *given: Any, metric: str = "loss", **more: Any) -> Table:
    study = summary.study(*made(*given, **more))
    return summary.pair(study, summary.layout(study, one, other), metric)


def line(axis: str | None, *given: Any, metrics: tuple[str, ...] = ("loss",), **more: Any) -> Table:
    study = summary.study(*made(*given, **more))
    return summary.line(study, summary.layout(study, *([axis] if axis else [])), metrics)


def body(table: Table) -> list[list[str]]:
    return [[cell(c) for c in row[1:]] for row in table.rows]


# means and spreads


def test_a_cell_is_the_mean_and_the_sample_standard_deviation_over_seeds() -> None:
    values = {0: 0.1, 1: 0.5, 2: 0.4}
    table = pair("model", "rate", AXES, lambda v: {"loss": values[v["seed"]]})
    mean, sd = statistics.mean(values.values()), statistics.stdev(values.values())
    assert body(table) == [[f"{mean:.2f} ± {sd:.2f}"] * 2] * 2
    assert (table.title, table.note) == ("loss by model and rate: mean ± sd, n = 3 seeds", "")
    assert (table.columns, table.across) == (["model", "0.1", "0.2"], "rate")


def test_rows_and_columns_stand_in_the_order_of_the_grid() -> None:
    axes = {"model": ["zeta", "alpha"], "rate": [0.2, 0.1], "seed": [0]}
    table = pair("model", "rate", axes, lambda v: {"loss": 10.0 * (v["model"] == "zeta") + v["rate"] * 10})
    assert table.columns == ["model", "0.2", "0.1"]
    assert [list(row) for row in table.rows] == [["zeta", "12", "11"], ["alpha", "2", "1"]]


def test_one_seed_has_no_spread() -> None:
    table = pair("model", "rate", {**AXES, "seed": [7]})
    assert body(table) == [["1.700", "1.700"]] * 2
    assert table.title == "loss by model and rate: n = 1 seed"


def test_without_a_seed_a_cell_is_one_run() -> None:
    table = pair("model", "rate", {"model": ["a", "b"], "rate": [1, 2]}, lambda v: {"loss": v["rate"]})
    assert table.title == "loss by model and rate"
    assert body(table) == [["1", "2"]] * 2


def test_an_axis_that_is_averaged_is_named() -> None:
    axes = {**AXES, "data": ["x", "y", "z"]}
    table = pair("model", "rate", axes, lambda v: {"loss": {"x": 0.0, "y": 3.0, "z": 6.0}[v["data"]] + v["seed"]})
    assert table.title == "loss by model and rate: mean ± sd, n = 3 seeds; mean over data (3 values)"
    assert body(table) == [["4.0 ± 1.0"] * 2] * 2  # the spread is that of the seeds' averages, not that of the data


def test_axes_that_go_together_are_not_called_averaged() -> None:
    axes = {"model": ["a", "b"], "width": [64, 128], "seed": [0, 1]}
    table = pair("model", "seed", axes, skip=lambda v: (v["model"] == "a") != (v["width"] == 64))
    assert "mean over" not in table.title


def test_a_dotted_seed_is_a_seed() -> None:
    assert "n = 2 seeds" in line("model", {"model": ["a", "b"], "train.seed": [0, 1]}).title


def test_one_axis_gives_a_row_a_value_and_a_column_a_metric() -> None:
    axes = {"model": ["a", "b"], "seed": [0, 1]}
    table = line("model", axes, lambda v: {"mae": 0.5, "f1": 0.25 * (v["model"] == "b")}, metrics=("mae", "f1"))
    assert table.columns == ["model", "mae", "f1"]
    assert [row[0] for row in table.rows] == ["a", "b"]
    assert body(table)[1] == ["0.5000 ± 0.0000", "0.2500 ± 0.0000"]
    assert table.title == "metrics by model: mean ± sd, n = 2 seeds"


def test_no_axes_give_one_row() -> None:
    table = line(None, {}, lambda v: {"loss": 0.5})
    assert (table.title, [list(r) for r in table.rows]) == ("metrics", [["all points", "0.5000"]])
    assert line(None, {"seed": [0, 1, 2]}).title == "metrics: mean ± sd, n = 3 seeds"


# what is missing


def test_a_failed_seed_marks_its_cell_with_how_many_and_why() -> None:
    table = pair("model", "rate", broken=one_failed)
    assert body(table) == [["1.10 ± 0.10", "1.10 ± 0.10"], ["1.10 ± 0.10", "1.05 ± 0.07*"]]
    assert table.note == "* 2 of 3 seeds; 1 failed (oom)"


def test_one_seed_left_shows_its_value_marked_and_no_spread() -> None:
    table = pair("model", "rate", broken=lambda v: ("failed", "nan", "") if v["seed"] and v["rate"] == 0.1 else None)
    assert [row[0] for row in body(table)] == ["1.00*", "1.00*"]
    assert table.note == "* 1 of 3 seeds; 2 failed (nan)"


def test_no_seed_left_shows_a_dash() -> None:
    table = pair("model", "rate", broken=lambda v: ("failed", "oom", "") if v["model"] == "large" else None)
    assert body(table)[1] == ["–*", "–*"]
    assert table.note == "* 0 of 3 seeds; 3 failed (oom)"


def test_different_reasons_have_marks_of_their_own() -> None:
    def broken(v: dict[str, Any]) -> tuple[str, str, str] | None:
        kinds = {("small", 0.1): "oom", ("large", 0.2): "nan"}
        kind = kinds.get((v["model"], v["rate"]))
        return ("failed", kind, "") if kind and v["seed"] == 0 else None

    table = pair("model", "rate", broken=broken)
    marks = [[text[-2:] if "*" in text else "" for text in row] for row in body(table)]
    assert marks == [["*a", ""], ["", "*b"]]
    assert table.note == "*a 2 of 3 seeds; 1 failed (oom)\n*b 2 of 3 seeds; 1 failed (nan)"


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("failed", "timeout", "1 failed (timeout)"),
        ("lost", "lost", "1 lost"),
        ("damaged", "", "1 damaged"),
        ("running", "", "1 still running"),
        ("waiting", "", "1 waiting"),
        ("new", "", "1 not started"),
    ],
)
def test_every_state_has_its_reason(state: str, kind: str, said: str) -> None:
    table = pair("model", "rate", broken=lambda v: (state, kind, "") if one_failed(v) else None)
    assert table.note == f"* 2 of 3 seeds; {said}"


def test_a_point_that_is_done_but_not_collected_is_missing_too() -> None:
    state, results = made()
    results = replace(results, rows=results.rows[1:])
    study = summary.study(state, results)
    table = summary.pair(study, summary.layout(study, "model", "rate"), "loss")
    assert table.note == "* 2 of 3 seeds; 1 done, but not collected"


def test_a_point_of_an_earlier_grid_is_in_no_cell() -> None:
    state, results = made(metrics=lambda v: {"loss": 1.0})
    stray = replace(results.rows[0], id="f" * 12, metrics={"loss": 1e6})
    study = summary.study(state, replace(results, rows=(*results.rows, stray)))
    table = summary.pair(study, summary.layout(study, "model", "rate"), "loss")
    assert body(table) == [["1 ± 0"] * 2] * 2


def test_a_metric_without_a_value_is_a_dash_with_the_reason() -> None:
    reason = "the predictions are constant"
    table = pair(
        "model", "rate", AXES, lambda v: {"r": None if v["model"] == "small" else 0.5}, metric="r",
        missing=lambda v: {"r": reason} if v["model"] == "small" else {},
    )  # fmt: skip
    assert body(table)[0] == ["–*", "–*"]
    assert table.note == f"* 0 of 3 seeds; 3 without a value ({reason})"


def test_a_metric_that_only_some_runs_give_is_missing_in_the_others() -> None:
    table = pair("model", "rate", AXES, lambda v: {"r": 1.0} if v["model"] == "large" else {"s": 1.0}, metric="r")
    assert table.note == "* 0 of 3 seeds; 3 without a value"


def test_a_long_reason_is_cut_and_cleaned() -> None:
    table = pair(
        "model",
        "rate",
        AXES,
        lambda v: {"r": None},
        metric="r",
        missing=lambda v: {"r": "\x1b[31mno\u202e" + "x" * 500},
    )
    assert "(noxxx" in table.note and table.note.endswith("…)") and len(table.note) < 200


def test_a_seed_counts_only_when_all_its_settings_are_there() -> None:
    """The mean over x alone would be another thing than the mean over x and y."""
    axes = {"model": ["a", "b"], "rate": [1], "data": ["x", "y"], "seed": [0, 1, 2]}
    table = line(
        "model", axes, lambda v: {"loss": 100.0 if v["data"] == "y" else 0.0},
        broken=lambda v: ("failed", "oom", "") if (v["model"], v["data"], v["seed"]) == ("a", "y", 2) else None,
    )  # fmt: skip
    assert body(table) == [["50 ± 0*"], ["50 ± 0"]]
    assert table.note == "* 2 of 3 seeds complete; points missing: 1 failed (oom)"


def test_without_a_seed_an_incomplete_average_is_not_shown() -> None:
    axes = {"model": ["a", "b"], "data": ["x", "y", "z"]}
    table = line(
        "model", axes, lambda v: {"loss": 2.0},
        broken=lambda v: ("running", "", "") if (v["model"], v["data"]) == ("a", "y") else None,
    )  # fmt: skip
    assert body(table) == [["–*"], ["2"]]
    assert table.note == "* 2 of 3 points; 1 still running"
    assert table.title == "metrics by model: mean over data (3 values)"


def test_what_the_grid_leaves_out_of_an_average_is_said() -> None:
    axes = {"model": ["a", "b"], "data": ["x", "y", "z"], "seed": [0, 1]}
    table = line("model", axes, skip=lambda v: v["model"] == "b" and v["data"] == "z")
    assert "*" in body(table)[1][0] and "*" not in body(table)[0][0]
    assert table.note == "* the grid has only data x y here"


def test_seeds_that_the_grid_leaves_out_are_said() -> None:
    table = pair("model", "rate", skip=lambda v: v["model"] == "large" and v["seed"] == 2)
    assert table.note == "* the grid has only seed 0 1 here"
    assert [["*" in text for text in row] for row in body(table)] == [[False, False], [True, True]]


def test_combinations_that_the_grid_leaves_out_are_counted() -> None:
    axes = {"model": ["a", "b"], "data": ["x", "y"], "width": [1, 2]}
    table = line("model", axes, skip=lambda v: v == {"model": "b", "data": "y", "width": 2})
    assert table.note == "* the grid has only 3 points here"


def test_a_cell_that_the_grid_does_not_have_is_blank() -> None:
    table = pair("model", "rate", skip=lambda v: v["model"] == "large" and v["rate"] == 0.2)
    assert body(table)[1] == ["1.10 ± 0.10", ""]
    assert table.note == "blank: the grid has no such point"


def test_values_that_no_point_has_make_no_row() -> None:
    table = pair("model", "rate", skip=lambda v: v["model"] == "large")
    assert [row[0] for row in table.rows] == ["small"]


def test_values_repeated_by_axes_that_go_together_are_one() -> None:
    state, results = made({"model": ["a", "b"], "seed": [0, 1]})
    state = replace(state, header={**state.header, "axes": {"model": ["a", "b", "a"], "seed": [0, 1]}})
    study = summary.study(state, results)
    assert study.values["model"] == ["a", "b"]


# which tables


def test_the_longer_axis_heads_the_rows() -> None:
    table = pair("model", "width", {"model": ["a", "b"], "width": list(range(20))})
    assert (table.columns, table.across, len(table.rows)) == (["width", "a", "b"], "model", 20)
    assert table.title.startswith("loss by width and model")


def test_pairs_leave_out_what_no_page_can_hold() -> None:
    axes = {"a": list(range(100)), "b": list(range(20)), "c": list(range(15)), "d": [1, 2], "e": ["only"]}
    state, results = made(axes, skip=lambda v: (v["a"] + v["b"] + v["c"]) % 17 != 0)
    study = summary.study(state, results)
    assert summary.usable(study) == ["b", "c", "d"]
    assert summary.pairs(study) == [("b", "d"), ("c", "d")]


# how numbers are written


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.71234, 0.70234, 0.72234], "0.712 ± 0.010"),
        ([1234.0, 1334.0, 1434.0], "1334 ± 100"),
        ([1e-9, 2e-9, 3e-9], "2e-09 ± 1e-09"),
        ([1e8, 2e8, 3e8], "2e+08 ± 1e+08"),
        ([-0.5, -0.7, -0.6], "−0.60 ± 0.10"),
        ([1e308, 1e308, 1e308], "1e+308 ± 0"),
        ([0.0, 0.0, 0.0], "0 ± 0"),
        ([-0.001, 0.001, -0.00003], "0.0000 ± 0.0010"),
    ],
)
def test_decimals_follow_the_spread(values: list[float], shown: str) -> None:
    assert body(line(None, {"seed": [0, 1, 2]}, lambda v: {"loss": values[v["seed"]]})) == [[shown]]


def test_a_small_spread_beside_large_ones_does_not_look_like_none() -> None:
    spread = {"a": 0.1, "b": 0.1, "c": 1e-7}
    axes = {"model": ["a", "b", "c"], "seed": [0, 1]}
    table = line("model", axes, lambda v: {"loss": 1 + spread[v["model"]] * v["seed"]})
    assert body(table) == [["1.050 ± 0.071"], ["1.050 ± 0.071"], ["1.000 ± <0.001"]]


@given(some.lists(some.floats(-1e300, 1e300), min_size=2, max_size=6))
def test_any_numbers_have_a_mean_within_them(values: list[float]) -> None:
    state, results = made({"seed": list(range(len(values)))}, lambda v: {"loss": values[v["seed"]]})
    study = summary.study(state, results)
    (group,) = summary.layout(study).groups.values()
    found = summary.measure(study, group, "loss")
    slack = 1e-12 * max(map(abs, values))
    assert found.mean is not None and min(values) - slack <= found.mean <= max(values) + slack
    assert found.sd is not None and found.sd >= 0
    assert body(summary.line(study, summary.layout(study), ["loss"]))
