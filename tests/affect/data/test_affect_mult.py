"""MulT's pickles: padded in front, ids of three, and the labels of MOSI, MOSEI and IEMOCAP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign_files
from affect.data import store
from affect.data.draft import Draft
from affect.data.mult import EMOTIONS, read_mult
from affect.data.store import Mending
from affect.errors import DataError

Data = dict[str, Any]
MODALITIES = ("text", "audio", "vision")


def read(tmp_path: Path, data: Any) -> Draft:
    return read_mult(foreign_files.write(tmp_path / "mosi_data.pkl", data))


def joined(data: Data, key: str) -> np.ndarray[Any, Any]:
    return np.concatenate([data[split][key] for split in foreign_files.SPLITS])


def leading(array: np.ndarray[Any, Any]) -> int:
    """The rows of zeros in front, counted one by one."""
    return next((i for i, row in enumerate(array) if row.any()), len(array))


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("kind", ["mosi", "mosei", "iemocap"])
def test_the_padding_in_front_is_left_out(kind: str, aligned: bool, tmp_path: Path) -> None:
    data = foreign_files.mult(kind, aligned=aligned)
    draft = read(tmp_path, data)
    assert (draft.name, draft.importer, draft.problems, draft.texts) == ("mosi_data", "mult 1", [], None)
    found = store.write(draft, tmp_path / "x.h5")
    assert [len(found.split(s)) for s in ("train", "valid", "test")] == [6, 3, 4]
    for name in MODALITIES:
        for i, array in enumerate(joined(data, name)):
            np.testing.assert_array_equal(found.frames[name][i], array[leading(array) :])
    assert "The file has no texts." in found.about["notes"]


@pytest.mark.parametrize("protocol", range(6))
def test_ids_are_a_video_and_its_seconds(protocol: int, tmp_path: Path) -> None:
    for kind in ("mosi", "mosei"):  # bytes, and letters
        draft = read_mult(foreign_files.write(tmp_path / "x.pkl", foreign_files.mult(kind), protocol))
        assert draft.ids[:2] == ["train0[0.0,0.5]", "train0[1.0,1.5]"] and draft.ids[-1] == "test1[3.0,3.5]"
        assert draft.groups["video"][:3] == ["train0", "train0", "train1"]


def with_ids(ids: list[Any]) -> Data:
    data = foreign_files.mult()
    data["valid"]["id"] = ids
    return data


def test_ids_of_other_forms(tmp_path: Path) -> None:
    draft = read(tmp_path, with_ids([["a[3]"], ("b", 1.5, np.float64(2)), np.array([b"c", b"0", b"1"], object)]))
    assert draft.ids[6:9] == ["a[3]", "b[1.5,2.0]", "c[0,1]"] and draft.groups["video"][6:9] == ["a", "b", "c"]
    assert not draft.problems
    assert read(tmp_path, with_ids(["a[0]", b"a[1]", 17])).ids[6:9] == ["a[0]", "a[1]", "17"]


@pytest.mark.parametrize("id", [None, ["a", "b", "c", "d"], [], [None, "1", "2"], [b"\xff", "1", "2"], [["a"]]])
def test_ids_that_are_none(id: Any, tmp_path: Path) -> None:
    draft = read(tmp_path, with_ids(["a", id, "b"]))
    assert [p.index for p in draft.problems] == [7]
    assert "mosi_data.pkl, valid, index 1: id is" in draft.problems[0].what
    assert len(store.write(draft, tmp_path / "x.h5", Mending(drop=True))) == 12


def test_a_file_without_ids_counts_its_samples(tmp_path: Path) -> None:
    draft = read(tmp_path, foreign_files.mult("iemocap"))
    assert draft.ids[:2] == ["train-0", "train-1"] and draft.ids[-1] == "test-3" and not draft.groups
    assert "a sample is called after its split" in draft.notes[1]


# lengths


def test_aligned_sequences_have_one_length(tmp_path: Path) -> None:
    """A face that nobody found at the first words does not move what comes after."""
    data = foreign_files.mult()
    data["train"]["text"][0] = 1
    data["train"]["vision"][0, :15] = 0
    data["train"]["audio"][0] = 0
    draft = read(tmp_path, data)
    assert [int(f.lengths[0]) for f in draft.frames.values()] == [20, 20, 20]
    assert not draft.frames["vision"].read(0)[:15].any() and draft.frames["vision"].about == "a row a word"


def test_sequences_that_are_not_aligned_each_have_their_own(tmp_path: Path) -> None:
    data = foreign_files.mult(aligned=False)
    data["train"]["text"][0], data["train"]["vision"][0], data["train"]["audio"][0] = 1, 0, 0
    data["train"]["audio"][0, 70, 2] = -np.inf
    draft = read(tmp_path, data)
    assert [int(draft.frames[name].lengths[0]) for name in MODALITIES] == [20, 5, 0]
    assert draft.frames["audio"].read(0)[0, 2] == -np.inf and draft.frames["vision"].about == "not aligned"


def test_rows_are_slices_and_not_copies(tmp_path: Path) -> None:
    draft = read(tmp_path, foreign_files.mult())
    for frames in draft.frames.values():
        assert np.shares_memory(frames.read(8), frames.read(8))


# labels


@pytest.mark.parametrize("kind", ["mosi", "mosei"])
def test_the_first_label_is_the_sentiment(kind: str, tmp_path: Path) -> None:
    data = foreign_files.mult(kind)
    draft = read(tmp_path, data)
    np.testing.assert_array_equal(draft.labels["sentiment"].values, joined(data, "labels")[:, 0, 0])
    assert set(draft.labels) == {"sentiment", "polarity", "polarity_sign"}
    assert any("Of the seven labels the first" in note for note in draft.notes) == (kind == "mosei")


def test_the_emotions_of_iemocap_are_four_questions(tmp_path: Path) -> None:
    data = foreign_files.mult("iemocap")
    labels = read(tmp_path, data).labels
    assert tuple(labels) == EMOTIONS == ("neutral", "happy", "sad", "angry")
    for i, name in enumerate(EMOTIONS):
        assert labels[name].values.tolist() == joined(data, "labels")[:, i].argmax(axis=1).tolist()
        assert labels[name].classes == ("no", "yes")


@pytest.mark.parametrize("pair", [(0, 0), (1, 1), (np.nan, 1)])
def test_an_emotion_that_is_neither_no_nor_yes(pair: tuple[float, float], tmp_path: Path) -> None:
    data = foreign_files.mult("iemocap")
    data["test"]["labels"] = data["test"]["labels"].astype(float)
    data["test"]["labels"][1, 2] = pair
    with pytest.raises(DataError, match=r"sample 10 \(test-1\): sad is -1, outside 0\.\.1"):
        store.write(read(tmp_path, data), tmp_path / "x.h5")


def test_a_score_beyond_3_is_told_with_its_place(tmp_path: Path) -> None:
    data = foreign_files.mult()
    data["valid"]["labels"][2] = -4
    draft = read(tmp_path, data)
    assert [p.index for p in draft.problems] == [8]
    assert "valid, index 2 (valid1[2.0,2.5]): labels is -4: it is outside -3..3" in draft.problems[0].what


FILES: list[tuple[Callable[[Data], object], str]] = [
    (lambda d: d.pop("test"), "there is no split `test`"),
    (lambda d: d["valid"].pop("vision"), "valid: there is no key `vision`; it has `text`, `audio`, `id`, `labels`"),
    (lambda d: d["valid"].pop("id"), "valid: there is no key `id`"),
    (lambda d: [part.pop("labels") for part in d.values()], "train: there is no key `labels`"),
    (lambda d: d["train"].update(labels=np.zeros((6, 1))), "train: `labels` is an array of the shape (6, 1)"),
    (lambda d: d["train"].update(labels=np.zeros((6, 1, 2))), "`labels` is 1 numbers wide, and 2 in train"),
    (lambda d: [p.update(labels=np.zeros((len(p["id"]), 3, 1))) for p in d.values()], "the shape (3, 1), not (1, 1), (1, 7)"),
    (lambda d: d["test"].update(labels=np.zeros((4, 2, 1))), "the shape (1, 1) and (2, 1), not (1, 1)"),
    (lambda d: d["test"].update(text=d["test"]["text"][:2]), "test: 2 samples of `text`, and 4 of `audio`"),
    (lambda d: d["test"].update(audio=np.zeros((4, 20, 74))), "test: `audio` is 74 numbers wide, and 5 in train"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), FILES, ids=range(len(FILES)))
def test_files_that_do_not_fit(change: Callable[[Data], object], told: str, tmp_path: Path) -> None:
    data = foreign_files.mult()
    change(data)
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    assert told in str(caught.value) and str(tmp_path / "mosi_data.pkl") in str(caught.value)
