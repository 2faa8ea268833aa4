"""Where a task runs, in every environment that starts one; and what the kernel is asked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc_sweep import place
from hpc_sweep.errors import InputError
from hpc_sweep.place import Place, free_port, here, oom_kills, shorten

HOST = socket.gethostname()


# environments


def test_a_task_of_an_array() -> None:
    found = here(
        {
            "SLURM_JOB_ID": "125", "SLURM_ARRAY_JOB_ID": "123", "SLURM_ARRAY_TASK_ID": "2", "SLURM_PROCID": "0",
            "SLURM_RESTART_COUNT": "3", "SLURMD_NODENAME": "n2", "SLURM_NTASKS": "1",
        }
    )  # fmt: skip
    assert (found.job, found.task, found.restart, found.node) == ("123_2", 2, 3, "n2")
    assert (found.rank, found.world_size, found.local_rank, found.local_size) == (0, 1, 0, 1)
    assert found.on_slurm
    assert found.run_key == "123_2-3"


def test_a_plain_job_is_task_0() -> None:
    found = here({"SLURM_JOB_ID": "123"})
    assert (found.job, found.task, found.restart, found.node, found.on_slurm) == ("123", 0, 0, HOST, True)


def test_the_batch_script_of_a_job_with_several_tasks_is_alone() -> None:
    """What Slurm sets for the script itself: a number of tasks, and no step that would have them."""
    found = here({"SLURM_JOB_ID": "123", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"})
    assert (found.rank, found.world_size) == (0, 1)


@pytest.mark.parametrize("rank", range(4))
def test_a_rank_of_two_nodes_with_two_tasks_each(rank: int) -> None:
    found = here(
        {
            "SLURM_JOB_ID": "125", "SLURM_ARRAY_JOB_ID": "123", "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % 2), "SLURM_STEP_NUM_TASKS": "4",
            "SLURM_NTASKS_PER_NODE": "2", "SLURMD_NODENAME": f"n{rank // 2}",
        }
    )  # fmt: skip
    assert (found.rank, found.world_size, found.local_rank, found.local_size) == (rank, 4, rank % 2, 2)
    assert found.node == f"n{rank // 2}"


def test_every_execution_has_a_name_of_its_own() -> None:
    tasks = [
        {"SLURM_JOB_ID": job, "SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task, "SLURM_RESTART_COUNT": restart}
        for job, array, task in (("12", "12", "0"), ("13", "12", "1"), ("20", "20", "1"))
        for restart in ("0", "1")
    ]
    assert len({here(task).run_key for task in tasks}) == len(tasks)


def test_the_runner_of_a_laptop() -> None:
    found = here({"HPC_SWEEP_TASK": "7", "SLURM_JOB_ID": "99", "SLURM_PROCID": "1"})
    assert found == Place(f"local-{os.getpid()}", 7, 0, HOST, 0, 1, 0, 1, False)


def test_a_worker_by_hand_is_told_off() -> None:
    with pytest.raises(InputError, match="started by Slurm or by `hpc-sweep submit`, not by hand"):
        here({"PATH": "/bin"})


# killed for memory


def cgroups(root: Path, text: str, found: dict[str, str] | None = None) -> Path:
    """A /proc and a /sys in a folder."""
    for path, content in {"proc/self/cgroup": text, **(found or {})}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def test_version_1_tells_of_its_own_group(tmp_path: Path) -> None:
    text = "12:cpuset:/x\n9:memory:/slurm/uid_0/job_5/step_0/task_0\n1:name=systemd:/y\n0::/ignored\n"
    path = "sys/fs/cgroup/memory/slurm/uid_0/job_5/step_0/task_0/memory.oom_control"
    root = cgroups(tmp_path, text, {path: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"})
    assert oom_kills(root) == 3
    (root / path).write_text("oom_kill_disable 0\nunder_oom 0\n")  # kernels before 4.13 do not count
    assert oom_kills(root) == 0


def test_version_1_may_share_a_hierarchy(tmp_path: Path) -> None:
    root = cgroups(tmp_path, "4:cpu,memory:/a:b\n", {"sys/fs/cgroup/memory/a:b/memory.oom_control": "oom_kill 2\n"})
    assert oom_kills(root) == 2


def test_version_2_counts_kills_and_not_alarms(tmp_path: Path) -> None:
    text = "low 0\nhigh 5\nmax 17\noom 4\noom_kill 2\noom_group_kill 9\n"
    root = cgroups(tmp_path, "0::/slurm/job_5\n", {"sys/fs/cgroup/slurm/job_5/memory.events": text})
    assert oom_kills(root) == 2


def test_without_control_groups_nothing_is_told(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == 0
    assert oom_kills(cgroups(tmp_path / "a", "0::/gone\n9:memory:/gone\n")) == 0
    assert oom_kills(cgroups(tmp_path / "b", "")) == 0
    assert oom_kills() >= 0


# a parent that dies

PROGRAM = """
import os, sys, time
from hpc_sweep.place import die_with_parent
parent = os.getpid()
child = os.fork()
if not child:
    die_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""


def gone(pid: int, seconds: float = 20) -> bool:
    """Whether a process is no more, waiting a while for it; a zombie is no more."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_child_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child, 0.05)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_a_child_whose_parent_died_before_it_could_ask_dies_at_once() -> None:
    program = "from hpc_sweep.place import die_with_parent; die_with_parent(1 << 22); print('alive')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


# ports and names


def test_a_port_is_free_and_the_same_for_the_same_task() -> None:
    port = free_port("123_4-0-1")
    assert 20000 <= port < 40000
    assert free_port("123_4-0-1") == port
    with socket.socket() as busy:
        busy.bind(("", port))
        busy.listen()
        other = free_port("123_4-0-1")
    assert other != port
    assert 20000 <= other < 40000


def test_turns_of_a_task_have_ports_of_their_own() -> None:
    assert len({free_port(f"123_4-0-{turn}") for turn in range(20)}) > 15


def test_where_no_port_is_free_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, where: object) -> None:
        raise OSError("in use")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OSError, match="no free port found"):
        free_port("x")


def test_the_address_is_a_name_that_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: [])
    assert place.address() == HOST

    def fail(host: str, port: None) -> None:
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert place.address() == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/home/lea/proj/sweeps/x/code/3fa9.zip/jobs/s2lif.py", "jobs/s2lif.py"),
        ("snapshot.zip/src/affect/data.py", "src/affect/data.py"),
        ("/home/lea/proj/jobs/s2lif.py", "jobs/s2lif.py"),
        ("/home/lea/project2/x.py", "/home/lea/project2/x.py"),
        ("/usr/lib/python3.11/json/__init__.py", "/usr/lib/python3.11/json/__init__.py"),
        ("<string>", "<string>"),
    ],
)
def test_paths_as_people_know_them(path: str, short: str) -> None:
    assert shorten(path, Path("/home/lea/proj")) == short
