"""A new replica from the origin, made beside the one that is served.

In: the shards, a fresh folder, the replica that there was and the shards whose history the origin has lost.
Out: a complete store on disk, with the marks from before the copy. Refused: `StoreError`s; `OriginLostError` when a
shard is replaced while it is copied.

What is changed during the copy comes again with the changes behind the marks: rows say how an entry is, so taking one
in twice does no harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sendgate.store.environment import Environment, Transaction
from sendgate.store.layout import KEY_OCTETS, ROW_OCTETS, label_id
from sendgate.store.record import NUMBER, RECORD, Label, unpack_label
from sendgate.store.replica_writer import ReplicaWriter, row_of
from sendgate.store.shards import NOWHERE, Shards

Progress = Callable[[int, int], None]

_ROWS_A_TRANSACTION = 100_000
_AHEAD = 2


class Previous(NamedTuple):
    """The replica that there was, and the shards of whose entries the origin may have lost some."""

    environment: Environment
    lost: Collection[int]


def copy_lists(
    shards: Shards, folder: Path, secret: bytes, max_size: int, previous: Previous | None, progress: Progress
) -> None:
    """Fill a new replica in a folder. progress: called with entries so far and entries in all."""
    marks = {shard: mark or NOWHERE for shard, mark in enumerate(shards.look())}
    with closing(Environment(folder, max_size, secret, write=True, create=True, durable=False)) as environment:
        copied = _copy(shards, environment, progress)
        if previous is not None:
            # An empty origin never empties a replica.
            lost = previous.lost if copied else range(shards.layout.shards)
            _keep_lost(shards, environment, previous._replace(lost=lost))
        for shard, mark in shards.marks_of(list(marks)).items():
            if (mark or NOWHERE).epoch != marks[shard].epoch:
                raise shards.lost(shard)
        with environment.begin(write=True) as txn:
            writer = ReplicaWriter(txn, environment, _no_label)
            writer.set_marks(marks)
            writer.set_position(sum(mark.sequence for mark in marks.values()))
            writer.finish()
        environment.flush()


def _copy(shards: Shards, environment: Environment, progress: Progress) -> int:
    """Copy all rows, in the order of their keys. Returns how many there were."""
    entries = sum(count for _, _, count in shards.counts())
    copied = 0
    for batch in _batches(shards, entries):
        with environment.begin(write=True) as txn:
            for shard, rows in batch:
                writer = ReplicaWriter(txn, environment, partial(shards.label, shard))
                writer.add_new(rows)
                writer.finish()
                copied += len(rows)
        progress(copied, max(entries, copied))
    return copied


def _batches(shards: Shards, entries: int) -> Iterator[list[tuple[int, list[bytes]]]]:
    """Sorted rows by shard, as many as go into one transaction."""
    batch: dict[int, list[bytes]] = {}
    size = 0
    for shard, packed in _fetched(shards, entries):
        rows = sorted(packed[at : at + ROW_OCTETS] for at in range(0, len(packed), ROW_OCTETS))
        batch.setdefault(shard, []).extend(rows)
        size += len(rows)
        if size >= _ROWS_A_TRANSACTION:
            yield list(batch.items())
            batch, size = {}, 0
    yield list(batch.items())


def _fetched(shards: Shards, entries: int) -> Iterator[tuple[int, bytes]]:
    """Packed rows, range by range; while some are worked on, the next are on their way."""
    ahead: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(1, "copy") as pool:
        try:
            for shard, buckets in shards.ranges(entries):
                ahead.append((shard, pool.submit(shards.packed_rows, shard, buckets)))
                if len(ahead) > _AHEAD:
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _keep_lost(shards: Shards, environment: Environment, previous: Previous) -> None:
    """Take over what only the previous replica has: of shards that lost entries, and what it kept already."""
    last = b""
    while True:
        with environment.begin(write=True) as txn, previous.environment.begin() as old:
            labels = _labels(old, previous.environment)
            by_id = {label_id(label): label for label in labels.values()}
            ids = {number: label_id(label) for number, label in labels.items()}
            writer = ReplicaWriter(txn, environment, by_id.__getitem__)
            done = 0
            with old.cursor(db=previous.environment.databases["keys"]) as cursor:
                if not cursor.set_range(last):
                    return
                for key, records in cursor:
                    if done == _ROWS_A_TRANSACTION:
                        break
                    done += 1
                    for row in _rows_at(key, records, ids):
                        kept = old.get(row[: KEY_OCTETS + 8], db=previous.environment.databases["entries"])
                        if kept is not None or shards.layout.shard_of(key) in previous.lost:
                            writer.restore(row)
                else:
                    writer.finish()
                    return
            last = key
            writer.finish()


def _rows_at(key: bytes, records: bytes, ids: dict[int, bytes]) -> Iterator[bytes]:
    for at in range(0, len(records), RECORD.size):
        record = records[at : at + RECORD.size]
        yield row_of(key, ids[NUMBER.unpack_from(record)[0]], record)


def _labels(txn: Transaction, environment: Environment) -> dict[int, Label]:
    stored = txn.cursor(db=environment.databases["labels"])
    return {NUMBER.unpack(number)[0]: unpack_label(text) for number, text in stored}


def _no_label(label: bytes) -> Label:
    raise KeyError(label)
