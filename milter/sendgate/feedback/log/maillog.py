"""A line of Postfix's log: what it says, if it concerns the delivery of a message.

In: one line, with an RFC 3164 or RFC 3339 time stamp, and the present (for the year). Out: a record (`Delivery`,
`Expired`, `Opened`, `Queued`, `Removed`), or None for all other lines: other programs, `milter-reject` and other
refusals, warnings.
Nothing is refused: a line that is cut off before its status is none of ours.

Only what Postfix itself writes in a fixed place is read, from the left: addresses and the text in parentheses come
from others, and may hold whatever looks like a log line. A delivery line is

    STAMP HOST PROGRAM/DAEMON[PID]: QUEUEID: to=<A>, orig_to=<B>, relay=R, ..., delay=D, ..., dsn=N, status=S (TEXT)

PROGRAM is `syslog_name`, which must contain "postfix": postfix, postfix-out, postfix/submission.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from sendgate.feedback.log.remote import Remote, read_remote
from sendgate.feedback.log.stamps import unix_time

STATUSES = frozenset(
    {"sent", "deferred", "bounced", "expired", "force-expired", "deliverable", "undeliverable", "SOFTBOUNCE"}
)
"""The last: what would have bounced, but for `soft_bounce`."""

_FRONT = re.compile(
    r"(?:<\d{1,3}>)?"
    r"([A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" (\S{1,255})"
)
_TAG = re.compile(r"([^\s\[]{0,64}?postfix[^\s\[]{0,128})/([a-z]{1,32})\[(\d{1,10})")
_NO_QUEUE_ID = frozenset({"NOQUEUE", "warning", "error", "fatal", "panic", "info", "statistics"})
_MAX_QUEUE_ID = 40
_PATH = r'(?:<("(?:[^"\\]++|\\.)*+"@[^\s<>,"]*+|[^"<>]*+)>|([^<>,\s"]++))'
_PATH_AS_IT_COMES = r"<(.{0,1024}?)>"  # Postfix before 3.5 writes local parts without their quotes
_REST = (
    r",\s*relay=([^,]{0,512}+)(?:,\s*(?!delay=|dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s*delay=([\d.]++))?(?:,\s*(?!dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s*dsn=(\d\.\d{1,3}\.\d{1,3}))?(?:,\s*(?!status=)[a-z_]++=[^,\s]*+)*+"
    r",\s*status=([A-Za-z-]++)(?:\s+\((.*))?"
)
_DELIVERY = re.compile(rf"to={_PATH}(?:,\s*orig_to={_PATH})?{_REST}", re.DOTALL)
_OLD_DELIVERY = re.compile(
    rf"to={_PATH_AS_IT_COMES}()(?:,\s*orig_to={_PATH_AS_IT_COMES}())?(?=,\s*relay=){_REST}", re.DOTALL
)
_FROM = re.compile(rf"from={_PATH}, (?:size=\d++, nrcpt=(\d{{1,9}}) |status=((?:force-)?expired), returned to sender)")
_LOGIN = ", sasl_username="
_AFTER_LOGIN = re.compile(r", (?:sasl_sender|orig_\w+)=")
_RELAY = re.compile(r"([^\[]++)\[([^\]]*+)\](?::(\d{1,5}))?")


class Head(NamedTuple):
    """What a line begins with."""

    timestamp: str
    host: str
    program: str
    daemon: str
    pid: int
    queue_id: str


class Delivery(NamedTuple):
    """An attempt to deliver to one recipient. orig_to, delay, dsn, text: None when the line has none.

    key: the queue id, told apart from the same one of another instance of Postfix; at: Unix time in seconds.
    """

    key: str
    head: Head
    to: str
    orig_to: str | None
    relay: str
    delay: str | None
    dsn: str | None
    status: str
    text: str | None
    at: int

    def remote(self) -> Remote | None:
        """The other server's answer; None when Postfix speaks for itself, or the recipient was accepted."""
        return read_remote(self.text) if self.text and self.status != "sent" else None

    def relay_parts(self) -> tuple[str, str, str | None] | None:
        """Name, address (or the path of a socket) and port of the next hop; None when there was none."""
        return _relay_parts(self.relay)

    def as_object(self) -> dict[str, object]:
        """All fields by name; those that the line does not have are absent."""
        timestamp, host, program, daemon, pid, queue_id = self.head
        shown: dict[str, object] = {
            "timestamp": timestamp,
            "host": host,
            "program": program,
            "daemon": daemon,
            "pid": pid,
            "queue_id": queue_id,
            "to": self.to,
            "relay": self.relay,
            "status": self.status,
        }
        if relay := self.relay_parts():
            shown["relay_host"], shown["relay_ip"], port = relay
            if port is not None:
                shown["relay_port"] = port
        if self.orig_to is not None:
            shown["orig_to"] = self.orig_to
        if self.delay is not None:
            shown["delay"] = self.delay
        if self.dsn is not None:
            shown["dsn"] = self.dsn
        if self.text is not None:
            shown["text"] = self.text
        if remote := self.remote():
            shown.update(remote.as_object())
        return shown


class Expired(NamedTuple):
    """Postfix gave a message up (or an operator, with `postsuper -f`); whom it had not reached is not told."""

    key: str
    head: Head
    sender: str
    at: int

    def as_object(self) -> dict[str, object]:
        return self.head._asdict() | {"sender": self.sender, "status": "expired"}


class Opened(NamedTuple):
    """A message came in, by SMTP or locally. login: the client's SASL login, "" when there was none."""

    key: str
    login: str


class Queued(NamedTuple):
    """A message is in the active queue: its envelope sender, and how many recipients are left."""

    key: str
    sender: str
    recipients: int


class Removed(NamedTuple):
    """A message left the queue."""

    key: str


Record = Delivery | Expired | Opened | Queued | Removed


Reader = Callable[["Tag", tuple[str, str], str, str, int, float | None], "Record | None"]


class Tag(NamedTuple):
    """Which program wrote a line. instance: what the queue ids of one Postfix are told apart from another's by.

    read: makes a record of its line; given the tag, stamp and host, the queue id, the line, where the text after the
    queue id starts, and the present.
    """

    program: str
    daemon: str
    pid: int
    instance: str
    read: Reader

    def head(self, front: tuple[str, str], queue_id: str) -> Head:
        return Head(front[0], front[1], self.program, self.daemon, self.pid, queue_id)


def parse_line(line: str, now: float | None = None) -> Record | None:
    """What a line says about a message; None when it says nothing that concerns us. now: else the clock's."""
    # plain searches and what is remembered of earlier lines: a pattern for the whole line takes twice as long
    end = line.find("]: ")
    middle = line.rfind(" ", 0, end) if end > 0 else -1
    tag = _read_tag(line[middle + 1 : end]) if middle > 0 else None
    if tag is None:
        return None
    colon = line.find(": ", end + 3, end + 5 + _MAX_QUEUE_ID)
    queue_id = line[end + 3 : colon]
    if colon < 0 or not queue_id.isalnum() or queue_id in _NO_QUEUE_ID:
        return None
    front = _read_front(line[:middle])
    return tag.read(tag, front, queue_id, line, colon + 2, now) if front else None


@lru_cache(maxsize=4096)
def _read_tag(text: str) -> Tag | None:
    found = _TAG.fullmatch(text)
    read = _READERS.get(found[2]) if found else None
    if found is None or read is None:
        return None
    name = found[1].partition("/")[0]
    return Tag(found[1], found[2], int(found[3]), "" if name == "postfix" else f"{name}/", read)


@lru_cache(maxsize=1024)
def _read_front(text: str) -> tuple[str, str] | None:
    found = _FRONT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def _read_delivery(
    tag: Tag, front: tuple[str, str], queue_id: str, line: str, start: int, now: float | None
) -> Delivery | None:
    if not line.startswith("to=", start):
        return None
    found = _DELIVERY.match(line, start) or _OLD_DELIVERY.match(line, start)
    if found is None:
        return None
    to, bare_to, orig, bare_orig, relay, delay, dsn, status, text = found.groups()
    if status not in STATUSES:
        return None
    if to is None:
        to = bare_to
    if text is not None:
        text = _closed(text)
    head, at = tag.head(front, queue_id), _time_of(front[0], now)
    return Delivery(tag.instance + queue_id, head, to, bare_orig or orig, relay, delay, dsn, status, text, at)


@lru_cache(maxsize=4096)
def _relay_parts(relay: str) -> tuple[str, str, str | None] | None:
    found = _RELAY.fullmatch(relay)
    return None if found is None else (found[1], found[2], found[3])


def _closed(text: str) -> str:
    """The text up to its closing parenthesis. Loggers add to a line and cut it off; a text that lost its end is
    all there is."""
    text = text.rstrip()
    if text.endswith(")"):
        return text[:-1]
    inside, closing, _ = text.rpartition(")")
    return inside if closing and inside.count("(") <= inside.count(")") else text


def _read_queued(
    tag: Tag, front: tuple[str, str], queue_id: str, line: str, start: int, now: float | None
) -> Record | None:
    if line.startswith("removed", start):
        return Removed(tag.instance + queue_id) if len(line) == start + 7 or line[start + 7 :].isspace() else None
    found = _FROM.match(line, start)
    if found is None:
        return _read_delivery(tag, front, queue_id, line, start, now)
    sender, bare_sender, recipients, expired = found.groups()
    if sender is None:
        sender = bare_sender
    if expired:
        return Expired(tag.instance + queue_id, tag.head(front, queue_id), sender, _time_of(front[0], now))
    return Queued(tag.instance + queue_id, sender, int(recipients))


def _read_client(
    tag: Tag, _front: tuple[str, str], queue_id: str, line: str, start: int, _now: float | None
) -> Opened | None:
    if not line.startswith("client=", start):
        return None
    login = line.partition(_LOGIN)[2]
    return Opened(tag.instance + queue_id, _AFTER_LOGIN.split(login, 1)[0].rstrip() if login else "")


def _read_pickup(
    tag: Tag, _front: tuple[str, str], queue_id: str, line: str, start: int, _now: float | None
) -> Opened | None:
    return Opened(tag.instance + queue_id, "") if line.startswith("uid=", start) else None


def _time_of(stamp: str, now: float | None) -> int:
    return unix_time(stamp, time.time() if now is None else now)


_DELIVERING = ("smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "bounce", "defer", "cleanup")
_READERS: dict[str, Reader] = {
    **dict.fromkeys(_DELIVERING, _read_delivery),
    **dict.fromkeys(("qmgr", "oqmgr", "nqmgr", "postsuper"), _read_queued),
    **dict.fromkeys(("smtpd", "qmqpd"), _read_client),
    "pickup": _read_pickup,
}
"""What the programs of Postfix say about messages; those that are not here say nothing of use."""
