"""Labels, counts, kinds and the position of a store within one write transaction.

In: an open transaction. Out: changed databases, all consistent when `finish` has run.
Refused: nothing of its own; what is found broken is a `StoreCorruptError`.
"""

from __future__ import annotations

from sendgate.entry import Kind
from sendgate.store.environment import Environment, Transaction
from sendgate.store.record import COUNT, NUMBER, Label, pack_label, unpack_label
from sendgate.store.replica import kind_name


class Ledger:
    """What a transaction knows of the store as a whole, written back by `finish`."""

    def __init__(self, txn: Transaction, environment: Environment) -> None:
        self.txn = txn
        self._db = environment.databases
        self._position = self._meta(b"position")
        self._labels: dict[int, Label] = {}
        for number, value in txn.cursor(db=self._db["labels"]):
            self._labels[NUMBER.unpack(number)[0]] = unpack_label(value)
        self._numbers = {label: number for number, label in self._labels.items()}
        self._counts: dict[int, int] = {}
        self._kinds: dict[Kind, int] = {}

    def label(self, number: int) -> Label:
        return self._labels[number]

    def label_number(self, label: Label) -> int:
        """The number of a label, new if it has none yet."""
        number = self._numbers.get(label)
        if number is None:
            number = len(self._labels) + 1
            self._labels[number] = label
            self._numbers[label] = number
            self.txn.put(NUMBER.pack(number), pack_label(label), db=self._db["labels"])
        return number

    def count(self, label_number: int, kind: Kind, difference: int) -> None:
        """Note that there are more or fewer entries of a label and of a kind of subject."""
        self._counts[label_number] = self._counts.get(label_number, 0) + difference
        self._kinds[kind] = self._kinds.get(kind, 0) + difference
        self._position += abs(difference)

    def changed(self, difference: int = 1) -> None:
        """Move the position on for changes that alter no count."""
        self._position += difference

    def finish(self) -> None:
        """Write counters back; the last call before the commit."""
        for number in self._counts:
            self.txn.put(NUMBER.pack(number), COUNT.pack(self._label_count(number)), db=self._db["counts"])
        for kind, difference in self._kinds.items():
            self._put_meta(kind_name(kind), self._meta(kind_name(kind)) + difference)
        self._put_meta(b"position", self._position)

    def _label_count(self, number: int) -> int:
        stored = COUNT.unpack(self.txn.get(NUMBER.pack(number), COUNT.pack(0), db=self._db["counts"]))[0]
        return int(stored) + self._counts.get(number, 0)

    def _meta(self, name: bytes) -> int:
        return int(COUNT.unpack(self.txn.get(name, COUNT.pack(0), db=self._db["meta"]))[0])

    def _put_meta(self, name: bytes, value: int) -> None:
        self.txn.put(name, COUNT.pack(value), db=self._db["meta"])
