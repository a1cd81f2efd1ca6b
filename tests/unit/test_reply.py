"""From a decision to the SMTP reply."""

from __future__ import annotations

import re

import pytest

from sendgate.decision import (
    BAD_ADDRESS,
    OTHER_FATE,
    PASS,
    REPLICA_STALE,
    STORE_UNAVAILABLE,
    Cause,
    Decision,
    Verdict,
)
from sendgate.entry import EVERYWHERE, Found, Reason
from sendgate.reply import hold_reason, reply_to

_ENTRY = Found(Reason.HARD_BOUNCE, EVERYWHERE, "default", 0, None, "7f3a9c21")
_REJECT = Decision(Verdict.REJECT, Cause.ENTRY, _ENTRY)


@pytest.mark.parametrize(
    ("decision", "reply"),
    [
        (_REJECT, "550 5.7.1 <user@example.com>: recipient suppressed: hard_bounce (ref 7f3a9c21)"),
        (
            _REJECT._replace(verdict=Verdict.TEMPFAIL),
            "451 4.7.1 <user@example.com>: recipient suppressed: hard_bounce (ref 7f3a9c21)",
        ),
        (STORE_UNAVAILABLE, "451 4.3.0 <user@example.com>: suppression list not available, try again later"),
        (REPLICA_STALE, "451 4.3.0 <user@example.com>: suppression list out of date, try again later"),
        (OTHER_FATE, "452 4.5.3 <user@example.com>: send this recipient in another message"),
        (BAD_ADDRESS, "553 5.1.3 <user@example.com>: recipient address not understood"),
    ],
)
def test_a_refusal_has_its_codes_and_words(decision: Decision, reply: str) -> None:
    assert str(reply_to(decision, "<user@example.com>")) == reply


@pytest.mark.parametrize(
    "decision",
    [
        PASS,
        Decision(Verdict.PASS, Cause.ENTRY, _ENTRY, observed=True),
        _REJECT._replace(verdict=Verdict.HOLD),
        _REJECT._replace(verdict=Verdict.DISCARD),
    ],
)
def test_what_is_accepted_at_rcpt_has_no_reply(decision: Decision) -> None:
    assert reply_to(decision, "user@example.com") is None


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.TEMPFAIL])
@pytest.mark.parametrize("reason", Reason)
def test_the_enhanced_code_agrees_with_the_basic_one(verdict: Verdict, reason: Reason) -> None:
    reply = reply_to(Decision(verdict, Cause.ENTRY, _ENTRY._replace(reason=reason)), "user@example.com")
    assert reply is not None
    assert reply.code[0] == reply.enhanced[0]


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("user@example.com", "<user@example.com>"),
        (" <user@example.com> ", "<user@example.com>"),
        ("<>", "<>"),
        ("us\r\n250 OK\r\ner@example.com", "<us??250 OK??er@example.com>"),
        ("us\0er@example.com", "<us?er@example.com>"),
        ("josé@example.com", "<jos?@example.com>"),
        ("jos\udce9@example.com", "<jos?@example.com>"),
    ],
)
def test_a_recipient_is_shown_in_printable_ascii(recipient: str, shown: str) -> None:
    reply = reply_to(BAD_ADDRESS, recipient)
    assert reply is not None
    assert reply.text == f"{shown}: recipient address not understood"


@pytest.mark.parametrize("decision", [_REJECT, STORE_UNAVAILABLE, REPLICA_STALE, OTHER_FATE, BAD_ADDRESS])
def test_a_reply_line_stays_within_the_512_octets_of_smtp(decision: Decision) -> None:
    line = f"{reply_to(decision, 'é' * 100_000)}\r\n"
    assert len(line) <= 512
    assert re.fullmatch(r"[\x20-\x7e]+\r\n", line)


def test_a_hold_is_told_with_reason_and_reference() -> None:
    assert hold_reason(_REJECT._replace(verdict=Verdict.HOLD)) == "sendgate: hard_bounce (ref 7f3a9c21)"
    assert hold_reason(PASS) == "sendgate"
