"""The program as a user meets it: exit codes, prompts, pipes, interruptions, and that help costs next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pexpect
import pytest

from hpc_sweep import cli

ROOT = Path(__file__).parents[1]
PROGRAM = str(Path(sys.executable).with_name("hpc-sweep"))
GRID = """
name: few
job: selftest
fixed: {steps: 5}
axes:
  model: [small, large]
  seed: [1, 2]
resources: [{minutes: 0.1, points_per_shard: 2}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("jobs", "slurm"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs/selftest.py").write_text((ROOT / "jobs/selftest.py").read_text())
    (tmp_path / "slurm/v100.yaml").write_text((ROOT / "slurm/v100.yaml").read_text())
    (tmp_path / "grid.yaml").write_text(GRID)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MLFLOW_"))}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def hpc_sweep(project: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words], cwd=project, env=environment(**more), capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_from_a_grid_to_results(project: Path) -> None:
    started = hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait")
    assert started.returncode == 0, started.stderr
    assert "4 of 4" in hpc_sweep(project, "collect").stdout
    again = hpc_sweep(project, "submit", "grid.yaml")
    assert again.returncode == 0
    assert "nothing to submit" in again.stdout
    document = json.loads(hpc_sweep(project, "status", "few", "--json").stdout)
    assert document["schema"] == 1
    assert document["counts"]["done"] == 4


def test_no_command_changes_what_it_is_only_to_show(project: Path) -> None:
    before = sorted(p.name for p in project.rglob("*"))
    shown = hpc_sweep(project, "submit", "grid.yaml", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert (
        sorted(p.name for p in project.rglob("*") if "__pycache__" not in p.parts and p.name != "__pycache__") == before
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["submit", "grid.yaml"], 4, "--yes"),  # nobody is there to be asked
        (["submit", "absent.yaml", "--yes"], 2, "absent.yaml"),
        (["submit", "grid.yaml", "--yes", "--cluster", "nowhere"], 2, "nowhere"),
        (["submit", "grid.yaml", "--yes", "--only", "colour=red"], 2, "colour"),
        (["submit", "grid.yaml", "--yes", "--only", "model=tiny"], 2, "tiny"),
        (["submit", "grid.yaml", "--yes", "--cluster", "v100"], 3, "scontrol"),
        (["submit", "grid.yaml", "--limit", "0"], 2, "limit"),
        (["status"], 2, "no sweep"),
        (["status", "ghost"], 2, "ghost"),
        (["log", "abc"], 2, "no sweep"),
        (["rerun", "--set", "batch=16"], 4, "other points"),
        (["collect", "--to", "paper"], 2, "paper"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_every_mistake_has_a_sentence_and_an_exit_code(project: Path, words: list[str], code: int, said: str) -> None:
    done = hpc_sweep(project, *words, PATH=str(project / "no-slurm-here"))
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "sweeps").exists()


def test_the_script_for_a_cluster_can_be_seen_where_it_is_not(project: Path) -> None:
    shown = hpc_sweep(
        project, "submit", "grid.yaml", "--dry-run", "--cluster", "v100", PATH=str(project / "no-slurm-here")
    )
    assert shown.returncode == 0, shown.stderr
    assert "#SBATCH --partition=gpu_p13" in shown.stdout


def test_failed_points_are_exit_code_1(project: Path) -> None:
    (project / "grid.yaml").write_text(GRID.replace("{steps: 5}", "{steps: 9, fault: code}"))
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait").returncode == 1
    assert hpc_sweep(project, "status").returncode == 1
    assert hpc_sweep(project, "rerun", "--yes", "--wait").returncode == 0


def test_outside_of_a_project(tmp_path: Path) -> None:
    done = hpc_sweep(tmp_path, "status")
    assert done.returncode == 2
    assert "jobs/" in done.stderr


def test_the_reader_of_a_pipe_may_leave(project: Path) -> None:
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait").returncode == 0
    command = f"{PROGRAM} status --all | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=project, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] in ("0", "1")
    assert done.stderr == ""


def test_a_question_is_asked_on_a_terminal_and_no_means_no(project: Path) -> None:
    child = pexpect.spawn(PROGRAM, ["submit", "grid.yaml"], cwd=str(project), env=environment(), timeout=60)
    child.expect(r"\[Y/n\]")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4
    assert not (project / "sweeps").exists()


def test_control_c_leaves_the_sweep_running_and_says_so(project: Path) -> None:
    (project / "grid.yaml").write_text(GRID.replace("{steps: 5}", "{steps: 60, step_seconds: 0.1}"))
    words = ["submit", "grid.yaml", "--yes", "--wait"]
    child = pexpect.spawn(PROGRAM, words, cwd=str(project), env=environment(), timeout=60)
    child.expect("claimed")
    child.expect("running")
    child.sendintr()
    child.expect("goes on")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    end = time.monotonic() + 60
    while json.loads(hpc_sweep(project, "status", "--json").stdout)["counts"]["done"] < 4:
        assert time.monotonic() < end
        time.sleep(0.5)


def test_cancel_on_this_machine(project: Path) -> None:
    (project / "grid.yaml").write_text(GRID.replace("{steps: 5}", "{steps: 600, step_seconds: 0.1}"))
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes").returncode == 0
    time.sleep(1)
    assert hpc_sweep(project, "cancel", "--yes").returncode == 0
    end = time.monotonic() + 60
    while True:
        counts = json.loads(hpc_sweep(project, "status", "--json").stdout)["counts"]
        if counts["running"] + counts["waiting"] == 0:
            break
        assert time.monotonic() < end, counts
        time.sleep(0.3)
    assert counts["failed"] == 4


def test_every_command_ends_its_help_with_an_example_and_speaks_json() -> None:
    for name, command in cli.cli.commands.items():
        context = click.Context(command, info_name=f"hpc-sweep {name}")
        lines = [line for line in command.get_help(context).splitlines() if line.strip()]
        assert lines[-1].strip().startswith(f"hpc-sweep {name}"), name
        assert any("--json" in option.opts for option in command.params), name


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hpc_sweep import cli; cli.run(['--help']);"
        "heavy = {'torch', 'mlflow', 'h5py', 'transformers', 'numpy', 'pydantic', 'rich', 'submitit', 'ruamel'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_colour_is_only_for_terminals_and_not_with_no_color(project: Path) -> None:
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait").returncode == 0
    assert "\x1b" not in hpc_sweep(project, "status").stdout
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        settings = environment(TERM="xterm-256color", **more)
        child = pexpect.spawn(PROGRAM, ["status"], cwd=str(project), env=settings, timeout=60)
        child.expect(pexpect.EOF)
        assert (b"\x1b[" in child.before) == coloured


def test_plain_ascii_where_the_locale_has_no_more(project: Path) -> None:
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait").returncode == 0
    shown = hpc_sweep(project, "status", LC_ALL="C", COLUMNS="40").stdout
    assert shown.isascii()
    assert all(len(line) <= 40 for line in shown.splitlines())


def test_a_damaged_dump_is_named_left_out_and_mended(project: Path) -> None:
    assert hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait").returncode == 0
    dump = sorted((project / "sweeps/few/dumps").rglob("*.h5"))[0]
    whole = dump.read_bytes()
    dump.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    told = hpc_sweep(project, "collect")
    assert told.returncode == 1
    assert "3 of 4" in told.stdout
    assert dump.stem in told.stdout
    assert hpc_sweep(project, "status").returncode == 1
    assert hpc_sweep(project, "rerun", "--only", "damaged", "--yes", "--wait").returncode == 0
    assert dump.read_bytes() == whole
    assert (project / "sweeps/few/quarantine" / dump.name).exists()
    assert "4 of 4" in hpc_sweep(project, "collect").stdout


def test_a_report_comes_without_the_job(project: Path) -> None:
    hpc_sweep(project, "submit", "grid.yaml", "--yes", "--wait")
    (project / "jobs/selftest.py").write_text("import nowhere\n")
    done = hpc_sweep(project, "report", "few")
    assert done.returncode == 0, done.stderr
    text = (project / "sweeps/few/results/report.md").read_text()
    assert "jobs/selftest.py:1: ModuleNotFoundError: No module named 'nowhere'" in text.replace("\\", "")
    assert "| small " in text


@pytest.mark.parametrize("command", ["submit", "rerun", "doctor"])
def test_the_shell_completes_profiles(command: str, project: Path) -> None:
    words = {
        "COMP_WORDS": f"hpc-sweep {command} --cluster v",
        "COMP_CWORD": "3",
        "_HPC_SWEEP_COMPLETE": "bash_complete",
    }
    assert hpc_sweep(project, **words).stdout.split() == ["plain,v100"]
