"""Figures of Postfix's queue: how many messages, how old, how large.

In: messages as showq tells them, the present. Out: `QueueFigures`.
Refused: nothing; a queue of a name that Postfix does not have today is left out. A message from the future is new.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

from sendgate.metrics_queue import AGES, QUEUES, QueueFigures
from sendgate.mta.showq import Message

_LIMITS = [seconds for _, seconds in AGES if seconds is not None]


class Tally:
    """Adds messages up as they come. now: Unix time in seconds."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._messages: Counter[tuple[str, int]] = Counter()
        self._octets: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def add(self, messages: Iterable[Message]) -> None:
        """Count these, too."""
        for queue, arrived, size in messages:
            self._messages[queue, bisect_right(_LIMITS, self._now - arrived)] += 1
            self._octets[queue] += size
            if arrived < self._first.get(queue, arrived + 1):
                self._first[queue] = arrived

    def figures(self) -> QueueFigures:
        """All of them, zeros included."""
        return QueueFigures(
            messages={
                (queue, age): self._messages[queue, place] for queue in QUEUES for place, (age, _) in enumerate(AGES)
            },
            oldest={queue: max(self._now - self._first.get(queue, self._now), 0.0) for queue in QUEUES},
            octets={queue: self._octets[queue] for queue in QUEUES},
        )
