"""A small text encoder made of the texts at hand, for machines without the weights of a real one.

Owns its vocabulary and its random weights: equal texts and seeds give equal bytes. What it writes is opened like any
other folder. Refuses to write over a folder that holds something else.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from affect.encoders.weights import quiet
from affect.errors import DataError

FAMILIES = ("electra", "bert", "roberta")
_LONGEST = 512  # tokens
_WORDPIECE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTES = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def tiny(
    texts: Sequence[str],
    folder: Path,
    *,
    family: str = "electra",
    width: int = 32,
    layers: int = 2,
    heads: int = 4,
    vocabulary: int = 1000,
    seed: int = 0,
) -> Path:
    """Write a small encoder of a family to a folder that `load` opens; it is there whole or not at all."""
    if family not in FAMILIES:
        raise DataError(f"`{family}` is none of {', '.join(FAMILIES)}")
    if width % heads:
        raise DataError(f"a width of {width} cannot be shared by {heads} heads: give a multiple")
    if not any(text.strip() for text in texts):
        raise DataError(f"{folder}: a vocabulary needs texts, and all {len(texts):,} are empty")
    with _placed(folder) as temporary:
        size = (_write_bytes if family == "roberta" else _write_wordpiece)(texts, vocabulary, family, temporary)
        _write_model(family, size, (width, layers, heads), seed, temporary)
    return folder


# vocabularies


def _write_wordpiece(texts: Sequence[str], vocabulary: int, family: str, folder: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain = [tokenizer.normalizer.normalize_str(text) for text in texts]
    seen = Counter("".join(plain))
    most = max(1, (vocabulary - len(_WORDPIECE)) // 4)
    common = sorted((letter for letter in seen if not letter.isspace()), key=lambda letter: (-seen[letter], letter))
    letters, rare = sorted(common[:most]), str.maketrans(dict.fromkeys(common[most:], " "))
    # Pieces that are given get their numbers in this order; the trainer alone would number them differently each time.
    given = [*_WORDPIECE, *letters, *(f"##{letter}" for letter in letters)]
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=given, show_progress=False)
    tokenizer.train_from_iterator((text.translate(rare) for text in plain), trainer)
    pieces = tokenizer.get_vocab()
    (folder / "vocab.txt").write_text("".join(f"{p}\n" for p in sorted(pieces, key=lambda p: pieces[p])), "utf-8")
    _write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": f"{family.title()}Tokenizer", "do_lower_case": True, "model_max_length": _LONGEST,
    })  # fmt: skip
    return len(pieces)


def _write_bytes(texts: Sequence[str], vocabulary: int, family: str, folder: Path) -> int:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(_BYTES), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model.save(str(folder))  # vocab.json and merges.txt
    _write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": f"{family.title()}Tokenizer", "model_max_length": _LONGEST,
    })  # fmt: skip
    return int(tokenizer.get_vocab_size())


# the model


def _write_model(family: str, vocabulary: int, sizes: tuple[int, int, int], seed: int, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    width, layers, heads = sizes
    of_family: dict[str, Any] = {
        "electra": {"embedding_size": width},
        "bert": {},
        "roberta": {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "type_vocab_size": 1},
    }
    config = AutoConfig.for_model(
        family, vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * width, max_position_embeddings=_LONGEST + 2, **of_family[family],
    )  # fmt: skip
    made: Any = AutoModel
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made.from_config(config).save_pretrained(folder)


def _write_json(path: Path, told: dict[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")


# a folder at once


@contextmanager
def _placed(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which takes its place when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
            if not _same(temporary, folder):
                raise DataError(f"{folder} is there already and holds something else: name another") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _same(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    if not other.is_dir() or sorted(path.name for path in other.iterdir()) != names:
        return False
    return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])
