"""While the secret changes: questions, removals and writers that know both secrets, and those that know one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sendgate.address import parse
from sendgate.entry import RemoveList
from sendgate.store.errors import SecretChangedError, WrongKeyError
from store.parts import add, entry, everything, load, remove, rows
from store.two_keys import (
    BOTH,
    ONLY_NEW,
    ONLY_OLD,
    PEOPLE,
    Opener,
    elsewhere,
    refused,
    rekey,
)


def test_people_are_explained_under_either_secret(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    for person in PEOPLE:
        matches = lists.origin.matches(parse(person))
        assert [match.found.reason for match in matches.matches] == ["manual"]
        assert {key for _, key in matches.keys} >= set(BOTH.keys(parse(person).text))
        assert len(lists.origin.by_ref(matches.found[0].ref)) == 1


def test_entries_are_removed_under_either_secret(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    assert [remove(lists, person) for person in PEOPLE] == [1, 1, 1]
    assert refused(lists, *PEOPLE) == [False] * 3
    assert everything(lists) == []


def test_an_entry_under_both_is_removed_from_both(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    add(lists, entry(PEOPLE[0]))
    assert remove(lists, PEOPLE[0]) == 2
    assert refused(lists, *PEOPLE) == [False, True, True]


def test_entries_are_got_and_removed_by_what_a_scan_shows(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    for one in everything(lists):
        assert lists.origin.get(one.subject) == [one]
        assert remove(lists, one.subject.text) == 1


def test_a_list_is_removed_under_both_secrets(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    assert lists.origin.apply([RemoveList("default")]).removed == 3
    assert refused(lists, *PEOPLE) == [False] * 3


def test_a_list_that_is_replaced_during_the_change_is_whole(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    done = load(lists, rows(PEOPLE, entry("x@example.com")), replace="default")
    assert (done.added, done.removed) == (3, 3)
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_an_addition_that_meets_the_change_is_under_the_new_secret(before: Opener) -> None:
    lists = before(BOTH)
    with elsewhere(lists) as other:
        other.rekey([], lambda _phase, _done, _all: None, dry_run=False)
    add(lists, *(entry(f"dora{number}@example.com") for number in range(9)))
    assert refused(before(ONLY_NEW), *(f"dora{number}@example.com" for number in range(9))) == [True] * 9


def test_an_addition_by_settings_that_know_only_the_secret_before_is_refused_after_the_change(before: Opener) -> None:
    lists = before(ONLY_OLD)
    with elsewhere(lists, BOTH) as other:
        other.rekey([], lambda _phase, _done, _all: None, dry_run=False)
    with pytest.raises((SecretChangedError, WrongKeyError), match=r"store\.hash_key_file"):
        add(lists, entry("dora@example.com"))


def test_an_import_that_meets_the_change_is_refused_and_works_again(before: Opener) -> None:
    lists = before(BOTH)

    def given() -> Iterator[str]:
        yield "dora@example.com"
        with elsewhere(lists) as other:
            other.rekey([], lambda _phase, _done, _all: None, dry_run=False)

    like = entry("x@example.com")
    with pytest.raises(SecretChangedError, match="again"):
        load(lists, rows(given(), like))
    assert refused(lists, *PEOPLE, "dora@example.com") == [True] * 3 + [False]
    load(lists, rows(["dora@example.com"], like))
    assert refused(lists, "dora@example.com") == [True]


def test_who_knows_only_the_secret_before_finds_nothing_rather_than_too_little(before: Opener) -> None:
    lists = before(ONLY_OLD)
    assert refused(lists, *PEOPLE) == [True] * 3
    environment = lists.replica._environment
    with environment.begin(write=True) as txn:
        environment.set_secret(txn, ONLY_NEW.fingerprint)
    with pytest.raises(WrongKeyError, match=r"another store\.hash_key_file"):
        lists.lookup(PEOPLE[0])
