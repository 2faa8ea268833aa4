"""The pickles of features of MELD and IEMOCAP, in both forms, and what can be wrong in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data import iemocap, meld, rules, store
from affect.data.draft import Draft
from affect.data.meld_pickles import read_meld_pickle
from affect.data.store import Mending
from affect.data.vectors import single_frames, vector
from affect.errors import DataError

WIDTHS = {"text": 6, "audio": 3, "vision": 5}


def row(modality: str, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=WIDTHS[modality]).astype(np.float32)


def meld_parts(dialogues: int = 23, test: int = 2, utterances: int = 2) -> list[Any]:
    keys = list(range(dialogues))
    places = range(utterances)
    return [
        {k: [str(u) for u in places] for k in keys},
        {k: [[0, 1, 0], [1, 0, 0]][:utterances] for k in keys},
        {k: [(k + u) % 7 for u in places] for k in keys},
        {k: [row("text", 10 * k + u) for u in places] for k in keys},
        {k: [row("audio", 10 * k + u).tolist() for u in places] for k in keys},
        {k: [f"words {k} {u}" for u in places] for k in keys},
        keys[:-test],
        keys[-test:],
        {k: [(k + u) % 3 for u in places] for k in keys},
    ]


def iemocap_parts() -> list[Any]:
    keys = [f"Ses0{s}{voice}_impro01" for s in range(1, 6) for voice in "FM"]
    return [
        {k: [f"{k}_F000", f"{k}_M000"] for k in keys},
        {k: ["F", "M"] for k in keys},
        {k: [n % 6, (n + 1) % 6] for n, k in enumerate(keys)},
        {k: [row("text", n), row("text", n)] for n, k in enumerate(keys)},
        {k: [row("audio", n), row("audio", n)] for n, k in enumerate(keys)},
        {k: [row("vision", n), row("vision", n)] for n, k in enumerate(keys)},
        {k: ["Hello.", "It\x92s me."] for k in keys},
        set(keys[:-2]),
        set(keys[-2:]),
    ]


def write(folder: Path, content: Any, name: str = "MELD_features_raw.pkl", protocol: int = 2) -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def only_problem(draft: Draft) -> str:
    assert len(draft.problems) == 1, draft.problems
    return draft.problems[0].what


# the tuple of nine


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_the_nine_parts_of_meld(protocol: int, tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, tuple(meld_parts()), protocol=protocol))
    assert draft.name == "meld" and len(draft) == 46 and draft.problems == []
    assert draft.ids[:3] == ["dia0_utt0", "dia0_utt1", "dia1_utt0"]
    assert draft.texts is not None and draft.texts[2] == "words 1 0"
    assert draft.labels["emotion"].classes == rules.MELD_EMOTIONS
    assert draft.labels["emotion"].values[:5].tolist() == [0, 1, 1, 2, 2]
    assert [rules.POLARITY[n] for n in draft.labels["polarity"].values[:6]] == [
        "neutral", "positive", "positive", "negative", "negative", "neutral",
    ]  # fmt: skip
    assert draft.groups["dialogue"][:3] == ["0", "0", "1"] and draft.groups["speaker"][:3] == ["0_1", "0_0", "1_1"]
    assert sorted(draft.frames) == ["audio", "text"]
    np.testing.assert_array_equal(draft.frames["text"].read(3), row("text", 11)[None])
    np.testing.assert_array_equal(draft.frames["audio"].read(3), row("audio", 11)[None])
    assert all("length 1" in frames.about and set(frames.lengths) == {1} for frames in draft.frames.values())


def test_the_last_tenth_of_the_train_dialogues_is_valid(tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, meld_parts()))
    of = dict(zip(draft.groups["dialogue"], draft.splits, strict=True))
    assert [d for d, s in of.items() if s == "valid"] == ["19", "20"], "sorted as numbers, of 21"
    assert [d for d, s in of.items() if s == "test"] == ["21", "22"]
    assert any("the last 2 of its 21 train dialogues, in sorted order, are valid" in note for note in draft.notes)


def test_the_nine_parts_of_iemocap(tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, tuple(iemocap_parts()), "IEMOCAP_features.pkl"))
    assert draft.name == "iemocap" and len(draft) == 20 and draft.problems == []
    assert draft.ids[:2] == ["Ses01F_impro01_F000", "Ses01F_impro01_M000"]
    assert draft.groups["speaker"][:2] == ["Ses01_F", "Ses01_M"] and draft.groups["dialogue"][0] == "Ses01F_impro01"
    assert list(draft.labels) == ["emotion"] and draft.labels["emotion"].classes == iemocap.IEMOCAP6
    assert {d for d, s in zip(draft.groups["dialogue"], draft.splits, strict=True) if s == "test"} == {
        "Ses05F_impro01", "Ses05M_impro01",
    }  # fmt: skip
    assert sorted(draft.frames) == ["audio", "text", "vision"] and draft.frames["vision"].width == 5
    assert draft.texts is not None and draft.texts[1] == "It’s me."
    assert any(note.startswith("10 characters of cp1252") for note in draft.notes)


def test_texts_of_python_2(tmp_path: Path) -> None:
    """Bytes of Python 2, which come out as Latin-1."""
    parts = meld_parts(2, 1, 1)
    data = pickle.dumps(parts, protocol=2)
    path = tmp_path / "x.pkl"
    path.write_bytes(data.replace(b"X\x09\x00\x00\x00words 0 0", b"U\x09words\x920 0"))
    texts = read_meld_pickle(path).texts
    assert texts is not None and texts[0] == "words’0 0"


@pytest.mark.parametrize("parts", [meld_parts(), iemocap_parts()])
def test_it_becomes_a_dataset(parts: list[Any], tmp_path: Path) -> None:
    found = store.write(read_meld_pickle(write(tmp_path, parts)), tmp_path / "x.h5")
    assert found.frames["text"].lengths.tolist() == [1] * len(found)


def changed(part: int, dialogue: Any, value: Any) -> list[Any]:
    parts = meld_parts()
    parts[part][dialogue] = value
    return parts


def where(place: int = 1) -> str:
    return f"MELD_features_raw.pkl dialogue 3 utterance {place} (dia3_utt{place}): "


BAD: list[tuple[int, Any, str]] = [
    (2, [0, 7], where() + "emotion 7 is none of 0..6"),
    (2, [0, "joy"], where() + "emotion 'joy' is none of 0..6"),
    (2, [0, True], where() + "emotion True is none of 0..6"),
    (8, [0, -1], where() + "sentiment -1 is none of 0..2"),
    (8, [0, 1.0], where() + "sentiment 1.0 is none of 0..2"),
    (5, ["x", None], where() + "its sentence is no text"),
    (3, [row("text", 1), None], where() + "text is no vector of numbers"),
    (3, [row("text", 1), row("text", 1)[None]], where() + "text is no vector of numbers"),
    (4, [[1.0, 2.0, 3.0], [1.0, "x", 2.0]], where() + "audio is no vector of numbers"),
    (4, [[1.0, 2.0, 3.0], [1.0, [2.0], 3.0]], where() + "audio is no vector of numbers"),
    (4, [[1.0, 2.0, 3.0], []], where() + "audio is no vector of numbers"),
]


@pytest.mark.parametrize(("part", "value", "words"), BAD)
def test_a_bad_utterance_is_told_with_its_place_and_id(part: int, value: Any, words: str, tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, changed(part, 3, value)))
    assert only_problem(draft) == words
    with pytest.raises(DataError, match="dialogue 3 utterance 1"):
        store.write(draft, tmp_path / "x.h5")
    found = store.write(draft, tmp_path / "x.h5", Mending(drop=True))
    assert len(found) == 45 and "dia3_utt1" not in found.ids


def test_a_vector_of_another_width_is_told(tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, changed(3, 3, [row("text", 1), np.zeros(5)])))
    with pytest.raises(
        DataError, match=r"sample 7 \(dia3_utt1\): text: the vector has 5 numbers, and the first one has 6"
    ):
        store.write(draft, tmp_path / "x.h5")
    assert len(store.write(draft, tmp_path / "x.h5", Mending(drop=True))) == 45


DIALOGUES: list[tuple[int, Any, str]] = [
    (
        3,
        [row("text", 1)],
        "dialogue 3: its lists differ in their number of utterances: 2 ids, 2 speakers, 2 emotions, 1 text",
    ),
    (5, None, "dialogue 3: it has no list of sentences"),
    (8, 4, "dialogue 3: it has no list of sentiments"),
]


@pytest.mark.parametrize(("part", "value", "words"), DIALOGUES)
def test_a_dialogue_that_does_not_fit(part: int, value: Any, words: str, tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, changed(part, 3, value)))
    assert words in only_problem(draft) and len(draft) == 44 and "3" not in draft.groups["dialogue"]


def test_a_dialogue_in_train_and_test_is_in_neither(tmp_path: Path) -> None:
    parts = meld_parts()
    parts[7].append(4)
    draft = read_meld_pickle(write(tmp_path, parts))
    assert "dialogue 4: it is in the lists of train and test" in only_problem(draft)
    assert "4" not in draft.groups["dialogue"] and not any("in no list" in note for note in draft.notes)


def test_dialogues_that_no_list_has_are_counted(tmp_path: Path) -> None:
    parts = meld_parts()
    del parts[6][:3]
    assert "3 dialogues are in no list of a split." in read_meld_pickle(write(tmp_path, parts)).notes


def test_an_utterance_that_is_there_twice(tmp_path: Path) -> None:
    draft = read_meld_pickle(write(tmp_path, changed(0, 3, ["0", "0"])))
    with pytest.raises(DataError, match="id `dia3_utt0` is that of sample 6 too"):
        store.write(draft, tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": 1}, "holds a dict"),
        (meld_parts()[:8], "holds 8 parts"),
        ([{}, {}, 3], "holds 3 parts"),
        ([*meld_parts()[:3], [1], *meld_parts()[4:]], "its part 3, the text, is no dictionary"),
        ([*meld_parts()[:6], {"a": 1}, *meld_parts()[7:]], "its list of train dialogues is no list of names"),
        ([*meld_parts()[:7], [1.5], meld_parts()[8]], "its list of test dialogues is no list of names"),
    ],
)
def test_another_form_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MELD_features_raw\.pkl") as caught:
        read_meld_pickle(write(tmp_path, content))
    assert words in str(caught.value)


def test_a_pickle_that_runs_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (print, ("it ran",))

    with pytest.raises(DataError, match="is refused"):
        read_meld_pickle(write(tmp_path, [Trap(), *meld_parts()[1:]]))
    assert "it ran" not in capsys.readouterr().out


# MELD's own lists


HEADER = "Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
NAME = "audio_embeddings_feature_selection_emotion.pkl"


def csvs(folder: Path) -> None:
    for name in meld.FILES.values():
        lines = [HEADER, *(f"words {u},A,joy,positive,0,{u}" for u in range(2)), ""]
        (folder / name).write_text("\n".join(lines))


def lists() -> list[dict[Any, Any]]:
    return [{f"0_{u}": row("audio", 10 * s + u) for u in range(2)} for s in range(3)]


@pytest.mark.parametrize("name", [NAME, "text_glove_average_emotion.pkl"])
def test_three_dictionaries_with_the_csv_files_beside_them(name: str, tmp_path: Path) -> None:
    csvs(tmp_path)
    draft = read_meld_pickle(write(tmp_path, lists(), name))
    assert draft.ids[0] == "train_dia0_utt0" and draft.splits == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    modality = name.split("_")[0]
    assert list(draft.frames) == [modality] and draft.problems == [] and len(draft.sources) == 4
    np.testing.assert_array_equal(draft.frames[modality].read(3), row("audio", 11)[None])
    assert len(store.write(draft, tmp_path / "x.h5")) == 6


def test_utterances_without_a_vector_have_length_0(tmp_path: Path) -> None:
    csvs(tmp_path)
    content = lists()
    del content[1]["0_1"]
    draft = read_meld_pickle(write(tmp_path, content, NAME))
    assert draft.frames["audio"].lengths.tolist() == [1, 1, 1, 0, 1, 1]
    assert any("1 of 6 utterances are not in audio_embeddings" in note for note in draft.notes)
    assert len(store.write(draft, tmp_path / "x.h5").frames["audio"][3]) == 0


@pytest.mark.parametrize(
    ("key", "value", "words", "index"),
    [
        ("5_5", row("audio", 1), "valid 5_5 (valid_dia5_utt5): there is no such row in MELD's CSV files", -1),
        ("0_1", "loud", "valid 0_1 (valid_dia0_utt1): it is no vector of numbers", 3),
    ],
)
def test_a_vector_that_does_not_fit(key: str, value: Any, words: str, index: int, tmp_path: Path) -> None:
    csvs(tmp_path)
    content = lists()
    content[1][key] = value
    draft = read_meld_pickle(write(tmp_path, content, NAME))
    assert only_problem(draft) == f"{NAME} {words}" and draft.problems[0].index == index


def test_lists_without_the_csv_files_or_of_whole_dialogues(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds vectors only; .* there is no train_sent_emo\.csv"):
        read_meld_pickle(write(tmp_path, lists(), NAME))
    csvs(tmp_path)
    with pytest.raises(DataError, match="the key '0' of train is no dialogue and utterance"):
        read_meld_pickle(write(tmp_path, [{"0": np.zeros((33, 600))}, {}, {}], NAME))


def test_what_a_list_holds_is_in_its_name_or_told(tmp_path: Path) -> None:
    csvs(tmp_path)
    path = write(tmp_path, lists(), "features.pkl")
    with pytest.raises(DataError, match="set `modality` to text, audio, vision"):
        read_meld_pickle(path)
    with pytest.raises(DataError, match="set `modality` to text, audio, vision"):
        read_meld_pickle(path, modality="smell")
    assert list(read_meld_pickle(path, modality="audio").frames) == ["audio"]


# vectors


@pytest.mark.parametrize("value", [None, "x", 3, [], [[1.0]], ["1"], [1.0, [2.0]], [10**400], np.zeros((2, 2)), [1j]])
def test_what_is_no_vector(value: Any) -> None:
    assert vector(value) is None


def test_frames_without_any_vector() -> None:
    frames = single_frames([None, None])
    assert frames.lengths.tolist() == [0, 0] and frames.read(1).shape == (0, 1)
