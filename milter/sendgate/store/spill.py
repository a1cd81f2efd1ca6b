"""The first pass of a mass import: rows by the first byte of their key, in a file beside the store.

In: rows in any order. Out: for each of 256 buckets, its rows.
Refused: `StoreError`s from the disk; an error of the rows' own source goes through as it is.

The file has no name: however an import ends, it leaves nothing. Only the process that writes it reads it, so it is
in Python's own quickest form, marshal's.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, NamedTuple

from sendgate.entry import Entry, Kind, Subject
from sendgate.keys import Keyer
from sendgate.store.environment import translated
from sendgate.store.record import Label, pack_shared

BUCKETS = 256
_BUFFER_OCTETS = 2**20
_ROWS_IN_MEMORY = 256
"""Rows of a bucket that are kept before they go into the file, together."""
_REMEMBERED = 10_000
_MARSHAL_VERSION = 2
"""The form that takes no time to find objects which are there several times."""

Spilled = tuple[bytes, int, bytes]
"""Key, number of the sort, and what `entries` will have behind the label."""


class Sort(NamedTuple):
    """What rows have in common: the label they will get, and what kind of subject they are about."""

    label: Label
    kind: Kind


class _Shared(NamedTuple):
    """What rows with one and the same `like` share; it is kept so that its id stays its own."""

    like: Entry
    sort: int
    before: bytes
    after: bytes


class Spill:
    """Rows on their way through one file. `sorts`: what rows name by number."""

    def __init__(self, folder: Path, file: IO[bytes], keyer: Keyer, label_of: Callable[[Entry], Label]) -> None:
        self._folder = folder
        self._file = file
        self._end = 0
        self._parts: list[list[tuple[int, int]]] = [[] for _ in range(BUCKETS)]
        self._keyer = keyer
        self._label_of = label_of
        self._numbers: dict[Sort, int] = {}
        self._known: dict[tuple[int, int], _Shared] = {}
        self.sorts: list[Sort] = []

    def write(self, rows: Iterable[tuple[Subject, Entry]]) -> None:
        """Take in all rows."""
        buckets: list[list[Spilled]] = [[] for _ in range(BUCKETS)]
        subject_key, stored_text = self._keyer.subject_key, self._keyer.stored_text
        last_like, last_kind = None, None
        sort, before, after, wide = 0, b"", b"", False
        for subject, like in rows:
            if like is not last_like or subject.kind is not last_kind:
                last_like, last_kind = like, subject.kind
                _, sort, before, after = self._shared(like, subject.kind)
                wide = self.sorts[sort].label.mailbox_wide
            key = subject_key(subject, wide)
            bucket = buckets[key[0]]
            bucket.append((key, sort, before + stored_text(subject, key).encode() + after))
            if len(bucket) >= _ROWS_IN_MEMORY:
                self._flush(key[0], bucket)
        for number, bucket in enumerate(buckets):
            self._flush(number, bucket)
        with translated(self._folder):
            self._file.flush()

    def read(self, bucket: int) -> list[Spilled]:
        """The rows of one bucket, in the order they came."""
        rows: list[Spilled] = []
        with translated(self._folder):
            for place, length in self._parts[bucket]:
                rows += marshal.loads(os.pread(self._file.fileno(), length, place))
        return rows

    def _shared(self, like: Entry, kind: Kind) -> _Shared:
        known = self._known.get((id(like), kind.value))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            stored = replace(like, note=self._keyer.stored_note(like.note))
            known = _Shared(like, self._sort(Sort(self._label_of(like), kind)), *pack_shared(stored))
            self._known[id(like), kind.value] = known
        return known

    def _sort(self, sort: Sort) -> int:
        number = self._numbers.setdefault(sort, len(self.sorts))
        if number == len(self.sorts):
            self.sorts.append(sort)
        return number

    def _flush(self, bucket: int, rows: list[Spilled]) -> None:
        packed = marshal.dumps(rows, _MARSHAL_VERSION)
        with translated(self._folder):
            self._file.write(packed)
        self._parts[bucket].append((self._end, len(packed)))
        self._end += len(packed)
        rows.clear()


@contextmanager
def open_spill(folder: Path, keyer: Keyer, label_of: Callable[[Entry], Label]) -> Iterator[Spill]:
    """A spill for one import, with its file in the store's folder. Raises StoreError."""
    with translated(folder):
        file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER_OCTETS)  # noqa: SIM115 - closed below
    try:
        yield Spill(folder, file, keyer, label_of)
    finally:
        with suppress(OSError):  # what could not be written was told already, or is not wanted any more
            file.close()
