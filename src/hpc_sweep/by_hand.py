"""Running a job as a plain script: `python jobs/selftest.py --steps 50`, or one point of a sweep again.

The run happens in this process, for a debugger; its scratch folder is a temporary one and nothing is collected.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import FrameType
from typing import Any, get_args, get_type_hints

import click
from pydantic import ValidationError

from hpc_sweep import job as jobs
from hpc_sweep import ledger
from hpc_sweep.errors import HpcSweepError


def main(file: str) -> None:
    """The command line of one job: an option for each field of its Config."""
    path = Path(file)
    job = jobs.load(path.stem, path.parent)
    _command(job)(prog_name=f"python {path}")


def _command(job: jobs.Job) -> click.Command:
    hints = get_type_hints(job.config, include_extras=True)
    options: list[click.Parameter] = [
        click.Option(
            [f"--{field.name.replace('_', '-')}", field.name],
            default=None,
            help=f"{_about(hints[field.name])} [{_default(field)}]".strip(),
        )
        for field in fields(job.config)
    ]
    options.append(click.Option(["--point", "_point"], metavar="SWEEP/ID", help="take the values of a sweep's point"))

    def run(_point: str | None, **given: str | None) -> None:
        try:
            values = _point_values(_point) if _point else {}
            values.update({name: _value(text) for name, text in given.items() if text is not None})
            config = job.check(values)
        except ValidationError as error:
            wrong = (f"--{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise click.UsageError("\n".join(wrong)) from None
        except HpcSweepError as error:
            raise click.UsageError(str(error)) from None
        result = run_here(job, config)
        metrics = {name: None if value is None else float(value) for name, value in result.metrics.items()}
        click.echo(json.dumps({"metrics": metrics, "arrays": sorted(result.arrays)}, indent=1))

    about = (job.module.__doc__ or job.name).strip().splitlines()[0]
    return click.Command(job.name, params=options, callback=run, help=about)


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return "required" if field.default is MISSING else field.default


def _about(hint: Any) -> str:
    """What `Annotated[..., Field(description=...)]` says of a field."""
    return next((m.description for m in get_args(hint) if getattr(m, "description", None)), "")


def _value(text: str) -> Any:
    """A number, a boolean or a list where the text reads as one; else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _point_values(place: str) -> dict[str, Any]:
    folder, _, prefix = place.rpartition("/")
    sweep = ledger.find(Path("sweeps"), folder or None)
    found = [p for p in sweep.points() if p.id.startswith(prefix)]
    if len(found) != 1:
        raise click.UsageError(f"{len(found)} points of {sweep.name} begin with `{prefix}`")
    return dict(found[0].config)


def _shown(value: Any) -> str:
    return "{} of {}".format(*value) if isinstance(value, list) else f"{value:.6g}"  # a list is the progress


def run_here(job: jobs.Job, config: jobs.Config) -> jobs.Result:
    """Run one configuration in this process and show its numbers as they come."""
    stop = {"asked": False}

    def ask(number: int, frame: FrameType | None) -> None:
        stop["asked"] = True

    signal.signal(signal.SIGUSR2, ask)

    def show(event: str, **fields: Any) -> None:
        click.echo("  ".join([event, *(f"{name} {_shown(value)}" for name, value in fields.items())]), err=True)

    with tempfile.TemporaryDirectory() as folder:
        context = jobs.Context(
            seed=int(getattr(config, "seed", 0)), scratch=Path(folder) / "scratch", resources={}, send=show,
            stop_asked=lambda: stop["asked"],
        )  # fmt: skip
        try:
            result: jobs.Result = job.module.run(config, context)
        except jobs.Stopped:
            sys.exit(75)
        context.flush()
        return result
