"""Buckets that vanish from Redis behind everybody's back, as when it evicts keys; and new copies of what is left.

In: lists on the tests' server. Out: which shards lost something; the copy, or its error.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from sendgate.entry import Entry
from sendgate.keys import Keyer
from sendgate.store.copying import copy_lists
from sendgate.store.counted import Recounted, count_all, recount
from sendgate.store.environment import Environment
from sendgate.store.shards import Shards
from store.parts import MAX_SIZE, SharedLists, rows_of_replica, shared_server


def shard_of(lists: SharedLists, one: Entry) -> int:
    return lists.shards.layout.shard_of(Keyer().subject_key(one.subject, False))


def bucket_of(lists: SharedLists, one: Entry) -> str:
    """The name of the bucket that an entry is in."""
    key = Keyer().subject_key(one.subject, False)
    return lists.shards.names[shard_of(lists, one)].bucket(lists.shards.layout.bucket_of(key))


def evict(lists: SharedLists, entries: Iterable[Entry]) -> int:
    """Delete the buckets of some entries. Returns how many entries went with them."""
    client = shared_server().client
    names = {bucket_of(lists, one) for one in entries}
    gone = sum(client.hlen(name) for name in names)
    client.delete(*names)
    return gone


def trim(lists: SharedLists) -> None:
    """Leave no change of any stream but the last."""
    for names in lists.shards.names:
        shared_server().command("XTRIM", names.changes, "MAXLEN", 1)


def in_shard(lists: SharedLists, shard: int, entries: Iterable[Entry]) -> list[Entry]:
    return [one for one in entries if shard_of(lists, one) == shard]


def copy_of(lists: SharedLists, folder: Path, previous: Environment | None = None) -> Environment:
    """A new copy, as a pod makes it; previous: the replica that it has already."""
    copy_lists(lists.shards, folder, b"", MAX_SIZE, previous, no_progress)
    return Environment(folder, MAX_SIZE, b"", write=True)


def is_whole(lists: SharedLists, folder: Path) -> bool:
    """Whether a pod without a replica takes a copy, which then has all that there is."""
    with closing(copy_of(lists, folder)) as copy:
        return rows_of_replica(copy) == lists.origin_rows()


def recounted(shards: Shards) -> list[Recounted]:
    """What `repair --recount` does."""
    shards.look()
    return recount(count_all(shards, no_progress))


def no_progress(*_: object) -> None: ...
