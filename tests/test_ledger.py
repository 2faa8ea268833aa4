"""The sweep folder: written once, numbered without gaps, read as it was, refused when it is not what it was."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import build
from hpc_sweep import files, ledger
from hpc_sweep.errors import DamagedError, InputError, RefusedError
from hpc_sweep.ledger import Sweep
from hpc_sweep.records import Point


@pytest.fixture
def points() -> list[Point]:
    return build.points(4)


@pytest.fixture
def sweep(tmp_path: Path, points: list[Point]) -> Sweep:
    return build.sweep(tmp_path, points)


def grid_of(sweep: Sweep, **changes: Any) -> dict[str, Any]:
    """The header of a sweep as `write_version` takes it."""
    header = {k: v for k, v in sweep.header().items() if k not in ("schema", "version", "points")}
    return {**header, **changes}


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# grids and points


def test_points_come_back_as_they_were(sweep: Sweep, points: list[Point]) -> None:
    kept = sweep.points()
    assert [(p.index, p.id, p.config, p.axes) for p in kept] == [(p.index, p.id, p.config, p.axes) for p in points]
    lines = (sweep.folder / "points.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [p.id for p in points]


def test_a_sweep_is_written_once(sweep: Sweep, points: list[Point]) -> None:
    before = (sweep.folder / "sweep.json").read_bytes()
    with pytest.raises(FileExistsError):
        sweep.write_version(0, grid_of(sweep, text="other"), points[:1])
    assert (sweep.folder / "sweep.json").read_bytes() == before
    assert [p.id for p in sweep.points()] == [p.id for p in points]


def test_the_loser_of_a_race_leaves_the_points_of_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people submit different grids of one name: both write their points before either writes sweep.json."""
    mine, theirs = build.points(3), build.points(5)
    sweep, real = Sweep(tmp_path / "sweeps" / "trial"), files.write_new
    header = {"text": "x", "uid": build.UID}

    def write_new(path: Path, data: bytes) -> None:
        if path.name == "sweep.json":
            monkeypatch.setattr(files, "write_new", real)
            sweep.write_version(0, {**header, "text": "theirs"}, theirs)
        real(path, data)

    monkeypatch.setattr(files, "write_new", write_new)
    with pytest.raises(FileExistsError):
        sweep.write_version(0, {**header, "text": "mine"}, mine)
    assert sweep.header()["text"] == "theirs"
    assert [p.id for p in sweep.points()] == [p.id for p in theirs]


def test_points_of_a_submitter_that_was_killed_do_no_harm(tmp_path: Path, points: list[Point]) -> None:
    folder = tmp_path / "sweeps" / "trial"
    folder.mkdir(parents=True)
    (folder / "points.jsonl").write_bytes(b'{"of":"another grid"}\n')
    assert [p.id for p in build.sweep(tmp_path, points).points()] == [p.id for p in points]


def test_a_longer_grid_is_a_version_of_its_own(sweep: Sweep, points: list[Point]) -> None:
    more = build.points(6)
    old = sweep.header()
    sweep.write_version(1, grid_of(sweep, text="longer"), more)
    assert (sweep.header()["version"], sweep.header()["text"]) == (1, "longer")
    assert [p.id for p in sweep.points()] == [p.id for p in more]
    assert [p.id for p in sweep.points_of(old)] == [p.id for p in points]
    assert sorted(p.name for p in sweep.folder.glob("sweep*.json")) == ["sweep-001.json", "sweep.json"]


def test_versions_are_counted_as_numbers(sweep: Sweep, points: list[Point]) -> None:
    for version in (1, 2, 10, 1000):
        sweep.write_version(version, grid_of(sweep, text=str(version)), points)
    assert sweep.header()["text"] == "1000"


def test_a_sweep_without_points_is_read(tmp_path: Path) -> None:
    assert build.sweep(tmp_path, []).points() == []


def test_a_text_may_hold_what_separates_lines(tmp_path: Path) -> None:
    odd = {"about": 'a\nb\r\u2028\x0b"},{"'}
    point = Point(0, "3fa9c1d20b77", odd, {"seed": 0})
    assert build.sweep(tmp_path, [point]).points()[0].config == odd


def test_configurations_of_a_few_points(sweep: Sweep, points: list[Point]) -> None:
    asked = [points[2].id, points[0].id]
    found = sweep.configs(asked, "points.jsonl")
    assert list(found) == asked
    assert found == {p.id: p.config for p in (points[2], points[0])}
    with pytest.raises(DamagedError, match=r"points\.jsonl does not hold point ffffffffffff"):
        sweep.configs(["ffffffffffff"], "points.jsonl")


def test_an_id_inside_a_configuration_is_no_point(tmp_path: Path) -> None:
    """A run may be made from another one, and name it."""
    first = Point(0, "aaaaaaaaaaaa", {"from": {"id": "bbbbbbbbbbbb"}, "say": '"id":"bbbbbbbbbbbb"}'}, {"seed": 0})
    second = Point(1, "bbbbbbbbbbbb", {"from": {"id": ""}, "say": ""}, {"seed": 1})
    sweep = build.sweep(tmp_path, [first, second])
    assert sweep.configs(["bbbbbbbbbbbb"], "points.jsonl")["bbbbbbbbbbbb"] == second.config


def test_points_that_were_changed_are_refused(sweep: Sweep) -> None:
    path = sweep.folder / "points.jsonl"
    data = path.read_bytes()
    for changed in (data.replace(b'"seed":1', b'"seed":7'), data[:-1], data + b"\n", b""):
        assert changed != data
        path.write_bytes(changed)
        with pytest.raises(DamagedError, match="was changed after it was written"):
            sweep.points()
    path.unlink()
    with pytest.raises(DamagedError, match=r"points\.jsonl is gone"):
        sweep.points()


# sweep.json by another hand


def test_a_newer_sweep_is_refused_and_an_older_one_read(sweep: Sweep, points: list[Point]) -> None:
    edit(sweep.folder / "sweep.json", schema=ledger.SCHEMA + 1)
    with pytest.raises(InputError, match=rf"has schema {ledger.SCHEMA + 1}; this hpc-sweep reads up to") as caught:
        sweep.header()
    assert caught.value.hint == "use a newer hpc-sweep"
    edit(sweep.folder / "sweep.json", schema=ledger.SCHEMA - 1)
    assert [p.id for p in sweep.points()] == [p.id for p in points]


def test_a_sweep_of_the_first_schema_is_still_read(tmp_path: Path) -> None:
    """Byte for byte what version 0.1 wrote."""
    folder = tmp_path / "sweeps" / "old"
    (folder / "submissions").mkdir(parents=True)
    (folder / "attempts").mkdir()
    points = b'{"axes":{"seed":0},"config":{"seed":0},"id":"3fa9c1d20b77"}\n'
    (folder / "points.jsonl").write_bytes(points)
    told = {"file": "points.jsonl", "sha256": hashlib.sha256(points).hexdigest()}
    header = {"schema": 1, "name": "old", "job": "selftest", "text": "name: old", "axes": {"seed": [0]}, "uid": "0a"}
    (folder / "sweep.json").write_text(json.dumps({**header, "points": told}, indent=1) + "\n")
    claim = (
        '{"schema":1,"number":0,"uid":"0a","job":"selftest","sweep":{"file":"sweep.json","points":"points.jsonl",'
        '"text":"..."},"cluster":"v100","by":"lea","host":"login1","pid":"17:99","code":{"fingerprint":"c0de"},'
        '"why":"submit","max_fails":5,"arrays":[{"name":"hs-old-000-0-0a","resources":{"gpus":1,"minutes":9.0},'
        '"shards":[["3fa9c1d20b77"]],"after":[]}],"at":1790000000.0,"live_tracking":null}\n'
    )
    (folder / "submissions" / "000.json").write_text(claim)
    (folder / "submissions" / "000.slurm.json").write_text('{\n "0": {\n  "job": "12",\n  "tasks": 1\n }\n}\n')
    (folder / "attempts" / "000-0-0.jsonl").write_text(
        '{"event":"start","job":"12_0","node":"n1","pid":1,"code":"c0de","time":0.0}\n'
        '{"event":"begin","point":"3fa9c1d20b77","at":0}\n{"event":"log","point":"3fa9c1d20b77","step":1}\n'
    )
    sweep = Sweep(folder)
    assert [(p.id, p.config) for p in sweep.points()] == [("3fa9c1d20b77", {"seed": 0})]
    (submission,) = sweep.submissions()
    assert (submission.claim.shards, submission.jobs[0]["job"]) == ([("3fa9c1d20b77",)], "12")
    (attempt,) = sweep.attempts()
    assert [e["event"] for e in attempt.events] == ["start", "begin"]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"name":"x"}', '{"schema":"one"}', "\xff", '{"schema":null}'])
def test_a_header_that_cannot_be_read_is_damaged(text: str, sweep: Sweep) -> None:
    (sweep.folder / "sweep.json").write_text(text, encoding="latin-1")
    with pytest.raises(DamagedError, match=r"sweep\.json cannot be read") as caught:
        sweep.header()
    assert caught.value.hint == "restore it from a copy of the sweep"


def test_a_header_without_points_is_damaged(sweep: Sweep) -> None:
    edit(sweep.folder / "sweep.json", points=None)
    with pytest.raises(DamagedError, match=r"sweep\.json names no points"):
        sweep.points()


def test_an_edited_sweep_is_refused_with_the_difference(sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    sweep.check_unedited()
    edit(sweep.folder / "sweep.json", about="a better story")
    text = json.dumps(json.loads((sweep.folder / "sweep.json").read_text()), indent=1, ensure_ascii=False) + "\n"
    (sweep.folder / "sweep.json").write_text(text)
    with pytest.raises(RefusedError) as caught:
        sweep.check_unedited()
    assert '\n- "about": "",\n+ "about": "a better story",\n' in caught.value.message
    assert "sweep.json was edited after it was submitted" in caught.value.message
    assert "undo the edit" in str(caught.value.hint)


@pytest.mark.parametrize("damage", ["torn", "empty", "binary", "gone"])
def test_a_torn_sweep_is_refused_with_the_difference(damage: str, sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    path = sweep.folder / "sweep.json"
    data = path.read_bytes()
    broken = {"torn": data[:40], "empty": b"", "binary": b"\xff\xfe" + data, "gone": b""}[damage]
    path.write_bytes(broken)
    if damage == "gone":
        path.unlink()
    with pytest.raises(RefusedError, match="--- as submitted"):
        sweep.check_unedited()


def test_only_the_version_that_was_submitted_is_compared(sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    sweep.write_version(1, grid_of(sweep, text="longer"), build.points(6))
    sweep.check_unedited()
    build.claim(sweep, [points], number=1)
    edit(sweep.folder / "sweep-001.json", about="x")
    with pytest.raises(RefusedError, match=r"sweep-001\.json was edited"):
        sweep.check_unedited()


def test_what_is_no_sweep_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a sweep: it has no sweep\.json"):
        Sweep(tmp_path).header()
    with pytest.raises(InputError, match="is not a sweep"):
        Sweep(tmp_path / "absent").points()


# claims


def test_a_claim_comes_back_as_it_was(sweep: Sweep, points: list[Point]) -> None:
    made = build.claim(sweep, [points[:1], points[1:2]], [points[2:]], job="700", live_tracking="http://127.0.0.1:5000")
    (found,) = sweep.submissions()
    assert found.claim == made
    assert found.jobs == {0: {"job": "700", "tasks": 2}, 1: {"job": "701", "tasks": 1}}
    assert (found.number, found.closed, found.cancelled) == (0, None, frozenset())
    assert sweep.submission(0) == found
    ids = [p.id for p in points]
    assert made.shards == [(ids[0],), (ids[1],), (ids[2], ids[3])]
    assert [made.first_shard(k) for k in range(3)] == [0, 2, 3]


def test_a_number_is_taken_once(sweep: Sweep, points: list[Point]) -> None:
    first = build.claim(sweep, [points])
    with pytest.raises(FileExistsError):
        sweep.claim(replace(first, by="somebody else"))
    assert sweep.submission(0).claim.by == "lea"


def _claim_all(sweep: Sweep, points: list[Point], racer: int, races: int, barrier: Any, won: Any) -> None:
    first = build.claim(sweep, [points], number=races + racer, job=None)  # a number that nobody else wants
    for race in range(races):
        barrier.wait()
        try:
            sweep.claim(replace(first, number=race, by=str(racer)))
        except FileExistsError:
            continue
        won.put((race, str(racer)))


def test_eight_submitters_make_one_claim_a_number(sweep: Sweep, points: list[Point]) -> None:
    racers, races = 8, 20
    fork = multiprocessing.get_context("fork")
    barrier, won = fork.Barrier(racers), fork.Queue()
    processes = [fork.Process(target=_claim_all, args=(sweep, points, k, races, barrier, won)) for k in range(racers)]
    for process in processes:
        process.start()
    winners = [won.get(timeout=60) for _ in range(races)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert won.empty()
    assert sorted(race for race, _ in winners) == list(range(races))
    assert {s.number: s.claim.by for s in sweep.submissions()[:races]} == dict(winners)
    assert sweep.strays() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema":1,"arrays":[]}', '{"schema":1,"arrays":[{}]}'])
def test_a_claim_that_cannot_be_read_is_damaged(text: str, sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    (sweep.folder / "submissions" / "000.json").write_text(text)
    with pytest.raises(DamagedError, match=r"000\.json cannot be read: "):
        sweep.submissions()


def test_a_claim_by_a_newer_version_is_refused(sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    edit(sweep.folder / "submissions" / "000.json", schema=ledger.SCHEMA + 1, something="new")
    with pytest.raises(InputError, match=r"000\.json was written by a newer hpc-sweep"):
        sweep.submissions()


def test_submissions_are_counted_beyond_three_digits(sweep: Sweep, points: list[Point]) -> None:
    for number in (9, 100, 1000, 99):
        build.claim(sweep, [points], number=number)
    assert [s.number for s in sweep.submissions()] == [9, 99, 100, 1000]


def test_other_files_beside_the_claims_are_no_claims(sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    folder = sweep.folder / "submissions"
    for name in (".tmp-001.json-1-2", "001.json~", "notes.json", "000.runner"):
        (folder / name).write_text("{")
    assert [s.number for s in sweep.submissions()] == [0]


def test_a_submission_is_closed_once(sweep: Sweep, points: list[Point]) -> None:
    build.claim(sweep, [points])
    assert sweep.close(0, "max-fails", "5 of 4 failed")
    assert not sweep.close(0, "rejected", "later")
    assert sweep.submission(0).closed == {"why": "max-fails", "words": "5 of 4 failed"}


def test_cancelled_shards_add_up(sweep: Sweep, points: list[Point], monkeypatch: pytest.MonkeyPatch) -> None:
    build.claim(sweep, [[p] for p in points])
    build.claim(sweep, [points], number=1)
    sweep.cancel_shards(0, [1, 2], "lea")
    sweep.cancel_shards(0, [2, 3], "kim")
    monkeypatch.setattr(ledger, "_names", lambda folder: set())  # as one who looked before the other two wrote
    sweep.cancel_shards(0, [0], "max")
    monkeypatch.undo()
    assert sweep.submission(0).cancelled == {0, 1, 2, 3}
    assert sweep.submission(1).cancelled == frozenset()


# attempts


def test_attempts_in_the_order_of_their_numbers(sweep: Sweep) -> None:
    for submission, shard, restart in ((1, 0, 0), (0, 10, 1), (0, 10, 0), (0, 9, 2), (1000, 0, 0), (0, 9, 10)):
        build.attempt(sweep, shard, submission=submission, restart=restart)
    (sweep.folder / "attempts" / "notes.txt").write_text("{")
    labels = [a.label for a in sweep.attempts()]
    assert labels == ["000-9-2", "000-9-10", "000-10-0", "000-10-1", "001-0-0", "1000-0-0"]
    assert [a.label for a in sweep.attempts(0, 10)] == ["000-10-0", "000-10-1"]
    assert [a.label for a in sweep.attempts(1)] == ["001-0-0"]
    assert list(sweep.attempts(7)) == []


def test_the_same_shard_twice_at_once_is_two_attempts(sweep: Sweep) -> None:
    first, one = sweep.open_attempt(0, 3, 0)
    second, two = sweep.open_attempt(0, 3, 0)
    first.write("start", node="n1")
    second.write("start", node="n2")
    first.write("end", why="finished")
    for appender in (first, second):
        appender.close()
    assert (one, two) == ("000-3-0", "000-3-1")
    found = list(sweep.attempts(0, 3))
    assert [[e.get("node", "") for e in a.events] for a in found] == [["n1", ""], ["n2"]]
    assert sweep.attempt_path(found[1]).name == "000-3-1.jsonl"


def test_a_torn_attempt_is_read_but_for_its_last_line(sweep: Sweep, points: list[Point]) -> None:
    label = build.attempt(sweep, 0, build.begin(points[0]), build.done(sweep, points[0]), build.end())
    path = sweep.folder / "attempts" / f"{label}.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    (attempt,) = sweep.attempts()
    assert [e["event"] for e in attempt.events] == ["start", "begin", "done"]
    assert attempt.torn == 1


def test_lines_for_the_screen_are_left_out(sweep: Sweep, points: list[Point]) -> None:
    log = ("log", {"point": points[0].id, "step": 1, "loss": 0.5})
    build.attempt(sweep, 0, build.begin(points[0]), log, log, build.end())
    (attempt,) = sweep.attempts()
    assert [e["event"] for e in attempt.events] == ["start", "begin", "end"]


# the folder


def test_dumps_are_found_by_their_point(sweep: Sweep, points: list[Point]) -> None:
    _, told = build.done(sweep, points[0])
    path = sweep.dump_path(points[0].id)
    (path.parent / f"{files.TEMPORARY}{points[1].id}.h5-1-2").write_bytes(b"half")
    (path.parent / f"{files.TEMPORARY}x.h5").write_bytes(b"half")
    (path.parent / "notes.txt").write_bytes(b"")
    (sweep.dumps / ".DS_Store").write_bytes(b"a laptop leaves these")
    assert sweep.dump_sizes() == {points[0].id: (told["bytes"], told["mtime_ns"], str(path))}
    assert len(sweep.strays()) == 2


def test_a_dump_that_goes_away_meanwhile_is_not_there(
    sweep: Sweep, points: list[Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    build.done(sweep, points[0])
    real = os.scandir

    class Late:
        """A listing of which every file was moved aside since."""

        def __init__(self, folder: Path) -> None:
            self.entries = list(real(folder))
            for entry in self.entries:
                os.unlink(entry.path)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Late)
    assert sweep.dump_sizes() == {}


def test_a_sweep_can_be_moved_and_copied(sweep: Sweep, points: list[Point], tmp_path: Path) -> None:
    build.claim(sweep, [points[:2]], [points[2:]])
    build.finish(sweep, points[:2])
    sweep.close(0, "max-fails", "words")
    before = describe(sweep)
    copy = shutil.copytree(sweep.folder, tmp_path / "elsewhere" / sweep.name, copy_function=shutil.copy2)
    assert describe(Sweep(copy)) == before
    shutil.move(sweep.folder, tmp_path / "moved")
    moved = Sweep(tmp_path / "moved")
    assert describe(moved) == before
    for path in moved.folder.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path


def describe(sweep: Sweep) -> Any:
    """All that a sweep tells, but for where it lies."""
    sweep.check_unedited()
    sizes = {point: found[0] for point, found in sweep.dump_sizes().items()}
    claims = [(s.claim, s.jobs, s.closed) for s in sweep.submissions()]
    return sweep.header(), sweep.points(), claims, list(sweep.attempts()), sizes


def test_a_folder_knows_its_name(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sweep.folder)
    assert Sweep(Path(".")).name == "trial"
    monkeypatch.chdir(sweep.dump_path("3fa9").parent.parent.parent)
    assert Sweep(Path("../trial/")).name == "trial"


# finding a sweep


def make(root: Path, name: str, age: float) -> Path:
    """A sweep that was last submitted to so many seconds ago."""
    found = build.sweep(root, build.points(1), name)
    build.claim(found, [build.points(1)])
    then = 1_790_000_000 - age
    os.utime(found.folder / "submissions", (then, then))
    return found.folder


def test_the_newest_sweep_is_the_one_last_submitted_to(tmp_path: Path) -> None:
    root = tmp_path / "sweeps"
    old, new = make(tmp_path, "older", 100), make(tmp_path, "newer", 50)
    (root / "no_sweep").mkdir()
    (root / "a_file").write_text("")
    assert ledger.find(root, None).folder == new
    (new / "attempts").mkdir()  # that something runs there does not count
    os.utime(old / "submissions", (1_790_000_000, 1_790_000_000))
    assert ledger.find(root, None).folder == old


def test_a_sweep_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, folder = tmp_path / "sweeps", make(tmp_path, "older", 0)
    assert ledger.find(root, "older").folder == folder
    assert ledger.find(root, str(folder)).folder == folder
    monkeypatch.chdir(tmp_path)
    assert ledger.find(root, "sweeps/older/").name == "older"
    with pytest.raises(InputError, match="there is no sweep `other`") as caught:
        ledger.find(root, "other")
    assert caught.value.hint == "the sweeps there: older"
    with pytest.raises(InputError, match=r"there is no sweep `\.\./nowhere`"):
        ledger.find(root, "../nowhere")


@pytest.mark.parametrize("name", [None, "x"])
def test_where_there_is_no_sweep_yet(name: str | None, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError) as caught:
            ledger.find(root, name)
        assert caught.value.hint == "start one: hpc-sweep submit GRID"
