"""The screens of `collect`, `report`, `cancel` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hpc_sweep import terminal_words as words
from hpc_sweep.terminal_page import Line, Page, Part, blocks
from hpc_sweep.terminal_screen import Screen

if TYPE_CHECKING:
    from hpc_sweep.ledger import Sweep
    from hpc_sweep.mend import Cancelled
    from hpc_sweep.tracking import Tally

_MOST_DAMAGED = 5
_MARKS: dict[str, Part] = {"ok": ("✓", "good"), "note": ("!", "busy"), "problem": ("✗", "bad")}


class Collected(Protocol):
    """What `collect` made, and of how many points."""

    @property
    def name(self) -> str: ...
    @property
    def points(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def read_bytes(self) -> int: ...
    @property
    def damaged(self) -> Sequence[tuple[str, str]]: ...
    @property
    def csv(self) -> Path | None: ...
    @property
    def h5(self) -> Path | None: ...
    @property
    def sha256(self) -> str | None: ...


class Check(Protocol):
    """One line of `doctor`."""

    @property
    def name(self) -> str: ...
    @property
    def mark(self) -> str: ...  # ok, note, problem
    @property
    def sentence(self) -> str: ...
    @property
    def fix(self) -> str | None: ...


def collected(screen: Screen, outcome: Collected) -> None:
    """Say what was read and written, and which dumps were left out."""
    screen.show(collected_lines(screen.page, outcome))


def collected_lines(page: Page, outcome: Collected) -> list[Line]:
    rest = outcome.points - outcome.rows - outcome.failed - len(outcome.damaged)
    parts = [f"{outcome.rows:,} of {words.plural(outcome.points, 'point')}"]
    parts += [f"{outcome.failed:,} failed"] if outcome.failed else []
    parts += [f"{len(outcome.damaged):,} damaged"] if outcome.damaged else []
    parts += [f"{rest:,} not done yet"] if rest > 0 else []
    facts = [("read", words.plural(outcome.rows, "dump"), words.size(outcome.read_bytes))]
    if outcome.csv is not None:
        shape = f"{words.plural(outcome.rows, 'row')} × {words.plural(outcome.columns, 'column')}"
        facts.append(("wrote", page.path(outcome.csv), shape))
    if outcome.h5 is not None:
        sha256 = f"sha256 {outcome.sha256[:12]}" if outcome.sha256 else ""
        facts.append(("" if outcome.csv else "wrote", page.path(outcome.h5), sha256))
    return blocks(page.titled(outcome.name, " · ".join(parts)), page.facts(facts, whole=True), _damaged(page, outcome))


def _damaged(page: Page, outcome: Collected) -> list[Line]:
    lines: list[Line] = []
    for point, why in outcome.damaged[:_MOST_DAMAGED]:
        first, *more = page.wrapped(f"{point}  {why}", page.text("✗") + " damaged   ")
        lines += [[(str(first[0]), "bad"), *first[1:]], *more]
    more_damaged = len(outcome.damaged) - _MOST_DAMAGED
    return lines + ([[f"  and {more_damaged:,} more"]] if more_damaged > 0 else [])


def tracked(screen: Screen, tally: Tally, uri: str) -> None:
    """Say what became of the runs in MLflow."""
    parts = [f"{tally.new:,} new"] * bool(tally.new) + [f"{tally.updated:,} updated"] * bool(tally.updated)
    parts += [f"{tally.unchanged:,} unchanged"] * bool(tally.unchanged or not parts)
    screen.show(screen.page.facts([("mlflow", uri, ", ".join(parts))], whole=True))


def after_collect(screen: Screen, outcome: Collected) -> None:
    """Say what to run next."""
    commands = [(f"hpc-sweep report {outcome.name}", "")] if outcome.rows else []
    if outcome.damaged:
        again = f"hpc-sweep rerun {outcome.name} --only damaged"
        commands.append((again, "moves them to quarantine/ and computes them again"))
    elif outcome.failed:
        commands.append((f"hpc-sweep status {outcome.name}", f"why {outcome.failed:,} failed"))
    screen.show([[], *screen.page.commands(commands)] if commands else [])


def reported(
    screen: Screen, name: str, written: Sequence[Path], notes: Sequence[str] = (), table: Sequence[str] = ()
) -> None:
    """Show the main table, and say what was written."""
    page = screen.page
    facts = [("wrote" if k == 0 else "", page.path(path), "") for k, path in enumerate(written)]
    noted = [line for note in notes for line in page.wrapped(note, "note    ")]
    main = [line for row in table for line in page.verbatim(row)]
    screen.show(blocks(page.titled(name, "report"), main, page.facts(facts, whole=True), noted))


def cancelled(screen: Screen, sweep: Sweep, outcome: Cancelled) -> None:
    """Say what was stopped, and what was spared."""
    screen.show(cancelled_lines(screen.page, sweep.name, outcome))


def cancelled_lines(page: Page, name: str, outcome: Cancelled) -> list[Line]:
    if not outcome.tasks and not outcome.spared:
        return page.titled(name, "nothing runs or waits that could be cancelled")
    stopped = f"cancelled {words.plural(outcome.points, 'point')} in {words.plural(outcome.tasks, 'task')}"
    spared = f"{words.plural(outcome.spared, 'point')} spared: a task of theirs has others that go on"
    lines = page.titled(name, stopped)
    again = [(f"hpc-sweep rerun {name} --only cancelled", "takes them up again")] if outcome.points else []
    return blocks(lines, page.wrapped(spared, "note    ") if outcome.spared else [], page.commands(again))


def doctor(screen: Screen, checks: Sequence[Check]) -> None:
    """Show the checks, each problem with what mends it."""
    screen.show(doctor_lines(screen.page, checks))


def doctor_lines(page: Page, checks: Sequence[Check]) -> list[Line]:
    wide = max((len(c.name) for c in checks), default=0)
    mark_wide = 1 if page.utf8 else 2
    lines: list[Line] = []
    for check in checks:
        mark = page.part(_MARKS[check.mark])
        before = f" {page.text(check.name):<{wide}}   "
        blank = " " * (2 + mark_wide)
        text, style = (mark, "") if isinstance(mark, str) else mark
        for k, row in enumerate(page.wrapped(check.sentence, blank + before)):
            rest = str(row[0])[len(blank) :]
            lines.append(["  ", (f"{text:<{mark_wide}}", style), rest, *row[1:]] if k == 0 else row)
        if check.fix and check.mark != "ok":
            lines += [[" " * (len(blank) + len(before)), *row] for row in page.verbatim(check.fix, "strong")]
    return blocks(lines, [[_verdict(checks)]])


def _verdict(checks: Sequence[Check]) -> str:
    problems, notes = (sum(c.mark == mark for c in checks) for mark in ("problem", "note"))
    if not problems and not notes:
        return "all well"
    counts = [words.plural(n, noun) for n, noun in ((problems, "problem"), (notes, "note")) if n]
    return ", ".join(counts)
