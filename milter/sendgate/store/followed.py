"""A replica that takes in the changes of its origin, and knows how far it is.

In: an open store, what `tail` reads. Out: the store changed, one transaction for each item.
Refused: `BrokenChainError` when changes do not follow on what there is; `OriginLostError` when a shard is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from types import TracebackType

from sendgate.store.chain import BrokenChainError, behind, compare, is_reached
from sendgate.store.environment import Environment
from sendgate.store.replica import read_counts
from sendgate.store.replica_writer import ReplicaWriter, count_kept, read_marks
from sendgate.store.shards import NOWHERE, Mark, Shards
from sendgate.store.tail import Changes, Looked


class FollowedReplica:
    """An open replica. Closed at the end of a `with`."""

    def __init__(self, environment: Environment, shards: Shards) -> None:
        self.environment = environment
        self.folder = environment.folder
        self._shards = shards
        with environment.begin() as txn:
            known = read_marks(txn, environment, shards.layout.shards)
        self.marks = [mark or NOWHERE for mark in known]
        self._asked: dict[int, tuple[float, bytes]] = {}
        self._in_step: dict[int, float] = {}

    def take_in(self, changes: Changes) -> None:
        """Apply changes. Raises BrokenChainError, and then nothing has changed."""
        marks: dict[int, Mark] = {}
        with self.environment.begin(write=True) as txn:
            for shard, records in changes.by_shard.items():
                writer = ReplicaWriter(txn, self.environment, partial(self._shards.label, shard))
                mark = self.marks[shard]
                for record in records:
                    mark = behind(shard, mark, record)
                    writer.apply(record.rows)
                marks[shard] = mark
                writer.set_marks({shard: mark})
                writer.set_position(self._position(marks))
                writer.finish()
        for shard, mark in marks.items():
            self.marks[shard] = mark
            self._note_step(shard)

    def compare(self, there: Mapping[int, Mark | None]) -> None:
        """See whether the origin still has what we have. Raises BrokenChainError."""
        causes = {}
        for shard, mark in there.items():
            cause = compare(mark, self.marks[shard]) if mark is not None else None
            if cause is not None:
                causes[shard] = cause
        if causes:
            raise BrokenChainError(causes)

    def note(self, looked: Looked) -> None:
        """Remember until when each shard is in step once its changes up to what was seen are taken in."""
        for shard, mark in looked.marks.items():
            if mark is None:
                raise self._shards.lost(shard)
            if shard not in self._asked or self._is_reached(shard):
                self._asked[shard] = (looked.at, mark.last)
            self._note_step(shard)

    def in_step_at(self, gone: Collection[int]) -> float | None:
        """Unix time at which the replica had all that the origin had, of the oldest shard; None if it never did."""
        if gone or len(self._in_step) < self._shards.layout.shards:
            return None
        return min(self._in_step.values())

    def marks_but(self, gone: Collection[int]) -> dict[int, Mark]:
        """Where to go on in each shard that is there."""
        return {shard: mark for shard, mark in enumerate(self.marks) if shard not in gone}

    def figures(self) -> tuple[int, int]:
        """How many entries there are, and how many of them the origin has lost."""
        with self.environment.begin() as txn:
            return sum(read_counts(txn, self.environment).values()), count_kept(txn, self.environment)

    def __enter__(self) -> FollowedReplica:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.environment.close()

    def _position(self, newer: Mapping[int, Mark]) -> int:
        return sum(newer.get(shard, mark).sequence for shard, mark in enumerate(self.marks))

    def _note_step(self, shard: int) -> None:
        if shard in self._asked and self._is_reached(shard):
            self._in_step[shard] = max(self._asked[shard][0], self._in_step.get(shard, 0.0))

    def _is_reached(self, shard: int) -> bool:
        return is_reached(self.marks[shard].last, self._asked[shard][1])
