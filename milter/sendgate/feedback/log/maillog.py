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
from typing import NamedTuple

from sendgate.feedback.log.stamps import unix_time

STATUSES = frozenset(
    {"sent", "deferred", "bounced", "expired", "force-expired", "deliverable", "undeliverable", "SOFTBOUNCE"}
)
"""The last: what would have bounced, but for `soft_bounce`."""
DELIVERING = frozenset(
    {"smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "bounce", "defer", "cleanup"}
    | {"qmgr", "oqmgr", "nqmgr"}
)
"""Programs of Postfix that log what became of a recipient."""
RECEIVING = frozenset({"smtpd", "qmqpd", "pickup"})
QUEUEING = frozenset({"qmgr", "oqmgr", "nqmgr", "postsuper"})

_HEAD = re.compile(
    r"(?:<\d{1,3}>)?"
    r"([A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" (\S{1,255}) ([^\s\[]{0,64}?postfix[^\s\[]{0,128})/([a-z]{1,32})\[(\d{1,10})\]: (?:\[ID \d{1,10} \S{1,32}\] )?"
    # short ids are hexadecimal, long ones (enable_long_queue_ids) of digits and consonants
    r"(?!warning:|error:|fatal:|panic:|info:|NOQUEUE:|statistics:)([0-9A-Za-z]{4,40}): "
)
_PATH = r'(?:<("(?:[^"\\]++|\\.)*+"@[^\s<>,"]*+|[^"<>]*+)>|([^<>,\s"]++))'
_PATH_AS_IT_COMES = r"<(.{0,1024}?)>"  # Postfix before 3.5 writes local parts without their quotes
_REST = (
    r",\s+relay=([^,]{0,512}+)(?:,\s+(?!delay=|dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s+delay=([\d.]++))?(?:,\s+(?!dsn=|status=)[a-z_]++=[^,\s]*+)*+"
    r"(?:,\s+dsn=(\d\.\d{1,3}\.\d{1,3}))?(?:,\s+(?!status=)[a-z_]++=[^,\s]*+)*+"
    r",\s+status=([A-Za-z-]++)(?:\s+\((.*))?"
)
_DELIVERY = re.compile(rf"to={_PATH}(?:,\s+orig_to={_PATH})?{_REST}", re.DOTALL)
_OLD_DELIVERY = re.compile(
    rf"to={_PATH_AS_IT_COMES}()(?:,\s+orig_to={_PATH_AS_IT_COMES}())?(?=,\s+relay=){_REST}", re.DOTALL
)
_FROM = re.compile(rf"from={_PATH}, (?:size=\d++, nrcpt=(\d{{1,9}}) |status=((?:force-)?expired), returned to sender)")
_CLIENT = re.compile(
    r"client=[^,\s]*+(?:, sasl_method=[^,]*+)?(?:, sasl_username=(.*?))?(?:, sasl_sender=.*|, orig_\w+=.*)?$"
)
_RELAY = re.compile(r"([^\[]++)\[([^\]]*+)\](?::(\d{1,5}))?")
_REMOTE = re.compile(
    r"(delivery temporarily suspended: )?host ([^\s\[]++)\[([^\]\s]*+)\](?::\d{1,5})?"
    r" (said|refused to talk to me): (.*)",
    re.DOTALL,
)
_REPLY = re.compile(r"(\d{3})(?:[ -](\d\.\d{1,3}\.\d{1,3})(?!\d))?")
_IN_REPLY_TO = " (in reply to "
_COMMAND = " command)"


class Head(NamedTuple):
    """What every line begins with."""

    timestamp: str
    host: str
    program: str
    daemon: str
    pid: str
    queue_id: str

    @property
    def key(self) -> str:
        """The queue id, told apart from the same one of another instance of Postfix (`postfix-out`)."""
        instance = self.program.partition("/")[0]
        return self.queue_id if instance == "postfix" else f"{instance}/{self.queue_id}"

    def as_object(self) -> dict[str, object]:
        return self._asdict() | {"pid": int(self.pid)}


class Remote(NamedTuple):
    """A server's answer as Postfix quotes it: refused when it would not talk at all (an answer to the connection),
    suspended when it was given to an earlier message. phase: the command it answers, "" when Postfix tells none."""

    host: str
    ip: str
    reply: str
    smtp_code: str
    enhanced: str
    phase: str
    refused: bool
    suspended: bool

    def as_object(self) -> dict[str, object]:
        shown: dict[str, object] = {"remote_host": self.host, "remote_ip": self.ip, "reply": self.reply}
        named = {"smtp_code": self.smtp_code, "enhanced": self.enhanced, "phase": self.phase}
        shown |= {name: value for name, value in named.items() if value}
        return shown | {"refused": self.refused, "suspended": self.suspended}


class Delivery(NamedTuple):
    """An attempt to deliver to one recipient. orig_to, delay, dsn, text: None when the line has none.

    at: Unix time in seconds.
    """

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
        shown: dict[str, object] = self.head.as_object() | {"to": self.to, "relay": self.relay, "status": self.status}
        relay = self.relay_parts()
        if relay:
            shown |= {"relay_host": relay[0], "relay_ip": relay[1], "relay_port": relay[2]}
        shown |= {"orig_to": self.orig_to, "delay": self.delay, "dsn": self.dsn, "text": self.text}
        remote = self.remote()
        if remote:
            shown |= remote.as_object()
        return {name: value for name, value in shown.items() if value is not None}


class Expired(NamedTuple):
    """Postfix gave a message up (or an operator, with `postsuper -f`); whom it had not reached is not told."""

    head: Head
    sender: str
    at: int

    def as_object(self) -> dict[str, object]:
        return self.head.as_object() | {"sender": self.sender, "status": "expired"}


class Opened(NamedTuple):
    """A message came in, by SMTP or locally. login: the client's SASL login, "" when there was none."""

    head: Head
    login: str


class Queued(NamedTuple):
    """A message is in the active queue: its envelope sender, and how many recipients are left."""

    head: Head
    sender: str
    recipients: int


class Removed(NamedTuple):
    """A message left the queue."""

    head: Head


Record = Delivery | Expired | Opened | Queued | Removed


def parse_line(line: str, now: float | None = None) -> Record | None:
    """What a line says about a message; None when it says nothing that concerns us. now: else the clock's."""
    # five searches for plain text pass over most lines at a hundredth of what a pattern costs
    if not ("status=" in line or ": client=" in line or ", nrcpt=" in line or ": removed" in line or ": uid=" in line):
        return None
    found = _HEAD.match(line)
    if found is None:
        return None
    head = Head._make(found.groups())
    start = found.end()
    if line.startswith("to=", start):
        return _read_delivery(head, line, start, now) if head.daemon in DELIVERING else None
    if head.daemon in QUEUEING:
        return _read_queue(head, line, start, now)
    if head.daemon in RECEIVING:
        return _read_opened(head, line, start)
    return None


def read_remote(text: str) -> Remote | None:
    """The other server's answer in the text of a delivery."""
    found = _REMOTE.match(text)
    if found is None:
        return None
    suspended, host, ip, manner, reply = found.groups()
    phase = ""
    if manner == "said" and reply.endswith(_COMMAND):
        # the last one is Postfix's own: the server may have written another into its answer
        before, mark, command = reply.rpartition(_IN_REPLY_TO)
        if mark:
            reply, phase = before, command.removesuffix(_COMMAND)
    codes = _REPLY.match(reply)
    code, enhanced = (codes[1], codes[2] or "") if codes else ("", "")
    return Remote(host, ip, reply, code, enhanced, phase, manner != "said", suspended is not None)


def _read_delivery(head: Head, line: str, start: int, now: float | None) -> Delivery | None:
    found = _DELIVERY.match(line, start) or _OLD_DELIVERY.match(line, start)
    if found is None:
        return None
    to, bare_to, orig, bare_orig, relay, delay, dsn, status, text = found.groups()
    if status not in STATUSES:
        return None
    if text is not None:
        text = _closed(text)
    recipient = bare_to if to is None else to
    original = bare_orig or orig
    return Delivery(head, recipient, original, relay, delay, dsn, status, text, _time_of(head, now))


def _closed(text: str) -> str:
    """The text up to its closing parenthesis. Loggers add to a line and cut it off; a text that lost its end is
    all there is."""
    text = text.rstrip()
    if text.endswith(")"):
        return text[:-1]
    inside = text.rpartition(")")[0]
    return inside if ")" in text and inside.count("(") <= inside.count(")") else text


def _read_queue(head: Head, line: str, start: int, now: float | None) -> Record | None:
    if line.startswith("removed", start):
        return Removed(head) if not line[start + 7 :].strip() else None
    found = _FROM.match(line, start)
    if found is None or head.daemon == "postsuper":
        return None
    sender = found[1] if found[1] is not None else found[2]
    return Expired(head, sender, _time_of(head, now)) if found[4] else Queued(head, sender, int(found[3]))


def _time_of(head: Head, now: float | None) -> int:
    return unix_time(head.timestamp, time.time() if now is None else now)


def _read_opened(head: Head, line: str, start: int) -> Opened | None:
    if head.daemon == "pickup":
        return Opened(head, "") if line.startswith("uid=", start) else None
    found = _CLIENT.match(line.rstrip(), start)
    return Opened(head, found[1] or "") if found else None
