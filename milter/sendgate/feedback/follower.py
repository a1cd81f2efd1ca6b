"""Following Postfix's log: lines into events, events into the intake, the place in the log saved with them.

In: the log file, a tracker that joins lines, the intake, the state. Out: changed lists and counts, batch by batch.
Refused: nothing; while the origin or the state is away the same batch is tried again, and the log waits on the disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sendgate import events
from sendgate.campaign import CampaignResolver
from sendgate.feedback.classify import classify
from sendgate.feedback.event import Event
from sendgate.feedback.intake import Intake
from sendgate.feedback.log.maillog import parse_line
from sendgate.feedback.log.milters import failed_milter
from sendgate.feedback.log.queue import OpenMessage, QueueTracker
from sendgate.feedback.log.tail import LogFile, Position
from sendgate.feedback.rules import Rules
from sendgate.feedback.state import State, StateError
from sendgate.metrics_feedback import MILTER_FAILURES

POSITION = "position"
BATCH_OCTETS = 1 << 20
LOOK_EVERY_SECONDS = 0.25
RETRY_FIRST_SECONDS = 0.5
RETRY_MOST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to follow and how. retry_on: the errors of an origin that is away."""

    log: Path
    rules: Rules
    resolver: CampaignResolver
    state: State
    intake: Intake
    retry_on: tuple[type[Exception], ...]


@dataclass(slots=True)
class Batch:
    """Lines read at once: their events, what else is counted, and the place behind them."""

    events: list[Event] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    position: Position | None = None
    open_messages: dict[str, OpenMessage | None] = field(default_factory=dict)


class Follower:
    """Follows one log. `run` it until its waiting says so, or `step` it."""

    def __init__(self, plan: Plan) -> None:
        """Take up where the state says. Raises StateError."""
        self._plan = plan
        saved = plan.state.get(POSITION)
        self._is_placed = saved is not None
        self._file = LogFile(plan.log, Position.of(saved) if saved else None)
        self._tracker = QueueTracker(plan.resolver, lambda answer: classify(answer, plan.rules))
        self._tracker.restore(
            {queue_id: OpenMessage.of(value) for queue_id, value in plan.state.open_messages().items()}
        )

    def run(self, wait: Callable[[float], bool]) -> None:
        """Follow until `wait`, called with seconds, says that it is enough."""
        while True:
            batch = self.read()
            if batch.position is None:
                if wait(LOOK_EVERY_SECONDS):
                    return
            elif not self._taken(batch, wait) or wait(0):
                return

    def read(self) -> Batch:
        """The next lines; a batch without position when there is nothing new."""
        self._note_the_beginning()
        batch, now = Batch(), time.time()
        for line, position in self._file.read(BATCH_OCTETS):
            batch.position = position
            try:
                record = parse_line(line, now)
                if record is not None:
                    batch.events += self._tracker.feed(record)
                elif (milter := failed_milter(line)) is not None:
                    batch.counts[MILTER_FAILURES, "", milter] += 1
            except Exception as error:  # a line of others' words must not stop all that come after it
                events.internal_error("feedback", f"line before octet {position.offset} of the log", error)
        if batch.position is not None:
            batch.open_messages = self._tracker.changes()
        return batch

    def _note_the_beginning(self) -> None:
        """Save the place before the first line: killed before the first batch is saved, one would not know the file.

        It may be rotated by then, and the new one is not all of the log.
        """
        place = None if self._is_placed else self._file.place()
        if place is not None:
            with self._plan.state.transaction():
                self._plan.state.put(POSITION, place.as_object())
            self._is_placed = True

    def take(self, batch: Batch) -> None:
        """Take a batch in, and save the place behind it. Raises what the origin raises, and StateError."""
        self._plan.intake.take(batch.events, batch.counts, lambda state: _save(state, batch))

    def _taken(self, batch: Batch, wait: Callable[[float], bool]) -> bool:
        """Take a batch in, with patience. False when there shall be no further try; then nothing of it was saved."""
        delay, told = RETRY_FIRST_SECONDS, False
        patient_with: tuple[type[Exception], ...] = (StateError, *self._plan.retry_on)
        while True:
            try:
                self.take(batch)
            except patient_with as error:
                if not told:
                    events.feedback_waits(str(error))
                    told = True
                if wait(delay):
                    return False
                delay = min(2 * delay, RETRY_MOST_SECONDS)
                continue
            if told:
                events.feedback_goes_on()
            return True


def _save(state: State, batch: Batch) -> None:
    if batch.position is not None:
        state.put(POSITION, batch.position.as_object())
    state.put_open_messages(
        {
            queue_id: None if message is None else message.as_object()
            for queue_id, message in batch.open_messages.items()
        }
    )
