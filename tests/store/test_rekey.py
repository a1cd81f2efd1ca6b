"""A change of the secret: both are looked up, what is named moves, the rest stays in force."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path

import pytest

from sendgate.address import parse
from sendgate.entry import RemoveList, parse_subject
from sendgate.keys import Keyer
from sendgate.store.errors import SecretChangedError, StoreError, WrongKeyError
from sendgate.store.origin import Origin
from sendgate.store.shared import SharedOrigin
from store.parts import NOW, add, entry, everything, load, reasons, remove, rows
from store.two_keys import (
    BOTH,
    NEW,
    OLD,
    ONLY_NEW,
    ONLY_OLD,
    OTHER,
    Embedded,
    Shared,
    TwoKeyLists,
    open_lists,
    rekey,
    told,
)

Opens = Callable[[Keyer], TwoKeyLists]

PEOPLE = ["anna@example.com", "Bert@Example.org", "carla@example.net"]


@pytest.fixture(params=["embedded", "shared"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opens]:
    """Opens the same lists with any secrets; one at a time, as one process must not open an LMDB file twice."""
    folder = tmp_path / f"test-{uuid.uuid4()}"
    opened: list[TwoKeyLists] = []

    def open_again(keyer: Keyer) -> TwoKeyLists:
        while opened:
            opened.pop().close()
        opened.append(Embedded(folder, keyer) if request.param == "embedded" else Shared(folder, keyer))
        return opened[-1]

    yield open_again
    while opened:
        opened.pop().close()


@pytest.fixture
def before(opens: Opens) -> Opens:
    """Lists under the secret before: three people."""
    add(opens(ONLY_OLD), *(entry(person) for person in PEOPLE))
    return opens


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


def refused(lists: TwoKeyLists, *addresses: str) -> list[bool]:
    return [bool(lists.lookup(address)) for address in addresses]


def test_two_secrets_in_the_settings_change_nothing(before: Opens) -> None:
    lists = before(BOTH)
    assert refused(lists, *PEOPLE, "dora@example.com") == [True, True, True, False]
    add(lists, entry("dora@example.com"))
    assert refused(before(ONLY_OLD), *PEOPLE, "dora@example.com") == [True] * 4


def test_what_is_named_moves_and_the_secret_before_can_be_dropped(before: Opens) -> None:
    done = rekey(before(BOTH), PEOPLE)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 3, 0, 0)
    assert refused(before(BOTH), *PEOPLE) == [True] * 3
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_the_secret_before_alone_is_refused_afterwards(before: Opens) -> None:
    rekey(before(BOTH), [])
    with pytest.raises(WrongKeyError, match=r"another store\.hash_key_file; name that one"):
        before(ONLY_OLD)


def test_what_is_not_named_stays_in_force_while_both_are_known(before: Opens) -> None:
    done = rekey(before(BOTH), PEOPLE[:1])
    assert (done.moved, done.unnamed) == (1, 2)
    assert refused(before(BOTH), *PEOPLE) == [True] * 3
    assert refused(before(ONLY_NEW), *PEOPLE) == [True, False, False]


def test_what_is_added_after_the_change_is_under_the_new_secret(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    add(lists, entry("dora@example.com"))
    load(lists, rows(["emil@example.com"], entry("x@example.com")))
    assert refused(before(ONLY_NEW), *PEOPLE, "dora@example.com", "emil@example.com") == [False] * 3 + [True] * 2


def test_a_second_time_everything_is_there_already(before: Opens) -> None:
    rekey(before(BOTH), PEOPLE)
    done = rekey(before(BOTH), [*PEOPLE, "dora@example.com"])
    assert (done.changed, done.moved, done.already, done.unnamed) == (False, 0, 3, 0)


def test_later_a_file_names_the_others(before: Opens) -> None:
    rekey(before(BOTH), PEOPLE[:1])
    done = rekey(before(BOTH), PEOPLE[1:])
    assert (done.moved, done.already, done.unnamed) == (2, 0, 1)
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_naming_someone_many_times_counts_once(before: Opens) -> None:
    done = rekey(before(BOTH), [*PEOPLE, "ANNA@EXAMPLE.COM", "<anna@example.com>", *PEOPLE])
    assert (done.moved, done.already, done.unnamed) == (3, 0, 0)


def test_a_dry_run_tells_the_same_and_changes_nothing(before: Opens) -> None:
    lists = before(BOTH)
    position = lists.origin.position()
    done = rekey(lists, PEOPLE[:2], dry_run=True)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 2, 0, 1)
    assert lists.origin.position() == position
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3


def test_a_dry_run_after_the_change_tells_what_is_left(before: Opens) -> None:
    rekey(before(BOTH), PEOPLE[:1])
    done = rekey(before(BOTH), PEOPLE[:2], dry_run=True)
    assert (done.changed, done.moved, done.already, done.unnamed) == (False, 1, 1, 1)


def test_an_entry_moves_with_all_it_had(opens: Opens) -> None:
    lists = opens(ONLY_OLD)
    given = [
        entry(
            "anna@example.com", "soft_bounce", "campaign:news", "a", created=NOW, expires=NOW + 9, strikes=7, note="?"
        ),
        entry("anna@example.com", "unsubscribe", "stream:txn", "b", created=NOW + 1, note="by phone"),
        entry("Car.La+x@gmail.com", "trap", created=5),
    ]
    add(lists, *given)
    had = sorted(map(told, everything(lists)), key=repr)
    lists = opens(BOTH)
    rekey(lists, ["anna@example.com", "carla@gmail.com"])
    lists = opens(ONLY_NEW)
    assert sorted(map(told, everything(lists)), key=repr) == had
    assert [one.note for one in lists.origin.get(parse_subject("anna@example.com"))] == ["?", "by phone"]
    assert reasons(lists, "c.a.r.l.a@googlemail.com") == ["trap"]


def test_counts_and_kinds_are_as_before(opens: Opens) -> None:
    lists = opens(ONLY_OLD)
    add(lists, *(entry(subject) for subject in [*PEOPLE, "@spam.example", "@.spam.example", "postmaster@"]))
    had = (lists.origin.counts(), lists.origin.kinds())
    lists = opens(BOTH)
    rekey(lists, [*PEOPLE, "@spam.example"])
    assert (lists.origin.counts(), lists.origin.kinds()) == had


def test_an_address_names_all_that_it_is_looked_up_by(opens: Opens) -> None:
    named = "Some.One+tag@gmail.com"
    md5 = "md5:b58996c504c5638798eb6b511e6f49af"  # of user@example.com
    add(opens(ONLY_OLD), *map(entry, ["@gmail.com", "@.com", "some.one+tag@", "someone@", "@.org", md5]))
    done = rekey(opens(BOTH), [named, "user@example.com"])
    assert (done.moved, done.unnamed) == (5, 1)
    lists = opens(ONLY_NEW)
    assert len(lists.lookup(named)) == 3  # someone@ is a local part that only the mailbox has
    assert refused(lists, "user@example.com", "user@example.org") == [True, False]


def test_a_subject_names_itself(opens: Opens) -> None:
    md5 = "md5:b58996c504c5638798eb6b511e6f49af"
    subjects = ["@spam.example", "@.spam.example", "postmaster@", md5]
    add(opens(ONLY_OLD), *map(entry, subjects))
    assert rekey(opens(BOTH), subjects).unnamed == 0
    lists = opens(ONLY_NEW)
    assert (
        refused(lists, "a@spam.example", "a@b.spam.example", "postmaster@a.example", "user@example.com") == [True] * 4
    )


def test_an_entry_that_is_under_both_becomes_one(opens: Opens) -> None:
    add(opens(ONLY_OLD), entry("anna@example.com", created=1, expires=NOW, strikes=9, note="first"))
    lists = opens(BOTH)
    rekey(lists, [])
    add(lists, entry("anna@example.com", created=2, expires=NOW + 5, strikes=3), entry("bert@example.org", "trap"))
    assert len(lists.lookup("anna@example.com")) == 2
    done = rekey(lists, ["anna@example.com"])
    assert (done.moved, done.merged, done.already, done.unnamed) == (1, 1, 1, 1)
    (one,) = lists.origin.get(parse_subject("anna@example.com"))
    assert (one.created, one.expires, one.strikes, one.note) == (1, NOW + 5, 9, "first")
    assert sum(lists.origin.counts().values()) == len(everything(lists)) == 2
    assert lists.sweep(NOW + 4) == 0
    assert lists.sweep(NOW + 5) == 1


def test_an_entry_that_never_expires_wins_over_one_that_does(opens: Opens) -> None:
    add(opens(ONLY_OLD), entry("anna@example.com"))
    lists = opens(BOTH)
    rekey(lists, [])
    add(lists, entry("anna@example.com", expires=NOW))
    rekey(lists, PEOPLE)
    (one,) = everything(lists)
    assert one.expires is None


def test_what_moved_still_expires(opens: Opens) -> None:
    add(opens(ONLY_OLD), entry("anna@example.com", expires=NOW))
    lists = opens(BOTH)
    rekey(lists, PEOPLE)
    assert lists.sweep(NOW) == 1
    assert everything(lists) == []


def test_people_are_explained_under_either_secret(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    for person in PEOPLE:
        matches = lists.origin.matches(parse(person))
        assert [match.found.reason for match in matches.matches] == ["manual"]
        assert {key for _, key in matches.keys} >= set(BOTH.keys(parse(person).text))
        assert len(lists.origin.by_ref(matches.found[0].ref)) == 1


def test_entries_are_removed_under_either_secret(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    assert [remove(lists, person) for person in PEOPLE] == [1, 1, 1]
    assert refused(lists, *PEOPLE) == [False] * 3
    assert everything(lists) == []


def test_an_entry_under_both_is_removed_from_both(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    add(lists, entry(PEOPLE[0]))
    assert remove(lists, PEOPLE[0]) == 2
    assert refused(lists, *PEOPLE) == [False, True, True]


def test_entries_are_got_and_removed_by_what_a_scan_shows(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    for one in everything(lists):
        assert lists.origin.get(one.subject) == [one]
        assert remove(lists, one.subject.text) == 1


def test_a_list_is_removed_under_both_secrets(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, PEOPLE[:1])
    assert lists.origin.apply([RemoveList("default")]).removed == 3
    assert refused(lists, *PEOPLE) == [False] * 3


def test_a_list_that_is_replaced_during_the_change_is_whole(before: Opens) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    done = load(lists, rows(PEOPLE, entry("x@example.com")), replace="default")
    assert (done.added, done.removed) == (3, 3)
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_the_change_can_be_taken_back(before: Opens) -> None:
    rekey(before(BOTH), PEOPLE[:2])
    back = Keyer(OLD, Keyer(NEW))
    done = rekey(before(back), PEOPLE)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 2, 1, 0)
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3


def test_new_lists_are_under_the_current_secret(opens: Opens) -> None:
    add(opens(BOTH), entry(PEOPLE[0]))
    assert refused(opens(ONLY_NEW), PEOPLE[0]) == [True]


def test_other_secrets_are_refused(before: Opens) -> None:
    with pytest.raises(WrongKeyError):
        before(Keyer(OTHER, Keyer(NEW)))
    rekey(before(BOTH), PEOPLE)
    assert refused(before(Keyer(OTHER, Keyer(NEW))), *PEOPLE) == [True] * 3


def test_without_a_secret_before_there_is_nothing_to_change(before: Opens) -> None:
    with pytest.raises(StoreError, match="no secret before"):
        rekey(before(ONLY_OLD), PEOPLE)


def test_lists_in_clear_say_how_they_come_under_a_secret(opens: Opens) -> None:
    opens(Keyer())
    with pytest.raises(WrongKeyError, match=r"without store.hash_key_file; .*`sendgate export` .*`sendgate import`"):
        opens(BOTH)


def test_subjects_that_break_off_change_nothing(before: Opens) -> None:
    def broken() -> Iterator[str]:
        yield PEOPLE[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        rekey(before(BOTH), broken())
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3


def test_an_addition_that_meets_the_change_is_under_the_new_secret(before: Opens) -> None:
    lists = before(BOTH)
    with elsewhere(lists) as other:
        other.rekey([], lambda _phase, _done, _all: None, dry_run=False)
    add(lists, *(entry(f"dora{number}@example.com") for number in range(9)))
    assert refused(before(ONLY_NEW), *(f"dora{number}@example.com" for number in range(9))) == [True] * 9


def test_an_addition_by_settings_that_know_only_the_secret_before_is_refused_after_the_change(before: Opens) -> None:
    lists = before(ONLY_OLD)
    with elsewhere(lists, BOTH) as other:
        other.rekey([], lambda _phase, _done, _all: None, dry_run=False)
    with pytest.raises((SecretChangedError, WrongKeyError), match=r"store\.hash_key_file"):
        add(lists, entry("dora@example.com"))


def test_an_import_that_meets_the_change_is_refused_and_works_again(before: Opens) -> None:
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
