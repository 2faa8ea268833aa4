"""A reader sees a whole file or none, whatever the disk does; a torn tail costs one line; nothing leaves its folder."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_sweep import files
from hpc_sweep.errors import SURROUNDINGS, DiskError, InputError

ERRORS = ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE"]
CALLS = ["open", "write", "fsync", "replace"]
Write = Callable[[Path, bytes], None]


class Faulty:
    """One function of `os` that fails from its n-th call on; `short` lets the first of them take so many bytes."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, *, nth: int = 1, short: int = 0
    ) -> None:
        self.real: Any = getattr(os, name)
        self.number, self.left, self.short, self.calls = number, nth - 1, short, 0
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.left:
            self.left -= 1
            return self.real(*args, **kwargs)
        if self.short:
            taken, self.short = self.short, 0
            return self.real(args[0], bytes(args[1])[:taken])
        raise OSError(self.number, os.strerror(self.number))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# writing whole files


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("call", CALLS)
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    call: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    files.write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        fault = Faulty(patch, call, getattr(errno, name))
        with pytest.raises(DiskError) as caught:
            files.write_atomic(path, b"new")
    assert fault.calls
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x.json"]
    said(caught.value, name, path)


def said(error: DiskError, name: str, path: Path) -> None:
    assert error.exit_code == SURROUNDINGS
    assert f"({name})" in error.message
    assert str(path) in error.message
    assert os.strerror(getattr(errno, name)) in error.message
    assert error.hint


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_a_failing_disk_makes_no_new_file(
    call: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Faulty(patch, call, getattr(errno, name))
        with pytest.raises(DiskError) as caught:
            files.write_new(tmp_path / "000.json", b"claim")
    assert names(tmp_path) == []
    said(caught.value, name, tmp_path / "000.json")


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def tell(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "write"):
        monkeypatch.setattr(os, name, tell(name))
    files.write_atomic(tmp_path / "x", b"text")
    assert done == ["write", "fsync", "replace", "fsync"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    files.write_atomic(tmp_path / "x", b"0123456789")
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_a_temporary_that_stays_hides_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Faulty(patch, "unlink", errno.EIO)
        files.write_new(tmp_path / "000.json", b"claim")  # it is written: nobody must think otherwise
    assert (tmp_path / "000.json").read_bytes() == b"claim"
    assert [n for n in names(tmp_path) if not n.startswith(files.TEMPORARY)] == ["000.json"]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Faulty(monkeypatch, "fsync", errno.EINVAL, nth=2)
    files.write_atomic(tmp_path / "x", b"text")
    assert (tmp_path / "x").read_bytes() == b"text"


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "a", b"")
    files.write_new(tmp_path / "b", b"")
    files.Appender(tmp_path / "c").close()
    with files.growing(tmp_path / "d"):
        pass
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}


def test_write_atomic_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    files.write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert not (tmp_path / "x").is_symlink()


def test_write_new_writes_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "x", b"new")
    assert names(tmp_path) == ["x"]


def _race(folder: Path, racer: int, races: int, barrier: Any, won: Any) -> None:
    for race in range(races):
        barrier.wait()
        try:
            files.write_new(folder / f"{race:03d}", b"%d" % racer)
        except FileExistsError:
            continue
        won.put((race, racer))


def test_a_race_has_one_winner(tmp_path: Path) -> None:
    racers, races = 4, 20
    fork = multiprocessing.get_context("fork")
    barrier, won = fork.Barrier(racers), fork.Queue()
    processes = [fork.Process(target=_race, args=(tmp_path, k, races, barrier, won)) for k in range(racers)]
    for process in processes:
        process.start()
    winners = dict(won.get(timeout=30) for _ in range(races))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert won.empty()
    assert {race: int((tmp_path / f"{race:03d}").read_bytes()) for race in range(races)} == winners
    assert names(tmp_path) == [f"{race:03d}" for race in range(races)]


# files that grow while a library writes them


def test_a_growing_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.h5"
    with files.growing(path) as file:
        assert file.write(b"0123456789") == 10
        file.seek(2)
        file.write(b"__")
        buffer = bytearray(4)
        file.seek(-4, os.SEEK_END)
        assert (file.readinto(buffer), bytes(buffer), file.tell()) == (4, b"6789", 10)
        file.truncate(8)
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"01__4567"
    assert names(tmp_path) == ["results.h5"]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("call", ["pwrite", "ftruncate", "fsync", "replace"])
def test_a_growing_file_that_fails_says_so_at_its_end(
    call: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.h5"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        Faulty(patch, call, getattr(errno, name))
        with pytest.raises(DiskError) as caught, files.growing(path) as file:
            assert file.write(b"abc") == 3  # HDF5 must not hear of it
            file.truncate(2)
            assert file.write(b"def") == 3
    said(caught.value, name, path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["results.h5"]


def test_a_growing_file_is_given_up_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(KeyError), files.growing(tmp_path / "results.h5") as file:
        file.write(b"half")
        raise KeyError("x")
    assert names(tmp_path) == []


# folders


def test_a_file_where_a_folder_is_needed_is_said(tmp_path: Path) -> None:
    (tmp_path / "sweeps").write_bytes(b"")
    with pytest.raises(DiskError, match=r"sweeps: Not a directory \(ENOTDIR\)"):
        files.make_folder(tmp_path / "sweeps")
    with pytest.raises(DiskError, match="ENOTDIR"):
        files.make_folder(tmp_path / "sweeps" / "x")


def test_make_folder_leaves_a_folder_as_it_is(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "logs", mode=0o700)
    files.make_folder(tmp_path / "logs", mode=0o777)
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_a_folder_is_synced_with_all_it_holds_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / ".tmp-step"
    (partial / "deep").mkdir(parents=True)
    (partial / "a").write_text("a")
    (partial / "deep" / "b").write_text("b")
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path))

    monkeypatch.setattr(os, "fsync", sync)
    files.commit_folder(partial, tmp_path / "step-1")
    assert sorted(synced[:-1]) == [".tmp-step", ".tmp-step/a", ".tmp-step/deep", ".tmp-step/deep/b"]
    assert synced[-1] == "."
    assert (tmp_path / "step-1/deep/b").read_text() == "b"


@pytest.mark.parametrize("call", ["open", "fsync", "rename"])
def test_a_folder_that_cannot_be_committed_stays_partial(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".tmp-step").mkdir()
    (tmp_path / ".tmp-step" / "a").write_text("a")
    with monkeypatch.context() as patch:
        Faulty(patch, call, errno.ENOSPC)
        with pytest.raises(DiskError, match="ENOSPC"):
            files.commit_folder(tmp_path / ".tmp-step", tmp_path / "step-1")
    assert names(tmp_path) == [".tmp-step"]


def test_a_folder_goes_at_once_and_with_all_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "step-1" / "deep").mkdir(parents=True)
    (tmp_path / "step-1" / "deep" / "b").write_text("b")
    with monkeypatch.context() as patch:
        Faulty(patch, "unlink", errno.EIO)  # as one that is killed on the way
        files.remove_folder(tmp_path / "step-1")
    assert not (tmp_path / "step-1").exists()  # no reader takes the rest for the whole
    assert all(name.startswith(files.TEMPORARY) for name in names(tmp_path))
    (tmp_path / "step-2").mkdir()
    files.remove_folder(tmp_path / "step-2")
    files.remove_folder(tmp_path / "absent")
    assert "step-2" not in names(tmp_path)


# reading


def test_reading_follows_no_link_and_waits_on_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="link is a link"):
        files.read_bytes(tmp_path / "link")
    with pytest.raises(InputError, match="not a plain file"):
        files.read_bytes(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a plain file"):
        files.read_bytes(tmp_path)
    with pytest.raises(InputError, match="not a plain file"):
        files.read_bytes(Path("/dev/zero"))
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "absent")


def test_reading_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "x", limit=5) == b"12345"
    with pytest.raises(InputError, match="5 bytes; at most 4 are read"):
        files.read_bytes(tmp_path / "x", limit=4)


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, count: real(descriptor, min(3, count)))
    assert files.read_bytes(tmp_path / "x") == b"0123456789"


@pytest.mark.parametrize("becomes", [b"0123456789 and more", b"01234", b""])
def test_a_file_that_changes_while_it_is_read_is_read_as_far_as_it_goes(
    becomes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    real = os.read

    def read(descriptor: int, count: int) -> bytes:
        path.write_bytes(becomes)  # after its size was looked up
        return real(descriptor, count)

    monkeypatch.setattr(os, "read", read)
    assert becomes.startswith(files.read_bytes(path))
    assert len(files.read_bytes(path)) >= min(10, len(becomes))


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_files_of_any_size_are_read_whole(size: int, tmp_path: Path) -> None:
    data = bytes(k % 251 for k in range(size))
    (tmp_path / "x").write_bytes(data)
    assert files.read_bytes(tmp_path / "x") == data


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "größe", "list": [1, 2.5, None, True], "at": {"a": "\u2028"}}
    files.write_atomic(tmp_path / "x.json", files.json_bytes(value))
    assert files.read_json(tmp_path / "x.json") == value
    with pytest.raises(ValueError, match="JSON compliant"):
        files.json_bytes({"loss": float("nan")})


# lines of events


def test_a_file_of_events_has_one_writer(tmp_path: Path) -> None:
    first = files.Appender(tmp_path / "a.jsonl")
    with pytest.raises(FileExistsError):
        files.Appender(tmp_path / "a.jsonl")
    first.close()
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.Appender(tmp_path / "b.jsonl")
    assert not (tmp_path / "elsewhere").exists()


def test_events_come_back_without_those_skipped(tmp_path: Path) -> None:
    appender = files.Appender(tmp_path / "a.jsonl")
    appender.write("begin", point="3fa9")
    appender.write("log", step=1, loss=0.5)
    appender.write("logged", note="this is another word")
    appender.write("failed", words="zwei\nZeilen ü \u2028 \udc80")
    appender.close()
    data = (tmp_path / "a.jsonl").read_bytes()
    events, torn = files.read_events(data, skip=b"log")
    assert [e["event"] for e in events] == ["begin", "logged", "failed"]
    assert events[-1]["words"] == "zwei\nZeilen ü \u2028 \udc80"
    assert torn == 0
    assert len(files.read_events(data)[0]) == 4


def test_an_event_says_no_nan(tmp_path: Path) -> None:
    appender = files.Appender(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="JSON compliant"):
        appender.write("log", loss=float("inf"))
    appender.write("end")
    appender.close()
    assert files.read_events((tmp_path / "a.jsonl").read_bytes()) == ([{"event": "end"}], 0)


def test_a_file_cut_anywhere_loses_its_last_line_alone(tmp_path: Path) -> None:
    appender = files.Appender(tmp_path / "a.jsonl")
    for number in range(4):
        appender.write("done", point=f"p{number}", words='a "quoted" {brace}', seconds=number / 3, more=[{"é": None}])
    appender.close()
    data = (tmp_path / "a.jsonl").read_bytes()
    whole, _ = files.read_events(data)
    ends = [k for k, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        events, torn = files.read_events(data[:cut])
        complete = sum(end <= cut for end in ends)  # the newline itself may be missing
        assert events == whole[:complete], cut
        assert torn == (0 if cut == 0 or data[cut - 1 : cut] == b"\n" or cut in ends else 1), cut


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_stop_the_reader(data: bytes) -> None:
    events, torn = files.read_events(data, skip=b"log")
    assert all(isinstance(e["event"], str) for e in events)
    assert len(events) + torn <= data.count(b"\n") + 1


@pytest.mark.parametrize(
    "line", [b"[]", b"3", b'"event"', b'{"event":3}', b'{"other":"begin"}', b"\0" * 50, b"\xff\xfe", b"[" * 100_000]
)
def test_a_line_that_is_no_event_is_counted_as_torn(line: bytes) -> None:
    events, torn = files.read_events(b'{"event":"begin"}\n' + line + b'\n{"event":"end"}\n')
    assert [e["event"] for e in events] == ["begin", "end"]
    assert torn == 1


@pytest.mark.parametrize("short", [0, 1, 9, 20])
def test_a_line_that_a_full_disk_cut_short_spoils_no_other(
    short: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    appender = files.Appender(path)
    appender.write("begin", point="3fa9")
    with monkeypatch.context() as patch:
        Faulty(patch, "write", errno.ENOSPC, short=short)
        with pytest.raises(DiskError, match=r"a\.jsonl.*ENOSPC"):
            appender.write("done", point="3fa9", bytes=123)
    appender.write("end", why="disk")
    appender.write("end", why="again")
    appender.close()
    events, torn = files.read_events(path.read_bytes())
    assert [e["event"] for e in events] == ["begin", "end", "end"]
    assert torn == bool(short)


# names and texts


def test_inside_is_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "root" / "deep").mkdir(parents=True)
    root = tmp_path / "root"
    assert files.inside(root, "a/b.h5") == root / "a/b.h5"
    assert files.inside(root, "deep/../a") == root / "deep/../a"
    assert files.inside(root, "~") == root / "~"


@pytest.mark.parametrize(
    "name", ["..", "../x", "a/../../x", "/etc/passwd", "", ".", "a/..", "out/x", "out", "deep/up/x", "loop", "a\0b"]
)
def test_what_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "deep" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    with pytest.raises(InputError):
        files.inside(root, name)


def test_inside_of_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    assert files.inside(tmp_path / "linked", "x") == tmp_path / "real" / "x"


def test_canonical_text_has_one_spelling() -> None:
    one = {"b": [1, 2.0, None, True], "a": {"y": "ü\u2028\n", "x": 1e-4}}
    other = {"a": {"x": 0.0001, "y": "ü\u2028\n"}, "b": [1, 2.0, None, True]}
    assert files.canonical(one) == files.canonical(other)
    assert files.canonical(one) == '{"a":{"x":0.0001,"y":"ü\u2028\\n"},"b":[1,2.0,null,true]}'
    assert files.canonical(1) != files.canonical(1.0) != files.canonical(True)
    with pytest.raises(ValueError, match="JSON compliant"):
        files.canonical({"lr": float("nan")})


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None)
@given(values)
def test_canonical_text_reads_back_and_is_one_line(value: Any) -> None:
    text = files.canonical(value)
    assert json.loads(text) == value
    assert files.canonical(json.loads(text)) == text
    assert "\n" not in text


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=6), st.randoms())
def test_canonical_text_knows_no_order_of_keys(value: dict[str, int], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert files.canonical({k: value[k] for k in keys}) == files.canonical(value)


# what is said of an error


def test_an_error_without_a_number_is_said_too(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"x: the tape is full \(error\)"), files.disk(tmp_path / "x"):
        raise OSError("the tape is full")


def test_real_exhaustion_of_descriptors(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    caught = None
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        files.write_atomic(tmp_path / "x", b"text")
    except DiskError as error:
        caught = error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caught is not None
    said(caught, "EMFILE", tmp_path / "x")


def test_a_real_full_disk_is_named() -> None:
    with pytest.raises(DiskError, match="ENOSPC"), files.disk(Path("/dev/full")):
        descriptor = os.open("/dev/full", os.O_WRONLY)
        try:
            os.write(descriptor, b"x")
        finally:
            os.close(descriptor)
