"""Real Slurm clusters for the tests of this folder, one a profile, started when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.lab import ROOT, Cluster, Lab, environment

DEFAULT = "accounting,cgroup"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on one cluster run one after the other in one process: a cluster has eight CPUs to pretend with."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            mark = item.get_closest_marker("cluster")
            item.add_marker(pytest.mark.xdist_group(mark.args[0] if mark else DEFAULT))


def _missing() -> str:
    if os.geteuid() != 0:
        return "a real Slurm needs root here"
    return "" if shutil.which("slurmctld") or Path("/usr/sbin/slurmctld").exists() else "Slurm is not installed"


@pytest.fixture(scope="session")
def clusters() -> Iterator[Callable[..., Cluster]]:
    """Starts clusters by profile; all end with the session."""
    if why := _missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}: run slurm/devcluster/install")
        pytest.skip(f"{why}: the tests on a real Slurm are left out")
    started: dict[str, Cluster] = {}
    base = Path(tempfile.mkdtemp(prefix="hs-slurm-", dir="/var/tmp"))
    base.chmod(0o755)

    def up(profile: str, **knobs: str) -> Cluster:
        if profile not in started:
            folder = base / profile.replace(",", "-")
            command = [str(ROOT / "slurm/devcluster/up"), "--profile", profile, "--dir", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **knobs})
            assert done.returncode == 0, done.stdout + done.stderr
            started[profile] = Cluster(folder, environment(folder / "slurm.conf"))
        return started[profile]

    yield up
    for cluster in started.values():
        cluster.tool("down")
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def lab(request: pytest.FixtureRequest, clusters: Callable[..., Cluster], tmp_path: Path) -> Lab:
    """A project on the cluster that the test's `cluster` mark names."""
    mark = request.node.get_closest_marker("cluster")
    cluster = clusters(mark.args[0] if mark else DEFAULT, GRACE="20", KILLWAIT="5", **(mark.kwargs if mark else {}))
    return Lab(tmp_path / "a project", cluster)
