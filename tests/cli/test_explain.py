"""`explain`: what is found, why it counts or not, and that the answer is the gate's."""

from __future__ import annotations

import pytest

from cli.parts import Program
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.strikes import Strike

SETTINGS = """
campaign: {streams: {marketing: '^news-'}}
actions: {soft_bounce: tempfail, role: hold, typo: observe}
observe: {lists: [trial], campaigns: [rehearsal]}
"""


@pytest.fixture
def gate(sendgate: Program) -> Program:
    sendgate.configure(SETTINGS)
    return sendgate


def test_an_address_without_entries_passes(gate: Program) -> None:
    gate("add", "other@example.com", "--reason", "trap")
    answer = gate("explain", "User@Example.com", "--json")
    assert answer.status == 0
    assert answer.json["passes"] is True
    assert answer.json["address"] == "user@example.com"
    assert (answer.json["entries"], answer.json["reply"]) == ([], None)


def test_an_entry_is_shown_with_all_that_is_known(gate: Program) -> None:
    options = ["--list", "calls", "--note", "angry", "--expires", "2099-01-01", "--scope", "stream:marketing"]
    gate("add", "anna+news@gmail.com", "--reason", "complaint", *options)
    answer = gate("explain", "a.nna@googlemail.com", "--campaign", "news-may", "--json")
    assert answer.status == 1
    told = answer.json
    assert (told["address"], told["mailbox"]) == ("a.nna@googlemail.com", "anna@gmail.com")
    assert (told["campaign"], told["stream"], told["decision"]) == ("news-may", "marketing", "reject")
    (entry,) = told["entries"]
    assert entry["subject"] == "anna+news@gmail.com"
    assert (entry["applies"], entry["why"], entry["note"], entry["list"]) == (True, "decides", "angry", "calls")
    assert told["reply"] == (f"550 5.7.1 <a.nna@googlemail.com>: recipient suppressed: complaint (ref {entry['ref']})")


def test_people_see_the_same(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "hard_bounce", "--note", "gone", "--list", "bounces")
    answer = gate("explain", "user@example.com")
    assert answer.status == 1
    for words in (
        "user@example.com (hard_bounce, list bounces, scope *)",
        "never expires",
        "by operator",
        "note: gone",
    ):
        assert words in answer.out
    assert "550 5.7.1 <user@example.com>: recipient suppressed: hard_bounce" in answer.out


def test_the_keys_are_those_of_the_lookup(gate: Program) -> None:
    gate("add", "@.example.com", "postmaster@", "--reason", "manual")
    keys = gate("explain", "Postmaster@mail.example.com", "--json").json["keys"]
    assert [key["text"] for key in keys] == [
        "postmaster@mail.example.com",
        "@mail.example.com",
        "@.mail.example.com",
        "@.example.com",
        "@.com",
        "postmaster@",
    ]


@pytest.mark.parametrize(
    ("options", "campaign", "status", "why"),
    [
        (["--reason", "trap", "--scope", "campaign:sale"], "sale", 1, "decides"),
        (["--reason", "trap", "--scope", "campaign:sale"], "other", 0, "only in campaign:sale, not in campaign other"),
        (["--reason", "trap", "--scope", "stream:marketing"], "news-1", 1, "decides"),
        (["--reason", "trap", "--scope", "stream:marketing"], "txn-1", 0, "only in stream:marketing"),
        (["--reason", "trap", "--list", "trial"], "sale", 0, "decides, in dry run only"),
        (["--reason", "trap"], "rehearsal", 0, "decides, in dry run only"),
        (["--reason", "typo"], "sale", 0, "decides, in dry run only"),
    ],
)
def test_why_an_entry_counts_or_not(options: list[str], campaign: str, status: int, why: str, gate: Program) -> None:
    gate("add", "user@example.com", *options)
    answer = gate("explain", "user@example.com", "--campaign", campaign, "--json")
    assert answer.status == status
    (entry,) = answer.json["entries"]
    assert why in entry["why"]


def test_an_expired_entry_is_shown_and_does_not_count(gate: Program) -> None:
    gate("import", "-", "--reason", "trap", stdin=b"email,expires\nuser@example.com,2020-01-01\n")
    answer = gate("explain", "user@example.com", "--json")
    assert answer.status == 0
    assert answer.json["entries"][0]["why"] == "does not apply: expired 2020-01-01T00:00:00Z"


def test_an_allow_entry_overrules_all_but_the_recipients_will(gate: Program) -> None:
    gate("add", "@example.com", "--reason", "allow")
    gate("add", "user@example.com", "--reason", "trap")
    answer = gate("explain", "user@example.com", "--json")
    assert answer.status == 0
    assert {entry["reason"]: entry["applies"] for entry in answer.json["entries"]} == {"trap": False, "allow": True}
    gate("add", "user@example.com", "--reason", "complaint")
    assert gate("explain", "user@example.com").status == 1


@pytest.mark.parametrize(
    ("reason", "decision", "reply"),
    [("soft_bounce", "tempfail", "451 4.7.1"), ("role", "hold", None), ("manual", "reject", "550 5.7.1")],
)
def test_the_decision_is_that_of_the_settings(reason: str, decision: str, reply: str | None, gate: Program) -> None:
    gate("add", "user@example.com", "--reason", reason)
    answer = gate("explain", "user@example.com", "--json")
    assert (answer.status, answer.json["decision"]) == (1, decision)
    assert answer.json["reply"] is None if reply is None else answer.json["reply"].startswith(reply)


def test_what_is_no_address_is_answered_as_the_gate_would(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "manual")
    answer = gate("explain", "two words@example.com")
    assert answer.status == 1
    assert "553 5.1.3 <two words@example.com>: recipient address not understood" in answer.out


def test_the_ref_of_a_reply_leads_to_its_entry(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "manual", "--note", "found")
    ref = gate("explain", "user@example.com", "--json").json["entries"][0]["ref"]
    answer = gate("explain", ref.upper())
    assert answer.status == 0
    assert "user@example.com (manual" in answer.out
    assert "note: found" in answer.out
    assert gate("explain", ref, "--json").json["entries"][0]["subject"] == "user@example.com"
    assert gate("explain", "00000000").status == 1


EVIDENCE = Evidence(
    at=1_795_341_600,
    queue_id="4F1B2C",
    host="mx.example.com",
    provider="example.com",
    source="log",
    code="550",
    status="5.1.1",
    breaker="example.com",
    strikes=(Strike("bad_mailbox", "4F1B2C", 1_795_341_600, doubted=True),),
    text="550 5.1.1 no such user",
)


def test_the_evidence_of_feedback_is_shown_below_its_entry(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "hard_bounce", "--note", EVIDENCE.note())
    out = gate("explain", "user@example.com").out
    lines = [line.strip() for line in out.splitlines()]
    first = lines.index(
        "evidence of 2026-11-22T10:00:00Z, status 550 5.1.1, host mx.example.com, provider example.com, "
        "queue 4F1B2C, source log"
    )
    assert lines[first + 1 : first + 5] == [
        "answer: 550 5.1.1 no such user",
        "the breaker of example.com was open: not for ever by this",
        "strikes: bad_mailbox 2026-11-22T10:00:00Z (4F1B2C, doubted)",
        "decides",
    ]
    assert "note:" not in out


def test_programs_get_the_evidence_as_an_object(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "hard_bounce", "--note", EVIDENCE.note())
    gate("add", "user@example.com", "--reason", "manual", "--note", "asked by phone")
    entries = gate("explain", "user@example.com", "--json").json["entries"]
    by_reason = {entry["reason"]: entry["evidence"] for entry in entries}
    assert by_reason["manual"] is None
    told = by_reason["hard_bounce"]
    assert (told["at"], told["queue_id"], told["text"]) == ("2026-11-22T10:00:00Z", "4F1B2C", "550 5.1.1 no such user")
    assert told["strikes"] == [{"kind": "bad_mailbox", "id": "4F1B2C", "at": "2026-11-22T10:00:00Z", "doubted": True}]


def test_the_ref_of_a_reply_leads_to_the_evidence(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "hard_bounce", "--note", EVIDENCE.note())
    ref = gate("explain", "user@example.com", "--json").json["entries"][0]["ref"]
    assert "answer: 550 5.1.1 no such user" in gate("explain", ref).out
    assert gate("explain", ref, "--json").json["entries"][0]["evidence"]["queue_id"] == "4F1B2C"


def test_a_strike_is_shown_and_refuses_nobody(gate: Program) -> None:
    gate("add", "user@example.com", "--reason", "strike", "--note", EVIDENCE.note())
    answer = gate("explain", "user@example.com", "--json")
    assert answer.status == 0
    (entry,) = answer.json["entries"]
    assert (entry["applies"], entry["why"]) == (False, "remembers a failure; refuses nobody")
