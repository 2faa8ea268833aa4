"""Dumps made to reach other files, to fill the memory or to crash HDF5: refused by their bytes, collected around."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5f

from attacks import forge
from attacks.forge import ATTACKS, POINT, Attack
from hpc_sweep import collect, dump, hdf5, structure
from hpc_sweep.errors import DamagedError

MUTANTS = 400
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)


def refusal(data: bytes, **told: Any) -> str:
    with pytest.raises(DamagedError) as caught:
        structure.check(data, POINT, **told)
    return caught.value.message


def entry(folder: Path, data: bytes, id: str = POINT, told: bool = True) -> collect.Entry:
    path = dump.path_of(folder, id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest() if told else None
    return collect.Entry(id, {"seed": 1}, {"seed": 1}, path, sha256, len(data) if told else None)


@every_attack
def test_an_attack_is_refused_whether_or_not_an_attempt_vouches_for_its_bytes(attack: Attack) -> None:
    data = forge.forged(attack)

    assert ATTACKS[attack] in refusal(data)
    assert ATTACKS[attack] in refusal(data, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@every_attack
def test_an_attack_is_refused_before_anything_is_opened(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that Python cannot be rid of hears of every file that is opened; HDF5 is not asked at all."""
    data = forge.forged(attack)

    def no_hdf5(*_: Any) -> None:
        raise AssertionError("HDF5 was asked")

    monkeypatch.setattr(h5f, "open", no_hdf5)
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if watching and event == "open" else None)
    watching = True
    refusal(data)
    watching = False

    assert opened == []


@every_attack
def test_reading_refuses_what_checking_refuses(attack: Attack) -> None:
    with pytest.raises(DamagedError):
        dump.read(forge.forged(attack), POINT)


def test_what_is_declared_costs_no_memory() -> None:
    data = forge.forged(forge.eighty_terabytes)
    assert len(data) < 12_000
    tracemalloc.start()
    refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1_000_000


def test_the_forger_leaves_an_honest_dump_readable() -> None:
    """So that each attack is refused for what it adds, and not for how it was made."""
    read = dump.read(forge.forged(lambda point: None), POINT)

    assert read.metrics == {"mae": 0.5}
    assert read.arrays["target"].tolist() == [0, 1, 2, 3, 4]


def test_plain_h5py_would_have_followed_the_attack(tmp_path: Path) -> None:
    """The attacks are real: what is refused here gives another file's content elsewhere."""
    path = tmp_path / "dump.h5"
    path.write_bytes(forge.forged(forge.external_storage))
    with h5py.File(path) as file:
        assert file["point/stolen"][()].tobytes().decode() == forge.SECRET


@pytest.mark.parametrize("told", [True, False], ids=["vouched for", "attempt lost"])
@pytest.mark.parametrize("to", [{"hdf5", "csv"}, {"csv"}], ids=["hdf5", "csv"])
def test_collect_goes_on_past_every_attack(tmp_path: Path, told: bool, to: set[str]) -> None:
    entries = [entry(tmp_path, forge.honest("aaaa00000001"), "aaaa00000001", told)]
    for number, attack in enumerate(ATTACKS):
        id = f"{number:04x}00000000"
        entries.append(entry(tmp_path, forge.forged(attack, id), id, told))
    entries.append(entry(tmp_path, forge.honest("ffff00000001"), "ffff00000001", told))

    outcome = collect.collect(entries, tmp_path / "results", name="x", expected=len(entries), to=to)

    assert outcome.rows == 2
    assert [id for id, _ in outcome.damaged] == [e.id for e in entries[1:-1]]
    for (_, why), expected in zip(outcome.damaged, ATTACKS.values(), strict=True):
        assert expected in why
    csv = (tmp_path / "results" / "results.csv").read_text()
    assert csv.count("\n") == 3
    assert forge.SECRET not in csv
    if outcome.h5 is not None:
        assert forge.SECRET.encode() not in outcome.h5.read_bytes()
        assert [row.id for row in collect.load(tmp_path / "results").rows] == ["aaaa00000001", "ffff00000001"]


@pytest.mark.parametrize("name", ["aaaa00000001", "ffff00000001"])
def test_a_link_in_place_of_a_dump_is_not_followed(tmp_path: Path, name: str) -> None:
    real = entry(tmp_path, forge.honest())
    path = dump.path_of(tmp_path, name)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(real.path)
    outcome = collect.collect(
        [collect.Entry(name, {}, {}, path, None, None), real], tmp_path / "r", name="x", expected=2, to={"csv"}
    )

    assert outcome.damaged == [(name, "is a link")]
    assert outcome.rows == 1


def test_a_pipe_in_place_of_a_dump_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe.h5"
    os.mkfifo(path)
    pipe = collect.Entry(POINT, {}, {}, path, None, None)

    outcome = collect.collect([pipe], tmp_path / "r", name="x", expected=1, to={"hdf5"})

    assert outcome.damaged == [(POINT, "is not a plain file")]


def test_a_bomb_in_one_chunk_is_stopped_at_the_declared_size() -> None:
    """Gzip makes a thousand bytes of one: what comes out beyond the array's own size is never produced."""
    draw = np.random.default_rng(0).integers(0, 3, 4_000)
    result = dump.Result({}, {"labels": draw})
    data = dump.pack(id=POINT, job="s", config={}, code="c", result=result, history={})
    stored = structure.check(data, POINT).arrays["labels"]
    assert stored.piece.filters == (2, 1, 3)
    bomb = _compressed(b"\0" * 50_000_000)
    there = data[stored.piece.start : stored.piece.stop]
    bigger = stored._replace(piece=stored.piece._replace(start=0, stop=len(bomb)))
    tracemalloc.start()
    with pytest.raises(DamagedError, match="shorter or longer"):
        bigger.read(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1_000_000
    assert len(there) < draw.nbytes


def _compressed(data: bytes) -> bytes:
    import zlib

    return zlib.compress(data) + b"\0\0\0\0"


def test_headers_that_lead_in_circles_end() -> None:
    """A continued header that goes on in itself, for ever."""
    image = bytearray(forge.image_of(forge.honest()))
    at = image.index(b"OCHK") if b"OCHK" in image else None
    start = image.index(b"OHDR")
    blocks = forge.header_blocks(bytes(image))
    target = at if at is not None else start
    message = b"\x10\x10\0\0" + target.to_bytes(8, "little") + (40).to_bytes(8, "little")
    place = blocks[2][0] + 8
    image[place : place + len(message)] = message

    assert refusal(structure.seal(bytes(image), POINT))


def test_forged_headers_neither_crash_hdf5_nor_raise_anything_else() -> None:
    """In a process of its own, so that a crash is seen: whatever passes the check is copied by HDF5, and read."""
    done = subprocess.run(
        [sys.executable, "-c", _TRY_MUTANTS, str(MUTANTS)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    refused, copied = map(int, done.stdout.split())
    assert refused > MUTANTS // 4
    assert copied > MUTANTS // 20


_TRY_MUTANTS = """
import random, sys
from h5py import h5f, h5g, h5o, h5p
from attacks import forge
from hpc_sweep import dump, hdf5, structure
from hpc_sweep.errors import DamagedError

image = forge.image_of(forge.honest())
draw = random.Random(4)
refused = copied = 0
for _ in range(int(sys.argv[1])):
    data = structure.seal(forge.mutant(image, draw), forge.POINT)
    try:
        structure.check(data, forge.POINT)
    except DamagedError:
        refused += 1
        continue
    out = h5f.create(hdf5.no_name(), h5f.ACC_TRUNC, hdf5.untimed(h5p.FILE_CREATE), hdf5.in_memory())
    group = h5g.create(out, b"points")
    access = hdf5.in_memory()
    access.set_file_image(data)
    try:
        file = h5f.open(hdf5.no_name(), h5f.ACC_RDONLY, access)
        h5o.copy(file, b"point", group, b"x")
        copied += 1
        file.close()
    except structure.UNREADABLE:
        pass
    out.close()
    try:
        dump.read(data, forge.POINT)
    except DamagedError:
        pass
print(refused, copied)
"""


def test_mutants_are_what_they_should_be() -> None:
    """The forger's checksums are right, or HDF5 would refuse its work for the wrong reason."""
    image = forge.image_of(forge.honest())
    for start, stop in forge.header_blocks(image):
        assert forge.lookup3(image[start:stop]) == int.from_bytes(image[stop : stop + 4], "little")
    assert forge.mutant(image, random.Random(1)) != image
    assert len(forge.header_blocks(image)) >= 6


def test_nothing_of_a_refused_dump_reaches_the_results(tmp_path: Path) -> None:
    """Byte for byte as if it had not been there."""
    good = [entry(tmp_path, forge.honest(id), id) for id in ("aaaa00000001", "bbbb00000001")]
    bad = entry(tmp_path, forge.forged(forge.soft_link))
    first = collect.collect(good, tmp_path / "r", name="x", expected=3, to={"hdf5"})
    second = collect.collect([good[0], bad, good[1]], tmp_path / "r", name="x", expected=3, to={"hdf5"})

    assert first.sha256 == second.sha256


def test_a_file_of_another_kind_is_no_dump(tmp_path: Path) -> None:
    for data in (b"\x89HDF\r\n\x1a\n", b"PK\3\4", b"x" * 4096, _written_by_others(tmp_path)):
        assert refusal(structure.seal(data, POINT))
        assert "without the line that ends one" in refusal(data)


def _written_by_others(folder: Path) -> bytes:
    path = folder / "plain.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5)
    return path.read_bytes()


def test_two_files_in_memory_are_never_taken_for_one() -> None:
    """HDF5 takes files of one name for one: the second would then be copied into itself, for ever."""
    assert hdf5.no_name() != hdf5.no_name()
    assert not Path(hdf5.no_name().decode()).exists()
