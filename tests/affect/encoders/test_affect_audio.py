"""Sound of files, and log-mel features: against a slow literal version, and against what is known of sound."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from affect.encoders.audio import FLOOR, LogMel, log_mel, sound, write_wav
from affect.encoders.video import write_video
from affect.errors import DataError

av = pytest.importorskip("av")


def sine(frequency: float, seconds: float = 1.0, rate: int = 16_000, height: float = 0.3) -> np.ndarray:
    return (height * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, codec: str, samples: np.ndarray, rate: int, layout: str = "mono") -> Path:
    """Write (channels, samples) with one of FFmpeg's encoders."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        interleaved = np.ascontiguousarray(samples.T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def strongest(samples: np.ndarray, rate: int = 16_000) -> float:
    """The frequency with most energy."""
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


# reading


def test_a_wav_is_read_as_it_was_written(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    read = sound(tmp_path / "a.wav")
    assert read.dtype == np.float32 and read.shape == (5000,)
    assert np.abs(read - samples).max() < 1e-4
    assert sound(tmp_path / "a.wav").tobytes() == read.tobytes()


def test_what_is_too_loud_for_a_wav_is_cut(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([-7.0, 0.5, 7.0]))
    assert np.allclose(sound(tmp_path / "a.wav"), [-1, 0.5, 1], atol=1e-4)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path, rate):
    write_wav(tmp_path / "a.wav", sine(440, 2, rate), rate)
    read = sound(tmp_path / "a.wav")
    assert abs(len(read) - 32_000) < 40
    assert abs(strongest(read) - 440) < 1
    assert abs(float(np.abs(read[2000:-2000]).max()) - 0.3) < 0.01


def test_what_the_new_rate_cannot_hold_is_filtered_out(tmp_path):
    write_wav(tmp_path / "a.wav", sine(15_000, 1, 44_100), 44_100)
    assert np.abs(sound(tmp_path / "a.wav")[2000:-2000]).max() < 0.01  # not folded back to 1,000 Hz


@pytest.mark.parametrize(
    "name, codec",
    [("a.mp3", "libmp3lame"), ("a.mp4", "aac"), ("a.flac", "flac"), ("a.wav", "pcm_s16le"), ("a.mkv", "aac")],
)
def test_every_kind_of_file(tmp_path, name, codec):
    read = sound(write(tmp_path / name, codec, sine(440, 2)[None], 16_000))
    assert abs(len(read) - 32_000) < 3000  # mp3 and AAC pad to whole packets
    assert abs(strongest(read) - 440) < 2
    assert abs(float(np.abs(read[4000:-4000]).max()) - 0.3) < 0.05


@pytest.mark.parametrize("layout, channels", [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_channels_are_averaged(tmp_path, layout, channels):
    every = np.stack([sine(500 * (channel + 1), height=0.4 / (channel + 1)) for channel in range(channels)])
    read = sound(write(tmp_path / "a.wav", "pcm_s16le", every, 16_000, layout))
    assert np.abs(read - every.mean(axis=0)).max() < 1e-3


def test_more_channels_than_there_are_loudspeakers_are_refused(tmp_path):
    write_wav(tmp_path / "a.wav", sine(440))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[22:24] = struct.pack("<H", 168)  # with so many, PyAV is not safe
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match="declares 168 channels"):
        sound(tmp_path / "a.wav")


def test_the_sound_of_a_video(tmp_path):
    write_video(tmp_path / "a.mp4", [np.zeros((48, 64, 3), np.uint8)] * 50, 25, sine(700, 2))
    assert abs(strongest(sound(tmp_path / "a.mp4")) - 700) < 2


# refusing


def nan_wav(path: Path) -> None:
    samples = np.array([0.0, 0.1, np.nan, np.inf], "<f4").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 16, b"WAVE", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32, b"data", 16
    )
    path.write_bytes(head + samples)


def silent_video(path: Path) -> None:
    write_video(path, [np.zeros((48, 64, 3), np.uint8)] * 3)


def cut_wav(path: Path) -> None:
    write_wav(path, sine(440))
    path.write_bytes(path.read_bytes()[:9000])


def cut_mp4(path: Path) -> None:
    write(path.with_suffix(".mp4"), "aac", sine(440)[None], 16_000)
    path.write_bytes(path.with_suffix(".mp4").read_bytes()[:3000])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(4000))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.mkdir(), "there is no file"),
        (lambda path: write_wav(path, np.empty(0)), "a sound stream of length zero"),
        (noise, "clip.wav"),
        (nan_wav, "sample 2 is nan; 2 are not finite"),
        (silent_video, "has no audio stream: it holds video"),
        (cut_wav, "cut short"),
        (cut_mp4, "cannot be decoded"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, make, sentence):
    path = tmp_path / "clip.wav"
    if make is silent_video:
        path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(DataError, match=sentence) as caught:
        sound(path)
    assert str(path) in str(caught.value)


def test_what_is_there_of_a_cut_file_is_given_where_asked(tmp_path):
    cut_wav(tmp_path / "a.wav")
    assert np.abs(sound(tmp_path / "a.wav", damaged=True) - sine(440)[: (9000 - 44) // 2]).max() < 1e-4


def test_sound_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("affect.encoders.audio.LONGEST", 1)
    write_wav(tmp_path / "a.wav", sine(440, 2))
    with pytest.raises(DataError, match=r"a\.wav holds more than .* hours of sound"):
        sound(tmp_path / "a.wav")


def test_a_changed_byte_gives_sound_or_one_sentence(tmp_path):
    path = write(tmp_path / "a.mp3", "libmp3lame", sine(440, 0.5)[None], 16_000)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place_of in rng.integers(0, len(whole), 40):
        broken = bytearray(whole)
        broken[place_of] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            assert np.isfinite(sound(path)).all()
        except DataError as error:
            assert str(path) in str(error)


def test_a_wav_of_nan_is_not_written(tmp_path):
    with pytest.raises(DataError, match="sample 1 is nan"):
        write_wav(tmp_path / "a.wav", np.array([0, np.nan]))
    assert not list(tmp_path.iterdir())


# log-mel


def literal(samples, rate, bands, window, hop, low, high, size):
    """The formula of the docstring, one number at a time."""

    def mel(frequency: float) -> float:
        return 1127.0 * math.log(1 + frequency / 700.0)

    width, step = round(window * rate), round(hop * rate)
    points = [mel(low) + (mel(high) - mel(low)) * b / (bands + 1) for b in range(bands + 2)]
    table = []
    for start in range(0, len(samples) - width + 1, step):
        frame = [
            float(samples[start + n]) * (0.5 - 0.5 * math.cos(2 * math.pi * n / (width - 1))) for n in range(width)
        ]
        row = [0.0] * bands
        for k in range(size // 2 + 1):
            angle = -2 * math.pi * k / size
            value = sum(frame[n] * complex(math.cos(angle * n), math.sin(angle * n)) for n in range(width))
            at = mel(k * rate / size)
            for b in range(bands):
                left, top, right = points[b : b + 3]
                if left < at <= top:
                    row[b] += (at - left) / (top - left) * abs(value) ** 2
                elif top < at < right:
                    row[b] += (right - at) / (right - top) * abs(value) ** 2
        table.append([math.log(max(number, FLOOR)) for number in row])
    return np.array(table)


@pytest.mark.parametrize(
    "bands, window, low, high, size", [(8, 0.016, 20.0, None, 128), (12, 0.01, 100.0, 3000.0, 128)]
)
def test_against_a_slow_literal_version(bands, window, low, high, size):
    samples = np.random.default_rng(2).normal(0, 0.2, 500).astype(np.float32)
    fast = log_mel(samples, rate=8000, bands=bands, window=window, hop=0.01, low=low, high=high)
    slow = literal(samples, 8000, bands, window, 0.01, low, high or 4000.0, size)
    assert fast.shape == slow.shape
    assert np.abs(fast - slow).max() < 1e-4


@pytest.mark.parametrize("samples, count", [(400, 1), (559, 1), (560, 2), (16_000, 98), (400 + 160 * 5000, 5001)])
def test_the_number_of_frames(samples, count):
    features = log_mel(np.zeros(samples, np.float32))
    assert features.shape == (count, 128) and features.dtype == np.float32


@pytest.mark.parametrize("frequency", [100, 250, 440, 1000, 2500, 5000, 7500])
@pytest.mark.parametrize("bands", [40, 128])
def test_the_energy_of_a_sine_is_in_its_band(frequency, bands):
    def mel(f: float) -> float:
        return 2595 * math.log10(1 + f / 700)

    place_of = (mel(frequency) - mel(20)) / (mel(8000) - mel(20)) * (bands + 1) - 1
    found = log_mel(sine(frequency), bands=bands).mean(axis=0).argmax()
    assert abs(found - place_of) <= 1


@pytest.mark.parametrize("factor", [10.0, 0.1, 2.0])
def test_louder_sound_shifts_every_number_alike(factor):
    samples = np.random.default_rng(0).normal(0, 0.05, 8000)
    shift = log_mel(samples * factor) - log_mel(samples)
    assert np.abs(shift - 2 * math.log(factor)).max() < 1e-4


def test_silence_is_the_floor_and_every_band_hears_something():
    assert np.allclose(log_mel(np.zeros(1600, np.float32)), math.log(FLOOR))
    noise_ = log_mel(np.random.default_rng(0).normal(0, 0.1, 16_000))
    assert (noise_.max(axis=0) > math.log(FLOOR) + 5).all()


def test_a_click_is_in_the_windows_that_hold_it_and_in_no_other():
    samples = np.zeros(16_000, np.float32)
    samples[5000] = 1.0
    heard = np.flatnonzero(log_mel(samples).max(axis=1) > math.log(FLOOR) + 1)
    assert heard.tolist() == [t for t in range(98) if t * 160 <= 5000 < t * 160 + 400]


def test_a_part_of_a_long_sound_has_the_features_of_the_part():
    samples = np.random.default_rng(0).normal(0, 0.1, 160 * 4200).astype(np.float32)
    assert np.allclose(log_mel(samples)[4090:4100], log_mel(samples[160 * 4090 :])[:10], atol=1e-5)


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros(399), np.zeros((2, 800))])
def test_sound_that_gives_no_window_is_refused(bad):
    with pytest.raises(DataError, match="gives no window of 400 samples"):
        log_mel(bad)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="sample 7 is inf; 1 are not finite"):
        log_mel(np.where(np.arange(800) == 7, np.inf, 0.0))


@pytest.mark.parametrize(
    "asked",
    [{"bands": 0}, {"low": 9000.0}, {"high": 9000.0}, {"low": -1.0}, {"bands": 20_000}, {"low": 100.0, "high": 100.5}],
)
def test_bands_that_cannot_be_had_are_refused(asked):
    with pytest.raises(ValueError, match="bands from"):
        log_mel(np.zeros(800), **asked)


# the encoder


def test_the_encoder(tmp_path):
    write_wav(tmp_path / "a.wav", sine(440))
    write_video(tmp_path / "b.mp4", [np.zeros((48, 64, 3), np.uint8)] * 10, 25, sine(700, 0.4))
    encoder = LogMel(bands=40)
    first, second = encoder.encode([tmp_path / "a.wav", str(tmp_path / "b.mp4")])
    assert encoder.width == 40 and first.shape == (98, 40) and second.shape[1] == 40
    assert first.dtype == np.float32
    assert np.array_equal(first, LogMel(bands=40).encode([tmp_path / "a.wav"])[0])
    assert np.array_equal(first, log_mel(sound(tmp_path / "a.wav"), bands=40))


def test_the_key_says_what_decides_the_features():
    assert json.loads(json.dumps(LogMel().key)) == LogMel().key
    keys = [
        LogMel(),
        LogMel(bands=64),
        LogMel(rate=8000),
        LogMel(window=0.03),
        LogMel(hop=0.02),
        LogMel(unreadable="empty"),
    ]
    assert len({json.dumps(encoder.key, sort_keys=True) for encoder in keys}) == 6


def test_the_encoder_names_the_file_that_is_too_short(tmp_path):
    write_wav(tmp_path / "short.wav", np.zeros(300))
    with pytest.raises(DataError, match=r"short\.wav: sound of shape \(300,\) gives no window"):
        LogMel().encode([tmp_path / "short.wav"])


def test_what_is_missing_or_may_be_left_out_is_empty_and_counted(tmp_path):
    write_wav(tmp_path / "short.wav", np.zeros(300))
    write_wav(tmp_path / "a.wav", sine(440))
    encoder = LogMel(unreadable="empty")
    rows = encoder.encode([None, tmp_path / "short.wav", tmp_path / "none.wav", tmp_path / "a.wav"])
    assert [row.shape for row in rows] == [(0, 128), (0, 128), (0, 128), (98, 128)]
    assert encoder.counts == {"missing": 1, "unreadable": 2}
