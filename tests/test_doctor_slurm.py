"""Whether Slurm is there, and whether it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

import stubs
from doctoring import case, found
from hpc_sweep import doctor_slurm
from hpc_sweep.doctor_slurm import answers
from stubs import Slurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return stubs.install(tmp_path / "bin", monkeypatch)


def test_a_cluster_that_answers(tmp_path: Path, slurm: Slurm) -> None:
    [(mark, sentence, _)] = found(answers, case(tmp_path, "v100"))
    assert mark == "ok" and sentence.startswith("22.05.8 · MaxArraySize 1001 · accounting answers in 0.")


def test_a_cluster_without_accounting(tmp_path: Path, slurm: Slurm) -> None:
    slurm.config(AccountingStorageType="accounting_storage/none")
    [(mark, sentence, _)] = found(answers, case(tmp_path, "v100"))
    assert mark == "ok" and "no accounting" in sentence
    assert not slurm.calls("sacct")


def test_an_accounting_that_fails(tmp_path: Path, slurm: Slurm) -> None:
    slurm.refuse("sacct", "sacct: error: Connection refused")
    [(mark, sentence, fix)] = found(answers, case(tmp_path, "v100"))
    assert mark == "note" and "Connection refused" in sentence and "squeue" in fix


def test_a_slow_accounting(tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_slurm, "_SLOW", 0.0)
    [(mark, sentence, fix)] = found(answers, case(tmp_path, "v100"))
    assert mark == "note" and "accounting answers in" in sentence and fix


def test_a_controller_that_is_down(tmp_path: Path, slurm: Slurm) -> None:
    slurm.refuse("scontrol", "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)")
    [(mark, sentence, fix)] = found(answers, case(tmp_path, "v100"))
    assert mark == "problem" and "Unable to contact slurm controller" in sentence and "--cluster local" in fix


def test_no_slurm_where_the_profile_wants_one(tmp_path: Path, slurm: Slurm) -> None:
    slurm.remove("scontrol")
    [(mark, sentence, fix)] = found(answers, case(tmp_path, "v100"))
    assert mark == "problem" and "`scontrol` is not on this machine" in sentence and "login node" in fix


def test_a_program_is_missing(tmp_path: Path, slurm: Slurm) -> None:
    slurm.remove("sbatch")
    slurm.remove("scancel")
    first, second = found(answers, case(tmp_path, "v100"))
    assert first[0] == "problem" and first[1].startswith("sbatch, scancel cannot be found")
    assert second[0] == "ok"


def test_a_laptop(tmp_path: Path, slurm: Slurm) -> None:
    slurm.remove("scontrol")
    [(mark, sentence, _)] = found(answers, case(tmp_path))
    assert mark == "note" and "not on this machine" in sentence


def test_a_cluster_that_no_profile_knows(tmp_path: Path, slurm: Slurm) -> None:
    [(mark, sentence, fix)] = found(answers, case(tmp_path))
    assert mark == "note" and "unused" in sentence and "identify: {cluster_name: pretended}" in fix


def test_a_cluster_that_is_left_alone(tmp_path: Path, slurm: Slurm) -> None:
    slurm.config(ClusterName="v100")
    [(mark, sentence, _)] = found(answers, case(tmp_path))
    assert mark == "ok" and "--cluster local" in sentence
