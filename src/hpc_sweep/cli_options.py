"""What several commands have in common: a help that ends in an example, and options of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hpc_sweep.errors import HpcSweepError

Command = TypeVar("Command", bound=Callable[..., Any])


class Example(click.Command):
    """A command whose help ends in an example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write_text(line)


as_json_ = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a screen.")
sweep_ = click.argument("sweep", required=False, shell_complete=lambda c, p, i: _sweep_names(i))


def cluster_(default: str) -> Callable[[Command], Command]:
    """`--cluster`, whose value the shell completes; `default` says what it is without one."""
    return click.option(
        "--cluster", metavar="PROFILE", help=f"A profile of slurm/ [{default}].",
        shell_complete=lambda c, p, incomplete: _profile_names(incomplete),
    )  # fmt: skip


yes_ = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
TARGETS = click.Choice(["hdf5", "csv", "mlflow"])
wait_ = click.option("--wait", is_flag=True, help="Stay until nothing runs any more, with a progress bar.")


def _profile_names(incomplete: str) -> list[str]:
    from hpc_sweep.project import here

    try:
        return sorted(p.stem for p in (here().root / "slurm").glob(f"{incomplete}*.yaml"))
    except HpcSweepError:
        return []


def _sweep_names(incomplete: str) -> list[str]:
    from hpc_sweep.project import here

    try:
        return sorted(p.parent.name for p in here().sweeps.glob(f"{incomplete}*/sweep.json"))
    except HpcSweepError:
        return []
