"""Mass import: all rows or none, replacing a list, and the guard against shrinking one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendgate.entry import Entry, Subject, parse_subject
from sendgate.store.errors import ShrinkError
from sendgate.store.origin import Applied, LoadOptions
from store.parts import NOW, Lists, add, entry, everything, load, reasons, rows

LIKE = entry("like@example.com", "manual", list_name="partners")


def users(first: int, last: int) -> list[str]:
    """The addresses user<first> up to, without, user<last>."""
    return [f"user{index}@example.com" for index in range(first, last)]


def names(lists: Lists, list_name: str = "partners") -> list[str]:
    return sorted(one.subject.text for one in lists.origin.scan(list_name))


def test_many_rows_are_loaded_and_found(lists: Lists) -> None:
    assert load(lists, rows(users(0, 20_000), LIKE)) == Applied(added=20_000)
    assert sum(lists.origin.counts().values()) == 20_000
    assert all(reasons(lists, address) == ["manual"] for address in users(0, 20_000)[::97])
    assert reasons(lists, "user20000@example.com") == []
    assert names(lists) == sorted(users(0, 20_000))


def test_every_kind_of_subject_can_be_loaded(lists: Lists) -> None:
    load(lists, rows(["@example.com", "@.example.net", "abuse@", "md5:" + "0" * 32, '"a b"@example.org'], LIKE))
    for address in ("x@example.com", "x@mail.example.net", "abuse@example.info", '"A B"@example.org'):
        assert reasons(lists, address) == ["manual"]


def test_rows_may_differ_in_all_but_the_subject(lists: Lists) -> None:
    given = [
        (parse_subject("user@example.com"), LIKE),
        (parse_subject("user@example.com"), entry("x@example.com", "trap", note="seen")),
        (parse_subject("user@example.com"), entry("x@example.com", "role", "stream:news", expires=NOW)),
    ]
    assert load(lists, given) == Applied(added=3)
    assert reasons(lists, "user@example.com") == ["manual", "role", "trap"]


def test_a_loaded_entry_has_all_of_its_row(lists: Lists) -> None:
    like = entry("x@example.com", "hard_bounce", "stream:news", "partners", expires=NOW + 60, strikes=2, note="é")
    load(lists, rows(["user@example.com"], like))
    (one,) = everything(lists)
    assert one == entry(
        "user@example.com", "hard_bounce", "stream:news", "partners", expires=NOW + 60, strikes=2, note="é"
    )


def test_a_row_that_comes_twice_is_one_entry(lists: Lists) -> None:
    applied = load(lists, rows(["a@example.com", "b@example.com", "A@EXAMPLE.com.", "a@example.com"], LIKE))
    assert applied == Applied(added=2, unchanged=2)
    assert names(lists) == ["a@example.com", "b@example.com"]


def test_spellings_of_one_mailbox_are_one_entry_about_a_person(lists: Lists) -> None:
    applied = load(lists, rows(["u.ser@gmail.com", "user+x@googlemail.com"], entry("x@example.com", "complaint")))
    assert applied == Applied(added=1, unchanged=1)
    assert reasons(lists, "user@gmail.com") == ["complaint"]


def test_rows_that_are_there_already_are_refreshed_or_unchanged(lists: Lists) -> None:
    add(
        lists,
        entry("early@example.com", list_name="partners", expires=NOW),
        entry("late@example.com", list_name="partners", expires=NOW + 90),
        entry("other@example.com", "trap"),
    )
    like = entry("x@example.com", list_name="partners", expires=NOW + 60)
    applied = load(lists, rows(["early@example.com", "late@example.com", "other@example.com"], like))
    assert applied == Applied(added=1, refreshed=1, unchanged=1)
    assert [one.expires for one in lists.origin.get(parse_subject("early@example.com"))] == [NOW + 60]
    assert [one.expires for one in lists.origin.get(parse_subject("late@example.com"))] == [NOW + 90]
    assert reasons(lists, "other@example.com") == ["manual", "trap"]


def test_loading_into_a_filled_store_keeps_what_is_there(lists: Lists) -> None:
    load(lists, rows(users(0, 500), LIKE))
    assert load(lists, rows(users(250, 750), LIKE)) == Applied(added=500 - 250, unchanged=250)
    assert names(lists) == sorted(users(0, 750))


def test_replacing_removes_the_rest_of_that_list_only(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    add(lists, entry("user0@example.com", "trap"), entry("@example.net", list_name="other"))
    applied = load(lists, rows(users(10, 110), LIKE), replace="partners")
    assert applied == Applied(added=10, unchanged=90, removed=10)
    assert names(lists) == sorted(users(10, 110))
    assert reasons(lists, "user0@example.com") == ["trap"]
    assert reasons(lists, "user@example.net") == ["manual"]
    assert reasons(lists, "user1@example.com") == []


def test_replacing_removes_entries_of_every_reason_of_the_list(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    add(lists, entry("x@example.com", "trap", list_name="partners"))
    load(lists, rows(users(0, 100), LIKE), replace="partners")
    assert reasons(lists, "x@example.com") == []


def test_rows_of_other_lists_in_a_replacing_load_are_added(lists: Lists) -> None:
    load(lists, rows(users(0, 10), LIKE))
    load(lists, [*rows(users(0, 10), LIKE), *rows(["x@example.com"], entry("x@example.com"))], replace="partners")
    assert (len(names(lists)), names(lists, "default")) == (10, ["x@example.com"])


@pytest.mark.parametrize(("kept", "allowed"), [(100, True), (80, True), (79, False), (1, False), (0, False)])
def test_a_list_shrinks_by_a_fifth_at_most(lists: Lists, kept: int, allowed: bool) -> None:
    load(lists, rows(users(0, 100), LIKE))
    if allowed:
        load(lists, rows(users(0, kept), LIKE), replace="partners")
        assert names(lists) == sorted(users(0, kept))
        return
    with pytest.raises(ShrinkError, match=rf"'partners' would shrink from 100 to {kept} entries; .*--force"):
        load(lists, rows(users(0, kept), LIKE), replace="partners")
    assert names(lists) == sorted(users(0, 100))


def test_the_guard_looks_at_the_size_and_not_at_the_exchange(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    assert load(lists, rows(users(100, 180), LIKE), replace="partners") == Applied(added=80, removed=100)


def test_a_refused_load_adds_nothing_either(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    before = everything(lists), lists.origin.position(), lists.origin.counts()
    with pytest.raises(ShrinkError):
        load(lists, rows([*users(100, 110), "@example.net"], LIKE), replace="partners")
    assert (everything(lists), lists.origin.position(), lists.origin.counts()) == before
    assert reasons(lists, "user@example.net") == []


def test_force_overrides_the_guard(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    assert load(lists, rows(users(0, 1), LIKE), replace="partners", force=True) == Applied(unchanged=1, removed=99)
    assert load(lists, [], replace="partners", force=True) == Applied(removed=1)
    assert everything(lists) == []


def test_another_share_can_be_allowed(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    assert load(lists, rows(users(0, 50), LIKE), replace="partners", max_shrink=0.5).removed == 50


def test_replacing_a_list_that_is_not_there_fills_it(lists: Lists) -> None:
    add(lists, entry("x@example.com"))
    assert load(lists, rows(users(0, 10), LIKE), replace="partners") == Applied(added=10)
    assert load(lists, [], replace="nothing") == Applied()


def test_an_empty_load_changes_nothing(lists: Lists) -> None:
    add(lists, entry("x@example.com"))
    assert load(lists, []) == Applied()
    assert len(everything(lists)) == 1


def test_a_dry_run_tells_and_changes_nothing(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    before = everything(lists), lists.origin.position(), lists.origin.counts()
    applied = load(lists, rows(users(10, 110), LIKE), replace="partners", dry_run=True)
    assert applied == Applied(added=10, unchanged=90, removed=10)
    assert (everything(lists), lists.origin.position(), lists.origin.counts()) == before
    assert load(lists, rows(users(10, 110), LIKE), replace="partners") == applied


def test_a_dry_run_has_the_guard_too(lists: Lists) -> None:
    load(lists, rows(users(0, 100), LIKE))
    with pytest.raises(ShrinkError):
        load(lists, [], replace="partners", dry_run=True)


@pytest.mark.parametrize("fault", [ValueError("line 500"), OSError("input/output error"), FileNotFoundError("gone")])
def test_a_source_that_breaks_off_changes_nothing_and_is_told_as_it_is(lists: Lists, fault: Exception) -> None:
    load(lists, rows(users(0, 10), LIKE))

    def breaking() -> Iterator[tuple[Subject, Entry]]:
        yield from rows(users(5, 500), LIKE)
        raise fault

    with pytest.raises(type(fault)) as caught:
        load(lists, breaking(), replace="partners")
    assert caught.value is fault
    assert names(lists) == sorted(users(0, 10))


def test_progress_is_told_up_to_the_end(lists: Lists) -> None:
    told: list[tuple[str, int, int]] = []
    lists.origin.load(rows(users(0, 10), LIKE), LoadOptions(), lambda *step: told.append(step))
    assert told[-1][1] == told[-1][2]
    assert [step[1] for step in told] == sorted(step[1] for step in told)


def test_no_working_file_is_left(lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    load(lists, rows(users(0, 1000), LIKE))
    with pytest.raises(ShrinkError):
        load(lists, [], replace="partners")
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["data.mdb", "lock.mdb"]
