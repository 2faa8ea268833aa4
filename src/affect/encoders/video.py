"""Frames of a video file, or of a folder of numbered pictures, chosen by the time at which they are shown.

Owns decoding, sampling and rotation, and writing the small videos of synthetic data. Refuses what is no video, what
was cut short, frames that do not decode and frames above a size; a refusal can come after some frames were given.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from affect import files
from affect.data.draft import Array
from affect.encoders import media
from affect.errors import DataError

_NUMBERED = re.compile(r"\D*(\d{1,12})\.(jpg|jpeg|png)", re.IGNORECASE)
_CLOCK = 90_000  # ticks a second of the videos that we write
_SLACK = 1e-6  # seconds


def frames(
    path: Path,
    *,
    per_second: float | None = None,
    most: int | None = None,
    rate: float | None = None,
    damaged: bool = False,
) -> Iterator[Array]:
    """Pictures (H, W, 3) in RGB, in the order of time; none is given twice.

    `per_second` takes the picture nearest to each of so many instants a second, from the first picture on. `most`
    takes those shown at the middles of so many equal parts of what is left. `rate` says how many pictures a second
    a folder holds, which `per_second` needs there. `damaged` gives what decodes before the damage, and no error.
    """
    if (per_second is not None and not per_second > 0) or (most is not None and most < 1):
        raise ValueError(f"per_second={per_second} and most={most} must be above 0")
    if path.is_dir():
        return _pictures(path, per_second, most, rate, damaged)
    return _decoded(path, per_second, most, damaged)


def write_video(
    path: Path,
    pictures: Iterable[Array],
    per_second: float = 25,
    sound: Array | None = None,
    *,
    sound_rate: int = 16_000,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
) -> None:
    """Write pictures (H, W, 3) of one even size, and sound (samples,); equal arguments give equal bytes.

    `times` says when each picture is shown, in seconds, where they do not come at an even rate.
    """
    import av

    given = iter(pictures)
    first = next(given, None)
    if first is None or first.shape[0] % 2 or first.shape[1] % 2:
        raise ValueError(f"{path}: a video needs pictures, and of even height and width")
    with files.replacing(path) as temporary, av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container:
        streams = [_video_stream(container, codec, first, per_second)]
        if sound is not None:
            streams.append(_sound_stream(container, sound_rate))
        for number, picture in enumerate([first, *given]):
            time = number / per_second if times is None else times[number]
            container.mux(streams[0].encode(_picture(picture, time)))
        if sound is not None:
            container.mux(streams[1].encode(_samples(sound, sound_rate)))
        for stream in streams:
            container.mux(stream.encode(None))


def chosen(times: Sequence[float], per_second: float | None, most: int | None) -> list[int]:
    """Which of some frames to take, by the times at which they are shown (in order)."""
    kept = np.arange(len(times))
    shown = np.asarray(times, np.float64)
    if per_second is not None and len(kept):
        kept = _nearest((shown - shown[0]) * per_second)
    if most is not None and len(kept) > most:
        left = shown[kept]
        span = (left[-1] - left[0]) * len(left) / (len(left) - 1)  # the last one is shown for a while too
        middles = left[0] + (np.arange(most) + 0.5) * span / most
        kept = kept[np.unique(np.minimum(np.searchsorted(left, middles, side="right"), len(left)) - 1)]
    return [int(i) for i in kept]


def _nearest(places: Array) -> Array:
    """Which of some places (in order) are nearest to the whole numbers 0, 1, ... that are not beyond the last one."""
    beside = np.unique(np.concatenate([np.floor(places), np.ceil(places)]))  # the others add none
    beside = beside[beside <= places[-1] + _SLACK]
    after = np.minimum(np.searchsorted(places, beside), len(places) - 1)
    before = np.maximum(after - 1, 0)
    return np.unique(np.where(beside - places[before] <= places[after] - beside, before, after))


# video files


def _decoded(path: Path, per_second: float | None, most: int | None, damaged: bool) -> Iterator[Array]:
    times = media.packet_times(path, "video", damaged)
    wanted = iter([times[i] for i in chosen(times, per_second, most)])
    following = next(wanted, None)
    seen = 0
    try:
        for frame in _all(path, damaged):
            seen += 1
            while following is not None and frame.time >= following - _SLACK:
                following = next(wanted, None)
                if following is None or frame.time < following - _SLACK:
                    yield _upright(path, frame)
    except DataError:
        if not damaged:
            raise
    if not seen:
        raise DataError(f"{path} has a video stream, and no frame of it can be decoded")


def _all(path: Path, damaged: bool) -> Iterator[Any]:
    """Every frame to the end, so that damage anywhere is met."""
    with media.opened(path, "video", damaged) as (container, stream):
        for frame in container.decode(stream):
            _check_size(path, frame.width, frame.height)
            if frame.time is None:
                raise DataError(f"{path} does not say when its frames are shown: `ffmpeg -i` can write it as MP4")
            yield frame


def _upright(path: Path, frame: Any) -> Array:
    picture: Array = frame.to_ndarray(format="rgb24")
    quarters, rest = divmod(frame.rotation, 90)
    if rest:
        raise DataError(f"{path} asks to be shown turned by {frame.rotation} degrees, which is no quarter turn")
    return np.ascontiguousarray(np.rot90(picture, quarters))


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > media.LARGEST:
        raise DataError(f"{path} has frames of {width}x{height}, above {media.LARGEST}x{media.LARGEST}: scale it down")


# folders


def _pictures(
    folder: Path, per_second: float | None, most: int | None, rate: float | None, damaged: bool
) -> Iterator[Array]:
    numbered = {int(found[1]): file for file in folder.iterdir() if (found := _NUMBERED.fullmatch(file.name))}
    if not numbered:
        raise DataError(f"{folder} holds no numbered pictures (000001.jpg, ...) and is no video file")
    _check_count(folder, len(numbered))
    if per_second is not None and rate is None:
        raise DataError(f"{folder}: pictures do not say how many were taken a second; give `rate`, or no `per_second`")
    order = sorted(numbered)
    for i in chosen([number / (rate or 1.0) for number in order], per_second, most):
        try:
            yield _opened_picture(numbered[order[i]])
        except DataError:
            if not damaged:
                raise
            return


def _check_count(folder: Path, found: int) -> None:
    """The trees of VideoEmotion8 say in a file beside the pictures how many there should be."""
    told = folder / "n_frames"
    if not told.is_file():
        return
    text = told.read_text(errors="replace")[:40].strip()
    if text != str(found):
        raise DataError(f"{folder} holds {found:,} pictures, and its file n_frames says `{text}`: copy it again")


def _opened_picture(path: Path) -> Array:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["JPEG", "PNG"]) as picture:
                _check_size(path, *picture.size)
                return np.array(picture.convert("RGB"))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is too large, above {media.LARGEST}x{media.LARGEST}: {error}") from error
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


# writing


def _video_stream(container: Any, codec: str, first: Array, per_second: float) -> Any:
    # The macroblock tree of x264 reads memory that it did not set: with it the bytes would depend on what ran before.
    options = {"crf": "16", "preset": "veryfast", "x264-params": "mbtree=0"} if codec == "libx264" else {}
    rate = Fraction(per_second).limit_denominator(1001)
    stream = container.add_stream(codec, rate=rate, options={**options, "flags": "+bitexact"})
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = Fraction(1, _CLOCK if codec == "libx264" else rate.numerator)
    return stream


def _sound_stream(container: Any, rate: int) -> Any:
    stream = container.add_stream("aac", rate=rate, layout="mono", options={"flags": "+bitexact"})
    stream.codec_context.thread_count = 1
    return stream


def _picture(picture: Array, time: float) -> Any:
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.time_base = Fraction(1, _CLOCK)
    frame.pts = round(time * _CLOCK)
    return frame


def _samples(sound: Array, rate: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None], np.float32), format="fltp", layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    return frame
