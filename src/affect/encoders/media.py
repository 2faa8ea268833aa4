"""Opening video and sound files with FFmpeg, without trusting them.

Owns what videos and sound have in common: how a file is opened, what is asked of it before anything is decoded, and how
FFmpeg's words become a sentence. Refuses files that name other files (playlists), frames above a size, files without
the stream that is wanted, and files that end before the end that they declare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from affect.errors import DataError

LARGEST = 8192  # pixels, of a frame's height and width
_EARLY = 0.25  # seconds that a file may end before its declared end
_FORMATS = "mov,mp4,m4a,3gp,matroska,webm,avi,mpegts,mpeg,flv,asf,mp3,wav,flac,ogg,aac"
# These say how long they are when they are written; the length of the others is FFmpeg's estimate.
_DECLARING = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wav", "flac"}

Kind = Literal["video", "audio"]
Unreadable = Literal["refused", "empty"]
T = TypeVar("T")


@contextmanager
def opened(path: Path, kind: Kind, damaged: bool = False) -> Iterator[tuple[Any, Any]]:
    """An opened file and its best stream of a kind, set to decode the same way every time.

    Unless `damaged`, anything that a decoder finds wrong is an error, instead of a picture patched from its neighbours.
    """
    import av

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty: get the file again")
    try:
        with av.open(str(path.resolve()), options=_options(), metadata_errors="replace") as container:
            stream = _stream(path, container, kind)
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            strict = {} if damaged else {"err_detect": "explode"}
            stream.codec_context.options = {"max_pixels": str(LARGEST**2), **strict}
            yield container, stream
    except av.FFmpegError as error:
        raise DataError(f"{path} cannot be decoded: FFmpeg says `{_said(path, error)}`; get the file again") from error


def packet_times(path: Path, kind: Kind, damaged: bool = False) -> list[float]:
    """When each packet of a stream is shown, in seconds and in order; nothing is decoded.

    A file that was cut short is found here, before anything of it is used, where its format says how long it is.
    """
    times: list[float] = []
    end = 0.0
    with opened(path, kind, damaged) as (container, wanted):
        for packet in _packets(container, damaged):
            time = packet.dts if packet.pts is None else packet.pts
            if packet.size == 0 or time is None or packet.time_base is None:
                continue
            if packet.is_corrupt and not damaged:
                raise DataError(f"{path} ends inside a packet, after {float(time * packet.time_base):.2f} s: {_AGAIN}")
            end = max(end, float((time + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == wanted.index and not packet.is_discard:
                times.append(float(time * packet.time_base))
        declared = _declared(container)
    if end < declared - _EARLY and not damaged:
        raise DataError(f"{path} ends after {end:.2f} of {declared:.2f} s: {_AGAIN}")
    return sorted(times)


def read(
    item: str | Path | None, reader: Callable[[Path], T], unreadable: Unreadable, counts: Counter[str]
) -> T | None:
    """What a reader makes of an item, or None, counted, where there is none or where it may be left out."""
    if item is None:
        counts["missing"] += 1
        return None
    try:
        return reader(Path(item))
    except DataError:
        if unreadable == "refused":
            raise
        counts["unreadable"] += 1
        return None


_AGAIN = "it was cut short, get it again, or ask for what is there with `damaged`"


def versions() -> dict[str, str]:
    """What decodes, for the key of the features that are made of it."""
    import av

    return {"av": av.__version__, "avcodec": ".".join(map(str, av.library_versions["libavcodec"]))}


def _options() -> dict[str, str]:
    return {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(LARGEST**2)}


def _stream(path: Path, container: Any, kind: Kind) -> Any:
    """The first stream of a kind that is no cover picture and has a decoder."""
    from av.stream import Disposition

    for stream in getattr(container.streams, kind):
        if stream.codec_context is not None and Disposition.attached_pic not in stream.disposition:
            return stream
    found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing that FFmpeg knows"
    raise DataError(f"{path} has no {kind} stream: it holds {found}")


def _packets(container: Any, damaged: bool) -> Iterator[Any]:
    import av

    try:
        yield from container.demux()
    except av.FFmpegError:
        if not damaged:
            raise


def _declared(container: Any) -> float:
    if container.format.name not in _DECLARING or container.duration is None:
        return 0.0
    return float(container.duration + max(0, container.start_time or 0)) / 1_000_000


def _said(path: Path, error: Any) -> str:
    """FFmpeg's own words: those of its log where opening fails, else those of the error."""
    import av

    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as log:
            _try_opening(path)
    finally:
        av.logging.set_level(before)
    return "; ".join(dict.fromkeys(line.strip() for _, _, line in log)) or str(error.strerror)


def _try_opening(path: Path) -> None:
    import av

    try:
        av.open(str(path.resolve()), options=_options(), metadata_errors="replace").close()
    except av.FFmpegError:
        pass  # it failed before: only its log is wanted
