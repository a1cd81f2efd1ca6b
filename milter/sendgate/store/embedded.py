"""The embedded origin: the LMDB file that the gate reads is also the one that commands write.

In: changes and rows. Out: counts and entries. Refused: `StoreError`s, `ShrinkError`; then nothing has changed:
every call is one LMDB transaction. LMDB lets one writer in at a time and never makes a reader wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sendgate.address import Address
from sendgate.entry import Add, Change, Entry, Kind, Reason, Remove, RemoveList, Scope, Subject
from sendgate.keys import Keyer
from sendgate.store.bulk import BulkLoad
from sendgate.store.environment import Environment, Transaction, translated
from sendgate.store.matches import Matches, find_matches
from sendgate.store.origin import Applied, LoadOptions, Progress, Rekeyed, label_of
from sendgate.store.record import EXPIRY, NUMBER, Label, Record, details_of, entry, unpack_details, unpack_records
from sendgate.store.rekey_embedded import EmbeddedRekey
from sendgate.store.replica import read_counts, read_kinds, read_label, read_position
from sendgate.store.writer import Writer

SWEEP_BATCH = 10_000


class EmbeddedOrigin:
    """The lists in one LMDB file, open for writing; `create` makes it when it is not there.

    write: False opens it for reading only, which needs no right to write to the file and creates nothing.
    match_by_list: lists whose entries match the mailbox (True) or the exact address (False) whatever their reason.
    """

    def __init__(
        self,
        folder: Path,
        keyer: Keyer,
        max_size: int,
        match_by_list: Mapping[str, bool] | None = None,
        *,
        write: bool = True,
        create: bool = True,
    ) -> None:
        self._environment = Environment(folder, max_size, keyer.secrets, write=write, create=write and create)
        self._keyer = keyer
        self._match_by_list = match_by_list or {}

    def label(self, like: Entry) -> Label:
        """The label an entry gets, with how it matches."""
        return label_of(like, self._match_by_list)

    def apply(self, changes: Iterable[Change]) -> Applied:
        applied = Applied()
        with self._environment.begin(write=True) as txn:
            writer = Writer(txn, self._environment)
            active = self._environment.active(txn, self._keyer)
            for change in changes:
                self._apply(writer, active, change, applied)
            writer.finish()
        return applied

    def load(self, rows: Iterable[tuple[Subject, Entry]], options: LoadOptions, progress: Progress) -> Applied:
        with self._environment.begin() as txn:
            active = self._environment.active(txn, self._keyer)
        loader = BulkLoad(self._environment, active, self.label, options, progress)
        return loader.run(rows)

    def rekey(self, subjects: Iterable[Subject], progress: Progress, *, dry_run: bool) -> Rekeyed:
        return EmbeddedRekey(self._environment, self._keyer, progress, dry_run=dry_run).run(subjects)

    def get(self, subject: Subject) -> list[Entry]:
        entries = []
        with self._environment.begin() as txn:
            for key, only_wide in self._keyer.keys_of(subject):
                value = txn.get(key, b"", db=self._environment.databases["keys"])
                entries += self._entries(txn, value, only_wide=only_wide)
        return entries

    def scan(
        self, list_name: str | None = None, reason: Reason | None = None, scope: Scope | None = None
    ) -> Iterator[Entry]:
        with self._environment.begin() as txn:
            labels: dict[int, Label] = {}
            for _, value in txn.cursor(db=self._environment.databases["entries"]):
                details = unpack_details(value)
                label = labels.get(details.label)
                if label is None:
                    label = labels[details.label] = read_label(txn, self._environment, details.label)
                if list_name in (None, label.list) and reason in (None, label.reason) and scope in (None, label.scope):
                    yield entry(label, details)

    def by_ref(self, ref: str) -> list[Entry]:
        prefix = bytes.fromhex(ref)
        entries = []
        with self._environment.begin() as txn, txn.cursor(db=self._environment.databases["keys"]) as cursor:
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not key.startswith(prefix):
                        break
                    entries += self._entries(txn, value)
        return entries

    def matches(self, address: Address) -> Matches:
        """All entries that name `address`, found as the gate finds them, and how."""
        return find_matches(self._environment, self._keyer, address, self._in_full)

    def counts(self) -> dict[Label, int]:
        with self._environment.begin() as txn:
            return read_counts(txn, self._environment)

    def kinds(self) -> dict[Kind, int]:
        """Entries by kind of subject; kinds without entries are left out."""
        with self._environment.begin() as txn:
            return read_kinds(txn, self._environment)

    def size(self) -> int:
        """Octets of the file."""
        with translated(self._environment.folder):
            return self._environment.file.stat().st_size

    def position(self) -> int:
        with self._environment.begin() as txn:
            return read_position(txn, self._environment)

    def sweep(self, now: float) -> int:
        """Delete expired entries, in batches so that other writers get their turn. Returns how many."""
        swept = 0
        while True:
            batch = self._sweep_batch(int(now))
            swept += batch
            if batch < SWEEP_BATCH:
                return swept

    def close(self) -> None:
        self._environment.close()

    def _sweep_batch(self, now: int) -> int:
        expired: list[int] = []
        with self._environment.begin(write=True) as txn:
            for key in txn.cursor(db=self._environment.databases["expiry"]).iternext(values=False):
                expires, number = EXPIRY.unpack(key)
                if expires > now or len(expired) == SWEEP_BATCH:
                    break
                expired.append(number)
            writer = Writer(txn, self._environment)
            for number in expired:
                self._remove_number(writer, number)
            if expired:
                writer.finish()
        return len(expired)

    def _apply(self, writer: Writer, active: Keyer, change: Change, applied: Applied) -> None:
        match change:
            case Add(new):
                label = self.label(new)
                key = active.subject_key(new.subject, label.mailbox_wide)
                stored = active.stored_text(new.subject, key)
                details = details_of(new, writer.label_number(label), stored)
                details = details._replace(note=self._keyer.stored_note(new.note))
                outcome = writer.add(key, new.subject.kind, details)
                setattr(applied, outcome, getattr(applied, outcome) + 1)
            case Remove(subject, reason, scope, list_name):
                for key, only_wide in self._keyer.keys_of(subject):
                    applied.removed += writer.remove(key, reason, scope, list_name, only_wide=only_wide)
            case RemoveList(list_name):
                applied.removed += self._remove_list(writer, list_name)

    def _remove_list(self, writer: Writer, list_name: str) -> int:
        numbers = writer.numbers_of_list(list_name)
        for number in numbers:
            self._remove_number(writer, number)
        return len(numbers)

    def _remove_number(self, writer: Writer, number: int) -> None:
        writer.remove_number(writer.key_of(number, self._keyer), number)

    def _entries(self, txn: Transaction, value: bytes, *, only_wide: bool = False) -> list[Entry]:
        entries = []
        for record in unpack_records(value):
            label = read_label(txn, self._environment, record.label)
            if only_wide and not label.mailbox_wide:
                continue
            entries.append(self._in_full(txn, b"", label, record))
        return entries

    def _in_full(self, txn: Transaction, _key: bytes, label: Label, record: Record) -> Entry:
        stored = txn.get(NUMBER.pack(record.number), b"", db=self._environment.databases["entries"])
        return entry(label, unpack_details(stored))
