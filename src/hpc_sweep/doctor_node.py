"""What a compute node turned out to be: its versions beside ours, its card beside torch, its files seen from here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from hpc_sweep import local
from hpc_sweep.doctor_case import Case, Finding, note, ok, problem
from hpc_sweep.doctor_host import installed
from hpc_sweep.doctor_job import StillWaitingError
from hpc_sweep.doctor_probe import Answer, Card, Torch
from hpc_sweep.errors import HpcSweepError

BF16_FROM = 8.0  # by capability: torch says that it "supports" bf16 on older cards, and emulates it
_EQUAL = ("cloudpickle", "hpc-sweep", "submitit")  # these must be the same on both sides of a pickle
_MOST_NAMED = 5
_V100_BUILD = "conda env create -f environment.yml   (its torch is a cu126 build, the last with kernels for {kernel})"


def job(case: Case) -> Iterator[Finding]:
    """Whether a small job runs at all, as a task of a sweep would."""
    answer = case.answer
    if isinstance(answer, StillWaitingError):
        yield note(answer.message, answer.hint)
    elif isinstance(answer, HpcSweepError):
        raise answer
    elif answer:
        yield ok(f"{answer.job} ran on {answer.node.host}, answered after {answer.seconds:.0f} s")
    elif case.job:
        yield ok(f"{case.profile.name} has no other node: this machine was looked at")


def versions(case: Case) -> Iterator[Finding]:
    """Python and packages on the node against those here, and whether the node can write where it must."""
    answer = case.answer
    if not isinstance(answer, Answer):
        return
    there, here = answer.node, case.machine
    for name, why in (there.unwritable or {}).items():
        yield problem(f"on {there.host} {name} takes no files: {why}", f"export {name}=DIR in slurm/env.sh")
    fix = "use one environment for both, and name its Python in the profile's setup or in slurm/env.sh"
    if there.python != here.python:
        yield problem(f"{there.host} has Python {there.python}, this host {here.python}", fix)
    names = sorted({*there.packages, *here.packages}, key=str.lower)
    others = {n: (there.packages.get(n), here.packages.get(n)) for n in names}
    others = {n: pair for n, pair in others.items() if pair[0] != pair[1]}
    worded = {n: f"{n} {a or 'missing'} (here {b or 'missing'})" for n, (a, b) in others.items()}
    must = [worded.pop(n) for n in _EQUAL if n in worded]
    if must:
        yield problem(f"{there.host} has {', '.join(must)}: a task could not read what is sent to it", fix)
    if worded:
        more = f" and {len(worded) - _MOST_NAMED} more" if len(worded) > _MOST_NAMED else ""
        yield note(f"{there.host} has {', '.join(list(worded.values())[:_MOST_NAMED])}{more}", fix)
    if not must and not worded and there.python == here.python:
        yield ok(f"{there.host}: Python {there.python} and {len(names)} packages as here")


def file_delay(case: Case) -> Iterator[Finding]:
    """How late a file of a node is seen here, against what the profile lets `status` wait."""
    answer = case.answer
    if not isinstance(answer, Answer):
        return
    allowed = case.profile.file_delay
    if answer.late <= max(allowed, 0.1):
        seen = f"{answer.late:.1f} s after" if answer.late > 0.1 else "by the time"
        yield ok(f"new files of {answer.node.host} are seen here {seen} Slurm says that a job ended")
        return
    sentence = f"new files of {answer.node.host} are seen here {answer.late:.1f} s after Slurm says that a job ended"
    wanted = math.ceil(1.5 * answer.late)
    yield note(f"{sentence}; `status` waits {allowed:g} s", f"{case.profile_file}: file_delay: {wanted}")


def gpu(case: Case) -> Iterator[Finding]:
    """The card against the kernels that torch was built with."""
    answer, profile = case.answer, case.profile
    if isinstance(answer, Answer):
        where, node = f"job {answer.job} on {answer.node.host}: ", answer.node
        if node.cards or (node.torch and node.torch.sees):
            yield _verdict(where, node.cards, node.torch, node.packages.get("deepspeed"))
            return
        given = f" (CUDA_VISIBLE_DEVICES={node.visible})" if node.visible else ""
        yield note(f"{where}no GPU was seen{given}", _ask_for_one(case))
    elif local.gpus():
        here = case.machine
        yield _verdict("", here.cards, here.torch, installed("deepspeed"))
        return
    if profile.capability is None:
        if not isinstance(answer, Answer):
            fix = "hpc-sweep doctor --job" if case.on_slurm and profile.node and profile.node.gpus else None
            yield note("none on this machine" + ("" if case.on_slurm else ": models train on its cores"), fix)
        return
    torch = case.machine.torch if installed("torch") else None
    card = Card(f"the profile's {profile.gpu_type or profile.name}", profile.capability)
    finding = _kernels(card, torch)
    yield finding or ok(_agreed("none here; ", card, torch, installed("deepspeed")))


def _ask_for_one(case: Case) -> str | None:
    node = case.profile.node
    return None if node and node.gpus else f"{case.profile_file}: node: {{gpus: N}}, if its nodes have GPUs"


def _verdict(where: str, cards: Sequence[Card], torch: Torch | None, deepspeed: str | None) -> Finding:
    listed = cards or (torch.sees if torch else ())
    if not listed:
        return note(f"{where}a GPU is announced, but nvidia-smi and torch see none", "look with nvidia-smi -L")
    card = min(listed, key=lambda c: c.capability)  # kernels for the oldest are the ones that may be missing
    finding = _kernels(card, torch)
    if finding:
        return Finding(finding.mark, where + finding.sentence, finding.fix)
    assert torch is not None  # _kernels would have said so
    if torch.broken:
        return problem(f"{where}{card.name}: torch {torch.version} fails on it: {torch.broken}", "see nvidia-smi")
    if not torch.sees:
        driver = f" (driver {card.driver}, torch wants CUDA {torch.cuda})" if card.driver else ""
        return problem(
            f"{where}{card.name} is there, but torch {torch.version} does not see it{driver}",
            "take a torch that was built for an older CUDA, such as environment.yml's cu126 build",
        )
    return ok(_agreed(where, card, torch, deepspeed))


def _agreed(where: str, card: Card, torch: Torch | None, deepspeed: str | None) -> str:
    name = card.name.removeprefix("the profile's ")
    parts = [f"{name}, {_sm(card)} in torch {torch.version if torch else ''}"]
    parts += [f"deepspeed {deepspeed}"] if deepspeed else []
    parts += ["bf16"] if card.capability >= BF16_FROM else [f"fp16 (no bf16 on {name})"]
    return where + ", ".join(parts)


def _kernels(card: Card, torch: Torch | None) -> Finding | None:
    """What is wrong between a card and torch, if anything is."""
    if torch is None:
        return note(f"{card.name}: torch is not installed, so there is nothing to compare", _wanted(card))
    if not torch.version:
        return problem(f"torch cannot be imported: {torch.broken}", _wanted(card))
    if torch.cuda is None:
        return problem(f"torch {torch.version} is a build without CUDA; {card.name} needs {_sm(card)}", _wanted(card))
    if not runs(card.capability, torch.kernels):
        built = " ".join(torch.kernels) or "none that it names"
        return problem(
            f"torch {torch.version} has no kernels for {card.name} ({_sm(card)}), only {built}", _wanted(card)
        )
    return None


def runs(capability: float, kernels: Sequence[str]) -> bool:
    """Whether a card runs code built for one of `kernels`.

    Machine code (sm_80) runs on cards of the same major number from that minor one on; `compute_80` is compiled
    again for any later card; with an `a` at its end it runs on that very card only.
    """
    major, minor = divmod(round(capability * 10), 10)
    for kernel in kernels:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", kernel)
        if not match:
            continue
        built = (int(match[2]), int(match[3]))
        later = built[0] == major and built[1] <= minor
        if match[4] == "a":
            later = built == (major, minor)
        elif match[1] == "compute" and not match[4]:
            later = built <= (major, minor)
        if later:
            return True
    return False


def _sm(card: Card) -> str:
    return f"sm_{round(card.capability * 10)}"


def _wanted(card: Card) -> str:
    if card.capability < 7.5:
        return _V100_BUILD.format(kernel=_sm(card))
    return f"install a torch whose CUDA build has {_sm(card)}: see pytorch.org/get-started"
