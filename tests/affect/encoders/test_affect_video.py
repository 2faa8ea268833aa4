"""Videos and folders of pictures: what is given, when it is shown, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from affect.data.drawing import draw_face, place
from affect.encoders.video import chosen, frames, write_video
from affect.errors import DataError

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


def marked(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures that say their number: grey, a step lighter each."""
    return [np.full((height, width, 3), 10 + 4 * number, np.uint8) for number in range(count)]


def numbers(pictures) -> list[int]:
    return [round((float(picture.mean()) - 10) / 4) for picture in pictures]


def busy(count: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures that do not compress, so that damage in the middle of the file is damage to a picture."""
    return list(np.random.default_rng(seed).integers(0, 255, (count, 96, 128, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    write_video(path, marked(50), 25)
    return path


# what is given


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.mp4", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_what_was_written_is_read(tmp_path, name, codec):
    drawn = [place(draw_face(80, smile), 120, 160, 20, 30) for smile in np.linspace(-1, 1, 12)]
    write_video(tmp_path / name, drawn, 25, codec=codec)
    read = list(frames(tmp_path / name))
    assert len(read) == 12
    assert all(picture.shape == (120, 160, 3) and picture.dtype == np.uint8 for picture in read)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(read, drawn, strict=True)) < 4


def test_colours_are_red_green_blue(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    write_video(tmp_path / "red.mp4", [red] * 3)
    picture = next(iter(frames(tmp_path / "red.mp4")))
    assert picture[..., 0].mean() > 200 and picture[..., 1:].mean() < 20


def test_writing_and_reading_are_deterministic(tmp_path):
    sound = np.sin(np.arange(16000) / 20).astype(np.float32) * 0.2
    for name in ("one.mp4", "two.mp4"):
        write_video(tmp_path / name, busy(20), 25, sound)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    first, second = (np.stack(list(frames(tmp_path / "one.mp4"))) for _ in range(2))
    assert first.tobytes() == second.tobytes()


# sampling


def test_so_many_a_second(grey):
    assert numbers(frames(grey, per_second=5)) == list(range(0, 50, 5))
    assert numbers(frames(grey, per_second=12.5)) == list(range(0, 50, 2))
    assert numbers(frames(grey, per_second=1000)) == list(range(50))  # none is given twice


def test_so_many_evenly(grey):
    assert numbers(frames(grey, most=5)) == [5, 15, 25, 35, 45]
    assert numbers(frames(grey, most=1)) == [25]
    assert numbers(frames(grey, most=50)) == numbers(frames(grey, most=1000)) == list(range(50))
    assert numbers(frames(grey, per_second=5, most=2)) == [10, 35]


def test_a_variable_rate_is_sampled_by_time(tmp_path):
    times = [i * 0.02 for i in range(40)] + [0.8 + i * 0.4 for i in range(10)]  # 40 in 0.8 s, 10 in 4 s
    write_video(tmp_path / "v.mp4", marked(50), 25, times=times)
    by_time = numbers(frames(tmp_path / "v.mp4", per_second=5))
    assert by_time == [0, 10, 20, 30, *range(40, 50)]  # by number it would be one in so many of all
    taken = numbers(frames(tmp_path / "v.mp4", most=12))
    assert sum(n >= 40 for n in taken) >= 8


@pytest.mark.parametrize("seed", range(8))
def test_chosen_against_a_slow_literal_version(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 10, 60)).tolist()
    per_second, most = float(rng.uniform(0.5, 20)), int(rng.integers(1, 30))
    nearest = set()
    for instant in range(int((times[-1] - times[0]) * per_second) + 1):
        nearest.add(min(range(60), key=lambda i: abs(times[i] - times[0] - instant / per_second)))
    assert chosen(times, per_second, None) == sorted(nearest)
    shown = set()
    span = (times[-1] - times[0]) * 60 / 59
    for part in range(most):
        middle = times[0] + (part + 0.5) * span / most
        shown.add(max(i for i, t in enumerate(times) if t <= middle))
    assert chosen(times, None, most) == sorted(shown)


def test_chosen_of_nothing_and_of_a_wild_time():
    assert chosen([], 5.0, 3) == []
    assert chosen([0.0, 1e12], 25.0, None) == [0, 1]  # no list of 2.5e13 instants is made


@pytest.mark.parametrize("asked", [{"per_second": 0}, {"per_second": -1.0}, {"per_second": float("nan")}, {"most": 0}])
def test_nonsense_is_refused_at_once(grey, asked):
    with pytest.raises(ValueError, match="above 0"):
        frames(grey, **asked)


# rotation


def turned(data: bytes, *matrix: int) -> bytes:
    """An MP4 whose track header asks to be shown turned."""
    place_of = data.index(b"tkhd") + 44
    return data[:place_of] + struct.pack(">9i", *matrix) + data[place_of + 36 :]


ONE = 1 << 16


@pytest.mark.parametrize(
    "matrix, quarters",
    [((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), -1), ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), 2), ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), 1)],
)  # fmt: skip
def test_a_turned_video_is_set_upright(tmp_path, matrix, quarters):
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:16, :32] = 250  # a mark in the upper left corner
    write_video(tmp_path / "flat.mp4", [picture] * 3)
    plain = next(iter(frames(tmp_path / "flat.mp4")))
    (tmp_path / "turned.mp4").write_bytes(turned((tmp_path / "flat.mp4").read_bytes(), *matrix))
    assert np.array_equal(next(iter(frames(tmp_path / "turned.mp4"))), np.rot90(plain, quarters))


def test_a_video_turned_by_something_else_is_refused(tmp_path):
    write_video(tmp_path / "flat.mp4", marked(2))
    eighth = round(ONE * 0.70710678)
    data = turned((tmp_path / "flat.mp4").read_bytes(), eighth, eighth, 0, -eighth, eighth, 0, 0, 0, 1 << 30)
    (tmp_path / "odd.mp4").write_bytes(data)
    with pytest.raises(DataError, match="no quarter turn"):
        list(frames(tmp_path / "odd.mp4"))


# damage


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")]
)
def test_a_file_cut_short_is_refused(tmp_path, name, codec):
    path = tmp_path / name
    write_video(path, busy(50), 25, codec=codec)
    whole = path.read_bytes()
    for part in (0.2, 0.5, 0.8):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(DataError) as caught:
            list(frames(path, most=5))
        assert str(path) in str(caught.value)


def test_what_decodes_before_the_damage_is_given_where_asked(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, marked(50, 96, 128), 25, codec="mpeg4")
    whole = list(frames(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError):
        list(frames(path))
    part = list(frames(path, damaged=True))
    assert 5 < len(part) < 50
    assert all(np.array_equal(a, b) for a, b in zip(part[:-1], whole, strict=False))


def test_a_changed_byte_gives_pictures_or_one_sentence(tmp_path):
    """Nothing else may come out, whatever byte is changed; and a changed picture is mostly noticed."""
    path = tmp_path / "a.mp4"
    write_video(path, busy(12), 25)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for place_of in rng.integers(0, len(whole), 40):
        broken = bytearray(whole)
        broken[place_of] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            list(frames(path))
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 10


# what is no video


def text(path: Path) -> None:
    path.write_text("not a video at all\n" * 50)


def playlist(path: Path) -> None:
    write_video(path.parent / "other.ts", marked(5))
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")


def script(path: Path) -> None:
    write_video(path.parent / "other.mp4", marked(5))
    path.write_text("ffconcat version 1.0\nfile other.mp4\n")


def empty(path: Path) -> None:
    path.touch()


def missing(path: Path) -> None:
    pass


def sound_only(path: Path) -> None:
    from affect.encoders.audio import write_wav

    write_wav(path, np.zeros(8000, np.float32))


def no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()


@pytest.mark.parametrize(
    "make, sentence",
    [
        (text, "FFmpeg says"),
        (playlist, "cannot be decoded"),
        (script, "cannot be decoded"),
        (empty, "is empty"),
        (missing, "there is no file"),
        (sound_only, "has no video stream: it holds audio"),
        (no_frames, "clip.mp4"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, make, sentence):
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(DataError, match=sentence):
        list(frames(path))


def test_a_cover_picture_is_no_video(tmp_path):
    import io

    picture = io.BytesIO()
    Image.fromarray(marked(1)[0]).save(picture, "PNG")
    body = b"\x00image/png\x00\x03\x00" + picture.getvalue()
    apic = b"APIC" + struct.pack(">I", len(body)) + b"\x00\x00" + body
    size = len(apic)
    synchsafe = bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))
    with av.open(str(tmp_path / "plain.mp3"), "w") as container:
        stream = container.add_stream("libmp3lame", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\x03\x00\x00" + synchsafe + apic + (tmp_path / "plain.mp3").read_bytes())
    with av.open(str(song)) as opened:
        assert [stream.type for stream in opened.streams] == ["audio", "video"]  # FFmpeg calls the cover a video
    with pytest.raises(DataError, match="no video stream"):
        list(frames(song))


def test_a_frame_above_the_limit_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "raw.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(marked(1)[0], format="bgr24")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    place_of = data.index(b"strf") + 12  # width and height of the bitmap header
    data[place_of : place_of + 8] = struct.pack("<ii", 60000, 60000)
    path.write_bytes(data)
    with pytest.raises(DataError, match="raw.avi"):
        list(frames(path))


@pytest.mark.parametrize("pictures", [[], [np.zeros((47, 64, 3), np.uint8)]])
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, pictures):
    with pytest.raises(ValueError, match="even height and width"):
        write_video(tmp_path / "a.mp4", pictures)
    assert not list(tmp_path.iterdir())


# folders


def folder(root: Path, names: list[str]) -> Path:
    root.mkdir()
    for picture, name in zip(marked(len(names)), names, strict=True):
        Image.fromarray(picture).save(root / name, quality=95)
    return root


@pytest.mark.parametrize("pattern", ["{:06d}.jpg", "{:d}.png", "frame_{:04d}.jpeg", "{:05d}.JPG"])
def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path, pattern):
    root = folder(tmp_path / "video", [pattern.format(n) for n in range(1, 13)])
    (root / "notes.txt").write_text("not a picture")
    assert numbers(frames(root)) == list(range(12))
    assert numbers(frames(root, most=3)) == [2, 6, 10]
    assert numbers(frames(root, per_second=2, rate=6)) == [0, 3, 6, 9]


def test_a_gap_in_the_numbers_is_a_gap_in_time(tmp_path):
    root = folder(tmp_path / "video", [f"{n:05d}.png" for n in [1, 2, 3, 4, 21, 31, 41]])
    assert numbers(frames(root, per_second=1, rate=10)) == [0, 3, 4, 5, 6]  # 3 is the nearest to 1 s too


def test_a_folder_needs_a_rate_to_be_sampled_by_the_second(tmp_path):
    with pytest.raises(DataError, match="give `rate`"):
        list(frames(folder(tmp_path / "video", ["1.png"]), per_second=2))


@pytest.mark.parametrize("told, fits", [("2", True), ("2\n", True), ("3", False), ("", False), ("two", False)])
def test_the_number_of_pictures_is_what_the_folder_says(tmp_path, told, fits):
    root = folder(tmp_path / "video", ["000001.jpg", "000002.jpg"])
    (root / "n_frames").write_text(told)
    if fits:
        assert len(list(frames(root))) == 2
    else:
        with pytest.raises(DataError, match="holds 2 pictures, and its file n_frames says"):
            list(frames(root))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="no numbered pictures"):
        list(frames(tmp_path))


def test_a_damaged_picture_is_named_and_the_ones_before_it_come_where_asked(tmp_path):
    root = folder(tmp_path / "video", ["1.jpg", "2.jpg", "3.jpg"])
    (root / "2.jpg").write_bytes((root / "2.jpg").read_bytes()[:200])
    with pytest.raises(DataError, match=r"2\.jpg cannot be read as a picture"):
        list(frames(root))
    assert numbers(frames(root, damaged=True)) == [0]


@pytest.mark.parametrize("side", [9000, 60000])
def test_a_picture_that_declares_a_huge_size_is_refused_unread(tmp_path, side):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    (tmp_path / "1.png").write_bytes(data)
    with pytest.raises(DataError, match="8192x8192"):
        list(frames(tmp_path))
