"""Messages become events: whom they are about, what happened, for which campaign, and nobody else."""

from __future__ import annotations

import pytest

from sendgate.feedback.event import Event, EventClass, Source
from sendgate.feedback.mail.parse import parse_message
from unit.feedback.messages import (
    ANNA,
    FOLDER,
    NOW,
    bounce,
    events_of,
    message,
    reader,
    signed,
    status_report,
    table,
)

FAILED = "Reporting-MTA: dns; mx.example.org\n\nFinal-Recipient: rfc822; {}\nAction: failed\nStatus: 5.1.1"


def only(found: list[Event]) -> Event:
    (event,) = found
    return event


def test_every_message_is_in_the_table() -> None:
    assert {path.stem for path in FOLDER.glob("*.eml")} == table().keys()


@pytest.mark.parametrize("name", table())
def test_each_odd_message_gives_what_the_table_says(name: str) -> None:
    found = {event.recipient: (str(event.event_class), str(event.type or "")) for event in events_of(message(name))}
    wanted = {recipient: (kind, reason) for kind, reason, recipient in (row.split(" ") for row in table()[name])}
    assert found.keys() == wanted.keys()
    for recipient, (kind, reason) in wanted.items():
        assert kind in ("*", found[recipient][0]), found
        assert reason in ("*", found[recipient][1]), found


@pytest.mark.parametrize("name", [name for name in table() if name.startswith("not-")])
def test_no_ordinary_message_suppresses_anybody(name: str) -> None:
    assert {event.event_class for event in events_of(message(name))} <= {EventClass.NONE}


def test_an_event_holds_all_that_a_report_tells() -> None:
    event = only(events_of(message("dsn")))
    assert event.source is Source.BOUNCE
    assert (event.status, event.code, event.host, event.queue_id) == ("5.1.1", "550", "mx.example.net", "4ABCDEF")
    assert event.campaign == "spring"
    assert event.sent_to == "bounce+spring@news.example.com"
    assert event.at == 1_773_306_000  # its Date
    assert event.final
    assert event.derived == ()
    assert "user unknown" in event.text


def test_a_date_in_the_future_is_now() -> None:
    late = message("dsn").replace(b"Thu, 12 Mar 2026 10:00:00", b"Thu, 12 Mar 2099 10:00:00")
    assert only(events_of(late)).at == int(NOW)


def test_a_date_that_is_none_is_now() -> None:
    odd = message("dsn").replace(b"Date: Thu, 12 Mar 2026 10:00:00 +0100", b"Date: Mon, 99 Foo 99999 99:99:99 +9999")
    assert only(events_of(odd)).at == int(NOW)


def test_the_text_is_one_line_and_is_cut() -> None:
    event = only(events_of(bounce(f"<{ANNA}>: 550 5.1.1 user unknown " + "and so on\n " * 500)))
    assert len(event.text) <= 512
    assert "\n" not in event.text


def test_a_delay_is_not_final() -> None:
    assert not only(events_of(message("exim-delay"))).final
    assert only(events_of(message("exim-delay"))).event_class is EventClass.SOFT


def test_several_mentions_of_a_recipient_are_one_event_the_most_telling() -> None:
    assert only(events_of(message("dsn-twice"))).status == "5.1.1"


def test_the_campaign_of_the_returned_header_counts_when_the_envelope_names_none() -> None:
    plain = (
        message("dsn")
        .replace(b"bounce+spring@news", b"bounces@news")
        .replace(b"X-Campaign-ID: spring", b"X-Campaign-ID: autumn")
    )
    event = only(events_of(plain))
    assert (event.campaign, event.derived) == ("autumn", ("campaign from X-Campaign-ID",))


def test_without_a_header_for_it_no_header_names_a_campaign() -> None:
    plain = message("dsn").replace(b"bounce+spring@news", b"bounces@news")
    assert only(parse_message(plain, reader(campaign_header=""))).campaign == "unknown"


def test_the_envelope_id_names_the_campaign_first() -> None:
    event = only(
        events_of(status_report("Reporting-MTA: dns; x\nOriginal-Envelope-Id: summer/17\n\n" + FAILED.format(ANNA)))
    )
    assert event.campaign == "summer"


def test_our_signed_sender_tells_whom_we_wrote_to_when_it_was_forwarded() -> None:
    forwarded = status_report(FAILED.format("anna@elsewhere.example"))
    event = only(events_of(forwarded.replace("bounce+spring@news.example.com", signed(ANNA))))
    assert (event.recipient, event.campaign) == (ANNA, "winter")
    assert event.derived == ("recipient from the signed sender",)


def test_a_forged_sender_tells_nothing() -> None:
    forged = signed(ANNA).replace("anna=", "bert=")
    event = only(events_of(status_report(FAILED.format(ANNA)).replace("bounce+spring@news.example.com", forged)))
    assert (event.recipient, event.derived) == (ANNA, ())


def test_of_original_and_final_recipient_that_one_counts_which_we_wrote_to() -> None:
    both = FAILED.format("final@example.net") + "\nOriginal-Recipient: rfc822; original@example.net"
    to_final = events_of(status_report(both, original="From: shop@example.com\nTo: final@example.net"))
    to_original = events_of(status_report(both, original="From: shop@example.com\nTo: original@example.net"))
    assert only(to_final).recipient == "final@example.net"
    assert only(to_original).recipient == "original@example.net"
    assert only(events_of(status_report(both))).recipient == "original@example.net"


def test_a_report_that_names_nobody_is_about_the_only_one_it_went_to() -> None:
    event = only(events_of(message("names-nobody")))
    assert (event.recipient, event.derived) == (ANNA, ("recipient from the returned message",))


def test_a_report_that_names_nobody_is_about_nobody_when_it_went_to_two() -> None:
    assert events_of(message("names-nobody-of-two")) == []


def test_our_own_sender_is_never_a_recipient() -> None:
    assert events_of(status_report(FAILED.format("bounce+spring@news.example.com"))) == []


def test_a_gate_that_refuses_is_no_failure_of_the_recipient() -> None:
    event = only(events_of(message("own-refusal")))
    assert (event.event_class, event.final) == (EventClass.NONE, False)


def test_an_automatic_reply_is_no_delivery() -> None:
    event = only(events_of(message("not-out-of-office")))
    assert (event.event_class, event.final, event.derived) == (EventClass.NONE, False, ("automatic reply",))


def test_a_report_that_names_nobody_is_about_whom_our_signed_sender_names() -> None:
    event = only(events_of(bounce("Your message could not be delivered.", to=signed(ANNA))))
    assert (event.recipient, event.campaign) == (ANNA, "winter")


def test_a_report_that_names_nobody_is_about_whom_the_sender_carries() -> None:
    event = only(events_of(bounce("Your message could not be delivered.", to="b+anna=example.net@news.example.com")))
    assert (event.recipient, event.derived) == (ANNA, ("recipient from the sender that it came back to",))


def test_reasons_that_are_merely_possible_make_nobody_hard() -> None:
    text = f"Not delivered to:\n\n{ANNA}\n\nPossible reasons: the address does not exist, the mailbox is full."
    assert only(events_of(bounce(text))).event_class is not EventClass.HARD


def test_a_mailbox_that_is_gone_by_its_code_and_full_by_the_words_is_not_hard() -> None:
    report = status_report(FAILED.format(ANNA), text="Your message was rejected: the mailbox is full, quota exceeded.")
    assert only(events_of(report)).event_class is EventClass.SOFT
