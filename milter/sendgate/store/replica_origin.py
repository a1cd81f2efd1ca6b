"""What a pod's replica can tell of its entries, for people who ask why while the shared origin is away.

In: an address or a reference. Out: the entries, each with its subject by key and without its note.
Refused: `StoreError`s.
"""

from __future__ import annotations

from sendgate.address import Address
from sendgate.entry import Entry
from sendgate.keys import Keyer
from sendgate.store.environment import Environment, Transaction
from sendgate.store.layout import entry_of, value_of_record
from sendgate.store.matches import Matches, find_matches
from sendgate.store.record import Label, Record, unpack_records
from sendgate.store.replica import read_label


class ReplicaOrigin:
    """A replica, open for reading, that answers as an origin does."""

    def __init__(self, environment: Environment, keyer: Keyer) -> None:
        self._environment = environment
        self._keyer = keyer

    def matches(self, address: Address) -> Matches:
        """All entries that name `address`, found as the gate finds them, and how."""
        return find_matches(self._environment, self._keyer, address, _in_full)

    def by_ref(self, ref: str) -> list[Entry]:
        """The entries that a reply's reference stands for."""
        prefix = bytes.fromhex(ref)
        entries = []
        with self._environment.begin() as txn, txn.cursor(db=self._environment.databases["keys"]) as cursor:
            for key, records in cursor if cursor.set_range(prefix) else ():
                if not key.startswith(prefix):
                    break
                for record in unpack_records(records):
                    label = read_label(txn, self._environment, record.label)
                    entries.append(_in_full(txn, key, label, record))
        return entries

    def close(self) -> None:
        self._environment.close()


def _in_full(_txn: Transaction, key: bytes, label: Label, record: Record) -> Entry:
    return entry_of(label, value_of_record(key, record))
