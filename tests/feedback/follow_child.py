"""`python -m feedback.follow_child CONFIG`: followers of a log, forked one after the other, to be killed.

In: on standard input a line for each follower: `run`, `die before N` or `die after N`: by its own hand, just before or
after it saves its N-th batch, with the lists changed already. Out: its process id, and `ended` when it is gone.
Everything is imported once, so that a follower is there within milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sendgate.cli import stores
from sendgate.cli.feedback_processes import follow_log
from sendgate.feedback.state import State
from sendgate.settings import Settings, load


def main() -> None:
    config = Path(sys.argv[1])
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _follow(load(config, {}), line.split())
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)


def _follow(settings: Settings, command: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if command[0] == "die":
        _die(command[1] == "before", int(command[2]))
    control, _never_closed = os.pipe()
    follow_log(settings, stores.keyer(settings), control)


def _die(before: bool, batches: int) -> None:
    """Have this process die at the N-th transaction."""
    transaction, left = State.transaction, batches

    @contextmanager
    def deadly(state: State) -> Iterator[None]:
        nonlocal left
        left -= 1
        if before and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        with transaction(state):
            yield
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    State.transaction = deadly  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    main()
