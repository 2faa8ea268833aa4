"""The report as files: whole, the same every time, with what the job adds, and never lost to what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from hpc_sweep import files, report
from hpc_sweep.errors import DiskError
from hpc_sweep.job import Table
from hpc_sweep.report import NO_FIGURES, Written
from hpc_sweep.results import Results
from reporttools import HOSTILE, a_job, curve, made, one_failed, ran

GOLDEN = Path(__file__).parent / "golden" / "report.md"


def write(folder: Path, *, job: Any = None, with_figures: bool = False, **more: Any) -> Written:
    state, results = made(**more)
    return report.write(state, results, folder, job, with_figures=with_figures)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# the whole


def test_the_report_of_a_small_sweep(tmp_path: Path) -> None:
    """To write it anew after a change that was meant: cp what the failure names over tests/golden/report.md."""
    written = write(
        tmp_path, broken=one_failed, about="Does a larger model bear a larger rate?",
        metrics=lambda v: {
            "accuracy": 0.7 + v["rate"] / 5 + 0.01 * v["seed"] + 0.05 * (v["model"] == "large"),
            "correlation": None if v["model"] == "small" and v["seed"] == 1 else 0.5,
        },
        missing=lambda v: {"correlation": "constant"} if v["model"] == "small" and v["seed"] == 1 else {},
    )  # fmt: skip
    assert written.markdown.read_text() == GOLDEN.read_text(), written.markdown


def test_what_is_written_and_what_is_told_of_it(tmp_path: Path) -> None:
    written = write(tmp_path, history=curve, broken=one_failed, with_figures=True)
    assert sorted(contents(tmp_path)) == ["figures/curve-loss.svg", "report.html", "report.md", "report.tex"]
    assert written.paths == [tmp_path / name for name in ("report.html", "report.md", "report.tex", "figures")]
    assert (written.figures, written.notes) == (1, ())
    assert written.lines == (
        "loss by model and rate: mean ± sd, n = 3 seeds",
        "",
        "           rate",
        "  model            0.1            0.2",
        "  small    1.10 ± 0.10    1.10 ± 0.10",
        "  large    1.10 ± 0.10    1.05 ± 0.07*",
        "",
        "  * 2 of 3 seeds; 1 failed (oom)",
    )


def test_the_sections_stand_in_their_order(tmp_path: Path) -> None:
    written = write(tmp_path, history=curve, broken=one_failed, with_figures=True)
    heads = [line[3:] for line in written.markdown.read_text().splitlines() if line.startswith("## ")]
    assert heads == ["What ran", "Metrics", "Learning curves", "Time and cost", "Failures"]
    assert "<h2>Failures</h2>" in written.html.read_text()


def test_a_sweep_of_which_nothing_is_done_has_a_report(tmp_path: Path) -> None:
    written = write(tmp_path, broken=lambda v: ("waiting", "", ""), with_figures=True)
    assert "# trial: 0 of 12 points" in written.markdown.read_text()
    assert (written.lines, written.figures) == ((), 0)


def test_a_sweep_of_one_point_has_a_report(tmp_path: Path) -> None:
    written = write(tmp_path, axes={}, history=curve, with_figures=True)
    assert written.lines[-1].split() == ["all", "points", "1"]


def test_the_status_s_notes_are_in_the_report(tmp_path: Path) -> None:
    state, results = made()
    state = replace(state, notes=["3fa9c1d20b77: 2 attempts disagree: aa, bb"])
    text = report.write(state, results, tmp_path, None).markdown.read_text()
    assert text.endswith("## Notes\n\n3fa9c1d20b77: 2 attempts disagree: aa, bb\n")


def test_points_of_an_earlier_grid_are_left_out_and_counted(tmp_path: Path) -> None:
    state, results = made()
    stray = replace(results.rows[0], id="f" * 12)
    written = report.write(state, replace(results, rows=(*results.rows, stray)), tmp_path, None)
    assert "1 collected point of an earlier grid left out of this report." in written.markdown.read_text()


def test_numbers_logged_but_not_drawn_are_named(tmp_path: Path) -> None:
    many = {f"n{k}": [(0, 1.0), (1, 2.0)] for k in range(6)}
    text = write(tmp_path, history=lambda v: many, with_figures=True).markdown.read_text()
    assert "Logged too, and not drawn: n4, n5." in text


# a sweep that ran


def test_a_sweep_that_ran_is_reported_from_its_files(tmp_path: Path) -> None:
    axes = {"model": ["small", "large"], "rate": [0.1, 0.4], "seed": [0, 1]}
    gone = {"model": "large", "rate": 0.4, "seed": 1}
    state, results = ran(tmp_path, axes, lambda v: ("failed", "oom", "CUDA out of memory") if v == gone else None)
    written = report.write(state, results, state.sweep.results, None)
    text = written.markdown.read_text()
    assert text.startswith("# trial: 7 of 8 points\n\na real one\n\n7 done · 1 failed\n")
    assert "\\* 1 of 2 seeds; 1 failed (oom)" in text
    assert "| oom  |      1 | model=large rate=0.4 seed=1 | CUDA out of memory |" in text
    assert {p.name for p in (state.sweep.results / "figures").iterdir()} == {"curve-accuracy.svg", "curve-loss.svg"}
    assert "data:image/svg+xml;base64," in written.html.read_text()


def test_the_same_sweep_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, history=curve, broken=one_failed, with_figures=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reporttools import *; from hpc_sweep import report\n"
        "state, results = made(history=curve, broken=one_failed)\n"
        "report.write(state, results, Path(sys.argv[1]), None)\n"
    )
    here = os.path.dirname(__file__)
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": here, "PYTHONHASHSEED": seed, "TZ": f"Etc/GMT+{seed}"}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], check=True, env=environment)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") != {}


@pytest.mark.parametrize("fails_at", range(4))
def test_a_full_disk_leaves_every_file_whole(tmp_path: Path, monkeypatch: Any, fails_at: int) -> None:
    write(tmp_path / "new", history=curve, with_figures=True, broken=one_failed)
    write(tmp_path / "here", history=curve, with_figures=True)
    old, new = contents(tmp_path / "here"), contents(tmp_path / "new")
    put, count = files.write_atomic, iter(range(100))

    def full(path: Path, data: bytes) -> None:
        if next(count) == fails_at:
            raise DiskError(f"{path}: No space left on device (ENOSPC)")
        put(path, data)

    monkeypatch.setattr(files, "write_atomic", full)
    with pytest.raises(DiskError):
        write(tmp_path / "here", history=curve, with_figures=True, broken=one_failed)
    found = contents(tmp_path / "here")
    assert found.keys() == old.keys() and all(found[name] in (old[name], new[name]) for name in found)


# hostile text


def test_nothing_hostile_reaches_any_file(tmp_path: Path) -> None:
    axes = {"model": ["small", HOSTILE], "rate": [0.1, 0.2], "seed": [0, 1]}
    written = write(
        tmp_path, axes=axes, about=HOSTILE, history=curve, with_figures=True, fixed={"name": HOSTILE},
        metrics=lambda v: {"loss": None}, missing=lambda v: {"loss": HOSTILE},
        broken=lambda v: ("failed", "code", HOSTILE) if v["seed"] else None,
        job=a_job(tmp_path, tables=lambda r: [Table(HOSTILE, [HOSTILE], [[HOSTILE]], HOSTILE, HOSTILE)]),
    )  # fmt: skip
    for name, data in contents(tmp_path).items():
        text = data.decode()
        assert not set(text) & {"\u202e", "\x1b", "\x00"}, name
        assert name.endswith(".tex") or "<script>" not in text.replace("\\<", ""), name
    assert all(line.isprintable() for line in written.lines)


def test_text_that_is_no_unicode_does_not_stop_the_report(tmp_path: Path) -> None:
    write(tmp_path, about="half \ud800 a pair", broken=lambda v: ("failed", "code", "\udcff") if v["seed"] else None)
    assert "half ? a pair" in (tmp_path / "report.md").read_text()


# what the job adds


def own(folder: Path, **functions: Any) -> tuple[Written, str]:
    written = write(folder, job=a_job(folder, **functions), with_figures=True, history=curve)
    return written, written.markdown.read_text()


def test_the_job_s_tables_come_first(tmp_path: Path) -> None:
    def tables(results: Results) -> list[Table]:
        mean = sum(row.metrics["loss"] or 0 for row in results.rows) / len(results.rows)
        return [Table(f"MAE of {len(results.rows)} of {results.expected}", ["model", "mae"], [["ours", mean]])]

    written, text = own(tmp_path, tables=tables)
    assert written.lines[0] == "MAE of 12 of 12"
    assert text.index("## Results\n\n### MAE of 12 of 12") < text.index("## What ran")
    assert "\\caption{MAE of 12 of 12}" in written.latex.read_text()


def test_the_job_s_figures_come_first(tmp_path: Path) -> None:
    def figures(results: Results) -> dict[str, Figure]:
        made = Figure()
        made.subplots().plot([row.metrics["loss"] or 0 for row in results.rows])
        return {"Confusion, by ../class": made, "curve loss": Figure()}

    written, text = own(tmp_path, figures=figures)
    assert written.figures == 3
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {"confusion-by-class.svg", "curve-loss.svg", "curve-loss-2.svg"}
    assert text.index("![Confusion, by ../class](figures/confusion-by-class.svg)") < text.index("## What ran")
    assert "![loss](figures/curve-loss-2.svg)" in text


def raises(results: Results) -> Any:
    raise KeyError("valid_mae")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (raises, "KeyError: 'valid_mae'"),
        (lambda r: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda r: sys.exit(3), "SystemExit: 3"),
        (lambda r: [["a", "b"]], "must give a list of hpc_sweep.job.Table, not of list"),
        (lambda r: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda r: [Table("t", ["a", "b"], [["x"]])], "table `t`: row 1 has 1 cells for 2 columns"),
        (lambda r: [Table("t", [], [])], "table `t` has no columns"),
        (lambda r: [Table("t", ["a"], [[object()]])], "TypeError"),  # type: ignore[list-item]
    ],
)
def test_what_goes_wrong_in_tables_is_a_sentence_of_the_report(
    tmp_path: Path, tables: Callable[..., Any], said: str
) -> None:
    written, text = own(tmp_path, tables=tables)
    (note,) = written.notes
    assert note.startswith("The job's own tables are missing: jobs/train.py") and said in note
    assert "## Notes" in text and "### loss by model and rate" in text and written.figures == 1
    assert str(tmp_path) not in text


def test_what_goes_wrong_in_figures_is_a_sentence_too(tmp_path: Path) -> None:
    written, _ = own(tmp_path, figures=raises, tables=lambda r: [Table("mine", ["a"], [[1]])])
    assert written.lines[0] == "mine" and written.figures == 1
    assert written.notes == ("The job's own figures are missing: jobs/train.py: KeyError: 'valid_mae'",)


def test_a_figure_that_cannot_be_drawn_is_a_sentence(tmp_path: Path) -> None:
    def figures(results: Results) -> dict[str, Figure]:
        made = Figure()
        made.text(0, 0, "$\\nonsense{$")
        return {"bad": made}

    written, _ = own(tmp_path, figures=figures)
    assert written.figures == 1 and "The job's own figures are missing" in written.notes[0]


def test_ctrl_c_in_a_job_s_tables_ends_the_command(tmp_path: Path) -> None:
    def interrupted(results: Results) -> list[Table]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        own(tmp_path, tables=interrupted)
    assert contents(tmp_path) == {}


# without matplotlib


def test_without_matplotlib_the_report_says_how_to_get_figures(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    written, text = own(tmp_path, figures=raises, tables=lambda r: [Table("mine", ["a"], [[1]])])
    assert written.notes == (NO_FIGURES,) and written.figures == 0
    assert "pip install &#x27;hpc-sweep[report]&#x27;" in written.html.read_text()
    assert "## Notes" in text and "### mine" in text and "Learning curves" not in text
    assert sorted(contents(tmp_path)) == ["report.html", "report.md", "report.tex"]


def test_a_report_without_figures_never_loads_matplotlib(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reporttools import *; from hpc_sweep import report\n"
        "state, results = made()\n"
        "report.write(state, results, Path(sys.argv[1]), None, with_figures=False)\n"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
