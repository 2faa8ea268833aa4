"""Rows are exact, tables are for every program, and a `results.h5` that somebody changed is not believed."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import test_collect as collected
from hpc_sweep import results
from hpc_sweep.errors import DamagedError, InputError
from hpc_sweep.results import Row, columns, csv_text, load, records

POINT = "3fa9c1d20b77"


def row(
    config: dict[str, Any] | None = None,
    metrics: dict[str, float | None] | None = None,
    axes: dict[str, Any] | None = None,
    id: str = POINT,
) -> Row:
    return Row(id, axes or {}, config or {}, metrics or {}, {})


def cells(value: Any) -> str:
    """What one value becomes in CSV."""
    return csv_text({"id": [POINT], "x": [value]}).split("\n")[1].split(",", 1)[1]


# columns


def test_columns_are_id_axes_configuration_metrics() -> None:
    table = columns([row({"lr": 0.1, "seed": 1, "model": "s2lif"}, {"mae": 0.5}, {"seed": 1})])

    assert table == {"id": [POINT], "seed": [1], "lr": [0.1], "model": ["s2lif"], "mae": [0.5]}
    assert list(table) == ["id", "seed", "lr", "model", "mae"]


def test_a_nested_configuration_is_laid_flat() -> None:
    table = columns([row({"optimiser": {"lr": 0.1, "more": {"beta": 0.9}}, "none": {}})])

    assert table == {"id": [POINT], "optimiser.lr": [0.1], "optimiser.more.beta": [0.9], "none": [{}]}


def test_an_axis_within_a_nested_configuration_is_one_column() -> None:
    table = columns([row({"optimiser": {"lr": 0.1}}, axes={"optimiser.lr": 0.1})])

    assert table == {"id": [POINT], "optimiser.lr": [0.1]}


def test_a_metric_called_like_a_setting_has_a_column_of_its_own() -> None:
    table = columns([row({"id": 7, "loss": "l1"}, {"loss": 0.5, "id": 1.0})])

    assert table == {"id": [POINT], "loss": ["l1"], "metric.loss": [0.5], "metric.id": [1.0]}


def test_what_a_row_lacks_is_none() -> None:
    table = columns([row({"a": 1}, {"x": 1.0}), row({"b": 2}, {"y": 2.0})])

    assert table == {"id": [POINT] * 2, "a": [1, None], "b": [None, 2], "x": [1.0, None], "y": [None, 2.0]}


# CSV


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=", "-"])
def test_text_that_a_spreadsheet_would_run_gets_a_quote(text: str) -> None:
    assert next(csv.reader(io.StringIO(cells(text)))) == [f"'{text}"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-1, "-1"),
        (-0.5, "-0.5"),
        (1e-05, "1e-05"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.0, "1.0"),
        (2**70, str(2**70)),
        (True, "true"),
        (None, ""),
        ("t->v", "t->v"),
        ("", ""),
        ("ä", "ä"),
        ([1, "a"], '"[1,""a""]"'),
        ({}, "{}"),
        ('say "a, b"', '"say ""a, b"""'),
    ],
)
def test_values_are_written_so_that_they_come_back(value: Any, cell: str) -> None:
    assert cells(value) == cell


def test_a_name_that_a_spreadsheet_would_run_gets_a_quote() -> None:
    assert csv_text({"id": [], "=x": []}) == "id,'=x\n"


@given(st.lists(st.floats(allow_nan=False) | st.integers() | st.text() | st.none() | st.booleans(), min_size=1))
def test_any_csv_can_be_read_again(values: list[Any]) -> None:
    text = csv_text({"id": [POINT] * len(values), "x": values})
    read = list(csv.reader(io.StringIO(text, newline="")))

    assert len(read) == 1 + len(values)
    for (_, cell), value in zip(read[1:], values, strict=True):
        if type(value) is float:
            assert float(cell) == value
        assert not (isinstance(value, str) and cell[:1] in ("=", "+", "-", "@"))


# the table in HDF5


@pytest.mark.parametrize(
    ("column", "kind", "read"),
    [
        ([1, 2], "i", [1, 2]),
        ([1, None], "f", [1.0, math.nan]),
        ([1, 2.5], "f", [1.0, 2.5]),
        ([None, None], "f", [math.nan, math.nan]),
        ([2**63, 1], "f", [float(2**63), 1.0]),
        ([True, False], "b", [True, False]),
        ([True, None], "S", [b"true", b""]),
        (["ä", None], "S", ["ä".encode(), b""]),
        ([1, "a"], "S", [b"1", b"a"]),
        ([[1], {}], "S", [b"[1]", b"{}"]),
        (["", ""], "S", [b"", b""]),
    ],
)
def test_a_field_has_the_narrowest_type_that_loses_nothing(column: list[Any], kind: str, read: list[Any]) -> None:
    field = records({"x": column})["x"]

    assert field.dtype.kind == kind
    assert np.array_equal(field, np.array(read), equal_nan=kind == "f")


def test_fields_are_called_like_columns() -> None:
    array = records({"id": [POINT], "test/mae": [0.5], "optimiser.lr": [0.1]})

    assert array.dtype.names == ("id", "test/mae", "optimiser.lr")


# reading again


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    collected.run(collected.some(tmp_path), tmp_path)
    found = load(tmp_path / "results")

    assert found.columns["optimiser.lr"] == [7e-05] * 5
    assert found.columns["cap"] == [None] * 5
    assert [type(value) for value in found.columns["seed"]] == [int] * 5
    assert found == load(tmp_path / "results")


def test_reading_results_needs_no_hdf5(tmp_path: Path) -> None:
    collected.run(collected.some(tmp_path), tmp_path)
    script = (
        "import sys; from pathlib import Path; from hpc_sweep import results; found = results.load(Path(sys.argv[1])); "
        "print(len(found.history(found.rows[1].id)['loss']), len(found.arrays(found.rows[1].id)['prediction'])); "
        "assert 'h5py' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "results")], capture_output=True, text=True, check=True
    )

    assert done.stdout == "20 300\n"


def test_a_point_that_is_not_there_is_named(tmp_path: Path) -> None:
    collected.run(collected.some(tmp_path), tmp_path)
    found = load(tmp_path / "results")
    for id in ("000000000000", "../x", ""):
        with pytest.raises(InputError, match="holds no point"):
            found.history(id)
        with pytest.raises(InputError, match="holds no point"):
            found.arrays(id)


def test_a_point_without_history_or_arrays_has_none(tmp_path: Path) -> None:
    from hpc_sweep import dump
    from hpc_sweep.job import Result

    bare = dump.pack(id=collected.point(0), job="s", config={}, code="c", result=Result({"mae": 1.0}), history={})
    collected.run([collected.entry(tmp_path, 0, bare)], tmp_path)
    found = load(tmp_path / "results")

    assert found.history(found.rows[0].id) == {}
    assert found.arrays(found.rows[0].id) == {}


def test_nothing_collected_yet_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was collected yet") as caught:
        load(tmp_path)

    assert caught.value.hint == "collect first: hpc-sweep collect"


# what somebody changed


def change(folder: Path, how: Callable[[h5py.File], object]) -> Path:
    collected.run(collected.some(folder), folder)
    path = folder / "results" / "results.h5"
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        how(file)
    return path


def rows_elsewhere(file: h5py.File) -> None:
    del file["rows"]
    file["rows"] = h5py.ExternalLink("/etc/passwd.h5", "/x")


def rows_of_objects(file: h5py.File) -> None:
    del file["rows"]
    file.create_dataset("rows", data=["a"], dtype=h5py.string_dtype())


def rows_gone(file: h5py.File) -> None:
    del file["rows"]


def rows_huge(file: h5py.File) -> None:
    del file["rows"]
    file.create_dataset("rows", (10**13,), "u1", chunks=(1 << 20,), compression="gzip")


@pytest.mark.parametrize("how", [rows_elsewhere, rows_of_objects, rows_gone, rows_huge])
def test_results_that_were_changed_are_refused(tmp_path: Path, how: Callable[[h5py.File], object]) -> None:
    path = change(tmp_path, how)
    with pytest.raises(DamagedError, match=r"results.h5 cannot be read") as caught:
        load(path.parent)

    assert caught.value.hint == "collect again: hpc-sweep collect"


def test_a_history_that_was_put_elsewhere_is_refused(tmp_path: Path) -> None:
    id = collected.point(1)

    def elsewhere(file: h5py.File) -> None:
        del file["points"][id]["history"]
        file["points"][id]["history"] = h5py.ExternalLink("/etc/passwd.h5", "/x")

    found = load(change(tmp_path, elsewhere).parent)
    with pytest.raises(DamagedError, match=r"refers to another file \(external link `history`\)"):
        found.history(id)
    assert found.history(collected.point(2))


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n", b"x" * 9_999])
def test_what_is_no_hdf5_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "results.h5").write_bytes(data)
    with pytest.raises(DamagedError, match="cannot be read"):
        load(tmp_path)


def test_results_of_a_newer_program_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "SCHEMA", 2)
    collected.run(collected.some(tmp_path), tmp_path)
    monkeypatch.undo()
    with pytest.raises(InputError, match="was written by a newer hpc-sweep"):
        load(tmp_path / "results")


def test_no_byte_that_matters_can_change_unseen_by_the_check(tmp_path: Path) -> None:
    """Truncated anywhere, results are refused or give what they gave; nothing else is ever raised."""
    collected.run(collected.some(tmp_path, 2), tmp_path, {"hdf5"})
    path = tmp_path / "results" / "results.h5"
    data = path.read_bytes()
    whole = load(path.parent)
    for end in range(0, len(data), 97):
        path.write_bytes(data[:end])
        try:
            cut = load(path.parent)
            cut.check()
        except DamagedError:
            continue
        assert cut.rows == whole.rows
