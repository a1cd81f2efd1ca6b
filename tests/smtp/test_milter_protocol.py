"""The gate without Postfix, by the milter protocol: what Postfix would never let through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from smtp.arena import Arena
from smtp.mta_side import ACCEPT, ALL_EVENTS, CONTINUE, DISCARD, REPLY, Answer, MtaSide
from smtp.script import entry_of

BAD = "hard_bounce user@example.com"
SUPPRESSED = "550 5.7.1 "
NOT_UNDERSTOOD = "553 5.1.3 "


@pytest.fixture
def mta(shipped: Arena) -> MtaSide:
    return MtaSide(shipped.gate.socket)


def test_good_and_suppressed_recipients(shipped: Arena, mta: MtaSide) -> None:
    with shipped.listed([entry_of(BAD)]), mta:
        assert mta.mail(b"<bounce+spring@x.test>") == Answer(CONTINUE)
        assert mta.rcpt(b"<anna@example.com>") == Answer(CONTINUE)
        answer = mta.rcpt(b"<user@example.com>")
        assert answer.code == REPLY
        assert answer.text.startswith("550 5.7.1 <user@example.com>: recipient suppressed: hard_bounce (ref ")
        assert mta.rcpt(b"<ben@example.com>") == Answer(CONTINUE)
        assert mta.ask("T") == Answer(ACCEPT)
        counts = {("recipients", "spring", "pass", "none"): 2, ("recipients", "spring", "reject", "hard_bounce"): 1}
        shipped.expect(Counter(counts | {("messages", "spring"): 1}))


@pytest.mark.parametrize(
    "recipient",
    [
        b"",
        b"<>",
        b"< >",
        b"<user>",
        b"<user@>",
        b"<@example.com>",
        b"<\x01\x02@example.com>",
        b"<user@example.com\r\n>",
        b"<\xff\xfe\xfd>",
        b"<us\xffer@example.com>",
        b"<" + b"l" * 10_000 + b"@example.com>",
        b"<" + b"<" * 5_000 + b">" * 5_000,
        b"<" + b'"\\' * 5_000 + b"@example.com>",
        b"<" + b"@a" * 5_000 + b":user@example.com>",
        b"<user@" + b"a." * 5_000 + b"com>",
        b"<user@[" + b":" * 5_000 + b"]>",
        b"<user@xn--" + b"9" * 5_000 + b">",
        b"<user@" + "ü.".encode() * 3_000 + b"de>",
    ],
    ids=lambda recipient: repr(recipient[:20]),
)
def test_what_is_no_address_is_refused_and_ends_nothing(shipped: Arena, mta: MtaSide, recipient: bytes) -> None:
    with shipped.listed([entry_of(BAD)]), mta:
        mta.mail(b"<bounce+spring@x.test>")
        answer = mta.rcpt(recipient)
        assert answer.code == REPLY
        assert answer.text.startswith(NOT_UNDERSTOOD)
        assert len(answer.text) < 512
        assert mta.rcpt(b"<user@example.com>").text.startswith(SUPPRESSED)
        counts = {("recipients", "spring", "reject", why): 1 for why in ("bad_address", "hard_bounce")}
        shipped.expect(Counter(counts))


def test_a_nul_ends_the_argument_and_hides_nobody(shipped: Arena, mta: MtaSide) -> None:
    with shipped.listed([entry_of(BAD)]), mta:
        mta.mail(b"<a@x.test>")
        assert mta.rcpt(b"<user@example.com>\0<anna@example.com>").text.startswith(SUPPRESSED)
        assert mta.rcpt(b"<us\0er@example.com>").text.startswith(NOT_UNDERSTOOD)
        counts = {("recipients", "unknown", "reject", why): 1 for why in ("bad_address", "hard_bounce")}
        shipped.expect(Counter(counts))


def test_the_reading_of_the_mta_counts_beside_ours(shipped: Arena, mta: MtaSide) -> None:
    with shipped.listed([entry_of(BAD)]), mta:
        mta.mail(b"<a@x.test>")
        mta.macro("R", rcpt_addr="user@example.com")
        assert mta.rcpt(b"<(who knows) us er>").text.startswith(SUPPRESSED)
        mta.macro("R", rcpt_addr="other@example.com")
        assert mta.rcpt(b'<"user"@example.com>').text.startswith(SUPPRESSED)
        mta.macro("R", rcpt_addr="other@example.com")
        assert mta.rcpt(b"<(who knows) ot her>") == Answer(CONTINUE)
        counts = {
            ("recipients", "unknown", "reject", "hard_bounce"): 2,
            ("recipients", "unknown", "pass", "none"): 1,
        }
        mta.abort()
        shipped.expect(Counter(counts))


def test_a_campaign_name_of_odd_octets_is_none(shipped: Arena, mta: MtaSide) -> None:
    with shipped.listed([entry_of("hard_bounce user@example.com")]), mta:
        for sender, parameters in (
            (b"<bounce+\xff\xfe@x.test>", ()),
            (b"<a@x.test>", (b"ENVID=\xff",)),
            (b"<a@x.test>", (b"ENVID=", b"SIZE", b"=", b"")),
            (b"<a@x.test>", (b"ENVID=" + b"x" * 5_000,)),
            (b"<bounce+" + b"x" * 5_000 + b"@x.test>", ()),
            (b"", ()),
        ):
            assert mta.mail(sender, *parameters) == Answer(CONTINUE)
            assert mta.rcpt(b"<user@example.com>").text.startswith(SUPPRESSED)
            mta.abort()
        shipped.expect(Counter({("recipients", "unknown", "reject", "hard_bounce"): 6}))


def test_two_messages_on_one_connection(shipped: Arena, mta: MtaSide) -> None:
    with shipped.listed([entry_of(BAD)]), mta:
        for campaign in (b"one", b"two"):
            assert mta.mail(b"<a@x.test>", b"ENVID=" + campaign) == Answer(CONTINUE)
            assert mta.rcpt(b"<anna@example.com>") == Answer(CONTINUE)
            assert mta.rcpt(b"<user@example.com>").code == REPLY
            assert mta.ask("T") == Answer(ACCEPT)
        shipped.expect(
            Counter(
                {
                    ("recipients", campaign, *what): 1
                    for campaign in ("one", "two")
                    for what in (("pass", "none"), ("reject", "hard_bounce"))
                }
            )
            + Counter({("messages", "one"): 1, ("messages", "two"): 1})
        )


def test_the_end_of_a_message_takes_discarded_recipients_out_and_holds(arena_of: Callable[[str], Arena]) -> None:
    arena = arena_of("fates")
    listed = [entry_of("manual held@example.com"), entry_of("role office@example.com")]
    with arena.listed(listed), MtaSide(arena.gate.socket) as mta:
        mta.mail(b"<a@x.test>", b"ENVID=spring")
        assert mta.rcpt(b'<@relay.test:"Office"@example.com>') == Answer(CONTINUE)
        assert mta.rcpt(b"<held@example.com>") == Answer(CONTINUE)
        assert mta.ask("T") == Answer(CONTINUE)
        assert mta.ask("N") == Answer(CONTINUE)
        *acts, verdict = mta.end_of_message()
        assert verdict == Answer(ACCEPT) or verdict == Answer(CONTINUE)
        assert acts[0] == Answer("-", '<"Office"@example.com>')
        assert acts[1].code == "q"
        assert acts[1].text.startswith("sendgate: manual (ref ")
        counts = {("recipients", "spring", "hold", "manual"): 1, ("recipients", "spring", "discard", "role"): 1}
        arena.expect(Counter(counts | {("messages", "spring"): 1}))


def test_a_message_whose_recipients_are_all_discarded_is_discarded(arena_of: Callable[[str], Arena]) -> None:
    arena = arena_of("fates")
    with arena.listed([entry_of("role office@example.com")]), MtaSide(arena.gate.socket) as mta:
        mta.mail(b"<a@x.test>", b"ENVID=spring")
        assert mta.rcpt(b"<office@example.com>") == Answer(CONTINUE)
        assert mta.ask("T") == Answer(CONTINUE)
        assert mta.ask("N") == Answer(CONTINUE)
        assert mta.end_of_message() == [Answer(DISCARD)]
        counts = {("recipients", "spring", "discard", "role"): 1, ("messages", "spring"): 1}
        arena.expect(Counter(counts))


def test_aborts_and_hang_ups_in_any_place_leave_right_counts(shipped: Arena) -> None:
    steps: list[Callable[[MtaSide], Answer]] = [
        lambda mta: mta.mail(b"<a@x.test>", b"ENVID=spring"),
        lambda mta: mta.rcpt(b"<anna@example.com>"),
        lambda mta: mta.rcpt(b"<user@example.com>"),
        lambda mta: mta.ask("T"),
    ]
    with shipped.listed([entry_of(BAD)]):
        for how_far in range(len(steps) + 1):
            for hang_up in (False, True):
                with MtaSide(shipped.gate.socket) as mta:
                    for step in steps[:how_far]:
                        step(mta)
                    if not hang_up:
                        mta.abort()
                        mta.abort()
        counts = {
            ("recipients", "spring", "pass", "none"): 6,
            ("recipients", "spring", "reject", "hard_bounce"): 4,
            ("messages", "spring"): 2,
        }
        shipped.expect(Counter(counts))


def test_an_mta_that_waits_for_no_reply_to_mail_gets_none(shipped: Arena) -> None:
    with MtaSide(shipped.gate.socket, ALL_EVENTS) as mta:
        assert mta.events & 0x4000  # SMFIP_NR_MAIL
        mta.send("M", b"<a@x.test>\0")
        assert mta.rcpt(b"<anna@example.com>") == Answer(CONTINUE)
        mta.abort()
    shipped.expect(Counter({("recipients", "unknown", "pass", "none"): 1}))


def test_garbage_ends_that_connection_only(shipped: Arena) -> None:
    with MtaSide(shipped.gate.socket) as mta:
        mta.send("\x7f", b"garbage" * 100)
        with pytest.raises((ConnectionError, TimeoutError)):
            while True:
                mta.rcpt(b"<anna@example.com>")
    with MtaSide(shipped.gate.socket) as mta:
        assert mta.mail(b"<a@x.test>") == Answer(CONTINUE)


def test_a_recipient_without_a_message_gets_no_answer_and_disturbs_nothing(shipped: Arena, mta: MtaSide) -> None:
    # libmilter drops what is out of order; whoever sends it waits in vain, and is never told to go on
    with shipped.listed([entry_of(BAD)]), mta:
        mta.send("R", b"<user@example.com>\0")
        assert mta.mail(b"<bounce+spring@x.test>") == Answer(CONTINUE)
        assert mta.rcpt(b"<user@example.com>").text.startswith(SUPPRESSED)
        shipped.expect(Counter({("recipients", "spring", "reject", "hard_bounce"): 1}))
