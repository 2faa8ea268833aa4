"""A drawn face that a face detector finds, for synthetic videos and for tests.

Owns the drawing and nothing else: soft ellipses laid over each other with NumPy, so that the same arguments give the
same pixels on every machine. Refuses faces that are too small to be found.
"""

from __future__ import annotations

import numpy as np

from affect.data.draft import Array

SMALLEST = 48
_SKIN = (224, 184, 156)
_DARK = (58, 38, 30)
_LIPS = (150, 62, 60)


def draw_face(
    size: int = 128,
    smile: float = 0.0,
    *,
    brows: float = 0.0,
    eyes: float = 1.0,
    skin: tuple[int, int, int] = _SKIN,
    background: tuple[int, int, int] = (118, 126, 138),
) -> Array:
    """A frontal face that fills a square picture.

    `smile` runs from -1 (corners of the mouth down) to 1 (up), `brows` from -1 (drawn together and down) to 1
    (raised), `eyes` from 0.4 (narrowed) to 1.6 (wide open).
    """
    if size < SMALLEST:
        raise ValueError(f"a face of {size} pixels is too small to be found: {SMALLEST} or more")
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1  # both from -1 to 1; (size, size)
    soft = 3.0 / size
    picture = np.broadcast_to(np.array(background, np.float64), (size, size, 3))
    picture = _over(picture, _ellipse(x, y, 0, -0.12, 0.74, 0.84, soft), _DARK)  # hair
    picture = _over(picture, _ellipse(x, y, 0, 0.08, 0.66, 0.86, soft), _shaded(skin, x, y))
    for side in (-1, 1):
        picture = _eye(picture, x, y, side, soft, brows, eyes, skin)
    picture = _nose(picture, x, y, skin)
    picture = _mouth(picture, x, y, soft, smile)
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)  # (size, size, 3)


def place(face: Array, height: int, width: int, top: int, left: int, shade: int = 118) -> Array:
    """A frame of one colour with a face put into it; what would lie outside is cut off."""
    frame = np.full((height, width, 3), shade, np.uint8)
    above, before = max(-top, 0), max(-left, 0)
    inside = frame[max(top, 0) : max(top + face.shape[0], 0), max(left, 0) : max(left + face.shape[1], 0)]
    inside[...] = face[above : above + inside.shape[0], before : before + inside.shape[1]]
    return frame


def _eye(
    picture: Array, x: Array, y: Array, side: int, soft: float, brows: float, eyes: float, skin: tuple[int, ...]
) -> Array:
    across, socket = 0.29 * side, tuple(0.62 * part for part in skin)
    picture = _over(picture, _ellipse(x, y, across, -0.14, 0.24, 0.20, 0.10) * 0.75, socket)
    picture = _over(picture, _ellipse(x, y, across, -0.12, 0.16, 0.075 * eyes, soft), (236, 232, 228))
    picture = _over(picture, _ellipse(x, y, across, -0.12, 0.085, 0.075 * eyes, soft), (34, 24, 22))
    lid = -0.12 - 0.075 * eyes
    picture = _over(picture, _ellipse(x, y, across, lid, 0.17, 0.028, soft), _DARK)
    brow = -0.31 - 0.06 * brows - 0.35 * min(brows, 0) * (across - x) * side  # inner ends come down in a frown
    return _over(picture, _ellipse(x, y, across * (1 + 0.08 * min(brows, 0)), brow, 0.23, 0.05, soft), _DARK)


def _nose(picture: Array, x: Array, y: Array, skin: tuple[int, ...]) -> Array:
    light, shadow = tuple(min(255, 1.1 * part) for part in skin), tuple(0.6 * part for part in skin)
    picture = _over(picture, _ellipse(x, y, 0, 0.08, 0.07, 0.30, 0.08) * 0.8, light)
    picture = _over(picture, _ellipse(x, y, 0, 0.34, 0.17, 0.06, 0.06) * 0.7, shadow)
    for side in (-1, 1):
        picture = _over(picture, _ellipse(x, y, 0.08 * side, 0.33, 0.04, 0.025, 0.02), _DARK)
    return picture


def _mouth(picture: Array, x: Array, y: Array, soft: float, smile: float) -> Array:
    bent = y + 0.9 * smile * (x**2 - 0.03)  # a parabola: the corners rise with a smile
    width = 0.28 + 0.06 * abs(smile)
    picture = _over(picture, _ellipse(x, bent, 0, 0.56, width, 0.085, soft), _LIPS)
    return _over(picture, _ellipse(x, bent, 0, 0.56, width * 0.94, 0.02 + 0.02 * max(smile, 0), soft), (70, 24, 26))


def _shaded(skin: tuple[int, ...], x: Array, y: Array) -> Array:
    """Skin that is lit from the front and above: darker to the sides and to the chin."""
    light = 1.08 - 0.38 * x**2 - 0.16 * np.clip(y, 0, None) ** 2 - 0.04 * y
    return light[..., None] * np.array(skin, np.float64)


def _ellipse(x: Array, y: Array, across: float, down: float | Array, width: float, height: float, soft: float) -> Array:
    """How much of each pixel an ellipse covers, from 0 to 1, with an edge about `soft` wide."""
    distance = np.sqrt(((x - across) / width) ** 2 + ((y - down) / height) ** 2) - 1
    return np.clip(0.5 - distance * min(width, height) / soft, 0, 1)


def _over(picture: Array, cover: Array, colour: tuple[float, ...] | Array) -> Array:
    return picture + cover[..., None] * (np.asarray(colour, np.float64) - picture)
