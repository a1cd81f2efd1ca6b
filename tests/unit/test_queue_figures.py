"""Figures of Postfix's queue and their metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from sendgate.metrics_queue import AGES, QUEUES, Look, QueueCollector
from sendgate.mta.showq import Message
from sendgate.mta.tally import Tally

NOW = 1_795_353_476.5


def registry_of(look: Look | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: look))
    return registry


def look_at(*messages: Message) -> CollectorRegistry:
    tally = Tally(NOW)
    tally.add(messages)
    return registry_of(Look(tally.figures()))


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"sendgate_postfix_queue_{name}", labels)


def names(registry: CollectorRegistry) -> set[str]:
    return {metric.name for metric in registry.collect()}


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-3600, "under_5m"),
        (0, "under_5m"),
        (299, "under_5m"),
        (300, "under_1h"),
        (3599, "under_1h"),
        (3600, "under_6h"),
        (6 * 3600, "under_1d"),
        (86399, "under_1d"),
        (86400, "older"),
        (10**9, "older"),
    ],
)
def test_a_message_is_in_one_age_the_first_that_fits(seconds: int, age: str) -> None:
    registry = look_at(Message("deferred", int(NOW) - seconds, 100))
    found = {name for name, _ in AGES if value(registry, "messages", queue="deferred", age=name)}
    assert found == {age}


def test_all_queues_and_ages_are_there_when_the_queue_is_empty() -> None:
    registry = look_at()
    assert [value(registry, "messages", queue=queue, age=age) for queue in QUEUES for age, _ in AGES] == [0] * 25
    assert [value(registry, "oldest_seconds", queue=queue) for queue in QUEUES] == [0] * 5
    assert [value(registry, "bytes", queue=queue) for queue in QUEUES] == [0] * 5
    assert value(registry, "up") == 1


def test_sizes_are_added_up_and_the_oldest_is_told_by_queue() -> None:
    registry = look_at(
        Message("deferred", 1_795_353_400, 100), Message("deferred", 1_795_353_300, 50), Message("hold", 1, 7)
    )
    assert value(registry, "bytes", queue="deferred") == 150
    assert value(registry, "oldest_seconds", queue="deferred") == 176.5
    assert value(registry, "bytes", queue="hold") == 7
    assert value(registry, "oldest_seconds", queue="active") == 0


def test_a_message_from_the_future_has_no_age() -> None:
    assert value(look_at(Message("active", int(NOW) + 60, 1)), "oldest_seconds", queue="active") == 0


def test_a_queue_of_another_name_is_left_out() -> None:
    registry = look_at(Message("corrupt", 1, 1))
    assert sum(sample.value for metric in registry.collect() for sample in metric.samples) == 1  # up


def test_while_postfix_does_not_answer_only_that_is_told() -> None:
    registry = registry_of(Look(None))
    assert names(registry) == {"sendgate_postfix_queue_up"}
    assert value(registry, "up") == 0


def test_before_the_first_look_nothing_is_told() -> None:
    assert names(registry_of(None)) == set()
