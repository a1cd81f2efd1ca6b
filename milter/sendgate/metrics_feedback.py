"""The metrics of feedback. They are read at each scrape from the state that feedback keeps.

In: what was counted, as (metric, campaign, label, value) in the order it was first counted; how things are now.
Out: metric families. Refused: nothing; campaigns beyond the cap are counted as `other`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sendgate.metrics import OTHER


@dataclass(frozen=True, slots=True)
class FeedbackFigures:
    """counts: as `feedback.state` has them; open_breakers: providers; behind: octets of the log that are not read
    yet, milter: our own address as Postfix names it; None when no log is followed."""

    counts: Sequence[tuple[str, str, str, int]]
    open_breakers: Sequence[str] = ()
    behind: int | None = None
    milter: str | None = None


DELIVERIES, BOUNCES, COMPLAINTS = "deliveries", "bounces", "complaints"
REPORTS, ENTRIES, BREAKER = "reports", "entries", "breaker"
MILTER_FAILURES = "milter_failures"
"""The names that things are counted under."""
MOST_MILTERS = 8
"""Milters with a label of their own; no Postfix asks so many."""


class Family(NamedTuple):
    """A counter. counted: what it is counted under; label: beside the campaign, "" for none."""

    counted: str
    name: str
    label: str
    has_campaign: bool
    text: str


FAMILIES = (
    Family(
        DELIVERIES,
        "sendgate_deliveries",
        "result",
        True,
        "Answers to delivery attempts, from Postfix's log, by result.",
    ),
    Family(
        BOUNCES,
        "sendgate_bounces",
        "bounce_type",
        True,
        "Deliveries that failed for good, by what the answer meant.",
    ),
    Family(COMPLAINTS, "sendgate_complaints", "", True, "Complaints (abuse reports) that were believed."),
    Family(
        REPORTS,
        "sendgate_feedback_reports",
        "belief",
        False,
        "Bounces and complaints that came as messages, by whether and why they are believed.",
    ),
    Family(
        ENTRIES,
        "sendgate_feedback_entries",
        "reason",
        False,
        "Entries that feedback has made or made longer, by reason.",
    ),
    Family(
        BREAKER,
        "sendgate_feedback_breaker_opened",
        "provider",
        False,
        "Times the breaker of a provider opened.",
    ),
)


class FeedbackCollector(Collector):
    """Asks for the figures at each scrape; None when there are none, or they cannot be read."""

    def __init__(self, ask: Callable[[], FeedbackFigures | None], max_labels: int) -> None:
        self._ask = ask
        self._max_labels = max_labels

    def collect(self) -> Iterator[Metric]:
        figures = self._ask()
        if figures is None:
            return
        labelled = _campaign_labels(figures.counts, self._max_labels)
        for family in FAMILIES:
            names = ["campaign"] * family.has_campaign + [family.label] * bool(family.label)
            metric = CounterMetricFamily(family.name, family.text, labels=names)
            for values, count in _values(figures.counts, family, labelled).items():
                metric.add_metric(values, count)
            yield metric
        yield _breakers(figures.open_breakers)
        if figures.behind is not None:
            yield GaugeMetricFamily(
                "sendgate_feedback_log_behind_bytes",
                "Octets of Postfix's log that are not taken in yet.",
                value=figures.behind,
            )
        if figures.milter is not None:
            yield _milter_failures(figures.counts, figures.milter)


def _breakers(providers: Sequence[str]) -> Metric:
    family = GaugeMetricFamily(
        "sendgate_feedback_breaker_open", "Providers whose breaker is open: 1; absent when closed.", labels=["provider"]
    )
    for provider in providers:
        family.add_metric([provider], 1)
    return family


def _milter_failures(counts: Sequence[tuple[str, str, str, int]], own: str) -> Metric:
    """Our own milter is there from the start: the first failure must be a rise."""
    failures = {own: 0}
    for counted, _, milter, count in counts:
        if counted == MILTER_FAILURES:
            is_told = milter in failures or (milter and len(failures) < MOST_MILTERS)
            label = milter if is_told else OTHER
            failures[label] = failures.get(label, 0) + count
    family = CounterMetricFamily(
        "sendgate_postfix_milter_failures",
        "Times that Postfix could not reach a milter, or not talk to it.",
        labels=["milter"],
    )
    for milter, count in failures.items():
        family.add_metric([milter], count)
    return family


def _campaign_labels(counts: Sequence[tuple[str, str, str, int]], cap: int) -> set[str]:
    """The campaigns with a label of their own: the first ones."""
    first = dict.fromkeys(campaign for _, campaign, _, _ in counts if campaign)
    return set(list(first)[:cap])


def _values(
    counts: Sequence[tuple[str, str, str, int]], family: Family, labelled: set[str]
) -> dict[tuple[str, ...], int]:
    values: Counter[tuple[str, ...]] = Counter()
    for counted, campaign, label, count in counts:
        if counted == family.counted:
            shown = (campaign if campaign in labelled else OTHER,) if family.has_campaign else ()
            values[shown + ((label,) if family.label else ())] += count
    return values
