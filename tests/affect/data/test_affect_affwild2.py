"""Aff-Wild2 as released: frames cut into runs of one expression or into windows, and the lines that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from affect.data import rules, store
from affect.data.affwild2 import read_affwild2, video_of
from affect.data.draft import Draft
from affect.data.store import Mending
from affect.errors import DataError

EIGHT = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
SEVEN = EIGHT.removesuffix(",Other")
FEAR, JOY, OTHER, NONE = 3, 4, 7, -1


def put(path: Path, head: str, frames: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *map(str, frames)]) + "\n")


def expressions(root: Path, train: Sequence[object], test: Sequence[object] = (JOY,) * 20, head: str = EIGHT) -> Path:
    put(root / "EXPR_Classification_Challenge" / "Train_Set" / "7-60-1920x1080.txt", head, train)
    put(root / "EXPR_Classification_Challenge" / "Validation_Set" / "video59_right.txt", head, test)
    return root


def scores(root: Path, train: Sequence[object], test: Sequence[object] = ("0.5,-0.5",) * 64) -> Path:
    put(root / "VA_Set" / "Train_Set" / "7-60-1920x1080.txt", "valence,arousal", train)
    put(root / "VA_Set" / "Validation_Set" / "video59_right.txt", "valence,arousal", test)
    return root


def told(draft: Draft) -> list[str]:
    return [problem.what for problem in draft.problems]


# expressions


def test_runs_of_one_expression(tmp_path: Path) -> None:
    frames = [FEAR] * 45 + [JOY] * 16 + [NONE] * 5 + [JOY] * 15 + [OTHER] * 30 + [0] * 17
    draft = read_affwild2(expressions(tmp_path, frames))
    assert draft.ids == [
        "7-60-1920x1080_Train_1to45", "7-60-1920x1080_Train_46to61", "7-60-1920x1080_Train_112to128",
        "video59_right_Validation_1to20",
    ]  # fmt: skip
    labels = draft.labels["expression"]
    assert labels.classes == rules.AFFWILD2
    assert [labels.classes[number] for number in labels.values] == ["Fear", "Happiness", "Neutral", "Happiness"]
    assert draft.groups == {
        "video": ["7-60-1920x1080"] * 3 + ["video59"],
        "first": ["1", "46", "112", "1"], "last": ["45", "61", "128", "20"],
    }  # fmt: skip
    assert draft.media == {} and not draft.problems and draft.splits[3] == "test"
    assert "Left out by definition: 30 frames of Other." in draft.notes
    assert "Left out by definition: 1 runs of fewer than 16 frames." in draft.notes
    assert any("no annotations of dominance" in note for note in draft.notes)
    assert any("made from Train_Set" in note for note in draft.notes)
    assert store.write(draft, tmp_path / "x.h5").ids == draft.ids


@pytest.mark.parametrize(("least", "count"), [(1, 4), (15, 3), (16, 2), (17, 1), (46, 0)])
def test_how_long_a_run_lasts_at_least(least: int, count: int, tmp_path: Path) -> None:
    frames = [FEAR] * 45 + [JOY] * 16 + [FEAR] * 15 + [JOY]
    draft = read_affwild2(expressions(tmp_path, frames, [JOY] * 100), least_frames=least)
    assert sum("_Train_" in name for name in draft.ids) == count


@pytest.mark.parametrize("head", [SEVEN, EIGHT, EIGHT.lower(), EIGHT.replace(",", ", ")])
def test_seven_classes_and_eight(head: str, tmp_path: Path) -> None:
    draft = read_affwild2(expressions(tmp_path, [6] * 16, head=head))
    assert not draft.problems and draft.labels["expression"].values[0] == rules.AFFWILD2.index("Surprise")


def test_classes_in_another_order(tmp_path: Path) -> None:
    draft = read_affwild2(expressions(tmp_path, [0] * 16, head="Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise"))
    assert draft.labels["expression"].values[0] == rules.AFFWILD2.index("Anger")


@pytest.mark.parametrize(
    "head",
    ["", "3", "valence,arousal", "Neutral,Anger", SEVEN + ",Contempt", SEVEN + ",Other,Other", SEVEN + ",Fear,Other"],
)
def test_other_first_lines_are_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"7-60-1920x1080\.txt line 1 is .*, not the 7 or 8 expressions"):
        read_affwild2(expressions(tmp_path, [FEAR] * 20, head=head))


@pytest.mark.parametrize("word", ["8", "-2", "fear", "3.0", "", "03", "1,2"])
def test_class_numbers_that_are_none(word: str, tmp_path: Path) -> None:
    frames = [FEAR] * 20 + [word] * 2 + [FEAR] * 20
    draft = read_affwild2(expressions(tmp_path, frames))
    assert [(p.index, p.what) for p in draft.problems] == [
        (-1, f"Train_Set/7-60-1920x1080.txt line 22, 2 lines: {word!r} is no class number")
    ]
    assert draft.ids[:2] == ["7-60-1920x1080_Train_1to20", "7-60-1920x1080_Train_23to42"]
    with pytest.raises(DataError, match="line 22"):
        store.write(draft, tmp_path / "x.h5")
    assert len(store.write(draft, tmp_path / "x.h5", Mending(drop=True))) == 3


def test_the_eighth_number_is_none_where_there_are_seven(tmp_path: Path) -> None:
    assert "'7' is no class number" in told(read_affwild2(expressions(tmp_path, [OTHER] * 20, head=SEVEN)))[0]


def test_faces_of_a_video_lie_in_their_own_folders(tmp_path: Path) -> None:
    expressions(tmp_path, [FEAR] * 20)
    (tmp_path / "cropped_aligned" / "video59_right").mkdir(parents=True)
    draft = read_affwild2(tmp_path)
    assert draft.media == {"frames": ["", "cropped_aligned/video59_right"]}
    assert "1 samples have no folder in cropped_aligned." in draft.notes


def test_valid_is_made_of_whole_videos(tmp_path: Path) -> None:
    expressions(tmp_path, [FEAR] * 20)
    for number in range(100):
        for face in ("", "_left", "_right"):
            path = tmp_path / "EXPR_Classification_Challenge" / "Train_Set" / f"{number}{face}.txt"
            put(path, EIGHT, [FEAR] * 16 + [JOY] * 16)
    draft = read_affwild2(tmp_path)
    splits: dict[str, set[str]] = {}
    for video, split in zip(draft.groups["video"], draft.splits, strict=True):
        splits.setdefault(video, set()).add(split)
    assert set(map(len, splits.values())) == {1} and splits["video59"] == {"test"} and len(splits) == 102
    assert 4 <= sum(found == {"valid"} for found in splits.values()) <= 18


# valence and arousal


def test_windows_of_means(tmp_path: Path) -> None:
    frames = ["0.5,-0.5"] * 32 + ["-0.5,-5"] * 16 + ["0.25,-1"] * 16 + ["-5,-5"] * 64 + ["1,1"] * 17
    draft = read_affwild2(scores(tmp_path, frames), challenge="VA")
    assert draft.ids[:2] == ["7-60-1920x1080_Train_1to64", "7-60-1920x1080_Train_129to145"]
    valence, arousal = draft.labels["valence"].values, draft.labels["arousal"].values
    assert valence[0] == pytest.approx((0.5 * 32 + 0.25 * 16) / 48) and arousal[0] == pytest.approx(-32 / 48)
    assert (valence[1], arousal[1]) == (1, 1) and draft.labels["valence"].classes == ()
    assert "Left out by definition: 1 windows without an annotated frame." in draft.notes
    assert not draft.problems and draft.splits[2] == "test" and "expression" not in draft.labels
    assert store.write(draft, tmp_path / "x.h5").ids == draft.ids


@pytest.mark.parametrize(("length", "count"), [(7, 0), (8, 1), (32, 1), (39, 1), (40, 2), (64, 2)])
def test_the_last_window_may_be_short(length: int, count: int, tmp_path: Path) -> None:
    draft = read_affwild2(scores(tmp_path, ["0,0"] * length), challenge="VA", least_frames=8)
    assert sum("_Train_" in name for name in draft.ids) == count
    assert any("at a video's end" in note for note in draft.notes) == (length in (7, 39))


@pytest.mark.parametrize(
    "frame", ["1.01,0", "0,-1.5", "-5.5,0", "nan,0", "0", "0,0,0", "a,b", "", "0;0", "inf,0", "1e999,0"]
)
def test_scores_that_are_none(frame: str, tmp_path: Path) -> None:
    frames = ["0.5,0.5"] * 64 + ["0.5,0.5"] * 3 + [frame] * 2 + ["0.5,0.5"] * 59
    draft = read_affwild2(scores(tmp_path, frames), challenge="VA")
    assert [(p.index, p.what) for p in draft.problems] == [
        (1, f"Train_Set/7-60-1920x1080.txt line 69: {frame!r} is no valence and arousal in -1..1")
    ]
    written = store.write(draft, tmp_path / "x.h5", Mending(drop=True))
    assert written.ids == ["7-60-1920x1080_Train_1to64", "video59_right_Validation_1to64"]


@pytest.mark.parametrize("frame", ["1.,-1.", ".5,-.5", "1e-05, -2E-3", "-0,0", "-5.0,0.5"])
def test_numbers_however_they_are_written(frame: str, tmp_path: Path) -> None:
    draft = read_affwild2(scores(tmp_path, ["0.5,0.5"] * 63 + [frame]), challenge="VA")
    assert not draft.problems and len(draft) == 2


def test_a_window_in_which_nothing_fits_is_refused_once(tmp_path: Path) -> None:
    draft = read_affwild2(scores(tmp_path, ["9,9"] * 64), challenge="VA")
    assert len(draft) == 2 and np.isnan(draft.labels["valence"].values[0])
    with pytest.raises(DataError, match="1 of 2 samples do not fit"):
        store.write(draft, tmp_path / "x.h5")


@pytest.mark.parametrize("head", ["", "arousal,valence", "valence", EIGHT])
def test_other_columns_are_refused(head: str, tmp_path: Path) -> None:
    scores(tmp_path, ["0,0"] * 64)
    put(tmp_path / "VA_Set" / "Train_Set" / "7-60-1920x1080.txt", head, ["0,0"] * 64)
    with pytest.raises(DataError, match=r"line 1 is .*, not 'valence,arousal'"):
        read_affwild2(tmp_path, challenge="VA")


# the folders, and the settings


@pytest.mark.parametrize("name", ["EXPR", "EXPR_Set", "EXPR_Classification_Challenge", "expr-set"])
def test_the_folder_of_a_challenge_by_either_name(name: str, tmp_path: Path) -> None:
    scores(expressions(tmp_path, [FEAR] * 20), ["0,0"])
    (tmp_path / "EXPR_Classification_Challenge").rename(tmp_path / name)
    assert len(read_affwild2(tmp_path)) == 2


@pytest.mark.parametrize(
    ("extra", "what"),
    [("EXPR_2", "needs one folder of the EXPR challenge, .* has EXPR_2 and EXPR_Classification_Challenge"), ("", "has none")],
)  # fmt: skip
def test_no_folder_of_the_challenge_and_two(extra: str, what: str, tmp_path: Path) -> None:
    if extra:
        expressions(tmp_path, [FEAR] * 20)
        (tmp_path / extra).mkdir()
    with pytest.raises(DataError, match=what):
        read_affwild2(tmp_path)


def test_a_set_without_annotations(tmp_path: Path) -> None:
    expressions(tmp_path, [FEAR] * 20)
    (tmp_path / "EXPR_Classification_Challenge" / "Validation_Set" / "video59_right.txt").unlink()
    with pytest.raises(DataError, match=r"Validation_Set holds no annotations"):
        read_affwild2(tmp_path)


def test_no_run_lasts_long_enough(tmp_path: Path) -> None:
    draft = read_affwild2(expressions(tmp_path, [NONE] * 20, [FEAR]))
    with pytest.raises(DataError, match="no samples in"):
        store.write(draft, tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"challenge": "AU"}, "challenge is 'AU'; Aff-Wild2 is read for EXPR or VA"), ({"least_frames": 0}, "least_frames is 0")],
)  # fmt: skip
def test_settings_that_are_none(settings: dict[str, str | int], what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=what):
        read_affwild2(expressions(tmp_path, [FEAR] * 20), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "video"),
    [("7-60-1920x1080_Train_46to175", "7-60-1920x1080"), ("video59_right_Validation_1to20", "video59"),
     ("a_Train_b_Train_1to2", "a_Train_b"), ("left_Train_1to2", "left"), ("v17", None), ("v_Test_1to2", None), ("", None)],
)  # fmt: skip
def test_the_video_of_a_clip(name: str, video: str | None) -> None:
    assert video_of(name) == video
