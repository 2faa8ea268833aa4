"""The Slurm that slurm/devcluster starts: up, down, what it leaves alone, and clusters side by side."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.lab import ROOT, environment

pytestmark = pytest.mark.slurm
SCRIPTS = ROOT / "slurm" / "devcluster"


class Devcluster:
    """A folder for one cluster, and the scripts of slurm/devcluster for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = environment(folder / "slurm.conf")

    def script(self, name: str, *words: str, code: int = 0) -> str:
        done = run(str(SCRIPTS / name), *words, "--dir", str(self.folder), env=environment(Path("/nowhere")))
        assert done.returncode == code, f"{name} {words} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def slurm(self, *command: str) -> str:
        done = run(*command, env=self.environment)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, command: str, *options: str) -> str:
        return self.slurm("sbatch", "--parsable", "--output", "/dev/null", *options, "--wrap", command)

    def started(self, job: str) -> str:
        until(lambda: self.slurm("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING")
        return job

    def daemons(self) -> dict[str, int]:
        return {p.name: int(p.read_text().split()[0]) for p in (self.folder / "pids").iterdir() if p.suffix != ".pid"}


def run(*command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=90)


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.1)


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def written_since(moment: float, file: Path) -> bool:
    try:
        return file.stat().st_mtime > moment
    except FileNotFoundError:  # it is between two versions
        return False


def processes_of(folder: Path) -> dict[int, str]:
    """What runs for a cluster, by pid: known by its arguments, its environment or a file that it holds open."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if f"{folder}/".encode() in command + (process / "environ").read_bytes() or any(
                os.readlink(link).startswith(f"{folder}/") for link in [process / "cwd", *(process / "fd").iterdir()]
            ):
                found[int(process.name)] = command.replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def new(clusters: object) -> Iterator[Callable[[str], Devcluster]]:
    """Folders for clusters of this file's own. (`clusters` skips, or fails, where there can be no Slurm.)"""
    base = Path(tempfile.mkdtemp(prefix="hpc-sweep-devcluster-", dir="/var/tmp"))  # other users must reach it
    base.chmod(0o755)
    made: list[Devcluster] = []

    def make(name: str) -> Devcluster:
        made.append(Devcluster(base / name))
        return made[-1]

    yield make
    for cluster in made:
        cluster.script("down")
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def started(new: Callable[[str], Devcluster]) -> Devcluster:
    cluster = new("accounting")
    cluster.script("up")
    return cluster


@pytest.fixture
def cluster(started: Devcluster) -> Devcluster:
    """The cluster with accounting, whole again whatever the test before did to it."""
    started.script("up")
    return started


def test_up_when_it_is_up_changes_nothing(cluster: Devcluster) -> None:
    before, conf = cluster.daemons(), (cluster.folder / "slurm.conf").stat()
    said = cluster.script("up").splitlines()
    assert said[0].startswith("up (accounting) in ") and said[1] == f"export SLURM_CONF={cluster.folder}/slurm.conf"
    assert cluster.daemons() == before and len(before) == 8
    assert (cluster.folder / "slurm.conf").stat().st_mtime_ns == conf.st_mtime_ns  # a client may be reading it
    assert cluster.script("status").splitlines() == ["up (accounting)", said[1]]


def test_a_job_sees_the_gpus_that_it_asked_for(cluster: Devcluster) -> None:
    shown = cluster.slurm("srun", "--gres=gpu:v100:2", "printenv", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_PARTITION")
    assert shown.split() == ["0,1", "v100"]


def test_an_array_runs_and_the_accounting_knows_it(cluster: Devcluster) -> None:
    job = cluster.submit("true", "--array=0-3")

    def states() -> list[str]:
        return cluster.slurm("sacct", "-nXPj", job, "-o", "state").split()

    until(lambda: states() == ["COMPLETED"] * 4)


def test_any_user_may_submit(cluster: Devcluster) -> None:
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert cluster.slurm(*user, "srun", "id", "-u") == "65534"


def test_a_node_dies_with_all_it_ran_and_comes_back(cluster: Devcluster) -> None:
    job = cluster.started(cluster.submit("trap '' TERM; sleep 1001 & sleep 1001", "--nodelist=n2"))
    other = cluster.started(cluster.submit("sleep 1002", "--nodelist=n3"))
    until(lambda: list(processes_of(cluster.folder).values()).count("sleep 1001 ") == 2)
    pids = [pid for pid, command in processes_of(cluster.folder).items() if "sleep 1001" in command]
    slurmd = cluster.daemons()["n2"]
    cluster.script("kill-node", "2")
    assert len(pids) >= 2 and not any(map(lives, [*pids, slurmd]))
    assert "dead: n2" in cluster.script("status")
    assert cluster.slurm("squeue", "-h", "-j", f"{job},{other}", "-o", "%T").split() == ["RUNNING"] * 2  # nobody told
    cluster.script("start-node", "n2")
    assert cluster.slurm("srun", "--nodelist=n2", "printenv", "SLURMD_NODENAME") == "n2"
    cluster.slurm("scancel", job, other)


def test_up_brings_back_what_died_and_keeps_the_jobs(cluster: Devcluster) -> None:
    job = cluster.started(cluster.submit("sleep 1003"))
    seen = time.time()
    cluster.slurm(
        "scontrol", "update", f"JobId={job}", "Comment=changed"
    )  # Slurm writes every 5 s, if anything changed
    until(lambda: written_since(seen, cluster.folder / "state" / "job_state"))
    for name in ("slurmctld", "n4"):
        os.kill(cluster.daemons()[name], signal.SIGKILL)
    until(lambda: not lives(cluster.daemons()["slurmctld"]))
    assert cluster.script("status", code=3).startswith("down ")
    cluster.script("up")
    assert cluster.slurm("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING"
    cluster.slurm("scancel", job)


def test_another_profile_restarts_slurm_without_the_old_jobs(cluster: Devcluster) -> None:
    old, before = cluster.started(cluster.submit("sleep 1004")), cluster.daemons()
    cluster.script("up", "--profile", "preempt,usersig,fast")
    assert cluster.slurm("squeue", "-h", "-t", "all") == ""
    assert cluster.slurm("sinfo", "-h", "-o", "%R %p").splitlines() == ["v100 1", "urgent 10"]
    assert cluster.slurm("sacct", "-nXPj", old, "-o", "state").startswith("CANCELLED")
    assert int(cluster.submit("true")) > int(old)  # an id is never used again
    after = cluster.daemons()
    assert {n for n in before if before[n] == after[n]} == {"munged", "mariadbd", "slurmdbd"}
    assert not any(command.startswith("sleep 1004") for command in processes_of(cluster.folder).values())


def test_clusters_run_side_by_side(cluster: Devcluster, new: Callable[[str], Devcluster]) -> None:
    second = new("noacct")
    second.script("up", "--profile", "noacct")
    jobs = [c.started(c.submit("sleep 1005")) for c in (cluster, second)]
    assert jobs[0] != jobs[1]
    assert "slurmdbd" not in second.daemons()
    second.script("down")
    assert cluster.slurm("squeue", "-h", "-o", "%A %T") == f"{jobs[0]} RUNNING"
    assert processes_of(second.folder) == {}


def test_down_leaves_no_process_and_touches_no_other(cluster: Devcluster, tmp_path: Path) -> None:
    others = []
    for name in ("slurmd", "slurmstepd", "munged"):  # as a Slurm that was here before, and as a client of ours
        shutil.copy("/bin/sleep", tmp_path / name)
        others.append(subprocess.Popen([tmp_path / name, "1006"], env=cluster.environment))
    try:
        stubborn = "trap '' TERM; srun --overlap sleep 1007 & setsid sleep 1007 & sleep 1007"
        cluster.started(cluster.submit(stubborn, "--nodelist=n1"))
        until(lambda: list(processes_of(cluster.folder).values()).count("sleep 1007 ") >= 2)
        cluster.script("kill-node", "4")  # its pid was ours once, and now is somebody else's
        (cluster.folder / "pids" / "n4").write_text(f"{others[0].pid} 1 a-boot-long-ago\n")
        cluster.script("down")
        time.sleep(0.2)
        assert all(other.poll() is None for other in others)
    finally:
        for other in others:
            other.kill()
            other.wait()
    until(lambda: not processes_of(cluster.folder), seconds=3)
    assert cluster.script("status", code=3).startswith("down ")
    cluster.script("down")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--profile", "nosuch"), "there is no profile nosuch"),
        (("--profile", "noacct,accounting"), "exclude each other"),
        (("--profile", "usersig"), "hint: --profile preempt,usersig"),
        (("preempt",), "hint: slurm/devcluster/up --profile preempt"),
    ],
)
def test_a_wrong_word_starts_nothing(new: Callable[[str], Devcluster], words: tuple[str, ...], message: str) -> None:
    cluster = new("never")
    assert message in cluster.script("up", *words, code=2)
    assert not cluster.folder.exists()


def test_a_folder_of_another_kind_is_refused(new: Callable[[str], Devcluster]) -> None:
    cluster = new("photographs")
    cluster.folder.mkdir()
    (cluster.folder / "state").mkdir()
    assert "holds something else" in cluster.script("up", code=4)
    os.chown(cluster.folder, 65534, 65534)
    for script in ("up", "down"):
        (cluster.folder / "profile").touch()
        assert "is not a folder of root's" in cluster.script(script, code=4)
    assert (cluster.folder / "state").exists()
    shutil.rmtree(cluster.folder)


def test_a_user_without_root_is_told_so(new: Callable[[str], Devcluster]) -> None:
    scripts = new("scripts").folder
    shutil.copytree(SCRIPTS, scripts)
    done = run("setpriv", "--reuid=65534", "--clear-groups", str(scripts / "up"), env=dict(os.environ))
    shutil.rmtree(scripts)
    assert done.returncode == 3 and "needs root" in done.stderr and "sudo" in done.stderr
