"""CSV files: either encoding, characters that were read wrong, and everything that is no CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect.data import plain
from affect.data.tables import Table, columns, put_right, read_table
from affect.errors import DataError


def table(tmp_path: Path, data: bytes | str) -> Table:
    path = tmp_path / "t.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(path)


def test_rows_have_the_numbers_of_a_spreadsheet(tmp_path: Path) -> None:
    found = table(tmp_path, 'a,b\n\n"1,\n2",3\nx,"say ""hi"""\n')
    assert found.rows == [(1, ["a", "b"]), (3, ["1,\n2", "3"]), (4, ["x", 'say "hi"'])]
    assert found.notes == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(end: str, tmp_path: Path) -> None:
    assert table(tmp_path, end.join(["a,b", "1,2", ""])).rows == [(1, ["a", "b"]), (2, ["1", "2"])]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert table(tmp_path, b"\xef\xbb\xbfa,b\n").rows == [(1, ["a", "b"])]


def test_what_is_no_utf8_is_read_as_cp1252_and_told(tmp_path: Path) -> None:
    found = table(tmp_path, b"a\nfine\nit\x92s \x85 caf\xe9\n")
    assert found.rows[2] == (3, ["it’s … café"])
    assert found.notes == ["t.csv: line 3 is no UTF-8, so the file was read as cp1252."]


def test_cp1252_that_was_read_as_latin1_is_put_right_and_counted(tmp_path: Path) -> None:
    found = table(tmp_path, "a\nit\x92s a \x93word\x94, café\n")
    assert found.rows[1] == (2, ["it’s a “word”", " café"])
    assert found.notes == ["t.csv: 3 characters of cp1252 that were read as Latin-1 were put right."]


@pytest.mark.parametrize(
    ("text", "meant"), [("\x80\x9f", "€Ÿ"), ("plain", "plain"), ("’ é \xa0", "’ é \xa0"), ("\x81\x8d", "\x81\x8d")]
)
def test_put_right(text: str, meant: str) -> None:
    assert put_right(text) == (meant, sum(a != b for a, b in zip(text, meant, strict=True)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a\0b", "holds zero bytes"),
        (b"a\n\x81\n", "neither UTF-8 (line 2) nor cp1252"),
        (b'a,b\n1,"open\n2,3\n', "t.csv row 2 cannot be read as CSV"),
        (b'a,b\n"1"x,2\n', "t.csv row 2 cannot be read as CSV"),
        (b"a" * 200_000, "row 1 cannot be read as CSV: field larger than"),
    ],
)
def test_what_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        table(tmp_path, data)
    assert words in str(caught.value) and str(tmp_path / "t.csv") in str(caught.value)


def test_a_file_that_is_far_too_large_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MOST_BYTES", 5)
    with pytest.raises(DataError, match="larger than 5 bytes"):
        table(tmp_path, "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no\.csv cannot be read: No such file"):
        read_table(tmp_path / "no.csv")


def test_columns_by_name_in_any_order(tmp_path: Path) -> None:
    found = table(tmp_path, "b, a ,c\n1,2,3\n")
    assert columns(found, ["a", "b"]) == {"b": 0, "a": 1, "c": 2}
    assert found.rows == [(2, ["1", "2", "3"])]


@pytest.mark.parametrize(
    ("data", "words"),
    [("", "is empty"), ("a,c\n", "has no column `b`; its first row is 'a,c'"), ("a,b,a\n", "two columns of one name")],
)
def test_columns_that_are_not_there(data: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="t.csv") as caught:
        columns(table(tmp_path, data), ["a", "b"])
    assert words in str(caught.value)
