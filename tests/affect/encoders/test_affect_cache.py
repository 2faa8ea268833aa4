"""Features of frozen encoders: computed once, whoever asks; the same bytes, however the work was shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_features
from affect.data import store
from affect.encoders import cache, pieces
from affect.encoders.cache import Stopped
from affect.errors import DataError
from fake_features import Fake

PROGRAM = Path(fake_features.__file__)


@pytest.fixture
def data(tmp_path: Path) -> store.Dataset:
    return fake_features.dataset(tmp_path / "data")


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "log")


def made(data: store.Dataset, fake: Fake, folder: Path, **more: Any) -> cache.Features:
    return cache.features(data, fake, cache.text_of, folder, **more)


def key_of(data: store.Dataset, fake: Fake) -> str:
    return cache.path_of(data, fake, cache.text_of, Path()).stem.rpartition("-")[2]


# one process


def test_features_are_those_of_the_encoder(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    found = made(data, fake, tmp_path / "f")
    for i in range(len(data)):
        exact = fake._rows(cache.text_of(data, i))
        assert found.ragged[i].dtype == np.float16
        np.testing.assert_array_equal(found.ragged[i], exact.astype(np.float16))
    assert len(found) == len(data)
    found.verify()


def test_they_are_computed_once(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    made(data, fake, tmp_path / "f")
    assert len(fake.calls) == 5
    made(data, fake, tmp_path / "f")
    assert len(fake.calls) == 5
    assert [p.suffix for p in (tmp_path / "f").iterdir()] == [".h5"], "no claim and no piece is left"


def test_the_name_says_what_it_is(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    path = cache.build(data, fake, cache.text_of, tmp_path / "f")
    assert path.name == f"made-fake_letters-{key_of(data, fake)}.h5"
    assert path == cache.path_of(data, fake, cache.text_of, tmp_path / "f")


def test_the_description_explains_the_key_and_states_what_fp16_costs(
    data: store.Dataset, fake: Fake, tmp_path: Path
) -> None:
    about = made(data, fake, tmp_path / "f").about
    assert about["explained"]["encoder"] == fake.key
    assert about["key"] == key_of(data, fake)
    exact = np.concatenate([fake._rows(cache.text_of(data, i)) for i in range(len(data))]).astype(np.float64)
    lost = exact.astype(np.float16) - exact
    assert about["error"]["absolute"] == pytest.approx(np.abs(lost).max())
    relative = np.linalg.norm(lost, axis=1) / np.linalg.norm(exact, axis=1)
    assert about["error"]["relative"] == pytest.approx(relative.max())
    assert 0 < about["error"]["relative"] < 2**-11


def test_empty_samples_are_counted_and_so_is_what_the_encoder_reports(fake: Fake, tmp_path: Path) -> None:
    data = fake_features.dataset(tmp_path / "data", ["a b", "", "dull", "a", "", "no", "sad"])
    fake.counts["texts with an a"] = 40  # of another dataset, before
    found = made(data, fake, tmp_path / "f")
    assert found.about["empty"] == 2
    assert found.about["counts"] == {"texts with an a": 3}
    assert found.ragged[1].shape == (0, 3)


def test_a_dataset_without_any_features(fake: Fake, tmp_path: Path) -> None:
    found = made(fake_features.dataset(tmp_path / "data", ["", ""]), fake, tmp_path / "f")
    assert (len(found), found.about["empty"], found.about["rows"]) == (2, 2, 0)
    assert found.about["error"] == {"absolute": 0, "relative": 0}


def test_a_number_that_fp16_cannot_hold_is_refused(fake: Fake, tmp_path: Path) -> None:
    data = fake_features.dataset(tmp_path / "data", ["a", "no", "fizz"])
    with pytest.raises(DataError, match=r"made sample 2 \(s2\): fake/letters gives 1e\+06 in row 2, column 0.*65504"):
        made(data, fake, tmp_path / "f")
    assert not [p for p in (tmp_path / "f").rglob("*") if p.is_file()], "no half file, no claim"


@pytest.mark.parametrize("rows", [[np.zeros((1, 3))] * 4, [np.zeros((1, 4))] * 5, [np.zeros(3)] * 5])
def test_an_encoder_that_breaks_its_promise(
    data: store.Dataset, fake: Fake, tmp_path: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "encode", lambda items: rows)
    with pytest.raises(ValueError, match="fake/letters gave"):
        made(data, fake, tmp_path / "f")


def test_a_dataset_without_text(fake: Fake, tmp_path: Path) -> None:
    data = fake_features.dataset(tmp_path / "data", texts=["a", "b"])
    bare = fake_features.dataset(tmp_path / "bare", ids=["a", "b"], texts=["", ""])
    del bare.file.arrays["text/values"]  # type: ignore[attr-defined]
    assert cache.text_of(data, 1) == "b"
    with pytest.raises(DataError, match="has no text"):
        made(bare, fake, tmp_path / "f")


# what the key depends on


def test_the_key_changes_with_what_decides_the_features(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    texts = data.text.texts() if data.text else []
    others = [
        key_of(data, replace(fake, key={**fake.key, "weights": "1"})),
        key_of(fake_features.dataset(tmp_path / "a", [*texts[:-1], "other"]), fake),
        key_of(fake_features.dataset(tmp_path / "b", texts[:-1]), fake),
        key_of(fake_features.dataset(tmp_path / "c", texts[::-1]), fake),
        key_of(fake_features.dataset(tmp_path / "d", texts, ids=[f"t{i}" for i in range(23)]), fake),
    ]
    assert len({key_of(data, fake), *others}) == 6


def test_the_key_does_not_change_with_anything_else(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    texts = data.text.texts() if data.text else []
    other = fake_features.dataset(tmp_path / "elsewhere", texts, splits=["test"] * 23, notes=["x"], name="copy")
    assert key_of(other, fake) == key_of(data, fake)
    reordered = dict(reversed(list(fake.key.items())))
    assert key_of(data, Fake(tmp_path / "another-log", slow=1, key=reordered)) == key_of(data, fake)


def test_media_are_known_by_their_names_in_the_dataset(tmp_path: Path, fake: Fake) -> None:
    media = {"video": ["x/1.mp4", "x/2.mp4"], "audio": ["x/1.wav", ""]}
    data = fake_features.dataset(tmp_path / "data", ["a", "b"], media=media, root=tmp_path)

    def key(items: cache.Items) -> str:
        return cache.path_of(data, fake, items, Path()).name

    here, moved = key(cache.media_of("video")), key(cache.media_of("video", tmp_path / "scratch"))
    assert here == moved, "the folder that they lie in now says nothing"
    assert len({here, key(cache.media_of("audio")), key(cache.text_of)}) == 3
    both = key(lambda data, i: (data.media("video", i), cache.text_of(data, i)))
    assert both not in (here, key(cache.text_of))
    arrays = key(lambda data, i: np.arange(i + 1))
    assert arrays != key(lambda data, i: np.arange(i + 2))


# parts


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_parts_give_the_same_bytes_in_any_order(data: store.Dataset, fake: Fake, tmp_path: Path, parts: int) -> None:
    whole = cache.build(data, fake, cache.text_of, tmp_path / "whole")
    folder = tmp_path / "parts"
    order = [*range(1, parts), 0]
    given = [cache.build(data, fake, cache.text_of, folder, part=part, parts=parts) for part in order]
    assert given[0].suffix == ".pieces", "the file is not there before its last part"
    assert given[-1].read_bytes() == whole.read_bytes()
    assert [p.name for p in folder.iterdir()] == [whole.name]
    assert sum(int(call.split()[1]) for call in fake.calls) == 2 * len(data), "no sample was encoded twice"


def test_pieces_of_one_number_of_parts_serve_another(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    cache.build(data, fake, cache.text_of, tmp_path / "f", part=0, parts=2)
    before = len(fake.calls)
    cache.build(data, fake, cache.text_of, tmp_path / "f", part=2, parts=3)
    made(data, fake, tmp_path / "f").verify()
    assert (before, len(fake.calls)) == (3, 5)


def test_the_first_to_ask_joins_what_parts_have_made(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "join", lambda job: False)  # both were killed before they could
        for part in (0, 1):
            cache.build(data, fake, cache.text_of, tmp_path / "f", part=part, parts=2)
    assert len(made(data, fake, tmp_path / "f")) == len(data)
    assert len(fake.calls) == 5


def test_a_damaged_piece_is_made_again(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    folder = cache.build(data, fake, cache.text_of, tmp_path / "f", part=0, parts=2)
    flipped, short, *_ = sorted(folder.iterdir())
    flipped.write_bytes(flipped.read_bytes().replace(b"features-piece", b"features-peace"))
    short.write_bytes(short.read_bytes()[:-700])
    made(data, fake, tmp_path / "f").verify()
    assert len(fake.calls) == 3 + 2 + 2


def test_a_piece_damaged_between_writing_and_joining_is_not_joined(
    data: store.Dataset, fake: Fake, tmp_path: Path
) -> None:
    folder = cache.build(data, fake, cache.text_of, tmp_path / "f", part=0, parts=2)
    piece = sorted(folder.iterdir())[0]
    at = piece.read_bytes().index(np.array(fake._rows(cache.text_of(data, 0))[:2], np.float16).tobytes())
    image = bytearray(piece.read_bytes())
    image[at] ^= 1
    piece.write_bytes(image)
    assert cache.build(data, fake, cache.text_of, tmp_path / "f", part=1, parts=2) == folder
    assert not piece.exists(), "so that it is made when it is next asked for"
    made(data, fake, tmp_path / "f").verify()


@pytest.mark.parametrize(("part", "parts"), [(1, 1), (-1, 2), (0, 0)])
def test_parts_are_counted_from_0(data: store.Dataset, fake: Fake, tmp_path: Path, part: int, parts: int) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        cache.build(data, fake, cache.text_of, tmp_path / "f", part=part, parts=parts)


def test_progress_counts_the_samples_of_a_part(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    for part in (1, 0):
        cache.build(data, fake, cache.text_of, tmp_path / "f", part=part, parts=2, progress=lambda *n: seen.append(n))
    assert seen == [(5, 10), (10, 10), (5, 13), (10, 13), (13, 13)]


# stopping


@pytest.mark.parametrize("how", ["stopping", "interrupt"])
def test_what_was_whole_is_kept(
    data: store.Dataset, fake: Fake, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = fake.encode

    def interrupted(items: list[Any]) -> list[Any]:
        if how == "interrupt" and len(fake.calls) == 2:
            raise KeyboardInterrupt
        return encode(items)

    with monkeypatch.context() as patch:
        patch.setattr(fake, "encode", interrupted)
        with pytest.raises((KeyboardInterrupt, Stopped)):
            made(data, fake, tmp_path / "f", stopping=lambda: how == "stopping" and len(fake.calls) == 2)
    left = [p.name for p in (tmp_path / "f").rglob("*") if p.is_file()]
    assert sorted(left) == ["000000.h5", "000001.h5"], "two pieces, no claim, no half file"
    made(data, fake, tmp_path / "f").verify()
    assert len(fake.calls) == 5


# files that were damaged later


def test_a_damaged_file_is_refused_with_what_to_do(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    path = cache.build(data, fake, cache.text_of, tmp_path / "f")
    image = path.read_bytes()
    path.write_bytes(image[:-900])
    with pytest.raises(DataError, match=f"{path.name}.*remove the file"):
        made(data, fake, tmp_path / "f")
    values = np.ascontiguousarray(fake._rows(cache.text_of(data, 7)).astype(np.float16)).tobytes()
    at = image.index(values)
    path.write_bytes(image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :])
    found = made(data, fake, tmp_path / "f")  # opening reads no values
    with pytest.raises(DataError, match="is not what was written"):
        found.verify()


def test_a_byte_that_changed_anywhere_is_a_data_error_or_harmless(
    data: store.Dataset, fake: Fake, tmp_path: Path
) -> None:
    path = cache.build(data, fake, cache.text_of, tmp_path / "f")
    image, exact = (
        path.read_bytes(),
        [rows.copy() for rows in map(made(data, fake, tmp_path / "f").ragged.__getitem__, range(23))],
    )
    refused, draw = 0, np.random.default_rng(0)
    for at in draw.integers(0, len(image), 300).tolist():
        path.write_bytes(image[:at] + bytes([image[at] ^ int(draw.integers(1, 256))]) + image[at + 1 :])
        try:
            found = made(data, fake, tmp_path / "f")
            found.verify()
        except DataError:
            refused += 1
        else:
            assert all(np.array_equal(found.ragged[i], rows) for i, rows in enumerate(exact))
    assert refused > 150


def test_a_file_under_the_name_of_another_is_refused(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    other = replace(fake, key={"class": "Other"})
    path = cache.build(data, other, cache.text_of, tmp_path / "f")
    path.rename(cache.path_of(data, fake, cache.text_of, tmp_path / "f"))
    with pytest.raises(DataError, match="holds other features than its name says"):
        made(data, fake, tmp_path / "f")


def test_a_file_that_does_not_hang_together_is_refused(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    path = cache.path_of(data, fake, cache.text_of, tmp_path / "f")
    good = made(data, fake, tmp_path / "elsewhere").file
    about = {k: v for k, v in good.about.items() if k not in ("schema", "kind", "digests")}
    offsets, values = good.arrays["features/offsets"], good.arrays["features/values"]
    wrong = [(offsets[:-1], values), (offsets, values[:-1]), (offsets, values[:, :2]), (offsets[::-1], values)]
    wrong.append((np.concatenate([offsets[:3], [0], offsets[4:]]), values))
    for ends, rows in wrong:
        cache.pieces.container.write(path, pieces.KIND, about, {"features/offsets": ends, "features/values": rows})
        with pytest.raises(DataError, match="does not hang together: remove it"):
            made(data, fake, tmp_path / "f")


# several processes


def started(data: store.Dataset, folder: Path, fake: Fake, patience: float, slow: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(data.file.path), str(folder), str(fake.log), str(patience), str(slow)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_ask_at_once_build_once(data: store.Dataset, fake: Fake, tmp_path: Path) -> None:
    running = [started(data, tmp_path / "f", fake, 20, 0.15) for _ in range(3)]
    told = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert len({out.split()[-1] for out, _ in told}) == 1
    assert len(fake.calls) == 5
    assert len({call.split()[0] for call in fake.calls}) == 1, "by one process alone"
    assert [p.suffix for p in (tmp_path / "f").iterdir()] == [".h5"]


def test_a_killed_claimant_costs_only_the_patience_and_not_its_work(
    data: store.Dataset, fake: Fake, tmp_path: Path
) -> None:
    first = started(data, tmp_path / "f", fake, 20, 0.2)
    assert first.stdout
    while first.stdout.readline().strip() != "10":  # two pieces are whole
        assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    done = len(list((tmp_path / "f").rglob("0*.h5")))
    assert list((tmp_path / "f").glob("*.claim-0")), "it left its claim"
    began = time.monotonic()
    made(data, fake, tmp_path / "f", patience=0.5).verify()
    assert 0.5 < time.monotonic() - began < 10
    assert len([call for call in fake.calls if call.split()[0] == str(os.getpid())]) == 5 - done
    assert [p.suffix for p in (tmp_path / "f").iterdir()] == [".h5"], "its claim went with the work"
