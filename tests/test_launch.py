"""Submitting: nothing before it is wanted, the claim before sbatch, and no point twice whatever breaks on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import fates, launch, ledger, local, slurm, snapshot, status
from hpc_sweep.errors import InputError, RefusedError, SurroundingsError
from hpc_sweep.launch import Price
from hpc_sweep.ledger import Claim, Sweep
from hpc_sweep.project import Project
from hpc_sweep.shards import Plan
from stubs import Slurm


@pytest.fixture
def project(tmp_path: Path, cluster: Slurm) -> Project:
    return build.project(tmp_path / "a project")


@pytest.fixture
def sweep(project: Project) -> Sweep:
    return Sweep(project.sweeps / "trial")


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims say that they were made by a process that lives no more."""
    monkeypatch.setattr(fates, "own_process", build.dead_process)


def tree(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")} if folder.exists() else {}


# planning


def test_a_plan_writes_nothing(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    from hpc_sweep import orders

    path = build.grid(project)
    before = tree(project.root)
    orders.from_grid(project, path, "devcluster").propose()
    assert tree(project.root) == before
    build.submit(project, path)
    before = tree(project.root)
    longer = build.grid(project, seeds=6)
    os.utime(project.root, ns=(0, before["trial.yaml"]))
    proposal = orders.from_grid(project, longer, "devcluster").propose()
    orders.scripts(proposal, project.root)
    assert {**tree(project.root), "trial.yaml": 0} == {**before, "trial.yaml": 0}


def test_what_is_planned(project: Project, cluster: Slurm) -> None:
    from hpc_sweep import orders

    proposal = orders.from_grid(project, build.grid(project, seeds=5, per_shard=4), "devcluster").propose()
    assert (len(proposal.chosen), proposal.tasks, proposal.held_back) == (10, 3, 0)
    assert (proposal.number, proposal.version, proposal.new_version, proposal.state) == (0, 0, True, None)
    assert [len(s) for s in proposal.plans[0].shards] == [4, 4, 2]
    assert proposal.plans[0].resources["limit"] == 55  # 4 x 9 minutes, and half of it more
    assert proposal.max_fails == 5


def test_the_default_of_max_fails_is_a_fifth_and_at_least_5(project: Project, cluster: Slurm) -> None:
    _, claim = build.submit(project, build.grid(project, seeds=20))
    assert claim.max_fails == 8
    _, claim = build.submit(project, build.grid(project, "other", seeds=20, more="max_fails: 3\n"))
    assert claim.max_fails == 3


@pytest.mark.parametrize("program", ["scontrol", "squeue"])
def test_nothing_is_written_when_slurm_is_away(project: Project, cluster: Slurm, program: str) -> None:
    path = build.grid(project)
    if program == "squeue":
        cluster.limits("10|")
    cluster.remove(program)
    if program == "scontrol":
        with pytest.raises(SurroundingsError, match="`scontrol` is not on this machine"):
            build.submit(project, path)
        assert not project.sweeps.exists()
    else:
        build.submit(project, path)  # how much is queued is not known, and so no limit
        assert len(cluster.jobs) == 1


def plan(shards: list[int], **changes: Any) -> Plan:
    keep = {k: changes.pop(k) for k in ("at_once", "after") if k in changes}
    given = {**build.RESOURCES, **changes}
    return Plan(given, tuple(tuple(f"{k}-{i}" for i in range(n)) for k, n in enumerate(shards)), **keep)


@pytest.mark.parametrize(
    ("plans", "price"),
    [
        # 80 points of 9 minutes on one GPU: 20 tasks of 4, 8 at a time, an hour at most
        ([plan([4] * 20, at_once=8)], Price(12.0, 20.0, 108.0, "GPU")),
        ([plan([1])], Price(0.15, 1.0, 9.0, "GPU")),
        ([plan([3, 3, 1])], Price(1.05, 3.0, 27.0, "GPU")),
        ([plan([2], gpus=4, nodes=2)], Price(2.4, 8.0, 18.0, "GPU")),
        ([plan([2], gpus=0, cpus=5, tasks_per_node=2)], Price(3.0, 10.0, 18.0, "core")),
        ([plan([1], gpus=0), plan([1], gpus=2, minutes=30)], Price(1.0, 2.0, 30.0, "GPU")),
        ([plan([1] * 4, at_once=2), plan([1] * 4, at_once=2, after=0)], Price(1.2, 8.0, 36.0, "GPU")),
    ],
    ids=["as in the documentation", "one", "uneven", "two nodes", "cores", "mixed", "one after the other"],
)
def test_the_price(plans: list[Plan], price: Price) -> None:
    found = launch._price(plans)
    assert found.unit == price.unit
    assert (found.hours, found.at_most, found.wall_minutes) == pytest.approx(
        (price.hours, price.at_most, price.wall_minutes)
    )


# starting


def test_the_claim_stands_before_sbatch_is_called(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    _, claim = build.submit(project, build.grid(project))
    (job,) = cluster.jobs.values()
    assert job["saw"] == ["000.json"]
    assert job["name"] == claim.arrays[0].name == f"hs-trial-000-0-{claim.uid}"
    assert sweep.submission(0).jobs == {0: {"job": "100", "tasks": 4}}
    assert sweep.submission(0).claim == claim


def test_slurm_is_called_five_times(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, seeds=50, per_shard=1), cluster="devcluster")
    assert [call[0] for call in cluster.calls()] == ["scontrol", "sacctmgr", "sbatch"]


def test_submitting_twice_starts_nothing(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    from hpc_sweep import orders

    path = build.grid(project)
    build.submit(project, path)
    assert orders.from_grid(project, path, "devcluster").propose().chosen == []
    build.run_all(sweep, cluster)
    again = orders.from_grid(project, path, "devcluster").propose()
    assert again.chosen == [] and again.tasks == 0 and not again.new_version
    assert len(cluster.calls("sbatch")) == 1


def test_failed_points_are_left_to_rerun(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    from hpc_sweep import orders

    path = build.grid(project)
    build.submit(project, path)
    build.fail_all(sweep, "nan")
    assert orders.from_grid(project, path, "devcluster").propose().chosen == []


def test_a_longer_grid_runs_what_is_new(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, seeds=40))
    build.run_all(sweep, cluster)
    proposal, claim = build.submit(project, build.grid(project, seeds=48))
    assert proposal.state and proposal.state.counts["done"] == 80 and proposal.state.counts["new"] == 16
    assert len(proposal.chosen) == 16
    assert {p.name for p in sweep.folder.glob("*.json*")} >= {"sweep.json", "sweep-001.json", "points.jsonl"}
    assert len(list(sweep.folder.glob("points-????????.jsonl"))) == 1
    assert claim.sweep["file"] == "sweep-001.json" and claim.number == 1
    assert sweep.header()["version"] == 1 and len(sweep.points()) == 96
    assert set(build.sent(sweep, cluster).values()) == {1}
    assert len(sweep.configs([sweep.points()[95].id], claim.sweep["points"])) == 1


def test_a_shorter_grid_keeps_what_is_done(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    from hpc_sweep import orders

    build.submit(project, build.grid(project, seeds=4))
    build.run_all(sweep, cluster)
    proposal = orders.from_grid(project, build.grid(project, seeds=2), "devcluster").propose()
    assert proposal.new_version and proposal.chosen == []
    assert proposal.state and proposal.state.counts["done"] == 4


def test_a_grid_with_other_resources_is_a_new_version_of_the_same_points(
    project: Project, sweep: Sweep, cluster: Slurm
) -> None:
    build.submit(project, build.grid(project), only=["seed=0"])
    build.submit(project, build.grid(project, minutes=30), only=["seed=1"])
    assert sweep.header()["version"] == 1
    assert [s.claim.sweep["file"] for s in sweep.submissions()] == ["sweep.json", "sweep-001.json"]
    assert [s.claim.arrays[0].resources["minutes"] for s in sweep.submissions()] == [9, 30]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"only": ["seed=2"]}, 2),
        ({"only": ["seed=2", "seed=3"]}, 4),
        ({"only": ["seed=2", "rate=0.1"]}, 1),
        ({"only": ["rate=1e-1"]}, 4),
        ({"limit": 3}, 3),
        ({"only": ["rate=0.1"], "limit": 2}, 2),
    ],
)
def test_a_part_of_a_grid(project: Project, cluster: Slurm, options: dict[str, Any], count: int) -> None:
    proposal, claim = build.submit(project, build.grid(project), **options)
    assert sum(map(len, claim.shards)) == len(proposal.chosen) == count


def test_parts_add_up(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    path = build.grid(project, seeds=8)
    for _ in range(4):
        build.submit(project, path, limit=5)
    assert sorted(build.sent(sweep, cluster)) == sorted(p.id for p in sweep.points())
    assert set(build.sent(sweep, cluster).values()) == {1}
    assert [s.number for s in sweep.submissions()] == [0, 1, 2, 3]


def test_as_many_files_are_written_as_were_told(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    for seeds, code in ((4, "first"), (6, "first"), (6, "second")):
        (project.root / "src").mkdir(exist_ok=True)
        (project.root / "src" / "mine.py").write_text(f"CODE = {code!r}\n")
        before = {p for p in project.root.rglob("*") if p.is_file()}
        path = build.grid(project, seeds=seeds)
        proposal, _ = build.submit(project, path, limit=4)
        after = {p for p in project.root.rglob("*") if p.is_file()} - before - {Path(path)}
        assert len(after) == proposal.files, sorted(after)


def test_ten_thousand_points_are_few_files(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="1001")
    proposal, _ = build.submit(project, build.grid(project, seeds=5000, per_shard=1))
    assert len(proposal.chosen) == 10_000 and len(proposal.plans) == 10
    assert proposal.files <= 30
    assert len([p for p in sweep.folder.rglob("*") if p.is_file()]) == proposal.files


def test_a_task_is_not_taken_for_a_part_of_the_job_it_was_submitted_from(
    project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_CONF", "SLURM_NTASKS"):
        monkeypatch.setenv(name, "7")
    build.submit(project, build.grid(project))
    (job,) = cluster.jobs.values()
    assert [n for n in job["inherited"] if n not in ("SLURM_TIME_FORMAT", "SLURM_BITSTR_LEN")] == ["SLURM_CONF"]


def test_the_code_is_kept_once(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    path = build.grid(project)
    build.submit(project, path, limit=2)
    build.submit(project, path, limit=2)
    fingerprint = snapshot.take(project.root).fingerprint
    assert {p.name for p in sweep.code.iterdir()} == {f"{fingerprint}.zip", f"{fingerprint}.env.sh"}
    assert {s.claim.code["fingerprint"] for s in sweep.submissions()} == {fingerprint}


def test_logs_are_the_users_own(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    build.submit(project, build.grid(project))
    assert sweep.logs.stat().st_mode & 0o777 == 0o700


# limits of the cluster


def test_an_array_too_long_is_split(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    _, claim = build.submit(project, build.grid(project, seeds=4, per_shard=1))
    assert [len(a.shards) for a in claim.arrays] == [3, 3, 2]
    assert [j["tasks"] for j in cluster.jobs.values()] == [3, 3, 2]
    texts = [j["text"] for j in cluster.jobs.values()]
    assert [t.split("--array=")[1].split("\n")[0] for t in texts] == ["0-2%3", "0-2%3", "0-1%2"]
    assert len({j["name"] for j in cluster.jobs.values()}) == 3
    assert sweep.submission(0).jobs == {k: {"job": str(100 + k), "tasks": n} for k, n in enumerate([3, 3, 2])}
    assert set(build.sent(sweep, cluster).values()) == {1}


def test_arrays_share_one_cap(project: Project, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    path = project.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text() + "limits: {shards_at_once: 2}\n")
    proposal, _ = build.submit(project, build.grid(project, seeds=4, per_shard=1))
    texts = [j["text"] for j in cluster.jobs.values()]
    assert [t.split("--array=")[1].split("\n")[0] for t in texts] == ["0-2%1", "0-2%1", "0-1%1"]
    assert "--dependency" not in texts[0] and "--dependency" not in texts[1]
    assert "#SBATCH --dependency=afterany:100\n" in texts[2]
    assert proposal.price.wall_minutes == pytest.approx(5 * 9)


def test_one_shard_is_an_array_of_one(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, seeds=1))
    (job,) = cluster.jobs.values()
    assert "#SBATCH --array=0-0%1\n" in job["text"]
    cluster.task("100_0", "RUNNING")
    assert status.compute(sweep).counts["waiting"] == 2


def test_what_does_not_fit_into_the_queue_is_held_back(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.limits("5|")
    cluster.add(90, "somebody-elses", 2)
    path = build.grid(project, seeds=4, per_shard=2)
    proposal, claim = build.submit(project, path, only=["rate=0.1", "rate=0.2"])
    assert (len(claim.shards), proposal.held_back) == (3, 2)
    build.run_all(sweep, cluster)
    cluster.task("90_0", "COMPLETED")
    proposal, claim = build.submit(project, path)
    assert (len(claim.shards), proposal.held_back) == (1, 0)
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8


def test_a_full_queue_takes_nothing(project: Project, cluster: Slurm) -> None:
    cluster.limits("2|")
    cluster.add(90, "somebody-elses", 2)
    with pytest.raises(SurroundingsError, match="MaxSubmitJobs.*none of 8 points fits now"):
        build.submit(project, build.grid(project))
    assert not project.sweeps.exists()


# several at once


def _submit(root: Path, path: str, only: list[str], barrier: Any, results: Any) -> None:
    try:
        barrier.wait(20)
        _, claim = build.submit(Project(root), path, only=only)
        results.put(("submitted", claim.number))
    except InputError as error:
        results.put(("too late", error.message))
    except BaseException as error:
        results.put(("broken", repr(error)))


def at_once(project: Project, path: str, wishes: list[list[str]]) -> list[tuple[str, Any]]:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(len(wishes)), context.Queue()
    people = [context.Process(target=_submit, args=(project.root, path, only, barrier, results)) for only in wishes]
    for person in people:
        person.start()
    found = [results.get(timeout=60) for _ in people]
    for person in people:
        person.join()
    return sorted(found)


@pytest.mark.parametrize("round_", range(2))
def test_eight_people_submit_the_same_grid(project: Project, sweep: Sweep, cluster: Slurm, round_: int) -> None:
    found = at_once(project, build.grid(project), [[]] * 8)
    assert found == [("submitted", 0)] + [("too late", "somebody else has just submitted these points")] * 7
    assert len(cluster.jobs) == len(cluster.calls("sbatch")) == 1
    assert {p.name for p in (sweep.folder / "submissions").iterdir()} == {"000.json", "000.slurm.json"}
    assert sweep.header()["version"] == 0 and sweep.strays() == []
    assert status.compute(sweep).counts["waiting"] == 8


def test_people_submit_parts_of_a_grid(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    found = at_once(project, build.grid(project), [[f"seed={k}"] for k in range(4)])
    assert found == [("submitted", k) for k in range(4)]
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8


def test_people_submit_parts_that_overlap(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    found = at_once(project, build.grid(project), [["seed=0"], ["rate=0.1"], ["seed=0", "seed=1"], []])
    assert not [f for f in found if f[0] == "broken"]
    assert set(build.sent(sweep, cluster).values()) == {1} and len(build.sent(sweep, cluster)) == 8


# what must be done first


NEEDY = "needs: [first]\n"


def test_what_is_needed_and_was_never_submitted(project: Project, cluster: Slurm) -> None:
    with pytest.raises(RefusedError, match="this grid needs `first`, which was never submitted"):
        build.submit(project, build.grid(project, more=NEEDY))


def test_what_is_needed_and_under_way_is_waited_for(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    build.submit(project, build.grid(project, "first", per_shard=1))
    _, claim = build.submit(project, build.grid(project, more=NEEDY))
    assert claim.arrays[0].after == ("100", "101", "102")
    text = cluster.jobs["103"]["text"]
    assert "#SBATCH --dependency=afterok:100:101:102\n" in text and "#SBATCH --kill-on-invalid-dep=yes\n" in text


def test_what_is_needed_and_whose_number_was_lost_is_waited_for(
    project: Project, cluster: Slurm, mortal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "record_jobs", build.raiser(build.Killed()))
        with pytest.raises(build.Killed):
            build.submit(project, build.grid(project, "first"))
    _, claim = build.submit(project, build.grid(project, more=NEEDY))
    assert claim.arrays[0].after == ("100",)


def test_what_is_needed_and_done_is_not_waited_for(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, "first"))
    build.run_all(Sweep(project.sweeps / "first"), cluster)
    _, claim = build.submit(project, build.grid(project, more=NEEDY))
    assert claim.arrays[0].after == ()
    assert "dependency" not in cluster.jobs["101"]["text"] and "invalid-dep" not in cluster.jobs["101"]["text"]


def test_what_is_needed_and_failed_is_refused(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, "first"))
    build.fail_all(Sweep(project.sweeps / "first"), "nan")
    with pytest.raises(RefusedError, match="`first`, of which 8 points are neither done nor under way") as caught:
        build.submit(project, build.grid(project, more=NEEDY))
    assert caught.value.exit_code == 4 and not (project.sweeps / "trial").exists()


def test_what_is_needed_and_runs_elsewhere_cannot_be_waited_for(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, "first"))
    with pytest.raises(RefusedError, match="`first`, which still runs, and Slurm cannot be told"):
        build.submit(project, build.grid(project, more=NEEDY), cluster="local")
    assert not (project.sweeps / "trial").exists()


# again, with what a kind of failure needs


def options(text: str) -> dict[str, str]:
    lines = [line[len("#SBATCH --") :] for line in text.splitlines() if line.startswith("#SBATCH --")]
    return dict(line.split("=", 1) if "=" in line else (line, "") for line in lines)


def rerun_of(project: Project, sweep: Sweep, cluster: Slurm, kind: str, **wishes: Any) -> tuple[Claim, dict[str, str]]:
    build.submit(project, build.grid(project, per_shard=1))
    build.fail_all(sweep, kind, node="n3")
    _, claim = build.rerun(project, **wishes)
    return claim, options(cluster.jobs["101"]["text"])


def test_a_rerun_is_of_what_failed(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    claim, text = rerun_of(project, sweep, cluster, "code")
    assert (claim.number, claim.why, claim.sweep["file"]) == (1, "rerun", "sweep.json")
    assert sum(map(len, claim.shards)) == 8 and set(build.sent(sweep, cluster).values()) == {2}
    assert sorted(p.name for p in sweep.folder.glob("sweep*.json")) == ["sweep.json"]
    first = options(cluster.jobs["100"]["text"])
    assert {k for k in first if first[k] != text[k]} == {"job-name"}
    assert [s.tries for s in status.compute(sweep).points] == [1] * 8


def test_memory_is_doubled_up_to_the_node(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    _, text = rerun_of(project, sweep, cluster, "host-oom")
    assert text["mem"] == "4997MB"  # twice a core's share of 4.88 GB
    build.fail_all(sweep, "host-oom", number=1)
    build.rerun(project)
    assert options(cluster.jobs["102"]["text"])["mem"] == "4997MB"


def test_time_is_doubled_up_to_the_limit(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    path = project.root / "slurm" / "devcluster.yaml"
    path.write_text(path.read_text() + "limits: {minutes: 40}\n")
    claim, text = rerun_of(project, sweep, cluster, "timeout")
    assert (text["time"], claim.arrays[0].resources["minutes"]) == ("30", 18)
    build.fail_all(sweep, "timeout", number=1)
    build.rerun(project)
    assert options(cluster.jobs["102"]["text"])["time"] == "40"


def test_a_node_that_failed_is_kept_away_from(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    _, text = rerun_of(project, sweep, cluster, "node-fail")
    assert text["exclude"] == "n3"
    build.fail_all(sweep, "node-fail", node="n4", number=1)
    build.rerun(project)
    assert options(cluster.jobs["102"]["text"])["exclude"] == "n3,n4"


def test_a_full_card_accumulates(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    claim, _ = rerun_of(project, sweep, cluster, "oom")
    assert claim.arrays[0].resources["accumulate"] == 2
    build.fail_all(sweep, "oom", number=1)
    _, claim = build.rerun(project)
    assert claim.arrays[0].resources["accumulate"] == 4


def test_wishes_go_over_policies(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    _, text = rerun_of(project, sweep, cluster, "host-oom", mem=3.0, time="1:30", exclude="n[1-2]")
    assert (text["mem"], text["time"], text["exclude"]) == ("3072MB", "90", "'n[1-2]'")


@pytest.mark.parametrize("nodes", ["n1\ntouch /tmp/x", "n1;id", "$(id)", "n1 --wrap=id", "", "-x", "n1'", "`id`"])
def test_nodes_to_keep_away_from_cannot_become_a_line(
    project: Project, sweep: Sweep, cluster: Slurm, nodes: str
) -> None:
    build.submit(project, build.grid(project))
    build.fail_all(sweep, "nan")
    before = tree(sweep.folder)
    if not nodes:
        build.rerun(project, exclude=nodes)
        assert "exclude" not in options(cluster.jobs["101"]["text"])
        return
    with pytest.raises(InputError, match="cannot be passed to Slurm"):
        build.rerun(project, exclude=nodes)
    assert tree(sweep.folder) == before


# code, edits, copies


def test_frozen_refuses_other_code(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    path = build.grid(project)
    build.submit(project, path, only=["seed=0"])
    build.run_all(sweep, cluster)
    build.submit(project, path, only=["seed=1"], frozen=True)
    job = project.root / "jobs" / "selftest.py"
    job.write_text(job.read_text() + "\n# changed\n")
    with pytest.raises(RefusedError, match="--frozen: 2 done points ran on other code than this"):
        build.submit(project, path, only=["seed=2"], frozen=True)
    build.submit(project, path, only=["seed=2"])
    assert any("2 points ran on other code" in note for note in status.compute(sweep).notes)


def test_an_edited_sweep_is_refused_with_the_difference(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    path = build.grid(project)
    build.submit(project, path, limit=2)
    file = sweep.folder / "sweep.json"
    file.write_text(file.read_text().replace('"about": "a grid of the tests"', '"about": "another question"'))
    with pytest.raises(RefusedError, match="was edited after it was submitted") as caught:
        build.submit(project, path)
    assert '-"about": "a grid of the tests"' in caught.value.message.replace("- ", "-")
    assert '+"about": "another question"' in caught.value.message.replace("+ ", "+")
    assert len(cluster.jobs) == 1


def test_two_sweeps_of_one_grid_share_nothing_but_ids(project: Project, cluster: Slurm) -> None:
    _, one = build.submit(project, build.grid(project, "one"))
    _, two = build.submit(project, build.grid(project, "two"))
    assert one.shards == two.shards and one.uid != two.uid
    build.run_all(Sweep(project.sweeps / "one"), cluster)
    assert status.compute(Sweep(project.sweeps / "one")).counts["done"] == 8
    assert status.compute(Sweep(project.sweeps / "two")).counts["done"] == 0
    assert {a.name for a in one.arrays}.isdisjoint(a.name for a in two.arrays)


def test_no_absolute_path_is_kept_but_in_the_script(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    build.submit(project, build.grid(project))
    build.run_all(sweep, cluster)
    for path in sweep.folder.rglob("*"):
        if path.is_file() and path.suffix not in (".sh", ".zip"):
            assert str(project.root) not in path.read_text(errors="replace"), path


@pytest.mark.parametrize("name", ["50%", "back\\slash", "line\nbreak"])
def test_a_folder_that_slurm_cannot_log_in_is_refused_before_anything_is_written(
    tmp_path: Path, cluster: Slurm, name: str
) -> None:
    project = build.project(tmp_path / name)
    with pytest.raises(InputError, match="Slurm cannot work in a folder with"):
        build.submit(project, build.grid(project))
    assert not project.sweeps.exists()


# this machine


def test_on_this_machine_the_same_claim_starts_a_runner(
    project: Project, sweep: Sweep, cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(local, "start", lambda *args: started.append(args))
    _, claim = build.submit(project, build.grid(project, per_shard=1), cluster="local")
    ((asked, number, slots, environment),) = started
    assert (asked.folder, number, slots) == (sweep.folder, 0, local.slots(claim.arrays[0].resources, None))
    fingerprint = claim.code["fingerprint"]
    assert environment["PYTHONPATH"].split(":")[0] == str(sweep.code / f"{fingerprint}.zip")
    assert sweep.submission(0).jobs == {0: {"job": "local", "tasks": 8, "at_once": slots}}
    assert cluster.calls() == [] and len(claim.arrays) == 1


def test_what_is_claimed_is_what_was_proposed(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    proposal, claim = build.submit(project, build.grid(project, seeds=5))
    assert [p for s in claim.shards for p in s] == proposal.chosen
    document = json.loads((sweep.folder / "submissions" / "000.json").read_text())
    assert document["schema"] == ledger.SCHEMA and document["why"] == "submit"
    assert sum(launch.counted(proposal.plans).values()) == proposal.tasks == 5


def test_sbatch_is_given_a_minute(project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def ask(command: Any, timeout: float = 10.0, environment: Any = os.environ) -> str:
        asked.append((command[0], timeout))
        return real(command, timeout, environment)

    real = slurm.ask
    monkeypatch.setattr(slurm, "ask", ask)
    build.submit(project, build.grid(project))
    assert ("sbatch", 60.0) in asked and all(t <= 60 for _, t in asked)
