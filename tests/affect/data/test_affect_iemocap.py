"""IEMOCAP as released: what EmoEvaluation says of each utterance, and where its words and media are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from affect.data import store
from affect.data.draft import Draft
from affect.data.iemocap import read_iemocap, utterance
from affect.data.store import Mending
from affect.errors import DataError

HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
SINGLE = (
    "C-E2:\tNeutral;\t()\nC-F1:\tAnger; Frustration;\t(quiet)\nA-E3:\tval 3; act 2; dom  2;\t()\nA-M1:\tval 1;\t()\n\n"
)
CODES = ["ang", "hap", "sad", "neu", "exc", "fru", "xxx"]


def turn(name: str, code: str, start: float = 6.2901, scores: str = "2.5000, 3.5000, 1.0000") -> str:
    return f"[{start:.4f} - {start + 2:.4f}]\t{name}\t{code}\t[{scores}]\n{SINGLE}"


class Release:
    """Five sessions of one dialogue; utterance k of each has the k-th of CODES."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for session in range(1, 6):
            dialogue = f"Ses0{session}F_impro01"
            names = [f"{dialogue}_{'FM'[k % 2]}{k:03d}" for k in range(len(CODES))]
            rows = [turn(name, code, k * 3) for k, (name, code) in enumerate(zip(names, CODES, strict=True))]
            words = [f"{name} [00{k}.0000-00{k}.5000]: Word {k}: of {name}\n" for k, name in enumerate(names)]
            self.put(f"Session{session}/dialog/EmoEvaluation/{dialogue}.txt", HEAD + "".join(rows))
            self.put(f"Session{session}/dialog/EmoEvaluation/._{dialogue}.txt", "\x01\x02")
            self.put(f"Session{session}/dialog/EmoEvaluation/Categorical/{dialogue}_e1_cat.txt", "junk")
            self.put(f"Session{session}/dialog/transcriptions/{dialogue}.txt", "".join(words))
            self.put(f"Session{session}/dialog/avi/DivX/{dialogue}.avi", "")
            for name in names:
                self.put(f"Session{session}/sentences/wav/{dialogue}/{name}.wav", "")

    def put(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.put(name, text.replace(old, new, 1))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "iemocap")


FIRST = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
WORDS = "Session1/dialog/transcriptions/Ses01F_impro01.txt"


def emotions(draft: Draft) -> list[str]:
    return [draft.labels["emotion"].classes[number] for number in draft.labels["emotion"].values]


def told(draft: Draft) -> list[str]:
    return [problem.what for problem in draft.problems]


def test_four_ways_with_words_media_and_scores(release: Release, tmp_path: Path) -> None:
    draft = read_iemocap(release.root)
    assert not draft.problems and len(draft) == 25
    assert draft.ids[:2] == ["Ses01F_impro01_F000", "Ses01F_impro01_M001"]
    assert emotions(draft)[:5] == ["Anger", "Happy", "Sadness", "Neutral", "Happy"], "excited counts as happy"
    assert draft.texts is not None and draft.texts[1] == "Word 1: of Ses01F_impro01_M001"
    assert draft.media["audio"][0] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert draft.media["video"][24] == "Session5/dialog/avi/DivX/Ses05F_impro01.avi"
    assert draft.groups["start"][2] == "6.0000" and draft.groups["end"][2] == "8.0000"
    assert {name: column[1] for name, column in draft.groups.items()} == {
        "session": "Ses01", "dialogue": "Ses01F_impro01", "speaker": "Ses01_M", "start": "3.0000", "end": "5.0000",
    }  # fmt: skip
    scores = {name: draft.labels[name].values for name in ("valence", "arousal", "dominance")}
    assert {name: set(values.tolist()) for name, values in scores.items()} == {
        "valence": {2.5}, "arousal": {3.5}, "dominance": {1.0},
    }  # fmt: skip
    written = store.write(draft, tmp_path / "x.h5")
    assert written.media("audio", 0) == release.root / draft.media["audio"][0]
    assert len(written.about["sources"]) == 10


def test_what_is_left_out_is_counted(release: Release) -> None:
    told = "Utterances of other emotions are left out by definition: {}."
    assert told.format("fru 5, xxx 5") in read_iemocap(release.root).notes
    assert told.format("xxx 5") in read_iemocap(release.root, ways=6).notes


def test_six_ways(release: Release) -> None:
    draft = read_iemocap(release.root, ways=6)
    assert draft.labels["emotion"].classes == ("Happy", "Sadness", "Neutral", "Anger", "Excited", "Frustrated")
    assert emotions(draft)[:6] == ["Anger", "Happy", "Sadness", "Neutral", "Excited", "Frustrated"]
    assert len(draft) == 30 and not draft.problems


@pytest.mark.parametrize(("test", "valid"), [(1, 5), (2, 1), (3, 2), (4, 3), (5, 4)])
def test_each_session_may_be_the_test(test: int, valid: int, release: Release) -> None:
    draft = read_iemocap(release.root, test_session=test)
    places = {name: {int(s[4]) for s, p in zip(draft.groups["session"], draft.splits, strict=True) if p == name}
              for name in ("train", "valid", "test")}  # fmt: skip
    assert places == {"train": {1, 2, 3, 4, 5} - {test, valid}, "valid": {valid}, "test": {test}}
    assert f"Session {test} is the test split and session {valid} the valid split." in draft.notes


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"ways": 5}, "ways is 5"), ({"test_session": 0}, "test_session is 0"), ({"test_session": 6}, "sessions .* 1 to 5")],
)  # fmt: skip
def test_settings_that_are_none(settings: dict[str, int], what: str, release: Release) -> None:
    with pytest.raises(DataError, match=what):
        read_iemocap(release.root, **settings)


@pytest.mark.parametrize("gone", ["Session4", "Session4/dialog/EmoEvaluation"])
def test_a_session_that_is_not_there(gone: str, release: Release) -> None:
    shutil.rmtree(release.root / gone)
    with pytest.raises(DataError, match=r"Session4 holds no dialog/EmoEvaluation"):
        read_iemocap(release.root)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("\tang\t", "\tglee\t", "line 3 (Ses01F_impro01_F000): emotion 'glee' is none of ang, hap"),
        ("[0.0000 - 2.0000]", "[0.0000 2.0000]", "line 3: '[0.0000 2.0000]"),
        ("2.5000, 3.5000, 1.0000", "2.5000, 3.5000", "is no `[start - end] name emotion [V, A, D]`"),
        ("[0.0000 - 2.0000]", "[3.0000 - 2.0000]", "line 3 (Ses01F_impro01_F000): it ends at 2.0000 s, before"),
        ("Ses01F_impro01_F000", "Ses01F_impro02_F000", "Ses01F_impro02_F000 is no utterance of session 1, dialogue Ses01F_i"),
        ("Ses01F_impro01_F000", "Ses01F_impro01_", "is no utterance of session 1, dialogue Ses01F_impro01"),
        ("% [START", "[START", "line 1: '[START_TIME"),
    ],
)  # fmt: skip
def test_lines_that_do_not_fit(old: str, new: str, what: str, release: Release, tmp_path: Path) -> None:
    release.replace(FIRST, old, new)
    draft = read_iemocap(release.root)
    assert [p.index for p in draft.problems] == [-1] and told(draft)[0].startswith("Ses01F_impro01.txt line ")
    assert what in told(draft)[0]
    with pytest.raises(DataError):
        store.write(draft, tmp_path / "x.h5")
    kept = store.write(draft, tmp_path / "x.h5", Mending(drop=True))
    assert len(kept) == len(draft) == (25 if old.startswith("%") else 24)


def test_a_dialogue_in_the_folder_of_another_session(release: Release) -> None:
    (release.root / FIRST).rename(release.root / FIRST.replace("Session1", "Session2"))
    release.put(FIRST.replace("impro01", "impro02"), turn("Ses01F_impro02_F000", "ang"))
    draft = read_iemocap(release.root)
    assert len(draft.problems) == len(CODES) + 1, "and the one of impro02 has no words"
    assert "Ses01F_impro01_F000 is no utterance of session 2" in told(draft)[0]


def test_lines_of_single_annotators_are_not_read(release: Release) -> None:
    release.replace(FIRST, "C-E2:\tNeutral;", "C-E2:\tNonsense;")
    assert not read_iemocap(release.root).problems


def test_remarks_in_transcriptions_are_counted(release: Release) -> None:
    release.replace(WORDS, "Ses01F", "M: (laughs)\nSes01F_impro01_FXX0 [1.0-2.0]: Breathing\nSes01F")
    draft = read_iemocap(release.root)
    assert not draft.problems and draft.texts is not None and draft.texts[0] == "Word 0: of Ses01F_impro01_F000"
    assert "2 lines of the transcriptions belong to no utterance in EmoEvaluation." in draft.notes


@pytest.mark.parametrize(
    ("old", "new", "index", "what"),
    [
        ("F000 [000.0000-000.5000]:", "F000 000.0000:", 0, "(Ses01F_impro01_F000): no transcription has its words"),
        ("Ses01F_impro01_M001 [001", "Ses01F_impro01_F000 [001", -1, "line 2 (Ses01F_impro01_F000): the utterance has words"),
    ],
)  # fmt: skip
def test_words_that_are_missing_or_there_twice(old: str, new: str, index: int, what: str, release: Release) -> None:
    release.replace(WORDS, old, new)
    problems = read_iemocap(release.root).problems
    assert problems[0].index == index and what in problems[0].what


def test_curly_quotes_of_windows(release: Release) -> None:
    text = (release.root / WORDS).read_text().replace("Word 0", "It’s 0")
    (release.root / WORDS).write_bytes(text.encode("cp1252"))
    texts = read_iemocap(release.root).texts
    assert texts is not None and texts[0].startswith("It’s 0")


def test_without_transcriptions_and_media(release: Release) -> None:
    for session in range(1, 6):
        for part in ("dialog/transcriptions", "dialog/avi", "sentences"):
            shutil.rmtree(release.root / f"Session{session}" / part)
    draft = read_iemocap(release.root)
    assert draft.texts is None and draft.media == {} and not draft.problems and len(draft) == 25
    assert "There are no transcriptions, so that no utterance has words." in draft.notes
    assert np.isfinite(draft.labels["valence"].values).all()


def test_media_that_are_missing_are_counted(release: Release) -> None:
    (release.root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").unlink()
    (release.root / "Session2/dialog/avi/DivX/Ses02F_impro01.avi").unlink()
    draft = read_iemocap(release.root)
    assert draft.media["audio"].count("") == 1 and draft.media["video"].count("") == 5
    assert "1 utterances have no audio." in draft.notes and "5 utterances have no video." in draft.notes


@pytest.mark.parametrize(
    ("name", "speaker"),
    [("Ses01F_impro01_F000", "Ses01_F"), ("Ses04M_script03_1b_M010", "Ses04_M"), ("Ses02F_script01_1_FXX3", "Ses02_F"),
     ("Ses06F_impro01_F000", None), ("Ses01F_impro01", None), ("Ses01X_impro01_F000", None), ("", None)],
)  # fmt: skip
def test_names_of_utterances(name: str, speaker: str | None) -> None:
    found = utterance(name)
    assert (found and found["speaker"]) == speaker
