"""One epoch of frozen text features: read from the cache, beside ELECTRA-base run on each batch.

ELECTRA has its true sizes (12 layers of 768) and random weights, which cost the same time. Texts are as long as MOSI's,
batches of 16, and a part of its training split is measured. The whole step adds a small GRU head, backward and Adam.

`python tests/benchmarks/bench_features.py [FOLDER]`, or `pytest -m bench tests/benchmarks/bench_features.py -s`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import fake_features  # noqa: E402 - the tests' own helper
from affect.encoders import cache, text  # noqa: E402

MOSI = 1284  # samples of its training split
BATCH = 16
BATCHES = 20  # that are measured, of 81 an epoch
ROUNDS = 5  # of what is quick; the encoder goes once, after one batch to warm up
WORDS, SPREAD = 12, 8  # mean and deviation; most texts are shorter than the mean

Read = Callable[[Any], list[np.ndarray]]


def sentences(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    shape = (WORDS / SPREAD) ** 2
    lengths = np.clip(np.round(draw.gamma(shape, WORDS / shape, count)), 1, 48).astype(int)
    return [" ".join(draw.choice(fake_features.WORDS, size)) for size in lengths]


def batches(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).permutation(count).reshape(-1, BATCH))


def padded(rows: list[np.ndarray]) -> tuple[Any, Any]:
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    whole = torch.zeros(len(rows), int(lengths.max()), rows[0].shape[1])
    for i, row in enumerate(rows):
        whole[i, : len(row)] = torch.from_numpy(row.astype(np.float32))
    return whole, lengths


def stepper(width: int) -> Callable[[list[np.ndarray]], None]:
    """A training step of a small head over features."""
    import torch

    torch.manual_seed(0)
    gru, head = torch.nn.GRU(width, 64, batch_first=True), torch.nn.Linear(64, 1)
    optimiser = torch.optim.Adam([*gru.parameters(), *head.parameters()], 1e-3)

    def step(rows: list[np.ndarray]) -> None:
        whole, lengths = padded(rows)
        packed = torch.nn.utils.rnn.pack_padded_sequence(whole, lengths, batch_first=True, enforce_sorted=False)
        loss = head(gru(packed)[1][0]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def epoch(read: Read, chosen: list[np.ndarray], step: Callable[[list[np.ndarray]], object], rounds: int) -> float:
    """Milliseconds a batch, in the best of some rounds."""
    step(read(chosen[0]))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        for batch in chosen:
            step(read(batch))
        seconds.append(time.perf_counter() - began)
    return 1000 * min(seconds) / len(chosen)


def figures(folder: Path) -> str:
    texts = sentences(BATCH * BATCHES)
    name = text.tiny(texts, folder / "electra-base", width=768, layers=12, heads=12, vocabulary=30522)
    encoder = text.load(str(name))
    dataset = fake_features.dataset(folder / "data", texts)
    began = time.perf_counter()
    found = cache.features(dataset, encoder, cache.text_of, folder / "features")
    built = time.perf_counter() - began
    chosen = batches(len(texts))
    began = time.perf_counter()
    cache.features(dataset, text.load(str(name)), cache.text_of, folder / "features")
    opened = time.perf_counter() - began

    def read(batch: Any) -> list[np.ndarray]:
        return [found.ragged[i] for i in batch]

    def run(batch: Any) -> list[np.ndarray]:
        return encoder.encode([texts[i] for i in batch])

    step = stepper(encoder.width)
    alone = epoch(run, chosen, padded, 1), epoch(read, chosen, padded, ROUNDS)
    whole = epoch(run, chosen, step, 1), epoch(read, chosen, step, ROUNDS)
    batch_count = -(-MOSI // BATCH)
    error = found.about["error"]
    return "\n".join([
        f"frozen text features, {len(texts)} of MOSI's {MOSI} training texts (mean {np.mean([len(t.split()) for t in texts]):.1f}"
        f" words), ELECTRA-base on {encoder.device}, {os.environ.get('OMP_NUM_THREADS', 'all')} thread(s):",
        f"  features alone: {alone[0]:,.0f} ms a batch when run, {alone[1]:.2f} ms from the cache ({alone[0] / alone[1]:,.0f} times as fast)",
        f"  a whole training step: {whole[0]:,.0f} ms and {whole[1]:.1f} ms ({whole[0] / whole[1]:,.0f} times as fast);"
        f" an epoch of MOSI {whole[0] * batch_count / 1000:,.1f} s and {whole[1] * batch_count / 1000:.2f} s",
        f"  built once in {built:.1f} s, opened again in {1000 * opened:.0f} ms with its key worked out anew",
        f"  fp16 on disk is off by at most {error['absolute']:.1e}, and a token's vector by {error['relative']:.1e} of its norm",
    ])  # fmt: skip


@pytest.mark.bench
def test_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(tmp_path)
    with capsys.disabled():
        print(told)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        print(figures(Path(temporary)))
