"""Mass import: millions of rows into the embedded store in one transaction, in bounded memory.

In: rows in any order. Out: what was done, as `Applied`.
Refused: `ShrinkError` when a replacing import would remove more of its list than `max_shrink`; `StoreError`s.
Whatever stops it, a kill included, the store is as it was: all is one LMDB transaction.

First pass (`spill`): each row gets its key and goes, by the key's first byte, into one of 256 buckets on disk.
Second pass: bucket by bucket the rows are sorted and written. The keys so arrive in ascending order, which LMDB takes
fastest and packs densest, and only one bucket is in memory at a time. LMDB itself keeps up to 512 MiB of changed pages
in memory before it writes them out.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import itemgetter

import lmdb

from sendgate.entry import Entry, Subject
from sendgate.keys import Keyer
from sendgate.store.environment import Environment
from sendgate.store.errors import SecretChangedError
from sendgate.store.origin import Applied, LoadOptions, Progress, check_shrinking
from sendgate.store.record import NUMBER, RECORD, Label, unpack_details
from sendgate.store.spill import BUCKETS, Sort, Spill, Spilled, open_spill
from sendgate.store.writer import Writer

Pairs = list[tuple[bytes, bytes]]

_NEVER = bytes(4)
_NUMBER_AT = RECORD.size - NUMBER.size
"""Where a record has the number of its entry: at its end."""


class _Undo(Exception):  # noqa: N818 - no error: it ends a dry run without a commit
    pass


class BulkLoad:
    """One mass import.

    keyer: of the secret that the store is under; label_of: gives the label of an entry, with how it matches.
    """

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
        with open_spill(self._environment.folder, self._keyer, self._label_of) as spill:
            spill.write(rows)
            with suppress(_Undo):
                self._merge(spill)
        return self._applied

    def _merge(self, spill: Spill) -> None:
        with self._environment.begin(write=True) as txn:
            if self._environment.secret(txn) != self._keyer.fingerprint:
                raise SecretChangedError(f"{self._environment.folder}: under another secret since; import again")
            writer = Writer(txn, self._environment)
            if self._options.replace:
                writer.watch_touched()
            merge = _Merge(writer, self._environment, spill.sorts, self._applied)
            for bucket in range(BUCKETS):
                merge.bucket(spill.read(bucket))
                self._progress("writing", bucket + 1, BUCKETS)
            if self._options.replace:
                self._drop_stale(writer, self._options.replace)
            if self._options.dry_run:
                raise _Undo
            writer.finish()

    def _drop_stale(self, writer: Writer, name: str) -> None:
        numbers = writer.numbers_of_list(name)
        stale = array("I", filter(writer.is_stale, numbers))
        before = sum(number < writer.first_new_number for number in numbers)
        after = writer.count_of_list(name) - len(stale)
        check_shrinking(name, before, after, self._options)
        for number in stale:
            writer.remove_number(writer.key_of(number, self._keyer), number)
        self._applied.removed += len(stale)


class _Merge:
    """The second pass: sorted rows into the databases, together with what is already there."""

    def __init__(self, writer: Writer, environment: Environment, sorts: list[Sort], applied: Applied) -> None:
        self._writer = writer
        self._db = environment.databases
        self._sorts = sorts
        self._labels = [NUMBER.pack(writer.label_number(sort.label)) for sort in sorts]
        self._applied = applied
        self._empty = writer.txn.stat(self._db["keys"])["entries"] == 0

    def bucket(self, rows: list[Spilled]) -> None:
        """Write the rows of one bucket, which may name one key several times."""
        rows.sort(key=itemgetter(0))
        there = {} if self._empty else self._there(rows)
        new: list[Spilled] = []
        others: list[Spilled] = []
        last = b""
        for row in rows:
            key = row[0]
            if key == last or key in there:
                others.append(row)
            else:
                new.append(row)
            last = key
        self._add_new(new)
        for row in others:
            self._add(row, there.get(row[0], b""))

    def _add_new(self, rows: list[Spilled]) -> None:
        """Rows whose keys the store does not have, each once."""
        keys: Pairs = []
        entries: Pairs = []
        expiry: Pairs = []
        first = self._writer.take_numbers(len(rows))
        for number, (key, sort, body) in enumerate(rows, first):
            packed, label = NUMBER.pack(number), self._labels[sort]
            keys.append((key, label + body[:8] + packed))
            entries.append((packed, label + body))
            if body[4:8] != _NEVER:
                expiry.append((body[4:8] + packed, b""))
        self._put("keys", keys, append=self._empty)
        self._put("entries", entries, append=True)
        self._put("expiry", sorted(expiry), append=False)
        for sort, count in Counter(row[1] for row in rows).items():
            self._writer.count(NUMBER.unpack(self._labels[sort])[0], self._sorts[sort].kind, count)
        self._applied.added += len(rows)

    def _add(self, row: Spilled, records: bytes) -> None:
        """A row whose key the store has; `records` is what it had there before this bucket."""
        key, sort, body = row
        details = self._labels[sort] + body
        if self._is_there(records, details):
            self._writer.touch(NUMBER.unpack_from(records, _NUMBER_AT)[0])
            self._applied.unchanged += 1
            return
        outcome = self._writer.add(key, self._sorts[sort].kind, unpack_details(details))
        setattr(self._applied, outcome, getattr(self._applied, outcome) + 1)

    def _is_there(self, records: bytes, details: bytes) -> bool:
        """Whether the one entry under a key is just this one, whenever it was created. Quicker than to add it."""
        if len(records) != RECORD.size or records[:4] != details[:4]:
            return False
        stored = self._writer.txn.get(records[_NUMBER_AT:], b"", db=self._db["entries"])
        return stored[8:] == details[8:]

    def _there(self, rows: list[Spilled]) -> dict[bytes, bytes]:
        """What the store has under the keys of the rows."""
        cursor = self._writer.txn.cursor(db=self._db["keys"])
        return dict(cursor.getmulti([row[0] for row in rows]))

    def _put(self, database: str, pairs: Pairs, *, append: bool) -> None:
        if pairs:
            cursor: lmdb.Cursor = self._writer.txn.cursor(db=self._db[database])
            cursor.putmulti(pairs, append=append)
