"""Complaints: who is taken for the complainant, and who never is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgate.campaign import CampaignResolver
from sendgate.feedback.event import Event, EventClass, Source
from sendgate.feedback.mail.arf import Reading, read_arf
from sendgate.feedback.mail.complainant import is_placeholder
from sendgate.feedback.mail.mime import read_message
from sendgate.feedback.verp import DAY, VerpChecker, VerpSigner
from sendgate.settings import CampaignSettings

DATA = Path(__file__).resolve().parents[2] / "data" / "feedback" / "arf"
NOW = 1_795_000_000.0
KEY = b"k" * 32
READING = Reading(
    CampaignResolver(CampaignSettings()), NOW, VerpChecker((KEY,), "bounce", 90 * DAY), campaign_header="X-Campaign-ID"
)


def sender(recipient: str, campaign: str = "winter") -> str:
    return VerpSigner(KEY, "bounce", "b.example.net").sign(recipient, campaign, NOW)


def report(
    fields: str = "Original-Rcpt-To: anna@isp.example",
    original: str = "From: news@example.net",
    kind: str = "Feedback-Type: abuse",
    header: str = "From: feedback@isp.example\nTo: fbl@example.net",
) -> str:
    return f"""{header}
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

An abuse report.
--b
Content-Type: message/feedback-report

{kind}
User-Agent: Test/1
Version: 1
{fields}

--b
Content-Type: message/rfc822

{original}

Text.
--b--
"""


def events(text: str) -> list[Event]:
    found = read_arf(read_message(text.encode()), READING)
    assert found is not None
    return found


def recipients(text: str) -> list[str]:
    return [event.recipient for event in events(text)]


def derived(original: str, fields: str = "") -> tuple[str, ...]:
    """The recipient that is found in a message when its report states none, and where."""
    (event,) = events(report(fields, original))
    assert event.event_class is EventClass.COMPLAINT
    return (event.recipient, *event.derived)


NOBODY = ("", "recipient from nowhere")


def test_a_report_gives_recipient_campaign_reporter_and_time_as_it_says_them() -> None:
    (event,) = events((DATA / "abuse.eml").read_text())
    assert event == Event(
        "clara.muster@isp.example",
        EventClass.COMPLAINT,
        text="abuse (IspFeedback/2.1)",
        campaign="Winter",
        host="mx7.isp.example",
        at=1_793_693_658,
        source=Source.COMPLAINT,
        sent_to="bounce+Winter@b.example.net",
    )


def test_microsofts_reports_have_no_fields_but_the_recipient_in_the_message() -> None:
    (event,) = events((DATA / "jmrp.eml").read_text())
    assert (event.recipient, event.event_class) == ("dora@outlook.com", EventClass.COMPLAINT)
    assert event.campaign == "Winter"
    assert event.derived == ("recipient from x-hmxmroriginalrecipient", "campaign from x-campaign-id")


def test_a_report_that_hides_its_recipient_counts_for_its_campaign_and_names_nobody() -> None:
    (event,) = events((DATA / "redacted.eml").read_text())
    assert (event.recipient, event.event_class, event.campaign) == ("", EventClass.COMPLAINT, "winter")


def test_a_failed_authentication_is_no_complaint_and_no_delivery() -> None:
    (event,) = events((DATA / "auth-failure.eml").read_text())
    assert (event.recipient, event.event_class, event.final) == ("erna@receiver.example", EventClass.NONE, False)


@pytest.mark.parametrize("kind", ["abuse", "Abuse", "ABUSE (by button)", "opt-out", "opt-out-list"])
def test_abuse_and_opt_out_are_complaints(kind: str) -> None:
    (event,) = events(report(kind=f"feedback-TYPE:  {kind}"))
    assert event.event_class is EventClass.COMPLAINT


@pytest.mark.parametrize(
    "kind",
    ["not-spam", "fraud", "virus", "other", "auth-failure", "dmarc", "miscategorized", "non-abuse", "", "x" * 999],
)
def test_all_other_types_are_none(kind: str) -> None:
    (event,) = events(report(kind=f"Feedback-Type: {kind}"))
    assert event.event_class is EventClass.NONE
    assert not event.final


def test_a_report_without_a_type_is_none() -> None:
    (event,) = events(report(kind="Source-IP: 192.0.2.1"))
    assert event.event_class is EventClass.NONE


def test_all_recipients_that_a_report_states_complain() -> None:
    fields = "Original-Rcpt-To: <anna@isp.example>\nOriginal-Rcpt-To: rfc822;Bert@isp.example"
    fields += "\nRemoval-Recipient: carl@isp.example"
    assert recipients(report(fields)) == ["anna@isp.example", "bert@isp.example"]


def test_the_recipient_to_remove_counts_when_none_else_is_stated() -> None:
    assert derived("From: a@b.example", "Removal-Recipient: anna@isp.example") == (
        "anna@isp.example",
        "recipient from removal-recipient",
    )


def test_a_report_in_a_multipart_of_another_type_is_one() -> None:
    text = report().replace("multipart/report; report-type=feedback-report;", "multipart/mixed;")
    assert recipients(text) == ["anna@isp.example"]
    assert recipients(text.replace("message/feedback-report", "text/plain; name=report.txt")) == ["anna@isp.example"]


def test_a_report_that_somebody_forwarded_is_one() -> None:
    text = "From: colleague@example.net\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nSee below.\n"
    text += f"--c\nContent-Type: message/rfc822\n\n{report()}\n--c--\n"
    assert recipients(text) == ["anna@isp.example"]


def test_fields_with_empty_lines_between_are_one_report() -> None:
    assert recipients(report("\nOriginal-Rcpt-To: anna@isp.example")) == ["anna@isp.example"]


def test_a_report_in_name_alone_says_nothing() -> None:
    assert events("Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nx\n--b--\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "From: anna@isp.example\n\nFeedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: bert@isp.example\n",
        "Subject: complaint about message from 192.0.2.1\nFrom: staff@hotmail.com\n\ntext",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSuch as:\n\nFeedback-Type: abuse\nVersion: 1\n--b--\n",
        "From: anna@isp.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
        "X-HmXmrOriginalRecipient: bert@hotmail.com\nTo: bert@hotmail.com\n\nx\n--b--\n",
    ],
)
def test_what_is_no_report_is_left_to_others(text: str) -> None:
    assert read_arf(read_message(text.encode()), READING) is None


def test_a_bounce_that_returns_a_report_is_a_bounce() -> None:
    status = (
        "--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; fbl@example.net\nAction: failed\n\n"
    )
    text = report().replace("--b\nContent-Type: text/plain", f"{status}--b\nContent-Type: text/plain")
    assert read_arf(read_message(text.encode()), READING) is None


def test_a_signed_sender_names_the_recipient_before_the_report_does() -> None:
    """Whoever it was forwarded to is not whom we send to."""
    for fields, original in (
        (f"Original-Mail-From: <{sender('anna@example.com')}>", "From: news@example.net"),
        ("", f"Return-Path: <{sender('anna@example.com').lower()}>"),
        ("", f"X-Original-Return-Path: {sender('anna@example.com')}"),
        ("", f"Received: from a (envelope-from <{sender('anna@example.com')}>) by b; Mon"),
    ):
        (event,) = events(report(f"Original-Rcpt-To: forwarded@isp.example\n{fields}", original))
        assert event.recipient == "anna@example.com"
        assert event.campaign == "winter"
        assert event.derived[0] == "recipient from signed sender"


def test_a_short_signed_sender_is_proved_by_whom_the_message_names() -> None:
    long = "x1" * 25 + "@isp.example"
    (event,) = events(report(f"Original-Mail-From: {sender(long)}", f"To: {long}"))
    assert (event.recipient, event.derived) == (long, ("recipient from signed sender",))


def test_a_forged_sender_names_nobody() -> None:
    forged = sender("anna@example.com").replace("anna=", "bert=")
    assert recipients(report(f"Original-Mail-From: {forged}")) == [""]


@pytest.mark.parametrize(
    ("original", "recipient", "place"),
    [
        ("To: Anna <anna@isp.example>", "anna@isp.example", "to"),
        ("To: anna@isp.example\nDelivered-To: anna@isp.example", "anna@isp.example", "to"),
        ("To: an.na+x@gmail.com\nDelivered-To: anna@gmail.com", "an.na+x@gmail.com", "to"),
        ("To: anna@isp.example\nDelivered-To: isp.example-anna@isp.example", "anna@isp.example", "to"),
        ("To: a@isp.example\nCc: b@isp.example\nDelivered-To: a@isp.example", "a@isp.example", "to"),
        ("To: a@isp.example\nReceived: by x for <system@relay.example>; Mon", "a@isp.example", "to"),
        ("To: undisclosed-recipients:;\nDelivered-To: anna@isp.example", "anna@isp.example", "delivered-to"),
        ("X-Apparently-To: anna@yahoo.example via 192.0.2.1; Mon", "anna@yahoo.example", "x-apparently-to"),
        ("To: list@example.net\nX-Original-To: anna@isp.example", "anna@isp.example", "x-original-to"),
        ("Delivered-To: *****\nTo: anna@isp.example", "anna@isp.example", "to"),
        ("To: =?utf-8?q?Anna?= <anna@isp.example>", "anna@isp.example", "to"),
    ],
)
def test_a_recipient_is_derived_from_the_message(original: str, recipient: str, place: str) -> None:
    assert derived(f"From: news@example.net\n{original}") == (recipient, f"recipient from {place}")


@pytest.mark.parametrize(
    "original",
    [
        "To: a@isp.example, b@isp.example",
        "To: a@isp.example\nCc: b@isp.example",
        "To: a@isp.example\nDelivered-To: b@isp.example",
        "To: a@isp.example, redacted@isp.example",
        "Delivered-To: a@isp.example\nX-Original-To: b@isp.example",
        "To: redacted@isp.example\nReceived: by x for <system@relay.example>; Mon",
        "To: news@example.net",
        "To: fbl@example.net",
        "To: feedback@isp.example",
        "To: list@lists.example\nList-Post: <mailto:list@lists.example>",
        "To: <Undisclosed Recipients>",
        'To: "undisclosed"',
        "REDACTED",
        "",
    ],
)
def test_rather_nobody_than_the_wrong_one(original: str) -> None:
    assert derived(f"From: news@example.net\n{original}") == NOBODY


def test_our_own_sender_and_whom_the_report_went_to_are_never_stated_recipients() -> None:
    for own in ("news@example.net", "fbl@example.net", "feedback@isp.example", "bounces@example.net"):
        fields = f"Original-Rcpt-To: {own}\nOriginal-Mail-From: bounces@example.net"
        assert recipients(report(fields)) == [""], own


@pytest.mark.parametrize(
    "address",
    [
        "redacted@isp.example",
        "redacted-4711@isp.example",
        "user.redacted@isp.example",
        "anna@redacted.example",
        "anna@redacted",
        "undisclosed-recipients@isp.example",
        "hashed@isp.example",
        "hidden@isp.example",
        "anonymized_user@isp.example",
        "xxx@isp.example",
        "xxxxxxxx@isp.example",
        "axxxxxa@isp.example",
        "xxxx.xxxx@isp.example",
        "anna@xxxx.example",
        "xxx@xxx.xxx",
        "a***a@isp.example",
        "*@isp.example",
        "ann...@isp.example",
        "unknown@isp.example",
        "anna@isp.invalid",
        "5f4dcc3b5aa765d61d8327deb882cf99@isp.example",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709@isp.example",
        '"[redacted]"@isp.example',
        '" "@isp.example',
        "entfernt@isp.example",
        "非公開@isp.example",
    ],
)
def test_a_placeholder_is_nobody(address: str) -> None:
    assert is_placeholder(address)
    assert recipients(report(f"Original-Rcpt-To: {address}")) == [""]


@pytest.mark.parametrize(
    "address",
    [
        "recipient@isp.example",
        "user@isp.example",
        "somebody@isp.example",
        "max@isp.example",
        "roxxanne@isp.example",
        "hidden.valley@isp.example",
        "x@isp.example",
        "xx@isp.example",
        "a.b..c@docomo.ne.jp",
        "predactedo@isp.example",
        "nil88@isp.example",
        "deadbeef@isp.example",
        "20261103081418@isp.example",
        "anna__b@isp.example",
        "12345678901234567890123456@isp.example",
        "anna+tag@isp.example",
        "用户@例子.广告",
    ],
)
def test_an_odd_address_is_somebody(address: str) -> None:
    assert not is_placeholder(address)
    assert recipients(report(f"Original-Rcpt-To: {address}")) != [""]


@pytest.mark.parametrize(
    ("fields", "original", "campaign", "place"),
    [
        ("Original-Mail-From: <bounce+Spring@b.example>", "X-Campaign-ID: other", "Spring", ()),
        ("", "Return-Path: <bounce+spring@b.example>", "spring", ("campaign from return-path",)),
        ("", "Received: from a (envelope-from <bounce+spring@b.example>) by b", "spring", ("campaign from received",)),
        ("Original-Mail-From: <news@b.example>", "X-Campaign-ID: spring", "spring", ("campaign from x-campaign-id",)),
        ("", "Feedback-ID: spring:customer:newsletter:shop", "spring", ("campaign from feedback-id",)),
        ("", "Feedback-ID: 1.eu-west-1.abc=:Relay", "unknown", ()),
        ("Original-Envelope-Id: spring:4711", "", "spring", ("campaign from original-envelope-id",)),
        ("Original-Envelope-Id: 0022FFEE", "", "unknown", ()),
        ("", "", "unknown", ()),
    ],
)
def test_the_campaign_is_in_the_report_or_in_the_message(
    fields: str, original: str, campaign: str, place: tuple[str, ...]
) -> None:
    (event,) = events(report(f"Original-Rcpt-To: anna@isp.example\n{fields}", f"From: news@example.net\n{original}"))
    assert (event.campaign, event.derived) == (campaign, place)


def test_a_date_that_cannot_be_is_now() -> None:
    for date in ("", "Date: yesterday\n", "Date: Tue, 03 Nov 2099 08:14:18 +0000\n", "Date: 99 Jan 99999999 1:1:1\n"):
        (event,) = events(date + report())
        assert event.at == int(NOW)


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_raises(fields: str, original: str) -> None:
    for event in events(report(fields, original)):
        assert event.source is Source.COMPLAINT


@given(st.binary(max_size=600), st.integers(0, 900))
def test_no_octets_raise(noise: bytes, position: int) -> None:
    text = report(original=f"Return-Path: {sender('anna@example.com')}\nTo: anna@example.com").encode()
    read_arf(read_message(text[:position] + noise + text[position:]), READING)


def test_hostile_reports_take_no_time() -> None:
    many = "\n".join(f"Original-Rcpt-To: u{number}@isp.example" for number in range(900))
    assert len(recipients(report(many))) == 900
    for fields in ("Original-Rcpt-To: " + "x" * 100_000, "\n" * 60_000, "a@" * 50_000, "Feedback-Type:" * 5_000):
        assert (
            recipients(report(fields, f"To: {'anna@isp.example,' * 5_000}\nReceived: {'for <' * 20_000}")) is not None
        )
