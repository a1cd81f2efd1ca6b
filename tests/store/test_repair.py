"""A shared origin that has lost something, and what a pod's replica writes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sendgate.entry import Add, Entry, parse_subject
from sendgate.keys import Keyer
from sendgate.store.copying import copy_lists
from sendgate.store.environment import Environment
from sendgate.store.layout import Layout
from sendgate.store.opening import open_shards
from sendgate.store.origin import Applied
from sendgate.store.repair import Repair, Repaired
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from store.parts import MAX_SIZE, NOW, SharedLists, add, entry, reasons, remove, shared_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", "stream:news", "partners") for number in range(100)]
Backup = dict[bytes, bytes]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    yield opened
    opened.close()


def keys(lists: SharedLists, shard: int | None = None) -> list[bytes]:
    """All keys of the lists in Redis, or of one shard."""
    stem = lists.shards.layout.prefix if shard is None else lists.shards.names[shard].stem
    return list(shared_server().client.scan_iter(match=f"{stem}:*", count=1000))


def wipe(lists: SharedLists, shard: int | None = None) -> None:
    shared_server().client.delete(*keys(lists, shard))


def back_up(lists: SharedLists) -> Backup:
    client = shared_server().client
    return {key: client.dump(key) or b"" for key in keys(lists)}


def restore(lists: SharedLists, backup: Backup) -> None:
    wipe(lists)
    for key, value in backup.items():
        shared_server().client.restore(key, 0, value)


def repaired(lists: SharedLists, *, dry_run: bool = False) -> Repaired:
    repair = Repair(lists.shards, lists._environment, b"", dry_run=dry_run)
    return repair.write_back(lambda _phase, _done, _all: None)


def by_key(one: Entry) -> tuple[bytes, Entry]:
    """An entry without what a replica does not know: its subject in clear, and its note."""
    key = Keyer().subject_key(one.subject, False)
    return key, Entry(
        parse_subject(f"key:{key.hex()}"), one.reason, one.scope, one.list, one.origin,
        one.created, one.expires, one.strikes,
    )  # fmt: skip


def test_an_origin_that_lost_nothing_is_left_as_it_is(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    before = lists.origin.position()
    assert repaired(lists) == Repaired()
    assert lists.origin.position() == before


def test_an_origin_that_lost_everything_gets_all_back(lists: SharedLists) -> None:
    given = [*USERS, entry("odd@example.com", "trap", expires=NOW + 60, strikes=3)]
    add(lists, *given)
    lists.catch_up()
    wipe(lists)
    done = repaired(lists)
    assert (done.shards, done.applied) == ([0, 1, 2, 3], Applied(added=101))
    assert sorted((Keyer().subject_key(one.subject, False), one) for one in lists.origin.scan()) == sorted(
        map(by_key, given), key=lambda pair: pair[0]
    )
    assert sum(lists.origin.counts().values()) == 101


def test_every_kind_of_subject_comes_back_as_what_it_was(lists: SharedLists) -> None:
    add(lists, entry("@example.com"), entry("@.example.net"), entry("abuse@"), entry("md5:" + 32 * "a"))
    kinds = lists.origin.kinds()
    lists.catch_up()
    wipe(lists)
    repaired(lists)
    assert lists.origin.kinds() == kinds
    matches = lists.origin.matches(parse_subject("anybody@mail.example.net").address)  # type: ignore[arg-type]
    assert [found.reason for found in matches.found] == ["manual"]


def test_a_lost_shard_is_made_anew_and_the_others_are_not_touched(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    lost = sum(lists.shards.layout.shard_of(by_key(one)[0]) == 2 for one in USERS)
    marks = lists.shards.look()
    wipe(lists, 2)
    done = repaired(lists)
    assert (done.shards, done.applied) == ([2], Applied(added=lost))
    after = lists.shards.look()
    assert [after[shard] for shard in (0, 1, 3)] == [marks[shard] for shard in (0, 1, 3)]
    assert sum(lists.origin.counts().values()) == 100


def test_an_older_backup_gets_what_came_after_it(lists: SharedLists) -> None:
    add(lists, *USERS[:50])
    backup = back_up(lists)
    add(lists, *USERS[50:], entry("user0@example.com", "hard_bounce", "stream:news", "partners", strikes=9))
    lists.catch_up()
    restore(lists, backup)
    assert repaired(lists).applied == Applied(added=50, refreshed=1, unchanged=49)
    assert [one.strikes for one in lists.origin.get(parse_subject("user0@example.com"))] == [9]


def test_what_was_removed_is_not_written_back(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    remove(lists, "user7@example.com")  # and the replica has not heard of it yet
    assert repaired(lists).applied == Applied()
    assert lists.origin.get(parse_subject("user7@example.com")) == []


def test_a_dry_run_tells_and_changes_nothing(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    wipe(lists)
    assert repaired(lists, dry_run=True).applied == Applied(added=100)
    assert keys(lists) == []


def test_an_entry_that_is_added_again_is_told_in_clear_again(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    wipe(lists)
    repaired(lists)
    assert add(lists, USERS[0]) == Applied(refreshed=1)
    assert lists.origin.get(USERS[0].subject) == [USERS[0]]


def test_lists_whose_layout_is_lost_are_opened_as_they_were_cut(lists: SharedLists) -> None:
    add(lists, *USERS)
    prefix = lists.shards.layout.prefix
    shared_server().client.delete(f"{prefix}:layout")
    for shards in (1, 16, 256):
        opened = open_shards(lists.shards.client, Layout(prefix, shards, 16), b"", 2**20, create=True)
        assert opened.layout == lists.shards.layout
        assert sum(SharedOrigin(opened, Keyer()).counts().values()) == 100


def test_a_kind_that_was_not_known_by_key_is_known_in_clear(lists: SharedLists) -> None:
    key = Keyer().key("abuse@")
    add(lists, entry(f"key:{key.hex()}"))  # as if it were an address
    assert reasons(lists, "abuse@example.com") == []
    assert add(lists, entry("abuse@")) == Applied(refreshed=1)
    assert reasons(lists, "abuse@example.com") == ["manual"]
    assert [kind.name for kind in lists.origin.kinds()] == ["LOCAL"]


def resynced(lists: SharedLists, folder: Path) -> Environment:
    """A new copy that keeps what the lists of all shards have lost."""
    copy_lists(lists.shards, folder, b"", MAX_SIZE, lists._environment, lambda _copied, _entries: None)
    return Environment(folder, MAX_SIZE, b"", write=True)


def reopened(lists: SharedLists) -> Shards:
    lists.shards.look()
    return lists.shards


def test_what_a_new_copy_keeps_is_written_back_or_given_up(lists: SharedLists, tmp_path: Path) -> None:
    add(lists, *USERS)
    lists.catch_up()
    backup = back_up(lists)
    add(lists, entry("lost@example.com", "trap"))
    lists.catch_up()
    restore(lists, backup)
    copy = resynced(lists, tmp_path / "copy")
    dry = Repair(reopened(lists), copy, b"", dry_run=True)
    assert dry.write_back(lambda _phase, _done, _all: None).applied == Applied(added=1)
    assert dry.give_up() == 1
    assert Repair(reopened(lists), copy, b"").give_up() == 1
    assert sum(lists.origin.counts().values()) == 100
    assert Repair(reopened(lists), copy, b"").write_back(lambda _phase, _done, _all: None).applied == Applied(added=1)
    copy.close()


def test_two_pods_that_repair_at_once_do_no_harm(lists: SharedLists) -> None:
    add(lists, *USERS)
    lists.catch_up()
    wipe(lists)
    first, second = (Repair(lists.shards, lists._environment, b"") for _ in range(2))
    first.write_back(lambda _phase, _done, _all: None)
    SharedOrigin(lists.shards, Keyer()).apply([Add(entry("new@example.com"))])
    done = second.write_back(lambda _phase, _done, _all: None)
    assert (done.applied.added, done.applied.unchanged) == (0, 100)
    assert sum(lists.origin.counts().values()) == 101
