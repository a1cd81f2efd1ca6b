"""What the tests of messages share: how they are read, and the odd messages with what each must give.

In: the files in tests/data/feedback/messages. Out: events.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from sendgate.campaign import CampaignResolver
from sendgate.feedback.event import Event
from sendgate.feedback.mail.parse import Reader, parse_message
from sendgate.feedback.rules import load_rules
from sendgate.feedback.verp import DAY, VerpChecker, VerpSigner
from sendgate.settings import CampaignSettings

FOLDER = Path(__file__).resolve().parents[2] / "data" / "feedback" / "messages"
NOW = 1_795_000_000.0
KEY = b"k" * 32
ANNA = "anna@example.net"


@cache
def reader(campaign_header: str = "X-Campaign-ID") -> Reader:
    checker = VerpChecker((KEY,), "bounce", 90 * DAY)
    return Reader(load_rules(None), CampaignResolver(CampaignSettings()), NOW, checker, campaign_header)


def events_of(message: str | bytes) -> list[Event]:
    data = message if isinstance(message, bytes) else message.encode()
    return parse_message(data, reader())


def message(name: str) -> bytes:
    return (FOLDER / f"{name}.eml").read_bytes()


def signed(recipient: str, campaign: str = "winter") -> str:
    return VerpSigner(KEY, "bounce", "news.example.com").sign(recipient, campaign, NOW)


@cache
def table() -> dict[str, list[str]]:
    """For each message what it must give: `class reason recipient`, with * for any reason."""
    read: dict[str, list[str]] = yaml.safe_load((FOLDER / "table.yaml").read_text(encoding="utf-8"))
    return read


def bounce(text: str, headers: str = "", to: str = "bounce+spring@news.example.com") -> str:
    """A report in free text."""
    return (
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: {to}\n"
        f"Subject: Undelivered Mail Returned to Sender\n{headers}\n{text}\n"
    )


def status_report(status: str, text: str = "It could not be delivered.", original: str = "", headers: str = "") -> str:
    """A report as of RFC 3464. original: the header of the message that it returns."""
    returned = f"--b\nContent-Type: message/rfc822\n\n{original}\n\nHello\n" if original else ""
    words = f"--b\nContent-Type: text/plain\n\n{text}\n"
    return bounce(
        f"{words}--b\nContent-Type: message/delivery-status\n\n{status}\n{returned}--b--",
        headers=f"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n{headers}",
    )
