"""The breaker: opens when a provider's bad mailboxes leap beyond its past, and only then."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest

from sendgate.feedback.breaker import LEARNS_AFTER, MAX_PROVIDERS, Breaker, lower_bound
from sendgate.settings_feedback import FeedbackSettings

SETTINGS = FeedbackSettings()
START = 1_607_900_400
DAY = 86400


class Mail:
    """A steady flow of recipients of a provider, some of them bad, at random but the same in each run."""

    def __init__(self, a_minute: float, seed: int = 1) -> None:
        self.breaker = Breaker(SETTINGS)
        self.now = float(START)
        self.bad_while_closed = 0
        self._chance = random.Random(seed)
        self._gap = 60 / a_minute

    def flows(self, seconds: float, share: float, provider: str = "google.com") -> list[tuple[bool, float]]:
        """Whether something opened, and when, in seconds from the beginning of this flow."""
        begun, self.bad_while_closed, told = self.now, 0, []
        while self.now < begun + seconds:
            self.now += self._gap
            bad = self._chance.random() < share
            self.breaker.observe(provider, bad, self.now)
            told += [(one.opened, self.now - begun) for one in self.breaker.transitions()]
            if bad and self.breaker.open_since(provider, self.now) is None:
                self.bad_while_closed += 1
        return told


@pytest.mark.parametrize(
    ("a_minute", "within", "got_through"), [(5, 600, 40), (20, 240, 45), (100, 60, 60), (600, 30, 100)]
)
@pytest.mark.parametrize("seed", range(3))
def test_an_outage_that_answers_5_1_1_opens_it_before_many_got_through(
    a_minute: float, within: float, got_through: int, seed: int
) -> None:
    mail = Mail(a_minute, seed)
    assert mail.flows(DAY / 4, 0.01) == []
    ((opened, after),) = mail.flows(7200, 0.50)
    assert opened
    assert after < within
    assert mail.bad_while_closed < got_through


def test_it_closes_some_time_after_the_share_is_back_to_normal() -> None:
    mail = Mail(100)
    mail.flows(DAY / 4, 0.01)
    mail.flows(7200, 0.50)
    ((opened, after),) = mail.flows(3 * 3600, 0.01)
    assert not opened
    assert SETTINGS.breaker_hold < after < SETTINGS.breaker_hold + SETTINGS.breaker_window


def test_an_outage_is_no_part_of_the_past_that_the_next_is_held_against() -> None:
    mail = Mail(100)
    mail.flows(DAY / 4, 0.01)
    for _ in range(2):
        assert [opened for opened, _ in mail.flows(2 * 3600, 0.50)] == [True]
        assert [opened for opened, _ in mail.flows(4 * 3600, 0.01)] == [False]


def test_what_lasts_for_more_than_a_day_is_how_things_are() -> None:
    mail = Mail(20)
    mail.flows(DAY / 4, 0.02)
    told = mail.flows(2 * LEARNS_AFTER, 0.25)
    assert [opened for opened, _ in told] == [True, False]
    assert told[1][1] > LEARNS_AFTER


@pytest.mark.parametrize("a_minute", [20, 100])
@pytest.mark.parametrize("seed", range(3))
def test_a_provider_whose_usual_share_is_high_does_not_open_it(a_minute: float, seed: int) -> None:
    assert Mail(a_minute, seed).flows(DAY / 2, 0.08) == []


def test_a_leap_of_a_provider_whose_usual_share_is_high_opens_it_all_the_same() -> None:
    mail = Mail(100)
    mail.flows(DAY / 4, 0.08)
    assert [opened for opened, _ in mail.flows(1800, 0.60)] == [True]


def test_a_dirty_list_sent_slowly_seldom_opens_it() -> None:
    opened = 0
    for seed in range(40):
        mail = Mail(5, seed)
        opened += bool(mail.flows(3600, 0.12))
    assert opened <= 6


def test_a_dirty_list_sent_fast_opens_it_for_who_gets_most_and_costs_only_permanence() -> None:
    """Nothing tells 12 % of a new list, for thousands of recipients in a quarter of an hour, from an outage's begin."""
    mail = Mail(1000)
    mail.flows(DAY / 8, 0.01)
    assert [opened for opened, _ in mail.flows(3600, 0.12)] == [True]


def test_few_recipients_are_not_judged() -> None:
    breaker = Breaker(SETTINGS)
    for second in range(SETTINGS.breaker_volume - 1):
        breaker.observe("example.com", True, START + second)
    assert breaker.transitions() == []
    breaker.observe("example.com", True, START + 50)
    (opened,) = breaker.transitions()
    assert (opened.provider, opened.opened, opened.share, opened.volume) == ("example.com", True, 1.0, 50)
    assert opened.past_share == pytest.approx(0.02)


def test_only_the_provider_itself_is_open() -> None:
    breaker = Breaker(SETTINGS)
    observe(breaker, "example.com", [True] * 60)
    assert breaker.open_since("example.com", START + 60) == START + SETTINGS.breaker_volume - 1
    assert breaker.open_since("example.org", START + 60) is None
    assert breaker.open_providers() == ["example.com"]


def test_it_closes_for_who_asks_also_without_further_mail() -> None:
    breaker = Breaker(SETTINGS)
    observe(breaker, "example.com", [True] * 60)
    last = START + 59
    assert breaker.open_since("example.com", last + SETTINGS.breaker_hold - 1) is not None
    assert breaker.open_since("example.com", last + SETTINGS.breaker_hold) is None
    assert [one.opened for one in breaker.transitions()] == [True]
    breaker.observe("example.org", False, last + SETTINGS.breaker_hold)
    assert [(one.provider, one.opened) for one in breaker.transitions()] == [("example.com", False)]
    assert breaker.transitions() == []


def test_old_mail_that_comes_late_is_passed_over() -> None:
    breaker = Breaker(SETTINGS)
    observe(breaker, "example.com", [False] * 60)
    for second in range(500):
        breaker.observe("example.com", True, START - DAY + second)
    assert breaker.transitions() == []


def test_a_restart_at_any_point_changes_nothing() -> None:
    chance = random.Random(7)
    results = [chance.random() < 0.3 for _ in range(400)]
    whole, told_whole = Breaker(SETTINGS), []
    parts, told_parts = Breaker(SETTINGS), []
    for second, bad in enumerate(results):
        whole.observe("example.com", bad, START + 5 * second)
        told_whole += whole.transitions()
        parts = Breaker(SETTINGS, json.loads(json.dumps(parts.as_object())))
        parts.observe("example.com", bad, START + 5 * second)
        told_parts += parts.transitions()
    assert told_parts == told_whole
    assert [one.opened for one in told_whole] == [True]
    assert parts.as_object() == whole.as_object()


@pytest.mark.parametrize(
    "state",
    [
        {"providers": 3},
        {"providers": [["a"]]},
        {"providers": [["a", [], "x", None, None, None, None]], "length": 60},
        {"providers": [["a", [[1]], 1, 2, 3, None, 0.0]], "length": 60, "open": ["a", "b", 4]},
        {"clock": "soon"},
        [],
    ],
)
def test_a_state_that_cannot_be_read_is_no_past(state: object) -> None:
    breaker = Breaker(SETTINGS, state)  # type: ignore[arg-type]
    observe(breaker, "a", [True] * 60)
    assert [one.opened for one in breaker.transitions()] == [True]
    json.dumps(breaker.as_object())


def test_windows_of_another_length_are_forgotten_and_the_past_is_kept() -> None:
    mail = Mail(100)
    mail.flows(DAY / 4, 0.08)
    other = Breaker(FeedbackSettings(breaker_window=1800), json.loads(json.dumps(mail.breaker.as_object())))
    for _ in range(60):
        mail.now += 1
        other.observe("google.com", True, mail.now)
    (opened,) = other.transitions()
    assert opened.volume == SETTINGS.breaker_volume
    assert opened.past_share == pytest.approx(0.08, abs=0.01)


def test_providers_without_mail_for_longest_are_forgotten() -> None:
    breaker = Breaker(SETTINGS)
    observe(breaker, "open.example", [True] * 60)
    breaker.transitions()
    for number in range(MAX_PROVIDERS):
        breaker.observe(f"{number}.example", False, START + 60)
    assert [(one.provider, one.opened) for one in breaker.transitions()] == [("open.example", False)]
    assert breaker.open_since("open.example", START + 60) is None
    assert len(breaker.as_object()["providers"]) == MAX_PROVIDERS


def test_a_state_leaves_out_who_had_hardly_any_mail_and_none_of_late() -> None:
    breaker = Breaker(SETTINGS)
    breaker.observe("rare.example", False, START)
    observe(breaker, "usual.example", [False] * 60)
    breaker.observe("usual.example", False, START + DAY)
    assert [row[0] for row in breaker.as_object()["providers"]] == ["usual.example"]


@pytest.mark.parametrize(("bad", "volume", "bound"), [(0, 0, 0.0), (0, 50, 0.0), (5, 50, 0.034), (50, 50, 0.883)])
def test_the_lower_bound_is_wilsons(bad: int, volume: int, bound: float) -> None:
    assert lower_bound(bad, volume, 2.576) == pytest.approx(bound, abs=0.001)


def observe(breaker: Breaker, provider: str, results: Iterable[bool]) -> None:
    """One result a second."""
    for second, bad in enumerate(results):
        breaker.observe(provider, bad, START + second)
