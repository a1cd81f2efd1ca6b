"""Child processes of the supervisor: made by fork, told to stop by closing a pipe, known by role.

In: what a child shall run. Out: `Child`, with its pid and the ends of its pipes.
Refused: nothing; a child that raises ends with status 1 and a log line.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sendgate import events
from sendgate.smtp.worker import DRAIN_WORD

SUPERVISED_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(slots=True)
class Child:
    """A running child. `name` is its role and, for a worker, its slot; `ready` once it has reported so.

    trusts_store: whether it was told that it may open the store.
    retire: why it shall be replaced, or ""; ending: why it was told to end, or ""; kill_at: when patience ends
    (monotonic seconds).
    """

    name: str
    pid: int
    control: int
    report: int
    started: float
    ready: bool = False
    trusts_store: bool = True
    retire: str = ""
    ending: str = ""
    kill_at: float = field(default=float("inf"))

    def read_reports(self) -> bytes:
        """What the child has said since the last time; never waits."""
        try:
            return os.read(self.report, 64)
        except (BlockingIOError, OSError):
            return b""

    def tell_to_end(self, cause: str, patience_seconds: float) -> None:
        """Ask it to finish what it has and end; `kill` is due after so many seconds."""
        if not self.ending:
            self.ending = cause
            with suppress(BrokenPipeError):
                os.write(self.control, DRAIN_WORD)
            os.close(self.control)
        self.kill_at = min(self.kill_at, time.monotonic() + patience_seconds)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Close what is left of a child that has ended."""
        if not self.ending:
            os.close(self.control)
        os.close(self.report)


def fork(name: str, others: list[Child], run: Callable[[int, int], None]) -> Child:
    """Start a child that calls run(control, report) with its ends of two pipes.

    The child closes what it inherited of `others`, so that their pipes end when the supervisor says or dies.
    """
    control_child, control = os.pipe()
    report, report_child = os.pipe()
    os.set_blocking(report, False)
    gc.freeze()
    pid = os.fork()
    if pid:
        os.close(control_child)
        os.close(report_child)
        return Child(name, pid, control, report, time.monotonic())
    for descriptor in (control, report, *(end for other in others for end in _open_ends(other))):
        os.close(descriptor)
    _run_and_exit(name, lambda: run(control_child, report_child))
    raise AssertionError("unreachable")


def _open_ends(child: Child) -> list[int]:
    return [child.report] if child.ending else [child.control, child.report]


def _run_and_exit(name: str, run: Callable[[], None]) -> None:
    status = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C in a terminal goes to the supervisor alone, which drains
        Path("/proc/self/comm").write_text(f"sg {name}", encoding="ascii")
        for number in SUPERVISED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        run()
        status = 0
    except BaseException as error:
        events.internal_error(name, "process", error)
    finally:
        os._exit(status)
