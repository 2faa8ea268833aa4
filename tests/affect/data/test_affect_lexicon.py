"""SenticNet: its Python files are read and not run, the edition is told, and phrases are found among words."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect.data.lexicon import MOODS, Lexicon, mood_classes, read_senticnet
from affect.data.rules import EKMAN6, IEMOCAP4, VIDEOEMOTION8
from affect.errors import DataError

HEAD = {
    5: "#senticnet['concept_name'] = ['pleasantness_value', 'attention_value', 'sensitivity_value', 'aptitude_value', "
    "'primary_mood', 'secondary_mood', 'polarity_label', 'polarity_value', 'semantics1', 'semantics2']\n",
    6: "#senticnet['concept_name'] = ['introspection_value', 'temper_value', 'attitude_value', 'sensitivity_value', "
    "'primary_mood', 'secondary_mood', 'polarity_label', 'polarity_value', 'semantics1', 'semantics2']\n",
}


def entry(concept: str, *moods: str, label: str = "positive", value: str = "0.5", more: str = ", 'x', 'y_z'") -> str:
    first, second = moods or ("joy", "interest")
    row = f"['0.1', '0', '-0.2', '0', '#{first}', '#{second}', '{label}', '{value}'{more}]"
    return f"senticnet[{concept!r}] = {row}\n"


FIVE = HEAD[5] + "senticnet = {}\n" + "".join([
    entry("good"), entry("good_time", "joy", "admiration", value="0.81"), entry("time_of_day", "interest", "joy"),
    entry("bad", "sadness", "disgust", label="negative", value="-0.84"), entry("a_good_time_out", "joy", "surprise"),
    entry("don't", "anger", "fear", label="negative", value="0.2"), entry("time", "joy", "joy", value="0"),
])  # fmt: skip


def lexicon(tmp_path: Path, text: str | bytes) -> Lexicon:
    path = tmp_path / "senticnet5.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_senticnet(path)


def refused(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        lexicon(tmp_path, text)
    assert str(tmp_path / "senticnet5.py") in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# what is read


def test_polarity_and_moods_of_a_concept(tmp_path: Path) -> None:
    found = lexicon(tmp_path, FIVE)
    assert found.edition == 5 and len(found) == 7 and found.concepts[:2] == ("good", "good_time")
    assert found.polarity("good_time") == ("positive", 0.81) and found.moods("good_time") == ("joy", "admiration")
    assert found.polarity("bad") == ("negative", -0.84) and found.moods("bad") == ("sadness", "disgust")
    assert "good_time" in found and "nothing" not in found
    with pytest.raises(KeyError):
        found.polarity("nothing")
    with pytest.raises(KeyError):
        found.moods("nothing")


def test_labels_that_contradict_their_values_are_kept_and_counted(tmp_path: Path) -> None:
    found = lexicon(tmp_path, FIVE + entry("odd", label="neutral", value="0.3"))
    assert found.polarity("don't") == ("negative", 0.2)  # and "time", with the value 0, is no contradiction
    assert found.notes == (
        "2 of 8 concepts in senticnet5.py have a label that is not the sign of the value; the label is kept, and so is "
        "the value",
    )


def test_a_concept_that_comes_again_is_written_over_as_python_would(tmp_path: Path) -> None:
    found = lexicon(tmp_path, FIVE + entry("Good", "fear", "fear", label="negative", value="-1"))
    assert len(found) == 7 and found.polarity("good") == ("negative", -1.0) and found.moods("good") == ("fear", "fear")
    assert "1 entries of senticnet5.py are written over" in found.notes[-1]


@pytest.mark.parametrize("more", ["", ", 'one'", ", 'a', \"b's\", 'c', 'd', 'e', 'f', 'g'", ","])
def test_entries_may_have_any_number_of_semantics(more: str, tmp_path: Path) -> None:
    assert lexicon(tmp_path, HEAD[5] + entry("good", more=more)).polarity("good") == ("positive", 0.5)


FORMS = {
    "a dictionary": "# -*- coding: utf-8 -*-\nsenticnet = {\n    'good': ['0', '0', '0', '0', '#joy', '#interest', "
    "'positive', '0.5', 'x'],\n    'bad': ['0', '0', '0', '0', '#fear', '#fear', 'negative', '-1', 'x']\n}\n",
    "a dictionary on its lines": "senticnet = {'good': ['0', '0', '0', '0', '#joy', '#interest', 'positive', '0.5'],\n"
    "'bad': ['0', '0', '0', '0', '#fear', '#fear', 'negative', '-1', 'x']}",
    "double quotes and numbers": 'senticnet = {}\nsenticnet["good"] = [0.1, 0, -2e-1, 0, "#joy", "#interest", '
    '"positive", 0.5, "x"]\nsenticnet["bad"]=["0","0","0","0","#fear","#fear","negative","-1.0"]\r\n',
    "a mark at its beginning": "\ufeffsenticnet = dict()\n\n"
    + entry("good")
    + entry("bad", "fear", "fear", label="NEGATIVE", value="-1"),
    "escapes": "senticnet={}\nsenticnet['g\\x6fod'] = ['0', '0', '0', '0', '#joy', '#interest', 'positive', '0.\\x35', 'it\\'s']\n"
    + entry("bad", "fear", "fear", label="negative", value="-1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_file_is_read(form: str, tmp_path: Path) -> None:
    found = lexicon(tmp_path, FORMS[form])
    assert found.concepts == ("good", "bad") and found.edition == 5
    assert found.polarity("good") == ("positive", 0.5) and found.polarity("bad") == ("negative", -1.0)
    assert found.moods("good") == ("joy", "interest")


def test_concepts_in_other_alphabets_are_read(tmp_path: Path) -> None:
    assert lexicon(tmp_path, HEAD[5] + entry("café_crème")).longest_matches(["Café", "CRÈME"]) == [(0, 2, "café_crème")]


def test_the_file_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for line in (f"open({str(mark)!r}, 'w')\n", f"senticnet['x'] = [open({str(mark)!r}, 'w'), 0, 0, 0, 0, 0, 0, 0]\n"):
        assert "line 3 is no entry of SenticNet" in refused(tmp_path, HEAD[5] + "senticnet = {}\n" + line)
    assert not mark.exists()


# which edition


def test_the_edition_is_told_by_its_fields_or_by_its_moods(tmp_path: Path) -> None:
    both, six = entry("good", "joy", "fear"), entry("calm", "calmness", "eagerness")
    assert lexicon(tmp_path, HEAD[5] + both).edition == 5
    assert lexicon(tmp_path, HEAD[6] + both).edition == 6
    assert lexicon(tmp_path, both + six).edition == 6
    assert lexicon(tmp_path, both + entry("x", "surprise", "joy")).edition == 5


def test_a_second_mood_may_be_missing(tmp_path: Path) -> None:
    text = entry("calm", "calmness", "joy").replace("'#joy'", "''")
    assert lexicon(tmp_path, text).moods("calm") == ("calmness", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry("x", "joy", "fear"), "may be SenticNet 5 or 6: no comment names its fields"),
        (entry("x", "interest", "calmness"), "has moods of SenticNet 5 and of SenticNet 6"),
        (HEAD[5] + entry("x") + entry("y", "calmness", "joy"), "line 3: `calmness` is no mood of SenticNet 5, whose"),
        (HEAD[6] + entry("x"), "line 2: `interest` is no mood of SenticNet 6, whose fields it names"),
        (entry("x") + entry("y", "joy", "ecstasy"), "line 2: `ecstasy` is no mood of SenticNet 5 or 6"),
    ],
)
def test_files_whose_edition_cannot_be_told_are_refused(text: str, told: str, tmp_path: Path) -> None:
    assert told in refused(tmp_path, text)


# what is refused


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import os", "is no entry of SenticNet 5 or 6: 'import os'"),
        ("senticnet['x'] = ['0', '0']", "is no entry"),
        ("senticnet['x'] = 5", "is no entry"),
        (entry("x").replace("senticnet[", "other["), "is no entry"),
        (entry("x").strip() + " + [1]", "is no entry"),
        (entry("x", more=", ['nested']"), "is no entry"),
        (entry("x", more=", 'a' 'b'"), "is no entry"),
        (entry("x", more=", f'{a}'"), "is no entry"),
        (entry("x", more=", 'a'" * 20_000), "is no entry"),
        ("(" * 60_000, "is no entry"),
        ("senticnet['x'] = [" + "'a', " * 5_000, "is no entry"),
        ("senticnet['x'] = [0, 0, 0, 0, '#joy', '#joy', 0.5, 'x', 'y']", "(`x`): its polarity `0.5` is none of"),
        (entry("x", label="great"), "(`x`): its polarity `great` is none of negative, neutral, positive"),
        (entry("x", value="1.01"), "(`x`): the value `1.01` of its polarity is no number from -1 to 1"),
        (entry("x", value="nan"), "the value `nan`"),
        (entry("x", value="much"), "the value `much`"),
        (entry("x", "", "joy"), "(`x`): it has no primary mood"),
        (entry(""), "it has no name"),
        (entry("x").replace("'x'", "'\\N{nothing}'", 1), "has text that Python cannot read"),
    ],
    ids=range(19),
)
def test_lines_that_are_no_entry_are_refused(line: str, told: str, tmp_path: Path) -> None:
    message = refused(tmp_path, FIVE + line)
    assert told in message and "line 10" in message and len(message) < 400


def test_files_that_hold_no_senticnet_are_refused(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", HEAD[5] + "senticnet = {}\n"):
        assert "has no entries of SenticNet" in refused(tmp_path, text)
    assert "line 10 is not UTF-8" in refused(tmp_path, FIVE.encode() + b"\xff\xfe")
    with pytest.raises(DataError, match="there is no file"):
        read_senticnet(tmp_path / "missing.py")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "big.py", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DataError, match="1,073,741,824 bytes, which is too much"):
        read_senticnet(tmp_path / "big.py")


# phrases


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("good time", [(0, 2, "good_time")]),
        ("Good TIME", [(0, 2, "good_time")]),
        ("a good time out now", [(0, 4, "a_good_time_out")]),
        ("a good time in", [(1, 3, "good_time")]),
        ("good time of day", [(0, 1, "good"), (1, 4, "time_of_day")]),  # the longest first, not the leftmost
        ("time good time good", [(0, 1, "time"), (1, 3, "good_time"), (3, 4, "good")]),
        ("good good_time", [(0, 1, "good"), (1, 2, "good_time")]),
        ("don't be bad", [(0, 1, "don't"), (2, 3, "bad")]),
        ("nothing here", []),
        ("", []),
    ],
)
def test_the_longest_phrases_are_found_first(words: str, found: list[tuple[int, int, str]], tmp_path: Path) -> None:
    assert lexicon(tmp_path, FIVE).longest_matches(words.split()) == found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "good", "time", "out", "of", "day", "bad"]), max_size=12))
def test_matches_are_concepts_and_share_no_word(words: list[str]) -> None:
    found = SMALL.longest_matches(words)
    assert all("_".join(words[start:end]) == concept and concept in SMALL for start, end, concept in found)
    assert all(before[1] <= after[0] for before, after in zip(found, found[1:], strict=False))
    covered = {place for start, end, _ in found for place in range(start, end)}
    assert all(place in covered for place, word in enumerate(words) if word in ("good", "time", "bad"))


@pytest.fixture(autouse=True, scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SMALL
    SMALL = lexicon(tmp_path_factory.mktemp("small"), FIVE)


SMALL: Lexicon


# moods and classes


def test_the_moods_of_senticnet_5_are_the_classes_of_videoemotion8() -> None:
    found = mood_classes(5)
    named = {mood: VIDEOEMOTION8[number] for mood, number in found.items()}
    assert named == {
        "joy": "Joy", "sadness": "Sadness", "anger": "Anger", "fear": "Fear", "disgust": "Disgust",
        "surprise": "Surprise", "interest": "Anticipation", "admiration": "Trust",
    }  # fmt: skip
    assert sorted(found.values()) == list(range(8)) and set(found) == set(MOODS[5])


def test_for_ekman6_interest_and_admiration_are_no_class() -> None:
    found = mood_classes(5, EKMAN6)
    assert sorted(found.values()) == list(range(6)) and not {"interest", "admiration"} & set(found)
    assert mood_classes(5, [name.lower() for name in EKMAN6]) == found


def test_the_lossy_map_of_senticnet_6_is_for_those_who_ask() -> None:
    with pytest.raises(DataError, match="calmness is no class, and surprise is no mood; take SenticNet 5"):
        mood_classes(6)
    named = {mood: VIDEOEMOTION8[number] for mood, number in mood_classes(6, allow_lossy=True).items()}
    assert "calmness" not in named and "Surprise" not in named.values()
    assert named["eagerness"] == "Anticipation" and named["pleasantness"] == "Trust" and named["joy"] == "Joy"
    assert set(mood_classes(6, EKMAN6, allow_lossy=True)) == {"joy", "sadness", "anger", "fear", "disgust"}


def test_classes_that_no_mood_stands_for_are_refused() -> None:
    with pytest.raises(DataError, match="no mood stands for the class `happy`"):
        mood_classes(5, IEMOCAP4)


# size


def test_many_concepts_are_lean(tmp_path: Path) -> None:
    rng = random.Random(0)
    moods = [(a, b) for a in MOODS[5] for b in MOODS[5]]
    lines = [entry(f"w{i % 997}_c{i}", *rng.choice(moods), value=f"{rng.random():.3f}") for i in range(10_000)]
    tracemalloc.start()
    found = lexicon(tmp_path, HEAD[5] + "".join(lines))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 10_000 and held < 10_000 * 300  # bytes a concept, its name among them
