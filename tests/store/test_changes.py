"""Entries one by one: adding, refreshing, removing, and whose entry is whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sendgate.entry import Add, Change, Entry, Origin, Remove, RemoveList, parse_subject
from sendgate.store.origin import Applied
from store.parts import NOW, Lists, add, entry, everything, reasons, remove


def test_an_added_entry_is_read_back_whole(lists: Lists) -> None:
    given = entry(
        "user@example.com", "hard_bounce", "campaign:spring", "partners",
        expires=NOW + 60, strikes=3, note="550 5.1.1 unknown, é",
    )  # fmt: skip
    assert add(lists, given) == Applied(added=1)
    assert lists.origin.get(given.subject) == [given]
    assert list(lists.origin.scan()) == [given]


def test_an_added_entry_is_found_with_what_the_decision_needs(lists: Lists) -> None:
    given = entry("user@example.com", "hard_bounce", "stream:news", "partners", expires=NOW + 60)
    add(lists, given)
    (found,) = lists.lookup("user@example.com")
    assert (found.reason, found.scope, found.list) == (given.reason, given.scope, given.list)
    assert (found.created, found.expires) == (NOW, NOW + 60)
    assert lists.origin.by_ref(found.ref) == [given]


def test_an_address_without_entry_is_not_found(lists: Lists) -> None:
    add(lists, entry("user@example.com"))
    assert lists.lookup("other@example.com") == []
    assert lists.lookup("user@example.org") == []
    assert lists.origin.get(parse_subject("other@example.com")) == []


def test_an_expired_entry_is_still_found_with_its_expiry(lists: Lists) -> None:
    add(lists, entry("user@example.com", expires=NOW - 1))
    assert [found.expires for found in lists.lookup("user@example.com")] == [NOW - 1]


def test_adding_again_changes_nothing(lists: Lists) -> None:
    given = entry("user@example.com", "hard_bounce", expires=NOW + 60, note="first")
    add(lists, given)
    assert add(lists, given) == Applied(unchanged=1)
    assert everything(lists) == [given]


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        (NOW + 60, NOW + 90, NOW + 90),
        (NOW + 60, NOW + 30, NOW + 60),
        (NOW + 60, None, None),
        (None, NOW + 60, None),
        (NOW - 60, NOW + 60, NOW + 60),
    ],
)
def test_adding_again_extends_the_expiry_and_never_shortens_it(
    lists: Lists, first: int | None, second: int | None, held: int | None
) -> None:
    add(lists, entry("user@example.com", expires=first))
    outcome = add(lists, entry("user@example.com", expires=second, created=NOW + 5))
    assert outcome == (Applied(unchanged=1) if first == held else Applied(refreshed=1))
    assert [(one.created, one.expires) for one in everything(lists)] == [(NOW, held)]
    assert [found.expires for found in lists.lookup("user@example.com")] == [held]


def test_adding_again_keeps_the_most_strikes_and_the_latest_note(lists: Lists) -> None:
    add(lists, entry("user@example.com", strikes=2, note="first"))
    assert add(lists, entry("user@example.com", strikes=3, note="second")) == Applied(refreshed=1)
    add(lists, entry("user@example.com", strikes=1))
    assert [(one.strikes, one.note) for one in everything(lists)] == [(3, "second")]


def test_more_strikes_than_can_be_held_are_no_change_for_ever(lists: Lists) -> None:
    add(lists, entry("user@example.com", strikes=1000))
    assert add(lists, entry("user@example.com", strikes=1000)) == Applied(unchanged=1)


def test_another_spelling_is_the_same_entry(lists: Lists) -> None:
    add(lists, entry("User@Bücher.example"))
    assert add(lists, entry('<"user"@XN--BCHER-KVA.example.>')) == Applied(unchanged=1)
    assert len(everything(lists)) == 1


@pytest.mark.parametrize(
    "other",
    [
        entry("other@example.com"),
        entry("user@example.com", "role"),
        entry("user@example.com", scope="campaign:spring"),
        entry("user@example.com", list_name="partners"),
    ],
    ids=["subject", "reason", "scope", "list"],
)
def test_each_part_of_the_identity_makes_an_entry_of_its_own(lists: Lists, other: Entry) -> None:
    first = entry("user@example.com")
    assert add(lists, first, other) == Applied(added=2)
    assert everything(lists) == sorted([first, other], key=repr)


def test_the_same_entry_twice_in_one_batch_is_one(lists: Lists) -> None:
    assert add(lists, entry("user@example.com"), entry("USER@example.com")) == Applied(added=1, unchanged=1)


def test_removing_a_subject_removes_all_its_entries_and_no_others(lists: Lists) -> None:
    other = entry("other@example.com")
    add(lists, entry("user@example.com"), entry("user@example.com", "role", "stream:news", "partners"), other)
    assert remove(lists, "USER@example.com.") == 2
    assert lists.lookup("user@example.com") == []
    assert everything(lists) == [other]


def test_removing_what_is_not_there_removes_nothing(lists: Lists) -> None:
    add(lists, entry("user@example.com"))
    assert remove(lists, "other@example.com") == 0
    assert remove(lists, "user@example.com", "trap") == 0
    assert len(everything(lists)) == 1


@pytest.mark.parametrize(
    ("narrowed", "left"),
    [
        ({"reason": "role"}, 3),
        ({"scope": "stream:news"}, 3),
        ({"list_name": "partners"}, 3),
        ({"reason": "manual", "scope": "*", "list_name": "default"}, 3),
        ({"reason": "role", "list_name": "partners"}, 4),
        ({}, 0),
    ],
)
def test_a_removal_is_narrowed_by_reason_scope_and_list(lists: Lists, narrowed: dict[str, str], left: int) -> None:
    add(
        lists,
        entry("user@example.com"),
        entry("user@example.com", "role"),
        entry("user@example.com", scope="stream:news"),
        entry("user@example.com", list_name="partners"),
    )
    remove(lists, "user@example.com", **narrowed)
    assert len(everything(lists)) == left
    assert len(lists.lookup("user@example.com")) == left


def test_removing_a_list_releases_no_address_that_another_list_names(lists: Lists) -> None:
    add(
        lists,
        entry("both@example.com", list_name="partners"),
        entry("both@example.com", list_name="default"),
        entry("one@example.com", "trap", list_name="partners"),
        entry("@.example.net", list_name="partners"),
    )
    assert lists.origin.apply([RemoveList("partners")]) == Applied(removed=3)
    assert [found.list for found in lists.lookup("both@example.com")] == ["default"]
    assert lists.lookup("one@example.com") == []
    assert lists.lookup("user@mail.example.net") == []


def test_removing_an_unknown_list_removes_nothing(lists: Lists) -> None:
    add(lists, entry("user@example.com"))
    assert lists.origin.apply([RemoveList("partners")]) == Applied()


def test_a_removed_entry_can_be_added_anew(lists: Lists) -> None:
    add(lists, entry("user@example.com", expires=NOW + 600, note="first"))
    remove(lists, "user@example.com")
    anew = entry("user@example.com", created=NOW + 5, expires=NOW + 60)
    assert add(lists, anew) == Applied(added=1)
    assert everything(lists) == [anew]


def test_a_batch_takes_effect_in_its_order(lists: Lists) -> None:
    one = entry("user@example.com")
    assert lists.origin.apply([Add(one), Remove(one.subject), Add(one)]) == Applied(added=2, removed=1)
    assert everything(lists) == [one]


def test_an_empty_batch_changes_nothing(lists: Lists) -> None:
    add(lists, entry("user@example.com"))
    before = lists.origin.position()
    assert lists.origin.apply([]) == Applied()
    assert lists.origin.position() == before


def test_a_batch_that_breaks_off_changes_nothing(lists: Lists) -> None:
    first = entry("user@example.com")
    add(lists, first)

    def changes() -> Iterator[Change]:
        yield Remove(first.subject)
        yield Add(entry("other@example.com", "trap", "stream:new", "new"))
        raise RuntimeError("the source of the changes is gone")

    with pytest.raises(RuntimeError, match="source of the changes"):
        lists.origin.apply(changes())
    assert everything(lists) == [first]
    assert sum(lists.origin.counts().values()) == 1
    assert reasons(lists, "other@example.com") == []


def test_every_origin_of_an_entry_is_kept(lists: Lists) -> None:
    add(lists, *(replace(entry(f"{who}@example.com"), origin=who) for who in Origin))
    assert {one.subject.text: one.origin for one in lists.origin.scan()} == {
        f"{who}@example.com": who for who in Origin
    }


def test_a_strike_is_kept_beside_what_it_made_and_removed_alone(lists: Lists) -> None:
    strike = entry("user@example.com", "strike", list_name="feedback", expires=NOW + 60, strikes=2)
    bounce = entry("user@example.com", "hard_bounce", list_name="feedback", expires=NOW + 30)
    domain = entry("@example.com", "strike", list_name="feedback", expires=NOW + 60)
    add(lists, strike, bounce, domain)
    assert reasons(lists, "user@example.com") == ["hard_bounce", "strike", "strike"]
    assert remove(lists, "user@example.com", "strike", list_name="feedback") == 1
    assert everything(lists) == sorted([bounce, domain], key=repr)


def test_strikes_expire_as_all_else(lists: Lists) -> None:
    strike = entry("user@example.com", "strike", expires=NOW + 60)
    bounce = entry("user@example.com", "hard_bounce", expires=NOW + 90)
    add(lists, strike, bounce)
    assert lists.sweep(NOW + 60) == 1
    assert everything(lists) == [bounce]


def test_a_strike_is_no_match_by_mailbox(lists: Lists) -> None:
    add(lists, entry("anna+x@example.com", "strike"))
    assert lists.lookup("anna@example.com") == []
    assert lists.origin.get(parse_subject("anna@example.com")) == []


def test_an_entry_that_is_removed_and_added_in_one_batch_is_as_it_was_added(lists: Lists) -> None:
    """What taking back needs: an expiry that is shorter, fewer strikes, another note."""
    first = entry("user@example.com", "hard_bounce", strikes=2, note="first")
    other = entry("user@example.com", "strike", strikes=2, note="other")
    add(lists, first, other)
    shorter = replace(first, created=NOW + 5, expires=NOW + 60, strikes=1, note="")
    gone = Remove(first.subject, first.reason, first.scope, first.list)
    assert lists.origin.apply([gone, Add(shorter)]) == Applied(added=1, removed=1)
    assert everything(lists) == sorted([shorter, other], key=repr)
    assert [found.expires for found in lists.lookup("user@example.com")].count(NOW + 60) == 1
    assert lists.sweep(NOW + 60) == 1
    assert everything(lists) == [other]


def test_an_entry_known_by_its_key_is_removed_and_added_in_one_batch(
    opens: Callable[..., Lists], tmp_path: Path
) -> None:
    lists = opens(tmp_path / "hashed", b"a secret")
    try:
        add(lists, entry("user@example.com", "hard_bounce", strikes=2, note="to <user@example.com>"))
        (known,) = lists.origin.get(parse_subject("user@example.com"))
        shorter = replace(known, expires=NOW + 60, strikes=1)
        lists.origin.apply([Remove(known.subject, known.reason, known.scope, known.list), Add(shorter)])
        assert everything(lists) == [shorter]
        assert [found.expires for found in lists.lookup("user@example.com")] == [NOW + 60]
    finally:
        lists.close()
