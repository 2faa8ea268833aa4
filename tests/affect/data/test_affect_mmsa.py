"""MMSA's pickles: every key of the true files, lengths from the right place, and each fault with its file, key and index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign_files
from affect.data import store
from affect.data.draft import Draft
from affect.data.mmsa import read_mmsa
from affect.data.store import Mending
from affect.errors import DataError

Data = dict[str, Any]
Change = Callable[[Data], object]


def read(tmp_path: Path, data: Any) -> Draft:
    return read_mmsa(foreign_files.write(tmp_path / "aligned_50.pkl", data))


def joined(data: Data, key: str) -> np.ndarray[Any, Any]:
    return np.concatenate([data[split][key] for split in foreign_files.SPLITS])


def masks(data: Data) -> np.ndarray[Any, Any]:
    return joined(data, "text_bert")[:, 1]


@pytest.mark.parametrize("protocol", range(6))
def test_an_aligned_file_becomes_a_dataset(protocol: int, tmp_path: Path) -> None:
    data = foreign_files.mmsa()
    draft = read_mmsa(foreign_files.write(tmp_path / "aligned_50.pkl", data, protocol))
    assert (draft.name, draft.importer, draft.problems, draft.notes) == ("aligned_50", "mmsa 1", [], [])
    found = store.write(draft, tmp_path / "mosi.h5")
    assert found.ids == joined(data, "id").tolist()
    assert [len(found.split(s)) for s in ("train", "valid", "test")] == [6, 3, 4]
    assert found.text and found.text.texts() == joined(data, "raw_text").tolist()
    assert {name: rows.values.shape[1] for name, rows in found.frames.items()} == {
        "text": 768,
        "audio": 5,
        "vision": 20,
    }
    for name, rows in found.frames.items():
        assert rows.lengths.tolist() == masks(data).sum(axis=1).tolist()
        for i, array in enumerate(joined(data, name)):
            np.testing.assert_array_equal(rows[i], array[: rows.lengths[i]].astype(np.float32))
    np.testing.assert_array_equal(found.labels["sentiment"].values, joined(data, "regression_labels"))
    assert {"polarity", "polarity_sign"} <= set(found.labels)
    assert found.groups["video"][:3] == ["train0", "train0", "train1"]


def test_the_word_pieces_are_the_ids_where_the_mask_is_1(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    draft = read(tmp_path, data)
    for i, (ids, mask, _) in enumerate(joined(data, "text_bert")):
        assert draft.tokens["bert"][i].tolist() == ids[mask == 1].tolist()


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "i8", ">i8"])
def test_word_pieces_of_any_type_of_number(kind: str, tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    same = read(tmp_path, data).tokens["bert"]
    for part in data.values():
        part["text_bert"] = part["text_bert"].astype(kind)
    for one, other in zip(read(tmp_path, data).tokens["bert"], same, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_unaligned_file_has_a_length_for_each(tmp_path: Path) -> None:
    data = foreign_files.mmsa(aligned=False, width=4)
    draft = read(tmp_path, data)
    found = store.write(draft, tmp_path / "mosi.h5")
    assert found.frames["text"].lengths.tolist() == masks(data).sum(axis=1).tolist()
    for name in ("audio", "vision"):
        assert found.frames[name].lengths.tolist() == joined(data, f"{name}_lengths").tolist()
        np.testing.assert_array_equal(
            found.frames[name][3], joined(data, name)[3, : found.frames[name].lengths[3]].astype("f4")
        )
    assert draft.frames["audio"].about == "not aligned" and not draft.notes


def test_a_length_of_0_is_a_missing_modality(tmp_path: Path) -> None:
    data = foreign_files.mmsa(aligned=False, width=4)
    data["valid"]["audio_lengths"][1] = 0
    draft = read(tmp_path, data)
    assert not draft.problems and draft.frames["audio"].read(7).shape == (0, 5)


@pytest.mark.parametrize("aligned", [False, True])
def test_what_mmsa_fet_writes(aligned: bool, tmp_path: Path) -> None:
    data = foreign_files.fet(aligned=aligned)
    found = store.write(read(tmp_path, data), tmp_path / "x.h5")
    for letter, name in (("T", "text"), ("A", "audio"), ("V", "vision")):
        np.testing.assert_array_equal(
            found.labels[f"sentiment_{name}"].values, joined(data, f"regression_labels_{letter}")
        )
    assert found.frames["text"].values.shape[1] == 16 and len(found) == 13


def test_labels_of_one_modality_that_nobody_gave_are_left_out(tmp_path: Path) -> None:
    data = foreign_files.fet()
    for part in data.values():
        if "id" in part:
            part["regression_labels_A"] = np.full(len(part["id"]), np.nan)
    draft = read(tmp_path, data)
    assert "sentiment_audio" not in draft.labels and "sentiment_text" in draft.labels
    assert draft.notes == ["regression_labels_A is NaN throughout, and left out."]


def without(*keys: str) -> Data:
    data = foreign_files.mmsa(width=4)
    for part in data.values():
        for key in keys:
            del part[key]
    return data


def test_without_a_mask_the_rows_of_zeros_at_the_end_are_left_out(tmp_path: Path) -> None:
    data = without("text_bert")
    data["train"]["vision"][0] = 0
    data["train"]["text"][0, 9:] = 0
    data["train"]["audio"][0, 3:] = 0
    data["train"]["audio"][0, 11, 2] = -np.inf
    draft = read(tmp_path, data)
    assert [int(f.lengths[0]) for f in draft.frames.values()] == [12, 12, 12], "aligned: one length for all"
    assert not draft.tokens
    assert draft.notes == [
        "Nothing tells the lengths of text, audio, vision: they end with the last row that is not 0."
    ]


def test_without_a_mask_and_not_aligned_each_ends_by_itself(tmp_path: Path) -> None:
    data = foreign_files.mmsa(aligned=False, width=4)
    for part in data.values():
        for key in ("text_bert", "audio_lengths", "vision_lengths"):
            del part[key]
    data["test"]["audio"][2, 40:] = 0
    data["test"]["vision"][2] = 0
    draft = read(tmp_path, data)
    assert [int(f.lengths[11]) for f in draft.frames.values()] == [50, 40, 0]


def test_a_file_of_sound_alone(tmp_path: Path) -> None:
    draft = read(tmp_path, without("text", "vision", "raw_text", "annotations", "classification_labels"))
    assert list(draft.frames) == ["audio"] and draft.texts is None and draft.tokens


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    data["train"]["speaker"] = ["a"]
    data["test"]["id"][0] = data["test"]["id"][0].replace("$_$", "_")
    draft = read(tmp_path, data)
    assert draft.notes[0] == "Not read: speaker."
    assert "Not every id is video$_$clip" in draft.notes[1] and not draft.groups


def test_ids_and_texts_may_be_bytes(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    for part in data.values():
        part["id"] = part["id"].astype("S")
        part["raw_text"] = [text.encode() for text in part["raw_text"]]
    draft = read(tmp_path, data)
    assert draft.ids[0] == "train0$_$0" and draft.texts and draft.texts[0] == "words of train 0"


def test_rows_are_slices_and_not_copies(tmp_path: Path) -> None:
    draft = read(tmp_path, foreign_files.mmsa(width=4))
    for frames in draft.frames.values():
        one, again = frames.read(7), frames.read(7)
        assert np.shares_memory(one, again) and one.shape == (frames.lengths[7], frames.width)


# numbers that are none: they are left for whoever writes the dataset


def test_infinite_numbers_are_refused_or_set_to_0(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    data["train"]["audio"][2, 0, 0], data["test"]["vision"][1, 1, 1] = -np.inf, np.nan
    draft = read(tmp_path, data)
    assert not draft.problems and draft.frames["audio"].read(2)[0, 0] == -np.inf
    with pytest.raises(DataError, match=r"audio: 1 numbers are NaN or infinite\n.*vision: 1 numbers"):
        store.write(draft, tmp_path / "x.h5")
    found = store.write(draft, tmp_path / "x.h5", Mending(zero=True))
    assert found.about["zeroed"] == 2 and found.frames["audio"][2][0, 0] == 0


# samples that do not fit


def put(split: str, key: str, place: Any, value: Any) -> Change:
    def change(data: Data) -> None:
        data[split][key][place] = value

    return change


SAMPLES: list[tuple[Change, int, str]] = [
    (put("valid", "audio_lengths", 1, 376), 7, "valid, index 1 (valid0$_$1): audio_lengths is 376: more than the 375 rows"),
    (put("test", "vision_lengths", 3, 501), 12, "test, index 3 (test1$_$3): vision_lengths is 501: more than the 500 rows"),
    (put("train", "audio_lengths", 0, -1), 0, "train, index 0 (train0$_$0): audio_lengths is -1: no length"),
    (put("train", "audio_lengths", 0, 1.5), 0, "audio_lengths is 1.5: no length"),
    (put("train", "audio_lengths", 0, float("nan")), 0, "audio_lengths is nan: no length"),
    (put("train", "text_bert", (4, 1), 0), 4, "text_bert: its mask is 0 throughout"),
    (put("train", "text_bert", (4, 1, 0), 0), 4, "text_bert: its mask is not ones and then zeros"),
    (put("train", "text_bert", (4, 1, 0), 2), 4, "text_bert: its mask is not ones and then zeros"),
    (put("train", "text_bert", (4, 0, 1), -7), 4, "text_bert: its ids are no whole numbers from 0 on"),
    (put("train", "text_bert", (4, 0, 1), 2**31), 4, "text_bert: its ids are no whole numbers from 0 on"),
    (put("train", "raw_text", 2, None), 2, "raw_text is None: it is no text"),
    (put("train", "raw_text", 2, "\ud800"), 2, r"raw_text is '\ud800': it is no text"),
    (put("train", "raw_text", 2, b"\xff"), 2, r"raw_text is b'\xff': it is no text"),
    (put("train", "regression_labels", 5, 3.5), 5, "regression_labels is 3.5: it is outside -3..3"),
    (put("train", "regression_labels", 5, -np.inf), 5, "regression_labels is -inf: it is outside -3..3"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "index", "told"), SAMPLES, ids=range(len(SAMPLES)))
def test_samples_that_do_not_fit(change: Change, index: int, told: str, tmp_path: Path) -> None:
    data = foreign_files.mmsa(aligned=False, width=4)
    change(data)
    draft = read(tmp_path, data)
    assert {p.index for p in draft.problems} == {index} and told in draft.problems[0].what
    assert str(tmp_path / "aligned_50.pkl") in draft.problems[0].what
    with pytest.raises(DataError, match="1 of 13 samples do not fit"):
        store.write(draft, tmp_path / "x.h5")
    found = store.write(draft, tmp_path / "x.h5", Mending(drop=True))
    assert len(found) == 12 and draft.ids[index] not in found.ids


def test_an_id_that_comes_twice_and_one_that_is_none(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    data["test"]["id"][3] = data["test"]["id"][0]
    data["valid"]["id"] = [*data["valid"]["id"][:2], 7]
    draft = read(tmp_path, data)
    with pytest.raises(
        DataError,
        match=r"2 of 13 samples do not fit\n.*valid, index 2: id is 7: it is no text\n(.*\n)*.*id `test0\$_\$0` is that of sample 9",
    ):
        store.write(draft, tmp_path / "x.h5")


def test_a_score_that_is_nan_is_refused_when_it_is_written(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    data["test"]["regression_labels"][0] = np.nan
    with pytest.raises(DataError, match=r"sample 9 \(test0\$_\$0\): sentiment is nan"):
        store.write(read(tmp_path, data), tmp_path / "x.h5")


# files that do not fit


def take(split: str, key: str) -> Change:
    return lambda data: data[split].pop(key)


def shorten(split: str, key: str) -> Change:
    return lambda data: data[split].update({key: data[split][key][1:]})


def set_(split: str, key: str, value: Any) -> Change:
    return lambda data: data[split].update({key: value})


FILES: list[tuple[Change, str]] = [
    (lambda d: d.pop("valid"), "there is no split `valid`; it has `train`, `test`"),
    (lambda d: d.update(test={}), "there is no split `test`"),
    (lambda d: d.update(test=[1]), "there is no split `test`"),
    (lambda d: d.clear(), "there is no split `train`; it has nothing"),
    (lambda d: d.update(valid={k: v[:0] for k, v in d["valid"].items()}), "valid: there are no samples in it"),
    (take("test", "id"), "test: there is no key `id`; it has `raw_text`, `audio`"),
    (take("train", "regression_labels"), "train: there is no key `regression_labels`"),
    (take("valid", "vision"), "valid: there is no key `vision`"),
    (shorten("train", "audio"), "train: 6 samples of `id`, and 5 of `audio`"),
    (shorten("test", "text_bert"), "test: 4 samples of `id`, and 3 of `text_bert`"),
    (shorten("valid", "annotations"), "valid: 3 samples of `id`, and 2 of `annotations`"),
    (set_("valid", "audio", np.zeros((3, 50, 6))), "valid: `audio` is 6 numbers wide, and 5 in train"),
    (set_("train", "audio", np.zeros((6, 5))), "train: `audio` is an array of the shape (6, 5) and type float64, not an array of 3 axes"),
    (set_("train", "audio", np.full((6, 2, 5), "a")), "train: `audio` is an array of the shape (6, 2, 5) and type <U1"),
    (set_("train", "audio", [1] * 6), "train: `audio` is a list, not an array of 3 axes"),
    (set_("train", "audio", None), "train: `audio` is a NoneType, not a list or an array"),
    (set_("train", "id", "abcdef"), "train: `id` is a str, not a list or an array"),
    (set_("train", "id", np.array(3)), "train: `id` is an array of the shape () and type int64, not a list or an array"),
    (set_("train", "text_bert", np.zeros((6, 2, 50))), "train: `text_bert` has the shape (6, 2, 50), not (samples, 3, length)"),
    (set_("test", "regression_labels", ["a"] * 4), "test: `regression_labels` holds something that is no number"),
    (set_("test", "regression_labels", np.zeros((4, 2))), "test: `regression_labels` has the shape (4, 2), not one number"),
    (lambda d: [d[s].pop(k) for s in d for k in ("text", "audio", "vision")], "there is none of text, audio, vision in it"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), FILES, ids=range(len(FILES)))
def test_files_that_do_not_fit(change: Change, told: str, tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    change(data)
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    assert told in str(caught.value) and str(tmp_path / "aligned_50.pkl") in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind"), [([1], "a list"), (np.zeros(3), "an array of the shape (3,)"), (None, "a NoneType")]
)
def test_files_that_hold_something_else(data: Any, kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    assert f"aligned_50.pkl holds {kind}" in str(caught.value)
    assert "not a dictionary with the splits train, valid, test" in str(caught.value)


def test_scores_may_have_an_axis_more(tmp_path: Path) -> None:
    data = foreign_files.mmsa(width=4)
    flat = joined(data, "regression_labels")
    for part in data.values():
        part["regression_labels"] = part["regression_labels"][:, None]
    np.testing.assert_array_equal(read(tmp_path, data).labels["sentiment"].values, flat)
