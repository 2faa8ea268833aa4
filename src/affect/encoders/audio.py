"""Sound of wav, mp3 and mp4 files, and its log-mel features.

Owns decoding sound to one channel at one rate, the log-mel formula, and the encoder `LogMel`. Refuses files without
sound, sound of length zero or too short for one window, and numbers that are not finite.
"""

from __future__ import annotations

import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from affect import files
from affect.data.draft import Array
from affect.encoders import media
from affect.errors import DataError

FLOOR = 1e-10  # power; the logarithm of anything below is that of this
LONGEST = 6 * 3600  # seconds of sound in one file
_BLOCK = 4096  # windows at a time
_MOST_BANDS, _LARGEST_TRANSFORM = 1024, 1 << 14
_MOST_CHANNELS = 8


def sound(path: Path, rate: int = 16_000, *, damaged: bool = False) -> Array:
    """The sound of a file as (samples,) float32 from -1 to 1: channels averaged, resampled by FFmpeg.

    `damaged` gives what decodes before the damage, and no error.
    """
    media.packet_times(path, "audio", damaged)
    pieces: list[Array] = [np.empty(0, np.float32)]
    total = 0
    for piece in _pieces(path, rate, damaged):
        pieces.append(piece)
        total += len(piece)
        if total > LONGEST * rate:
            raise DataError(f"{path} holds more than {LONGEST // 3600} hours of sound: cut it into parts")
    if not total:
        raise DataError(f"{path} has a sound stream of length zero")
    return _finite(np.concatenate(pieces), str(path))


def write_wav(path: Path, samples: Array, rate: int = 16_000) -> None:
    """Write (samples,) from -1 to 1 as 16-bit PCM; what is outside is cut to that range."""
    numbers = np.rint(np.clip(_finite(np.asarray(samples), str(path)), -1, 1) * 32767).astype("<i2")
    with files.replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.tobytes())


def log_mel(
    sound: Array,
    *,
    rate: int = 16_000,
    bands: int = 128,
    window: float = 0.025,
    hop: float = 0.010,
    low: float = 20.0,
    high: float | None = None,
) -> Array:
    """Log-mel features (frames, bands) of (samples,).

    With w samples in a window and h in a hop there are 1 + (samples - w) // h frames; frame t begins at sample t h, so
    nothing is padded or centred. Each is multiplied by the Hann window 0.5 - 0.5 cos(2 pi n / (w - 1)), and P is the
    squared magnitude of its Fourier transform. Band b is a triangle on the scale mel(f) = 1127 ln(1 + f / 700): of
    bands + 2 points at equal distances from mel(low) to mel(high) it rises from point b to 1 at b + 1 and falls to 0
    at b + 2. The feature is ln(max(sum over f of triangle(f) P(f), FLOOR)). `high` is half the rate unless told.

    The transform is zero-padded to the least power of 2 that gives every band a frequency of its own. There is no
    pre-emphasis, no dither and no removal of a constant, all of which Kaldi has.
    """
    samples = _finite(np.asarray(sound, np.float32), "sound")
    width, step = round(window * rate), round(hop * rate)
    if samples.ndim != 1 or len(samples) < width or width < 2 or step < 1:
        raise DataError(
            f"sound of shape {samples.shape} gives no window of {width} samples: {window * 1000:g} ms or more is needed"
        )
    size, weights = _filters(rate, bands, width, low, rate / 2 if high is None else high)
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / (width - 1))
    windows = np.lib.stride_tricks.sliding_window_view(samples, width)[::step]  # (frames, width), a view
    features = np.empty((len(windows), bands), np.float32)
    for start in range(0, len(windows), _BLOCK):
        power = np.abs(np.fft.rfft(windows[start : start + _BLOCK] * shape, size)) ** 2
        features[start : start + _BLOCK] = np.log(np.maximum(power @ weights, FLOOR))
    return features


class LogMel:
    """Encodes media files as log-mel features: (frames, bands) each, a hundred frames a second unless told.

    An item that is None gives no features, and so does one that cannot be read where `unreadable` is "empty"; `counts`
    tells, over all items so far, how often.
    """

    name = "log-mel"
    block = 64  # files that are encoded before any is kept

    def __init__(
        self,
        *,
        rate: int = 16_000,
        bands: int = 128,
        window: float = 0.025,
        hop: float = 0.010,
        unreadable: media.Unreadable = "refused",
    ) -> None:
        self.width = bands
        self.counts: Counter[str] = Counter()  # missing, unreadable
        self._rate, self._unreadable = rate, unreadable
        self._settings: dict[str, Any] = {"rate": rate, "bands": bands, "window": window, "hop": hop}
        self.key: dict[str, Any] = {
            "formula": 1, "floor": FLOOR, **self._settings, "unreadable": unreadable, "versions": media.versions(),
        }  # fmt: skip

    def encode(self, items: Sequence[str | Path | None]) -> list[Array]:
        found = (media.read(item, self._encoded, self._unreadable, self.counts) for item in items)
        return [np.empty((0, self.width), np.float32) if rows is None else rows for rows in found]

    def _encoded(self, path: Path) -> Array:
        samples = sound(path, self._rate)
        try:
            return log_mel(samples, **self._settings)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _pieces(path: Path, rate: int, damaged: bool) -> Iterator[Array]:
    """What FFmpeg decodes, resampled, in pieces (samples,) float32. Time stamps are not looked at: gaps close."""
    import av

    # Its own way to one channel gives 0.7 of the sum; and eight channels apart from each other, not interleaved, make
    # PyAV 18 read beyond their end.
    resampler = av.AudioResampler(format="flt", rate=rate)
    seen = False
    try:
        with media.opened(path, "audio", damaged) as (container, stream):
            if stream.codec_context.channels > _MOST_CHANNELS:
                raise DataError(f"{path} declares {stream.codec_context.channels} channels of sound: convert it to wav")
            for frame in container.decode(stream):
                frame.pts, seen = None, True
                yield from map(_averaged, resampler.resample(frame))
            if seen:
                yield from map(_averaged, resampler.resample(None))
    except DataError:
        if not (damaged and seen):
            raise
    except ValueError as error:
        raise DataError(f"{path} changes its rate or channels on the way ({error}): convert it to wav") from error


def _averaged(piece: Any) -> Array:
    interleaved: Array = piece.to_ndarray().reshape(piece.samples, -1)  # (samples, channels)
    return np.asarray(interleaved.mean(axis=1))


@lru_cache(maxsize=8)
def _filters(rate: int, bands: int, width: int, low: float, high: float) -> tuple[int, Array]:
    """The size of the transform, and the triangles (size // 2 + 1, bands)."""
    if not (1 <= bands <= _MOST_BANDS and 0 <= low < high <= rate / 2):
        raise ValueError(f"{bands} bands from {low} to {high} Hz cannot be had from {rate} samples a second")
    points = np.linspace(_mel(np.float64(low)), _mel(np.float64(high)), bands + 2)
    size = 1 << (width - 1).bit_length()
    while size <= _LARGEST_TRANSFORM:
        frequencies = _mel(np.arange(size // 2 + 1) * rate / size)[:, None]
        rising = (frequencies - points[:-2]) / np.diff(points)[:-1]
        falling = (points[2:] - frequencies) / np.diff(points)[1:]
        weights = np.maximum(0, np.minimum(rising, falling))
        if weights.any(axis=0).all():
            return size, weights
        size *= 2
    raise ValueError(f"{bands} bands from {low} to {high} Hz are narrower than can be told apart: ask for fewer")


def _mel(frequency: Array | np.float64) -> Any:
    return 1127.0 * np.log1p(frequency / 700.0)


def _finite(samples: Array, where: str) -> Array:
    wrong = np.flatnonzero(~np.isfinite(samples))
    if len(wrong):
        raise DataError(f"{where}: sample {wrong[0]:,} is {samples.flat[wrong[0]]}; {len(wrong):,} are not finite")
    return samples
