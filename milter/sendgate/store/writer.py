"""Changes to the embedded store within one write transaction, entry by entry.

In: an open transaction. Out: changed databases, counts and position, all consistent when `finish` has run.
Refused: nothing of its own; what is found broken is a `StoreCorruptError`.
"""

from __future__ import annotations

from array import array
from typing import Literal

from sendgate.entry import Kind, Reason, Scope, parse_subject
from sendgate.keys import Keyer
from sendgate.store.environment import Environment, Transaction
from sendgate.store.errors import StoreFullError
from sendgate.store.ledger import Ledger
from sendgate.store.record import (
    EXPIRY,
    NUMBER,
    Details,
    Record,
    later_expiry,
    pack_details,
    pack_records,
    unpack_details,
    unpack_records,
)

Outcome = Literal["added", "refreshed", "unchanged"]
MAX_NUMBER = 2**32 - 1


class Writer(Ledger):
    """One write transaction, entry by entry; ends with `finish`."""

    def __init__(self, txn: Transaction, environment: Environment) -> None:
        super().__init__(txn, environment)
        self.next_number = self._meta(b"next number")
        self.first_new_number = self.next_number
        self.touched: bytearray | None = None

    def watch_touched(self) -> None:
        """From now on note which entries are added again, for `is_stale`; a bit each."""
        self.touched = bytearray(self.next_number // 8 + 1)

    def is_stale(self, number: int) -> bool:
        """Whether an entry is older than this transaction and was not added again in it."""
        old = number < self.first_new_number
        return old and self.touched is not None and not self.touched[number // 8] & (1 << number % 8)

    def add(self, key: bytes, kind: Kind, new: Details) -> Outcome:
        """File an entry about a subject of a kind under `key`, or refresh the one with the same identity."""
        records = unpack_records(self.txn.get(key, b"", db=self._db["keys"]))
        for index, record in enumerate(records):
            if record.label == new.label:
                self.touch(record.number)
                return self._refresh(key, records, index, new)
        number = self.take_numbers(1)
        records.append(Record(new.label, new.created, new.expires, number))
        self.txn.put(key, pack_records(records), db=self._db["keys"])
        self.put_details(number, new)
        self.count(new.label, kind, 1)
        return "added"

    def remove(
        self, key: bytes, reason: Reason | None, scope: Scope | None, list_name: str | None, *, only_wide: bool = False
    ) -> int:
        """Remove the entries under `key` that fit; None fits all; `only_wide`: mailbox-wide ones. Returns how many."""
        records = unpack_records(self.txn.get(key, b"", db=self._db["keys"]))
        kept = []
        for record in records:
            label = self._labels[record.label]
            fits = reason in (None, label.reason) and scope in (None, label.scope) and list_name in (None, label.list)
            if not fits or (only_wide and not label.mailbox_wide):
                kept.append(record)
                continue
            self._forget(record.number)
        self._put_records(key, kept)
        return len(records) - len(kept)

    def remove_number(self, key: bytes, number: int) -> None:
        """Remove the one entry of this number, filed under `key`."""
        records = unpack_records(self.txn.get(key, b"", db=self._db["keys"]))
        self._forget(number)
        self._put_records(key, [record for record in records if record.number != number])

    def take_numbers(self, count: int) -> int:
        """Numbers for new entries. Returns the first; the others follow it."""
        first = self.next_number
        if first + count > MAX_NUMBER:
            raise StoreFullError("all 4,294,967,295 entry numbers are used; export the lists into a new store")
        self.next_number += count
        return first

    def touch(self, number: int) -> None:
        """Note that an entry was added again."""
        if self.touched is not None and number < self.first_new_number:
            self.touched[number // 8] |= 1 << number % 8

    def label_numbers(self, list_name: str) -> set[int]:
        """The numbers of all labels of a list."""
        return {number for number, label in self._labels.items() if label.list == list_name}

    def numbers_of_list(self, list_name: str) -> array[int]:
        """The numbers of all entries of a list; 4 bytes each, since a list can have millions."""
        labels = self.label_numbers(list_name)
        entries = self.txn.cursor(db=self._db["entries"])
        return array("I", (NUMBER.unpack(key)[0] for key, value in entries if NUMBER.unpack_from(value)[0] in labels))

    def key_of(self, number: int, keyer: Keyer) -> bytes:
        """The key that an entry is filed under."""
        details = self.details(number)
        return keyer.subject_key(parse_subject(details.subject), self._labels[details.label].mailbox_wide)

    def details(self, number: int) -> Details:
        return unpack_details(self.txn.get(NUMBER.pack(number), b"", db=self._db["entries"]))

    def put_details(self, number: int, details: Details) -> None:
        self.txn.put(NUMBER.pack(number), pack_details(details), db=self._db["entries"])
        if details.expires:
            self.txn.put(EXPIRY.pack(details.expires, number), b"", db=self._db["expiry"])

    def count_of_list(self, list_name: str) -> int:
        """Entries of a list as this transaction would leave them."""
        return sum(self._label_count(number) for number in self.label_numbers(list_name))

    def finish(self) -> None:
        self._put_meta(b"next number", self.next_number)
        super().finish()

    def _refresh(self, key: bytes, records: list[Record], index: int, new: Details) -> Outcome:
        record = records[index]
        details = self.details(record.number)
        expires = later_expiry(record.expires, new.expires)
        updated = details._replace(
            expires=expires,
            origin=new.origin,
            strikes=max(details.strikes, new.strikes),
            note=new.note or details.note,
        )
        if updated == details:
            return "unchanged"
        if expires != record.expires:
            self._forget_expiry(record.expires, record.number)
            records[index] = record._replace(expires=expires)
            self._put_records(key, records)
        self.put_details(record.number, updated)
        self.changed()
        return "refreshed"

    def _forget(self, number: int) -> None:
        details = self.details(number)
        self._forget_expiry(details.expires, number)
        self.txn.delete(NUMBER.pack(number), db=self._db["entries"])
        self.count(details.label, parse_subject(details.subject).kind, -1)

    def _forget_expiry(self, expires: int, number: int) -> None:
        if expires:
            self.txn.delete(EXPIRY.pack(expires, number), db=self._db["expiry"])

    def _put_records(self, key: bytes, records: list[Record]) -> None:
        if records:
            self.txn.put(key, pack_records(records), db=self._db["keys"])
        else:
            self.txn.delete(key, db=self._db["keys"])
