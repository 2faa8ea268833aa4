"""What became of each point: the files decide, Slurm only hints, and whatever it does nothing live is called dead."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import dump, files, slurm, status
from hpc_sweep.errors import DamagedError, InputError
from hpc_sweep.ledger import Sweep
from hpc_sweep.records import Point
from hpc_sweep.status import PointStatus, Status
from stubs import Slurm


@pytest.fixture
def points() -> list[Point]:
    return build.points(4)


@pytest.fixture
def sweep(tmp_path: Path, points: list[Point]) -> Sweep:
    return build.sweep(tmp_path, points)


def look(sweep: Sweep, **more: Any) -> Status:
    return status.compute(sweep, **more)


def only(found: Status, index: int = 0) -> PointStatus:
    return found.points[index]


# the order of the states


def test_a_sweep_that_nobody_submitted_is_new(sweep: Sweep, cluster: Slurm) -> None:
    found = look(sweep)
    assert build.states(found) == ["new"] * 4
    assert found.over and not found.notes and not cluster.calls()


def test_every_state_at_once(sweep: Sweep, points: list[Point], cluster: Slurm, tmp_path: Path) -> None:
    points = build.points(8)
    sweep = build.sweep(tmp_path, points, "all")
    build.submitted(sweep, cluster, [[p] for p in points[:7]])
    build.finish(sweep, [points[0]], 0)
    build.finish(sweep, [points[1]], 1)
    sweep.dump_path(points[1].id).write_bytes(b"")
    build.attempt(sweep, 2, build.begin(points[2]))
    cluster.task("100_2", "RUNNING")
    build.attempt(sweep, 4, build.begin(points[4]), build.failed(points[4]), build.end())
    build.attempt(sweep, 5, build.begin(points[5]))
    cluster.task("100_5", "COMPLETED")
    build.attempt(sweep, 6, build.begin(points[6]), build.failed(points[6], "nan", "loss is nan"), build.end())
    found = look(sweep)
    assert build.states(found) == ["done", "damaged", "running", "waiting", "failed", "lost", "failed", "new"]
    assert found.counts == {"done": 1, "damaged": 1, "running": 1, "waiting": 1, "failed": 2, "lost": 1, "new": 1}
    assert not found.over and found.live == {0}
    assert found.count("failed") == 2


def test_a_dump_beats_everything_that_is_said(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, *[e for p in points for e in (build.begin(p), build.failed(p))])
    for point in points:
        build.done(sweep, point)
    for state in ("RUNNING", "FAILED", "NODE_FAIL"):
        cluster.task("100_0", state)
        assert build.states(look(sweep)) == ["done"] * 4


def test_a_damaged_dump_is_damaged_while_its_task_runs(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]))
    sweep.dump_path(points[0].id).write_bytes(b"x")
    cluster.task("100_0", "RUNNING")
    assert build.states(look(sweep)) == ["damaged", "running", "waiting", "waiting"]


def test_what_is_all_done_asks_nobody(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    assert look(sweep).over
    assert cluster.calls() == []


def test_slurm_is_asked_once_however_many_arrays(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, *[[[p]] for p in points])
    look(sweep)
    assert [call[0] for call in cluster.calls()] == ["squeue"]


def test_a_failed_point_is_failed_while_the_rest_of_its_shard_lives(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    events = build.begin(points[0]), build.failed(points[0], "nan", "loss is nan at step 3"), build.begin(points[1])
    build.attempt(sweep, 0, *events, node="n3")
    cluster.task("100_0", "RUNNING")
    found = look(sweep)
    assert build.states(found) == ["failed", "running", "waiting", "waiting"]
    assert (only(found).kind, only(found).words, only(found).node) == ("nan", "loss is nan at step 3", "n3")
    assert (only(found).attempt, only(found).submission, only(found).shard) == ("000-0-0", 0, 0)


def test_points_of_an_earlier_grid_are_kept_and_told(tmp_path: Path, cluster: Slurm) -> None:
    points = build.points(5)
    sweep = build.sweep(tmp_path, points)
    build.submitted(sweep, cluster, [[p] for p in points])
    build.finish(sweep, [points[0]], 0)
    header = {k: v for k, v in sweep.header().items() if k not in ("schema", "version", "points")}
    sweep.write_version(1, {**header, "text": "name: trial\n# smaller\n"}, points[:2])
    found = look(sweep)
    assert build.states(found) == ["done", "waiting"]
    assert found.notes == ["3 points of an earlier grid are kept, 3 of them still live"]


def test_the_points_of_a_grid_not_yet_written_can_be_asked_for(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    longer = build.points(6)
    assert build.states(look(sweep, points=longer)) == ["done"] * 4 + ["new"] * 2


def test_gpu_hours_are_those_of_the_points_that_ran(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    events = build.done(sweep, points[0], seconds=1800), build.failed(points[1], seconds=900)
    build.attempt(sweep, 0, *events, build.end())
    assert look(sweep).used_gpu_hours == pytest.approx(0.75)


# files that show late


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[float]:
    """Do something while `status` waits for files; the list tells how long it would have waited."""
    real, waited = time.sleep, []

    def sleep(seconds: float) -> None:
        if seconds < 1:
            return real(seconds)  # the standard library, waiting for a program
        waited.append(seconds)
        act()
        return None

    monkeypatch.setattr(time, "sleep", sleep)
    return waited


def test_a_file_that_shows_late_is_looked_for_again(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [[points[0]], [points[1]]])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "COMPLETED")
    cluster.task("100_1", "COMPLETED")

    def show() -> None:
        build.done(sweep, points[0])  # its line is still not to be seen
        build.finish(sweep, [points[1]], 1)

    waited = meanwhile(monkeypatch, show)
    assert build.states(look(sweep, file_delay=3.0))[:2] == ["done", "done"]
    assert waited == [3.0]


def test_a_dump_that_shows_after_its_line_is_waited_for(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    path = sweep.dump_path(points[2].id)
    hidden = path.rename(path.with_suffix(".late"))
    meanwhile(monkeypatch, lambda: hidden.rename(path))
    assert build.states(look(sweep, file_delay=3.0)) == ["done"] * 4


def test_what_ended_while_slurm_was_asked_is_not_lost(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    cluster.task("100_0", "COMPLETED")

    def ask(names: Any) -> list[slurm.Task]:
        build.finish(sweep, points, restart=1)
        return queue(names)

    queue = slurm.queue
    monkeypatch.setattr(slurm, "queue", ask)
    assert build.states(look(sweep)) == ["done"] * 4


def test_what_ended_while_the_files_were_read_is_not_lost(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [[points[0]]])
    read = Sweep.attempts

    def attempts(self: Sweep, *args: Any) -> Any:
        build.finish(sweep, [points[0]])
        monkeypatch.undo()
        return read(self, *args)

    monkeypatch.setattr(Sweep, "attempts", attempts)
    assert only(look(sweep)).state == "done"


def test_what_is_gone_is_gone_after_a_second_look(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    sweep.dump_path(points[1].id).unlink()
    waited = meanwhile(monkeypatch, lambda: None)
    found = look(sweep, file_delay=2.0)
    assert (only(found, 1).state, only(found, 1).words) == ("lost", "it was done, and its dump is gone")
    assert waited == [2.0]


# dumps


@pytest.mark.parametrize("told", [True, False], ids=["with its line", "line lost"])
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "checksum differs"),
        (lambda data: data[:-30] + bytes([data[-30] ^ 1]) + data[-29:], "checksum differs|without the line"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data[: len(data) // 2], "cut short"),
        (lambda data: b"", "0 bytes"),
        (lambda data: b"hello", "cut short"),
        (lambda data: data + b"\0", "instead of|without the line"),
    ],
    ids=["byte", "byte of the seal", "last byte", "half", "empty", "another file", "one more"],
)
def test_a_dump_that_is_not_what_was_written_is_damaged(
    sweep: Sweep, points: list[Point], cluster: Slurm, told: bool, harm: Callable[[bytes], bytes], words: str
) -> None:
    import re

    build.submitted(sweep, cluster, [points])
    events = [build.begin(points[0]), build.done(sweep, points[0])]
    build.attempt(sweep, 0, *events[: 2 if told else 1], build.end())
    path = sweep.dump_path(points[0].id)
    path.write_bytes(harm(path.read_bytes()))
    found = only(look(sweep))
    assert found.state == "damaged" and found.path == path
    assert re.search(words, found.words), found.words


@pytest.mark.parametrize("told", [True, False], ids=["with its line", "line lost"])
def test_the_dump_of_another_point_is_damaged(sweep: Sweep, points: list[Point], cluster: Slurm, told: bool) -> None:
    build.submitted(sweep, cluster, [points])
    events = [build.begin(points[0]), build.done(sweep, points[0])]
    build.attempt(sweep, 0, *events[: 2 if told else 1], build.end())
    sweep.dump_path(points[0].id).write_bytes(build.packed(points[1]))
    found = only(look(sweep))
    assert (found.state, found.words) == ("damaged", f"holds point {points[1].id}, not {points[0].id}")


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_no_file_is_damaged(sweep: Sweep, points: list[Point], cluster: Slurm, kind: str) -> None:
    path = sweep.dump_path(points[0].id)
    path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    else:
        os.mkfifo(path)
    assert only(look(sweep)).state == "damaged"


def test_the_dump_decides_and_not_the_log(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    """Killed between the rename of the dump and the line that tells of it."""
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]))
    build.done(sweep, points[0])
    cluster.task("100_0", "FAILED", reason="JobLaunchFailure")
    found = only(look(sweep))
    assert (found.state, found.done) == ("done", None)


def test_a_whole_dump_is_done_though_the_lines_tell_of_another(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    """The first dump was damaged and put aside; the second one's line was lost, and its code was another."""
    build.submitted(sweep, cluster, [points])
    build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.end())
    build.done(sweep, points[0], loss=0.25, code="0ther" * 3)
    assert only(look(sweep)).state == "done"


def test_a_dump_with_another_time_of_change_is_hashed_again(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    build.finish(sweep, points)
    for point in points:
        os.utime(sweep.dump_path(point.id))
    found = look(sweep)
    assert build.states(found) == ["done"] * 4
    assert all(p.done and p.done["attempt"] == "000-0-0" for p in found.points)


def test_strays_are_no_dumps(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    folder = files.make_folder(sweep.dump_path(points[0].id).parent)
    (folder / f"{files.TEMPORARY}{points[0].id}.h5").write_bytes(b"half")
    (folder / f"{files.TEMPORARY}{points[0].id}.h5-12-ab").write_bytes(b"half")
    assert only(look(sweep)).state == "new"


def test_attempts_that_disagree_are_told(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points])
    first = build.done(sweep, points[0], loss=0.5)
    build.attempt(sweep, 0, build.begin(points[0]), first, build.end())
    second = build.done(sweep, points[0], loss=0.6)
    build.attempt(sweep, 0, build.begin(points[0]), second, build.end())  # the same task, twice at once
    found = look(sweep)
    hashes = sorted(event["sha256"][:12] for _, event in (first, second))
    assert only(found).state == "done"
    assert found.notes == [f"{points[0].id}: 2 attempts disagree: {hashes[0]}, {hashes[1]}"]


def test_attempts_that_agree_are_not(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points[:1]])
    build.finish(sweep, points[:1])
    build.finish(sweep, points[:1])
    found = look(sweep)
    assert (only(found).state, only(found).tries, found.notes) == ("done", 2, [])


def test_a_failure_is_forgotten_when_its_rerun_is_done_and_gone(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [[points[0]]])
    build.attempt(sweep, 0, build.begin(points[0]), build.failed(points[0], "nan"), build.end())
    build.submitted(sweep, cluster, [[points[0]]], number=1, job="200")
    build.finish(sweep, [points[0]], submission=1)
    sweep.dump_path(points[0].id).unlink()
    assert only(look(sweep)).state == "lost"


# attempts


def test_an_attempt_cut_anywhere_is_read_as_far_as_it_goes(
    sweep: Sweep, points: list[Point], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.submitted(sweep, cluster, [points[:3]])
    events = build.begin(points[0]), build.done(sweep, points[0]), build.begin(points[1]), build.failed(points[1])
    label = build.attempt(sweep, 0, *events, build.begin(points[2]))
    path = sweep.folder / "attempts" / f"{label}.jsonl"
    whole = path.read_bytes()
    gone = slurm.Task("100", 0, build.array_name(sweep), "NODE_FAIL")
    monkeypatch.setattr(slurm, "queue", lambda names: [gone])
    seen = set()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found = look(sweep)
        assert only(found).state == "done"
        seen.add((only(found, 1).kind, only(found, 2).kind))
        lines, rest = whole[:length].count(b"\n"), whole[:length].rpartition(b"\n")[2]
        torn = bool(rest) and rest != whole.split(b"\n")[lines]
        assert ("1 torn line in attempts/ skipped" in found.notes) is torn
    assert seen == {("node-fail", "node-fail"), ("code", "node-fail")}


def test_torn_lines_are_counted_over_all_attempts(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [[p] for p in points])
    for shard, point in enumerate(points[:2]):
        label = build.finish(sweep, [point], shard)
        with (sweep.folder / "attempts" / f"{label}.jsonl").open("a") as file:
            file.write('{"event":"do')
    assert look(sweep).notes == ["2 torn lines in attempts/ skipped"]


def test_attempts_of_nobodys_submission_are_passed_over(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.attempt(sweep, 7, build.begin(points[0]), build.failed(points[0]), submission=3)
    (sweep.folder / "attempts" / "notes.txt").write_text("mine")
    assert build.states(look(sweep)) == ["new"] * 4


# code


def test_points_that_ran_on_other_code_are_told(sweep: Sweep, points: list[Point], cluster: Slurm) -> None:
    build.submitted(sweep, cluster, [points[:3]])
    build.finish(sweep, points[:3])
    assert look(sweep).notes == []
    build.submitted(sweep, cluster, [points[3:]], number=1, job="200", code="0ther" * 3)
    build.finish(sweep, points[3:], submission=1)
    assert look(sweep).notes == [f"3 points ran on other code than what was submitted last ({build.CODE['label']})"]


def test_a_point_whose_line_is_lost_is_not_said_to_have_run_on_other_code(
    sweep: Sweep, points: list[Point], cluster: Slurm
) -> None:
    build.submitted(sweep, cluster, [points[:1]])
    build.done(sweep, points[0])
    build.submitted(sweep, cluster, [points[1:]], number=1, job="200", code="0ther" * 3)
    assert look(sweep).notes == []


# the folder as a whole


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_sweep_may_be_moved_or_copied(
    sweep: Sweep, points: list[Point], cluster: Slurm, tmp_path: Path, how: Callable[..., Any]
) -> None:
    build.submitted(sweep, cluster, [points[:3]])
    build.attempt(
        sweep,
        0,
        *[e for p in points[:2] for e in (build.begin(p), build.done(sweep, p))],
        build.begin(points[2]),
        build.failed(points[2]),
        build.end(),
    )
    before = look(sweep)
    how(sweep.folder, tmp_path / "elsewhere" / "trial")
    after = look(Sweep(tmp_path / "elsewhere" / "trial"))
    assert build.states(after) == build.states(before) == ["done", "done", "failed", "new"]
    for path in (tmp_path / "elsewhere").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("file", ["sweep.json", "submissions/000.json"])
def test_a_sweep_of_a_newer_program_is_refused(sweep: Sweep, points: list[Point], cluster: Slurm, file: str) -> None:
    build.submitted(sweep, cluster, [points])
    path = sweep.folder / file
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2').replace('"schema":1', '"schema":2'))
    with pytest.raises(InputError, match="newer|schema 2"):
        look(sweep)


def test_a_list_of_points_that_was_changed_is_not_read(sweep: Sweep, cluster: Slurm) -> None:
    path = sweep.folder / "points.jsonl"
    path.write_text(path.read_text().replace('"seed":1', '"seed":9'))
    with pytest.raises(DamagedError, match="was changed"):
        look(sweep)


def test_the_golden_sweep_of_schema_1_is_read(cluster: Slurm, tmp_path: Path) -> None:
    """A folder that version 0.1.0 left; git keeps no times of change, so its dumps are hashed."""
    shutil.copytree(build.ROOT / "tests" / "golden" / "old" / "schema1", tmp_path / "schema1")
    found = look(Sweep(tmp_path / "schema1"))
    assert [(p.state, p.kind) for p in found.points] == [("done", ""), ("done", ""), ("failed", "nan"), ("new", "")]
    assert dump.read(found.points[0].path.read_bytes(), found.points[0].point.id).metrics == {"loss": 0.5}
    assert found.header["about"] == "a sweep of schema 1" and not found.notes
