"""Replicas: what a lookup costs in a pod's replica as the lists grow, and what an entry takes on its disk.

In: a scale. Out: by size, CPU time of Replica.lookup as in `growth`; bytes an entry; rows written a second, without an
origin.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from bench import growth, lists, places
from bench.report import Report, Target, progress
from bench.scale import Scale
from sendgate.entry import Reason, Scope
from sendgate.keys import Keyer
from sendgate.store.environment import Environment
from sendgate.store.layout import label_id
from sendgate.store.record import Label
from sendgate.store.replica import open_replica
from sendgate.store.replica_writer import ReplicaWriter

_LABEL = Label(Reason.HARD_BOUNCE, Scope(), "default", False)
_PARTS = 256


def run(scale: Scale) -> Report:
    report = Report(
        "replica",
        "A pod's replica",
        ("entries", "rows written/s", "lookup, µs", "ratio to the first", "file, bytes an entry"),
        notes=[f"Median of {growth.ROUNDS} rounds of {growth.LOOKUPS:,} lookups, half of them of listed addresses."],
    )
    with ExitStack() as stack:
        folder = stack.enter_context(places.folder())
        stores = [folder / str(size) for size in scale.growth]
        rates = [_make(store, size) for store, size in zip(stores, scale.growth, strict=True)]
        octets = [growth.octets_an_entry(store, size)[1] for store, size in zip(stores, scale.growth, strict=True)]
        replicas = [stack.enter_context(closing(open_replica(store, Keyer(), lists.MAX_SIZE))) for store in stores]
        seconds = growth.measure(replicas, scale.growth)
    for size, rate, spent, each in zip(scale.growth, rates, seconds, octets, strict=True):
        ratio = spent / seconds[0]
        report.rows.append((f"{size:,}", f"{rate:,.0f}", f"{spent * 1e6:.2f}", f"{ratio:.2f}", f"{each:.1f}"))
        report.figures |= {
            f"{size}: rows written/s": rate,
            f"{size}: lookup, µs": spent * 1e6,
            f"{size}: ratio": ratio,
            f"{size}: file, bytes an entry": each,
        }
    report.targets.append(Target("lookup, last size to first", seconds[-1] / seconds[0], growth.GROWTH_LIMIT))
    report.targets.append(Target("file, bytes an entry at the last size", octets[-1], growth.OCTETS_LIMIT))
    return report


def _make(folder: Path, size: int) -> float:
    """Write a replica with the first `size` addresses. Returns rows a second, of the writing alone."""
    progress(f"replica: {size:,} entries")
    seconds = 0.0
    with closing(Environment(folder, lists.MAX_SIZE, b"", write=True, create=True, durable=False)) as environment:
        for rows in _sorted_rows(size):
            started = time.perf_counter()
            with environment.begin(write=True) as txn:
                writer = ReplicaWriter(txn, environment, lambda _: _LABEL)
                writer.add_new(rows)
                writer.finish()
            seconds += time.perf_counter() - started
        environment.flush()
    return size / seconds


def _sorted_rows(size: int) -> Iterator[list[bytes]]:
    """All rows, in the order of their keys, in parts."""
    key_of = Keyer().key
    parts = [bytearray() for _ in range(_PARTS)]
    for number in range(size):
        key = key_of(lists.address(number))
        parts[key[0]] += key
    rest = label_id(_LABEL) + int(time.time()).to_bytes(4, "big") + b"\0\0\0\0\3\1\0"
    for keys in parts:
        yield sorted([bytes(keys[at : at + 16]) + rest for at in range(0, len(keys), 16)])
