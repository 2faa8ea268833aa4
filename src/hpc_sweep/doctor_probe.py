"""A look at one machine: a small script, and what it tells. The same script runs here and on a compute node.

It is a text because it must run where this package may be missing, and because nothing here may import torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc_sweep.errors import SurroundingsError

ANSWER = "answer.json"
_PATIENCE = 120.0

# With a folder as its argument it leaves the answer there, whole; without one it prints it.
SCRIPT = r"""
import importlib, importlib.metadata, json, os, platform, socket, subprocess, sys, tempfile

def packages():
    found = {}
    for package in importlib.metadata.distributions():  # the first of a name is the one that is imported
        found.setdefault(package.metadata["Name"] or "without a name", package.version)
    return found

def card(line):
    name, capability, driver = (part.strip() for part in line.split(","))
    return {"name": name, "capability": float(capability), "driver": driver}

def cards():
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=30).stdout
        return [card(line) for line in told.splitlines() if line.count(",") == 2]
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []

def torch_facts():
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return None
    except Exception as error:
        return {"version": "", "broken": f"{type(error).__name__}: {error}"[:300]}
    kernels = torch.cuda.get_arch_list()
    if not kernels and hasattr(torch._C, "_cuda_getArchFlags"):  # older ones tell only where a card is
        kernels = (torch._C._cuda_getArchFlags() or "").split()
    facts = {"version": str(torch.__version__), "cuda": torch.version.cuda, "kernels": kernels}
    facts |= {"sees": [], "broken": ""}
    try:
        if torch.cuda.is_available():
            for k in range(torch.cuda.device_count()):
                seen = torch.cuda.get_device_properties(k)
                facts["sees"].append({"name": seen.name, "capability": seen.major + seen.minor / 10, "driver": ""})
            (torch.ones(8, device="cuda") * 2).sum().item()
    except Exception as error:
        facts["broken"] = f"{type(error).__name__}: {error}"[:300]
    return facts

def refused(folder):
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""

home, temporary = os.environ.get("HOME", ""), os.environ.get("TMPDIR", "/tmp")
answer = {
    "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
    "python": platform.python_version(),
    "packages": packages(),
    "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    "cards": cards(),
    "torch": torch_facts(),
    "unwritable": {k: v for k, v in {"HOME": refused(home), "TMPDIR": refused(temporary)}.items() if v},
}
if len(sys.argv) > 1:
    whole = os.path.join(sys.argv[1], "answer.json")
    with open(whole + ".part", "w") as file:
        json.dump(answer, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(whole + ".part", whole)
else:
    print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Card:
    """A GPU, and the compute capability that decides which kernels it runs."""

    name: str
    capability: float
    driver: str = ""


@dataclass(frozen=True)
class Torch:
    """An installed torch: what it was built for, which cards it sees, and how it failed to use one."""

    version: str
    cuda: str | None = None
    kernels: tuple[str, ...] = ()
    sees: tuple[Card, ...] = ()
    broken: str = ""


@dataclass(frozen=True)
class Node:
    """What a machine told of itself."""

    host: str
    python: str
    packages: Mapping[str, str]
    visible: str | None = None
    cards: tuple[Card, ...] = ()
    torch: Torch | None = None
    unwritable: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Answer:
    """What a job found on a compute node, and how late its file was seen here."""

    job: str
    node: Node
    seconds: float
    late: float


def parse(text: str) -> Node:
    """A Node from what the script printed."""
    try:
        told: dict[str, Any] = json.loads(text)
        torch = told.pop("torch")
        cards = _cards(told.pop("cards"))
        return Node(**told, cards=cards, torch=_torch(torch) if torch else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurroundingsError(f"the look at a machine ended in {text[:100]!r}, which is no answer") from error


def _torch(told: dict[str, Any]) -> Torch:
    return Torch(kernels=tuple(told.pop("kernels", ())), sees=_cards(told.pop("sees", ())), **told)


def _cards(told: list[dict[str, Any]]) -> tuple[Card, ...]:
    return tuple(Card(**card) for card in told)


def look_here() -> Node:
    """Run the script on this machine, in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, errors="replace", timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise SurroundingsError(
            f"importing torch and touching the GPU took more than {_PATIENCE:.0f} s",
            "a busy card or a slow disk; look with nvidia-smi, then try again",
        ) from None
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise SurroundingsError(f"looking at this machine failed: {last[:300]}")
    return parse(done.stdout.strip().rpartition("\n")[2])
