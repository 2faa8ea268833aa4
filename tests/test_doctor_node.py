"""Cards against kernels, a node's versions against ours, and how late its files are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from doctoring import A100, PACKAGES, TURING, V100, VOLTA, answer, case, found, node
from hpc_sweep import doctor_node, local
from hpc_sweep.doctor_job import StillWaitingError
from hpc_sweep.doctor_node import file_delay, gpu, job, runs, versions
from hpc_sweep.doctor_probe import Card, Torch
from hpc_sweep.errors import SurroundingsError

CPU = Torch("2.13.0+cpu")


@pytest.fixture(autouse=True)
def cards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cards of this machine, as a test sets them."""
    here: list[str] = []
    monkeypatch.setattr(local, "gpus", lambda: here)
    monkeypatch.setattr(doctor_node, "installed", PACKAGES.get)
    return here


# kernels


@pytest.mark.parametrize(
    ("capability", "kernels", "expected"),
    [
        (7.0, ["sm_70"], True),
        (7.0, ["sm_75", "sm_80"], False),
        (7.5, ["sm_70"], True),
        (8.0, ["sm_70", "sm_86"], False),
        (8.6, ["sm_80"], True),
        (9.0, ["sm_80"], False),
        (9.0, ["sm_80", "compute_80"], True),
        (7.0, ["compute_80"], False),
        (9.0, ["sm_90a"], True),
        (10.0, ["sm_90a", "compute_90a"], False),
        (10.3, ["sm_100"], True),
        (10.3, ["sm_100a"], False),
        (10.3, ["sm_100f"], True),
        (12.0, ["sm_120"], True),
        (7.0, [], False),
        (7.0, ["gfx90a", "nonsense"], False),
    ],
)
def test_which_card_runs_which_kernels(capability: float, kernels: list[str], expected: bool) -> None:
    assert runs(capability, kernels) is expected


# the card of a job


def test_a_card_that_this_torch_serves(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(V100,), torch=VOLTA))
    name = "Tesla V100-SXM2-32GB"
    assert found(gpu, examined) == [
        (
            "ok",
            f"job 8841377 on n1: {name}, sm_70 in torch 2.13.0+cu126, deepspeed 0.19.8, fp16 (no bf16 on {name})",
            "",
        )
    ]


def test_bf16_from_capability_8(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(A100,), torch=replace(TURING, sees=(A100,))))
    assert found(gpu, examined)[0][1].endswith("deepspeed 0.19.8, bf16")


def test_a_torch_without_kernels_for_the_card(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(V100,), torch=TURING))
    [(mark, sentence, fix)] = found(gpu, examined)
    assert mark == "problem" and "torch 2.13.0+cu130 has no kernels for Tesla V100-SXM2-32GB (sm_70)" in sentence
    assert "environment.yml" in fix and "cu126" in fix


def test_a_card_that_is_too_new(tmp_path: Path) -> None:
    card = Card("NVIDIA B200", 10.0)
    examined = case(tmp_path, "v100", answer=answer(cards=(card,), torch=replace(VOLTA, kernels=("sm_70", "sm_90"))))
    [(mark, _, fix)] = found(gpu, examined)
    assert mark == "problem" and "sm_100" in fix and "environment.yml" not in fix


def test_the_oldest_of_several_cards_decides(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(A100, V100), torch=TURING))
    assert found(gpu, examined)[0][0] == "problem"


def test_a_build_without_cuda(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(V100,), torch=CPU))
    [(mark, sentence, _)] = found(gpu, examined)
    assert mark == "problem" and "2.13.0+cpu is a build without CUDA" in sentence


def test_a_driver_that_is_too_old(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(cards=(V100,), torch=replace(VOLTA, sees=())))
    [(mark, sentence, _)] = found(gpu, examined)
    assert mark == "problem" and "does not see it (driver 535.1, torch wants CUDA 12.6)" in sentence


def test_a_kernel_that_fails(tmp_path: Path) -> None:
    broken = replace(VOLTA, broken="AcceleratorError: uncorrectable ECC error encountered")
    [(mark, sentence, _)] = found(gpu, case(tmp_path, "v100", answer=answer(cards=(V100,), torch=broken)))
    assert mark == "problem" and "uncorrectable ECC" in sentence


def test_a_torch_that_cannot_be_imported(tmp_path: Path) -> None:
    broken = Torch("", broken="OSError: libcudnn.so.9: cannot open shared object file")
    [(mark, sentence, _)] = found(gpu, case(tmp_path, "v100", answer=answer(cards=(V100,), torch=broken)))
    assert mark == "problem" and "cannot be imported: OSError: libcudnn" in sentence


def test_a_card_without_torch(tmp_path: Path) -> None:
    [(mark, sentence, fix)] = found(gpu, case(tmp_path, "v100", answer=answer(cards=(V100,))))
    assert mark == "note" and "torch is not installed" in sentence and fix


def test_a_card_that_only_torch_sees(tmp_path: Path) -> None:
    assert found(gpu, case(tmp_path, "v100", answer=answer(torch=VOLTA)))[0][0] == "ok"


def test_a_job_that_got_no_card(tmp_path: Path) -> None:
    examined = case(tmp_path, "devcluster", answer=answer(visible="0", torch=CPU))
    [(mark, sentence, fix)] = found(gpu, examined)
    assert mark == "note" and sentence == "job 8841377 on n1: no GPU was seen (CUDA_VISIBLE_DEVICES=0)" and not fix
    assert "node: {gpus: N}" in found(gpu, case(tmp_path / "b", "devcluster", node=None, answer=answer()))[0][2]


# without a job


def test_a_card_of_this_machine(tmp_path: Path, cards: list[str]) -> None:
    cards.append("0")
    examined = case(tmp_path, machine=node(cards=(A100,), torch=replace(TURING, sees=(A100,))))
    [(mark, sentence, _)] = found(gpu, examined)
    assert mark == "ok" and sentence.startswith("NVIDIA A100-SXM4-80GB, sm_80 in torch 2.13.0+cu130")
    [(mark, sentence, _)] = found(gpu, case(tmp_path / "b", machine=node(cards=(V100,), torch=TURING)))
    assert mark == "problem" and "no kernels" in sentence


def test_a_card_that_nobody_sees(tmp_path: Path, cards: list[str]) -> None:
    cards.append("0")
    [(mark, sentence, fix)] = found(gpu, case(tmp_path, machine=node()))
    assert mark == "note" and "see none" in sentence and "nvidia-smi" in fix


def test_no_card_here(tmp_path: Path) -> None:
    assert found(gpu, case(tmp_path)) == [("note", "none on this machine: models train on its cores", "")]
    told = found(gpu, case(tmp_path / "b", "devcluster"))
    assert told == [("note", "none on this machine", "hpc-sweep doctor --job")]


def test_the_profiles_capability_against_the_torch_here(tmp_path: Path) -> None:
    [(mark, sentence, _)] = found(gpu, case(tmp_path, "v100", machine=node(torch=replace(VOLTA, sees=()))))
    assert mark == "ok" and sentence.startswith("none here; v100, sm_70 in torch 2.13.0+cu126")
    assert "fp16 (no bf16 on v100)" in sentence
    [(mark, sentence, fix)] = found(gpu, case(tmp_path / "b", "v100", machine=node(torch=TURING)))
    assert mark == "problem" and "no kernels for the profile's v100 (sm_70)" in sentence and "cu126" in fix


def test_a_capability_and_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_node, "installed", lambda name: None)
    [(mark, sentence, _)] = found(gpu, case(tmp_path, "v100"))  # and no process is started for it
    assert mark == "note" and "torch is not installed" in sentence


def test_a_job_that_failed_leaves_the_look_from_here(tmp_path: Path) -> None:
    failed = SurroundingsError("sbatch: no")
    examined = case(tmp_path, "v100", answer=failed, machine=node(torch=VOLTA))
    assert found(gpu, examined)[0][0] == "ok"
    assert found(versions, examined) == found(file_delay, examined) == []


# the job itself


def test_a_job_that_ran(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", job=True, answer=answer())
    assert found(job, examined) == [("ok", "8841377 ran on n1, answered after 12 s", "")]


def test_a_job_that_still_waits_is_no_problem_of_yours(tmp_path: Path) -> None:
    waits = StillWaitingError("job 7 gave no answer in 10 min (Priority), and was cancelled", "later")
    examined = case(tmp_path, "v100", job=True, answer=waits)
    assert found(job, examined) == [("note", waits.message, "later")]


def test_a_job_that_failed(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="sbatch: no"):
        found(job, case(tmp_path, "v100", job=True, answer=SurroundingsError("sbatch: no")))


def test_a_job_on_a_laptop_and_none_at_all(tmp_path: Path) -> None:
    assert found(job, case(tmp_path, job=True))[0][0] == "ok"
    assert found(job, case(tmp_path / "b", "v100")) == []


# versions there and here


def test_the_same_on_both(tmp_path: Path) -> None:
    examined = case(tmp_path, "v100", answer=answer(), machine=node())
    assert found(versions, examined) == [("ok", "n1: Python 3.11.9 and 4 packages as here", "")]


def test_another_python(tmp_path: Path) -> None:
    [(mark, sentence, fix)] = found(versions, case(tmp_path, "v100", answer=answer(python="3.9.2"), machine=node()))
    assert mark == "problem" and sentence == "n1 has Python 3.9.2, this host 3.11.9" and fix


@pytest.mark.parametrize("there", [{"cloudpickle": "2.0"}, {}])
def test_another_cloudpickle(tmp_path: Path, there: dict[str, str]) -> None:
    packages = {name: version for name, version in PACKAGES.items() if name != "cloudpickle"} | there
    examined = case(tmp_path, "v100", answer=answer(packages=packages), machine=node())
    [(mark, sentence, _)] = found(versions, examined)
    version = there.get("cloudpickle", "missing")
    assert mark == "problem" and sentence.startswith(f"n1 has cloudpickle {version} (here 3.1.2): a task could not")


def test_other_packages_are_noted(tmp_path: Path) -> None:
    more = {**PACKAGES, "numpy": "1.26", **{f"site{k}": "1" for k in range(6)}}
    examined = case(tmp_path, "v100", answer=answer(packages=more), machine=node())
    [(mark, sentence, _)] = found(versions, examined)
    assert mark == "note" and sentence.startswith("n1 has numpy 1.26 (here 2.4.6), site0 1 (here missing)")
    assert sentence.endswith("site3 1 (here missing) and 2 more")


def test_a_node_whose_tmpdir_is_missing(tmp_path: Path) -> None:
    unwritable = {"TMPDIR": "/local/lea: No such file or directory"}
    first, second = found(versions, case(tmp_path, "v100", answer=answer(unwritable=unwritable), machine=node()))
    assert first[0] == "problem" and first[1] == f"on n1 TMPDIR takes no files: {unwritable['TMPDIR']}"
    assert first[2] == "export TMPDIR=DIR in slurm/env.sh" and second[0] == "ok"


# files of a node, seen here


@pytest.mark.parametrize(("late", "allowed"), [(0.0, 0.0), (2.8, 3.0), (0.05, 0.0)])
def test_files_that_come_in_time(tmp_path: Path, late: float, allowed: float) -> None:
    [(mark, sentence, _)] = found(file_delay, case(tmp_path, "v100", answer=answer(late), file_delay=allowed))
    assert mark == "ok" and ("2.8 s after" in sentence) == (late == 2.8)


def test_files_that_come_too_late(tmp_path: Path) -> None:
    [(mark, sentence, fix)] = found(file_delay, case(tmp_path, "v100", answer=answer(4.2)))
    assert mark == "note" and "seen here 4.2 s after" in sentence and "`status` waits 3 s" in sentence
    assert fix == "slurm/v100.yaml: file_delay: 7"
