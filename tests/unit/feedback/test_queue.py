"""From the lines of a log to events: what is joined, what counts, and what is kept meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from sendgate.campaign import CampaignResolver
from sendgate.feedback.event import Answer, BounceType, Event, EventClass, Phase, Verdict
from sendgate.feedback.log.maillog import parse_line
from sendgate.feedback.log.queue import OpenMessage, QueueTracker
from sendgate.settings import CampaignSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
FULL = "host mx.example.com[192.0.2.9] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command)"
UNKNOWN = "host mx.example.com[192.0.2.9] said: 550 5.1.1 No such user (in reply to RCPT TO command)"


class Log:
    """Writes lines, and feeds them to a tracker. `answers`: what was classified."""

    def __init__(self, max_open: int = 1000) -> None:
        self.answers: list[Answer] = []
        self.tracker = QueueTracker(CampaignResolver(CampaignSettings()), self._classify, max_open)

    def _classify(self, answer: Answer) -> Verdict:
        self.answers.append(answer)
        if answer.enhanced == "4.2.2":
            return Verdict(BounceType.FULL, EventClass.SOFT, "test")
        if answer.deferred:
            return Verdict(BounceType.NETWORK, EventClass.SOFT, "test")
        return Verdict(BounceType.BAD_MAILBOX, EventClass.HARD, "test")

    def feed(self, daemon: str, rest: str, queue_id: str = "AAAA1") -> list[Event]:
        record = parse_line(f"2026-11-22T10:00:00Z mx1 postfix/{daemon}[1]: {queue_id}: {rest}", NOW)
        assert record is not None, rest
        return self.tracker.feed(record)

    def accept(self, sender: str = "n@example.com", count: int = 1, login: str = "", queue_id: str = "AAAA1") -> None:
        sasl = f", sasl_method=PLAIN, sasl_username={login}" if login else ""
        assert self.feed("smtpd", f"client=app[192.0.2.1]{sasl}", queue_id) == []
        self.activate(sender, count, queue_id)

    def activate(self, sender: str = "n@example.com", count: int = 1, queue_id: str = "AAAA1") -> None:
        assert self.feed("qmgr", f"from=<{sender}>, size=1, nrcpt={count} (queue active)", queue_id) == []

    def attempt(
        self,
        status: str,
        text: str,
        to: str = "anna@example.com",
        orig_to: str = "",
        queue_id: str = "AAAA1",
        daemon: str = "smtp",
        dsn: str = "4.0.0",
    ) -> list[Event]:
        orig = f"orig_to=<{orig_to}>, " if orig_to else ""
        rest = f"to=<{to}>, {orig}relay=mx.example.com[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn={dsn}, "
        return self.feed(daemon, f"{rest}status={status} ({text})", queue_id)

    def expire(self, sender: str = "n@example.com") -> list[Event]:
        return self.feed("qmgr", f"from=<{sender}>, status=expired, returned to sender")

    def remove(self, queue_id: str = "AAAA1") -> None:
        assert self.feed("qmgr", "removed", queue_id) == []


@pytest.fixture
def log() -> Log:
    return Log()


def recipients(events: Iterable[Event]) -> list[str]:
    return [event.recipient for event in events]


def test_a_bounce_is_an_event_with_all_that_is_known(log: Log) -> None:
    log.accept("bounce+spring+1@example.com")
    (event,) = log.attempt("bounced", UNKNOWN, to="Anna@EXAMPLE.com", dsn="5.1.1")
    assert event == Event(
        recipient="anna@example.com",
        event_class=EventClass.HARD,
        type=BounceType.BAD_MAILBOX,
        status="5.1.1",
        code="550",
        text="550 5.1.1 No such user",
        campaign="spring",
        host="mx.example.com",
        queue_id="AAAA1",
        at=int(datetime(2026, 11, 22, 10, tzinfo=UTC).timestamp()),
    )
    assert log.answers == [Answer("550 5.1.1 No such user", "550", "5.1.1", Phase.RCPT, host="mx.example.com")]


def test_a_delivery_is_an_event_without_a_failure(log: Log) -> None:
    log.accept(login="news@example.com")
    (event,) = log.attempt("sent", "250 2.0.0 Ok", dsn="2.0.0")
    assert (event.event_class, event.type, event.final) == (EventClass.NONE, None, True)
    assert (event.campaign, event.host) == ("news", "mx.example.com")
    assert log.answers == []


def test_a_deferral_is_not_final(log: Log) -> None:
    log.accept()
    (event,) = log.attempt("deferred", FULL)
    assert (event.type, event.final) == (BounceType.FULL, False)
    assert log.answers[0].deferred


def test_a_bounce_that_soft_bounce_keeps_in_the_queue_is_a_deferral(log: Log) -> None:
    log.accept()
    (event,) = log.attempt("SOFTBOUNCE", UNKNOWN)
    assert not event.final
    assert log.answers[0].deferred


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("host a[192.0.2.9] refused to talk to me: 554 no", Phase.CONNECT),
        ("host a[192.0.2.9] said: 550 no (in reply to EHLO command)", Phase.HELO),
        ("host a[192.0.2.9] said: 550 no (in reply to MAIL FROM command)", Phase.MAIL),
        ("host a[192.0.2.9] said: 550 no (in reply to end of DATA command)", Phase.END_OF_DATA),
        ("SASL authentication failed; server a[192.0.2.9] said: 535 5.7.8 no", Phase.HELO),
        ("unknown user: anna", Phase.UNKNOWN),
    ],
)
def test_the_phase_of_an_answer_is_told_to_the_classification(log: Log, text: str, phase: Phase) -> None:
    log.attempt("bounced", text)
    assert log.answers[0].phase is phase


def test_what_postfix_says_itself_has_postfixs_code(log: Log) -> None:
    (event,) = log.attempt("bounced", "Host or domain name not found", dsn="5.4.4")
    assert log.answers[0].enhanced == "5.4.4"
    assert (event.status, event.code, event.host) == ("5.4.4", "", "")


def test_a_message_whose_beginning_was_not_seen_still_gives_events(log: Log) -> None:
    (event,) = log.attempt("bounced", UNKNOWN)
    assert (event.recipient, event.campaign) == ("anna@example.com", "unknown")


def test_those_still_waiting_when_a_message_expires_get_an_event_each(log: Log) -> None:
    log.accept("bounce+spring+1@example.com", 4)
    log.attempt("deferred", FULL, to="full@example.com")
    log.attempt("deferred", "connect to x[192.0.2.9]:25: timed out", to="away@example.com", dsn="4.4.1")
    log.attempt("deferred", FULL, to="late@example.com")
    log.attempt("deferred", FULL, to="gone@example.com")
    log.attempt("sent", "250 ok", to="late@example.com")
    log.attempt("bounced", UNKNOWN, to="gone@example.com")
    full, away = log.expire("bounce+spring+1@example.com")
    assert (full.recipient, full.type, full.code, full.status) == (
        "full@example.com",
        BounceType.FULL,
        "452",
        "4.2.2",
    )
    assert (away.recipient, away.type, away.status) == ("away@example.com", BounceType.EXPIRED, "4.4.1")
    assert all(one.final and one.expired and one.event_class is EventClass.SOFT for one in (full, away))
    assert full.campaign == "spring"
    assert log.expire() == []


def test_a_message_that_expires_unseen_names_nobody(log: Log) -> None:
    assert log.expire() == []


@pytest.mark.parametrize("sender", ["", "double-bounce@example.com"])
def test_what_happens_to_mail_of_postfix_itself_is_no_event(log: Log, sender: str) -> None:
    log.activate(sender)
    assert log.attempt("bounced", UNKNOWN) == []
    assert log.attempt("deferred", FULL) == []
    assert log.attempt("sent", "250 ok") == []
    assert log.expire(sender) == []


@pytest.mark.parametrize("status", ["deliverable", "undeliverable"])
def test_address_probes_are_no_events(log: Log, status: str) -> None:
    assert log.attempt(status, UNKNOWN) == []


def test_discarded_mail_was_not_delivered(log: Log) -> None:
    assert log.attempt("sent", "example.com", daemon="discard") == []


def test_the_refusal_of_a_gate_is_no_event(log: Log) -> None:
    text = (
        "host gate[192.0.2.9] said: 550 5.7.1 <anna@example.com>: recipient suppressed: hard_bounce (ref 1-2f) "
        "(in reply to RCPT TO command)"
    )
    assert log.attempt("bounced", text) == []


def test_a_line_without_a_recipient_is_no_event(log: Log) -> None:
    assert log.attempt("bounced", "mail loops back to myself", to="") == []


def test_an_only_recipient_is_known_by_the_address_that_the_gate_saw(log: Log) -> None:
    log.accept(count=1)
    assert recipients(log.attempt("bounced", UNKNOWN, to="b@example.com", orig_to="a@example.com")) == ["a@example.com"]


def test_the_failure_of_one_of_several_is_not_that_of_their_alias(log: Log) -> None:
    log.accept(count=2)
    assert recipients(log.attempt("bounced", UNKNOWN, to="b@example.com", orig_to="a@example.com")) == ["b@example.com"]
    log.activate(count=1)  # a later attempt, at the one who is left
    assert recipients(log.attempt("bounced", UNKNOWN, to="c@example.com", orig_to="a@example.com")) == ["c@example.com"]


def test_without_its_beginning_a_message_is_not_known_to_have_one_recipient(log: Log) -> None:
    log.activate(count=1)
    assert recipients(log.attempt("bounced", UNKNOWN, to="b@example.com", orig_to="a@example.com")) == ["b@example.com"]


def test_an_alias_without_domain_is_not_what_the_gate_saw(log: Log) -> None:
    log.accept(count=1)
    assert recipients(log.attempt("bounced", UNKNOWN, to="b@example.com", orig_to="root")) == ["b@example.com"]


def test_a_queue_id_that_is_used_again_is_another_message(log: Log) -> None:
    log.accept("bounce+first+1@example.com", login="x")
    log.attempt("deferred", FULL)
    log.accept("bounce+second+1@example.com")
    (event,) = log.attempt("bounced", UNKNOWN)
    assert event.campaign == "second"
    assert log.expire() == []


def test_a_removed_message_is_forgotten(log: Log) -> None:
    log.accept("bounce+first+1@example.com")
    log.attempt("deferred", FULL)
    log.remove()
    assert log.expire() == []


def test_long_answers_are_cut(log: Log) -> None:
    (event,) = log.attempt("bounced", "x" * 5000)
    assert len(event.text) == 512


def test_open_messages_survive_a_restart(log: Log) -> None:
    log.accept("bounce+spring+1@example.com", login="news")
    log.attempt("deferred", FULL, to="b@example.com", orig_to="a@example.com")
    saved = json.dumps({key: one.as_object() for key, one in log.tracker.changes().items() if one})
    again = Log()
    again.tracker.restore({key: OpenMessage.of(value) for key, value in json.loads(saved).items()})
    (event,) = again.expire("bounce+spring+1@example.com")
    assert (event.recipient, event.type, event.campaign) == ("a@example.com", BounceType.FULL, "spring")


def test_only_what_changed_is_told_to_be_saved(log: Log) -> None:
    log.accept(queue_id="AAAA1")
    log.accept(queue_id="AAAA2")
    assert log.tracker.changes().keys() == {"AAAA1", "AAAA2"}
    assert log.tracker.changes() == {}
    log.attempt("deferred", FULL, queue_id="AAAA2")
    assert log.tracker.changes().keys() == {"AAAA2"}
    log.activate(queue_id="AAAA2")
    assert log.tracker.changes() == {}
    log.remove("AAAA1")
    assert log.tracker.changes() == {"AAAA1": None}


def test_messages_that_came_and_went_are_never_saved(log: Log) -> None:
    log.accept()
    log.attempt("sent", "250 ok")
    log.remove()
    assert log.tracker.changes() == {}


def test_a_restored_message_that_goes_is_told(log: Log) -> None:
    log.tracker.restore({"AAAA1": OpenMessage("n@example.com")})
    log.remove()
    assert log.tracker.changes() == {"AAAA1": None}


def test_beyond_the_limit_those_not_heard_of_for_longest_are_forgotten() -> None:
    log = Log(max_open=3)
    for number in range(3):
        log.accept(queue_id=f"AAAA{number}")
    log.attempt("deferred", FULL, queue_id="AAAA0")
    log.tracker.changes()
    log.accept(queue_id="AAAA3")
    assert {key for key, one in log.tracker.changes().items() if one is None} == {"AAAA1"}


def test_recipients_that_wait_are_limited_too() -> None:
    log = Log(max_open=10)
    for number in range(6):
        log.accept(queue_id=f"AAAA{number}", count=3)
        for one in range(3):
            log.attempt("deferred", FULL, to=f"user{one}@example.com", queue_id=f"AAAA{number}")
    kept = [one for one in log.tracker.changes().values() if one]
    assert sum(len(one.waiting) for one in kept) <= 10
