"""Changing the secret of the embedded store: entries move from the secret before to the current one.

In: subjects. Out: what was done, as `Rekeyed`. Refused: `StoreError`s.

Each batch is one transaction, in which entries leave one place and are at the other: whatever stops it, a kill
included, each is found, and the same again does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sendgate.entry import Subject, parse_subject
from sendgate.keys import Keyer, key_text
from sendgate.store.environment import Environment, Transaction
from sendgate.store.origin import Progress, Rekeyed
from sendgate.store.record import Record, later_expiry, unpack_records
from sendgate.store.rekey import PARTS, Pairs, open_pairs, two_keyers
from sendgate.store.replica import read_counts, read_kinds
from sendgate.store.writer import Writer

_BATCH = 10_000


class EmbeddedRekey:
    """One change of the secret. dry_run: only look, for which the store may be open for reading."""

    def __init__(self, environment: Environment, keyer: Keyer, progress: Progress, *, dry_run: bool) -> None:
        self._environment = environment
        self._keyer = keyer
        self._keyers = two_keyers(keyer)
        self._progress = progress
        self._dry_run = dry_run
        self._done = Rekeyed()

    def run(self, subjects: Iterable[Subject]) -> Rekeyed:
        """Move what the subjects name. An error of their own source changes nothing."""
        done = self._done
        with self._environment.begin() as txn:
            kinds = read_kinds(txn, self._environment)
        with open_pairs(self._environment.folder, self._keyers) as pairs:
            pairs.write(subjects, kinds)
            self._change_secret()
            for batch in self._batches(pairs):
                with self._environment.begin(write=not self._dry_run) as txn:
                    self._move(txn, batch)
        with self._environment.begin() as txn:
            entries = sum(read_counts(txn, self._environment).values())
        done.unnamed = max(0, entries + (0 if self._dry_run else done.merged) - done.moved - done.already)
        return done

    def _change_secret(self) -> None:
        with self._environment.begin(write=not self._dry_run) as txn:
            self._done.changed = self._environment.active(txn, self._keyer) is not self._keyers.current
            if not self._dry_run:
                self._environment.set_secret(txn, self._keyers.current.fingerprint)

    def _batches(self, pairs: Pairs) -> Iterator[dict[bytes, bytes]]:
        batch: dict[bytes, bytes] = {}
        for part in range(PARTS):
            batch |= pairs.moves(part)
            if len(batch) >= _BATCH or part == PARTS - 1:
                yield batch
                batch = {}
                self._progress("moving", part + 1, PARTS)

    def _move(self, txn: Transaction, batch: dict[bytes, bytes]) -> None:
        mover = _Mover(txn, self._environment)
        for before, now in batch.items():
            there, coming = mover.records(now), mover.records(before)
            self._done.already += len(there)
            self._done.moved += len(coming)
            self._done.merged += len({record.label for record in there} & {record.label for record in coming})
            if coming and not self._dry_run:
                mover.move(before, now)
        if not self._dry_run:
            mover.finish()


class _Mover(Writer):
    """Moves entries from one key to another within one transaction."""

    def records(self, key: bytes) -> list[Record]:
        """The records under a key."""
        return unpack_records(self.txn.get(key, b"", db=self._db["keys"]))

    def move(self, before: bytes, now: bytes) -> None:
        """Move all entries under a key to another one; those that are there as well become one."""
        there = self.records(now)
        for record in self.records(before):
            place = next((place for place, other in enumerate(there) if other.label == record.label), None)
            if place is None:
                there.append(record)
                details = self.details(record.number)
                subject = key_text(parse_subject(details.subject).kind, now)
                self.put_details(record.number, details._replace(subject=subject))
                self.changed()
            else:
                there[place] = self._join(record, there[place])
        self._put_records(now, there)
        self._put_records(before, [])

    def _join(self, older: Record, newer: Record) -> Record:
        """Have one entry in place of two: what would be there had the newer one been added to the older."""
        first, second = self.details(older.number), self.details(newer.number)
        expires = later_expiry(first.expires, second.expires)
        joined = second._replace(
            created=first.created,
            expires=expires,
            strikes=max(first.strikes, second.strikes),
            note=second.note or first.note,
        )
        self._forget(older.number)
        self._forget_expiry(newer.expires, newer.number)
        self.put_details(newer.number, joined)
        return newer._replace(created=first.created, expires=expires)
