"""A pod's replica on disk: its versions, which of them is current, and when it was last in step with the origin.

In: the folder of `store.replica`. Out: paths and ages. Refused: `StoreError`s of the disk, `StoreMissingError`
while there is no replica.

    current        a symbolic link to the version that is served
    version-*/     an LMDB store each; a new one is filled beside the current one
    lock           held by the process that writes
    in_step        Unix time in seconds at which the current version had all that the origin had
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sendgate.store.environment import translated
from sendgate.store.errors import StoreError, StoreMissingError

_VERSION = "version-"


class ReplicaFolder:
    """The folder of one pod's replica. One process writes, any number read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._current = folder / "current"
        self._in_step = folder / "in_step"

    @contextmanager
    def held(self) -> Iterator[None]:
        """For as long as the block runs, no other process writes here. Raises StoreError when one does."""
        with translated(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"{self.folder}: another process keeps this replica; give each gate a store.replica of its own"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def current(self) -> Path:
        """The version that is served. Raises StoreMissingError while there is none."""
        try:
            return self.folder / self._current.readlink()
        except OSError:
            raise StoreMissingError(
                f"{self.folder}: no replica yet; `sendgate serve` makes it when it reaches the origin"
            ) from None

    def switched_at(self) -> float:
        """Unix time at which the current version became so; 0 while there is none."""
        try:
            return self._current.lstat().st_mtime
        except OSError:
            return 0.0

    def new_version(self) -> Path:
        """A fresh folder for a version that is to become current."""
        with translated(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = Path(tempfile.mkdtemp(prefix=_VERSION, dir=self.folder))
            path.chmod(0o770)
            return path

    def switch(self, version: Path) -> None:
        """Make a version current, at once for all; it must be on disk."""
        with translated(self.folder):
            link = self.folder / f"{version.name}.link"
            link.symlink_to(version.name)
            link.replace(self._current)
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def discard(self) -> None:
        """Stop serving the current version: it is damaged, and another is to be made."""
        with translated(self.folder):
            self._current.unlink(missing_ok=True)
            self._in_step.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Delete all versions but the current one. What still reads them keeps what it has open."""
        kept = None
        with suppress(StoreMissingError):
            kept = self.current()
        for path in self.folder.glob(f"{_VERSION}*"):
            if path.is_symlink():
                path.unlink(missing_ok=True)
            elif path != kept:
                shutil.rmtree(path, ignore_errors=True)

    def mark_in_step(self, now: float) -> None:
        """Note that the current version had all that the origin had at `now`, in Unix seconds."""
        with translated(self.folder):
            written = self._in_step.with_suffix(".new")
            written.write_text(f"{now:.3f}\n", encoding="ascii")
            written.replace(self._in_step)  # a reader sees the old time or the new one, never none

    def age(self, now: float) -> float:
        """Seconds since the replica was in step; endless when it never was."""
        try:
            in_step = float(self._in_step.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return float("inf")
        return max(0.0, now - in_step) if math.isfinite(in_step) else float("inf")
