"""Whatever is in Postfix's log: lines are read or passed over, and joining them stays within bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.mangled import mangled, within
from sendgate.campaign import CampaignResolver
from sendgate.entry import check_name
from sendgate.feedback.classify import classify
from sendgate.feedback.event import Event, EventClass
from sendgate.feedback.log.maillog import Delivery, Expired, parse_line
from sendgate.feedback.log.queue import OpenMessage, QueueTracker
from sendgate.feedback.rules import load_rules
from sendgate.settings import CampaignSettings

NOW = 1_772_366_400
MOST_OPEN = 20
_FRONT = "Mar  1 12:00:00 mx1 postfix/"
_TO = "smtp[7]: 4fK0001abcz123: to=<a@example.com>, "
_SEEDS = [
    "smtpd[1]: 4fK0001abcz123: client=h.example[192.0.2.1], sasl_method=PLAIN, sasl_username=news",
    "qmgr[2]: 4fK0001abcz123: from=<bounce+news@x.test>, size=900, nrcpt=1 (queue active)",
    "qmgr[2]: 4fK0001abcz123: from=<>, size=900, nrcpt=50 (queue active)",
    _TO + "relay=mx.example[192.0.2.9]:25, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 ok)",
    _TO + "relay=mx.example[192.0.2.9]:25, conn_use=3, delay=1, delays=0/0/1/0, dsn=5.1.1, status=bounced "
    "(host mx.example[192.0.2.9] said: 550-5.1.1 no such 550 5.1.1 user <a@example.com> (in reply to RCPT TO command))",
    _TO + "orig_to=<b@example.com>, relay=none, delay=1, delays=0/0/1/0, dsn=4.4.1, status=deferred "
    "(connect to mx.example[2001:db8::1]:25: Connection timed out)",
    _TO + "relay=mx.example[192.0.2.9]:25, delay=1, dsn=4.7.0, status=deferred "
    "(delivery temporarily suspended: host mx.example[192.0.2.9] refused to talk to me: 421 4.7.0 later)",
    "qmgr[2]: 4fK0001abcz123: from=<bounce+news@x.test>, status=expired, returned to sender",
    "bounce[3]: 4fK0001abcz123: sender non-delivery notification: 4fK0002abcz123",
    "qmgr[2]: 4fK0001abcz123: removed",
    "smtpd[1]: NOQUEUE: milter-reject: RCPT from h.example[192.0.2.1]: 550 5.7.1 <a@example.com>: recipient "
    "suppressed: hard_bounce (ref 12345678); from=<bounce+news@x.test> to=<a@example.com> proto=ESMTP helo=<h>",
]
_PIECES = [
    b"<", b">", b"to=<", b"orig_to=<", b"from=<", b", ", b"status=bounced ", b"status=sent ", b"status=deferred ",
    b"(", b")", b" said: ", b" (in reply to RCPT TO command)", b" (in reply to end of DATA command))", b"relay=none",
    b"dsn=", b"5.1.1", b"550 5.1.1", b"550-", b"[", b"]", b"]: ", b": ", b"a@example.com", b'"a b"@example.com', b"@",
    b'"', b"\\", b"2026-03-01T12:00:00.123456+01:00", b"Feb 29 23:59:60", b"Mar 99 99:99:99", b"postfix/smtp[1]",
    b"\xff\xfe", b"\xc3", b"\0", b"\r", b"\t", b"\xe2\x80\xa8", b"nrcpt=", b"99999999999", b"-1", b"4fK0001abcz123",
    b"4fK0002abcz123", b"sasl_username=", b"client=", b"removed", b"queue active", b"x" * 300,
]  # fmt: skip
_BYTES = [(_FRONT + seed).encode() for seed in _SEEDS]
_LINES = mangled(_BYTES, _PIECES).map(lambda line: line.decode(errors="surrogateescape"))


@given(_LINES | st.text())
@example(_FRONT + _TO)
@example(_FRONT + _TO + "relay=none, status=bounced")
@example(_FRONT + _TO + "relay=none, status=bounced (")
def test_any_line_is_a_record_or_nothing(line: str) -> None:
    record = parse_line(line, NOW)
    if isinstance(record, Delivery | Expired):
        fields = record.as_object()
        assert json.loads(json.dumps(fields)) == fields
        assert {"queue_id", "status", "timestamp", "pid"} <= fields.keys()
        assert record.at >= 0


@given(st.lists(_LINES | st.sampled_from(_BYTES).map(bytes.decode), max_size=30))
def test_any_lines_are_joined_within_bounds_and_over_restarts(lines: list[str]) -> None:
    tracker, again = _tracker(), _tracker()
    events: list[Event] = []
    saved: dict[str, OpenMessage] = {}
    for line in lines:
        record = parse_line(line, NOW)
        if record is None:
            continue
        found = tracker.feed(record)
        events += found
        assert again.feed(record) == found
        for key, message in again.changes().items():
            saved.pop(key, None)
            if message is not None:
                saved[key] = OpenMessage.of(json.loads(json.dumps(message.as_object())))
        again = _tracker()
        again.restore(saved)
    assert len(saved) <= MOST_OPEN
    for event in events:
        assert check_name(event.campaign, "campaign") == event.campaign
        assert event.recipient
        assert event.event_class is not EventClass.COMPLAINT
        assert (event.type is None) == (event.event_class is EventClass.NONE)


_MEGABYTE = 1_000_000
_BOUNCED = _FRONT + _TO + "relay=mx.example[192.0.2.9]:25, delay=1, dsn=5.0.0, status=bounced ("
_SAID = _BOUNCED + "host mx.example[192.0.2.9] said: "


@pytest.mark.parametrize(
    ("before", "repeated", "after"),
    [
        ("", "a", ""),
        ("", " ", ""),
        ("", "]: ", ""),
        (_FRONT, "smtp[1]: ", ""),
        (_FRONT + "smtp[7]: 4fK0001abcz123: to=<", "a", ""),
        (_FRONT + "smtp[7]: 4fK0001abcz123: to=<", "<", ">"),
        (_FRONT + 'smtp[7]: 4fK0001abcz123: to=<"', '\\"', '"@example.com>, relay=none, status=sent ('),
        (_FRONT + 'smtp[7]: 4fK0001abcz123: to=<"', '"@', ">, relay=none, status=sent ("),
        (_FRONT + _TO, "orig_to=<a>, ", "status=sent"),
        (_FRONT + _TO + "relay=none, ", "a=b, ", "status=sent"),
        (_FRONT + _TO + "relay=none, ", "a=b,", "status=sent"),
        (_FRONT + _TO + "relay=none, delay=", "1.", ", status=sent"),
        (_FRONT + _TO + "relay=none", " ", ", status=sent"),
        (_FRONT + _TO + "relay=none,", " ", "status=sent (x)"),
        (_BOUNCED, "(", ""),
        (_BOUNCED, ")", ""),
        (_BOUNCED, " (", ")"),
        (_BOUNCED + "host ", "a", "[x] said: 550"),
        (_BOUNCED, "delivery temporarily suspended: ", ""),
        (_SAID, "550-5.1.1 ", "550 5.1.1 x (in reply to RCPT TO command))"),
        (_SAID + "550 ", " (in reply to ", ")"),
        (_SAID + "550 ", "5.1.1", ")"),
        (_SAID, "said: ", "550 5.1.1"),
        (_SAID, "host a[b] said: 550 ", ")"),
        (_SAID + "550 ", "user@example.com ", ")"),
        (_SAID + "550 ", "a@", ")"),
        (_FRONT + "smtpd[1]: 4fK0001abcz123: client=", "a, sasl_username=", ""),
        (_FRONT + "qmgr[1]: 4fK0001abcz123: from=<", "\\", ">, size=1, nrcpt=1 (queue active)"),
        (_FRONT + "qmgr[1]: 4fK0001abcz123: from=<a>, size=1, nrcpt=", "9", " (queue active)"),
        (_FRONT + "qmgr[1]: ", "A", ": removed"),
    ],
)
def test_a_line_of_a_megabyte_takes_no_time(before: str, repeated: str, after: str) -> None:
    line = before + repeated * (_MEGABYTE // len(repeated)) + after
    tracker = _tracker()
    with within():
        record = parse_line(line, NOW)
        if record is not None:
            for event in tracker.feed(record):
                assert len(event.text) < 10_000
                assert len(event.recipient) < 10_000
            if isinstance(record, Delivery | Expired):
                record.as_object()


def _tracker() -> QueueTracker:
    return QueueTracker(_RESOLVER, lambda answer: classify(answer, _RULES), MOST_OPEN)


_RULES = load_rules(None)
_RESOLVER = CampaignResolver(CampaignSettings())
