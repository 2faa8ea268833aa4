"""What every test shares: generated examples are not timed, since a busy machine is no bug.

On CI they are the same every time; elsewhere each run tries new ones.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from stubs import Slurm, install

settings.register_profile("hpc-sweep", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("hpc-sweep")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A pretended Slurm, alone on the PATH."""
    return install(tmp_path / "bin", monkeypatch)
