"""`doctor` on a real Slurm: the profile against the real partitions, and a job on a real node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.lab import Lab

pytestmark = pytest.mark.slurm


def doctor(lab: Lab, *options: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The checks by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for check in json.loads(lab.sweep("doctor", "--json", *options, code=code))["checks"]:
        found.setdefault(check["name"], []).append(check)
    return found


def test_a_job_looks_at_a_node(lab: Lab) -> None:
    (lab.root / "sweeps").mkdir()
    found = doctor(lab, "--job")
    assert found["slurm"][0]["mark"] == "ok" and "accounting answers in" in found["slurm"][0]["sentence"]
    [profile] = found["profile"]
    assert profile["mark"] == "ok" and "4 nodes with 4 v100, 2 cores, 4.88 GB" in profile["sentence"]
    [job] = found["job"]
    number, _, _, node = job["sentence"].rstrip(",").split(",")[0].split()
    assert job["mark"] == "ok" and node in ("n1", "n2", "n3", "n4")
    assert found["node"][0]["mark"] == "ok" and found["node"][0]["sentence"].endswith("packages as here")
    assert [c["mark"] for c in found["files"]][-1] == "ok" and "are seen here" in found["files"][-1]["sentence"]
    [gpu] = found["gpu"]  # the cards of this cluster are pretended: Slurm gives one, and nobody sees it
    assert gpu["mark"] == "note" and gpu["sentence"].startswith(f"job {number} on {node}: no GPU was seen (CUDA_VIS")
    assert list((lab.root / "sweeps").iterdir()) == []
    assert "JobState=COMPLETED" in lab.cluster.run("scontrol", "show", "job", number)


def test_a_job_that_cannot_start_is_explained(lab: Lab) -> None:
    path = lab.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text() + "setup: [exec /nowhere/bin/python]\n")
    found = doctor(lab, "--job", code=1)
    [job] = found["job"]
    assert job["mark"] == "problem" and "(FAILED) without an answer" in job["sentence"]
    assert "/nowhere/bin/python: No such file or directory" in job["sentence"]
    assert "node" not in found and found["gpu"][0]["mark"] == "note"


def test_a_node_with_other_versions(lab: Lab) -> None:
    info = lab.root / "other" / "cloudpickle-2.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cloudpickle\nVersion: 2.0.0\n")
    path = lab.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text() + f"setup: [export PYTHONPATH='{info.parent}' TMPDIR=/nowhere]\n")
    first, second = doctor(lab, "--job", code=1)["node"]
    assert "TMPDIR takes no files: /nowhere: No such file" in first["sentence"]
    assert second["mark"] == "problem" and "has cloudpickle 2.0.0 (here " in second["sentence"]


def test_what_slurm_refuses_is_passed_on(lab: Lab) -> None:
    path = lab.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text().replace("gpu_type: v100", "gpu_type: a100").replace("cpus: 2", "cpus: 3"))
    found = doctor(lab, "--job", code=1)
    assert [c["mark"] for c in found["profile"]] == ["problem", "problem"]
    assert "no GPUs of type `a100`" in found["profile"][0]["sentence"]
    assert found["profile"][1]["fix"] == "slurm/devcluster.yaml: node: {gpus: 4, cpus: 2, memory: 4.88}"
    assert found["job"][0]["mark"] == "problem" and "`sbatch` failed" in found["job"][0]["sentence"]


@pytest.mark.cluster("noacct,cgroup")
def test_without_accounting(lab: Lab) -> None:
    found = doctor(lab, "--job")
    assert "no accounting" in found["slurm"][0]["sentence"]
    assert found["profile"][0]["mark"] == found["job"][0]["mark"] == "ok"
