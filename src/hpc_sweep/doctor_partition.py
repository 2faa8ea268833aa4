"""A partition, its nodes and a user's accounts, as Slurm's own programs print them. Reads; judges nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hpc_sweep import slurm

_GONE = ("down", "drain", "fail", "maint", "unk", "future", "powering_down")
_NODE_FIELDS = "%D|%c|%m|%G|%f|%T"


@dataclass(frozen=True)
class Partition:
    """What a partition takes; `minutes` is None where there is no limit, `accounts` and `qos` where all may."""

    name: str
    default: bool
    state: str
    minutes: int | None
    accounts: frozenset[str] | None
    qos: frozenset[str] | None


@dataclass(frozen=True)
class Shape:
    """Nodes that are alike: how many, what each has, and how many of them are up. Memory in MB."""

    count: int
    up: int
    cpus: int
    memory: int
    cards: Mapping[str, int]  # by type; "" where Slurm was told none
    features: frozenset[str]

    @property
    def gpus(self) -> int:
        return sum(self.cards.values())


@dataclass(frozen=True)
class Association:
    """An account of the user, and what it may use."""

    account: str
    qos: frozenset[str]


def partitions() -> dict[str, Partition]:
    """The partitions that the controller shows to this user."""
    lines = slurm.ask(["scontrol", "-o", "show", "partition"]).splitlines()
    found = [_partition(dict(part.split("=", 1) for part in line.split() if "=" in part)) for line in lines if line]
    return {p.name: p for p in found}


def _partition(fields: dict[str, str]) -> Partition:
    return Partition(
        name=fields.get("PartitionName", ""),
        default=fields.get("Default") == "YES",
        state=fields.get("State", "UP"),
        minutes=minutes(fields.get("MaxTime", "")),
        accounts=_all_or(fields.get("AllowAccounts", "ALL")),
        qos=_all_or(fields.get("AllowQos", "ALL")),
    )


def _all_or(text: str) -> frozenset[str] | None:
    return None if text in ("ALL", "") else frozenset(text.split(","))


def minutes(text: str) -> int | None:
    """Slurm's times: `30`, `30:00`, `20:00:00`, `2-12:00:00`; None for no limit."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not match:
        return None
    days, first, second, third = match.groups()
    if days is not None or third is not None:
        return int(days or 0) * 1440 + int(first) * 60 + int(second or 0)
    return int(first)


def shapes(partition: str) -> list[Shape]:
    """The kinds of nodes that a partition has."""
    told = slurm.ask(["sinfo", "-h", "-e", "-p", partition, "-o", _NODE_FIELDS])
    groups: dict[tuple[str, ...], list[tuple[int, bool]]] = {}
    for line in filter(str.strip, told.splitlines()):
        fields = tuple(part.strip() for part in line.split("|"))
        if len(fields) != 6 or not all(f.isdigit() for f in fields[:3]):
            raise slurm.SilentError(f"`sinfo` answered {line[:100]!r}, which is no node")
        up = not fields[5].lower().startswith(_GONE) and not fields[5].endswith("*")
        groups.setdefault(fields[1:5], []).append((int(fields[0]), up))
    return [_shape(fields, counts) for fields, counts in groups.items()]


def _shape(fields: tuple[str, ...], counts: list[tuple[int, bool]]) -> Shape:
    cpus, memory, gres, features = fields
    return Shape(
        count=sum(n for n, _ in counts),
        up=sum(n for n, up in counts if up),
        cpus=int(cpus),
        memory=int(memory),
        cards=_cards(gres),
        features=frozenset(features.split(",")) - {"(null)"},
    )


def _cards(gres: str) -> dict[str, int]:
    """`gpu:v100:4(S:0-1),nvme:1` as {"v100": 4}."""
    found: dict[str, int] = {}
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = entry.split(":")
        if name == "gpu" and rest and rest[-1].isdigit():
            kind = rest[0] if len(rest) > 1 else ""
            found[kind] = found.get(kind, 0) + int(rest[-1])
    return found


def associations(user: str, cluster: str) -> list[Association]:
    """The accounts that a user has on a cluster, with their QOS."""
    told = slurm.ask(["sacctmgr", "-n", "-P", "show", "assoc", f"user={user}", "format=Cluster,Account,QOS"])
    rows = [line.split("|") for line in told.splitlines()]
    return [Association(r[1], frozenset(r[2].split(",")) - {""}) for r in rows if len(r) == 3 and r[0] == cluster]


def qos_minutes(names: Collection[str]) -> dict[str, int | None]:
    """The longest task of each QOS that is asked for and exists."""
    told = slurm.ask(["sacctmgr", "-n", "-P", "show", "qos", "format=Name,MaxWall"])
    rows = [line.split("|") for line in told.splitlines()]
    return {row[0]: minutes(row[1]) for row in rows if len(row) == 2 and row[0] in names}
