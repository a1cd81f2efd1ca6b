"""Belief: what proves a bounce or a complaint, and what only looks as if it did."""

from __future__ import annotations

import pytest

from sendgate.feedback.event import Event, EventClass, Source
from sendgate.feedback.mail.mime import read_message
from sendgate.feedback.trust import Belief, Facts, Trust, Why, facts_of, is_authenticated, judge
from sendgate.feedback.verp import DAY, VerpChecker, VerpSigner

KEY = b"k" * 32
NOW = 1_790_000_000.0
OURS = "mx.example.net"
TRUST = Trust(VerpChecker((KEY,), "bounce", 30 * DAY), OURS, frozenset({"isp.example"}))
BELOW = f"{OURS}; dkim=pass header.d=isp.example"
UNSIGNED = Belief(False, Why.UNSIGNED)


def sender(recipient: str = "anna@example.com", now: float = NOW, key: bytes = KEY) -> str:
    return VerpSigner(key, "bounce", "b.example.net").sign(recipient, "spring", now)


def event(recipient: str = "anna@example.com", sent_to: str = "") -> Event:
    return Event(recipient, EventClass.HARD, source=Source.BOUNCE, sent_to=sent_to)


def judged(*texts: str, recipient: str = "anna@example.com", authentication: tuple[str, ...] = ()) -> Belief:
    return judge(event(recipient), Facts(texts, authentication), TRUST, NOW)


def passes(*fields: str) -> bool:
    return is_authenticated(fields, TRUST)


def test_an_event_whose_recipient_our_signature_names_is_believed() -> None:
    believed = Belief(True, Why.VERP, "anna@example.com")
    assert judge(event(sent_to=sender()), Facts(), TRUST, NOW) == believed
    assert judged(f"<{sender()}>") == believed
    assert judged("of no use", f"from a (envelope-from <{sender().lower()}>) by b; Mon") == believed


def test_a_signature_for_one_recipient_does_not_speak_of_another() -> None:
    assert judged(sender("eve@example.org"), recipient="anna@example.com") == Belief(
        False, Why.FORGED, "eve@example.org"
    )


def test_a_tag_that_the_receiver_left_out_is_the_same_mailbox_and_we_learn_whom_we_sent_to() -> None:
    assert judged(sender("anna+news@example.com")) == Belief(True, Why.VERP, "anna+news@example.com")


def test_a_short_sender_is_proved_by_the_recipient_of_the_event() -> None:
    long = "x" * 50 + "@example.com"
    assert judged(sender(long), recipient=long).why is Why.VERP
    assert judged(sender(long), recipient="anna@example.com").why is Why.FORGED


def test_a_true_signature_outdoes_a_forged_one_beside_it() -> None:
    assert judged(sender(key=b"o" * 32), sender()).why is Why.VERP


def test_a_forged_signature_is_not_outdone_by_authentication() -> None:
    assert judged(sender(key=b"o" * 32), authentication=(BELOW,)) == Belief(False, Why.FORGED)


def test_an_expired_signature_leaves_the_question_to_authentication() -> None:
    old = sender(now=NOW - 90 * DAY)
    assert judged(old) == Belief(False, Why.EXPIRED, "anna@example.com")
    assert judged(old, authentication=(BELOW,)) == Belief(True, Why.AUTHENTICATED)


def test_without_signature_and_authentication_nothing_is_believed() -> None:
    assert judged("bounce@b.example.net", "bounce+spring@b.example.net") == UNSIGNED
    assert judge(event(), Facts((sender(),)), Trust(), NOW) == UNSIGNED


def test_other_senders_are_no_forgeries_of_ours() -> None:
    assert judged("bounce+705f77.d4a-anna=example.com@elsewhere.example") == UNSIGNED


def test_many_senders_are_looked_at_only_up_to_a_number() -> None:
    crowd = " ".join(sender(f"u{number}@example.com") for number in range(500))
    assert judged(crowd, recipient="u499@example.com").why is Why.FORGED


@pytest.mark.parametrize(
    "field",
    [
        f"{OURS}; dkim=pass header.d=isp.example",
        f"{OURS} 1; dkim/1=pass header.d=isp.example",
        "MX.Example.NET; spf=none; dkim=pass (1024-bit key) header.d=fbl.ISP.example header.i=@isp.example",
        f"{OURS}; dkim=pass header.i=reports@fbl.isp.example",
        f'{OURS}; dkim=pass reason="good; key" header.d="isp.example"',
        f"{OURS} (a comment; (nested) dkim=fail);\tdkim = pass (ok) header . d = isp.example",
        f'"{OURS}"; spf=pass smtp.mailfrom=reports@isp.example',
        f"{OURS}; spf=pass smtp.mailfrom=isp.example",
        f"{OURS}; dkim=fail header.d=isp.example; dkim=pass header.d=isp.example",
        f'{OURS}; spf=pass smtp.mailfrom="" smtp.helo=mx.isp.example',
        f"{OURS}; spf=pass smtp.mailfrom=<> smtp.helo=mx.isp.example",
        f"{OURS}; spf=pass smtp.helo=mx.isp.example",
    ],
)
def test_a_pass_of_a_trusted_domain_counts(field: str) -> None:
    assert passes(field)
    assert passes("elsewhere.example; dkim=fail header.d=isp.example", field)


@pytest.mark.parametrize(
    "field",
    [
        "",
        OURS,
        f"{OURS}; none",
        f"x{OURS}; dkim=pass header.d=isp.example",
        f"{OURS}.evil.example; dkim=pass header.d=isp.example",
        f"evil.example; {OURS}; dkim=pass header.d=isp.example",
        f"({OURS};) evil.example; dkim=pass header.d=isp.example",
        f"{OURS}; dkim=fail header.d=isp.example",
        f"{OURS}; dkim=passed header.d=isp.example",
        f"{OURS}; dkim=pass header.d=evilisp.example",
        f"{OURS}; dkim=pass header.d=isp.example.evil.example",
        f"{OURS}; dkim=pass header.d=evil.example header.i=@isp.example",
        f"{OURS}; dkim=pass header.d=evil.example (header.d=isp.example)",
        f"{OURS}; dkim=pass (dkim=pass header.d=isp.example",
        f'{OURS}; dkim=fail reason="; dkim=pass header.d=isp.example"',
        f"{OURS}; dkim=pass header.d=evil.example header.d=isp.example",
        f"{OURS}; dkim=pass header.from=isp.example",
        f"{OURS}; dmarc=pass header.d=isp.example",
        f"{OURS}; spf=pass smtp.mailfrom=eve@evil.example smtp.helo=isp.example",
        f"{OURS}; spf=softfail smtp.mailfrom=isp.example",
        f"{OURS}; spf=pass smtp.mailfrom=isp.example@evil.example",
        f'{OURS}; spf=pass smtp.mailfrom="eve@isp.example"@evil.example',
        f'{OURS}; spf=pass smtp.mailfrom="eve smtp.helo=isp.example"@evil.example',
        f"{OURS}; spf=pass (domain of a) smtp.mailfrom=eve@isp.example (x) smtp.mailfrom=evil.example",
        f"{OURS}; dkim=pass header.d=isp.example header.d=evil.example",
        f'{OURS}; dkim=pass reason="header.d=isp.example" header.d=evil.example',
        f"{OURS}; dkim=pass x-header.d=isp.example",
    ],
)
def test_whatever_else_a_field_says_does_not(field: str) -> None:
    assert not passes(field)


def test_only_the_topmost_field_of_our_server_counts() -> None:
    assert not passes(f"{OURS}; dkim=fail header.d=isp.example", BELOW)
    assert not passes(f"{OURS}; none", BELOW)


def test_no_server_or_no_domain_trusted_is_nobody_trusted() -> None:
    assert not is_authenticated([BELOW], Trust(authserv_id=OURS))
    assert not is_authenticated(["; dkim=pass header.d=isp.example"], Trust(domains=TRUST.domains))


def test_hostile_fields_take_no_time_and_prove_nothing() -> None:
    for field in ("(" * 9_000, '"' * 9_000, f"{OURS};" + "dkim=pass " * 900, f"{OURS};" + "\\" * 9_000, ";" * 9_000):
        assert not passes(field)


def test_a_message_shows_whom_it_came_to_what_it_brings_along_and_its_own_authentication() -> None:
    message = read_message(
        f"""Authentication-Results: {BELOW}
Delivered-To: {sender("delivered@example.com")}
Subject: {sender("subject@example.com")}
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
Original-Mail-From: <{sender("field@example.com")}>

--b
Content-Type: message/rfc822

Return-Path: <{sender("returned@example.com")}>
Authentication-Results: {OURS}; forged=yes

{sender("body@example.com")}
--b--
""".encode()
    )
    facts = facts_of(message, [sender("envelope@example.com")])
    assert facts.authentication == (BELOW,)
    for name, why in (
        ("envelope", Why.VERP),
        ("delivered", Why.VERP),
        ("field", Why.VERP),
        ("returned", Why.VERP),
        ("subject", Why.FORGED),
        ("body", Why.FORGED),
    ):
        assert judge(event(f"{name}@example.com"), facts, TRUST, NOW).why is why, name
