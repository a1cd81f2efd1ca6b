"""A follower without a replica before an origin that lacks entries: never takes it for whole, and spares it copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sendgate.entry import Entry
from sendgate.store import follow
from sendgate.store.copying import copy_lists
from sendgate.store.errors import StoreMissingError
from sendgate.store.follow import Follower, FollowPlan
from sendgate.store.opening import open_shards
from sendgate.store.redis_client import Argument, Key, RedisClient
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.shards import Shards
from store.evicting import bucket_of, evict, in_shard, no_progress, recounted, shard_of
from store.parts import HISTORY, MAX_SIZE, SharedLists, add, entry, shared_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", "stream:news", "partners") for number in range(400)]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    add(opened, *USERS)
    yield opened
    opened.close()


class Counters:
    """The metrics that a follower keeps; here nobody looks at them."""

    def origin_up(self, up: bool) -> None: ...
    def resync(self, cause: str) -> None: ...
    def diverged(self, entries: int) -> None: ...


class BusyClient(RedisClient):
    """A connection while whose user reads rows others write."""

    def __init__(self, known: RedisClient, write: Callable[[], object]) -> None:
        super().__init__(known.access)
        self._write = write

    def run(self, name: str, keys: Iterable[Key], arguments: Iterable[Argument] = ()) -> Any:
        answer = super().run(name, keys, arguments)
        if name == "rows":
            self._write()
        return answer


class Pod:
    """A follower with a folder of its own. write: what others do whenever it has read rows."""

    def __init__(self, lists: SharedLists, folder: Path, write: Callable[[], object] = lambda: None) -> None:
        self.folder = ReplicaFolder(folder)
        self._lists = lists
        self._write = write
        plan = FollowPlan(self.connect, self.folder, b"", MAX_SIZE, spread=0)
        self._follower = Follower(plan, Counters())

    def connect(self) -> Shards:
        known = self._lists.shards
        return open_shards(BusyClient(known.client, self._write), known.layout, b"", HISTORY)

    def follow(self) -> list[str]:
        """Let it follow until it has a replica, or fails. Returns the events that it tells."""
        with capture_logs() as told:
            self._follower.run(lambda seconds: seconds > 0 or self.has_replica())
        return [str(line["event"]) for line in told]

    def has_replica(self) -> bool:
        try:
            self.folder.current()
        except StoreMissingError:
            return False
        return True


def refreshing(lists: SharedLists, entries: list[Entry]) -> Callable[[], object]:
    """Makes all of some entries a little otherwise, time after time."""
    strikes = count(2)

    def write() -> object:
        now = next(strikes)
        return add(lists, *(replace(one, strikes=now) for one in entries))

    return write


def test_a_loss_that_is_hidden_by_those_who_write_during_the_copy_is_found_at_its_end(
    lists: SharedLists, tmp_path: Path
) -> None:
    others = [one for one in USERS if bucket_of(lists, one) != bucket_of(lists, USERS[7])]
    lost = evict(lists, [USERS[7]])
    assert lost < len(in_shard(lists, shard_of(lists, USERS[7]), others))
    pod = Pod(lists, tmp_path / "pod", refreshing(lists, others))
    with closing(pod.connect()) as shards:
        copy_lists(shards, tmp_path / "copy", b"", MAX_SIZE, None, no_progress)  # does not notice
    assert pod.follow() == ["resync_started", "following_interrupted"]
    assert not pod.has_replica()
    recounted(lists.shards)
    pod.follow()
    assert pod.has_replica()


def test_those_who_write_during_a_copy_raise_no_false_alarm(lists: SharedLists, tmp_path: Path) -> None:
    pod = Pod(lists, tmp_path / "pod", refreshing(lists, USERS))
    assert pod.follow() == ["resync_started", "resync_done", "following"]


def test_lists_that_lack_entries_are_not_copied_again_before_it_can_help(lists: SharedLists, tmp_path: Path) -> None:
    evict(lists, [USERS[7]])
    pod = Pod(lists, tmp_path / "pod")
    assert pod.follow() == ["resync_started", "following_interrupted"]
    assert pod.follow() == []
    refreshing(lists, USERS[:2])()
    assert pod.follow() == []
    recounted(lists.shards)
    assert pod.follow() == ["resync_started", "resync_done", "following"]


def test_lists_that_lacked_entries_are_copied_again_some_time_as_they_may_be_back_unheard(
    lists: SharedLists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_LACKING_SECONDS", 0)
    client, bucket = shared_server().client, bucket_of(lists, USERS[7])
    dump = client.dump(bucket)
    assert dump is not None
    client.delete(bucket)
    pod = Pod(lists, tmp_path / "pod")
    assert pod.follow() == ["resync_started", "following_interrupted"]
    assert pod.follow() == ["resync_started"]
    client.restore(bucket, 0, dump)
    assert pod.follow() == ["resync_started", "resync_done", "following"]
