"""Buckets: what an entry takes in Redis, in memory and in time, by how many there are in a bucket.

In: a scale. Out: bytes and CPU time an entry for buckets of several sizes, with Redis's defaults and with those that
suit large lists; and what a few entries with long notes do to the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import NamedTuple

from bench import lists, places
from bench.origin import SETTINGS, open_lists
from bench.pods import entry
from bench.processes import cpu_seconds
from bench.report import Report, progress
from bench.scale import Scale
from sendgate.entry import Add, Entry, Remove, Subject, parse_subject
from sendgate.keys import Keyer
from sendgate.store.origin import LoadOptions
from sendgate.store.shared import SharedOrigin
from trial.redis_server import RedisServer

NOTE = "5.1.1 The email account that you tried to reach does not exist. " * 2
NOTED_EVERY = 50
SINGLE_CHANGES = 2_000
_OTHERS = 1_000_000_000


class Case(NamedTuple):
    """So many entries a bucket, about; some with notes or none; lines of redis.conf."""

    entries: float
    noted: bool = False
    extra: tuple[str, ...] = ()


CASES = (
    Case(4),
    Case(30),
    Case(120),
    Case(480),
    Case(960),
    Case(960, extra=("hash-max-listpack-entries 2048",)),
    Case(30, noted=True),
    Case(30, noted=True, extra=("hash-max-listpack-value 1024",)),
)


def run(scale: Scale) -> Report:
    size = scale.list_size
    report = Report(
        "buckets",
        f"Buckets in Redis, {size:,} entries in all",
        ("entries a bucket", "redis.conf", "notes", "bytes an entry", "import, µs of CPU", "a change, µs of CPU"),
        notes=[
            "Bytes without the stream of changes. CPU is Redis's, for an entry of a mass import and for one addition "
            "or removal. Redis's defaults are 512 entries of up to 64 octets.",
            f"Notes: one entry in {NOTED_EVERY} has one of {len(NOTE)} octets.",
        ],
    )
    for case in CASES:
        progress(f"buckets: {case.entries:g} entries a bucket {' '.join(case.extra)}")
        _measure(report, size, case)
    return report


def _measure(report: Report, size: int, case: Case) -> None:
    buckets = 1
    while size / SETTINGS.shards / buckets > case.entries * 2**0.5:
        buckets *= 2
    with ExitStack() as stack:
        folder = stack.enter_context(places.folder())
        server = stack.enter_context(RedisServer(folder / "redis", extra=case.extra))
        before = used(server)
        shards = open_lists(server.url, buckets)
        origin = stack.enter_context(closing(SharedOrigin(shards, Keyer())))
        imported = cpu_seconds([server.pid])
        origin.load(_rows(size, case.noted), LoadOptions(), lambda *_: None)
        imported = (cpu_seconds([server.pid]) - imported) / size
        changes = sum(shards.client.memory_of(names.changes) for names in shards.names)
        octets = (used(server) - before - changes) / size
        changed = cpu_seconds([server.pid])
        for number in range(SINGLE_CHANGES // 2):
            address = lists.address(_OTHERS + number)
            origin.apply([Add(entry(address))])
            origin.apply([Remove(parse_subject(address))])
        changed = (cpu_seconds([server.pid]) - changed) / SINGLE_CHANGES
    fill = size / SETTINGS.shards / buckets
    words = (" ".join(case.extra) or "defaults", "some" if case.noted else "none")
    report.rows.append((f"{fill:.0f}", *words, f"{octets:.1f}", f"{imported * 1e6:.1f}", f"{changed * 1e6:.0f}"))
    shape = f"{fill:.0f} a bucket, {words[0]}, {words[1]} notes"
    report.figures |= {
        f"{shape}: bytes an entry": octets,
        f"{shape}: import, µs": imported * 1e6,
        f"{shape}: a change, µs": changed * 1e6,
    }


def used(server: RedisServer) -> int:
    """Octets that a server has given to its data."""
    return int(server.client.info("memory")["used_memory"])


def _rows(count: int, noted: bool) -> Iterator[tuple[Subject, Entry]]:
    with_note: Entry | None = None
    for number, (subject, like) in enumerate(lists.rows(count)):
        with_note = with_note or replace(like, note=NOTE)
        yield subject, with_note if noted and not number % NOTED_EVERY else like
