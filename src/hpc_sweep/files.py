"""Writing so that a reader sees a whole file or none, and reading what a killed writer left.

Every file of a sweep is written here. Refuses: paths that leave their folder, links as final components.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hpc_sweep.errors import DiskError, InputError

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
TEMPORARY = ".tmp-"  # a stray one is a killed writer's; `doctor --clean` sweeps it

_ADVICE = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "your quota is used up: delete something or ask for more, then run the same command again",
    errno.EROFS: "this file system is read-only here: use another folder",
    errno.EACCES: "you may not do that there: check the owner and the mode of the file and of its folder",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENFILE: "this machine has too many open files: end what holds them, or use another machine",
    errno.EIO: "the disk or the network behind it fails: ask who looks after it, or use another folder",
}


def canonical(value: Any) -> str:
    """JSON with one spelling per value: the text that ids and checksums are made of."""
    return _CANONICAL.encode(value)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn an OSError into a sentence with the errno's name, the path and what to do."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise _told(error, path) from error


def not_our_fault(error: BaseException) -> DiskError | None:
    """What to say of an error that nobody expected where it came, if the disk or a limit is to blame for it."""
    if isinstance(error, OSError) and error.errno in _ADVICE:
        return _told(error, error.filename or "this command")
    return None


def _told(error: OSError, where: object) -> DiskError:
    name = errno.errorcode.get(error.errno or 0, "error")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return DiskError(f"{where}: {reason} ({name})", _ADVICE.get(error.errno or 0))


def write_atomic(path: Path, data: bytes) -> None:
    """Write `path` whole, replacing what was there; a crash leaves the old file or the new one."""
    with disk(path), _temporary(path, data) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write `path` whole if nobody has; FileExistsError tells the loser of a race."""
    with disk(path), _temporary(path, data) as temporary:
        os.link(temporary, path)
        _sync_folder(path.parent)


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    temporary = _temporary_path(path)
    try:
        _write_all(temporary, data, os.O_CREAT | os.O_EXCL)
        yield temporary
    finally:
        _forget(temporary)


def _forget(temporary: Path) -> None:
    """Remove a temporary; that it cannot be removed must not hide what went wrong, or well, before."""
    with suppress(OSError):
        os.unlink(temporary)


def _temporary_path(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}-{os.urandom(4).hex()}")


class Growing:
    """A file that a library writes through, as it does through any Python file.

    It keeps the first error, or an interruption, and from then on writes nothing, without saying so: HDF5 that is told
    of a full disk crashes when the program ends. `check` raises what was kept.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.error: OSError | KeyboardInterrupt | None = None
        self._descriptor = descriptor
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset if whence == os.SEEK_SET else os.lseek(self._descriptor, offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray) -> int:
        read = os.preadv(self._descriptor, [buffer], self._at)
        self._at += read
        return read

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view and self.error is None:
                written = os.pwrite(self._descriptor, view, self._at)
                self._at += written
                view = view[written:]
        except (OSError, KeyboardInterrupt) as error:
            self.error = error
        return len(data)

    def truncate(self, size: int) -> int:
        try:
            if self.error is None:
                os.ftruncate(self._descriptor, size)
        except (OSError, KeyboardInterrupt) as error:
            self.error = error
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error


@contextmanager
def growing(path: Path) -> Iterator[Growing]:
    """A file that need not fit into memory; it takes the place of `path` when the block ends without an error."""
    temporary = _temporary_path(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with disk(path):
        descriptor = os.open(temporary, flags, 0o600)
        try:
            file = Growing(temporary, descriptor)
            yield file
            file.check()
            os.fsync(descriptor)
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            os.close(descriptor)
            _forget(temporary)


def _write_all(path: Path, data: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot sync a folder; the rename is atomic all the same
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int = 0o777) -> Path:
    """Create a folder and its parents; a folder that is there is left as it is."""
    with disk(path):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=mode)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    return path


def commit_folder(partial: Path, whole: Path) -> None:
    """Give a finished folder its name; everything in it is on the disk before it counts."""
    with disk(whole):
        for path in (*partial.rglob("*"), partial):
            if path.is_dir():
                _sync_folder(path)
            elif path.is_file():
                _sync(path)
        os.rename(partial, whole)
        _sync_folder(whole.parent)


def remove_folder(path: Path) -> None:
    """Take a folder away: a reader finds all of it or nothing. What stays is a stray, and hinders nobody."""
    import shutil

    going = _temporary_path(path)
    with suppress(OSError):
        os.rename(path, going)
        shutil.rmtree(going, ignore_errors=True)


def json_bytes(value: Any) -> bytes:
    """A JSON document as people like to read it, without NaN."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_bytes(path: Path | str, limit: int = 1 << 31) -> bytes:
    """The bytes of a plain file, never through a link, never more than `limit`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path} is a link", "put the file itself there") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a plain file")
        size = status.st_size
        if size > limit:
            raise InputError(f"{path}: {size:,} bytes; at most {limit:,} are read")
        chunks, wanted, left = [], max(size + 1, 4096), size
        while chunk := os.read(descriptor, wanted):
            chunks.append(chunk)
            left -= len(chunk)
            if len(chunk) < wanted and left <= 0:
                break  # the end; asking once more would take as long again
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def read_json(path: Path, limit: int = 1 << 30) -> Any:
    """A JSON document that this program wrote."""
    return json.loads(read_bytes(path, limit))


class Appender:
    """The one writer of a file of JSON lines; each line goes out in one write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
        self._torn = False

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; `event` comes first in the line, so that a reader can skip lines unparsed."""
        line = json.dumps({"event": event, **fields}, separators=(",", ":"), allow_nan=False) + "\n"
        data = memoryview(("\n" * self._torn + line).encode())  # what a full disk cut short must not spoil this line
        with disk(self.path):
            while data:
                written = os.write(self._descriptor, data)
                data = data[written:]
                self._torn = bool(data)

    def close(self) -> None:
        os.close(self._descriptor)


def read_events(data: bytes, skip: bytes | None = None) -> tuple[list[dict[str, Any]], int]:
    """The events of a file of JSON lines, and how many lines were torn; `skip` is left unparsed."""
    lines = [line for line in data.split(b"\n") if line]
    if skip:
        prefix = b'{"event":"%s"' % skip
        lines = [line for line in lines if not line.startswith(prefix)]
    try:
        found = json.loads((b"[" + b",".join(lines) + b"]").decode())  # all at once takes a third of the time
    except (ValueError, RecursionError):
        found = []
    if len(found) != len(lines):
        found = [_event(line) for line in lines]
    events = [event for event in found if isinstance(event, dict) and isinstance(event.get("event"), str)]
    return events, len(lines) - len(events)


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def inside(root: Path, name: str) -> Path:
    """`root / name`, refused unless it stays below `root` after links are followed."""
    base = root.resolve()
    try:
        path = (base / name).resolve()
    except (ValueError, RuntimeError) as error:  # a NUL byte, a circle of links
        raise InputError(f"{name!r} is not a path in the folder {root}") from error
    if path == base or not path.is_relative_to(base):
        raise InputError(f"`{name}` leaves the folder {root}")
    return base / name
