"""Parts of a pod as processes: the follower that `sendgate serve` runs, a reader as its workers are, and a writer.

In: the URL of the origin, folders. Out: running processes, and when a reader saw a change. Refused: `TrialError` when
a process ends or does not answer in time.
All are forked, as the supervisor forks its own; a process that lost its parent ends by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from bench import lists
from bench.origin import SETTINGS, open_origin
from sendgate import events
from sendgate.address import parse
from sendgate.cli.serve_helpers import follow
from sendgate.entry import Add, Entry, Reason, Remove, parse_subject
from sendgate.keys import Keyer
from sendgate.metrics import FollowMetrics
from sendgate.settings import Settings, StoreSettings
from sendgate.store.replica import open_replica
from sendgate.store.replica_folder import ReplicaFolder
from trial.mta import TrialError

ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.001
_LOOK_SECONDS = 1.0
_FORK = get_context("fork")


class Part:
    """A process with a pipe to it. Ended at the end of a `with`."""

    def __init__(self, run: Callable[[Connection], None]) -> None:
        self.pipe, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_main, args=(run, theirs, os.getpid()), daemon=True)
        self._process.start()
        theirs.close()

    def answer(self) -> object:
        """The next thing that the process says."""
        if not self.pipe.poll(ANSWER_SECONDS):
            raise TrialError(f"a process of the bench said nothing within {ANSWER_SECONDS:g} s")
        try:
            return self.pipe.recv()
        except EOFError:
            raise TrialError("a process of the bench ended") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.pipe.send(None)
        self._process.join(ANSWER_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self.pipe.close()


class FollowerPart(Part):
    """A pod's follower with its replica in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.replica = ReplicaFolder(folder / "replica")
        super().__init__(lambda pipe: _follow(pipe, url, folder))

    def is_in_step(self) -> bool:
        return self.replica.age(time.time()) < 2


class ReaderPart(Part):
    """A process that looks up in a pod's replica, as its workers do."""

    def __init__(self, replica: ReplicaFolder) -> None:
        super().__init__(lambda pipe: _read(pipe, replica))

    def await_change(self, address: str, listed: bool) -> None:
        """Have it look, from now on, until the address is listed or not; its next answer is when, in monotonic time."""
        self.pipe.send((address, listed))
        self.answer()

    def seen_at(self) -> float:
        seen = self.answer()
        if not isinstance(seen, float):
            raise TrialError(f"a change was not seen within {ANSWER_SECONDS:g} s")
        return seen


class WriterPart(Part):
    """A process that changes the lists all the time, at a steady rate; how many changes it has made it says at last."""

    def __init__(self, url: str, first: int, rate: int) -> None:
        super().__init__(lambda pipe: _write(pipe, url, first, rate))

    def stop(self) -> int:
        self.pipe.send(None)
        made = self.answer()
        return made if isinstance(made, int) else 0


def entry(address: str) -> Entry:
    return Entry(parse_subject(address), Reason.HARD_BOUNCE, created=int(time.time()))


def _main(run: Callable[[Connection], None], pipe: Connection, parent: int) -> None:
    Thread(target=_end_with, args=(parent,), daemon=True).start()
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        run(pipe)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _follow(pipe: Connection, url: str, folder: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    events.configure()
    metrics = folder / "metrics"
    metrics.mkdir(parents=True)
    settings = Settings(store=StoreSettings(url=url, replica=str(folder / "replica"), resync_spread=0))
    follow(pipe.fileno(), settings, FollowMetrics(metrics))


def _read(pipe: Connection, folder: ReplicaFolder) -> None:
    with closing(open_replica(folder.current(), Keyer(), SETTINGS.max_size)) as replica:
        while (question := pipe.recv()) is not None:
            text, listed = question
            address, deadline = parse(text), time.monotonic() + ANSWER_SECONDS / 2
            pipe.send("looking")
            while bool(replica.lookup(address)) != listed:
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            else:
                pipe.send(time.monotonic())
                continue
            pipe.send(None)


def _write(pipe: Connection, url: str, first: int, rate: int) -> None:
    """Add an address each time, and remove it with the next, so that the lists stay as long as they are."""
    with closing(open_origin(url)) as origin:
        made, started = 0, time.monotonic()
        while not pipe.poll(max(0.0, started + made / rate - time.monotonic())):
            address = lists.address(first + made // 2)
            origin.apply([Remove(parse_subject(address)) if made % 2 else Add(entry(address))])
            made += 1
        pipe.send(made)
