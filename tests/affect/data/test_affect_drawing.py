"""The drawn face is found by the detector that our encoder uses, and its expression shows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from affect.data.drawing import draw_face, place

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def detector():
    return cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")


@pytest.mark.parametrize("size", [48, 64, 96, 150, 220])
@pytest.mark.parametrize("smile", [-1, 0, 1])
@pytest.mark.parametrize("brows, eyes", [(-1, 0.4), (0, 1.0), (1, 1.6)])
def test_every_expression_is_found_where_it_was_drawn(detector, size, smile, brows, eyes):
    top, left = 20, 90
    frame = place(draw_face(size, smile, brows=brows, eyes=eyes), 260, 340, top, left)
    boxes = detector.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1.1, 5, minSize=(40, 40))
    assert len(boxes) == 1
    x, y, width, height = boxes[0]
    assert abs(x + width / 2 - left - size / 2) < 0.15 * size
    assert abs(y + height / 2 - top - size / 2) < 0.25 * size


def test_a_frame_without_a_face_has_none(detector):
    assert len(detector.detectMultiScale(np.full((240, 320), 118, np.uint8), 1.1, 5)) == 0


def test_the_same_arguments_draw_the_same_picture_and_others_another():
    first = draw_face(96, 0.5)
    assert first.shape == (96, 96, 3) and first.dtype == np.uint8
    assert np.array_equal(first, draw_face(96, 0.5))
    others = [draw_face(96, -0.5), draw_face(96, 0.5, brows=1), draw_face(96, 0.5, eyes=0.5)]
    digests = {hashlib.sha256(picture.tobytes()).hexdigest() for picture in [first, *others]}
    assert len(digests) == 4


def test_a_smile_lifts_the_corners_of_the_mouth():
    def corner_height(smile: float) -> float:
        face = draw_face(200, smile).astype(float)
        left = face[130:190, 74:80]  # left end of the mouth: where red stands out most
        red = left[..., 0] - left[..., 1]
        return float(np.argmax(red.mean(axis=1)))

    assert corner_height(1) < corner_height(0) < corner_height(-1)


@pytest.mark.parametrize(
    "top, left, seen", [(0, 0, 48 * 48), (-20, -8, 28 * 40), (80, 0, 20 * 48), (-60, 5, 0), (5, 300, 0)]
)
def test_what_lies_outside_the_frame_is_cut_off(top, left, seen):
    face = np.full((48, 48, 3), 255, np.uint8)
    frame = place(face, 100, 120, top, left, shade=7)
    assert frame.shape == (100, 120, 3)
    assert int((frame[..., 0] == 255).sum()) == seen


def test_a_face_too_small_to_be_found_is_refused():
    with pytest.raises(ValueError, match="40 pixels is too small"):
        draw_face(40)
