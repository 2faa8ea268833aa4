"""The command line: parse, one call, print. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hpc_sweep import __version__
from hpc_sweep.cli_options import TARGETS, Example, as_json_, cluster_, sweep_, wait_, yes_
from hpc_sweep.errors import INTERRUPTED, OK, POINTS_FAILED, GridError, HpcSweepError, RefusedError

if TYPE_CHECKING:
    from hpc_sweep.project import Project
    from hpc_sweep.status import Status
    from hpc_sweep.terminal import Screen


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Example: hpc-sweep submit configs/grids/demo.yaml --wait",
)
@click.version_option(__version__, prog_name="hpc-sweep")
def cli() -> None:
    """Run a grid of experiments on a Slurm cluster or on this machine.

    SWEEP is a name in sweeps/ or the path of a sweep; without it, the sweep
    last submitted to. POINT is the beginning of a point's id.

    Exit codes: 0 all well, 1 some points failed or are damaged, 2 wrong input,
    3 Slurm, disk or MLflow, 4 refused to protect work, 130 interrupted.
    """


@cli.command(cls=Example, example="hpc-sweep submit configs/grids/demo.yaml --wait")
@click.argument("grid", type=click.Path())
@cluster_("the first that fits this host")
@click.option("--dry-run", is_flag=True, help="Show the plan, its cost and the sbatch script; start nothing.")
@click.option("--only", multiple=True, metavar="AXIS=VALUE", help="Only the points with this value; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Start at most N points.")
@click.option("--frozen", is_flag=True, help="Refuse when points that are done ran on other code.")
@click.option("--live", metavar="URI", help="Also send numbers to this MLflow server as they come.")
@yes_
@wait_
@as_json_
def submit(
    grid: str, cluster: str | None, dry_run: bool, only: Sequence[str], limit: int | None, frozen: bool,
    live: str | None, yes: bool, wait: bool, as_json: bool,
) -> int:  # fmt: skip
    """Start the points of GRID that are neither done nor under way."""
    from hpc_sweep import orders, terminal

    screen, project = terminal.Screen(), _project()
    order = orders.from_grid(
        project, grid, cluster, only=only, limit=limit, frozen=frozen, live=live, only_shown=dry_run
    )
    return _go(screen, project, order, dry_run=dry_run, yes=yes, wait=wait, as_json=as_json)


def _go(screen: Screen, project: Project, order: Any, *, dry_run: bool, yes: bool, wait: bool, as_json: bool) -> int:
    """Show a proposal, ask, start it, and wait for it if that was wanted."""
    from hpc_sweep import orders, terminal

    proposal = order.propose()
    scripts = orders.scripts(proposal, project.root) if dry_run else []
    if dry_run or not proposal.chosen:
        if as_json:
            _print_json(terminal.plan_json(proposal, scripts))
        else:
            terminal.plan(screen, proposal, scripts if dry_run else None)
        if dry_run or not (wait and proposal.state):
            return OK
    else:
        if not as_json:
            terminal.plan(screen, proposal, None)
        if not yes:
            _confirm(terminal.question(proposal))
        proposal, claim = order.carry_out(proposal)
        if as_json and not wait:
            _print_json(terminal.submitted_json(proposal, claim))
        elif not as_json:
            terminal.submitted(screen, proposal, claim)
    return _watch(screen, proposal.sweep, as_json=as_json) if wait else OK


def _watch(screen: Screen, sweep: Any, *, as_json: bool = False) -> int:
    from hpc_sweep import status, terminal

    last = terminal.watch(screen, lambda: status.compute(sweep), interval=1.0, until_over=True)
    if as_json:
        _print_json(terminal.status_json(last))
    else:
        terminal.status(screen, last)
    return _verdict(last)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise RefusedError("nobody is there to be asked", "add --yes to go ahead without a question")
    if not click.confirm(question, default=True, err=True):
        raise RefusedError("nothing was started")


def _verdict(state: Status) -> int:
    return POINTS_FAILED if any(p.state in ("failed", "lost", "damaged") for p in state.points) else OK


@cli.command(name="status", cls=Example, example="hpc-sweep status demo --watch")
@sweep_
@click.option("--watch", is_flag=True, help="Look again every 10 seconds, until interrupted.")
@click.option("--all", "everything", is_flag=True, help="Show every failure and every point.")
@as_json_
def status_command(sweep: str | None, watch: bool, everything: bool, as_json: bool) -> int:
    """Say what is done, runs, waits and failed, and why."""
    from hpc_sweep import status, terminal

    screen, project = terminal.Screen(), _project()
    found = project.sweep(sweep)
    delay = project.file_delay(found)
    if watch:
        terminal.watch(screen, lambda: status.compute(found, file_delay=delay), interval=10.0, until_over=False)
    state = status.compute(found, file_delay=delay)
    if as_json:
        _print_json(terminal.status_json(state))
    else:
        terminal.status(screen, state, everything=everything)
    return _verdict(state)


@cli.command(cls=Example, example="hpc-sweep log 3fa9c1 -f")
@click.argument("point")
@click.option("--sweep", metavar="SWEEP", help="The sweep that the point belongs to [the newest].")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the point ends.")
@as_json_
def log(point: str, sweep: str | None, follow: bool, as_json: bool) -> int:
    """Show the last attempt of POINT: its curve and its last words."""
    from hpc_sweep import status, terminal

    screen, found = terminal.Screen(), _project().sweep(sweep)

    def look() -> terminal.LogView:
        return terminal.log_view(status.compute(found), point)

    if follow and as_json:
        raise click.UsageError("-f goes with the screen, --json with one look: take one of them")
    if follow:
        terminal.follow(screen, look)
        return OK
    view = look()
    if as_json:
        _print_json(terminal.log_json(view))
    else:
        terminal.log(screen, view)
    return OK


@cli.command(cls=Example, example="hpc-sweep rerun demo --only timeout --time 3:00")
@sweep_
@click.argument("points", nargs=-1)
@click.option("--failed", is_flag=True, help="All that failed, is lost or is damaged (the default).")
@click.option("--only", multiple=True, metavar="KIND", help="Only failures of this kind; may be repeated.")
@click.option("--mem", type=click.FloatRange(min=0, min_open=True), metavar="GB", help="Memory on each node.")
@click.option("--time", "time_", metavar="H:MM", help="Time limit of a task: 90, 1:30 or 1-12:30.")
@click.option("--exclude", metavar="NODES", help="Nodes to keep away from, as in n1,n[3-4].")
@click.option("--set", "set_", multiple=True, metavar="KEY=VALUE", hidden=True)
@cluster_("the one used last")
@click.option("--dry-run", is_flag=True, help="Show what would run again; start nothing.")
@yes_
@wait_
@as_json_
def rerun(
    sweep: str | None, points: Sequence[str], failed: bool, only: Sequence[str], mem: float | None, time_: str | None,
    exclude: str | None, set_: Sequence[str], cluster: str | None, dry_run: bool, yes: bool, wait: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run again what failed, with what its kind of failure needs.

    POINTS are ids, or their beginnings; without any, all that failed.
    """
    from hpc_sweep import orders, terminal

    if set_:
        key = set_[0].partition("=")[0]
        raise RefusedError(
            "--set changes the question: these would be other points",
            f"copy the grid, change `{key}`, and submit it; the points it shares are found by their id",
        )
    screen, project = terminal.Screen(), _project()
    order = orders.from_failures(
        project, sweep, cluster, points=points, only=only, mem=mem, time=time_, exclude=exclude
    )
    return _go(screen, project, order, dry_run=dry_run, yes=yes, wait=wait, as_json=as_json)


@cli.command(cls=Example, example="hpc-sweep cancel demo --only model=large")
@sweep_
@click.option(
    "--only", multiple=True, metavar="AXIS=VALUE", help="Only points with this value, or `running`, `waiting`."
)
@yes_
@as_json_
def cancel(sweep: str | None, only: Sequence[str], yes: bool, as_json: bool) -> int:
    """Stop what runs and waits; finished points stay."""
    from hpc_sweep import orders, terminal

    screen, project = terminal.Screen(), _project()
    found = project.sweep(sweep)
    if not yes:
        _confirm(f"Cancel what runs and waits of {found.name}?")
    outcome = orders.cancel(project, found, only)
    if as_json:
        _print_json(terminal.cancelled_json(found, outcome))
    else:
        terminal.cancelled(screen, found, outcome)
    return OK


@cli.command(cls=Example, example="hpc-sweep collect demo --to mlflow")
@sweep_
@click.option("--to", type=TARGETS, default="hdf5", help="Table and HDF5 file, the table alone, or MLflow too.  [hdf5]")
@click.option("--uri", metavar="URI", help="MLflow's address [MLFLOW_TRACKING_URI, or sqlite in the project].")
@as_json_
def collect(sweep: str | None, to: str, uri: str | None, as_json: bool) -> int:
    """Gather finished points into one table, one HDF5 file, and MLflow."""
    from hpc_sweep import gather, terminal, tracking

    screen, project = terminal.Screen(), _project()
    files = {"hdf5": {"hdf5", "csv"}, "csv": {"csv"}, "mlflow": {"hdf5", "csv"}}[to]
    with screen.progress("read", show=not as_json) as progress:
        outcome = gather.collect(project, project.sweep(sweep), files, progress)
    if not as_json:
        terminal.collected(screen, outcome)
    tally = None
    if to == "mlflow":
        where = uri or tracking.default_uri(project.root)
        if warning := tracking.plain_http_warning(where):
            click.echo(warning, err=True)
        with screen.progress("mlflow", show=not as_json) as progress:
            tally = gather.track(outcome, where, progress)
        if not as_json:
            terminal.tracked(screen, tally, where)
    if as_json:
        _print_json(terminal.collected_json(outcome, tally))
    else:
        terminal.after_collect(screen, outcome)
    return POINTS_FAILED if outcome.damaged or outcome.failed else OK


@cli.command(cls=Example, example="hpc-sweep report demo")
@sweep_
@as_json_
def report(sweep: str | None, as_json: bool) -> int:
    """Collect, and write a report: tables, curves, cost, failures."""
    from hpc_sweep import gather, terminal

    screen, project = terminal.Screen(), _project()
    found = project.sweep(sweep)
    written = gather.report(project, found)
    if as_json:
        _print_json(terminal.reported_json(found.name, written.paths, written.notes))
    else:
        terminal.reported(screen, found.name, written.paths, written.notes, written.lines)
    return OK


@cli.command(cls=Example, example="hpc-sweep doctor --cluster v100")
@cluster_("the first that fits this host")
@click.option("--clean", is_flag=True, help="Remove what killed writers left behind.")
@click.option("--job", is_flag=True, help="Also run a one-minute job that looks at a compute node.")
@as_json_
def doctor(cluster: str | None, clean: bool, job: bool, as_json: bool) -> int:
    """Check this machine, the cluster and the project."""
    from hpc_sweep import doctor as checks
    from hpc_sweep import terminal

    screen = terminal.Screen()
    found = checks.examine(_project(), cluster, clean=clean, job=job)
    if as_json:
        _print_json(terminal.doctor_json(found))
    else:
        terminal.doctor(screen, found)
    return POINTS_FAILED if any(c.mark == "problem" for c in found) else OK


def _project() -> Project:
    from hpc_sweep.project import here

    return here()


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, allow_nan=False, ensure_ascii=False))


def main() -> None:
    """The entry point: run a command and end with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command; every way to end is a sentence and a number."""
    try:
        code = cli.main(list(arguments), prog_name="hpc-sweep", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was started goes on: hpc-sweep status", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _hush()
        return OK
    except HpcSweepError as error:
        return _explain(error)
    except Exception as error:  # noqa: BLE001 - a bug of ours: say so, keep the details
        from hpc_sweep import files, terminal

        told = files.not_our_fault(error)
        if told is not None:
            return _explain(told)
        terminal.bug(terminal.Screen(), error)
        return POINTS_FAILED


def _hush() -> None:
    """The reader of our output has gone, as `head` does: end without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: HpcSweepError) -> int:
    from hpc_sweep import terminal

    screen = terminal.Screen()
    if isinstance(error, GridError):
        terminal.bad_grid(screen, error)
    else:
        terminal.error(screen, error)
    return error.exit_code
