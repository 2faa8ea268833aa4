"""The README as blocks, sections and tables, and a reader who does what it says in a project of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment above it says of it: `run`, `screen`, `file: PATH`, or nothing."""

    mark: str
    language: str
    text: str
    line: int


def blocks() -> list[Block]:
    fenced = re.finditer(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(m[1] or "", m[2], m[3], README[: m.start(3)].count("\n") + 1) for m in fenced]


def section(title: str) -> str:
    """The text below a heading, up to the next of the same level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"the README has no section `{title}`"
    return match[1]


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section: rows of cells, without the heading."""
    found: list[list[list[str]]] = []
    above = ""
    for line in section(title).splitlines():
        if line.startswith("|") and not above.startswith("|"):
            found.append([])
        elif line.startswith("|") and not line.startswith("|---"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        above = line
    return found


def names(rows: list[list[str]], column: int = 0) -> list[str]:
    """What stands in backticks in a column of a table."""
    return [name for row in rows for name in CODE.findall(row[column])]


@dataclass(frozen=True)
class Step:
    """One command of the README, what became of it, and what should have."""

    line: int
    command: str
    expected: int
    code: int
    output: str
    errors: str


class Reader:
    """Somebody who does what the README says, in a project of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("jobs", "slurm", "configs"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "devcluster"))
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "activate").touch()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "MLFLOW_"))}
        programs = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
        looks = {"COLUMNS": "80", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        self.environment = {**kept, **looks, "PATH": programs}

    def do(self, block: Block) -> list[Step]:
        steps = []
        for k, line in enumerate(block.text.splitlines()):
            expected = re.search(r"#.*\bexit (\d+)", line)
            steps.append(self.run(["bash", "-c", line], line, int(expected[1]) if expected else 0, block.line + k))
        return steps

    def run(self, words: list[str], command: str, expected: int, line: int) -> Step:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", timeout=120,
        )  # fmt: skip
        return Step(line, command, expected, done.returncode, done.stdout, done.stderr)
