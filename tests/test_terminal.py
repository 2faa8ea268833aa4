"""Every screen against its golden text, and what must hold on all of them.

`HPC_SWEEP_GOLDEN=write pytest tests/test_terminal.py` writes the golden texts; read them before they are committed.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import screen_samples as samples
from hpc_sweep import (
    child,
    mend,
    terminal_errors,
    terminal_log,
    terminal_plan,
    terminal_results,
    terminal_status,
    terminal_watch,
)
from hpc_sweep import terminal as screens
from hpc_sweep.errors import GridError, Problem, RefusedError, SurroundingsError
from hpc_sweep.ledger import Sweep
from hpc_sweep.logview import LogView
from hpc_sweep.mend import Cancelled
from hpc_sweep.shards import Plan
from hpc_sweep.status import Status
from hpc_sweep.terminal_page import Line, Page, content, width_of
from hpc_sweep.terminal_screen import Screen
from hpc_sweep.tracking import Tally
from test_terminal_screen import COLOURS, Pipe, terminal

GOLDEN = Path(__file__).parent / "golden" / "screens"
WIDE, NARROW, ASCII = Page(80), Page(40), Page(80, utf8=False)
Lines = Callable[[Page], list[Line]]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the sample sweep is the newest, in a place where it is always the same time."""
    (tmp_path / "sweeps" / samples.NAME / "submissions").mkdir(parents=True)
    (tmp_path / "sweeps" / samples.NAME / "sweep.json").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


def plain(lines: Sequence[Line]) -> str:
    return "".join("".join(map(content, line)) + "\n" for line in lines)


def check_golden(name: str, lines: Sequence[Line]) -> None:
    path, text = GOLDEN / f"{name}.txt", plain(lines)
    if os.environ.get("HPC_SWEEP_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


# samples of the screens that need one


VIEW = LogView(
    id="3fa9c1d20b77", sweep=samples.NAME, job="train",
    axes={"model": "mart", "data": "mosei", "lr": 0.0001, "seed": 3}, state="failed", kind="oom",
    words="CUDA out of memory. Tried to allocate 2.40 GiB", attempt="000-13-1", tries=2,
    node="jean-zay-a100-17", seconds=664.0, host_mb=21_913, gpu_mb=81_000,
    curve=[(k, {"train": 1.203 - k / 100, "valid": 1.114 - k / 90}) for k in range(31)], done=31, total=40,
    checkpoint=30, trace=["src/affect/models/mart.py:211  scores = query @ key.transpose(-1, -2)"],
    log=Path("sweeps/s2lif_table2/logs/8841203_13_0_log.out"), earlier=[("000-13-0", "preempted")],
)  # fmt: skip

GRID = """name: x
job: train
axes:
  lr: [1e-4, fast]
  model: [mart]

axis:
  data: [mosi]
  seed: [1, 2, 2]
skip:

  - {model: marta}
"""
PROBLEMS = [
    Problem(4, 14, 4, "`lr` wants numbers"),
    Problem(7, 1, 4, "unknown key", "did you mean `axes`?"),
    Problem(9, 16, 1, "2 is listed twice"),
    Problem(12, 13, 5, "no such value on axis `model`", "did you mean `mart`?"),
]


def bad_grid(problems: list[Problem] = PROBLEMS, text: str = GRID) -> GridError:
    return GridError(Path("configs/grids/x.yaml"), text, problems)


def dry(page: Page) -> list[Line]:
    script = "#!/bin/bash\n\n#SBATCH --array=0-19%8\n\nif true; then\n  exec python -m hpc_sweep.worker\nfi"
    grid = {**samples.proposal().grid, "needs": ["s2lif_features"]}
    return terminal_plan.plan_lines(page, samples.proposal(grid=grid, held_back=12, after=("17", "18")), [script])


def shapes() -> Any:
    """A grid whose points ask for five different things, on a laptop or not."""
    ids = [p.id for p in samples.points()]
    asked = [{"cpus": n, "minutes": 5, "mem": None, "gpus": 0, "points_per_shard": 1} for n in range(1, 6)]
    plans = [
        Plan({**samples.RESOURCES, **r}, tuple(samples.cut(ids[k * 10 : k * 10 + 10], 1))) for k, r in enumerate(asked)
    ]
    return samples.proposal(plans=plans)


def bug(page: Page) -> list[Line]:
    try:
        terminal_status.short(None, [])  # type: ignore[arg-type]
    except TypeError as error:
        lines = terminal_errors.bug_lines(page, error, Path("~/.cache/hpc-sweep/crash-2026-11-20T15-22-33-71.txt"))
    return [[re.sub(r":\d+$", ":N", str(part)) if isinstance(part, str) else part for part in line] for line in lines]


def watched(state: Status) -> Lines:
    return lambda page: terminal_status.status_lines(page, state, now=samples.NOW)


SCREENS: dict[str, Lines] = {
    "plan": lambda p: terminal_plan.plan_lines(p, samples.proposal()),
    "plan_new_seed": lambda p: terminal_plan.plan_lines(p, samples.sixth_seed()),
    "plan_rerun": lambda p: terminal_plan.plan_lines(p, samples.rerun(samples.busy(), ["oom"], accumulate=2)),
    "plan_dry_run": dry,
    "plan_shapes": lambda p: terminal_plan.plan_lines(p, shapes()),
    "plan_nothing": lambda p: terminal_plan.plan_lines(p, samples.proposal(plans=[], state=samples.status())),
    "plan_only_failed": lambda p: terminal_plan.plan_lines(p, samples.proposal(plans=[], state=samples.busy())),
    "status": watched(samples.busy()),
    "status_every_kind": watched(samples.every_kind()),
    "status_done": watched(samples.status()),
    "status_waiting": watched(samples.status([(80, "waiting", "", "")], used=0.0)),
    "status_all": lambda p: terminal_status.status_lines(p, samples.every_kind(), everything=True, now=samples.NOW),
    "watch": lambda p: terminal_watch.bar_lines(p, samples.busy()),
    "log": lambda p: terminal_log.log_lines(p, VIEW),
    "log_crash": lambda p: terminal_log.log_lines(
        p,
        replace(VIEW, kind="crash", words="killed by SIGSEGV", trace=[], curve=VIEW.curve[:2], earlier=[],
                tail=["loading 12 shards", "Fatal Python error: Segmentation fault"]),
    ),
    "log_waiting": lambda p: terminal_log.log_lines(
        p, LogView("3fa9c1d20b77", samples.NAME, "train", {"model": "mart"}, "waiting", "", "")
    ),
    "collected": lambda p: terminal_results.collected_lines(p, samples.Collected()),
    "collected_damaged": lambda p: terminal_results.collected_lines(
        p, samples.Collected(rows=50, failed=7, damaged=[(f"3fa9c1d20b{k}7", "checksum differs") for k in range(7)])
    ),
    "cancelled": lambda p: terminal_results.cancelled_lines(p, samples.NAME, Cancelled(3, 12, 2)),
    "doctor": lambda p: terminal_results.doctor_lines(p, samples.CHECKS),
    "bad_grid": lambda p: terminal_errors.bad_grid_lines(p, bad_grid()),
    "error": lambda p: terminal_errors.error_lines(
        p, RefusedError("sweep.json was edited after it was submitted:\n--- as submitted\n+++ now", "undo the edit")
    ),
    "bug": bug,
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_it_was_read(name: str) -> None:
    check_golden(name, SCREENS[name](WIDE))


@pytest.mark.parametrize("name", ["plan", "status", "log", "bad_grid", "doctor", "collected"])
def test_a_screen_on_a_narrow_terminal(name: str) -> None:
    check_golden(f"{name}.40", SCREENS[name](NARROW))


@pytest.mark.parametrize("name", ["plan", "status", "doctor", "bad_grid"])
def test_a_screen_without_utf8(name: str) -> None:
    check_golden(f"{name}.ascii", SCREENS[name](ASCII))


def test_no_golden_text_is_left_over() -> None:
    extra = {"submitted", "submitted_local", "submitted_refused", "tracked"}
    assert {p.name.split(".")[0] for p in GOLDEN.iterdir()} == {*SCREENS, *extra}


_COPIED = re.compile(
    r"hpc-sweep |python jobs/|chmod |sweeps/|^hint: |^✗ |^x |^ {12}this is our fault|^#|^  [0-9a-f]{12}  |^ {4}src/"
)


@pytest.mark.parametrize("page", [Page(80), Page(60), Page(40), Page(80, False), Page(40, False)])
@pytest.mark.parametrize("name", SCREENS)
def test_nothing_but_what_is_copied_is_wider_than_the_page(name: str, page: Page) -> None:
    for line in plain(SCREENS[name](page)).splitlines():
        assert line == line.rstrip()
        assert width_of(line) <= page.width or _COPIED.search(line), line
        assert page.utf8 or line.isascii()


@pytest.mark.parametrize("page", [Page(80), Page(60), Page(40), Page(200)])
@pytest.mark.parametrize("name", [n for n in SCREENS if n not in ("status_all", "plan_dry_run", "log", "log_crash")])
def test_no_screen_scrolls(name: str, page: Page) -> None:
    assert len(SCREENS[name](page)) <= terminal_status.MOST_LINES + (page.width < 60)


# submit


def test_the_question_names_the_price() -> None:
    assert screens.question(samples.proposal()) == "Submit 20 tasks that may cost up to 20.0 GPU-hours?"
    again = samples.rerun(samples.busy(), ["oom"])
    assert screens.question(again) == "Run 5 points again in 2 tasks that may cost up to 2.0 GPU-hours?"


def at_home(**changes: Any) -> Any:
    from hpc_sweep.cluster import Profile

    resources = {**samples.RESOURCES, "gpus": 0, "cpus": 1, "mem": None, "minutes": 0.5, "limit": 3}
    plans = [Plan(resources, tuple(samples.cut([p.id for p in samples.points()], 4)))]
    profile = Profile(name="local", scheduler="local", slots=2)
    return samples.proposal(plans=plans, profile=profile, **changes)


def test_a_laptop_is_asked_in_its_own_words() -> None:
    assert screens.question(at_home()) == "Run 80 points on this machine, for up to 1.0 core-hours?"
    text = plain(terminal_plan.plan_lines(WIDE, at_home()))
    assert "cluster   this machine\n" in text
    assert "20 tasks × 4 points, 2 at a time, 1 CPU, limit 3 min 00" in text
    assert "core-h" in text and "GPU" not in text
    assert "no Slurm call" in plain(terminal_plan.plan_lines(WIDE, at_home(), []))


def test_axes_that_go_together_are_not_multiplied() -> None:
    grid = {**samples.proposal().grid, "axes": {"a": [1, 2], "b": [3, 4]}, "skipped": 0, "expect": 2}
    found = samples.points()[:2]
    text = plain(terminal_plan.plan_lines(WIDE, samples.proposal(grid=grid, found=found)))
    assert "×" not in text.split("cluster")[0]
    assert re.search(r"points +=  ?2  as expected", text)


def test_what_was_left_out_is_said() -> None:
    state = samples.status([(20, "new", "", "")])
    ids = [p.point.id for p in state.points[:8]]
    chosen = samples.proposal(
        state=state, new_version=False, plans=[Plan(samples.RESOURCES, tuple(samples.cut(ids, 4)))]
    )
    text = plain(terminal_plan.plan_lines(WIDE, chosen))
    assert "60 points already done, 20 new" in text
    assert "8 of the 20 new points" in text
    held = plain(terminal_plan.plan_lines(WIDE, replace(chosen, held_back=12)))
    assert "12 points over your limit in the queue (MaxSubmitJobs)" in held
    assert "8 of the 20" not in held


def test_an_empty_choice_is_no_submission() -> None:
    state = samples.status([(20, "new", "", "")])
    text = plain(terminal_plan.plan_lines(Page(120), samples.proposal(plans=[], state=state)))
    assert "60 of 80 points done or under way, 20 new and not chosen; nothing to submit" in text
    none = samples.proposal(plans=[], state=state, why="rerun")
    assert "nothing to run again" in plain(terminal_plan.plan_lines(WIDE, none))


def submitted(sweep: Sweep, jobs: dict[int, dict[str, Any]], **changes: Any) -> list[Line]:
    claim = samples.claim(samples.cut([p.id for p in samples.points()], 4), **changes)
    sweep.claim(claim)
    sweep.record_jobs(0, jobs)
    return terminal_plan.submitted_lines(WIDE, sweep, claim)


@pytest.fixture
def sweep() -> Sweep:
    return Sweep(Path("sweeps") / samples.NAME)


def test_what_was_submitted(sweep: Sweep) -> None:
    check_golden("submitted", submitted(sweep, {0: {"job": "8841203", "tasks": 20}}))


def test_what_was_started_here(sweep: Sweep) -> None:
    jobs = {0: {"job": "local", "tasks": 20, "at_once": 2}}
    check_golden("submitted_local", submitted(sweep, jobs, cluster="local"))


def test_arrays_that_slurm_did_not_take_are_told(sweep: Sweep) -> None:
    array = samples.claim(samples.cut([p.id for p in samples.points()], 4)).arrays[0]
    jobs: dict[int, dict[str, Any]] = {k: {"job": str(100 + k), "tasks": 20} for k in range(6)}
    jobs[6] = {"refused": "AssocMaxSubmitJobLimit", "tasks": 0}
    check_golden("submitted_refused", submitted(sweep, jobs, arrays=(array,) * 7))


def test_one_task_is_an_array_of_one(sweep: Sweep) -> None:
    array = samples.claim([("a",)]).arrays[0]
    array = replace(array, resources={**array.resources, "at_once": 0})
    assert "slurm    12_[0]\n" in plain(submitted(sweep, {0: {"job": "12", "tasks": 1}}, arrays=(array,)))


# status


def test_one_line_says_it_all() -> None:
    assert screens.status_line(samples.busy()) == "done 58  running 6  waiting 9  failed 7  total 80"
    assert screens.status_line(samples.every_kind()) == "done 53  running 4  waiting 5  failed 15  total 80"


def test_everything_leaves_nothing_out() -> None:
    text = plain(SCREENS["status_all"](WIDE))
    assert all(f"  {kind} " in text for kind in (*child.KINDS, "damaged"))
    assert all(f"note number {k}" in text for k in range(7))
    assert all(f"  {p.id}  " in text for p in samples.points())


def test_what_was_cut_says_how_to_see_it() -> None:
    text = plain(SCREENS["status_every_kind"](WIDE))
    assert re.search(r"\d+ more: --all", text)
    assert re.search(r"\d more notes: --all", text)


def test_words_of_others_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;title\x07\u202eevil\rwords\nsecond"
    state = samples.status([(1, "failed", "code", evil)], notes=[evil])
    state.points[0].point.axes["model"] = evil
    text = plain(
        terminal_status.status_lines(WIDE, replace(state, header={"axes": {}}), everything=True, now=samples.NOW)
    )
    assert all(line.isprintable() for line in text.splitlines())
    assert "evil words second" in text
    view = replace(VIEW, words=evil, node=evil, trace=[evil], axes={"model": evil}, curve=[(0, {"loss": 1.0})])
    assert all(line.isprintable() for line in plain(terminal_log.log_lines(WIDE, view)).splitlines())


def test_a_sweep_that_is_not_the_newest_is_named(project: Path) -> None:
    text = plain(watched(samples.busy())(WIDE))
    assert "next    hpc-sweep rerun --only oom" in text
    (project / "sweeps" / "newer").mkdir()
    (project / "sweeps" / "newer" / "sweep.json").touch()
    os.utime(project / "sweeps" / samples.NAME / "submissions", (1, 1))
    text = plain(watched(samples.busy())(Page(120)))
    assert f"hpc-sweep rerun {samples.NAME} --only oom" in text
    assert f"--sweep {samples.NAME}" in text


def test_a_sweep_that_was_never_submitted() -> None:
    state = replace(samples.status([(80, "new", "", "")], used=0.0), submissions=[])
    text = plain(watched(state)(WIDE))
    assert text.startswith(f"{samples.NAME}    nothing submitted yet\n")
    assert "no submission holds them" in text


def test_points_are_called_by_no_more_letters_than_needed() -> None:
    ids = ["3fa9c1d20b77", "3fa9c1d2ffff", "77aa00000000"]
    assert [terminal_status.short(i, ids) for i in ids] == ["3fa9c1d20", "3fa9c1d2f", "77aa00"]
    assert terminal_status.short("abc", ["abc", "abcd"]) == "abc"


def test_reruns_and_earlier_submissions_are_told() -> None:
    state = samples.status()
    state = replace(state, submissions=[state.submissions[0]] * 3)
    assert "2 submissions before" in plain(watched(state)(Page(120)))


def test_a_hundred_thousand_points_fit_on_a_screen() -> None:
    axes = {"model": ["a", "b"], "seed": list(range(50_000))}
    lines = watched(samples.status([(100, "failed", "code", "KeyError"), (1000, "running", "", "")], axes=axes))(WIDE)
    assert "98 %   of 100,000" in plain(lines)
    assert len(lines) <= terminal_status.MOST_LINES


# hints


@pytest.mark.parametrize("kind", [*child.KINDS, "damaged"])
def test_every_kind_has_a_hint_that_fits_beside_its_command(kind: str) -> None:
    from hpc_sweep import terminal_hints

    command, why = terminal_hints.command(kind, "3fa9c1")
    assert command.startswith("hpc-sweep ") and "{" not in command
    assert plain(WIDE.commands([(command, why)])).count("\n") == 1
    named, _ = terminal_hints.command(kind, "3fa9c1", "demo")
    assert "doctor" in command or "demo" in named
    assert f"--only {kind}" in command + why


def test_there_is_no_hint_for_what_does_not_exist() -> None:
    assert set(screens.HINTS) == {*child.KINDS, "damaged"}


def given_again(kind: str, **given: Any) -> dict[str, Any]:
    """What `rerun` gives a point that failed so."""
    from hpc_sweep.cluster import Limits, Node, Profile

    profile = Profile(name="a", scheduler="slurm", node=Node(gpus=4, cpus=40, memory=48), limits=Limits(minutes=120))
    point = replace(samples.status().points[0], state="failed", kind=kind, node="n7")
    return mend.policy(point, {**samples.RESOURCES, "points_per_shard": 1, **given}, profile)


def test_the_hints_are_true_of_what_rerun_does() -> None:
    hints = screens.HINTS
    assert "halves the micro-batch" in hints["oom"].why and given_again("oom")["accumulate"] == 2
    assert "--mem will not help" in hints["oom"].why and given_again("oom")["mem"] == samples.RESOURCES["mem"]
    assert "doubles the memory, up to the node's" in hints["host-oom"].why
    assert [given_again("host-oom", mem=m)["mem"] for m in (16, 32)] == [32, 48]
    assert "doubles the time, up to the partition's" in hints["timeout"].why
    assert [given_again("timeout", minutes=m)["minutes"] for m in (9, 60)] == [18, 80]  # 80 × 1.5 = 120
    assert "other nodes" in hints["node-fail"].why and given_again("node-fail")["exclude"] == "n7"


@pytest.mark.parametrize("kind", ["nan", "data", "code", "crash", "disk", "cancelled", "lost", "preempted"])
def test_rerun_does_not_pretend_to_mend_what_it_cannot(kind: str) -> None:
    assert given_again(kind) == {**samples.RESOURCES, "points_per_shard": 1}
    assert not any(word in screens.HINTS[kind].why for word in ("doubles", "halves"))


@pytest.mark.parametrize("kind", ["nan", "data", "code", "crash"])
def test_who_must_mend_first_is_sent_to_the_log(kind: str) -> None:
    assert screens.HINTS[kind].command.startswith("hpc-sweep log")
    assert "then rerun" in screens.HINTS[kind].why


# watching


def test_watching_in_a_pipe_prints_a_line_for_each_change() -> None:
    states = iter([samples.busy(), samples.busy(), samples.status()])
    out, err = Pipe(), Pipe()
    last = screens.watch(Screen(out, err, {}), lambda: next(states), interval=0, until_over=True)
    assert last.over
    assert out.getvalue() == ""  # stdout is kept for the result
    assert err.getvalue() == (
        "done 58  running 6  waiting 9  failed 7  total 80\ndone 80  running 0  waiting 0  failed 0  total 80\n"
    )


def test_watching_for_ever_is_a_result() -> None:
    states = iter([samples.busy(), samples.status()])

    def look() -> Status:
        state = next(states, None)
        if state is None:
            raise KeyboardInterrupt
        return state

    out, err = Pipe(), Pipe()
    with pytest.raises(KeyboardInterrupt):
        screens.watch(Screen(out, err, {}), look, interval=0, until_over=False)
    assert out.getvalue().splitlines()[0] == "done 58  running 6  waiting 9  failed 7  total 80"
    assert err.getvalue() == ""


def test_waiting_on_a_terminal_draws_one_bar_and_takes_it_away() -> None:
    states = iter([samples.busy(), samples.status()])
    with terminal() as tty:
        screens.watch(Screen(Pipe(), tty.file, COLOURS), lambda: next(states), interval=0, until_over=True)
    assert "58 of 80   6 running, 9 waiting, 7 failed" in tty.shown
    assert tty.shown.endswith("\x1b[2K")
    assert "model=mart" not in tty.shown


def test_watching_on_a_terminal_draws_the_whole_screen_again() -> None:
    states = iter([samples.busy(), samples.status()])

    def look() -> Status:
        state = next(states, None)
        if state is None:
            raise KeyboardInterrupt
        return state

    with terminal() as tty, pytest.raises(KeyboardInterrupt):
        screens.watch(Screen(tty.file, Pipe(), COLOURS), look, interval=0, until_over=False)
    assert "shared by all" in tty.shown
    assert "Ctrl-C ends this, not the sweep" in tty.shown
    assert "\x1b[?25h" in tty.shown  # the cursor is back


def test_the_numbers_of_a_run_come_as_they_are_logged() -> None:
    views = iter(
        [
            LogView("3fa9c1d20b77", "demo", "train", {}, "waiting", "", ""),
            replace(VIEW, state="running", curve=VIEW.curve[:2]),
            replace(VIEW, state="running", curve=VIEW.curve[:3]),
            replace(VIEW, state="done", attempt="000-13-2", curve=VIEW.curve[:1]),
        ]
    )
    out = Pipe()
    screens.follow(Screen(out, Pipe(), {}), lambda: next(views), interval=0)
    assert out.getvalue().splitlines() == [
        "3fa9c1d20b77    attempt 000-13-1 on jean-zay-a100-17",
        "  step 0         train 1.203  valid 1.114",
        "  step 1         train 1.193  valid 1.103",
        "  step 2         train 1.183  valid 1.092",
        "3fa9c1d20b77    attempt 000-13-2 on jean-zay-a100-17",
        "  step 0         train 1.203  valid 1.114",
        "",
    ]


# log


def test_a_long_curve_shows_its_ends_and_a_short_one_all() -> None:
    def steps(count: int) -> list[str]:
        curve = [(k, {"loss": 1.0}) for k in range(count)]
        return [row.split()[0] for row in plain(terminal_log.curve_lines(WIDE, curve)).splitlines()[1:]]

    assert steps(7) == ["0", "1", "2", "3", "4", "5", "6"]
    assert steps(8) == ["0", "1", "2", "…", "4", "5", "6", "7"]
    assert steps(0) == []


def test_a_number_that_was_not_logged_at_a_step_is_a_dash() -> None:
    text = plain(terminal_log.curve_lines(WIDE, [(0, {"train": 1.0}), (1, {"train": 0.5, "valid": 2.0})]))
    assert text.splitlines()[1:] == ["     0      1      –", "     1    0.5      2"]


# results


def test_nothing_yet_and_all_damaged_are_told_too() -> None:
    none = samples.Collected(rows=0, failed=0, csv=None, h5=None, sha256=None, read_bytes=0)
    text = plain(terminal_results.collected_lines(WIDE, none))
    assert text.startswith(f"{samples.NAME}    0 of 80 points · 80 not done yet\n")


@pytest.mark.parametrize(
    ("outcome", "command"),
    [
        (samples.Collected(failed=0, rows=80), "hpc-sweep report s2lif_table2"),
        (samples.Collected(), "hpc-sweep status s2lif_table2"),
        (samples.Collected(damaged=[("a", "b")]), "hpc-sweep rerun s2lif_table2 --only damaged"),
    ],
)
def test_what_to_run_after_collecting(outcome: samples.Collected, command: str) -> None:
    out = Pipe()
    screens.after_collect(Screen(out, Pipe(), {}), outcome)
    assert command in out.getvalue()


def test_tracked_runs() -> None:
    out = Pipe()
    screen = Screen(out, Pipe(), {})
    screens.tracked(screen, Tally(61, 0, 12, 73), "sqlite:///mlflow.db")
    screens.tracked(screen, Tally(0, 3, 70, 73), "sqlite:///mlflow.db")
    screens.tracked(screen, Tally(0, 0, 0, 0), "sqlite:///mlflow.db")
    check_golden("tracked", [[line] for line in out.getvalue().splitlines()])


def test_reported_files() -> None:
    out = Pipe()
    screens.reported(Screen(out, Pipe(), {}), "demo", [Path("a/report.md"), Path("a/report.html")], ["no figures"])
    assert out.getvalue() == (
        "demo    report\n\n  wrote     a/report.md\n            a/report.html\n\nnote    no figures\n"
    )


def test_cancelling_nothing_is_said() -> None:
    text = plain(terminal_results.cancelled_lines(WIDE, "demo", Cancelled(0, 0, 0)))
    assert text == "demo    nothing runs or waits that could be cancelled\n"


def test_a_doctor_without_complaints() -> None:
    assert plain(terminal_results.doctor_lines(WIDE, samples.CHECKS[:2])).endswith("\n\nall well\n")


# errors


def test_an_error_is_one_line_however_long_and_a_hint_another() -> None:
    err = Pipe()
    message = "Slurm did not take the work: " + "a very long reason " * 10
    screens.error(Screen(Pipe(), err, {}), SurroundingsError(message.strip(), "check the profile"))
    assert err.getvalue() == f"✗ {message.strip()}\nhint: check the profile\n"


def test_errors_go_to_stderr_and_cannot_steer_it() -> None:
    out, err = Pipe(), Pipe()
    screens.error(Screen(out, err, {}), SurroundingsError("\x1b[2Jbad\u202e", "\x1b]0;x\x07do"))
    assert (out.getvalue(), err.getvalue()) == ("", "✗ bad\nhint: do\n")


def carets(told: GridError, page: Page = WIDE) -> list[tuple[str, str]]:
    """For each row of carets: what of the line above it they stand under, and the message."""
    rows = plain(terminal_errors.bad_grid_lines(page, told)).splitlines()
    found, above = [], ""
    for row in rows:
        match = re.match(r"( +[│|] )( *)(\^+) ?(.*)", row)
        if match:
            start = match.start(3)
            found.append((above[start : match.end(3)], match[4]))
        elif re.match(r" *\d+ [│|] ", row):
            above = row
    return found


def test_the_carets_stand_under_what_is_wrong() -> None:
    assert [where for where, _ in carets(bad_grid())] == ["fast", "axis", "2", "marta"]


def test_two_mistakes_in_one_line_show_it_once() -> None:
    told = bad_grid([Problem(9, 10, 1, "first"), Problem(9, 16, 1, "second")])
    assert carets(told) == [("1", "first"), ("2", "second")]
    assert plain(terminal_errors.bad_grid_lines(WIDE, told)).count("seed:") == 1


def test_a_long_line_is_shown_around_the_mistake() -> None:
    text = "fixed: {" + ", ".join(f"parameter_{i}: {i}" for i in range(60)) + "}"
    column = text.index("parameter_40") + 1
    told = bad_grid([Problem(1, 9, 11, "first"), Problem(1, column, 12, "unknown")], text)
    assert [where for where, _ in carets(told)] == ["parameter_0", "parameter_40"]
    assert [where for where, _ in carets(told, NARROW)] == ["parameter_0", "parameter_40"]


def test_tabs_wide_and_hidden_characters_keep_the_caret_in_place() -> None:
    assert carets(bad_grid([Problem(1, 2, 3, "tab")], "\tkey: 1")) == [("key", "tab")]
    assert carets(bad_grid([Problem(1, 4, 3, "bidi")], "a: \u202ebc")) == [("?bc", "bidi")]
    rows = plain(terminal_errors.bad_grid_lines(WIDE, bad_grid([Problem(1, 4, 3, "x")], "漢字 key"))).splitlines()
    assert rows[3].index("^") - rows[2].index("key") == 2  # two wide characters before it


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(1, 1, 0, "the file is empty"), ""),
        (Problem(3, 50, 4, "beyond the end"), "a: 1\n"),
        (Problem(1, 500, 4, "beyond the line"), "a: 1\n"),
        (Problem(1, 1, 100_000, "all of it"), "x" * 100_000),
        (Problem(0, 0, 0, "nowhere"), "a: 1\n"),
    ],
)
def test_a_mistake_at_an_odd_place_is_shown_all_the_same(problem: Problem, text: str) -> None:
    shown = plain(terminal_errors.bad_grid_lines(WIDE, bad_grid([problem], text)))
    assert problem.message in shown and "^" in shown
    assert all(width_of(row) <= 80 for row in shown.splitlines())
    assert shown.endswith("\n1 problem; nothing was submitted\n")


def test_at_most_ten_mistakes_are_shown() -> None:
    told = bad_grid([Problem(1, 1, 1, f"mistake {k}") for k in range(13)])
    shown = plain(terminal_errors.bad_grid_lines(WIDE, told))
    assert len(re.findall("mistake", shown)) == 10
    assert "13 problems, the first 10 shown; nothing was submitted" in shown


def broken() -> Exception:
    try:
        json.loads("{")
    except ValueError as error:
        return error
    raise AssertionError


def test_a_bug_keeps_its_details(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hpc-sweep", "collect", "--uri", "https://lea:secret@host/x"])
    err = Pipe()
    screens.bug(Screen(Pipe(), err, {}), broken())
    (path,) = (project / "home" / ".cache" / "hpc-sweep").iterdir()
    kept = path.read_text()
    assert "JSONDecodeError" in kept and "hpc-sweep collect --uri https://***@host/x" in kept
    assert "secret" not in kept
    assert path.stat().st_mode & 0o077 == 0
    assert f"hint: details in ~/.cache/hpc-sweep/{path.name}, please attach them to a report" in err.getvalue()
    assert "✗ bug       JSONDecodeError" in err.getvalue()


def test_a_bug_without_a_place_for_details_shows_them(project: Path) -> None:
    (project / "home").write_text("a file where a folder should be")
    err = Pipe()
    screens.bug(Screen(Pipe(), err, {}), broken())
    assert "hint: please report what follows" in err.getvalue()
    assert "Traceback (most recent call last)" in err.getvalue()


# for programs


def test_status_as_json() -> None:
    told = json.loads(json.dumps(screens.status_json(samples.busy()), allow_nan=False))
    assert (told["schema"], told["sweep"], told["over"]) == (1, samples.NAME, False)
    assert told["counts"] == {
        "done": 58, "damaged": 0, "running": 6, "waiting": 9, "failed": 7, "lost": 0, "new": 0,
    }  # fmt: skip
    assert len(told["points"]) == 80
    oom = next(p for p in told["points"] if p["kind"] == "oom")
    assert set(oom) >= {"id", "state", "kind", "words", "attempt", "tries", "seconds", "node", "axes"}
    assert told["submissions"][0]["jobs"] == [{"array": 0, "job": "8841203", "tasks": 20}]
    assert told["notes"] == samples.busy().notes


def test_plans_as_json(sweep: Sweep) -> None:
    proposal = samples.proposal(held_back=3)
    told = json.loads(json.dumps(screens.plan_json(proposal, ["#!/bin/bash"]), allow_nan=False))
    assert (told["schema"], told["tasks"], told["held_back"], len(told["chosen"])) == (1, 20, 3, 80)
    assert told["price"]["at_most"] == 20.0
    assert told["scripts"] == ["#!/bin/bash"]
    claim = samples.claim(samples.cut(proposal.chosen, 4))
    sweep.claim(claim)
    sweep.record_jobs(0, {0: {"job": "12", "tasks": 20}})
    told = json.loads(json.dumps(screens.submitted_json(proposal, claim)))
    assert (told["submission"], told["jobs"]) == (0, [{"array": 0, "job": "12", "tasks": 20}])


def test_the_other_documents(sweep: Sweep) -> None:
    damaged = samples.Collected(damaged=[("3fa9c1d20b77", "checksum differs")])
    documents = [
        screens.log_json(VIEW),
        screens.cancelled_json(sweep, Cancelled(3, 12, 2)),
        screens.collected_json(damaged, Tally(61, 0, 12, 73)),
        screens.collected_json(samples.Collected(csv=None, h5=None, sha256=None)),
        screens.reported_json("demo", [Path("a/report.md")]),
        screens.doctor_json(samples.CHECKS),
    ]
    told = [json.loads(json.dumps(d, allow_nan=False)) for d in documents]
    assert all(d["schema"] == 1 for d in told)
    assert told[0]["curve"][0] == {"step": 0, "train": 1.203, "valid": 1.114}
    assert told[0]["earlier"] == [{"attempt": "000-13-0", "ended": "preempted"}]
    assert (told[1]["tasks"], told[1]["points"], told[1]["spared"]) == (3, 12, 2)
    assert told[2]["damaged"] == [{"id": "3fa9c1d20b77", "why": "checksum differs"}]
    assert told[2]["mlflow"] == {"new": 61, "updated": 0, "unchanged": 12, "of": 73}
    assert told[3]["mlflow"] is None and told[3]["hdf5"] is None
    assert told[5]["checks"][3]["fix"].startswith("chmod")


def test_printing_goes_through_the_screen() -> None:
    out, err = Pipe(), Pipe()
    screen = Screen(out, err, {})
    screens.plan(screen, samples.proposal())
    screens.status(screen, samples.busy(), everything=True)
    screens.log(screen, VIEW)
    screens.collected(screen, samples.Collected())
    screens.cancelled(screen, Sweep(Path("sweeps/demo")), Cancelled(1, 1, 0))
    screens.doctor(screen, samples.CHECKS)
    assert out.getvalue().count("\n") > 100
    screens.bad_grid(screen, bad_grid())
    assert err.getvalue().startswith("configs/grids/x.yaml\n")
    assert isinstance(out, io.StringIO)
