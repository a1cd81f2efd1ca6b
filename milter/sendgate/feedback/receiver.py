"""A bounce or a complaint that came as a message: read, judged, believed or not, taken in.

In: a message, and whom it came to. Out: its events, each with whether it is believed (`Judged`); what is believed is
taken in, the rest is counted. Refused: nothing; a message that is neither changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sendgate import events
from sendgate.feedback.event import Event, EventClass
from sendgate.feedback.intake import Intake
from sendgate.feedback.mail.mime import read_message
from sendgate.feedback.mail.parse import Reader, events_of
from sendgate.feedback.trust import Belief, Trust, facts_of, judge
from sendgate.metrics_feedback import REPORTS

VOUCHED = "trusted"
"""The word for what an operator vouches for."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An event, whether it is believed, and the word for why."""

    event: Event
    believed: bool
    why: str


class Receiver:
    """Takes messages in.

    reader: reads messages, given the time; intake: None for a dry run, which changes and counts nothing; tell: write
    log lines.
    """

    def __init__(
        self,
        reader: Callable[[float], Reader],
        trust: Trust,
        intake: Intake | None,
        *,
        tell: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._trust = trust
        self._intake = intake
        self._tell = tell
        self._now = now

    def receive(self, data: bytes, recipients: Sequence[str] = (), *, vouched: bool = False) -> list[Judged]:
        """Take one message in. recipients: whom it came to, as far as is known; vouched: believe it whatever it is.

        Raises what the intake raises; then nothing was taken in.
        """
        judged = self.judge(data, recipients, vouched=vouched)
        if self._intake is not None and judged:
            counts = Counter((REPORTS, "", one.why) for one in judged)
            self._intake.take([one.event for one in judged if one.believed], counts)
            for one in judged if self._tell else ():
                if not one.believed:
                    events.report_not_believed(one.event.source.value, one.why, one.event.campaign)
        return judged

    def judge(self, data: bytes, recipients: Sequence[str] = (), *, vouched: bool = False) -> list[Judged]:
        """What a message says, and whether it is believed. Changes nothing."""
        now = self._now()
        message = read_message(data)
        told = [one for one in events_of(message, self._reader(now)) if one.event_class is not EventClass.NONE]
        if not told:
            return []
        facts = facts_of(message, recipients)
        return [_judged(event, judge(event, facts, self._trust, now), vouched) for event in told]


def _judged(event: Event, belief: Belief, vouched: bool) -> Judged:
    """An event with what is known of it now. A signature tells whom we wrote to better than the report does."""
    if belief.believed and belief.recipient and belief.recipient != event.recipient:
        event = event._replace(recipient=belief.recipient, derived=(*event.derived, "verp"))
    if vouched and not belief.believed:
        return Judged(event, True, VOUCHED)
    return Judged(event, belief.believed, belief.why.value)
