"""Delivery status reports (RFC 3464): their fields, in all the forms in which they come."""

from __future__ import annotations

import pytest

from sendgate.feedback.mail.dsn import diagnostic_of, read_status, recipient_of
from sendgate.feedback.mail.mention import Mention

MESSAGE = "Reporting-MTA: dns; mx.example.org\nX-Postfix-Queue-ID: 4ABC\nOriginal-Envelope-Id: spring/1\n"
RECIPIENT = "Final-Recipient: rfc822; anna@example.net\nAction: failed\nStatus: 5.1.1\n"


def only(text: str) -> Mention:
    (mention,) = read_status(text)
    return mention


def test_all_fields_are_read() -> None:
    mention = only(
        f"{MESSAGE}\n{RECIPIENT}Original-Recipient: rfc822;ann@example.net\nRemote-MTA: dns; mx.example.net\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such\n user\n"
    )
    assert mention == Mention(
        "anna@example.net", "550 5.1.1 no such user", "ann@example.net", "5.1.1", action="failed",
        host="mx.example.net", envelope_id="spring/1", queue_id="4ABC",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; anna@example.net", "anna@example.net"),
        ("RFC822;<anna@example.net>", "anna@example.net"),
        ("rfc822;anna@example.net (Anna)", "anna@example.net"),
        ("<anna@example.net>", "anna@example.net"),
        ("anna@example.net", "anna@example.net"),
        ('rfc822; "anna b"@example.net', '"anna b"@example.net'),
        ("rfc822;anna+40example.net", "anna@example.net"),
        ("rfc822;anna+2Bnews+40example.net", "anna+news@example.net"),
        ("rfc822;anna+2B@example.net", "anna+2B@example.net"),
        ("utf-8; jos\\x{E9}@example.net", "josé@example.net"),
        ("utf-8; josé@bücher.example", "josé@bücher.example"),
        ("rfc822; anna", "anna"),
        ("system;<>", ""),
        ("x400; /S=anna/OU=example/C=GB/", ""),
        ("", ""),
    ],
)
def test_a_recipient_is_read_in_any_form(value: str, address: str) -> None:
    assert recipient_of(value) == address


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("smtp; 550 no such user", "550 no such user"),
        ("X-Postfix; connect to mx: timed out", "connect to mx: timed out"),
        ("550 no such user", "550 no such user"),
        ("Reason 1 (Unable-To-Transfer); Diagnostic 5", "Reason 1 (Unable-To-Transfer); Diagnostic 5"),
        ("smtp; =?utf-8?Q?550_Postfach_voll?=", "550 Postfach voll"),
    ],
)
def test_a_diagnosis_is_read_without_its_type(value: str, words: str) -> None:
    assert diagnostic_of(value) == words


@pytest.mark.parametrize(
    ("field", "action"),
    [
        ("Action: failed", "failed"),
        ("Action: Failed (permanently)", "failed"),
        ("Action: delayed", "delayed"),
        ("Action: delivered", "delivered"),
        ("Action: relayed", "relayed"),
        ("Action: expanded", "expanded"),
        ("Action: deliverable", "delivered"),
        ("Action: undeliverable", "failed"),
        ("X-Nothing: x", "failed"),
    ],
)
def test_actions_are_known(field: str, action: str) -> None:
    assert only(f"{MESSAGE}\nFinal-Recipient: rfc822; anna@example.net\n{field}\n").action == action


def test_every_recipient_is_told_with_its_own_fields() -> None:
    second = RECIPIENT.replace("anna", "bert").replace("5.1.1", "5.2.2")
    found = [(one.recipient, one.status) for one in read_status(f"{MESSAGE}\n{RECIPIENT}\n{second}")]
    assert found == [("anna@example.net", "5.1.1"), ("bert@example.net", "5.2.2")]


def test_recipients_without_empty_lines_between_them_are_told_apart() -> None:
    second = RECIPIENT.replace("anna", "bert")
    assert [one.recipient for one in read_status(MESSAGE + RECIPIENT + second)] == [
        "anna@example.net",
        "bert@example.net",
    ]


def test_empty_lines_within_a_recipient_lose_nothing() -> None:
    mention = only(f"\n\n{MESSAGE}\n\n\n" + RECIPIENT.replace("\n", "\n\n"))
    assert (mention.recipient, mention.status, mention.queue_id) == ("anna@example.net", "5.1.1", "4ABC")


def test_the_comment_of_a_status_speaks_when_no_diagnosis_does() -> None:
    mention = only(f"{MESSAGE}\n{RECIPIENT}".replace("5.1.1", "5.0.0 (mailbox full)"))
    assert (mention.status, mention.reason) == ("5.0.0", "mailbox full")


def test_only_the_original_recipient_is_enough() -> None:
    mention = only(f"{MESSAGE}\nOriginal-Recipient: rfc822;anna@example.net\nFinal-Recipient: system;<>\n")
    assert mention.recipient == "anna@example.net"


def test_a_report_without_a_recipient_tells_of_nobody() -> None:
    assert read_status(MESSAGE + "\nAction: failed\nStatus: 5.1.1\n") == []


def test_garbage_tells_of_nobody() -> None:
    assert read_status(":\n:::\n\n\x00\nFinal-Recipient:\n\n;;;\n") == []
