"""The gate's judgement, with a lookup of its own for each test."""

from __future__ import annotations

import pytest

from sendgate.address import Address
from sendgate.decision import (
    BAD_ADDRESS,
    PASS,
    REPLICA_STALE,
    STORE_UNAVAILABLE,
    Action,
    Campaign,
    Decision,
    Rules,
    Verdict,
)
from sendgate.entry import EVERYWHERE, Found, Reason
from sendgate.gate import Gate, LookupFailedError

CAMPAIGN = Campaign("spring")
NOON = 1_790_000_000.0


def entry(reason: Reason) -> Found:
    return Found(reason, EVERYWHERE, "default", 0, None, "7f3a9c21")


def gate(entries: dict[str, list[Reason]]) -> Gate:
    def lookup(address: Address) -> list[Found]:
        return [entry(reason) for reason in entries.get(address.text, [])]

    return Gate(lookup, Rules(), lambda: NOON)


def not_asked() -> str | None:
    raise AssertionError("Postfix's reading was asked for")


def test_a_recipient_on_no_list_passes() -> None:
    assert gate({}).judge(b"<anna@example.com>", not_asked, CAMPAIGN) == PASS


def test_a_listed_recipient_is_refused_in_any_case_and_without_asking_postfix() -> None:
    judged = gate({"gone@example.com": [Reason.HARD_BOUNCE]}).judge(b"<Gone@Example.COM>", not_asked, CAMPAIGN)
    assert judged.verdict is Verdict.REJECT


def test_postfix_is_asked_when_a_recipient_can_be_read_in_two_ways() -> None:
    judged = gate({"gone@example.com": [Reason.HARD_BOUNCE]}).judge(
        b"<gone%example.com@relay.example>", lambda: "gone@example.com", CAMPAIGN
    )
    assert judged.verdict is Verdict.REJECT


def test_an_allow_for_one_reading_does_not_release_the_other() -> None:
    lists = {"gone@example.com": [Reason.HARD_BOUNCE], "gone%example.com@relay.example": [Reason.ALLOW]}
    judged = gate(lists).judge(b"<gone%example.com@relay.example>", lambda: "gone@example.com", CAMPAIGN)
    assert judged.verdict is Verdict.REJECT


def test_what_only_postfix_can_read_is_judged_by_its_reading() -> None:
    judged = gate({"gone@example.com": [Reason.TRAP]}).judge(
        b"<gone @ example.com>", lambda: "gone@example.com", CAMPAIGN
    )
    assert judged.verdict is Verdict.REJECT


def test_what_nobody_can_read_is_a_bad_address() -> None:
    assert gate({}).judge(b"<>", lambda: None, CAMPAIGN) == BAD_ADDRESS
    assert gate({}).judge(b"<\xff\xfe@example.com>", lambda: None, CAMPAIGN) == BAD_ADDRESS


def test_a_lookup_that_cannot_tell_is_neither_a_pass_nor_a_refusal() -> None:
    def fails(_address: Address) -> list[Found]:
        raise LookupFailedError("no store")

    judged = Gate(fails, Rules(), lambda: NOON).judge(b"<anna@example.com>", not_asked, CAMPAIGN)
    assert judged == STORE_UNAVAILABLE


def stale_gate(reasons: list[Reason], rules: Rules, *, stale: bool = True) -> Gate:
    """A gate whose lists have these reasons for `gone@example.com` and are, or are not, too old."""
    found = [entry(reason) for reason in reasons]
    return Gate(lambda address: found if address.local == "gone" else [], rules, lambda: NOON, lambda: stale)


@pytest.mark.parametrize(
    ("reasons", "rules"),
    [
        ([], Rules()),
        ([Reason.ALLOW, Reason.HARD_BOUNCE], Rules()),
        ([Reason.HARD_BOUNCE], Rules(observe_all=True)),
        ([Reason.HARD_BOUNCE], Rules(actions={Reason.HARD_BOUNCE: Action.OBSERVE})),
    ],
    ids=["on no list", "allowed", "dry run", "observed reason"],
)
def test_nobody_passes_by_lists_that_are_too_old(reasons: list[Reason], rules: Rules) -> None:
    fresh = stale_gate(reasons, rules, stale=False).judge(b"<gone@example.com>", not_asked, CAMPAIGN)
    assert fresh.verdict is Verdict.PASS
    assert stale_gate(reasons, rules).judge(b"<gone@example.com>", not_asked, CAMPAIGN) == REPLICA_STALE


@pytest.mark.parametrize("action", [Action.REJECT, Action.TEMPFAIL, Action.HOLD, Action.DISCARD])
def test_lists_that_are_too_old_still_refuse(action: Action) -> None:
    def judged(*, stale: bool) -> Decision:
        gate = stale_gate([Reason.MANUAL], Rules(actions={Reason.MANUAL: action}), stale=stale)
        return gate.judge(b"<gone@example.com>", not_asked, CAMPAIGN)

    assert judged(stale=True) == judged(stale=False)
    assert judged(stale=True).verdict == Verdict(action)


def test_a_recipient_of_two_readings_is_refused_for_one_although_the_lists_are_too_old() -> None:
    judged = stale_gate([Reason.TRAP], Rules()).judge(
        b"<gone%example.com@relay.example>", lambda: "gone@example.com", CAMPAIGN
    )
    assert judged.verdict is Verdict.REJECT


def test_what_nobody_can_read_is_a_bad_address_whatever_the_age_of_the_lists() -> None:
    assert stale_gate([], Rules()).judge(b"<>", lambda: None, CAMPAIGN) == BAD_ADDRESS


def test_the_age_of_the_lists_does_not_matter_when_they_cannot_be_read() -> None:
    def fails(_address: Address) -> list[Found]:
        raise LookupFailedError("no store")

    judged = Gate(fails, Rules(), lambda: NOON, lambda: True).judge(b"<anna@example.com>", not_asked, CAMPAIGN)
    assert judged == STORE_UNAVAILABLE
