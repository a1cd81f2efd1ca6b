"""Whether the shards have as many entries as they count, and counts put right.

In: the shards. Out: the shards that lack entries; what each counts and has, and its counts as they should be.
Refused: `StoreError`s; `ShardBusyError` for a shard that never stands still; `OriginLackingError` for a copy.

A shard counts its entries in the script that changes them. One that has fewer than it counts has lost some behind our
back: Redis has evicted them, or somebody has deleted them by hand. The count never hears of it, and stays too high
when they are added again, until it is put right here. One that has more than it counts has lost its counts, and nobody
knows what else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import Struct
from typing import NamedTuple

from sendgate.store.errors import OriginLostError, StoreError
from sendgate.store.layout import KEY_OCTETS, LABEL_ID_OCTETS, ROW_OCTETS
from sendgate.store.shards import Mark, Shards
from sendgate.store.tail import read_changes

Progress = Callable[[str, int, int], None]

_TRIES = 50
_SORT = Struct(f"{KEY_OCTETS}x{LABEL_ID_OCTETS}s{ROW_OCTETS - KEY_OCTETS - LABEL_ID_OCTETS - 1}xc")
"""The label id and the kind of a row."""


class ShardBusyError(StoreError):
    """A shard cannot be counted, because others change it all the time."""


class Lack(NamedTuple):
    """Shards that lack entries: how many they count, how many were found, and their marks before."""

    counted: int
    found: int
    before: Mapping[int, Mark]


class OriginLackingError(OriginLostError):
    """The origin does not have the entries that it counts, and nobody here knows the others."""

    def __init__(self, shards: Shards, lacks: Sequence[Lack]) -> None:
        first, *others = lacks
        lost = "entries" if first.found < first.counted else "counts, and perhaps entries"
        which = f"the shards have lost {lost}: they count"
        if len(first.before) == 1:
            which = f"shard {min(first.before)} of {shards.layout.shards} has lost {lost}: it counts"
        more = f", and {len(others)} more shards likewise" if others else ""
        super().__init__(
            f"{shards.client.place}: {which} {first.counted:,}, and {first.found:,} were found{more}; "
            "`sendgate repair --from-replica` in a pod that still has them writes them back, "
            "`sendgate repair --recount` takes what is there for all"
        )
        self.lacks = lacks


def lacking(shards: Shards, before: Mapping[int, Mark], found: int) -> Lack | None:
    """Whether shards surely have other entries than they count.

    before: their marks before they were read; found: how many entries they had. Each change raises a sequence, so that
    as many entries as these rose may have come or gone since. Shards that were set back or made anew are not judged.
    """
    counted = _counted(shards, list(before))
    changes = 0
    for shard, after in shards.marks_of(list(before)).items():  # after the counts: no change is in these alone
        if after is None or after.epoch != before[shard].epoch or after.sequence < before[shard].sequence:
            return None
        changes += after.sequence - before[shard].sequence
    return Lack(counted, found, before) if abs(counted - found) > changes else None


class Recounted(NamedTuple):
    """How many entries a shard counted, and how many it has."""

    shard: int
    counted: int
    found: int


class ShardCount:
    """The entries of one shard by label and kind, counted while others may write: what they change, once more."""

    def __init__(self, shards: Shards, shard: int, step: int) -> None:
        self.shard = shard
        self._shards = shards
        self._firsts = range(0, shards.layout.buckets, step)
        self._mark = self._look()
        self._ranges: dict[int, Counter[bytes]] = {}
        self._counted: dict[bytes, int] = {}

    def read(self) -> None:
        """Count all of it; what is changed meanwhile is seen to by `settle`."""
        self._read(self._firsts)

    def settle(self) -> None:
        """Have what was counted, and what the shard says that it counts, be of one moment. Raises ShardBusyError."""
        for _ in range(_TRIES):
            self._counted = self._shards.counted([self.shard])[self.shard]
            now = self._look()
            if (now.epoch, now.last) == (self._mark.epoch, self._mark.last):
                return
            touched = self._touched(now)
            self._mark = now
            self._read(touched)
        raise self._busy()

    def put_right(self) -> Recounted | None:
        """Put the counts right. Returns what was wrong; None when nothing was. Raises ShardBusyError."""
        for _ in range(_TRIES):
            self.settle()
            wrong = self.wrong()
            if wrong is None or self._shards.set_counts(self.shard, self._mark, self._found()):
                return wrong
        raise self._busy()

    def wrong(self) -> Recounted | None:
        """What is wrong with the counts, when it was settled; None if nothing is."""
        found = self._found()
        if found == self._counted:
            return None
        return Recounted(self.shard, sum(self._counted.values()), found.total())

    def missing(self) -> int:
        """How many more entries of some label and kind are counted than there are, when it was settled."""
        found = self._found()
        return sum(max(0, count - found[name]) for name, count in self._counted.items())

    def _found(self) -> Counter[bytes]:
        return sum(self._ranges.values(), Counter())

    def _read(self, firsts: Iterable[int]) -> None:
        for first in firsts:
            buckets = range(first, min(first + self._firsts.step, self._firsts.stop))
            sorts = Counter(_SORT.iter_unpack(self._shards.packed_rows(self.shard, buckets)))
            self._ranges[first] = Counter({label + kind: count for (label, kind), count in sorts.items()})

    def _touched(self, now: Mark) -> Iterable[int]:
        """Where the changes from our mark to another are: the first bucket of each range; all when nobody knows."""
        position, touched = self._mark.last, set[int]()
        if now.epoch != self._mark.epoch:
            return self._firsts
        while position != now.last:
            records = read_changes(self._shards, {self.shard: position}, 0).get(self.shard, [])
            if not records or records[0].previous != position:
                return self._firsts
            for record in records:
                rows = record.rows
                touched |= {self._first(rows[at : at + ROW_OCTETS]) for at in range(0, len(rows), ROW_OCTETS)}
                position = record.id
                if position == now.last:
                    break
        return touched

    def _first(self, row: bytes) -> int:
        bucket = self._shards.layout.bucket_of(row)
        return bucket - bucket % self._firsts.step

    def _look(self) -> Mark:
        mark = self._shards.marks_of([self.shard])[self.shard]
        if mark is None:
            raise self._shards.lost(self.shard)
        return mark

    def _busy(self) -> ShardBusyError:
        return ShardBusyError(
            f"{self._shards.client.place}: shard {self.shard} cannot be counted, as others change it all the time; "
            "try again when they (an import?) have ended"
        )


def recount(counts: Iterable[ShardCount]) -> list[Recounted]:
    """Put the counts of shards right. Returns what was wrong."""
    return [wrong for count in counts if (wrong := count.put_right())]


def count_all(shards: Shards, progress: Progress) -> list[ShardCount]:
    """Count all shards that are there."""
    step = shards.step(_counted(shards, range(shards.layout.shards)))
    there = [shard for shard, mark in enumerate(shards.look()) if mark is not None]
    counts = []
    for number, shard in enumerate(there, 1):
        count = ShardCount(shards, shard, step)
        count.read()
        counts.append(count)
        progress("counting", number, len(there))
    return counts


def _counted(shards: Shards, which: Sequence[int]) -> int:
    """How many entries some shards count together."""
    return sum(sum(counts.values()) for counts in shards.counted(which).values())
