"""Everything that a person sees, under one name: `cli` calls these and nothing below them.

Wording and layout only; what a point is, is decided in `status`. The parts: `terminal_words` writes figures, times and
foreign text, `terminal_page` lays lines out, `terminal_screen` prints them, and there is one module a screen.
"""

from hpc_sweep.logview import LogView, log_view
from hpc_sweep.terminal_errors import bad_grid, bug, error
from hpc_sweep.terminal_hints import HINTS
from hpc_sweep.terminal_json import (
    cancelled_json,
    collected_json,
    doctor_json,
    plan_json,
    reported_json,
    status_json,
    submitted_json,
)
from hpc_sweep.terminal_log import follow, log, log_json
from hpc_sweep.terminal_plan import plan, question, submitted
from hpc_sweep.terminal_results import after_collect, cancelled, collected, doctor, reported, tracked
from hpc_sweep.terminal_screen import Screen
from hpc_sweep.terminal_status import status, status_line
from hpc_sweep.terminal_watch import watch
from hpc_sweep.terminal_words import clean

__all__ = [
    "HINTS", "LogView", "Screen", "after_collect", "bad_grid", "bug", "cancelled", "cancelled_json", "clean",
    "collected", "collected_json", "doctor", "doctor_json", "error", "follow", "log", "log_json", "log_view",
    "plan", "plan_json", "question", "reported", "reported_json", "status", "status_json", "status_line",
    "submitted", "submitted_json", "tracked", "watch",
]  # fmt: skip
