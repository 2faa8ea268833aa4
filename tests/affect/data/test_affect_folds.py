"""Files of folds: their lists are read, and nothing in them is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect.data.folds import find_folds, read_folds
from affect.errors import DataError

FOLDS = """# a comment
standard_train_fold = ['a', "b",
    'c']
standard_valid_fold = ('d',)
standard_test_fold = ['e', 'e']
other = open
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "cmu_mosei_std_folds.py"
    found.write_text(FOLDS)
    return found


def refused(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError) as caught:
        read_folds(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_each_video_has_its_split(path: Path) -> None:
    assert read_folds(path) == {"a": "train", "b": "train", "c": "train", "d": "valid", "e": "test"}


def test_the_file_is_not_run(path: Path) -> None:
    mark = path.with_name("ran")
    path.write_text(f"open({str(mark)!r}, 'w').write('x')\n" + FOLDS)
    assert len(read_folds(path)) == 5 and not mark.exists()


def test_a_video_in_two_folds_is_refused(path: Path) -> None:
    assert "video `a` is in the train fold and in the test fold" in refused(path, FOLDS.replace("'e', 'e'", "'a'"))


@pytest.mark.parametrize(
    "value", ["['a', 5]", "['a', 'b' + 'c']", "['a'] + ['b']", "'abc'", "open('x').read().split()", "[x for x in 'ab']"]
)
def test_lists_that_are_no_plain_lists_are_refused(value: str, path: Path) -> None:
    told = refused(path, FOLDS.replace("('d',)", value))
    assert "`standard_valid_fold` should be a plain list of names in quotes" in told and " line 4" in told


@pytest.mark.parametrize("text", ["", "x = 1", FOLDS.replace("_test_", "_tests_"), FOLDS.replace("['e', 'e']", "[]")])
def test_a_fold_that_is_not_there_is_refused(text: str, path: Path) -> None:
    assert "assigns no list of videos to `standard_" in refused(path, text)


@pytest.mark.parametrize(
    "text",
    ["standard_train_fold = ['a'", b"\xff\xfe\x00", b"a\0b", "(" * 5000, "x = " + "-" * 100_000 + "1"],
    ids=["open", "bytes", "nul", "deep", "minus"],
)
def test_what_is_no_python_is_refused(text: str | bytes, path: Path) -> None:
    assert "cannot be read as a Python file of lists" in refused(path, text)


def test_a_huge_file_is_refused_before_it_is_read(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DataError, match="1,073,741,824 bytes, which is too much"):
        read_folds(path)


def test_the_only_file_of_folds_is_found(path: Path) -> None:
    assert find_folds(path.parent, "") == path
    (path.parent / "my_folds.py").write_text(FOLDS)
    with pytest.raises(DataError, match=r"found: cmu_mosei_std_folds.py, my_folds.py"):
        find_folds(path.parent, "")
    assert find_folds(path.parent, "my_folds.py").name == "my_folds.py"


def test_a_folder_without_folds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found: none.*; copy the standard folds"):
        find_folds(tmp_path, "")


@pytest.mark.parametrize("name", ["../outside.py", "/etc/hostname", "missing.py", "."])
def test_a_name_that_leads_elsewhere_is_refused(name: str, path: Path) -> None:
    (path.parent.parent / "outside.py").write_text(FOLDS)
    with pytest.raises(DataError, match="names no file below"):
        find_folds(path.parent, name)
