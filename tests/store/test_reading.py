"""Counts, position, scan and sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendgate.entry import Reason, parse_scope
from store.parts import NOW, EmbeddedLists, Lists, add, entry, everything, load, reasons, remove, rows


def counts(lists: Lists) -> dict[tuple[str, str, str], int]:
    return {(label.reason.value, str(label.scope), label.list): count for label, count in lists.origin.counts().items()}


def test_a_new_store_is_empty(lists: Lists) -> None:
    assert everything(lists) == []
    assert counts(lists) == {}
    assert lists.origin.position() == 0
    assert lists.lookup("user@example.com") == []


def test_counts_are_by_reason_scope_and_list(lists: Lists) -> None:
    add(
        lists,
        entry("a@example.com"),
        entry("b@example.com"),
        entry("a@example.com", "trap"),
        entry("a@example.com", scope="stream:news"),
        entry("@example.com", list_name="partners"),
    )
    assert counts(lists) == {
        ("manual", "*", "default"): 2,
        ("trap", "*", "default"): 1,
        ("manual", "stream:news", "default"): 1,
        ("manual", "*", "partners"): 1,
    }
    remove(lists, "a@example.com")
    assert counts(lists) == {("manual", "*", "default"): 1, ("manual", "*", "partners"): 1}


def test_counts_are_right_over_every_way_in_and_out(lists: Lists) -> None:
    add(lists, entry("a@example.com"), entry("b@example.com", expires=NOW))
    load(lists, rows(["a@example.com", "c@example.com", "c@example.com"], entry("x@example.com")))
    assert counts(lists) == {("manual", "*", "default"): 3}
    lists.sweep(NOW)
    assert counts(lists) == {("manual", "*", "default"): 2}
    load(lists, rows(["d@example.com"], entry("x@example.com")), replace="default", force=True)
    assert counts(lists) == {("manual", "*", "default"): 1}


def test_the_position_moves_with_every_change_and_with_nothing_else(lists: Lists) -> None:
    positions = [lists.origin.position()]
    for change in (
        lambda: add(lists, entry("a@example.com"), entry("b@example.com", expires=NOW)),
        lambda: add(lists, entry("b@example.com", expires=NOW + 5)),
        lambda: remove(lists, "a@example.com"),
        lambda: load(lists, rows(["c@example.com"], entry("x@example.com"))),
        lambda: lists.sweep(NOW + 5),
    ):
        change()
        positions.append(lists.origin.position())
    assert positions == sorted(set(positions))
    add(lists, entry("c@example.com"))
    remove(lists, "a@example.com")
    lists.sweep(NOW + 5)
    lists.lookup("c@example.com")
    assert lists.origin.position() == positions[-1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"list_name": "partners"}, ["c", "d"]),
        ({"reason": Reason.TRAP}, ["b", "d"]),
        ({"scope": parse_scope("stream:news")}, ["d"]),
        ({"scope": parse_scope("*")}, ["a", "b", "c"]),
        ({"list_name": "partners", "reason": Reason.TRAP}, ["d"]),
        ({"list_name": "nothing"}, []),
    ],
)
def test_a_scan_is_filtered(lists: Lists, filters: dict[str, object], expected: list[str]) -> None:
    add(
        lists,
        entry("a@example.com"),
        entry("b@example.com", "trap"),
        entry("c@example.com", list_name="partners"),
        entry("d@example.com", "trap", "stream:news", "partners"),
    )
    scanned = lists.origin.scan(**filters)  # type: ignore[arg-type]
    assert sorted(one.subject.text.partition("@")[0] for one in scanned) == expected


def test_an_embedded_store_is_scanned_in_the_order_of_adding(tmp_path: Path) -> None:
    lists = EmbeddedLists(tmp_path / "store")
    add(lists, *(entry(f"{name}@example.com") for name in "dbca"))
    assert [one.subject.text[0] for one in lists.origin.scan()] == list("dbca")
    lists.close()


def test_a_scan_shows_the_state_at_its_start(lists: Lists) -> None:
    add(lists, *(entry(f"user{index}@example.com") for index in range(10)))
    scan = lists.origin.scan()
    next(scan)
    assert len(list(scan)) == 9


def test_a_sweep_removes_what_expired_and_nothing_else(lists: Lists) -> None:
    kept = [entry("later@example.com", expires=NOW + 1), entry("never@example.com")]
    add(
        lists,
        *kept,
        entry("now@example.com", expires=NOW),
        entry("user+tag@gmail.com", "trap", expires=NOW - 60),
        entry("@example.net", expires=1),
    )
    assert lists.sweep(NOW + 0.5) == 3
    assert everything(lists) == sorted(kept, key=repr)
    assert reasons(lists, "user@gmail.com") == []
    assert lists.sweep(NOW + 0.5) == 0


def test_a_sweep_goes_by_the_refreshed_expiry(lists: Lists) -> None:
    add(lists, entry("user@example.com", expires=NOW), entry("other@example.com", expires=NOW))
    add(lists, entry("user@example.com", expires=NOW + 60), entry("other@example.com"))
    assert lists.sweep(NOW) == 0
    assert lists.sweep(NOW + 60) == 1
    assert lists.sweep(NOW + 10**9) == 0
    assert reasons(lists, "other@example.com") == ["manual"]


def test_a_sweep_keeps_the_other_entries_of_a_subject(lists: Lists) -> None:
    add(lists, entry("user@example.com", "soft_bounce", expires=NOW), entry("user@example.com", "role"))
    assert lists.sweep(NOW) == 1
    assert reasons(lists, "user@example.com") == ["role"]


def test_more_entries_than_one_batch_are_swept(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sendgate.store.embedded.SWEEP_BATCH", 10)
    load(lists, rows((f"user{index}@example.com" for index in range(35)), entry("x@example.com", expires=NOW)))
    add(lists, entry("kept@example.com"))
    assert lists.sweep(NOW) == 35
    assert len(everything(lists)) == 1


@pytest.mark.parametrize("expires", [2**32 - 1, 2**32, 253402300799])
def test_an_expiry_in_the_far_future_is_held(lists: Lists, expires: int) -> None:
    add(lists, entry("user@example.com", expires=expires))
    load(lists, rows(["other@example.com"], entry("x@example.com", expires=expires)))
    assert lists.sweep(NOW * 2) == 0
    assert len(everything(lists)) == 2
