"""Pickles made by somebody who knows the format: nothing runs, nothing is forged, and memory has an end.

What each would do is leave a file behind; it must not be there afterwards, and the message names what was refused.
"""

from __future__ import annotations

import collections
import copyreg
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy._core.multiarray import _reconstruct, scalar
from numpy._core.numeric import _frombuffer

import foreign_files
from affect.data import importing, pickles
from affect.errors import DataError

PROTOCOLS = range(6)


class Calls:
    """Pickled as a call of any function, with the state that it is given afterwards."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pkl"


def refused(path: Path, data: object, protocol: int = 4) -> str:
    """The message of a pickle that must be refused; `data` is what is pickled, or the bytes themselves."""
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        foreign_files.write(path, data, protocol)
    with pytest.raises(DataError) as caught:
        pickles.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# calls of what is not allowed

RUNS: dict[str, Callable[[str], Calls]] = {
    "system": lambda trace: Calls(os.system, f"touch {trace}"),
    "mkdir": lambda trace: Calls(os.mkdir, trace),
    "eval": lambda trace: Calls(eval, f"open({trace!r}, 'w')"),
    "exec": lambda trace: Calls(exec, f"open({trace!r}, 'w')"),
    "open": lambda trace: Calls(open, trace, "w"),
    "Popen": lambda trace: Calls(subprocess.Popen, ["touch", trace]),
    "getattr": lambda trace: Calls(getattr, trace, "upper"),
    "tofile": lambda trace: Calls(np.ndarray.tofile, np.arange(3), trace),
    "loadtxt": lambda trace: Calls(np.loadtxt, trace),
}
WRAPS: dict[str, Callable[[Calls], Any]] = {
    "bare": lambda call: call,
    "in a file of MMSA": lambda call: {**foreign_files.mmsa(width=4), "config": call},
    "in an array of objects": lambda call: np.array([None, call, "text"], object),
    "in an array in an array": lambda call: np.array([np.array([{"a": [call]}], object), 1], object),
    "as a key": lambda call: {(1, call): 2},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", RUNS)
def test_nothing_runs(name: str, wrap: str, protocol: int, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    told = refused(path, WRAPS[wrap](RUNS[name](str(trace))), protocol)
    assert "is refused: it wants to use `" in told
    assert not trace.exists()


def by_name(module: str, name: str) -> list[bytes]:
    """The three ways in which a pickle says a name."""
    text = [b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)]
    return [
        f"c{module}\n{name}\n.".encode(),
        b"\x80\x04" + b"".join(text) + b"\x93.",
        f"(i{module}\n{name}\n.".encode(),
    ]


NAMES = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"), ("__builtin__", "eval"),
    ("builtins", "getattr"), ("builtins", "__import__"), ("builtins", "bytearray"), ("builtins", "complex"),
    ("functools", "partial"), ("operator", "attrgetter"), ("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"),
    ("collections", "OrderedDict.fromkeys"), ("collections", "OrderedDict.__init__.__globals__"), ("collections", "eval"),
    ("collections", "_sys"), ("numpy", "ndarray.tofile"), ("numpy", "dtype.__class__"), ("numpy", "load"),
    ("numpy", "fromfile"), ("numpy.core.multiarray", "fromstring"), ("numpy.core.multiarray", "_reconstruct.__self__"),
    ("numpy._core.numeric", "load"), ("numpy.core", "multiarray._reconstruct"), ("_codecs", "lookup"),
    ("_codecs", "encode.__self__"), ("codecs", "encode"), ("affect.data.pickles", "load"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_names_that_are_refused(module: str, name: str, path: Path) -> None:
    for data in by_name(module, name):
        assert f"it wants to use `{module}.{name}`; only texts, numbers" in refused(path, data)


def test_a_long_name_that_is_no_name_does_not_fill_the_screen(path: Path) -> None:
    told = refused(path, f"cos\n{'x' * 100_000}\x1b[2J\n.".encode())
    assert len(told) < 400 + len(str(path)) and "\x1b" not in told
    assert "os.?[2J`" in refused(path, b"cos\n\x1b[2J\n.")


def test_names_by_number_are_looked_at_too(path: Path) -> None:
    copyreg.add_extension("os", "system", 240)
    try:
        assert "it wants to use `os.system`" in refused(path, b"\x80\x02\x82\xf0.")
    finally:
        copyreg.remove_extension("os", "system", 240)
    assert "unregistered extension code" in refused(path, b"\x80\x02\x82\xf0.")


@pytest.mark.parametrize("data", [b"Pname\n.", b"\x80\x02U\x04nameQ."])
def test_persistent_ids_are_refused(data: bytes, path: Path) -> None:
    assert "is refused: it points to objects outside of it" in refused(path, data)


def test_buffers_outside_of_the_file_are_refused(path: Path) -> None:
    array = np.arange(10.0)
    told = refused(path, pickle.dumps(array, 5, buffer_callback=lambda _: None))
    assert "out-of-band" in told


@pytest.mark.parametrize("module", ["torch._utils", "torch", "torch.storage"])
def test_tensors_of_torch_say_how_to_save_them(module: str, path: Path) -> None:
    told = refused(path, f"c{module}\n_rebuild_tensor_v2\n.".encode())
    assert f"`{module}._rebuild_tensor_v2`" in told and "save it again as numpy arrays" in told


# what is allowed, with arguments that nobody should believe

PLAIN = (3, "<", None, None, None, -1, -1, 0)


def dtype(name: str, state: tuple[Any, ...] = PLAIN) -> Calls:
    return Calls(np.dtype, name, False, True, state=state)


def array(shape: Any, kind: Any, data: Any, version: Any = 1) -> Calls:
    return Calls(_reconstruct, np.ndarray, (0,), b"b", state=(version, shape, kind, False, data))


FORGED: dict[str, tuple[Any, str]] = {
    # numpy itself takes these, and reads from wherever the numbers point to
    "addresses": (Calls(_frombuffer, b"A" * 8, dtype("O8"), (1,), "C"), "makes objects of bytes"),
    "addresses by state": (array((1,), dtype("O8"), b"A" * 8), "does not have so many objects"),
    "an address": (Calls(scalar, dtype("O8"), b"A" * 8), "makes objects of bytes"),
    "addresses in columns": (dtype("V8", (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)), "the type V8"),
    "columns in numbers": (dtype("f8", (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)), "structured type"),
    "arrays in numbers": (dtype("f8", (3, "|", (np.dtype("O"), (2,)), None, None, 16, 1, 0)), "structured type"),
    "longer than it is": (dtype("S4", (3, "|", None, None, None, 4000, 1, 0)), "forged type"),
    "fewer objects than said": (array((5,), np.dtype("O"), [1, 2]), "does not have so many objects"),
    "more objects than said": (array((1,), np.dtype("O"), [1, 2]), "does not have so many objects"),
    "objects without a list": (array((1,), np.dtype("O"), "a"), "does not have so many objects"),
    "fewer bytes than said": (array((9,), np.dtype("f8"), b"A" * 8), "does not have so many bytes"),
    "more bytes than said": (Calls(_frombuffer, b"A" * 80, dtype("f8"), (1,), "C"), "does not have so many bytes"),
    "a scalar without bytes": (Calls(scalar, dtype("f8"), b""), "does not have so many bytes"),
    "a length below 0": (array((-1,), np.dtype("f8"), b""), "has the shape"),
    "a length that is none": (array((1.5,), np.dtype("f8"), b"A" * 8), "has the shape"),
    "a shape that is none": (array([1], np.dtype("f8"), b"A" * 8), "has the shape"),
    "letters that there are not": (
        array((1,), dtype("U1", (3, "<", None, None, None, 4, 4, 8)), b"\xff" * 4),
        "letters",
    ),
    "an old form": (array((1,), np.dtype("f8"), b"A" * 8, version=0), "an old form"),
    "no type": (array((1,), "f8", b"A" * 8), "a type that is none"),
    "an odd order": (dtype("f8", (3, "x", None, None, None, -1, -1, 0)), "forged type"),
    "a type of an old form": (dtype("f8", (1, "<", None, None, None)), "structured type"),
    "metadata": (dtype("f8", (4, "<", None, None, None, -1, -1, 0, {"a": 1})), "structured type"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "the type M8"),
    "named columns": (np.zeros(2, [("a", "f8")]), "the type V8"),
    "a long name": (Calls(np.dtype, "f8," * 100_000), "neither numbers nor texts"),
    "a type by its class": (Calls(np.dtype, 8), "neither numbers nor texts"),
    "an array by hand": (Calls(np.ndarray, (10**11,), "f8"), "makes an array by hand"),
    "an array of another class": (Calls(_reconstruct, np.dtype, (0,), b"b"), "begins as something else"),
    "an array of some size": (Calls(_reconstruct, np.ndarray, (10**11,), b"b"), "begins as something else"),
    "a changed function": (Calls(collections.OrderedDict, state={"a": 1}), "is no pickle"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", FORGED)
def test_forged_arguments_are_refused(name: str, protocol: int, path: Path) -> None:
    data, why = FORGED[name]
    assert why in refused(path, [data], protocol)


BUILD_A_FUNCTION = b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb."
ENCODE = [
    b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
    b"c_codecs\nencode\n(NX\x06\x00\x00\x00latin1tR.",
]


def test_the_functions_cannot_be_changed_nor_used_otherwise(path: Path) -> None:
    assert "it changes a function" in refused(path, BUILD_A_FUNCTION)
    assert "it encodes str as rot13" in refused(path, ENCODE[0])
    assert "it encodes NoneType as latin1" in refused(path, ENCODE[1])
    for function in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"ccollections\nOrderedDict\n"):
        assert "is no pickle" in refused(path, b"\x80\x02" + function + b")\x81.")
    assert "is no pickle" in refused(path, b"\x80\x02c__builtin__\nbytes\nK\x09\x85R.")


def test_a_type_that_is_changed_after_its_array_was_made_changes_nothing(path: Path) -> None:
    """Numpy would then read far beyond the array."""
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00S4K\x00K\x01\x87Rq\x01"
    state = b"(K\x03X\x01\x00\x00\x00|NNNM\xa0\x0fK\x01K\x00tb"
    made = b"cnumpy._core.numeric\n_frombuffer\n(C\x04abcdh\x01K\x01\x85X\x01\x00\x00\x00CtR"
    path.write_bytes(b"\x80\x04" + kind + b"0" + made + b".")
    assert pickles.load(path).tolist() == [b"abcd"]
    assert "forged type" in refused(path, b"\x80\x04" + kind + b"0" + made + b"h\x01" + state + b"0.")


# damaged files


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_files_that_were_cut_short_anywhere(protocol: int, path: Path) -> None:
    data = pickle.dumps(foreign_files.mmsa({"train": 2, "valid": 1, "test": 1}, width=2), protocol)
    for end in [*range(400), *range(400, len(data) - 400, max(1, len(data) // 150)), *range(len(data) - 60, len(data))]:
        refused(path, data[:end])


MANGLE = """
import pickle, random, resource, sys
from pathlib import Path
import foreign_files
from affect.data import pickles
from affect.errors import DataError
resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
path, protocol = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(protocol)
data = pickle.dumps(foreign_files.mmsa({'train': 2, 'valid': 1, 'test': 1}, width=2), protocol)
heads = [i for i in range(len(data)) if i < 600 or i > len(data) - 2000]
said = 0
for _ in range(400):
    bad = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        bad[draw.choice(heads)] = draw.randrange(256)
    path.write_bytes(bad)
    try:
        pickles.load(path)
    except DataError:
        said += 1
print(said)
"""


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_changed_bytes_raise_nothing_but_our_error(protocol: int, path: Path) -> None:
    tests = Path(foreign_files.__file__).parent
    child = subprocess.run(
        [sys.executable, "-c", MANGLE, str(path), str(protocol)], capture_output=True, text=True, cwd=tests
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout) > 100


# memory

HUGE = 900 * 10**9
BOMBS = {
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"A" * 48 + b".",
    "a text": b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"A" * 48 + b".",
    "bytes to change": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"A" * 48 + b".",
    "a place to remember": b"\x80\x02Nr" + b"\xff\xff\xff\xff" + b".",
}


@pytest.mark.parametrize("name", BOMBS)
def test_sixty_bytes_that_ask_for_900_gigabytes(name: str, path: Path, tmp_path: Path) -> None:
    path.write_bytes(BOMBS[name])
    with pytest.raises(DataError) as caught:
        importing.run("mmsa", path, tmp_path / "out" / "x.h5")
    assert "x.pkl needs more than the 2.0 GB of memory allowed (`memory_gb` sets it)" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_key_too_deep_for_the_stack_kills_the_child_alone(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\x80\x02})" + b"\x85" * 3_000_000 + b"Ns.")
    with pytest.raises(DataError, match=r"x\.pkl: the process that read it died of SIGSEGV, with 2\.0 GB"):
        importing.run("mmsa", path, tmp_path / "out" / "x.h5")
    assert list((tmp_path / "out").iterdir()) == []


# .npz: the same, in a member


def npz(path: Path, member: bytes, header: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> Path:
    head = header.encode() + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_corpus.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + member)
    return path


def refused_npz(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        pickles.load_npz_objects(path)
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_in_an_npz_file(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    np.savez(tmp_path / "x.npz", train_corpus={"a": RUNS["system"](str(trace))})
    told = refused_npz(tmp_path / "x.npz")
    assert "x.npz, member train_corpus.npy is refused: it wants to use `posix.system`" in told
    called = pickle.dumps(RUNS["mkdir"](str(trace)), protocol)
    assert "is refused: it wants to use" in refused_npz(npz(tmp_path / "y.npz", called))
    assert not trace.exists()


def test_members_that_are_not_what_their_header_says(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    assert "something else than its header" in refused_npz(npz(path, pickle.dumps({"a": 1})))
    assert "something else than its header" in refused_npz(npz(path, pickle.dumps(np.array([1, 2], object))))
    said = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
    assert "does not hold the" in refused_npz(npz(path, b"A" * 8, said.format("'<f8'", "(1000000000000,)")))
    assert "does not hold the" in refused_npz(npz(path, b"A" * 8, said.format("[('a', '<f8')]", "(1,)")))
    columns = said.format("[('a', '|O')]", "(1,)")
    assert "something else than its header" in refused_npz(npz(path, pickle.dumps(np.array([1], object)), columns))
    assert "cannot be read as .npz" in refused_npz(npz(path, b"", "__import__('os').getpid()"))
    assert "cannot be read as .npz" in refused_npz(npz(path, b"", said.format("'<f8'", "(-1,)" + " " * 20_000)))


SWELL = """
import resource, sys
from pathlib import Path
from affect.data import pickles
most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + 50_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
pickles.load_npz_objects(Path(sys.argv[1]))
"""


def test_a_member_that_swells_is_stopped_by_the_limit(tmp_path: Path) -> None:
    """A zip of 100 kB that becomes 100 MB, in a process that may take 50 MB more."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (100000000,), }"
    path = npz(tmp_path / "x.npz", bytes(100_000_000), header)
    assert path.stat().st_size < 200_000
    child = subprocess.run([sys.executable, "-c", SWELL, str(path)], capture_output=True, text=True)
    assert "DataError" in child.stderr and "asks for more memory than there is" in child.stderr
