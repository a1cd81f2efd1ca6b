"""The shared origin at size: writing it, its memory, copying and following it, looking up in what was copied.

In: a scale. Out: rates and bytes by number of entries, on one Redis and one replica. The whole command is timed for
imports, the calls of the store for the rest.
Refused: RuntimeError when a step did something else than it should.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from bench import growth, imports, lists, places
from bench.buckets import used
from bench.origin import SETTINGS, open_lists, open_origin
from bench.pods import entry
from bench.processes import cpu_seconds
from bench.report import Report, Target, progress
from bench.scale import Scale
from sendgate.entry import Add, RemoveList
from sendgate.keys import Keyer
from sendgate.store.copying import copy_lists
from sendgate.store.environment import Environment
from sendgate.store.followed import FollowedReplica
from sendgate.store.origin import LoadOptions
from sendgate.store.replica import open_replica
from sendgate.store.shards import Shards
from sendgate.store.tail import Changes, Tail
from trial.gate import Gate
from trial.redis_server import RedisServer

IMPORT_LIMIT = 150_000
BOOTSTRAP_LIMIT = 250_000
REDIS_OCTETS_LIMIT = 80
REPLICA_OCTETS_LIMIT = 64
SINGLE_CHANGES = 5_000
_PART = 10
"""What is added and removed again beside the list is this part of it."""
_OTHERS = 1_000_000_000


class Figure(NamedTuple):
    """One line of the table, for one size. `digits` behind the point."""

    name: str
    value: float
    digits: int = 0


def run(scale: Scale) -> Report:
    columns = ("", *(f"{size:,} entries" for size in scale.shared_sizes))
    report = Report("shared", "The shared origin: one Redis, one replica", columns)
    by_size = [_measure(size) for size in scale.shared_sizes]
    for figures in zip(*by_size, strict=True):
        report.rows.append((figures[0].name, *(f"{figure.value:,.{figure.digits}f}" for figure in figures)))
    for size, found in zip(scale.shared_sizes, by_size, strict=True):
        report.figures |= {f"{size}: {figure.name}": figure.value for figure in found}
    last = {figure.name: figure.value for figure in by_size[-1]}
    report.targets += [
        Target("import, entries/s", last["import, entries/s"], IMPORT_LIMIT, at_least=True),
        Target("bootstrap, entries/s", last["bootstrap, entries/s"], BOOTSTRAP_LIMIT, at_least=True),
        Target("Redis, bytes an entry", last["Redis, bytes an entry"], REDIS_OCTETS_LIMIT),
        Target("replica's file, bytes an entry", last["replica's file, bytes an entry"], REPLICA_OCTETS_LIMIT),
    ]
    return report


def _measure(size: int) -> list[Figure]:
    with ExitStack() as stack:
        folder = stack.enter_context(places.folder())
        server = stack.enter_context(RedisServer(folder / "redis"))
        before = used(server)
        found = _imports(size, folder, server)
        shards = open_lists(server.url)
        stack.callback(shards.client.close)
        found += _memory(size, before, server, shards)
        found += _bootstrap(size, folder / "replica", server, shards)
        found += _lookups(size, folder)
        found += _take_in(size, folder / "replica", server, shards)
        found += _removals(size, server)
    return found


def _imports(size: int, folder: Path, server: RedisServer) -> list[Figure]:
    """`sendgate import` of a list that is new, the same again, and the same in place of itself."""
    file = lists.write(folder / "list.txt", size)
    found = []
    gate = Gate({"store": {"url": server.url}})
    try:
        for name, outcome, options in (
            ("import", "added", ()),
            ("import again", "unchanged", ()),
            ("import --replace", "unchanged", ("--replace", "--list", "default")),
        ):
            progress(f"shared: {name} of {size:,} entries")
            spent = cpu_seconds([server.pid])
            taken, told = imports.timed(gate, file, *options)
            spent = cpu_seconds([server.pid]) - spent
            if told[outcome] != size:
                raise RuntimeError(f"{name} of {size:,} entries told {told}")
            found.append(Figure(f"{name}, entries/s", size / taken.seconds))
            found.append(Figure(f"{name}, µs of Redis's CPU an entry", spent / size * 1e6, 2))
            found.append(Figure(f"{name}, own memory, MiB", taken.own / 2**20))
    finally:
        gate.remove()
    return found


def _memory(size: int, before: int, server: RedisServer, shards: Shards) -> list[Figure]:
    """What the lists take in Redis."""
    changes = sum(shards.client.memory_of(names.changes) for names in shards.names)
    return [
        Figure("Redis, bytes an entry", (used(server) - before - changes) / size, 1),
        Figure("Redis, changes, MiB", changes / 2**20),
    ]


def _bootstrap(size: int, folder: Path, server: RedisServer, shards: Shards) -> list[Figure]:
    progress(f"shared: a replica of {size:,} entries")
    spent = cpu_seconds([server.pid])
    seconds = _timed(lambda: copy_lists(shards, folder, b"", SETTINGS.max_size, None, lambda *_: None))
    spent = cpu_seconds([server.pid]) - spent
    keys, whole = growth.octets_an_entry(folder, size)
    return [
        Figure("bootstrap, s", seconds, 1),
        Figure("bootstrap, entries/s", size / seconds),
        Figure("bootstrap, µs of Redis's CPU an entry", spent / size * 1e6, 2),
        Figure("replica's keys, bytes an entry", keys, 1),
        Figure("replica's file, bytes an entry", whole, 1),
    ]


def _lookups(size: int, folder: Path) -> list[Figure]:
    """Lookup in the replica, beside an embedded store with the same entries."""
    progress(f"shared: lookups in {size:,} entries")
    stores = [lists.fill(folder / "embedded", size), folder / "replica"]
    for store in stores:
        growth.octets_an_entry(store, size)
    with ExitStack() as stack:
        replicas = [open_replica(store, Keyer(), lists.MAX_SIZE) for store in stores]
        for replica in replicas:
            stack.callback(replica.close)
        embedded, shared = growth.measure(replicas, (size, size))
    return [
        Figure("lookup in the replica, µs", shared * 1e6, 2),
        Figure("lookup, ratio to an embedded store", shared / embedded, 2),
    ]


def _take_in(size: int, folder: Path, server: RedisServer, shards: Shards) -> list[Figure]:
    """How quickly a replica that was away takes in what was changed: by an import, by changes one at a time."""
    count = size // _PART
    with closing(Environment(folder, SETTINGS.max_size, b"", write=True)) as environment:
        replica = FollowedReplica(environment, shards)
        with closing(open_origin(server.url)) as origin:
            progress(f"shared: taking in {count:,} entries of an import")
            origin.load(
                lists.rows(count, _OTHERS, list="expiring", expires=int(time.time()) + 1),
                LoadOptions(),
                lambda *_: None,
            )
            imported = _catch_up(replica, shards)
            progress(f"shared: taking in {SINGLE_CHANGES:,} changes")
            for number in range(SINGLE_CHANGES):
                origin.apply([Add(entry(lists.address(2 * _OTHERS + number)))])
            single = _catch_up(replica, shards)
    return [
        Figure("taking in an import, entries/s", count / imported),
        Figure("taking in single changes, /s", SINGLE_CHANGES / single),
    ]


def _catch_up(replica: FollowedReplica, shards: Shards) -> float:
    """Take in all that there is, as the follower does. Returns the seconds it took."""
    wanted = [mark.sequence if mark else 0 for mark in shards.look()]
    with closing(Tail(shards, replica.marks_but(()))) as tail:
        started = time.perf_counter()
        while [mark.sequence for mark in replica.marks] != wanted:
            item = tail.next(1.0)
            if isinstance(item, Changes):
                replica.take_in(item)
        return time.perf_counter() - started


def _removals(size: int, server: RedisServer) -> list[Figure]:
    """Sweeps of all entries, with and without some that have expired, and the removal of a whole list."""
    progress(f"shared: removals from {size:,} entries")
    count = size // _PART
    total = size + count + SINGLE_CHANGES
    with closing(open_origin(server.url)) as origin:
        spent = cpu_seconds([server.pid])
        sweep = _timed(lambda: _expect(count, origin.sweep(time.time() + 2)))
        spent = cpu_seconds([server.pid]) - spent
        idle = _timed(lambda: _expect(0, origin.sweep(time.time() + 2)))
        origin.load(lists.rows(count, _OTHERS, list="other"), LoadOptions(), lambda *_: None)
        remove = _timed(lambda: _expect(count, origin.apply([RemoveList("other")]).removed))
    return [
        Figure("sweep, one in eleven expired, entries/s", total / sweep),
        Figure("sweep, one in eleven expired, µs of Redis's CPU an entry", spent / total * 1e6, 2),
        Figure("sweep, nothing expired, entries/s", total / idle),
        Figure("remove --list, of one in eleven, entries/s", (total - count) / remove),
    ]


def _expect(wanted: int, found: int) -> None:
    if wanted != found:
        raise RuntimeError(f"{found:,} entries were removed, not {wanted:,}")


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
