"""Growth: what a lookup costs as the list grows, and what an entry takes on disk.

In: a scale. Out: CPU time of Replica.lookup for addresses from the whole key space, half of them listed, by size of
the list, in turn; bytes an entry of the `keys` database, which is what the gate reads, and of the whole file.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import lmdb

from bench import lists, places
from bench.report import Report, Target, progress
from bench.scale import Scale
from sendgate.address import Address, parse
from sendgate.keys import Keyer
from sendgate.store.replica import Replica, open_replica

LOOKUPS = 100_000
ROUNDS = 7
GROWTH_LIMIT = 1.3
OCTETS_LIMIT = 64
_BLOCK_OCTETS = 1 << 24


def run(scale: Scale) -> Report:
    report = Report(
        "growth",
        "Growth of the list",
        ("entries", "lookup, µs", "ratio to the first", "keys, bytes an entry", "whole file, bytes an entry"),
        notes=[
            f"Median of {ROUNDS} rounds of {LOOKUPS:,} lookups in shuffled order, half of them of listed addresses."
        ],
    )
    with ExitStack() as stack:
        folder = stack.enter_context(places.folder())
        stores = [_make(folder / str(size), size) for size in scale.growth]
        octets = [octets_an_entry(store, size) for store, size in zip(stores, scale.growth, strict=True)]
        replicas = [open_replica(store, Keyer(), lists.MAX_SIZE) for store in stores]
        for replica in replicas:
            stack.callback(replica.close)
        seconds = measure(replicas, scale.growth)
    for size, spent, both in zip(scale.growth, seconds, octets, strict=True):
        _add(report, size, spent, spent / seconds[0], both)
    report.targets.append(Target("lookup, last size to first", seconds[-1] / seconds[0], GROWTH_LIMIT))
    report.targets.append(Target("keys, bytes an entry at the last size", octets[-1][0], OCTETS_LIMIT))
    return report


def _make(store: Path, size: int) -> Path:
    progress(f"growth: a list of {size:,} entries")
    return lists.fill(store, size)


def octets_an_entry(store: Path, size: int) -> tuple[float, float]:
    """Of the keys' pages and of the whole file. Reads the file once, so that it is in memory from then on."""
    with lmdb.open(str(store), readonly=True, max_dbs=16, lock=False) as environment:
        keys = environment.open_db(b"keys", create=False)
        with environment.begin() as txn:
            stat = txn.stat(keys)
    pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    file = store / "data.mdb"
    with file.open("rb") as content:
        while content.read(_BLOCK_OCTETS):
            pass
    return pages * stat["psize"] / size, file.stat().st_size / size


def measure(replicas: list[Replica], sizes: tuple[int, ...]) -> list[float]:
    """Median CPU seconds of a lookup in each replica; all take turns."""
    spent: list[list[float]] = [[] for _ in replicas]
    for number in range(ROUNDS + 1):
        progress(f"growth: round {number} of {ROUNDS}")
        for replica, size, times in zip(replicas, sizes, spent, strict=True):
            addresses = [parse(text) for text in lists.sample(LOOKUPS, size, 0.5, seed=number)]
            seconds = _look_up(replica, addresses)
            if number:  # the first round only warms up
                times.append(seconds / LOOKUPS)
    return [median(times) for times in spent]


def _look_up(replica: Replica, addresses: list[Address]) -> float:
    lookup = replica.lookup
    started = time.process_time()
    hits = sum(1 for address in addresses if lookup(address))
    seconds = time.process_time() - started
    if hits != len(addresses) // 2:
        raise RuntimeError(f"{hits} of {len(addresses)} addresses were found, not half of them")
    return seconds


def _add(report: Report, size: int, seconds: float, ratio: float, octets: tuple[float, float]) -> None:
    report.rows.append((f"{size:,}", f"{seconds * 1e6:.2f}", f"{ratio:.2f}", f"{octets[0]:.1f}", f"{octets[1]:.1f}"))
    report.figures |= {
        f"{size}: lookup, µs": seconds * 1e6,
        f"{size}: ratio": ratio,
        f"{size}: keys, bytes an entry": octets[0],
        f"{size}: file, bytes an entry": octets[1],
    }
