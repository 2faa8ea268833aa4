"""A dump gives back what was packed, has the same bytes every time, and is refused when one byte is not its own."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hpc_sweep import dump, structure
from hpc_sweep.errors import DamagedError, DiskError
from hpc_sweep.job import History, Result

POINT = "3fa9c1d20b77"
TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?"]


def pack(
    metrics: dict[str, Any] | None = None,
    arrays: dict[str, Any] | None = None,
    missing: dict[str, str] | None = None,
    history: History | None = None,
    config: dict[str, Any] | None = None,
    id: str = POINT,
) -> bytes:
    result = Result(metrics or {}, arrays or {}, missing or {})
    return dump.pack(id=id, job="selftest", config=config or {}, code="c0de", result=result, history=history or {})


def read_back(array: Any) -> np.ndarray[Any, Any]:
    return dump.read(pack(arrays={"x": array}), POINT).arrays["x"]


def sized(size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(size).normal(size=size)


def refusal(data: bytes, id: str = POINT, **told: Any) -> str:
    with pytest.raises(DamagedError) as checked:
        dump.check(data, id, **told)
    with pytest.raises(DamagedError) as read:
        dump.read(data, id, **told)
    assert checked.value.message == read.value.message
    return checked.value.message


# what goes in comes out


def test_a_dump_gives_back_what_was_packed() -> None:
    history = {"train/loss": [(0, 1.5), (10, 0.25)], "valid/mae": [(10, 0.7)]}
    config = {"lr": 7e-05, "order": "t->v", "layers": [1, 2], "nested": {"ä": None, "on": True}}
    data = pack({"mae": 0.7, "f1": np.float32(0.5)}, {"x": sized(9)}, {"corr": "constant"}, history, config)

    found = dump.read(data, POINT)

    assert (found.id, found.job, found.code) == (POINT, "selftest", "c0de")
    assert found.config == config
    assert found.metrics == {"mae": 0.7, "f1": 0.5, "corr": None}
    assert found.missing == {"corr": "constant"}
    assert found.history == history
    assert (found.arrays["x"] == sized(9)).all()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (7, 5), (2_000, 3), (1, 2, 3, 4)], ids=str)
def test_every_type_comes_back_in_every_shape(kind: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 2, shape).astype(kind)

    found = read_back(array)

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert (found == array).all()


@pytest.mark.parametrize("words", [["a", "bc"], ["ä", "日本語", ""], [""], [["a"], ["b"]], [], ["x" * 999] * 9])
def test_text_comes_back_as_text(words: list[Any]) -> None:
    array = np.array(words, dtype=None if words else "U3")

    found = read_back(array)

    assert found.dtype.kind == "U"
    assert (found.shape, found.tolist()) == (array.shape, array.tolist())


def test_bytes_come_back_as_bytes() -> None:
    found = read_back(np.array([b"a", b"\xff\xfe", b""]))

    assert found.dtype == np.dtype("S2")
    assert found.tolist() == [b"a", b"\xff\xfe", b""]


@pytest.mark.parametrize("order", [">f8", ">i4", ">u2"])
def test_the_order_of_bytes_is_not_kept_and_the_numbers_are(order: str) -> None:
    found = read_back(np.arange(900, dtype=order))

    assert found.dtype == np.dtype(order).newbyteorder("<")
    assert (found == np.arange(900)).all()


def test_the_order_of_rows_and_columns_is_not_kept_and_the_numbers_are() -> None:
    array = np.asfortranarray(np.arange(6_000).reshape(60, 100))

    assert (read_back(array) == array).all()
    assert (read_back(array[::-2, ::3]) == array[::-2, ::3]).all()


def test_nan_and_infinity_in_an_array_are_kept() -> None:
    found = read_back(np.array([math.nan, math.inf, -math.inf, -0.0] * 100))

    assert found[:4].tobytes() == np.array([math.nan, math.inf, -math.inf, -0.0]).tobytes()


def test_a_scalar_of_numpy_is_an_array_without_axes() -> None:
    found = read_back(np.float32(2.5))

    assert (found.shape, found.dtype, float(found)) == ((), np.dtype("f4"), 2.5)


@pytest.mark.parametrize("count", [1, 8, 9, 500])
def test_there_may_be_many_arrays(count: int) -> None:
    """HDF5 would keep more than eight links elsewhere, where it trusts them too much."""
    arrays = {f"layer.{n}": np.full(3, n) for n in range(count)}
    found = dump.read(pack(arrays=arrays), POINT).arrays

    assert {name: array[0] for name, array in found.items()} == {f"layer.{n}": n for n in range(count)}


@given(arrays_of.arrays(st.sampled_from(TYPES), arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0)))
@settings(max_examples=60, deadline=None)
def test_any_array_comes_back_bit_by_bit(array: np.ndarray[Any, Any]) -> None:
    assert read_back(array).tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


names = st.from_regex(dump.METRIC_NAME, fullmatch=True).map(lambda name: name.rstrip("\n"))
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.dictionaries(names, numbers | st.none(), max_size=5),
    st.dictionaries(names, st.lists(st.tuples(st.integers(0, 2**40), numbers), min_size=1, max_size=9), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_any_metrics_and_history_come_back(metrics: dict[str, float | None], history: History) -> None:
    found = dump.read(pack(metrics, history=history), POINT)

    assert found.metrics == metrics
    assert found.history == history


# metrics


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_metric_without_a_finite_value_is_missing_with_a_reason(value: float) -> None:
    found = dump.read(pack({"mae": value}), POINT)

    assert found.metrics == {"mae": None}
    assert found.missing == {"mae": f"the value is {float(value)}"}


def test_a_metric_may_be_any_kind_of_number() -> None:
    metrics = {"a": 1, "b": np.int64(2), "c": np.float16(0.5), "d": True, "e": None, "f": np.array(3.0)}

    assert dump.read(pack(metrics), POINT).metrics == {"a": 1.0, "b": 2.0, "c": 0.5, "d": 1.0, "e": None, "f": 3.0}


@pytest.mark.parametrize(
    "value", ["0.5", b"1", [1], object(), 10**400, 1j, np.zeros(1)], ids=lambda v: type(v).__name__
)
def test_what_is_no_number_is_no_metric(value: Any) -> None:
    with pytest.raises(ValueError, match="metric `mae` is not a number"):
        pack({"mae": value})


def test_a_metric_cannot_have_both_a_value_and_a_reason_for_having_none() -> None:
    with pytest.raises(ValueError, match="`mae` has a value and a reason"):
        pack({"mae": 0.5}, missing={"mae": "constant"})


@pytest.mark.parametrize("name", ["", "1a", "a b", "ä", "a\n", "../x", "a" * 101, "a%b", "acc@1"])
def test_names_that_mlflow_would_not_take_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a metric"):
        pack({name: 1.0})
    with pytest.raises(ValueError, match="cannot name a metric"):
        pack(missing={name: "constant"})
    with pytest.raises(ValueError, match="cannot name a number"):
        pack(history={name: [(0, 1.0)]})


# what cannot be stored


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "1", "a b", "a\0", "x" * 101, "history"])
def test_names_that_would_mislead_hdf5_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot"):
        pack(arrays={name: np.arange(3)})


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, None], dtype=object),
        np.zeros(3, complex),
        np.zeros(3, "M8[s]"),
        np.zeros(3, [("a", "i4")]),
        np.zeros(3, "V4"),
        np.zeros(3, np.longdouble),
    ],
    ids=lambda array: str(array.dtype),
)
def test_types_that_would_not_come_back_are_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"array `x` has the type .* cannot be stored"):
        pack(arrays={"x": array})


@pytest.mark.parametrize("value", [[1, 2], 3.0, "text", None, np.ma.masked_array([1, 2], [True, False])])
def test_what_is_no_plain_array_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="give a plain numpy array"):
        pack(arrays={"x": value})


def test_more_than_the_limit_is_refused_before_it_is_written() -> None:
    huge = np.broadcast_to(np.zeros(1, "u1"), (dump.LIMIT + 1,))
    with pytest.raises(ValueError, match="too much for a dump"):
        dump._check_size({"x": huge})


def test_a_configuration_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="put long lists of numbers into an array"):
        pack(config={"words": "x" * structure.ABOUT_LIMIT})


def test_a_configuration_that_just_fits_is_kept() -> None:
    config = {"words": "x" * (structure.ABOUT_LIMIT - 300)}

    assert dump.read(pack(config=config), POINT).config == config


def test_nan_in_a_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        pack(config={"lr": math.nan})


# the same bytes


def test_equal_content_gives_equal_bytes_whatever_its_order() -> None:
    one = pack({"a": 1.0, "b": 2.0}, {"x": sized(999), "y": sized(3)}, history={"p": [(0, 1.0)], "q": [(0, 2.0)]})
    two = pack({"b": 2.0, "a": 1.0}, {"y": sized(3), "x": sized(999)}, history={"q": [(0, 2.0)], "p": [(0, 1.0)]})

    assert one == two


def test_another_process_gives_the_same_bytes() -> None:
    """No times, no addresses, no seed of hashing."""
    script = (
        "import hashlib; from test_dump import pack, sized; "
        "data = pack({'a': 1.0, 'b': 2.0}, {'x': sized(5000), 'y': sized(3)}, history={'p': [(0, 1.0)] * 999}); "
        "print(hashlib.sha256(data).hexdigest())"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    found = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }  # fmt: skip

    assert len(found) == 1


def test_any_change_of_content_changes_the_bytes() -> None:
    base = {"metrics": {"a": 1.0}, "arrays": {"x": np.arange(9)}, "history": {"l": [(0, 1.0)]}, "config": {"s": 1}}
    changes: list[dict[str, Any]] = [
        {"metrics": {"a": 1.0000000000000002}},
        {"arrays": {"x": np.arange(9, dtype="i4")}},
        {"arrays": {"y": np.arange(9)}},
        {"history": {"l": [(1, 1.0)]}},
        {"config": {"s": 1.0}},
        {"missing": {"b": "constant"}},
    ]
    packed = {pack(**(base | change)) for change in changes} | {pack(**base)}

    assert len(packed) == 1 + len(changes)


# size, and other readers


def test_small_dumps_are_small() -> None:
    assert len(pack({"mae": 0.5})) < 700
    assert len(pack({"mae": 0.5}, {"x": np.arange(10)}, history={"loss": [(0, 1.0)] * 10})) < 1_700


def test_what_compresses_is_compressed_and_what_does_not_is_not() -> None:
    zeros, noise = np.zeros(100_000), np.random.default_rng(0).integers(0, 256, 100_000, dtype="u1")

    assert len(pack(arrays={"x": zeros})) < 2_000
    assert 100_000 < len(pack(arrays={"x": noise})) < 101_000
    stored = structure.check(pack(arrays={"x": zeros, "y": noise}), POINT).arrays
    assert stored["x"].piece.filters == (2, 1, 3)
    assert stored["y"].piece.filters == (3,)


def test_any_program_that_reads_hdf5_reads_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "dump.h5"
    words = np.array(["ä", "b"])
    arrays = {"x": sized(5_000), "small": np.arange(3), "words": words}
    path.write_bytes(pack({"mae": 0.5}, arrays, history={"l": [(3, 0.5)]}))
    with h5py.File(path, "r") as file:
        point = file["point"]
        assert (point["x"][()] == sized(5_000)).all()
        assert point["x"].fletcher32
        assert point["small"][()].tolist() == [0, 1, 2]
        assert point["words"].asstr()[()].tolist() == ["ä", "b"]
        assert point["history"][()].tolist() == [(b"l", 3, 0.5)]
        assert b'"mae":0.5' in point.attrs["about"]
        assert point.attrs["schema"] == 1


def test_reading_needs_no_hdf5() -> None:
    """Not even loaded: no parser in C sees what a stranger wrote, and a look costs no import."""
    script = (
        "import sys; from pathlib import Path; from hpc_sweep import dump; "
        f"dump.read(sys.stdin.buffer.read(), {POINT!r}); assert 'h5py' not in sys.modules"
    )
    data = pack({"mae": 0.5}, {"x": sized(5_000)}, history={"l": [(3, 0.5)]})
    subprocess.run([sys.executable, "-c", script], input=data, check=True)


# damage


def test_the_words_for_damage_say_what_is_wrong() -> None:
    data = pack({"mae": 0.5}, {"x": sized(5_000)})
    size, sha256 = len(data), hashlib.sha256(data).hexdigest()
    flipped = data[:999] + bytes([data[999] ^ 1]) + data[1000:]

    assert refusal(b"") == refusal(b"", sha256=sha256, size=size) == "0 bytes"
    assert refusal(data[:812], sha256=sha256, size=size) == f"cut short: 812 of {size:,} bytes"
    assert refusal(data + b"xx", sha256=sha256, size=size) == f"{size + 2:,} bytes instead of {size:,}"
    assert refusal(flipped, sha256=sha256, size=size) == f"checksum differs ({size:,} bytes, as written)"
    assert refusal(flipped, sha256=sha256) == f"checksum differs ({size:,} bytes)"
    assert refusal(flipped) == f"checksum differs ({size:,} bytes)"
    assert refusal(data[:-1]).startswith(f"cut short, or not a dump: {size - 1:,} bytes")


def test_a_dump_of_another_point_is_refused() -> None:
    data = pack({"mae": 0.5})

    assert refusal(data, "000000000000") == f"holds point {POINT}, not 000000000000"
    told = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert refusal(data, "000000000000", **told) == f"holds point {POINT}, not 000000000000"


def test_no_byte_can_change_unseen() -> None:
    """Every byte, where the attempt's line was lost and only the dump itself can tell."""
    data = pack({"mae": 0.5}, {"x": np.arange(9)}, history={"l": [(3, 0.5)]})
    for at in range(len(data)):
        with pytest.raises(DamagedError):
            dump.check(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :], POINT)


def test_no_byte_can_be_missing_unseen() -> None:
    data = pack({"mae": 0.5}, {"x": np.arange(9)}, history={"l": [(3, 0.5)]})
    for end in range(len(data)):
        with pytest.raises(DamagedError):
            dump.check(data[:end], POINT)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for given_bytes in (data, structure.seal(data, POINT), structure.seal(b"\x89HDF\r\n\x1a\n" + data, POINT)):
        with pytest.raises(DamagedError):
            dump.read(given_bytes, POINT)


def test_content_is_checked_where_the_line_of_the_attempt_was_lost() -> None:
    """An image that is whole, but whose numbers are not those that were packed."""
    data = pack({"mae": 0.5}, {"x": np.arange(9)})
    other = data[: data.rindex(b"\nhpc-sweep")].replace(np.arange(9).tobytes(), np.arange(1, 10).tobytes())
    sealed = structure.seal(other, POINT)

    with pytest.raises(DamagedError, match="its content does not match its own checksum"):
        dump.read(sealed, POINT)
    told = {"sha256": hashlib.sha256(sealed).hexdigest(), "size": len(sealed)}
    assert dump.read(sealed, POINT, **told).arrays["x"].tolist() == list(range(1, 10))


# on the disk


def test_a_dump_lies_in_a_folder_of_its_first_letters(tmp_path: Path) -> None:
    data = pack({"mae": 0.5})
    path, sha256, size, changed = dump.write(tmp_path, POINT, data)

    assert path == dump.path_of(tmp_path, POINT) == tmp_path / "3f" / f"{POINT}.h5"
    assert path.read_bytes() == data
    assert (sha256, size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert changed == path.stat().st_mtime_ns
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_a_second_dump_takes_the_place_of_the_first(tmp_path: Path) -> None:
    dump.write(tmp_path, POINT, pack({"mae": 0.5}))
    path, *_ = dump.write(tmp_path, POINT, pack({"mae": 0.25}))

    assert dump.read(path.read_bytes(), POINT).metrics == {"mae": 0.25}


@pytest.mark.parametrize("fault", ["write", "fsync", "replace"])
def test_a_disk_that_fails_leaves_the_dump_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path, *_ = dump.write(tmp_path, POINT, pack({"mae": 0.5}))
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fault, full)
    with pytest.raises(DiskError, match="ENOSPC"):
        dump.write(tmp_path, POINT, pack({"mae": 0.25}))
    monkeypatch.undo()

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("id", ["", "3F", "../../etc", "3fa9c1d20b77/x", "3fa9\n", "x" * 12, "3" * 65])
def test_what_is_no_id_names_no_file(tmp_path: Path, id: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a point"):
        dump.path_of(tmp_path, id)
