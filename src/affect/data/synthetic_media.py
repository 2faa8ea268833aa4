"""Clips, frames and sound of synthetic samples: one drawn face, which says what the sample says on its key frames.

Between the key frames the face rests, with a little noise and a small shift where a new run begins. The colour behind
it follows the spurious factors. The sound hums, and on key frames a tone is the higher, the higher the score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from affect.data.draft import Array
from affect.data.drawing import draw_face
from affect.data.synthetic import Domain, runs

SIDE = 96
CLIP_RATE = 8  # frames a second of a MELD clip
FRAME_RATE = 30  # of VideoEmotion8
SOUND_RATE = 16_000

# How the brows stand (1: raised) and how far the eyes are open, by emotion. The mouth follows the score.
_LOOKS: Mapping[str, tuple[float, float]] = {
    "joy": (0.3, 0.8), "trust": (0.0, 1.0), "anticipation": (0.6, 1.2), "surprise": (1.0, 1.6), "sadness": (0.3, 0.6),
    "anger": (-1.0, 0.8), "disgust": (-0.6, 0.5), "fear": (0.9, 1.5), "neutral": (0.0, 1.0),
}  # fmt: skip


def frames(domain: Domain, i: int) -> Iterator[Array]:
    """The frames of a sample, each (SIDE, SIDE, 3) bytes."""
    clip, rng = int(domain.units[i]), domain.rng("frames", i)
    keys = domain.vision.keys[clip]
    smile, (brows, eyes) = float(np.clip(domain.scores[i] / 2, -1, 1)), _LOOKS.get(domain.emotions[i].lower(), (0, 1))
    colour = _colour(domain.vision.spurious[clip])
    faces = {
        False: draw_face(SIDE, 0.0, background=colour),
        True: draw_face(SIDE, smile, brows=brows, eyes=eyes, background=colour),
    }
    of_run = runs(rng, int(domain.vision.lengths[clip]), keys)
    shifts = rng.integers(-2, 3, (int(of_run[-1]) + 1, 2))
    for place, run in enumerate(of_run):
        picture = np.roll(faces[place in keys], shifts[run], axis=(0, 1)).astype(np.int16)
        noise = rng.integers(-2, 3, picture.shape, np.int8)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def sound(domain: Domain, i: int, rate: int) -> Array:
    """(samples,) numbers from -1 to 1, as long as the frames are at this many a second."""
    clip, rng = int(domain.units[i]), domain.rng("sound", i)
    length = int(domain.vision.lengths[clip])
    block = SOUND_RATE // rate
    time = np.arange(length * block) / SOUND_RATE
    loud = np.zeros(length)
    loud[domain.vision.keys[clip]] = 0.4
    pitch = 220 * 2 ** (float(domain.scores[i]) / 3)
    tone = np.sin(2 * np.pi * pitch * time) + 0.4 * np.sin(4 * np.pi * pitch * time)
    hum = 0.02 * np.sin(2 * np.pi * 110 * time) + rng.normal(0, 0.003, len(time))
    return (np.repeat(loud, block) * tone / 1.4 + hum).astype(np.float32)


def seconds(domain: Domain, i: int, rate: int = FRAME_RATE) -> float:
    return int(domain.vision.lengths[domain.units[i]]) / rate


class Film(Protocol):
    """What writes a video: `affect.encoders.video.write_video`. It stands above the data, and so it is given."""

    def __call__(
        self, path: Path, pictures: Iterable[Array], per_second: float, sound: Array | None, *, sound_rate: int
    ) -> None: ...


def write_clip(domain: Domain, i: int, path: Path, film: Film) -> None:
    """A video with sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    film(path, frames(domain, i), CLIP_RATE, sound(domain, i, CLIP_RATE), sound_rate=SOUND_RATE)


def write_frames(domain: Domain, i: int, folder: Path) -> None:
    """Pictures that are numbered from 1, and a file that says how many."""
    from PIL import Image

    folder.mkdir(parents=True)
    count = 0
    for count, picture in enumerate(frames(domain, i), start=1):
        Image.fromarray(picture).save(folder / f"{count:06d}.jpg", quality=85)
    (folder / "n_frames").write_text(f"{count}\n")


def write_sound(domain: Domain, i: int, path: Path) -> None:
    """An MP3 file."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(sound(domain, i, FRAME_RATE) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="mp3", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("libmp3lame", rate=SOUND_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16p", layout="mono")
        frame.sample_rate = SOUND_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


def _colour(spurious: Array) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in np.clip(np.round(120 + 35 * spurious), 30, 210))
    return red, green, blue
