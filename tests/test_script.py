"""The sbatch text: as it was read and approved per profile, and no value of anything can add a line to it.

`HPC_SWEEP_GOLDEN=write pytest tests/test_script.py` writes the golden texts; read them before they are committed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import build
from hpc_sweep import script
from hpc_sweep.errors import InputError
from hpc_sweep.ledger import Array, Claim

GOLDEN = Path(__file__).parent / "golden" / "sbatch"
ROOT = Path("/home/lea/affect")
SWEEP = ROOT / "sweeps" / "trial"
PYTHON = str(ROOT / ".venv" / "bin" / "python")

SHAPES: dict[str, dict[str, Any]] = {
    "": {"mem": 32.0, "at_once": 8},
    "-ranks": {"gpus": 4, "nodes": 2, "tasks_per_node": 2, "cpus": 10, "limit": 1200, "warn_seconds": 300},
}
NASTY = ("a b", "it's", 'quo"te', "semi;colon", "$HOME", "`id`", "a&b|c>d", "#hash", "*", "-dash", "üñï", "(x)")


def a_claim(resources: dict[str, Any] | None = None, tasks: int = 20, **array: Any) -> Claim:
    given = {**build.RESOURCES, **(resources or {})}
    name = f"hs-trial-000-0-{build.UID}"
    made = Array(**{"name": name, "resources": given, "shards": (("3fa9c1d20b77",),) * tasks, **array})
    return Claim(
        number=0, uid=build.UID, job="selftest", sweep={}, cluster="v100", by="lea", host="login1", pid="1:1",
        code=build.CODE, why="submit", max_fails=5, arrays=(made,), at=0.0,
    )  # fmt: skip


def text(claim: Claim | None = None, *, profile: str = "devcluster", jobs: Any = None, **changes: Any) -> str:
    return script.text(build.profile(profile, **changes), SWEEP, claim or a_claim(), 0, ROOT, jobs)


def options(written: str) -> dict[str, str]:
    """The options as sbatch reads them: one a line, with the quotes of a shell."""
    lines = [shlex.split(line)[1] for line in written.splitlines() if line.startswith("#SBATCH ")]
    return dict(line[2:].split("=", 1) if "=" in line else (line[2:], "") for line in lines)


# as approved


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("profile", ["v100", "devcluster"])
def test_golden(monkeypatch: pytest.MonkeyPatch, profile: str, shape: str) -> None:
    monkeypatch.setattr(sys, "executable", PYTHON)
    path, written = GOLDEN / f"{profile}{shape}.sh", text(a_claim(SHAPES[shape]), profile=profile)
    if os.environ.get("HPC_SWEEP_GOLDEN") == "write":
        path.write_text(written)
    assert written == path.read_text()


def test_no_golden_text_is_left_over() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == {f"{p}{s}.sh" for p in ("v100", "devcluster") for s in SHAPES}


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
def test_bash_can_read_it(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# what is asked for


def test_one_task_runs_without_srun_and_is_warned_itself() -> None:
    written = text(a_claim({"warn_seconds": 30}))
    assert options(written)["signal"] == "B:USR2@30"
    assert "srun" not in written and "\nexec " in written


def test_several_ranks_run_under_srun_and_are_all_warned() -> None:
    written = text(a_claim({"nodes": 2, "tasks_per_node": 2, "warn_seconds": 30}))
    told = options(written)
    assert (told["signal"], told["nodes"], told["ntasks-per-node"]) == ("USR2@30", "2", "2")
    assert "--cpus-per-task=2 --kill-on-bad-exit=1 --wait=60" in written and "exec " not in written


def test_one_node_with_two_ranks_needs_srun_too() -> None:
    assert "\nsrun --unbuffered " in text(a_claim({"tasks_per_node": 2}))


@pytest.mark.parametrize(
    ("changes", "gpus", "asked"),
    [
        ({"gpu_type": None}, 2, {"gres": "gpu:2"}),
        ({"gpu_type": "a100"}, 2, {"gres": "gpu:a100:2"}),
        ({"gpu_request": "gpus-per-node", "gpu_type": None}, 4, {"gpus-per-node": "4"}),
        ({"gpu_request": "gpus-per-node", "gpu_type": "a100"}, 4, {"gpus-per-node": "a100:4"}),
        ({}, 0, {}),
    ],
)
def test_cards_are_asked_for_as_the_profile_says(changes: dict[str, Any], gpus: int, asked: dict[str, str]) -> None:
    told = options(text(a_claim({"gpus": gpus}), **changes))
    assert {k: v for k, v in told.items() if k in ("gres", "gpus-per-node")} == asked


@pytest.mark.parametrize(("mem", "asked"), [(None, None), (32.0, "32768MB"), (0.5, "512MB"), (1.7, "1740MB")])
def test_memory_is_in_whole_megabytes(mem: float | None, asked: str | None) -> None:
    assert options(text(a_claim({"mem": mem}))).get("mem") == asked


def test_what_the_profile_leaves_out_is_left_out() -> None:
    bare = text(partition=None, account=None, qos=None, gpu_type=None)
    assert options(bare).keys().isdisjoint({"partition", "account", "qos", "constraint", "wckey", "comment"})


def test_more_options_of_the_profile_are_passed_on() -> None:
    told = options(text(extra={"constraint": "v100-32g", "exclusive": True, "nice": 100}))
    assert (told["constraint"], told["exclusive"], told["nice"]) == ("v100-32g", "", "100")


@pytest.mark.parametrize(("at_once", "tasks", "array"), [(0, 20, "0-19%20"), (8, 20, "0-19%8"), (0, 1, "0-0%1")])
def test_arrays_begin_at_0(at_once: int, tasks: int, array: str) -> None:
    assert options(text(a_claim({"at_once": at_once}, tasks)))["array"] == array


def test_a_task_comes_back_when_slurm_takes_it_away() -> None:
    told = options(text())
    assert "requeue" in told and told["open-mode"] == "append"


@pytest.mark.parametrize(
    ("after", "lane", "jobs", "dependency"),
    [
        ((), None, {}, None),
        (("7", "8"), None, {}, "afterok:7:8"),
        ((), 0, {0: "100"}, "afterany:100"),
        (("7",), 0, {0: "100"}, "afterok:7,afterany:100"),
        ((), 0, {}, None),
    ],
)
def test_what_it_waits_for(after: tuple[str, ...], lane: int | None, jobs: dict[int, str], dependency: str) -> None:
    told = options(text(a_claim({"lane_after": lane}, after=after), jobs=jobs))
    assert told.get("dependency") == dependency
    assert ("kill-on-invalid-dep" in told) is bool(after)


def test_every_array_has_its_own_task_file() -> None:
    claim = a_claim()
    second = replace(claim.arrays[0], name="hs-trial-000-1-0a1b2c3d", shards=(("a",), ("b",)))
    claim = replace(claim, arrays=(*claim.arrays, second))
    written = script.text(build.profile("devcluster"), SWEEP, claim, 1, ROOT)
    assert written.rstrip().endswith(f"hpc_sweep.worker {SWEEP} 0 1")
    assert options(written)["job-name"] == second.name and options(written)["array"] == "0-1%2"


# run by a real shell


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("ranks", [1, 2])
def test_folders_with_nasty_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: str, ranks: int) -> None:
    root = tmp_path / nasty
    sweep, programs = root / "sweeps" / "trial", root / "bin"
    for folder in (sweep / "code", programs):
        folder.mkdir(parents=True)
    say = '#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH" "$HPC_SWEEP_MODULES" "$SOURCED" "$@"\n'
    for name in ("python", "srun"):
        (programs / name).write_text(say)
        (programs / name).chmod(0o755)
    (sweep / "code" / f"{build.CODE['fingerprint']}.env.sh").write_text("export SOURCED=yes\n")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    profile = build.profile("devcluster", modules=("cuda/12.6.3", "gcc"), setup=("export LINE=1",))
    written = script.text(profile, sweep, a_claim({"tasks_per_node": ranks}), 0, root)
    path = tmp_path / "script.sh"
    path.write_text(written)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": "mine"}
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    code = f"{sweep}/code/{build.CODE['fingerprint']}.zip"
    worker = ["-P", "-u", "-m", "hpc_sweep.worker", str(sweep), "0", "0"]
    lines = done.stdout.splitlines()
    assert lines[:3] == [f"{code}:{code}/src:mine", "cuda/12.6.3 gcc", "yes"]
    assert lines[-len(worker) :] == worker and done.stderr == "" and done.returncode == 0
    told = options(written)
    assert (told["chdir"], told["output"]) == (str(root), f"{sweep}/logs/%A_%a_0_log.out")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("folder", ["50%", "back\\slash", "line\nbreak", "tab\there", "\x7f"])
@pytest.mark.parametrize("which", ["sweep", "root"])
def test_folders_that_slurm_cannot_work_in_are_refused(folder: str, which: str) -> None:
    sweep, root = (SWEEP / folder, ROOT) if which == "sweep" else (SWEEP, ROOT / folder)
    with pytest.raises(InputError, match="% or a backslash or a line break"):
        script.text(build.profile("devcluster"), sweep, a_claim(), 0, root)


# nothing can add a line

HOSTILE = st.text(max_size=40) | st.sampled_from(
    ["a\nid", "a\rid", "a\x0bid", "a\x85id", "a\u2028id", "a;id", "$(id)", "`id`", "a'b", 'a"b', "a b", "", "-x", "a\n"]
)
PLAIN = text()


def shape(written: str) -> list[str]:
    """Everything but the values of the options."""
    return [line.split("=")[0] if line.startswith("#SBATCH") else line for line in written.split("\n")]


def refused_or_one_value(option: str, value: str, claim: Claim | None = None, **changes: Any) -> None:
    """Either the text is refused, or it comes out as it went in, in its own line, and nothing else changes."""
    try:
        written = text(claim, **changes)
    except InputError as error:
        assert "cannot be passed to Slurm" in error.message
        return
    assert options(written)[option].endswith(value)
    assert [line for line in shape(written) if not line.startswith(f"#SBATCH --{option}")] == [
        line for line in shape(PLAIN) if not line.startswith(f"#SBATCH --{option}")
    ]
    assert value.isascii() and value.isprintable() and " " not in value


@given(HOSTILE)
@example("hs-x\n#SBATCH --uid=0")
def test_the_name_of_an_array(name: str) -> None:
    refused_or_one_value("job-name", name, a_claim(name=name))


@given(HOSTILE)
@example("n1\nrm -rf ~")
@example("n[1-4],gpu-07.cluster")
def test_nodes_to_keep_away_from(nodes: str) -> None:
    if nodes:
        refused_or_one_value("exclude", nodes, a_claim({"exclude": nodes}))


@pytest.mark.parametrize("key", ["partition", "account", "qos"])
@given(value=HOSTILE)
@example(value="v100\nid")
def test_what_stands_in_a_profile(key: str, value: str) -> None:
    if value:
        refused_or_one_value(key, value, **{key: value})


@given(HOSTILE)
def test_the_kind_of_card(kind: str) -> None:
    if kind:
        refused_or_one_value("gres", f"{kind}:1", a_claim({"gpus": 1}), gpu_type=kind)


@given(HOSTILE)
def test_the_jobs_that_it_waits_for(job: str) -> None:
    try:
        written = text(a_claim(after=(job,)))
    except InputError:
        return
    assert options(written)["dependency"] == f"afterok:{job}"
    assert len(shape(written)) == len(shape(PLAIN)) + 2


NUMBERS = ("gpus", "cpus", "mem", "nodes", "tasks_per_node", "limit", "at_once")


@pytest.mark.parametrize("key", NUMBERS)
@given(value=HOSTILE)
def test_what_should_be_a_number(key: str, value: str) -> None:
    try:
        written = text(a_claim({key: value}))
    except (InputError, ValueError, OverflowError):
        return
    for line in written.split("\n"):
        assert value.strip() in ("", *"0123456789") or line.isprintable()
    assert {line for line in shape(written) if not line.startswith(("#SBATCH", "exec", "srun"))} <= set(shape(PLAIN))


@given(st.dictionaries(st.sampled_from(["deepspeed", "accumulate", "points_per_shard", "minutes", "x"]), HOSTILE))
def test_what_slurm_is_not_told(resources: dict[str, str]) -> None:
    """The rest of what a grid says of a point, and its values, do not come near the script."""
    assert text(a_claim(resources)) == PLAIN


@given(st.lists(HOSTILE, min_size=1, max_size=3))
def test_the_points_themselves_do_not_come_near_it(points: list[str]) -> None:
    assert text(a_claim(shards=((*points,),) * 20)) == PLAIN
