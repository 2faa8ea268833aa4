"""Features of the faces in a video: the largest face of each frame, cut out and encoded by InceptionResnetV1.

Owns the detector (OpenCV's Haar cascade for frontal faces, which comes with OpenCV), the cut, and the encoder `Faces`.
A frame without a face is left out and counted; a video without any gives features of length 0. Refuses an OpenCV that
comes without the cascade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from affect import files
from affect.data.draft import Array
from affect.encoders import media, video
from affect.errors import DataError

_CASCADE = "haarcascade_frontalface_default.xml"
_SEARCHED = 640  # the longer side of the picture that is searched; a larger one is made smaller first
_SMALLEST = 40  # pixels of a face in it
_STEP, _AGREEING = 1.1, 5  # from one size to the next, and how many boxes must agree


class Faces:
    """Encodes video files and folders of pictures: (faces, 512) each, in the order of time.

    `weights` is a file of `inception.load`; without one the network has random weights, which is for trying things out.
    At most `most` frames a video are looked at, evenly over its length. An item that is None gives no features, and so
    does one that cannot be read where `unreadable` is "empty". `counts` tells, over all items so far, how often.
    """

    name = "faces"
    width = 512
    block = 32  # videos that are encoded before any is kept

    def __init__(
        self,
        weights: Path | None = None,
        *,
        most: int | None = 50,
        per_second: float | None = None,
        rate: float | None = None,
        margin: float = 0.2,
        seed: int = 0,
        batch: int = 32,
        device: str = "cpu",
        damaged: bool = False,
        unreadable: media.Unreadable = "refused",
    ) -> None:
        self.counts: Counter[str] = Counter()  # frames, without_face, missing, unreadable
        self._unreadable = unreadable
        self._weights, self._seed, self._batch, self._device = weights, seed, batch, device
        self._margin = margin
        self._sampling: dict[str, Any] = {"most": most, "per_second": per_second, "rate": rate, "damaged": damaged}

    @cached_property
    def key(self) -> dict[str, Any]:
        """What decides the features."""
        import cv2
        import torch

        from affect.encoders import inception

        known = {"sha256": inception.digest(self._network)} if self._weights else {"random": self._seed}
        detector = {"cascade": files.sha256(_cascade_file()), "searched": _SEARCHED, "smallest": _SMALLEST}
        versions = {"torch": torch.__version__, "cv2": cv2.__version__, **media.versions()}
        return {
            "network": known, "detector": {**detector, "step": _STEP, "agreeing": _AGREEING, "margin": self._margin},
            "sampling": self._sampling, "unreadable": self._unreadable,
            "device": self._device.split(":")[0], "versions": versions,
        }  # fmt: skip

    def encode(self, items: Sequence[str | Path | None]) -> list[Array]:
        network = self._network  # weights that are not there are told before anything is decoded
        with _one_thread():
            return [self._encoded(network, item) for item in items]

    def _encoded(self, network: Any, item: str | Path | None) -> Array:
        from affect.encoders import inception

        found = media.read(item, self._cuts, self._unreadable, self.counts)
        if not found:
            return np.empty((0, self.width), np.float32)
        return inception.embed(network, np.stack(found), self._batch, self._device)

    def _cuts(self, path: Path) -> list[Array]:
        """The largest face of each frame that has one."""
        from affect.encoders import inception

        looked, found = 0, []
        for picture in video.frames(path, **self._sampling):
            looked += 1
            if (box := largest_face(self._detector, picture)) is not None:
                found.append(cut(picture, box, self._margin, inception.SIDE))
        self.counts.update(frames=looked, without_face=looked - len(found))
        return found

    @cached_property
    def _network(self) -> Any:
        from affect.encoders import inception

        return inception.tiny(self._seed) if self._weights is None else inception.load(self._weights)

    @cached_property
    def _detector(self) -> Any:
        return detector()


Box = tuple[int, int, int, int]  # left, top, width, height


def detector() -> Any:
    """The face detector that comes with OpenCV."""
    import cv2

    path = _cascade_file()
    try:
        found = cv2.CascadeClassifier(str(path))
    except (SystemError, cv2.error) as error:  # its bindings raise the first where the second is meant
        raise DataError(f"OpenCV cannot read its face detector {path}: install it again") from error
    if found.empty():
        raise DataError(f"OpenCV finds no face detector in {path}: install it again")
    return found


def largest_face(detector: Any, picture: Array) -> Box | None:
    """Where the largest face of a picture (H, W, 3) is; of equals, the upper left one."""
    import cv2

    scale = min(1.0, _SEARCHED / max(picture.shape[:2]))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    boxes = detector.detectMultiScale(grey, _STEP, _AGREEING, minSize=(_SMALLEST, _SMALLEST))
    if not len(boxes):
        return None
    left, top, width, height = max(boxes.tolist(), key=lambda box: (box[2] * box[3], -box[1], -box[0]))
    return round(left / scale), round(top / scale), round(width / scale), round(height / scale)


def cut(picture: Array, box: Box, margin: float, side: int) -> Array:
    """The square around a box, `margin` of it larger in all, as (side, side, 3). The picture's edge is repeated."""
    import cv2

    left, top, width, height = box
    length = max(1, round(max(width, height) * (1 + margin)))
    rows = np.arange(length) + round(top + height / 2 - length / 2)
    columns = np.arange(length) + round(left + width / 2 - length / 2)
    inside = np.ix_(np.clip(rows, 0, picture.shape[0] - 1), np.clip(columns, 0, picture.shape[1] - 1))
    method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture[inside], (side, side), interpolation=method), np.uint8)


def _cascade_file() -> Path:
    import cv2

    path = Path(getattr(getattr(cv2, "data", None), "haarcascades", "")) / _CASCADE
    if not path.is_file():
        raise DataError(f"OpenCV {cv2.__version__} comes without {_CASCADE}: install opencv-python-headless below 5")
    return path


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread, so that boxes do not depend on how the work was split."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
