"""What answers mean: the order of judging, codes in texts, and the replies of many servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendgate.decision import Cause, Decision, Verdict
from sendgate.feedback.classify import BLOCK, HARD, classify, codes_of, fold, is_own_refusal, phase_of
from sendgate.feedback.codes import type_of_code
from sendgate.feedback.event import Answer, BounceType, EventClass, Phase
from sendgate.feedback.rules import load_rules
from sendgate.reply import reply_to

RULES = load_rules()
TABLE = Path(__file__).resolve().parents[2] / "data" / "feedback" / "replies.tsv"
UNKNOWN = "550 5.1.1 <gone@example.com>: Recipient address rejected: User unknown"


def table() -> list[tuple[str, str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(types, reply) for types, reply in rows]


def judge(
    reply: str, code: str = "", enhanced: str = "", *, phase: Phase = Phase.UNKNOWN, deferred: bool = False
) -> tuple[str, str]:
    verdict = classify(Answer(reply, code, enhanced, phase, deferred), RULES)
    return verdict.type, verdict.event_class


@pytest.mark.parametrize(("types", "reply"), table())
def test_a_reply_of_the_table_means_what_the_table_says(types: str, reply: str) -> None:
    verdict = classify(Answer(reply), RULES)
    assert verdict.type in types.split("|"), verdict.because


def test_the_table_is_large_and_has_every_type() -> None:
    rows = table()
    assert len(rows) >= 350
    assert {one for types, _ in rows for one in types.split("|")} == set(BounceType)


def test_a_deferred_answer_is_never_hard() -> None:
    assert judge(UNKNOWN, deferred=True) == ("bad_mailbox", "soft")


@pytest.mark.parametrize("codes", [("450", "5.1.1"), ("450", ""), ("", "4.1.1"), ("550", "4.1.1")])
def test_an_answer_with_a_code_of_four_is_never_hard(codes: tuple[str, str]) -> None:
    assert judge("no such user", *codes) == ("bad_mailbox", "soft")


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.HELO, Phase.MAIL])
def test_an_error_before_any_recipient_is_never_hard(phase: Phase) -> None:
    assert judge(UNKNOWN, phase=phase) == ("policy", "block")
    assert judge("550 5.1.1", phase=phase) == ("policy", "block")


@pytest.mark.parametrize(
    "reply",
    [
        "host mx.example[192.0.2.1] refused to talk to me: 550 user unknown",
        "550 5.1.1 <mail.shop.example[203.0.113.1]>: Client host rejected: no such user",
        "550 5.1.1 no such user (in reply to MAIL FROM command)",
        "550 no such user (in reply to EHLO command)",
    ],
)
def test_a_text_tells_that_the_sender_was_refused(reply: str) -> None:
    assert judge(reply)[1] == "block"


def test_text_counts_before_the_enhanced_code() -> None:
    assert judge("552 5.1.1 mailbox is over quota") == ("full", "soft")
    assert judge("550 5.7.1 Mailbox does not exist") == ("bad_mailbox", "hard")


def test_the_enhanced_code_counts_when_the_text_says_nothing() -> None:
    assert judge("550 5.1.1 see https://example.com/help") == ("bad_mailbox", "hard")
    assert judge("see https://example.com/help", "550", "5.7.26") == ("authentication", "block")


def test_nothing_known_is_other_and_soft_only_when_deferred() -> None:
    assert judge("550 hm") == ("other", "other")
    assert judge("450 hm") == ("other", "soft")
    assert judge("") == ("other", "other")


def test_a_verdict_tells_what_decided() -> None:
    assert classify(Answer(UNKNOWN), RULES).because.startswith("rule unknown-recipient: ")
    assert classify(Answer("550 5.1.1"), RULES).because == "enhanced code 5.1.1"
    assert classify(Answer("550 hm"), RULES).because == "code 550"


def test_a_more_telling_code_in_the_text_counts_before_a_general_one_that_was_given() -> None:
    assert judge("550 5.1.1 see our page", "550", "5.0.0") == ("bad_mailbox", "hard")
    assert judge("550 5.0.0 see our page", "550", "5.1.1") == ("bad_mailbox", "hard")


@pytest.mark.parametrize("cause", [Cause.STORE_UNAVAILABLE, Cause.REPLICA_STALE, Cause.OTHER_FATE, Cause.BAD_ADDRESS])
def test_every_refusal_of_a_gate_is_known_as_our_own(cause: Cause) -> None:
    reply = reply_to(Decision(Verdict.TEMPFAIL, cause, None), "anna@example.com")
    assert reply is not None
    assert is_own_refusal(str(reply))
    assert classify(Answer(f"host mx.example[192.0.2.1] said: {reply}"), RULES).event_class is EventClass.BLOCK


def test_a_suppression_by_another_gate_is_our_own() -> None:
    assert is_own_refusal("550 5.7.1 <anna@example.com>: recipient suppressed: hard_bounce (ref 1a2b3c4d)")
    assert not is_own_refusal(UNKNOWN)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("550 5.1.1 User unknown", ("550", "5.1.1")),
        ("550-5.1.1 The account\n550 5.1.1 does not exist", ("550", "5.1.1")),
        ("550 User unknown (#5.1.1)", ("550", "5.1.1")),
        ("550 #5.1.0 Address rejected", ("550", "5.1.0")),
        ("Sorry, no mailbox here by that name. (#5.1.1)", ("", "5.1.1")),
        ("550 User unknown", ("550", "")),
        ("smtp; 552 5.2.2 full", ("552", "5.2.2")),
        ("host mx.example[192.0.2.25] said: 550-5.1.1 no", ("550", "5.1.1")),
        (
            "550 5.4.312 Message expired. Server at 192.0.2.7 returned '450 4.4.312 DNS query failed'",
            ("450", "4.4.312"),
        ),
        ("550 5.7.1 [192.0.2.25] blocked", ("550", "5.7.1")),
        ("554 blocked, see 5.1.2.3", ("554", "")),
        ("421", ("421", "")),
        ("connect to mx.example[192.0.2.4]:25: Connection refused", ("", "")),
        ("", ("", "")),
    ],
)
def test_codes_are_found_in_a_text(text: str, codes: tuple[str, str]) -> None:
    assert codes_of(text) == codes


def test_phases_are_found_in_a_text() -> None:
    assert phase_of("550 no (in reply to RCPT TO command)") is Phase.RCPT
    assert phase_of("550 no (in reply to end of DATA command)") is Phase.END_OF_DATA
    assert phase_of("550 no") is Phase.UNKNOWN


def test_a_text_is_folded_to_what_rules_see() -> None:
    assert fold("550-5.1.1 <Anna.B@Example.COM>: Boîte\r\n550 5.1.1  pleine=20ici") == "<@>: boite pleine ici"


def test_an_address_says_nothing_of_its_recipient() -> None:
    assert judge("550 <mailbox.full@spam.example>: hm")[0] == "other"


@pytest.mark.parametrize("kind", BounceType)
def test_every_type_has_the_class_that_belongs_to_it(kind: BounceType) -> None:
    severities = dict.fromkeys(HARD, "hard") | dict.fromkeys(BLOCK, "block")
    expected = severities.get(kind, "other" if kind is BounceType.OTHER else "soft")
    found = {classify(Answer(reply), RULES) for types, reply in table() if types == kind}
    assert expected in {one.event_class for one in found}


def test_codes_of_unknown_meaning_mean_nothing() -> None:
    assert type_of_code("") is None
    assert type_of_code("5.0.0") is None
    assert type_of_code("5.5.2") is None
    assert type_of_code("5.7.999") is BounceType.POLICY


@given(st.text(max_size=400), st.sampled_from(["", "450", "550", "x"]), st.sampled_from(["", "5.1.1", "9.9.9", "."]))
def test_no_text_makes_it_fail(reply: str, code: str, enhanced: str) -> None:
    verdict = classify(Answer(reply, code, enhanced), RULES)
    assert verdict.type in set(BounceType)


@pytest.mark.parametrize(
    "seed", ["user ", "mailbox is ", "a@", "=20", "550-", "not ", "the account of ", "relay ", "满", "(", "5.1.1", "\0"]
)
def test_a_long_text_takes_no_long_time(seed: str) -> None:
    started = time.process_time()
    classify(Answer(seed * (1_000_000 // len(seed))), RULES)
    assert time.process_time() - started < 1.0


def test_five_thousand_replies_take_less_than_a_second() -> None:
    answers = [Answer(reply) for _, reply in table()]
    for answer in answers:
        classify(answer, RULES)
    started = time.process_time()
    for number in range(5_000):
        classify(answers[number % len(answers)], RULES)
    assert time.process_time() - started < 1.0
