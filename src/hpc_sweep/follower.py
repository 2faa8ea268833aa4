"""The parent on every rank but the first: it runs what rank 0 calls for, and tells the others of a failure."""

from __future__ import annotations

from hpc_sweep.ledger import Submission, Sweep
from hpc_sweep.place import Place
from hpc_sweep.process import Process, Warnings, work_of
from hpc_sweep.ranks import Failure, Ranks, told


def follow(sweep: Sweep, submission: Submission, place: Place) -> int:
    """Follow rank 0 from point to point until it dismisses the others."""
    warnings, ranks = Warnings(), Ranks(sweep.folder / "scratch", place)
    while call := ranks.follow(lambda: warnings.final):
        point, environment = call
        process = Process(work_of(sweep, submission.claim, place, (point,), environment))
        warnings.watch(process)
        failure = None
        while (events := process.hear(timeout=1.0)) is not None:
            for event in events:
                if event["event"] == "failed":
                    failure = told(event["kind"], event["words"])
            if ranks.failures() or warnings.final:
                process.kill_in(5.0)
        code, death = process.ended()
        warnings.watch(None)
        if failure is None and death and not (warnings and code < 0):
            failure = Failure(*death, echo=bool(ranks.failures()))
        if failure is not None:
            ranks.report(failure)
    return 0
