"""A supervisor whose one worker grows beyond its limit: `python -m faults.growing`.

Out, on stdout: `restart CAUSE` for each worker that is replaced. Ends by SIGTERM.
"""

from __future__ import annotations

import os

from sendgate.smtp.supervisor import Plan, Supervisor
from sendgate.smtp.worker import READY

LIMIT = 32 * 2**20


class Told:
    """The supervisor's counters, as text."""

    def workers(self, count: int) -> None:
        """Not of interest here."""

    def worker_restart(self, cause: str) -> None:
        print(f"restart {cause}", flush=True)

    def config_reload(self, result: str) -> None:
        """Not of interest here."""

    def store_fault(self) -> None:
        """Not of interest here."""


def grow(_name: str, control: int, report: int, _trusted: bool) -> None:
    """A worker that takes more memory than it may, and ends when it is told to."""
    taken = b"x" * (2 * LIMIT)
    os.write(report, READY)
    os.read(control, 1)
    del taken


def wait(control: int, _report: int) -> None:
    os.read(control, 1)


if __name__ == "__main__":
    plan = Plan(workers=1, worker_memory=LIMIT, drain_seconds=5, worker=grow, helpers={}, verify=wait)
    Supervisor(plan, Told(), reload=lambda: None, stop_listening=lambda: None).run()
