"""A replica that takes in the changes of its origin, and knows how far it is.

In: an open store, what `tail` reads. Out: the store changed, one transaction for each item.
Refused: `BrokenChainError` when changes do not follow on what there is; `OriginLostError` when a shard is gone;
`WrongKeyError` when the origin has come under a secret that the settings do not name.

Each shard has a stream of its own, so changes of several come in any order. Where that matters, when an entry moves
from one shard to another, the change that takes it away says which ones it comes after.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import partial
from itertools import takewhile
from types import TracebackType

from sendgate.store.chain import BrokenChainError, behind, compare, is_reached
from sendgate.store.environment import Environment, Transaction
from sendgate.store.errors import WrongKeyError
from sendgate.store.replica import read_counts
from sendgate.store.replica_writer import ReplicaWriter, count_kept, read_marks
from sendgate.store.shards import NOWHERE, Mark, Shards, secret_of
from sendgate.store.tail import ChangeRecord, Changes, Looked, read_changes

_MOST_WAITING = 1000
"""So many changes of a shard are kept in memory while they wait for those of others."""
_LONGEST_WAIT_SECONDS = 60.0
"""After so long a change no longer waits for others that the origin does not have, because it has lost them."""


class HeldUpError(Exception):
    """Too many changes wait for others; they are to be read again, from where the replica is."""


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
        self._waiting: dict[int, list[ChangeRecord]] = {}
        self._waiting_since = 0.0
        self._there: dict[int, int] = {}

    def take_in(self, changes: Changes) -> None:
        """Apply changes, and keep back those that others have to come before.

        Raises BrokenChainError and WrongKeyError, and then nothing has changed; HeldUpError.
        """
        if not self._waiting:
            self._waiting_since = time.monotonic()
        waiting = self._waiting | {shard: self._behind_waiting(shard, new) for shard, new in changes.by_shard.items()}
        marks: dict[int, Mark] = {}
        with self.environment.begin(write=True) as txn:
            while due := self._due(waiting, marks):
                for shard, records in due.items():
                    waiting[shard] = waiting[shard][len(records) :]
                    marks[shard] = self._apply(txn, shard, records, marks)
        for shard, mark in marks.items():
            self.marks[shard] = mark
            self._note_step(shard)
        if marks:
            self._waiting_since = time.monotonic()
        self._waiting = {shard: records for shard, records in waiting.items() if records}
        if max(map(len, self._waiting.values()), default=0) > _MOST_WAITING:
            raise HeldUpError

    def catch_up(self) -> None:
        """Take in all changes up to now. Raises BrokenChainError, WrongKeyError, HeldUpError."""
        there = self._shards.marks_of(list(range(self._shards.layout.shards)))
        wanted = {shard: mark.last for shard, mark in there.items() if mark}
        while any(not is_reached(self.marks[shard].last, last) for shard, last in wanted.items()):
            for shard, mark in self._shards.marks_of(list(wanted)).items():
                ours = self.marks[shard].last
                if mark and mark.last != ours:
                    self.take_in(Changes(read_changes(self._shards, {shard: ours}, 0)))

    def compare(self, there: Mapping[int, Mark | None]) -> None:
        """See whether the origin still has what we have, and its secret. Raises BrokenChainError, WrongKeyError."""
        causes = {}
        for shard, mark in there.items():
            cause = compare(mark, self.marks[shard]) if mark is not None else None
            if cause is not None:
                causes[shard] = cause
        if causes:
            raise BrokenChainError(causes)
        self._go_with_secret([mark for mark in there.values() if mark])

    def note(self, looked: Looked) -> None:
        """Remember until when each shard is in step once its changes up to what was seen are taken in."""
        for shard, mark in looked.marks.items():
            if mark is None:
                raise self._shards.lost(shard)
            self._there[shard] = mark.sequence
            if shard not in self._asked or self._is_reached(shard):
                self._asked[shard] = (looked.at, mark.last)
            self._note_step(shard)
        if self._waiting:
            self.take_in(Changes({}))

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

    def _behind_waiting(self, shard: int, records: list[ChangeRecord]) -> list[ChangeRecord]:
        """Records behind those that wait already; in their place, when they were read again from our mark on."""
        waiting = self._waiting.get(shard, [])
        return waiting + records if waiting and records[0].previous == waiting[-1].id else records

    def _due(
        self, waiting: Mapping[int, list[ChangeRecord]], newer: Mapping[int, Mark]
    ) -> dict[int, list[ChangeRecord]]:
        """Of each shard the first records for which nothing else is waited for."""
        so_far = [newer.get(shard, mark).sequence for shard, mark in enumerate(self.marks)]

        patient = time.monotonic() - self._waiting_since < _LONGEST_WAIT_SECONDS

        def is_due(record: ChangeRecord) -> bool:
            missing = [shard for shard, sequence in record.after.items() if so_far[shard] < sequence]
            lost = [shard for shard in missing if self._there.get(shard, so_far[shard] + 1) <= so_far[shard]]
            return not missing or (not patient and missing == lost)

        due = {shard: list(takewhile(is_due, records)) for shard, records in waiting.items()}
        return {shard: records for shard, records in due.items() if records}

    def _apply(self, txn: Transaction, shard: int, records: list[ChangeRecord], newer: Mapping[int, Mark]) -> Mark:
        """Apply records of a shard. Returns the mark behind them."""
        writer = ReplicaWriter(txn, self.environment, partial(self._shards.label, shard))
        mark = newer.get(shard, self.marks[shard])
        for record in records:
            mark = behind(shard, mark, record)
            if record.secret:
                self._check_secret(record.secret)
                self.environment.set_secret(txn, record.secret)  # before entries leave: who knows only the other stops
            writer.apply(record.rows)
        writer.set_marks({shard: mark})
        writer.set_position(self._position({**newer, shard: mark}))
        writer.finish()
        return mark

    def _go_with_secret(self, there: list[Mark]) -> None:
        """Have the replica under the secret that the origin is under now. Raises WrongKeyError."""
        for mark in there:
            self._check_secret(mark.secret)
        known = secret_of(there, self.environment.accepted)
        with self.environment.begin() as txn:
            same = known == self.environment.secret(txn)
        if there and not same:
            with self.environment.begin(write=True) as txn:
                self.environment.set_secret(txn, known)

    def _check_secret(self, known: bytes) -> None:
        if known not in self.environment.accepted:
            raise WrongKeyError(self._shards.client.place, known)

    def _position(self, newer: Mapping[int, Mark]) -> int:
        return sum(newer.get(shard, mark).sequence for shard, mark in enumerate(self.marks))

    def _note_step(self, shard: int) -> None:
        if shard in self._asked and self._is_reached(shard):
            self._in_step[shard] = max(self._asked[shard][0], self._in_step.get(shard, 0.0))

    def _is_reached(self, shard: int) -> bool:
        return is_reached(self.marks[shard].last, self._asked[shard][1])
