"""What the gate reads: which entries name a recipient. Memory only, no lock shared with a writer.

In: a normalised address. Out: the `Found` entries, whatever their scope and expiry.
Refused: `StoreError` when the file is missing, damaged, replaced or under another secret since; the caller answers
451 and opens it anew.

A lookup is one read transaction: the recipient's own key, its mailbox's when that differs, and, only when the
store holds such subjects at all, its domain, local part and hashes. What is known of a domain is remembered for
as long as the store stays unchanged. While the secret changes, each is looked up under both.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import lmdb

from sendgate.address import Address, mailbox
from sendgate.entry import Found, Kind
from sendgate.keys import Keyer, domain_texts, local_and_hash_texts, ref_of
from sendgate.store.environment import Environment, Transaction, translated
from sendgate.store.errors import WrongKeyError
from sendgate.store.record import COUNT, NUMBER, Label, found, unpack_label, unpack_records

_DOMAIN_KINDS = Kind.DOMAIN.value | Kind.SUBTREE.value
_OTHER_KINDS = Kind.LOCAL.value | Kind.SHA256.value | Kind.SHA1.value | Kind.MD5.value
_REMEMBERED_DOMAINS = 10_000


class _View(NamedTuple):
    """What is known about one state of the store. Replaced when the store changes, never altered but to fill it."""

    transaction: int
    kinds: int
    domains: dict[str, tuple[Found, ...]]


def open_replica(folder: Path, keyer: Keyer, max_size: int) -> Replica:
    """Open the store in `folder` for reading. Raises StoreError."""
    return Replica(Environment(folder, max_size, keyer.secrets, write=False), keyer)


class Replica:
    """A store open for reading. Any number of threads and processes may look up at once."""

    def __init__(self, environment: Environment, keyer: Keyer) -> None:
        self._environment = environment
        self.folder = environment.folder
        self._keyer = keyer
        self._previous = keyer.previous
        self._begin = self._environment.env.begin
        self._keys = self._environment.databases["keys"]
        self._labels: dict[int, Label] = {}
        self._view = _View(-1, 0, {})

    def lookup(self, address: Address) -> list[Found]:
        """All entries that name `address`, in no order. Raises StoreError."""
        try:
            with self._begin(self._keys) as txn:
                view = self._view
                transaction = txn.id()
                if transaction != view.transaction:
                    view = self._renew(txn, transaction)
                entries = self._at(txn, address.text, all_match=True)
                reduced = mailbox(address)
                if reduced is not address:
                    entries += self._at(txn, reduced.text, all_match=False)
                if view.kinds:
                    entries += self._by_other_subjects(txn, view, address, reduced)
                return entries
        except lmdb.Error:
            with translated(self.folder):
                raise

    def count(self) -> dict[Label, int]:
        """Entries by label, expired ones that are not yet swept included. Raises StoreError."""
        with self._environment.begin() as txn:
            return read_counts(txn, self._environment)

    def position(self) -> int:
        """How many changes the store has seen. Raises StoreError."""
        with self._environment.begin() as txn:
            return read_position(txn, self._environment)

    def kept(self) -> int:
        """How many entries a shared origin has lost and this replica keeps; embedded, none. Raises StoreError."""
        databases = self._environment.databases
        with self._environment.begin() as txn:
            follows = txn.get(b"mark 0", db=databases["meta"]) is not None
            return int(txn.stat(databases["entries"])["entries"]) if follows else 0

    def check_current(self) -> None:
        """Raise StoreError when the file is no longer the one that is open, or was cut short."""
        self._environment.check_current()

    def close(self) -> None:
        self._environment.close()

    def _renew(self, txn: Transaction, transaction: int) -> _View:
        known = self._environment.secret(txn)
        if known not in self._environment.accepted:  # by ours, entries that moved would not be found
            raise WrongKeyError(self.folder, known)
        kinds = 0
        for kind in Kind:
            if read_kind(txn, self._environment, kind):
                kinds |= kind.value
        view = _View(transaction, kinds, {})
        self._view = view
        return view

    def _by_other_subjects(self, txn: Transaction, view: _View, address: Address, reduced: Address) -> list[Found]:
        entries: list[Found] = []
        if view.kinds & _DOMAIN_KINDS:
            known = view.domains.get(address.domain)
            if known is None:
                known = self._learn_domain(txn, view, address.domain)
            entries += known
        if view.kinds & _OTHER_KINDS:
            texts = list(local_and_hash_texts(address, view.kinds))
            for text in texts:
                entries += self._at(txn, text, all_match=True)
            if reduced is not address:
                for text in local_and_hash_texts(reduced, view.kinds):
                    if text not in texts:  # user@googlemail.com and its mailbox have one local part
                        entries += self._at(txn, text, all_match=False)
        return entries

    def _learn_domain(self, txn: Transaction, view: _View, domain: str) -> tuple[Found, ...]:
        entries: list[Found] = []
        for text in domain_texts(domain):
            entries += self._at(txn, text, all_match=True)
        known = tuple(entries)
        if len(view.domains) < _REMEMBERED_DOMAINS:
            view.domains[domain] = known
        return known

    def _at(self, txn: Transaction, text: str, *, all_match: bool) -> list[Found]:
        key = self._keyer.key(text)
        value = txn.get(key)
        entries = self._decode(txn, key, value, all_match) if value else []
        if self._previous is not None:
            before = self._previous.key(text)
            value = txn.get(before)
            if value:
                entries += self._decode(txn, before, value, all_match)
        return entries

    def _decode(self, txn: Transaction, key: bytes, value: bytes, all_match: bool) -> list[Found]:
        """Records as entries. Those under a mailbox's key count for its other spellings only if mailbox-wide."""
        ref = ref_of(key)
        entries = []
        for record in unpack_records(value):
            label = self._label(txn, record.label)
            if all_match or label.mailbox_wide:
                entries.append(found(label, record, ref))
        return entries

    def _label(self, txn: Transaction, number: int) -> Label:
        label = self._labels.get(number)
        if label is None:
            label = self._labels[number] = read_label(txn, self._environment, number)
        return label


def kind_name(kind: Kind) -> bytes:
    """The name in `meta` of the count of entries of a kind."""
    return b"kind " + kind.name.encode()


def read_label(txn: Transaction, environment: Environment, number: int) -> Label:
    """A label by its number. Raises StoreCorruptError when there is none."""
    return unpack_label(txn.get(NUMBER.pack(number), b"null", db=environment.databases["labels"]))


def read_counts(txn: Transaction, environment: Environment) -> dict[Label, int]:
    """Entries by label; labels without entries are left out."""
    counts = {}
    for number, value in txn.cursor(db=environment.databases["counts"]):
        count = COUNT.unpack(value)[0]
        if count:
            counts[read_label(txn, environment, NUMBER.unpack(number)[0])] = count
    return counts


def read_kind(txn: Transaction, environment: Environment, kind: Kind) -> int:
    """How many entries are about subjects of a kind."""
    return int(COUNT.unpack(txn.get(kind_name(kind), COUNT.pack(0), db=environment.databases["meta"]))[0])


def read_kinds(txn: Transaction, environment: Environment) -> dict[Kind, int]:
    """Entries by kind of subject; kinds without entries are left out."""
    counts = {kind: read_kind(txn, environment, kind) for kind in Kind}
    return {kind: count for kind, count in counts.items() if count}


def read_position(txn: Transaction, environment: Environment) -> int:
    return int(COUNT.unpack(txn.get(b"position", COUNT.pack(0), db=environment.databases["meta"]))[0])
