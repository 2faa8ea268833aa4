"""Synthetic domains in the forms that real datasets have on disk, and the truth beside them.

Owns what is written: MELD's tables and clips, CSMV's JSON and arrays, the folders of VideoEmotion8. Each
writer gives the ids that its files have, in the domain's order. MMSA pickles are written by `synthetic_mmsa`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affect.data import synthetic_media
from affect.data.draft import SPLITS
from affect.data.rules import CSMV_EMOTIONS, CSMV_OPINIONS, POLARITY, VIDEOEMOTION8
from affect.data.synthetic import Domain, World
from affect.data.synthetic_media import Film
from affect.data.synthetic_mmsa import write_mmsa
from affect.data.synthetic_text import LEXICON, Sentence, sentences
from affect.data.synthetic_truth import SENTIMENT, face_world, write_truth

RELEASE = "release"
FACES = "faces.h5"  # in the release of MOSI, MOSEI and MELD: what they have in common


def world_for(name: str, seed: int = 0, strength: float = 1.0) -> World:
    """The world that a dataset is made of. MOSI, MOSEI and MELD share theirs; CSMV's videos are as wide as I3D."""
    return World(seed, width_vision=1024 if name == "csmv" else 20, strength=strength)


def write_dataset(world: World, domain: Domain, folder: Path, film: Film | None = None) -> None:
    """Everything of one dataset: `release/` has the form that its users have, and the truth lies beside it.

    `film` writes MELD's clips; without it there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = sentences(domain)
    place = folder / RELEASE
    ids = write_meld(domain, told, place, film) if domain.name == "meld" else _PLAIN[domain.name](domain, told, place)
    if domain.name in SENTIMENT:
        write_faces(world, domain, ids, place / FACES)
    write_truth(world, domain, told, ids, folder)


def write_faces(world: World, domain: Domain, ids: Sequence[str], path: Path) -> None:
    """Features of faces by split and id, as wide as VGGFace2's: the same samples with other columns."""
    import h5py

    wide = face_world(world).domain(domain.name, domain.sizes).vision
    with h5py.File(path, "w") as file:
        for split in SPLITS:
            for i in domain.split(split):
                file.create_dataset(f"{split}/{ids[i]}", data=wide.sequence(i), track_times=False)


# MELD

MELD_FILES = {
    "train": ("train_sent_emo.csv", "train_splits"),
    "valid": ("dev_sent_emo.csv", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
}
MELD_COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip
_SPEAKERS = ("Ada", "Bela", "Carl", "Dina", "Emil", "The Waiter")


def write_meld(domain: Domain, told: Sequence[Sentence], folder: Path, film: Film | None = None) -> list[str]:
    """The three tables, and a clip for each row where there is something to write it."""
    ids: list[str] = []
    places = domain.places
    for split, (table, below) in MELD_FILES.items():
        chosen = domain.split(split)
        rows = [_meld_row(domain, told[i], i, i - chosen[0], places[i]) for i in chosen]
        names = [f"dia{row[5]}_utt{row[6]}" for row in rows]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / table, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([MELD_COLUMNS, *rows])
        if film is not None:
            for i, name in zip(chosen, names, strict=True):
                synthetic_media.write_clip(domain, i, folder / below / f"{name}.mp4", film)
        ids += [f"{split}_{name}" for name in names]
    return ids


def _meld_row(domain: Domain, told: Sentence, i: int, row: int, place: int) -> list[str | int]:
    rng, dialogue = domain.rng("speaker", i), int(domain.groups[i] - domain.groups[i - row])
    starts, seconds = 60 * dialogue % 1200 + 2 * place, int(domain.vision.lengths[i]) / synthetic_media.CLIP_RATE
    return [
        row + 1, told.text, _SPEAKERS[int(rng.integers(len(_SPEAKERS)))], domain.emotions[i],
        POLARITY[int(domain.polarity[i])], dialogue, place, dialogue % 9 + 1, dialogue % 24 + 1, _clock(starts),
        _clock(starts + seconds),
    ]  # fmt: skip


def _clock(seconds: float) -> str:
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}"


# CSMV

CSMV_LISTS = {"train": "train_set.json", "valid": "dev_set.json", "test": "test_set.json"}
_HASHTAGS = ("cooking", "football", "newphone", "rain", "schoolday", "streetmusic")
_UNUSED = 0.09  # more comments than the lists name, as in the release


def write_csmv(domain: Domain, told: Sequence[Sentence], folder: Path) -> list[str]:
    """The annotations, the lists of the splits, and an I3D-like array for each video."""
    ids, entries = [], {}
    for i, group in enumerate(domain.groups.tolist()):
        video, tag = _video(group), _HASHTAGS[group % len(_HASHTAGS)]
        ids.append(f"{tag}_{i}_{video}")
        entries[ids[-1]] = _comment(video, told[i].text, domain.polarity[i], domain.emotions[i], tag)
    unused = _video(int(domain.groups.max()) + 1)
    more = {
        f"{_HASHTAGS[0]}_{len(domain) + i}_{unused}": _comment(unused, told[i].text, 1, "joy", _HASHTAGS[0])
        for i in range(round(_UNUSED * len(domain)))
    }
    _json(folder / "lable_data_dict.json", entries | more)
    for split, name in CSMV_LISTS.items():
        _json(folder / name, [ids[i] for i in domain.split(split)])
    _json(folder / "opinion_label_map.json", {name: i for i, name in enumerate(CSMV_OPINIONS)})
    _json(folder / "emotion_label_map.json", {name: i for i, name in enumerate(CSMV_EMOTIONS)})
    of_video: dict[str, list[str]] = {}
    for name, entry in entries.items():
        of_video.setdefault(entry["video_file_id"], []).append(name)
    _json(folder / "video_to_comment.json", of_video)
    for group in sorted(set(domain.groups.tolist())):
        path = folder / CSMV_FEATURES / f"{Path(_video(group)).stem}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, domain.vision.sequence(group), allow_pickle=False)
    return ids


CSMV_FEATURES = "I3D"


def _video(group: int) -> str:
    return f"{7000000000000000000 + 7919 * group}.mp4"


def _comment(video: str, text: str, side: int, emotion: str, tag: str) -> dict[str, str]:
    return {
        "video_file_id": video, "comment": text, "opinion_label": POLARITY[side], "emotion_label": emotion,
        "hashtag": tag,
    }  # fmt: skip


# VideoEmotion8


def write_tree(domain: Domain, told: Sequence[Sentence], folder: Path) -> list[str]:
    """Frames, sound and subtitles by class and video, with the lists of the splits."""
    ids = []
    for i, emotion in enumerate(domain.emotions):
        name = f"{emotion}/{i:05d}_clip"
        ids.append(name)
        synthetic_media.write_frames(domain, i, folder / "imgs" / name)
        synthetic_media.write_sound(domain, i, folder / "mp3" / f"{name}.mp3")
        path = folder / "srt" / f"{name}.srt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_subtitles(told[i].text, synthetic_media.seconds(domain, i)), encoding="utf-8")
    numbers = {name: i for i, name in enumerate(VIDEOEMOTION8, start=1)}
    (folder / "classInd.txt").write_text("".join(f"{i} {name}\n" for name, i in numbers.items()))
    train, test = domain.split("train"), domain.split("test")
    (folder / "trainlist01.txt").write_text("".join(f"{ids[i]} {numbers[domain.emotions[i]]}\n" for i in train))
    (folder / "testlist01.txt").write_text("".join(f"{ids[i]}\n" for i in test))
    listed = {
        ids[i].split("/")[1]: {"subset": subset, "annotations": {"label": domain.emotions[i]}}
        for subset, chosen in (("training", train), ("validation", test))
        for i in chosen
    }
    write_lexicon(folder / LEXICON_FILE)
    _json(folder / "ve8_01.json", {"labels": list(VIDEOEMOTION8), "database": listed})
    return ids


LEXICON_FILE = "senticnet5.py"
_MOODS = {"anticipation": "interest", "trust": "admiration"}  # the others have the name of their emotion


def write_lexicon(path: Path) -> None:
    """The words whose polarity is known, as SenticNet 5 has them; those without an emotion have the plainest one."""
    lines = ["senticnet = {}"]
    for entry in LEXICON:
        mood = _MOODS.get(entry.emotion, entry.emotion) or ("joy" if entry.value > 0 else "sadness")
        label = "positive" if entry.value > 0 else "negative"
        row = [*["0"] * 4, f"#{mood}", f"#{mood}", label, str(entry.value), *["thing"] * 5]
        lines.append(f"senticnet[{'_'.join(entry.words)!r}] = {row!r}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _subtitles(text: str, seconds: float, words: int = 8) -> str:
    """An SRT file: some words at a time, evenly over the clip."""
    said = text.split()
    lines = [" ".join(said[i : i + words]) for i in range(0, len(said), words)]
    ends = [_clock(seconds * i / len(lines)) for i in range(len(lines) + 1)]
    return "".join(f"{i + 1}\n{ends[i]} --> {ends[i + 1]}\n{line}\n\n" for i, line in enumerate(lines))


def _write_pickle(domain: Domain, told: Sequence[Sentence], folder: Path) -> list[str]:
    return write_mmsa(domain, told, folder / "aligned_50.pkl")


_PLAIN: Mapping[str, Callable[[Domain, Sequence[Sentence], Path], list[str]]] = {
    "mosi": _write_pickle, "mosei": _write_pickle, "csmv": write_csmv, "videoemotion8": write_tree,
}  # fmt: skip


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
