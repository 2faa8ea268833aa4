"""Features of CSMV's videos: found by name and width, read when asked for, shared by the comments on a video."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data import csmv_features, rules, store
from affect.data.csmv import read_csmv
from affect.data.csmv_features import KINDS, read_features
from affect.data.draft import Draft, Frames
from affect.data.store import Mending
from affect.errors import DataError

VIDEOS = ["11", "11", "12", "13", "11"]
LENGTHS = {"11": 4, "12": 2, "13": 7}


def array(kind: str, length: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(length, KINDS[kind].width)).astype(np.float32)


def fill(folder: Path, kind: str, lengths: dict[str, int] = LENGTHS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, length in lengths.items():
        np.save(folder / f"{name}{KINDS[kind].ending}", array(kind, length, int(name)))


def found(source: Path, kind: str = "i3d") -> Frames:
    frames, _ = read_features(source, KINDS[kind], VIDEOS)
    assert frames is not None
    return frames


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("place", ["", "features", "features/deep"])
def test_each_kind_wherever_it_lies(kind: str, place: str, tmp_path: Path) -> None:
    fill(tmp_path / place, kind)
    frames = found(tmp_path, kind)
    assert frames.width == KINDS[kind].width and frames.lengths.tolist() == [4, 2, 7]
    assert frames.of is not None and frames.of.tolist() == [0, 0, 1, 2, 0]
    for number, (name, length) in enumerate(LENGTHS.items()):
        np.testing.assert_array_equal(frames.read(number), array(kind, length, int(name)))


def test_kinds_that_are_named_alike_are_told_apart_by_their_width(tmp_path: Path) -> None:
    fill(tmp_path / "a", "i3d")
    fill(tmp_path / "a", "r21d")
    fill(tmp_path / "b", "videomae")
    for kind, spec in KINDS.items():
        assert found(tmp_path, kind).read(0).shape == (4, spec.width)


def test_two_folders_that_both_fit_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "a", "i3d")
    fill(tmp_path / "b", "i3d")
    with pytest.raises(DataError, match=r"a and .*b both hold I3D features; move one"):
        found(tmp_path)


def test_no_folder_at_all(tmp_path: Path) -> None:
    fill(tmp_path / "a", "videomae")
    assert read_features(tmp_path, KINDS["i3d"], VIDEOS) == (
        None, ["There are no I3D features below the folder, so there is text only."],
    )  # fmt: skip


def test_missing_videos_have_length_0_and_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "i3d", {"12": 2})
    frames, notes = read_features(tmp_path, KINDS["i3d"], VIDEOS)
    assert frames is not None and frames.lengths.tolist() == [0, 2, 0] and frames.read(0).shape == (0, 1024)
    assert any("2 of 3 videos have no I3D features, so that 4 of 5 comments" in note and "11" in note for note in notes)


def test_a_video_without_frames(tmp_path: Path) -> None:
    fill(tmp_path, "i3d", {"11": 0, "12": 2, "13": 7})
    assert found(tmp_path).lengths.tolist() == [0, 2, 7] and found(tmp_path).read(0).shape == (0, 1024)


@pytest.mark.parametrize(("kind", "most"), [("i3d", 180), ("r21d", 180), ("videomae", 720)])
def test_long_videos_are_cut_and_it_is_said(kind: str, most: int, tmp_path: Path) -> None:
    fill(tmp_path, kind, {"11": most + 5, "12": most, "13": 1})
    frames, notes = read_features(tmp_path, KINDS[kind], VIDEOS)
    assert frames is not None and frames.lengths.tolist() == [most, most, 1]
    np.testing.assert_array_equal(frames.read(0), array(kind, most + 5, 11)[:most])
    assert f"1 videos have more than {most} frames; their first {most} are kept." in notes


def test_videos_are_read_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "i3d")
    modes = []
    inner = np.load
    monkeypatch.setattr(np, "load", lambda path, **how: [modes.append(how), inner(path, **how)][1])
    frames = found(tmp_path)
    assert not isinstance(frames.read(2), np.memmap) and modes
    assert all(how == {"mmap_mode": "r", "allow_pickle": False} for how in modes)


class Trap:
    def __reduce__(self) -> Any:
        return (print, ("it ran",))


def broken(path: Path, how: str) -> None:
    if how == "objects":
        np.save(path, np.array([Trap()], dtype=object), allow_pickle=True)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif how == "zip":
        np.savez(path.with_suffix(""), a=np.zeros((4, 1024)))
        path.with_suffix(".npz").rename(path)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "huge":
        np.save(path, np.zeros((4, 1024), np.float32))
        path.write_bytes(path.read_bytes().replace(b"(4, 1024), }   ", b"(4000, 1024), }"))
    else:
        np.save(path, np.zeros({"narrow": (4, 512), "flat": 1024, "deep": (1, 4, 1024)}[how], np.float32))


BROKEN = ["objects", "pickle", "zip", "cut", "empty", "huge", "narrow", "flat", "deep"]


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_told_for_each_comment_on_its_video(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = release(tmp_path)
    fill(source / "f", "i3d", {"0": 3, **LENGTHS})  # the first file shows what the folder holds
    broken(source / "f" / "11.npy", how)
    draft = read_csmv(source)
    with pytest.raises(DataError) as caught:
        store.write(draft, tmp_path / "csmv.h5")
    said = str(caught.value)
    assert "3 of 5 samples do not fit" in said and "11.npy" in said and "vision" in said
    words = "has the shape" if how in ("narrow", "flat", "deep") else "is no array of numbers in the .npy format"
    assert words in said
    assert store.write(draft, tmp_path / "csmv.h5", Mending(drop=True)).ids == ["c2", "c3"]
    assert "it ran" not in capsys.readouterr().out


def test_numbers_that_are_none_are_refused_or_made_0(tmp_path: Path) -> None:
    source = release(tmp_path)
    fill(source / "f", "i3d")
    row = array("i3d", 4)
    row[1, 5] = np.nan
    np.save(source / "f" / "11.npy", row)
    with pytest.raises(DataError, match="1 numbers are NaN or infinite"):
        store.write(read_csmv(source), tmp_path / "csmv.h5")
    found = store.write(read_csmv(source), tmp_path / "csmv.h5", Mending(zero=True))
    assert found.frames["vision"][4][1, 5] == 0 and found.about["zeroed"] == 1


# in the whole


def release(tmp_path: Path, videos: list[str] = VIDEOS) -> Path:
    source = tmp_path / "csmv"
    source.mkdir()
    entries = {
        f"c{i}": {
            "video_file_id": f"{video}.mp4", "comment": f"words {i}", "opinion_label": rules.CSMV_OPINIONS[i % 3],
            "emotion_label": rules.CSMV_EMOTIONS[i % 8], "hashtag": "tea",
        }
        for i, video in enumerate(videos)
    }  # fmt: skip
    ids = list(entries)
    contents = {"lable_data_dict": entries, "train_set": ids[:-2], "dev_set": ids[-2:-1], "test_set": ids[-1:]}
    for name, content in contents.items():
        (source / f"{name}.json").write_text(json.dumps(content))
    return source


def drafted(source: Path, **options: str) -> Draft:
    return read_csmv(source, **options)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_dataset_holds_the_features_of_a_video_once(kind: str, tmp_path: Path) -> None:
    videos = [str(11 + n % 3) for n in range(60)]
    source = release(tmp_path, videos)
    fill(source / "f", kind)
    vision = store.write(drafted(source, features=kind), tmp_path / "csmv.h5").frames["vision"]
    assert len(vision) == 60 and len(vision.values) == sum(LENGTHS.values())
    assert all(len(vision[i]) == LENGTHS[video] for i, video in enumerate(videos))
    np.testing.assert_array_equal(vision[59], array(kind, 7, 13))


def test_features_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    source = release(tmp_path)
    assert drafted(source).frames == {} and drafted(source, features="none").frames == {}
    with pytest.raises(DataError, match=r"There are no VideoMAE v2 features below the folder.*`features: none`"):
        drafted(source, features="videomae")


def test_features_that_are_not_wanted_are_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = release(tmp_path)
    fill(source / "f", "i3d")
    monkeypatch.setattr(csmv_features.np, "load", lambda *_, **__: pytest.fail("a file was read"))
    assert drafted(source, features="none").frames == {}
