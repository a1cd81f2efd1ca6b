"""Read the JSON notifications of senders' services (Amazon SES by SNS) that arrive as mail.

In: the text of a message. Out: `Mention`s; [] when it is no such notification. Nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
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
    for kind, recipients, read in (
        ("bounce", "bouncedRecipients", _bounced),
        ("complaint", "complainedRecipients", _complaining),
        ("delivery", "recipients", _delivered),
    ):
        told = notice.get(kind)
        if isinstance(told, dict):
            listed = told.get(recipients)
            for one in listed if isinstance(listed, list) else []:
                address = one.get("emailAddress") if isinstance(one, dict) else one
                if isinstance(address, str):
                    yield replace(read(told, one if isinstance(one, dict) else {}), recipient=address, how=how)


def _bounced(told: dict[str, Any], one: dict[str, Any]) -> Mention:
    reason = str(one.get("diagnosticCode") or told.get("bounceSubType") or "")
    status, action = str(one.get("status") or ""), str(one.get("action") or "failed").lower()
    return Mention("", reason.removeprefix("smtp;").strip(), status=status, action=action)


def _complaining(told: dict[str, Any], _: dict[str, Any]) -> Mention:
    kind = str(told.get("complaintFeedbackType") or "abuse")
    return Mention("", kind, action="complaint" if kind == "abuse" else "expanded")


def _delivered(told: dict[str, Any], _: dict[str, Any]) -> Mention:
    return Mention("", str(told.get("smtpResponse") or ""), action="delivered")
