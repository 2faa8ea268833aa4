"""Importing: one child a file, with a limit; what it says comes back, and what it dies of becomes a sentence."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import foreign_files
from affect import files
from affect.data import importing, store
from affect.data.importing import FORMATS, Report
from affect.data.store import Mending
from affect.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return foreign_files.write(tmp_path / "aligned_50.pkl", foreign_files.mmsa(width=4))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "datasets" / "mosi.h5"


def refused(format: str, source: Path, out: Path, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        importing.run(format, source, out, **more)
    assert not out.parent.exists() or not list(out.parent.iterdir()), "nothing is left behind"
    return str(caught.value)


def test_a_file_becomes_a_dataset(source: Path, out: Path) -> None:
    report = importing.run("mmsa", source, out, name="mosi")
    found = store.open_dataset(out)
    found.verify()
    assert isinstance(report, Report) and report.path == out and report.name == found.name == "mosi"
    assert report.counts == {"train": 6, "valid": 3, "test": 4} and len(found) == 13
    assert report.lines == tuple(found.describe()) and report.notes == ()
    assert report.sha256 == files.sha256(out) and (report.dropped, report.zeroed) == (0, 0)
    assert 0 < report.seconds < 60 and 0.01 < report.peak_gb < 1
    assert report.limit_gb == pytest.approx(2 + 1.5 * source.stat().st_size / 1e9)
    assert found.about["sources"] == [
        {"file": "aligned_50.pkl", "bytes": source.stat().st_size, "sha256": files.sha256(source)}
    ]
    assert list(out.parent.iterdir()) == [out]


def test_the_name_is_the_files_unless_another_is_given(source: Path, out: Path) -> None:
    assert importing.run("mmsa", source, out).name == "aligned_50"


def test_the_same_file_gives_the_same_bytes_and_takes_the_place_of_the_last(source: Path, out: Path) -> None:
    first = importing.run("mmsa", source, out).sha256
    assert importing.run("mmsa", source, out).sha256 == first
    assert importing.run("mmsa", source, out, name="other").sha256 != first


def test_a_source_may_be_named_from_where_one_stands(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    (source.parent / "h5py.py").write_text("raise SystemExit('a file that lies here is no library')")
    assert importing.run("mmsa", Path(source.name), out).counts["train"] == 6


def test_files_of_mult_too(tmp_path: Path, out: Path) -> None:
    source = foreign_files.write(tmp_path / "mosei.pkl", foreign_files.mult("mosei"))
    report = importing.run("mult", source, out)
    assert "The file has no texts." in report.notes and report.counts["test"] == 4


# what was dropped, and what became 0


def faulty(tmp_path: Path) -> Path:
    data = foreign_files.mmsa(width=4)
    data["train"]["regression_labels"][3] = 9
    data["train"]["raw_text"][3] = None
    data["test"]["raw_text"][0] = 1.5
    data["valid"]["audio"][0, 0] = -np.inf
    return foreign_files.write(tmp_path / "faulty.pkl", data)


def test_what_is_asked_for_is_counted(tmp_path: Path, out: Path) -> None:
    report = importing.run("mmsa", faulty(tmp_path), out, mending=Mending(drop=True, zero=True))
    assert (report.dropped, report.zeroed) == (2, 5) and report.counts == {"train": 5, "valid": 3, "test": 3}
    assert any("dropped" in line for line in report.lines)


def test_what_is_not_asked_for_is_refused_in_the_readers_own_words(tmp_path: Path, out: Path) -> None:
    source = faulty(tmp_path)
    told = refused("mmsa", source, out)
    assert told.startswith("faulty: 3 of 13 samples do not fit\n") and f"{source}, train, index 3" in told
    source.write_bytes(b"")
    assert refused("mmsa", source, out) == f"{source} is empty or was cut short; fetch the file again"


def test_faces_that_were_made_elsewhere_come_along(source: Path, out: Path, tmp_path: Path) -> None:
    importing.run("mmsa", source, out)
    ids = store.open_dataset(out).ids
    (tmp_path / "faces").mkdir()
    for name in ids[:5]:
        np.save(tmp_path / "faces" / f"{name}.npy", np.ones((3, 512), np.float32))
    report = importing.run("mmsa", source, out, faces=tmp_path / "faces")
    assert store.open_dataset(out).frames["faces"].lengths.tolist() == [3] * 5 + [0] * (len(ids) - 5)
    assert any("samples have no features in faces" in note for note in report.notes)


def test_faces_that_are_not_there(source: Path, out: Path, tmp_path: Path) -> None:
    assert refused("mmsa", source, out, faces=tmp_path / "none.h5") == f"there is no {tmp_path / 'none.h5'}"


def test_a_file_that_is_refused_leaves_the_last_one_alone(source: Path, out: Path) -> None:
    importing.run("mmsa", source, out)
    before = out.read_bytes()
    source.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no pickle"):
        importing.run("mmsa", source, out)
    assert out.read_bytes() == before and list(out.parent.iterdir()) == [out]


# formats and options


def test_formats_that_there_are_not(source: Path, out: Path) -> None:
    told = refused("mmsa2", source, out)
    assert told.startswith("there is no format `mmsa2`; there are mmsa, mult, csd, meld, ")


def test_sources_that_are_not_there(tmp_path: Path, out: Path) -> None:
    assert refused("mmsa", tmp_path / "none.pkl", out) == f"there is no {tmp_path / 'none.pkl'}"
    assert "cannot be read" in refused("mmsa", tmp_path, out)


def test_options_go_to_the_reader(tmp_path: Path, out: Path, source: Path) -> None:
    old = source.read_bytes().replace(b"\x8c\x08raw_text", b"U\x08raw_text")  # as Python 2 writes texts
    old = old.replace(b"\x8c\x10words of train 0", b"U\x10words of train \xe9")
    source.write_bytes(old.replace(b"\x80\x04\x95", b"\x80\x02\x95", 1))
    assert 'read it with `encoding: "latin1"`' in refused("mmsa", source, out)
    importing.run("mmsa", source, out, options={"encoding": "latin1"})
    text = store.open_dataset(out).text
    assert text and text.text(0) == "words of train é"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colour": 1}, "the format `mmsa` has no option `colour`; it has encoding"),
        ({"source": "x"}, "the format `mmsa` has no option `source`; it has encoding"),
        ({"encoding": "utf-8"}, "option `encoding` of the format `mmsa` is 'utf-8', not ASCII, latin1"),
        ({"encoding": True}, "option `encoding` of the format `mmsa` is True, not ASCII, latin1"),
    ],
)
def test_options_that_the_reader_does_not_take(options: dict[str, Any], told: str, source: Path, out: Path) -> None:
    assert refused("mmsa", source, out, options=options) == told


def reader(source: Path, count: int = 1, rate: float = 1, deep: bool = False, way: Literal["a", 2] = "a", most: int | None = None) -> None:  # fmt: skip
    """Of the kinds of option that readers have."""


def plain(source: Path) -> None:
    """Without options."""


FITS = [("count", 3), ("rate", 3), ("rate", 0.5), ("deep", True), ("way", 2), ("most", 7)]
FITS_NOT = [
    ("count", True, "int"), ("count", 1.5, "int"), ("rate", "x", "float"), ("rate", True, "float"), ("deep", 1, "bool"),
    ("way", "b", "a, 2"), ("most", "x", "int | None"),
]  # fmt: skip


def test_options_of_every_kind() -> None:
    for key, value in FITS:
        assert importing._checked("x", reader, {key: value}) == {key: value}
    for key, value, kind in FITS_NOT:
        with pytest.raises(DataError, match=rf"option `{key}` .* is {value!r}, not {kind.replace('|', '.')}"):
            importing._checked("x", reader, {key: value})
    with pytest.raises(DataError, match="has no option `a`; it has none"):
        importing._checked("x", plain, {"a": 1})


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_its_reader(format: str) -> None:
    module, _, function = FORMATS[format].partition(":")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not written yet")
    found = importing._reader(format)
    assert found.__name__ == function and found.__doc__
    assert importing._checked(format, found, {}) == {}


# memory, and deaths


def test_a_limit_that_is_too_small_says_so(tmp_path: Path, out: Path) -> None:
    data = {**foreign_files.mmsa(width=4), "config": np.zeros(20_000_000)}
    source = foreign_files.write(tmp_path / "big.pkl", data)
    told = refused("mmsa", source, out, memory_gb=0.1)
    expected = (
        f"{source} needs more than the 0.1 GB of memory allowed (`memory_gb` sets it); or it is damaged or hostile"
    )
    assert told == expected
    report = importing.run("mmsa", source, out, memory_gb=1.2)
    assert report.limit_gb == 1.2 and 0.16 < report.peak_gb < 0.16 * 1.3 + 0.15


def test_a_folder_has_a_limit_of_its_own(tmp_path: Path) -> None:
    assert importing._limit(tmp_path, None) == 4_000_000_000
    assert importing._limit(tmp_path, 0.5) == 500_000_000


def with_library(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does something else than what it should, in the child alone."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "h5py.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_a_death_is_told(signal: str, source: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_library(f"import os, signal; os.kill(os.getpid(), signal.{signal})", tmp_path, monkeypatch)
    told = refused("mmsa", source, out)
    assert told.startswith(f"{source}: the process that read it died of {signal}, with 2.0 GB of memory allowed")
    assert "`memory_gb` sets it" in told and "damaged or hostile" in told


def test_what_nobody_foresaw_comes_with_its_place(
    source: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_library("raise KeyError('a fault of ours')", tmp_path, monkeypatch)
    told = refused("mmsa", source, out)
    assert (
        told.startswith(f"{source}: the reader `mmsa` did not foresee this:\n")
        and "KeyError: 'a fault of ours'" in told
    )


def test_what_a_library_prints_is_no_answer(
    source: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        f"import sys; print('{{}}'); sys.path.remove({str(tmp_path / 'lib')!r}); del sys.modules['h5py']; import h5py"
    )
    with_library(text, tmp_path, monkeypatch)
    assert importing.run("mmsa", source, out).counts["train"] == 6


def test_who_asks_loads_nothing_and_keeps_its_memory(source: Path, out: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from affect.data import importing;"
        "importing.run('mmsa', Path(sys.argv[1]), Path(sys.argv[2]));"
        "print([m for m in ('h5py', 'torch', 'scipy', 'affect.data.mmsa', 'pickle') if m in sys.modules],"
        "resource.getrlimit(resource.RLIMIT_AS) == tuple(map(int, sys.argv[3:])))"
    )
    limits = map(str, resource.getrlimit(resource.RLIMIT_AS))
    command = [sys.executable, "-c", code, str(source), str(out), *limits]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    loaded, _, kept = told.stdout.strip().rpartition(" ")
    assert kept == "True" and loaded in ("[]", "['pickle']")  # numpy itself has pickle
