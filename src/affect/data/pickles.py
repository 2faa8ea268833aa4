"""The one place that unpickles: foreign `.pkl` and `.npz` files become plain values and numpy arrays, and nothing else.

A pickle is a program. This reader lets it call nine things, each a stand-in of ours that checks what it is given, and
refuses every other name. Numpy's own functions are not among them: a forged dtype makes them take numbers for
addresses, so ours build each array of a dtype made here. Refused too: persistent ids, structured dtypes, arrays whose
bytes do not fill their shape. A file can still ask for a lot of memory: `importing` reads in a child with a limit.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from affect.data.draft import Array
from affect.errors import DataError

ENCODINGS = ("ASCII", "latin1")  # of the texts in pickles of Python 2


def load(path: Path, *, encoding: str = "ASCII") -> Any:
    """What a pickle holds. `encoding="latin1"` is for pickles of Python 2."""
    if encoding not in ENCODINGS:
        raise DataError(f"encoding `{encoding}` is none of {', '.join(ENCODINGS)}")
    try:
        with open(path, "rb") as file:
            return _unpickled(file, str(path), encoding)
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {_clipped(error)}") from error


def load_npz_objects(path: Path) -> dict[str, Array]:
    """The arrays of a `.npz` file, those of objects too. A dictionary in it is an array without axes: `.item()`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _member(archive, name, path) for name in archive.namelist()}
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except MemoryError as error:
        raise DataError(f"{path} asks for more memory than there is") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as .npz: {_clipped(error)}; fetch the file again") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    """One array, read by hand, since numpy reads objects only where it may run everything."""
    where = f"{path}, member {_clipped(name)}"
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{where} is written in version {version} of the format, which is only for named columns")
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            array = _unpickled(file, where, "ASCII")
            if dtype != np.dtype("O") or not isinstance(array, np.ndarray) or array.shape != shape:
                raise DataError(f"{where} holds something else than its header says")
            return array
        data = file.read()
    if dtype.kind not in _KINDS or len(data) != math.prod(shape) * dtype.itemsize:
        raise DataError(f"{where} does not hold the {shape} numbers of type {dtype} that it says")
    return _shaped(data, dtype, shape, fortran=fortran)


class Refused(pickle.UnpicklingError):
    """The pickle wants something that a file of data does not need."""


def _unpickled(file: IO[bytes], where: str, encoding: str) -> Any:
    try:
        return _Unpickler(file, encoding=encoding).load()
    except Refused as error:
        raise DataError(f"{where} is refused: {error}") from error
    except MemoryError as error:
        raise DataError(f"{where} asks for more memory than there is") from error
    except EOFError as error:
        raise DataError(f"{where} is empty or was cut short; fetch the file again") from error
    except UnicodeDecodeError as error:
        if error.encoding == "ascii":
            raise DataError(f'{where} is a pickle of Python 2: read it with `encoding: "latin1"`') from error
        raise DataError(f"{where} is damaged: {_clipped(error)}; fetch the file again") from error
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
            SystemError) as error:  # fmt: skip
        raise DataError(f"{where} is no pickle, or was cut short: {_clipped(error)}; fetch the file again") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        hint = "only texts, numbers, lists, dictionaries and numpy arrays are read"
        if module.split(".")[0] == "torch":
            hint = "it holds tensors of torch: save it again as numpy arrays (MMSA-FET: return_type='np')"
        raise Refused(f"it wants to use `{_clipped(f'{module}.{name}')}`; {hint}")

    def persistent_load(self, pid: Any, /) -> Any:
        raise Refused("it points to objects outside of it (persistent ids)")


def _clipped(value: object) -> str:
    """A few words of something that may be long, or not printable."""
    text = "".join(c if c.isprintable() else "?" for c in str(value)[:121])
    return text if len(text) <= 120 else text[:117] + "..."


# the stand-ins


class _Tool:
    """A function that a pickle may call. Unlike a bare function it has nothing that the pickle could set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: object) -> NoReturn:
        raise Refused("it changes a function")


_KINDS = "biufSU"
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,9}|O[48]?)")


class _Dtype:
    """Stands for numpy's dtype, whose state a pickle may set as it likes."""

    __slots__ = ("real",)

    def __init__(self, name: object, *_copying: object) -> None:
        if not isinstance(name, str) or not _PLAIN.fullmatch(name):
            raise Refused(f"an array has the type {_clipped(name)}, which is neither numbers nor texts")
        self.real = np.dtype("O" if "O" in name else name)

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 8 or state[0] != 3 or state[2:5] != (None, None, None):
            raise Refused("an array has a structured type, or one of an old form of pickle")
        order, size = state[1], state[5]
        if order not in ("<", ">", "|", "=") or size not in (-1, self.real.itemsize):
            raise Refused(f"an array has a forged type ({_clipped(state)})")
        self.real = self.real.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """An array that is being read: its type is one of ours, and its bytes are as many as its shape needs."""

    def __setstate__(self, state: Any, /) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or state[0] != 1:
            raise Refused("an array has an old form")
        _, shape, dtype, fortran, data = state
        real = _checked(dtype)
        if real.hasobject:
            if not isinstance(data, list) or len(data) != _count(shape):
                raise Refused(f"an array of the shape {_clipped(shape)} does not have so many objects")
        else:
            data = _filling(data, real, shape)
        checked: Any = (1, shape, real, bool(fortran), data)
        super().__setstate__(checked)


def _reconstruct(kind: object, shape: object, code: object) -> Array:
    if kind is not _NDARRAY or shape != (0,):
        raise Refused("an array begins as something else")
    return _Array((0,), "b")


def _scalar(dtype: object, data: object = b"") -> Any:
    real = _numbers(dtype)
    return _shaped(_filling(data, real, ()), real, ())[()]


def _frombuffer(data: object, dtype: object, shape: Any, order: str, axes: Any = None) -> Array:
    real = _numbers(dtype)
    array = _shaped(_filling(data, real, shape), real, shape, fortran=order == "F")
    return array.transpose(axes) if order == "K" and axes is not None else array


def _shaped(data: bytes | bytearray, real: np.dtype[Any], shape: tuple[int, ...], *, fortran: bool = False) -> Array:
    """A view that holds its bytes, so that they cannot move: what `np.ndarray` makes of them does not."""
    flat = np.frombuffer(data, real) if data else np.zeros(_count(shape), real)
    return flat.reshape(shape, order="F" if fortran else "C")


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """How the older protocols write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"it encodes {type(text).__name__} as {_clipped(encoding)}")
    return text.encode("latin1")


def _checked(dtype: object) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise Refused("an array has a type that is none")
    return dtype.real


def _numbers(dtype: object) -> np.dtype[Any]:
    real = _checked(dtype)
    if real.hasobject:
        raise Refused("it makes objects of bytes")
    return real


def _count(shape: object) -> int:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise Refused(f"an array has the shape {_clipped(shape)}")
    return math.prod(shape)


def _filling(data: object, real: np.dtype[Any], shape: object) -> bytes | bytearray:
    """The bytes of an array, just as many as it needs; no letter beyond those that there are."""
    if isinstance(data, str):
        data = data.encode("latin1")  # Python 2
    if not isinstance(data, bytes | bytearray) or len(data) != _count(shape) * real.itemsize:
        raise Refused(f"an array of the shape {_clipped(shape)} and type {real} does not have so many bytes")
    if real.kind == "U" and data and np.frombuffer(data, np.dtype("u4").newbyteorder(real.byteorder)).max() > 0x10FFFF:
        raise Refused("a text has letters that there are not")
    return data


def _by_hand(*_: object) -> NoReturn:
    raise Refused("it makes an array by hand")


_NDARRAY = _Tool(_by_hand)  # it is only ever handed to `_reconstruct`
_ALLOWED = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Tool(_Dtype),
    **{(f"{numpy}.multiarray", "_reconstruct"): _Tool(_reconstruct) for numpy in ("numpy.core", "numpy._core")},
    **{(f"{numpy}.multiarray", "scalar"): _Tool(_scalar) for numpy in ("numpy.core", "numpy._core")},
    **{(f"{numpy}.numeric", "_frombuffer"): _Tool(_frombuffer) for numpy in ("numpy.core", "numpy._core")},
    ("_codecs", "encode"): _Tool(_encode),
    ("collections", "OrderedDict"): _Tool(dict),
    ("builtins", "set"): _Tool(set),  # the conversation pickles of Python 2; newer protocols need no name for it
    ("__builtin__", "set"): _Tool(set),
    ("__builtin__", "bytes"): _Tool(lambda: b""),  # how the older protocols write an empty array
}
