"""The table of checks: every one speaks, none stops another, all are quick."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import build
import stubs
from doctoring import PROFILES, TURING, VOLTA, answers, case, node
from hpc_sweep import cli, doctor, doctor_case, doctor_job
from hpc_sweep.doctor_case import Case, Finding, ok
from hpc_sweep.errors import GridError, InputError, SurroundingsError
from hpc_sweep.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on a machine without Slurm, GPU or settings of its own."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("SLURM_CONF", "MLFLOW_TRACKING_URI", "CUDA_VISIBLE_DEVICES", "HDF5_PLUGIN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor_case.doctor_probe, "look_here", lambda: node(torch=VOLTA))
    return build.project(tmp_path / "project", *PROFILES)


def only(monkeypatch: pytest.MonkeyPatch, *tests: doctor.Test) -> None:
    monkeypatch.setattr(doctor, "CHECKS", tuple((f"check{k}", test) for k, test in enumerate(tests)))


def well(case: Case) -> Iterator[Finding]:
    yield ok("fine")


def test_a_laptop_is_well(project: Project) -> None:
    found = doctor.examine(project, None, clean=False, job=False)
    assert [c.name for c in found if c.mark == "problem"] == []
    names = [c.name for c in found]
    assert names == sorted(names, key=[n for n, _ in doctor.CHECKS].index), "in the order of the table"
    assert {n for n, _ in doctor.CHECKS} - set(names) == {"job", "node"}, "these two speak of a job only"


def test_a_cluster_is_well(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(stubs.install(tmp_path / "slurm", monkeypatch))
    found = [c for c in doctor.examine(project, "v100", clean=False, job=False) if c.mark != "ok"]
    assert found == []


def test_torch_is_not_looked_at_where_nothing_depends_on_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds to import, and all of doctor is to take less than three."""
    monkeypatch.setattr(doctor_case.doctor_probe, "look_here", lambda: pytest.fail("torch was imported"))
    doctor.examine(project, None, clean=False, job=False)
    doctor.examine(project, "devcluster", clean=False, job=False)


def test_it_leaves_nothing_behind(project: Project) -> None:
    before = sorted(project.root.rglob("*"))
    doctor.examine(project, None, clean=True, job=False)
    assert sorted(project.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "sentence", "fix"),
    [
        (OSError(5, "Input/output error", "/scratch/x"), "/scratch/x: Input/output error (EIO)", "by hand"),
        (PermissionError(13, "Permission denied"), "Permission denied (EACCES)", "by hand"),
        (OSError("odd"), "odd (OSError)", "by hand"),
        (SurroundingsError("no answer", "wait"), "no answer", "wait"),
        (KeyError("x"), "this check broke down (KeyError: 'x')", "report"),
    ],
)
def test_a_check_that_raises_is_a_problem_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Project, error: Exception, sentence: str, fix: str
) -> None:
    def breaks(case: Case) -> Iterator[Finding]:
        yield ok("so far")
        raise error

    only(monkeypatch, well, breaks, well)
    first, before, broken, last = doctor.examine(project, None, clean=False, job=False)
    assert (first.mark, before.sentence, last.mark) == ("ok", "so far", "ok")
    assert broken.mark == "problem" and broken.sentence == sentence and fix in (broken.fix or "")


def test_an_interruption_ends_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(case: Case) -> Iterator[Finding]:
        raise KeyboardInterrupt
        yield

    only(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        doctor.examine(project, None, clean=False, job=False)


def test_a_wrong_profile_is_wrong_input(project: Project) -> None:
    with pytest.raises(InputError, match="no cluster profile `nosuch`"):
        doctor.examine(project, "nosuch", clean=False, job=False)
    (project.root / "slurm" / "mine.yaml").write_text("scheduler: slrum\n")
    with pytest.raises(GridError, match=r"mine.yaml:1:12"):
        doctor.examine(project, None, clean=False, job=False)


def test_every_problem_has_a_fix(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    (project.root / "sweeps").mkdir()
    (project.root / "sweeps").chmod(0o777)
    (project.root / "grid.yaml").write_text("token: ghp_" + 36 * "a")
    monkeypatch.setattr(doctor_case.doctor_probe, "look_here", lambda: node(torch=TURING))
    found = [c for c in doctor.examine(project, "v100", clean=False, job=False) if c.mark == "problem"]
    assert {c.name for c in found} >= {"slurm", "space", "modes", "secrets", "gpu", "mlflow"}
    assert all(c.fix for c in found)


def test_one_job_serves_every_check(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def refuse(*given: object) -> None:
        runs.append(given)
        raise SurroundingsError("sbatch: no", "ask")

    monkeypatch.setattr(doctor_job, "run", refuse)
    found = doctor.examine(project, "v100", clean=False, job=True)
    assert len(runs) == 1
    assert [(c.mark, c.sentence, c.fix) for c in found if c.name == "job"] == [("problem", "sbatch: no", "ask")]


def test_no_job_runs_unasked_nor_on_a_laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_job, "run", lambda *given: pytest.fail("a job was submitted"))
    assert case(tmp_path, "v100").answer is None
    assert case(tmp_path / "b", "local", job=True).answer is None


def test_the_screen_shows_it_and_the_exit_code_counts_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    assert cli.run(["doctor"]) == 0
    assert capsys.readouterr().out.split()[1] == "python"
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert cli.run(["doctor", "--json"]) == 1
    problems = [c for c in json.loads(capsys.readouterr().out)["checks"] if c["mark"] == "problem"]
    assert [c["name"] for c in problems] == ["space"]
    assert "/nowhere" in problems[0]["sentence"] and problems[0]["fix"].startswith("mkdir -p /nowhere")
