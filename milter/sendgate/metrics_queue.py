"""The metrics of Postfix's own queue. They are taken at each scrape from the last look at it.

In: the figures of the last look, None when it failed. Out: metric families.
Refused: nothing. Before the first look there are none at all; while Postfix does not answer, only that it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

QUEUES = ("incoming", "active", "deferred", "hold", "maildrop")
AGES = (("under_5m", 300), ("under_1h", 3600), ("under_6h", 6 * 3600), ("under_1d", 86400), ("older", None))
"""Names, and the seconds that a message of that age has not reached; a message has the first that fits, and only it."""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """messages: how many, by queue and age; oldest: seconds since the first message in it came; octets: by queue."""

    messages: Mapping[tuple[str, str], int]
    oldest: Mapping[str, float]
    octets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the queue. figures: None when Postfix did not answer."""

    figures: QueueFigures | None


class QueueCollector(Collector):
    """Asks for the last look at each scrape; None before the first."""

    def __init__(self, ask: Callable[[], Look | None]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        look = self._ask()
        if look is None:
            return
        yield GaugeMetricFamily(
            "sendgate_postfix_queue_up",
            "Whether Postfix told its queue at the last look: 1, or 0.",
            value=0.0 if look.figures is None else 1.0,
        )
        if look.figures is None:
            return
        messages = GaugeMetricFamily(
            "sendgate_postfix_queue_messages", "Messages in Postfix's queue, by age.", labels=["queue", "age"]
        )
        for (queue, age), count in look.figures.messages.items():
            messages.add_metric([queue, age], count)
        yield messages
        yield _by_queue(
            "sendgate_postfix_queue_oldest_seconds", "Age of the oldest message; 0 without any.", look.figures.oldest
        )
        yield _by_queue("sendgate_postfix_queue_bytes", "Sizes of all messages together.", look.figures.octets)


def _by_queue(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["queue"])
    for queue, value in values.items():
        family.add_metric([queue], value)
    return family
