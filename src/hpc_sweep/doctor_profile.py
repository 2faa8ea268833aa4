"""A profile beside the cluster that it describes: its partition, that one's nodes, the user's accounts.

It compares what the profile says with what Slurm says; it asks Slurm through doctor_partition only.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence

from hpc_sweep import doctor_partition, local, slurm
from hpc_sweep.cluster import Profile
from hpc_sweep.doctor_case import Case, Finding, note, ok, problem
from hpc_sweep.doctor_partition import Association, Partition, Shape
from hpc_sweep.nodes import did_you_mean


def profile(case: Case) -> Iterator[Finding]:
    """The profile against the partition, its nodes, and the user's accounts."""
    if not case.on_slurm:
        yield _local(case.profile)
    elif not isinstance(case.settings, slurm.SilentError):  # else the check of Slurm says so
        yield from _Comparison(case, case.settings).run()


def _local(profile: Profile) -> Finding:
    cards, cores = len(local.gpus()), len(os.sched_getaffinity(0))
    gpus = f"{cards} GPU{'s' * (cards != 1)}" if cards else "no GPU"
    at_once = local.slots({"gpus": 1} if cards else {}, profile.slots)
    return ok(f"{profile.name} · this machine: {cores} cores, {gpus}, {at_once} shards at once")


class _Comparison:
    """One profile beside what Slurm says; `facts` gathers what agrees."""

    def __init__(self, case: Case, settings: dict[str, str]) -> None:
        self.profile, self.file, self.settings = case.profile, case.profile_file, settings
        self.facts = [case.profile.name]
        self.qos: str | None = case.profile.qos  # forgotten once it was blamed

    def run(self) -> Iterator[Finding]:
        findings = []
        try:
            for finding in self._all():
                findings.append(finding)
        except slurm.SilentError as error:
            findings.append(note(f"not compared further: {error.message}"))
        if not any(f.mark == "problem" for f in findings):
            yield ok(" · ".join(self.facts))
        yield from findings

    def _all(self) -> Iterator[Finding]:
        known = self.profile.identify.cluster_name
        here = self.settings.get("ClusterName", "")
        if known and here and known != here:
            yield note(f"this host belongs to {here}, and {self.file} describes {known}", "log in to that cluster")
        partition = self._partition(doctor_partition.partitions())
        if isinstance(partition, Finding):
            yield partition
            return
        yield from self._limit(partition)
        yield from self._nodes(partition)
        yield from self._account(partition, here)

    def _partition(self, known: dict[str, Partition]) -> Partition | Finding:
        name = self.profile.partition
        if name is None:
            found = next((p for p in known.values() if p.default), None)
            missing = f"there is no default partition, and {self.file} names none"
        else:
            found = known.get(name)
            missing = f"there is no partition `{name}`"
        if found is None:
            hint = did_you_mean(name or "", known, "partition is one of") or "Slurm shows you none: ask its operators"
            return problem(missing, f"{self.file}: {hint}")
        self.facts.append(f"partition {found.name} exists")
        return found

    def _limit(self, partition: Partition) -> Iterator[Finding]:
        if partition.state != "UP":
            yield note(f"partition {partition.name} is {partition.state}", "tasks wait until it is up again")
        most, who = partition.minutes, f"partition {partition.name}"
        if self.profile.qos and not self._without_accounting:
            known = doctor_partition.qos_minutes([self.profile.qos])
            if self.profile.qos not in known:
                yield problem(f"there is no qos `{self.profile.qos}`", f"{self.file}: see `sacctmgr show qos`")
                self.qos = None
            of_qos = known.get(self.profile.qos)
            if of_qos is not None and (most is None or of_qos < most):
                most, who = of_qos, f"qos {self.profile.qos}"
        wanted = self.profile.limits.minutes
        fix = f"{self.file}: limits: {{minutes: {most}}}"
        if most is None:
            self.facts[-1] += ", no time limit"
        elif wanted is None:
            yield note(f"{who} ends a task after {_long(most)}, which the profile does not know", fix)
        elif wanted > most:
            yield problem(f"limits.minutes is {wanted} ({_long(wanted)}); {who} ends a task after {_long(most)}", fix)
        else:
            self.facts[-1] += f", limit {_long(most)}"

    def _nodes(self, partition: Partition) -> Iterator[Finding]:
        shapes = doctor_partition.shapes(partition.name)
        if not shapes:
            yield problem(f"partition {partition.name} has no nodes", f"{self.file}: take another partition")
            return
        wanted = self.profile.extra.get("constraint")
        if isinstance(wanted, str) and wanted.replace("-", "").replace("_", "").isalnum():
            features = {f for s in shapes for f in s.features}
            shapes = [s for s in shapes if wanted in s.features]
            if not shapes:
                hint = did_you_mean(wanted, features, "features are") or "no node has any feature"
                yield problem(f"no node of {partition.name} has the feature `{wanted}`", f"{self.file}: {hint}")
                return
        if not any(s.up for s in shapes):
            yield note(f"all {sum(s.count for s in shapes)} nodes are down", "tasks wait until one is up again")
        yield from self._kinds(partition, shapes)
        yield from self._sizes(partition, shapes)

    def _kinds(self, partition: Partition, shapes: Sequence[Shape]) -> Iterator[Finding]:
        kinds, wanted = {kind for s in shapes for kind in s.cards if kind}, self.profile.gpu_type
        if wanted and wanted not in kinds:
            hint = did_you_mean(wanted, kinds, "gpu_type is one of") or "Slurm knows no types there: leave gpu_type out"
            yield problem(f"partition {partition.name} has no GPUs of type `{wanted}`", f"{self.file}: {hint}")
        elif not wanted and len(kinds) > 1:
            listed = " and ".join(sorted(kinds))
            yield note(f"partition {partition.name} has {listed}: a task gets either", f"{self.file}: name a gpu_type")
        if self.profile.gpu_request == "gpus-per-node" and "cons_tres" not in self.settings.get("SelectType", ""):
            yield problem("this Slurm does not know --gpus-per-node", f"{self.file}: gpu_request: gres")

    def _sizes(self, partition: Partition, shapes: Sequence[Shape]) -> Iterator[Finding]:
        if self.profile.gpu_type:
            shapes = [s for s in shapes if self.profile.gpu_type in s.cards] or shapes
        most = max(shapes, key=lambda s: (s.gpus, s.cpus, s.memory))
        node = self.profile.node
        line = f"node: {{gpus: {most.gpus}, cpus: {most.cpus}, memory: {_gb(most)}}}"
        fix = f"{self.file}: {line}"
        if node is None:
            yield note("the profile does not say what a node has, so no grid can be checked against it", fix)
            return
        asked = (node.gpus, node.cpus or 0, round((node.memory or 0) * 1024))
        has = [(s.gpus, s.cpus, s.memory) for s in shapes]
        if any(all(a <= h for a, h in zip(asked, one, strict=True)) for one in has):
            if node.gpus < most.gpus:
                yield note(f"nodes have {most.gpus} GPUs; the profile lets a grid ask for {node.gpus}", fix)
            self.facts.append(_described(shapes))
            return
        memory = f", {node.memory:g} GB" if node.memory else ""
        yield problem(
            f"no node of {partition.name} has what the profile says ({node.gpus} GPUs, {node.cpus or 'any number of'} "
            f"cores{memory}); the largest has {most.gpus}, {most.cpus}, {_gb(most)} GB",
            fix,
        )

    @property
    def _without_accounting(self) -> bool:
        return self.settings.get("AccountingStorageType", "").endswith("none")

    def _account(self, partition: Partition, cluster: str) -> Iterator[Finding]:
        account, qos = self.profile.account, self.qos
        for what, given, allowed in (("account", account, partition.accounts), ("qos", qos, partition.qos)):
            if given and allowed is not None and given not in allowed:
                listed = ", ".join(sorted(allowed))
                yield problem(f"partition {partition.name} is not for {what} `{given}`", f"{self.file}: {listed} may")
        if self._without_accounting:
            return
        user = getpass.getuser()
        mine = doctor_partition.associations(user, cluster)
        if "associations" not in self.settings.get("AccountingStorageEnforce", "") and not (account and mine):
            return  # anybody may submit
        yield from self._association(mine, user)

    def _association(self, mine: list[Association], user: str) -> Iterator[Finding]:
        account, qos = self.profile.account, self.qos
        usable = [a for a in mine if account in (None, a.account)]
        if not mine:
            yield problem(f"Slurm knows no account of {user} here", "ask the operators for one")
        elif not usable:
            hint = did_you_mean(account or "", {a.account for a in mine}, "account is one of")
            yield problem(f"account `{account}` is not one of {user}'s", f"{self.file}: {hint}")
        elif qos and not any(qos in a.qos for a in usable):
            have = {name for a in usable for name in a.qos}
            hint = did_you_mean(qos, have, "qos is one of") or "this account has none: leave qos out"
            yield problem(f"qos `{qos}` is not open to {account or user}", f"{self.file}: {hint}")
        else:
            self.facts.append(f"account {account or usable[0].account} valid")


def _gb(shape: Shape) -> float:
    """Memory in GB as a profile wants it, rounded down so that Slurm takes it."""
    gigabytes = shape.memory / 1024
    return int(gigabytes) if gigabytes >= 10 else int(gigabytes * 100) / 100


def _described(shapes: Sequence[Shape]) -> str:
    count = sum(s.count for s in shapes)
    most = max(shapes, key=lambda s: (s.gpus, s.cpus, s.memory))
    kinds = " or ".join(sorted(k for k in most.cards if k))
    cards = f"{most.gpus} {kinds or 'GPUs'}, " if most.gpus else ""
    down = count - sum(s.up for s in shapes)
    out = f" ({down} down)" if down else ""
    return f"{count} nodes{out} with {cards}{most.cpus} cores, {_gb(most):g} GB"


def _long(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h" + (f" {rest:02d}" if rest else "") if hours else f"{rest} min"
