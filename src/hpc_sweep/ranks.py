"""How the ranks of one task meet and hear of each other's failures: small files in the sweep's scratch folder.

Rank 0 leads: it names the point, its own address and a free port; the others follow turn by turn. Each file has
one writer. With a single rank nothing is written.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_sweep import files
from hpc_sweep.place import Place, address, free_port

POLL = 0.1
_GOODBYE = 10.0
_ECHO_TIME = 5.0  # by then the parent of a rank that died has said so
_LOST_PEER = re.compile(r"Connection (closed|reset|refused|timed out)|NCCL|Dist(Backend|Network)Error|Broken pipe")


@dataclass(frozen=True)
class Failure:
    """How a rank failed; an echo is only the loss of another rank."""

    kind: str
    words: str
    echo: bool = False


def told(kind: str, words: str) -> Failure:
    """A failure as a child told it."""
    return Failure(kind, words, echo=kind == "code" and _LOST_PEER.search(words) is not None)


class Ranks:
    """The meeting place of the ranks of one task."""

    def __init__(self, scratch: Path, place: Place) -> None:
        self.place = place
        self.alone = place.world_size == 1
        self.folder = scratch / f".ranks-{place.run_key}"
        self.turn = 0
        self.over = False

    def lead(self, point: str) -> dict[str, str]:
        """On rank 0: call the others to the next point; what torch.distributed needs to know."""
        if self.alone:
            return {}
        self.turn += 1
        port = free_port(f"{self.place.run_key}-{self.turn}")
        call = {"point": point, "address": address(), "port": port}
        files.make_folder(self.folder)
        files.write_atomic(self.folder / f"turn-{self.turn}.json", files.json_bytes(call))
        return self._environment(call)

    def follow(self, stopped: Callable[[], bool]) -> tuple[str, dict[str, str]] | None:
        """On another rank: wait for the next point; None when rank 0 has ended."""
        self.turn += 1
        path = self.folder / f"turn-{self.turn}.json"
        while not stopped():
            if path.exists():
                call = files.read_json(path)
                if "point" not in call:
                    files.write_atomic(self.folder / f"bye-{self.place.rank}", b"")
                    return None
                return call["point"], self._environment(call)
            time.sleep(POLL)
        return None

    def _environment(self, call: dict[str, Any]) -> dict[str, str]:
        place = self.place
        return {
            "RANK": str(place.rank),
            "LOCAL_RANK": str(place.local_rank),
            "WORLD_SIZE": str(place.world_size),
            "LOCAL_WORLD_SIZE": str(place.local_size),
            "MASTER_ADDR": call["address"],
            "MASTER_PORT": str(call["port"]),
        }

    def report(self, failure: Failure) -> None:
        """Tell the other ranks that this one failed in this turn."""
        if not self.alone:
            path = self.folder / f"failed-{self.turn}-{self.place.rank}.json"
            files.write_atomic(path, files.json_bytes(vars(failure)))

    def failures(self) -> dict[int, Failure]:
        """What the ranks have told of failures in this turn."""
        if self.alone or not self.folder.is_dir():
            return {}
        paths = self.folder.glob(f"failed-{self.turn}-*.json")
        return {int(p.stem.rsplit("-", 1)[1]): Failure(**files.read_json(p)) for p in paths}

    def verdict(self, own: Failure) -> Failure:
        """Which rank failed first, in effect: one that died or raised by itself, not one that lost its peer."""
        if self.alone:
            return own
        self.report(own)
        until = time.monotonic() + _ECHO_TIME
        while own.echo and time.monotonic() < until:
            if any(not told.echo for told in self.failures().values()):
                break
            time.sleep(POLL)
        rank, first = min(self.failures().items(), key=lambda item: (item[1].echo, item[0]))
        return Failure(first.kind, f"rank {rank}: {first.words}", first.echo)

    def end(self) -> None:
        """On rank 0: dismiss the others, then clear the meeting place."""
        if self.alone or self.over:
            return
        self.over = True
        files.make_folder(self.folder)  # the others wait there, even where no point was left to run
        files.write_atomic(self.folder / f"turn-{self.turn + 1}.json", b"{}")
        until = time.monotonic() + _GOODBYE
        while len(list(self.folder.glob("bye-*"))) < self.place.world_size - 1 and time.monotonic() < until:
            time.sleep(POLL)
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)
