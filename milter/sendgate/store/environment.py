"""The LMDB file: open it, name its databases, translate its errors. The only place that knows lmdb's own names.

In: the folder, the size limit, the secret, or two that it may be under. Out: an `Environment`.
Refused: `StoreError`s: missing, damaged, cut short, not readable, written with another secret, no room.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb

from sendgate.keys import Keyer, Secrets, fingerprints
from sendgate.store.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    WrongKeyError,
)
from sendgate.store.record import FORMAT
from sendgate.store.verification import verify_store

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[bytes]
else:
    Transaction = lmdb.Transaction

DATABASES = ("keys", "entries", "labels", "counts", "expiry", "meta")
MAX_READERS = 1024
DATA_FILE = "data.mdb"

_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.NotFoundError,
)
_FULL = (lmdb.MapFullError, lmdb.DiskError)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCK_LOOKS, _LOCK_LOOK_SECONDS = 5, 0.002
_LENGTH_SECONDS, _LENGTH_LOOK_SECONDS = 1.0, 0.005
_sound_though_short: set[tuple[int, int, int, int]] = set()
"""Files that were walked through: device, inode, size, missing octets."""
_NEARLY_FULL_OCTETS = 2**20


class Environment:
    """An open LMDB environment with the databases of `record`.

    Open it after a fork, never before: neither locks nor mapped pages may be shared with a child.
    Only `create` makes a store where there is none: an empty one would let every recipient pass.
    `durable` False leaves it to `flush` that what was written outlives a power failure.
    accepted: fingerprints of the secrets that it may be under.
    """

    def __init__(
        self, folder: Path, max_size: int, secret: Secrets, *, write: bool, create: bool = False, durable: bool = True
    ) -> None:
        self.folder = folder
        self.accepted = fingerprints(secret)
        self._durable = durable
        self.file = folder / DATA_FILE
        with translated(folder):
            self._open(max_size, write, create)
            try:
                self._check(write=write, create=create)
            except BaseException:
                self.env.close()
                raise

    def _open(self, max_size: int, write: bool, create: bool) -> None:
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        elif not self.file.exists() or not self.file.stat().st_size:
            raise StoreMissingError(f"{self.folder}: no store; `sendgate add` or `sendgate import` creates it")
        self.env = lmdb.open(
            str(self.folder),
            map_size=max_size,
            readonly=not write,
            create=create,
            max_dbs=len(DATABASES),
            max_readers=MAX_READERS,
            max_spare_txns=16,
            sync=self._durable,
            mode=0o660,
            readahead=False,
        )
        self.psize = int(self.env.stat()["psize"])
        self.env.reader_check()

    def _check(self, *, write: bool, create: bool) -> None:
        self.check_length()
        if write:
            self._lengthen()
        self.check_lock()
        stat = self.file.stat()
        self.identity = (stat.st_dev, stat.st_ino)
        with self.env.begin(write=create) as txn:
            if create and not txn.stat()["entries"]:
                self._create(txn)
            elif not txn.stat()["entries"]:
                raise StoreMissingError(f"{self.folder}: the store is empty; `sendgate import` fills it")
        self.databases = {name: self.env.open_db(name.encode(), create=False) for name in DATABASES}
        with self.env.begin() as txn:
            meta = self.databases["meta"]
            if txn.get(b"format", db=meta) != FORMAT:
                raise StoreCorruptError(f"{self.file}: not a store of this version of Sendgate")
            if self.secret(txn) not in self.accepted:
                raise WrongKeyError(self.folder, self.secret(txn))
            if not create and txn.get(b"position", db=meta) is None:  # every change writes it; empty, all would pass
                raise StoreMissingError(f"{self.folder}: its first import is not at its end; wait, or import again")

    def _create(self, txn: Transaction) -> None:
        for name in DATABASES:
            self.env.open_db(name.encode(), txn=txn)
        meta = self.env.open_db(b"meta", txn=txn)
        txn.put(b"format", FORMAT, db=meta)
        txn.put(b"secret", self.accepted[0], db=meta)

    def secret(self, txn: Transaction) -> bytes:
        """The fingerprint of the secret that the store is under."""
        return txn.get(b"secret", b"", db=self.databases["meta"])

    def set_secret(self, txn: Transaction, known: bytes) -> None:
        """Put the store under another secret, which is given by its fingerprint."""
        txn.put(b"secret", known, db=self.databases["meta"])

    def active(self, txn: Transaction, keyer: Keyer) -> Keyer:
        """The one of a keyer and its previous that entries are written by now. Raises WrongKeyError."""
        known = self.secret(txn)
        active = keyer.named(known)
        if active is None:
            raise WrongKeyError(self.folder, known)
        return active

    def check_length(self) -> None:
        """Raise StoreCorruptError when the file lacks pages that are in use: reading on would be a bus error.

        LMDB never writes pages that a transaction took and gave back, so a sound file may end before the last page
        that was ever given out. Writers lengthen it right after they commit. Where that did not happen, because one
        was killed in between, the file is walked through.
        """
        patience_ends = time.monotonic() + _LENGTH_SECONDS
        while missing := self._missing_octets():
            if time.monotonic() > patience_ends:
                self._walk(missing)
                return
            time.sleep(_LENGTH_LOOK_SECONDS)

    def _missing_octets(self) -> int:
        needed = (int(self.env.info()["last_pgno"]) + 1) * self.psize
        return max(0, needed - self.file.stat().st_size)

    def _walk(self, missing: int) -> None:
        stat = self.file.stat()
        state = (stat.st_dev, stat.st_ino, stat.st_size, missing)
        if state in _sound_though_short:
            return
        try:
            verify_store(self.folder)
        except StoreCorruptError as error:
            raise StoreCorruptError(
                f"{self.file}: cut short; restore it from a copy or import the lists again"
            ) from error
        _sound_though_short.add(state)

    def _lengthen(self) -> None:
        """Have the file as long as all pages that were ever given out."""
        if not self._missing_octets():
            return
        with self.env.begin(write=True):  # nobody else changes the file's length now
            missing = self._missing_octets()
            if missing:
                os.truncate(self.file, self.file.stat().st_size + missing)

    def check_lock(self) -> None:
        """Raise StoreCorruptError when lock.mdb speaks of another file than data.mdb.

        Both number the last transaction. They differ when data.mdb was replaced or overwritten while processes had
        it open: LMDB would then read an older state of it without a word. For a moment they differ in every commit.
        """
        for _ in range(_LOCK_LOOKS):
            before = int(self.env.info()["last_txnid"])
            with self.env.begin() as txn:
                seen = txn.id()
            if before <= seen <= int(self.env.info()["last_txnid"]):
                return
            time.sleep(_LOCK_LOOK_SECONDS)
        raise StoreCorruptError(
            f"{self.file}: replaced while in use; replace the whole folder instead, or stop all that use it first"
        )

    def check_current(self) -> None:
        """Raise a StoreError when the file at the path is no longer the one that is open, or is cut short."""
        with translated(self.folder):
            stat = self.file.stat()
            if (stat.st_dev, stat.st_ino) != self.identity:
                raise StoreMissingError(f"{self.folder}: replaced by another file")
            self.check_length()
            self.check_lock()

    @contextmanager
    def begin(self, *, write: bool = False) -> Iterator[Transaction]:
        """A transaction; a writing one is committed at the end, or undone by an exception."""
        with translated(self.folder):
            with self.env.begin(write=write) as txn:
                yield txn
            if write:
                self._lengthen()

    def flush(self) -> None:
        """Put all that was written on disk."""
        with translated(self.folder):
            self.env.sync(True)

    def close(self) -> None:
        self.env.close()


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn lmdb's and the system's errors into StoreErrors that name the folder."""
    try:
        yield
    except _FULL as error:
        raise _full(folder, error) from error
    except _DAMAGED as error:
        raise StoreCorruptError(
            f"{folder}: damaged: {error}; restore it from a copy or import the lists again"
        ) from error
    except FileNotFoundError as error:
        raise StoreMissingError(f"{folder}: no store: {error}") from error
    except (lmdb.Error, OSError) as error:
        if _is(error, *_NO_ROOM) or (_is(error, errno.EIO) and _nearly_full(folder)):
            raise _full(folder, error) from error
        raise StoreError(f"{folder}: {error}; see to its disk and to who may read and write it") from error


def _full(folder: Path, error: Exception) -> StoreFullError:
    return StoreFullError(f"{folder}: no room: {error}; free disk space or raise store.max_size. Nothing was changed.")


def _is(error: Exception, *codes: int) -> bool:
    """Whether an error has one of the system's codes; lmdb keeps only the words for it."""
    if isinstance(error, OSError):
        return error.errno in codes
    return str(error).endswith(tuple(os.strerror(code) for code in codes))


def _nearly_full(folder: Path) -> bool:
    """Whether the disk has no room for a write. LMDB tells a write that a full disk cut short as an I/O error."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _NEARLY_FULL_OCTETS
