"""Reports in free text: which addresses in them failed, and which words are about each."""

from __future__ import annotations

import pytest

from sendgate.feedback.event import EventClass, Phase
from sendgate.feedback.mail.addresses import find_addresses
from sendgate.feedback.mail.blocks import Lines
from sendgate.feedback.mail.detectors import DETECTORS, failed_recipients
from sendgate.feedback.mail.judging import host_in, phase_in
from sendgate.feedback.mail.mime import read_message
from sendgate.feedback.mail.report import read_report, without_tags
from unit.feedback.messages import ANNA, bounce, events_of


def found_in(text: str, headers: str = "") -> list[tuple[str, str]]:
    """The detector and the address of each failed recipient."""
    report = read_report(read_message(bounce(text, headers).encode()))
    return [(one.how, one.recipient) for one in failed_recipients(report, Lines(report))]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (f"It failed.\n\n  Final-Recipient: rfc822; {ANNA}\n  Action: failed\n", "pasted-status"),
        (f"<{ANNA}>:\nno such user\n", "address-lines"),
        (f"Not delivered to:\n  * {ANNA}\n", "address-lines"),
        (f"  * {ANNA}\n", "bare-lines"),
        (f"1. {ANNA} - no such user\n", "address-lines"),
        (f"550 5.1.1 <{ANNA}>... User unknown\n", "address-lines"),
        (f"The destination is unknown:\n\nSMTP <{ANNA}>\n", "address-lines"),
        (f"Failed Recipient: {ANNA}\n", "labelled"),
        (f"Empfänger: <{ANNA}>\n", "labelled"),
        (f"収信できません\n宛先：{ANNA}\n", "labelled"),
        (f"an undisclosed address (generated from {ANNA})\n", "labelled"),
        (f"... while talking to mx.example.net.:\n>>> RCPT TO:<{ANNA}>\n<<< 550 no\n", "dialogue"),
        (f"We could not deliver your mail to {ANNA}, sorry.\n", "sentence"),
        (f"We were unable to send your message to {ANNA}, sorry.\n", "sentence"),
        (f"There was an error while sending mail to {ANNA}.\n", "sentence"),
    ],
)
def test_each_mechanism_finds_its_recipient(text: str, how: str) -> None:
    assert found_in(text) == [(how, ANNA)]


def test_the_header_for_programs_comes_before_any_words() -> None:
    assert found_in("bert@example.net: unknown\n", f"X-Failed-Recipients: {ANNA}\n") == [("failed-recipients", ANNA)]


def test_every_detector_has_a_name_of_its_own() -> None:
    assert len({one.name for one in DETECTORS}) == len(DETECTORS)


@pytest.mark.parametrize(
    "line",
    [
        "For help write to {}",
        "please send mail to <{}>",
        "contact {} for help",
        "Message-ID: <{}>",
        "From: {}",
        "Sender: <{}>",
        "Original Sender: <{}>",
        "MAIL FROM:<{}>",
        "Dear {},",
        "Absender: {}",
        "X-Ticket: message id {}",
    ],
)
def test_who_wrote_and_whom_to_ask_is_no_failed_recipient(line: str) -> None:
    other = "someone@example.org"
    assert found_in(f"Your message could not be delivered.\n{line.format(other)}\n") == []


def test_an_accepted_recipient_in_a_dialogue_did_not_fail() -> None:
    text = f">>> RCPT TO:<bert@example.net>\n<<< 250 ok\n>>> RCPT TO:<{ANNA}>\n<<< 550 no such user\n"
    assert found_in(text) == [("dialogue", ANNA)]


def test_what_follows_the_report_is_not_read() -> None:
    returned = (
        "--- Below this line is a copy of the message.\n\nReceived: x\nTo: bert@example.net\n\n<cora@a.example>: 550\n"
    )
    assert found_in(f"<{ANNA}>: unknown\n\n{returned}") == [("address-lines", ANNA)]


def test_a_sentence_on_the_attached_message_cuts_nothing_off() -> None:
    text = f"A copy of the original message is attached below.\n\n<{ANNA}>: unknown\n"
    assert found_in(text) == [("address-lines", ANNA)]


def test_the_words_of_one_recipient_do_not_count_for_another() -> None:
    text = f"<{ANNA}>:\n550 5.1.1 no such user\n\n<bert@example.net>:\n552 5.2.2 mailbox full\n\n<cora@example.net>:\n"
    classes = {event.recipient: event.event_class for event in events_of(bounce(text))}
    assert classes[ANNA] is EventClass.HARD
    assert classes["bert@example.net"] is EventClass.SOFT
    assert classes["cora@example.net"] is EventClass.OTHER


def test_one_reason_before_the_list_counts_for_all() -> None:
    reason = "Could not be delivered because of\n\n550 5.1.1 User unknown\n\n"
    events = events_of(bounce(f"{reason}The following recipients were affected:\n  {ANNA}\n  bert@example.net\n"))
    assert [event.event_class for event in events] == [EventClass.HARD, EventClass.HARD]


def test_the_next_statement_of_a_transcript_is_not_about_this_recipient() -> None:
    text = f"554 <{ANNA}>... 550 Host unknown\n421 other.example.org... Deferred: Connection timed out\n"
    (event,) = events_of(bounce(text))
    assert event.event_class is EventClass.HARD


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("<anna@example.net>:", ["anna@example.net"]),
        ("mailto:anna@example.net, 'bert@example.net'.", ["anna@example.net", "bert@example.net"]),
        ("anna@example.netさんへ", ["anna@example.net"]),
        ("受信者anna@example.netは", ["anna@example.net"]),
        ('"a b"@example.net', ['"a b"@example.net']),
        ("o'brien@example.net x+y=z@example.net", ["o'brien@example.net", "x+y=z@example.net"]),
        ("c=US;dda:SMTP=anna@example.net;", ["anna@example.net"]),
        ("josé@bücher.example", ["josé@bücher.example"]),
        ("@example.net a@b 1@2.3 @@ a@ x@localhost", []),
    ],
)
def test_addresses_are_found_as_they_are_written(text: str, addresses: list[str]) -> None:
    assert [found.text for found in find_addresses(text)] == addresses


@pytest.mark.parametrize(
    "text", ["a@" * 100_000, "a" * 200_000 + "@", "@" * 200_000, '"' * 50_000 + '"@a.b', "a.b@c." * 50_000]
)
def test_finding_addresses_takes_no_time(text: str) -> None:
    assert len(find_addresses(text)) <= 1000


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("SMTP error from remote mail server after RCPT TO:<a@b.c>:", Phase.RCPT),
        ("SMTP error from remote mail server after MAIL FROM:<a@b.c> SIZE=1:", Phase.MAIL),
        ("SMTP error from remote mail server after end of data:", Phase.END_OF_DATA),
        ("(in reply to end of DATA command)", Phase.END_OF_DATA),
        ("(in reply to MAIL FROM command)", Phase.MAIL),
        ("(in reply to EHLO command)", Phase.HELO),
        ("after initial connection:", Phase.CONNECT),
        (">>> DATA\n<<< 550", Phase.DATA),
        ("192.0.2.1 does not like recipient.", Phase.RCPT),
        ("Connected to 192.0.2.1 but sender was rejected.", Phase.MAIL),
        ("Connected to 192.0.2.1 but my name was rejected.", Phase.HELO),
        ("no such user", Phase.UNKNOWN),
    ],
)
def test_the_phase_is_read_from_the_words(text: str, phase: Phase) -> None:
    assert phase_in(text) is phase


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("host mx.example.net[192.0.2.1] said: 550", "mx.example.net"),
        ("... while talking to mx.example.net.:", "mx.example.net"),
        ("mx.example.net [192.0.2.1] did not like our RCPT TO:", "mx.example.net"),
        ("550 no such user", ""),
    ],
)
def test_the_host_is_read_from_the_words(text: str, host: str) -> None:
    assert host_in(text) == host


def test_html_becomes_lines() -> None:
    page = "<style>p{}</style><p>One</p><ul><li><a href='mailto:a@b.c'>a@b.c</a></li></ul>&lt;x@y.z&gt;<br>Two"
    assert [line.strip() for line in without_tags(page).split("\n") if line.strip()] == [
        "One",
        "a@b.c",
        "<x@y.z>",
        "Two",
    ]
