"""What Sendgate makes of a message, a reply and a log line, as `sendgate parse` and `sendgate classify` find it.

In: the raw data. Out: `Got`, in words. A part that is not there raises `MissingPartError`, which names it; any other
exception is the product's, and a finding of the bench.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bench.accuracy_corpus import ReplyRow


class MissingPartError(RuntimeError):
    """A part of the product that is not there."""


class Got(NamedTuple):
    """One event: whom it is about, its class, and why."""

    recipient: str
    event_class: str
    reason: str = ""

    @property
    def suppresses(self) -> bool:
        """Whether the policy would refuse this recipient for it, at the first time."""
        return self.event_class in ("hard", "complaint") and bool(self.recipient)


def message_reader() -> Callable[[bytes], list[Got]]:
    """Reads a message into events."""
    try:
        from sendgate.campaign import CampaignResolver
        from sendgate.feedback.mail.parse import Reader, parse_message
        from sendgate.feedback.rules import load_rules
        from sendgate.settings import CampaignSettings
    except ImportError as error:
        raise MissingPartError(f"messages: {error}") from None
    reader = Reader(rules=load_rules(None), resolver=CampaignResolver(CampaignSettings()), now=time.time())

    def read(data: bytes) -> list[Got]:
        return [Got(e.recipient.lower(), str(e.event_class), str(e.type or "")) for e in parse_message(data, reader)]

    return read


def reply_classifier() -> Callable[[ReplyRow], Got]:
    """Judges a reply, given no more than `sendgate classify --json` is."""
    try:
        from sendgate.feedback.classify import classify
        from sendgate.feedback.event import Answer, Phase
        from sendgate.feedback.rules import load_rules
    except ImportError as error:
        raise MissingPartError(f"replies: {error}") from None
    rules = load_rules(None)

    def judge(row: ReplyRow) -> Got:
        verdict = classify(Answer(row.reply, row.smtp_code, row.enhanced, Phase(row.phase)), rules)
        return Got("", str(verdict.event_class), f"{verdict.type} by {verdict.because}")

    return judge


def line_parser() -> Callable[[str], Any]:
    """Reads a line of the log into the product's own record, or None: what the speed is measured with."""
    try:
        from sendgate.feedback.log.maillog import parse_line
    except ImportError as error:
        raise MissingPartError(f"log lines: {error}") from None
    return parse_line


def line_reader() -> Callable[[str], dict[str, Any] | None]:
    """Reads a line of the log into the fields of a delivery event; None when it tells of none."""
    parse = line_parser()
    from sendgate.feedback.log.maillog import Delivery, Expired

    def read(line: str) -> dict[str, Any] | None:
        found = parse(line)
        return found.as_object() if isinstance(found, Delivery | Expired) else None

    return read


def line_judge() -> Callable[[str], str]:
    """The class of what a single line makes happen to a recipient: `none` for a delivery, and for no event."""
    follow = log_follower()

    def judge(line: str) -> str:
        return str(next(iter(follow([line])), Got("", "none")).event_class)

    return judge


def log_follower() -> Callable[[Iterable[str]], list[Any]]:
    """Reads a whole log into events, as the follower does, with its messages joined by queue id."""
    parse = line_parser()
    try:
        from sendgate.campaign import CampaignResolver
        from sendgate.feedback.classify import classify
        from sendgate.feedback.log.queue import QueueTracker
        from sendgate.feedback.rules import load_rules
        from sendgate.settings import CampaignSettings
    except ImportError as error:
        raise MissingPartError(f"a whole log: {error}") from None
    rules, resolver = load_rules(None), CampaignResolver(CampaignSettings())

    def follow(lines: Iterable[str]) -> list[Any]:
        tracker = QueueTracker(resolver, lambda answer: classify(answer, rules))
        events: list[Any] = []
        for line in lines:
            record = parse(line)
            if record is not None:
                events += tracker.feed(record)
        return events

    return follow


def kind_of(event: Any) -> str:
    """What happened, in the words of `maillog`: sent, bounced, deferred or expired."""
    if event.event_class == "none":
        return "sent"
    if event.expired:
        return "expired"
    return "bounced" if event.final else "deferred"
