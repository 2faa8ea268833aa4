"""The floors of the house: a module imports only those below it, machine and science do not meet, little is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MACHINE = ROOT / "src" / "hpc_sweep"
SCIENCE = ROOT / "src" / "affect"

# Top to bottom. A module may import what stands below its floor, late imports included. A pattern is a family: one
# module that was split, whose parts may import each other, but not in a circle.
FLOORS = (
    "cli",
    "cli_options",
    "terminal terminal_*",
    "doctor doctor_*",
    "gather",
    "report report_*",
    "outlook",
    "orders",
    "logview",
    "mend",
    "launch",
    "sbatch",
    "script",
    "project",
    "collect",
    "results",
    "tracking tracking_*",
    "status",
    "fates",
    "worker",
    "follower",
    "process",
    "child",
    "ranks",
    "by_hand",
    "local",
    "slurm",
    "snapshot",
    "place",
    "shards",
    "cluster",
    "grid",
    "resources",
    "points",
    "axes",
    "dump",
    "hdf5",
    "structure",
    "headers",
    "ledger",
    "records",
    "job",
    "config",
    "explain compose",
    "nodes",
    "terminal_words",  # a family's name, but words alone: reports use them too
    "files",
    "errors",
    "__init__",
)

HEAVY = ("torch", "deepspeed", "transformers", "mlflow", "h5py", "numpy", "pydantic", "rich", "submitit")


Imports = list[tuple[str, int]]


def imported(path: Path) -> Imports:
    """Every module that a file imports, anywhere in it and in whatever case, with the line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where a thing comes from"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def packages(found: Imports) -> set[str]:
    return {name.split(".")[0] for name, _ in found}


MODULES = {path.stem: imported(path) for path in sorted(MACHINE.glob("*.py"))}


def own(module: str) -> Imports:
    """The modules of the machine that one of them imports."""
    parts = [(name.split("."), line) for name, line in MODULES[module]]
    return [(n[1] if n[1] in MODULES else "__init__", line) for n, line in parts if n[0] == MACHINE.name]


def floor(module: str) -> int:
    """The number of the floor, from the top; an exact name goes before a pattern."""
    for exact in (True, False):
        for number, names in enumerate(FLOORS):
            if any(module == n if exact else fnmatchcase(module, n) for n in names.split()):
                return number
    raise AssertionError(f"{module} has no floor: say in FLOORS what it may import, and what may import it")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_is_below_it(module: str) -> None:
    upward = []
    for name, line in own(module):
        family = "*" in FLOORS[floor(module)] and floor(name) == floor(module)
        if floor(name) <= floor(module) and not family:
            upward.append(f"{module}.py:{line} imports {name}")
    assert not upward


def test_every_floor_has_somebody_on_it() -> None:
    lived_on = {floor(module) for module in MODULES}
    assert [names for number, names in enumerate(FLOORS) if number not in lived_on] == []


def test_no_imports_go_in_a_circle() -> None:
    graph = {module: {name for name, _ in own(module)} for module in MODULES}
    finished: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"a circle: {' -> '.join([*above, module])}"
        if module not in finished:
            for name in graph[module]:
                visit(name, (*above, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


# machine and science


def test_the_machine_knows_nothing_of_the_science() -> None:
    forbidden = {"torch", "deepspeed", "transformers", "affect", "jobs"}
    assert {m: packages(found) & forbidden for m, found in MODULES.items() if packages(found) & forbidden} == {}


def test_the_science_knows_nothing_of_the_machine() -> None:
    found = {path: packages(imported(path)) for path in SCIENCE.rglob("*.py")}
    assert SCIENCE / "__init__.py" in found
    assert [path for path, names in found.items() if names & {"hpc_sweep", "jobs", "submitit", "mlflow"}] == []


# The floors of the science, by folder; the files at its top level stand below all of them.
SCIENCE_FLOORS = ("analysis", "train", "models", "encoders", "data", "")


def science_floor(parts: tuple[str, ...]) -> int:
    return SCIENCE_FLOORS.index(parts[0] if len(parts) > 1 else "")


@pytest.mark.parametrize("path", sorted(SCIENCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SCIENCE)))
def test_the_science_imports_only_what_is_below_it(path: Path) -> None:
    own_floor = science_floor(path.relative_to(SCIENCE).parts)
    upward = []
    for name, line in imported(path):
        parts = tuple(name.split(".")[1:])
        folder = parts[0] if parts and (SCIENCE / parts[0]).is_dir() else ""
        if name.startswith("affect.") and SCIENCE_FLOORS.index(folder) < own_floor:
            upward.append(f"{path}:{line} imports {name}")
    assert not upward


def test_only_one_file_unpickles() -> None:
    names = {"load", "loads", "Unpickler"}
    for path in (*SCIENCE.rglob("*.py"), *(ROOT / "jobs").glob("*.py")):
        taken = {name for name, _ in imported(path)}
        used = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        assert not taken & {"dill", "joblib", "cloudpickle"}, path
        if path.name != "pickles.py":
            assert not {f"pickle.{name}" for name in names} & (taken | used), path


def test_jobs_take_of_the_machine_what_is_theirs() -> None:
    for path in (ROOT / "jobs").glob("*.py"):
        taken = {name.split(".")[1] for name, _ in imported(path) if name.startswith("hpc_sweep.")}
        assert taken <= {"job", "by_hand"}, path


@pytest.mark.parametrize(
    ("package", "users"),
    [
        ("submitit", {"sbatch", "script"}),
        ("mlflow", {"tracking_*"}),
        ("h5py", {"collect", "dump", "hdf5", "headers", "structure", "results"}),
        ("matplotlib", {"report", "report_figures"}),
        ("rich", {"terminal_*", "report_*"}),
        ("click", {"cli", "cli_options", "by_hand"}),
        ("ruamel", {"compose"}),
        ("sqlite3", {"tracking_*", "doctor_mlflow"}),
        ("pickle", set()),
    ],
)
def test_each_library_has_its_place(package: str, users: set[str]) -> None:
    for module, found in MODULES.items():
        if package in packages(found):
            assert any(fnmatchcase(module, user) for user in users), f"{module} imports {package}"


# what is loaded


def loaded(module: str) -> set[str]:
    """The packages in a fresh process that has imported this module."""
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_command_line_loads_nothing_heavy() -> None:
    found = loaded("hpc_sweep.cli")
    assert "click" in found
    assert found & {*HEAVY, "matplotlib", "ruamel", "asyncio", "sqlite3"} == set()


def test_the_worker_loads_next_to_nothing() -> None:
    found = loaded("hpc_sweep.worker")
    assert found & {*HEAVY, "click", "subprocess", "asyncio", "socketserver", "multiprocessing"} == set()


def test_the_runner_of_a_laptop_loads_nothing_heavy() -> None:
    assert loaded("hpc_sweep.local") & {*HEAVY, "click"} == set()


def test_status_loads_nothing_heavy() -> None:
    """It is asked every few seconds."""
    assert loaded("hpc_sweep.status") & {*HEAVY, "click"} == set()
