"""Feedback as a whole: a real Postfix sends to receivers that answer, and whom the gate refuses from then on."""

from __future__ import annotations

import json
import re
import smtplib
from collections import Counter
from zlib import crc32

import pytest

from feedback.world import LMTP_DOMAIN, PIPE_DOMAIN, World, complaint, dsn
from trial.answering import DROP
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
PATIENCE = 30


def entries(world: World, recipient: str) -> dict[str, dict[str, object]]:
    """What is on the lists about a recipient, by reason."""
    told = json.loads(world.gate.run("explain", recipient, "--json").stdout)
    return {entry["reason"]: entry for entry in told["entries"]}


@pytest.mark.parametrize("word", ["unknown", "gone", "late"])
def test_after_one_refusal_of_a_mailbox_the_gate_refuses_it(world: World, word: str) -> None:
    recipient = f"{word}-once@example.com"
    assert world.ask(recipient).startswith("250")
    world.send(recipient)
    assert "recipient suppressed: hard_bounce" in world.wait_until_refused(recipient)
    assert world.receivers.attempts(recipient) == 1
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        world.send(recipient)
    told = entries(world, recipient)
    assert told["hard_bounce"]["expires"] is not None
    assert "5.1.1" in str(told["hard_bounce"]["note"])


@pytest.mark.parametrize("word", ["policy", "content"])
def test_a_refusal_of_the_message_suppresses_nobody(world: World, word: str) -> None:
    recipient = f"{word}-only@example.com"
    for _ in range(3):
        world.send(recipient)
    wait_until(lambda: world.receivers.attempts(recipient) == 3, PATIENCE, "three attempts")
    world.settle()
    assert world.ask(recipient).startswith("250")
    assert entries(world, recipient) == {}


@pytest.mark.parametrize("word", ["full", "busy", "dropped", "lost"])
def test_a_bad_moment_suppresses_nobody(world: World, word: str) -> None:
    recipient = f"{word}-moment@example.com"
    world.send(recipient)
    world.wait_until_logged(recipient, "deferred")
    world.receivers.wait_for(recipient, attempts=3)
    world.caught_up()
    assert world.ask(recipient).startswith("250")
    world.receivers.answers[recipient] = world.receivers.answers["good"]
    world.wait_until_logged(recipient, "sent")
    assert entries(world, recipient) == {}


@pytest.mark.parametrize(
    ("at", "reply"),
    [
        ("at_connect", "421 4.3.2 too busy"),
        ("at_connect", "554 5.7.1 no service for you"),
        ("at_mail", "550 5.1.1 your address is unknown"),
        ("at_mail", "421 4.7.0 later"),
        ("at_mail", DROP),
    ],
)
def test_an_answer_before_any_recipient_suppresses_nobody(world: World, at: str, reply: str) -> None:
    recipient = f"good-{at.replace('_', '-')}{crc32(reply.encode())}@example.com"
    setattr(world.receivers, at, reply)
    try:
        world.send(recipient)
        world.wait_until_logged(recipient, "(?:bounced|deferred)")
    finally:
        world.receivers.at_connect = world.receivers.at_mail = None
    world.settle()
    assert world.ask(recipient).startswith("250")
    assert entries(world, recipient) == {}


def test_the_metrics_say_what_was_sent_and_what_became_of_it(world: World) -> None:
    words = ["good", "unknown", "policy", "content", "good", "gone", "full", "dropped", "unknown", "good"]
    sent = {f"{word}-count{n}@example.com": (word, f"count{n % 2}") for n, word in enumerate(words)}
    for recipient, (_, campaign) in sent.items():
        world.send(recipient, campaign)
    for recipient, (word, _) in sent.items():
        if word in ("full", "dropped"):
            world.receivers.wait_for(recipient, attempts=2)
            world.receivers.answers[recipient] = world.receivers.answers["good"]
    world.settle()
    kinds = {"unknown": "bad_mailbox", "gone": "bad_mailbox", "policy": "policy", "content": "content"}
    deferred = Counter(re.findall(r"to=<(\S+-count\d@example\.com)>.*status=deferred", world.mta.log_text()))
    for campaign in ("count0", "count1"):
        of_this = {recipient: word for recipient, (word, named) in sent.items() if named == campaign}
        bounced = Counter(kinds[word] for word in of_this.values() if word in kinds)
        assert world.deliveries("bounced", campaign) == bounced.total()
        assert world.deliveries("sent", campaign) == len(of_this) - bounced.total()
        assert world.deliveries("deferred", campaign) == sum(deferred[recipient] for recipient in of_this)
        assert {kind: world.bounces(kind, campaign) for kind in bounced} == bounced
        assert world.bounces(campaign=campaign) == bounced.total()


@pytest.mark.parametrize("domain", [LMTP_DOMAIN, PIPE_DOMAIN], ids=["lmtp", "pipe"])
def test_a_bounce_that_comes_hours_later_suppresses_its_recipient(world: World, domain: str) -> None:
    recipient, campaign = f"good-later@{domain.replace('.', '-')}.example.com", f"later-{domain.partition('.')[0]}"
    sender = world.signed(recipient, campaign, domain)
    world.send(recipient, sender=sender)
    world.wait_until_logged(recipient, "sent")
    believed = world.reports("verp")
    assert world.ask(recipient).startswith("250")
    world.come_back(sender, dsn(sender, recipient))
    assert "recipient suppressed: hard_bounce" in world.wait_until_refused(recipient)
    assert world.reports("verp") == believed + 1
    assert (world.bounces("bad_mailbox", campaign), world.bounces(campaign=campaign)) == (1, 1)


@pytest.mark.parametrize("domain", [LMTP_DOMAIN, PIPE_DOMAIN], ids=["lmtp", "pipe"])
def test_a_bounce_that_is_not_signed_by_us_is_counted_and_no_more(world: World, domain: str) -> None:
    recipient = f"good-forged@{domain.replace('.', '-')}.example.com"
    forged = world.signed(recipient, "forged", domain, key="another key of 16")
    before = Counter({belief: world.reports(belief) for belief in ("forged", "unsigned", "verp")})
    world.come_back(forged, dsn(forged, recipient))
    world.come_back(forged, complaint(forged, recipient))
    unsigned = f"bounce+forged@{domain}"
    world.come_back(unsigned, dsn(unsigned, recipient))
    world.come_back(unsigned, complaint(unsigned, recipient))
    world.wait_for_reports("forged", before["forged"] + 2)
    world.wait_for_reports("unsigned", before["unsigned"] + 2)
    world.settle()
    assert world.ask(recipient).startswith("250")
    assert entries(world, recipient) == {}
    assert world.reports("verp") == before["verp"]
    assert world.bounces(campaign="forged") == 0


def test_a_bounce_to_a_sender_that_was_signed_for_another_says_nothing_of_whom_it_names(world: World) -> None:
    victim, forger = "good-victim@example.com", "good-forger@example.com"
    sender = world.signed(forger, "stolen")
    world.come_back(sender, dsn(sender, victim))
    world.come_back(sender, complaint(sender, victim))
    world.caught_up()
    world.wait_until_logged(sender, "sent")
    assert world.ask(victim).startswith("250")
    assert entries(world, victim) == {}


def test_a_bounce_of_policy_that_comes_back_suppresses_nobody(world: World) -> None:
    recipient = "good-blocked@example.com"
    sender = world.signed(recipient, "blocked")
    world.come_back(sender, dsn(sender, recipient, "550 5.7.1 message refused as spam", "5.7.1"))
    wait_until(lambda: world.bounces(campaign="blocked") == 1, PATIENCE, "the bounce is counted")
    assert world.bounces("bad_mailbox", "blocked") == 0
    assert world.ask(recipient).startswith("250")


def test_a_signed_complaint_suppresses_the_mailbox_for_ever(world: World) -> None:
    recipient = "good-angry@example.com"
    sender = world.signed(recipient, "angry")
    world.come_back(sender, complaint(sender, recipient, "not-spam"))
    world.come_back(sender, complaint(sender, recipient))
    world.wait_until_refused(recipient)
    assert "complaint" in world.ask("good-angry+tag@example.com")
    assert entries(world, recipient)["complaint"]["expires"] is None
    assert world.gate.metric("sendgate_complaints_total", campaign="angry") == 1


def test_a_failure_that_the_log_and_our_own_bounce_tell_counts_once(world: World) -> None:
    recipient = "unknown-twice@example.com"
    sender = world.signed(recipient, "twice")
    believed = world.reports("verp")
    world.send(recipient, sender=sender)
    world.wait_until_logged(sender, "sent")  # Postfix's bounce to the envelope sender, which comes here by LMTP
    world.wait_for_reports("verp", believed + 1)
    world.wait_until_refused(recipient)
    world.settle()
    assert world.bounces(campaign="twice") == 1
    assert entries(world, recipient)["strike"]["strikes"] == 1


def test_what_our_gate_refuses_is_no_feedback(world: World) -> None:
    recipient = "unknown-own@example.com"
    world.send(recipient, "own")
    refusal = world.wait_until_refused(recipient)
    world.caught_up()
    before = (world.bounces(campaign="own"), entries(world, recipient)["strike"])
    for _ in range(5):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            world.send(recipient, "own")
    world.caught_up()
    assert (world.bounces(campaign="own"), entries(world, recipient)["strike"]) == before
    assert world.bounces(campaign="own") == 1
    assert "milter-reject" in world.mta.log_text()
    assert refusal.startswith("550")


def test_the_refusal_of_a_gate_further_on_is_no_feedback(world: World) -> None:
    recipient = "good-further@example.com"
    refusal = world.wait_until_refused(_suppressed(world)).replace("unknown-known", "good-further")
    world.receivers.answers[recipient] = type(world.receivers.answers["good"])(refusal.replace("\n", " "))
    sender = world.signed(recipient, "further")
    world.send(recipient, sender=sender)
    world.wait_until_logged(recipient, "bounced")
    world.settle()
    assert world.bounces(campaign="further") == 0
    assert world.ask(recipient).startswith("250")
    assert entries(world, recipient) == {}


def test_a_message_that_expires_while_a_mailbox_is_full_puts_the_next_ones_off_for_a_day(world: World) -> None:
    full, dropped = "full-expires@example.com", "dropped-expires@example.com"
    for recipient in (full, dropped):
        world.send(recipient, "expires")
        world.wait_until_logged(recipient, "deferred")
    world.mta.expire_all()
    world.settle()
    assert "recipient suppressed: soft_bounce" in world.wait_until_refused(full, "451 4.7.1")
    assert world.ask(dropped).startswith("250")
    assert world.deliveries("expired", "expires") == 2
    assert {kind: world.bounces(kind, "expires") for kind in ("full", "expired")} == {"full": 1, "expired": 1}


def _suppressed(world: World) -> str:
    recipient = "unknown-known@example.com"
    if world.ask(recipient).startswith("250"):
        world.send(recipient, "known")
    return recipient
