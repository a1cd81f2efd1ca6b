"""A new replica from the origin, made beside the one that is served.

In: the shards, a fresh folder, the replica that there was.
Out: a complete store on disk, with the marks from before the copy. Refused: `StoreError`s; `OriginLostError` when the
origin loses something while it is copied; `OriginLackingError` when it has not the entries that it counts, and there is
no replica to take the others from.

What is changed during the copy comes again with the changes behind the marks: rows say how an entry is, so taking one
in twice does no harm.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path

from sendgate.keys import Secrets
from sendgate.store.chain import LOSSES, diagnose
from sendgate.store.counted import OriginLackingError, lacking
from sendgate.store.environment import Environment, Transaction
from sendgate.store.layout import KEY_OCTETS, ROW_OCTETS, label_id
from sendgate.store.record import NUMBER, RECORD, Label, unpack_label
from sendgate.store.replica_writer import ReplicaWriter, read_marks, row_of
from sendgate.store.shards import NOWHERE, Shards, secret_of

Progress = Callable[[int, int], None]

_ROWS_A_TRANSACTION = 100_000
_AHEAD = 2


def copy_lists(
    shards: Shards, folder: Path, secret: Secrets, max_size: int, previous: Environment | None, progress: Progress
) -> None:
    """Fill a new replica in a folder. progress: called with entries so far and entries in all.

    previous: the replica that there was. What only it has is kept if the origin may have lost it: in shards that are
    not what they were or lack entries, in all when the origin is empty, and what was kept before.
    """
    there = dict(enumerate(shards.look()))
    gone = [shard for shard, mark in there.items() if mark is None]
    if gone and previous is None:
        raise shards.lost(gone[0])
    marks = {shard: mark or NOWHERE for shard, mark in there.items()}
    with closing(Environment(folder, max_size, secret, write=True, create=True, durable=False)) as environment:
        copied = _copy(shards, environment, progress)
        judged = (lacking(shards, {shard: mark}, copied[shard]) for shard, mark in there.items() if mark)
        lacks = [lack for lack in judged if lack]
        if previous is not None:
            # Whatever was lost before this moment is noticed now; what is lost later, below.
            lost = {*_lost(shards, previous), *chain.from_iterable(lack.before for lack in lacks)}
            _keep_lost(shards, environment, previous, lost if copied else range(shards.layout.shards))
        elif lacks:
            raise OriginLackingError(shards, lacks)
        with environment.begin(write=True) as txn:
            environment.set_secret(txn, secret_of(marks.values(), environment.accepted))
            writer = ReplicaWriter(txn, environment, _no_label)
            writer.set_marks(marks)
            writer.set_position(sum(mark.sequence for mark in marks.values()))
            writer.finish()
        environment.flush()
    after = shards.marks_of(gone)
    broken = diagnose(shards, {shard: mark for shard, mark in marks.items() if shard not in gone})
    changed = [shard for shard, cause in broken.items() if cause in LOSSES]
    changed += [shard for shard, mark in after.items() if mark is not None]
    if changed:
        raise shards.lost(changed[0])


def _lost(shards: Shards, previous: Environment) -> list[int]:
    """The shards of which the origin has lost something since the previous replica was in step."""
    with previous.begin() as txn:
        known = read_marks(txn, previous, shards.layout.shards)
    causes = diagnose(shards, {shard: mark or NOWHERE for shard, mark in enumerate(known)})
    return [shard for shard, cause in causes.items() if cause in LOSSES]


def _copy(shards: Shards, environment: Environment, progress: Progress) -> Counter[int]:
    """Copy all rows, in the order of their keys. Returns how many each shard had."""
    entries = sum(count for _, _, count in shards.counts())
    copied: Counter[int] = Counter()
    with closing(_fetched(shards, entries)) as fetched:
        while some := _copy_some(shards, environment, fetched):
            copied += some
            progress(copied.total(), max(entries, copied.total()))
    return copied


def _copy_some(shards: Shards, environment: Environment, fetched: Iterator[tuple[int, bytes]]) -> Counter[int]:
    """Copy as many rows as go into one transaction, each range as it comes. Returns how many; none at the end."""
    copied: Counter[int] = Counter()
    current = -1
    writer: ReplicaWriter | None = None
    with environment.begin(write=True) as txn:
        for shard, packed in fetched:
            if writer is None or shard != current:
                if writer is not None:
                    writer.finish()
                writer, current = ReplicaWriter(txn, environment, partial(shards.label, shard)), shard
            rows = sorted([packed[at : at + ROW_OCTETS] for at in range(0, len(packed), ROW_OCTETS)])
            writer.add_new(rows)
            copied[shard] += len(rows)
            if copied.total() >= _ROWS_A_TRANSACTION:
                break
        if writer is not None:
            writer.finish()
    return copied


def _fetched(shards: Shards, entries: int) -> Generator[tuple[int, bytes], None, None]:
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


def _keep_lost(shards: Shards, environment: Environment, previous: Environment, lost: Collection[int]) -> None:
    """Take over what only the previous replica has: of shards that lost entries, and what it kept already."""
    last = b""
    while True:
        with environment.begin(write=True) as txn, previous.begin() as old:
            labels = _labels(old, previous)
            by_id = {label_id(label): label for label in labels.values()}
            ids = {number: label_id(label) for number, label in labels.items()}
            writer = ReplicaWriter(txn, environment, by_id.__getitem__)
            done = 0
            with old.cursor(db=previous.databases["keys"]) as cursor:
                if not cursor.set_range(last):
                    return
                for key, records in cursor:
                    if done == _ROWS_A_TRANSACTION:
                        break
                    done += 1
                    for row in _rows_at(key, records, ids):
                        kept = old.get(row[: KEY_OCTETS + 8], db=previous.databases["entries"])
                        if kept is not None or shards.layout.shard_of(key) in lost:
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
