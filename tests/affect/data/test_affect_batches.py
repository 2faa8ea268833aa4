"""Batches: the right samples in the right rows, each once over all ranks, and the same again wherever they are taken up."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from affect.data import store
from affect.data.batches import Batch, Batches
from affect.data.container import Ragged, offsets
from affect.data.draft import Draft, Frames, Labels
from affect.data.rules import POLARITY
from affect.data.store import Dataset
from affect.errors import DataError

COUNT, TRAIN = 40, 23
VISION = [(7 * i) % 11 for i in range(COUNT)]  # some are 0
WORDS = [1 + (5 * i) % 9 for i in range(COUNT)]


def rows(i: int, length: int, width: int) -> np.ndarray[Any, Any]:
    """Numbers that tell whose they are: sample, row and column."""
    return (i * 1000 + np.arange(length)[:, None] * 10 + np.arange(width)).astype(np.float64)


def written(folder: Path) -> Dataset:
    source = folder / "source.txt"
    source.write_text("made up")
    draft = Draft(
        name="made", importer="test 1", sources=[source], ids=[f"v{i}" for i in range(COUNT)],
        splits=["train"] * TRAIN + ["test"] * (COUNT - TRAIN),
        frames={
            "vision": Frames(np.array(VISION), 3, lambda i: rows(i, VISION[i], 3)),
            "audio": Frames(np.zeros(COUNT, int), 5, lambda i: np.zeros((0, 5))),
        },
        tokens={"bert": [i * 100 + np.arange(n) + 1 for i, n in enumerate(WORDS)]},
        labels={"polarity": Labels(np.arange(COUNT) % 3, POLARITY), "sentiment": Labels(np.arange(COUNT) / 8)},
    )  # fmt: skip
    return store.write(draft, folder / "made.h5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return written(tmp_path_factory.mktemp("made"))


@pytest.fixture
def make(data: Dataset) -> Callable[..., Batches]:
    def batches(chosen: Any = "train", **options: Any) -> Batches:
        common: dict[str, Any] = {"size": 4, "seed": 1, "frames": ("vision",), "labels": ("polarity",)}
        return Batches(data, chosen, **{**common, **options})

    return batches


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("ahead")] == []


def numbers(batches: Batches, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches.epoch(epoch, start)]


def flat(lists: list[list[int]]) -> list[int]:
    return [n for some in lists for n in some]


def same(one: Batch, other: Batch) -> bool:
    """Whether two batches hold the same, tensor by tensor."""

    def tensors(batch: Batch) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        batch.over(lambda t: (found.append(t), t)[1])
        return found

    pairs = zip(tensors(one), tensors(other), strict=True)
    return one.total == other.total and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


# what a batch holds


def test_a_batch_holds_its_samples_padded_with_zeros(make: Callable[..., Batches]) -> None:
    batches = make(frames=("vision", "audio"), tokens=("bert",), labels=("polarity", "sentiment"))
    for batch in batches.epoch(0):
        index = batch.index.tolist()
        vision, mask = batch.frames["vision"], batch.masks["vision"]
        longest = max(1, max(VISION[i] for i in index))
        assert vision.shape == (len(index), longest, 3) and vision.dtype == torch.float32
        assert mask.shape == (len(index), longest) and mask.dtype == torch.bool
        assert batch.tokens["bert"].shape == (len(index), max(WORDS[i] for i in index))
        for row, i in enumerate(index):
            n = VISION[i]
            np.testing.assert_array_equal(vision[row, :n], rows(i, n, 3))
            assert not vision[row, n:].any() and mask[row].tolist() == [True] * n + [False] * (longest - n)
            words = batch.tokens["bert"][row]
            assert words[batch.masks["bert"][row]].tolist() == [i * 100 + k + 1 for k in range(WORDS[i])]
            assert words[WORDS[i] :].sum() == 0
        assert batch.lengths["vision"].tolist() == [VISION[i] for i in index]
        assert batch.lengths["bert"].tolist() == [WORDS[i] for i in index]
        assert batch.labels["polarity"].tolist() == [i % 3 for i in index]
        assert batch.labels["sentiment"].tolist() == [i / 8 for i in index]
        assert batch.weight.tolist() == [1.0] * len(index) and batch.total == len(index) == len(batch)
        assert [t.dtype for t in (batch.index, batch.weight, batch.tokens["bert"], batch.lengths["bert"])] == [
            torch.int64, torch.float32, torch.int64, torch.int64,
        ]  # fmt: skip
        assert [batch.labels[name].dtype for name in ("polarity", "sentiment")] == [torch.int64, torch.float32]


def test_where_nobody_has_a_modality_there_is_one_row_of_nothing(make: Callable[..., Batches]) -> None:
    for batch in make(frames=("audio",)).epoch(0):
        count = len(batch)
        assert batch.frames["audio"].shape == (count, 1, 5) and not batch.frames["audio"].any()
        assert batch.masks["audio"].shape == (count, 1) and not batch.masks["audio"].any()
        assert batch.lengths["audio"].tolist() == [0] * count


def test_a_batch_of_one_is_not_padded_at_all(make: Callable[..., Batches]) -> None:
    found = list(make(size=1).epoch(0))
    assert len(found) == TRAIN
    for batch in found:
        length = VISION[int(batch.index)]
        assert batch.frames["vision"].shape == (1, max(1, length), 3) and batch.masks["vision"].sum() == length


def test_sequences_are_cut_where_it_is_asked_for(make: Callable[..., Batches]) -> None:
    for batch in make(tokens=("bert",), most={"vision": 4, "bert": 1000}).epoch(0):
        index = batch.index.tolist()
        assert batch.frames["vision"].shape[1] <= 4
        assert batch.lengths["vision"].tolist() == [min(4, VISION[i]) for i in index]
        assert batch.masks["vision"].sum(dim=1).tolist() == batch.lengths["vision"].tolist()
        assert batch.lengths["bert"].tolist() == [WORDS[i] for i in index]
        for row, i in enumerate(index):
            np.testing.assert_array_equal(batch.frames["vision"][row, : min(4, VISION[i])], rows(i, VISION[i], 3)[:4])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32])
def test_features_beside_the_dataset_come_as_frames(make: Callable[..., Batches], dtype: Any) -> None:
    ends = offsets(WORDS)
    values = np.arange(ends[-1] * 2).reshape(-1, 2).astype(dtype)
    values.flags.writeable = False  # as a mapped file is; torch would warn, and here a warning is an error
    for batch in make(extra={"encoded": Ragged(values, ends)}).epoch(0):
        assert set(batch.frames) == {"vision", "encoded"} and batch.frames["encoded"].dtype == torch.float32
        for row, i in enumerate(batch.index.tolist()):
            expected = values[ends[i] : ends[i + 1]].astype(np.float32)
            np.testing.assert_array_equal(batch.frames["encoded"][row, : WORDS[i]], expected)


def test_features_of_more_axes_are_padded_along_the_first(make: Callable[..., Batches]) -> None:
    values = np.ones((sum(WORDS), 2, 3), np.float32)
    batch = next(make([4, 9], extra={"maps": Ragged(values, offsets(WORDS))}, shuffle=False).epoch(0))
    assert batch.frames["maps"].shape == (2, max(WORDS[4], WORDS[9]), 2, 3)
    assert batch.frames["maps"].sum(dim=(1, 2, 3)).tolist() == [6 * WORDS[4], 6 * WORDS[9]]


@dataclass
class Shared:
    """Sequences of another kind than a dataset's own, with a note of what was read."""

    stored: list[np.ndarray[Any, Any]]
    which: list[int]
    read: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: int, /) -> np.ndarray[Any, Any]:
        self.read.append(index)
        return self.stored[self.which[index]]

    @property
    def lengths(self) -> np.ndarray[Any, Any]:
        return np.array([len(self.stored[w]) for w in self.which])


@pytest.fixture
def shared() -> Shared:
    return Shared([rows(k, k, 2) for k in range(5)], [i % 5 for i in range(COUNT)])


def test_sequences_may_be_of_another_kind(make: Callable[..., Batches], shared: Shared) -> None:
    for batch in make(extra={"film": shared}, bucket="film").epoch(0):
        for row, i in enumerate(batch.index.tolist()):
            np.testing.assert_array_equal(batch.frames["film"][row, : i % 5], rows(i % 5, i % 5, 2))


def test_samples_of_one_film_share_its_frames(make: Callable[..., Batches]) -> None:
    lengths = [0, 1, 2, 3, 4]
    values = np.concatenate([rows(k, k, 2) for k in lengths]).astype(np.float32)
    film = Ragged(values, offsets(lengths), np.arange(COUNT) % 5)
    for batch in make(extra={"film": film}, bucket="film", most={"film": 3}).epoch(0):
        assert batch.lengths["film"].tolist() == [min(3, i % 5) for i in batch.index.tolist()]
        for row, i in enumerate(batch.index.tolist()):
            np.testing.assert_array_equal(batch.frames["film"][row, : min(3, i % 5)], rows(i % 5, i % 5, 2)[:3])


def test_a_batch_may_be_written_to_and_the_file_stays(make: Callable[..., Batches], data: Dataset) -> None:
    for batch in make(tokens=("bert",), labels=("polarity", "sentiment")).epoch(0):
        batch.over(lambda tensor: tensor.zero_())
    data.verify()
    assert make().samples.tolist() == list(range(TRAIN))


def test_a_batch_goes_to_a_device(make: Callable[..., Batches]) -> None:
    for batch in make(device="meta", tokens=("bert",)).epoch(0):
        kinds = [batch.index, batch.frames["vision"], batch.masks["bert"], batch.labels["polarity"], batch.weight]
        assert {tensor.device.type for tensor in kinds} == {"meta"} and batch.total in (3, 4)
        break  # the thread goes here too


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_goes_to_a_gpu_by_way_of_pinned_memory(make: Callable[..., Batches]) -> None:
    here, there = list(make().epoch(0)), list(make(device="cuda").epoch(0))
    assert all(batch.frames["vision"].is_cuda and same(batch.to("cpu"), here[k]) for k, batch in enumerate(there))


# which samples come, and when


@pytest.mark.parametrize("bucket", [None, "vision"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_sample_of_the_split_comes_once(make: Callable[..., Batches], bucket: str | None, shuffle: bool) -> None:
    batches = make("test", bucket=bucket, shuffle=shuffle)
    for epoch in range(3):
        found = numbers(batches, epoch)
        assert sorted(flat(found)) == list(range(TRAIN, COUNT))
        assert [len(some) for some in found] == [4, 4, 4, 4, 1] and len(batches) == 5


def test_the_order_never_changes(make: Callable[..., Batches]) -> None:
    """Written down once: runs that are taken up again rely on it."""
    assert numbers(make("test")) == [[36, 27, 34, 29], [24, 38, 26, 33], [37, 32, 31, 25], [23, 35, 39, 28], [30]]


def test_another_process_gives_the_same_batches(data: Dataset, make: Callable[..., Batches]) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom affect.data import store\nfrom affect.data.batches import Batches\n"
        "data = store.open_dataset(Path(sys.argv[1]))\n"
        "b = Batches(data, 'train', size=4, seed=1, frames=['vision'], bucket='vision', rank=1, world=2)\n"
        "print([[x.index.tolist(), x.frames['vision'].sum().item()] for x in b.epoch(3)])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(data.file.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mine = make(bucket="vision", rank=1, world=2)
    assert done.stdout.strip() == str([[b.index.tolist(), b.frames["vision"].sum().item()] for b in mine.epoch(3)])


def test_epochs_differ_and_come_back(make: Callable[..., Batches]) -> None:
    assert numbers(make(), 0) != numbers(make(), 1) != numbers(make(seed=2), 1)
    assert numbers(make(), 1) == numbers(make(), 1)


@pytest.mark.parametrize("ahead", [0, 1, 2, 50])
def test_reading_ahead_changes_nothing(make: Callable[..., Batches], ahead: int) -> None:
    plain, found = list(make(ahead=0).epoch(2)), list(make(ahead=ahead).epoch(2))
    assert all(same(a, b) for a, b in zip(plain, found, strict=True))


def test_samples_may_be_chosen_by_number(make: Callable[..., Batches]) -> None:
    assert numbers(make([30, 2, 17], shuffle=False, size=2)) == [[30, 2], [17]]
    assert numbers(make(np.array([5, 5, 1], np.uint8), shuffle=False)) == [[5, 5, 1]]


def test_the_short_batch_is_dropped_where_it_is_asked_for(make: Callable[..., Batches]) -> None:
    batches = make(drop_last=True, bucket="vision")
    found = numbers(batches)
    assert [len(some) for some in found] == [4] * 5 and len(batches) == 5 and len(set(flat(found))) == 20
    dropped = [set(range(TRAIN)) - set(flat(numbers(batches, epoch))) for epoch in range(40)]
    assert set().union(*dropped) == set(range(TRAIN)), "each is left out in some epochs, not always the longest"


# taking up again


@pytest.mark.parametrize("options", [{}, {"bucket": "vision"}, {"rank": 1, "world": 3}, {"shuffle": False}])
def test_an_epoch_is_taken_up_anywhere(make: Callable[..., Batches], options: dict[str, Any]) -> None:
    whole = list(make(**options).epoch(5))
    for start in range(len(whole) + 1):
        rest = list(make(**options).epoch(5, start))
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_what_comes_before_is_not_read(make: Callable[..., Batches], shared: Shared) -> None:
    batches = make(extra={"film": shared})
    last = list(batches.epoch(0, start=4))
    assert set(shared.read) == set(flat([b.index.tolist() for b in last])) and len(last) == 2


def test_a_run_is_taken_up_on_another_number_of_ranks(make: Callable[..., Batches]) -> None:
    alone = numbers(make(size=6))
    for world in (2, 3, 6):
        parts = [numbers(make(size=6, rank=r, world=world), start=2) for r in range(world)]
        for step, whole in enumerate(alone[2:-1]):
            assert sorted(n for part in parts for n in part[step]) == sorted(whole)


@pytest.mark.parametrize(("epoch", "start"), [(0, 7), (0, -1), (-1, 0)])
def test_there_is_no_such_place_to_start_from(make: Callable[..., Batches], epoch: int, start: int) -> None:
    with pytest.raises(ValueError, match="this one has 6 batches"):
        make().epoch(epoch, start)


# ranks


@given(
    chosen=st.lists(st.integers(0, COUNT - 1), min_size=1, unique=True),
    size=st.integers(1, 12), world=st.integers(1, 6), seed=st.integers(0, 99), epoch=st.integers(0, 9),
    even=st.booleans(), shuffle=st.booleans(), bucket=st.sampled_from([None, "vision"]),
)  # fmt: skip
def test_over_all_ranks_a_metric_is_exact(
    data: Dataset, chosen: list[int], size: int, world: int, seed: int, epoch: int, even: bool, shuffle: bool,
    bucket: str | None,
) -> None:  # fmt: skip
    common: dict[str, Any] = {"seed": seed, "even": even, "shuffle": shuffle, "bucket": bucket, "ahead": 0}
    common |= {"size": max(size, world), "frames": ["vision"], "labels": ["sentiment"]}
    ranks = [Batches(data, chosen, rank=r, world=world, **common) for r in range(world)]
    found = [list(rank.epoch(epoch)) for rank in ranks]
    assert [len(rank) for rank in ranks] == [len(batches) for batches in found]
    counted = [
        (i, w) for batches in found for b in batches for i, w in zip(b.index.tolist(), b.weight.tolist(), strict=True)
    ]
    assert sorted(i for i, w in counted if w) == sorted(chosen)
    mean = sum((b.labels["sentiment"] * b.weight).sum().item() for batches in found for b in batches) / len(chosen)
    assert mean == pytest.approx(sum(i / 8 for i in chosen) / len(chosen))
    if even:
        assert len({len(batches) for batches in found}) == 1
    assert all(len(b) for batches in found for b in batches)


def test_a_mean_of_the_ranks_means_is_the_mean_of_the_step(make: Callable[..., Batches]) -> None:
    """As the batch says of `total`: gradients that are averaged over ranks are those of one rank alone."""
    options = {"size": 6, "labels": ("sentiment",)}
    alone = [b.labels["sentiment"].mean().item() for b in make(list(range(13)), **options).epoch(0)]
    parts = [list(make(list(range(13)), rank=r, world=4, **options).epoch(0)) for r in range(4)]
    for step, mean in enumerate(alone):
        shares = [4 * (p[step].labels["sentiment"] * p[step].weight).sum() / p[step].total for p in parts]
        assert sum(s.item() for s in shares) / 4 == pytest.approx(mean)


def test_without_even_no_sample_is_repeated(make: Callable[..., Batches]) -> None:
    parts = [make(list(range(9)), rank=r, world=3, even=False) for r in range(3)]
    assert [len(p) for p in parts] == [3, 2, 2] and sorted(flat([n for p in parts for n in numbers(p)])) == list(
        range(9)
    )


# the thread


def test_a_loop_left_early_leaves_no_thread(make: Callable[..., Batches]) -> None:
    for _ in make(size=1, ahead=2).epoch(0):
        assert any(t.name.startswith("ahead") for t in threading.enumerate())
        break
    assert not any(t.name.startswith("ahead") for t in threading.enumerate())


class Unreadable(Shared):
    """Its sample 5 cannot be read."""

    def __getitem__(self, index: int, /) -> np.ndarray[Any, Any]:
        if index == 5:
            raise DataError("the disk is gone")
        return super().__getitem__(index)


@pytest.mark.parametrize("ahead", [0, 2])
def test_what_goes_wrong_while_reading_comes_in_its_turn(
    make: Callable[..., Batches], shared: Shared, ahead: int
) -> None:
    film = Unreadable(shared.stored, shared.which)
    seen = []
    with pytest.raises(DataError, match="the disk is gone"):
        for batch in make(extra={"film": film}, shuffle=False, size=2, ahead=ahead).epoch(0):
            seen.append(batch.index.tolist())
    assert seen == [[0, 1], [2, 3]]
    assert not any(t.name.startswith("ahead") for t in threading.enumerate())


# what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chosen": "dev"}, "`dev` is no split; take train, valid, test"),
        ({"chosen": "valid"}, "no samples in valid"),
        ({"chosen": []}, "no samples in the list"),
        ({"chosen": [1, 40]}, "has 40 samples, none of them number 40"),
        ({"chosen": [-1]}, "none of them number -1"),
        ({"chosen": [True, False]}, "by their numbers, not by bool values"),
        ({"chosen": [0.5]}, "by their numbers, not by float64 values"),
        ({"frames": ["gaze"]}, "has no frames `gaze`; it has: audio, vision"),
        ({"tokens": ["roberta"]}, "has no tokens `roberta`; it has: bert"),
        ({"labels": ["mood"]}, "has no labels `mood`; it has: polarity, sentiment"),
        ({"frames": ["vision", "vision"]}, "a name stands twice"),
        ({"extra": {"vision": Ragged(np.zeros((0, 2)), offsets([0] * COUNT))}}, "a name stands twice"),
        ({"extra": {"encoded": Ragged(np.zeros((0, 2)), offsets([0] * 39))}}, "40 samples, and `encoded` beside it 39"),
        ({"bucket": "audio"}, "`audio` is to be cut or sorted by, but is not asked for: vision"),
        ({"most": {"bert": 3}}, "`bert` is to be cut or sorted by"),
        ({"size": 24, "drop_last": True}, "23 samples are less than a step of 24"),
    ],
)
def test_what_is_not_there_is_refused_with_the_file(
    make: Callable[..., Batches], data: Dataset, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError) as caught:
        make(**options)
    assert words in str(caught.value) and str(data.file.path) in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0}, {"seed": -1}, {"rank": 2, "world": 2}, {"rank": -1}, {"world": 0}, {"ahead": -1},
        {"size": 2, "world": 3}, {"most": {"vision": 0}},
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(make: Callable[..., Batches], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the numbers are in the message
        make(**options)
