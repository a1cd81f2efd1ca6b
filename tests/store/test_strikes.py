"""Strikes in both origins, hashed or not: what the policy makes of events stays the same however often they come."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from sendgate.entry import Entry, Reason, parse_subject
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.policy import Policy, strikes_of
from sendgate.settings_feedback import FeedbackSettings
from store.parts import NOW, Lists, everything, reasons

DAY = 86400
HARD, SOFT = EventClass.HARD, EventClass.SOFT
KINDS = [
    (BounceType.BAD_MAILBOX, HARD), (BounceType.INACTIVE, HARD), (BounceType.BAD_DOMAIN, HARD),
    (BounceType.FULL, SOFT), (None, EventClass.COMPLAINT), (BounceType.CONTENT, EventClass.BLOCK),
]  # fmt: skip
NAMES = ["anna", "anna+news", *(f"bert{number}" for number in range(6))]
POLICY = Policy(FeedbackSettings())


@pytest.fixture(params=[b"", b"a secret"], ids=["clear", "hashed"])
def fed(request: pytest.FixtureRequest, opens: Callable[..., Lists], tmp_path: Path) -> Iterator[Lists]:
    opened = opens(tmp_path / "fed", request.param)
    yield opened
    opened.close()


def happened(lists: Lists, events: Iterable[Event], now: int = NOW + 60 * DAY) -> None:
    """Take events in, one by one."""
    for event in events:
        subject = POLICY.subject_of(event)
        assert subject is not None
        lists.origin.apply(POLICY.judge(event, lists.origin.get(subject), now, None))


def failures(count: int) -> list[Event]:
    """Failures and complaints of a few people over two months, the same in each run."""
    chance = random.Random(4)
    events = []
    for number in range(count):
        kind, event_class = chance.choice(KINDS)
        name = chance.choice(NAMES)
        host = "" if kind is BounceType.BAD_DOMAIN else "mx.example.com"
        source = Source.COMPLAINT if kind is None else Source.LOG
        text = f"550 5.1.1 <{name}@example.com>: {name} is no mailbox here"
        at = NOW + 60 * DAY * number // count
        events.append(
            Event(
                f"{name}@example.com", event_class, kind, "5.1.1", "550", text, "", host, f"4F{number:08}", at, source
            )
        )
    return events


def test_a_batch_that_was_killed_anywhere_and_comes_again_leaves_what_it_leaves_at_once(
    fed: Lists, opens: Callable[..., Lists], tmp_path: Path
) -> None:
    events, chance = failures(60), random.Random(5)
    for start in range(0, len(events), 6):
        batch = events[start : start + 6]
        for _ in range(2):
            happened(fed, batch[: chance.randrange(len(batch))])
        happened(fed, batch)
    once = opens(tmp_path / "once")
    try:
        happened(once, events)
        assert told(fed) == told(once)
        assert len(told(once)) > 5
    finally:
        once.close()


def test_all_events_again_change_nothing(fed: Lists) -> None:
    happened(fed, failures(40))
    before = everything(fed)
    happened(fed, failures(40))
    assert everything(fed) == before


def test_an_entry_of_feedback_names_nobody_in_a_store_that_hashes(opens: Callable[..., Lists], tmp_path: Path) -> None:
    lists = opens(tmp_path / "hashed", b"a secret")
    try:
        happened(lists, failures(40))
        assert everything(lists)
        for name in (b"anna", b"bert"):
            assert name not in lists.at_rest()
    finally:
        lists.close()


def test_a_delivery_forgets_the_strikes_that_a_store_knows_by_key(fed: Lists) -> None:
    failed = Event("anna@example.com", HARD, BounceType.BAD_MAILBOX, at=NOW, host="mx.example.com", queue_id="4F1B2C")
    happened(fed, [failed], NOW)
    assert reasons(fed, "anna@example.com") == ["hard_bounce", "strike"]
    delivered = Event("anna@example.com", EventClass.NONE, at=NOW + 60)
    for subject in POLICY.delivered_subjects(delivered):
        fed.origin.apply(POLICY.forget(delivered, fed.origin.get(subject)))
    [strike] = [one for one in fed.origin.get(parse_subject("anna@example.com")) if one.reason is Reason.STRIKE]
    assert strike.strikes == 0


def told(lists: Lists) -> list[tuple[str, Reason, int, int | None, int, tuple[object, ...], str]]:
    """Each entry but for its subject, which a store may hash: strikes, times, what answered."""
    return sorted((_told(entry) for entry in lists.origin.scan()), key=repr)


def _told(entry: Entry) -> tuple[str, Reason, int, int | None, int, tuple[object, ...], str]:
    evidence = Evidence.from_note(entry.note)
    assert evidence is not None
    return (
        entry.subject.kind.name, entry.reason, entry.created, entry.expires, entry.strikes,
        strikes_of(entry), evidence.queue_id,
    )  # fmt: skip
