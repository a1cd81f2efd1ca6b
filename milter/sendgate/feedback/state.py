"""What feedback must still know after a restart: one SQLite file, written in one transaction for each batch.

In: a folder. Out: the place in the log, the messages under way, the failures counted lately, the providers' past, and
what was counted since the folder was made. Refused: `StateError` when the folder or the file cannot be used.

The processes of a pod that take feedback (the log follower, the LMTP server, `sendgate ingest`) share the file. Each
takes `lock()` for a batch: nobody else reads or changes anything between its questions and its answers.

The counts are here and not in the mapped files of the other metrics, so that they are saved together with the place in
the log: a killed follower counts nothing twice, and a new pod goes on counting where the one before stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DATABASE = "state.sqlite3"
LOCK = "lock"
SEEN_SECONDS = 8 * 86400
"""How long a failure is known: longer than any message stays in Postfix's queue, whose bounce may tell it again."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS open_message (queue_id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE TABLE IF NOT EXISTS count (
    number INTEGER PRIMARY KEY, metric TEXT NOT NULL, campaign TEXT NOT NULL, label TEXT NOT NULL,
    value INTEGER NOT NULL, UNIQUE (metric, campaign, label)
);
"""


class StateError(Exception):
    """The folder of feedback.state cannot be used; the message names it and says why."""


class State:
    """The state of one pod's feedback. Opened by each process for itself, after it was forked."""

    def __init__(self, folder: Path) -> None:
        """Open or make the state. Raises StateError."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._database = _open(folder / DATABASE)
        except (OSError, sqlite3.Error) as error:
            broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            remedy = (
                f"; remove {DATABASE} there: the log is then read again, and what it told counts once" if broken else ""
            )
            raise StateError(f"{folder}: feedback.state cannot be used: {error}{remedy}") from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Have the state, and the lists as far as feedback changes them, for oneself. Waits for the others."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is put within it, or nothing. Raises StateError."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StateError(f"{self._folder}: feedback.state cannot be written: {error}") from None

    def get(self, name: str) -> Any:
        """What was put under a name, as JSON has it; None for nothing."""
        rows = self._select("SELECT value FROM kept WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def put(self, name: str, value: object) -> None:
        """Keep a value that JSON can hold."""
        self._database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, json.dumps(value)))

    def open_messages(self) -> dict[str, Any]:
        """The messages under way, by queue id."""
        rows = self._select("SELECT queue_id, value FROM open_message")
        return {queue_id: json.loads(value) for queue_id, value in rows}

    def put_open_messages(self, changes: Mapping[str, object | None]) -> None:
        """Keep messages under way; None for one that is done."""
        done = [(queue_id,) for queue_id, value in changes.items() if value is None]
        kept = [(queue_id, json.dumps(value)) for queue_id, value in changes.items() if value is not None]
        self._database.executemany("DELETE FROM open_message WHERE queue_id = ?", done)
        self._database.executemany("INSERT OR REPLACE INTO open_message VALUES (?, ?)", kept)

    def seen(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that were put lately."""
        return {name for name in ids if self._select("SELECT 1 FROM seen WHERE id = ?", (name,))}

    def put_seen(self, ids: Iterable[str], now: float) -> None:
        """Know these ids from now on, and forget those of long ago."""
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", [(name, int(now)) for name in ids])
        self._database.execute("DELETE FROM seen WHERE at < ?", (int(now) - SEEN_SECONDS,))

    def add_counts(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Count on."""
        self._database.executemany(
            "INSERT INTO count (metric, campaign, label, value) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (metric, campaign, label) DO UPDATE SET value = value + excluded.value",
            [(*key, value) for key, value in counts.items()],
        )

    def counts(self) -> list[tuple[str, str, str, int]]:
        """All counts, metric, campaign, label, value, in the order they were first counted."""
        return self._select("SELECT metric, campaign, label, value FROM count ORDER BY number")

    def close(self) -> None:
        self._database.close()
        os.close(self._lock)

    def _select(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"{self._folder}: feedback.state cannot be read: {error}") from None


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")  # a lost last batch is read again, and changes nothing then
    database.executescript(_SCHEMA)
    return database
