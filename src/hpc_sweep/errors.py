"""The exception tree: every error that a user can cause or meet has an exit code, a sentence, often a hint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OK, POINTS_FAILED, BAD_INPUT, SURROUNDINGS, REFUSED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class HpcSweepError(Exception):
    """Something a person can act on: `message` says what happened and where, `hint` what to do next."""

    exit_code = POINTS_FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(HpcSweepError):
    """The grid, the option or the name that the user gave is wrong."""

    exit_code = BAD_INPUT


class SurroundingsError(HpcSweepError):
    """Slurm, the disk or MLflow does not do its part."""

    exit_code = SURROUNDINGS


class DiskError(SurroundingsError):
    """A file could not be written; the message carries the errno's name and the path."""


class RefusedError(HpcSweepError):
    """Doing it could lose work, so it is not done."""

    exit_code = REFUSED


class DamagedError(HpcSweepError):
    """A file does not hold what it says it holds."""

    kind = "data"  # what a point that meets it has failed with


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a file: where (from 1), over how many characters, what is wrong, what to do."""

    line: int
    column: int
    length: int
    message: str
    hint: str | None = None


class GridError(InputError):
    """Everything that is wrong with one YAML file, in the order of its lines."""

    def __init__(self, path: Path, text: str, problems: list[Problem]) -> None:
        self.path = path
        self.text = text
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{path}:{p.line}:{p.column}: {p.message}" for p in self.problems))
