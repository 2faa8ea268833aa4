"""The report of a sweep: `report.md`, `report.html`, `report.tex` and `figures/`, each whole or not there.

A job may add what only it knows, and that comes first:

    def tables(results: hpc_sweep.results.Results) -> list[hpc_sweep.job.Table]
    def figures(results: hpc_sweep.results.Results) -> dict[str, matplotlib.figure.Figure]

Both get what was collected: `results.rows`, a row a finished point, each with `id`, `axes`, `config`, `metrics` and
`missing` (why a metric has no value); `results.expected`, how many points the grid has, so that a job can say that
some lack; `results.columns`, the same by column; `results.history(id)` and `results.arrays(id)`, read when asked for.
`tables` returns tables in the order to be shown; `figures` returns figures by their titles, whose file names are made
of these. What goes wrong in either becomes a sentence of the report, which is written all the same.

The generic part is a function of the status and the results: no clock, no chance, and no selection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_sweep import __version__, files, outlook, report_html, report_markup, report_sections, report_summary
from hpc_sweep import terminal_words as words
from hpc_sweep.job import Job, Table
from hpc_sweep.points import blame
from hpc_sweep.report_page import Block, Page, Picture, Section, Words, cell, text_lines
from hpc_sweep.report_summary import Study
from hpc_sweep.results import Results
from hpc_sweep.status import Status

MARKDOWN, HTML, LATEX, FIGURES = "report.md", "report.html", "report.tex", "figures"
NO_FIGURES = "There are no figures: they need matplotlib. To get it: pip install 'hpc-sweep[report]'"


@dataclass(frozen=True)
class Written:
    """What was written; the main table as lines for a terminal; and what its reader must know."""

    markdown: Path
    html: Path
    latex: Path
    figures: int
    lines: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        """The files, figures as their folder."""
        folder = [self.markdown.parent / FIGURES] if self.figures else []
        return [self.html, self.markdown, self.latex, *folder]


def write(
    state: Status, results: Results, folder: Path, job: Job | None, notes: Sequence[str] = (), with_figures: bool = True
) -> Written:
    """Write the report of `results` into `folder`; `job` is asked for its own tables and figures first."""
    with_figures = with_figures and _can_draw()
    study = report_summary.study(state, results)
    names: set[str] = set()
    own = _own(job, results, names if with_figures else None)
    curves = _curves(study, results, names) if with_figures else []
    notes = [*notes, *own.notes, *([] if with_figures else [NO_FIGURES])]
    page = _page(state, results, study, own, curves, notes)
    pictures = [block for section in page.sections for block in section.blocks if isinstance(block, Picture)]
    for picture in pictures:
        files.make_folder(folder / FIGURES)
        files.write_atomic(folder / picture.file, picture.svg)
    main = _main_table(page)
    return Written(
        markdown=_put(folder / MARKDOWN, report_markup.markdown(page)),
        html=_put(folder / HTML, report_html.html(page, f"hpc-sweep {__version__}")),
        latex=_put(folder / LATEX, report_markup.latex(page)),
        figures=len(pictures),
        lines=text_lines(main) if main else (),
        notes=tuple(notes),
    )


def _can_draw() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _put(path: Path, text: str) -> Path:
    files.write_atomic(path, text.encode())
    return path


def _page(
    state: Status, results: Results, study: Study, own: _Own, curves: Sequence[Block], notes: Sequence[str]
) -> Page:
    failed = outlook.failures(state.points)
    ours = {row.id for row in study.rows if row}
    earlier = sum(row.id not in ours for row in results.rows)
    if earlier:
        notes = [*notes, f"{words.plural(earlier, 'collected point')} of an earlier grid left out of this report."]
    sections = [
        Section("Results", (*own.tables, *own.pictures), findings=True),
        Section("What ran", tuple(report_sections.what_ran(state))),
        Section("Metrics", tuple(report_sections.metrics(study)), findings=True),
        Section("Learning curves", tuple(curves)),
        Section("Time and cost", tuple(report_sections.time_and_cost(state, study.seed))),
        Section("Failures", tuple(report_sections.failures(state, failed))),
        Section("Notes", tuple(report_sections.notes([*notes, *state.notes]))),
    ]
    title = report_sections.title(state, study)
    return Page(title, tuple(report_sections.lead(state, failed)), tuple(s for s in sections if s.blocks))


def _main_table(page: Page) -> Table | None:
    """What a terminal shows: the first table of numbers."""
    blocks = [block for section in page.sections if section.findings for block in section.blocks]
    return next((block for block in blocks if isinstance(block, Table)), None)


# what the job adds


@dataclass(frozen=True)
class _Own:
    """What a job's own functions gave, and what went wrong in them."""

    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


def _own(job: Job | None, results: Results, names: set[str] | None) -> _Own:
    if job is None:
        return _Own()
    tables, wrong = _asked(job, "tables", lambda f: [_checked(table) for table in f(results)])
    pictures, bad = _asked(job, "figures", lambda f: _drawn(f(results), names)) if names is not None else (None, [])
    return _Own(tuple(tables or ()), tuple(pictures or ()), (*wrong, *bad))


def _asked(job: Job, name: str, ask: Callable[[Callable[..., Any]], Any]) -> tuple[Any, list[str]]:
    """What a function of the job gives, or a sentence that says why it gives nothing."""
    function = job.optional(name)
    if function is None:
        return None, []
    try:
        return ask(function), []
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a job's file does, the rest of the report comes
        file = Path(job.module.__file__ or f"{job.name}.py")
        said = blame(error, file).replace(f"{file.parent}/", "jobs/")
        return None, [f"The job's own {name} are missing: {said}"]


def _checked(table: Any) -> Table:
    if not isinstance(table, Table):
        raise TypeError(f"tables() must give a list of hpc_sweep.job.Table, not of {type(table).__name__}")
    if not table.columns:
        raise ValueError(f"table `{table.title}` has no columns")
    for k, row in enumerate(table.rows, 1):
        if len(row) != len(table.columns):
            raise ValueError(f"table `{table.title}`: row {k} has {len(row)} cells for {len(table.columns)} columns")
    rows = [[cell(c) for c in row] for row in table.rows]
    return Table(str(table.title), [cell(c) for c in table.columns], rows, str(table.note), str(table.across))


def _drawn(figures: Any, names: set[str]) -> list[Picture]:
    from hpc_sweep import report_figures

    return [Picture(title, _file(title, names), report_figures.svg(figure, title)) for title, figure in figures.items()]


def _file(title: str, taken: set[str]) -> str:
    """A file name made of a title: small letters, digits and `-`, and no other's."""
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "figure"
    name = next(n for k in range(1, len(taken) + 2) if (n := stem if k == 1 else f"{stem}-{k}") not in taken)
    taken.add(name)
    return f"{FIGURES}/{name}.svg"


# what every sweep has


def _curves(study: Study, results: Results, names: set[str]) -> list[Block]:
    from hpc_sweep import report_figures
    from hpc_sweep.report_curves import curves

    found, others = curves(study, results)
    blocks: list[Block] = [
        Picture(c.name, _file(f"curve {c.name}", names), report_figures.draw(c), c.note) for c in found
    ]
    if others:
        blocks.append(Words((f"Logged too, and not drawn: {', '.join(others)}.",)))
    return blocks
