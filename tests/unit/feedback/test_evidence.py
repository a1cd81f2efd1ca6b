"""Evidence: what a note tells, read back, in any store."""

from __future__ import annotations

import pytest

from sendgate.entry import MAX_NOTE_OCTETS, check_note
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.evidence import MAX_OCTETS, Evidence, evidence_of
from sendgate.feedback.provider import provider_of
from sendgate.feedback.strikes import Strike, event_id, read, write
from sendgate.keys import Keyer

AT = 1_795_341_600
STRIKES = (Strike("bad_mailbox", "4F1B2C", AT), Strike("inactive", "~0123456789ab", AT + 5, doubted=True))
WHOLE = Evidence(
    at=AT,
    queue_id="4F1B2C",
    host="mx.example.com",
    provider="example.com",
    campaign="spring-sale",
    source="bounce",
    code="550",
    status="5.1.1",
    breaker="example.com",
    strikes=STRIKES,
    text="550 5.1.1 no such user = here, text= too",
    derived=("recipient by verp", "campaign"),
)


def event(recipient: str = "gone@example.com", **facts: object) -> Event:
    given: dict[str, object] = {"type": BounceType.BAD_MAILBOX, "at": AT, "queue_id": "4F1B2C", **facts}
    return Event(recipient, EventClass.HARD, **given)  # type: ignore[arg-type]


def test_a_note_tells_all_in_one_line_for_people() -> None:
    assert WHOLE.note() == (
        "at=2026-11-22T10:00:00Z queue=4F1B2C host=mx.example.com provider=example.com campaign=spring-sale "
        "source=bounce code=550 status=5.1.1 derived=recipient_by_verp,campaign breaker=example.com "
        "strikes=bad_mailbox/4F1B2C/1795341600,inactive?/~0123456789ab/1795341605 "
        "text=550 5.1.1 no such user = here, text= too"
    )


def test_a_note_is_read_back() -> None:
    read_back = Evidence.from_note(WHOLE.note())
    assert read_back is not None
    assert read_back.derived == ("recipient_by_verp", "campaign")
    assert read_back.note() == WHOLE.note()
    assert (read_back.strikes, read_back.text) == (WHOLE.strikes, WHOLE.text)


def test_what_is_not_known_has_no_field() -> None:
    assert Evidence(AT).note() == "at=2026-11-22T10:00:00Z"
    assert Evidence.from_note("at=2026-11-22T10:00:00Z") == Evidence(AT)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "asked by phone",
        "at=noon",
        "at=2026-99-99T10:00:00Z",
        "at=2026-11-22T10:00:00Z9",
        " at=2026-11-22T10:00:00Z",
        "see at=2026-11-22T10:00:00Z",
        "text=at=2026-11-22T10:00:00Z",
        "at=" * 400,
        "=" * 1024,
        "\0\ud800",
    ],
)
def test_a_note_by_people_is_no_evidence(note: str) -> None:
    assert Evidence.from_note(note) is None


@pytest.mark.parametrize(
    "strikes", ["x", "bad_mailbox/a/b", "bad_mailbox/4F1B2C/99999999999", "/" * 500, "," * 500, "bad_mailbox/4F1B2C/1٣"]
)
def test_what_is_no_strike_is_passed_over(strikes: str) -> None:
    evidence = Evidence.from_note(f"at=2026-11-22T10:00:00Z strikes={strikes},full/4F1B2D/7 text=x")
    assert evidence is not None
    assert evidence.strikes in ((Strike("full", "4F1B2D", 7),), ())
    assert evidence.text == "x"


def test_values_hold_no_spaces_quotes_or_brackets_and_texts_no_line_breaks() -> None:
    told = Evidence(
        AT, host='mx" \n<b>', campaign="a b\u2003c", code="5\x0050", text='\r\n550-no\n550 "such"\tuser\u2028x '
    )  # fmt: skip
    assert told.note() == ('at=2026-11-22T10:00:00Z host=mx_b_ campaign=a_b_c code=5_50 text=550-no 550 "such" user x')


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "é " * 5_000, "漢字 " * 5_000, "\ud800" * 3_000, "a b@c.example " * 500]
)
def test_a_note_is_never_longer_than_its_most_octets_whatever_it_holds(text: str) -> None:
    eight = [Strike("bad_mailbox", f"4ZfQ8k1mBzz{number:013}", AT, doubted=True) for number in range(8)]
    long = Evidence(
        AT, "q" * 99, text, text, text, text, text, text, text, tuple(eight), text, (text, text)
    )  # fmt: skip
    note = long.note()
    assert len(note.encode()) <= MAX_OCTETS < MAX_NOTE_OCTETS
    assert check_note(note) == note
    evidence = Evidence.from_note(note)
    assert evidence is not None
    assert evidence.strikes == tuple(eight)


@pytest.mark.parametrize(
    "text",
    [
        "550 5.1.1 <gone@example.com>: unknown",
        "gone@example.com unknown",
        '"gone person"@example.com is away',
        "a%40b.example",
        "x＠example.com",
    ],
)
def test_a_store_that_hashes_addresses_leaves_the_rest_of_a_note_readable(text: str) -> None:
    told = evidence_of(event(text=text, campaign="news@work", host="mx.example.com"), AT, STRIKES)
    stored = Keyer(b"secret").stored_note(told.note())
    assert not any(sign in stored for sign in ("@", "＠", "%40"))
    evidence = Evidence.from_note(stored)
    assert evidence is not None
    assert (evidence.strikes, evidence.campaign, evidence.host) == (STRIKES, "news_at_work", "mx.example.com")
    assert "<address>" in evidence.text


@pytest.mark.parametrize(
    ("recipient", "text", "shown"),
    [
        ("john.doe@example.com", "550 john.doe: unknown", "550 <local-part>: unknown"),
        ("john.doe@example.com", "no such user JOHN.DOE.", "no such user <local-part>."),
        ("anna+x@example.com", "anna+x (anna) is gone", "<local-part> (<local-part>) is gone"),
        ("anna@example.com", "joanna, anna1 and <anna@example.com>", "joanna, anna1 and <anna@example.com>"),
        ("a(b@example.com", "a(b?", "<local-part>?"),
        ("", "unknown", "unknown"),
        ("@", "unknown", "unknown"),
    ],
)
def test_a_text_does_not_tell_the_bare_local_part(recipient: str, text: str, shown: str) -> None:
    assert evidence_of(event(recipient, text=text), AT, ()).text == shown


def test_a_cut_text_never_ends_within_an_address() -> None:
    for length in range(700, 980):
        told = evidence_of(event("john.doe@example.com", text="x" * length + " <john.doe@example.com>"), AT, STRIKES)
        assert "john" not in Keyer(b"secret").stored_note(told.note())


@pytest.mark.parametrize(
    ("host", "recipient", "provider"),
    [
        ("gmail-smtp-in.l.google.com", "a@shop.example", "google.com"),
        ("shop-example.mail.protection.outlook.com", "a@shop.example", "outlook.com"),
        ("MX.Example.COM.", "a@x.example", "example.com"),
        ("mx1.example.co.uk", "a@x.example", "example.co.uk"),
        ("mx.docomo.ne.jp", "a@docomo.ne.jp", "docomo.ne.jp"),
        ("mx.uol.com.br", "a@uol.com.br", "uol.com.br"),
        ("co.uk", "a@x.example", "co.uk"),
        ("mx.t-online.de", "a@t-online.de", "t-online.de"),
        ("mx.example.com[192.0.2.1]:25", "a@x.example", "example.com"),
        ("192.0.2.1", "a@Example.org", "example.org"),
        ("[192.0.2.1]", "a@example.org", "example.org"),
        ("2001:db8::1", "a@example.org", "example.org"),
        ("localhost", "a@example.org", "example.org"),
        ("", "a@example.org", "example.org"),
        ("no host at all", "a@example.org", "example.org"),
        ("", "a@[192.0.2.1]", "[192.0.2.1]"),
        ("", "", "unknown"),
        ("." * 5_000, "@" * 5_000, "unknown"),
        ("a." * 5_000, "x" * 5_000 + "@b.example", "b.example"),
    ],
)
def test_the_provider_is_who_answered_else_the_recipients_domain(host: str, recipient: str, provider: str) -> None:
    assert provider_of(event(recipient, host=host)) == provider


def test_an_event_is_known_by_its_queue_id_whatever_told_of_it() -> None:
    assert event_id(event()) == event_id(event(source=Source.BOUNCE, text="other", at=AT + 3600)) == "4F1B2C"


def test_an_event_without_queue_id_is_known_by_its_facts_but_never_by_who_it_is_about() -> None:
    one = event_id(event(queue_id="", host="mx.example.com"))
    assert one == event_id(event("other@example.com", queue_id="", host="mx.example.com", text="other"))
    assert one != event_id(event(queue_id="", host="mx.example.com", at=AT + 1))
    assert one != event_id(event(queue_id="not, an id", host="mx.example.com"))
    assert read(write([Strike("full", one, AT)])) == (Strike("full", one, AT),)
