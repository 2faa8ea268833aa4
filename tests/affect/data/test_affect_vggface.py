"""Features of faces that were made elsewhere: each form is read, and a file that is none of them is told by name."""

from __future__ import annotations

import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from affect.data import store, vggface
from affect.data.draft import Draft, Labels
from affect.data.vggface import add_face_features, read_face_features
from affect.errors import DataError

IDS = ["a$_$1", "b.c", "nobody", "single"]


def rows(n: int, width: int = 512, start: int = 0) -> Any:
    return (np.arange(n * width, dtype=np.float32) + start).reshape(n, width)


def draft(tmp_path: Path) -> Draft:
    source = tmp_path / "labels.csv"
    source.write_text("x")
    values = Labels(np.zeros(len(IDS), np.int64), ("no", "yes"))
    return Draft("tiny", "test 1", [source], IDS, ["train"] * len(IDS), labels={"x": values})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "faces"
    found.mkdir()
    np.save(found / "a$_$1.npy", rows(3))
    np.savez_compressed(found / "b.c.npz", features=rows(2, start=7))
    np.save(found / "single.npy", rows(1)[0].astype(np.float64))
    np.save(found / "other.npy", np.zeros(3))  # of no id: left alone
    (found / "notes.txt").write_text("made with care")
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "faces.h5"
    with h5py.File(found, "w") as opened:
        opened["train/a$_$1"] = rows(3)
        opened.create_dataset("test/b.c", data=rows(2, start=7), compression="gzip", chunks=(1, 512))
        opened["valid/single"] = rows(1)[0].astype(np.float64)
        opened["valid/other"] = "text of no id"
    return found


def refused(path: Path, ids: list[str] = IDS) -> str:
    with pytest.raises(DataError) as caught:
        frames = read_face_features(path, ids)
        for i in range(len(ids)):
            frames.read(i)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["folder", "file"])
def test_features_come_back_by_id(form: str, request: pytest.FixtureRequest) -> None:
    frames = read_face_features(request.getfixturevalue(form), IDS)
    assert frames.lengths.tolist() == [3, 2, 0, 1] and frames.width == 512
    np.testing.assert_array_equal(frames.read(0), rows(3))
    np.testing.assert_array_equal(frames.read(1), rows(2, start=7))
    assert frames.read(2).shape == (0, 512)
    np.testing.assert_array_equal(frames.read(3), rows(1))


@pytest.mark.parametrize(("width", "extractor"), [(512, "InceptionResnetV1"), (2048, "senet50")])
def test_the_width_tells_the_extractor(width: int, extractor: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows(2, width).astype(np.float16))
    frames = read_face_features(tmp_path, ["x"])
    assert frames.about == f"VGGFace2 features of faces; {width} numbers a frame must be of {extractor}"


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_draft_has_them_as_frames_and_counts_who_has_none(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path, found = request.getfixturevalue(form), draft(tmp_path)
    add_face_features(found, path)
    assert found.notes == [f"faces: 1 of 4 samples have no features in {path.name}"]
    assert [p.name for p in found.sources] == (["labels.csv", "faces.h5"] if form == "file" else ["labels.csv"])
    written = store.write(found, tmp_path / "out.h5")
    np.testing.assert_array_equal(written.frames["faces"][1], rows(2, start=7))
    assert written.frames["faces"].lengths.tolist() == [3, 2, 0, 1]
    assert "InceptionResnetV1" in written.about["frames"]["faces"]["about"]


def test_frames_that_are_there_are_not_replaced(folder: Path, tmp_path: Path) -> None:
    found = draft(tmp_path)
    add_face_features(found, folder, "vision")
    with pytest.raises(DataError, match="tiny has frames `vision` already"):
        add_face_features(found, folder, "vision")


def test_empty_features_are_a_sample_without_any(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows(0))
    np.save(tmp_path / "y.npy", rows(1))
    frames = read_face_features(tmp_path, ["x", "y"])
    assert frames.lengths.tolist() == [0, 1] and frames.read(0).shape == (0, 512)


def test_arrays_in_the_order_of_fortran_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(rows(4)))
    np.testing.assert_array_equal(read_face_features(tmp_path, ["x"]).read(0), rows(4))


def test_ids_with_slashes_lie_in_groups_and_lead_to_no_file(tmp_path: Path) -> None:
    ids = ["../../secret", "class/video/3"]
    with h5py.File(tmp_path / "x.h5", "w") as opened:
        for name in ids:
            opened[f"train/{name}"] = rows(2)
    np.testing.assert_array_equal(read_face_features(tmp_path / "x.h5", ids).read(0), rows(2))
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    np.save(tmp_path / "secret.npy", rows(1))
    assert "has none of the 2 ids as <id>.npy or <id>.npz" in refused(tmp_path / "inner" / "deep", ids)


# what is refused


def test_sources_in_which_no_id_is_found_are_refused(folder: Path, file: Path) -> None:
    assert "has none of the 2 ids as <id>.npy or <id>.npz; the first is `x`" in refused(folder, ["x", "y"])
    assert "has none of the 1 ids as /<split>/<id>; the first is `train/x`" in refused(file, ["train/x"])
    assert "there is no file" in refused(folder / "missing")


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (
            np.zeros((3, 511)),
            "has the shape (3, 511); features are (frames, width) of width 512 (InceptionResnetV1) or",
        ),
        (np.zeros((2, 3, 512)), "has the shape (2, 3, 512)"),
        (np.float64(3), "has the shape ()"),
        (np.zeros((0,)), "has the shape (0,)"),
        (np.zeros((3, 2048)), "two extractors do not go together"),
        (np.zeros((1, 512), "c8"), "has the type complex64, which is no number"),
        (np.full((1, 512), "x"), "has the type <U1, which is no number"),
        (np.zeros((1, 512), bool), "has the type bool, which is no number"),
        (np.zeros((1, 512), "f4,f4"), "which is no number"),
        (np.full((1, 512), None), "has the type object, which is no number"),
    ],
)
def test_other_shapes_and_types_are_refused(array: Any, told: str, folder: Path) -> None:
    np.save(folder / "single.npy", array, allow_pickle=True)
    message = refused(folder)
    assert told in message and str(folder / "single.npy") in message
    (folder / "single.npy").unlink()
    np.savez(folder / "single.npz", array, allow_pickle=True)
    message = refused(folder)
    assert str(folder / "single.npz") in message


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (np.zeros((3, 511)), "has the shape (3, 511)"), (np.zeros((3, 2048)), "two extractors do not go together"),
        (np.zeros((1, 512), "S2"), "which is no number"), ("text", "has the type object"),
    ],
)  # fmt: skip
def test_other_shapes_and_types_in_hdf5_are_refused(data: Any, told: str, file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened["test/nobody"] = data
    message = refused(file)
    assert told in message and "nobody`" in message


def in_two_splits(opened: h5py.File) -> None:
    opened["test/a$_$1"] = rows(3)


def at_the_top(opened: h5py.File) -> None:
    opened["nobody"] = rows(3)


def linked(opened: h5py.File) -> None:
    opened["train/nobody"] = h5py.ExternalLink("elsewhere.h5", "/x")


def external(opened: h5py.File) -> None:
    opened.create_dataset("train/nobody", (1, 512), "f4", external=[("/etc/hostname", 0, 2048)])


def unallocated(opened: h5py.File) -> None:
    opened.create_dataset("train/nobody", (10**10, 512), "f4")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (in_two_splits, "has `a$_$1` in two splits"), (at_the_top, "`nobody` lies at the top"),
        (linked, "`train/nobody` is a link"), (external, "lies in other files"),
        (unallocated, "more than the file holds"),
    ],
)  # fmt: skip
def test_hostile_hdf5_is_refused(change: Callable[[h5py.File], None], told: str, file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        change(opened)
    assert told in refused(file)


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read as an array of numbers"),
        (b"PK\x03\x04 no zip", "cannot be read as an array of numbers"),
        (header("(10000000000, 512)"), "claims the shape (10000000000, 512), which is not what it holds"),
        (header("(-1, -512)") + bytes(2048), "has the shape (-1, -512)"),
        (header("(2, 512)") + bytes(4000), "claims the shape (2, 512)"),
        (header("'x'"), "cannot be read as an array of numbers"),
        (header("(" * 50), "cannot be read as an array of numbers"),
        (header("(1, 512)", "|O") + b"cos\nsystem\n(S'true'\ntR.", "has the type object, which is no number"),
        (header("(1, 512)", "nonsense"), "cannot be read as an array of numbers"),
        (header("(1, 512)").replace(b"\x01\x00", b"\x09\x00", 1), "an .npy of version (9, 0)"),
    ],
)
def test_files_that_lie_about_themselves_are_refused(content: bytes, told: str, folder: Path) -> None:
    (folder / "single.npy").write_bytes(content)
    assert told in refused(folder) and "single.npy" in refused(folder)


def test_an_archive_holds_one_array(folder: Path) -> None:
    np.savez(folder / "nobody.npz", a=rows(1), b=rows(1))
    assert "nobody.npz holds 2 arrays; it should hold one" in refused(folder)


def test_an_archive_that_unpacks_to_more_than_a_sample_has_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(folder / "nobody.npz", np.zeros((1000, 512), np.float32))
    assert (folder / "nobody.npz").stat().st_size < 10_000
    monkeypatch.setattr(vggface, "_LARGEST", 1 << 20)
    assert "nobody.npz has 2,048,128 bytes, which is too much for one sample" in refused(folder)


def test_an_archive_that_holds_less_than_it_claims_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "nobody.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header("(600000, 512)") + bytes(1 << 20))
    assert "nobody.npz claims the shape (600000, 512), which is not what it holds" in refused(folder)


def test_the_same_id_in_two_forms_is_refused(folder: Path) -> None:
    np.save(folder / "b.c.npy", rows(2))
    assert "has b.c.npy and b.c.npz; take one of them away" in refused(folder)


def test_a_folder_with_the_name_of_a_file_is_refused(folder: Path) -> None:
    (folder / "nobody.npy").mkdir()
    assert "nobody.npy is no file" in refused(folder)


def test_a_file_that_changes_after_it_was_looked_at_is_refused(folder: Path) -> None:
    frames = read_face_features(folder, IDS)
    np.save(folder / "a$_$1.npy", rows(4))
    with pytest.raises(DataError, match=r"had the shape \(3, 512\), and has \(4, 512\)"):
        frames.read(0)
    (folder / "a$_$1.npy").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        frames.read(0)


@pytest.mark.parametrize("name", ["a$_$1.npy", "b.c.npz"])
def test_flipped_bytes_give_an_array_or_a_sentence(name: str, folder: Path) -> None:
    content, rng = (folder / name).read_bytes(), random.Random(0)
    for _ in range(200):
        flipped = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            flipped[rng.choice((rng.randrange(len(content)), rng.randrange(128), -rng.randint(1, 100)))] ^= (
                1 << rng.randrange(8)
            )
        (folder / name).write_bytes(flipped)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_face_features(folder, IDS).read(0 if name.startswith("a") else 1)
        except DataError as error:
            assert name in str(error)
