"""Text encoders through transformers: words to one vector a token, the same every time.

Owns tokens, batches and precision. An encoder is opened without its weights being read: features that are in the cache
need only their SHA-256. Refuses code that comes with weights, weights with holes, and tokenizers that do not fit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from affect import files
from affect.data.draft import Array
from affect.encoders.tiny import tiny
from affect.encoders.weights import Weights, find, quiet
from affect.errors import DataError

__all__ = ["MOST", "TextEncoder", "load", "tiny"]

MOST = 50  # tokens, with those that stand at both ends: what the papers use
_BATCH = 32
_UNRELATED = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}  # of a configuration

Numbers = Literal["float32", "float16"]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A model and its tokenizer. `encode` gives what the cache keeps; `model` can also be trained further."""

    name: str
    width: int
    key: dict[str, Any]  # everything that decides the features
    tokenizer: Any
    most: int
    layer: int  # of how many the model has, counted from the embeddings, which are 0
    device: str
    numbers: Numbers
    weights: Weights = field(repr=False)
    config: Any = field(repr=False)

    @cached_property
    def model(self) -> Any:
        """The model, read when it is first needed."""
        import torch

        model = _model(self.weights, self.config)
        return model.to(self.device, getattr(torch, self.numbers)).eval()

    def tokenize(self, texts: Sequence[str], most: int | None = None) -> list[Array]:
        """Token numbers of each text, at most so many, with the marks of its beginning and end."""
        if not texts:
            return []
        rows = self.tokenizer(
            list(texts), truncation=True, max_length=most or self.most, padding=False,
            return_attention_mask=False, return_token_type_ids=False,
        )  # fmt: skip
        return [np.array(row, np.int64) for row in rows["input_ids"]]

    def encode(self, texts: Sequence[str]) -> list[Array]:
        """Features (tokens, width) of each text."""
        return self.encode_tokens(self.tokenize(texts))

    def encode_tokens(self, tokens: Sequence[Array]) -> list[Array]:
        """Features (tokens, width) of each list of token numbers; none of no tokens."""
        import torch

        found = [np.zeros((0, self.width), np.float32) for _ in tokens]
        order = sorted((i for i in range(len(tokens)) if len(tokens[i])), key=lambda i: len(tokens[i]))
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                for start in range(0, len(order), _BATCH):
                    chosen = order[start : start + _BATCH]
                    for i, rows in zip(chosen, self._batch([tokens[i] for i in chosen]), strict=True):
                        found[i] = rows
        finally:
            self.model.train(training)
        return found

    def _batch(self, tokens: list[Array]) -> list[Array]:
        import torch

        lengths = [len(row) for row in tokens]
        numbers = torch.full((len(tokens), max(lengths)), self.tokenizer.pad_token_id or 0)  # (B, L)
        mask = torch.zeros(numbers.shape, dtype=torch.int64)
        for i, row in enumerate(tokens):
            numbers[i, : len(row)] = torch.as_tensor(np.asarray(row, np.int64))
            mask[i, : len(row)] = 1
        inner = self.layer < self.config.num_hidden_layers
        out = self.model(
            input_ids=numbers.to(self.device), attention_mask=mask.to(self.device), output_hidden_states=inner
        )
        rows = (out.hidden_states[self.layer] if inner else out.last_hidden_state).float().cpu().numpy()
        return [rows[i, :length].copy() for i, length in enumerate(lengths)]


def load(
    name_or_folder: str,
    *,
    revision: str | None = None,
    most: int = MOST,
    layer: int = -1,
    device: str | None = None,
    numbers: Numbers | None = None,
) -> TextEncoder:
    """An encoder from a hub name or a local folder; `layer` -1 is the last.

    The device is a GPU where there is one. Numbers are float32, but float16 on GPUs below sm_80, unless they are given.
    """
    import transformers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it complains when a loader forks
    weights = find(name_or_folder, revision)
    config, tokenizer = _opened(weights)
    layer = _checked(weights, config, tokenizer, most, layer)
    device = device or _device()
    numbers = numbers or _numbers(device)
    key = {
        "class": config.model_type, "layer": layer, "most": most, "numbers": numbers,
        "weights": _together(files.sha256(file) for file in weights.files), "vocabulary": _vocabulary(tokenizer),
        "config": _together([_config(config)]), "transformers": transformers.__version__,
    }  # fmt: skip
    width = int(config.hidden_size)
    return TextEncoder(weights.name, width, key, tokenizer, most, layer, device, numbers, weights, config)


# opening


def _opened(weights: Weights) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer

    folder = str(weights.folder)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise DataError(f"{folder}: transformers cannot open its configuration or tokenizer: {error}") from error
    if not hasattr(config, "hidden_size") or not hasattr(config, "num_hidden_layers"):
        raise DataError(f"{folder} holds a `{config.model_type}`, which is no text encoder")
    return config, tokenizer


def _checked(weights: Weights, config: Any, tokenizer: Any, most: int, layer: int) -> int:
    """The layer, counted from the embeddings, once everything fits together."""
    layers, ends = int(config.num_hidden_layers), tokenizer.num_special_tokens_to_add()
    longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 1 << 30))
    if not ends < most <= longest:
        raise DataError(f"{weights.folder}: {most} tokens were asked for, and it takes {ends + 1} to {longest}")
    if not -layers - 1 <= layer <= layers:
        raise DataError(f"{weights.folder}: layer {layer} was asked for, and it has {layers}")
    words, rows = len(tokenizer), int(getattr(config, "vocab_size", 0))
    if not rows / 2 < words <= rows:  # without its file, a vocabulary is a handful of marks
        raise DataError(
            f"{weights.folder}: its tokenizer has {words:,} tokens and its model {rows:,}: they do not belong "
            "together, or a file of the vocabulary is not there; get the folder again"
        )
    return layer % (layers + 1)


def _model(weights: Weights, config: Any) -> Any:
    import pickle

    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            model, told = AutoModel.from_pretrained(
                str(weights.folder), config=config, local_files_only=True, trust_remote_code=False,
                use_safetensors=weights.safe, output_loading_info=True,
            )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        why = str(error).strip().partition("\n")[0]
        raise DataError(f"{weights.files[0]} cannot be read as weights: {why}; get it again") from error
    missing = sorted(name for name in told["missing_keys"] if "pooler" not in name)  # nobody reads the pooler
    if missing:
        raise DataError(f"{weights.files[0]} lacks `{missing[0]}` and {len(missing) - 1:,} more that its model needs")
    return model


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _numbers(device: str) -> Numbers:
    import torch

    old = device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] < 8
    return "float16" if old else "float32"


# what the key is made of


def _vocabulary(tokenizer: Any) -> str:
    """The SHA-256 of everything that decides tokens: pieces, normalisation, marks."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        pieces = sorted(tokenizer.get_vocab().items())
        return _together([json.dumps([type(tokenizer).__name__, pieces, tokenizer.special_tokens_map], default=str)])
    told = json.loads(backend.to_str())
    return _together([json.dumps({**told, "padding": None, "truncation": None}, sort_keys=True)])


def _config(config: Any) -> str:
    told = {name: value for name, value in config.to_diff_dict().items() if name not in _UNRELATED}
    return json.dumps(told, sort_keys=True, default=str)


def _together(texts: Iterator[str] | Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
