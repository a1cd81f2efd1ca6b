"""A replica and the chain of its origin's changes: what fits is taken in, what does not is told with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sendgate.entry import Add, RemoveList
from sendgate.keys import Keyer
from sendgate.store.chain import BrokenChainError, Cause, diagnose
from sendgate.store.errors import OriginLostError
from sendgate.store.followed import FollowedReplica
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from sendgate.store.tail import ChangeRecord, Changes, Looked, read_changes
from store.parts import SHARDS, SharedLists, add, entry, reasons, remove, shards_of, shared_server

USERS = [entry(f"user{number}@example.com") for number in range(40)]
NOON = 1_790_000_000.0
Content = dict[bytes, bytes]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    """Lists with entries in every shard, and a replica that has them."""
    opened = SharedLists(tmp_path / "replica")
    add(opened, *USERS)
    opened.catch_up()
    assert len(opened.replica_rows()) == len(USERS)
    yield opened
    opened.close()


def content(lists: SharedLists, shard: int | None = None) -> Content:
    """All that Redis has of the lists or of one shard."""
    client = shared_server().client
    stem = lists.prefix if shard is None else lists.shards.names[shard].stem
    return {key: client.dump(key) or b"" for key in client.scan_iter(match=f"{stem}:*", count=1000)}


def set_back(lists: SharedLists, before: Content, shard: int | None = None) -> None:
    """The lists, or one shard, as they were: as after a restore, or a server that took over and lacked the last."""
    client = shared_server().client
    client.delete(*content(lists, shard))
    for key, value in before.items():
        client.restore(key, 0, value)


def behind(lists: SharedLists) -> dict[int, list[ChangeRecord]]:
    """The changes that the replica has not yet taken in."""
    positions = {shard: mark.last for shard, mark in lists.followed.marks_but([]).items()}
    return read_changes(lists.shards, positions, 0.001)


def looked(lists: SharedLists, at: float = NOON) -> Looked:
    return Looked(at, lists.shards.marks_of(list(range(SHARDS))))


def shard_of(lists: SharedLists, subject: str) -> int:
    return lists.shards.layout.shard_of(Keyer().key(subject))


def told(call: Callable[[], object]) -> dict[int, Cause]:
    with pytest.raises(BrokenChainError) as broken:
        call()
    return broken.value.causes


def change_every_shard(lists: SharedLists, name: str = "more") -> None:
    lists.origin.apply([Add(entry(f"{name}{number}@example.com", list_name=name)) for number in range(40)])


def test_changes_that_follow_are_taken_in_in_their_order(lists: SharedLists) -> None:
    remove(lists, "user1@example.com")
    add(lists, entry("user1@example.com", expires=9))
    remove(lists, "user2@example.com")
    lists.followed.take_in(Changes(behind(lists)))
    assert lists.replica_rows() == lists.origin_rows()
    assert (reasons(lists, "user1@example.com"), reasons(lists, "user2@example.com")) == (["manual"], [])
    assert behind(lists) == {}


def test_changes_may_be_taken_in_record_by_record(lists: SharedLists) -> None:
    for number in range(5):
        add(lists, entry(f"new{number}@example.com"))
    for shard, records in behind(lists).items():
        for record in records:
            lists.followed.take_in(Changes({shard: [record]}))
    assert lists.replica_rows() == lists.origin_rows()


def test_the_position_is_the_origin_s_when_all_is_taken_in(lists: SharedLists) -> None:
    change_every_shard(lists)
    assert lists.replica.position() < lists.origin.position()
    lists.followed.take_in(Changes(behind(lists)))
    assert lists.replica.position() == lists.origin.position()


def test_an_origin_that_is_ahead_is_no_break(lists: SharedLists) -> None:
    change_every_shard(lists)
    lists.followed.compare(looked(lists).marks)
    assert diagnose(lists.shards, lists.followed.marks_but([])) == {}


def test_changes_that_were_trimmed_are_a_gap(lists: SharedLists) -> None:
    shard = shard_of(lists, "user1@example.com")
    add(lists, entry("user1@example.com", expires=5, list_name="a"))
    add(lists, entry("user1@example.com", expires=5, list_name="b"))
    shared_server().command("XTRIM", lists.shards.names[shard].changes, "MAXLEN", 1)
    changes = behind(lists)
    assert told(lambda: lists.followed.take_in(Changes(changes))) == {shard: Cause.GAP}
    lists.followed.compare(looked(lists).marks)
    assert diagnose(lists.shards, lists.followed.marks_but([])) == {shard: Cause.GAP}


def test_what_the_origin_keeps_of_its_changes_is_bounded_and_the_last_always_there(lists: SharedLists) -> None:
    scanty = Shards(lists.shards.client, lists.shards.layout, SHARDS * 200)
    scanty.look()
    origin = SharedOrigin(scanty, Keyer())
    origin.apply([Add(entry(f"new{number}@example.com")) for number in range(100)])
    for number in range(40):
        origin.apply([Add(entry(f"later{number}@example.com"))])
    for names in lists.shards.names:
        assert 1 <= shared_server().command("XLEN", names.changes) <= 3
    assert set(told(lists.catch_up).values()) == {Cause.GAP}


def test_a_record_that_is_left_out_is_a_gap_and_changes_nothing(lists: SharedLists) -> None:
    before, marks = lists.replica_rows(), lists.followed.marks_but([])
    for number in range(40):
        add(lists, entry("user1@example.com", list_name=f"list{number}"))
    ((shard, records),) = behind(lists).items()
    assert told(lambda: lists.followed.take_in(Changes({shard: records[:3] + records[4:]}))) == {shard: Cause.GAP}
    assert (lists.replica_rows(), lists.followed.marks_but([])) == (before, marks)


def test_what_was_taken_in_already_is_not_taken_in_again(lists: SharedLists) -> None:
    add(lists, entry("new@example.com"))
    changes = behind(lists)
    lists.followed.take_in(Changes(changes))
    assert set(told(lambda: lists.followed.take_in(Changes(changes))).values()) == {Cause.LOST_WRITES}


def test_an_origin_that_is_set_back_has_lost_writes(lists: SharedLists) -> None:
    before = content(lists)
    change_every_shard(lists)
    lists.catch_up()
    set_back(lists, before)
    assert told(lambda: lists.followed.compare(looked(lists).marks)) == dict.fromkeys(range(SHARDS), Cause.LOST_WRITES)


def test_an_origin_that_was_set_back_and_written_to_has_lost_writes(lists: SharedLists) -> None:
    before = content(lists)
    change_every_shard(lists, "lost")
    lists.catch_up()
    set_back(lists, before)
    change_every_shard(lists, "new")
    lists.followed.compare(looked(lists).marks)
    assert diagnose(lists.shards, lists.followed.marks_but([])) == dict.fromkeys(range(SHARDS), Cause.LOST_WRITES)
    for shard, records in behind(lists).items():
        assert told(partial(lists.followed.take_in, Changes({shard: records}))) == {shard: Cause.LOST_WRITES}


def test_only_the_shard_that_was_set_back_is_told(lists: SharedLists) -> None:
    shard = shard_of(lists, "user1@example.com")
    before = content(lists, shard)
    change_every_shard(lists)
    lists.catch_up()
    set_back(lists, before, shard)
    assert told(lambda: lists.followed.compare(looked(lists).marks)) == {shard: Cause.LOST_WRITES}


def test_an_origin_that_was_set_back_to_where_the_replica_is_has_lost_nothing(lists: SharedLists) -> None:
    before = content(lists)
    change_every_shard(lists)
    set_back(lists, before)
    lists.followed.compare(looked(lists).marks)
    assert behind(lists) == {}


def test_an_origin_that_was_made_anew_is_a_new_epoch(lists: SharedLists) -> None:
    shared_server().client.delete(*content(lists))
    again = shards_of(lists.prefix)
    assert told(lambda: lists.followed.compare(looked(lists).marks)) == dict.fromkeys(range(SHARDS), Cause.NEW_EPOCH)
    SharedOrigin(again, Keyer()).apply([Add(one) for one in USERS])
    assert set(told(lambda: lists.followed.compare(looked(lists).marks)).values()) == {Cause.NEW_EPOCH}
    again.client.close()


def test_a_shard_that_is_gone_is_never_in_step(lists: SharedLists) -> None:
    lists.followed.note(looked(lists))
    gone = shard_of(lists, "user1@example.com")
    shared_server().client.delete(*content(lists, gone))
    lists.followed.compare(looked(lists).marks)
    with pytest.raises(OriginLostError, match=f"shard {gone} of {SHARDS} is gone"):
        lists.followed.note(looked(lists))
    assert lists.followed.in_step_at([gone]) is None
    assert diagnose(lists.shards, lists.followed.marks_but([])) == {gone: Cause.NEW_EPOCH}


def test_a_replica_that_has_all_is_in_step_since_it_was_asked(lists: SharedLists) -> None:
    assert lists.followed.in_step_at([]) is None
    lists.followed.note(looked(lists, NOON))
    assert lists.followed.in_step_at([]) == NOON
    lists.followed.note(looked(lists, NOON + 1))
    assert lists.followed.in_step_at([]) == NOON + 1


def test_a_replica_that_is_behind_is_as_old_as_it_was_until_it_has_taken_in_what_was_seen(lists: SharedLists) -> None:
    lists.followed.note(looked(lists, NOON))
    change_every_shard(lists)
    lists.followed.note(looked(lists, NOON + 1))
    change_every_shard(lists, "later")
    lists.followed.note(looked(lists, NOON + 2))
    assert lists.followed.in_step_at([]) == NOON
    lists.followed.take_in(Changes({shard: records[:1] for shard, records in behind(lists).items()}))
    assert lists.followed.in_step_at([]) == NOON + 1
    lists.followed.take_in(Changes(behind(lists)))
    lists.followed.note(looked(lists, NOON + 3))
    assert lists.followed.in_step_at([]) == NOON + 3


def test_a_replica_is_as_old_as_its_oldest_shard(lists: SharedLists) -> None:
    lists.followed.note(looked(lists, NOON))
    late = shard_of(lists, "user1@example.com")
    add(lists, entry("user1@example.com", list_name="new"))
    lists.followed.note(looked(lists, NOON + 1))
    assert lists.followed.in_step_at([]) == NOON
    lists.followed.take_in(Changes({late: behind(lists)[late]}))
    assert lists.followed.in_step_at([]) == NOON + 1


def test_a_replica_that_is_opened_again_goes_on_where_it_was(lists: SharedLists) -> None:
    marks = lists.followed.marks_but([])
    again = FollowedReplica(lists._environment, lists.shards)
    assert again.marks_but([]) == marks
    change_every_shard(lists)
    again.take_in(Changes(behind(lists)))
    assert lists.replica_rows() == lists.origin_rows()
    assert again.in_step_at([]) is None


def test_a_list_removed_at_the_origin_is_gone_from_the_replica(lists: SharedLists) -> None:
    change_every_shard(lists)
    lists.origin.apply([RemoveList("more")])
    lists.catch_up()
    assert lists.followed.figures() == (len(USERS), 0)
    assert lists.replica_rows() == lists.origin_rows()
