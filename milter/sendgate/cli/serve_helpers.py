"""What the helper processes of `serve` do, with the store and the metrics they need.

In: settings, the keyer, the metrics' folder. Out: answers for the ops server; swept entries, told changes.
Refused: nothing; a store that cannot be read is an answer too.
"""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

from sendgate import events
from sendgate.cli import serve_feedback, stores
from sendgate.keys import Keyer
from sendgate.metrics import FollowMetrics, Metrics, StoreCollector, StoreFigures, exposition
from sendgate.metrics_feedback import FeedbackCollector
from sendgate.metrics_queue import QueueCollector
from sendgate.mta.queue import QueueWatcher
from sendgate.ops.probe import probe
from sendgate.settings import Settings
from sendgate.store.errors import StoreError
from sendgate.store.follow import Follower, FollowPlan
from sendgate.store.record import Label

WATCH_EVERY_SECONDS = 2.0
OPENED_WITHIN_SECONDS = 2.0
"""Workers look once a second whether there is a replica to open."""
_one_at_a_time = Lock()
"""LMDB refuses to open one file twice in a process, and the ops server answers in several threads."""


def watch_queue(settings: Settings) -> QueueWatcher | None:
    """Look at Postfix's queue from now on, in this process; None when its place is not told."""
    if settings.postfix.showq is None:
        return None
    watcher = QueueWatcher(settings.postfix.showq, settings.postfix.interval, _tell_queue)
    watcher.start()
    return watcher


def _tell_queue(problem: str | None) -> None:
    if problem is None:
        events.queue_known()
    else:
        events.queue_unknown(problem)


def ask_metrics(settings: Settings, keyer: Keyer, folder: Path, queue: QueueWatcher | None) -> tuple[bytes, str]:
    """The exposition of all processes, of the store, and of the last look at Postfix's queue."""

    def figures() -> StoreFigures | None:
        try:
            return _figures(settings, keyer)
        except StoreError:
            return None

    collectors: list[StoreCollector | FeedbackCollector | QueueCollector] = [StoreCollector(figures)]
    if serve_feedback.active(settings):
        from sendgate.cli.feedback_processes import figures as of_feedback  # in this process alone

        collectors.append(FeedbackCollector(lambda: of_feedback(settings), settings.campaign.max_labels))
    if queue is not None:
        collectors.append(QueueCollector(queue.last))
    return exposition(folder, collectors)


class Readiness:
    """What `/readyz` tells. A replica that has just been made counts when the workers have had time to open it."""

    def __init__(self, settings: Settings, keyer: Keyer) -> None:
        self._settings = settings
        self._keyer = keyer
        self._was_ready = False

    def missing(self) -> list[str]:
        """What keeps the gate from being ready: the store, the milter."""
        milter = probe(self._settings.milter.socket)
        missing = [*self._store(), milter] if milter else self._store()
        self._was_ready = self._was_ready or not missing
        return missing

    def _store(self) -> list[str]:
        now, most = time.time(), self._settings.store.max_staleness
        try:
            _figures(self._settings, self._keyer)
        except StoreError as error:
            return [f"store: {error}"]
        age = stores.age(self._settings, now)
        if age > most:
            return [f"store: the replica is {age:.0f} s old, more than store.max_staleness allows"]
        made_at = stores.replica_folder(self._settings).switched_at() if stores.shared(self._settings) else 0.0
        if not self._was_ready and now < made_at + OPENED_WITHIN_SECONDS:
            return ["store: the replica is new, and the workers are opening it"]
        return []


def look_after_lists(control: int, settings: Settings, keyer: Keyer, metrics: Metrics) -> None:
    """Delete expired entries every `store.sweep_every` seconds, and tell of every change of the lists, until the
    control pipe ends."""
    next_sweep = 0.0
    known: tuple[int, dict[str, int]] | None = None
    while True:
        with suppress(StoreError):  # the workers tell, and the sweep does
            known = _tell_changes(known, settings, keyer)
        if time.monotonic() >= next_sweep:
            next_sweep = time.monotonic() + settings.store.sweep_every
            try:
                _sweep(settings, metrics)
            except StoreError as error:
                if not stores.shared(settings):  # the follower tells of a shared origin that is away
                    events.store_unavailable("sweep", error)
        if select.select([control], [], [], WATCH_EVERY_SECONDS)[0]:
            return


def _tell_changes(
    known: tuple[int, dict[str, int]] | None, settings: Settings, keyer: Keyer
) -> tuple[int, dict[str, int]]:
    """Compare the store's position and its lists to what is known, and log the difference."""
    with closing(stores.open_served(settings, keyer)) as replica:
        position, lists = replica.position(), _by_list(replica.count())
    if known is not None and known[0] != position:
        names = sorted({*known[1], *lists})
        changed = {name: lists.get(name, 0) - known[1].get(name, 0) for name in names}
        events.lists_changed(position, position - known[0], {name: by for name, by in changed.items() if by})
    return position, lists


def _by_list(counts: Mapping[Label, int]) -> dict[str, int]:
    lists: Counter[str] = Counter()
    for label, count in counts.items():
        lists[label.list] += count
    return dict(lists)


def _figures(settings: Settings, keyer: Keyer) -> StoreFigures:
    entries: Counter[str] = Counter()
    with _one_at_a_time, closing(stores.open_served(settings, keyer)) as replica:
        for label, count in replica.count().items():
            entries[label.reason.value] += count
        age = stores.age(settings, time.time())
        return StoreFigures(entries, age_seconds=age, changes=replica.position(), kept=replica.kept())


def follow(control: int, settings: Settings, metrics: FollowMetrics) -> None:
    """Keep this pod's replica in step with the shared origin, until the control pipe ends."""
    plan = FollowPlan(
        connect=lambda: stores.connect(settings),
        folder=stores.replica_folder(settings),
        secret=stores.keyer(settings).secrets,
        max_size=settings.store.max_size,
        spread=settings.store.resync_spread,
        audit=settings.store.audit,
    )
    Follower(plan, metrics).run(lambda seconds: bool(select.select([control], [], [], seconds)[0]))


def _sweep(settings: Settings, metrics: Metrics) -> None:
    with stores.open_origin(settings, create=False) as origin:
        swept = origin.sweep(time.time())
    if swept:
        metrics.swept(swept)
        events.entries_swept(swept)
