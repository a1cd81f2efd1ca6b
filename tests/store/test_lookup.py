"""What a gate finds for a recipient: every kind of subject, the mailbox, and the reference of a reply."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sendgate.entry import MAILBOX_WIDE, Reason, parse_subject
from store.parts import Lists, add, entry, everything, reasons, remove


def digest(name: str, text: str) -> str:
    return f"{name}:{hashlib.new(name, text.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("subject", "named", "not_named"),
    [
        ("user@example.com", ["user@example.com", "<USER@Example.com.>"], ["user@mail.example.com", "a@example.com"]),
        ("@example.com", ["user@example.com", '"a b"@EXAMPLE.com'], ["user@mail.example.com", "user@example.org"]),
        (
            "@.example.com",
            ["user@example.com", "user@mail.example.com", "user@a.b.c.example.com"],
            ["user@notexample.com", "user@com", "user@example.com.net"],
        ),
        ("@.com", ["user@example.com", "user@com"], ["user@example.net", "com@example.net"]),
        ("@bücher.example", ["user@xn--bcher-kva.example"], ["user@bucher.example"]),
        ("@[192.0.2.1]", ["user@[192.0.2.1]"], ["user@[192.0.2.10]"]),
        ("abuse@", ["abuse@example.com", "ABUSE@example.org", '"abuse"@[192.0.2.1]'], ["abuses@example.com"]),
        ('"John Smith"@', ['"john smith"@example.com'], ["johnsmith@example.com", "john@example.com"]),
        (digest("sha256", "user@example.com"), ["user@example.com", "User@Example.COM"], ["a@example.com"]),
        (digest("sha1", "user@example.com"), ["user@example.com"], ["a@example.com"]),
        (digest("md5", "josé@xn--bcher-kva.example"), ["JOSE\u0301@bücher.example"], ["jose@bücher.example"]),
    ],
)
def test_each_kind_of_subject_names_its_recipients_alone(
    lists: Lists, subject: str, named: list[str], not_named: list[str]
) -> None:
    add(lists, entry(subject))
    assert [reasons(lists, address) for address in named] == [["manual"]] * len(named)
    assert [reasons(lists, address) for address in not_named] == [[]] * len(not_named)
    assert [one.subject for one in lists.origin.get(parse_subject(subject))] == [parse_subject(subject)]
    assert remove(lists, subject) == 1
    assert [reasons(lists, address) for address in named] == [[]] * len(named)


def test_all_subjects_that_name_a_recipient_are_found_at_once(lists: Lists) -> None:
    subjects = {
        "user@mail.example.com": "trap",
        "@mail.example.com": "legal",
        "@.mail.example.com": "complaint",
        "@.example.com": "unsubscribe",
        "@.com": "hard_bounce",
        "user@": "role",
        digest("sha256", "user@mail.example.com"): "typo",
        digest("sha1", "user@mail.example.com"): "soft_bounce",
        digest("md5", "user@mail.example.com"): "manual",
    }
    add(lists, *(entry(subject, reason) for subject, reason in subjects.items()))
    assert reasons(lists, "user@mail.example.com") == sorted(subjects.values())


def test_a_kind_that_is_added_later_is_found_from_then_on(lists: Lists) -> None:
    for subject in ("user@example.com", "@example.com", "@.example.com", "user@", digest("md5", "user@example.com")):
        before = len(lists.lookup("user@example.com"))
        add(lists, entry(subject))
        assert len(lists.lookup("user@example.com")) == before + 1


def test_a_domain_s_entries_are_forgotten_when_they_are_removed(lists: Lists) -> None:
    add(lists, entry("@example.com"), entry("@other.example"))
    assert len(lists.lookup("user@example.com")) == 1
    remove(lists, "@example.com")
    assert lists.lookup("user@example.com") == []


_SPELLINGS = [
    "first.last+shop@gmail.com",
    "FirstLast@googlemail.com",
    "f.i.r.s.t.last@gmail.com",
    "firstlast@gmail.com",
]


@pytest.mark.parametrize("reason", sorted(MAILBOX_WIDE))
@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_an_entry_about_a_person_names_every_spelling_of_the_mailbox(lists: Lists, reason: str, spelling: str) -> None:
    add(lists, entry(spelling, reason))
    assert [reasons(lists, other) for other in _SPELLINGS] == [[reason]] * len(_SPELLINGS)
    assert reasons(lists, "firstlast+shop@example.com") == []


@pytest.mark.parametrize("reason", sorted(set(Reason) - MAILBOX_WIDE))
def test_another_entry_names_the_exact_address_only(lists: Lists, reason: str) -> None:
    add(lists, entry("user+tag@example.com", reason), entry("other@example.com", reason))
    assert reasons(lists, "user+tag@example.com") == [reason]
    assert reasons(lists, "user@example.com") == []
    assert reasons(lists, "user+other@example.com") == []
    assert reasons(lists, "other+tag@example.com") == []


def test_a_mailbox_has_one_entry_however_it_is_spelt(lists: Lists) -> None:
    add(lists, *(entry(spelling, "trap") for spelling in _SPELLINGS))
    assert [one.subject.text for one in everything(lists)] == ["first.last+shop@gmail.com"]


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_an_entry_about_a_person_is_got_and_removed_by_any_spelling(lists: Lists, spelling: str) -> None:
    add(lists, entry("first.last+shop@gmail.com", "complaint"))
    assert len(lists.origin.get(parse_subject(spelling))) == 1
    assert remove(lists, spelling) == 1
    assert everything(lists) == []


def test_removing_a_tagged_address_keeps_what_is_exactly_about_the_mailbox(lists: Lists) -> None:
    exact = entry("user@gmail.com", "hard_bounce")
    add(lists, exact, entry("user@gmail.com", "trap"))
    tagged = parse_subject("user+tag@gmail.com")
    assert [one.reason for one in lists.origin.get(tagged)] == ["trap"]
    assert remove(lists, "user+tag@gmail.com") == 1
    assert everything(lists) == [exact]


def test_exact_and_mailbox_wide_entries_of_one_mailbox_are_told_apart(lists: Lists) -> None:
    add(lists, entry("user@gmail.com", "hard_bounce"), entry("user@gmail.com", "trap"))
    assert reasons(lists, "user@gmail.com") == ["hard_bounce", "trap"]
    assert reasons(lists, "u.ser+x@gmail.com") == ["trap"]


@pytest.mark.parametrize("subject", ["user@", digest("sha256", "user@example.com")])
def test_a_local_part_or_hash_about_a_person_names_the_mailbox(lists: Lists, subject: str) -> None:
    add(lists, entry(subject, "trap"))
    assert reasons(lists, "user+tag@example.com") == ["trap"]
    add(lists, entry(subject, "role"))
    assert reasons(lists, "user+tag@example.com") == ["trap"]
    assert reasons(lists, "user@example.com") == ["role", "trap"]


def test_an_entry_is_found_once_where_address_and_mailbox_share_a_local_part(lists: Lists) -> None:
    add(lists, entry("user@", "trap"))
    assert reasons(lists, "user@googlemail.com") == ["trap"]


def test_a_list_can_say_how_its_entries_match(opens: Callable[..., Lists], tmp_path: Path) -> None:
    lists = opens(tmp_path / "store", match_by_list={"wide": True, "exact": False})
    add(
        lists,
        entry("user+a@example.com", "manual", list_name="wide"),
        entry("user+a@example.com", "trap", list_name="exact"),
    )
    assert reasons(lists, "user+b@example.com") == ["manual"]
    assert reasons(lists, "user+a@example.com") == ["manual", "trap"]
    assert remove(lists, "user+a@example.com") == 2
    assert everything(lists) == []
    lists.close()


def test_a_reference_finds_the_entry_behind_a_reply(lists: Lists) -> None:
    given = [entry("user@example.com"), entry("@example.com"), entry("first.last+x@gmail.com", "trap")]
    add(lists, *given, *(entry(f"user{index}@example.org") for index in range(100)))
    found = [*lists.lookup("user@example.com"), *lists.lookup("firstlast@gmail.com")]
    assert sorted((one.subject.text for each in found for one in lists.origin.by_ref(each.ref)), key=str) == [
        "@example.com",
        "first.last+x@gmail.com",
        "user@example.com",
    ]


def test_an_unknown_reference_finds_nothing(lists: Lists) -> None:
    assert lists.origin.by_ref("00000000") == []
    add(lists, entry("user@example.com"))
    assert lists.origin.by_ref("00000000") == []
    assert lists.origin.by_ref("ffffffff") == []
