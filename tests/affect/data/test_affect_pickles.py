"""Pickles and `.npz` files: what is data comes back as it was, at every protocol; the rest is in tests/attacks."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign_files
from affect.data import pickles
from affect.errors import DataError

DRAW = np.random.default_rng(3)
PROTOCOLS = range(6)
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "float64": DRAW.normal(size=(7, 3)),
    "float32": DRAW.normal(size=(2, 3, 4)).astype("f4"),
    "float16": np.array([1, -np.inf, np.nan], "f2"),
    "int64": np.arange(5),
    "bool": np.array([True, False]),
    "uint8": np.arange(300).astype("u1"),
    "big endian": np.arange(3, dtype=">f8"),
    "letters": np.array(["video$_$1", "é", "\N{PILE OF POO}"]),
    "letters of the other end": np.array(["é", "abc"], ">U3"),
    "empty letters": np.array(["", ""]),
    "bytes": np.array([b"03bSnISJMiM", b"\xff"]),
    "columns first": np.asfortranarray(DRAW.normal(size=(20, 3))),
    "letters, columns first": np.asfortranarray([["ab", "c"], ["x", "yyy"]]),
    "axes turned": DRAW.normal(size=(2, 3, 4)).transpose(1, 2, 0),
    "a part": DRAW.normal(size=(6, 6))[::2, 1::2],
    "nothing": np.zeros((0, 3)),
    "no axes": np.array(2.5),
    "objects": np.array(["a text", None, 3, [1.5]], object),
}
VALUES: dict[str, Any] = {
    "scalar": np.float32(1.5),
    "text scalar": np.str_("words"),
    "empty text scalar": np.str_(""),
    "truth": np.bool_(True),
    "plain": {"a": [1, -(2**70), 2.5, None, True, "é", b"\xff\x00"], "b": (1, (2,)), "c": ()},
    "a set": {"Ses01F_impro01", "Ses01M_impro02"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_at_every_protocol(name: str, protocol: int, tmp_path: Path) -> None:
    array = ARRAYS[name]
    found = pickles.load(foreign_files.write(tmp_path / "x.pkl", {"a": array}, protocol))["a"]
    np.testing.assert_array_equal(found, array)
    assert isinstance(found, np.ndarray) and found.shape == array.shape
    assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_at_every_protocol(name: str, protocol: int, tmp_path: Path) -> None:
    value = VALUES[name]
    found = pickles.load(foreign_files.write(tmp_path / "x.pkl", value, protocol))
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dictionaries_become_plain_ones(protocol: int, tmp_path: Path) -> None:
    data = collections.OrderedDict([("b", 1), ("a", [2])])
    found = pickles.load(foreign_files.write(tmp_path / "x.pkl", data, protocol))
    assert type(found) is dict and list(found.items()) == [("b", 1), ("a", [2])]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_whole_mmsa_file_comes_back(protocol: int, tmp_path: Path) -> None:
    data = foreign_files.mmsa()
    found = pickles.load(foreign_files.write(tmp_path / "aligned_50.pkl", data, protocol))
    assert list(found) == list(data)
    for split, part in data.items():
        assert list(found[split]) == list(part)
        for key, value in part.items():
            np.testing.assert_array_equal(found[split][key], value)
            assert found[split][key].dtype == value.dtype


def test_names_of_numpy_1_are_known_too(tmp_path: Path) -> None:
    path = foreign_files.write(tmp_path / "x.pkl", {"a": np.arange(3.0), "b": np.float64(2)}, 2)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert pickles.load(path)["a"].tolist() == [0, 1, 2] and pickles.load(path)["b"] == 2


def test_large_arrays_are_not_copied(tmp_path: Path) -> None:
    found = pickles.load(foreign_files.write(tmp_path / "x.pkl", np.arange(100_000.0)))
    assert not found.flags.owndata, "the array is the bytes that were read"


# Python 2: texts are bytes, `set` is a name, and arrays have their bytes as a text

TEXT_OF_PYTHON_2 = b"U\x02\xc3\xa9."
SET_OF_PYTHON_2 = b"\x80\x02c__builtin__\nset\n]q\x00(U\x01aU\x01be\x85R."
ARRAY_OF_PYTHON_2 = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
    b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10"
    + np.array([1.5, -2.25]).tobytes()
    + b"tb."
)


def test_pickles_of_python_2(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(ARRAY_OF_PYTHON_2)
    assert pickles.load(path, encoding="latin1").tolist() == [1.5, -2.25]
    path.write_bytes(SET_OF_PYTHON_2)
    assert pickles.load(path) == {"a", "b"}
    path.write_bytes(TEXT_OF_PYTHON_2)
    assert pickles.load(path, encoding="latin1") == "Ã©"
    with pytest.raises(DataError, match=r"x.pkl is a pickle of Python 2: read it with `encoding: \"latin1\"`"):
        pickles.load(path)


def test_an_encoding_that_is_none_of_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="encoding `utf-8` is none of ASCII, latin1"):
        pickles.load(tmp_path / "x.pkl", encoding="utf-8")


# files that are none

BROKEN = [
    (b"", "x.pkl is empty or was cut short"),
    (b"\x80\x04", "x.pkl is empty or was cut short"),
    (b"train,valid,test\n1,2,3\n", "x.pkl is no pickle, or was cut short"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "x.pkl is no pickle, or was cut short"),
    (b"PK\x03\x04" + bytes(30), "x.pkl is no pickle, or was cut short"),
    (b"\x80\x09N.", "x.pkl is no pickle, or was cut short: unsupported pickle protocol: 9"),
    (b"X\x02\x00\x00\x00\xff\xff.", "x.pkl is damaged"),
    (b"h\x07.", "x.pkl is no pickle"),
    (bytes(range(256)), "x.pkl is no pickle"),
]


@pytest.mark.parametrize(("data", "told"), BROKEN, ids=range(len(BROKEN)))
def test_files_that_are_no_pickles(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(DataError, match=told):
        pickles.load(tmp_path / "x.pkl")


def test_files_that_are_not_there_or_no_files(tmp_path: Path) -> None:
    for read in (pickles.load, pickles.load_npz_objects):
        with pytest.raises(DataError, match=r"there is no .*none\.pkl"):
            read(tmp_path / "none.pkl")
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path)


# .npz

LABELS = {"train_corpus": {"a": {"emo": 1, "val": 2.5}}, "val_corpus": {}, "test_corpus": {"c": {"emo": 0, "val": -10}}}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_with_objects(save: Any, tmp_path: Path) -> None:
    numbers = np.asfortranarray(DRAW.normal(size=(3, 2)))
    texts = np.array(["a", "bc"])
    save(tmp_path / "label.npz", numbers=numbers, texts=texts, bad=np.arange(3, dtype=">i4"), **LABELS)
    found = pickles.load_npz_objects(tmp_path / "label.npz")
    assert {name: found[name].item() for name in LABELS} == LABELS
    np.testing.assert_array_equal(found["numbers"], numbers)
    assert found["texts"].tolist() == ["a", "bc"] and found["bad"].tolist() == [0, 1, 2]


def test_an_npz_file_with_object_arrays_of_axes(tmp_path: Path) -> None:
    values = np.array([["a", 1], [None, 2.5]], object)
    np.savez(tmp_path / "x.npz", x=values)
    np.testing.assert_array_equal(pickles.load_npz_objects(tmp_path / "x.npz")["x"], values)


@pytest.mark.parametrize("end", [0, 1, 30, 100, 200, -40, -1])
def test_npz_files_that_were_cut_short(end: int, tmp_path: Path) -> None:
    path = tmp_path / "label.npz"
    np.savez(path, **LABELS)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(DataError, match=r"label\.npz"):
        pickles.load_npz_objects(path)


def test_a_flipped_byte_in_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(1000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="CRC"):
        pickles.load_npz_objects(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = foreign_files.write(tmp_path / "x.pkl", 1)
    path.chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        pickles.load(path)
