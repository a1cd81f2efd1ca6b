"""Events into entries: what a batch changes in a real store, what it counts, and that a second time changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sendgate.address import Address
from sendgate.entry import Change, Entry, Reason, Subject, parse_subject
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.intake import BREAKER_STATE, Edges, Intake
from sendgate.feedback.state import State
from sendgate.keys import Keyer
from sendgate.settings_feedback import FeedbackSettings
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.errors import StoreUnreachableError
from sendgate.store.replica import open_replica

NOW = 1_795_341_600
DAY = 86_400
SIZE = 1 << 24
GONE = Event(
    "gone@example.com",
    EventClass.HARD,
    BounceType.BAD_MAILBOX,
    status="5.1.1",
    code="550",
    text="550 5.1.1 <gone@example.com>: no such user",
    campaign="spring",
    host="mx.example.com",
    queue_id="4F1B2C3D4E",
    at=NOW,
)
SENT = Event(
    "anna@example.com", EventClass.NONE, campaign="spring", host="mx.example.com", queue_id="4F1B2C3D4F", at=NOW
)


class Ground:
    """A store, a state, a clock; `away` makes the store unreachable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(folder / "feedback")
        self.now = float(NOW)
        self.away = False
        with closing(EmbeddedOrigin(folder / "store", Keyer(), SIZE, {}, write=True, create=True)) as origin:
            origin.apply([])

    def intake(self, *, sees_all: bool = True, **settings: int) -> Intake:
        edges = Edges(self.lists, self.struck, sees_all, now=lambda: self.now)
        return Intake(FeedbackSettings.model_validate(settings), self.state, edges)

    @contextmanager
    def lists(self) -> Iterator[EmbeddedOrigin]:
        if self.away:
            raise StoreUnreachableError("the origin is away")
        with closing(EmbeddedOrigin(self.folder / "store", Keyer(), SIZE, {}, write=True, create=False)) as origin:
            yield origin

    def struck(self, addresses: Sequence[Address]) -> set[Address]:
        with closing(open_replica(self.folder / "store", Keyer(), SIZE)) as replica:
            return {one for one in addresses if any(found.reason is Reason.STRIKE for found in replica.lookup(one))}

    def entries(self, subject: str = "gone@example.com") -> dict[Reason, Entry]:
        with self.lists() as origin:
            return {entry.reason: entry for entry in origin.get(parse_subject(subject))}

    def counts(self) -> dict[tuple[str, str, str], int]:
        return {(metric, campaign, label): value for metric, campaign, label, value in self.state.counts()}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_a_bad_mailbox_is_suppressed_for_a_while_and_remembered_for_longer(ground: Ground) -> None:
    ground.intake().take([GONE])
    entries = ground.entries()
    assert entries.keys() == {Reason.HARD_BOUNCE, Reason.STRIKE}
    assert entries[Reason.HARD_BOUNCE].expires == NOW + 7 * DAY
    assert entries[Reason.STRIKE].expires == NOW + 30 * DAY
    assert "queue=4F1B2C3D4E host=mx.example.com" in entries[Reason.HARD_BOUNCE].note


def test_the_second_failure_in_time_is_for_ever(ground: Ground) -> None:
    intake = ground.intake()
    intake.take([GONE])
    ground.now = NOW + 10 * DAY
    intake.take([GONE._replace(queue_id="4F1B2C3D50", at=NOW + 10 * DAY)])
    assert ground.entries()[Reason.HARD_BOUNCE].expires is None


def test_two_failures_in_one_batch_are_two_strikes(ground: Ground) -> None:
    ground.intake().take([GONE, GONE._replace(queue_id="4F1B2C3D50", at=NOW + 60)])
    assert ground.entries()[Reason.STRIKE].strikes == 2


def test_the_same_batch_again_changes_nothing(ground: Ground) -> None:
    intake = ground.intake()
    intake.take([GONE, SENT])
    before, counts = ground.entries(), ground.counts()
    intake.take([GONE])
    assert (ground.entries(), ground.counts()) == (before, counts)


def test_a_batch_whose_state_was_not_saved_strikes_once(ground: Ground) -> None:
    def killed(_state: State) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.intake().take([GONE], {}, killed)
    assert ground.counts() == {}
    ground.intake().take([GONE])
    assert ground.entries()[Reason.STRIKE].strikes == 1
    assert ground.entries()[Reason.HARD_BOUNCE].expires == NOW + 7 * DAY
    assert ground.counts()["bounces", "spring", "bad_mailbox"] == 1


def test_a_bounce_message_about_a_logged_failure_is_no_second_strike(ground: Ground) -> None:
    ground.intake().take([GONE])
    ground.intake(sees_all=False).take([GONE._replace(source=Source.BOUNCE, host="", at=NOW + 5)])
    assert ground.entries()[Reason.STRIKE].strikes == 1
    assert ground.counts()["bounces", "spring", "bad_mailbox"] == 1


def test_while_the_origin_is_away_nothing_is_saved_and_the_next_try_does_it_all(ground: Ground) -> None:
    intake, ground.away = ground.intake(), True
    with pytest.raises(StoreUnreachableError):
        intake.take([GONE])
    assert (ground.counts(), ground.state.get(BREAKER_STATE)) == ({}, None)
    ground.away = False
    intake.take([GONE])
    assert ground.entries().keys() == {Reason.HARD_BOUNCE, Reason.STRIKE}


def test_what_is_no_fault_of_the_address_asks_nothing_of_the_lists(ground: Ground) -> None:
    ground.away = True
    blocked = GONE._replace(event_class=EventClass.BLOCK, type=BounceType.REPUTATION)
    ground.intake().take([SENT, blocked, GONE._replace(event_class=EventClass.SOFT, type=BounceType.RATE, final=False)])
    assert ground.counts() == {
        ("deliveries", "spring", "sent"): 1,
        ("deliveries", "spring", "bounced"): 1,
        ("deliveries", "spring", "deferred"): 1,
        ("bounces", "spring", "reputation"): 1,
    }


def test_a_later_delivery_makes_the_strike_forgotten_and_keeps_the_suppression(ground: Ground) -> None:
    ground.intake().take([GONE])
    ground.intake().take([SENT._replace(recipient="gone@example.com", at=NOW + DAY)])
    assert ground.entries()[Reason.STRIKE].strikes == 0
    assert ground.entries()[Reason.HARD_BOUNCE].expires == NOW + 7 * DAY


def test_a_delivery_before_the_failure_forgets_nothing(ground: Ground) -> None:
    ground.intake().take([GONE])
    ground.intake().take([SENT._replace(recipient="gone@example.com", at=NOW - DAY)])
    assert ground.entries()[Reason.STRIKE].strikes == 1


def test_a_delivery_within_the_same_batch_counts_in_order(ground: Ground) -> None:
    later = SENT._replace(recipient="gone@example.com", at=NOW + 60)
    batch = [GONE, later, GONE._replace(queue_id="4F1B2C3D50", at=NOW + 120)]
    ground.now = NOW + 300
    ground.intake().take(batch)
    assert ground.entries()[Reason.STRIKE].strikes == 1


def test_a_delivery_between_failures_counts_in_a_batch_that_comes_again_too(ground: Ground) -> None:
    def killed(_state: State) -> None:
        raise KeyboardInterrupt

    later = SENT._replace(recipient="gone@example.com", at=NOW + 60)
    batch = [GONE, later, GONE._replace(queue_id="4F1B2C3D50", at=NOW + 120)]
    ground.now = NOW + 300
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            ground.intake().take(batch, {}, killed)
    ground.intake().take(batch)
    assert ground.entries()[Reason.STRIKE].strikes == 1
    assert ground.entries()[Reason.HARD_BOUNCE].expires is not None


def test_a_complaint_is_for_ever(ground: Ground) -> None:
    complaint = Event("anna@example.com", EventClass.COMPLAINT, campaign="spring", at=NOW, source=Source.COMPLAINT)
    ground.intake().take([complaint])
    assert ground.entries("anna@example.com")[Reason.COMPLAINT].expires is None
    assert ground.counts() == {("complaints", "spring", ""): 1, ("entries", "", "complaint"): 1}


def test_an_outage_of_a_provider_is_doubted_and_counted_once(ground: Ground) -> None:
    intake = ground.intake()
    intake.take([SENT._replace(queue_id=f"5F{n:08X}", at=NOW - 2 * DAY + n) for n in range(500)])
    batch = [GONE._replace(recipient=f"user{n}@example.com", queue_id=f"6F{n:08X}", at=NOW + n) for n in range(80)]
    ground.away = True
    with pytest.raises(StoreUnreachableError):
        intake.take(batch)
    ground.away = False
    intake.take(batch)
    assert ground.counts()["breaker", "", "example.com"] == 1
    again = [event._replace(queue_id=f"7F{n:08X}", at=NOW + 200) for n, event in enumerate(batch)]
    intake.take(again)
    assert ground.entries("user9@example.com")[Reason.HARD_BOUNCE].expires is not None
    assert "breaker=example.com" in ground.entries("user9@example.com")[Reason.HARD_BOUNCE].note


def test_a_process_without_deliveries_goes_by_the_breaker_of_the_one_that_has_them(ground: Ground) -> None:
    batch = [GONE._replace(recipient=f"user{n}@example.com", queue_id=f"6F{n:08X}", at=NOW + n) for n in range(80)]
    ground.intake().take(batch)
    by_mail = GONE._replace(source=Source.BOUNCE, recipient="late@example.com", queue_id="8F00000000", at=NOW + 90)
    ground.intake(sees_all=False).take([by_mail])
    assert "breaker=example.com" in ground.entries("late@example.com")[Reason.HARD_BOUNCE].note


def test_the_place_is_saved_with_the_batch(ground: Ground) -> None:
    ground.intake().take([GONE], {("reports", "", "verp"): 1}, lambda state: state.put("position", 7))
    assert ground.state.get("position") == 7
    assert ground.counts()["reports", "", "verp"] == 1


def test_the_lists_are_asked_once_for_a_subject_and_written_once_for_a_batch(ground: Ground) -> None:
    asked: list[Subject] = []
    applied: list[int] = []

    class Counting:
        def __init__(self, origin: EmbeddedOrigin) -> None:
            self.origin = origin

        def get(self, subject: Subject) -> list[Entry]:
            asked.append(subject)
            return self.origin.get(subject)

        def apply(self, changes: Iterable[Change]) -> object:
            applied.append(1)
            return self.origin.apply(changes)

    @contextmanager
    def lists() -> Iterator[Counting]:
        with ground.lists() as origin:
            yield Counting(origin)

    now: Callable[[], float] = lambda: NOW  # noqa: E731
    intake = Intake(FeedbackSettings(), ground.state, Edges(lists, lambda _: set(), True, now=now))
    intake.take([GONE._replace(recipient=f"user{n}@example.com", queue_id=f"6F{n:08X}") for n in range(20)])
    assert (len(asked), len(applied)) == (20, 1)


def test_failures_are_known_by_a_keyed_hash(ground: Ground) -> None:
    ground.intake().take([GONE])
    kept = b"".join(path.read_bytes() for path in (ground.folder / "feedback").iterdir())
    assert b"failure" not in kept
    assert b"gone@example.com" not in kept
