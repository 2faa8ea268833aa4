"""Text of foreign datasets: its encoding, names that could lead elsewhere, and the split that is made of a hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect.data import plain
from affect.data.plain import hold_out, numbered, read_text, safe_name, scan, whole_number
from affect.errors import DataError


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""), ("é “x”".encode(), "é “x”"), ("é".encode("utf-8-sig"), "é"), ("é ’".encode("cp1252"), "é ’"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"), (b"a\xe2\x80\xa8b\x0cc", "a\u2028b\x0cc"),
    ],
)  # fmt: skip
def test_each_encoding_and_each_end_of_line(data: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert read_text(tmp_path / "a.txt") == text


@pytest.mark.parametrize(
    ("data", "told"), [("ab".encode("utf-16"), "zero bytes"), (b"a\x81\xff", "neither UTF-8 .line 1. nor cp1252")]
)
def test_what_is_no_text(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(DataError, match=told):
        read_text(tmp_path / "a.txt")


def test_a_file_that_is_not_there_a_folder_and_one_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"b\.txt cannot be read: No such file"):
        read_text(tmp_path / "b.txt")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_text(tmp_path)
    monkeypatch.setattr(plain, "MOST_BYTES", 3)
    (tmp_path / "a.txt").write_bytes(b"abc")
    assert read_text(tmp_path / "a.txt") == "abc"
    (tmp_path / "a.txt").write_bytes(b"abcd")
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_text(tmp_path / "a.txt")


def test_lines_keep_their_numbers_when_empty_ones_go(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one \n\n  \n two\x0b2\n")
    assert numbered(tmp_path / "a.txt") == [(1, "one"), (4, "two\x0b2")]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/etc", "a\nb", "a\0", "a\\b", "\x7f", "\ud800", "a\tb"]
)
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt line 3: .* is no name of a file"):
        safe_name(name, "list.txt line 3")


@pytest.mark.parametrize("name", ["a", "...", "a b", "Grief,LossandC.S.Lewis", "KnifeScare_TrustTest#2", "é", "..a"])
def test_names_as_the_lists_have_them(name: str) -> None:
    assert safe_name(name, "x") == name


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("007", 7), ("0", 0), ("", None), ("-1", None), ("1.0", None), ("٣", None), ("9" * 5000, None)],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_a_folder_is_listed_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b", "._b", "a", ".DS_Store"):
        (tmp_path / name).touch()
    assert scan(tmp_path) == ["a", "b"]
    assert scan(tmp_path / "none") == [] and scan(tmp_path / "a") == []


def held(splits: list[str], units: list[str], kinds: list[str]) -> set[int]:
    return {i for i, split in enumerate(hold_out(splits, units, kinds)) if split == "valid"}


def test_one_in_ten_of_the_training_units_and_none_of_the_test() -> None:
    units = [f"v{i}" for i in range(2000)]
    splits = ["train"] * 1000 + ["test"] * 1000
    made = hold_out(splits, units, [""] * 2000)
    assert made[1000:] == ["test"] * 1000
    assert 70 <= made[:1000].count("valid") <= 130 and set(made[:1000]) == {"train", "valid"}


def test_whether_a_unit_is_held_out_depends_on_nothing_else() -> None:
    units = [f"v{i}" for i in range(100)]
    whole = {units[i] for i in held(["train"] * 100, units, [""] * 100)}
    half = {units[::2][i] for i in held(["train"] * 50, units[::2], [""] * 50)}
    assert whole and half == whole & set(units[::2])


def test_the_hash_is_the_same_on_every_machine() -> None:
    units = [f"v{i}" for i in range(40)]
    assert sorted(held(["train"] * 40, units, [""] * 40)) == [7, 8, 9, 31]


def test_a_kind_with_ten_gets_one_and_a_kind_with_nine_need_not() -> None:
    spared = [f"v{i}" for i in range(500) if not held(["train"], [f"v{i}"], [""])]
    assert len(held(["train"] * 10, spared[:10], ["a"] * 10)) == 1
    assert held(["train"] * 9, spared[:9], ["a"] * 9) == set()
    assert held(["train"] * 9 + ["test"], spared[:10], ["a"] * 10) == set(), "the test split is not counted"
    both = held(["train"] * 20, spared[:20], ["a"] * 10 + ["b"] * 10)
    assert len(both & set(range(10))) == 1 and len(both & set(range(10, 20))) == 1


def test_a_unit_stays_together() -> None:
    units = [f"v{i // 5}" for i in range(500)]
    made = hold_out(["train"] * 500, units, [f"k{i % 3}" for i in range(500)])
    assert "valid" in made
    assert all(len(set(made[i : i + 5])) == 1 for i in range(0, 500, 5))
