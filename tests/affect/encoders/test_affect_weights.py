"""Weights are found in a folder or in the local cache; where they are not, that is said at once, and what to do."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from affect.encoders import weights
from affect.encoders.tiny import tiny
from affect.encoders.weights import find
from affect.errors import DataError

NAME = "owner/small-encoder"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub where nobody answers."""
    cache = tmp_path / "hf" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny(["some words to make a vocabulary of"], tmp_path / "small-encoder", layers=1)


def cached(folder: Path, hub: Path, revision: str = "main") -> Path:
    """Put a folder into the cache, in the form that the hub's library keeps."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    at = hub / "models--owner--small-encoder"
    (at / "refs").mkdir(parents=True)
    (at / "refs" / revision).write_text(commit)
    return Path(shutil.copytree(folder, at / "snapshots" / commit))


def refused(name: str, revision: str | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        find(name, revision)
    assert time.monotonic() - began < 5
    return str(caught.value)


def no_network(*_: Any, **__: Any) -> Any:
    pytest.fail("the network was asked")


# where they are


def test_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(str(folder))
    assert (found.name, found.folder, found.safe) == ("small-encoder", folder, True)
    assert [file.name for file in found.files] == ["model.safetensors"]
    monkeypatch.chdir(folder)
    assert find(".").name == "small-encoder"


def test_a_name_in_the_cache_asks_no_network(folder: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = cached(folder, hub)
    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    found = find(NAME)
    assert (found.name, found.folder) == ("small-encoder", at)


def test_a_revision_in_the_cache(folder: Path, hub: Path) -> None:
    at = cached(folder, hub, "v2")
    assert find(NAME, "v2").folder == at
    assert find(NAME, at.name).folder == at, "by its commit"
    assert "at revision v3" in refused(NAME, "v3")


# where they are not


def test_offline_is_said_at_once_and_what_to_do(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "create_connection", no_network)
    told = refused(NAME)
    assert f"`{NAME}` are not on this machine" in told
    assert str(hub) in told and "HF_HUB_OFFLINE is set" in told
    assert f"HF_HOME={hub.parent} python -c" in told and f"find('{NAME}')" in told


def test_the_command_in_the_hint_is_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code = refused(NAME, "v2").split('python -c "')[1].split('"')[0]
    with pytest.raises(DataError, match="at revision v2"):
        exec(code)


def test_a_cache_without_the_weights_is_not_enough(folder: Path, hub: Path) -> None:
    (cached(folder, hub) / "model.safetensors").unlink()
    assert "not whole" in refused(NAME)


def test_nobody_answers() -> None:
    assert "http://127.0.0.1:1 cannot be reached: [Errno 111]" in refused(NAME)


def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PROBE_SECONDS", -0.8)
    ends = threading.Event()
    monkeypatch.setattr(socket, "create_connection", lambda *_: ends.wait() and socket.socket())
    assert "no answer in" in refused(NAME)
    ends.set()


def test_a_proxy_is_asked_in_place_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def connect(address: tuple[str, int], *_: Any) -> Any:
        asked.append(address)
        raise OSError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    refused(NAME)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    refused(NAME)
    monkeypatch.setenv("no_proxy", "hub.example")
    refused(NAME)
    assert asked == [("hub.example", 443), ("proxy.example", 3128), ("hub.example", 443)]


# where they can be fetched


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin"])
def test_they_are_fetched_without_what_nobody_reads(
    folder: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (folder / "model.safetensors").rename(folder / form)
    asked: list[str] = []

    def download(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        asked.extend(p for p in allow_patterns if "model" in p and p != "*.model")
        assert not any(Path("tf_model.h5").match(pattern) for pattern in allow_patterns)
        return str(folder if form.startswith("model") or "pytorch" in asked[-1] else hub)

    hub.mkdir(parents=True)
    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find(NAME).files == (folder / form,)
    assert asked == ["model*.safetensors", "pytorch_model*.bin"][: 1 + (form != "model.safetensors")]


def test_what_the_hub_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise OSError("401 Client Error: gated\nmore lines")

    monkeypatch.setattr(socket, "create_connection", lambda *_: socket.socket())
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert "says: 401 Client Error: gated\nhint:" in refused(NAME)


# what is no folder with weights


@pytest.mark.parametrize("name", ["/no/such", "./here", "~/there", "a/b/c"])
def test_no_such_folder(name: str) -> None:
    assert "there is no folder" in refused(name)


@pytest.mark.parametrize("name", ["two words", "a//b", "", "-x/y", "a/b\n"])
def test_no_name_of_the_hub(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(name)


def test_a_folder_has_no_revision(folder: Path) -> None:
    assert "has no revision `v2`" in refused(str(folder), "v2")


@pytest.mark.parametrize(("gone", "words"), [("config.json", "no config.json"), ("model.safetensors", "neither")])
def test_a_folder_that_lacks_something(folder: Path, gone: str, words: str) -> None:
    (folder / gone).unlink()
    assert words in refused(str(folder))


def test_weights_in_several_files(folder: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        shutil.copy(folder / "model.safetensors", folder / name)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}))
    assert [file.name for file in find(str(folder)).files] == ["a.safetensors", "b.safetensors"]
    (folder / "b.safetensors").unlink()
    assert "b.safetensors, which is not there" in refused(str(folder))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"x": "../y.safetensors"}}',
             '{"weight_map": {"x": 3}}', '{"weight_map": {"x": ".."}}', '{"weight_map": {"x": []}}'],
)  # fmt: skip
def test_a_list_of_files_that_is_none(folder: Path, text: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json" in refused(str(folder))


def test_a_bin_needs_a_torch_that_reads_it_safely(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert not find(str(folder)).safe
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu121")
    assert "torch 2.10 or newer only: this is 2.9.1+cu121" in refused(str(folder))
