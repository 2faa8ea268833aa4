"""Modes, secrets and strays of the sweeps' folders."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import build
from doctoring import PROFILES, case, found
from hpc_sweep import doctor_sweeps, files
from hpc_sweep.doctor_case import Case
from hpc_sweep.doctor_sweeps import modes, secrets, strays
from hpc_sweep.ledger import Sweep
from hpc_sweep.project import Project

OLD = 2 * doctor_sweeps.DAY


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(doctor_sweeps, "_umask", lambda: 0o022)
    return build.project(tmp_path / "project", *PROFILES)


@pytest.fixture
def sweep(project: Project) -> Sweep:
    made = build.sweep(project.root, build.points(3))
    made.code.mkdir()
    return made


def of(project: Project, *, clean: bool = False) -> Case:
    return case(project.root, of=project, clean=clean)


def age(path: Path, seconds: float = OLD) -> Path:
    then = time.time() - seconds
    for each in [path, *path.rglob("*")]:
        os.utime(each, (then, then), follow_symlinks=False)
    return path


# modes


def test_folders_of_my_own(project: Project, sweep: Sweep) -> None:
    assert found(modes, of(project)) == [("ok", "only you can write into the sweeps' folders", "")]


@pytest.mark.parametrize(
    ("part", "mode", "who", "fix"),
    [
        ("sweeps/trial/logs", 0o770, "group", "chmod 700 sweeps/trial/logs"),
        ("sweeps/trial", 0o777, "group and everybody", "chmod go-w sweeps/trial"),
        ("sweeps/trial/code", 0o703, "everybody", "chmod go-w sweeps/trial/code"),
        ("sweeps", 0o775, "group", "chmod go-w sweeps"),
    ],
)
def test_a_folder_that_others_can_write_to(
    project: Project, sweep: Sweep, part: str, mode: int, who: str, fix: str
) -> None:
    (project.root / part).chmod(mode)
    assert found(modes, of(project)) == [("problem", f"{part} is writable by {who}: others could run code as you", fix)]


def test_many_such_folders_are_counted(project: Project) -> None:
    for k in range(5):
        build.sweep(project.root, build.points(1), name=f"s{k}").logs.chmod(0o777)
    told = found(modes, of(project))
    assert len(told) == 4 and told[-1] == ("problem", "2 more such folders", "chmod -R go-w sweeps")


@pytest.mark.parametrize(
    ("umask", "who"), [(0o002, "your group"), (0o000, "your group and everybody"), (0o020, "everybody")]
)
def test_an_open_umask(project: Project, sweep: Sweep, monkeypatch: pytest.MonkeyPatch, umask: int, who: str) -> None:
    monkeypatch.setattr(doctor_sweeps, "_umask", lambda: umask)
    [(mark, sentence, fix)] = found(modes, of(project))
    assert mark == "note" and sentence.endswith(f"writable by {who}") and fix.startswith("umask 022")


def test_the_umask_is_read_and_not_set() -> None:
    before = os.umask(0o027)
    try:
        assert doctor_sweeps._umask() == 0o027
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


# secrets

TOKENS = {
    "an AWS key": "AKIA" + "IOSFODNN7EXAMPLE",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "x1Y2" * 5,
    "a Hugging Face token": "hf_" + "aBcD" * 9,
    "an API key": "sk-" + "proj-a1b2c3d4e5f6g7h8i9",
    "a Slack token": "xoxb-" + "1234567890-abc",
    "a password": "https://lea:" + "geheim@mlflow.example.org",
    "a private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
}


def test_no_secret(project: Project, sweep: Sweep) -> None:
    [(mark, sentence, _)] = found(secrets, of(project))
    assert mark == "ok" and sentence == "none in 5 grids, profiles and sweeps"


@pytest.mark.parametrize("what", TOKENS)
def test_a_secret_in_a_grid(project: Project, what: str) -> None:
    path = project.root / "configs" / "grids" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"name: mine\nabout: '{TOKENS[what]}'\n")
    [(mark, sentence, fix)] = found(secrets, of(project))
    assert mark == "problem" and sentence == f"configs/grids/mine.yaml:2 looks like {what}" and "revoke" in fix
    assert TOKENS[what][5:] not in sentence + fix, "the secret itself is not shown"


@pytest.mark.parametrize("name", ["slurm/v100.yaml", "slurm/env.sh", "grid.yaml", "sweeps/trial/sweep.json"])
def test_every_place_is_searched(project: Project, sweep: Sweep, name: str) -> None:
    path = project.root / name
    path.write_text((path.read_text() if path.exists() else "") + f"\n# {TOKENS['a GitHub token']}\n")
    [(mark, sentence, _)] = found(secrets, of(project))
    assert mark == "problem" and sentence.startswith(f"{name}:")


@pytest.mark.parametrize(
    "harmless",
    ["task-force-one-hundred-thousand-points", "sk-learn-like-estimator-without-number", "https://example.org/a:b@c",
     "a risk-" + "a1" * 20, "AKIA", "hf_short", "3fa9c1d20b773fa9c1d20b773fa9c1d20b77", "models/sk-small"],
)  # fmt: skip
def test_what_is_no_secret(project: Project, harmless: str) -> None:
    (project.root / "grid.yaml").write_text(f"about: {harmless}\n")
    assert found(secrets, of(project))[0][0] == "ok"


def test_many_secrets_are_counted(project: Project) -> None:
    (project.root / "grid.yaml").write_text(f"{TOKENS['an AWS key']}\n" * 10)
    assert found(secrets, of(project))[-1][1] == "4 more such lines"


# strays


def test_before_the_first_sweep(project: Project) -> None:
    assert found(strays, of(project)) == [("ok", "none yet", "")]
    assert not project.sweeps.exists()


def test_nothing_left_behind(project: Project, sweep: Sweep) -> None:
    assert found(strays, of(project)) == [("ok", "1 sweep, nothing left behind", "")]


def litter(sweep: Sweep) -> list[Path]:
    """What a writer of a dump and one of a checkpoint leave when they are killed."""
    dump = sweep.dump_path("3fa9c1d20b77").with_name(f"{files.TEMPORARY}3fa9c1d20b77.h5-17-0a1b2c3d")
    checkpoint = sweep.scratch("3fa9c1d20b77") / f"{files.TEMPORARY}step-000000017-000-0-0"
    for folder in (dump.parent, checkpoint):
        folder.mkdir(parents=True)
    dump.write_bytes(b"half")
    (checkpoint / "weights").write_bytes(bytes(1000))
    (checkpoint / f"{files.TEMPORARY}inner").write_bytes(b"")
    return [dump, checkpoint]


def test_strays_are_counted_by_sweep_and_stay(project: Project, sweep: Sweep) -> None:
    paths = [age(path) for path in litter(sweep)]
    [(mark, sentence, fix)] = found(strays, of(project))
    assert mark == "note" and fix == "hpc-sweep doctor --clean"
    assert sentence == "1 sweep · 2 stray files and folders older than a day (0.0 GB): trial 2"
    assert all(path.exists() for path in paths)


def test_clean_removes_them_and_nothing_else(project: Project, sweep: Sweep) -> None:
    build.claim(sweep, [build.points(3)])
    build.finish(sweep, build.points(2))
    kept = {p for p in project.root.rglob("*") if p.is_file()}
    paths = [age(path) for path in litter(sweep)]
    [(mark, sentence, _)] = found(strays, of(project, clean=True))
    assert mark == "ok" and "removed 2 stray files and folders" in sentence
    assert not any(path.exists() for path in paths)
    assert {p for p in project.root.rglob("*") if p.is_file()} == kept
    assert found(strays, of(project, clean=True)) == [("ok", "1 sweep, nothing left behind", "")]


def test_a_live_writer_keeps_its_file(project: Project, sweep: Sweep) -> None:
    dump, checkpoint = litter(sweep)
    age(checkpoint)
    (checkpoint / "weights").write_bytes(b"more")  # the folder is old, its writer writes
    assert found(strays, of(project, clean=True))[0][1] == "1 sweep, nothing left behind"
    assert dump.exists() and checkpoint.exists()


def test_age_goes_by_the_clock_of_the_file_system(
    project: Project, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    litter(sweep)
    monkeypatch.setattr(doctor_sweeps.time, "time", lambda: 4e9)  # this host's clock is decades ahead
    assert found(strays, of(project, clean=True))[0][1] == "1 sweep, nothing left behind"


def test_what_a_killed_doctor_left(project: Project, sweep: Sweep) -> None:
    left = project.sweeps / f"{files.TEMPORARY}doctor-0a1b"
    left.mkdir()
    age(left)
    assert found(strays, of(project))[0][1].endswith("(0.0 GB): none of them 1")
    found(strays, of(project, clean=True))
    assert not left.exists()


def test_a_link_is_removed_and_not_followed(project: Project, sweep: Sweep, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "thesis").write_text("x")
    link = sweep.folder / f"{files.TEMPORARY}link"
    link.symlink_to(outside)
    then = time.time() - OLD
    os.utime(link, (then, then), follow_symlinks=False)
    found(strays, of(project, clean=True))
    assert not link.is_symlink() and (outside / "thesis").exists()


def scratch(sweep: Sweep, point: str) -> Path:
    folder = sweep.scratch(point) / "step-000000010"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(100))
    return age(sweep.scratch(point))


def test_scratch_goes_only_when_its_point_is_done(project: Project, sweep: Sweep) -> None:
    points = build.points(3)
    build.claim(sweep, [points])
    build.finish(sweep, points[:1])
    build.attempt(sweep, 1, build.begin(points[1]), build.failed(points[1]), build.end())
    done, failed, new = (scratch(sweep, p.id) for p in points)
    assert "1 stray" in found(strays, of(project))[0][1]
    assert found(strays, of(project, clean=True))[0][0] == "ok"
    assert not done.exists() and failed.exists() and new.exists()


def test_the_checkpoint_of_a_damaged_point_stays(project: Project, sweep: Sweep) -> None:
    points = build.points(3)
    build.claim(sweep, [points])
    build.finish(sweep, points[:1])
    sweep.dump_path(points[0].id).write_bytes(b"garbage")
    kept = scratch(sweep, points[0].id)
    found(strays, of(project, clean=True))
    assert kept.exists()


def test_a_stray_that_cannot_be_removed(project: Project, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [age(path) for path in litter(sweep)]
    monkeypatch.setattr(doctor_sweeps, "_remove", lambda path: None)
    first, second = found(strays, of(project, clean=True))
    assert first[0] == "problem" and first[1] == "2 stray files cannot be removed"
    assert first[2] == f"rm -r {os.path.relpath(paths[0], project.root)}" and "removed 0" in second[1]
