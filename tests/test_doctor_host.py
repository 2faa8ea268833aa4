"""Versions against the lock, and against what is known of older ones."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from doctoring import case, found
from hpc_sweep import doctor_host
from hpc_sweep.doctor_host import at_least, python, read_lock, safety

LOCK = """\
# what make demo installs
--extra-index-url https://download.pytorch.org/whl/cpu
numpy==2.4.6
torch==2.13.0 \\
    --hash=sha256:0123
Flask[async]==3.1.3  # a comment
pywin32==306 ; sys_platform == "win32"
-e .
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, as a test sets it."""
    versions = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "Flask": "3.1.3"}
    monkeypatch.setattr(doctor_host, "installed", versions.get)
    monkeypatch.delenv("HDF5_PLUGIN_PATH", raising=False)
    return versions


def locked(folder: Path, text: str = LOCK) -> list[tuple[str, str, str]]:
    examined = case(folder)
    (examined.project.root / "requirements.lock").write_text(text)
    return found(python, examined)


def test_all_as_in_the_lock(tmp_path: Path, installed: dict[str, str]) -> None:
    assert locked(tmp_path) == [("ok", f"{platform.python_version()}, 3 of 3 packages as in the lock", "")]


def test_others_are_named(tmp_path: Path, installed: dict[str, str]) -> None:
    installed["numpy"] = "2.3.0"
    del installed["Flask"]
    [(mark, sentence, fix)] = locked(tmp_path)
    assert mark == "note" and fix == "pip install -r requirements.lock"
    assert sentence.endswith("1 of 3 packages as in the lock, but numpy is 2.3.0 (lock: 2.4.6), Flask is missing")


def test_a_long_list_is_cut(tmp_path: Path, installed: dict[str, str]) -> None:
    [(_, sentence, _)] = locked(tmp_path, "".join(f"nosuch{k}==1\n" for k in range(9)))
    assert sentence.endswith("nosuch4 is missing and 4 more") and "nosuch5" not in sentence


def test_without_a_lock(tmp_path: Path) -> None:
    [(mark, sentence, _)] = found(python, case(tmp_path))
    assert mark == "ok" and "no requirements.lock" in sentence


def test_what_a_lock_pins(tmp_path: Path, installed: dict[str, str]) -> None:
    path = tmp_path / "lock"
    path.write_text(LOCK)
    assert read_lock(path) == {"numpy": "2.4.6", "torch": "2.13.0", "Flask": "3.1.3"}
    installed["pywin32"] = "306"
    assert "pywin32" in read_lock(path)


def test_the_lock_of_this_project_is_read_whole(tmp_path: Path) -> None:
    lock = Path(__file__).parents[1] / "requirements.lock"
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    assert len(read_lock(lock)) == len(lines) > 50


def test_a_real_package_is_found_without_importing_it() -> None:
    version = doctor_host.installed("submitit")
    assert version and at_least(version, "1.5.4")
    assert doctor_host.installed("no-such-package") is None


@pytest.mark.parametrize(
    ("version", "floor", "enough"),
    [("3.10.0", "3.9", True), ("3.9.9", "3.10", False), ("3.10", "3.10", True), ("2.13.0+cpu", "2.10", True),
     ("0.15.0", "0.15.1", False), ("3.10.0rc1", "3.10", True), ("", "1", False)],
)  # fmt: skip
def test_versions_compare_by_number(version: str, floor: str, enough: bool) -> None:
    assert at_least(version, floor) is enough


def test_nothing_known_of_what_is_installed(tmp_path: Path, installed: dict[str, str]) -> None:
    installed["h5py"] = "3.16.0"
    assert found(safety, case(tmp_path)) == [("ok", "h5py 3.16.0, torch 2.13.0+cpu: no hole known", "")]


@pytest.mark.parametrize(
    ("package", "version", "mark"),
    [("h5py", "3.11.0", "note"), ("torch", "2.6", "note"), ("deepspeed", "0.14", "problem")],
)
def test_a_known_hole(tmp_path: Path, installed: dict[str, str], package: str, version: str, mark: str) -> None:
    installed.update({"h5py": "3.16.0", "torch": "2.13.0", "deepspeed": "0.19.8", package: version})
    first, rest = found(safety, case(tmp_path))
    assert first[0] == mark and first[1].startswith(f"{package} {version} ") and "CVE-" in first[1]
    assert f"pip install '{package}>=" in first[2]
    assert rest[0] == "ok" and package not in rest[1]


def test_plugins_that_hdf5_would_load(
    tmp_path: Path, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDF5_PLUGIN_PATH", "/home/lea/plugins")
    first = found(safety, case(tmp_path))[0]
    assert first[0] == "note" and "/home/lea/plugins" in first[1] and first[2] == "unset HDF5_PLUGIN_PATH"
