"""Several processes that write to one shared origin at once: as if one after the other, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from sendgate.entry import Add, Change, Entry, Remove, RemoveList, parse_subject
from sendgate.keys import Keyer
from sendgate.store.origin import Applied, LoadOptions
from sendgate.store.shared import SharedOrigin
from store.order import assert_in_order
from store.parts import NOW, SharedLists, add, entry, everything, load, rows, shards_of, shared_server

WRITERS = 4
START_SECONDS, END_SECONDS = 30, 60
Write = Callable[[str, int, Random], Applied]
_processes = get_context("fork")


def refresh(prefix: str, me: int, chance: Random) -> Applied:
    """Add the same subjects as all others, in another order, each a little otherwise."""
    told, origin = Applied(), opened(prefix)
    for number in chance.sample(range(100), 100):
        like = entry(f"user{number}@example.com", expires=NOW + me, strikes=WRITERS + 1 - me, note=f"of {me}")
        told.merge(origin.apply([Add(like)]))
    return told


def exchange(prefix: str, me: int, chance: Random) -> Applied:
    """Put an entry of our own in the place of whatever there is, for the same subjects as all others."""
    told, origin = Applied(), opened(prefix)
    for number in chance.sample(range(40), 40):
        new = entry(f"user{number}@example.com", created=NOW + me, expires=NOW + 9 * me, strikes=me, note=f"of {me}")
        told.merge(origin.apply([Remove(new.subject), Add(new)]))
    return told


def do_anything(prefix: str, _me: int, chance: Random) -> Applied:
    """Add, remove and remove lists, of few subjects."""
    told, origin = Applied(), opened(prefix)

    def change() -> Change:
        subject = f"user{chance.randrange(30)}@example.com"
        name = chance.choice(["a", "b"])
        if chance.random() < 0.05:
            return RemoveList(name)
        if chance.random() < 0.4:
            return Remove(parse_subject(subject), list=chance.choice([None, "a", "b"]))
        return Add(
            entry(subject, chance.choice(["trap", "manual"]), list_name=name, expires=NOW + chance.randrange(99))
        )

    for _ in range(60):
        told.merge(origin.apply([change() for _ in range(chance.randrange(1, 9))]))
    return told


def add_own(prefix: str, me: int, _chance: Random) -> Applied:
    """Add what nobody else does."""
    return opened(prefix).apply([Add(entry(f"user{me}.{number}@example.com")) for number in range(20)])


def replace_list(prefix: str, me: int, _chance: Random) -> Applied:
    """Replace the same list as all others by what nobody else has."""
    like = entry("x@example.com", list_name="partners")
    given = rows([f"user{me}.{number}@example.com" for number in range(500)], like)
    return opened(prefix).load(given, LoadOptions(replace="partners", force=True), lambda _phase, _done, _all: None)


def import_rows(prefix: str, me: int, _chance: Random) -> Applied:
    """Import the same rows as all others, each a little otherwise."""
    given = rows(
        [f"user{number}@example.com" for number in range(1000)], entry("x@example.com", expires=NOW + me, strikes=me)
    )
    return opened(prefix).load(given, LoadOptions(), lambda _phase, _done, _all: None)


def sweep(prefix: str, _me: int, _chance: Random) -> Applied:
    return Applied(removed=opened(prefix).sweep(NOW))


def opened(prefix: str) -> SharedOrigin:
    """The lists over a connection of this process."""
    return SharedOrigin(shards_of(prefix), Keyer())


def all_at_once(write: Write, prefix: str, writers: int = WRITERS) -> list[Applied]:
    """Let processes begin at one moment; what each was told of its changes."""
    shared_server()
    barrier, answers = _processes.Barrier(writers), _processes.SimpleQueue()

    def work(me: int) -> None:
        barrier.wait(START_SECONDS)
        answers.put(write(prefix, me, Random(me)))

    processes = [_processes.Process(target=work, args=(me,)) for me in range(1, writers + 1)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(END_SECONDS)
        assert [process.exitcode for process in processes] == [0] * writers
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [answers.get() for _ in processes]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    yield opened
    opened.close()


def subjects(entries: list[Entry]) -> set[str]:
    return {one.subject.text for one in entries}


def test_no_process_loses_another_s_refresh(lists: SharedLists) -> None:
    told = all_at_once(refresh, lists.prefix)
    found = everything(lists)
    assert sum(one.added for one in told) == len(found) == 100
    assert {(one.expires, one.strikes) for one in found} == {(NOW + WRITERS, WRITERS)}
    assert all(one.added + one.refreshed + one.unchanged == 100 for one in told)
    assert_in_order(lists)


def test_what_each_process_exchanges_whole_is_in_the_end_one_of_theirs_whole(lists: SharedLists) -> None:
    add(lists, *(entry(f"user{number}@example.com", strikes=9, note="old") for number in range(40)))
    told = all_at_once(exchange, lists.prefix)
    found = everything(lists)
    assert len(found) == 40
    for one in found:
        assert one == entry(
            one.subject.text,
            created=NOW + one.strikes,
            expires=NOW + 9 * one.strikes,
            strikes=one.strikes,
            note=f"of {one.strikes}",
        )
        assert one.strikes in range(1, WRITERS + 1)
    assert all((one.added, one.removed) == (40, 40) for one in told)
    assert_in_order(lists)


def test_what_all_were_told_adds_up_to_what_is_there(lists: SharedLists) -> None:
    told = all_at_once(do_anything, lists.prefix)
    assert sum(one.added - one.removed for one in told) == len(everything(lists))
    assert_in_order(lists)


def test_processes_that_create_the_lists_at_once_create_one_and_the_same(tmp_path: Path) -> None:
    prefix = f"test-created-{tmp_path.name}"
    all_at_once(add_own, prefix)
    lists = SharedLists(tmp_path / "replica", prefix=prefix)
    assert len(everything(lists)) == 20 * WRITERS
    assert_in_order(lists)
    lists.close()


def test_imports_at_once_of_the_same_rows_leave_the_strongest_of_each(lists: SharedLists) -> None:
    told = all_at_once(import_rows, lists.prefix)
    found = everything(lists)
    assert sum(one.added for one in told) == len(found) == 1000
    assert {(one.expires, one.strikes) for one in found} == {(NOW + WRITERS, WRITERS)}
    assert_in_order(lists)


def test_imports_at_once_that_replace_a_list_leave_all_of_one_of_them_and_nothing_older(lists: SharedLists) -> None:
    load(lists, rows([f"old{number}@example.com" for number in range(500)], entry("x@e.com", list_name="partners")))
    add(lists, entry("other@example.com"))
    all_at_once(replace_list, lists.prefix, 2)
    found = subjects(everything(lists))
    given = [{f"user{writer}.{number}@example.com" for number in range(500)} for writer in (1, 2)]
    assert any(found >= one for one in given)
    assert found - given[0] - given[1] == {"other@example.com"}
    assert_in_order(lists)


def test_an_expired_entry_is_swept_once_by_whoever_comes(lists: SharedLists) -> None:
    expired = entry("x@example.com", expires=NOW - 1)
    load(lists, rows([f"user{number}@example.com" for number in range(500)], expired))
    add(lists, entry("kept@example.com", expires=NOW + 1))
    told = all_at_once(sweep, lists.prefix)
    assert sum(one.removed for one in told) == 500
    assert subjects(everything(lists)) == {"kept@example.com"}
    assert_in_order(lists)


def test_a_process_learns_the_labels_that_others_bring(lists: SharedLists) -> None:
    other = opened(lists.prefix)
    for number in range(20):
        writer = (lists.origin, other)[number % 2]
        assert writer.apply([Add(entry("user@example.com", list_name=f"list{number}"))]).added == 1
        assert len(lists.origin.get(parse_subject("user@example.com"))) == number + 1
        assert len(other.get(parse_subject("user@example.com"))) == number + 1
    other.close()
    assert_in_order(lists)
