"""A pretended Slurm, for what a real one cannot be made to do on demand: lie, hang, be absent, answer nonsense.

Six programs in a folder that is all that PATH has. They answer in the formats they are asked for, from `state.json`
and from what `sbatch` was given. `Slurm.behave` makes one of them misbehave.
"""

from __future__ import annotations

import json
import shlex
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sacctmgr")

_PROGRAM = r"""
import os, sys, time  # and nothing that takes longer to load than to run

here, name, words = os.path.dirname(sys.argv[1]), os.path.basename(sys.argv[1]), sys.argv[2:]


def read(path):
    with open(path) as file:  # JSON is Python but for three names
        return [eval(line, {"true": True, "false": False, "null": None}) for line in file]


with open(f"{here}/calls", "a") as file:
    file.write(repr([name, *words]) + "\n")
state = read(f"{here}/state.json")[0]


def jobs():
    for job in sorted(int(file[:-5]) for file in os.listdir(f"{here}/jobs")):
        yield str(job), read(f"{here}/jobs/{job}.json")[0]


def tasks(where):
    # every task that `squeue` (or `sacct`) knows: job, index, name and what is said of it
    for job, array in jobs() if state["known"][where] else ():
        for index in range(array["tasks"]):
            said = {"state": "PENDING", "reason": "Priority", "node": "", "exit": "0:0", "steps": []}
            told = state["tasks"].get(f"{job}_{index}", {"squeue": {}, "sacct": {}})[where]
            if told is not None:
                yield job, index, array["name"], {**said, **told}


def option(letter, default=""):
    long = [w.split("=", 1)[1] for w in words if w.startswith(letter + "=")]
    return long[0] if long else words[words.index(letter) + 1] if letter in words else default


def squeue():
    names = option("--name").split(",") if option("--name") else None
    for job, index, title, said in tasks("squeue"):
        if said["state"] in state["ended"] and option("-t") != "all":
            continue
        if names is None or title in names:
            line = option("-o")
            for letter, value in (("F", job), ("K", index), ("i", f"{job}_{index}"), ("T", said["state"]),
                                  ("r", said["reason"]), ("N", said["node"]), ("M", "0:01"), ("j", title)):
                line = line.replace(f"%{letter}", str(value))
            print(line)


def sacct():
    asked = option("-j").split(",")
    keys = [field.split("%")[0] for field in option("-o").split(",")]
    rows = [(f"{j}_{i}", title, said) for j, i, title, said in tasks("sacct") if j in asked]
    rows += [(row["id"], row["name"], row) for row in state["rows"]]
    for job, title, said in rows:
        for step, ended in [("", said["state"]), *((f".{n}", s) for n, s in said.get("steps", []))]:
            given = {"JobID": job + step, "JobName": step[1:] or title, "State": ended, "ExitCode": said.get("exit"),
                     "DerivedExitCode": "0:0", "NodeList": said.get("node"), "Reason": said.get("reason"),
                     "ElapsedRaw": "1"}
            print("|".join(given[key] or "" for key in keys))


def scontrol():
    if words == ["show", "config"]:
        print("Configuration data as of 2026-11-20T10:00:00")
        print("\n".join(f"{key:<23} = {value}" for key, value in state["config"].items()))
    elif "node" in words:
        for node in words[-1].split(","):
            said = {"State": "IDLE", "SlurmdStartTime": "1000", **state["nodes"].get(node, {})}
            print(f"NodeName={node} Arch=x86_64 State={said['State']} SlurmdStartTime={said['SlurmdStartTime']}")
    elif "job" in words:
        print(state["job"])


def sacctmgr():
    print("\n".join(state["limits"]))


def scancel():
    pass  # the call is written down, that is all


def sbatch():
    with open(words[-1]) as file:
        text = file.read()
    asked = dict(line[10:].split("=", 1) for line in text.split("\n") if line.startswith("#SBATCH --") and "=" in line)
    folder = os.path.join(os.path.dirname(words[-1]), "..", "submissions")
    record = {"name": asked["job-name"], "tasks": int(asked["array"].split("%")[0].split("-")[1]) + 1, "text": text,
              "saw": sorted(os.listdir(folder)) if os.path.isdir(folder) else [],
              "inherited": sorted(k for k in os.environ if k.startswith("SLURM_"))}
    job = state["first_job"]
    while True:
        try:
            with open(f"{here}/jobs/{job}.json", "x") as file:
                file.write(repr(record))
            return print(f"Submitted batch job {job}")
        except FileExistsError:
            job += 1


how = state["behave"].get(name)
if how is None or sum(call[0] == name for call in read(f"{here}/calls")) < how["from"]:
    globals()[name]()
else:
    if how.get("does_it"):
        sys.stdout = open(os.devnull, "w")
        globals()[name]()
    sys.__stdout__.write(how.get("stdout", ""))
    sys.__stdout__.flush()
    sys.stderr.write(how.get("stderr", ""))
    time.sleep(how.get("sleep", 0))
    sys.exit(how.get("exit", 0))
"""

ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED",
    "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT",
)  # fmt: skip


class Slurm:
    """What the six programs know, as a test sets it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "jobs").mkdir(parents=True)
        (folder / "program.py").write_text(_PROGRAM)
        python, program = shlex.quote(sys.executable), shlex.quote(str(folder / "program.py"))
        for name in PROGRAMS:
            (folder / name).write_text(f'#!/bin/sh\nexec {python} -IS {program} "$0" "$@"\n')
            (folder / name).chmod(0o755)
        self._write(
            {
                "first_job": 100, "tasks": {}, "rows": [], "nodes": {}, "behave": {}, "limits": ["|"], "job": "",
                "known": {"squeue": True, "sacct": True}, "ended": ENDED,
                "config": {
                    "AccountingStorageType": "accounting_storage/slurmdbd", "ClusterName": "pretended",
                    "AccountingStorageEnforce": "associations,limits", "MaxArraySize": "1001",
                    "SLURM_VERSION": "22.05.8",
                },
            }
        )  # fmt: skip

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return state

    def _write(self, state: dict[str, Any]) -> None:
        partial = self.folder / "state.new"
        partial.write_text(json.dumps(state))
        partial.replace(self.folder / "state.json")

    # what the cluster is and holds

    def config(self, **values: str) -> None:
        """Change lines of `scontrol show config`."""
        state = self._read()
        self._write({**state, "config": {**state["config"], **values}})

    def limits(self, *lines: str) -> None:
        """What `sacctmgr show assoc` prints: MaxSubmit|GrpSubmit, a line an association."""
        self._write({**self._read(), "limits": list(lines)})

    def node(self, name: str, **said: str) -> None:
        """What `scontrol show node` says: State, SlurmdStartTime."""
        state = self._read()
        self._write({**state, "nodes": {**state["nodes"], name: said}})

    def job_text(self, text: str) -> None:
        """What `scontrol show job` says."""
        self._write({**self._read(), "job": text})

    def add(self, job: int, name: str, tasks: int) -> None:
        """An array that somebody else submitted, or that a test did not want to send through sbatch."""
        (self.folder / "jobs" / f"{job}.json").write_text(repr({"name": name, "tasks": tasks, "text": ""}))

    def task(self, task: str, state: str, *, only: str | None = None, **said: Any) -> None:
        """What is said of the task `100_3`: its state and reason, node, exit, steps.

        `only` names the one program that knows it: the controller forgets, the accounting is late.
        """
        told = {"state": state, "reason": "None", **said}
        known = self._read()
        known["tasks"][task] = {p: told if only in (None, p) else None for p in ("squeue", "sacct")}
        self._write(known)

    def forget(self, program: str) -> None:
        """From now on this program answers well and knows of no task."""
        state = self._read()
        self._write({**state, "known": {**state["known"], program: False}})

    def row(self, **row: Any) -> None:
        """A row of sacct as it stands: id, name, state and more."""
        state = self._read()
        self._write({**state, "rows": [*state["rows"], row]})

    # misbehaviour

    def behave(self, program: str, *, first: int = 1, **how: Any) -> None:
        """From its call number `first` on: exit, stdout, stderr, sleep; `does_it` says that it does its work too."""
        state = self._read()
        self._write({**state, "behave": {**state["behave"], program: {"from": first, **how}}})

    def recover(self, program: str) -> None:
        """It behaves again."""
        state = self._read()
        state["behave"].pop(program)
        self._write(state)

    def refuse(self, program: str, words: str, **how: Any) -> None:
        self.behave(program, exit=1, stderr=words + "\n", **how)

    def hang(self, program: str, **how: Any) -> None:
        self.behave(program, sleep=60, **how)

    def remove(self, program: str) -> None:
        """It is not installed."""
        (self.folder / program).unlink()

    # what was asked

    def calls(self, program: str | None = None) -> list[list[str]]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [literal_eval(line) for line in lines]
        return [words for words in found if program in (None, words[0])]

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """What sbatch took, by job: name, tasks, text, and the names in submissions/ that it saw then."""
        paths = sorted((self.folder / "jobs").iterdir(), key=lambda p: int(p.stem))
        return {p.stem: literal_eval(p.read_text()) for p in paths}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """Put a pretended Slurm first on PATH, and nothing behind it that could reach a real one."""
    slurm = Slurm(folder)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return slurm
