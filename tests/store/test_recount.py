"""Counts of a shared origin that evictions have put wrong: put right, while others write, and never too soon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sendgate.entry import Add
from sendgate.keys import Keyer
from sendgate.store.counted import OriginLackingError, Recounted, ShardBusyError, ShardCount, recount
from sendgate.store.errors import OriginLostError
from sendgate.store.repair import Repair, Repaired
from sendgate.store.shared import SharedOrigin
from store.evicting import copy_of, evict, in_shard, is_whole, no_progress, recounted, shard_of, trim
from store.order import assert_in_order
from store.parts import SHARDS, SharedLists, add, entry, remove, shards_of, shared_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", "stream:news", "partners") for number in range(400)]
MORE = [entry(f"more{number}@example.com", "trap", list_name=f"list{number % 3}") for number in range(100)]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    add(opened, *USERS, *MORE)
    opened.catch_up()
    yield opened
    opened.close()


def content(lists: SharedLists) -> dict[bytes, bytes]:
    """All that Redis has of the lists."""
    client = shared_server().client
    return {key: client.dump(key) or b"" for key in client.scan_iter(match=f"{lists.prefix}:*", count=1000)}


def counts(lists: SharedLists) -> list[int]:
    """How many entries each shard counts."""
    return [sum(one.values()) for one in lists.shards.counted(range(SHARDS)).values()]


def repaired(lists: SharedLists, *, dry_run: bool = False) -> Repaired:
    lists.shards.look()
    return Repair(lists.shards, lists._environment, b"", dry_run=dry_run).write_back(no_progress)


def read_one(lists: SharedLists, shard: int, step: int = 4) -> ShardCount:
    count = ShardCount(lists.shards, shard, step)
    count.read()
    return count


def test_counts_that_fit_are_let_alone(lists: SharedLists) -> None:
    before = content(lists)
    assert recounted(lists.shards) == []
    assert content(lists) == before


def test_counts_are_put_right_shard_by_shard_and_told(lists: SharedLists, tmp_path: Path) -> None:
    before, shard = counts(lists), shard_of(lists, USERS[7])
    gone = evict(lists, [USERS[7]])
    assert recounted(lists.shards) == [Recounted(shard, before[shard], before[shard] - gone)]
    assert_same_counts(lists)
    assert is_whole(lists, tmp_path / "new")


def assert_same_counts(lists: SharedLists) -> None:
    """What is counted is what there is, by label and kind: nothing is wrong any more."""
    for shard in range(SHARDS):
        count = read_one(lists, shard)
        count.settle()
        assert count.wrong() is None
    assert sum(lists.origin.counts().values()) == len(lists.origin_rows())


def test_counts_that_are_gone_or_of_nothing_are_put_right(lists: SharedLists) -> None:
    client, names = shared_server().client, lists.shards.names
    client.delete(names[0].counts)
    client.hset(names[1].counts, b"a label" + b"!" + b"\0", 7)
    recounted(lists.shards)
    assert_same_counts(lists)
    assert_in_order(lists)


def test_a_shard_without_entries_counts_none(lists: SharedLists) -> None:
    evict(lists, [*USERS, *MORE])
    assert [one.found for one in recounted(lists.shards)] == [0] * SHARDS
    assert not any(shared_server().client.exists(names.counts) for names in lists.shards.names)


def test_recounting_changes_nothing_but_counts(lists: SharedLists) -> None:
    evict(lists, USERS[:20])
    before = content(lists)
    recounted(lists.shards)
    after = content(lists)
    assert {key for key in before | after if before.get(key) != after.get(key)} <= {
        names.counts.encode() for names in lists.shards.names
    }


def test_what_is_written_while_a_shard_is_counted_is_counted_once(lists: SharedLists) -> None:
    evict(lists, USERS[:20])
    read = [read_one(lists, shard) for shard in range(SHARDS)]
    remove(lists, USERS[100].subject.text)
    add(lists, *USERS[:10], *(entry(f"late{number}@example.com", "role") for number in range(50)))
    recount(read)
    assert_same_counts(lists)


def test_changes_that_were_trimmed_while_a_shard_is_counted_have_it_counted_again(lists: SharedLists) -> None:
    evict(lists, USERS[:20])
    read = [read_one(lists, shard) for shard in range(SHARDS)]
    for number in range(3):
        add(lists, *(entry(f"late{number}.{n}@example.com", "role") for n in range(50)))
    trim(lists)
    recount(read)
    assert_same_counts(lists)


def test_counts_are_not_set_when_the_shard_has_changed(lists: SharedLists) -> None:
    [mark] = lists.shards.marks_of([0]).values()
    assert mark
    add(lists, *(entry(f"late{number}@example.com", "role") for number in range(50)))
    before = counts(lists)
    assert not lists.shards.set_counts(0, mark, {b"8octets!\0": 1})
    assert not lists.shards.set_counts(0, lists.shards.look()[0]._replace(epoch=b"other"), {})  # type: ignore[union-attr]
    assert counts(lists) == before


def test_recounting_while_others_write_ends_with_counts_that_fit(
    lists: SharedLists, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evict(lists, USERS[:50])
    writes = iter(range(200))
    packed_rows = lists.shards.packed_rows

    def and_write(shard: int, buckets: range) -> bytes:
        """Read; somebody writes after each third time, until he has done."""
        found = packed_rows(shard, buckets)
        number = next(writes, 1)
        if number % 3 == 0:
            other.apply([Add(entry(f"busy{number}.{n}@example.com")) for n in range(3)])
        return found

    with closing(SharedOrigin(shards_of(lists.prefix), Keyer())) as other:
        monkeypatch.setattr(lists.shards, "packed_rows", and_write)
        recounted(lists.shards)
    monkeypatch.undo()
    assert_same_counts(lists)
    assert is_whole(lists, tmp_path / "new")


def test_a_shard_that_never_stands_still_is_not_counted_and_told(
    lists: SharedLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of(lists, USERS[7])
    evict(lists, [USERS[7]])
    busy = iter(in_shard(lists, shard, (entry(f"busy{number}@example.com") for number in range(1000))))
    count, before, counted = read_one(lists, shard), counts(lists), lists.shards.counted

    def and_write(shards: list[int]) -> dict[int, dict[bytes, int]]:
        add(lists, next(busy))
        return counted(shards)

    monkeypatch.setattr(lists.shards, "counted", and_write)
    with pytest.raises(ShardBusyError, match="others change it all the time; try again"):
        count.put_right()
    monkeypatch.undo()
    assert counts(lists)[shard] > before[shard]


def test_a_shard_that_is_made_anew_meanwhile_is_counted_again(lists: SharedLists) -> None:
    shard = shard_of(lists, USERS[7])
    read = read_one(lists, shard)
    shared_server().client.delete(*(key for key in content(lists) if lists.shards.names[shard].stem.encode() in key))
    with pytest.raises(OriginLostError, match=f"shard {shard} of {SHARDS} is gone"):
        read.put_right()
    repaired(lists)
    shared_server().client.delete(lists.shards.names[shard].counts)
    assert read.put_right() == Recounted(shard, 0, len(in_shard(lists, shard, [*USERS, *MORE])))


def test_a_copy_is_whole_after_a_repair_from_a_replica_that_nobody_had_compared(
    lists: SharedLists, tmp_path: Path
) -> None:
    """What the replica has is written back though it does not know yet that it is lost: `store.audit` takes days."""
    gone = evict(lists, USERS[:50])
    with pytest.raises(OriginLackingError):
        copy_of(lists, tmp_path / "refused")
    done = repaired(lists)
    assert (done.applied.added, done.lacking) == (gone, [])
    assert sum(one.counted - one.found for one in done.recounted) == gone
    assert is_whole(lists, tmp_path / "new")
    assert_in_order(lists)
    assert repaired(lists, dry_run=True) == Repaired()


def test_a_repair_from_a_replica_that_lacks_entries_too_leaves_the_counts(lists: SharedLists, tmp_path: Path) -> None:
    late = [entry(f"late{number}@example.com") for number in range(40)]
    add(lists, *late)  # which this replica never hears of: its follower has ended
    trim(lists)
    evict(lists, late)
    done = repaired(lists)
    assert {one.shard for one in done.lacking} == {shard_of(lists, one) for one in late}
    assert done.recounted == []
    with pytest.raises(OriginLackingError):
        copy_of(lists, tmp_path / "refused")
    recounted(lists.shards)
    assert is_whole(lists, tmp_path / "new")


def test_a_repair_leaves_the_counts_of_entries_that_were_added_again_to_a_recount(
    lists: SharedLists, tmp_path: Path
) -> None:
    """Two losses look alike by the counts: entries that came back otherwise, and entries that nobody has here."""
    gone = evict(lists, [USERS[7]])
    add(lists, *USERS, *MORE)
    done = repaired(lists)
    assert [one.counted - one.found for one in done.lacking] == [gone]
    recounted(lists.shards)
    assert repaired(lists) == Repaired()
    assert is_whole(lists, tmp_path / "new")


def test_what_was_removed_meanwhile_is_not_written_back_to_a_shard_that_lacks_entries(lists: SharedLists) -> None:
    shard = shard_of(lists, USERS[7])
    [removed, *_] = [one for one in in_shard(lists, shard, USERS) if one != USERS[7]]
    gone = evict(lists, [USERS[7]])
    add(lists, removed)
    remove(lists, removed.subject.text)  # and the replica has not heard of it yet
    repaired(lists)
    assert lists.origin.get(removed.subject) == []
    assert gone
    assert [one.reason for one in lists.origin.get(USERS[7].subject)] == ["hard_bounce"]


def test_a_repair_puts_counts_that_were_lost_right(lists: SharedLists) -> None:
    shared_server().client.delete(lists.shards.names[2].counts)
    done = repaired(lists)
    assert ([one.shard for one in done.recounted], done.applied.added) == ([2], 0)
    assert_same_counts(lists)


def test_a_dry_run_of_a_repair_tells_what_is_lost_and_changes_nothing(lists: SharedLists) -> None:
    gone = evict(lists, USERS[:20])
    before = content(lists)
    done = repaired(lists, dry_run=True)
    assert (done.applied.added, done.recounted) == (gone, [])
    assert content(lists) == before
