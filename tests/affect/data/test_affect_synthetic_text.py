"""Sentences of known polarity: their words, where those stand, and how they go with the score."""

from __future__ import annotations

import numpy as np
import pytest

from affect.data.synthetic import Domain, World
from affect.data.synthetic_kinds import KINDS
from affect.data.synthetic_text import EMOJI, LEXICON, NEUTRAL, REGISTERS, Sentence, polar_share, sentence, sentences

WORLD = World(0, width_text=30)


def made(name: str, n: int = 300) -> tuple[Domain, list[Sentence]]:
    domain = WORLD.domain(name, n)
    return domain, sentences(domain)


@pytest.mark.parametrize("name", KINDS)
def test_sentences_have_the_words_of_their_domain(name: str) -> None:
    domain, told = made(name, 200)
    assert [len(s.words) for s in told] == domain.words.tolist()
    assert all(len(s.values) == len(s.words) and s.text for s in told)
    assert told == sentences(WORLD.domain(name, 200))
    assert told != sentences(World(1, width_text=30).domain(name, 200))


@pytest.mark.parametrize("name", KINDS)
def test_only_key_places_are_polar_and_entries_end_there(name: str) -> None:
    domain, told = made(name)
    entries = {e.words: e.value for e in LEXICON}
    for i, one in enumerate(told):
        keys = set((domain.text.keys[i] - 1).tolist())
        place = 0
        while place < len(one.words):
            if one.values[place] == 0:
                place += 1
                continue
            size = next(n for n in (1, 2, 3, 4) if entries.get(one.words[place : place + n]) == one.values[place])
            assert place + size - 1 in keys and set(one.values[place : place + size]) == {one.values[place]}
            place += size


@pytest.mark.parametrize("name", KINDS)
def test_the_polarity_of_the_words_follows_the_score(name: str) -> None:
    domain, told = made(name, 600)
    share = polar_share(told)
    assert np.corrcoef(share, domain.scores)[0, 1] > 0.65
    means = [share[domain.polarity == side].mean() for side in range(3) if (domain.polarity == side).any()]
    assert means == sorted(means) and means[0] < -0.3 and means[-1] > 0.3


def test_stronger_scores_have_more_polar_words() -> None:
    domain, told = made("mosei", 800)
    polar = np.array(
        [sum(v != 0 for v in one.values) / len(keys) for one, keys in zip(told, domain.text.keys, strict=True)]
    )
    strength = np.abs(domain.scores)
    weak, middle, strong = polar[strength < 0.5], polar[(strength > 0.5) & (strength < 1.5)], polar[strength > 1.5]
    assert weak.mean() + 0.2 < middle.mean() < strong.mean()


def test_entries_of_several_words_occur() -> None:
    words = [" ".join(one.words) for one in made("videoemotion8")[1]]
    several = [" ".join(e.words) for e in LEXICON if len(e.words) > 1]
    assert sum(any(entry in text for entry in several) for text in words) > 30
    assert {len(e.words) for e in LEXICON} >= {1, 2, 3}


def test_words_of_an_emotion_stand_where_it_is_the_emotion() -> None:
    domain, told = made("videoemotion8", 400)
    entries = {e.words: e.emotion for e in LEXICON if len(e.words) == 1 and e.emotion}
    own = other = 0
    for emotion, one in zip(domain.emotions, told, strict=True):
        for word in one.words:
            found = entries.get((word,))
            own += found == emotion.lower()
            other += found is not None and found != emotion.lower()
    assert own > 300 and other == 0


def test_registers_differ_and_are_written_their_way() -> None:
    assert all(one.text.isupper() for one in made("mosi", 60)[1])
    assert all(one.text[-1] in ".!?" and one.text[0] == one.text[0].upper() for one in made("meld", 60)[1])
    assert any("’" in one.text for one in made("meld", 60)[1])  # as the real files have them
    comments = [one.text for one in made("csmv", 100)[1]]
    assert 20 < sum(text[-1] in EMOJI.values() for text in comments) < 80


def test_words_have_one_meaning() -> None:
    words = [e.words for e in LEXICON]
    assert len(set(words)) == len(words)
    assert all(0 < abs(e.value) <= 1 for e in LEXICON)
    assert not {tuple(n.split()) for n in NEUTRAL} & set(words)
    fillers = {w for r in REGISTERS.values() for phrase in (*r.leads, *r.chunks) for w in phrase.split()}
    assert not {e.words[0] for e in LEXICON if len(e.words) == 1} & fillers


@pytest.mark.parametrize("register", REGISTERS.values(), ids=REGISTERS)
def test_every_gap_can_be_filled(register: object) -> None:
    assert any(" " not in chunk for chunk in REGISTERS["mosi"].chunks)
    rng = np.random.default_rng(0)
    for length in range(1, 30):
        for keys in ([0], [length - 1], sorted({0, length // 2, length - 1}), list(range(length))):
            words, values = sentence(rng, register, length, keys, 1.6)  # type: ignore[arg-type]
            assert len(words) == len(values) == length


def test_sentences_without_polar_words_have_a_share_of_0() -> None:
    assert polar_share([Sentence(("so",), (0.0,), "so"), Sentence(("so", "sad"), (0.0, -0.8), "so sad")]).tolist() == [
        0,
        -0.8,
    ]
