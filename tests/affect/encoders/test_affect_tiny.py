"""A small encoder of the texts at hand: the same bytes every time, and a folder like any other."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from affect.encoders import text
from affect.encoders.tiny import FAMILIES, tiny
from affect.errors import DataError
from fake_features import sentences

TEXTS = [*sentences(200), "Déjà vu, isn't it?", "walking walked walks talking talked talks", "你好", "", " \n"]
SCRIPT = "import sys; from pathlib import Path; from affect.encoders.tiny import tiny; "


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    code = f"{SCRIPT}[tiny({TEXTS!r}, Path(sys.argv[1]) / f, family=f, vocabulary=300) for f in {FAMILIES!r}]"
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for family in FAMILIES:
        here = tiny(TEXTS, tmp_path / "here" / family, family=family, vocabulary=300)
        assert digests(here) == digests(tmp_path / "there" / family)


def test_nobody_elses_random_numbers_change(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    text.load(str(tiny(TEXTS, tmp_path / "t"))).encode(TEXTS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_classes_are_those_of_the_family(tmp_path: Path, family: str) -> None:
    encoder = text.load(str(tiny(TEXTS, tmp_path / family, family=family, width=24, layers=3, heads=2)))
    assert type(encoder.model).__name__.lower() == f"{family}model"
    assert (encoder.width, encoder.config.num_hidden_layers, encoder.config.num_attention_heads) == (24, 3, 2)


@pytest.mark.parametrize("change", [{"seed": 1}, {"width": 64}, {"vocabulary": 100}, {"layers": 1}])
def test_what_is_asked_for_changes_the_weights(tmp_path: Path, change: dict[str, Any]) -> None:
    one, other = tiny(TEXTS, tmp_path / "one"), tiny(TEXTS, tmp_path / "other", **change)
    assert digests(one)["model.safetensors"] != digests(other)["model.safetensors"]


def test_a_seed_changes_no_words(tmp_path: Path) -> None:
    one, other = tiny(TEXTS, tmp_path / "one"), tiny(TEXTS, tmp_path / "other", seed=1)
    assert digests(one)["vocab.txt"] == digests(other)["vocab.txt"]


def test_common_words_are_whole_and_rare_ones_are_pieces(tmp_path: Path) -> None:
    encoder = text.load(str(tiny(TEXTS, tmp_path / "t", vocabulary=150)))
    pieces = encoder.tokenizer.convert_ids_to_tokens(encoder.tokenize(["The FILM was dullgreat! q"])[0])
    assert pieces[:4] == ["[CLS]", "the", "film", "was"]
    assert pieces[4:6] == ["dull", "##g"], "letters within a word are known"
    assert pieces[-2:] == ["[UNK]", "[SEP]"], "a letter that no text has"
    assert len(encoder.tokenizer) <= 150


def test_the_vocabulary_stays_small_where_there_are_many_letters(tmp_path: Path) -> None:
    many = ["".join(map(chr, range(0x4E00, 0x4E00 + 3000))), "and some words"]
    folder = tiny(many, tmp_path / "t", vocabulary=100)
    assert len((folder / "vocab.txt").read_text("utf-8").splitlines()) <= 100


def test_the_same_again_is_no_error_and_another_is(tmp_path: Path) -> None:
    tiny(TEXTS, tmp_path / "t")
    before = digests(tmp_path / "t")
    tiny(TEXTS, tmp_path / "t")
    with pytest.raises(DataError, match="is there already and holds something else"):
        tiny(TEXTS, tmp_path / "t", seed=1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is there already"):
        tiny(TEXTS, tmp_path / "file")
    assert digests(tmp_path / "t") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "t"], "nothing temporary is left"


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "manual_seed", fail)
    with pytest.raises(KeyboardInterrupt):
        tiny(TEXTS, tmp_path / "t")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [({"family": "gpt"}, "`gpt` is none of electra, bert, roberta"), ({"width": 30}, "30 cannot be shared by 4 heads"),
     ({"texts": ["", "  "]}, "all 2 are empty")],
)  # fmt: skip
def test_what_cannot_be_made(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        tiny(**{"texts": TEXTS, "folder": tmp_path / "t", **change})
    assert not list(tmp_path.iterdir())


def test_it_says_what_it_is_in_files_that_others_read(tmp_path: Path) -> None:
    folder = tiny(TEXTS, tmp_path / "t")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "electra"
    assert sorted(digests(folder)) == ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
