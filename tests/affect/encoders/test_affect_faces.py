"""From a video to features of its faces: what is found, cut, left out, counted and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from affect.data.drawing import draw_face, place
from affect.encoders import faces as module
from affect.encoders.faces import Faces, cut, largest_face
from affect.encoders.video import write_video
from affect.errors import DataError

cv2 = pytest.importorskip("cv2")
torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")


def shown(smile: float, size: int = 100, top: int = 20, left: int = 40) -> np.ndarray:
    return place(draw_face(size, smile), 180, 240, top, left)


def nobody() -> np.ndarray:
    return np.full((180, 240, 3), 118, np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twenty frames, of which the first, and every fifth after it, show nobody."""
    path = tmp_path_factory.mktemp("faces") / "clip.mp4"
    write_video(path, [nobody() if i % 5 == 0 else shown(i / 10 - 1) for i in range(20)], 25)
    return path


@pytest.fixture(scope="module")
def features(clip) -> np.ndarray:
    return Faces().encode([clip])[0]


@pytest.fixture(scope="module")
def detector():
    return module.detector()


# features


def test_a_video_end_to_end(clip):
    encoder = Faces()
    (features,) = encoder.encode([clip])
    assert features.shape == (16, encoder.width) and features.dtype == np.float32
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert encoder.counts == {"frames": 20, "without_face": 4}


def test_two_runs_give_the_same_bytes(clip, features):
    assert features.tobytes() == Faces().encode([str(clip)])[0].tobytes()


def test_counts_are_of_all_items_so_far(clip):
    encoder = Faces(most=10)
    assert encoder.counts == {}
    encoder.encode([clip, clip])
    assert encoder.counts["frames"] == 20
    encoder.encode([clip])
    assert encoder.counts["frames"] == 30


def test_what_is_missing_or_may_be_left_out_is_empty_and_counted(clip, tmp_path, features):
    encoder = Faces(unreadable="empty")
    rows = encoder.encode([None, tmp_path / "none.mp4", clip])
    assert [row.shape for row in rows] == [(0, 512), (0, 512), (16, 512)]
    assert np.array_equal(rows[2], features)
    assert encoder.counts == {"missing": 1, "unreadable": 1, "frames": 20, "without_face": 4}


def test_the_order_is_that_of_time(features):
    away = 1 - features @ features[0]
    assert away[-1] > away[1]  # the smile widens all along


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_size_of_batches_does_not_matter(clip, features, batch):
    assert np.abs(Faces(batch=batch).encode([clip])[0] - features).max() < 1e-5


def test_a_folder_of_pictures(tmp_path):
    for number in range(1, 5):
        Image.fromarray(shown(number / 4)).save(tmp_path / f"{number:06d}.jpg", quality=95)
    encoder = Faces()
    assert encoder.encode([tmp_path])[0].shape == (4, 512)
    assert encoder.counts["frames"] == 4 and not encoder.counts["without_face"]


def test_a_video_without_a_face_is_a_missing_modality(tmp_path):
    write_video(tmp_path / "a.mp4", [nobody()] * 6)
    encoder = Faces()
    assert encoder.encode([tmp_path / "a.mp4"])[0].shape == (0, 512)
    assert encoder.counts == {"frames": 6, "without_face": 6}


@pytest.mark.parametrize("asked, looked_at", [({"most": 7}, 7), ({"most": None}, 20), ({"per_second": 5.0}, 4)])
def test_as_many_frames_are_looked_at_as_were_asked_for(clip, asked, looked_at):
    encoder = Faces(**asked)
    encoder.encode([clip])
    assert encoder.counts["frames"] == looked_at


def test_a_damaged_video_is_refused_by_name(clip, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"broken\.mp4"):
        Faces().encode([clip, broken])


# the detector


@pytest.mark.parametrize("size, top, left", [(60, 5, 5), (90, 60, 120), (150, 20, 60)])
def test_a_face_is_found_where_it_is(detector, size, top, left):
    x, y, width, height = largest_face(detector, shown(0, size, top, left))
    assert abs(x + width / 2 - left - size / 2) < 0.15 * size
    assert abs(y + height / 2 - top - size / 2) < 0.25 * size


def test_of_two_faces_the_larger_is_taken(detector):
    frame = np.hstack([shown(0, 70), shown(0, 120)])
    assert largest_face(detector, frame)[0] > 240
    assert largest_face(detector, np.ascontiguousarray(frame[:, ::-1]))[0] < 240


def test_a_large_picture_is_searched_in_small_and_the_box_is_its_own(detector):
    frame = place(draw_face(700, 0.3), 1080, 1920, 200, 900)
    x, y, width, height = largest_face(detector, frame)
    assert abs(x + width / 2 - 1250) < 100 and abs(y + height / 2 - 550) < 170 and 400 < width < 800


@pytest.mark.parametrize("shape", [(180, 240, 3), (3, 3, 3), (1, 2000, 3), (2000, 1, 3)])
def test_where_nobody_is_nothing_is_found(detector, shape):
    assert largest_face(detector, np.full(shape, 90, np.uint8)) is None


def test_opencv_runs_on_one_thread_meanwhile_and_as_before_afterwards(clip, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "largest_face", lambda *_: seen.append(cv2.getNumThreads()))
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        Faces(most=2).encode([clip])
        assert seen == [1, 1] and cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_an_opencv_without_the_detector_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    with pytest.raises(DataError, match="comes without haarcascade_frontalface_default.xml"):
        module.detector()
    (tmp_path / "haarcascade_frontalface_default.xml").write_text("<opencv_storage></opencv_storage>")
    with pytest.raises(DataError, match="cannot read its face detector"):
        module.detector()


# the cut


def test_a_cut_is_the_square_around_the_box():
    picture = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    assert np.array_equal(cut(picture, (50, 40, 160, 160), 0.0, 160), picture[40:200, 50:210])
    wider = cut(picture, (100, 60, 100, 80), 0.6, 160)  # 160 x 160 around (150, 100)
    assert np.array_equal(wider, picture[20:180, 70:230])


def test_beyond_the_edge_the_edge_is_repeated():
    picture = np.full((100, 100, 3), 50, np.uint8)
    picture[0] = 200
    found = cut(picture, (0, 0, 100, 100), 0.6, 160)
    assert found.shape == (160, 160, 3)
    assert (found[:30] == 200).all() and (found[31:] == 50).all()


@pytest.mark.parametrize("length", [1, 40, 500])
def test_every_size_becomes_the_one_that_is_wanted(length):
    picture = np.full((600, 700, 3), 77, np.uint8)
    found = cut(picture, (10, 10, length, length), 0.2, 160)
    assert found.shape == (160, 160, 3) and found.dtype == np.uint8 and (found == 77).all()


# the key


def test_the_key_says_what_decides_the_features(tmp_path):
    plain = Faces().key
    assert json.loads(json.dumps(plain)) == plain and Faces().key == plain
    others = [
        Faces(most=20),
        Faces(per_second=2.0),
        Faces(rate=30.0),
        Faces(margin=0.3),
        Faces(seed=1),
        Faces(damaged=True),
        Faces(unreadable="empty"),
    ]
    assert len({json.dumps(other.key, sort_keys=True) for other in others} | {json.dumps(plain, sort_keys=True)}) == 8
    assert Faces(batch=7).key == plain


def test_the_key_has_the_digest_of_the_weights_however_they_were_stored(tmp_path, monkeypatch):
    import functools

    from safetensors.torch import save_file

    from affect.encoders import inception

    network = inception.tiny(4)
    monkeypatch.setattr(inception, "InceptionResnetV1", functools.partial(inception.InceptionResnetV1, part=8))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    torch.save(network.state_dict(), tmp_path / "w.pt")
    keys = [Faces(tmp_path / name).key for name in ("w.safetensors", "w.pt")]
    assert keys[0] == keys[1] and keys[0]["network"] == {"sha256": inception.digest(network)}


def test_missing_weights_are_refused(tmp_path, clip):
    with pytest.raises(DataError, match="there are no weights at"):
        Faces(tmp_path / "none.safetensors").encode([clip])


def test_features_of_a_dataset_say_how_many_frames_had_no_face(clip, tmp_path):
    from affect.data import store
    from affect.data.draft import Draft
    from affect.encoders import cache

    ids, splits = ["with", "without", "again"], ["train", "valid", "test"]
    media = {"video": [clip.name, "", clip.name]}
    draft = Draft("clips", "test 1", [clip], ids, splits, media=media, root=clip.parent)
    store.write(draft, tmp_path / "clips.h5")
    encoder = Faces(most=10)
    encoder.block = 2  # two pieces, whose counts are added
    dataset = store.open_dataset(tmp_path / "clips.h5")
    found = cache.features(dataset, encoder, cache.media_of("video"), tmp_path / "features")
    assert found.ragged.lengths.tolist() == [8, 0, 8]
    assert found.about["counts"] == {"frames": 20, "missing": 1, "without_face": 4}
