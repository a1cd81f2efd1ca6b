"""Looking at Postfix's queue now and then, by asking its showq(8): in a thread, so that no scrape waits for Postfix.

In: showq's address, how often to look. Out: the last `Look`, with figures or without.
Refused: nothing. An answer that is no list of messages, breaks off or takes too long is a look without figures.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sendgate.metrics_queue import Look, QueueFigures
from sendgate.mta.showq import QueueParser
from sendgate.mta.tally import Tally

LONGEST_SECONDS = 120.0
"""A look may take so long: showq opens every file of the queue, and a million of them take their time."""
FRESH_INTERVALS = 4
FIRST_ANSWER_SECONDS = 120.0
"""In a pod the gate is up before its Postfix, which may wait for its image, and looks for an open relay before it
listens: seconds, or a minute. A warning at each start is one that people learn to ignore."""
UNANSWERED_INTERVAL = 2.0
"""Until Postfix has answered once: its figures are wanted soon, and to be refused costs nothing."""
_CONNECT_SECONDS = 5.0
_SILENT_SECONDS = 15.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. connect: for a connection; silent: between two pieces of the answer; whole: for all of it."""

    connect: float = _CONNECT_SECONDS
    silent: float = _SILENT_SECONDS
    whole: float = LONGEST_SECONDS


class Looks:
    """When to look, and which looks are news. Seconds of any clock that does not jump."""

    def __init__(self, start: float, interval: float) -> None:
        self._start = start
        self._interval = interval
        self._is_answered = False
        self._is_told_failing = False

    def is_news(self, problem: str | None, now: float) -> bool:
        """Whether to tell of a look that has just ended. problem: None for an answer."""
        self._is_answered |= problem is None
        is_failing = problem is not None
        if is_failing and not self._is_answered and now - self._start < FIRST_ANSWER_SECONDS:
            return False
        changes = is_failing != self._is_told_failing
        self._is_told_failing = is_failing
        return changes

    def pause(self, took: float) -> float:
        """How long to wait after a look. took: how long that was."""
        interval = self._interval if self._is_answered else min(self._interval, UNANSWERED_INTERVAL)
        # a queue that takes long to read is looked at half of the time at most
        return max(interval - took, took)


class QueueWatcher:
    """Looks at the queue every `interval` seconds once it is started; `last` tells what it saw.

    tell: called with what is wrong when looks begin to fail, with None when they succeed again. Before the first
    answer, failures are told when they last.
    """

    def __init__(
        self,
        address: str,
        interval: float,
        tell: Callable[[str | None], None],
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._interval = interval
        self._tell = tell
        self._patience = patience or Patience()
        self._clock = clock
        self._looks = Looks(clock(), interval)
        self._last: tuple[float, Look] | None = None

    def start(self) -> None:
        """Look for as long as the process lives."""
        threading.Thread(target=self._run, name="queue", daemon=True).start()

    def last(self) -> Look | None:
        """The last look; one without figures when it is too long ago. None before the first."""
        if self._last is None:
            return None
        at, look = self._last
        is_fresh = self._clock() - at <= FRESH_INTERVALS * self._interval + self._patience.whole
        return look if is_fresh else Look(None)

    def look(self) -> None:
        """Look once."""
        problem, figures = None, None
        try:
            figures = read_queue(self._address, time.time(), self._patience)
        except (OSError, ValueError) as error:  # ShowqError, and hosts that are no names, are of the latter
            problem = f"{self._address}: {getattr(error, 'strerror', None) or error}"
        now = self._clock()
        self._last = now, Look(figures)
        if self._looks.is_news(problem, now):
            self._tell(problem)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            began = self._clock()
            self.look()
            pause.wait(self._looks.pause(self._clock() - began))


def read_queue(address: str, now: float, patience: Patience) -> QueueFigures:
    """Ask showq for the whole queue. now: Unix time. Raises OSError and ShowqError."""
    deadline = time.monotonic() + patience.whole
    parser, tally = QueueParser(), Tally(now)
    with _connect(address, patience.connect) as connection:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no end within {patience.whole:g} s")
            connection.settimeout(min(left, patience.silent))
            octets = connection.recv(_CHUNK)
            if not octets:
                break
            tally.add(parser.feed(octets))
    parser.close()
    return tally.figures()


def _connect(address: str, seconds: float) -> socket.socket:
    inet = re.fullmatch(r"inet:\[?([^\]]+?)\]?:(\d+)", address)
    if inet:
        return socket.create_connection((inet[1], int(inet[2])), seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address.removeprefix("unix:"))
    except BaseException:
        connection.close()
        raise
    return connection
