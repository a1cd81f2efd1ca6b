"""Writing a replica: rows of the origin, and how far in its changes they reach, in one transaction.

In: packed rows of `layout`, labels by id, marks. Out: changed databases. Refused: `StoreCorruptError`.

A replica has the databases of `record`, used a little differently: a record's last number holds origin, strikes and
kind instead of an entry number; `entries` holds the fields of entries that the origin has lost and this replica keeps;
`meta` has a mark for each shard.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping

from sendgate.store.environment import Environment, Transaction
from sendgate.store.layout import FIELD_OCTETS, KEY_OCTETS, MAX_SHARDS, REMOVED, ROW_OCTETS, kind_of_code
from sendgate.store.ledger import Ledger
from sendgate.store.record import NUMBER, RECORD, Label, later_expiry
from sendgate.store.shards import Mark

_KIND_AT = ROW_OCTETS - 1
_LABEL_OCTETS = NUMBER.size
_PARTS = struct.Struct("16s8s8s3s")
_SORT = struct.Struct("16x8s8x3s")
"""A row cut up: key, label id, created and expires, and the rest, which many rows share with their label id."""


class ReplicaWriter(Ledger):
    """One write transaction of a replica; ends with `finish`. label_of: the label of an id."""

    def __init__(self, txn: Transaction, environment: Environment, label_of: Callable[[bytes], Label]) -> None:
        super().__init__(txn, environment)
        self._label_of = label_of
        self._packed_numbers: dict[bytes, bytes] = {}
        self._keeps = txn.stat(self._db["entries"])["entries"] > 0

    def apply(self, packed: bytes) -> None:
        """Take in rows, in their order: each is how one entry is from now on."""
        for at in range(0, len(packed), ROW_OCTETS):
            row = packed[at : at + ROW_OCTETS]
            self._put(row[:KEY_OCTETS], row)
            if self._keeps:
                self.txn.delete(row[:FIELD_OCTETS], db=self._db["entries"])

    def add_new(self, rows: list[bytes]) -> None:
        """Take in rows behind all that is there: in the order of their keys, and none of them removed."""
        if not rows:
            return
        packed = b"".join(rows)
        sorts = Counter(_SORT.iter_unpack(packed))
        numbers = {label: self._number(label) for label, _ in sorts}
        pairs = [(key, numbers[label] + times + b"\0" + rest) for key, label, times, rest in _PARTS.iter_unpack(packed)]
        if len(dict(pairs)) < len(pairs):
            pairs = _joined(pairs)
        for (label, rest), count in sorts.items():
            self.count(NUMBER.unpack(numbers[label])[0], kind_of_code(rest[-1]), count)
        self.txn.cursor(db=self._db["keys"]).putmulti(pairs, append=True)

    def restore(self, row: bytes) -> None:
        """Take in a row that the origin has lost, or has with an earlier expiry; note that it is kept."""
        key, field = row[:KEY_OCTETS], row[:FIELD_OCTETS]
        there = self.txn.get(key, b"", db=self._db["keys"])
        at = _find(there, self._number(field[KEY_OCTETS:]))
        if at is not None:
            known = RECORD.unpack_from(there, at)[2]
            expires = NUMBER.unpack_from(row, FIELD_OCTETS + 4)[0]
            if later_expiry(known, expires) == known:
                return
        self._put(key, row)
        self.keep(field)

    def keep(self, field: bytes) -> None:
        """Note that the origin does not have an entry (any more)."""
        self.txn.put(field, b"", db=self._db["entries"])

    def set_marks(self, marks: Mapping[int, Mark]) -> None:
        """Note how far in the changes of each shard this transaction reaches."""
        for shard, mark in marks.items():
            packed = b"%b %b %d %b" % (mark.epoch, mark.last, mark.sequence, mark.secret.hex().encode())
            self.txn.put(_mark_name(shard), packed, db=self._db["meta"])

    def set_position(self, position: int) -> None:
        """Note how many changes there were."""
        self._position = position

    def _put(self, key: bytes, row: bytes) -> None:
        number = self._number(row[KEY_OCTETS:FIELD_OCTETS])
        there = self.txn.get(key, b"", db=self._db["keys"])
        at = _find(there, number)
        removed = row[_KIND_AT] & REMOVED
        if at is None and removed:
            return
        new = b"" if removed else self._record(row)
        if at is None:
            after = there + new
            self.count(NUMBER.unpack(number)[0], kind_of_code(row[_KIND_AT]), 1)
        else:
            after = there[:at] + new + there[at + RECORD.size :]
            self.count(NUMBER.unpack(number)[0], kind_of_code(there[at + RECORD.size - 1]), -1)
            if not removed:
                self.count(NUMBER.unpack(number)[0], kind_of_code(row[_KIND_AT]), 1)
        if after:
            self.txn.put(key, after, db=self._db["keys"])
        else:
            self.txn.delete(key, db=self._db["keys"])

    def _record(self, row: bytes) -> bytes:
        return self._number(row[KEY_OCTETS:FIELD_OCTETS]) + row[FIELD_OCTETS:-3] + b"\0" + row[-3:]

    def _number(self, label_id: bytes) -> bytes:
        """The number of a label in this replica, packed."""
        number = self._packed_numbers.get(label_id)
        if number is None:
            number = NUMBER.pack(self.label_number(self._label_of(label_id)))
            self._packed_numbers[label_id] = number
        return number


def read_marks(txn: Transaction, environment: Environment, shards: int) -> list[Mark | None]:
    """How far a replica is in each shard; None where it has never been."""
    return [_unpack_mark(txn.get(_mark_name(shard), db=environment.databases["meta"])) for shard in range(shards)]


def count_shards(txn: Transaction, environment: Environment) -> int:
    """Into how many shards the lists were cut that a replica follows."""
    return sum(mark is not None for mark in read_marks(txn, environment, MAX_SHARDS))


def count_kept(txn: Transaction, environment: Environment) -> int:
    """How many entries a replica keeps that the origin has lost."""
    return int(txn.stat(environment.databases["entries"])["entries"])


def row_of(key: bytes, label_id: bytes, record: bytes) -> bytes:
    """The row that a packed record of a replica came from."""
    return key + label_id + record[_LABEL_OCTETS : RECORD.size - 4] + record[RECORD.size - 3 :]


def _unpack_mark(value: bytes | None) -> Mark | None:
    if value is None:
        return None
    epoch, last, sequence, secret = value.split(b" ")
    return Mark(epoch, last, int(sequence), bytes.fromhex(secret.decode()))


def _mark_name(shard: int) -> bytes:
    return b"mark %d" % shard


def _find(records: bytes, label: bytes) -> int | None:
    """Where among packed records the one of a label begins."""
    for at in range(0, len(records), RECORD.size):
        if records[at : at + _LABEL_OCTETS] == label:
            return at
    return None


def _joined(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """All records of a key behind one another."""
    by_key: dict[bytes, bytes] = {}
    for key, record in pairs:
        by_key[key] = by_key.get(key, b"") + record
    return list(by_key.items())
