"""Whatever comes as a bounce or a complaint: it is read, within bounded time and memory, and names only addresses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.mangled import mangled, within, within_memory
from sendgate.campaign import CampaignResolver
from sendgate.entry import check_name
from sendgate.feedback.event import Event, EventClass
from sendgate.feedback.mail.parse import Reader, parse_message
from sendgate.feedback.rules import load_rules
from sendgate.feedback.verp import VerpChecker, VerpSigner
from sendgate.settings import CampaignSettings

NOW = 1_772_366_400
_KEY = b"a secret of 16 octets"
_DATA = Path(__file__).parent.parent / "data" / "feedback"
_SEEDS = [path.read_bytes() for path in sorted(_DATA.rglob("*.eml"))]
_CORPUS = _DATA / "corpus"
_ROWS = [json.loads(line) for path in sorted(_CORPUS.glob("*.jsonl")) for line in path.read_text().splitlines()]
_HARMLESS = [
    ((_CORPUS / row["file"]).read_bytes(), frozenset(row.get("must_not_suppress", ())))
    for row in _ROWS
    if row.get("must_not_suppress") or row.get("must_not_suppress_anybody")
]
"""Messages, each with those whom it must not suppress; none named: nobody at all."""
_PIECES = [
    b"\r\n", b"\n", b"\r", b"\n\n", b"--", b"\n--", b"--4fK0.177/mx.example.net", b"--part_of_report--\n",
    b"boundary=", b'boundary="', b'"', b";", b":", b"=", b"=?utf-8?B?", b"=?utf-8?q?=FF?=", b"?=",
    b"=?x-no-such?B?AAAA?=", b"charset=", b"charset=utf-7", b"charset=utf-16", b"charset=hz", b"charset=iso-2022-jp",
    b"charset=idna", b"charset=punycode", b"charset=undefined", b"charset=unicode_escape", b"charset=\0",
    b"charset*=utf-8''x", b"quoted-printable", b"base64", b"uuencode", b"8bit", b"7bit",
    b"Content-Transfer-Encoding: base64\n", b"Content-Type: message/rfc822\n\n",
    b"Content-Type: message/delivery-status\n\n", b"Content-Type: message/feedback-report\n\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n",
    b"Content-Type: text/html\n\n", b"Final-Recipient: rfc822; a@example.com\n", b"Final-Recipient: rfc822;\n",
    b"Action: failed\n", b"Status: 5.1.1\n", b"Diagnostic-Code: smtp; 550 5.1.1 unknown\n",
    b"Original-Recipient: utf-8; \\x{4E00}@example.com\n", b"Feedback-Type: abuse\n",
    b"Original-Rcpt-To: <a@example.com>\n", b"X-Failed-Recipients: a@example.com, b@\n", b"<a@example.com>", b"<>",
    b"@", b"a@[192.0.2.1]", b'"a b"@example.com', b"550 5.1.1 user unknown", b"\0", b"\xff", b"\xef\xbb\xbf",
    b"\x1b$B", b"\x1b(B", b"~{", b"+AGE-", b"=3D", b"=\n", b"=0D=0A", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80\xae",
    b"From x\n", b">From ", b"Date: Mon, 99 Foo 99999 99:99:99 +9999\n", b"\t", b" " * 80, b"(" * 50,
]  # fmt: skip
_MESSAGES = mangled(_SEEDS, _PIECES)


@cache
def _reader() -> Reader:
    checker = VerpChecker([_KEY], "bounce", 30 * 86_400)
    return Reader(load_rules(None), CampaignResolver(CampaignSettings()), float(NOW), checker)


def _read(data: bytes) -> list[Event]:
    """The events of a message, each looked at."""
    found = parse_message(data, _reader())
    for event in found:
        _check(event)
    return found


def _check(event: Event) -> None:
    if event.event_class in (EventClass.HARD, EventClass.COMPLAINT) and event.recipient:
        assert "@" in event.recipient
    assert event.recipient.isprintable(), event.recipient
    assert len(event.recipient) <= 320
    assert len(event.text) <= 2_000
    assert event.text == event.text.encode().decode()
    assert not event.campaign or check_name(event.campaign, "campaign") == event.campaign
    assert 0 < event.at <= NOW


@given(_MESSAGES)
@example(b"")
@example(b"\n")
@example(b"Content-Type: multipart/report; boundary=\n\n--\n")
@example(b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=x\n\n--x--\n--x--")
def test_any_message_gives_events_that_can_be_kept(data: bytes) -> None:
    _read(data)


@given(st.binary(max_size=400))
def test_any_octets_give_no_event(data: bytes) -> None:
    assert not [event for event in _read(data) if event.event_class is not EventClass.NONE]


@given(st.sampled_from(_HARMLESS), st.data())
def test_a_message_that_is_cut_suppresses_nobody_whom_the_whole_must_not(
    row: tuple[bytes, frozenset[str]], data: st.DataObject
) -> None:
    message, must_not = row
    at = data.draw(st.integers(0, len(message)))
    suppressed = _suppressed(message[:at])
    assert not (suppressed & must_not if must_not else suppressed)


@given(st.sampled_from(_SEEDS), st.sampled_from(["\r\n", "\r", "\n\n", "\r\r\n"]))
def test_line_ends_of_any_kind_can_be_read(seed: bytes, ends: str) -> None:
    _read(seed.replace(b"\r\n", b"\n").replace(b"\n", ends.encode()))


def test_line_ends_do_not_change_what_a_message_says() -> None:
    for seed in _SEEDS:
        unix = seed.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert _judged(unix) == _judged(unix.replace(b"\n", b"\r\n"))


def _suppressed(data: bytes) -> set[str]:
    suppressing = (EventClass.HARD, EventClass.COMPLAINT)
    return {event.recipient for event in _read(data) if event.event_class in suppressing and event.recipient}


def _judged(data: bytes) -> list[tuple[str, EventClass]]:
    return [(event.recipient, event.event_class) for event in _read(data)]


_HEAD = (
    b"From: MAILER-DAEMON@mx.example.net\nTo: bounce+spring@shop.example\n"
    b"Subject: Undelivered Mail Returned to Sender\nDate: Sun, 01 Mar 2026 09:00:00 +0000\n"
    b"Auto-Submitted: auto-replied\nMIME-Version: 1.0\n"
)
_REPORT = _HEAD + b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n"
_STATUS = b"--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
_FAILED = b"Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.1.1\n"
_ARF = _HEAD + b"Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n"
_FEEDBACK = b"--x\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
_TEXT = _HEAD + b"Content-Type: text/plain\n\n"
_MEGABYTE = 1_000_000


def _long(before: bytes, repeated: bytes, after: bytes = b"", octets: int = _MEGABYTE) -> bytes:
    return before + repeated * (octets // len(repeated)) + after


def _nested(depth: int) -> bytes:
    """Parts within parts, a report in the innermost."""
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) for level in range(depth)
    )
    return _HEAD + opened + b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n" + _FAILED


_HUGE: dict[str, Callable[[], bytes]] = {
    "1,000 nested parts": lambda: _nested(1_000),
    "100,000 nested parts": lambda: _nested(100_000),
    "1,000 nested messages": lambda: _long(_HEAD, b"Content-Type: message/rfc822\n\n", _FAILED, 29_000),
    "100,000 empty parts": lambda: _long(_REPORT, b"--x\n\n", _STATUS + _FAILED, 500_000),
    "100,000 delivery-status parts": lambda: _long(_REPORT, _STATUS + _FAILED, b"--x--\n", 10_000_000),
    "100,000 recipients": lambda: (
        _REPORT + _STATUS + b"".join(_FAILED.replace(b"a@", b"a%d@" % number) + b"\n" for number in range(100_000))
    ),
    "100,000 X-Failed-Recipients": lambda: (
        _HEAD
        + b"X-Failed-Recipients: "
        + b",\n ".join(b"a%d@example.com" % number for number in range(100_000))
        + b"\n\n"
    ),
    "100,000 addresses in the text": lambda: _long(_TEXT, b"<a@example.com>: user unknown\n", octets=3_000_000),
    "100,000 headers": lambda: _long(b"", b"X-Y: z\n", _REPORT + _STATUS + _FAILED),
    "a header of a megabyte": lambda: _long(b"X-Y: ", b"z", b"\n" + _REPORT + _STATUS + _FAILED),
    "a folded header of a megabyte": lambda: _long(b"X-Y:", b" z\n", _REPORT + _STATUS + _FAILED),
    "a subject of encoded words": lambda: _long(b"Subject: ", b"=?utf-8?q?=C3=A9?= ", b"\n" + _REPORT),
    "a subject of broken encoded words": lambda: _long(b"Subject: ", b"=?utf-8?q?", b"\n" + _REPORT),
    "a boundary of a megabyte": lambda: _long(
        _HEAD + b'Content-Type: multipart/report; boundary="', b"x", b'"\n\n--x\n'
    ),
    "parameters": lambda: _long(_HEAD + b"Content-Type: multipart/report", b"; a=b", b"; boundary=x\n\n--x\n"),
    "parameters in parts": lambda: _long(_HEAD + b"Content-Type: text/plain", b'; a*0="x"', b"\n\nx"),
    "open quotes": lambda: _long(_HEAD + b"Content-Type: multipart/report; boundary=", b'"\\', b"\n\n--x\n"),
    "open comments": lambda: _long(_HEAD + b"To: ", b"(", b"\n\n"),
    "commas in To": lambda: _long(b"To: ", b"a@b,", b"\n" + _REPORT + _STATUS + _FAILED),
    "Received headers": lambda: _long(b"", b"Received: from a by b; x\n", _REPORT + _STATUS + _FAILED),
    "a line of a megabyte": lambda: _long(_TEXT, b"a"),
    "a line of addresses": lambda: _long(_TEXT, b"a@b.example "),
    "a line of at signs": lambda: _long(_TEXT, b"@"),
    "a line of dots": lambda: _long(_TEXT + b"a@", b"a."),
    "a line of local parts": lambda: _long(_TEXT + b"<", b"a.", b">"),
    "brackets": lambda: _long(_TEXT, b"<"),
    "angles": lambda: _long(_TEXT, b"<>"),
    "spaces": lambda: _long(_TEXT, b" "),
    "empty lines": lambda: _long(_TEXT, b"\n"),
    "lines of spaces": lambda: _long(_TEXT, b" \n"),
    "carriage returns": lambda: _long(_TEXT, b"\r"),
    "quoted lines": lambda: _long(_TEXT, b"> "),
    "quoted lines with addresses": lambda: _long(_TEXT, b"> a@example.com\n"),
    "codes": lambda: _long(_TEXT, b"550 5.1.1 "),
    "lines of codes": lambda: _long(_TEXT, b"550 5.1.1 user unknown\n"),
    "rules": lambda: _long(_TEXT, b"-"),
    "lines of rules": lambda: _long(_TEXT, b"-----\n"),
    "equals": lambda: _long(_HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n", b"="),
    "soft line breaks": lambda: _long(_HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n", b"=\n"),
    "base64 of nothing": lambda: _long(_HEAD + b"Content-Transfer-Encoding: base64\n\n", b"\n!"),
    "base64 of spaces": lambda: _HEAD + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b" " * _MEGABYTE),
    "html tags": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"<b>"),
    "open html tags": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"<b "),
    "html entities": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"&lt"),
    "html comments": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"<!-- "),
    "html scripts": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"<script>"),
    "html styles": lambda: _long(_HEAD + b"Content-Type: text/html\n\n", b"<style "),
    "utf-7": lambda: _long(_HEAD + b"Content-Type: text/plain; charset=utf-7\n\n", b"+AGE"),
    "iso-2022-jp": lambda: _long(_HEAD + b"Content-Type: text/plain; charset=iso-2022-jp\n\n", b"\x1b$B"),
    "combining marks": lambda: _long(_HEAD + b"Content-Type: text/plain; charset=utf-8\n\n", b"\xcc\x81"),
    "ligatures": lambda: _long(_HEAD + b"Content-Type: text/plain; charset=utf-8\n\n", "ﷺ".encode()),
    "status: a field of a megabyte": lambda: _long(_REPORT + _STATUS + _FAILED + b"Diagnostic-Code: smtp; ", b"550 "),
    "status: folded lines": lambda: _long(_REPORT + _STATUS + _FAILED + b"Diagnostic-Code: smtp;", b"\n 550 5.1.1"),
    "status: unknown fields": lambda: _long(_REPORT + _STATUS, b"X: y\n", _FAILED),
    "status: empty groups": lambda: _long(_REPORT + _STATUS, b"\n\n", _FAILED),
    "status: recipients without end": lambda: _long(_REPORT + _STATUS + b"Final-Recipient: rfc822;", b" a@b", b"\n"),
    "status: escapes": lambda: _long(_REPORT + _STATUS + b"Final-Recipient: utf-8;", b"\\x{4E00}", b"@b\n"),
    "report: one field": lambda: _long(_ARF + _FEEDBACK + b"Original-Rcpt-To: ", b"a@b.example,", b"\n"),
    "report: many fields": lambda: _long(_ARF + _FEEDBACK, b"Original-Rcpt-To: a@b.example\n", b"\n"),
    "report: embedded headers": lambda: _long(
        _ARF + _FEEDBACK + b"\n--x\nContent-Type: message/rfc822\n\n", b"To: a@b\n"
    ),
    "VERP without end": lambda: _long(_HEAD + b"X: ", b"bounce+a+", b"@b\n\n"),
    "VERP of many": lambda: _long(_TEXT, b"bounce+n+" + b"a" * 20 + b"+x=y.example@b.example "),
    "DKIM signatures": lambda: _long(b"", b"DKIM-Signature: a=b; d=x; h=from:to\n", _REPORT + _STATUS + _FAILED),
    "Authentication-Results": lambda: _long(b"Authentication-Results: mx", b"; dkim=pass", b"\n" + _REPORT),
    "From lines": lambda: _long(b"", b"From x\n", _REPORT),
}


@pytest.mark.parametrize("make", _HUGE.values(), ids=_HUGE.keys())
def test_a_huge_message_is_read_in_no_time(make: Callable[[], bytes]) -> None:
    data = make()
    _reader()
    with within():
        _read(data)


@pytest.mark.parametrize("make", _HUGE.values(), ids=_HUGE.keys())
def test_a_huge_message_takes_a_few_times_its_size(make: Callable[[], bytes]) -> None:
    data = make()
    with within_memory(8 * len(data) + 20_000_000):
        parse_message(data, _reader())


@pytest.mark.parametrize(
    "filler",
    [
        b"a",
        b"\n",
        b"a\n",
        b" ",
        b"a@b.example\n",
        b"--x\n\n",
        b"=",
        b"QUFB",
        b"<b>",
        b"550 5.1.1 <a@b.example> unknown\n",
    ],
    ids=repr,
)
def test_a_message_of_50_megabytes_is_read_in_no_time_and_little_memory(filler: bytes) -> None:
    data = _long(_REPORT + _STATUS + _FAILED + b"\n--x\nContent-Type: text/plain\n\n", filler, octets=50_000_000)
    _reader()
    with within():
        found = parse_message(data, _reader())
    assert [event.recipient for event in found][:1] == ["a@example.com"]
    with within_memory(len(data) * 2):
        parse_message(data, _reader())


def test_a_signed_sender_is_found_whatever_stands_around_it() -> None:
    sender = VerpSigner(_KEY, "bounce", "shop.example").sign("anna@one.example", "spring", NOW)
    for before, after in ((b"<", b">"), (b"", b""), (b"x " * 1000, b" y" * 1000), (b'"', b'"')):
        data = _REPORT.replace(b"To: bounce+spring@shop.example", b"To: " + before + sender.encode() + after)
        _read(data + _STATUS + _FAILED)
