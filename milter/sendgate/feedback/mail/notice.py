"""Read the JSON notifications of senders' services (Amazon SES by SNS) that arrive as mail.

In: the text of a message. Out: `Mention`s; [] when it is no such notification. Nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sendgate.feedback.mail.mention import Mention

_MOST_RECIPIENTS = 1000


def read_notice(text: str, how: str) -> list[Mention]:
    """The recipients that a notification tells of: bounced, delivered or complaining."""
    start = text.find("{")
    if start < 0 or ("notificationType" not in text and "eventType" not in text):
        return []
    try:
        notice, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return []
    if isinstance(notice, dict) and isinstance(notice.get("Message"), str):  # wrapped by SNS
        return read_notice(notice["Message"], how)
    return list(_mentions(notice, how))[:_MOST_RECIPIENTS] if isinstance(notice, dict) else []


def _mentions(notice: dict[str, Any], how: str) -> Iterator[Mention]:
    bounce, delivery = notice.get("bounce"), notice.get("delivery")
    if isinstance(bounce, dict):
        for one in _list(bounce.get("bouncedRecipients")):
            if isinstance(one, dict) and isinstance(one.get("emailAddress"), str):
                reason = one.get("diagnosticCode") or bounce.get("bounceSubType") or ""
                status = one.get("status") or ""
                kind = one.get("action") or "failed"
                yield Mention(
                    one["emailAddress"],
                    str(reason).partition(";")[2].strip() if str(reason).startswith("smtp;") else str(reason),
                    status=str(status),
                    action=str(kind).lower(),
                    how=how,
                )
    elif isinstance(delivery, dict):
        for address in _list(delivery.get("recipients")):
            if isinstance(address, str):
                yield Mention(address, str(delivery.get("smtpResponse", "")), action="delivered", how=how)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
