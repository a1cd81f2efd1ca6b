"""An origin of the lists together with the replica a gate would read, as the suite of this folder wants it.

To bring another origin under the suite, write a class like `EmbeddedLists` and name it in `LISTS`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

from sendgate.address import parse
from sendgate.entry import Add, Change, Entry, Found, Reason, Remove, Subject, parse_scope, parse_subject
from sendgate.keys import Keyer
from sendgate.origin_url import parse_origin_url
from sendgate.store.copying import copy_lists
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.followed import FollowedReplica
from sendgate.store.layout import ROW_OCTETS, Layout, label_id
from sendgate.store.opening import open_shards
from sendgate.store.origin import Applied, LoadOptions, Origin
from sendgate.store.record import NUMBER, RECORD, unpack_label
from sendgate.store.redis_client import Access, RedisClient
from sendgate.store.replica import Replica
from sendgate.store.replica_writer import row_of
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from trial.redis_server import RedisServer

NOW = 1_772_366_400
MAX_SIZE = 2**30
SHARDS, BUCKETS = 4, 64
HISTORY = 64 * 2**20


class Lists(Protocol):
    """An open origin, and what a gate finds in it."""

    @property
    def origin(self) -> Origin: ...

    def lookup(self, address: str) -> list[Found]:
        """All entries that name an address, as the gate finds them once it has caught up."""

    def sweep(self, now: float) -> int: ...

    def at_rest(self) -> bytes:
        """Every octet that these lists take, on disk and in a server."""

    def again(self, secret: bytes = b"") -> Lists:
        """The same lists, closed here and opened as another process would."""

    def close(self) -> None: ...


class EmbeddedLists:
    """The embedded store: one LMDB file is origin and replica."""

    def __init__(
        self,
        folder: Path,
        secret: bytes = b"",
        match_by_list: Mapping[str, bool] | None = None,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.folder = folder
        self.keyer = Keyer(secret)
        self.origin = EmbeddedOrigin(folder, self.keyer, max_size, match_by_list)
        # One process must not open an LMDB file twice, so the replica here shares the origin's.
        self.replica = Replica(self.origin._environment, self.keyer)

    def lookup(self, address: str) -> list[Found]:
        return self.replica.lookup(parse(address))

    def sweep(self, now: float) -> int:
        return self.origin.sweep(now)

    def at_rest(self) -> bytes:
        return content_of_files(self.folder)

    def again(self, secret: bytes = b"") -> EmbeddedLists:
        self.close()
        return EmbeddedLists(self.folder, secret)

    def close(self) -> None:
        self.origin.close()


class SharedLists:
    """The shared origin on a real server, and a replica that has caught up whenever it is asked."""

    def __init__(
        self,
        folder: Path,
        secret: bytes = b"",
        match_by_list: Mapping[str, bool] | None = None,
        prefix: str = "",
        buckets: int = BUCKETS,
    ) -> None:
        self.folder = folder
        self.prefix = prefix or f"test-{uuid.uuid4()}"
        self.keyer = Keyer(secret)
        self.shards = shards_of(self.prefix, secret, buckets)
        self.origin = SharedOrigin(self.shards, self.keyer, match_by_list)
        copy_lists(self.shards, folder, secret, MAX_SIZE, None, lambda _copied, _entries: None)
        self._environment = Environment(folder, MAX_SIZE, secret, write=True)
        self.followed = FollowedReplica(self._environment, self.shards)
        self.replica = Replica(self._environment, self.keyer)

    def catch_up(self) -> None:
        """Take in all changes there are."""
        self.followed.catch_up()

    def lookup(self, address: str) -> list[Found]:
        self.catch_up()
        return self.replica.lookup(parse(address))

    def sweep(self, now: float) -> int:
        return self.origin.sweep(now)

    def at_rest(self) -> bytes:
        return content_of_files(self.folder) + content_of_server(shared_server(), f"{self.prefix}:*")

    def again(self, secret: bytes = b"") -> SharedLists:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return SharedLists(self.folder, secret, prefix=self.prefix)

    def close(self) -> None:
        self._environment.close()
        self.origin.close()

    def origin_rows(self) -> list[bytes]:
        return rows_of_origin(self.shards)

    def replica_rows(self) -> list[bytes]:
        return rows_of_replica(self._environment)


def shards_of(prefix: str, secret: bytes = b"", buckets: int = BUCKETS) -> Shards:
    """Lists on the tests' server over a connection of their own; they are made when they are not there."""
    client = RedisClient(Access(parse_origin_url(shared_server().url)))
    try:
        return open_shards(client, Layout(prefix, SHARDS, buckets), secret, HISTORY, create=True)
    except BaseException:
        client.close()
        raise


def rows_of_origin(shards: Shards) -> list[bytes]:
    """What the origin has, as a replica should hold it, sorted."""
    every_bucket = range(shards.layout.buckets)
    packed = (shards.packed_rows(shard, every_bucket) for shard in range(shards.layout.shards))
    return sorted(rows[at : at + ROW_OCTETS] for rows in packed for at in range(0, len(rows), ROW_OCTETS))


def rows_of_replica(environment: Environment) -> list[bytes]:
    """What a replica holds, sorted."""
    databases = environment.databases
    with environment.begin() as txn:
        labels = {number: label_id(unpack_label(text)) for number, text in txn.cursor(db=databases["labels"])}
        return sorted(
            row_of(key, labels[records[at : at + NUMBER.size]], records[at : at + RECORD.size])
            for key, records in txn.cursor(db=databases["keys"])
            for at in range(0, len(records), RECORD.size)
        )


@cache
def shared_server() -> RedisServer:
    """One server for all tests of this process; each test has lists of its own in it."""
    folder = tempfile.TemporaryDirectory(prefix="sendgate-redis-")
    # An idle server sees at each of its ticks, ten a second by default, that a reader has waited long enough.
    server = RedisServer(Path(folder.name), extra=["hz 500", "dynamic-hz no"])
    server.start()
    atexit.register(folder.cleanup)
    atexit.register(server.stop)
    return server


def content_of_files(folder: Path) -> bytes:
    """Every octet of all files below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def content_of_server(server: RedisServer, pattern: str) -> bytes:
    """Every name, field and value under all keys of a server that fit a pattern."""
    content: list[object] = []
    for key in server.client.scan_iter(match=pattern, count=1000):
        kind = server.command("TYPE", key)
        content += [key, server.command(*_READ[kind](key))]
    return repr(content).encode()


_READ: dict[bytes, Callable[[bytes], tuple[bytes | str, ...]]] = {
    b"hash": lambda key: ("HGETALL", key),
    b"stream": lambda key: ("XRANGE", key, "-", "+"),
    b"string": lambda key: ("GET", key),
}
LISTS: dict[str, Callable[..., Lists]] = {"embedded": EmbeddedLists, "shared": SharedLists}


def entry(
    subject: str,
    reason: str = "manual",
    scope: str = "*",
    list_name: str = "default",
    *,
    created: int = NOW,
    expires: int | None = None,
    strikes: int = 1,
    note: str = "",
) -> Entry:
    """An entry from the words a person would use."""
    return Entry(
        parse_subject(subject), Reason(reason), parse_scope(scope), list_name,
        created=created, expires=expires, strikes=strikes, note=note,
    )  # fmt: skip


def add(lists: Lists, *entries: Entry) -> Applied:
    return lists.origin.apply([Add(one) for one in entries])


def remove(
    lists: Lists, subject: str, reason: str | None = None, scope: str | None = None, list_name: str | None = None
) -> int:
    """Remove as `sendgate remove` does; returns how many entries went."""
    change: Change = Remove(
        parse_subject(subject), Reason(reason) if reason else None, parse_scope(scope) if scope else None, list_name
    )
    return lists.origin.apply([change]).removed


def rows(subjects: Iterable[str], like: Entry) -> Iterable[tuple[Subject, Entry]]:
    """The rows of an import: many subjects with one entry for all the rest."""
    return ((parse_subject(subject), like) for subject in subjects)


def load(lists: Lists, given: Iterable[tuple[Subject, Entry]], **options: object) -> Applied:
    """Import rows, with `LoadOptions`."""
    return lists.origin.load(given, LoadOptions(**options), lambda _phase, _done, _all: None)  # type: ignore[arg-type]


def reasons(lists: Lists, address: str) -> list[str]:
    """The reasons of what a gate finds for an address, sorted."""
    return sorted(found.reason for found in lists.lookup(address))


def everything(lists: Lists) -> list[Entry]:
    """All entries, in an order that does not depend on the origin."""
    return sorted(lists.origin.scan(), key=repr)
