"""The project is found from any folder inside it, and knows which cluster it is on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import build
from hpc_sweep import project as projects
from hpc_sweep import slurm
from hpc_sweep.errors import InputError
from hpc_sweep.project import Project
from stubs import Slurm, install


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    for name in ("SLURM_CLUSTER_NAME", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    return install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def project(tmp_path: Path, cluster: Slurm) -> Project:
    return build.project(tmp_path / "project", "devcluster", "local", "v100")


def profile(project: Project, name: str, text: str) -> None:
    (project.root / "slurm" / f"{name}.yaml").write_text(f"scheduler: slurm\n{text}\n")


# where it is


@pytest.mark.parametrize("inside", [".", "jobs", "a/b/c"])
def test_the_project_is_the_nearest_folder_with_jobs(
    project: Project, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    (project.root / inside).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project.root / inside)
    assert projects.here() == project
    assert (project.jobs, project.sweeps) == (project.root / "jobs", project.root / "sweeps")


def test_a_project_inside_a_project_is_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = project.root / "examples" / "one"
    (inner / "jobs").mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert projects.here().root == inner


def test_a_file_called_jobs_makes_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is not in a project: no folder above it has a `jobs/`") as caught:
        projects.here()
    assert caught.value.exit_code == 2 and caught.value.hint


# which cluster


def test_the_cluster_that_slurm_names(project: Project, cluster: Slurm) -> None:
    cluster.config(ClusterName="hpcsweep")
    assert project.profile(None).name == "devcluster"
    cluster.config(ClusterName="v100")
    assert project.profile(None).name == "v100"


@pytest.mark.parametrize("how", ["unknown", "missing", "fails", "hangs", "nonsense"])
def test_a_host_that_nothing_recognises_is_local(
    project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "missing":
        cluster.remove("scontrol")
    elif how == "fails":
        cluster.refuse("scontrol", "scontrol: fatal: Could not establish a configuration source")
    elif how == "hangs":
        cluster.hang("scontrol")
        monkeypatch.setattr(slurm.subprocess, "run", impatient(slurm.subprocess.run))
    elif how == "nonsense":
        cluster.behave("scontrol", stdout="<html>\n= =\nClusterName\n")
    assert project.profile(None).name == "local"


def impatient(run):  # type: ignore[no-untyped-def]
    return lambda *args, **more: run(*args, **{**more, "timeout": 0.3})


def test_the_environment_tells_where_slurm_is_silent(
    project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.remove("scontrol")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "v100")
    assert project.profile(None).name == "v100"


@pytest.mark.parametrize(
    ("identify", "here"),
    [
        ("host: " + socket.gethostname()[:1] + "*", True),
        ("host: login9.nowhere", False),
        ("env: {CLUSTER: here}", True),
        ("env: {CLUSTER: here, SITE: there}", False),
        ("slurm_conf: /etc/here/*", True),
    ],
)
def test_a_profile_recognises_its_host(
    project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch, identify: str, here: bool
) -> None:
    monkeypatch.setenv("CLUSTER", "here")
    monkeypatch.setenv("SLURM_CONF", "/etc/here/slurm.conf")
    profile(project, "aaa", f"identify: {{{identify}}}")
    assert (project.profile(None).name == "aaa") is here


def test_slurm_is_not_asked_when_a_name_is_given(project: Project, cluster: Slurm) -> None:
    assert project.profile("v100").name == "v100"
    assert cluster.calls() == []


def test_slurm_is_not_asked_where_no_profile_goes_by_its_name(tmp_path: Path, cluster: Slurm) -> None:
    bare = build.project(tmp_path / "bare", "local")
    assert bare.profile(None).name == "local"
    assert cluster.calls() == []


def test_a_project_without_profiles_is_local(tmp_path: Path, cluster: Slurm) -> None:
    (tmp_path / "bare" / "jobs").mkdir(parents=True)
    assert Project(tmp_path / "bare").profile(None).scheduler == "local"


def test_a_profile_that_there_is_not(project: Project) -> None:
    with pytest.raises(InputError, match="there is no cluster profile `jz`") as caught:
        project.profile("jz")
    assert caught.value.hint and "devcluster" in caught.value.hint


# its sweeps


def test_the_newest_sweep_is_the_one_last_submitted_to(project: Project, cluster: Slurm) -> None:
    for name in ("one", "two"):
        build.submit(project, build.grid(project, name), "devcluster", limit=1)
    assert project.sweep(None).name == "two"
    build.submit(project, build.grid(project, "one"), "devcluster", limit=1)
    assert project.sweep(None).name == "one"
    assert project.sweep("two").name == "two"


def test_a_sweep_that_there_is_not(project: Project, cluster: Slurm) -> None:
    with pytest.raises(InputError, match="there is no sweep"):
        project.sweep(None)
    build.submit(project, build.grid(project, "one"), "devcluster", limit=1)
    with pytest.raises(InputError, match="there is no sweep `two`") as caught:
        project.sweep("two")
    assert caught.value.hint == "the sweeps there: one"


def test_how_late_files_show_is_kept_with_the_submission(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project), "devcluster", limit=1)
    sweep = project.sweep("trial")
    assert project.file_delay(sweep) == 0.0
    path = project.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text().replace("file_delay: 0", "file_delay: 2.5"))
    build.submit(project, build.grid(project), "devcluster", limit=1)
    path.unlink()
    assert project.file_delay(sweep) == 2.5


def test_a_submission_without_that_word_waits_for_no_file(tmp_path: Path, project: Project) -> None:
    sweep = build.sweep(tmp_path, points := build.points(1))
    build.claim(sweep, [points])
    assert project.file_delay(sweep) == 0.0


def test_a_sweep_without_submissions_waits_for_no_file(project: Project, tmp_path: Path) -> None:
    assert project.file_delay(build.sweep(tmp_path, build.points(1))) == 0.0
