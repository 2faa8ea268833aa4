"""One attempt on a node: a small parent that starts a child for the shard's points and says how each ended.

The parent of rank 0 is the only writer of the attempt file; it loads nothing heavy and survives what kills its
child. On a warning signal the child saves at its next step boundary, and Slurm is asked to run the task again.
Run as `python -m hpc_sweep.worker SWEEP SUBMISSION ARRAY`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_sweep import files, ledger
from hpc_sweep.errors import DamagedError, HpcSweepError
from hpc_sweep.follower import follow
from hpc_sweep.place import Place, here
from hpc_sweep.process import Process, Warnings, work_of
from hpc_sweep.ranks import Failure, Ranks, told

if TYPE_CHECKING:
    import subprocess

MAX_TIMEOUTS = 3  # a task that ran into its time limit this often is not asked for again
AFTER_LAST_WORD = 15.0  # seconds that a child gets once Slurm has begun to end the task
_EARLY = 75.0  # by so many seconds Slurm may send the warning early
_FAILED = 1
_SILENT = ("crash", "ended without a word")


class Worker:
    """The parent on rank 0: it leads, and writes the attempt."""

    def __init__(self, sweep: ledger.Sweep, submission: ledger.Submission, array: int, place: Place) -> None:
        self.sweep = sweep
        self.claim = submission.claim
        self.place = place
        self.array = array
        self.shard = self.claim.first_shard(array) + place.task
        self.points = self.claim.shards[self.shard]
        self.resources = self.claim.arrays[array].resources
        self.began = time.monotonic()
        self.settled: set[str] = set()  # points that ended, well or badly, in this submission
        self.causes: list[str] = []  # why earlier attempts of this task asked to come again
        self.further = False  # whether this attempt got further than the one before
        self.disk_failed = False
        self.cancelled = False
        self.requeued = False
        self.looked_at = 0.0
        self.current: str | None = None
        self.last: dict[str, Any] = {}
        for attempt in sweep.attempts(self.claim.number, self.shard):
            self._recall(attempt)
        self.attempt, self.label = sweep.open_attempt(self.claim.number, self.shard, place.restart)
        self.ranks = Ranks(sweep.folder / "scratch", place)
        self.warnings = Warnings()

    def _recall(self, attempt: ledger.Attempt) -> None:
        """Take from an earlier attempt of this task what must not be done again."""
        for event in attempt.events:
            if event["event"] in ("done", "failed"):
                self.settled.add(event["point"])
            elif event["event"] == "end":
                self.causes.append(event.get("cause", ""))

    def run(self) -> int:
        """Run what is left of the shard; 0 when every point of it is done or the task will come again."""
        self.attempt.write("start", **self._whereabouts())
        tracker = self._follow_live()
        try:
            left = [p for p in self.points if p not in self.settled and not self._done_unsaid(p)]
            while left and not self.warnings and not self.disk_failed and not self._called_off():
                self._run_child(tuple(left[:1] if self.place.world_size > 1 else left))
                left = [p for p in left if p not in self.settled]
            return self._finish(left)
        finally:
            self.ranks.end()
            self.attempt.close()
            if tracker is not None:
                tracker.wait()

    def _whereabouts(self) -> dict[str, Any]:
        return {
            "job": self.place.job,
            "node": self.place.node,
            "pid": os.getpid(),
            "code": self.claim.code["fingerprint"],
            "python": sys.version.split()[0],
            "log": _log_file(self.sweep.folder),
            "time": round(time.time(), 3),
        }

    def _done_unsaid(self, point: str) -> bool:
        """Whether an attempt was killed after the dump appeared and before it could say so."""
        path = self.sweep.dump_path(point)
        if not path.exists():
            return False
        from hpc_sweep import dump

        try:
            dump.read(files.read_bytes(path), point)
        except DamagedError:
            return False
        files.remove_folder(self.sweep.scratch(point))
        return True

    def _called_off(self) -> bool:
        """Whether somebody closed this submission or cancelled this shard."""
        return self.sweep.closed_path(self.claim.number).exists() or self._cancelled(every=0.0)

    def _cancelled(self, every: float = 5.0) -> bool:
        """Whether somebody cancelled this shard, or gave its array up for lost; looked up at most so often."""
        now = time.monotonic()
        if not self.cancelled and now - self.looked_at >= every:
            told = self.sweep.submission(self.claim.number)
            self.cancelled = self.shard in told.cancelled or "refused" in told.jobs.get(self.array, {})
            self.looked_at = now
        return self.cancelled

    def _follow_live(self) -> subprocess.Popen[bytes] | None:
        """Start the process that passes numbers to an MLflow server while they come, if one was named."""
        if not self.claim.live_tracking:
            return None
        import subprocess

        command = [sys.executable, "-P", "-m", "hpc_sweep.tracking", str(self.attempt.path)]
        command += [self.claim.live_tracking, self.sweep.name, self.claim.uid]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    # the child

    def _run_child(self, points: tuple[str, ...]) -> None:
        """Start a child for these points and take down what it says until it ends."""
        process = Process(work_of(self.sweep, self.claim, self.place, points, self.ranks.lead(points[0])))
        self.warnings.watch(process)
        self.current, stopped = None, False
        while (events := process.hear(timeout=1.0)) is not None:
            for event in events:
                stopped = stopped or event["event"] == "stopped"
                self._take_down(event, points)
            self._watch_over(process)
        code, death = process.ended()
        self.warnings.watch(None)
        if stopped or self.disk_failed or (self.warnings and code < 0):
            return
        open_point = self.current or next((p for p in points if p not in self.settled), None)
        if open_point is not None and (self.current or code != _FAILED):
            self._fail(open_point, Failure(*(death or _SILENT), echo=bool(self.ranks.failures())))

    def _watch_over(self, process: Process) -> None:
        """Pass on what concerns the child: signals, a cancellation, the failure of another rank."""
        self._write_signals()
        if self.warnings.final or (self.warnings and not self.place.on_slurm):
            process.kill_in(AFTER_LAST_WORD)
        if self._cancelled():
            process.warn()
            process.kill_in(AFTER_LAST_WORD)
        if self.ranks.failures():
            process.kill_in(5.0)  # its next collective call would hang

    def _write_signals(self) -> None:
        for name in self.warnings.fresh():
            self.attempt.write("signal", name=name)

    def _take_down(self, event: dict[str, Any], points: tuple[str, ...]) -> None:
        name = event.pop("event")
        if name == "begin":
            self.current, self.last = event["point"], {}
        elif name == "log":
            self.last.update(event)
        elif name == "checkpoint":
            self.further = True
        elif name == "done":
            self.settled.add(event["point"])
            self.current, self.further = None, True
        elif name == "failed":
            point = event.pop("point") or next(p for p in points if p not in self.settled)
            self._fail(point, told(event.pop("kind"), event.pop("words")), **event)
            return
        elif name == "stopped":
            return
        now = {"time": round(time.time(), 3)} if name in ("begin", "done") else {}
        self.attempt.write(name, **event, **now)

    def _fail(self, point: str, failure: Failure, **more: Any) -> None:
        """Write a failure; where many fail alike, stop the submission before it costs a night."""
        failure = self.ranks.verdict(failure)
        kind = failure.kind
        now = round(time.time(), 3)
        self.attempt.write("failed", point=point, kind=kind, words=failure.words, **more, time=now)
        self.settled.add(point)
        self.current = None
        self.disk_failed = kind == "disk"
        alike = {
            e["point"]
            for a in self.sweep.attempts(self.claim.number)
            for e in a.events
            if e["event"] == "failed" and e["kind"] == kind
        }
        if len(alike) >= self.claim.max_fails:
            total = sum(len(s) for s in self.claim.shards)
            why = f"{len(alike)} of {total} points failed with {kind}; the rest was not tried"
            if self.sweep.close(self.claim.number, "max-fails", why) and self.place.on_slurm:
                self._cancel_waiting()

    def _cancel_waiting(self) -> None:
        from hpc_sweep import slurm

        try:
            slurm.cancel_pending([a.name for a in self.claim.arrays])
        except slurm.SilentError as error:
            _say(error.message)  # the tasks see for themselves that the submission is closed

    # the end

    def _finish(self, left: list[str]) -> int:
        """Say how the attempt ended; ask for another one when it was interrupted and got further."""
        self._write_signals()
        now = {"time": round(time.time(), 3)}
        if self.disk_failed:
            self.attempt.write("end", why="disk", **now)
            return 3
        if not left:
            self.attempt.write("end", why="finished", **now)
            return 0 if all(self.sweep.dump_path(p).exists() for p in self.points) else 1
        why = self._why_stopped()
        if why in ("timeout", "preempted") and self._may_come_again(why):
            self.attempt.write("end", why="requeue", cause=why, **now)
            self.ranks.end()  # after the next line Slurm may end this process at any moment
            self._requeue()
            return 0
        self.attempt.write("end", why=why, point=self.current, words=self._words(why), **now)
        return 1

    def _why_stopped(self) -> str:
        """The signals do not tell a time limit from a preemption or a cancellation: Slurm and the clock do."""
        first_at = self.warnings.first_at
        if first_at is None or self._called_off() or not self.place.on_slurm:
            return "cancelled"
        from hpc_sweep import slurm

        try:
            told_by_slurm = slurm.comeback(self.place.job)
        except slurm.SilentError as error:
            _say(error.message)
            told_by_slurm = slurm.Comeback(preempted=False, restarts=0)
        self.requeued = told_by_slurm.restarts > self.place.restart
        if told_by_slurm.preempted or self.requeued:
            return "preempted"
        slack = _EARLY + float(self.resources["warn_seconds"])
        if first_at - self.began >= 60 * float(self.resources["limit"]) - slack:
            return "timeout"
        return "preempted" if self.warnings.received[0] in (signal.SIGUSR1, signal.SIGUSR2) else "cancelled"

    def _may_come_again(self, why: str) -> bool:
        return why == "preempted" or (self.further and self.causes.count("timeout") < MAX_TIMEOUTS)

    def _requeue(self) -> None:
        if self.requeued:  # Slurm has put the task back by itself
            return
        from hpc_sweep import slurm

        try:
            slurm.requeue(self.place.job)
        except slurm.SilentError as error:
            _say(error.message)

    def _words(self, why: str) -> str:
        if why != "timeout":
            return "cancelled while it ran"
        at = ""
        if "progress" in self.last:
            at = "{} of {} done ".format(*self.last["progress"])
        elif "step" in self.last:
            at = f"step {self.last['step']} "
        again = f", for the {MAX_TIMEOUTS + 1}th time" if self.further else "; it had saved no checkpoint"
        return f"{at}when the {self.resources['limit']} min ended{again}"


def _log_file(folder: Path) -> str | None:
    """The file that this task's output goes to, as seen from the sweep's folder."""
    path = Path(os.readlink("/proc/self/fd/1"))
    return str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else None


def _say(words: str) -> None:
    print(f"hpc-sweep: {words}", file=sys.stderr, flush=True)  # noqa: T201 - into the task's own log


def main(arguments: list[str]) -> int:
    """Run this task of an array."""
    folder, number, array = arguments
    sweep = ledger.Sweep(Path(folder))
    place = here(os.environ)
    try:
        submission = sweep.submission(int(number))
        if place.rank:
            return follow(sweep, submission, place)
        worker = Worker(sweep, submission, int(array), place)
        return worker.run()
    except (HpcSweepError, OSError) as error:
        told = error if isinstance(error, HpcSweepError) else files.not_our_fault(error)
        if told is None:
            raise
        _say(told.message)
        return told.exit_code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # everything is written; taking an interpreter apart costs a short task a tenth of its time
