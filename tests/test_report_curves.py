"""Learning curves: which panels and lines, their means and bands, and what the note says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpc_sweep import report_curves, report_summary
from hpc_sweep.job import History
from hpc_sweep.report_curves import Curves
from reporttools import AXES, curve, made, one_failed


def curves(axes: dict[str, list[Any]] = AXES, history: Any = curve, **more: Any) -> list[Curves]:
    state, results = made(axes, history=history, **more)
    return report_curves.curves(report_summary.study(state, results), results)[0]


def flat(values: dict[str, Any]) -> History:
    return {"loss": [(0, 1.0), (1, float(values.get("seed", 0)))]}


def test_a_line_is_the_mean_over_seeds_and_its_band_their_sample_deviation() -> None:
    (found,) = curves(history=flat)
    line = found.panels[0].lines[0]
    assert line.steps.tolist() == [0, 1]
    assert line.mean.tolist() == [1.0, 1.0]
    assert line.sd is not None and line.sd.tolist() == [0.0, np.std([0, 1, 2], ddof=1)]
    assert found.note == "mean over seeds, band ± one sample standard deviation"


def test_two_axes_make_panels_and_lines() -> None:
    (found,) = curves(history=flat)
    assert [panel.title for panel in found.panels] == ["model=small", "model=large"]
    assert [[line.label for line in panel.lines] for panel in found.panels] == [["0.1", "0.2"]] * 2
    assert (found.name, found.legend, found.labels, found.ordered) == ("loss", "rate", ("0.1", "0.2"), True)


def test_three_axes_make_panels_by_two() -> None:
    axes = {"data": ["x", "y", "z"], "model": ["a", "b"], "rate": [1, 2, 3], "seed": [0]}
    (found,) = curves(axes, flat)
    assert len(found.panels) == 6 and found.columns == 2
    assert found.panels[0].title == "data=x model=a"
    assert found.legend == "rate"


def test_a_fourth_axis_is_averaged_and_named() -> None:
    axes = {"data": ["x"], "a": [1, 2], "b": [1, 2], "c": [1, 2], "d": [10, 20], "seed": [0, 1]}
    (found,) = curves(axes, lambda v: {"loss": [(0, float(v["d"] + v["seed"]))]})
    line = found.panels[0].lines[0]
    assert line.mean.tolist() == [15.5]
    assert line.sd is not None and line.sd.tolist() == [np.std([0, 1], ddof=1)]  # of the seeds, not of d
    assert "mean over d (2 values)" in found.note and "data" not in found.note


def test_one_axis_makes_lines_in_one_panel() -> None:
    (found,) = curves({"rate": [1, 2, 3], "seed": [0, 1]}, flat)
    assert [panel.title for panel in found.panels] == [""]
    assert [line.label for line in found.panels[0].lines] == ["1", "2", "3"]


def test_no_axis_makes_one_line() -> None:
    (found,) = curves({"seed": [0, 1]}, flat)
    assert [line.label for line in found.panels[0].lines] == [""]
    assert (found.legend, found.labels) == ("", ())


def test_one_run_a_line_has_no_band() -> None:
    (found,) = curves({"rate": [1, 2]}, flat)
    assert all(line.sd is None for line in found.panels[0].lines)
    assert found.note == "one run a line"


def test_what_cannot_be_drawn_is_said() -> None:
    (found,) = curves({"data": list(range(30)), "rate": list(range(20)), "seed": [0]}, flat)
    assert len(found.panels) == 12 and all(len(panel.lines) == 6 for panel in found.panels)
    assert "12 of the 30 values of data are drawn, evenly spread" in found.note
    assert "6 of the 20 values of rate are drawn, evenly spread" in found.note
    assert found.panels[0].title == "data=0" and found.panels[-1].title == "data=29"


def test_words_have_no_order() -> None:
    (found,) = curves({"rate": [1, 2], "model": ["a", "b"]}, flat)
    assert not found.ordered


def test_a_line_with_fewer_seeds_is_marked_and_named() -> None:
    (found,) = curves(history=flat, broken=one_failed)
    assert [panel.title for panel in found.panels] == ["model=small", "model=large*"]
    assert found.note.endswith("; * fewer seeds: model=large rate=0.2 (2 of 3)")
    line = found.panels[1].lines[1]
    assert (line.n, line.of, line.mean.tolist()) == (2, 3, [1.0, 0.5])


def test_a_seed_of_which_a_setting_is_missing_is_in_no_line() -> None:
    axes = {"a": [1, 2], "b": [1, 2], "c": [1, 2], "d": [10, 1000], "seed": [0, 1]}
    broken = {"a": 1, "b": 1, "c": 1, "d": 1000, "seed": 1}
    (found,) = curves(
        axes, lambda v: {"loss": [(0, float(v["d"]))]}, broken=lambda v: ("failed", "oom", "") if v == broken else None
    )
    line = found.panels[0].lines[0]
    assert (line.mean.tolist(), line.sd, line.n, line.of) == ([505.0], None, 1, 2)


def test_a_line_without_any_run_is_left_out_and_named() -> None:
    gone = ("failed", "oom", "")
    (found,) = curves(history=flat, broken=lambda v: gone if (v["model"], v["rate"]) == ("large", 0.2) else None)
    assert [line.label for line in found.panels[1].lines] == ["0.1"]
    assert "model=large rate=0.2 (0 of 3)" in found.note


def test_many_short_lines_are_counted() -> None:
    axes = {"model": list("abcd"), "rate": [1, 2, 3], "seed": [0, 1]}
    (found,) = curves(axes, flat, broken=lambda v: ("failed", "oom", "") if v["seed"] else None)
    assert found.note.endswith("model=b rate=3 (1 of 2) and 6 more")


def test_a_line_ends_where_its_shortest_run_ends() -> None:
    (found,) = curves()
    line = found.panels[0].lines[0]
    assert (line.steps[-1], line.cut) == (9, True)
    assert "a line ends where the shortest of its runs ends" in found.note


def test_runs_that_logged_at_different_steps_are_met_between_them() -> None:
    def history(values: dict[str, Any]) -> History:
        return {"loss": [(0, 0.0), (10, 10.0)] if values["seed"] else [(0, 0.0), (5, 5.0), (10, 10.0)]}

    (found,) = curves({"seed": [0, 1]}, history)
    line = found.panels[0].lines[0]
    assert line.steps.tolist() == line.mean.tolist() == [0, 5, 10]


def test_runs_that_never_meet_make_no_line() -> None:
    assert curves({"seed": [0, 1]}, lambda v: {"loss": [(10 * v["seed"], 1.0)]}) == []


def test_steps_that_come_twice_keep_the_last() -> None:
    (found,) = curves({"seed": [0]}, lambda v: {"loss": [(0, 9.0), (1, 2.0), (0, 1.0)]})
    line = found.panels[0].lines[0]
    assert (line.steps.tolist(), line.mean.tolist()) == ([0, 1], [1.0, 2.0])


def test_long_curves_are_thinned_to_what_can_be_seen() -> None:
    (found,) = curves({"seed": [0]}, lambda v: {"loss": [(k, float(k)) for k in range(10_000)]})
    line = found.panels[0].lines[0]
    assert len(line.steps) == 300 and line.steps[0] == 0 and line.steps[-1] == 9_999


def test_metrics_come_before_other_numbers_and_what_is_left_is_named() -> None:
    names = ["aa", "bb", "cc", "dd", "loss"]
    state, results = made(history=lambda v: {name: [(0, 1.0)] for name in names})
    found, others = report_curves.curves(report_summary.study(state, results), results)
    assert [c.name for c in found] == ["loss", "aa", "bb", "cc"]
    assert others == ["dd"]


@pytest.mark.parametrize("history", [lambda v: {}, lambda v: {"loss": []}])
def test_no_history_makes_no_curves(history: Any) -> None:
    assert curves(history=history) == []
