"""A change of the secret: both are looked up, what is named moves, the rest stays in force."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sendgate.entry import parse_subject
from sendgate.keys import Keyer
from sendgate.store.errors import StoreError, WrongKeyError
from store.parts import NOW, add, entry, everything, load, reasons, rows
from store.two_keys import (
    BOTH,
    NEW,
    OLD,
    ONLY_NEW,
    ONLY_OLD,
    OTHER,
    PEOPLE,
    Opener,
    refused,
    rekey,
    told,
)


def test_two_secrets_in_the_settings_change_nothing(before: Opener) -> None:
    lists = before(BOTH)
    assert refused(lists, *PEOPLE, "dora@example.com") == [True, True, True, False]
    add(lists, entry("dora@example.com"))
    assert refused(before(ONLY_OLD), *PEOPLE, "dora@example.com") == [True] * 4


def test_what_is_named_moves_and_the_secret_before_can_be_dropped(before: Opener) -> None:
    done = rekey(before(BOTH), PEOPLE)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 3, 0, 0)
    assert refused(before(BOTH), *PEOPLE) == [True] * 3
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_the_secret_before_alone_is_refused_afterwards(before: Opener) -> None:
    rekey(before(BOTH), [])
    with pytest.raises(WrongKeyError, match=r"another store\.hash_key_file; name that one"):
        before(ONLY_OLD)


def test_what_is_not_named_stays_in_force_while_both_are_known(before: Opener) -> None:
    done = rekey(before(BOTH), PEOPLE[:1])
    assert (done.moved, done.unnamed) == (1, 2)
    assert refused(before(BOTH), *PEOPLE) == [True] * 3
    assert refused(before(ONLY_NEW), *PEOPLE) == [True, False, False]


def test_what_is_added_after_the_change_is_under_the_new_secret(before: Opener) -> None:
    lists = before(BOTH)
    rekey(lists, [])
    add(lists, entry("dora@example.com"))
    load(lists, rows(["emil@example.com"], entry("x@example.com")))
    assert refused(before(ONLY_NEW), *PEOPLE, "dora@example.com", "emil@example.com") == [False] * 3 + [True] * 2


def test_a_second_time_everything_is_there_already(before: Opener) -> None:
    rekey(before(BOTH), PEOPLE)
    done = rekey(before(BOTH), [*PEOPLE, "dora@example.com"])
    assert (done.changed, done.moved, done.already, done.unnamed) == (False, 0, 3, 0)


def test_later_a_file_names_the_others(before: Opener) -> None:
    rekey(before(BOTH), PEOPLE[:1])
    done = rekey(before(BOTH), PEOPLE[1:])
    assert (done.moved, done.already, done.unnamed) == (2, 0, 1)
    assert refused(before(ONLY_NEW), *PEOPLE) == [True] * 3


def test_naming_someone_many_times_counts_once(before: Opener) -> None:
    done = rekey(before(BOTH), [*PEOPLE, "ANNA@EXAMPLE.COM", "<anna@example.com>", *PEOPLE])
    assert (done.moved, done.already, done.unnamed) == (3, 0, 0)


def test_a_dry_run_tells_the_same_and_changes_nothing(before: Opener) -> None:
    lists = before(BOTH)
    position = lists.origin.position()
    done = rekey(lists, PEOPLE[:2], dry_run=True)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 2, 0, 1)
    assert lists.origin.position() == position
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3


def test_a_dry_run_after_the_change_tells_what_is_left(before: Opener) -> None:
    rekey(before(BOTH), PEOPLE[:1])
    done = rekey(before(BOTH), PEOPLE[:2], dry_run=True)
    assert (done.changed, done.moved, done.already, done.unnamed) == (False, 1, 1, 1)


def test_an_entry_moves_with_all_it_had(under: Opener) -> None:
    lists = under(ONLY_OLD)
    given = [
        entry(
            "anna@example.com", "soft_bounce", "campaign:news", "a", created=NOW, expires=NOW + 9, strikes=7, note="?"
        ),
        entry("anna@example.com", "unsubscribe", "stream:txn", "b", created=NOW + 1, note="by phone"),
        entry("Car.La+x@gmail.com", "trap", created=5),
    ]
    add(lists, *given)
    had = sorted(map(told, everything(lists)), key=repr)
    lists = under(BOTH)
    rekey(lists, ["anna@example.com", "carla@gmail.com"])
    lists = under(ONLY_NEW)
    assert sorted(map(told, everything(lists)), key=repr) == had
    assert [one.note for one in lists.origin.get(parse_subject("anna@example.com"))] == ["?", "by phone"]
    assert reasons(lists, "c.a.r.l.a@googlemail.com") == ["trap"]


def test_counts_and_kinds_are_as_before(under: Opener) -> None:
    lists = under(ONLY_OLD)
    add(lists, *(entry(subject) for subject in [*PEOPLE, "@spam.example", "@.spam.example", "postmaster@"]))
    had = (lists.origin.counts(), lists.origin.kinds())
    lists = under(BOTH)
    rekey(lists, [*PEOPLE, "@spam.example"])
    assert (lists.origin.counts(), lists.origin.kinds()) == had


def test_an_address_names_all_that_it_is_looked_up_by(under: Opener) -> None:
    named = "Some.One+tag@gmail.com"
    md5 = "md5:b58996c504c5638798eb6b511e6f49af"  # of user@example.com
    add(under(ONLY_OLD), *map(entry, ["@gmail.com", "@.com", "some.one+tag@", "someone@", "@.org", md5]))
    done = rekey(under(BOTH), [named, "user@example.com"])
    assert (done.moved, done.unnamed) == (5, 1)
    lists = under(ONLY_NEW)
    assert len(lists.lookup(named)) == 3  # someone@ is a local part that only the mailbox has
    assert refused(lists, "user@example.com", "user@example.org") == [True, False]


def test_a_subject_names_itself(under: Opener) -> None:
    md5 = "md5:b58996c504c5638798eb6b511e6f49af"
    subjects = ["@spam.example", "@.spam.example", "postmaster@", md5]
    add(under(ONLY_OLD), *map(entry, subjects))
    assert rekey(under(BOTH), subjects).unnamed == 0
    lists = under(ONLY_NEW)
    assert (
        refused(lists, "a@spam.example", "a@b.spam.example", "postmaster@a.example", "user@example.com") == [True] * 4
    )


def test_an_entry_that_is_under_both_becomes_one(under: Opener) -> None:
    add(under(ONLY_OLD), entry("anna@example.com", created=1, expires=NOW, strikes=9, note="first"))
    lists = under(BOTH)
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


def test_an_entry_that_never_expires_wins_over_one_that_does(under: Opener) -> None:
    add(under(ONLY_OLD), entry("anna@example.com"))
    lists = under(BOTH)
    rekey(lists, [])
    add(lists, entry("anna@example.com", expires=NOW))
    rekey(lists, PEOPLE)
    (one,) = everything(lists)
    assert one.expires is None


def test_what_moved_still_expires(under: Opener) -> None:
    add(under(ONLY_OLD), entry("anna@example.com", expires=NOW))
    lists = under(BOTH)
    rekey(lists, PEOPLE)
    assert lists.sweep(NOW) == 1
    assert everything(lists) == []


def test_the_change_can_be_taken_back(before: Opener) -> None:
    rekey(before(BOTH), PEOPLE[:2])
    back = Keyer(OLD, Keyer(NEW))
    done = rekey(before(back), PEOPLE)
    assert (done.changed, done.moved, done.already, done.unnamed) == (True, 2, 1, 0)
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3


def test_new_lists_are_under_the_current_secret(under: Opener) -> None:
    add(under(BOTH), entry(PEOPLE[0]))
    assert refused(under(ONLY_NEW), PEOPLE[0]) == [True]


def test_other_secrets_are_refused(before: Opener) -> None:
    with pytest.raises(WrongKeyError):
        before(Keyer(OTHER, Keyer(NEW)))
    rekey(before(BOTH), PEOPLE)
    assert refused(before(Keyer(OTHER, Keyer(NEW))), *PEOPLE) == [True] * 3


def test_without_a_secret_before_there_is_nothing_to_change(before: Opener) -> None:
    with pytest.raises(StoreError, match="no secret before"):
        rekey(before(ONLY_OLD), PEOPLE)


def test_lists_in_clear_say_how_they_come_under_a_secret(under: Opener) -> None:
    under(Keyer())
    with pytest.raises(WrongKeyError, match=r"without store.hash_key_file; .*`sendgate export` .*`sendgate import`"):
        under(BOTH)


def test_subjects_that_break_off_change_nothing(before: Opener) -> None:
    def broken() -> Iterator[str]:
        yield PEOPLE[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        rekey(before(BOTH), broken())
    assert refused(before(ONLY_OLD), *PEOPLE) == [True] * 3
