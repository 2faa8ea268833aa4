"""Where weights lie: in a folder, or under a hub name in the local cache, or else they are fetched once.

Owns the search, which never waits long for a network that is not there, and quiet loading. Refuses names that are
neither, folders without a configuration or without weights, and a .bin where torch is too old to read it safely.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affect.errors import DataError

PROBE_SECONDS = 5.0
_SAFE, _TORCH = "model.safetensors", "pytorch_model.bin"
_SMALL = ["*.json", "*.txt", "*.model"]  # the configuration, and the files of any kind of tokenizer
_TORCH_FROM = (2, 10)  # before it, a made-up .bin could write outside its memory


@dataclass(frozen=True)
class Weights:
    """A folder with a configuration and weights, and the files that the weights are."""

    name: str
    folder: Path
    files: tuple[Path, ...]

    @property
    def safe(self) -> bool:
        return self.files[0].suffix == ".safetensors"


def find(name_or_folder: str, revision: str | None = None) -> Weights:
    """The weights of that folder or hub name; DataError within seconds where they are not to be had."""
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise DataError(f"{folder} is a folder, which has no revision `{revision}`: give one or the other")
        return opened(folder, folder.resolve().name)
    if folder.is_absolute() or name_or_folder[:1] in "~." or name_or_folder.count("/") > 1:
        raise DataError(f"there is no folder {folder} with weights")
    short = name_or_folder.rpartition("/")[2]
    cached = _cached(name_or_folder, revision)
    if cached is not None and _files(cached):
        return opened(cached, short)
    return opened(_fetched(name_or_folder, revision), short)


def opened(folder: Path, name: str) -> Weights:
    """The weights of a folder, once it is clear that it has what is needed."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} has no config.json: it is no folder that `save_pretrained` wrote")
    found = _files(folder)
    if not found:
        raise DataError(f"{folder} has neither {_SAFE} nor {_TORCH}: get the weights again, or name another folder")
    for file in found:
        if not file.is_file():
            raise DataError(f"{folder} says that weights are in {file.name}, which is not there: get them again")
    weights = Weights(name, folder, found)
    if not weights.safe:
        _check_torch(found[0])
    return weights


@contextmanager
def quiet() -> Iterator[None]:
    """transformers and the hub neither draw bars nor warn inside this block."""
    import huggingface_hub
    from transformers.utils import logging

    hub: Any = huggingface_hub.utils
    says: Any = logging
    level, bars, hub_bars = says.get_verbosity(), says.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    says.set_verbosity_error()
    says.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        says.set_verbosity(level)
        if bars:
            says.enable_progress_bar()
        if hub_bars:
            hub.enable_progress_bars()


def _files(folder: Path) -> tuple[Path, ...]:
    """The weights of a folder: one file, or those that an index lists; the safe form goes first."""
    for single in (_SAFE, _TORCH):
        if (folder / single).is_file():
            return (folder / single,)
        index = folder / f"{single}.index.json"
        if index.is_file():
            return tuple(folder / name for name in _listed(index))
    return ()


def _listed(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{index} is no list of weights files: get it again") from error
    for name in names:
        if not isinstance(name, str) or name != Path(name).name or name in ("", ".."):
            raise DataError(f"{index} names `{name}`, which is no file beside it")
    if not names:
        raise DataError(f"{index} names no weights file: get it again")
    return names


def _check_torch(file: Path) -> None:
    import torch

    if tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) < _TORCH_FROM:
        raise DataError(f"{file} is safe to read with torch 2.10 or newer only: this is {torch.__version__}")


# the hub


def _cached(name: str, revision: str | None) -> Path | None:
    """The folder of the local cache, which is looked at without any network."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except ValueError as error:
        raise DataError(f"`{name}` is neither a folder nor a name on the hub, which has the form OWNER/NAME") from error
    return Path(found).parent if isinstance(found, str) else None


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import constants, errors, snapshot_download

    failures = (OSError, ValueError, errors.HTTPError)  # type: ignore[attr-defined]
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise DataError(_absent(name, revision, "HF_HUB_OFFLINE is set"))
    why = _unreachable(constants.ENDPOINT)
    if why:
        raise DataError(_absent(name, revision, f"{constants.ENDPOINT} cannot be reached: {why}"))
    try:
        with quiet():
            for patterns in ([*_SMALL, "model*.safetensors"], [*_SMALL, "pytorch_model*.bin"]):
                folder = Path(
                    snapshot_download(name, revision=revision, allow_patterns=patterns, etag_timeout=PROBE_SECONDS)
                )
                if _files(folder):
                    break
    except failures as error:
        why = str(error).strip().partition("\n")[0]
        raise DataError(_absent(name, revision, f"{constants.ENDPOINT} says: {why}")) from error
    return folder


def _absent(name: str, revision: str | None, why: str) -> str:
    from huggingface_hub import constants

    at = f" at revision {revision}" if revision else ""
    call = f"find({name!r}, {revision!r})" if revision else f"find({name!r})"
    return (
        f"the weights of `{name}`{at} are not on this machine: there is no such folder, they are not whole in "
        f"{constants.HF_HUB_CACHE}, and {why}\nhint: where there is a network, say on a login node, run "
        f'HF_HOME={constants.HF_HOME} python -c "from affect.encoders.weights import find; {call}"'
        f"\nhint: or give the folder of a copy; HF_HOME must name the same folder where the job runs"
    )


def _unreachable(endpoint: str) -> str | None:
    """Why nothing answers at this address, or None. A look-up of a name may hang, so it has a thread of its own."""
    parts = urllib.parse.urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = parts.port or (80 if parts.scheme == "http" else 443)
    told: list[str | None] = []

    def probe() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), PROBE_SECONDS).close()
            told.append(None)
        except OSError as error:
            told.append(str(error))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 1)
    return told[0] if told else f"no answer in {PROBE_SECONDS + 1:.0f} s"
