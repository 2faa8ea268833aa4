"""What a report says of any sweep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from hpc_sweep import outlook
from hpc_sweep import report_sections as sections
from hpc_sweep import report_summary as summary
from hpc_sweep.job import Table
from hpc_sweep.ledger import Submission
from hpc_sweep.report_page import Block, Facts, Fold, Shares, Words
from hpc_sweep.status import Status
from reporttools import AT, AXES, made, one_failed


def facts(blocks: Iterable[Block]) -> dict[str, str]:
    return {name: text for b in blocks if isinstance(b, Facts) for name, text in b.rows}


def tables(blocks: Iterable[Block]) -> list[Table]:
    return [b for b in blocks if isinstance(b, Table)]


def sentences(blocks: Iterable[Block]) -> str:
    return " ".join(s for b in blocks if isinstance(b, Words) for s in b.sentences)


def failed(state: Status) -> list[Any]:
    return outlook.failures(state.points)


# the title and the first lines


def test_a_whole_sweep_has_its_name_for_a_title() -> None:
    state, results = made()
    assert sections.title(state, summary.study(state, results)) == "trial"


def test_the_title_tells_how_much_is_there() -> None:
    state, results = made(broken=one_failed)
    assert sections.title(state, summary.study(state, results)) == "trial: 11 of 12 points"


def test_what_is_done_but_not_collected_is_not_there() -> None:
    state, results = made()
    some = replace(results, rows=results.rows[:5])
    assert sections.title(state, summary.study(state, some)) == "trial: 5 of 12 points"


def test_the_first_lines_tell_the_question_the_states_and_the_failures() -> None:
    state, _ = made(broken=one_failed, about="S2LIF, Table 2")
    found = sections.lead(state, failed(state))
    assert found[0] == Words(("S2LIF, Table 2",))
    assert found[1] == Shares((("done", 11), ("failed", 1)))
    assert "Failures: 1 oom." in sentences(found)


def test_a_sweep_that_did_not_begin_has_none_done() -> None:
    state, _ = made(broken=lambda v: ("new", "", ""))
    assert sections.lead(state, failed(state)) == [Shares((("done", 0), ("new", 12)))]


# what ran


def test_what_ran() -> None:
    state, _ = made()
    assert facts(sections.what_ran(state)) == {
        "job": "train",
        "points": "2 × 2 × 3 = 12",
        "axis model": "small, large (2)",
        "axis rate": "0.1, 0.2 (2)",
        "axis seed": "0, 1, 2 (3)",
        "fixed": "epochs=40",
        "cluster": "v100",
        "submitted": "2026-11-18 11:06 UTC by lea",
        "last done": "2026-11-18 11:16 UTC",
        "code": "4f2c1aa (clean), fingerprint c0dec0dec0dec0de",
    }


def test_skipped_points_are_subtracted() -> None:
    state, _ = made(skip=lambda v: v["model"] == "large" and v["rate"] == 0.2)
    assert facts(sections.what_ran(state))["points"] == "2 × 2 × 3 − 3 skipped = 9"


def test_axes_that_go_together_are_not_multiplied() -> None:
    state, _ = made()
    state = replace(state, header={**state.header, "axes": {**AXES, "width": [64, 128]}})
    assert facts(sections.what_ran(state))["points"] == "12"


def test_a_long_axis_is_cut_visibly() -> None:
    state, _ = made({"name": [f"value-{k}" for k in range(100)]})
    said = facts(sections.what_ran(state))["axis name"]
    assert said.endswith("… (100)") and len(said) < 220


def test_two_versions_of_the_code_are_told_apart() -> None:
    state, _ = made()
    claim = state.submissions[0].claim
    other = replace(claim, number=1, code={**claim.code, "fingerprint": "beef" * 4, "label": "beef (with changes)"})
    points = [replace(p, done={**(p.done or {}), "attempt": "001-0-0"}) for p in state.points[:4]] + state.points[4:]
    late = replace(other, at=AT + 3600, by="max")
    submissions = [*state.submissions, Submission(late, {}, None, frozenset(), AT)]
    found = sections.what_ran(replace(state, points=points, submissions=submissions))
    assert facts(found)["code"] == (
        "4f2c1aa (clean), fingerprint c0dec0dec0dec0de: 8 points; "
        "beef (with changes), fingerprint beefbeefbeefbeef: 4 points"
    )
    assert "2 versions of the code" in sentences(found)
    assert facts(found)["submitted"] == (
        "2 times by lea, max, from 2026-11-18 11:06 UTC to 2026-11-18 12:06 UTC"
    )  # fmt: skip


def test_a_sweep_that_nobody_submitted_has_no_place() -> None:
    state, _ = made(broken=lambda v: ("new", "", ""))
    found = facts(sections.what_ran(replace(state, submissions=[])))
    assert not {"cluster", "submitted", "code", "last done"} & set(found)


# metrics


def metrics(*given: Any, **more: Any) -> list[Block]:
    return sections.metrics(summary.study(*made(*given, **more)))


def test_every_main_metric_over_every_pair() -> None:
    found = metrics({**AXES, "data": ["x", "y"]}, lambda v: {"mae": 1.0, "f1": 0.5})
    heads = [table.title.partition(":")[0] for table in tables(found)]
    pairs = ["model and rate", "model and data", "rate and data"]
    assert heads == [f"{metric} by {pair}" for metric in ("mae", "f1") for pair in pairs]
    assert "sample standard deviation (n − 1)" in sentences(found) and "Nothing was selected" in sentences(found)


def test_marks_are_explained_where_there_are_some() -> None:
    assert "A cell marked *" not in sentences(metrics())
    assert "A cell marked *" in sentences(metrics(broken=one_failed))
    folded = metrics(AXES, lambda v: {f"m{k}": None if k == 4 and v["seed"] else 1.0 for k in range(5)})
    assert "A cell marked *" in sentences(folded)


def test_lesser_metrics_are_folded_and_many_are_named() -> None:
    found = metrics(AXES, lambda v: {f"m{k:02d}": 1.0 for k in range(15)})
    assert [t.title.partition(" ")[0] for t in tables(found)] == ["m00", "m01", "m02"]
    assert [b.title for b in found if isinstance(b, Fold)] == [f"m{k:02d}" for k in range(3, 12)]
    assert "3 more metrics are in results.csv: m12, m13, m14." in sentences(found)


def test_lesser_pairs_are_folded() -> None:
    found = metrics({"a": [1, 2], "b": [1, 2], "c": [1, 2], "d": [1, 2]})
    assert len(tables(found)) == 3
    (fold,) = [b for b in found if isinstance(b, Fold)]
    assert fold.title == "loss over 3 other pairs of axes" and len(fold.blocks) == 3


def test_one_axis_gives_one_table_of_all_metrics() -> None:
    found = tables(metrics({"model": ["a", "b"], "seed": [0, 1]}, lambda v: {"mae": 1.0, "f1": 0.5}))
    assert [list(t.columns) for t in found] == [["model", "mae", "f1"]]


def test_many_metrics_of_one_axis_are_laid_out_in_several_tables() -> None:
    found = tables(metrics({"model": ["a", "b"]}, lambda v: {f"m{k}": 1.0 for k in range(8)}))
    assert [len(t.columns) for t in found] == [7, 3]


def test_no_axes_give_a_single_row() -> None:
    (table,) = tables(metrics({}, lambda v: {"mae": 1.0}))
    assert len(table.rows) == 1


def test_an_axis_too_long_for_a_table_is_averaged_and_named() -> None:
    found = metrics({"model": ["a", "b"], "trial": list(range(100))})
    assert "Axis trial has 100 values, too many for a table: it is averaged." in sentences(found)
    assert tables(found)[0].title == "metrics by model: mean over trial (100 values)"


def test_a_pair_too_long_for_a_table_is_named() -> None:
    found = metrics({"a": list(range(20)), "b": list(range(20)), "c": [1, 2]})
    assert "Axes a and b have too many values for a table of both." in sentences(found)
    assert len(tables(found)) == 2


def test_without_seeds_the_report_says_that_there_is_no_spread() -> None:
    assert "no axis called seed" in sentences(metrics({"model": ["a", "b"]}))


def test_without_metrics_the_report_says_so() -> None:
    assert sentences(metrics(broken=lambda v: ("new", "", ""))) == "No metrics were collected."


# time and cost


def test_time_by_the_values_of_every_axis_but_the_seed() -> None:
    state, _ = made()
    found = sections.time_and_cost(state, "seed")
    by_axis = next(t for t in tables(found) if t.title == "Time a point, by axis")
    assert [list(row) for row in by_axis.rows] == [
        ["model", "small", 6, "1 min 02", "1 min 05"],
        ["", "large", 6, "1 min 08", "1 min 11"],
        ["rate", "0.1", 6, "1 min 04", "1 min 08"],
        ["", "0.2", 6, "1 min 07", "1 min 11"],
    ]
    assert facts(found)["a point took"] == "1 min 06 (median), 1 min 11 at most"


def test_gpu_hours_where_cards_were_asked_for() -> None:
    state, _ = made()
    assert facts(sections.time_and_cost(state, "seed"))["GPU-hours"] == "0.5 used of 1.8 planned"


def test_core_hours_where_none_were() -> None:
    state, _ = made(gpus=0)
    cores = sum(p.seconds for p in state.points) * 2 / 3600
    found = facts(sections.time_and_cost(state, "seed"))
    assert found["core-hours"] == f"{cores:.1f}, counting the last try of each point"


def test_the_slowest_points_come_first() -> None:
    state, _ = made()
    slowest = next(t for t in tables(sections.time_and_cost(state, "seed")) if t.title == "Slowest points")
    assert [row[1] for row in slowest.rows] == ["1 min 11", "1 min 10", "1 min 09", "1 min 08", "1 min 07"]
    assert slowest.rows[0][0] == "model=large rate=0.2 seed=2"


def test_settings_stand_in_the_order_of_the_grid() -> None:
    state, _ = made({"zeta": [1, 2], "alpha": list(range(6))})
    turned = [replace(p, point=replace(p.point, axes=dict(reversed(p.point.axes.items())))) for p in state.points]
    slowest = tables(sections.time_and_cost(replace(state, points=turned), None))[-1]
    assert slowest.rows[0][0] == "zeta=2 alpha=5"


def test_points_that_were_tried_again_are_counted() -> None:
    state, _ = made()
    again = [replace(p, tries=2) for p in state.points[:3]] + state.points[3:]
    assert facts(sections.time_and_cost(replace(state, points=again), None))["tried again"] == "3 points"


def test_nothing_ran_nothing_cost() -> None:
    state, _ = made(broken=lambda v: ("new", "", ""))
    assert sections.time_and_cost(state, "seed") == []


# failures


def test_failures_by_kind_with_what_they_share() -> None:
    state, _ = made(broken=lambda v: ("failed", "oom", "CUDA out of memory") if v["model"] == "large" else None)
    by_kind, each = sections.failures(state, failed(state))
    assert isinstance(by_kind, Table) and isinstance(each, Fold)
    assert [list(row) for row in by_kind.rows] == [["oom", 6, "model=large", "CUDA out of memory"]]
    (points,) = each.blocks
    assert isinstance(points, Table) and len(points.rows) == 6
    assert list(points.rows[0])[:5] == ["model=large rate=0.1 seed=0", "oom", 1, "n1", "CUDA out of memory"]


@pytest.mark.parametrize(("state", "kind"), [("lost", "lost"), ("damaged", "damaged")])
def test_lost_and_damaged_points_are_failures_too(state: str, kind: str) -> None:
    found, _ = made(broken=lambda v: (state, "lost" if state == "lost" else "", "gone") if one_failed(v) else None)
    by_kind, _each = sections.failures(found, failed(found))
    assert isinstance(by_kind, Table) and by_kind.rows[0][0] == kind


def test_failures_that_share_nothing_say_so() -> None:
    state, _ = made(broken=lambda v: ("failed", "nan", "") if v["seed"] == v["rate"] * 10 % 3 else None)
    state = replace(state, points=state.points)
    by_kind = sections.failures(state, failed(state))[0]
    assert isinstance(by_kind, Table) and by_kind.rows[0][2] == "nothing"


def test_many_failures_are_counted() -> None:
    state, _ = made({"seed": list(range(80))}, broken=lambda v: ("failed", "code", "KeyError") if v["seed"] else None)
    fold = sections.failures(state, failed(state))[1]
    assert isinstance(fold, Fold) and fold.title == "Point by point (79)"
    (points,) = fold.blocks
    assert isinstance(points, Table) and len(points.rows) == 50 and points.note == "29 more: hpc-sweep status --all"


def test_no_failures_no_section() -> None:
    state, _ = made()
    assert sections.failures(state, failed(state)) == [] and sections.notes([]) == []
