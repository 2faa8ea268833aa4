"""CSMV: comments, their labels, and the two ways to split them."""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affect.data import rules, store
from affect.data.csmv import read_csmv, video_split
from affect.data.draft import Draft
from affect.data.store import Mending
from affect.errors import DataError

REAL = Path(os.environ.get("HPC_SWEEP_REAL_DATA", "/nonexistent")) / "csmv"
real = pytest.mark.skipif(not REAL.is_dir(), reason="HPC_SWEEP_REAL_DATA names no folder with CSMV's annotations")

LISTS = {"train": ["tea_1_11.mp4", "tea_2_11.mp4", "tea_3_12.mp4"], "dev": ["mug_1_13.mp4"], "test": ["mug_2_11.mp4"]}
ENTRIES: dict[str, Any] = {
    "tea_1_11.mp4": ["11.mp4", "So warm \N{HOT BEVERAGE}", "positive", "joy", "tea"],
    "tea_2_11.mp4": ["11.mp4", "Why?", "neutral", "surprise", "tea"],
    "tea_3_12.mp4": ["12.mp4", "Yuck", "negative", "disgust", "tea"],
    "mug_1_13.mp4": ["13.mp4", "Careful", "negative", "fear", "mug"],
    "mug_2_11.mp4": ["11.mp4", "I will see", "neutral", "anticipation", "mug"],
    "mug_3_14.mp4": ["14.mp4", "In no list", "positive", "trust", "mug"],
}
FIELDS = ("video_file_id", "comment", "opinion_label", "emotion_label", "hashtag")
MAPS = {"opinion": rules.CSMV_OPINIONS, "emotion": rules.CSMV_EMOTIONS}
DICTIONARY = "lable_data_dict.json"


def entries() -> dict[str, dict[str, Any]]:
    return {name: dict(zip(FIELDS, values, strict=True)) for name, values in ENTRIES.items()}


def put(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "csmv"
    folder.mkdir()
    put(folder / DICTIONARY, entries())
    for name, ids in LISTS.items():
        put(folder / f"{name}_set.json", ids)
    for name, classes in MAPS.items():
        put(folder / f"{name}_label_map.json", {label: number for number, label in enumerate(classes)})
    return folder


def change(source: Path, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change one entry of the annotations."""
    content = entries()
    edit(content[name])
    put(source / DICTIONARY, content)


def only_problem(draft: Draft) -> str:
    assert len(draft.problems) == 1, draft.problems
    return draft.problems[0].what


def test_the_release_becomes_one_draft(source: Path) -> None:
    draft = read_csmv(source)
    assert draft.ids == [*LISTS["train"], *LISTS["dev"], *LISTS["test"]] and draft.problems == []
    assert draft.splits == ["train"] * 3 + ["valid", "test"]
    assert draft.texts == ["So warm \N{HOT BEVERAGE}", "Why?", "Yuck", "Careful", "I will see"]
    assert draft.groups == {"video": ["11", "11", "12", "13", "11"], "hashtag": ["tea"] * 3 + ["mug"] * 2}
    assert draft.labels["opinion"].values.tolist() == [0, 1, 2, 2, 1]
    assert (
        draft.labels["polarity"].values.tolist() == [2, 1, 0, 0, 1]
        and draft.labels["polarity"].classes == rules.POLARITY
    )
    assert [rules.CSMV_EMOTIONS[n] for n in draft.labels["emotion"].values] == [
        "joy", "surprise", "disgust", "fear", "anticipation",
    ]  # fmt: skip
    assert draft.frames == {} and len(draft.sources) == 6
    assert "1 of 6 annotated comments are in no list of a split." in draft.notes
    assert any("There are no I3D features" in note for note in draft.notes)


def test_it_becomes_a_dataset(source: Path, tmp_path: Path) -> None:
    found = store.write(read_csmv(source), tmp_path / "csmv.h5")
    assert len(found) == 5 and found.text is not None and found.text.text(0).endswith("\N{HOT BEVERAGE}")


def test_the_annotations_in_a_zip(source: Path) -> None:
    plain = read_csmv(source)
    with zipfile.ZipFile(source / f"{DICTIONARY}.zip", "w") as archive:
        archive.write(source / DICTIONARY, DICTIONARY)
    assert any(f"{DICTIONARY} was read, and not {DICTIONARY}.zip" in note for note in read_csmv(source).notes)
    (source / DICTIONARY).unlink()
    packed = read_csmv(source)
    assert packed.ids == plain.ids and packed.sources[0].name == f"{DICTIONARY}.zip"


# splits


def test_the_official_split_says_how_many_test_videos_are_in_train(source: Path) -> None:
    assert any(note.startswith("1 of 1 test videos occur in train too") for note in read_csmv(source).notes)


def test_no_video_is_in_two_splits_where_they_are_divided_by_video(source: Path) -> None:
    names = [f"{place}_{video}" for video in range(300) for place in range(3)]
    put(
        source / DICTIONARY,
        {n: dict(zip(FIELDS, [f"{n[2:]}.mp4", n, "neutral", "joy", "x"], strict=True)) for n in names},
    )
    for name, part in (("train", names[::3]), ("dev", names[1::3]), ("test", names[2::3])):
        put(source / f"{name}_set.json", part)
    draft = read_csmv(source, split="video-disjoint")
    of: dict[str, set[str]] = {}
    for video, split in zip(draft.groups["video"], draft.splits, strict=True):
        of.setdefault(video, set()).add(split)
    assert len(of) == 300 and all(len(splits) == 1 for splits in of.values())
    shares = Counter(next(iter(splits)) for splits in of.values())
    assert shares["train"] > 200 and shares["valid"] > 15 and shares["test"] > 15
    assert any("No video is in two splits" in note for note in draft.notes)
    assert Counter(read_csmv(source).splits) == {"train": 300, "valid": 300, "test": 300}


def test_the_split_of_a_video_never_changes() -> None:
    """Results on these splits can be compared only as long as it stays so."""
    assert [video_split(video) for video in ("a", "d", "j", "k")] == ["train", "valid", "test", "train"]
    counts = Counter(video_split(str(number)) for number in range(10_000))
    assert all(abs(counts[split] - 1000) < 100 for split in ("valid", "test"))


@pytest.mark.parametrize(("options", "words"), [({"split": "random"}, "`split`"), ({"features": "vgg"}, "`features`")])
def test_options_that_there_are_not(options: dict[str, str], words: str, source: Path) -> None:
    with pytest.raises(DataError, match=f"option {words} of csmv is '.*'; it can be"):
        read_csmv(source, **options)


# labels and entries that do not fit

EDITS: list[tuple[Callable[[dict[str, Any]], Any], str, int]] = [
    (lambda e: e.update(opinion_label=None), "opinion_label is null", 1),
    (lambda e: e.update(emotion_label=None), "emotion_label is null", 1),
    (lambda e: e.update(opinion_label=None, emotion_label=None), "opinion_label and emotion_label are null", 1),
    (lambda e: e.pop("emotion_label"), "emotion_label is null", 1),
    (lambda e: e.update(opinion_label="meh"), "opinion_label 'meh' is none of positive, neutral, negative", 1),
    (lambda e: e.update(emotion_label=3), "emotion_label 3 is none of joy, disgust", 1),
    (lambda e: e.update(emotion_label=["joy"]), "emotion_label ['joy'] is none of joy", 1),
    (lambda e: e.update(comment=None), "it has no text for comment", -1),
    (lambda e: e.pop("hashtag"), "it has no text for hashtag", -1),
    (lambda e: e.update(video_file_id=7, comment=8), "it has no text for video_file_id, comment", -1),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "words", "index"), EDITS)
def test_a_bad_entry_is_refused_or_dropped_and_recorded(
    edit: Callable[[dict[str, Any]], Any], words: str, index: int, source: Path, tmp_path: Path
) -> None:
    change(source, "tea_2_11.mp4", edit)
    draft = read_csmv(source)
    said = only_problem(draft)
    assert said.startswith(f"{DICTIONARY} (tea_2_11.mp4): {words}") and draft.problems[0].index == index
    with pytest.raises(DataError, match="tea_2_11"):
        store.write(draft, tmp_path / "csmv.h5")
    found = store.write(draft, tmp_path / "csmv.h5", Mending(drop=True))
    assert "tea_2_11.mp4" not in found.ids and len(found) == 4 and found.about["dropped"] == [said]


def test_words_in_capitals_are_the_same_words(source: Path) -> None:
    change(source, "tea_2_11.mp4", lambda e: e.update(opinion_label="Positive", emotion_label="JOY"))
    draft = read_csmv(source)
    assert draft.problems == [] and draft.labels["opinion"].values[1] == 0 and draft.labels["emotion"].values[1] == 0


def test_half_a_character_is_told(source: Path, tmp_path: Path) -> None:
    change(source, "tea_2_11.mp4", lambda e: e.update(comment="cut \ud83d"))
    with pytest.raises(DataError, match="its text holds half a character"):
        store.write(read_csmv(source), tmp_path / "csmv.h5")


IDS: list[tuple[str, Any, str]] = [
    ("dev", "tea_1_11.mp4", "dev_set.json entry 1 (tea_1_11.mp4): it is in train_set.json already"),
    ("train", "tea_1_11.mp4", "train_set.json entry 3 (tea_1_11.mp4): it is in train_set.json already"),
    ("test", "nobody", f"test_set.json entry 1 (nobody): it is not in {DICTIONARY}"),
    ("test", 7, "test_set.json entry 1: 7 is no id of a comment"),
    ("test", ["x"], "test_set.json entry 1: ['x'] is no id"),
]


@pytest.mark.parametrize(("name", "extra", "words"), IDS)
def test_an_id_that_does_not_fit(name: str, extra: Any, words: str, source: Path) -> None:
    put(source / f"{name}_set.json", [*LISTS[name], extra])
    draft = read_csmv(source)
    assert only_problem(draft).startswith(words) and len(draft) == 5


def test_a_comment_that_is_annotated_twice(source: Path) -> None:
    text = (source / DICTIONARY).read_text().rstrip()
    again = json.dumps({"tea_2_11.mp4": entries()["tea_3_12.mp4"]})[1:]
    (source / DICTIONARY).write_text(f"{text[:-1]},{again}")
    draft = read_csmv(source)
    assert "(tea_2_11.mp4): it is there more than once, and only the last is read" in only_problem(draft)
    assert draft.problems[0].index == 1


def test_an_entry_with_a_field_twice(source: Path) -> None:
    text = (source / DICTIONARY).read_text().replace('"hashtag": "mug"', '"hashtag": "mug", "comment": "other"', 1)
    (source / DICTIONARY).write_text(text)
    with pytest.raises(DataError, match="one entry has the key 'comment' twice"):
        read_csmv(source)


# whole files

FILES: list[tuple[str, Any, str]] = [
    (DICTIONARY, [], "holds a list, not a dict"),
    ("dev_set.json", {"a": 1}, "holds a dict, not a list"),
    (
        "opinion_label_map.json",
        {"positive": 0, "negative": 1, "neutral": 2},
        "not positive, neutral, negative from 0 on",
    ),
    ("emotion_label_map.json", {"joy": 0}, "not joy, disgust"),
    ("emotion_label_map.json", None, "holds a NoneType, not a dict"),
    ("train_set.json", float("nan"), "it holds NaN, which is no number"),
]


@pytest.mark.parametrize(("name", "content", "words"), FILES)
def test_a_file_of_another_form(name: str, content: Any, words: str, source: Path) -> None:
    put(source / name, content)
    with pytest.raises(DataError, match=name) as caught:
        read_csmv(source)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [DICTIONARY, "train_set.json", "dev_set.json", "test_set.json"])
def test_a_file_that_is_not_there(name: str, source: Path) -> None:
    (source / name).unlink()
    with pytest.raises(DataError, match=name):
        read_csmv(source)


def test_the_label_maps_may_be_missing(source: Path) -> None:
    (source / "opinion_label_map.json").unlink()
    draft = read_csmv(source)
    assert any("There is no opinion_label_map.json" in note for note in draft.notes) and len(draft.sources) == 5


# the real files


@real
def test_the_real_annotations(tmp_path: Path) -> None:
    draft = read_csmv(REAL)
    assert Counter(draft.splits) == {"train": 75_086, "valid": 10_727, "test": 21_454}
    assert len(set(draft.groups["video"])) == 8_210
    assert Counter(draft.splits[p.index] for p in draft.problems) == {"train": 4, "valid": 1}
    assert all(p.what.endswith(("is null", "are null")) for p in draft.problems)
    assert any(note.startswith("7,341 of 7,360 test videos occur in train too") for note in draft.notes)
    assert any(note.startswith("9,790 of 117,057 annotated comments") for note in draft.notes)
    found = store.write(draft, tmp_path / "csmv.h5", Mending(drop=True))
    assert len(found) == 107_262 and [d["count"] for d in found.about["dropped_by_reason"]] == [4, 1]


@real
def test_the_real_videos_are_divided() -> None:
    draft = read_csmv(REAL, split="video-disjoint", features="none")
    videos: dict[str, set[str]] = {split: set() for split in store.SPLITS}
    for video, split in zip(draft.groups["video"], draft.splits, strict=True):
        videos[split].add(video)
    assert sum(map(len, videos.values())) == 8_210 and len(set.union(*videos.values())) == 8_210
    assert all(abs(len(videos[split]) - 821) < 82 for split in ("valid", "test"))
