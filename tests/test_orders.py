"""What each command comes to: which points, with what, and what happens when others were quicker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import build
from hpc_sweep import launch, orders, status
from hpc_sweep.errors import GridError, InputError, RefusedError, SurroundingsError
from hpc_sweep.ledger import Point, Sweep
from hpc_sweep.project import Project
from hpc_sweep.status import PointStatus
from stubs import Slurm


@pytest.fixture
def project(tmp_path: Path, cluster: Slurm) -> Project:
    return build.project(tmp_path / "project")


@pytest.fixture
def sweep(project: Project, cluster: Slurm) -> Sweep:
    """Eight points in eight tasks: two done, three failed in two ways, one damaged, one lost, one waiting."""
    build.submit(project, build.grid(project, per_shard=1))
    sweep = Sweep(project.sweeps / "trial")
    points = sweep.points()
    for k in (0, 1, 5):
        build.finish(sweep, [points[k]], k)
    for k, kind in ((2, "nan"), (3, "host-oom"), (4, "nan")):
        build.attempt(sweep, k, build.begin(points[k]), build.failed(points[k], kind), build.end())
    sweep.dump_path(points[5].id).write_bytes(b"broken")
    build.attempt(sweep, 6, build.begin(points[6]))
    cluster.task("100_6", "FAILED")
    return sweep


def again(project: Project, name: str | None = "trial", **more: Any) -> list[int]:
    """Which points a rerun would take, by their place in the grid."""
    proposal = orders.from_failures(project, name, None, **more).propose()
    places = {p.id: p.index for p in proposal.points}
    return sorted(places[i] for i in proposal.chosen)


# which points


def test_submit_takes_what_is_new_and_nothing_else(project: Project, sweep: Sweep) -> None:
    proposal = orders.from_grid(project, build.grid(project, seeds=5, per_shard=1), "devcluster").propose()
    assert len(proposal.chosen) == 2 and proposal.why == "submit"
    assert proposal.state and proposal.state.counts["new"] == 2


def test_rerun_takes_what_broke_and_nothing_else(project: Project, sweep: Sweep) -> None:
    assert build.states(status.compute(sweep)) == [
        "done", "done", "failed", "failed", "failed", "damaged", "lost", "waiting",
    ]  # fmt: skip
    assert again(project) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["nan"], [2, 4]), (["host-oom"], [3]), (["damaged"], [5]), (["lost"], [6]),
        (["nan", "lost"], [2, 4, 6]), (["timeout"], []),
    ],
)  # fmt: skip
def test_rerun_by_kind(project: Project, sweep: Sweep, only: list[str], chosen: list[int]) -> None:
    assert again(project, only=only) == chosen


def test_rerun_of_a_kind_that_there_is_not(project: Project, sweep: Sweep) -> None:
    with pytest.raises(InputError, match="`memory` is not a kind of failure") as caught:
        again(project, only=["memory"])
    assert caught.value.hint and "host-oom" in caught.value.hint


def test_rerun_by_point(project: Project, sweep: Sweep) -> None:
    points = sweep.points()
    assert again(project, points=[points[2].id[:6], points[5].id]) == [2, 5]
    assert again(project, points[3].id[:8], points=[points[4].id]) == [3, 4]  # no sweep of that name: a point


def test_rerun_of_a_point_that_is_well(project: Project, sweep: Sweep) -> None:
    with pytest.raises(RefusedError, match="is done"):
        again(project, points=[sweep.points()[0].id])
    with pytest.raises(RefusedError, match="is waiting"):
        again(project, points=[sweep.points()[7].id])


def test_rerun_of_a_point_that_there_is_not(project: Project, sweep: Sweep) -> None:
    with pytest.raises(InputError, match="trial has no point `ffffffffffff`"):
        again(project, points=["ffffffffffff"])


def test_rerun_takes_the_newest_sweep_or_one_at_a_path(project: Project, sweep: Sweep) -> None:
    assert again(project, None) == [2, 3, 4, 5, 6]
    assert again(project, str(sweep.folder)) == [2, 3, 4, 5, 6]


def test_rerun_where_nothing_was_submitted(project: Project) -> None:
    with pytest.raises(InputError, match="there is no sweep"):
        again(project, None)


def test_a_damaged_dump_is_put_aside_and_computed_again(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    point = sweep.points()[5]
    build.rerun(project, only=["damaged"])
    assert (sweep.quarantine / f"{point.id}.h5").read_bytes() == b"broken"
    assert status.compute(sweep).points[5].state == "waiting"
    build.finish(sweep, [point], 0, submission=1)
    assert status.compute(sweep).points[5].state == "done"


def test_what_somebody_mended_meanwhile_is_not_put_aside(project: Project, sweep: Sweep) -> None:
    point = sweep.points()[5]
    order = orders.from_failures(project, "trial", None, only=["damaged"])
    proposal = order.propose()
    build.rerun(project, only=["damaged"])
    build.finish(sweep, [point], 0, submission=1)
    with pytest.raises(InputError, match="somebody else has just submitted these points"):
        order.carry_out(proposal)
    assert status.compute(sweep).points[5].state == "done"
    assert len(list(sweep.quarantine.iterdir())) == 1


def test_a_rerun_takes_the_cluster_of_the_last_submission(
    project: Project, sweep: Sweep, cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config(ClusterName="somewhere-else")
    assert orders.from_failures(project, "trial", None).propose().profile.name == "devcluster"
    assert orders.from_failures(project, "trial", "local").propose().profile.name == "local"


def test_a_rerun_of_a_rerun_goes_on_from_it(project: Project, sweep: Sweep) -> None:
    _, claim = build.rerun(project, only=["host-oom"], mem=1.0)
    assert claim.arrays[0].resources["mem"] == 1.0
    point = sweep.points()[3]
    build.attempt(sweep, 0, build.begin(point), build.failed(point, "host-oom"), build.end(), submission=1)
    proposal = orders.from_failures(project, "trial", None, only=["host-oom"]).propose()
    assert proposal.plans[0].resources["mem"] == 2.0
    assert proposal.state and proposal.state.points[3].tries == 2


# others


def test_the_plan_is_made_anew_when_another_was_quicker(project: Project, cluster: Slurm) -> None:
    path = build.grid(project)
    order = orders.from_grid(project, path, "devcluster")
    proposal = order.propose()
    build.submit(project, path, only=["seed=0"])
    done, claim = order.carry_out(proposal)
    assert (len(proposal.chosen), len(done.chosen), claim.number) == (8, 6, 1)
    assert len(cluster.jobs) == 2


def test_nothing_is_left_when_another_was_quicker(project: Project, cluster: Slurm) -> None:
    path = build.grid(project)
    order = orders.from_grid(project, path, "devcluster")
    proposal = order.propose()
    build.submit(project, path)
    with pytest.raises(InputError, match="somebody else has just submitted these points") as caught:
        order.carry_out(proposal)
    assert caught.value.exit_code == 2 and len(cluster.jobs) == 1


def test_a_plan_of_nothing_is_not_carried_out(project: Project, cluster: Slurm) -> None:
    path = build.grid(project)
    build.submit(project, path)
    order = orders.from_grid(project, path, "devcluster")
    with pytest.raises(InputError, match="somebody else has just submitted these points"):
        order.carry_out(order.propose())
    assert [s.number for s in Sweep(project.sweeps / "trial").submissions()] == [0]


def test_it_does_not_plan_for_ever(project: Project, cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*args: Any) -> Any:
        raise FileExistsError

    monkeypatch.setattr(launch, "submit", taken)
    order = orders.from_grid(project, build.grid(project), "devcluster", limit=1)
    monkeypatch.setattr(orders, "_RACES", 3)
    with pytest.raises(InputError, match="3 others submitted"):
        order.carry_out(order.propose())


# input


def test_a_bad_grid_asks_nobody_and_writes_nothing(project: Project, cluster: Slurm) -> None:
    path = build.grid(project, more="colour: red\n")
    with pytest.raises(GridError, match="colour"):
        orders.from_grid(project, path, "devcluster")
    assert cluster.calls() == [] and not project.sweeps.exists()


def test_a_grid_too_large_for_the_cluster(project: Project, cluster: Slurm) -> None:
    path = Path(build.grid(project))
    path.write_text(path.read_text().replace("gpus: 1", "gpus: 5"))
    with pytest.raises(GridError, match="5 GPUs on a node; a node of partition v100 has 4"):
        orders.from_grid(project, str(path), "devcluster")


def test_a_cluster_that_there_is_not(project: Project) -> None:
    with pytest.raises(InputError, match="there is no cluster profile `jz`"):
        orders.from_grid(project, build.grid(project), "jz")


AXES = {
    "lr": [0.0001, 3e-05, 1.0],
    "model": ["t->v", "1"],
    "flag": [True, False],
    "seed": [0, 1],
    "none": [None, "null"],
}


def chosen(only: list[str]) -> int:
    """How many of the points a filter lets through, one a combination."""
    import itertools

    wanted = orders.axis_filter(only, AXES)
    rows = [dict(zip(AXES, row, strict=True)) for row in itertools.product(*AXES.values())]
    return sum(wanted(PointStatus(Point(0, "a", {}, row), "new")) for row in rows)


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ([], 48),
        (["lr=0.0001"], 16), (["lr=1e-4"], 16), (["lr=3e-5"], 16), (["lr=1"], 16), (["lr=1.0"], 16),
        (["lr=1e-4", "lr=3e-5"], 32), (["lr=1e-4", "seed=0"], 8),
        (["model=t->v"], 24), (["model=1"], 24), (["flag=true"], 24), (["seed=1"], 24), (["seed=1.0"], 24),
        (["none=null"], 48),
    ],
)  # fmt: skip
def test_values_are_chosen_as_a_grid_writes_them(only: list[str], count: int) -> None:
    assert chosen(only) == count


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("lr", "there is no axis `lr`"), ("lr=2", "axis `lr` has no such value"), ("=1", "there is no axis ``"),
        ("LR=1", "there is no axis `LR`"), ("flag=True", "axis `flag` has no such value"), ("flag=1", "no such value"),
        ("lr=nan", "no such value"), ("seed=", "no such value"), ("seed=0,1", "no such value"),
    ],
)  # fmt: skip
def test_a_filter_that_names_nothing_says_what_there_is(only: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        orders.axis_filter([only], AXES)
    assert caught.value.hint and ("the axes: lr, model" in caught.value.hint or "it has " in caught.value.hint)


@given(st.text())
def test_no_filter_is_a_traceback(text: str) -> None:
    try:
        orders.axis_filter([text], AXES)
    except InputError as error:
        assert error.hint


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90), ("1", 1), ("1:30", 90), ("0:05", 5), ("100:00", 6000), ("1-00:00", 1440), ("1-12", 2160),
        ("2-12:30", 3630), ("0-1", 60), ("005", 5),
    ],
)  # fmt: skip
def test_times_are_read_as_slurm_reads_them(text: str, minutes: float) -> None:
    assert orders.minutes(text) == minutes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0:00",
        "0-0",
        "-5",
        "1:60",
        "1:2:3",
        "1h",
        "1.5",
        "one",
        "1-",
        "-1:00",
        "1:",
        ":30",
        " 5",
        "5\n",
        "٣",
        "1_0",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="--time"):
        orders.minutes(text)


@given(st.text(alphabet="0123456789:- \n", max_size=12))
def test_no_time_is_a_traceback(text: str) -> None:
    try:
        assert orders.minutes(text) > 0
    except InputError:
        pass


# the rest


def test_the_scripts_of_a_plan_are_those_that_are_submitted(project: Project, cluster: Slurm) -> None:
    cluster.config(MaxArraySize="3")
    order = orders.from_grid(project, build.grid(project, per_shard=1), "devcluster")
    proposal = order.propose()
    texts = orders.scripts(proposal, project.root)
    order.carry_out(proposal)
    assert [job["text"].split("-0-")[0] for job in cluster.jobs.values()] == [t.split("-0-")[0] for t in texts]
    assert len(texts) == 3


def test_a_local_plan_has_no_scripts(project: Project, cluster: Slurm) -> None:
    assert orders.scripts(orders.from_grid(project, build.grid(project), "local").propose(), project.root) == []


def test_cancel_stops_tasks_and_says_so_first(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    outcome = orders.cancel(project, sweep, [])
    assert (outcome.tasks, outcome.points, outcome.spared) == (1, 1, 0)
    assert cluster.calls("scancel") == [["scancel", "100_7"]]
    assert sweep.submission(0).cancelled == {7}


def test_cancel_of_a_part(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, per_shard=1))
    sweep = Sweep(project.sweeps / "trial")
    build.attempt(sweep, 0, build.begin(sweep.points()[0]))
    cluster.task("100_0", "RUNNING")
    assert orders.cancel(project, sweep, ["waiting", "rate=0.1"]).tasks == 3
    assert orders.cancel(project, sweep, ["running"]).tasks == 1
    assert cluster.calls("scancel") == [["scancel", "100_1", "100_2", "100_3"], ["scancel", "100_0"]]


def test_cancel_spares_a_task_of_which_only_a_part_is_meant(project: Project, cluster: Slurm) -> None:
    build.submit(project, build.grid(project, per_shard=2))
    sweep = Sweep(project.sweeps / "trial")
    outcome = orders.cancel(project, sweep, ["seed=0"])
    assert (outcome.tasks, outcome.spared) == (0, 2)
    assert cluster.calls("scancel") == [] and sweep.submission(0).cancelled == frozenset()


def test_cancel_when_slurm_is_away_says_so(project: Project, sweep: Sweep, cluster: Slurm) -> None:
    cluster.remove("scancel")
    with pytest.raises(SurroundingsError, match="`scancel` is not on this machine"):
        orders.cancel(project, sweep, [])
    assert sweep.submission(0).cancelled == {7}  # the task will see it itself


def test_a_point_by_the_beginning_of_its_id(project: Project, sweep: Sweep) -> None:
    state = status.compute(sweep)
    assert orders.exists(state, state.points[3].point.id[:7]) is state.points[3]
    with pytest.raises(InputError, match="has no point `zz`"):
        orders.exists(state, "zz")


# what a job says of its points


def _job_says(project: Project, *lines: str) -> None:
    path = project.jobs / "selftest.py"
    path.write_text("\n".join([path.read_text().split("if __name__")[0], *lines]) + "\n")


def test_points_that_cost_more_get_more_time(project: Project, cluster: Slurm) -> None:
    _job_says(project, "def cost(config):", "    return 3 if config['rate'] > 0.1 else 0.5")
    path = build.grid(project, per_shard=2)
    plain, dear = orders.from_grid(project, path, "devcluster").propose().plans
    assert [len(p.shards) for p in (plain, dear)] == [2, 2]
    assert dear.resources["minutes"] == 6 * plain.resources["minutes"]
    assert int(dear.resources["limit"]) > int(plain.resources["limit"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("return config['layers']", r"cost\(\) of job `selftest` fails: .*selftest.py:\d+: KeyError: 'layers'"),
        ("return 0", r"cost\(\) gives 0 for point [0-9a-f]{12}"),
        ("return float('nan')", r"cost\(\) gives nan"),
        ("return 'much'", r"cost\(\) gives 'much'"),
    ],
)
def test_a_cost_that_is_none_is_a_sentence(line: str, words: str, project: Project, cluster: Slurm) -> None:
    _job_says(project, "def cost(config):", f"    {line}")
    with pytest.raises(InputError, match=words):
        orders.from_grid(project, build.grid(project), "devcluster").propose()


def test_what_goes_together_may_fail_too(project: Project, cluster: Slurm) -> None:
    _job_says(project, "def compatible(config):", "    return config['layers']")
    with pytest.raises(InputError, match=r"compatible\(\) of job `selftest` fails: .*KeyError"):
        orders.from_grid(project, build.grid(project), "devcluster").propose()
