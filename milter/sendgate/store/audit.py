"""Comparing a replica to its origin, range by range, to find what nobody told: silent divergence.

In: a replica that follows, the shards. Out: the replica mended, and what was amiss.
Refused: `StoreError`s.

Redis sums up a range of buckets, the replica the same range of its own; where they differ, the rows are fetched and
taken in. What only the replica has is kept, as after any loss: a bucket that vanished releases nobody. A range is
compared only while the shard stands still, so that what is just on its way is no difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sendgate.store.environment import Transaction
from sendgate.store.followed import FollowedReplica
from sendgate.store.layout import FIELD_OCTETS, ROW_OCTETS, label_id
from sendgate.store.record import NUMBER, RECORD, Label
from sendgate.store.replica import read_label
from sendgate.store.replica_writer import ReplicaWriter, row_of
from sendgate.store.shards import Shards

_MODULUS = 2**48
_PATIENCE = 20
"""So often a range is tried again when its shard does not stand still; then the next one is compared."""
_RANGES_AT_ONCE = 10


class Divergence(NamedTuple):
    """What was amiss in a range: entries that the replica had not, or otherwise; and that the origin had not."""

    shard: int
    taken_in: int
    kept: int


class Audit:
    """Compares one replica, all of it once in `period_seconds`; 0 is never."""

    def __init__(
        self, replica: FollowedReplica, shards: Shards, period_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._replica = replica
        self._shards = shards
        self._period = period_seconds
        self._clock = clock
        self._left: list[tuple[int, range]] = []
        self._every = 0.0
        self._next = clock()
        self._tries = 0
        self._ids: dict[bytes, bytes] = {}

    def go_on(self) -> Iterator[Divergence]:
        """Compare what is due. Yields what was amiss, and is mended then."""
        for _ in range(_RANGES_AT_ONCE):
            if not self._period or self._clock() < self._next:
                return
            if not self._left:
                self._begin()
            shard, buckets = self._left[-1]
            found = self._compare(shard, buckets)
            self._tries += 1
            if found is None and self._tries < _PATIENCE:
                return
            self._left.pop()
            self._tries = 0
            self._next += self._every
            if found is not None and (found.taken_in or found.kept):
                yield found

    def _begin(self) -> None:
        entries, _ = self._replica.figures()
        self._left = list(self._shards.ranges(entries))[::-1]
        self._every = self._period / len(self._left)
        self._next = self._clock()

    def _compare(self, shard: int, buckets: range) -> Divergence | None:
        """Compare a range, and mend it. None when the shard does not stand still."""
        ours = self._replica.marks[shard]
        epoch, last, count, total = self._shards.digest(shard, buckets)
        if (epoch, last) != (ours.epoch, ours.last):
            return None
        rows = self._rows(shard, buckets)
        if (count, total) == (len(rows), sum(map(_digest, rows)) % _MODULUS):
            return Divergence(shard, 0, 0)
        return self._mend(shard, buckets, set(rows))

    def _mend(self, shard: int, buckets: range, ours: set[bytes]) -> Divergence | None:
        packed = self._shards.packed_rows(shard, buckets)
        theirs = {packed[at : at + ROW_OCTETS] for at in range(0, len(packed), ROW_OCTETS)}
        now = self._shards.marks_of([shard])[shard]
        if now is None or now.last != self._replica.marks[shard].last:
            return None
        fields = {row[:FIELD_OCTETS] for row in theirs}
        missing, alone = theirs - ours, [row for row in ours if row[:FIELD_OCTETS] not in fields]
        environment = self._replica.environment
        with environment.begin(write=True) as txn:
            writer = ReplicaWriter(txn, environment, lambda known: self._shards.label(shard, known))
            writer.apply(b"".join(missing))
            for row in alone:
                writer.keep(row[:FIELD_OCTETS])
            writer.finish()
        return Divergence(shard, len(missing), len(alone))

    def _rows(self, shard: int, buckets: range) -> list[bytes]:
        """The rows of a range as the replica has them, but for those that it keeps alone."""
        layout, environment = self._shards.layout, self._replica.environment
        first, end = layout.first_key(shard, buckets.start), layout.first_key(shard, buckets.stop)
        rows: list[bytes] = []
        with environment.begin() as txn, txn.cursor(db=environment.databases["keys"]) as cursor:
            if not cursor.set_range(first):
                return rows
            for key, records in cursor:
                if key >= end:
                    break
                for at in range(0, len(records), RECORD.size):
                    record = records[at : at + RECORD.size]
                    row = row_of(key, self._id(txn, record[: NUMBER.size]), record)
                    if txn.get(row[:FIELD_OCTETS], db=environment.databases["entries"]) is None:
                        rows.append(row)
        return rows

    def _id(self, txn: Transaction, number: bytes) -> bytes:
        known = self._ids.get(number)
        if known is None:
            label: Label = read_label(txn, self._replica.environment, NUMBER.unpack(number)[0])
            known = self._ids[number] = label_id(label)
        return known


def _digest(row: bytes) -> int:
    return int.from_bytes(hashlib.sha1(row, usedforsecurity=False).digest()[:6], "big")
