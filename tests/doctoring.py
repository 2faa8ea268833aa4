"""What the tests of `doctor` share: a case to examine, a machine that was looked at, a cluster that answers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import build
from hpc_sweep.doctor_case import Case, Finding
from hpc_sweep.doctor_probe import Answer, Card, Node, Torch
from hpc_sweep.project import Project
from stubs import Slurm

PROFILES = ("devcluster", "local", "v100")
V100 = Card("Tesla V100-SXM2-32GB", 7.0, "535.1")
A100 = Card("NVIDIA A100-SXM4-80GB", 8.0, "535.1")
VOLTA = Torch("2.13.0+cu126", "12.6", ("sm_50", "sm_60", "sm_70", "sm_80", "sm_90"), (V100,))
TURING = Torch("2.13.0+cu130", "13.0", ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"), (V100,))
PACKAGES = {"cloudpickle": "3.1.2", "numpy": "2.4.6", "torch": "2.13.0", "deepspeed": "0.19.8"}

# As Slurm 22.05 and 23.11 print them.
PARTITIONS = """\
PartitionName=gpu_p13 AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A MaxTime=20:00:00 \
Nodes=r1i[0-30] State=UP TotalCPUs=1240 TotalNodes=31 TRES=cpu=1240,mem=5800G,node=31,gres/gpu=124
PartitionName=cpu_p1 AllowGroups=ALL AllowAccounts=abc@cpu,def@cpu AllowQos=ALL Default=NO MaxTime=UNLIMITED State=UP
"""
NODES = """\
29|40|196608|gpu:v100:4(S:0-1)|v100-32g,skylake|mixed
2|40|196608|gpu:v100:4(S:0-1)|v100-32g,skylake|drained*
4|40|385000|(null)|cpu|idle
"""
ASSOCIATIONS = """\
v100|abc@v100|normal,qos_gpu-t3
v100|abc@cpu|normal
elsewhere|xyz@v100|normal
"""
QOS = "normal|\nqos_gpu-t3|20:00:00\nqos_gpu-dev|02:00:00\n"


def case(
    folder: Path, profile: str = "local", *, clean: bool = False, job: bool = False, of: Project | None = None,
    answer: object = None, machine: Node | None = None, **changes: Any,
) -> Case:  # fmt: skip
    """A project to examine; `answer` and `machine` stand for what a node and this machine would tell."""
    made = Case(of or build.project(folder / "project", *PROFILES), build.profile(profile, **changes), clean, job)
    vars(made).update({"answer": answer} if answer is not None else {})
    vars(made).update({"machine": machine} if machine else {})
    return made


def node(**told: Any) -> Node:
    return Node(**{"host": "n1", "python": "3.11.9", "packages": PACKAGES, **told})


def answer(late: float = 0.0, **told: Any) -> Answer:
    return Answer("8841377", node(**told), 12.0, late)


def found(test: Callable[[Case], Iterable[Finding]], of: Case) -> list[tuple[str, str, str]]:
    """What a check says: mark, sentence, fix."""
    return [(f.mark, f.sentence, f.fix or "") for f in test(of)]


def marks(test: Callable[[Case], Iterable[Finding]], of: Case) -> list[str]:
    return [f.mark for f in test(of)]


def answers(
    slurm: Slurm, *, partitions: str = PARTITIONS, nodes: str = NODES, mine: str = ASSOCIATIONS, qos: str = QOS
) -> None:
    """Have the pretended Slurm describe itself, beside all that it does already."""
    slurm.config(ClusterName="v100", SelectType="select/cons_tres", AccountingStorageEnforce="associations,limits")
    _beside(slurm, "scontrol", {"show partition": partitions})
    _beside(slurm, "sinfo", {"": nodes})
    _beside(slurm, "sacctmgr", {"show assoc": mine, "show qos": qos})


def _beside(slurm: Slurm, program: str, said: dict[str, str]) -> None:
    path = slurm.folder / program
    before = path.read_text().partition("\n")[2] if path.exists() else ""
    cases = "".join(
        f"  *{shlex.quote(words)}*) printf %s {shlex.quote(text)}; exit;;\n" for words, text in said.items()
    )
    path.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\n{before}')
    path.chmod(0o755)
