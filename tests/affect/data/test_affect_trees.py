"""Emotion trees: their lists in either form, what lies in the tree, and what of it does not fit."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from affect.data import rules, store, trees
from affect.data.draft import Draft
from affect.data.store import Mending
from affect.errors import DataError

READERS: dict[str, tuple[Callable[[Path], Draft], tuple[str, ...]]] = {
    "videoemotion8": (trees.read_videoemotion8, rules.VIDEOEMOTION8),
    "ekman6": (trees.read_ekman6, rules.EKMAN6),
    "perr": (trees.read_perr, rules.PERR),
    "iemocap": (trees.read_iemocap_tree, rules.IEMOCAP4),
    "affwild2": (trees.read_affwild2_tree, rules.AFFWILD2),
}
SRT = "1\n00:00:00,500 --> 00:00:01,500\nLook at\nthat\n\n2\n00:00:02,000 --> 00:00:03,000\n{}\n"


@dataclass
class Tree:
    """A small tree of Ekman6 that a test can damage before it is read."""

    root: Path
    classes: tuple[str, ...] = rules.EKMAN6
    train: list[str] = field(default_factory=lambda: ["Anger/a 1", "Joy/b 4", "Joy/c 4"])
    test: list[str] = field(default_factory=lambda: ["Fear/d", "Anger/e"])

    def lists(self) -> Path:
        self.root.mkdir(exist_ok=True)
        numbered = [f"{number} {name}" for number, name in enumerate(self.classes, start=1)]
        for name, lines in (("classInd", numbered), ("trainlist01", self.train), ("testlist01", self.test)):
            (self.root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        return self.root

    def json(self, name: str = "x_01.json", labels: tuple[str, ...] | None = None, **changed: Any) -> Path:
        self.root.mkdir(exist_ok=True)
        told = {**as_json(self.train, "training"), **as_json(self.test, "validation"), **changed}
        kept = {key: value for key, value in told.items() if value is not None}
        (self.root / name).write_text(json.dumps({"labels": list(labels or self.classes), "database": kept}))
        return self.root / name

    def media(self, kind: str = "imgs") -> Path:
        for line in self.train + self.test:
            path = line.split(" ")[0]
            self.put(f"{kind}/{path}/n_frames", "12")
            self.put(f"mp3/{path}.mp3", "")
            self.put(f"srt/{path}.srt", SRT.format(path))
        return self.root

    def put(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)


def as_json(lines: list[str], subset: str) -> dict[str, Any]:
    parts = [line.split(" ")[0].split("/") for line in lines]
    return {name: {"subset": subset, "annotations": {"label": word}} for word, name in parts}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def told(draft: Draft) -> list[str]:
    return [problem.what for problem in draft.problems]


def emotions(draft: Draft) -> list[str]:
    labels = draft.labels["emotion"]
    return [labels.classes[number] for number in labels.values]


# the lists


@pytest.mark.parametrize("form", ["lists", "json", "file", "both"])
def test_the_same_samples_from_either_form(form: str, tree: Tree, tmp_path: Path) -> None:
    tree.lists() if form in ("lists", "both") else None
    file = tree.json() if form != "lists" else tree.root
    draft = trees.read_ekman6(file if form == "file" else tree.root)
    assert draft.ids == ["Anger/a", "Joy/b", "Joy/c", "Fear/d", "Anger/e"]
    assert draft.splits == ["train", "valid", "train", "test", "test"], "the hash of Joy/b holds it out"
    assert emotions(draft) == ["Anger", "Joy", "Joy", "Fear", "Anger"]
    assert draft.labels["polarity"].values.tolist() == [0, 2, 2, 0, 0]
    assert draft.media == {} and draft.texts is None and draft.root == tree.root and not draft.problems
    names = {path.name for path in draft.sources}
    texts, jsons = {"classInd.txt", "trainlist01.txt", "testlist01.txt"}, {"x_01.json"}
    assert names == {"lists": texts, "both": texts | jsons}.get(form, jsons)
    assert ("validation is the test list" in " ".join(draft.notes)) == (form != "lists")
    assert "valid split is made from the training list" in " ".join(draft.notes)
    assert store.write(draft, tmp_path / "x.h5").ids == draft.ids


@pytest.mark.parametrize("family", READERS)
def test_each_family_reads_its_classes_in_whatever_case(family: str, tmp_path: Path) -> None:
    read, classes = READERS[family]
    names = {"iemocap": "Ses01F_impro01_F{:03d}", "affwild2": "7-60_Train_{}to99"}.get(family, "v{}")
    lines = [f"{word.lower()}/{names.format(i)} {i + 1}" for i, word in enumerate(classes)]
    tree = Tree(tmp_path, classes, train=lines, test=[])
    draft = read(tree.media().joinpath(tree.lists()))
    assert emotions(draft) == list(classes) and not draft.problems and draft.name == family
    assert draft.ids[0] == f"{classes[0]}/{names.format(0)}"
    assert draft.media["frames"][0] == f"imgs/{classes[0].lower()}/{names.format(0)}", "as it is on disk"
    assert ("polarity" in draft.labels) == (family in rules.POLARITY_OF)


def test_lists_of_windows_without_numbers_and_without_class_numbers(tree: Tree) -> None:
    tree.lists()
    (tree.root / "classInd.txt").unlink()
    (tree.root / "trainlist01.txt").write_bytes(b"\xef\xbb\xbfAnger/a\r\n\r\nJoy/b 4\r\n")
    draft = trees.read_ekman6(tree.root)
    assert draft.ids[:2] == ["Anger/a", "Joy/b"] and not draft.problems


@pytest.mark.parametrize(
    ("line", "index", "what"),
    [
        ("Joy/b 3", 1, r"trainlist01\.txt line 2 \(Joy/b\): 3 is not the number of Joy"),
        ("Glee/b 4", -1, r"trainlist01\.txt line 2 \(Glee/b\): 'Glee' is none of Anger, Disgust"),
        ("Joy b", -1, r"trainlist01\.txt line 2: 'Joy b' is no `Class/video`"),
    ],
)
def test_lines_that_do_not_fit(line: str, index: int, what: str, tree: Tree, tmp_path: Path) -> None:
    tree.train[1] = line
    draft = trees.read_ekman6(tree.lists())
    assert [problem.index for problem in draft.problems] == [index]
    with pytest.raises(DataError, match=what):
        store.write(draft, tmp_path / "x.h5")
    assert store.write(draft, tmp_path / "x.h5", Mending(drop=True)).ids == ["Anger/a", "Joy/c", "Fear/d", "Anger/e"]


def test_a_video_that_is_listed_twice_is_refused(tree: Tree, tmp_path: Path) -> None:
    tree.test.append("Joy/b")
    with pytest.raises(DataError, match="id `Joy/b` is that of sample 1 too"):
        store.write(trees.read_ekman6(tree.lists()), tmp_path / "x.h5")


def test_numbers_of_classes_are_those_of_the_file(tree: Tree) -> None:
    tree.classes = tuple(reversed(rules.EKMAN6))
    tree.train = ["Anger/a 6", "Joy/b 3"]
    draft = trees.read_ekman6(tree.lists())
    assert not draft.problems and draft.labels["emotion"].values.tolist()[:2] == [0, 3]


@pytest.mark.parametrize("name", ["..", "../../x", "/etc/passwd", "a/b", ".", "a\\b", "a\tb", ""])
@pytest.mark.parametrize("form", ["lists", "json"])
def test_names_that_lead_out_of_the_tree(name: str, form: str, tree: Tree) -> None:
    if form == "lists":
        tree.train[1] = f"Joy/{name} 4" if name else "Joy/"
        tree.lists()
    else:
        tree.json(**{name: {"subset": "training", "annotations": {"label": "Joy"}}})
    with pytest.raises(DataError, match="is no name of a file in the dataset's own folder"):
        trees.read_ekman6(tree.root)


@pytest.mark.parametrize("line", ["/etc/passwd", "../Joy/b 4", "Joy\\b/.. 4"])
def test_lines_that_begin_elsewhere(line: str, tree: Tree) -> None:
    tree.train[1] = line
    with pytest.raises(DataError, match=r"trainlist01\.txt line 2: .* is no name"):
        trees.read_ekman6(tree.lists())


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\ud800"])
def test_keys_of_a_json_with_hidden_signs(name: str, tree: Tree) -> None:
    tree.json(**{name: {"subset": "training", "annotations": {"label": "Joy"}}})
    with pytest.raises(DataError, match=r"x_01\.json: .* is no name of a file"):
        trees.read_ekman6(tree.root)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"subset": "testing", "annotations": {"label": "Joy"}}, r"x_01\.json \(b\): subset 'testing' is none of"),
        ({"subset": ["training"], "annotations": {"label": "Joy"}}, r"\(b\): subset \['training'\] is none of"),
        ({"subset": "training", "annotations": {"label": "Glee"}}, r"\(b\): label 'Glee' is none of"),
        ({"subset": "training", "annotations": {"label": 3}}, r"\(b\): label 3 is none of"),
        ({"subset": "training", "annotations": "Joy"}, r"\(b\): it has no `subset` and `annotations.label`"),
        (7, r"\(b\): it has no `subset` and `annotations.label`"),
    ],
)
def test_entries_of_a_json_that_do_not_fit(value: Any, what: str, tree: Tree, tmp_path: Path) -> None:
    draft = trees.read_ekman6(tree.json(b=value))
    assert len(draft) == 4
    with pytest.raises(DataError, match=what):
        store.write(draft, tmp_path / "x.h5")


def test_a_key_that_a_json_has_twice_is_told(tree: Tree) -> None:
    path = tree.json()
    entry = '"b": {"subset": "training", "annotations": {"label": "Fear"}}'
    path.write_text(path.read_text().replace('"database": {', f'"database": {{{entry}, '))
    draft = trees.read_ekman6(path)
    assert told(draft) == ["x_01.json ('b'): the key is there more than once, and only the last is read"]
    assert "Joy/b" in draft.ids and "Fear/b" not in draft.ids


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is no JSON"), ("[]", "holds no labels and database"), ("[" * 100_000, "is no JSON"),
        ('{"labels": 3, "database": {}}', "its labels are 3, not Anger"),
        ('{"labels": ["Anger"], "database": {}}', r"its labels are \['Anger'\], not Anger"),
        ('{"labels": ["anger","disgust","fear","joy","sadness","surprise"]}', "has no `database`"),
        ('{"labels": ["anger","disgust","fear","joy","sadness","surprise"], "database": []}', "has no `database`"),
        ('{"labels": ' + "9" * 5000 + "}", "is no JSON"),
    ],
)  # fmt: skip
def test_a_json_that_is_no_list(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=what):
        trees.read_ekman6(tmp_path / "x.json")


def test_the_json_of_another_dataset(tree: Tree) -> None:
    with pytest.raises(DataError, match=r"x_01\.json: its labels are .*, not Hostile, .* is it another's\?"):
        trees.read_perr(tree.json())


def test_folders_without_lists_and_with_half_of_them(tree: Tree) -> None:
    with pytest.raises(DataError, match="there is no"):
        trees.read_ekman6(tree.root)
    tree.media()
    with pytest.raises(DataError, match="holds no list"):
        trees.read_ekman6(tree.root)
    tree.lists()
    (tree.root / "testlist01.txt").unlink()
    with pytest.raises(DataError, match=r"holds no testlist01\.txt"):
        trees.read_ekman6(tree.root)


def test_two_json_files_are_too_many(tree: Tree) -> None:
    tree.json("a.json")
    tree.json("b.json")
    with pytest.raises(DataError, match=r"holds a\.json and b\.json; give the one"):
        trees.read_ekman6(tree.root)
    assert len(trees.read_ekman6(tree.root / "b.json")) == 5
    (tree.root / "a.json").rename(tree.root / "._b.json")
    assert len(trees.read_ekman6(tree.root)) == 5, "hidden files are none of the dataset's"


@pytest.mark.parametrize(
    ("text", "what"),
    [("1 Anger\n2 Glee\n", "line 2: '2 Glee' is no number and one of"), ("1 Anger\n", "names 1 of the 6 classes"),
     ("one Anger\n", "line 1: 'one Anger'")],
)  # fmt: skip
def test_damaged_numbers_of_classes(text: str, what: str, tree: Tree) -> None:
    (tree.lists() / "classInd.txt").write_text(text)
    with pytest.raises(DataError, match=rf"classInd\.txt {what}"):
        trees.read_ekman6(tree.root)


# both forms of the lists at once


@pytest.mark.parametrize(
    ("changed", "index", "what"),
    [
        ({"b": {"subset": "validation", "annotations": {"label": "Joy"}}}, 1,
         "x_01.json (Joy/b): it is Joy/b in test here, train in the text lists"),
        ({"b": {"subset": "training", "annotations": {"label": "Fear"}}}, 1,
         "x_01.json (Joy/b): it is Fear/b in train here, train in the text lists"),
        ({"b": None}, 1, "x_01.json (Joy/b): it is in the text lists, and not in this file"),
        ({"z": {"subset": "training", "annotations": {"label": "Joy"}}}, -1, "x_01.json (Joy/z): it is in no text list"),
    ],
)  # fmt: skip
def test_lists_that_disagree(changed: dict[str, Any], index: int, what: str, tree: Tree) -> None:
    tree.json(**changed)
    draft = trees.read_ekman6(tree.lists())
    assert [(problem.index, problem.what) for problem in draft.problems] == [(index, what)]
    assert len(draft) == 5


def test_a_name_in_two_classes_is_two_samples_and_the_json_has_lost_one(tree: Tree, tmp_path: Path) -> None:
    tree.train.append("Fear/a 3")
    draft = trees.read_ekman6(tree.lists())
    assert "Anger/a" in draft.ids and "Fear/a" in draft.ids and not draft.problems
    assert "The name a is that of a video in each of Anger, Fear." in draft.notes
    tree.json()
    draft = trees.read_ekman6(tree.root)
    assert told(draft) == ["x_01.json (Anger/a): it is Fear/a in train here, train in the text lists"]
    written = store.write(draft, tmp_path / "x.h5", Mending(drop=True))
    assert sorted(written.ids) == sorted(trees.read_ekman6(tree.root / "x_01.json").ids)


# the tree


@pytest.mark.parametrize("frames", ["img", "imgs"])
def test_media_and_words_of_a_tree(frames: str, tree: Tree, tmp_path: Path) -> None:
    tree.lists()
    draft = trees.read_ekman6(tree.media(frames))
    assert draft.media == {
        "frames": [f"{frames}/{name}" for name in draft.ids],
        "audio": [f"mp3/{name}.mp3" for name in draft.ids],
        "subtitles": [f"srt/{name}.srt" for name in draft.ids],
    }
    assert draft.texts == [f"Look at that {name}" for name in draft.ids] and not draft.problems
    written = store.write(draft, tmp_path / "x.h5")
    found = written.media("frames", 1)
    assert found == tree.root / frames / "Joy" / "b" and (found / "n_frames").is_file()
    assert {source["file"] for source in written.about["sources"]} >= {"a.srt", "trainlist01.txt"}


def test_a_json_given_directly_finds_the_tree_beside_it(tree: Tree) -> None:
    tree.media()
    draft = trees.read_ekman6(tree.json())
    assert draft.media["audio"][0] == "mp3/Anger/a.mp3" and draft.root == tree.root


def test_sound_as_wav_in_either_folder(tree: Tree) -> None:
    tree.lists()
    for folder in ("mp3", "wav"):
        tree.put(f"{folder}/Joy/b.wav", "")
        assert trees.read_ekman6(tree.root).media == {"audio": ["", f"{folder}/Joy/b.wav", "", "", ""]}
        (tree.root / folder / "Joy" / "b.wav").unlink()
        (tree.root / folder / "Joy").rmdir()
        (tree.root / folder).rmdir()


@pytest.mark.parametrize("text", ["0", "-3", "many", "", "12.5", "9" * 5000, "1\x00"])
def test_n_frames_that_is_no_number_above_0(text: str, tree: Tree) -> None:
    tree.lists()
    tree.media()
    tree.put("imgs/Joy/b/n_frames", text)
    draft = trees.read_ekman6(tree.root)
    assert [problem.index for problem in draft.problems] == [1]
    assert told(draft)[0].startswith("ekman6 sample 1 (Joy/b): ") and "n_frames" in told(draft)[0]


def test_frames_that_are_missing(tree: Tree) -> None:
    tree.lists()
    tree.media()
    (tree.root / "imgs/Joy/b/n_frames").unlink()
    (tree.root / "imgs/Fear/d/n_frames").unlink()
    (tree.root / "imgs/Fear/d").rmdir()
    assert told(trees.read_ekman6(tree.root)) == [
        "ekman6 sample 1 (Joy/b): its n_frames cannot be read",
        "ekman6 sample 3 (Fear/d): it has no folder of frames",
    ]


def test_sound_and_subtitles_may_be_missing_and_are_counted(tree: Tree) -> None:
    tree.lists()
    tree.media()
    (tree.root / "mp3/Joy/b.mp3").unlink()
    (tree.root / "srt/Joy/b.srt").unlink()
    (tree.root / "srt/Joy/c.srt").unlink()
    draft = trees.read_ekman6(tree.root)
    assert not draft.problems and draft.media["audio"][1] == "" and draft.texts is not None
    assert draft.texts[1:3] == ["", ""] and draft.texts[0]
    assert "1 samples have no audio." in draft.notes and "2 samples have no subtitles." in draft.notes


def test_damaged_subtitles_are_a_problem_of_their_sample(tree: Tree) -> None:
    tree.lists()
    tree.media()
    tree.put("srt/Joy/c.srt", "what\n")
    draft = trees.read_ekman6(tree.root)
    assert [problem.index for problem in draft.problems] == [2]
    assert told(draft)[0].startswith("ekman6 sample 2 (Joy/c): c.srt line 1: ")


def test_what_is_on_no_list_is_counted(tree: Tree) -> None:
    tree.lists()
    tree.media()
    tree.put("imgs/Joy/z/n_frames", "1")
    tree.put("imgs/Glee/y/n_frames", "1")
    tree.put("imgs/.DS_Store", "")
    notes = trees.read_ekman6(tree.root).notes
    assert "1 frames are on no list, and are left out." in notes
    assert "imgs/Glee is no class, and is left out." in notes and len(notes) == 3


@pytest.mark.parametrize(
    ("extra", "what"), [("img/Joy/b/n_frames", "holds imgs and img"), ("imgs/joy/z/n_frames", "holds Joy and joy")]
)
def test_two_folders_for_one_thing(extra: str, what: str, tree: Tree) -> None:
    tree.lists()
    tree.media()
    tree.put(extra, "1")
    with pytest.raises(DataError, match=what):
        trees.read_ekman6(tree.root)


def test_the_lower_case_tense_of_erato(tmp_path: Path) -> None:
    tree = Tree(tmp_path, rules.PERR, train=["tense/a 5"], test=["Tense/b"])
    tree.lists()
    tree.put("img/tense/a/n_frames", "3")
    tree.put("img/tense/b/n_frames", "3")
    draft = trees.read_perr(tmp_path)
    assert draft.media["frames"] == ["img/tense/a", "img/tense/b"] and not draft.problems
    assert draft.ids == ["Tense/a", "Tense/b"] and draft.labels["polarity"].values.tolist() == [0, 0]


def test_no_frame_is_looked_at(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.lists()
    tree.media()
    scanned: list[Path] = []
    real = trees.scan

    def scan(folder: Path) -> list[str]:
        scanned.append(folder)
        return real(folder)

    monkeypatch.setattr(trees, "scan", scan)
    trees.read_ekman6(tree.root)
    assert len(scanned) == len(set(scanned)) == 3 * (1 + 3), "each kind of media, and three classes in each"


# splits and groups


def test_valid_is_one_in_ten_and_at_least_one_of_a_class(tmp_path: Path) -> None:
    train = [f"Joy/v{i} 4" for i in range(300)] + [f"Fear/f{i} 3" for i in range(10)]
    tree = Tree(tmp_path, train=train, test=[f"Joy/t{i}" for i in range(100)])
    draft = trees.read_ekman6(tree.lists())
    found = Counter(zip(emotions(draft), draft.splits, strict=True))
    assert 15 <= found["Joy", "valid"] <= 50 and found["Joy", "test"] == 100
    assert 1 <= found["Fear", "valid"] <= 4 and found["Fear", "train"] + found["Fear", "valid"] == 10
    tree.json()
    assert trees.read_ekman6(tmp_path / "x_01.json").splits == draft.splits, "the same from the JSON"


def test_what_the_name_of_an_utterance_tells(tmp_path: Path) -> None:
    names = ["Ses01F_impro01_F000", "Ses01F_impro01_M004", "Ses05M_script01_1b_F010", "v17"]
    tree = Tree(tmp_path, rules.IEMOCAP4, train=[f"Anger/{name} 1" for name in names], test=[])
    draft = trees.read_iemocap_tree(tree.lists())
    assert draft.groups == {
        "session": ["Ses01", "Ses01", "Ses05", ""],
        "dialogue": ["Ses01F_impro01", "Ses01F_impro01", "Ses05M_script01_1b", ""],
        "speaker": ["Ses01_F", "Ses01_M", "Ses05_F", ""],
    }
    assert [(p.index, p.what) for p in draft.problems] == [
        (3, "iemocap (Anger/v17): the name is not that of its dataset")
    ]


def test_runs_of_one_video_stay_in_one_split(tmp_path: Path) -> None:
    names = [
        f"{i}-60-1920x1080{side}_Train_{k}to{k + 40}" for i in range(40) for side in ("_left", "") for k in (1, 99)
    ]
    tree = Tree(tmp_path, rules.AFFWILD2, train=[f"Fear/{name} 3" for name in names], test=["Joy/x"][:0])
    draft = trees.read_affwild2_tree(tree.lists())
    splits: dict[str, set[str]] = {}
    for video, split in zip(draft.groups["video"], draft.splits, strict=True):
        splits.setdefault(video, set()).add(split)
    assert set(splits) == {f"{i}-60-1920x1080" for i in range(40)}
    assert set(map(len, splits.values())) == {1} and "valid" in draft.splits
    assert "one video in ten" in draft.notes[-1] and not draft.problems


# the lists of the releases, where they are at hand

REAL = Path(os.environ.get("HPC_SWEEP_REAL_DATA", "/nonexistent"))
real = pytest.mark.skipif(not REAL.is_dir(), reason="HPC_SWEEP_REAL_DATA names no folder with the datasets' lists")
SHARED_NAME = "3527012618_7ceb8fb27b_700"  # VideoEmotion8 has it as Disgust and as Fear, both for training


def count(draft: Draft, split: str) -> tuple[int, ...]:
    """How many of each class are in the release's own `train` or `test`."""
    kept = ("train", "valid") if split == "train" else (split,)
    found = Counter(word for word, place in zip(emotions(draft), draft.splits, strict=True) if place in kept)
    return tuple(found[word] for word in draft.labels["emotion"].classes)


@real
def test_videoemotion8_as_released(tmp_path: Path) -> None:
    draft = trees.read_videoemotion8(REAL / "ve8")
    assert not draft.problems and len(draft) == 1098
    assert count(draft, "train") == (74, 64, 75, 113, 114, 64, 166, 61) and sum(count(draft, "train")) == 731
    assert count(draft, "test") == (27, 36, 39, 54, 66, 36, 70, 39) and sum(count(draft, "test")) == 367
    assert draft.splits.count("valid") == 72
    assert f"Fear/{SHARED_NAME}" in draft.ids and f"Disgust/{SHARED_NAME}" not in draft.ids
    assert store.write(draft, tmp_path / "x.h5").ids == draft.ids


@real
def test_ekman6_as_released(tmp_path: Path) -> None:
    draft = trees.read_ekman6(REAL / "ek6" / "ek6_01.json")
    assert not draft.problems and len(draft) == 1637 and draft.splits.count("valid") == 81
    assert count(draft, "train") == (113, 119, 144, 152, 111, 180) and sum(count(draft, "train")) == 819
    assert count(draft, "test") == (112, 120, 143, 153, 110, 180) and sum(count(draft, "test")) == 818
    assert store.write(draft, tmp_path / "x.h5").ids == draft.ids


@real
def test_the_name_that_the_json_of_videoemotion8_has_lost(tmp_path: Path) -> None:
    known = json.loads((REAL / "ve8" / "ve8_01.json").read_text())
    lines: dict[str, list[str]] = {"training": [f"Disgust/{SHARED_NAME}"], "validation": []}
    for name, entry in known["database"].items():
        lines[entry["subset"]].append(f"{entry['annotations']['label']}/{name}")
    tree = Tree(tmp_path / "lists", rules.VIDEOEMOTION8, lines["training"], lines["validation"])
    draft = trees.read_videoemotion8(tree.lists())
    assert sum(count(draft, "train")) == 732 and sum(count(draft, "test")) == 367 and not draft.problems
    assert f"The name {SHARED_NAME} is that of a video in each of Disgust, Fear." in draft.notes
    (tree.root / "ve8_01.json").write_text(json.dumps(known))
    assert told(trees.read_videoemotion8(tree.root)) == [
        f"ve8_01.json (Disgust/{SHARED_NAME}): it is Fear/{SHARED_NAME} in train here, train in the text lists"
    ]
