"""Taking back: the strikes of a time, and what they made; nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sendgate.entry import Add, Entry, Origin, Reason, Remove, parse_subject
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.strikes import Strike
from sendgate.feedback.undo import Undone, Wanted, plan
from sendgate.settings_feedback import FeedbackSettings

HOUR, DAY = 3600, 86400
NOW = 1_795_341_600
SINCE, UNTIL = NOW - 3 * HOUR, NOW - HOUR
WITHIN, BEFORE, AFTER = NOW - 2 * HOUR, NOW - 2 * DAY, NOW - 1800
SETTINGS = FeedbackSettings()
WANTED = Wanted(SINCE, UNTIL)


def entry(
    reason: Reason, expires: int | None, *at: int, kind: str = "bad_mailbox", subject: str = "user@example.com"
) -> Entry:
    """An entry as the policy makes it of strikes."""
    strikes = tuple(Strike(kind, f"4F1B2C{number}", one) for number, one in enumerate(at))
    evidence = Evidence(at[-1], strikes[-1].id, "mx.example.net", "example.net", "sale", strikes=strikes, text="550 no")
    return Entry(
        parse_subject(subject), reason, list="feedback", origin=Origin.FEEDBACK,
        created=at[0], expires=expires, strikes=len(at), note=evidence.note(),
    )  # fmt: skip


def hard(*at: int, expires: int | None = None, **more: str) -> Entry:
    return entry(Reason.HARD_BOUNCE, expires, *at, **more)


def undone(*entries: Entry, wanted: Wanted = WANTED, settings: FeedbackSettings = SETTINGS) -> list[Undone]:
    return list(plan(entries, wanted, settings, NOW))


@pytest.mark.parametrize(
    "given",
    [
        hard(WITHIN, expires=WITHIN + 7 * DAY),
        hard(WITHIN, WITHIN + 60),
        entry(Reason.STRIKE, WITHIN + 30 * DAY, WITHIN, WITHIN + 60),
        entry(Reason.SOFT_BOUNCE, WITHIN + DAY, WITHIN, kind="full"),
        hard(SINCE),
        hard(UNTIL - 1),
    ],
)
def test_what_was_made_within_the_time_goes(given: Entry) -> None:
    (one,) = undone(given)
    assert one.becomes is None
    assert one.changes == [Remove(given.subject, given.reason, given.scope, given.list)]


@pytest.mark.parametrize("at", [BEFORE, SINCE - 1, UNTIL, AFTER])
def test_what_was_made_at_another_time_stays(at: int) -> None:
    assert undone(hard(at), entry(Reason.STRIKE, NOW + DAY, at)) == []


def test_what_became_permanent_within_the_time_is_provisional_again() -> None:
    given = hard(BEFORE, WITHIN)
    (one,) = undone(given)
    assert one.becomes is not None
    assert (one.becomes.expires, one.becomes.strikes, one.becomes.created) == (BEFORE + 7 * DAY, 1, BEFORE)
    assert one.changes == [Remove(given.subject, given.reason, given.scope, given.list), Add(one.becomes)]
    evidence = Evidence.from_note(one.becomes.note)
    assert evidence is not None
    assert (evidence.at, evidence.queue_id, evidence.provider) == (BEFORE, "4F1B2C0", "example.net")
    assert (evidence.strikes, evidence.text) == (
        (Strike("bad_mailbox", "4F1B2C0", BEFORE),),
        "a later failure was taken back",
    )


def test_what_became_permanent_within_the_time_goes_when_its_first_strike_would_be_over() -> None:
    (one,) = undone(hard(NOW - 20 * DAY, WITHIN))
    assert one.becomes is None


def test_what_is_permanent_by_other_strikes_too_stays_so() -> None:
    for strikes in ((NOW - 5 * DAY, BEFORE, WITHIN), (BEFORE, WITHIN, AFTER)):
        (one,) = undone(hard(*strikes))
        assert one.becomes is not None
        assert (one.becomes.expires, one.becomes.strikes) == (None, 2)


def test_the_words_of_the_last_event_stay_when_it_does() -> None:
    (one,) = undone(hard(WITHIN, AFTER))
    assert one.becomes is not None
    assert one.becomes.note.endswith(f"strikes=bad_mailbox/4F1B2C1/{AFTER} text=550 no")


def test_strikes_that_stay_are_forgotten_when_they_would_have_been() -> None:
    (one,) = undone(entry(Reason.STRIKE, WITHIN + 30 * DAY, BEFORE, WITHIN))
    assert one.becomes is not None
    assert (one.becomes.expires, one.becomes.strikes) == (BEFORE + 30 * DAY, 1)


def test_a_full_mailbox_is_suppressed_as_long_as_its_other_strikes_say() -> None:
    (one,) = undone(entry(Reason.SOFT_BOUNCE, WITHIN + 16 * DAY, BEFORE, NOW - DAY, WITHIN, kind="full"))
    assert one.becomes is not None
    assert (one.becomes.expires, one.becomes.strikes) == (NOW - DAY + 4 * DAY, 2)


def test_a_domain_whose_row_is_too_short_without_them_is_valid_again() -> None:
    given = entry(
        Reason.INVALID_DOMAIN, None, NOW - 5 * DAY, NOW - DAY, WITHIN, kind="bad_domain", subject="@example.com"
    )
    (one,) = undone(given)
    assert one.becomes is None


@pytest.mark.parametrize(
    "given",
    [
        entry(Reason.COMPLAINT, None, WITHIN, kind="complaint"),
        replace(hard(WITHIN), origin=Origin.OPERATOR),
        replace(hard(WITHIN), list="default"),
        replace(hard(WITHIN), note="asked by phone", created=WITHIN),
        replace(hard(WITHIN), note="", created=WITHIN),
        replace(hard(WITHIN), reason=Reason.TRAP),
    ],
    ids=["complaint", "operator's", "other list", "note by people", "no note", "other reason"],
)
def test_complaints_and_what_others_made_stay(given: Entry) -> None:
    assert undone(given) == []


@pytest.mark.parametrize(
    ("provider", "concerned"),
    [("example.net", True), ("Example.COM.", True), ("example.org", False), ("user", False), ("", True)],
)
def test_a_provider_is_who_answered_or_the_recipients_domain(provider: str, concerned: bool) -> None:
    assert bool(undone(hard(WITHIN), wanted=Wanted(SINCE, UNTIL, provider))) is concerned


def test_a_hashed_subject_is_of_who_answered() -> None:
    given = hard(WITHIN, subject="key:" + "0" * 32)
    assert len(undone(given, wanted=Wanted(SINCE, UNTIL, "example.net"))) == 1
    assert undone(given, wanted=Wanted(SINCE, UNTIL, "example.com")) == []
    assert undone(given, wanted=Wanted(SINCE, UNTIL, "0" * 32)) == []


def test_without_an_end_all_since_then_is_taken_back() -> None:
    (one,) = undone(hard(WITHIN, AFTER), wanted=Wanted(SINCE))
    assert one.becomes is None


def test_taking_back_again_finds_nothing() -> None:
    results = undone(hard(BEFORE, WITHIN), entry(Reason.STRIKE, NOW + DAY, BEFORE, WITHIN), hard(WITHIN))
    left = [one.becomes for one in results if one.becomes is not None]
    assert len(left) == 2
    assert undone(*left) == []


def test_a_note_without_strikes_goes_by_its_time() -> None:
    given = replace(hard(WITHIN), note=Evidence(WITHIN, text="550").note())
    (one,) = undone(given)
    assert one.becomes is None
    assert undone(replace(given, note=Evidence(BEFORE, text="550").note())) == []
