"""`sendgate verp`: signing senders and checking them, and settings that cannot be used."""

from __future__ import annotations

import pytest

from cli.parts import Program

KEY, OTHER = "k" * 32, "o" * 32
SIGN = ("verp", "sign", "--campaign", "spring", "--domain", "b.example.net")


@pytest.fixture
def signing(sendgate: Program) -> Program:
    (sendgate.folder / "key").write_text(f"{KEY}\n")
    sendgate.configure(f"feedback: {{verp_key_file: '{sendgate.folder}/key'}}")
    return sendgate


def test_each_recipient_gets_a_sender_that_checks(signing: Program) -> None:
    signed = signing(*SIGN, "anna@example.com", "bert@example.org")
    assert signed.status == 0
    for sender, recipient in zip(signed.out.split(), ("anna@example.com", "bert@example.org"), strict=True):
        checked = signing("verp", "check", sender, "--json")
        assert checked.status == 0
        assert checked.json.pop("day")
        assert checked.json | {"day": ""} == {
            "result": "verified",
            "recipient": recipient,
            "campaign": "spring",
            "day": "",
        }


def test_senders_come_with_their_recipients_as_json(signing: Program) -> None:
    (row,) = signing(*SIGN, "Anna@example.com", "--json").json
    assert row["recipient"] == "Anna@example.com"
    assert row["sender"].endswith("+anna=example.com@b.example.net")


def test_a_sender_without_its_recipient_is_checked_against_those_given(signing: Program) -> None:
    long = "x" * 50 + "@example.com"
    sender = signing(*SIGN, long).out.strip()
    assert signing("verp", "check", sender).status == 1
    checked = signing("verp", "check", sender, "--recipient", "else@example.com", "--recipient", long)
    assert checked.status == 0
    assert checked.out.startswith(f"verified, recipient {long}, campaign spring, day 20")


@pytest.mark.parametrize(
    ("address", "word"), [("anna@example.com", "unsigned"), (f"bounce+spring+{'a' * 20}+a=b.c@b.example.net", "forged")]
)
def test_what_we_did_not_sign_is_no(signing: Program, address: str, word: str) -> None:
    answer = signing("verp", "check", address)
    assert (answer.status, answer.out) == (1, f"{word}\n")


def test_an_old_signature_is_told_with_its_day(signing: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_767_225_600.0)
    sender = signing(*SIGN, "anna@example.com").out.strip()
    monkeypatch.setattr("time.time", lambda: 1_767_225_600.0 + 40 * 86400)
    answer = signing("verp", "check", sender)
    assert answer.status == 1
    assert answer.out == "expired, recipient anna@example.com, campaign spring, day 2026-01-01\n"


def test_the_key_before_still_checks(signing: Program) -> None:
    sender = signing(*SIGN, "anna@example.com").out.strip()
    (signing.folder / "new").write_text(OTHER)
    files = f"verp_key_file: '{signing.folder}/new', verp_previous_key_file: '{signing.folder}/key'"
    signing.configure(f"feedback: {{{files}}}")
    assert signing("verp", "check", sender).status == 0
    assert signing(*SIGN, "anna@example.com").out.strip() != sender


def test_a_campaign_or_recipient_or_domain_that_cannot_be_carried_is_told(signing: Program) -> None:
    answer = signing("verp", "sign", "--campaign", "a b", "--domain", "b.example.net", "anna@example.com")
    assert answer.status == 2
    assert "campaign 'a b' cannot stand in an envelope sender" in answer.errors
    assert signing(*SIGN, "nobody").status == 2
    assert signing("verp", "sign", "--campaign", "a", "--domain", "-", "anna@example.com").status == 2


def test_without_a_key_nothing_is_signed_or_checked(sendgate: Program) -> None:
    for arguments in ((*SIGN, "anna@example.com"), ("verp", "check", "anna@example.com")):
        answer = sendgate(*arguments)
        assert answer.status == 2
        assert "feedback.verp_key_file is not set" in answer.errors


@pytest.mark.parametrize(
    ("key", "previous", "complaint"),
    [
        ("short", None, "feedback.verp_key_file: must hold 16 to 64 bytes, holds 5"),
        ("x" * 65, None, "feedback.verp_key_file: must hold 16 to 64 bytes, holds 65"),
        (KEY, KEY, "feedback.verp_previous_key_file: holds the same secret as feedback.verp_key_file"),
        (None, KEY, "feedback.verp_previous_key_file: needs feedback.verp_key_file, which signs"),
    ],
)
def test_keys_that_cannot_be_used_are_told(
    sendgate: Program, key: str | None, previous: str | None, complaint: str
) -> None:
    lines = []
    for name, value in (("verp_key_file", key), ("verp_previous_key_file", previous)):
        if value is not None:
            (sendgate.folder / name).write_text(value)
            lines.append(f"{name}: '{sendgate.folder / name}'")
    sendgate.configure(f"feedback: {{{', '.join(lines)}}}")
    answer = sendgate("verp", "check", "anna@example.com")
    assert (answer.status, answer.complaints) == (2, [complaint])


def test_a_key_file_that_is_not_there_is_told(sendgate: Program) -> None:
    sendgate.configure("feedback: {verp_key_file: /nowhere/key}")
    answer = sendgate("verp", "check", "anna@example.com")
    assert answer.status == 2
    assert answer.complaints[0].startswith("feedback.verp_key_file: [Errno 2]")


def test_verp_alone_is_a_question_without_an_answer(sendgate: Program) -> None:
    assert sendgate("verp").status == 2
