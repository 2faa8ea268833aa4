"""A project in a temporary folder and the real program in it, on a real Slurm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HPC_SWEEP = Path(sys.executable).with_name("hpc-sweep")


@dataclass(frozen=True)
class Cluster:
    """A running devcluster."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
        return done.stdout

    def tool(self, name: str, *arguments: str) -> str:
        return self.run(str(ROOT / "slurm" / "devcluster" / name), *arguments, "--dir", str(self.folder))

    def hurry(self) -> None:
        """Let tasks that Slurm holds back for two minutes after a requeue start now."""
        for line in self.run("squeue", "-h", "-r", "-t", "PD", "-o", "%F_%K|%r", check=False).splitlines():
            job, reason = line.split("|")
            if reason == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)


class Lab:
    """A project folder, and hpc-sweep run in it as a user does."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        self.root, self.cluster = root, cluster
        for folder in ("jobs", "slurm"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "jobs" / "selftest.py", root / "jobs")
        for name in ("devcluster.yaml", "env.sh"):
            shutil.copy(ROOT / "slurm" / name, root / "slurm")

    def sweep(self, *words: str, code: int | tuple[int, ...] = 0) -> str:
        """Run hpc-sweep; its exit code must be the one expected."""
        done = subprocess.run(
            [str(HPC_SWEEP), *words], cwd=self.root, env=self.cluster.environment, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip
        expected = (code,) if isinstance(code, int) else code
        assert done.returncode in expected, f"{words} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def submit(self, text: str, *options: str) -> str:
        grid = self.root / "grid.yaml"
        grid.write_text(text)
        return self.sweep("submit", "grid.yaml", "--yes", *options)

    def status(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.sweep("status", name, "--json", code=(0, 1)))
        return document

    def points(self, name: str) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = self.status(name)["points"]
        return points

    def wait(
        self, name: str, until: Callable[[dict[str, Any]], bool] | None = None, seconds: float = 240, hurry: bool = True
    ) -> list[dict[str, Any]]:
        """Look until nothing runs or waits (or until something holds), and give the points then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            document = self.status(name)
            counts = document["counts"]
            if until(document) if until else not counts["running"] + counts["waiting"]:
                return list(document["points"])
            if hurry:
                self.cluster.hurry()
            time.sleep(1.5)
        raise AssertionError(f"{name} did not get there in {seconds} s: {self.status(name)}")

    def attempts(self, name: str) -> dict[str, list[dict[str, Any]]]:
        folder = self.root / "sweeps" / name / "attempts"
        return {p.stem: [json.loads(line) for line in p.read_text().splitlines()] for p in sorted(folder.iterdir())}

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        return [e for events in self.attempts(name).values() for e in events if e["event"] == event]

    def dumps(self, name: str) -> dict[str, bytes]:
        return {p.stem: p.read_bytes() for p in (self.root / "sweeps" / name / "dumps").rglob("*.h5")}


def environment(conf: Path) -> dict[str, str]:
    """The environment of a user of that cluster, without what this process may have of another."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "MLFLOW_"))}
    return {**kept, "SLURM_CONF": str(conf), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
