"""The mapped files that a process keeps its counters in: prometheus-client's, with their room taken beforehand.

In: a file's name, values by key. Out: the same, for all who read the files. Refused: nothing; while the folder has no
room, new values are kept in memory alone, where nobody sees them, and go into the file when there is some again.

A mapped file that grows on a full file system is a bus error at its first new page: a worker would die of a count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

_write: Callable[[MmapedDict, str, float, float], None] = MmapedDict.write_value
_FIRST_OCTETS = 4096
_AGAIN_SECONDS = 5.0
_MOST_BESIDE_KEY = 40
"""A value takes its key and at most this."""


class RoomyFile(MmapedDict):
    """One file. on_full: called with its name and the error when there is no room for a value, at each attempt."""

    on_full: Callable[[str, OSError], None] = staticmethod(lambda _name, _error: None)

    def __init__(self, filename: str) -> None:
        self._fname = filename
        self._f = None  # type: ignore[assignment]
        self._positions: dict[str, int] = {}
        self._waiting: dict[str, tuple[float, float]] = {}
        self._not_before = 0.0
        self._has_room("")

    def read_value(self, key: str) -> tuple[float, float]:
        if key in self._positions or self._has_room(key):
            found: tuple[float, float] = super().read_value(key)  # type: ignore[no-untyped-call]
            return found
        return self._waiting.setdefault(key, (0.0, 0.0))

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if key in self._positions and not self._waiting:
            _write(self, key, value, timestamp)  # several times for each recipient
        elif key in self._positions or self._has_room(key):
            self._waiting.pop(key, None)
            _write(self, key, value, timestamp)
        else:
            self._waiting[key] = value, timestamp

    def _has_room(self, key: str) -> bool:
        """Whether the file is open and has room for one more value; tried again only after a while."""
        if time.monotonic() < self._not_before:
            return False
        try:
            if self._f is None:
                self._open()
            self._grow(len(key.encode()) + _MOST_BESIDE_KEY)
        except OSError as error:
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            self.on_full(self._fname, error)
            return False
        return True

    def _open(self) -> None:
        with Path(self._fname).open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, _FIRST_OCTETS)
        super().__init__(self._fname)  # type: ignore[no-untyped-call]

    def _grow(self, octets: int) -> None:
        wanted = self._capacity
        while self._used + octets > wanted:
            wanted *= 2
        if wanted > self._capacity:
            os.posix_fallocate(self._f.fileno(), 0, wanted)
