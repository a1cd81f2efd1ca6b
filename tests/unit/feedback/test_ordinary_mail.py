"""Mail that looks like a bounce and is none suppresses nobody; bounces that quote such words stay bounces."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendgate.feedback.event import EventClass
from unit.feedback.messages import bounce, events_of

DATA = Path(__file__).resolve().parents[2] / "data" / "feedback"
ORDINARY = sorted((DATA / "ordinary").glob("*.eml"))
RETURNED = sorted((DATA / "returned").glob("*.eml"))
HARMLESS = {EventClass.NONE, EventClass.OTHER}
FAILURES = {EventClass.HARD, EventClass.SOFT}


@pytest.mark.parametrize("file", ORDINARY, ids=lambda file: file.stem)
def test_ordinary_mail_is_no_failure_of_anybody(file: Path) -> None:
    assert {event.event_class for event in events_of(file.read_bytes())} <= HARMLESS


@pytest.mark.parametrize("file", RETURNED, ids=lambda file: file.stem)
def test_a_report_stays_one_whatever_our_message_was_about(file: Path) -> None:
    events = events_of(file.read_bytes())
    assert [event.recipient for event in events] == ["erika@kunde.example"]
    assert events[0].event_class in FAILURES


@pytest.mark.parametrize(
    "words",
    [
        "Erika has left the company, erika@kunde.example is no longer valid.",
        "Frau Muster ist nicht mehr bei uns beschäftigt; erika@kunde.example existiert nicht mehr.",
        "Erika ya no trabaja aquí, erika@kunde.example no existe.",
        "erika@kunde.example は退職いたしました。このアドレスは存在しません。",
        "Thank you for your message. The mailbox erika@kunde.example does not exist any more.",
    ],
)
def test_who_left_is_an_answer_of_people_even_from_a_postmaster(words: str) -> None:
    assert not {event.event_class for event in events_of(bounce(words))} - HARMLESS


def test_the_answer_of_a_server_may_say_that_somebody_left() -> None:
    said = "<erika@kunde.example>: host mx.kunde.example[203.0.113.9] said: 550 5.1.1 Erika has left the company"
    assert [event.event_class for event in events_of(bounce(said))] == [EventClass.HARD]


def test_a_notification_counts_only_when_the_text_is_one() -> None:
    notice = (
        '{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bouncedRecipients":'
        '[{"emailAddress":"erika@kunde.example","status":"5.1.1","action":"failed"}]}}'
    )
    headers = "From: no-reply@notices.example\nTo: bounce@news.example.com\nSubject: Notification Message\n\n"
    assert [event.recipient for event in events_of(headers + notice)] == ["erika@kunde.example"]
    assert events_of(f"{headers}This is what such a notice looks like:\n\n{notice}\n") == []
