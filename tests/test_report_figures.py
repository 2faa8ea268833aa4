"""The pictures: well-formed, the same every time, and no text taken for mathematics."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from hpc_sweep.report_curves import Curves, Line, Panel
from hpc_sweep.report_figures import draw, svg
from reporttools import HOSTILE

STEPS = np.arange(5.0)


def line(label: str, start: float = 1.0, sd: float | None = 0.1) -> Line:
    mean = start / (STEPS + 1)
    return Line(label, STEPS, mean, None if sd is None else np.full(5, sd), 3, 3, False)


def some_curves(**changes: object) -> Curves:
    panels = tuple(Panel(f"model={name}", (line("0.1"), line("0.2", 2.0))) for name in ("small", "large"))
    return replace(Curves("loss", panels, ("0.1", "0.2"), "rate", True, 2, ""), **changes)  # type: ignore[arg-type]


def texts(picture: bytes) -> list[str]:
    return [e.text or "" for e in xml.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def colours(picture: bytes) -> list[str]:
    return re.findall(rb"stroke: (#[0-9a-f]{6}); stroke-width: 1.6", picture)  # type: ignore[return-value]


def test_a_picture_has_its_panels_its_axes_and_its_legend() -> None:
    shown = texts(draw(some_curves()))
    assert {"model=small", "model=large", "step", "loss", "rate", "0.1", "0.2"} <= set(shown)
    assert shown.count("rate") == 1


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert draw(some_curves()) == draw(some_curves())


def test_a_picture_tells_no_date_and_no_version() -> None:
    picture = draw(some_curves())
    assert b"<dc:date>" not in picture and b"Matplotlib v" not in picture


def test_a_reader_s_own_settings_change_nothing() -> None:
    plain = draw(some_curves())
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": None}):
        assert draw(some_curves()) == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_no_text_is_mathematics() -> None:
    """A dollar sign would raise an error or vanish."""
    labels = ("$x^{", "a$b$")
    panels = (
        Panel("$\\frac{$ " + HOSTILE.replace("\x00", "").replace("\x1b", ""), (line(labels[0]), line(labels[1]))),
    )
    shown = texts(draw(some_curves(panels=panels, labels=labels, legend="$r$", ordered=False, columns=1)))
    assert {"$x^{", "a$b$", "$r$"} <= set(shown)


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    assert "微博" in texts(draw(some_curves(panels=(Panel("微博", (line("0.1"),)),), columns=1)))


def test_lines_differ_in_colour_and_in_dashes_alike_in_every_panel() -> None:
    picture = draw(some_curves())
    used = colours(picture)
    assert len(set(used)) == 2 and used[:2] == used[2:4]
    assert picture.count(b"stroke-dasharray") >= 2


def test_words_get_colours_that_have_no_order() -> None:
    assert colours(draw(some_curves(ordered=False))) != colours(draw(some_curves(ordered=True)))


def test_a_span_of_decades_is_drawn_logarithmically() -> None:
    wide = Panel("", (line("0.1", 1000.0, None), line("0.2", 0.01, None)))
    shown = texts(draw(some_curves(panels=(wide,), columns=1)))
    assert {"0.01", "1", "100"} <= set(shown)
    with_zero = Panel("", (line("0.1", 1000.0, None), line("0.2", 0.0, None)))
    assert {"0", "400", "800"} <= set(texts(draw(some_curves(panels=(with_zero,), columns=1))))


def test_steps_are_whole_numbers() -> None:
    shown = texts(draw(some_curves()))
    assert {"0", "1", "2", "3", "4"} <= set(shown) and "0.5" not in shown[: shown.index("step")]


def test_a_line_of_one_step_is_a_point() -> None:
    one = Line("0.1", np.array([3.0]), np.array([0.5]), None, 1, 1, False)
    assert b"<use " in draw(some_curves(panels=(Panel("", (one,)),), columns=1))


@pytest.mark.parametrize("count", [1, 4, 5, 12])
def test_any_number_of_panels_has_room(count: int) -> None:
    panels = tuple(Panel(f"p{k}", (line("0.1"), line("0.2"))) for k in range(count))
    shown = texts(draw(some_curves(panels=panels, columns=min(3, count))))
    assert {f"p{k}" for k in range(count)} <= set(shown)


def test_lines_without_a_name_have_no_legend() -> None:
    picture = draw(some_curves(panels=(Panel("", (line(""),)),), labels=(), legend="", columns=1))
    assert b"legend" not in picture


def test_a_line_with_fewer_seeds_is_marked_in_the_legend_where_no_panel_has_a_title() -> None:
    short = replace(line("0.1"), n=2)
    assert "0.1*" in texts(draw(some_curves(panels=(Panel("", (short, line("0.2"))),), columns=1)))
    titled = texts(draw(some_curves(panels=(Panel("model=small*", (short, line("0.2"))),), columns=1)))
    assert "0.1" in titled and "0.1*" not in titled


def test_a_figure_of_a_job_is_the_same_every_time_too() -> None:
    def figure() -> Figure:
        made = Figure()
        made.subplots().scatter([1, 2], [3, 4])
        return made

    assert svg(figure(), "own") == svg(figure(), "own")
