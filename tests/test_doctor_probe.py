"""The script that looks at a machine, run for real and on machines that are made up."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hpc_sweep import doctor_probe
from hpc_sweep.doctor_probe import ANSWER, SCRIPT, Card, Node, Torch, look_here, parse
from hpc_sweep.errors import SurroundingsError

FAKE_TORCH = """
__version__ = "2.13.0+cu126"
class version: cuda = "12.6"
class _C:
    @staticmethod
    def _cuda_getArchFlags(): return "sm_70 sm_80"
class _Seen: name, major, minor = "Tesla V100", 7, 0
class cuda:
    {arch}
    is_available = staticmethod(lambda: {cards} > 0)
    device_count = staticmethod(lambda: {cards})
    get_device_properties = staticmethod(lambda k: _Seen)
def ones(*shape, device): raise RuntimeError("no kernel image is available for execution on the device")
"""


def look(folder: Path, *arguments: str, **environment: str) -> str:
    given = {**os.environ, "PYTHONPATH": str(folder), "PATH": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT, *arguments], capture_output=True, text=True, env=given, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_torch(folder: Path) -> Path:
    (folder / "torch.py").write_text("raise ModuleNotFoundError('torch')\n")
    return folder


def fake_torch(folder: Path, cards: int = 0, arch: str = "get_arch_list = staticmethod(lambda: [])") -> Path:
    (folder / "torch.py").write_text(FAKE_TORCH.format(cards=cards, arch=arch))
    return folder


def nvidia_smi(folder: Path, text: str) -> Path:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf %s '{text}'\n")
    program.chmod(0o755)
    return folder


def test_this_machine() -> None:
    here = look_here()
    assert here.python == platform.python_version()
    assert here.packages["cloudpickle"] == metadata.version("cloudpickle")
    assert here.unwritable == {}
    try:
        assert here.torch and here.torch.version == metadata.version("torch")
    except metadata.PackageNotFoundError:
        assert here.torch is None


def test_a_node_leaves_its_answer_whole(tmp_path: Path) -> None:
    assert look(without_torch(tmp_path), str(tmp_path), SLURMD_NODENAME="n3", CUDA_VISIBLE_DEVICES="2") == ""
    told = parse((tmp_path / ANSWER).read_text())
    assert (told.host, told.visible, told.torch, told.cards) == ("n3", "2", None, ())
    assert sorted(p.name for p in tmp_path.iterdir()) == [ANSWER, "torch.py"]


def installed(folder: Path, package: str, version: str) -> Path:
    """A package as pip leaves it, before the one that is there."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return folder


def test_the_version_that_is_imported_counts(tmp_path: Path) -> None:
    told = parse(look(installed(without_torch(tmp_path), "cloudpickle", "1.0")))
    assert told.packages["cloudpickle"] == "1.0"


def test_cards_as_the_driver_lists_them(tmp_path: Path) -> None:
    listed = "Tesla V100-SXM2-32GB, 7.0, 535.161.07\nTesla V100-SXM2-32GB, 7.0, 535.161.07\n"
    told = parse(look(nvidia_smi(without_torch(tmp_path), listed)))
    assert told.cards == 2 * (Card("Tesla V100-SXM2-32GB", 7.0, "535.161.07"),)


@pytest.mark.parametrize("nonsense", ["No devices were found", "a, b, c", "x, [N/A], 3"])
def test_a_driver_that_talks_nonsense(tmp_path: Path, nonsense: str) -> None:
    assert parse(look(nvidia_smi(without_torch(tmp_path), nonsense))).cards == ()


def test_the_kernels_of_a_torch_that_tells_them_only_beside_a_card(tmp_path: Path) -> None:
    assert parse(look(fake_torch(tmp_path))).torch == Torch("2.13.0+cu126", "12.6", ("sm_70", "sm_80"))


def test_a_kernel_is_tried(tmp_path: Path) -> None:
    torch = parse(look(fake_torch(tmp_path, 1, "get_arch_list = staticmethod(lambda: ['sm_80'])"))).torch
    assert torch and torch.kernels == ("sm_80",) and torch.sees == (Card("Tesla V100", 7.0),)
    assert torch.broken == "RuntimeError: no kernel image is available for execution on the device"


def test_a_torch_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudnn.so.9: cannot open shared object file')\n")
    torch = parse(look(tmp_path)).torch
    assert torch == Torch("", broken="OSError: libcudnn.so.9: cannot open shared object file")


def test_places_that_take_no_files(tmp_path: Path) -> None:
    told = parse(look(without_torch(tmp_path), HOME=str(tmp_path), TMPDIR="/nowhere"))
    assert told.unwritable == {"TMPDIR": "/nowhere: No such file or directory"}


def test_a_machine_that_is_whole_goes_through_json() -> None:
    card, seen = Card("V100", 7.0), {"name": "V100", "capability": 7.0}
    made = Node("n1", "3.11", {"a": "1"}, "0", (card,), Torch("2", "12", ("sm_70",), (card,)), {})
    text = json.dumps(
        {
            "host": "n1", "python": "3.11", "packages": {"a": "1"}, "visible": "0", "unwritable": {},
            "cards": [{**seen, "driver": ""}],
            "torch": {"version": "2", "cuda": "12", "kernels": ["sm_70"], "sees": [seen]},
        }
    )  # fmt: skip
    assert parse(text) == made


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"torch": 1, "cards": 2}', "Traceback (most recent call last)"]
)
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(SurroundingsError, match="is no answer"):
        parse(text)


def test_a_look_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probe, "SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(doctor_probe, "_PATIENCE", 0.3)
    with pytest.raises(SurroundingsError, match="took more than"):
        look_here()


def test_a_look_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probe, "SCRIPT", "raise SystemExit('no such thing')")
    with pytest.raises(SurroundingsError, match="failed: no such thing"):
        look_here()


def test_words_before_the_answer_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"host": "n1", "python": "3.11", "packages": {}, "cards": [], "torch": None}
    monkeypatch.setattr(doctor_probe, "SCRIPT", f"print('Welcome!')\nprint({json.dumps(told)!r})")
    assert look_here() == Node("n1", "3.11", {})
