"""The metrics of feedback. They are read at each scrape from the state that feedback keeps.

In: what was counted, as (metric, campaign, label, value) in the order it was first counted; how things are now.
Out: metric families. Refused: nothing; campaigns beyond the cap are counted as `other`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sendgate.metrics import OTHER


@dataclass(frozen=True, slots=True)
class FeedbackFigures:
    """counts: as `feedback.state` has them; open_breakers: providers; behind: octets of the log that are not read
    yet, None when none is followed."""

    counts: Sequence[tuple[str, str, str, int]]
    open_breakers: Sequence[str] = ()
    behind: int | None = None


FAMILIES = (
    ("deliveries", "result", True, "Answers to delivery attempts, from Postfix's log, by result."),
    ("bounces", "bounce_type", True, "Deliveries that failed for good, by what the answer meant."),
    ("complaints", "", True, "Complaints (abuse reports) that were believed."),
    ("reports", "belief", False, "Bounces and complaints that came as messages, by whether and why they are believed."),
    ("entries", "reason", False, "Entries that feedback has made or made longer, by reason."),
    ("breaker", "provider", False, "Times the breaker of a provider opened."),
)
"""By the name it is counted under: its other label, whether it has a campaign, its help text."""
_NAMES = {
    "deliveries": "sendgate_deliveries",
    "bounces": "sendgate_bounces",
    "complaints": "sendgate_complaints",
    "reports": "sendgate_feedback_reports",
    "entries": "sendgate_feedback_entries",
    "breaker": "sendgate_feedback_breaker_opened",
}


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
        for metric, label, has_campaign, text in FAMILIES:
            names = ["campaign"] * has_campaign + [label] * bool(label)
            family = CounterMetricFamily(_NAMES[metric], text, labels=names)
            for values, count in _values(figures.counts, metric, labelled, has_campaign, bool(label)).items():
                family.add_metric(values, count)
            yield family
        yield _breakers(figures.open_breakers)
        if figures.behind is not None:
            yield GaugeMetricFamily(
                "sendgate_feedback_log_behind_bytes",
                "Octets of Postfix's log that are not taken in yet.",
                value=figures.behind,
            )


def _breakers(providers: Sequence[str]) -> Metric:
    family = GaugeMetricFamily(
        "sendgate_feedback_breaker_open", "Providers whose breaker is open: 1; absent when closed.", labels=["provider"]
    )
    for provider in providers:
        family.add_metric([provider], 1)
    return family


def _campaign_labels(counts: Sequence[tuple[str, str, str, int]], cap: int) -> set[str]:
    """The campaigns with a label of their own: the first ones."""
    first = dict.fromkeys(campaign for _, campaign, _, _ in counts if campaign)
    return set(list(first)[:cap])


def _values(
    counts: Sequence[tuple[str, str, str, int]], metric: str, labelled: set[str], has_campaign: bool, has_label: bool
) -> dict[tuple[str, ...], int]:
    values: Counter[tuple[str, ...]] = Counter()
    for name, campaign, label, count in counts:
        if name == metric:
            shown = (campaign if campaign in labelled else OTHER,) if has_campaign else ()
            values[shown + ((label,) if has_label else ())] += count
    return values
