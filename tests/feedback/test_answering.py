"""The server that answers as told, asked by a real Postfix: what its log then says, and how often it tries."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

import pytest

from trial.answering import AnsweringServer, relay_settings
from trial.mta import Postfix
from trial.ports import LOOPBACK

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world() -> Iterator[AnsweringServer]:
    with AnsweringServer() as server:
        yield server


@pytest.fixture(scope="module")
def mta(world: AnsweringServer) -> Iterator[Postfix]:
    with Postfix(overrides=relay_settings(world.port)) as running:
        yield running


@pytest.fixture(autouse=True)
def as_usual(world: AnsweringServer) -> Iterator[None]:
    yield
    world.at_connect = world.at_mail = None


def send(mta: Postfix, *recipients: str, sender: str = "bounce+news@x.test") -> None:
    with smtplib.SMTP(LOOPBACK, mta.port, timeout=30) as client:
        for recipient in recipients:
            client.sendmail(sender, [recipient], f"Subject: test\r\n\r\nTo {recipient}\r\n")


def test_an_accepted_message_is_kept_with_its_envelope(mta: Postfix, world: AnsweringServer) -> None:
    send(mta, "good1@example.com")
    mta.wait_for_log(r"to=<good1@example\.com>.*status=sent")
    (delivery,) = (one for one in world.deliveries if one.recipients == ["good1@example.com"])
    assert delivery.sender == "bounce+news@x.test"
    assert delivery.body == b"To good1@example.com\r\n"
    assert world.accepted("good1@example.com") == world.attempts("good1@example.com") == 1


def test_the_null_sender_is_taken(mta: Postfix, world: AnsweringServer) -> None:
    send(mta, "good2@example.com", sender="")
    mta.wait_for_log(r"to=<good2@example\.com>.*status=sent")
    assert [one.sender for one in world.deliveries if one.recipients == ["good2@example.com"]] == [""]


@pytest.mark.parametrize(
    ("recipient", "logged"),
    [
        ("unknown1@example.com", r"dsn=5\.1\.1, status=bounced .*said: 550 5\.1\.1 no such user.*RCPT TO command"),
        ("gone1@example.com", r"dsn=5\.1\.1, status=bounced .*550-5\.1\.1 The email account.* 550 5\.1\.1 - rules"),
        ("policy1@example.com", r"dsn=5\.7\.1, status=bounced .*said: 550 5\.7\.1 .*RCPT TO command"),
        ("content1@example.com", r"dsn=5\.7\.1, status=bounced .*said: 550 5\.7\.1 .*end of DATA command"),
        ("late1@example.com", r"dsn=5\.1\.1, status=bounced .*end of DATA command"),
    ],
)
def test_a_refusal_is_a_bounce_after_one_attempt(
    mta: Postfix, world: AnsweringServer, recipient: str, logged: str
) -> None:
    send(mta, recipient)
    mta.wait_for_log(rf"to=<{recipient}>.*{logged}")
    assert world.attempts(recipient) == 1
    assert world.accepted(recipient) == 0


@pytest.mark.parametrize(
    ("recipient", "logged"),
    [
        ("full2@example.com", r"dsn=4\.2\.2, status=deferred .*said: 450 4\.2\.2"),
        ("busy2@example.com", r"dsn=4\.3\.2, status=deferred .*421 4\.3\.2"),
        ("dropped2@example.com", r"dsn=4\.4\.2, status=deferred .*lost connection"),
        ("lost2@example.com", r"dsn=4\.4\.2, status=deferred .*lost connection"),
    ],
)
def test_a_bad_moment_is_tried_again_within_seconds(
    mta: Postfix, world: AnsweringServer, recipient: str, logged: str
) -> None:
    send(mta, recipient)
    mta.wait_for_log(rf"to=<{recipient}>.*{logged}")
    world.wait_for(recipient, attempts=2)
    world.answers[recipient] = world.answers["good"]
    mta.wait_for_log(rf"to=<{recipient}>.*status=sent", 60)


def test_a_server_that_is_busy_at_once_defers_all(mta: Postfix, world: AnsweringServer) -> None:
    world.at_connect = "421 4.3.2 too busy"
    send(mta, "good3@example.com")
    mta.wait_for_log(r"to=<good3@example\.com>.*status=deferred .*refused to talk to me: 421 4\.3\.2 too busy")
    assert world.attempts("good3@example.com") == 0


def test_a_refused_sender_never_gets_to_its_recipient(mta: Postfix, world: AnsweringServer) -> None:
    world.at_mail = "550 5.1.8 who are you"
    send(mta, "good4@example.com")
    mta.wait_for_log(r"to=<good4@example\.com>.*dsn=5\.1\.8, status=bounced .*MAIL FROM command")
    assert world.attempts("good4@example.com") == 0
