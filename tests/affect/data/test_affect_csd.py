"""CMU-MultimodalSDK: a folder of .csd files becomes samples, and what does not fit is told by place and value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from affect.data import store
from affect.data.csd import EMOTIONS, read_csd
from affect.data.draft import Draft
from affect.data.store import Mending
from affect.errors import DataError

FOLDS = """# folds
standard_train_fold = ['va', 'vb']
standard_valid_fold = ['vc']
standard_test_fold = ["vd"]
"""
Parts = Mapping[str, tuple[Any, Any]]  # by key: features and intervals


def write(path: Path, root: str, entries: Parts, **options: Any) -> None:
    """A .csd file as the SDK writes one."""
    with h5py.File(path, "w") as file:
        for key, (features, intervals) in entries.items():
            file.create_dataset(f"{root}/data/{key}/features", data=features, **options)
            file.create_dataset(f"{root}/data/{key}/intervals", data=intervals, **options)
        for key, value in (("root name", root), ("featureset version", 1.0)):
            told = file.create_dataset(f"{root}/metadata/{key}", (1,), dtype=h5py.special_dtype(vlen=str))
            told[0] = json.dumps(value)


def seconds(n: int, step: float = 0.5) -> Any:
    return np.stack([np.arange(n) * step, np.arange(1, n + 1) * step], axis=1)


def words(*said: str) -> Any:
    return np.array([[word.encode()] for word in said], dtype="S32")


@dataclass
class Folder:
    path: Path

    def put(self, name: str, root: str, entries: Parts, **options: Any) -> None:
        (self.path / name).unlink(missing_ok=True)  # HDF5 does not write over a file that a draft still has open
        write(self.path / name, root, entries, **options)

    def change(self, name: str, key: str, features: Any, intervals: Any) -> None:
        with h5py.File(self.path / name, "r+") as file:
            entry = file[next(iter(file))]["data"].require_group(key)
            for part, data in (("features", features), ("intervals", intervals)):
                if part in entry:
                    del entry[part]
                entry[part] = data

    def refused(self, **options: str) -> str:
        with pytest.raises(DataError) as caught:
            store.write(read_csd(self.path, **options), self.path / "out.h5", Mending(drop=True, zero=True))
        return str(caught.value)

    def problems(self) -> list[tuple[int, str]]:
        return [(p.index, p.what) for p in read_csd(self.path).problems]


FACET = np.arange(16, dtype=np.float32).reshape(8, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Video va has two samples, 0 to 2 s and 2 to 3 s; vb, vc and vd have one, which lies in a key of its own."""
    found = Folder(tmp_path / "mosi")
    found.path.mkdir()
    found.put("CMU_MOSI_Opinion_Labels.csd", "Opinion Segment Labels", {
        "va": (np.array([[2.4], [-0.4]]), np.array([[0.0, 2.0], [2.0, 3.0]])),
        "vd[7]": (np.array([[-3.0]]), np.array([[0.0, 1.0]])),
        "vb[0]": (np.array([[0.0]]), np.array([[0.0, 1.0]])),
        "vc[0]": (np.array([[1.2]]), np.array([[0.0, 1.0]])),
    })  # fmt: skip
    said = {
        "va": (words("i", "sp", "really", "liked", "it"), np.array([[0, .5], [.5, .9], [.9, 1.8], [1.8, 2.2], [2.2, 3.]])),
        "vb": (words("sp"), seconds(1)), "vc": (words("café", "yes"), seconds(2)), "vd": (words("no"), seconds(1)),
    }  # fmt: skip
    found.put("CMU_MOSI_TimestampedWords.csd", "words", said)
    seen = {"va": (FACET, seconds(8)), "vb": (FACET[:1], seconds(1)), "vd": (FACET[:3], seconds(3))}
    found.put("CMU_MOSI_Visual_Facet_42.csd", "FACET 4.2", seen, compression="gzip", compression_opts=9)
    (found.path / "cmu_mosi_std_folds.py").write_text(FOLDS)
    return found


# what comes out


def test_rows_of_the_labels_are_the_samples(folder: Folder) -> None:
    draft = read_csd(folder.path)
    assert draft.ids == ["va[0]", "va[1]", "vb[0]", "vc[0]", "vd[7]"]
    assert draft.splits == ["train", "train", "train", "valid", "test"]
    assert draft.groups == {"video": ["va", "va", "vb", "vc", "vd"]} and draft.problems == []
    np.testing.assert_allclose(draft.labels["sentiment"].values, [2.4, -0.4, 0, 1.2, -3], rtol=1e-6)
    assert draft.labels["polarity"].values.tolist() == [2, 1, 1, 2, 0]
    assert draft.labels["polarity_sign"].values.tolist() == [2, 0, 1, 2, 0]
    assert sorted(path.name for path in draft.sources)[-1] == "cmu_mosi_std_folds.py" and len(draft.sources) == 4


def test_words_that_overlap_are_the_text_and_pauses_are_left_out(folder: Folder) -> None:
    draft = read_csd(folder.path)
    assert draft.texts == ["i really liked", "liked it", "", "café yes", "no"]
    assert "2 pauses, which CMU_MOSI_TimestampedWords.csd marks with `sp`, are left out" in draft.notes
    assert "1 of 5 samples have no words" in draft.notes


def test_rows_whose_middle_lies_in_the_sample_are_its_frames(folder: Folder) -> None:
    draft = read_csd(folder.path)
    vision = draft.frames["vision"]
    assert vision.lengths.tolist() == [4, 2, 1, 0, 2] and vision.width == 2 and "FACET 4.2" in vision.about
    np.testing.assert_array_equal(vision.read(0), FACET[:4])
    np.testing.assert_array_equal(vision.read(1), FACET[4:6])
    assert vision.read(3).shape == (0, 2)
    assert "1 of 5 samples have no vision" in draft.notes


def test_it_can_be_written(folder: Folder, tmp_path: Path) -> None:
    found = store.write(read_csd(folder.path), tmp_path / "out.h5")
    assert found.text is not None and found.text.text(3) == "café yes"
    np.testing.assert_array_equal(found.frames["vision"][1], FACET[4:6])
    assert found.split("valid").tolist() == [3]


def test_a_middle_on_the_border_belongs_to_the_later_sample(folder: Folder) -> None:
    middles = np.array([[1.5, 2.5], [2.5, 3.5], [-1.0, 1.0]])  # 2, 3 (outside) and 0
    folder.change("CMU_MOSI_Visual_Facet_42.csd", "va", FACET[:3], middles)
    vision = read_csd(folder.path).frames["vision"]
    assert vision.read(0).tolist() == [FACET[2].tolist()] and vision.read(1).tolist() == [FACET[0].tolist()]


def test_rows_keep_their_order_where_the_times_do_not(folder: Folder) -> None:
    folder.change("CMU_MOSI_Visual_Facet_42.csd", "va", FACET[:4], np.array([[1.5, 1.6], [9, 9.1], [0, 0.1], [8, 9]]))
    np.testing.assert_array_equal(read_csd(folder.path).frames["vision"].read(0), FACET[[0, 2]])


def test_aligned_files_are_taken_as_they_are(folder: Folder) -> None:
    for name in ("CMU_MOSI_TimestampedWords.csd", "CMU_MOSI_Visual_Facet_42.csd"):
        (folder.path / name).unlink()
    far = seconds(3) + 100  # aligned before: what the times say is of no matter
    folder.put("words.csd", "words", {"va[1]": (words("so", "sp", "good"), far), "vb[0]": (words("x"), far[:1])})
    folder.put("covarep.csd", "COVAREP", {"va[1]": (FACET[:3], far), "vd[7]": (FACET[:1], far[:1])})
    draft = read_csd(folder.path)
    assert draft.texts == ["", "so good", "x", "", ""]
    assert draft.frames["audio"].lengths.tolist() == [0, 3, 0, 0, 1]
    np.testing.assert_array_equal(draft.frames["audio"].read(1), FACET[:3])


def test_files_that_are_aligned_to_words_are_refused(folder: Folder) -> None:
    one = (FACET[:1], seconds(1))
    folder.put("CMU_MOSI_Visual_Facet_42.csd", "FACET 4.2", {f"va[{i}]": one for i in range(5)})
    told = folder.refused()
    assert "has `va[2]`, and CMU_MOSI_Opinion_Labels.csd has no label of that number: it is aligned to words" in told


def test_numbers_of_keys_are_sorted_as_numbers(folder: Folder) -> None:
    one = (np.array([[1.0]]), np.array([[0.0, 1.0]]))
    folder.put("CMU_MOSI_Opinion_Labels.csd", "labels", {f"va[{i}]": one for i in (10, 2, 0)})
    assert read_csd(folder.path).ids == ["va[0]", "va[2]", "va[10]"]


def test_all_labels_of_mosei_are_a_sentiment_and_six_intensities(folder: Folder) -> None:
    values = np.array([[1.0, 0, 0.5, 1, 1.5, 2, 3]])
    folder.put("CMU_MOSI_Opinion_Labels.csd", "All Labels", {"va": (values, np.array([[0.0, 2.0]]))})
    draft = read_csd(folder.path)
    assert EMOTIONS == ("happy", "sad", "anger", "surprise", "disgust", "fear")
    assert [float(draft.labels[name].values[0]) for name in EMOTIONS] == [0, 0.5, 1, 1.5, 2, 3]
    assert draft.labels["sentiment"].values.tolist() == [1] and draft.labels["happy"].classes == ()
    assert "3 videos of cmu_mosi_std_folds.py have no labels" in draft.notes


def test_nan_and_infinite_features_are_left_for_the_store(folder: Folder) -> None:
    bad = FACET[:1].copy()
    bad[0, 0] = -np.inf
    folder.change("CMU_MOSI_Visual_Facet_42.csd", "vb", bad, seconds(1))
    draft = read_csd(folder.path)
    assert draft.problems == [] and np.isneginf(draft.frames["vision"].read(2)[0, 0])
    with pytest.raises(DataError, match=r"sample 2 \(vb\[0\]\): vision: 1 numbers are NaN or infinite"):
        store.write(draft, folder.path / "out.h5")


# which file is which


@pytest.mark.parametrize(
    ("name", "root", "role"),
    [
        ("a.csd", "OpenFace_2", "vision"), ("CMU_MOSEI_VisualFacet42.csd", "x", "vision"), ("a.csd", "COVAREP", "audio"),
        ("a.csd", "OpenSMILE", "audio"), ("CMU_MOSI_TimestampedWordVectors.csd", "glove_vectors", "text"),
    ],
)  # fmt: skip
def test_the_names_tell_what_features_are(name: str, root: str, role: str, folder: Folder) -> None:
    (folder.path / "CMU_MOSI_Visual_Facet_42.csd").unlink()
    folder.put(name, root, {"va": (FACET, seconds(8))})
    assert list(read_csd(folder.path).frames) == [role]


def test_two_of_a_kind_have_their_roots_in_their_names(folder: Folder) -> None:
    folder.put("openface.csd", "OpenFace 2", {"va": (FACET, seconds(8))})
    assert set(read_csd(folder.path).frames) == {"vision_facet_4_2", "vision_openface_2"}


def test_phones_are_left_out_and_that_is_said(folder: Folder) -> None:
    folder.put("CMU_MOSI_TimestampedPhones.csd", "phones", {"va": (words("AY"), seconds(1))})
    draft = read_csd(folder.path)
    assert "CMU_MOSI_TimestampedPhones.csd holds phones, which are left out" in draft.notes
    assert draft.texts is not None and draft.texts[0] == "i really liked"


def test_files_of_the_folder_that_cannot_be_told_apart_are_refused(folder: Folder) -> None:
    entry = {"va": (FACET, seconds(8))}
    folder.put("strange.csd", "thing", entry)
    told = folder.refused()
    assert "strange.csd (root `thing`)" in told and "rename the file" in told and "vision by `facet`" in told
    folder.put("strange.csd", "FACET 4.2", entry)
    assert "two .csd files of the same kind and root" in folder.refused()
    folder.put("strange.csd", "also words", {"va": (words("x"), seconds(1))})
    assert "has 2 .csd files of words, not one" in folder.refused()
    folder.put("strange.csd", "more labels", {"va": (np.ones((1, 1)), seconds(1))})
    assert "has 2 .csd files of labels, not one" in folder.refused()


def test_a_folder_without_labels_or_features_is_refused(folder: Folder, tmp_path: Path) -> None:
    assert "is no folder" in Folder(tmp_path / "nothing").refused()
    (folder.path / "CMU_MOSI_Visual_Facet_42.csd").unlink()
    words_file = folder.path / "CMU_MOSI_TimestampedWords.csd"
    words_file.rename(words_file.with_suffix(".away"))
    assert "neither words nor features" in folder.refused()
    words_file.with_suffix(".away").rename(words_file)
    (folder.path / "CMU_MOSI_Opinion_Labels.csd").unlink()
    assert "has 0 .csd files of labels" in folder.refused()


def test_files_of_another_dataset_are_refused(folder: Folder) -> None:
    folder.put("CMU_MOSI_Visual_Facet_42.csd", "FACET 4.2", {"other": (FACET, seconds(8))})
    assert "has no entry of any of the 5 samples; is it of this dataset?" in folder.refused()


@pytest.mark.parametrize("width", [2, 6, 8])
def test_labels_of_another_width_are_refused(width: int, folder: Folder) -> None:
    folder.put("CMU_MOSI_Opinion_Labels.csd", "labels", {"va": (np.ones((1, width)), seconds(1))})
    assert f"labels of {width} numbers" in folder.refused()


# samples that do not fit


@pytest.mark.parametrize("interval", [(2.0, 2.0), (3.0, 1.0), (np.nan, 1.0), (0.0, np.nan)])
def test_an_interval_that_is_none_is_a_problem(interval: tuple[float, float], folder: Folder) -> None:
    folder.change("CMU_MOSI_Opinion_Labels.csd", "vb[0]", np.ones((1, 1)), np.array([interval]))
    ((index, told),) = folder.problems()
    assert index == 2 and "sample 2 (vb[0])" in told and "is empty or no interval" in told


@pytest.mark.parametrize("value", [3.5, -4.0, np.inf])
def test_a_label_out_of_range_is_a_problem(value: float, folder: Folder) -> None:
    folder.change("CMU_MOSI_Opinion_Labels.csd", "vb[0]", np.array([[value]]), np.array([[0.0, 1.0]]))
    ((index, told),) = folder.problems()
    assert index == 2 and f"the label {value} is outside its range" in told


def test_a_negative_emotion_is_a_problem(folder: Folder) -> None:
    values = np.array([[-1.0, 0, 0, 0, 0, 0, -0.5]])
    folder.put("CMU_MOSI_Opinion_Labels.csd", "labels", {"va": (values, np.array([[0.0, 2.0]]))})
    assert "the label -0.5 is outside" in folder.problems()[0][1]


def test_a_label_that_is_nan_is_left_for_the_store(folder: Folder) -> None:
    folder.change("CMU_MOSI_Opinion_Labels.csd", "vb[0]", np.array([[np.nan]]), np.array([[0.0, 1.0]]))
    draft = read_csd(folder.path)
    assert draft.problems == []
    with pytest.raises(DataError, match=r"sample 2 \(vb\[0\]\): sentiment is nan"):
        store.write(draft, folder.path / "out.h5")


def test_a_video_in_no_fold_is_a_problem(folder: Folder) -> None:
    (folder.path / "cmu_mosi_std_folds.py").write_text(FOLDS.replace("'va', ", ""))
    found = folder.problems()
    assert [index for index, _ in found] == [0, 1]
    assert "sample 1 (va[1]): its video is in no fold of cmu_mosi_std_folds.py" in found[1][1]


@pytest.mark.parametrize(
    ("features", "intervals", "told"),
    [
        (FACET, seconds(7), "features (8, 2) and intervals (7, 2) do not fit together"),
        (FACET[:, 0], seconds(8), "features (8,) and intervals (8, 2) do not fit together"),
        (FACET[None], seconds(1), "do not fit together"),
        (FACET, seconds(8)[:, 0], "do not fit together"),
        (np.ones((8, 3)), seconds(8), "rows of 3 numbers, and most others have 2"),
        (FACET, seconds(8) * np.nan, "its intervals have numbers that are NaN or infinite"),
    ],
)
def test_an_entry_whose_shapes_do_not_fit_is_a_problem_of_its_samples(
    features: Any, intervals: Any, told: str, folder: Folder
) -> None:
    folder.change("CMU_MOSI_Visual_Facet_42.csd", "va", features, intervals)
    found = folder.problems()
    assert [index for index, _ in found] == [0, 1]
    assert told in found[1][1] and "sample 1 (va[1]): vision in CMU_MOSI_Visual_Facet_42.csd: " in found[1][1]
    written = store.write(read_csd(folder.path), folder.path / "out.h5", Mending(drop=True))
    assert written.ids == ["vb[0]", "vc[0]", "vd[7]"]


def test_an_aligned_entry_that_does_not_fit_is_a_problem(folder: Folder) -> None:
    folder.change("CMU_MOSI_Visual_Facet_42.csd", "va[1]", FACET[:3], seconds(2))
    ((index, told),) = folder.problems()
    assert index == 1 and "features (3, 2) and intervals (2, 2) do not fit together" in told


def test_labels_that_do_not_fit_are_no_samples(folder: Folder) -> None:
    folder.change("CMU_MOSI_Opinion_Labels.csd", "vb[0]", np.ones((2, 1)), seconds(2))
    folder.change("CMU_MOSI_Opinion_Labels.csd", "vc[0]", np.ones((1, 7)), seconds(1))
    found = folder.problems()
    assert [index for index, _ in found] == [-1, -1]
    assert "`vb[0]`: a key with a number has one row" in found[0][1] and "`vc[0]`: rows of 7 numbers" in found[1][1]
    assert read_csd(folder.path).ids == ["va[0]", "va[1]", "vd[7]"]


def test_labels_of_which_none_fits_are_refused(folder: Folder) -> None:
    folder.put("CMU_MOSI_Opinion_Labels.csd", "labels", {"va[0]": (np.ones((2, 1)), seconds(2))})
    assert "has no labels that fit; the first" in folder.refused()
    folder.put("CMU_MOSI_Opinion_Labels.csd", "labels", {"va": (np.ones((2, 1)), seconds(3))})
    assert "labels of 0 numbers" in folder.refused()


def test_words_that_are_not_utf8_are_a_problem(folder: Folder) -> None:
    folder.change("CMU_MOSI_TimestampedWords.csd", "vb", np.array([[b"caf\xe9"]], "S32"), seconds(1))
    ((index, told),) = folder.problems()
    assert index == 2 and "words are not UTF-8" in told


def test_a_file_of_several_words_in_a_row_is_refused(folder: Folder) -> None:
    folder.put("CMU_MOSI_TimestampedWords.csd", "words", {"va": (np.full((2, 3), b"x", "S8"), seconds(2))})
    assert "has 3 words in a row" in folder.refused()


def test_the_same_sample_twice_is_told_by_the_store(folder: Folder) -> None:
    folder.change("CMU_MOSI_Opinion_Labels.csd", "va[1]", np.ones((1, 1)), seconds(1))
    draft: Draft = read_csd(folder.path)
    with pytest.raises(DataError, match="`va\\[1\\]` is that of sample"):
        store.write(draft, folder.path / "out.h5")
