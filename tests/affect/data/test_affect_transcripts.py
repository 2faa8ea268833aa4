"""MOSI's transcripts: rows of four cells, and splits by speaker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from affect.data import store
from affect.data.draft import SPLITS
from affect.data.store import Mending
from affect.data.transcripts import read_transcripts
from affect.errors import DataError

REAL = Path(os.environ.get("HPC_SWEEP_REAL_DATA", "/nonexistent")) / "mosi"
real = pytest.mark.skipif(not REAL.is_dir(), reason="HPC_SWEEP_REAL_DATA names no folder with MOSI's transcripts")


def rows(speakers: int = 9, clips: int = 3) -> list[str]:
    return [
        f'"vid_{s}_{c}","WORDS, {c} OF ""{s}""","{s}","{(s + c) % 2}"'
        for s in range(1, speakers + 1)
        for c in range(clips)
    ]


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "transcripts.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_the_rows_become_a_draft(tmp_path: Path) -> None:
    draft = read_transcripts(write(tmp_path, rows()))
    assert len(draft) == 27 and draft.ids[:2] == ["vid_1_0", "vid_1_1"] and draft.problems == []
    assert draft.texts is not None and draft.texts[1] == 'WORDS, 1 OF "1"'
    assert draft.labels["positive"].classes == ("negative", "positive")
    assert draft.labels["positive"].values[:4].tolist() == [1, 0, 1, 0]
    assert draft.groups["video"][:4] == ["vid_1"] * 3 + ["vid_2"] and draft.groups["speaker"][3] == "2"


def test_a_folder_or_the_file_itself(tmp_path: Path) -> None:
    path = write(tmp_path, rows())
    assert read_transcripts(tmp_path).ids == read_transcripts(path).ids
    path.rename(tmp_path / "other.csv")
    assert len(read_transcripts(tmp_path / "other.csv")) == 27
    with pytest.raises(DataError, match=r"transcripts\.csv cannot be read"):
        read_transcripts(tmp_path)


def test_a_speaker_is_in_one_split_and_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    lines = rows(93, 2)
    draft = read_transcripts(write(tmp_path, lines))
    split_of: dict[str, set[str]] = {}
    for speaker, split in zip(draft.groups["speaker"], draft.splits, strict=True):
        split_of.setdefault(speaker, set()).add(split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert [sum(splits == {split} for splits in split_of.values()) for split in SPLITS] == [52, 10, 31]
    again = read_transcripts(write(tmp_path, lines[::-1]))
    assert dict(zip(again.ids, again.splits, strict=True)) == dict(zip(draft.ids, draft.splits, strict=True))
    assert any(
        "SHA-256" in note and "first 52 are train, the next 10 valid, the last 31" in note for note in draft.notes
    )


def test_the_splits_never_change(tmp_path: Path) -> None:
    draft = read_transcripts(write(tmp_path, rows(9, 1)))
    assert draft.splits == ["train", "test", "train", "train", "test", "test", "valid", "train", "train"]


BAD = [
    ('"vid_1_0","AGAIN","1","1"', "row 28 (vid_1_0): this id is that of row 1 too"),
    ('"x_1","WORDS","one","1"', "row 28 (x_1): the speaker 'one' is no whole number"),
    ('"x_1","WORDS","1","2"', "row 28 (x_1): the label '2' is none of 0, 1"),
    ('"x_1","WORDS","1",""', "row 28 (x_1): the label '' is none of 0, 1"),
    ('"x_1","WORDS","1"', "row 28: it has 3 cells, not 4"),
]


@pytest.mark.parametrize(("line", "words"), BAD)
def test_a_bad_row_is_told_with_its_number_and_id(line: str, words: str, tmp_path: Path) -> None:
    draft = read_transcripts(write(tmp_path, [*rows(), line]))
    assert [p.what for p in draft.problems] == [f"transcripts.csv {words}"]
    with pytest.raises(DataError, match="row 28"):
        store.write(draft, tmp_path / "x.h5")
    assert len(store.write(draft, tmp_path / "x.h5", Mending(drop=True))) == 27


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n"])
def test_a_file_of_something_else(text: str, tmp_path: Path) -> None:
    (tmp_path / "transcripts.csv").write_text(text)
    with pytest.raises(DataError, match="has no row of four cells"):
        read_transcripts(tmp_path)


@real
def test_the_real_file(tmp_path: Path) -> None:
    draft = read_transcripts(REAL)
    assert len(draft) == 2199 and draft.problems == [] and len(set(draft.groups["video"])) == 93
    assert draft.labels["positive"].counts(range(2199)) == {"negative": 1023, "positive": 1176}
    found = store.write(draft, tmp_path / "x.h5")
    assert [len(found.split(split)) for split in SPLITS] == [1209, 223, 767]
