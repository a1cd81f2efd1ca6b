"""The policy: from events to strikes and suppressions, each once, and never the wrong person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sendgate.entry import Add, Change, Entry, Kind, Origin, Reason, Remove, parse_subject
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.policy import Policy, strikes_of
from sendgate.settings_feedback import FeedbackSettings

DAY = 86400
T = 1_795_341_600
ADDRESS = "gone@example.com"
SETTINGS = FeedbackSettings()
HARD = (BounceType.BAD_MAILBOX, BounceType.INACTIVE)
_ids = iter(range(10**6))


def event(kind: BounceType | None = BounceType.BAD_MAILBOX, at: int = T, **facts: object) -> Event:
    """A final failure. Each has a queue id of its own unless one is given."""
    hard = kind in (*HARD, BounceType.BAD_DOMAIN)
    given: dict[str, object] = {
        "recipient": ADDRESS,
        "event_class": EventClass.HARD if hard else EventClass.SOFT,
        "type": kind,
        "code": "550",
        "status": "5.1.1",
        "text": "550 5.1.1 no such user",
        "host": "" if kind is BounceType.BAD_DOMAIN else "mx.example.com",
        "queue_id": f"4Q{next(_ids):08}",
        "at": at,
        **facts,
    }
    return Event(**given)  # type: ignore[arg-type]


def complaint(at: int = T, **facts: object) -> Event:
    return event(None, at, event_class=EventClass.COMPLAINT, source=Source.COMPLAINT, queue_id="", **facts)


def delivery(at: int) -> Event:
    return event(None, at, event_class=EventClass.NONE)


class World:
    """The entries about one subject, changed as every origin changes them."""

    def __init__(self, settings: FeedbackSettings = SETTINGS) -> None:
        self.policy = Policy(settings)
        self.entries: list[Entry] = []

    def happens(self, one: Event, now: float | None = None, breaker: str | None = None) -> list[Change]:
        changes = self.policy.judge(one, self.entries, one.at if now is None else now, breaker)
        self.apply(changes)
        return changes

    def arrives(self, at: int) -> list[Change]:
        changes = self.policy.forget(delivery(at), self.entries)
        self.apply(changes)
        return changes

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Add):
                self._add(change.entry)
            elif isinstance(change, Remove):
                assert change.list == SETTINGS.list
                self.entries = [one for one in self.entries if one.reason is not change.reason]

    def _add(self, new: Entry) -> None:
        for place, old in enumerate(self.entries):
            if old.reason is new.reason:
                expires = None if None in (old.expires, new.expires) else max(old.expires or 0, new.expires or 0)
                self.entries[place] = replace(
                    old,
                    expires=expires,
                    origin=new.origin,
                    strikes=max(old.strikes, new.strikes),
                    note=new.note or old.note,
                )
                return
        self.entries.append(new)

    def entry(self, reason: Reason) -> Entry | None:
        return next((one for one in self.entries if one.reason is reason), None)

    def expiry(self, reason: Reason) -> int | None:
        entry = self.entry(reason)
        assert entry is not None
        return entry.expires

    @property
    def suppressions(self) -> list[Reason]:
        return [one.reason for one in self.entries if one.reason is not Reason.STRIKE]

    @property
    def strikes(self) -> int:
        entry = self.entry(Reason.STRIKE)
        return len(strikes_of(entry)) if entry else 0


@pytest.mark.parametrize("kind", HARD)
def test_the_first_strike_of_a_dead_mailbox_suppresses_for_a_week(kind: BounceType) -> None:
    world = World()
    world.happens(event(kind))
    entry = world.entry(Reason.HARD_BOUNCE)
    assert entry is not None
    assert (entry.subject.text, entry.list, entry.origin) == (ADDRESS, "feedback", Origin.FEEDBACK)
    assert (entry.created, entry.expires, entry.strikes) == (T, T + 7 * DAY, 1)
    strike = world.entry(Reason.STRIKE)
    assert strike is not None
    assert (strike.expires, strike.strikes) == (T + 30 * DAY, 1)


@pytest.mark.parametrize(("days", "permanent"), [(0.001, True), (8, True), (30, True), (30.001, False), (90, False)])
def test_the_second_within_thirty_days_suppresses_for_ever(days: float, permanent: bool) -> None:
    world, later = World(), T + int(days * DAY)
    world.happens(event(BounceType.BAD_MAILBOX))
    world.happens(event(BounceType.INACTIVE, later))
    assert world.expiry(Reason.HARD_BOUNCE) == (None if permanent else later + 7 * DAY)
    assert world.strikes == (2 if permanent else 1)


def test_how_many_strikes_make_it_permanent_is_a_setting() -> None:
    for wanted in (1, 3, 8):
        world = World(FeedbackSettings(hard_strikes=wanted))
        for number in range(wanted):
            assert Reason.HARD_BOUNCE not in world.suppressions or world.expiry(Reason.HARD_BOUNCE) is not None
            world.happens(event(at=T + number * DAY))
        assert world.expiry(Reason.HARD_BOUNCE) is None


def test_strikes_out_of_order_count_alike() -> None:
    world = World()
    world.happens(event(at=T + 5 * DAY))
    world.happens(event(at=T), now=T + 5 * DAY)
    assert world.expiry(Reason.HARD_BOUNCE) is None


@pytest.mark.parametrize(
    "one",
    [
        *(
            event(kind, event_class=EventClass.BLOCK)
            for kind in (
                BounceType.POLICY,
                BounceType.CONTENT,
                BounceType.REPUTATION,
                BounceType.AUTHENTICATION,
                BounceType.RATE,
            )
        ),
        event(BounceType.NETWORK),
        event(BounceType.EXPIRED),
        event(BounceType.OTHER, event_class=EventClass.OTHER),
        event(BounceType.BAD_MAILBOX, event_class=EventClass.SOFT),
        event(BounceType.BAD_MAILBOX, final=False),
        event(BounceType.FULL, final=False),
        event(BounceType.FULL, event_class=EventClass.BLOCK),
        event(None, event_class=EventClass.NONE),
        event(recipient=""),
        event(recipient="no address"),
        complaint(recipient="redacted"),
    ],
    ids=lambda one: f"{one.type}-{one.event_class}-{one.final}-{one.recipient}",
)
def test_what_does_not_concern_the_mailbox_changes_nothing(one: Event) -> None:
    assert World().happens(one) == []


def test_an_event_counts_once_however_often_and_from_wherever_it_comes() -> None:
    world = World()
    world.happens(event(queue_id="4F1B2C"))
    before = list(world.entries)
    assert world.happens(event(queue_id="4F1B2C")) == []
    assert world.happens(event(queue_id="4F1B2C", at=T + 4000, source=Source.BOUNCE, text="a DSN")) == []
    assert world.happens(event(BounceType.INACTIVE, queue_id="4F1B2C", source=Source.BOUNCE)) == []
    assert world.entries == before
    dsn = event(queue_id="", source=Source.BOUNCE, at=T + DAY)
    assert world.happens(dsn)
    assert world.happens(dsn) == []
    assert world.strikes == 2


@pytest.mark.parametrize("kind", [*HARD, BounceType.FULL])
def test_a_batch_that_comes_again_changes_nothing_even_when_strikes_made_room(kind: BounceType) -> None:
    world, batch = World(), [event(kind, T + number) for number in range(20)]
    for one in batch:
        world.happens(one, now=T + 30)
    before = list(world.entries)
    assert world.strikes == 8
    for one in batch:
        assert world.happens(one, now=T + 30) == []
    assert world.entries == before


def test_a_delivery_forgets_older_strikes_and_leaves_the_suppression_until_it_expires() -> None:
    world = World()
    world.happens(event())
    world.arrives(T + 8 * DAY)
    assert world.suppressions == [Reason.HARD_BOUNCE]
    assert world.strikes == 0
    world.happens(event(at=T + 9 * DAY))
    assert world.expiry(Reason.HARD_BOUNCE) == T + 16 * DAY


@pytest.mark.parametrize("kind", [*HARD, BounceType.FULL])
def test_a_failure_a_delivery_and_a_failure_are_one_strike_also_when_they_come_again(kind: BounceType) -> None:
    world, first, last = World(), event(kind, T), event(kind, T + 20)
    for _ in range(3):
        world.happens(first, now=T + 30)
        world.arrives(T + 10)
        world.happens(last, now=T + 30)
        assert world.strikes == 1
        assert all(entry.expires is not None for entry in world.entries)


def test_they_are_one_strike_also_when_an_older_failure_still_suppresses() -> None:
    world, first, last = World(), event(at=T), event(at=T + 20)
    world.happens(event(at=T - 3 * DAY))
    world.arrives(T - 2 * DAY)
    for _ in range(3):
        world.happens(first, now=T + 30)
        world.arrives(T + 10)
        world.happens(last, now=T + 30)
        assert world.strikes == 1
        assert all(entry.expires is not None for entry in world.entries)


def test_a_delivery_is_remembered_for_a_while_and_tells_nothing_new_after_the_first() -> None:
    world = World()
    world.happens(event())
    world.arrives(T + DAY)
    memory = world.entry(Reason.STRIKE)
    assert memory is not None
    assert (memory.strikes, memory.expires) == (0, T + 9 * DAY)
    assert world.arrives(T + 2 * DAY) == []


def test_a_delivery_that_was_before_the_newest_strike_forgets_nothing() -> None:
    world = World()
    world.happens(event())
    assert world.arrives(T - 1) == world.arrives(T) == []
    assert world.strikes == 1


def test_a_delivery_forgets_by_key_what_a_hashed_store_tells_by_key() -> None:
    world = World()
    world.happens(event())
    key = parse_subject("key:" + "0" * 32)
    known = [replace(entry, subject=key) for entry in world.entries]
    gone, rest = Policy(SETTINGS).forget(delivery(T + 1), known)
    assert gone == Remove(key, Reason.STRIKE, known[0].scope, SETTINGS.list)
    assert isinstance(rest, Add)
    assert rest.entry.subject == key


def test_a_full_mailbox_is_suppressed_for_longer_each_time_but_not_for_ever() -> None:
    world, at = World(), T
    for days in (1, 4, 16, 64, 180, 180):
        world.happens(event(BounceType.FULL, at))
        assert world.expiry(Reason.SOFT_BOUNCE) == at + days * DAY
        at += days * DAY + 60
    assert world.suppressions == [Reason.SOFT_BOUNCE]


def test_a_full_mailbox_begins_anew_after_a_delivery_or_a_long_time() -> None:
    for delivered in (True, False):
        world = World()
        world.happens(event(BounceType.FULL, T))
        world.happens(event(BounceType.FULL, T + 2 * DAY))
        later = T + 2 * DAY + 4 * DAY + 30 * DAY + (-10 if delivered else 10)
        if delivered:
            world.arrives(later - 5)
        world.happens(event(BounceType.FULL, later))
        assert world.expiry(Reason.SOFT_BOUNCE) == later + DAY


def test_full_and_dead_do_not_count_together() -> None:
    world = World()
    world.happens(event(BounceType.FULL, T))
    world.happens(event(BounceType.BAD_MAILBOX, T + DAY))
    assert world.expiry(Reason.HARD_BOUNCE) == T + 8 * DAY
    assert world.expiry(Reason.SOFT_BOUNCE) == T + DAY
    assert world.strikes == 2


def test_a_domain_is_invalid_after_three_in_a_row_over_three_days() -> None:
    world = World()
    for at in (T, T + DAY, T + 2 * DAY):
        world.happens(event(BounceType.BAD_DOMAIN, at))
        assert world.suppressions == []
    world.happens(event(BounceType.BAD_DOMAIN, T + 3 * DAY))
    entry = world.entry(Reason.INVALID_DOMAIN)
    assert entry is not None
    assert (entry.subject.kind, entry.subject.text, entry.expires) == (Kind.DOMAIN, "@example.com", None)


def test_a_domain_with_hundreds_of_recipients_is_no_sooner_and_no_later_invalid() -> None:
    world = World()
    for number in range(100):
        world.happens(event(BounceType.BAD_DOMAIN, T + 600 * number))
    assert world.suppressions == []
    assert world.strikes == 8
    world.happens(event(BounceType.BAD_DOMAIN, T + 3 * DAY))
    assert world.suppressions == [Reason.INVALID_DOMAIN]


def test_two_failures_of_a_domain_are_no_row_however_far_apart() -> None:
    world = World()
    world.happens(event(BounceType.BAD_DOMAIN, T))
    world.happens(event(BounceType.BAD_DOMAIN, T + 20 * DAY))
    assert world.suppressions == []


def test_a_delivery_to_anybody_at_a_domain_ends_its_row() -> None:
    policy = Policy(SETTINGS)
    assert [subject.text for subject in policy.delivered_subjects(delivery(T))] == [ADDRESS, "@example.com"]
    world = World()
    for at in (T, T + DAY, T + 2 * DAY):
        world.happens(event(BounceType.BAD_DOMAIN, at))
    world.arrives(T + 2 * DAY + 1)
    world.happens(event(BounceType.BAD_DOMAIN, T + 3 * DAY))
    assert world.suppressions == []


def test_a_domain_that_another_server_finds_bad_is_a_matter_of_the_address() -> None:
    policy = Policy(SETTINGS)
    for one in (
        event(BounceType.BAD_DOMAIN, host="relay.example.net"),
        event(BounceType.BAD_DOMAIN, source=Source.BOUNCE),
        event(BounceType.BAD_MAILBOX, host=""),
    ):
        subject = policy.subject_of(one)
        assert subject is not None
        assert subject.text == ADDRESS


def test_a_complaint_suppresses_the_mailbox_for_ever_and_counts_once() -> None:
    world = World()
    world.happens(complaint())
    entry = world.entry(Reason.COMPLAINT)
    assert entry is not None
    assert (entry.subject.text, entry.expires, entry.strikes) == (ADDRESS, None, 1)
    assert world.strikes == 0
    assert world.happens(complaint()) == []
    world.happens(complaint(T + DAY))
    entry = world.entry(Reason.COMPLAINT)
    assert entry is not None
    assert entry.strikes == 2


def test_an_open_breaker_makes_it_provisional_and_marks_it() -> None:
    world = World()
    world.happens(event())
    world.happens(event(at=T + DAY), breaker="google.com")
    assert world.expiry(Reason.HARD_BOUNCE) == T + 8 * DAY
    for reason in (Reason.HARD_BOUNCE, Reason.STRIKE):
        entry = world.entry(reason)
        assert entry is not None
        evidence = Evidence.from_note(entry.note)
        assert evidence is not None
        assert evidence.breaker == "google.com"
        assert [strike.doubted for strike in evidence.strikes] == [False, True]


def test_a_strike_under_an_open_breaker_never_makes_another_permanent() -> None:
    world = World()
    world.happens(event(), breaker="google.com")
    world.happens(event(at=T + 8 * DAY))
    assert world.expiry(Reason.HARD_BOUNCE) == T + 15 * DAY
    world.happens(event(at=T + 16 * DAY))
    assert world.expiry(Reason.HARD_BOUNCE) is None


def test_an_open_breaker_shortens_nothing() -> None:
    world = World()
    world.happens(event())
    world.happens(event(at=T + DAY))
    world.happens(event(at=T + 2 * DAY), breaker="google.com")
    assert world.expiry(Reason.HARD_BOUNCE) is None


@pytest.mark.parametrize("kind", [BounceType.FULL, BounceType.BAD_DOMAIN])
def test_a_breaker_concerns_only_mailboxes(kind: BounceType) -> None:
    world = World()
    world.happens(event(kind), breaker="google.com")
    assert "breaker" not in world.entries[0].note


def test_old_mail_leaves_strikes_within_their_time_and_no_suppression_that_were_over() -> None:
    world, now = World(), T + 100 * DAY
    world.happens(event(at=now - 60 * DAY), now)
    assert world.entries == []
    world.happens(event(at=now - 20 * DAY), now)
    assert (world.suppressions, world.strikes) == ([], 1)
    world.happens(event(at=now - 10 * DAY), now)
    assert world.expiry(Reason.HARD_BOUNCE) is None


def test_an_event_without_time_or_from_the_future_is_of_now() -> None:
    for at in (0, T + 900 * DAY):
        world = World()
        world.happens(event(at=at), now=T)
        assert world.expiry(Reason.HARD_BOUNCE) == T + 7 * DAY


def test_an_expired_suppression_is_made_anew() -> None:
    world = World()
    world.happens(event())
    changes = world.happens(event(at=T + 60 * DAY))
    assert [type(change) for change in changes] == [Remove, Add, Remove, Add]
    entry = world.entry(Reason.HARD_BOUNCE)
    assert entry is not None
    assert (entry.created, entry.expires, entry.strikes) == (T + 60 * DAY, T + 67 * DAY, 1)


def test_what_an_operator_put_on_the_list_stays_theirs() -> None:
    subject = parse_subject(ADDRESS)
    theirs = Entry(subject, Reason.HARD_BOUNCE, list="feedback", created=5, expires=T + DAY, note="asked by phone")
    world = World()
    world.entries = [theirs]
    world.happens(event())
    assert world.entry(Reason.HARD_BOUNCE) == replace(theirs, expires=T + 7 * DAY)
    assert world.strikes == 1
    world.entries = [replace(theirs, expires=None)]
    assert [change.entry.reason for change in world.happens(event()) if isinstance(change, Add)] == [Reason.STRIKE]


def test_entries_of_other_lists_do_not_count() -> None:
    world = World()
    world.happens(event())
    others = [replace(entry, list="other") for entry in world.entries]
    changes = Policy(SETTINGS).judge(event(at=T + DAY), others, T + DAY, None)
    assert [change.entry.expires for change in changes if isinstance(change, Add)] == [T + 31 * DAY, T + 8 * DAY]
    assert Policy(SETTINGS).forget(delivery(T + 2 * DAY), others) == []


def test_two_lists_of_strikes_are_one_while_a_store_changes_its_secret() -> None:
    one, other = World(), World()
    one.happens(event())
    other.happens(event(at=T + DAY))
    changes = Policy(SETTINGS).judge(event(at=T + 2 * DAY), one.entries + other.entries, T + 2 * DAY, None)
    added = [change.entry for change in changes if isinstance(change, Add)]
    assert [len(strikes_of(entry)) for entry in added] == [3, 3]


def test_a_note_that_an_operator_broke_is_no_strike_and_no_error() -> None:
    world = World()
    world.happens(event())
    world.entries = [replace(entry, note="cleaned up, see ticket") for entry in world.entries]
    world.happens(event(at=T + DAY))
    assert world.strikes == 1
