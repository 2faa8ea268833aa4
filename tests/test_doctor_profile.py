"""A profile against the cluster that it describes: what agrees, and each way in which it does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import stubs
from doctoring import ASSOCIATIONS, NODES, PARTITIONS, case, found
from doctoring import answers as cluster_answers
from hpc_sweep import doctor_partition, local
from hpc_sweep.cluster import Limits
from hpc_sweep.cluster import Node as Has
from hpc_sweep.doctor_partition import Shape, minutes
from hpc_sweep.doctor_profile import profile
from stubs import Slurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    slurm = stubs.install(tmp_path / "bin", monkeypatch)
    cluster_answers(slurm)
    return slurm


def compared(folder: Path, **changes: Any) -> list[tuple[str, str, str]]:
    return found(profile, case(folder, "v100", **changes))


def the_problem(folder: Path, **changes: Any) -> tuple[str, str]:
    [(mark, sentence, fix)] = compared(folder, **changes)
    assert mark == "problem"
    assert fix.startswith("slurm/v100.yaml: ")
    return sentence, fix.removeprefix("slurm/v100.yaml: ")


def test_all_agrees(tmp_path: Path, slurm: Slurm) -> None:
    assert compared(tmp_path) == [
        (
            "ok",
            "v100 · partition gpu_p13 exists, limit 20 h · 31 nodes (2 down) with 4 v100, 40 cores, 192 GB"
            " · account abc@v100 valid",
            "",
        )
    ]


def test_a_partition_that_is_not_there(tmp_path: Path, slurm: Slurm) -> None:
    sentence, fix = the_problem(tmp_path, partition="gpu_p31")
    assert sentence == "there is no partition `gpu_p31`" and fix == "did you mean `gpu_p13`?"
    _, fix = the_problem(tmp_path / "b", partition="other")
    assert fix == "partition is one of: cpu_p1, gpu_p13"


def test_the_default_partition(tmp_path: Path, slurm: Slurm) -> None:
    assert "partition gpu_p13 exists" in compared(tmp_path, partition=None)[0][1]
    cluster_answers(slurm, partitions=PARTITIONS.replace("Default=YES", "Default=NO"))
    assert "no default partition" in the_problem(tmp_path / "b", partition=None)[0]


def test_a_partition_that_is_closed(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, partitions=PARTITIONS.replace("State=UP", "State=DOWN"))
    first, second = compared(tmp_path)
    assert first[0] == "ok" and second[:2] == ("note", "partition gpu_p13 is DOWN")


def test_a_limit_that_slurm_would_refuse(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, partitions=PARTITIONS.replace("20:00:00", "10:00:00"))
    sentence, fix = the_problem(tmp_path)
    assert sentence == "limits.minutes is 1200 (20 h); partition gpu_p13 ends a task after 10 h"
    assert fix == "limits: {minutes: 600}"


def test_a_qos_that_is_shorter_than_its_partition(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, mine=ASSOCIATIONS.replace("gpu-t3", "gpu-dev"))
    sentence, fix = the_problem(tmp_path, qos="qos_gpu-dev")
    assert sentence.endswith("qos qos_gpu-dev ends a task after 2 h") and fix == "limits: {minutes: 120}"


def test_a_limit_that_the_profile_does_not_know(tmp_path: Path, slurm: Slurm) -> None:
    first, second = compared(tmp_path, limits=Limits())
    assert first[0] == "ok"
    assert second[0] == "note" and "ends a task after 20 h" in second[1] and "{minutes: 1200}" in second[2]


def test_no_limit_at_all(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, partitions=PARTITIONS.replace("20:00:00", "UNLIMITED"))
    assert "exists, no time limit" in compared(tmp_path, limits=Limits(), qos=None)[0][1]


def test_a_node_that_is_smaller_than_the_profile_says(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, nodes=NODES.replace("196608", "174080"))
    sentence, fix = the_problem(tmp_path)
    assert "4 GPUs, 40 cores, 180 GB); the largest has 4, 40, 170 GB" in sentence
    assert fix == "node: {gpus: 4, cpus: 40, memory: 170}"


@pytest.mark.parametrize("has", [Has(gpus=8, cpus=40, memory=100), Has(gpus=4, cpus=48), Has(gpus=4, memory=375)])
def test_no_one_node_has_it_all(tmp_path: Path, slurm: Slurm, has: Has) -> None:
    assert "no node of gpu_p13 has what the profile says" in the_problem(tmp_path, node=has, extra={})[0]


def test_nodes_that_have_more_gpus_than_the_profile_says(tmp_path: Path, slurm: Slurm) -> None:
    first, second = compared(tmp_path, node=Has(gpus=2))
    assert first[0] == "ok" and second[0] == "note" and "nodes have 4 GPUs" in second[1]


def test_a_profile_that_says_nothing_of_nodes(tmp_path: Path, slurm: Slurm) -> None:
    _, (mark, _, fix) = compared(tmp_path, node=None)
    assert mark == "note" and fix == "slurm/v100.yaml: node: {gpus: 4, cpus: 40, memory: 192}"


def test_a_kind_of_card_that_is_not_there(tmp_path: Path, slurm: Slurm) -> None:
    sentence, fix = the_problem(tmp_path, gpu_type="a100")
    assert sentence == "partition gpu_p13 has no GPUs of type `a100`" and "v100" in fix
    cluster_answers(slurm, nodes=NODES.replace("gpu:v100:4", "gpu:4"))
    assert "leave gpu_type out" in the_problem(tmp_path / "b", gpu_type="v100")[1]


def test_two_kinds_of_card(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, nodes=NODES + "1|64|516000|gpu:a100:8|v100-32g|idle\n")
    notes = [c for c in compared(tmp_path) if c[0] == "note"]
    assert "has a100 and v100" in notes[0][1] and "gpu_type" in notes[0][2]
    [(mark, sentence, _)] = compared(tmp_path / "b", gpu_type="v100")
    assert mark == "ok" and "31 nodes (2 down) with 4 v100" in sentence


def test_a_constraint_that_no_node_meets(tmp_path: Path, slurm: Slurm) -> None:
    sentence, fix = the_problem(tmp_path, extra={"constraint": "v100-23g"})
    assert sentence == "no node of gpu_p13 has the feature `v100-23g`" and fix == "did you mean `v100-32g`?"
    assert compared(tmp_path / "b", extra={"constraint": "v100-32g"})[0][0] == "ok"


def test_a_way_to_ask_that_slurm_lacks(tmp_path: Path, slurm: Slurm) -> None:
    assert compared(tmp_path, gpu_request="gpus-per-node")[0][0] == "ok"
    slurm.config(SelectType="select/cons_res")
    assert the_problem(tmp_path / "b", gpu_request="gpus-per-node")[1] == "gpu_request: gres"


def test_all_nodes_are_down(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, nodes=NODES.replace("mixed", "down*"))
    assert ("note", "all 31 nodes are down") in [c[:2] for c in compared(tmp_path)]


def test_a_partition_without_nodes(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, nodes="\n")
    assert "has no nodes" in the_problem(tmp_path)[0]


def test_an_account_that_is_not_mine(tmp_path: Path, slurm: Slurm) -> None:
    sentence, fix = the_problem(tmp_path, account="abd@v100")
    assert sentence.startswith("account `abd@v100` is not one of ") and fix == "did you mean `abc@v100`?"
    assert "xyz" not in the_problem(tmp_path / "b", account="xyz")[1], "an account of another cluster"


def test_no_account_where_one_is_needed(tmp_path: Path, slurm: Slurm) -> None:
    cluster_answers(slurm, mine="")
    [(mark, sentence, fix)] = compared(tmp_path)
    assert mark == "problem" and "knows no account of" in sentence and "operators" in fix
    slurm.config(AccountingStorageEnforce="none")
    assert compared(tmp_path / "b")[0][0] == "ok"


def test_a_qos_that_is_not_open(tmp_path: Path, slurm: Slurm) -> None:
    sentence, fix = the_problem(tmp_path, qos="qos_gpu-dev", limits=Limits(minutes=60))
    assert sentence == "qos `qos_gpu-dev` is not open to abc@v100" and fix == "did you mean `qos_gpu-t3`?"
    assert the_problem(tmp_path / "b", qos="nosuch")[0] == "there is no qos `nosuch`"


def test_a_partition_for_others(tmp_path: Path, slurm: Slurm) -> None:
    wanted = {"partition": "cpu_p1", "extra": {}, "limits": Limits(), "qos": None}
    sentence, fix = the_problem(tmp_path, **wanted)
    assert sentence == "partition cpu_p1 is not for account `abc@v100`" and fix == "abc@cpu, def@cpu may"
    assert compared(tmp_path / "b", **wanted, account="abc@cpu")[0][0] == "ok"


def test_the_wrong_cluster(tmp_path: Path, slurm: Slurm) -> None:
    slurm.config(ClusterName="elsewhere")
    notes = [c[1] for c in compared(tmp_path, account=None, qos=None) if c[0] == "note"]
    assert notes == ["this host belongs to elsewhere, and slurm/v100.yaml describes v100"]


def test_without_accounting_no_account_is_asked_for(tmp_path: Path, slurm: Slurm) -> None:
    slurm.config(AccountingStorageType="accounting_storage/none")
    [(mark, sentence, _)] = compared(tmp_path)
    assert mark == "ok" and "account" not in sentence


@pytest.mark.parametrize("program", ["sinfo", "sacctmgr"])
def test_a_program_that_fails_is_said_and_the_rest_stays(tmp_path: Path, slurm: Slurm, program: str) -> None:
    (slurm.folder / program).write_text("#!/bin/sh\necho 'error: Unable to contact' >&2; exit 1\n")
    first, second = compared(tmp_path)
    assert first[0] == "ok" and "partition gpu_p13 exists" in first[1]
    assert second[0] == "note" and f"`{program}` failed" in second[1]


def test_a_silent_slurm_is_left_to_its_own_check(tmp_path: Path, slurm: Slurm) -> None:
    slurm.refuse("scontrol", "no controller")
    (slurm.folder / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    assert compared(tmp_path) == []


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "gpus", list)
    cores = len(os.sched_getaffinity(0))
    [(mark, sentence, _)] = found(profile, case(tmp_path))
    assert mark == "ok" and sentence == f"local · this machine: {cores} cores, no GPU, {cores} shards at once"
    monkeypatch.setattr(local, "gpus", lambda: ["0", "1"])
    assert found(profile, case(tmp_path / "b"))[0][1].endswith("2 GPUs, 2 shards at once")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("30:00", 30), ("20:00:00", 1200), ("2-12:00:00", 3600), ("1-00", 1440), ("UNLIMITED", None)],
)
def test_slurm_times(text: str, expected: int | None) -> None:
    assert minutes(text) == expected


def test_nodes_are_grouped(tmp_path: Path, slurm: Slurm) -> None:
    found = doctor_partition.shapes("gpu_p13")
    features = frozenset({"v100-32g", "skylake"})
    assert found[0] == Shape(31, 29, 40, 196608, {"v100": 4}, features) and found[0].gpus == 4
    assert found[1] == Shape(4, 4, 40, 385000, {}, frozenset({"cpu"}))


@pytest.mark.parametrize(
    ("gres", "cards"),
    [("(null)", {}), ("gpu:4", {"": 4}), ("gpu:a100:2,gpu:v100:4(S:0-1),nvme:1", {"a100": 2, "v100": 4}),
     ("gpu:tesla:4(IDX:0,2-3)", {"tesla": 4}), ("craynetwork:4", {})],
)  # fmt: skip
def test_cards(slurm: Slurm, gres: str, cards: dict[str, int]) -> None:
    cluster_answers(slurm, nodes=f"1|2|3|{gres}|(null)|idle\n")
    assert doctor_partition.shapes("p")[0].cards == cards


def test_nonsense_of_sinfo_is_no_node(slurm: Slurm) -> None:
    cluster_answers(slurm, nodes="slurm is having lunch\n")
    with pytest.raises(doctor_partition.slurm.SilentError, match="having lunch"):
        doctor_partition.shapes("p")
