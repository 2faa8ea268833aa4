"""MERBench: dictionaries of emotions and values in one .npz, and the folds of what has no splits."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.data import iemocap, rules, store
from affect.data.draft import Draft
from affect.data.merbench import read_merbench
from affect.data.store import Mending
from affect.errors import DataError

Corpus = dict[Any, Any]


def write(folder: Path, **corpora: Any) -> Path:
    path = folder / "label.npz"
    np.savez_compressed(path, **{name: np.array(corpus, dtype=object) for name, corpus in corpora.items()})
    return path


def three(folder: Path, train: Corpus, val: Corpus, test: Corpus) -> Path:
    return write(folder, train_corpus=train, val_corpus=val, test_corpus=test)


def meld(folder: Path, **more: Any) -> Path:
    told = {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6]}
    corpora: dict[str, Any] = {
        f"{split}_corpus": {f"{split}_dia{n}_utt0": {"emo": n, "val": -10} for n in numbers}
        for split, numbers in told.items()
    }
    corpora["train_corpus"].update(more)
    return write(folder, **corpora)


def sessions(emotions: int = 4, each: int = 3) -> Corpus:
    return {
        f"Ses0{s}{voice}_impro01_{voice}00{n}": {"emo": (n + s) % emotions, "val": -10}
        for s in range(1, 6)
        for voice in "FM"
        for n in range(each)
    }


def only_problem(draft: Draft) -> str:
    assert len(draft.problems) == 1, draft.problems
    return draft.problems[0].what


def test_meld_has_emotions_in_our_order_and_no_values(tmp_path: Path) -> None:
    draft = read_merbench(meld(tmp_path))
    assert draft.splits == ["train"] * 4 + ["valid"] * 2 + ["test"] and draft.ids[4] == "val_dia4_utt0"
    assert list(draft.labels) == ["emotion"] and draft.labels["emotion"].classes == rules.MELD_EMOTIONS
    assert [rules.MELD_EMOTIONS[n] for n in draft.labels["emotion"].values] == [
        "anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise",
    ]  # fmt: skip
    assert "0 anger, 1 joy" in draft.labels["emotion"].rule and draft.groups["dialogue"][0] == "train_dia0"
    assert draft.name == "meld" and draft.problems == [] and draft.texts is None


def test_it_becomes_a_dataset_from_the_file_or_its_folder(tmp_path: Path) -> None:
    path = meld(tmp_path)
    assert read_merbench(tmp_path).ids == read_merbench(path).ids
    assert len(store.write(read_merbench(path), tmp_path / "m.h5")) == 7


def test_scores_become_polarity_where_there_are_any(tmp_path: Path) -> None:
    path = three(
        tmp_path,
        {"a_1": {"emo": 0, "val": -2.4}, "a_2": {"emo": 0, "val": np.float64(0.4)}},
        {"b_1": {"emo": 0, "val": 0}}, {"c_1": {"emo": 0, "val": np.float32(3)}},
    )  # fmt: skip
    draft = read_merbench(path)
    assert sorted(draft.labels) == ["polarity", "polarity_sign", "sentiment"], "one emotion only is none"
    np.testing.assert_allclose(draft.labels["sentiment"].values, [-2.4, 0.4, 0, 3], rtol=1e-6)
    assert draft.labels["polarity"].values.tolist() == [0, 1, 1, 2]
    assert draft.labels["polarity_sign"].values.tolist() == [0, 2, 1, 2]
    assert draft.name == "merbench" and draft.groups == {}


def test_emotions_that_nobody_named_keep_their_numbers(tmp_path: Path) -> None:
    corpus = {f"s{n}": {"emo": np.int64(n % 3), "val": 0.5} for n in range(6)}
    draft = read_merbench(three(tmp_path, corpus, {"v": {"emo": 1, "val": 0.1}}, {"t": {"emo": 0, "val": 0.1}}))
    assert draft.labels["emotion"].classes == ("0", "1", "2")
    assert draft.labels["emotion"].values.tolist() == [0, 1, 2, 0, 1, 2, 1, 0]
    assert any("does not name them" in note for note in draft.notes)


# what has no splits


@pytest.mark.parametrize(("emotions", "classes"), [(4, rules.IEMOCAP4), (6, iemocap.IEMOCAP6)])
def test_iemocap_in_four_or_six_emotions(emotions: int, classes: tuple[str, ...], tmp_path: Path) -> None:
    corpus = sessions(emotions, 6)
    draft = read_merbench(write(tmp_path, whole_corpus=corpus))
    assert draft.labels["emotion"].classes == classes and draft.name == "iemocap"
    named = ("Happy", "Sadness", "Neutral", "Anger", "Excited", "Frustrated")
    assert [classes[n] for n in draft.labels["emotion"].values] == [named[told["emo"]] for told in corpus.values()]
    assert set(draft.groups["session"]) == {f"Ses0{s}" for s in range(1, 6)}
    assert draft.groups["speaker"][0] == "Ses01_F" and draft.groups["dialogue"][0] == "Ses01F_impro01"


@pytest.mark.parametrize(("test", "valid"), [(1, 5), (2, 1), (3, 2), (4, 3), (5, 4)])
def test_five_folds_by_session(test: int, valid: int, tmp_path: Path) -> None:
    draft = read_merbench(write(tmp_path, whole_corpus=sessions()), test_session=test)
    of = {"test": {test}, "valid": {valid}, "train": {1, 2, 3, 4, 5} - {test, valid}}
    for split, chosen in of.items():
        assert {int(name[4]) for name, s in zip(draft.ids, draft.splits, strict=True) if s == split} == chosen
    assert Counter(draft.splits) == {"train": 18, "valid": 6, "test": 6}
    assert any(f"Session {test} is test and session {valid} valid" in note for note in draft.notes)


@pytest.mark.parametrize("session", [0, 6])
def test_a_session_that_there_is_not(session: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"test_session is {session}; the sessions of IEMOCAP are 1 to 5"):
        read_merbench(write(tmp_path, whole_corpus=sessions()), test_session=session)


def test_a_whole_of_other_names_is_all_train(tmp_path: Path) -> None:
    draft = read_merbench(write(tmp_path, whole_corpus={"a": {"emo": 0, "val": 1.0}, "b": {"emo": 1, "val": -1.0}}))
    assert draft.splits == ["train", "train"]
    assert "The file has `whole_corpus` only, so every sample is train." in draft.notes


# what does not fit

BAD: list[tuple[Any, str]] = [
    ({"emo": 7, "val": -10}, "emo 7 is none of 0..6"),
    ({"emo": -1, "val": -10}, "emo -1 is none of 0..6"),
    ({"emo": "joy", "val": -10}, "emo 'joy' is none of 0..6"),
    ({"emo": 1.0, "val": -10}, "emo 1.0 is none of 0..6"),
    ({"emo": True, "val": -10}, "emo True is none of 0..6"),
    ({"val": -10}, "emo None is none of 0..6"),
    ({"emo": 1}, "val None is no score"),
    ({"emo": 1, "val": "high"}, "val 'high' is no score"),
    ({"emo": 1, "val": math.nan}, "val nan is no score"),
    ([1, 2], "emo None is none of 0..6; val None is no score"),
]


@pytest.mark.parametrize(("told", "words"), BAD)
def test_a_bad_entry_is_told_with_its_corpus_and_name(told: Any, words: str, tmp_path: Path) -> None:
    draft = read_merbench(meld(tmp_path, train_dia9_utt9=told))
    assert only_problem(draft) == f"label.npz train_corpus (train_dia9_utt9): {words}"
    with pytest.raises(DataError, match="train_dia9_utt9"):
        store.write(draft, tmp_path / "m.h5")
    assert len(store.write(draft, tmp_path / "m.h5", Mending(drop=True))) == 7


@pytest.mark.parametrize("value", [-10, "", -10.0])
def test_a_value_that_is_missing_among_others(value: Any, tmp_path: Path) -> None:
    corpus = {"a": {"emo": 0, "val": 1.5}, "b": {"emo": 0, "val": value}}
    draft = read_merbench(three(tmp_path, corpus, {"v": {"emo": 0, "val": 1}}, {"t": {"emo": 0, "val": 1}}))
    assert only_problem(draft) == f"label.npz train_corpus (b): val {value!r} is no score"
    assert store.write(draft, tmp_path / "m.h5", Mending(drop=True)).ids == ["a", "v", "t"]


def test_a_name_in_two_corpora(tmp_path: Path) -> None:
    one = {"a": {"emo": 0, "val": 1.5}}
    draft = read_merbench(three(tmp_path, one, one, {"t": {"emo": 0, "val": 1}}))
    with pytest.raises(DataError, match="id `a` is that of sample 0 too"):
        store.write(draft, tmp_path / "m.h5")


def test_other_corpora_are_left_out_and_named(tmp_path: Path) -> None:
    one = {"a": {"emo": 0, "val": 1.5}}
    path = write(tmp_path, train_corpus=one, val_corpus={}, test_corpus={}, test3_corpus=one)
    assert "`test3_corpus` of label.npz was left out." in read_merbench(path).notes


WHOLE_FILES: list[tuple[dict[str, Any], str]] = [
    ({"labels": {}}, "holds labels, neither train_corpus"),
    ({"train_corpus": {}, "val_corpus": {}}, "`test_corpus` is missing"),
    ({"whole_corpus": [1, 2]}, "`whole_corpus` is no dictionary of names"),
    ({"whole_corpus": {1: {"emo": 0}}}, "`whole_corpus` is no dictionary of names"),
    ({"whole_corpus": {}}, "names no sample at all"),
]


@pytest.mark.parametrize(("corpora", "words"), WHOLE_FILES)
def test_a_file_of_another_form(corpora: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label\.npz") as caught:
        read_merbench(write(tmp_path, **corpora))
    assert words in str(caught.value)


def test_what_is_no_npz_and_what_runs_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (print, ("it ran",))

    with pytest.raises(DataError, match="is refused"):
        read_merbench(write(tmp_path, whole_corpus=Trap()))
    (tmp_path / "label.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"label\.npz cannot be read as \.npz"):
        read_merbench(tmp_path)
    assert "it ran" not in capsys.readouterr().out
