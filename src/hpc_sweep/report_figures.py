"""Figures as SVG that is the same for the same numbers. Import it late: it loads matplotlib.

Curves are small multiples with one legend, in colours that the colour-blind can tell apart and that grey paper keeps
apart by dashes. No text of a run is taken for mathematics.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from hpc_sweep.report_curves import Curves, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_KINDS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
_ORDER = "viridis"  # for values that have an order: evenly darker
_LEGEND = 70  # letters of a legend side by side
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 2, 1.5, 2)),
    (0, (9, 3)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_LOOK: Any = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 9, "legend.title_fontsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "axes.edgecolor": "#555555",
    "axes.grid": True, "grid.color": "#e4e6e9", "grid.linewidth": 0.6, "xtick.color": "#555555",
    "ytick.color": "#555555", "xtick.labelcolor": "#222222", "ytick.labelcolor": "#222222", "lines.linewidth": 1.6,
    "legend.frameon": False, "text.parse_math": False, "svg.fonttype": "none",
}  # fmt: skip

Style = Mapping[str, tuple[Any, Any]]


def draw(given: Curves) -> bytes:
    """The curves of one logged number."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that this font lacks: the reader's has them
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_LOOK)
        return svg(_figure(given), given.name)


def svg(figure: Figure, name: str) -> bytes:
    """A figure as SVG without date, version or chance in it."""
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _figure(given: Curves) -> Figure:
    rows = math.ceil(len(given.panels) / given.columns)
    wide, high = min(9.6, 1.0 + 2.9 * max(2, given.columns)), 0.9 + rows * (2.6 if rows == 1 else 2.0)
    figure = Figure(figsize=(wide, high), layout=ConstrainedLayoutEngine(h_pad=0.06))
    axes = figure.subplots(rows, given.columns, sharex=True, sharey=True, squeeze=False).ravel()
    style = _style(given)
    lines: dict[str, Line2D] = {}
    for panel, at in zip(given.panels, axes, strict=False):
        lines |= _draw(at, panel, style)
    for at in axes[len(given.panels) :]:
        at.remove()
    axes[0].xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if least := _least(given):
        axes[0].set_yscale("log")
        axes[0].set_ylim(bottom=least / 2)
        axes[0].yaxis.set_major_formatter(lambda value, place: f"{value:g}")
    figure.supxlabel("step", fontsize=9)
    figure.supylabel(given.name, fontsize=9)
    shown = [label for label in style if label in lines]
    if given.legend and shown:
        side_by_side = max(1, min(len(shown), _LEGEND // max(8, *map(len, shown))))
        handles = [lines[label] for label in shown]
        figure.legend(
            handles, [label + _mark(given, label) for label in shown], title=given.legend, handlelength=3, borderpad=0,
            loc="outside upper left", ncols=side_by_side, alignment="left",
        )  # fmt: skip
    return figure


def _mark(given: Curves, label: str) -> str:
    """Beside a name in the legend, where there is no title of a panel to mark."""
    untitled = [panel.lines for panel in given.panels if not panel.title]
    return "*" if any(line.n < line.of for lines in untitled for line in lines if line.label == label) else ""


def _style(given: Curves) -> Style:
    """A colour and a dash for each line, the same in every panel."""
    labels = given.labels or ("",)
    if given.ordered and len(labels) > 1:
        colours = matplotlib.colormaps[_ORDER]
        shades: list[Any] = [colours(0.8 * k / (len(labels) - 1)) for k in range(len(labels))]
    else:
        shades = [_KINDS[k % len(_KINDS)] for k in range(len(labels))]
    return {
        label: (shade, _DASHES[k % len(_DASHES)]) for k, (label, shade) in enumerate(zip(labels, shades, strict=True))
    }


def _draw(at: Axes, panel: Panel, style: Style) -> dict[str, Line2D]:
    drawn = {}
    for line in panel.lines:
        colour, dash = style[line.label]
        if line.sd is not None:
            at.fill_between(line.steps, line.mean - line.sd, line.mean + line.sd, color=colour, alpha=0.2, linewidth=0)
        marker = "o" if len(line.steps) == 1 else ""
        (drawn[line.label],) = at.plot(line.steps, line.mean, color=colour, linestyle=dash, marker=marker, markersize=3)
    at.set_title(panel.title, loc="left")
    at.margins(x=0.01)
    return drawn


def _least(given: Curves) -> float:
    """The smallest mean where the lines span so much that it could not be seen without logarithms; else 0."""
    lines = [line for panel in given.panels for line in panel.lines]
    least, most = min(float(line.mean.min()) for line in lines), max(float(line.mean.max()) for line in lines)
    return least if least > 0 and most / least > 100 else 0.0
