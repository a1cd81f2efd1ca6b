"""Tell what comes back and is no bounce: out-of-office replies, receipts, mail of lists, answers of people.

In: a message. Out: a `Kind`. Nothing is refused.
"""

from __future__ import annotations

import re
from enum import Enum

from sendgate.feedback.mail.mime import Message
from sendgate.feedback.mail.phrases import RECEIPT, REPLY, fold

_REPLY_HEADERS = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from", "x-vacation")
_LIST_HEADERS = ("list-id", "list-post", "list-unsubscribe", "list-help", "mailing-list", "x-mailing-list")
_RECEIPT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")

_ANSWER_SUBJECT = re.compile(
    r"\s*(?:\[[^\]]{1,60}\]\s*)?(?:re|fwd?|fw|aw|wg|tr|rv|enc|sv|vs|antw|doorst|odp|pd|res|ynt|r|i|回复|回覆|转发|轉寄|답장|전달)"
    r"\s*(?:\[\d{1,3}\])?\s*[:：]",
    re.IGNORECASE,
)
_DAEMON = re.compile(
    r"(?:mailer|mail|list)[-._ ]?(?:er)?-?daemon|post[-_. ]?master|\bmdaemon|mail[-_. ]deliver(?:y|er)?\b"
    r"|mail (?:sub)?system|mail administrator|mail router|mail gateway|system administrator|internet mail delivery"
    r"|\bthe post office|\bimss\b|interscan|delivery[-_. ]?(?:status|system|service|subsystem|notification|failure)"
    r"|undeliver|\bbounce-?(?:handler|daemon)|mailsystem|microsoft outlook|^mailer@",
    re.IGNORECASE,
)


class Kind(Enum):
    """What a message is, when it is no bounce."""

    REPLY = "an automatic reply: the mailbox is there, and its owner away"
    RECEIPT = "a receipt for a message that was delivered"
    LIST = "mail of a list"
    ANSWER = "an answer, or something passed on"
    UNKNOWN = "nothing of these"


def is_from_daemon(message: Message) -> bool:
    """Whether the author of a message is a mail system, or nobody."""
    sender = message.headers.decoded("from")[:500].strip()
    return sender == "<>" or _DAEMON.search(sender) is not None


def kind_of(message: Message) -> Kind:
    """What a message looks like from outside. A bounce may look like LIST, ANSWER or UNKNOWN; see `bouncing`."""
    headers = message.headers
    if message.parameters.get("report-type", "").lower().startswith("disposition-notification"):
        return Kind.RECEIPT
    if any(part.type in _RECEIPT_TYPES and not part.embedded for part in message.parts):
        return Kind.RECEIPT
    subject = fold(headers.decoded("subject")[:500])
    if REPLY.are_in(subject) or any(name in headers for name in _REPLY_HEADERS):
        return Kind.REPLY
    if RECEIPT.are_in(subject):
        return Kind.RECEIPT
    if any(name in headers for name in _LIST_HEADERS):
        return Kind.LIST
    if headers.get("auto-submitted").lower().startswith("auto-replied") and not is_from_daemon(message):
        return Kind.REPLY
    return Kind.ANSWER if _ANSWER_SUBJECT.match(subject) else Kind.UNKNOWN
