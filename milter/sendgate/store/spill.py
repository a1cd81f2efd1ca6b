"""The first pass of a mass import: rows by the first byte of their key, in files beside the store.

In: rows in any order. Out: for each of 256 buckets, its rows.
Refused: `StoreError`s from the disk; an error of the rows' own source goes through as it is.
A folder that a killed import left behind is removed by the next one; a running one's is locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sendgate.entry import Entry, Subject
from sendgate.keys import KEY_OCTETS, Keyer
from sendgate.store.environment import translated
from sendgate.store.record import Label

BUCKETS = 256
_PREFIX = ".import-"
_BUFFER_OCTETS = 32 * 1024
_HEAD = struct.Struct(f">{KEY_OCTETS}sHBI")
"""Key, octets of the subject, kind of subject, number of the shared entry."""

Spilled = tuple[bytes, int, int, str]
"""Key, number of the shared entry, kind of subject, subject as it is stored."""


class Spill:
    """Rows on their way through the files of one folder. `shared`: the entries that rows name by number."""

    def __init__(self, folder: Path, keyer: Keyer, label_of: Callable[[Entry], Label]) -> None:
        self._folder = folder
        self._keyer = keyer
        self._label_of = label_of
        self.shared: list[Entry] = []

    def write(self, rows: Iterable[tuple[Subject, Entry]]) -> None:
        """Take in all rows."""
        buffers = [bytearray() for _ in range(BUCKETS)]
        subject_key, stored_text, pack = self._keyer.subject_key, self._keyer.stored_text, _HEAD.pack
        numbers: dict[int, tuple[int, bool]] = {}
        for subject, like in rows:
            known = numbers.get(id(like))
            if known is None:
                known = numbers[id(like)] = self._share(like)
            number, mailbox_wide = known
            key = subject_key(subject, mailbox_wide)
            text = stored_text(subject, key).encode()
            buffer = buffers[key[0]]
            buffer += pack(key, len(text), subject.kind.value, number) + text
            if len(buffer) >= _BUFFER_OCTETS:
                self._flush(key[0], buffer)
        for bucket, buffer in enumerate(buffers):
            self._flush(bucket, buffer)

    def read(self, bucket: int) -> list[Spilled]:
        """The rows of one bucket, in the order they came."""
        try:
            data = self._file(bucket).read_bytes()
        except FileNotFoundError:
            return []
        rows = []
        position, size, head = 0, len(data), _HEAD.size
        while position < size:
            key, length, kind, number = _HEAD.unpack_from(data, position)
            position += head
            rows.append((key, number, kind, data[position : position + length].decode()))
            position += length
        return rows

    def _share(self, like: Entry) -> tuple[int, bool]:
        self.shared.append(like)  # also keeps it alive, so that its id stays its own
        return len(self.shared) - 1, self._label_of(like).mailbox_wide

    def _flush(self, bucket: int, buffer: bytearray) -> None:
        if buffer:
            with translated(self._folder.parent), self._file(bucket).open("ab") as file:
                file.write(buffer)
            buffer.clear()

    def _file(self, bucket: int) -> Path:
        return self._folder / f"{bucket:02x}"


@contextmanager
def spill_folder(store: Path) -> Iterator[Path]:
    """A folder in the store's for one import: locked while it runs, removed at the end."""
    with translated(store):
        _remove_leftovers(store)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=store))
        lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_leftovers(store: Path) -> None:
    for folder in store.glob(_PREFIX + "*"):
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                pass  # another import is at work in it
            finally:
                os.close(lock)
