"""Rules of labels: where the borders lie, which class is on which side, and what each setting learns from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from affect.data import rules
from affect.data.draft import Labels
from affect.data.rules import POLARITY, SETTINGS, by_round, by_sign, polarity_of_emotion, score_labels, word_labels


@pytest.mark.parametrize(
    ("score", "rounded", "signed"),
    [
        (-3, 0, 0), (-1, 0, 0), (-0.6, 0, 0), (-0.5, 1, 0), (-0.2, 1, 0), (-0.0, 1, 1), (0, 1, 1), (0.4, 1, 2), (0.5, 1, 2),
        (0.51, 2, 2), (1, 2, 2), (1.5, 2, 2), (3, 2, 2),
    ],
)  # fmt: skip
def test_where_neutral_ends(score: float, rounded: int, signed: int) -> None:
    assert by_round(np.array([score])).tolist() == [rounded]
    assert by_sign(np.array([score])).tolist() == [signed]


def test_a_score_and_its_classes_by_both_rules() -> None:
    found = score_labels(np.array([-2.0, 0.4, math.nan, math.inf]))
    assert found["polarity"].values.tolist() == [0, 1, -1, -1]
    assert found["polarity_sign"].values.tolist() == [0, 2, -1, -1]
    assert found["sentiment"].classes == () and found["sentiment"].values.dtype == np.float32
    assert "round" in found["polarity"].rule and "sign" in found["polarity_sign"].rule


def test_words_in_whatever_case_and_words_that_are_none() -> None:
    found = word_labels(["Positive", " neutral ", "NEGATIVE", "glad", None, ""], POLARITY, "by hand")
    assert found.values.tolist() == [2, 1, 0, -1, -1, -1] and found.classes == POLARITY


@pytest.mark.parametrize(
    ("family", "classes", "positive", "neutral"),
    [
        ("videoemotion8", rules.VIDEOEMOTION8, {"Anticipation", "Joy", "Surprise", "Trust"}, set()),
        ("ekman6", rules.EKMAN6, {"Joy", "Surprise"}, set()),
        ("perr", rules.PERR, {"Neutral"}, {"Mild", "Intimate"}),
    ],
)
def test_the_side_that_each_emotion_is_on(
    family: str, classes: tuple[str, ...], positive: set[str], neutral: set[str]
) -> None:
    found = polarity_of_emotion(family, Labels(np.arange(len(classes)), classes))
    sides = {name: POLARITY[side] for name, side in zip(classes, found.values, strict=True)}
    assert {n for n, side in sides.items() if side == "positive"} == positive
    assert {n for n, side in sides.items() if side == "neutral"} == neutral


def test_an_emotion_that_is_none_has_no_side() -> None:
    assert polarity_of_emotion("ekman6", Labels(np.array([-1, 3]), rules.EKMAN6)).values.tolist() == [-1, 2]


def test_every_setting_learns_from_other_domains_than_it_is_tried_on() -> None:
    assert sorted(SETTINGS) == [f"{kind}-{letter}" for kind in ("multi", "single") for letter in "abc"]
    for name, setting in SETTINGS.items():
        assert set(setting.sources).isdisjoint(setting.targets)
        assert set(setting.sources + setting.targets) == {"mosi", "mosei", "meld"}
        assert len(setting.sources) == (1 if name.startswith("single") else 2)
    assert SETTINGS["single-a"].sources == ("mosei",) and SETTINGS["multi-c"].targets == ("meld",)


def test_the_printed_counts_of_two_datasets_are_swapped() -> None:
    printed, corrected = rules.PRINTED_TEST_COUNTS, rules.CORRECTED_TEST_COUNTS
    assert sum(corrected["mosi"]) == 686 and sum(corrected["meld"]) == 2610 and sum(corrected["mosei"]) == 4659
    assert sum(printed["mosei"]) == sum(corrected["meld"]) - 2 and sum(printed["meld"]) == sum(corrected["mosei"]) - 68
