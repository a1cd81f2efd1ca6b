"""A change of the secret of the shared origin, cut short anywhere and met by others: no recipient is ever released."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest

from sendgate.address import parse
from sendgate.entry import Add, Remove, parse_subject
from sendgate.keys import Keyer
from sendgate.store.copying import copy_lists
from sendgate.store.errors import WrongKeyError
from sendgate.store.followed import FollowedReplica, HeldUpError
from sendgate.store.opening import make_missing
from sendgate.store.redis_client import RedisClient
from sendgate.store.shards import Mark
from sendgate.store.shared import SharedOrigin
from sendgate.store.tail import Changes, Looked, read_changes
from store.parts import MAX_SIZE, NOW, SHARDS, add, entry, load, reasons, rows, shared_server
from store.two_keys import BOTH, ONLY_NEW, ONLY_OLD, Shared, open_lists, rekey

PEOPLE = [f"person{number}@example.com" for number in range(40)]


class KilledError(BaseException):
    """What stands for a kill: nothing of ours catches it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where lists under the secret before are, with some people."""
    folder = tmp_path / f"test-{uuid.uuid4()}"
    with closing(Shared(folder, ONLY_OLD)) as lists:
        add(lists, *(entry(person) for person in PEOPLE), entry("trap+x@gmail.com", "trap"), entry("@spam.example"))
    return folder


@pytest.fixture
def lists(folder: Path) -> Iterator[Shared]:
    with closing(Shared(folder, BOTH)) as opened:
        yield opened


def released(lists: Shared) -> list[str]:
    """Whom the replica lets pass, as it is now."""
    named = [*PEOPLE, "t.rap@gmail.com", "user@spam.example"]
    return [person for person in named if not lists.found_in_replica(person)]


def not_at_origin(folder: Path, keyer: Keyer) -> list[str]:
    """Who is not listed at the origin."""
    with closing(SharedOrigin(open_lists(folder.name, keyer), keyer)) as origin:
        return [person for person in PEOPLE if not origin.matches(parse(person)).matches]


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_moment_leaves_every_entry_in_force(
    folder: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """after: killed when the server has done what it was told, but before it could answer."""
    run, calls = RedisClient.run, 0

    def run_or_die(client: RedisClient, name: str, *arguments: Any) -> Any:
        nonlocal calls
        calls -= 1
        if not calls and not after:
            raise KilledError
        answer = run(client, name, *arguments)
        if not calls:
            raise KilledError
        return answer

    monkeypatch.setattr(RedisClient, "run", run_or_die)
    for step in count(1):
        with closing(SharedOrigin(open_lists(folder.name, BOTH), BOTH)) as origin:
            calls = step
            try:
                done = origin.rekey(map(parse_subject, PEOPLE), lambda _phase, _done, _all: None, dry_run=False)
                break
            except KilledError:
                assert not_at_origin(folder, BOTH) == []
    assert step > 2 * SHARDS
    assert (done.moved + done.already, done.unnamed) == (len(PEOPLE), 2)
    assert not_at_origin(folder, ONLY_NEW) == []


@pytest.mark.parametrize("order", list(permutations(range(SHARDS))))
def test_streams_that_are_read_in_any_order_release_nobody(lists: Shared, order: tuple[int, ...]) -> None:
    rekey(lists, [*PEOPLE, "trap@gmail.com", "@spam.example"])
    while behind := {shard: mark.last for shard, mark in lists.followed.marks_but([]).items()}:
        read = [read_changes(lists.shards, {shard: behind[shard]}, 0.001) for shard in order]
        for changes in read:
            for shard, records in changes.items():
                for record in records:
                    lists.followed.take_in(Changes({shard: [record]}))
                    assert released(lists) == []
        if not any(read):
            break
    assert released(lists) == []
    assert lists.replica_rows() == lists.origin_rows()


def test_a_list_that_is_replaced_meanwhile_releases_nobody_in_any_order_of_streams(lists: Shared) -> None:
    rekey(lists, [])
    load(lists, rows(PEOPLE, entry(PEOPLE[0])), replace="default", force=True)
    read = read_all(lists)
    for shard in sorted(read, reverse=True):
        for record in read[shard]:
            lists.followed.take_in(Changes({shard: [record]}))
            assert set(released(lists)) <= {"t.rap@gmail.com", "user@spam.example"}
    assert lists.replica_rows() == lists.origin_rows()


def test_what_waits_for_others_is_not_told_as_reached(lists: Shared) -> None:
    rekey(lists, PEOPLE)
    records = read_all(lists)
    waiting = next(shard for shard in records if any(record.after for record in records[shard]))
    lists.followed.take_in(Changes({waiting: records[waiting]}))
    assert lists.followed.marks[waiting].last != records[waiting][-1].id
    lists.followed.take_in(Changes({shard: records[shard] for shard in records if shard != waiting}))
    assert lists.followed.marks[waiting].last == records[waiting][-1].id
    assert released(lists) == []


def test_a_replica_that_is_closed_while_changes_wait_goes_on_where_it_was(lists: Shared) -> None:
    rekey(lists, PEOPLE)
    records = read_all(lists)
    for shard in list(records)[:2]:
        lists.followed.take_in(Changes({shard: records[shard]}))
    lists.followed = FollowedReplica(lists._environment, lists.shards)
    lists.catch_up()
    assert released(lists) == []
    assert lists.replica_rows() == lists.origin_rows()


def test_too_many_waiting_changes_are_read_again_later(lists: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendgate.store.followed._MOST_WAITING", 0)
    rekey(lists, PEOPLE)
    records = read_all(lists)
    waiting = next(shard for shard in records if any(record.after for record in records[shard]))
    with pytest.raises(HeldUpError):
        lists.followed.take_in(Changes({waiting: records[waiting]}))
    assert released(lists) == []


def test_a_copy_that_is_made_meanwhile_misses_nobody_once_it_has_caught_up(
    folder: Path, lists: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendgate.store.shards.ROWS_AT_ONCE", 1)  # many small ranges, of which some come too late
    monkeypatch.setattr("sendgate.store.copying._ROWS_A_TRANSACTION", 20)
    moved = iter([True])

    def progress(_copied: int, _entries: int) -> None:
        if next(moved, False):
            rekey(lists, PEOPLE)

    other = folder.with_name("copy")
    copy_lists(lists.shards, other, BOTH.secrets, MAX_SIZE, None, progress)
    lists._environment.close()
    lists.use(other)
    assert released(lists)
    lists.followed.catch_up()
    assert released(lists) == []


def test_a_replica_comes_under_the_secret_of_its_origin(lists: Shared) -> None:
    lists.followed.compare(lists.shards.marks_of(list(range(SHARDS))))
    assert secret_of(lists) == ONLY_OLD.fingerprint
    rekey(lists, PEOPLE[:1])
    lists.followed.compare(lists.shards.marks_of(list(range(SHARDS))))
    assert secret_of(lists) == ONLY_NEW.fingerprint


def test_a_new_replica_is_under_the_secret_of_its_origin(folder: Path) -> None:
    with closing(Shared(folder, BOTH)) as lists:
        assert secret_of(lists) == ONLY_OLD.fingerprint
        rekey(lists, [])
    with closing(Shared(folder, BOTH)) as lists:
        assert secret_of(lists) == ONLY_NEW.fingerprint


def test_a_replica_without_the_new_secret_takes_in_nothing_that_was_moved(folder: Path) -> None:
    with closing(Shared(folder, ONLY_OLD)) as lists:
        other = open_lists(folder.name, BOTH)
        with closing(SharedOrigin(other, BOTH)) as origin:
            origin.rekey(map(parse_subject, PEOPLE), lambda _phase, _done, _all: None, dry_run=False)
        for shard in range(SHARDS):
            with pytest.raises(WrongKeyError):
                lists.followed.take_in(
                    Changes(read_changes(lists.shards, {shard: lists.followed.marks[shard].last}, 1))
                )
        with pytest.raises(WrongKeyError):
            lists.followed.compare(lists.shards.marks_of(list(range(SHARDS))))
        assert released(lists) == []


@pytest.mark.parametrize("done", range(SHARDS + 1))
def test_lists_that_change_shard_by_shard_are_written_to_all_the_time(folder: Path, lists: Shared, done: int) -> None:
    for shard in range(done):
        lists.shards.change_secret(shard, ONLY_NEW.fingerprint)
    new = [f"new{number}@example.com" for number in range(10)]
    with closing(SharedOrigin(open_lists(folder.name, BOTH), BOTH)) as origin:
        assert origin.apply(Add(entry(person)) for person in new).added == len(new)
        assert all(origin.matches(parse(person)).matches for person in new)
        assert origin.rekey(map(parse_subject, [*PEOPLE, *new]), lambda *_: None, dry_run=False).unnamed == 2
    assert not_at_origin(folder, ONLY_NEW) == []


def test_a_shard_that_is_made_anew_before_the_change_is_under_the_secret_of_the_others(folder: Path) -> None:
    with closing(SharedOrigin(open_lists(folder.name, BOTH), BOTH)) as origin:
        shared_server().command("DEL", origin.shards.names[1].meta)
        assert make_missing(origin.shards, BOTH.secrets) == [1]
        assert {mark.secret for mark in origin.shards.marks if mark} == {ONLY_OLD.fingerprint}


def test_a_removal_while_its_entry_moves_is_a_removal(lists: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removes an entry after it was written at its new place, and before it leaves the old one."""
    removal, once = lists.shards.changed_on_removal, iter([True])
    other = open_lists(lists.prefix, BOTH)
    with closing(other.client):

        def removed_before(shard: int, *arguments: Any) -> dict[bytes, bytes]:
            if next(once, False):
                assert reasons(lists, PEOPLE[0]) == ["manual", "manual"]
                assert other.remove(shard, other.at_keys([ONLY_OLD.key(PEOPLE[0])])[0]) == 1
            return removal(shard, *arguments)

        monkeypatch.setattr(lists.shards, "changed_on_removal", removed_before)
        done = rekey(lists, PEOPLE[:1])
    assert (done.moved, done.unnamed) == (0, len(PEOPLE) + 1)
    assert reasons(lists, PEOPLE[0]) == []


def test_a_removal_during_the_change_finds_its_entry_wherever_it_is(
    lists: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry moves between two looks of one who removes it."""
    with closing(SharedOrigin(open_lists(lists.prefix, BOTH), BOTH)) as other:
        do, moves = SharedOrigin._do, iter([True])
        rekey(lists, [])
        other.shards.look()

        def moved_after(origin: SharedOrigin, *arguments: Any) -> None:
            do(origin, *arguments)
            if origin is other and next(moves, False):
                rekey(lists, PEOPLE)

        monkeypatch.setattr(SharedOrigin, "_do", moved_after)
        other.apply([Remove(parse_subject(PEOPLE[0]))])
    assert reasons(lists, PEOPLE[0]) == []


def test_an_entry_that_is_changed_while_it_moves_moves_as_it_is_then(
    lists: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal, changed = lists.shards.changed_on_removal, iter([True])

    def changed_before(*arguments: Any) -> dict[bytes, bytes]:
        if next(changed, False):
            lists.shards.under = ()
            old = SharedOrigin(lists.shards, ONLY_OLD)
            old.apply([Add(entry(PEOPLE[0], strikes=8, expires=NOW))])
            lists.shards.under = (ONLY_NEW.fingerprint,)
        return removal(*arguments)

    monkeypatch.setattr(SharedOrigin, "_active", lambda origin: origin._keyer.both[0])
    monkeypatch.setattr(lists.shards, "changed_on_removal", changed_before)
    done = rekey(lists, PEOPLE[:1])
    (one,) = lists.origin.get(parse_subject(PEOPLE[0]))
    assert (done.moved, one.strikes) == (1, 8)


def secret_of(lists: Shared) -> bytes:
    with lists._environment.begin() as txn:
        return lists._environment.secret(txn)


def read_all(lists: Shared) -> dict[int, Any]:
    behind = lists.followed.marks_but([])
    return {
        shard: records
        for shard, mark in behind.items()
        for records in read_changes(lists.shards, {shard: mark.last}, 1).values()
    }


def test_a_change_does_not_wait_for_ever_for_what_the_origin_has_lost(
    lists: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    rekey(lists, PEOPLE)
    records = read_all(lists)
    waiting = next(shard for shard in records if any(record.after for record in records[shard]))
    lists.followed.take_in(Changes({waiting: records[waiting]}))
    reached = lists.followed.marks[waiting]
    marks: dict[int, Mark | None] = {n: mark for n, mark in enumerate(lists.followed.marks) if n != waiting}
    lists.followed.note(Looked(0.0, marks))  # as if the other shards had never been written to
    assert lists.followed.marks[waiting] == reached
    monkeypatch.setattr("sendgate.store.followed._LONGEST_WAIT_SECONDS", 0.0)
    lists.followed.note(Looked(0.0, marks))
    assert lists.followed.marks[waiting].last == records[waiting][-1].id
