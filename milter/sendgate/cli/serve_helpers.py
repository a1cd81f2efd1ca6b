"""What the helper processes of `serve` do, with the store and the metrics they need.

In: settings, the keyer, the metrics' folder. Out: answers for the ops server; swept entries.
Refused: nothing; a store that cannot be read is an answer too.
"""

from __future__ import annotations

import select
import time
from collections import Counter
from pathlib import Path
from threading import Lock

from sendgate import events
from sendgate.cli import stores
from sendgate.keys import Keyer
from sendgate.metrics import Metrics, StoreCollector, StoreFigures, exposition
from sendgate.ops.probe import probe
from sendgate.settings import Settings
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.errors import StoreError
from sendgate.store.replica import open_replica

_one_at_a_time = Lock()
"""LMDB refuses to open one file twice in a process, and the ops server answers in several threads."""


def ask_metrics(settings: Settings, keyer: Keyer, folder: Path) -> tuple[bytes, str]:
    """The exposition of all processes and of the store."""

    def figures() -> StoreFigures | None:
        try:
            return _figures(settings, keyer)
        except StoreError:
            return None

    return exposition(folder, [StoreCollector(figures)])


def ask_ready(settings: Settings, keyer: Keyer) -> list[str]:
    """What keeps the gate from being ready: the store, the milter."""
    missing = []
    try:
        _figures(settings, keyer)
    except StoreError as error:
        missing.append(f"store: {error}")
    milter = probe(settings.milter.socket)
    return [*missing, milter] if milter else missing


def sweep_until(control: int, settings: Settings, keyer: Keyer, folder: Path) -> None:
    """Delete expired entries every `store.sweep_every` seconds until the control pipe ends."""
    metrics = Metrics(folder, "sweep")
    failing = False
    while True:
        try:
            _sweep(settings, keyer, metrics)
            failing = False
        except StoreError as error:
            if not failing:
                events.store_unavailable("sweep", error)
            failing = True
        if select.select([control], [], [], settings.store.sweep_every)[0]:
            return


def _figures(settings: Settings, keyer: Keyer) -> StoreFigures:
    with _one_at_a_time:
        replica = open_replica(stores.folder(settings), keyer, settings.store.max_size)
        try:
            entries: Counter[str] = Counter()
            for label, count in replica.count().items():
                entries[label.reason.value] += count
            return StoreFigures(entries, age_seconds=0.0, changes=replica.position())
        finally:
            replica.close()


def _sweep(settings: Settings, keyer: Keyer, metrics: Metrics) -> None:
    origin = EmbeddedOrigin(stores.folder(settings), keyer, settings.store.max_size, create=False)
    try:
        swept = origin.sweep(time.time())
    finally:
        origin.close()
    if swept:
        metrics.swept(swept)
        events.entries_swept(swept)
