"""Mass import: millions of rows into the embedded store in one transaction, in even memory.

In: rows in any order. Out: what was done, as `Applied`.
Refused: `ShrinkError` when a replacing import would remove more of its list than `max_shrink`; `StoreError`s.
Whatever stops it, a kill included, the store is as it was: all is one LMDB transaction.

First pass (`spill`): each row gets its key and goes, by the key's first byte, into one of 256 files beside the store.
Second pass: file by file the rows are sorted and written. The keys so arrive in ascending order, which LMDB takes
fastest and packs densest, and only one file in 256 is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from operator import itemgetter

import lmdb

from sendgate.entry import Entry, Kind, Subject
from sendgate.keys import Keyer
from sendgate.store.environment import Environment
from sendgate.store.errors import ShrinkError
from sendgate.store.origin import Applied, LoadOptions, Progress
from sendgate.store.record import EXPIRY, NUMBER, RECORD, Details, Label, pack_details
from sendgate.store.spill import BUCKETS, Spill, Spilled, spill_folder
from sendgate.store.writer import Writer

Pairs = list[tuple[bytes, bytes]]


class _Undo(Exception):  # noqa: N818 - no error: it ends a dry run without a commit
    pass


class BulkLoad:
    """One mass import. `label_of` gives the label of an entry, with how it matches."""

    def __init__(
        self,
        environment: Environment,
        keyer: Keyer,
        label_of: Callable[[Entry], Label],
        options: LoadOptions,
        progress: Progress,
    ) -> None:
        self._environment = environment
        self._keyer = keyer
        self._label_of = label_of
        self._options = options
        self._progress = progress
        self._applied = Applied()

    def run(self, rows: Iterable[tuple[Subject, Entry]]) -> Applied:
        """Import all rows. Raises ShrinkError or StoreError, and then nothing has changed."""
        store = self._environment.folder
        with spill_folder(store) as folder:
            spill = Spill(folder, self._keyer, self._label_of)
            spill.write(rows)
            with suppress(_Undo):
                self._merge(spill)
        return self._applied

    def _merge(self, spill: Spill) -> None:
        with self._environment.begin(write=True) as txn:
            writer = Writer(txn, self._environment)
            if self._options.replace:
                writer.watch_touched()
            merge = _Merge(writer, self._environment, spill.shared, self._label_of, self._applied)
            for bucket in range(BUCKETS):
                merge.bucket(spill.read(bucket))
                self._progress("writing", bucket + 1, BUCKETS)
            if self._options.replace:
                self._drop_stale(writer, self._options.replace)
            if self._options.dry_run:
                raise _Undo
            writer.finish()

    def _drop_stale(self, writer: Writer, name: str) -> None:
        old = [number for number in writer.numbers_of_list(name) if number < writer.first_new_number]
        stale = [number for number in old if writer.is_stale(number)]
        before, after = len(old), writer.count_of_list(name) - len(stale)
        if after < before * (1 - self._options.max_shrink) and not self._options.force:
            raise ShrinkError(
                f"list {name!r} would shrink from {before:,} to {after:,} entries; "
                "look at the file again, or insist with --force. Nothing was changed."
            )
        for number in stale:
            writer.remove_number(writer.key_of(number, self._keyer), number)
        self._applied.removed += len(stale)


class _Merge:
    """The second pass: sorted rows into the databases, together with what is already there."""

    def __init__(
        self,
        writer: Writer,
        environment: Environment,
        shared: list[Entry],
        label_of: Callable[[Entry], Label],
        applied: Applied,
    ) -> None:
        self._writer = writer
        self._db = environment.databases
        self._shared = shared
        self._labels = [writer.label_number(label_of(like)) for like in shared]
        self._applied = applied
        self._empty = writer.txn.stat(self._db["keys"])["entries"] == 0

    def bucket(self, rows: list[Spilled]) -> None:
        """Write the rows of one bucket, which may name one key several times."""
        rows.sort(key=itemgetter(0))
        there = set() if self._empty else self._existing(rows)
        keys: Pairs = []
        entries: Pairs = []
        expiry: Pairs = []
        slow: list[Spilled] = []
        for key, same in groupby(rows, key=itemgetter(0)):
            first, *more = same
            slow += more
            if key in there:
                slow.append(first)
            else:
                keys.append((key, self._new(first, entries, expiry)))
        self._put("keys", keys, append=self._empty)
        self._put("entries", entries, append=True)
        self._put("expiry", sorted(expiry), append=False)
        for row in slow:
            self._merge_one(row)

    def _new(self, row: Spilled, entries: Pairs, expiry: Pairs) -> bytes:
        """A row whose key the store does not have yet. Returns the value for `keys`."""
        _, shared, kind, subject = row
        like = self._shared[shared]
        label, expires = self._labels[shared], like.expires or 0
        number = self._writer.take_number()
        details = Details(label, like.created, expires, like.origin, like.strikes, subject, like.note)
        entries.append((NUMBER.pack(number), pack_details(details)))
        if expires:
            expiry.append((EXPIRY.pack(expires, number), b""))
        self._writer.count(label, Kind(kind), 1)
        self._applied.added += 1
        return RECORD.pack(label, like.created, expires, number)

    def _merge_one(self, row: Spilled) -> None:
        key, shared, kind, subject = row
        outcome = self._writer.add(key, self._labels[shared], Kind(kind), self._shared[shared], subject)
        setattr(self._applied, outcome, getattr(self._applied, outcome) + 1)

    def _existing(self, rows: list[Spilled]) -> set[bytes]:
        cursor = self._writer.txn.cursor(db=self._db["keys"])
        return {key for key, _ in cursor.getmulti([row[0] for row in rows])}

    def _put(self, database: str, pairs: Pairs, *, append: bool) -> None:
        if pairs:
            cursor: lmdb.Cursor = self._writer.txn.cursor(db=self._db[database])
            cursor.putmulti(pairs, append=append)
