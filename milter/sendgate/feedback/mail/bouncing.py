"""Decide whether a message is the report of a failed (or late, or made) delivery. No single sign decides.

In: a message and its report. Out: yes or no. Nothing is refused.

    made for programs     a delivery-status part, X-Failed-Recipients, a notification in JSON
    by a mail system      From, the empty return path, Auto-Submitted
    in words              the subject, the first sentences: people write these, too, so they never are enough
"""

from __future__ import annotations

import re

from sendgate.feedback.mail.autoreply import Kind, is_from_daemon, kind_of
from sendgate.feedback.mail.mime import Message
from sendgate.feedback.mail.phrases import FAILURE, SUBJECT, fold
from sendgate.feedback.mail.report import Report

ENOUGH = 4
STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_OPENING = 1500

_NO_REPLY = re.compile(
    r"\b(?:no|not|don'?t|do-?not)[-_.]?reply|\bbounces?@|notification|\bsmtp\b|^system\b", re.IGNORECASE
)
_AGAINST = {Kind.REPLY: -4, Kind.LIST: -3, Kind.ANSWER: -2}
_AGAINST_DAEMON = {Kind.REPLY: -4, Kind.LIST: -1}  # lists pass bounces on; some systems keep the subject


def is_bounce(message: Message, report: Report) -> bool:
    """Whether a message reports on deliveries."""
    kind = kind_of(message)
    if kind is Kind.RECEIPT or message.parameters.get("report-type", "").lower() == "feedback-report":
        return False
    score = _signs(message, report)
    score += (_AGAINST_DAEMON if is_from_daemon(message) else _AGAINST).get(kind, 0)
    if ENOUGH - 2 <= score < ENOUGH:
        score += _in_its_words(report, is_from_daemon(message))
    return score >= ENOUGH


def _signs(message: Message, report: Report) -> int:
    return _for_programs(message, report) + _by_a_mail_system(message) + _in_its_subject(message)


def _in_its_words(report: Report, by_daemon: bool) -> int:
    first = report.text.lstrip()[:_OPENING]
    if by_daemon and FAILURE.are_in(fold(first.partition("\n")[0])):
        return 2
    return int(FAILURE.are_in(fold(first)))


def _for_programs(message: Message, report: Report) -> int:
    score = 0
    if any(part.type in STATUS_TYPES and not part.embedded for part in message.parts):
        score += 5
    elif message.parameters.get("report-type", "").lower() == "delivery-status":
        score += 4
    if "x-failed-recipients" in message.headers:
        score += 5
    if '"notificationType"' in report.text[:2000]:
        score += 4
    return score


def _by_a_mail_system(message: Message) -> int:
    headers = message.headers
    score = 0
    if is_from_daemon(message):
        score += 3
    elif not headers.get("from") or _NO_REPLY.search(headers.decoded("from")[:500]):
        score += 1
    if "in-reply-to" in headers:
        score -= 1
    path = headers.get("return-path").strip()
    if path.startswith("<>") or "mailer-daemon" in path.lower():
        score += 2
    if headers.get("auto-submitted").lower().startswith("auto-"):
        score += 1
    return score


def _in_its_subject(message: Message) -> int:
    if SUBJECT.are_in(fold(message.headers.decoded("subject")[:300])):
        return 2
    return 0
