"""The story of one point, read back from a sweep folder that workers wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import screen_samples as samples
from hpc_sweep import files, logview
from hpc_sweep.errors import InputError
from hpc_sweep.ledger import Sweep
from hpc_sweep.status import PointStatus, Status

ID = "3fa9c1d20b77"
OTHER = "77aa00000000"


def write(sweep: Sweep, restart: int, events: list[tuple[str, dict[str, Any]]]) -> str:
    """An attempt of the shard that holds both points."""
    appender, label = sweep.open_attempt(0, 0, restart)
    for name, fields in events:
        appender.write(name, **fields)
    appender.close()
    return label


START = ("start", {"job": "12_0", "node": "n3", "log": "logs/12_0_log.out", "time": 1.0})


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    found = Sweep(tmp_path / "sweeps" / "demo")
    files.make_folder(found.logs)
    return found


def status(sweep: Sweep, attempt: str, state: str = "failed", kind: str = "oom") -> Status:
    base = samples.status()
    claim = replace(
        base.submissions[0].claim, arrays=(replace(base.submissions[0].claim.arrays[0], shards=((ID, OTHER),)),)
    )
    points = [replace(p, id=i) for i, p in zip((ID, OTHER), (s.point for s in base.points), strict=False)]
    found = [
        PointStatus(points[0], state, kind, "CUDA out of memory", attempt, 2, 664.0, "n3", 0, 0),
        PointStatus(points[1], "done", attempt=attempt, tries=1, submission=0, shard=0),
    ]
    return replace(base, sweep=sweep, points=found, submissions=[replace(base.submissions[0], claim=claim)])


def test_the_story_of_a_failed_point(sweep: Sweep) -> None:
    first = write(sweep, 0, [START, ("begin", {"point": ID}), ("end", {"why": "requeue", "cause": "preempted"})])
    last = write(
        sweep,
        1,
        [
            START,
            ("begin", {"point": OTHER}),
            ("log", {"point": OTHER, "step": 0, "loss": 9.0}),
            ("done", {"point": OTHER, "seconds": 3.0}),
            ("begin", {"point": ID, "at": 4}),
            ("log", {"point": ID, "step": 0, "loss": 1.5, "mae": 0.5}),
            ("log", {"point": ID, "progress": [1, 40]}),
            ("checkpoint", {"point": ID, "step": 1}),
            ("log", {"point": ID, "step": 1, "loss": 1.25, "progress": [2, 40]}),
            ("failed", {"point": ID, "kind": "oom", "words": "w", "host_mb": 21913, "where": ["mart.py:211  x"],
                        "trace": ["a", "mart.py:211  x"]}),
            ("end", {"why": "finished"}),
        ],
    )  # fmt: skip
    view = logview.log_view(status(sweep, last), "3fa9")
    assert (view.id, view.state, view.kind, view.attempt, view.tries) == (ID, "failed", "oom", "000-0-1", 2)
    assert view.curve == [(0, {"loss": 1.5, "mae": 0.5}), (1, {"loss": 1.25})]
    assert (view.done, view.total, view.checkpoint) == (2, 40, 1)
    assert (view.host_mb, view.gpu_mb, view.seconds, view.node) == (21913, None, 664.0, "n3")
    assert view.trace == ["mart.py:211  x"]
    assert view.log == sweep.folder / "logs/12_0_log.out"
    assert view.earlier == [(first, "preempted")]
    assert view.sweep == "demo"
    assert not view.live


def test_a_point_that_never_began(sweep: Sweep) -> None:
    view = logview.log_view(status(sweep, "", "waiting", ""), ID)
    assert (view.curve, view.log, view.earlier, view.tail) == ([], None, [], [])
    assert view.live


def test_a_sweep_that_lies_elsewhere_is_named_by_its_path(tmp_path: Path) -> None:
    view = logview.log_view(status(Sweep(tmp_path / "copy"), "", "waiting", ""), ID)
    assert view.sweep == str(tmp_path / "copy")


def test_an_unknown_point_is_an_input_error(sweep: Sweep) -> None:
    with pytest.raises(InputError, match="no point `ffff`"):
        logview.log_view(status(sweep, ""), "ffff")


def crashed(sweep: Sweep, log: str, at: int | None, until: int | None = None) -> logview.LogView:
    """A point that died without a word of its own, and its log."""
    (sweep.logs / "12_0_log.out").write_text(log)
    failed = {"point": ID, "kind": "crash", "words": "killed by SIGSEGV", **({"until": until} if until else {})}
    label = write(sweep, 0, [START, ("begin", {"point": ID, "at": at}), ("failed", failed)])
    return logview.log_view(status(sweep, label, kind="crash"), ID)


def test_the_end_of_the_log_speaks_for_a_point_that_could_not(sweep: Sweep) -> None:
    before = "output of the point before\n"
    assert crashed(sweep, before + "one\n\ntwo\nSegmentation fault\n", len(before)).tail == [
        "one",
        "two",
        "Segmentation fault",
    ]


def test_what_a_later_point_wrote_is_not_its_end(sweep: Sweep) -> None:
    assert crashed(sweep, "mine\nlater\n", None, 5).tail == ["mine"]


def test_a_long_log_is_not_read_whole(sweep: Sweep) -> None:
    tail = crashed(sweep, "x" * 1_000_000 + "\n" + "".join(f"line {i}\n" for i in range(100)), 0).tail
    assert tail == [f"line {i}" for i in range(88, 100)]


@pytest.mark.parametrize("trouble", ["missing", "link", "folder", "binary"])
def test_a_log_that_cannot_be_read_is_no_trouble(sweep: Sweep, trouble: str, tmp_path: Path) -> None:
    path = sweep.logs / "12_0_log.out"
    if trouble == "link":
        (tmp_path / "secret").write_text("not yours\n")
        path.symlink_to(tmp_path / "secret")
    elif trouble == "folder":
        path.mkdir()
    elif trouble == "binary":
        path.write_bytes(b"\xff\xfe\n")
    label = write(sweep, 0, [START, ("begin", {"point": ID})])
    assert logview.log_view(status(sweep, label), ID).tail == (["\ufffd\ufffd"] if trouble == "binary" else [])


def test_a_torn_line_is_left_out(sweep: Sweep) -> None:
    label = write(sweep, 0, [START, ("begin", {"point": ID}), ("log", {"point": ID, "step": 3, "loss": 1.0})])
    with (sweep.folder / "attempts" / f"{label}.jsonl").open("ab") as file:
        file.write(b'{"event":"log","point":"3fa9c1')
    assert logview.log_view(status(sweep, label), ID).curve == [(3, {"loss": 1.0})]


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ([("done", {"point": ID}), ("failed", {"point": OTHER, "kind": "nan"})], "done"),
        ([("failed", {"point": ID, "kind": "nan"}), ("end", {"why": "cancelled"})], "nan"),
        ([("end", {"why": "cancelled", "words": "cancelled while it ran"})], "cancelled"),
        ([("failed", {"point": ID, "kind": "nan"}), ("end", {"why": "finished"})], "nan"),
        ([("end", {"why": "requeue", "cause": "timeout"})], "timeout"),
        ([], "no word"),
    ],
)
def test_how_an_earlier_attempt_ended(sweep: Sweep, events: list[tuple[str, dict[str, Any]]], ended: str) -> None:
    write(sweep, 0, [START, ("begin", {"point": ID}), *events])
    label = write(sweep, 1, [START, ("begin", {"point": ID})])
    assert logview.log_view(status(sweep, label), ID).earlier == [("000-0-0", ended)]
