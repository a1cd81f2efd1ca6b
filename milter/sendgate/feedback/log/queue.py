"""Joins the lines of a log by queue id: from records to events, with the campaign of the message.

In: the records of `maillog`, in the order of the log. Out: an `Event` for each attempt that says something about a
recipient, and for each recipient of a message that expired.
Nothing is refused. No event comes from: address probes (deliverable, undeliverable); mail with a null sender or of
Postfix's `double-bounce`; `discard`, which reaches nobody; refusals of a Sendgate gate.

The recipient of an event is the address that the gate was asked about. Postfix logs it as `orig_to` when an alias or a
rewriting led elsewhere, to `to`. The failure of `to` is that of `orig_to` only if that led to nobody else: so
`orig_to` counts when the message is known to have this one recipient, and it is a full address; else `to` does.

Messages under way are kept until `removed`, up to a number of them, and as many recipients that wait; those that were
not heard of for longest are forgotten first. `changes` and `restore` carry them over a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from sendgate.address import AddressError, parse, parse_plain
from sendgate.campaign import CampaignResolver
from sendgate.feedback.classify import is_own_refusal
from sendgate.feedback.event import Answer, BounceType, Event, EventClass, Phase, Source, Verdict
from sendgate.feedback.log.maillog import Delivery, Expired, Opened, Queued, Record, Removed
from sendgate.feedback.log.remote import Remote

MAX_OPEN = 200_000
REMEMBERED_ANSWERS = 4096
MAX_TEXT = 512
MAX_ADDRESS = 320
PROBES = frozenset({"deliverable", "undeliverable"})
_FINAL = frozenset({"sent", "bounced", "expired", "force-expired"})
_PHASES = {
    "EHLO": Phase.HELO,
    "HELO": Phase.HELO,
    "LHLO": Phase.HELO,
    "STARTTLS": Phase.HELO,
    "AUTH": Phase.HELO,
    "MAIL FROM": Phase.MAIL,
    "RCPT TO": Phase.RCPT,
    "DATA": Phase.DATA,
    "end of DATA": Phase.END_OF_DATA,
}

_DELIVERED = EventClass.NONE

Classify = Callable[[Answer], Verdict]


class Waiting(NamedTuple):
    """A recipient whose message was deferred: the last answer."""

    full: bool
    status: str
    code: str
    text: str
    host: str


@dataclass(slots=True)
class OpenMessage:
    """A message in the queue.

    sender: None until it was seen. recipients: the most it had at once, 0 when its beginning was not seen.
    waiting: those that were deferred and had no final answer yet. campaign: found out when first asked for.
    """

    sender: str | None = None
    login: str = ""
    opened: bool = False
    recipients: int = 0
    waiting: dict[str, Waiting] = field(default_factory=dict)
    campaign: str | None = None

    def as_object(self) -> list[object]:
        """What JSON can hold; `of` takes it back."""
        return [self.sender, self.login, self.opened, self.recipients, {to: [*one] for to, one in self.waiting.items()}]

    @classmethod
    def of(cls, value: Any) -> OpenMessage:
        sender, login, opened, recipients, waiting = value
        return cls(sender, login, opened, recipients, {to: Waiting(*one) for to, one in waiting.items()})

    @property
    def is_ours(self) -> bool:
        """Whether Postfix itself sends it: a bounce, or a probe."""
        return self.sender is not None and (self.sender == "" or self.sender.startswith("double-bounce@"))


class QueueTracker:
    """Follows messages through the queue. max_open: how many messages, and recipients that wait, are kept."""

    def __init__(self, resolver: CampaignResolver, classify: Classify, max_open: int = MAX_OPEN) -> None:
        self._resolver = resolver
        # the next attempts at a queue of messages mostly meet with the same answer
        self._classify = lru_cache(maxsize=REMEMBERED_ANSWERS)(classify)
        self._most = max_open
        self._open: OrderedDict[str, OpenMessage] = OrderedDict()
        self._waiting = 0
        self._changed: set[str] = set()
        self._saved: set[str] = set()

    def feed(self, record: Record) -> list[Event]:
        """Take the next record in. Returns what it says about recipients."""
        if isinstance(record, Delivery):
            return self._deliver(record.key, record)
        if isinstance(record, Removed):
            self._forget(record.key)
        elif isinstance(record, Queued):
            self._queued(record.key, record)
        elif isinstance(record, Opened):
            if record.key in self._open:  # a queue id is used again as soon as it is free
                self._forget(record.key)
            self._keep(record.key, OpenMessage(None, record.login, True))
        else:
            return self._expire(record.key, record)
        return []

    def waiting_for(self, record: Record) -> list[str]:
        """The recipients of a record's message that were deferred and had no final answer yet."""
        message = self._open.get(record.key)
        return [*message.waiting] if message else []

    def campaign_of(self, record: Delivery | Expired) -> str:
        """The campaign of a record's message."""
        message = self._open.get(record.key)
        if message is None:
            message = OpenMessage(sender=record.sender if isinstance(record, Expired) else None)
        return self._campaign(message)

    def changes(self) -> dict[str, OpenMessage | None]:
        """The messages that are new or other than at the last call, by key; None for those that are gone.

        The messages are those that the tracker goes on with: write them down before the next `feed`.
        """
        changed = {key: self._open.get(key) for key in self._changed}
        self._saved.update(key for key, message in changed.items() if message)
        self._saved.difference_update(key for key, message in changed.items() if message is None)
        self._changed.clear()
        return changed

    def restore(self, messages: Mapping[str, OpenMessage]) -> None:
        """Take messages back that `changes` gave."""
        self._saved.update(messages)
        for key, message in messages.items():
            self._open[key] = message
            self._waiting += len(message.waiting)
        self._shed()

    def _queued(self, key: str, record: Queued) -> None:
        message = self._open.get(key)
        if message is None:
            message = OpenMessage()
            self._keep(key, message)
        most = max(message.recipients, record.recipients) if message.opened else 0
        if message.sender != record.sender or message.recipients != most:
            message.sender, message.recipients, message.campaign = record.sender, most, None
            self._changed.add(key)

    def _deliver(self, key: str, record: Delivery) -> list[Event]:
        message = self._open.get(key)
        if message is None:
            message = OpenMessage()
        recipient = recipient_of(record, message.recipients)
        if not recipient or message.is_ours or record.status in PROBES or record.head.daemon == "discard":
            return []
        if record.status == "sent":
            self._done(key, message, recipient)
            return [
                Event(
                    recipient,
                    _DELIVERED,
                    None,
                    record.dsn or "",
                    "",
                    (record.text or "")[:MAX_TEXT],
                    self._campaign(message),
                    record.relay.partition("[")[0] if "[" in record.relay else "",
                    record.head.queue_id,
                    record.at,
                )
            ]
        event = self._failed(record, message, recipient)
        if event is None or event.final:
            self._done(key, message, recipient)
        else:
            self._wait(key, message, event)
        return [event] if event else []

    def _failed(self, record: Delivery, message: OpenMessage, recipient: str) -> Event | None:
        """The event of an attempt that failed; None for a refusal of our own."""
        if record.text and is_own_refusal(record.text):
            return None
        remote = record.remote()
        verdict = self._classify(answer_of(record, remote))
        return Event(
            recipient,
            verdict.event_class,
            verdict.type,
            status=(remote.enhanced if remote else "") or record.dsn or "",
            code=remote.smtp_code if remote else "",
            text=(remote.reply if remote else record.text or "")[:MAX_TEXT],
            campaign=self._campaign(message),
            host=remote.host if remote else "",
            queue_id=record.head.queue_id,
            at=record.at,
            final=record.status in _FINAL,
        )

    def _expire(self, key: str, record: Expired) -> list[Event]:
        message = self._open.get(key)
        if message is None:
            return []
        message.sender, message.campaign = record.sender, None
        waiting, message.waiting = message.waiting, {}
        self._waiting -= len(waiting)
        self._keep(key, message)
        if message.is_ours:
            return []
        campaign = self._campaign(message)
        return [
            Event(
                recipient,
                EventClass.SOFT,
                BounceType.FULL if last.full else BounceType.EXPIRED,
                last.status,
                last.code,
                last.text,
                campaign,
                last.host,
                record.head.queue_id,
                record.at,
                Source.LOG,
                expired=True,
            )
            for recipient, last in waiting.items()
        ]

    def _campaign(self, message: OpenMessage) -> str:
        if message.campaign is None:
            message.campaign = self._resolver.resolve("", message.sender or "", message.login).campaign.name
        return message.campaign

    def _wait(self, key: str, message: OpenMessage, event: Event) -> None:
        self._waiting += event.recipient not in message.waiting
        full = event.type is BounceType.FULL
        message.waiting[event.recipient] = Waiting(full, event.status, event.code, event.text, event.host)
        self._keep(key, message)

    def _done(self, key: str, message: OpenMessage, recipient: str) -> None:
        if recipient in message.waiting:
            del message.waiting[recipient]
            self._waiting -= 1
            self._changed.add(key)

    def _keep(self, key: str, message: OpenMessage) -> None:
        self._open[key] = message
        self._open.move_to_end(key)
        self._changed.add(key)
        if len(self._open) > self._most or self._waiting > self._most:
            self._shed()

    def _forget(self, key: str) -> None:
        message = self._open.pop(key, None)
        if message is None:
            return
        self._waiting -= len(message.waiting)
        if key in self._saved:
            self._changed.add(key)
        else:
            self._changed.discard(key)

    def _shed(self) -> None:
        while self._open and (len(self._open) > self._most or self._waiting > self._most):
            self._forget(next(iter(self._open)))


def recipient_of(record: Delivery, recipients: int) -> str:
    """Whom a delivery concerns, normalised when it can be (see above). recipients: of the message, 0: not known."""
    if record.orig_to and recipients == 1:
        try:
            return parse(record.orig_to).text
        except AddressError:
            pass
    plain = parse_plain(record.to)
    if plain is not None:
        return plain.text
    try:
        return parse(record.to).text
    except AddressError:
        return record.to[:MAX_ADDRESS]


def answer_of(record: Delivery, remote: Remote | None) -> Answer:
    """What a delivery's text says, for the classification."""
    deferred = record.status not in _FINAL
    if remote is None:
        # nobody but Postfix spoke: its code is the only one there is
        phase = Phase.HELO if (record.text or "").startswith("SASL authentication failed") else Phase.UNKNOWN
        return Answer(record.text or "", enhanced=record.dsn or "", phase=phase, deferred=deferred)
    phase = Phase.CONNECT if remote.refused else _PHASES.get(remote.phase, Phase.UNKNOWN)
    return Answer(remote.reply, remote.smtp_code, remote.enhanced, phase, deferred, remote.host)
