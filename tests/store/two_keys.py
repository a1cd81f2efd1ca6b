"""Lists while their secret changes: opened with two secrets, over either origin.

In: a folder, and the current and the previous secret. Out: `Lists` of `parts`, with which a change can be watched.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path

from sendgate.address import parse
from sendgate.entry import Entry, Found, parse_subject
from sendgate.keys import Keyer
from sendgate.origin_url import parse_origin_url
from sendgate.store.copying import copy_lists
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.followed import FollowedReplica
from sendgate.store.layout import Layout
from sendgate.store.opening import open_shards
from sendgate.store.origin import Origin, Rekeyed
from sendgate.store.redis_client import Access, RedisClient
from sendgate.store.replica import Replica
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from store.parts import BUCKETS, HISTORY, MAX_SIZE, SHARDS, EmbeddedLists, SharedLists, shared_server

OLD, NEW, OTHER = b"the secret before", b"the secret from now on", b"a third one"
BOTH = Keyer(NEW, Keyer(OLD))
ONLY_OLD, ONLY_NEW = Keyer(OLD), Keyer(NEW)
PEOPLE = ["anna@example.com", "Bert@Example.org", "carla@example.net"]

TwoKeyLists = EmbeddedLists | SharedLists


class Embedded(EmbeddedLists):
    """The embedded store, by any keyer."""

    def __init__(self, folder: Path, keyer: Keyer) -> None:
        self.folder = folder
        self.keyer = keyer
        self.origin = EmbeddedOrigin(folder, keyer, MAX_SIZE)
        self.replica = Replica(self.origin._environment, keyer)


class Shared(SharedLists):
    """The shared origin, by any keyer, with a replica of its own."""

    def __init__(self, folder: Path, keyer: Keyer) -> None:
        self.folder = folder
        self.prefix = folder.name
        self.keyer = keyer
        self.shards = open_lists(self.prefix, keyer)
        self.origin = SharedOrigin(self.shards, keyer)
        shutil.rmtree(folder, ignore_errors=True)
        copy_lists(self.shards, folder, keyer.secrets, MAX_SIZE, None, lambda _copied, _entries: None)
        self.use(folder)

    def use(self, folder: Path) -> None:
        """Go by the replica in a folder from now on."""
        self._environment = Environment(folder, MAX_SIZE, self.keyer.secrets, write=True)
        self.followed = FollowedReplica(self._environment, self.shards)
        self.replica = Replica(self._environment, self.keyer)

    def found_in_replica(self, address: str) -> list[Found]:
        """What is found now, without catching up before."""
        return self.replica.lookup(parse(address))


class Opener:
    """Opens the same lists with any secrets; one at a time, as one process must not open an LMDB file twice."""

    def __init__(self, kind: type[Embedded] | type[Shared], folder: Path) -> None:
        self._kind = kind
        self._folder = folder / f"test-{uuid.uuid4()}"
        self._opened: TwoKeyLists | None = None

    def __call__(self, keyer: Keyer) -> TwoKeyLists:
        self.close()
        self._opened = self._kind(self._folder, keyer)
        return self._opened

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


@contextmanager
def elsewhere(lists: TwoKeyLists, keyer: Keyer = BOTH) -> Iterator[Origin]:
    """The same lists as another process would have them. LMDB opens a file once in a process, so embedded in part."""
    if isinstance(lists, Shared):
        with closing(SharedOrigin(open_lists(lists.prefix, keyer), keyer)) as shared:
            yield shared
    elif isinstance(lists, Embedded):
        origin = copy(lists.origin)
        origin._keyer = keyer
        yield origin


def open_lists(prefix: str, keyer: Keyer) -> Shards:
    """The lists of a prefix on the tests' server, made where there are none."""
    client = RedisClient(Access(parse_origin_url(shared_server().url)))
    try:
        return open_shards(client, Layout(prefix, SHARDS, BUCKETS), keyer.secrets, HISTORY, create=True)
    except BaseException:
        client.close()
        raise


def refused(lists: TwoKeyLists, *addresses: str) -> list[bool]:
    """Whether addresses are refused, each."""
    return [bool(lists.lookup(address)) for address in addresses]


def rekey(lists: TwoKeyLists, subjects: Iterable[str], *, dry_run: bool = False) -> Rekeyed:
    """Change the secret of lists, and move what is named."""
    given = map(parse_subject, subjects)
    return lists.origin.rekey(given, lambda _phase, _done, _all: None, dry_run=dry_run)


def told(entry: Entry) -> tuple[object, ...]:
    """All of an entry but what tells its key."""
    identity = (entry.subject.kind, entry.reason, entry.scope, entry.list)
    return (*identity, entry.origin, entry.created, entry.expires, entry.strikes, entry.note)
