"""`add` and `remove`: all or nothing, and said what became of it."""

from __future__ import annotations

import re
import time

import pytest

from cli.parts import Program


def test_subjects_of_every_kind_are_added(sendgate: Program) -> None:
    subjects = ["user@example.com", "@example.org", "@.example.net", "postmaster@", "md5:" + "0" * 32]
    answer = sendgate("add", *subjects, "--reason", "manual")
    assert (answer.status, answer.out) == (0, "5 added, 0 refreshed, 0 unchanged\n")
    assert sendgate.subjects() == sorted(subjects)


def test_options_become_attributes(sendgate: Program) -> None:
    before = int(time.time())
    options = ["--scope", "campaign:sale", "--list", "partners", "--note", "asked by mail", "--expires", "2099-01-01"]
    sendgate("add", "User@Example.com", "--reason", "unsubscribe", *options)
    (entry,) = sendgate.exported()
    created = entry.pop("created")
    assert before <= int(time.mktime(time.strptime(created, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone) <= time.time()
    assert entry == {
        "subject": "user@example.com",
        "reason": "unsubscribe",
        "scope": "campaign:sale",
        "list": "partners",
        "origin": "operator",
        "expires": "2099-01-01T00:00:00Z",
        "strikes": 1,
        "note": "asked by mail",
    }


def test_adding_again_extends_and_never_duplicates(sendgate: Program) -> None:
    sendgate("add", "user@example.com", "--reason", "manual", "--expires", "2090-01-01")
    assert sendgate("add", "user@example.com", "--reason", "manual", "--json").json == {
        "added": 0,
        "refreshed": 1,
        "unchanged": 0,
    }
    assert [entry["expires"] for entry in sendgate.exported()] == [None]


def test_subjects_come_from_stdin(sendgate: Program) -> None:
    answer = sendgate("add", "-", "--reason", "manual", stdin=b"a@example.com\n# no\n\n@example.org\n")
    assert answer.status == 0
    assert sendgate.subjects() == ["@example.org", "a@example.com"]


@pytest.mark.parametrize("arguments", [["good@example.com", "bad", "x@y z"], ["-"]])
def test_one_bad_subject_stops_all_and_each_is_told(arguments: list[str], sendgate: Program) -> None:
    answer = sendgate("add", *arguments, "--reason", "manual", stdin=b"good@example.com\nbad\nx@y z\n")
    assert answer.status == 2
    assert len(answer.complaints) == 3
    assert "'bad' is no subject: no domain" in answer.complaints[0]
    assert "'x@y z' is no subject: not a valid domain" in answer.complaints[1]
    assert answer.complaints[2] == "nothing was changed"
    assert not sendgate.store.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--reason", "nonsense"], "trap"),
        ([], "--reason"),
        (["--reason", "manual", "--scope", "everywhere"], "'everywhere' is no scope"),
        (["--reason", "manual", "--list", "a b"], "'a b' is no list name"),
        (["--reason", "manual", "--expires", "soon"], "'soon' is no time"),
        (["--reason", "manual", "--expires", "2020-01-01"], "is past"),
        (["--reason", "manual", "--expires", "20301231"], "2030-12-31"),
        (["--reason", "manual", "--bogus"], "--bogus"),
    ],
)
def test_a_bad_option_is_told_in_one_line(options: list[str], words: str, sendgate: Program) -> None:
    answer = sendgate("add", "user@example.com", *options)
    assert (answer.status, len(answer.complaints)) == (2, 1)
    assert words in answer.complaints[0]
    assert not sendgate.store.exists()


def test_removing_narrows_by_reason_scope_and_list(sendgate: Program) -> None:
    for option, value in (("--list", "a"), ("--list", "b"), ("--scope", "stream:news")):
        sendgate("add", "user@example.com", "--reason", "manual", option, value)
    sendgate("add", "user@example.com", "--reason", "role", "--list", "a")
    assert sendgate("remove", "user@example.com", "--reason", "role").out.startswith("1 removed\n")
    assert sendgate("remove", "user@example.com", "--scope", "stream:news").out.startswith("1 removed\n")
    assert sendgate("remove", "user@example.com", "--list", "a").out.startswith("1 removed\n")
    assert [entry["list"] for entry in sendgate.exported()] == ["b"]


def test_removing_says_what_still_suppresses_the_address(sendgate: Program) -> None:
    sendgate("add", "user@example.com", "--reason", "manual")
    sendgate("add", "@example.com", "--reason", "trap", "--list", "traps")
    sendgate("add", "user@", "--reason", "allow")
    answer = sendgate("remove", "user@example.com")
    assert answer.status == 0
    assert answer.out == (
        "1 removed\nuser@example.com is still suppressed by @example.com (trap, list traps, scope *)\n"
    )
    answer = sendgate("remove", "user@example.com", "--json")
    assert answer.status == 1
    assert answer.json["removed"] == 0
    assert [entry["list"] for entry in answer.json["still_suppressed"]["user@example.com"]] == ["traps"]


def test_removing_what_is_not_there_is_a_no(sendgate: Program) -> None:
    sendgate("add", "user@example.com", "--reason", "manual")
    answer = sendgate("remove", "other@example.com")
    assert (answer.status, answer.out) == (1, "0 removed\n")


def test_a_whole_list_goes_only_with_a_yes(sendgate: Program) -> None:
    sendgate("add", "a@example.com", "b@example.com", "--reason", "manual", "--list", "old")
    sendgate("add", "a@example.com", "--reason", "manual")
    refused = sendgate("remove", "--list", "old")
    assert refused.status == 2
    assert "--yes" in refused.errors
    assert len(sendgate.exported()) == 3
    assert sendgate("remove", "--list", "old", "--yes").out == "2 removed\n"
    assert [entry["list"] for entry in sendgate.exported()] == ["default"]
    assert sendgate("remove", "--list", "old", "--yes").status == 1


@pytest.mark.parametrize("options", [[], ["--reason", "manual"], ["--list", "old", "--reason", "manual", "--yes"]])
def test_removing_needs_to_know_what(options: list[str], sendgate: Program) -> None:
    sendgate("add", "a@example.com", "--reason", "manual", "--list", "old")
    assert sendgate("remove", *options).status == 2
    assert len(sendgate.exported()) == 1


def test_a_terminal_is_asked_before_a_whole_list_goes(sendgate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    sendgate("add", "a@example.com", "--reason", "manual", "--list", "old")
    monkeypatch.setattr("sendgate.cli.remove._is_terminal", lambda: True)
    kept = sendgate("remove", "--list", "old", stdin=b"n\n")
    assert kept.status == 1
    assert re.search("Remove all 1 entries of list old", kept.errors)
    assert len(sendgate.exported()) == 1
    assert sendgate("remove", "--list", "old", stdin=b"y\n").status == 0
    assert sendgate.exported() == []
