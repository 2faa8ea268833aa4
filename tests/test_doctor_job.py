"""The job of `doctor --job` on a pretended Slurm: its script, its waiting, and that it leaves nothing behind."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import build
from hpc_sweep import doctor_job, slurm
from hpc_sweep.cluster import Node as Has
from hpc_sweep.cluster import Profile
from hpc_sweep.doctor_job import StillWaitingError, run, text
from hpc_sweep.doctor_probe import ANSWER
from hpc_sweep.errors import InputError, SurroundingsError
from hpc_sweep.slurm import SilentError, Task

TOLD = {"host": "n1", "python": "3.11.9", "packages": {}, "visible": "0", "cards": [], "torch": None, "unwritable": {}}


class Pretended:
    """A Slurm in this process: what sbatch was given, what squeue says next, what was cancelled."""

    def __init__(self) -> None:
        self.script: Path | None = None
        self.submitted: Callable[[Path], object] = lambda folder: None
        self.states: list[str | None | BaseException] = []
        self.reason = "None"
        self.cancelled: list[str] = []
        self.environment: dict[str, str] = {}

    def ask(self, command: list[str], timeout: float = 0, environment: dict[str, str] | None = None) -> str:
        assert command[0] == "sbatch"
        self.script = Path(command[1])
        self.environment = environment or {}
        self.submitted(self.script.parent)
        return "Submitted batch job 77 on cluster v100\n"

    def queue(self, names: list[str]) -> list[Task]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, BaseException):
            raise state
        return [Task("77", 0, names[0], state, self.reason)] if state else []

    def cancel(self, jobs: list[str]) -> None:
        self.cancelled += jobs


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    made = Pretended()
    for name in ("ask", "queue", "cancel"):
        monkeypatch.setattr(slurm, name, getattr(made, name))
    monkeypatch.setattr(doctor_job, "_POLL", 0.02)
    monkeypatch.setattr(doctor_job, "_POLL_WAITING", 0.02)
    monkeypatch.setattr(doctor_job, "LEAST_PATIENCE", 0.5)
    monkeypatch.setattr(doctor_job, "FAILED_PATIENCE", 0.1)
    return made


@pytest.fixture
def profile() -> Profile:
    return build.profile("v100", file_delay=0.0)


def reply(folder: Path) -> None:
    (folder / ANSWER).write_text(json.dumps(TOLD))


def later(seconds: float) -> Callable[[Path], object]:
    return lambda folder: threading.Timer(seconds, reply, [folder]).start()


def test_an_answer_before_the_end_is_not_late(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.submitted = later(0.1)
    pretended.states = ["PENDING", "PENDING", "RUNNING"]
    told = run(profile, tmp_path, tmp_path / "sweeps")
    assert (told.job, told.node.host, told.late) == ("77", "n1", 0.0) and told.seconds >= 0.1
    assert pretended.cancelled == []
    assert list(tmp_path.iterdir()) == [], "the folder that was made for it is gone too"


def test_how_late_an_answer_is_seen_after_the_end(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.submitted = later(0.3)
    pretended.states = ["COMPLETED"]
    (tmp_path / "sweeps").mkdir()
    assert 0.2 < run(profile, tmp_path, tmp_path / "sweeps").late < 0.5
    assert list((tmp_path / "sweeps").iterdir()) == []


def test_a_job_that_the_controller_forgot(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.submitted = later(0.2)
    pretended.states = ["RUNNING", None]
    assert run(profile, tmp_path, tmp_path).late > 0.05


def test_a_slurm_that_is_silent_for_a_while(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.submitted = later(0.1)
    pretended.states = [SilentError("`squeue` did not answer in 10 s")]
    assert run(profile, tmp_path, tmp_path).node.host == "n1"


def test_a_job_that_fails_is_quoted(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    words = "slurm_script: line 9: exec: /opt/python: \x1b[31mcannot execute: No such file or directory"
    pretended.submitted = lambda folder: (folder / "job.log").write_text(f"module purge\n{words}\n")
    pretended.states = ["RUNNING", "FAILED"]
    with pytest.raises(SurroundingsError) as raised:
        run(profile, tmp_path, tmp_path)
    assert raised.value.message.startswith("job 77 ended (FAILED) without an answer: slurm_script: line 9: exec:")
    assert "\x1b" not in raised.value.message and "a sweep would fail the same way" in (raised.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_ends_without_a_word(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.states = ["TIMEOUT"]
    with pytest.raises(SurroundingsError, match=r"job 77 ended \(TIMEOUT\) without an answer, and its log is empty"):
        run(profile, tmp_path, tmp_path)


def test_a_queue_that_is_too_long(
    tmp_path: Path, pretended: Pretended, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_job, "QUEUE_SECONDS", 0.1)
    pretended.states, pretended.reason = ["PENDING"], "Priority"
    with pytest.raises(StillWaitingError, match=r"gave no answer in 0 min \(Priority\), and was cancelled"):
        run(profile, tmp_path, tmp_path)
    assert pretended.cancelled == ["77"] and list(tmp_path.iterdir()) == []


def test_an_interruption_takes_the_job_back(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.states = ["PENDING", KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        run(profile, tmp_path, tmp_path)
    assert pretended.cancelled == ["77"] and list(tmp_path.iterdir()) == []


def test_a_refusal_of_sbatch_passes_through(
    tmp_path: Path, pretended: Pretended, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **more: object) -> str:
        raise SilentError("`sbatch` failed: Batch job submission failed: Invalid account")

    monkeypatch.setattr(slurm, "ask", refuse)
    with pytest.raises(SurroundingsError, match="Invalid account"):
        run(profile, tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == [] and pretended.cancelled == []


def test_nonsense_of_sbatch(
    tmp_path: Path, pretended: Pretended, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "ask", lambda *given, **more: "have a nice day\n")
    with pytest.raises(SurroundingsError, match="'have a nice day.*names no job"):
        run(profile, tmp_path, tmp_path)


def test_an_answer_that_is_none(tmp_path: Path, pretended: Pretended, profile: Profile) -> None:
    pretended.submitted = lambda folder: (folder / ANSWER).write_text("disk quota exceeded")
    pretended.states = ["COMPLETED"]
    with pytest.raises(SurroundingsError, match="is no answer"):
        run(profile, tmp_path, tmp_path)


def test_the_job_does_not_take_itself_for_the_one_around_it(
    tmp_path: Path, pretended: Pretended, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    pretended.submitted, pretended.states = reply, ["COMPLETED"]
    run(profile, tmp_path, tmp_path)
    assert {k for k in pretended.environment if k.startswith("SLURM_")} == {"SLURM_CONF"}


@pytest.mark.parametrize("name", ["100%", "back\\slash", "new\nline"])
def test_a_folder_that_slurm_cannot_work_in(tmp_path: Path, pretended: Pretended, profile: Profile, name: str) -> None:
    with pytest.raises(InputError, match="Slurm cannot work in a folder with"):
        run(profile, tmp_path, tmp_path / name / "sweeps")
    assert pretended.script is None and list(tmp_path.iterdir()) == []


# the script


def options(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH ")]
    return {key: shlex.split(value)[0] if value else "" for key, _, value in (line.partition("=") for line in lines)}


def test_the_job_asks_as_a_sweep_would() -> None:
    script = text(build.profile("v100"), "hs-doctor-1", Path("/data/my sweeps/x"), Path("/data"))
    assert options(script) == {
        "job-name": "hs-doctor-1", "time": "3", "nodes": "1", "ntasks-per-node": "1", "cpus-per-task": "10",
        "output": "/data/my sweeps/x/job.log", "chdir": "/data", "partition": "gpu_p13", "account": "abc@v100",
        "qos": "qos_gpu-t3", "gres": "gpu:1", "constraint": "v100-32g", "hint": "nomultithread",
    }  # fmt: skip
    body = [line for line in script.splitlines() if not line.startswith("#")]
    assert body[0] == "export HPC_SWEEP_MODULES=cuda/12.6.3"
    assert body[1] == "[ ! -e /data/slurm/env.sh ] || source /data/slurm/env.sh"
    assert body[2].startswith("nvidia-smi ") and body[3].startswith("exec ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gpu_type": "v100"}, {"gres": "gpu:v100:1"}),
        ({"gpu_request": "gpus-per-node"}, {"gpus-per-node": "1"}),
        ({"gpu_request": "gpus-per-node", "gpu_type": "v100"}, {"gpus-per-node": "v100:1"}),
        ({"node": Has(gpus=0, cpus=40)}, {"cpus-per-task": "1"}),
        ({"node": None}, {"cpus-per-task": "1"}),
        ({"node": Has(gpus=4, cpus=2)}, {"cpus-per-task": "1", "gres": "gpu:1"}),
        ({"extra": {"exclusive": True, "nice": 5}}, {"exclusive": "", "nice": "5"}),
    ],
)
def test_ways_to_ask(changes: dict[str, object], expected: dict[str, str]) -> None:
    asked = options(text(build.profile("v100", **changes), "n", Path("/x"), Path("/")))
    assert expected.items() <= asked.items()


@pytest.mark.parametrize("node", [None, Has(gpus=0, cpus=40)])
def test_no_card_is_asked_for_where_there_is_none(node: Has | None) -> None:
    asked = options(text(build.profile("v100", node=node), "n", Path("/x"), Path("/")))
    assert not {"gres", "gpus-per-node"} & asked.keys()


def test_the_script_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder; with 'signs'"
    (folder / "slurm").mkdir(parents=True)
    (folder / "slurm" / "env.sh").write_text('echo "modules: $HPC_SWEEP_MODULES"\nexport TMPDIR=/nowhere\n')
    profile = build.profile("devcluster", setup=("echo set up",), modules=("cuda/12", "gcc"))
    script = folder / "job.sh"
    script.write_text(text(profile, "n", folder, folder))
    (folder / "torch.py").write_text("raise ModuleNotFoundError('torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["modules: cuda/12 gcc", "set up"], done.stderr
    told = json.loads((folder / ANSWER).read_text())
    assert "TMPDIR" in told["unwritable"] and told["torch"] is None
