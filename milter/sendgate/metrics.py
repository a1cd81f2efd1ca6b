"""Every metric of Sendgate, once, with closed label sets.

In: a folder for the multi-process files, and the identifier of this process in it.
Out: `Metrics`, whose methods count; `exposition` for the ops server gives the text format of all processes.
Refused: nothing; a campaign beyond the cap is counted as `other`.

prometheus-client keeps each value in a mapped file for each identifier. A worker that takes the place of a dead
one takes over its identifier, and so goes on counting where that one stopped.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from sendgate.metrics_files import RoomyFile

DECISIONS = ("pass", "reject", "tempfail", "hold", "discard", "would_reject")
RESTART_CAUSES = ("recycled", "memory", "reload", "store", "crashed", "killed")
RELOAD_RESULTS = ("ok", "failed")
RESYNC_CAUSES = ("bootstrap", "gap", "lost_writes", "new_epoch")
OTHER = "other"
DECISION_BUCKETS_SECONDS = (
    0.000005, 0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0,
)  # fmt: skip
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS_FILE = "campaigns"


class CampaignLabels:
    """The campaigns that have a label of their own: the first `cap` seen by any process since the start.

    They are kept in a file that all processes append to, so that all agree; it is read only when a process meets a
    campaign for the first time.
    """

    def __init__(self, folder: Path, cap: int) -> None:
        self._path = folder / _LABELS_FILE
        self._cap = cap
        self._known: set[str] = set()

    def label(self, campaign: str) -> str:
        """The label for a campaign: its name, or `other` beyond the cap."""
        if campaign in self._known:
            return campaign
        if len(self._known) >= self._cap:
            return OTHER
        try:
            return campaign if self._register(campaign) else OTHER
        except OSError:  # no room: a recipient is judged all the same
            return OTHER

    def _register(self, campaign: str) -> bool:
        with self._path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            self._known = set(file.read().split("\n")) - {""}  # a name may hold other white space
            if campaign not in self._known and len(self._known) < self._cap:
                file.write(campaign + "\n")
                self._known.add(campaign)
        return campaign in self._known


class _DecisionSeconds(Histogram):
    """A histogram that takes the observations of a whole message at once."""

    def observe_all(self, seconds: list[float]) -> None:
        counts: dict[int, int] = {}
        for value in seconds:
            bucket = bisect_left(self._upper_bounds, value)
            counts[bucket] = counts.get(bucket, 0) + 1
        self._sum.inc(sum(seconds))
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)


def _of_process(folder: Path, identifier: str) -> CollectorRegistry:
    """A registry whose values this process keeps in files of its own."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.MmapedDict = RoomyFile  # type: ignore[attr-defined,assignment]
    values.ValueClass = values.MultiProcessValue(lambda: identifier)  # type: ignore[no-untyped-call]
    return CollectorRegistry()


class Metrics:
    """The metrics of one process. `identifier` is stable over the restarts of that process's role."""

    def __init__(self, folder: Path, identifier: str, max_labels: int = 500) -> None:
        registry = _of_process(folder, identifier)
        self._labels = CampaignLabels(folder, max_labels)
        self._recipients = Counter(
            "sendgate_recipients",
            "Recipients by what was decided about them, and the reason.",
            ["campaign", "decision", "reason"],
            registry=registry,
        )
        self._messages = Counter(
            "sendgate_messages", "Messages that went past the gate.", ["campaign"], registry=registry
        )
        self._trap_hits = Counter(
            "sendgate_trap_hits",
            "Recipients that were spam traps, refused or only observed.",
            ["campaign"],
            registry=registry,
        )
        self._decision_seconds = _DecisionSeconds(
            "sendgate_decision_seconds",
            "Time for one decision at RCPT, from the parsed command to the reply.",
            buckets=DECISION_BUCKETS_SECONDS,
            registry=registry,
        )
        self._store_faults = Counter(
            "sendgate_store_faults",
            "Times the store became unavailable to a process; recipients are answered 451 until it is back.",
            registry=registry,
        )
        self._exceptions = Counter(
            "sendgate_exceptions",
            "Errors of the gate itself, each answered with a 451 and logged.",
            registry=registry,
        )
        self._workers = Gauge(
            "sendgate_workers", "Workers that serve now.", registry=registry, multiprocess_mode="mostrecent"
        )
        self._worker_restarts = Counter(
            "sendgate_worker_restarts", "Workers replaced, by cause.", ["cause"], registry=registry
        )
        self._config_reloads = Counter(
            "sendgate_config_reloads", "Reloads of the settings, by result.", ["result"], registry=registry
        )
        for cause in RESTART_CAUSES:  # a rate needs to have seen the zero
            self._worker_restarts.labels(cause)
        for result in RELOAD_RESULTS:
            self._config_reloads.labels(result)
        self._swept = Counter("sendgate_swept_entries", "Expired entries that were deleted.", registry=registry)

    def recipients(self, campaign: str, decision: str, reason: str, count: int = 1) -> None:
        """Count recipients. decision: one of DECISIONS; reason: of the entry, a cause, or `none`."""
        self._recipients.labels(self._labels.label(campaign), decision, reason).inc(count)

    def message(self, campaign: str) -> None:
        self._messages.labels(self._labels.label(campaign)).inc()

    def trap_hit(self, campaign: str) -> None:
        self._trap_hits.labels(self._labels.label(campaign)).inc()

    def decision_seconds(self, seconds: list[float]) -> None:
        """Observe the durations of decisions, in seconds."""
        self._decision_seconds.observe_all(seconds)

    def store_fault(self) -> None:
        self._store_faults.inc()

    def exception(self) -> None:
        self._exceptions.inc()

    def workers(self, count: int) -> None:
        self._workers.set(count)

    def worker_restart(self, cause: str) -> None:
        """cause: one of RESTART_CAUSES."""
        self._worker_restarts.labels(cause).inc()

    def config_reload(self, result: str) -> None:
        """result: one of RELOAD_RESULTS."""
        self._config_reloads.labels(result).inc()

    def swept(self, count: int) -> None:
        self._swept.inc(count)


class FollowMetrics:
    """The metrics of the process that follows a shared origin; an embedded store has none of them."""

    def __init__(self, folder: Path) -> None:
        registry = _of_process(folder, "follow")
        self._origin_up = Gauge(
            "sendgate_origin_up",
            "Whether the shared origin is followed now: 1, or 0.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._resyncs = Counter(
            "sendgate_resyncs",
            "Times the lists were copied from the shared origin, by cause.",
            ["cause"],
            registry=registry,
        )
        self._diverged = Counter(
            "sendgate_replica_diverged_entries",
            "Entries in which the replica differed from the origin without a change that said so; mended when found.",
            registry=registry,
        )
        for cause in RESYNC_CAUSES:
            self._resyncs.labels(cause)

    def origin_up(self, up: bool) -> None:
        self._origin_up.set(up)

    def resync(self, cause: str) -> None:
        """cause: one of RESYNC_CAUSES."""
        self._resyncs.labels(cause).inc()

    def diverged(self, entries: int) -> None:
        self._diverged.inc(entries)


class StoreFigures(NamedTuple):
    """What the store says of itself: entries by reason, seconds since it was last in step, changes so far, entries
    that a shared origin has lost and this pod keeps."""

    entries: Mapping[str, int]
    age_seconds: float
    changes: int
    kept: int = 0


class StoreCollector(Collector):
    """Metrics that are read from the store at each scrape. `ask` gives the figures, or None when it cannot be read."""

    def __init__(self, ask: Callable[[], StoreFigures | None]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        figures = self._ask()
        yield GaugeMetricFamily(
            "sendgate_store_up", "Whether the store can be read: 1, or 0.", value=0.0 if figures is None else 1.0
        )
        if figures is None:
            return
        entries = GaugeMetricFamily("sendgate_entries", "Entries in the lists, by reason.", labels=["reason"])
        for reason, count in sorted(figures.entries.items()):
            entries.add_metric([reason], count)
        yield entries
        yield GaugeMetricFamily(
            "sendgate_replica_age_seconds",
            "Seconds since the replica was in step with its origin; an embedded store always is.",
            value=figures.age_seconds,
        )
        yield GaugeMetricFamily(
            "sendgate_replica_kept_entries",
            "Entries that the shared origin has lost and this replica keeps, until they are repaired.",
            value=figures.kept,
        )
        yield CounterMetricFamily(
            "sendgate_replica_changes", "Changes that the replica has taken in.", value=figures.changes
        )


class _AllProcesses(MultiProcessCollector):
    """The files of all processes, but for one that a starting process has made and not yet written to."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, path=str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
        return self.merge(files, accumulate=True)  # type: ignore[no-untyped-call,no-any-return]


def exposition(folder: Path, more: Iterable[Collector] = ()) -> tuple[bytes, str]:
    """The metrics of all processes in `folder` and of `more` collectors, in the text format, and its content type."""
    registry = CollectorRegistry()
    _AllProcesses(registry, folder)
    for collector in more:
        registry.register(collector)
    return generate_latest(registry), CONTENT_TYPE
