"""When the queue is looked at, and which looks are told: by a clock of the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sendgate.mta import queue
from sendgate.mta.queue import FIRST_ANSWER_SECONDS, UNANSWERED_INTERVAL, Looks, QueueWatcher

START = 5000.0
INTERVAL = 15.0
AWAY = "inet:127.0.0.1:9103: Connection refused"


def looks(interval: float = INTERVAL) -> Looks:
    return Looks(START, interval)


def told(*seen: tuple[float, str | None]) -> list[bool]:
    """Whether each look is told, by seconds since the start and its problem."""
    watched = looks()
    return [watched.is_news(problem, START + after) for after, problem in seen]


def test_failures_before_the_first_answer_say_nothing_for_two_minutes() -> None:
    assert FIRST_ANSWER_SECONDS == 120
    assert told((1, AWAY), (60, AWAY), (119.9, AWAY), (120, AWAY), (122, AWAY)) == [False, False, False, True, False]


def test_an_answer_after_failures_that_were_not_told_is_not_told() -> None:
    assert told((1, AWAY), (3, AWAY), (5, None), (20, None)) == [False] * 4


def test_an_answer_after_a_failure_that_was_told_is_told_once() -> None:
    assert told((1, AWAY), (130, AWAY), (132, None), (147, None)) == [False, True, True, False]


def test_after_the_first_answer_a_failure_is_told_at_once_also_within_the_two_minutes() -> None:
    assert told((1, AWAY), (3, None), (18, AWAY), (33, AWAY), (48, None)) == [False, False, True, False, True]


def test_a_queue_that_was_never_told_is_looked_at_every_two_seconds_until_it_is() -> None:
    watched = looks()
    assert UNANSWERED_INTERVAL == 2
    for after in (0.0, 100.0, 1000.0):
        watched.is_news(AWAY, START + after)
        assert watched.pause(0.5) == 1.5
    watched.is_news(None, START + 1010)
    assert watched.pause(0.5) == 14.5
    watched.is_news(AWAY, START + 1020)
    assert watched.pause(0.5) == 14.5


def test_an_interval_shorter_than_two_seconds_counts_from_the_start() -> None:
    assert looks(interval=1).pause(0.25) == 0.75


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_look_that_takes_long_is_followed_by_a_pause_as_long(is_answered: bool) -> None:
    watched = looks()
    if is_answered:
        watched.is_news(None, START)
    assert watched.pause(40) == 40


def test_a_watcher_tells_of_an_outage_by_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(queue, "read_queue", refused)
    said: list[str | None] = []
    times = iter([START, START + 1, START + 119, START + 121, START + 123])
    clock: Callable[[], float] = times.__next__
    watcher = QueueWatcher("inet:127.0.0.1:9103", INTERVAL, said.append, clock=clock)
    for wanted in ([], [], [AWAY], [AWAY]):
        watcher.look()
        assert said == wanted
