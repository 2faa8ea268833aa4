"""Batches from the dataset file beside the usual ways, on a made-up dataset of MOSI's size. One thread of torch.

make bench        (or: pytest -s -m bench tests/benchmarks/bench_batches.py)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from statistics import mean, median
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affect.data import store
from affect.data.batches import Batch, Batches, padding
from affect.data.draft import Draft, Frames, Labels
from affect.data.store import Dataset

pytestmark = pytest.mark.bench

CLIPS, SIZE, EPOCHS = 1284, 16, 200
SHAPES = {"text": (50, 768, 12), "vision": (50, 20, 20), "audio": (375, 5, 150)}  # longest, width, mean length
Example = dict[str, Tensor]


def lengths(name: str) -> Any:
    """Of a gamma distribution whose standard deviation is two thirds of its mean, as of the words of a sentence."""
    longest, _, mean = SHAPES[name]
    drawn = np.random.default_rng(len(name)).gamma(2.2, mean / 2.2, CLIPS)
    return np.clip(np.rint(drawn), 1, longest).astype(np.int64)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("mosi")
    (folder / "source.txt").write_text("made up")
    draws = np.random.default_rng(0)
    frames = {}
    for name, (_, width, _) in SHAPES.items():
        rows = [draws.standard_normal((n, width), np.float32) for n in lengths(name)]
        frames[name] = Frames(lengths(name), width, rows.__getitem__)
    draft = Draft(
        name="mosi", importer="bench 1", sources=[folder / "source.txt"], ids=[f"v{i}" for i in range(CLIPS)],
        splits=["train"] * CLIPS, frames=frames, labels={"sentiment": Labels(draws.uniform(-3, 3, CLIPS))},
    )  # fmt: skip
    return store.write(draft, folder / "mosi.h5")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# the ways


def ours(data: Dataset, **options: Any) -> Callable[[int], Iterator[Batch]]:
    return Batches(data, "train", size=SIZE, seed=0, frames=tuple(SHAPES), labels=("sentiment",), **options).epoch


class Padded(torch.utils.data.Dataset[Example]):
    """Everything in memory, padded to the longest that there may be."""

    def __init__(self, data: Dataset) -> None:
        self.arrays: dict[str, Any] = {"sentiment": np.array(data.labels["sentiment"].values)}
        for name, (longest, width, _) in SHAPES.items():
            self.arrays[name] = np.zeros((CLIPS, longest, width), np.float32)
            for i in range(CLIPS):
                rows = data.frames[name][i]
                self.arrays[name][i, : len(rows)] = rows

    def __len__(self) -> int:
        return CLIPS

    def __getitem__(self, index: int) -> Example:
        return {name: torch.as_tensor(array[index]) for name, array in self.arrays.items()}


def loader(padded: Padded, workers: int) -> Callable[[int], Iterable[Example]]:
    found = torch.utils.data.DataLoader(
        padded, batch_size=SIZE, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda epoch: found


def indexed(padded: Padded) -> Callable[[int], Iterable[Example]]:
    """The quickest plain way: rows of the padded tensors by a list of numbers, without a loader."""
    tensors = {name: torch.from_numpy(array) for name, array in padded.arrays.items()}

    def epoch(number: int) -> Iterator[Example]:
        for numbers in torch.randperm(CLIPS).split(SIZE):
            yield {name: tensor[numbers] for name, tensor in tensors.items()}

    return epoch


# samples a second


def passed(batch: Batch | Example) -> int:
    return len(batch) if isinstance(batch, Batch) else len(batch["sentiment"])


def timed(epoch: Callable[[int], Iterable[Any]], first: int, count: int) -> float:
    began = time.perf_counter()
    for number in range(first, first + count):
        assert sum(passed(batch) for batch in epoch(number)) == CLIPS
    return time.perf_counter() - began


def test_samples_a_second(data: Dataset) -> None:
    padded = Padded(data)
    ways: dict[str, tuple[Callable[[int], Iterable[Any]], int]] = {
        "DataLoader, no workers": (loader(padded, 0), EPOCHS),
        "DataLoader, 2 workers": (loader(padded, 2), EPOCHS // 10),
        "padded tensors by index": (indexed(padded), EPOCHS),
        "ours": (ours(data), EPOCHS),
        "ours, read ahead by a thread": (ours(data, ahead=2), EPOCHS),
        "ours, by length": (ours(data, bucket="text"), EPOCHS),
    }
    seconds = dict.fromkeys(ways, 0.0)
    for turn in range(10):  # by turns, so that a busy moment of the machine strikes all of them
        for name, (way, epochs) in ways.items():
            seconds[name] += timed(way, turn * epochs // 10, epochs // 10)
    size = sum(array.nbytes for array in padded.arrays.values()) / 1e6
    print(f"\n{EPOCHS} epochs of {CLIPS:,} clips in batches of {SIZE}; padded arrays: {size:.0f} MB,", end=" ")
    print(f"dataset file: {data.file.path.stat().st_size / 1e6:.0f} MB")
    plain = EPOCHS * CLIPS / seconds["DataLoader, no workers"]
    for name, (_, epochs) in ways.items():
        speed = epochs * CLIPS / seconds[name]
        told = "" if epochs == EPOCHS else f"  (extrapolated from {epochs})"
        whole = seconds[name] * EPOCHS / epochs
        print(f"  {name:24} {whole:6.1f} s  {speed:9,.0f} a second  {speed / plain:5.1f} x{told}")


# padding, and what it costs a model


class Reader(nn.Module):
    """A GRU over each sequence and a linear layer over their last states."""

    def __init__(self, hidden: int, names: Iterable[str]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({n: nn.GRU(SHAPES[n][1], hidden, batch_first=True) for n in names})
        self.head = nn.Linear(hidden * len(self.parts), 1)

    def forward(self, frames: dict[str, Tensor]) -> Tensor:
        last = [part(frames[name])[1][0] for name, part in self.parts.items()]
        return self.head(torch.cat(last, 1))[:, 0]


class Tiny(nn.Module):
    """A linear layer over the mean of each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(sum(width for _, width, _ in SHAPES.values()), 1)

    def forward(self, frames: dict[str, Tensor]) -> Tensor:
        return self.head(torch.cat([frames[name].mean(1) for name in SHAPES], 1))[:, 0]


def train(model: nn.Module, epoch: Iterable[Any], most: int = 10**9) -> tuple[float, list[float]]:
    """Seconds of waiting for data, and the seconds of each step."""
    optimizer = torch.optim.Adam(model.parameters())
    waited, steps, mark = 0.0, [], time.perf_counter()
    for number, batch in enumerate(epoch):
        came = time.perf_counter()
        waited += came - mark
        frames, answer = (batch.frames, batch.labels) if isinstance(batch, Batch) else (batch, batch)
        optimizer.zero_grad()
        nn.functional.l1_loss(model(frames), answer["sentiment"]).backward()
        optimizer.step()
        mark = time.perf_counter()
        steps.append(mark - came)
        if number + 1 == most:
            break
    return waited, steps


def test_padding_and_what_it_costs(data: Dataset) -> None:
    print(f"\npadding, of all cells; batches of {SIZE}")
    for name, (longest, _, _) in SHAPES.items():
        plain, by_length, by_text = (
            padding(lengths(name), ours_order(data, bucket), SIZE) for bucket in (None, name, "text")
        )
        told = f"{1 - lengths(name).mean() / longest:.0%} to the maximum, {plain:.0%} to the batch's longest"
        print(f"  {name:7} {told}, {by_length:.0%} by its own length, {by_text:.0%} by the length of the text")
    print("a training step of a GRU of 64 and a linear layer, mean of an epoch, the better of two")
    padded = Padded(data)
    for name in ("text", "audio"):
        ways = {
            "to the maximum": indexed(padded),
            "to the longest": ours(data),
            "by length": ours(data, bucket=name),
        }
        model = Reader(64, [name])
        train(model, ours(data)(0), 5)  # warms up
        found = {way: min(mean(train(model, epoch(turn))[1]) for turn in range(2)) * 1e3 for way, epoch in ways.items()}
        print(f"  {name:7} " + ", ".join(f"{way} {ms:.1f} ms" for way, ms in found.items()))


def ours_order(data: Dataset, bucket: str | None) -> Any:
    return Batches(data, "train", size=SIZE, seed=0, frames=tuple(SHAPES), bucket=bucket).order(0)


# waiting


def test_a_model_is_kept_busy(data: Dataset) -> None:
    padded = Padded(data)
    ways = {
        "ours": ours(data),
        "ours, read ahead by a thread": ours(data, ahead=2),
        "DataLoader, no workers": loader(padded, 0),
    }
    print("\nshare of a training loop that waits for data, median of five times")
    models: dict[str, tuple[nn.Module, int]] = {
        "a linear layer": (Tiny(), 80),
        "two GRUs of 128": (Reader(128, ["text", "vision"]), 80),
    }
    for told, (model, count) in models.items():
        train(model, ours(data)(0), 5)
        for name, epoch in ways.items():
            shares, whole = [], []
            for turn in range(5):
                waited, steps = train(model, epoch(turn), count)
                whole.append(waited + sum(steps))
                shares.append(waited / whole[-1])
            print(f"  {told:16} {name:22} {median(shares):6.1%} of {median(whole) / count * 1e3:5.1f} ms a step")
