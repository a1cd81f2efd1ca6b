"""A line of Postfix's log: what it says, if it concerns the delivery of a message.

In: a line or many, with RFC 3164 or RFC 3339 time stamps, and the present (for the year). Out: a record (`Delivery`,
`Expired`, `Opened`, `Queued`, `Removed`), or nothing for all other lines: other programs, `milter-reject` and other
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
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from sendgate.feedback.log.remote import Remote, read_remote
from sendgate.feedback.log.stamps import unix_time

STATUSES = frozenset(
    {"sent", "deferred", "bounced", "expired", "force-expired", "deliverable", "undeliverable", "SOFTBOUNCE"}
)
"""The last: what would have bounced, but for `soft_bounce`."""
MAX_LINE = 65536
"""Characters of a line that is read."""
_QUEUEING = frozenset({"qmgr", "oqmgr", "nqmgr", "postsuper"})
_DELIVERING = _QUEUEING | frozenset(
    {"smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "bounce", "defer", "cleanup"}
)
_RECEIVING = frozenset({"smtpd", "qmqpd"})
"""What the programs of Postfix say about messages; those that are not here say nothing of use."""

_STAMP = (
    r"[A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
)
_LINE = (
    rf"^(?:<\d{{1,3}}>)?({_STAMP}) (\S{{1,255}}+)(?<!\]:) "
    r"([^\s\[]{0,64}?postfix[^\s\[]{0,128})/([a-z]{1,32})\[(\d{1,10})\]: "
    r"([^\W_]{1,40}): (to=|from=|removed|client=|uid=)(.*)"
)
_ALONE = re.compile(_LINE, re.DOTALL)
_AMONG_OTHERS = re.compile(_LINE, re.MULTILINE)
"""Passes over the lines that are none of ours without a step of Python's."""
_NO_QUEUE_ID = frozenset({"NOQUEUE", "warning", "error", "fatal", "panic", "info", "statistics"})
_PATH = r'(?:<("(?:[^"\\]++|\\.)*+"@[^\s<>,"]*+|[^"<>]*+)>|([^<>,\s"]++))'
_PATH_AS_IT_COMES = r"<(.{0,1024}?)>"  # Postfix before 3.5 writes local parts without their quotes
_REST = (
    r",\s*relay=([^,]{0,512}+)(?:,\s*(?!delay=|dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s*delay=([\d.]++))?(?:,\s*(?!dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s*dsn=(\d\.\d{1,3}\.\d{1,3}))?(?:,\s*(?!status=)[a-z_]++=[^,\s]*+)*+"
    r",\s*status=([A-Za-z-]++)(?:\s+\((.*))?"
)
_DELIVERY = re.compile(rf"{_PATH}(?:,\s*orig_to={_PATH})?{_REST}", re.DOTALL)
_OLD_DELIVERY = re.compile(
    rf"{_PATH_AS_IT_COMES}()(?:,\s*orig_to={_PATH_AS_IT_COMES}())?(?=,\s*relay=){_REST}", re.DOTALL
)
_FROM = re.compile(rf"{_PATH}, (?:size=\d++, nrcpt=(\d{{1,9}}) |status=((?:force-)?expired), returned to sender)")
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
        found = _RELAY.fullmatch(self.relay)
        return None if found is None else (found[1], found[2], found[3])

    def as_object(self) -> dict[str, object]:
        """All fields by name; those that the line does not have are absent."""
        shown: dict[str, object] = self.head._asdict()
        shown["to"], shown["relay"], shown["status"] = self.to, self.relay, self.status
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


def parse_line(line: str, now: float | None = None) -> Record | None:
    """What a line says about a message; None when it says nothing that concerns us. now: else the clock's."""
    found = _ALONE.match(line)
    return None if found is None else _record(found, time.time() if now is None else now)


def parse_lines(text: str, now: float) -> Iterator[tuple[int, Record]]:
    """What the lines of a text say, and which of them says it; the first is number 0. Too long ones say nothing."""
    number = counted = 0
    for found in _AMONG_OTHERS.finditer(text):
        record = _record(found, now) if found.end() - found.start() <= MAX_LINE else None
        if record is not None:
            number += text.count("\n", counted, found.start())
            counted = found.start()
            yield number, record


def _record(found: re.Match[str], now: float) -> Record | None:
    stamp, host, program, daemon, pid, queue_id, kind, rest = found.groups()
    if queue_id in _NO_QUEUE_ID:
        return None
    key = queue_id if program == "postfix" else _instance(program) + queue_id
    if kind == "to=":
        if daemon not in _DELIVERING:
            return None
        return _delivery(key, Head(stamp, host, program, daemon, int(pid), queue_id), rest, now)
    if kind == "client=":
        return Opened(key, _login(rest)) if daemon in _RECEIVING else None
    if kind == "uid=":
        return Opened(key, "") if daemon == "pickup" else None
    if daemon not in _QUEUEING:
        return None
    if kind == "removed":
        return Removed(key) if not rest or rest.isspace() else None
    return _queued(key, Head(stamp, host, program, daemon, int(pid), queue_id), rest, now)


@lru_cache(maxsize=256)
def _instance(program: str) -> str:
    """What the queue ids of one Postfix are told apart from another's by."""
    name = program.partition("/")[0]
    return "" if name == "postfix" else f"{name}/"


def _delivery(key: str, head: Head, rest: str, now: float) -> Delivery | None:
    found = _DELIVERY.match(rest) or _OLD_DELIVERY.match(rest)
    if found is None:
        return None
    to, bare_to, orig, bare_orig, relay, delay, dsn, status, text = found.groups()
    if status not in STATUSES:
        return None
    if to is None:
        to = bare_to
    if text is not None:
        text = _closed(text)
    at = unix_time(head.timestamp, now)
    return Delivery(key, head, to, bare_orig or orig, relay, delay, dsn, status, text, at)


def _closed(text: str) -> str:
    """The text up to its closing parenthesis. Loggers add to a line and cut it off; a text that lost its end is
    all there is."""
    text = text.rstrip()
    if text.endswith(")"):
        return text[:-1]
    inside, closing, _ = text.rpartition(")")
    return inside if closing and inside.count("(") <= inside.count(")") else text


def _queued(key: str, head: Head, rest: str, now: float) -> Queued | Expired | None:
    found = _FROM.match(rest)
    if found is None:
        return None
    sender, bare_sender, recipients, expired = found.groups()
    if sender is None:
        sender = bare_sender
    if expired:
        return Expired(key, head, sender, unix_time(head.timestamp, now))
    return Queued(key, sender, int(recipients))


def _login(client: str) -> str:
    """The SASL login in what a line says of a client."""
    login = client.partition(_LOGIN)[2]
    return _AFTER_LOGIN.split(login, 1)[0].rstrip() if login else ""
