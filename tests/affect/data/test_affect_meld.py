"""MELD: its CSV files and clips, and each way a row can be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from affect.data import meld, rules, store
from affect.data.draft import Draft
from affect.data.meld import read_meld
from affect.data.store import Mending
from affect.errors import DataError

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
REAL = Path(os.environ.get("HPC_SWEEP_REAL_DATA", "/nonexistent")) / "meld"
real = pytest.mark.skipif(not REAL.is_dir(), reason="HPC_SWEEP_REAL_DATA names no folder with MELD's CSV files")

Row = tuple[str, str, str, str, object, object]
TRAIN: list[Row] = [
    ("Is it you’re turn?", "Ada", "surprise", "positive", 0, 0),
    ("No, it, is not", "Bob", "neutral", "neutral", 0, 1),
    ("Oh dear.", "Ada", "sadness", "negative", 7, 3),
]
VALID: list[Row] = [("Hm.", "Cy", "anger", "negative", 0, 0)]
TEST: list[Row] = [("Yes!", "Bob", "joy", "positive", 0, 0), ("Ugh.", "Ada", "disgust", "negative", 220, 0)]


def line(row: Sequence[object]) -> str:
    text, speaker, emotion, sentiment, dialogue, utterance = row
    times = '"00:20:57,256","00:21:00,049"'
    return f'1,"{text}",{speaker},{emotion},{sentiment},{dialogue},{utterance},4,7,{times}'


def write(folder: Path, split: str, lines: Sequence[str], header: str = HEADER, encoding: str = "utf-8") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / meld.FILES[split]).write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "MELD"
    for split, rows in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        write(folder, split, [line(row) for row in rows])
    return folder


def clips(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"no film")


def only_problem(draft: Draft) -> str:
    assert len(draft.problems) == 1, draft.problems
    return draft.problems[0].what


def test_the_three_files_become_one_draft(source: Path) -> None:
    draft = read_meld(source)
    assert draft.ids == [
        "train_dia0_utt0", "train_dia0_utt1", "train_dia7_utt3", "valid_dia0_utt0", "test_dia0_utt0", "test_dia220_utt0",
    ]  # fmt: skip
    assert draft.splits == ["train"] * 3 + ["valid"] + ["test"] * 2
    assert draft.texts == [row[0] for row in [*TRAIN, *VALID, *TEST]]
    assert draft.groups["speaker"] == ["Ada", "Bob", "Ada", "Cy", "Bob", "Ada"]
    assert draft.groups["dialogue"][:4] == ["train_dia0", "train_dia0", "train_dia7", "valid_dia0"]
    assert draft.labels["polarity"].classes == rules.POLARITY
    assert draft.labels["polarity"].values.tolist() == [2, 1, 0, 0, 2, 0]
    assert [rules.MELD_EMOTIONS[n] for n in draft.labels["emotion"].values] == [
        "surprise", "neutral", "sadness", "anger", "joy", "disgust",
    ]  # fmt: skip
    assert draft.problems == [] and draft.media == {} and draft.name == "meld"
    assert [path.name for path in draft.sources] == list(meld.FILES.values())


def test_it_becomes_a_dataset(source: Path, tmp_path: Path) -> None:
    found = store.write(read_meld(source), tmp_path / "meld.h5")
    assert len(found) == 6 and found.text is not None and found.text.text(0) == "Is it you’re turn?"
    assert len(found.about["sources"]) == 3


@pytest.mark.parametrize("folders", [("a", "a", "a"), ("train", "dev", "test")])
def test_the_files_may_lie_one_level_down(folders: tuple[str, str, str], source: Path, tmp_path: Path) -> None:
    for folder, name in zip(folders, meld.FILES.values(), strict=True):
        (tmp_path / "Raw" / folder).mkdir(parents=True, exist_ok=True)
        (source / name).rename(tmp_path / "Raw" / folder / name)
    assert read_meld(tmp_path / "Raw").ids[0] == "train_dia0_utt0"


def test_a_file_that_is_not_there_or_twice(source: Path) -> None:
    (source / "a").mkdir()
    (source / "dev_sent_emo.csv").rename(source / "a" / "dev_sent_emo.csv")
    assert len(read_meld(source)) == 6
    (source / "b").mkdir()
    (source / "b" / "dev_sent_emo.csv").write_bytes(b"")
    with pytest.raises(DataError, match="have the same name; put the right one"):
        read_meld(source)
    (source / "b" / "dev_sent_emo.csv").unlink()
    (source / "a" / "dev_sent_emo.csv").unlink()
    with pytest.raises(DataError, match=r"there is no dev_sent_emo\.csv in .*MELD"):
        read_meld(source)


# clips


def test_clips_are_found_and_missing_ones_counted(source: Path, tmp_path: Path) -> None:
    clips(source / "train_splits", "dia0_utt0.mp4", "dia7_utt3.mp4", "._dia0_utt1.mp4")
    clips(source / "output_repeated_splits_test", "dia0_utt0.mp4", "dia220_utt0.mp4", "final_videos_testdia0_utt0.mp4")
    draft = read_meld(source)
    assert draft.media["video"] == [
        "train_splits/dia0_utt0.mp4", "", "train_splits/dia7_utt3.mp4", "",
        "output_repeated_splits_test/dia0_utt0.mp4", "output_repeated_splits_test/dia220_utt0.mp4",
    ]  # fmt: skip
    assert "1 of 3 clips of train are missing." in draft.notes and "1 of 1 clips of valid are missing." in draft.notes
    assert not any("of test are missing" in note for note in draft.notes)
    found = store.write(draft, tmp_path / "meld.h5")
    first = found.media("video", 0)
    assert first is not None and first.read_bytes() == b"no film" and found.media("video", 1) is None


@pytest.mark.parametrize("place", ["", "train", "x"])
def test_a_folder_of_clips_may_lie_beside_its_file_or_one_level_down(place: str, source: Path) -> None:
    (source / "train").mkdir()
    (source / "train_sent_emo.csv").rename(source / "train" / "train_sent_emo.csv")
    clips(source / place / "train_splits", "dia0_utt1.mp4")
    assert read_meld(source).media["video"][1] == str(Path(place) / "train_splits" / "dia0_utt1.mp4")


def test_each_folder_is_listed_once_and_no_clip_is_looked_at(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips(source / "train_splits", *(f"dia{n}_utt0.mp4" for n in range(50)))
    write(source, "train", [line(("x", "A", "joy", "positive", n, 0)) for n in range(50)])
    listed: list[Path] = []
    inner: Callable[[Path], list[str]] = meld.scan
    monkeypatch.setattr(meld, "scan", lambda folder: [listed.append(folder), *inner(folder)][1:])
    monkeypatch.setattr(Path, "exists", lambda _: pytest.fail("a clip was looked at"))
    assert all(read_meld(source).media["video"][:50])
    assert listed.count(source / "train_splits") == 1


def test_the_clips_with_broken_times_are_named(source: Path) -> None:
    notes = " ".join(read_meld(source).notes)
    assert "test_dia220_utt0" in notes and "do not trust their length" in notes and "test_dia38_utt4" not in notes
    write(source, "test", [line(TEST[0])])
    assert "do not trust" not in " ".join(read_meld(source).notes)


# encodings


def test_cp1252_is_read_and_told(source: Path) -> None:
    write(source, "train", [line(TRAIN[0]), line(("Café…", "Zoë", "joy", "positive", 1, 0))], encoding="cp1252")
    draft = read_meld(source)
    assert draft.texts is not None and draft.texts[:2] == ["Is it you’re turn?", "Café…"]
    assert draft.groups["speaker"][1] == "Zoë"
    assert "train_sent_emo.csv: line 2 is no UTF-8, so the file was read as cp1252." in draft.notes


def test_cp1252_read_as_latin1_is_put_right_and_counted(source: Path) -> None:
    write(source, "valid", [line(("It\x92s \x85", "Cy", "anger", "negative", 0, 0))])
    draft = read_meld(source)
    assert draft.texts is not None and draft.texts[3] == "It’s …"
    assert any("dev_sent_emo.csv: 2 characters" in note for note in draft.notes)


def test_a_text_keeps_its_blanks(source: Path) -> None:
    write(source, "valid", [line(("  Hm. ", " Cy ", " Anger ", "NEGATIVE", " 0 ", "0"))])
    draft = read_meld(source)
    assert draft.problems == [] and draft.texts is not None
    assert draft.texts[3] == "  Hm. " and draft.groups["speaker"][3] == "Cy"


# what does not fit

BAD: list[tuple[Row, str]] = [
    (("x", "A", "glee", "positive", 0, 9), "(train_dia0_utt9): Emotion 'glee' is none of neutral, surprise, fear"),
    (("x", "A", "joy", "good", 0, 9), "(train_dia0_utt9): Sentiment 'good' is none of negative, neutral, positive"),
    (
        ("x", "A", "", "", 0, 9),
        "Emotion '' is none of neutral, surprise, fear, sadness, joy, disgust, anger; Sentiment",
    ),
    (("x", "A", "joy", "positive", "1.5", 9), "Dialogue_ID '1.5' is no whole number"),
    (("x", "A", "joy", "positive", 0, "nine"), "Utterance_ID 'nine' is no whole number"),
    (("x", "A", "joy", "positive", -1, 0), "Dialogue_ID '-1' is no whole number"),
    (("x", "A", "joy", "positive", "٣", 0), "Dialogue_ID '٣' is no whole number"),
    (("x", "A", "joy", "positive", "", 0), "Dialogue_ID '' is no whole number"),
    (("x", "A", "joy", "positive", 0, 1), "(train_dia0_utt1): this id is that of train_sent_emo.csv row 3 too"),
    (("x", "A", "joy", "positive", "00", "01"), "(train_dia0_utt1): this id is that of train_sent_emo.csv row 3 too"),
]


@pytest.mark.parametrize(("row", "words"), BAD)
def test_a_bad_row_is_told_with_file_row_and_id(row: Row, words: str, source: Path, tmp_path: Path) -> None:
    write(source, "train", [line(one) for one in (*TRAIN, row)])
    draft = read_meld(source)
    said = only_problem(draft)
    assert said.startswith("train_sent_emo.csv row 5") and words in said
    with pytest.raises(DataError, match="train_sent_emo.csv row 5"):
        store.write(draft, tmp_path / "meld.h5")
    found = store.write(draft, tmp_path / "meld.h5", Mending(drop=True))
    assert len(found) == 6 and found.about["dropped"] == [said]


@pytest.mark.parametrize("text", ["1,too,few", "1,x,A,joy,positive,0,9,4,7,a,b,one more"])
def test_a_row_with_another_number_of_cells(text: str, source: Path) -> None:
    write(source, "test", [line(TEST[0]), text])
    draft = read_meld(source)
    assert only_problem(draft) == f"test_sent_emo.csv row 3: it has {len(text.split(','))} cells, not 11"
    assert len(draft) == 5


@pytest.mark.parametrize("column", ["Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"])
def test_a_missing_column_is_refused(column: str, source: Path) -> None:
    write(source, "valid", [line(VALID[0])], header=HEADER.replace(f",{column},", ",Other,"))
    with pytest.raises(DataError, match=rf"dev_sent_emo\.csv has no column `{column}`"):
        read_meld(source)


def test_a_quote_that_does_not_close_does_not_swallow_the_rest(source: Path) -> None:
    write(source, "train", [line(TRAIN[0]), '2,"open,A,joy,positive,0,5,4,7,a,b', line(TRAIN[2])])
    with pytest.raises(DataError, match=r"train_sent_emo\.csv row 3 cannot be read as CSV"):
        read_meld(source)


def test_the_columns_may_stand_in_another_order(source: Path) -> None:
    write(
        source, "valid", ["Hm.,5,8,joy,Cy,positive"],
        header="Utterance,Dialogue_ID,Utterance_ID,Emotion,Speaker,Sentiment",
    )  # fmt: skip
    assert read_meld(source).ids[3] == "valid_dia5_utt8"


@real
def test_the_real_files(tmp_path: Path) -> None:
    draft = read_meld(REAL)
    assert draft.problems == [] and {split: draft.splits.count(split) for split in meld.FILES} == {
        "train": 9989, "valid": 1109, "test": 2610,
    }  # fmt: skip
    found = store.write(draft, tmp_path / "meld.h5")
    counts = found.labels["polarity"].counts(found.split("test"))
    assert tuple(counts.values()) == rules.CORRECTED_TEST_COUNTS["meld"] == (833, 1256, 521)
    assert any("test_dia220_utt0 and test_dia38_utt4" in note for note in draft.notes)
