"""Strikes: failures that are remembered, and what a number of them makes of an address. Pure.

In: strikes, settings, the time. Out: what they amount to, when they are forgotten, and their text in a note.
Nothing is refused; what is no strike in a text is passed over.

    bad_mailbox/4F1B2C/1795341600     kind, id of the event, Unix time
    bad_mailbox?/4F1B2D/1795341700    doubted: its provider's breaker was open

Bad and inactive mailboxes count together, as far as they lie within `hard_within` of each other. Full mailboxes and bad
domains are rows: each failure goes on from the one before, unless that is forgotten. A doubted strike suppresses for a
while, and never counts towards for ever.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from sendgate.entry import MAX_TIME, Reason
from sendgate.feedback.event import BounceType, Event
from sendgate.settings_feedback import FeedbackSettings

MAX_KEPT = 8
COMPLAINT = "complaint"

_QUEUE_ID = re.compile(r"[0-9A-Za-z]{5,24}")
_STRIKE = re.compile(r"([a-z_]{1,20})(\??)/([~0-9A-Za-z]{1,24})/([0-9]{1,10})")


class Strike(NamedTuple):
    """One failure: a bounce type (or `complaint`), the id of its event, when. doubted: the breaker was open."""

    kind: str
    id: str
    at: int
    doubted: bool = False


class Group(Enum):
    """Strikes that count together; the value is the reason of the entry that they make."""

    HARD = Reason.HARD_BOUNCE
    FULL = Reason.SOFT_BOUNCE
    DOMAIN = Reason.INVALID_DOMAIN
    COMPLAINT = Reason.COMPLAINT


GROUPS: dict[str, Group] = {
    BounceType.BAD_MAILBOX: Group.HARD,
    BounceType.INACTIVE: Group.HARD,
    BounceType.FULL: Group.FULL,
    BounceType.BAD_DOMAIN: Group.DOMAIN,
    COMPLAINT: Group.COMPLAINT,
}


class Outcome(NamedTuple):
    """The suppression that strikes make: until when, None for ever."""

    expires: int | None

    def over(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now


def event_id(event: Event) -> str:
    """What tells an event from others about its subject: the queue id, else a hash of what never names a person."""
    if _QUEUE_ID.fullmatch(event.queue_id):
        return event.queue_id
    facts = (event.queue_id, event.at, event.code, event.status, event.host, event.campaign, event.source, event.type)
    text = "\0".join(map(str, facts)).encode(errors="replace")
    return "~" + hashlib.blake2b(text, digest_size=6).hexdigest()


def write(strikes: Iterable[Strike]) -> str:
    """Strikes as a note has them."""
    return ",".join(f"{kind}{'?' if doubted else ''}/{id_}/{at}" for kind, id_, at, doubted in strikes)


def read(text: str) -> tuple[Strike, ...]:
    """The strikes of a note, oldest first."""
    found = (_STRIKE.fullmatch(word) for word in text[:2000].split(",")[: 4 * MAX_KEPT])
    return in_order(Strike(one[1], one[3], int(one[4]), one[2] == "?") for one in found if one)


def in_order(strikes: Iterable[Strike]) -> tuple[Strike, ...]:
    """Strikes oldest first, each event once."""
    by_event = {(strike.kind, strike.id): strike for strike in strikes}
    return tuple(sorted(by_event.values(), key=lambda strike: (strike.at, strike.id)))


def of_group(strikes: Iterable[Strike], group: Group) -> tuple[Strike, ...]:
    """Those that count together."""
    return tuple(strike for strike in strikes if GROUPS.get(strike.kind) is group)


def outcome(group: Group, strikes: Iterable[Strike], settings: FeedbackSettings) -> Outcome | None:
    """What the strikes of one group make; None: nothing (yet)."""
    ordered = in_order(strikes)
    if not ordered:
        return None
    match group:
        case Group.HARD:
            return _of_hard(ordered, settings)
        case Group.FULL:
            return Outcome(ordered[-1].at + _full_seconds(len(ordered), settings))
        case Group.DOMAIN:
            lasted = ordered[-1].at - ordered[0].at >= settings.domain_over
            return Outcome(None) if lasted and len(ordered) >= settings.domain_strikes else None
        case Group.COMPLAINT:
            return Outcome(None)


def forgotten_at(strikes: Iterable[Strike], settings: FeedbackSettings) -> int:
    """When the last of them is forgotten; 0 when there are none."""
    ends = [_row_end(group, strikes_of, settings) for group, strikes_of in _grouped(strikes) if strikes_of]
    return min(max(ends, default=0), MAX_TIME)


def remembered(strikes: Iterable[Strike], now: float, settings: FeedbackSettings) -> tuple[Strike, ...]:
    """Those that are not forgotten by now, at most MAX_KEPT, oldest first."""
    left: list[Strike] = []
    for group, of_this in _grouped(strikes):
        if group is Group.HARD:
            left += [strike for strike in of_this if strike.at + settings.hard_within >= now]
        elif of_this and _row_end(group, of_this, settings) >= now:
            left += of_this
    return _newest(in_order(left))


def _newest(ordered: tuple[Strike, ...]) -> tuple[Strike, ...]:
    """The newest of them. A row of a domain keeps its first, too: how long it lasts is what counts."""
    if len(ordered) <= MAX_KEPT:
        return ordered
    row = of_group(ordered, Group.DOMAIN)
    rest = ordered[-(MAX_KEPT - 1) :]
    return (row[0], *rest) if row and row[0] not in rest else ordered[-MAX_KEPT:]


def _of_hard(ordered: tuple[Strike, ...], settings: FeedbackSettings) -> Outcome:
    certain = [strike.at for strike in ordered if not strike.doubted]
    runs = zip(certain, certain[settings.hard_strikes - 1 :], strict=False)
    if any(last - first <= settings.hard_within for first, last in runs):
        return Outcome(None)
    return Outcome(ordered[-1].at + settings.hard_provisional)


def _full_seconds(strikes: int, settings: FeedbackSettings) -> int:
    return int(min(settings.full_first * 4 ** (strikes - 1), settings.full_most))


def _row_end(group: Group, ordered: tuple[Strike, ...], settings: FeedbackSettings) -> int:
    last = ordered[-1].at
    if group is Group.FULL:
        return last + _full_seconds(len(ordered), settings) + settings.hard_within
    return last + settings.hard_within + (settings.domain_over if group is Group.DOMAIN else 0)


def _grouped(strikes: Iterable[Strike]) -> list[tuple[Group, tuple[Strike, ...]]]:
    ordered = in_order(strikes)
    return [(group, of_group(ordered, group)) for group in Group]
