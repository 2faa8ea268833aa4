"""Results are whole or not there, the same from the same dumps, and leave out by name what is damaged."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpc_sweep import collect as collecting
from hpc_sweep import dump, files
from hpc_sweep.collect import Entry, Outcome, collect, load
from hpc_sweep.errors import DiskError
from hpc_sweep.job import Result

BOTH = {"hdf5", "csv"}


@pytest.fixture(params=["in memory", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small results are built in memory, large ones in a file."""
    if request.param == "streamed":
        monkeypatch.setattr(collecting, "_IN_MEMORY", 0)
    return str(request.param)


def point(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:12]


def packed(number: int, values: int = 300, **metrics: Any) -> bytes:
    """The dump of a point: an array, a history, and two metrics, one of them without a value."""
    draw = np.random.default_rng(number)
    result = Result({"mae": number / 8, **metrics}, {"prediction": draw.normal(size=values)}, {"corr": "constant"})
    history = {"loss": [(step, 1 / (number + step + 1)) for step in range(20)]}
    return dump.pack(
        id=point(number), job="selftest", config=config(number), code="c0de", result=result, history=history
    )


def config(number: int) -> dict[str, Any]:
    return {"seed": number, "model": "s2lif", "optimiser": {"lr": 7e-05, "on": True}, "layers": [1, 2], "cap": None}


def entry(folder: Path, number: int, data: bytes | None = None, told: bool = True) -> Entry:
    """A point whose dump lies there as a worker writes it; its attempt tells size and checksum."""
    data = packed(number) if data is None else data
    path, sha256, size, _ = dump.write(folder / "dumps", point(number), data)
    axes = {"seed": number}
    return Entry(point(number), config(number), axes, path, sha256 if told else None, size if told else None)


def some(folder: Path, count: int = 5) -> list[Entry]:
    return [entry(folder, number) for number in range(count)]


def run(entries: list[Entry], folder: Path, to: set[str] = BOTH, **more: Any) -> Outcome:
    return collect(entries, folder / "results", name="trial", expected=more.pop("expected", 5), to=to, **more)


# what is collected


def test_everything_that_the_dumps_hold_is_collected(tmp_path: Path, way: str) -> None:
    outcome = run(some(tmp_path), tmp_path)
    results = load(tmp_path / "results")

    assert (outcome.rows, outcome.damaged) == (5, [])
    assert (results.name, results.expected) == ("trial", 5)
    assert [row.id for row in results.rows] == [point(n) for n in range(5)]
    for number, row in enumerate(results.rows):
        assert row.config == config(number)
        assert row.axes == {"seed": number}
        assert row.metrics == {"mae": number / 8, "corr": None}
        assert row.missing == {"corr": "constant"}
        told = dump.read(packed(number), row.id)
        assert results.history(row.id) == told.history
        assert (results.arrays(row.id)["prediction"] == told.arrays["prediction"]).all()


def test_the_outcome_tells_what_was_written(tmp_path: Path, way: str) -> None:
    entries = some(tmp_path)
    outcome = run(entries, tmp_path)

    assert outcome.h5 == tmp_path / "results" / "results.h5"
    assert outcome.csv == tmp_path / "results" / "results.csv"
    assert outcome.sha256 == hashlib.sha256(outcome.h5.read_bytes()).hexdigest()
    assert outcome.read_bytes == sum(e.size or 0 for e in entries)
    assert outcome.columns == len(outcome.csv.read_text().splitlines()[0].split(",")) == 9
    assert sorted(os.listdir(tmp_path / "results")) == ["results.csv", "results.h5"]


def test_any_program_that_reads_hdf5_reads_the_results(tmp_path: Path, way: str) -> None:
    run(some(tmp_path), tmp_path, expected=600)
    with h5py.File(tmp_path / "results" / "results.h5", "r") as file:
        table = file["table"]
        assert table.shape == (5,)
        assert table["mae"].tolist() == [0.0, 0.125, 0.25, 0.375, 0.5]
        assert np.isnan(table["corr"]).all()
        assert table["seed"].tolist() == [0, 1, 2, 3, 4]
        assert table["optimiser.on"].dtype == bool
        assert table["model"][0].decode() == "s2lif"
        assert file.attrs["complete"].decode() == table.attrs["complete"].decode() == "5 of 600 points"
        assert (file.attrs["rows"], file.attrs["expected"], file.attrs["schema"]) == (5, 600, 1)
        group = file["points"][point(3)]
        assert group["prediction"].shape == (300,)
        assert group["history"][0].tolist() == (b"loss", 0, 0.25)
        assert b'"mae":0.375' in group.attrs["about"]


def test_the_csv_has_a_line_a_point(tmp_path: Path) -> None:
    outcome = run(some(tmp_path, 2), tmp_path, {"csv"})

    assert outcome.csv is not None
    assert outcome.csv.read_text() == (
        "id,seed,model,optimiser.lr,optimiser.on,layers,cap,corr,mae\n"
        f'{point(0)},0,s2lif,7e-05,true,"[1,2]",,,0.0\n'
        f'{point(1)},1,s2lif,7e-05,true,"[1,2]",,,0.125\n'
    )
    assert (outcome.h5, outcome.sha256) == (None, None)


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    run(some(tmp_path), tmp_path, {"hdf5"})

    assert os.listdir(tmp_path / "results") == ["results.h5"]


def test_a_sweep_without_a_finished_point_gives_empty_results(tmp_path: Path, way: str) -> None:
    outcome = run([], tmp_path)

    assert (outcome.rows, outcome.columns) == (0, 1)
    assert load(tmp_path / "results").rows == ()
    assert (tmp_path / "results" / "results.csv").read_text() == "id\n"


def test_metrics_may_differ_from_point_to_point(tmp_path: Path) -> None:
    entries = [entry(tmp_path, 0, packed(0, only_here=1.0)), entry(tmp_path, 1)]
    run(entries, tmp_path)

    assert load(tmp_path / "results").columns["only_here"] == [1.0, None]


def test_more_columns_than_a_table_describes_go_on_in_a_second(tmp_path: Path) -> None:
    metrics = {f"m{number:04d}": float(number) for number in range(1_300)}
    run([entry(tmp_path, 0, packed(0, **metrics))], tmp_path)
    with h5py.File(tmp_path / "results" / "results.h5", "r") as file:
        assert len(file["table"].dtype) == 1_000
        assert file["more/table-2"]["m1299"].tolist() == [1299.0]
    assert load(tmp_path / "results").rows[0].metrics["m1299"] == 1299.0


def test_progress_is_told_point_by_point(tmp_path: Path) -> None:
    entries = some(tmp_path)
    entries[2].path.unlink()
    told: list[tuple[int, int]] = []
    run(entries, tmp_path, progress=lambda done, total: told.append((done, total)))

    assert told == [(n, 5) for n in range(1, 6)]


# the same bytes


def test_the_same_dumps_give_the_same_bytes(tmp_path: Path, way: str) -> None:
    """Whenever and in whatever order they were written, and wherever they lie."""
    first = run(some(tmp_path / "a"), tmp_path / "a")
    for number in reversed(range(5)):
        entry(tmp_path / "b", number)
    second = run([entry(tmp_path / "b", n, told=False) for n in range(5)], tmp_path / "b")

    assert first.sha256 == second.sha256
    assert first.csv and second.csv
    assert first.csv.read_bytes() == second.csv.read_bytes()


def test_results_too_large_for_memory_have_the_same_bytes_as_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = some(tmp_path, 20)
    small = run(entries, tmp_path)
    monkeypatch.setattr(collecting, "_IN_MEMORY", 0)

    assert run(entries, tmp_path).sha256 == small.sha256


def test_how_many_are_read_at_once_does_not_show(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = some(tmp_path, 20)
    together = run(entries, tmp_path)
    monkeypatch.setattr(collecting, "_FILES_AT_ONCE", 3)

    assert run(entries, tmp_path).sha256 == together.sha256


def test_collecting_again_adds_nothing(tmp_path: Path, way: str) -> None:
    entries = some(tmp_path)
    once, twice = run(entries, tmp_path), run(entries, tmp_path)

    assert once == twice


def test_a_bigger_sweep_adds_what_is_new(tmp_path: Path, way: str) -> None:
    run(some(tmp_path, 3), tmp_path)
    bigger = run(some(tmp_path, 5), tmp_path)
    fresh = run(some(tmp_path / "fresh", 5), tmp_path / "fresh")

    assert bigger.sha256 == fresh.sha256


# damage


def test_a_damaged_dump_is_left_out_and_named(tmp_path: Path, way: str) -> None:
    entries = some(tmp_path)
    sizes = [entry.size or 0 for entry in entries]
    entries[0].path.write_bytes(b"")
    entries[1].path.write_bytes(packed(1)[:100])
    entries[2].path.write_bytes(packed(2)[:-1] + b"x")
    entries[3].path.write_bytes(packed(3) + b"\n")
    outcome = run(entries, tmp_path)

    assert outcome.damaged == [
        (point(0), "0 bytes"),
        (point(1), f"cut short: 100 of {sizes[1]:,} bytes"),
        (point(2), f"checksum differs ({sizes[2]:,} bytes, as written)"),
        (point(3), f"{sizes[3] + 1:,} bytes instead of {sizes[3]:,}"),
    ]
    assert [row.id for row in load(tmp_path / "results").rows] == [point(4)]


@pytest.mark.parametrize("what", ["missing", "a folder", "unreadable", "of another point"])
def test_a_dump_that_is_not_one_is_left_out_and_named(tmp_path: Path, what: str) -> None:
    entries = some(tmp_path, 3)
    path = entries[1].path
    path.unlink()
    expected = {
        "missing": "cannot be read: No such file or directory",
        "a folder": "is not a plain file",
        "unreadable": "cannot be read: Input/output error",
        "of another point": f"holds point {point(2)}, not {point(1)}",
    }[what]
    if what == "a folder":
        path.mkdir()
    if what == "of another point":
        path.write_bytes(packed(2))
        entries[1] = Entry(point(1), {}, {}, path, None, None)
    with pytest.MonkeyPatch.context() as patch:
        if what == "unreadable":
            path.write_bytes(packed(1))
            patch.setattr(files, "read_bytes", failing_read(path))
        outcome = run(entries, tmp_path)

    assert outcome.damaged == [(point(1), expected)]
    assert outcome.rows == 2


def failing_read(bad: Path) -> Callable[[Path], bytes]:
    real = files.read_bytes

    def read(path: Path) -> bytes:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    return read


def test_a_dump_whose_attempt_was_lost_is_collected_all_the_same(tmp_path: Path) -> None:
    outcome = run([entry(tmp_path, 0, told=False)], tmp_path)

    assert (outcome.rows, outcome.damaged) == (1, [])


# a disk that fails, and death


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


@pytest.mark.parametrize("call", ["open", "write", "pwrite", "fsync", "replace"])
def test_a_disk_that_fails_leaves_the_results_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, call: str
) -> None:
    if (way, call) == ("in memory", "pwrite"):
        call = "write"  # built in memory, it is written at once
    run(some(tmp_path, 3), tmp_path)
    before = kept(tmp_path)
    entries = some(tmp_path, 5)
    real, calls = getattr(os, call), [0]

    def fails(*args: Any, **more: Any) -> Any:
        for_results = call != "open" or "results" in str(args[0])
        calls[0] += for_results
        if for_results and calls[0] > (4 if call == "pwrite" else 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **more)

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(DiskError, match=r"results\.\w+: No space left on device \(ENOSPC\)") as caught:
        run(entries, tmp_path)
    monkeypatch.undo()

    assert caught.value.hint == "free some space, then run the same command again"
    assert kept(tmp_path).keys() == before.keys()
    assert kept(tmp_path)["results.csv"] == before["results.csv"]
    if (way, call) != ("streamed", "write"):
        assert kept(tmp_path) == before


_CHILD = """
import os, resource, signal, sys
from pathlib import Path
import test_collect as t
from hpc_sweep import collect as collecting
from hpc_sweep.errors import DiskError

folder, streamed, how = Path(sys.argv[1]), sys.argv[2] == "streamed", sys.argv[3]
if streamed:
    collecting._IN_MEMORY = 0
entries = [t.entry(folder, number) for number in range(5)]

def die(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

if how == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
try:
    t.run(entries, folder, progress=die if how == "killed" else None)
except DiskError as error:
    print(error.message)
"""


def child(folder: Path, way: str, how: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder), way, how], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": path}, timeout=60, check=False,
    )  # fmt: skip


def test_killed_while_it_collects_it_leaves_the_results_that_were_there(tmp_path: Path, way: str) -> None:
    run(some(tmp_path, 2), tmp_path)
    before = kept(tmp_path)

    assert child(tmp_path, way, "killed").returncode == -signal.SIGKILL
    after = kept(tmp_path)
    strays = {name for name in after if name.startswith(files.TEMPORARY)}
    assert {name: data for name, data in after.items() if name not in strays} == before
    assert len(strays) == (way == "streamed")
    assert run(some(tmp_path, 5), tmp_path).rows == 5


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path, way: str) -> None:
    """A process that may write no more: HDF5 by itself leaves a file that opens, and dies as the program ends."""
    run(some(tmp_path, 2), tmp_path)
    before = kept(tmp_path)

    done = child(tmp_path, way, "full")

    assert (done.returncode, done.stderr) == (0, "")
    assert "results.h5: File too large (EFBIG)" in done.stdout
    assert kept(tmp_path) == before


def test_interrupted_it_leaves_the_results_that_were_there(tmp_path: Path, way: str) -> None:
    run(some(tmp_path, 2), tmp_path)
    before = kept(tmp_path)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(some(tmp_path, 5), tmp_path, progress=interrupt)

    assert kept(tmp_path) == before


def test_interrupted_within_hdf5_it_is_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_IN_MEMORY", 0)
    real, calls = os.pwrite, [0]

    def interrupted(descriptor: int, data: bytes, at: int) -> int:
        calls[0] += 1
        if calls[0] == 9:
            raise KeyboardInterrupt
        return real(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(some(tmp_path, 5), tmp_path)

    assert list((tmp_path / "results").iterdir()) == []


def test_two_at_once_leave_one_whole_result(tmp_path: Path, way: str) -> None:
    entries = some(tmp_path, 5)
    alone = run(entries, tmp_path / "alone")
    told = []

    def second(done: int, total: int) -> None:
        if done == 3 and not told:
            told.append(done)
            assert run(entries, tmp_path).rows == 5

    assert run(entries, tmp_path, progress=second).sha256 == alone.sha256
    assert sorted(kept(tmp_path)) == ["results.csv", "results.h5"]
    assert hashlib.sha256(kept(tmp_path)["results.h5"]).hexdigest() == alone.sha256


_LARGE = """
import resource, sys
from pathlib import Path
import test_collect as t

folder = Path(sys.argv[1])
entries = [t.entry(folder, n, t.packed(n, values=500_000)) for n in range(40)]
print(sum(e.size for e in entries) // 1_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert t.run(entries, folder, expected=40).rows == 40
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1_000)
"""


def test_large_results_do_not_have_to_fit_into_memory(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path)], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    collected, grown = map(int, done.stdout.split())

    assert collected >= 160
    assert grown < 100


def test_what_was_written_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that loses what it took: the old results stay."""
    monkeypatch.setattr(collecting, "_IN_MEMORY", 0)
    run(some(tmp_path, 2), tmp_path)
    before = kept(tmp_path)
    real = os.pwrite

    def loses(descriptor: int, data: bytes, at: int) -> int:
        return real(descriptor, bytes(len(data)) if at > 4_000 else data, at)

    monkeypatch.setattr(os, "pwrite", loses)
    with pytest.raises(Exception, match="cannot be read|does not read the same"):
        run(some(tmp_path, 5), tmp_path)
    monkeypatch.undo()

    assert kept(tmp_path) == before


def test_the_limit_on_open_files_is_not_met(tmp_path: Path) -> None:
    entries = some(tmp_path, 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))
    try:
        assert run(entries, tmp_path).rows == 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
