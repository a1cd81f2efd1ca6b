"""Whether the origin's changes follow on what a replica has. A shard's changes form a chain: each names the one before.

In: marks of a replica, and the shards. Out: for each shard whose chain does not fit, the cause.
Refused: `StoreError`s of the connection.

    gap          changes were trimmed before they were read; the origin has all that there is
    lost_writes  the origin was set back: restored, or taken over by a server that lacked the last writes
    new_epoch    the shard was wiped and made again, or is gone
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sendgate.store.shards import Mark, Shards
from sendgate.store.tail import ChangeRecord, read_changes


class Cause(StrEnum):
    """Why lists are copied."""

    BOOTSTRAP = "bootstrap"
    GAP = "gap"
    LOST_WRITES = "lost_writes"
    NEW_EPOCH = "new_epoch"


LOSSES = (Cause.LOST_WRITES, Cause.NEW_EPOCH)
"""What leaves the origin without entries that it had."""


class BrokenChainError(Exception):
    """Changes do not follow on what we have; `causes` by shard."""

    def __init__(self, causes: Mapping[int, Cause]) -> None:
        super().__init__(", ".join(f"shard {shard}: {cause}" for shard, cause in causes.items()))
        self.causes = dict(causes)


def compare(there: Mark, ours: Mark) -> Cause | None:
    """What a shard's mark at the origin says of ours, when it can be told from the marks alone."""
    if there.epoch != ours.epoch:
        return Cause.NEW_EPOCH
    return Cause.LOST_WRITES if _order(there.last) < _order(ours.last) else None


def behind(shard: int, mark: Mark, record: ChangeRecord) -> Mark:
    """The mark behind a record. Raises BrokenChainError when the record does not follow on the mark."""
    if record.previous != mark.last:
        cause = Cause.GAP if _order(record.previous) > _order(mark.last) else Cause.LOST_WRITES
        raise BrokenChainError({shard: cause})
    return Mark(mark.epoch, record.id, record.sequence, record.secret or mark.secret)


def is_reached(last: bytes, wanted: bytes) -> bool:
    """Whether one position is at or behind another."""
    return _order(last) >= _order(wanted)


def diagnose(shards: Shards, marks: Mapping[int, Mark]) -> dict[int, Cause]:
    """Look at every shard at the origin: those that do not go on from these marks, and why."""
    causes = {}
    for shard, there in shards.marks_of(list(marks)).items():
        ours = marks[shard]
        cause = Cause.NEW_EPOCH if there is None else compare(there, ours) or _first(shards, shard, ours)
        if cause is not None:
            causes[shard] = cause
    return causes


def _first(shards: Shards, shard: int, mark: Mark) -> Cause | None:
    """What the first change behind a mark says of it."""
    for record in read_changes(shards, {shard: mark.last}, 0).get(shard, [])[:1]:
        try:
            behind(shard, mark, record)
        except BrokenChainError as error:
            return error.causes[shard]
    return None


def _order(change_id: bytes) -> tuple[int, ...]:
    """A stream's id as what it is ordered by."""
    return tuple(map(int, change_id.split(b"-")))
