"""Reading the changes of all shards as they happen.

In: the shards and where to go on in each. Out: what they have, in the order of each shard, through one queue.
Refused: `StoreError`s of the connection come through the queue, too, and end it.

A Cluster answers a blocking read for one stream at a time, so there each shard has a thread; elsewhere one thread
reads all. At least once a second each looks at the marks of its shards, so that a shard that was lost, or set back, is
noticed although nothing new is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import NamedTuple

from sendgate.store.errors import StoreError
from sendgate.store.shards import Mark, Shards

ENTRIES_AT_ONCE = 100
LOOK_EVERY_SECONDS = 1.0
_QUEUED = 8
_PUT_SECONDS = 0.5


class ChangeRecord(NamedTuple):
    """One entry of a stream: its id, the id before it, the number of changes with it, and its rows.

    secret: fingerprint of the secret that the shard is under from here on, if that changes; after: how many changes of
    other shards are to be taken in before.
    """

    id: bytes
    previous: bytes
    sequence: int
    rows: bytes
    secret: bytes
    after: dict[int, int]


class Changes(NamedTuple):
    """What some shards have behind what was read before."""

    by_shard: dict[int, list[ChangeRecord]]


class Looked(NamedTuple):
    """The marks of some shards at a time (Unix seconds) before which everything was asked for."""

    at: float
    marks: dict[int, Mark | None]


Item = Changes | Looked


class Tail:
    """Reads until it is closed. `marks`: of each shard that is to be read, the last change that is known."""

    def __init__(self, shards: Shards, marks: Mapping[int, Mark], clock: Callable[[], float] = time.time) -> None:
        self._shards = shards
        self._clock = clock
        self._queue: Queue[Item | StoreError] = Queue(_QUEUED)
        self._closed = Event()
        groups = [[shard] for shard in marks] if shards.client.is_cluster else [list(marks)]
        self._threads = [
            Thread(target=self._read, args=({shard: marks[shard].last for shard in group},), daemon=True)
            for group in groups
            if group
        ]
        for thread in self._threads:
            thread.start()

    def next(self, timeout_seconds: float) -> Item | None:
        """The next item, or None when there is none in time. Raises the StoreError that ended a thread."""
        try:
            item = self._queue.get(timeout=timeout_seconds)
        except Empty:
            return None
        if isinstance(item, StoreError):
            raise item
        return item

    def close(self) -> None:
        """Stop reading. A thread that waits for Redis ends with its wait."""
        self._closed.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        for thread in self._threads:
            thread.join(LOOK_EVERY_SECONDS * 2)

    def _read(self, positions: dict[int, bytes]) -> None:
        try:
            next_look = 0.0
            while not self._closed.is_set():
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_EVERY_SECONDS
                    self._put(self._look(list(positions)))
                changes = read_changes(self._shards, positions, LOOK_EVERY_SECONDS)
                if changes:
                    positions |= {shard: records[-1].id for shard, records in changes.items()}
                    self._put(Changes(changes))
        except StoreError as error:
            self._put(error)

    def _look(self, shards: list[int]) -> Looked:
        at = self._clock()
        return Looked(at, self._shards.marks_of(shards))

    def _put(self, item: Item | StoreError) -> None:
        while not self._closed.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=_PUT_SECONDS)
                return


def read_changes(shards: Shards, positions: Mapping[int, bytes], block_seconds: float) -> dict[int, list[ChangeRecord]]:
    """What shards have behind the given positions; waits for the first. In a Cluster, one at a time."""
    by_name = {shards.names[shard].changes: shard for shard in positions}
    wanted = {name: positions[shard] for name, shard in by_name.items()}
    answer = shards.client.changes(wanted, ENTRIES_AT_ONCE, block_seconds)
    return {by_name[name]: [_record(id_, entry) for id_, entry in entries] for name, entries in answer.items()}


def _record(id_: bytes, entry: Mapping[bytes, bytes]) -> ChangeRecord:
    after = [int(number) for number in entry.get(b"a", b"").split()]
    secret = entry.get(b"s", b"")
    return ChangeRecord(
        id_, entry[b"p"], int(entry[b"n"]), entry[b"c"], secret, dict(zip(after[::2], after[1::2], strict=True))
    )
