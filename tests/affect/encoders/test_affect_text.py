"""Text encoders: real sentences through small models of the real classes and their tokenizers."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import fake_features
from affect.encoders import cache, text
from affect.encoders.text import TextEncoder, load
from affect.encoders.tiny import FAMILIES, tiny
from affect.errors import DataError

TEXTS = fake_features.sentences(40, seed=3)
SENTENCE = "The film was great, and never dull!"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {family: tiny([*TEXTS, SENTENCE], folder / family, family=family) for family in FAMILIES}


@pytest.fixture
def folder(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a small ELECTRA, to change."""
    return Path(shutil.copytree(made["electra"], tmp_path / "electra"))


@pytest.fixture(params=FAMILIES)
def encoder(made: dict[str, Path], request: pytest.FixtureRequest) -> TextEncoder:
    return load(str(made[request.param]))


def rewritten(path: Path, **change: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


# what comes out


def test_a_sentence_through_its_tokenizer_and_model(encoder: TextEncoder) -> None:
    tokens = encoder.tokenize([SENTENCE])[0]
    plain = encoder.tokenizer.decode(tokens, skip_special_tokens=True)
    assert plain.lower().replace(" ", "") == SENTENCE.lower().replace(" ", "")
    rows = encoder.encode([SENTENCE])[0]
    assert rows.shape == (len(tokens), encoder.width) and rows.dtype == np.float32
    model = transformers.AutoModel.from_pretrained(encoder.weights.folder).eval()
    with torch.no_grad():
        plain_rows = model(torch.as_tensor(tokens)[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(rows, plain_rows, atol=1e-5)


def test_padding_and_company_change_nothing(encoder: TextEncoder) -> None:
    texts = [*TEXTS, "", SENTENCE * 20]
    together = encoder.encode(texts)
    alone = [encoder.encode([one])[0] for one in texts]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_same_texts_give_the_same_bytes(encoder: TextEncoder) -> None:
    first = encoder.encode(TEXTS)
    encoder.model.train()  # a trainer has it meanwhile
    again = encoder.encode(TEXTS)
    assert encoder.model.training, "and keeps it as it was"
    encoder.model.eval()
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_no_texts_and_no_tokens(encoder: TextEncoder) -> None:
    assert encoder.encode([]) == [] and encoder.tokenize([]) == []
    assert len(encoder.encode([""])[0]) == 2, "the marks of beginning and end"
    rows = encoder.encode_tokens([np.array([5, 6]), np.array([], int)])
    assert [row.shape for row in rows] == [(2, 32), (0, 32)]


def test_long_texts_are_cut_and_keep_their_end_mark(encoder: TextEncoder) -> None:
    whole, cut = encoder.tokenize([SENTENCE])[0], encoder.tokenize([SENTENCE], 6)[0]
    assert len(cut) == 6 and cut.tolist() == [*whole[:5], whole[-1]]
    assert len(encoder.tokenize(["film " * 999])[0]) == text.MOST


def test_an_inner_layer(made: dict[str, Path]) -> None:
    folder = str(made["bert"])
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = load(folder).tokenize([SENTENCE])
    with torch.no_grad():
        layers = model(torch.as_tensor(tokens[0])[None], output_hidden_states=True).hidden_states
    for layer, same in ((0, -3), (1, -2), (2, -1)):
        found = load(folder, layer=layer)
        np.testing.assert_allclose(found.encode_tokens(tokens)[0], layers[layer][0].numpy(), atol=1e-5)
        assert found.key == load(folder, layer=same).key


def test_half_numbers_are_near(made: dict[str, Path]) -> None:
    exact, half = load(str(made["electra"])), load(str(made["electra"]), numbers="float16")
    assert half.model.dtype == torch.float16
    np.testing.assert_allclose(half.encode([SENTENCE])[0], exact.encode([SENTENCE])[0], atol=0.02)
    assert half.key != exact.key


@pytest.mark.parametrize(("generation", "numbers"), [(7, "float16"), (8, "float32"), (9, "float32")])
def test_numbers_by_generation_of_gpu(monkeypatch: pytest.MonkeyPatch, generation: int, numbers: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert text._numbers("cuda:0") == numbers
    assert text._numbers("cpu") == "float32"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_what_a_cpu_gives(encoder: TextEncoder) -> None:
    other = load(str(encoder.weights.folder), device="cuda", numbers="float32")
    here = load(str(encoder.weights.folder), device="cpu", numbers="float32")
    for one, two in zip(here.encode(TEXTS), other.encode(TEXTS), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


# through the cache


def test_the_cache_gives_the_same_up_to_fp16(encoder: TextEncoder, tmp_path: Path) -> None:
    data = fake_features.dataset(tmp_path / "data", [*TEXTS, SENTENCE])
    found = cache.features(data, encoder, cache.text_of, tmp_path / "features")
    exact = encoder.encode([*TEXTS, SENTENCE])
    for i, rows in enumerate(exact):
        np.testing.assert_array_equal(found.ragged[i], rows.astype(np.float16))
    assert found.about["explained"]["encoder"] == encoder.key
    assert found.about["error"]["relative"] < 2**-11


def test_features_that_are_there_need_no_weights_in_memory(made: dict[str, Path], tmp_path: Path) -> None:
    data = fake_features.dataset(tmp_path / "data", TEXTS)
    cache.build(data, load(str(made["bert"])), cache.text_of, tmp_path / "features")
    again = load(str(made["bert"]))
    cache.features(data, again, cache.text_of, tmp_path / "features")
    assert "model" not in vars(again)


# the key


def test_the_key_is_json_and_changes_with_what_decides_the_features(made: dict[str, Path], tmp_path: Path) -> None:
    folder = made["electra"]
    other_weights = tiny([*TEXTS, SENTENCE], tmp_path / "weights", seed=1)
    other_words = Path(shutil.copytree(folder, tmp_path / "words"))
    words = (other_words / "vocab.txt").read_text().splitlines()
    (other_words / "vocab.txt").write_text("\n".join([*words[:-2], words[-1], words[-2]]) + "\n")
    cased = Path(shutil.copytree(folder, tmp_path / "cased"))
    rewritten(cased / "tokenizer_config.json", do_lower_case=False)
    other_model = Path(shutil.copytree(folder, tmp_path / "model"))
    rewritten(other_model / "config.json", layer_norm_eps=1e-5)
    keys = [load(str(path)).key for path in (folder, other_weights, other_words, cased, other_model)]
    keys += [load(str(folder), most=49).key, load(str(folder), layer=1).key]
    assert len({json.dumps(key, sort_keys=True) for key in keys}) == 7


def test_the_key_changes_with_the_version_of_transformers(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(str(made["electra"])).key
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "9.0")  # it takes its own place when it is used
    assert load(str(made["electra"])).key != before


def test_the_key_does_not_change_with_anything_else(folder: Path, made: dict[str, Path]) -> None:
    rewritten(folder / "config.json", transformers_version="4.0", _name_or_path="elsewhere", architectures=["X"])
    (folder / "README.md").write_text("more files")
    moved = folder.rename(folder.with_name("another-name"))
    encoder = load(str(moved))
    encoder.encode(TEXTS[:3])
    encoder.tokenize(TEXTS, 7)
    assert encoder.key == load(str(made["electra"])).key
    assert load(str(moved)).key == encoder.key, "nor with what its tokenizer was used for"


def test_the_name_is_that_of_the_folder(folder: Path) -> None:
    assert load(str(folder)).name == "electra"


# quiet, and offline


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_printed_warned_or_fetched(
    made: dict[str, Path], family: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: Any) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(str(made[family])).encode(["film " * 999])
    assert capfd.readouterr() == ("", "")


def test_the_voice_of_transformers_is_given_back(made: dict[str, Path]) -> None:
    logging: Any = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load(str(made["electra"])).encode(["a"])
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


# what is refused


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"most": 2}, "2 tokens were asked for, and it takes 3 to 512"), ({"most": 513}, "513 tokens"),
     ({"layer": 3}, "layer 3 was asked for, and it has 2"), ({"layer": -4}, "layer -4")],
)  # fmt: skip
def test_more_than_it_has(made: dict[str, Path], asked: dict[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(str(made["electra"]), **asked)  # type: ignore[arg-type]


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    words = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(words + "extra\n")
    with pytest.raises(DataError, match="they do not belong together"):
        load(str(folder))


def test_a_folder_without_its_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match="a file of the vocabulary is not there"):
        load(str(folder))


@pytest.mark.parametrize("change", [{"model_type": "no-such-model"}, {"model_type": "vit"}])
def test_what_is_no_text_encoder(folder: Path, change: dict[str, str]) -> None:
    rewritten(folder / "config.json", **change)
    with pytest.raises(DataError, match="electra"):
        load(str(folder)).encode([SENTENCE])


@pytest.mark.parametrize("content", ["{", "[]", '"x"'])
def test_a_configuration_that_is_none(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(DataError, match="cannot open its configuration"):
        load(str(folder))


def test_code_that_comes_with_weights_is_not_run(folder: Path) -> None:
    rewritten(folder / "config.json", model_type="own", auto_map={"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"})
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(DataError, match="cannot open its configuration"):
        load(str(folder))


def test_weights_that_were_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="model.safetensors cannot be read as weights"):
        load(str(folder)).encode([SENTENCE])


def test_weights_with_a_hole(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    held = load_file(folder / "model.safetensors")
    del held["encoder.layer.1.output.dense.weight"]
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"lacks `encoder.layer.1.output.dense.weight` and 0 more"):
        load(str(folder)).encode([SENTENCE])


def test_weights_of_another_size(folder: Path, tmp_path: Path) -> None:
    other = tiny([*TEXTS, SENTENCE], tmp_path / "wide", width=64)
    shutil.copy(other / "model.safetensors", folder)
    with pytest.raises(DataError, match="cannot be read as weights"):
        load(str(folder)).encode([SENTENCE])


def test_a_bin_is_read_without_running_it(folder: Path) -> None:
    from safetensors.torch import load_file

    expected = load(str(folder)).encode([SENTENCE])[0]
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(held, folder / "pytorch_model.bin")
    np.testing.assert_array_equal(load(str(folder)).encode([SENTENCE])[0], expected)
    torch.save({**held, "evil": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="pytorch_model.bin cannot be read as weights"):
        load(str(folder)).encode([SENTENCE])


def test_the_head_of_another_task_is_left_out(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = load(str(folder)).encode([SENTENCE])[0]
    with text.quiet():
        whole = transformers.ElectraForPreTraining.from_pretrained(folder)
        whole.save_pretrained(folder)
    capfd.readouterr()
    np.testing.assert_array_equal(load(str(folder)).encode([SENTENCE])[0], expected)
    assert capfd.readouterr() == ("", "")
