"""From a message to events: bounces of all kinds, complaints, and what is neither.

In: the octets of a message, a `Reader`. Out: an `Event` for each recipient of whom it tells, [] for ordinary mail.
Nothing is refused, whatever the octets are; nobody is suppressed by what is no report.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from sendgate.campaign import CampaignResolver
from sendgate.feedback.classify import is_own_refusal
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.mail.addresses import first_address, is_address, spelling
from sendgate.feedback.mail.arf import Reading, read_arf
from sendgate.feedback.mail.autoreply import Kind, kind_of
from sendgate.feedback.mail.blocks import Lines
from sendgate.feedback.mail.bouncing import STATUS_TYPES, is_bounce, may_be_bounce
from sendgate.feedback.mail.detectors import GUESSES, failed_recipients
from sendgate.feedback.mail.dsn import read_status
from sendgate.feedback.mail.headers import sent_at
from sendgate.feedback.mail.judging import Judgement, host_in, judge
from sendgate.feedback.mail.mention import Mention
from sendgate.feedback.mail.mime import Message, read_message
from sendgate.feedback.mail.phrases import DELAY, FINAL, fold
from sendgate.feedback.mail.report import Report, read_report
from sendgate.feedback.mail.sent import campaign_of, envelope_senders, proved, sent_to
from sendgate.feedback.mail.unwrap import unwrapped
from sendgate.feedback.rules import Rules
from sendgate.feedback.verp import Verified, VerpChecker

MOST_TEXT = 512
_MOST_OF_ONE = 8
_DELIVERED = ("delivered", "relayed", "expanded")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_WEIGHT = {EventClass.HARD: 4, EventClass.BLOCK: 3, EventClass.SOFT: 2, EventClass.OTHER: 1}


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read messages. now: Unix time; campaign_header: names our campaign in our own mail, or ""."""

    rules: Rules
    resolver: CampaignResolver
    now: float
    verp: VerpChecker | None = None
    campaign_header: str = "X-Campaign-ID"


def parse_message(data: bytes, reader: Reader) -> list[Event]:
    """All events of a message."""
    return events_of(read_message(data), reader)


def events_of(message: Message, reader: Reader) -> list[Event]:
    """All events of a message that is read already."""
    complaints = read_arf(message, Reading(reader.resolver, reader.now, reader.verp, reader.campaign_header))
    return complaints if complaints is not None else _Parsing(message, reader).events()


class _Told(NamedTuple):
    """What is true of all recipients of a report. late: it warns of a delay; persons: of how many it speaks."""

    lines: Lines
    common: Event
    late: bool
    is_success: bool
    persons: int


class _Parsing:
    """The reading of one message."""

    def __init__(self, message: Message, reader: Reader) -> None:
        self._message = message
        self._reader = reader
        self._at = sent_at(message.headers, reader.now)

    def events(self) -> list[Event]:
        if not may_be_bounce(self._message):
            return self._answered()
        report = read_report(self._message)
        if not is_bounce(self._message, report):
            return self._answered()
        lines = Lines(report)
        mentions = _mentions(self._message, report, lines)
        if not mentions:  # perhaps a report within the report of another system
            inner = unwrapped(self._message, report)
            if inner is not None:
                report = read_report(inner)
                lines = Lines(report)
                mentions = _mentions(inner, report, lines)
        return self._of_mentions(mentions or failed_recipients(report, lines, GUESSES), report, lines)

    def _of_mentions(self, mentions: list[Mention], report: Report, lines: Lines) -> list[Event]:
        in_words = any(not one.action for one in mentions)
        late, is_success = in_words and _is_late(report), in_words and report.is_success
        senders = envelope_senders(self._message.headers, report.original)
        candidates = [name for one in mentions for name in (one.original, one.recipient) if name]
        candidates += sorted(report.original.recipients)
        verified = proved(self._reader.verp, senders, candidates, self._reader.now)
        if verified is not None and all(one.guessed_from for one in mentions):
            mentions = [Mention(verified.recipient)]
        campaign, how = campaign_of(
            self._reader.resolver, senders, report.original, self._reader.campaign_header, mentions
        )
        common = Event(
            recipient="",
            event_class=EventClass.NONE,
            campaign=campaign,
            at=self._at,
            source=Source.BOUNCE,
            sent_to=sent_to(self._message.headers),
            derived=(how,) if how else (),
        )
        best: dict[str, Event] = {}
        told = _Told(lines, common, late, is_success, len({spelling(one.recipient) for one in mentions}))
        for mention in _few_of_each(mentions):
            event = self._event(mention, told, verified if told.persons == 1 else None)
            if event is not None:
                before = best.get(event.recipient)
                best[event.recipient] = event if before is None else _more_telling(before, event)
        return list(best.values())

    def _event(self, mention: Mention, told: _Told, verified: Verified | None) -> Event | None:
        recipient, how = _recipient(mention, told.lines.report, verified)
        if not recipient:
            return None
        names = {spelling(name) for name in (mention.recipient, mention.original, recipient) if name}
        deferred = mention.action == "delayed" or (not mention.action and told.late)
        judged = judge(mention, told.lines, names, self._reader.rules, deferred=deferred, persons=told.persons)
        event = told.common._replace(
            recipient=recipient,
            event_class=judged.verdict.event_class,
            type=judged.verdict.type,
            status=judged.status,
            code=judged.code,
            text=one_line(judged.words),
            host=_host(mention, judged),
            queue_id=mention.queue_id,
            final=not deferred,
            derived=(*told.common.derived, *((how,) if how else ())),
        )
        if mention.action == "complaint":
            return event._replace(event_class=EventClass.COMPLAINT, type=None, source=Source.COMPLAINT)
        if mention.action in _DELIVERED or (not mention.action and told.is_success):
            return event._replace(event_class=EventClass.NONE, type=None)
        if is_own_refusal(judged.words):
            return event._replace(event_class=EventClass.NONE, type=None, final=False)
        return event

    def _answered(self) -> list[Event]:
        """An automatic reply: its sender is there. Not final: it proves no delivery of a certain message."""
        if kind_of(self._message) is not Kind.REPLY:
            return []
        sender = spelling(first_address(self._message.headers.get("from")))
        if not is_address(sender):
            return []
        to = sent_to(self._message.headers)
        return [
            Event(
                sender,
                EventClass.NONE,
                at=self._at,
                source=Source.BOUNCE,
                final=False,
                sent_to=to,
                derived=("automatic reply",),
            )
        ]


def one_line(text: str) -> str:
    """A text as an event keeps it: one line, cut."""
    return _UNPRINTABLE.sub(" ", text[: 4 * MOST_TEXT]).strip()[:MOST_TEXT]


def _few_of_each(mentions: list[Mention]) -> list[Mention]:
    """The mentions without those that say the same of one recipient, or are too many of one."""
    seen: Counter[str] = Counter()
    few = []
    for mention in dict.fromkeys(mentions):
        seen[mention.recipient] += 1
        if seen[mention.recipient] <= _MOST_OF_ONE:
            few.append(mention)
    return few


def _mentions(message: Message, report: Report, lines: Lines) -> list[Mention]:
    """The recipients that a report names: in its delivery status, else in its words."""
    mentions = [
        mention for part in message.of_type(*STATUS_TYPES) if not part.embedded for mention in read_status(part.text)
    ]
    mentions = [one for one in mentions if _recipient(one, report, None)[0]]
    return mentions or failed_recipients(report, lines)


def _recipient(mention: Mention, report: Report, verified: Verified | None) -> tuple[str, str]:
    """The address that we mailed, normalised, and how it was found when the report does not simply say it.

    Whom our own signed sender names; else the one of the report's addresses that the returned message went to; else
    the original recipient rather than the one that it was forwarded to.
    """
    named = [spelling(one) for one in (mention.original, mention.recipient) if is_address(one)]
    if verified is not None:
        return verified.recipient, "" if verified.recipient in named else "recipient from the signed sender"
    for one in named:
        if one in report.original.recipients:
            return one, _derived(mention)
    named = [one for one in named if not report.is_own(one)]
    if named:
        return named[0], _derived(mention)
    local = next((one for one in (mention.original, mention.recipient) if one and "@" not in one), "")
    completed = report.original.with_local(local)
    return completed, "domain from the returned message" if completed else ""


def _derived(mention: Mention) -> str:
    return f"recipient from {mention.guessed_from}" if mention.guessed_from else ""


def _is_late(report: Report) -> bool:
    """Whether a report in free text warns of a delay, and nothing has failed for good yet."""
    subject = report.headers.decoded("subject")[:300]
    words = fold(f"{subject}\n{report.text[:4000]}")
    return DELAY.are_in(words) and not FINAL.are_in(words)


def _host(mention: Mention, judged: Judgement) -> str:
    host = mention.host.split(" ")[0].strip("[]()<>;")
    return host.lower()[:255] if host else host_in(judged.words)


def _more_telling(one: Event, other: Event) -> Event:
    """Of two events of one recipient that which says more: a known reason, then the graver class; else the first."""
    known = (one.type is not BounceType.OTHER, other.type is not BounceType.OTHER)
    if known[0] != known[1]:
        return one if known[0] else other
    return other if _WEIGHT.get(other.event_class, 0) > _WEIGHT.get(one.event_class, 0) else one
