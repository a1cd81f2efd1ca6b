"""Decide whether a message is the report of a failed (or late, or made) delivery. No single sign decides.

In: a message and its report. Out: yes or no. Nothing is refused.

    made for programs     a delivery-status part, X-Failed-Recipients, a notification in JSON
    by a mail system      From, the empty return path, our own message that it returns
    automatic             Auto-Submitted, "no reply": parcel services send these, too
    in words              the subject, the first sentences: people write these, too
"""

from __future__ import annotations

import re

from sendgate.feedback.mail.autoreply import Kind, is_from_daemon, kind_of
from sendgate.feedback.mail.mime import EMBEDDED_TYPES, Message
from sendgate.feedback.mail.ordinary import is_of_own_account, is_ordinary, is_other_report, returns_any, speaks_of_ours
from sendgate.feedback.mail.original import addresses_of
from sendgate.feedback.mail.phrases import FAILURE, SUBJECT, fold
from sendgate.feedback.mail.report import Report

ENOUGH = 4
_ABOUT_SESSIONS = re.compile(r"Postfix SMTP server:")  # what others sent to us, told to our postmaster
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_OPENING = 1500
_NOTICE = re.compile(r"\s{0,99}\{(?=[\s\S]{0,2000}\b(?:notification|event)Type\b)")

_NO_REPLY = re.compile(
    r"\b(?:no|not|don'?t|do-?not)[-_.]?reply|\bbounces?@|notification|\bsmtp\b|^system\b", re.IGNORECASE
)
_AGAINST = {Kind.REPLY: -4, Kind.LIST: -3, Kind.ANSWER: -5}
_AGAINST_DAEMON = {Kind.REPLY: -6, Kind.LIST: -1}  # lists pass bounces on; some systems keep the subject


def may_be_bounce(message: Message) -> bool:
    """Whether it is worth while to look at the words of a message: ordinary mail is told by its header."""
    return bool(
        is_from_daemon(message)
        or _by_a_mail_system(message)
        or _in_its_subject(message)
        or _for_programs(message)
        or message.type in EMBEDDED_TYPES
    )


def is_bounce(message: Message, report: Report) -> bool:
    """Whether a message reports on deliveries."""
    kind = kind_of(message)
    if kind is Kind.RECEIPT or message.parameters.get("report-type", "").lower() == "feedback-report":
        return False
    programs, ours = _for_programs(message), _returns_ours(message, report)
    certain = programs + _by_a_mail_system(message) + ours
    if certain < 2 or _ABOUT_SESSIONS.match(message.headers.get("subject")):
        return False
    if programs < ENOUGH and is_other_report(message):
        return False
    told = _in_its_subject(message)
    by_daemon = is_from_daemon(message)
    if programs < ENOUGH and not ours:
        returns = returns_any(message, report)
        if is_ordinary(message, report) or not (returns or _is_explicit(report, told, by_daemon)):
            return False
        if is_of_own_account(message) and (kind is Kind.ANSWER or not returns):
            by_daemon, certain = False, certain - 2
    score = certain + _automatic(message) + told
    score += (_AGAINST_DAEMON if by_daemon else _AGAINST).get(kind, 0)
    if ENOUGH - 2 <= score < ENOUGH or not told:
        told = _in_its_words(report, by_daemon)
        score += told
    return score >= ENOUGH and (told > 0 or certain >= ENOUGH)


def _is_explicit(report: Report, told: int, by_daemon: bool) -> bool:
    """Whether a message that returns nothing tells clearly what it is about."""
    return (by_daemon and told > 0) or ((by_daemon or told > 0) and speaks_of_ours(report))


def _in_its_words(report: Report, by_daemon: bool) -> int:
    first = report.text.lstrip()[:_OPENING]
    if by_daemon and FAILURE.are_in(fold(first.partition("\n")[0])):
        return 2
    return int(FAILURE.are_in(fold(first)))


def _for_programs(message: Message) -> int:
    score = 0
    if any(part.type in STATUS_TYPES and not part.embedded for part in message.parts):
        # people who pass a bounce on attach its parts, too, but not in a report
        score += 5 if message.type == "multipart/report" or _by_a_mail_system(message) else 1
    elif message.parameters.get("report-type", "").lower() == "delivery-status":
        score += 4
    if "x-failed-recipients" in message.headers:
        score += 5 if _by_a_mail_system(message) else 2
    if any(_NOTICE.match(part.text) for part in message.parts if part.depth < 2):
        score += 4
    return score


def _by_a_mail_system(message: Message) -> int:
    path = message.headers.get("return-path").strip()
    nobody = path.startswith("<>") or "mailer-daemon" in path.lower()
    return (3 if is_from_daemon(message) else 0) + (2 if nobody else 0)


def _returns_ours(message: Message, report: Report) -> int:
    """Whether it carries a message of the one that it came to."""
    came_to = addresses_of(message.headers, ("to", "delivered-to"))
    return 2 if report.original.senders.intersection(came_to) else 0


def _automatic(message: Message) -> int:
    headers = message.headers
    score = 1 if headers.get("auto-submitted").lower().startswith("auto-") else 0
    if not headers.get("from") or _NO_REPLY.search(headers.decoded("from")[:500]):
        score += 1
    return score - 1 if "in-reply-to" in headers else score


def _in_its_subject(message: Message) -> int:
    if SUBJECT.are_in(fold(message.headers.decoded("subject")[:300])):
        return 2
    return 0
