"""The words of feedback: what was answered, what it means, to whom it happened. All frozen.

In: nothing. Out: types that the parsers fill, the classification judges and the policy acts on.
Nothing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class BounceType(StrEnum):
    """Why a delivery failed; the values are metric labels."""

    BAD_MAILBOX = "bad_mailbox"
    INACTIVE = "inactive"
    BAD_DOMAIN = "bad_domain"
    FULL = "full"
    POLICY = "policy"
    CONTENT = "content"
    REPUTATION = "reputation"
    RATE = "rate"
    AUTHENTICATION = "authentication"
    NETWORK = "network"
    EXPIRED = "expired"
    OTHER = "other"


class Severity(StrEnum):
    """What a failure says: hard, the address is bad; soft, it may work later; block, it was us or our message."""

    HARD = "hard"
    SOFT = "soft"
    BLOCK = "block"


class EventClass(StrEnum):
    """What an event is, as operators see it. OTHER: a failure of which nothing is known; NONE: no failure."""

    HARD = "hard"
    SOFT = "soft"
    BLOCK = "block"
    COMPLAINT = "complaint"
    OTHER = "other"
    NONE = "none"


class Phase(StrEnum):
    """Where in an SMTP session an answer came, in the words of Postfix's "(in reply to ... command)"."""

    CONNECT = "connect"
    HELO = "HELO"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    END_OF_DATA = "end of DATA"
    UNKNOWN = ""


class Source(StrEnum):
    """Where an event comes from."""

    LOG = "log"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server, or our own Postfix, said about a recipient.

    reply: the whole text, with or without its codes; smtp_code: "550" or ""; enhanced: "5.1.1" (RFC 3463) or "";
    deferred: the sender keeps the message and tries again, whatever the codes say; host: the server's name or "".
    """

    reply: str
    smtp_code: str = ""
    enhanced: str = ""
    phase: Phase = Phase.UNKNOWN
    deferred: bool = False
    host: str = ""


class Verdict(NamedTuple):
    """What an answer means. `because` names the step or rule that decided, for people."""

    type: BounceType
    event_class: EventClass
    because: str


class Event(NamedTuple):
    """One thing that happened to one recipient.

    recipient: the address, normalised when it can be; text: the answer; host: who gave it, "" for our own Postfix;
    queue_id: our Postfix's; at: Unix time in seconds; final: no further attempt will be made.
    event_class NONE with `final` is a delivery (status sent); `type` is None for deliveries and complaints.
    expired: Postfix gave up after many attempts, and `text` is the last answer.
    sent_to: the envelope sender of our message, to which a bounce came (VERP); derived: how the recipient or the
    campaign was found when the report did not simply say it.
    """

    recipient: str
    event_class: EventClass
    type: BounceType | None = None
    status: str = ""
    code: str = ""
    text: str = ""
    campaign: str = ""
    host: str = ""
    queue_id: str = ""
    at: int = 0
    source: Source = Source.LOG
    final: bool = True
    expired: bool = False
    sent_to: str = ""
    derived: tuple[str, ...] = ()

    def as_object(self) -> dict[str, object]:
        """What the commands show of it, as JSON has it. reason: as in the metrics, "" without a type."""
        return {
            "recipient": self.recipient,
            "class": self.event_class.value,
            "reason": self.type.value if self.type else "",
            "status": self.status,
            "code": self.code,
            "text": self.text,
            "campaign": self.campaign,
            "source": self.source.value,
            "final": self.final,
            "host": self.host,
            "queue_id": self.queue_id,
            "at": self.at,
            "sent_to": self.sent_to,
            "derived": list(self.derived),
        }
