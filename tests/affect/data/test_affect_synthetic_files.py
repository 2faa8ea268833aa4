"""Synthetic data on disk: the forms are those of the real files, and the importers read them without a problem."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data import pickles, rules, store, synthetic_media
from affect.data.draft import Draft
from affect.data.rules import by_sign
from affect.data.synthetic import Domain, World
from affect.data.synthetic_files import (
    CSMV_FEATURES,
    FACES,
    LEXICON_FILE,
    MELD_COLUMNS,
    MELD_FILES,
    RELEASE,
    world_for,
    write_csmv,
    write_dataset,
    write_lexicon,
    write_meld,
    write_tree,
)  # fmt: skip
from affect.data.synthetic_mmsa import SHAPES, write_mmsa
from affect.data.synthetic_text import LEXICON, Sentence, sentences
from affect.data.synthetic_truth import SENTIMENT, face_world
from affect.encoders import video
from affect.encoders.media import packet_times
from affect.encoders.video import write_video
from affect.errors import DataError

Sizes = tuple[int, int, int]


def made(name: str, sizes: Sizes = (12, 9, 10)) -> tuple[World, Domain, list[Sentence]]:
    world = world_for(name)
    domain = world.domain(name, sizes)
    return world, domain, sentences(domain)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# MMSA


@pytest.mark.parametrize("name", ["mosi", "mosei"])
@pytest.mark.parametrize("aligned", [True, False])
def test_an_mmsa_pickle_has_the_keys_types_and_shapes_of_the_real_one(tmp_path: Path, name: str, aligned: bool) -> None:
    _, domain, told = made(name)
    ids = write_mmsa(domain, told, tmp_path / "a.pkl", aligned)
    assert (tmp_path / "a.pkl").read_bytes()[:2] == b"\x80\x04"  # protocol 4
    content, shape = pickles.load(tmp_path / "a.pkl"), SHAPES[name]
    audio, vision = (50, 50) if aligned else (shape.audio_frames, shape.vision_frames)
    wanted = {
        "text": ((50, 768), np.float32), "text_bert": ((3, 50), np.int64), "audio": ((audio, shape.audio), np.float64),
        "vision": ((vision, shape.vision), np.float64), "regression_labels": ((), np.float32),
        "classification_labels": ((), np.int64),
    }  # fmt: skip
    strings = {"raw_text", "id", "annotations"}
    lengths = set() if aligned else {"audio_lengths", "vision_lengths"}
    assert list(content) == ["train", "valid", "test"]
    for split, count in zip(content, (12, 9, 10), strict=True):
        part = content[split]
        assert set(part) == {*wanted, *strings, *lengths}
        assert all((part[k].shape, part[k].dtype) == ((count, *s), t) for k, (s, t) in wanted.items())
        assert all(part[k].dtype.kind == "U" and len(part[k]) == count for k in strings)
        assert all(np.isfinite(part[k]).all() for k in ("text", "audio", "vision"))
    assert [i for part in content.values() for i in part["id"].tolist()] == ids
    assert len(set(ids)) == 31 and all(len(i.split("$_$")[0]) == 11 for i in ids)


def test_an_mmsa_pickle_holds_the_causal_model(tmp_path: Path) -> None:
    _, domain, told = made("mosei", (40, 9, 9))
    write_mmsa(domain, told, tmp_path / "a.pkl")
    part = pickles.load(tmp_path / "a.pkl")["train"]
    mask = part["text_bert"][:, 1].sum(axis=1)
    assert mask.tolist() == domain.text.lengths[:40].tolist()
    assert part["regression_labels"].tolist() == domain.scores[:40].astype(np.float32).tolist()
    assert part["classification_labels"].tolist() == by_sign(domain.scores[:40]).tolist()
    for i in range(40):
        assert np.array_equal(part["text"][i, : mask[i]], domain.text.sequence(i))
        assert np.allclose(part["vision"][i, : mask[i], :20], domain.vision.sequence(i))
        assert not part["text"][i, mask[i] :].any() and not part["vision"][i, mask[i] :].any()
        assert part["text_bert"][i, 0, 0] == 101 and part["text_bert"][i, 0, mask[i] - 1] == 102
        assert not part["text_bert"][i, 2].any() and part["raw_text"][i] == told[i].text


def test_the_unaligned_form_repeats_frames_and_leaves_something_behind_some_ends(tmp_path: Path) -> None:
    _, domain, told = made("mosi", (60, 9, 9))
    write_mmsa(domain, told, tmp_path / "u.pkl", aligned=False)
    part = pickles.load(tmp_path / "u.pkl")["train"]
    assert part["vision_lengths"] == (7 * domain.text.lengths[:60]).tolist() and max(part["vision_lengths"]) <= 500
    assert part["audio_lengths"] == (5 * domain.text.lengths[:60]).tolist() and max(part["audio_lengths"]) <= 375
    stale = [part["vision"][i, length:].any() for i, length in enumerate(part["vision_lengths"])]
    assert 0 < sum(stale) < 30
    means = np.stack([part["vision"][i, :length].mean(axis=0) for i, length in enumerate(part["vision_lengths"])])
    assert np.allclose(means, domain.vision.pooled()[:60], atol=0.02)


def test_mmsa_has_no_file_of_meld_nor_room_for_any_width(tmp_path: Path) -> None:
    _, domain, told = made("meld")
    with pytest.raises(DataError, match="no MMSA file of `meld`: there are mosi, mosei"):
        write_mmsa(domain, told, tmp_path / "a.pkl")
    wide = World(width_text=30, width_vision=40).domain("mosi", 5)
    with pytest.raises(DataError, match="mosi has 40 columns of vision, and its MMSA file has room for 20"):
        write_mmsa(wide, sentences(wide), tmp_path / "a.pkl")
    assert not (tmp_path / "a.pkl").exists()


# MELD


def test_meld_tables_have_the_columns_and_words_of_the_real_ones(tmp_path: Path) -> None:
    _, domain, told = made("meld", (40, 12, 12))
    ids = write_meld(domain, told, tmp_path)
    seen = []
    for split, (table, _) in MELD_FILES.items():
        with open(tmp_path / table, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == MELD_COLUMNS and rows[0]["Dialogue_ID"] == rows[0]["Utterance_ID"] == "0"
        for i, row in zip(domain.split(split), rows, strict=True):
            assert row["Utterance"] == told[i].text and row["Emotion"] in rules.MELD_EMOTIONS
            assert row["Sentiment"] == rules.POLARITY[domain.polarity[i]]
            assert row["StartTime"] < row["EndTime"] and len(row["StartTime"]) == 12 and row["StartTime"][8] == ","
            seen.append(f"{split}_dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}")
    assert seen == ids and len(set(ids)) == 64 and not list(tmp_path.rglob("*.mp4"))


def test_a_clip_is_as_long_as_its_row_says_and_shows_the_face_on_key_frames(tmp_path: Path) -> None:
    _, domain, told = made("meld", (3, 2, 2))
    write_meld(domain, told, tmp_path, video.write_video)
    clip = next(i for i in range(3) if abs(domain.scores[i]) > 1)
    path = sorted((tmp_path / "train_splits").iterdir(), key=lambda p: p.name)[clip]
    assert path.name.startswith("dia") and len(list(tmp_path.rglob("*.mp4"))) == 7
    pictures = [p.astype(float) for p in video.frames(path)]
    drawn = [p.astype(float) for p in synthetic_media.frames(domain, clip)]
    assert len(pictures) == domain.vision.lengths[clip]
    assert max(np.abs(a - b).mean() for a, b in zip(pictures, drawn, strict=True)) < 8


def test_the_mouth_follows_the_score_on_key_frames_only() -> None:
    domain = World(0, width_text=30).domain("meld", 60)
    for i in np.argsort(-np.abs(domain.scores))[:6]:
        pictures = np.stack(list(synthetic_media.frames(domain, int(i)))).astype(float)
        keys = domain.vision.keys[i]
        rest = np.setdiff1d(np.arange(len(pictures)), keys)
        mouth = slice(60, 90)
        middle = np.median(pictures[rest], axis=0)
        apart = np.abs(pictures - middle)[:, mouth].mean(axis=(1, 2, 3))
        assert pictures.shape[1:] == (96, 96, 3) and np.median(apart[keys]) > np.median(apart[rest])


def test_the_colour_behind_the_face_is_spurious() -> None:
    domain = World(0, width_text=30).domain("meld", 80)
    corner = np.array([next(synthetic_media.frames(domain, i))[:4, :4].mean(axis=(0, 1)) for i in range(80)])
    signs = np.sign(World(0).signs("meld"))
    found = [np.corrcoef(corner[:, c], domain.scores)[0, 1] for c in range(3)]
    assert (np.sign(found) == signs).all() and np.abs(found).min() > 0.6


def test_sound_is_loud_on_key_frames_and_high_for_high_scores() -> None:
    domain = World(0, width_text=30).domain("meld", 60)
    pitch = []
    for i in range(60):
        blocks = synthetic_media.sound(domain, i, 8).reshape(int(domain.vision.lengths[i]), -1)
        loud = np.abs(blocks).mean(axis=1)
        assert np.array_equal(np.flatnonzero(loud > 0.1), domain.vision.keys[i]) and np.abs(blocks).max() < 1
        pitch.append(np.abs(np.fft.rfft(blocks[domain.vision.keys[i][0]])).argmax())
    assert np.corrcoef(pitch, domain.scores)[0, 1] > 0.9


# CSMV


def test_csmv_has_the_files_of_the_release(tmp_path: Path) -> None:
    _, domain, told = made("csmv", (60, 10, 20))
    ids = write_csmv(domain, told, tmp_path)
    read = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    entries, lists = read["lable_data_dict.json"], [read[f"{n}_set.json"] for n in ("train", "dev", "test")]
    assert [len(names) for names in lists] == [60, 10, 20] and sum(lists, []) == ids
    assert len(entries) == 90 + 8  # some are in no list, as in the release
    first = entries[ids[0]]
    assert set(first) == {"video_file_id", "comment", "opinion_label", "emotion_label", "hashtag"}
    assert first["comment"] == told[0].text and ids[0] == f"{first['hashtag']}_0_{first['video_file_id']}"
    assert read["opinion_label_map.json"] == {"positive": 0, "neutral": 1, "negative": 2}
    assert list(read["emotion_label_map.json"]) == list(rules.CSMV_EMOTIONS)
    assert sorted(sum(read["video_to_comment.json"].values(), [])) == sorted(ids)
    for name_of_video, names in read["video_to_comment.json"].items():
        path = tmp_path / CSMV_FEATURES / f"{Path(name_of_video).stem}.npy"
        array = np.load(path, allow_pickle=False)
        assert array.dtype == np.float32 and array.shape[1] == 1024 and 12 <= len(array) <= 180
        assert {entries[name]["video_file_id"] for name in names} == {name_of_video}


# VideoEmotion8


def test_the_tree_has_the_folders_and_lists_of_the_release(tmp_path: Path) -> None:
    from PIL import Image

    _, domain, told = made("videoemotion8", (5, 0, 4))
    ids = write_tree(domain, told, tmp_path)
    for i, name in enumerate(ids):
        folder = tmp_path / "imgs" / name
        pictures = sorted(folder.glob("*.jpg"))
        assert pictures[0].name == "000001.jpg" and len(pictures) == domain.vision.lengths[i]
        assert (folder / "n_frames").read_text().strip() == str(len(pictures))
        with Image.open(pictures[0]) as picture:
            assert picture.size == (96, 96)
        assert (tmp_path / "mp3" / f"{name}.mp3").stat().st_size > 1000
        said = (tmp_path / "srt" / f"{name}.srt").read_text().split("\n\n")
        assert " ".join(block.split("\n")[2] for block in said if block) == told[i].text
    numbers = dict(line.split()[::-1] for line in (tmp_path / "classInd.txt").read_text().splitlines())
    assert numbers["Anger"] == "1" and len(numbers) == 8
    train = [line.split() for line in (tmp_path / "trainlist01.txt").read_text().splitlines()]
    assert [name for name, _ in train] == ids[:5] and all(numbers[n.split("/")[0]] == k for n, k in train)
    assert (tmp_path / "testlist01.txt").read_text().split() == ids[5:]
    listed = json.loads((tmp_path / "ve8_01.json").read_text())
    assert listed["labels"] == list(rules.VIDEOEMOTION8) and len(listed["database"]) == 9
    assert (tmp_path / LEXICON_FILE).read_text().count("senticnet['") == len(LEXICON)


# everything of a dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five, a handful of samples each."""
    folder = tmp_path_factory.mktemp("synthetic")
    for name in WRITTEN:
        world, domain, _ = made(name, WRITTEN[name])
        write_dataset(world, domain, folder / name, write_video)
    return folder


WRITTEN: dict[str, Sizes] = {
    "mosi": (10, 4, 5), "mosei": (10, 4, 5), "meld": (6, 4, 4), "csmv": (40, 8, 12), "videoemotion8": (8, 0, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_bytes_every_time(written: Path, tmp_path: Path, name: str) -> None:
    world, domain, _ = made(name, WRITTEN[name])
    write_dataset(world, domain, tmp_path / name, write_video)
    assert digests(tmp_path / name) == digests(written / name) != {}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_truth_says_what_is_invariant_and_what_is_key(written: Path, name: str) -> None:
    world, domain, told = made(name, WRITTEN[name])
    truth = json.loads((written / name / "truth.json").read_text())
    assert truth["columns"]["text"]["invariant"] == world.columns("text").invariant.tolist()
    assert ("faces" in truth["columns"]) == (name in SENTIMENT)
    samples = list(truth["samples"].values())
    for i, sample in enumerate(samples):
        assert sample["score"] == domain.scores[i]
        assert sample["key_frames"] == domain.vision.keys[domain.units[i]].tolist()
        assert all(told[i].values[int(place)] == value for place, value in sample["polar_words"].items())
        assert all(0 <= place < len(told[i].words) for place in sample["key_words"])
    with np.load(written / name / "truth.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["vision_spurious"], world.columns("vision").spurious)
        assert arrays["text_key_counts"].sum() == len(arrays["text_keys"]) and len(arrays["scores"]) == len(samples)


READERS = {
    "mosi": ("mmsa:read_mmsa", "aligned_50.pkl"),
    "mosei": ("mmsa:read_mmsa", "aligned_50.pkl"),
    "meld": ("meld:read_meld", ""),
    "csmv": ("csmv:read_csmv", ""),
    "videoemotion8": ("trees:read_videoemotion8", ""),
}


def read(written: Path, name: str) -> Draft:
    """What the importer of this form makes of it."""
    where, file = READERS[name]
    module, _, function = where.partition(":")
    imported = pytest.importorskip(f"affect.data.{module}")
    reader: Callable[[Path], Draft] = getattr(imported, function)
    return reader(written / name / RELEASE / file)


@pytest.mark.parametrize("name", READERS)
def test_its_importer_reads_it_without_a_problem(written: Path, tmp_path: Path, name: str) -> None:
    draft = read(written, name)
    assert draft.problems == [] and len(draft) == sum(WRITTEN[name])
    dataset = store.write(draft, tmp_path / f"{name}.h5")
    truth = json.loads((written / name / "truth.json").read_text())["samples"]
    assert dataset.ids == list(truth)
    scores = np.array([one["score"] for one in truth.values()])
    assert dataset.labels["polarity"].values.tolist() == rules.by_round(scores).tolist()
    if "emotion" in dataset.labels:
        labels = dataset.labels["emotion"]
        assert [labels.classes[v] for v in labels.values] == [one["emotion"] for one in truth.values()]
    if name != "videoemotion8":
        splits = [len(dataset.split(split)) for split in store.SPLITS]
        assert splits == list(WRITTEN[name])


@pytest.mark.parametrize(("name", "kind"), [("meld", "video"), ("videoemotion8", "frames"), ("videoemotion8", "audio")])
def test_its_importer_finds_every_clip(written: Path, name: str, kind: str) -> None:
    draft = read(written, name)
    assert draft.root is not None and all((draft.root / path).exists() and path for path in draft.media[kind])


@pytest.mark.parametrize("name", ["mosi", "mosei", "csmv"])
def test_its_importer_gets_the_features_of_the_causal_model(written: Path, name: str) -> None:
    draft, (_, domain, _) = read(written, name), made(name, WRITTEN[name])
    frames = draft.frames["vision"]
    for i in range(len(draft)):
        rows = frames.read(i if name != "csmv" else int(frames.of[i]))[:, : domain.vision.clips.shape[1]]
        assert np.allclose(rows, domain.vision.sequence(int(domain.units[i])))


@pytest.mark.parametrize("name", SENTIMENT)
def test_the_sentiment_datasets_have_features_of_faces_in_common(written: Path, name: str) -> None:
    vggface = pytest.importorskip("affect.data.vggface")
    world, domain, _ = made(name, WRITTEN[name])
    truth = json.loads((written / name / "truth.json").read_text())
    frames = vggface.read_face_features(written / name / RELEASE / FACES, list(truth["samples"]))
    wide = face_world(world).domain(name, WRITTEN[name])
    assert frames.width == 512 == truth["columns"]["faces"]["width"]
    assert frames.lengths.tolist() == domain.vision.lengths.tolist()
    assert all(np.array_equal(frames.read(i), wide.vision.sequence(i)) for i in range(len(domain)))


def test_the_lexicon_is_read_as_senticnet(tmp_path: Path) -> None:
    lexicon: Any = pytest.importorskip("affect.data.lexicon")
    write_lexicon(tmp_path / LEXICON_FILE)
    found = lexicon.read_senticnet(tmp_path / LEXICON_FILE)
    assert found.edition == 5 and len(found) == len(LEXICON)
    assert found.longest_matches(["so", "over", "the", "moon", "today"]) == [(1, 4, "over_the_moon")]
    for entry in LEXICON:
        label, value = found.polarity("_".join(entry.words))
        assert value == entry.value and label == ("positive" if value > 0 else "negative")


def test_the_sound_of_a_tree_decodes(written: Path) -> None:
    path = next((written / "videoemotion8" / RELEASE / "mp3").rglob("*.mp3"))
    assert 1.0 < max(packet_times(path, "audio")) < 4.0
