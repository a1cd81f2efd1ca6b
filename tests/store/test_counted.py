"""A copy of an origin that has fewer entries than it counts is never taken for whole; writers raise no false alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest

from sendgate.entry import Add, Change, Remove, RemoveList, parse_subject
from sendgate.keys import Keyer
from sendgate.store.counted import OriginLackingError, lacking
from sendgate.store.environment import Environment
from sendgate.store.origin import LoadOptions
from sendgate.store.redis_client import Argument, Key, RedisClient
from sendgate.store.replica_writer import count_kept
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from store.evicting import bucket_of, copy_of, evict, in_shard, is_whole, recounted, shard_of, trim
from store.order import assert_counts_are_those_of_the_entries
from store.parts import HISTORY, NOW, SHARDS, SharedLists, add, entry, load, remove, rows, shards_of, shared_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", "stream:news", "partners") for number in range(400)]
WRITERS, COPIES, SEEDS = 3, 80, 25


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    add(opened, *USERS)
    opened.catch_up()
    yield opened
    opened.close()


def kept(environment: Environment) -> int:
    with environment.begin() as txn:
        return count_kept(txn, environment)


def test_a_copy_that_lacks_a_bucket_is_refused_and_says_what_to_do(lists: SharedLists, tmp_path: Path) -> None:
    shard = shard_of(lists, USERS[7])
    counted = len(in_shard(lists, shard, USERS))
    left = counted - evict(lists, [USERS[7]])
    with pytest.raises(OriginLackingError) as refused:
        copy_of(lists, tmp_path / "new")
    told = str(refused.value)
    assert f"shard {shard} of {SHARDS} has lost entries: it counts {counted}, and {left} were found;" in told
    assert "`sendgate repair --from-replica` in a pod that still has them" in told
    assert "`sendgate repair --recount`" in told


def test_a_copy_that_lacks_parts_of_several_shards_says_how_many(lists: SharedLists, tmp_path: Path) -> None:
    evict(lists, USERS)
    with pytest.raises(OriginLackingError, match="and 3 more shards likewise"):
        copy_of(lists, tmp_path / "new")


def test_an_entry_that_was_deleted_by_hand_is_missed(lists: SharedLists, tmp_path: Path) -> None:
    bucket = bucket_of(lists, USERS[7])
    [field, *_] = shared_server().client.hkeys(bucket)
    shared_server().client.hdel(bucket, field)
    with pytest.raises(OriginLackingError):
        copy_of(lists, tmp_path / "new")


def test_a_copy_of_all_that_is_counted_is_whole(lists: SharedLists, tmp_path: Path) -> None:
    assert is_whole(lists, tmp_path / "new")


def test_where_the_counts_are_lost_nobody_knows_what_else_is(lists: SharedLists, tmp_path: Path) -> None:
    evict(lists, USERS[:50])
    shared_server().client.delete(*(names.counts for names in lists.shards.names))
    with pytest.raises(OriginLackingError, match="it counts 0, and "):
        copy_of(lists, tmp_path / "refused")
    recounted(lists.shards)
    assert is_whole(lists, tmp_path / "new")


def test_entries_that_are_added_again_leave_the_copy_refused_until_the_counts_are_put_right(
    lists: SharedLists, tmp_path: Path
) -> None:
    evict(lists, USERS[:50])
    add(lists, *USERS)
    with pytest.raises(OriginLackingError):
        copy_of(lists, tmp_path / "refused")
    recounted(lists.shards)
    assert is_whole(lists, tmp_path / "new")


def test_a_copy_after_a_gap_keeps_what_was_evicted(lists: SharedLists, tmp_path: Path) -> None:
    add(lists, *(entry(f"since{number}@example.com") for number in range(40)))
    trim(lists)
    evicted = {bucket_of(lists, one) for one in USERS[:50]}
    evict(lists, USERS[:50])
    with closing(copy_of(lists, tmp_path / "new", lists._environment)) as copy:
        assert kept(copy) == sum(bucket_of(lists, one) in evicted for one in USERS)


def test_a_copy_after_a_gap_trusts_the_shards_that_lack_nothing(lists: SharedLists, tmp_path: Path) -> None:
    lacks = shard_of(lists, USERS[7])
    [removed, *_] = [one for one in USERS if shard_of(lists, one) != lacks]
    lists.origin.apply([Remove(removed.subject)])
    trim(lists)
    gone = evict(lists, [USERS[7]])
    with closing(copy_of(lists, tmp_path / "new", lists._environment)) as copy:
        assert kept(copy) == gone


def test_a_shard_that_was_set_back_or_made_anew_is_not_judged_by_its_counts(lists: SharedLists) -> None:
    [mark] = lists.shards.marks_of([0]).values()
    assert mark is not None
    assert lacking(lists.shards, {0: mark}, 0)
    assert lacking(lists.shards, {0: mark._replace(sequence=mark.sequence + 1)}, 0) is None
    assert lacking(lists.shards, {0: mark._replace(epoch=b"other")}, 0) is None


def _add(lists: SharedLists) -> object:
    return add(lists, *(entry(f"new{number}@example.com", "trap") for number in range(50)))


def _remove(lists: SharedLists) -> object:
    return [remove(lists, one.subject.text) for one in USERS[:50]]


def _refresh(lists: SharedLists) -> object:
    return add(lists, *(entry(one.subject.text, "hard_bounce", "stream:news", "partners", strikes=9) for one in USERS))


def _import(lists: SharedLists) -> object:
    like = entry("like@example.com", "hard_bounce", "stream:news", "partners")
    return load(lists, rows((f"user{number}@example.com" for number in range(20, 500)), like), replace="partners")


def _remove_list(lists: SharedLists) -> object:
    return lists.origin.apply([RemoveList("partners")])


def _put_back_shorter(lists: SharedLists) -> object:
    """What `undo` does."""
    changes: list[Change] = []
    for one in USERS[:50]:
        shorter = entry(one.subject.text, "hard_bounce", "stream:news", "partners", expires=NOW + 60)
        changes += [Remove(one.subject, one.reason, one.scope, one.list), Add(shorter)]
    return lists.origin.apply(changes)


def _sweep(lists: SharedLists) -> object:
    add(lists, *(entry(f"short{number}@example.com", expires=NOW) for number in range(50)))
    return lists.sweep(NOW)


def _tell_the_kind(lists: SharedLists) -> object:
    """An entry that was taken for one about an address turns out to be about a local part."""
    add(lists, entry(f"key:{Keyer().key('abuse@').hex()}"))
    return add(lists, entry("abuse@"))


@pytest.mark.parametrize(
    "change", [_add, _remove, _refresh, _import, _remove_list, _put_back_shorter, _sweep, _tell_the_kind]
)
def test_after_any_change_there_are_as_many_entries_as_are_counted(
    lists: SharedLists, change: Callable[[SharedLists], object], tmp_path: Path
) -> None:
    change(lists)
    assert_counts_are_those_of_the_entries(lists)
    assert is_whole(lists, tmp_path / "new")


def anything(chance: Random) -> Callable[[SharedOrigin], object]:
    """Some change: adding, adding again, removing, importing, sweeping."""
    subjects = [f"user{chance.randrange(500)}@example.com" for _ in range(chance.randrange(1, 30))]
    like = entry("x@example.com", chance.choice(["trap", "manual"]), expires=NOW + chance.randrange(99))
    kind = chance.randrange(6)
    if kind == 0:
        return lambda origin: origin.load(rows(subjects, like), LoadOptions(), lambda _phase, _done, _all: None)
    if kind == 1:
        return lambda origin: origin.sweep(NOW + chance.randrange(99))
    if kind < 4:
        return lambda origin: origin.apply([Remove(parse_subject(subject)) for subject in subjects])
    return lambda origin: origin.apply(
        [Add(entry(subject, like.reason, expires=like.expires, strikes=chance.randrange(1, 9))) for subject in subjects]
    )


class Busy:
    """Writers that change something all the time, each over a connection of its own. A context manager."""

    def __init__(self, lists: SharedLists) -> None:
        self._end = Event()
        self._threads = [Thread(target=self._write, args=(lists.prefix, Random(seed))) for seed in range(WRITERS)]
        self.written = 0
        self.errors: list[BaseException] = []

    def __enter__(self) -> Busy:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _write(self, prefix: str, chance: Random) -> None:
        try:
            with closing(SharedOrigin(shards_of(prefix), Keyer(), sweep_lease_seconds=1)) as origin:
                while not self._end.is_set():
                    anything(chance)(origin)
                    self.written += 1
        except BaseException as error:
            self.errors.append(error)
            raise


def test_writers_that_never_rest_raise_no_false_alarm(lists: SharedLists, tmp_path: Path) -> None:
    with Busy(lists) as busy:
        for number in range(COPIES):
            copy_of(lists, tmp_path / f"copy{number}").close()
    assert busy.errors == []
    assert busy.written > COPIES
    assert_counts_are_those_of_the_entries(lists)


class InterruptedClient(RedisClient):
    """A connection whose user is interrupted before and after whatever it reads."""

    def __init__(self, known: RedisClient, interrupt: Callable[[], object]) -> None:
        super().__init__(known.access)
        self._interrupt = interrupt

    def run(self, name: str, keys: Iterable[Key], arguments: Iterable[Argument] = ()) -> Any:
        self._interrupt()
        answer = super().run(name, keys, arguments)
        self._interrupt()
        return answer

    def hashes(self, keys: Iterable[Key]) -> list[dict[bytes, bytes]]:
        self._interrupt()
        answer = super().hashes(keys)
        self._interrupt()
        return answer


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_change_at_any_moment_of_a_copy_raises_no_false_alarm(lists: SharedLists, seed: int, tmp_path: Path) -> None:
    chance = Random(seed)

    def interrupt() -> None:
        if chance.random() < 0.3:
            anything(chance)(other)

    with (
        closing(SharedOrigin(shards_of(lists.prefix), Keyer())) as other,
        closing(InterruptedClient(lists.shards.client, interrupt)) as client,
    ):
        lists.shards = Shards(client, lists.shards.layout, HISTORY)
        copy_of(lists, tmp_path / "new").close()
