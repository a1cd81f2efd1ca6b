"""The log of a real Postfix, followed: what was sent, with what became of it, each once, rotated or not."""

from __future__ import annotations

import smtplib
import subprocess
from collections.abc import Callable, Iterator

import pytest

from sendgate.campaign import CampaignResolver
from sendgate.feedback.classify import classify
from sendgate.feedback.event import BounceType, Event, EventClass
from sendgate.feedback.log.maillog import parse_line
from sendgate.feedback.log.queue import QueueTracker
from sendgate.feedback.log.tail import LogFile, Position
from sendgate.feedback.rules import load_rules
from sendgate.settings import CampaignSettings
from trial.answering import Answer, AnsweringServer, relay_settings
from trial.mta import Postfix, command_path
from trial.ports import LOOPBACK
from trial.waiting import wait_until

pytestmark = pytest.mark.root
SENDER = "bounce+spring+1@news.test"
HOSTILE = '"x>, relay=none, dsn=5.1.1, status=bounced (y"@example.com'


class Follower:
    """Follows the log of a Postfix, from its beginning."""

    def __init__(self, mta: Postfix) -> None:
        rules = load_rules(None)
        self._path = mta.folder / "maillog"
        self._tracker = QueueTracker(CampaignResolver(CampaignSettings()), lambda answer: classify(answer, rules))
        self._file = LogFile(self._path)
        self._position: Position | None = None
        self.events: list[Event] = []

    def read(self) -> None:
        for line, position in self._file.read():
            self._position = position
            record = parse_line(line)
            if record is not None:
                self.events += self._tracker.feed(record)

    def restart(self) -> None:
        """Go on from the last position, as another process would."""
        self._file.close()
        self._file = LogFile(self._path, self._position)

    def wait_for(self, recipient: str, where: Callable[[Event], bool] = lambda event: event.final) -> Event:
        """Read until there is such an event for a recipient."""

        def found() -> Event | None:
            self.read()
            return next((one for one in self.events if one.recipient == recipient and where(one)), None)

        return wait_until(found, 30, f"an event for {recipient}")


@pytest.fixture(scope="module")
def world() -> Iterator[AnsweringServer]:
    with AnsweringServer({"full": Answer("452 4.2.2 mailbox is full")}) as server:
        yield server


@pytest.fixture(scope="module", params=["no", "yes"], ids=["short-queue-ids", "long-queue-ids"])
def mta(world: AnsweringServer, request: pytest.FixtureRequest) -> Iterator[Postfix]:
    settings = relay_settings(
        world.port,
        enable_long_queue_ids=request.param,
        maximal_queue_lifetime="5s",
        smtpd_authorized_xclient_hosts=LOOPBACK,
        virtual_alias_maps="inline:{ {alias@news.test=unknown9@example.com} }",
        virtual_alias_domains="news.test",
    )
    with Postfix(overrides=settings) as running:
        yield running


@pytest.fixture
def log(mta: Postfix) -> Follower:
    return Follower(mta)


def send(mta: Postfix, *recipients: str, sender: str = SENDER, login: str = "") -> None:
    with smtplib.SMTP(LOOPBACK, mta.port, timeout=30) as client:
        client.ehlo()
        if login:
            client.docmd("XCLIENT", f"LOGIN={login}")
            client.ehlo()
        client.sendmail(sender, recipients, "Subject: test\r\n\r\nhello\r\n")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("good", (EventClass.NONE, None, "2.0.0", "", True)),
        ("unknown", (EventClass.HARD, BounceType.BAD_MAILBOX, "5.1.1", "550", True)),
        ("gone", (EventClass.HARD, BounceType.BAD_MAILBOX, "5.1.1", "550", True)),
        ("policy", (EventClass.BLOCK, BounceType.POLICY, "5.7.1", "550", True)),
        ("full", (EventClass.SOFT, BounceType.FULL, "4.2.2", "452", False)),
    ],
)
def test_every_answer_becomes_its_event(
    mta: Postfix, log: Follower, word: str, expected: tuple[EventClass, BounceType | None, str, str, bool]
) -> None:
    recipient = f"{word}1@example.com"
    send(mta, recipient)
    event = log.wait_for(recipient, lambda _: True)
    assert (event.event_class, event.type, event.status, event.code, event.final) == expected
    assert (event.campaign, event.host) == ("spring", LOOPBACK)


def test_a_dropped_line_is_a_deferral(mta: Postfix, log: Follower) -> None:
    send(mta, "dropped2@example.com")
    event = log.wait_for("dropped2@example.com", lambda _: True)
    assert (event.event_class, event.final, event.code) == (EventClass.SOFT, False, "")


def test_a_message_that_expires_is_an_event_for_who_was_left(mta: Postfix, log: Follower) -> None:
    send(mta, "good3@example.com", "full3@example.com")
    event = log.wait_for("full3@example.com")
    assert (event.type, event.expired, event.event_class) == (BounceType.FULL, True, EventClass.SOFT)
    log.read()
    assert [one.expired for one in log.events if one.recipient == "good3@example.com"] == [False]


def test_a_login_names_the_campaign_when_the_sender_does_not(mta: Postfix, log: Follower) -> None:
    send(mta, "good4@example.com", sender="anna@news.test", login="receipts")
    assert log.wait_for("good4@example.com").campaign == "receipts"


def test_bounces_that_postfix_sends_are_no_events(mta: Postfix, log: Follower) -> None:
    send(mta, "unknown5@example.com", sender="unknown6@example.com")
    mta.wait_for_log(r"to=<unknown6@example\.com>.*status=bounced", timeout=30)
    log.wait_for("unknown5@example.com")
    log.read()
    assert [one for one in log.events if one.recipient == "unknown6@example.com"] == []


def test_a_recipient_that_looks_like_a_log_line_is_only_a_recipient(mta: Postfix, log: Follower) -> None:
    with smtplib.SMTP(LOOPBACK, mta.port, timeout=30) as client:
        client.ehlo()
        client.mail(SENDER)
        assert client.docmd("RCPT", f"TO:<{HOSTILE}>")[0] == 250
        client.data("Subject: test\r\n\r\nhello\r\n")
    assert log.wait_for(HOSTILE).event_class is EventClass.NONE


def test_an_aliass_only_mailbox_is_known_by_what_the_client_said(mta: Postfix, log: Follower) -> None:
    send(mta, "alias@news.test")
    assert log.wait_for("alias@news.test").type is BounceType.BAD_MAILBOX


def test_a_log_that_postfix_rotates_is_followed_without_loss(mta: Postfix, log: Follower) -> None:
    log.read()
    sent = []
    for number in range(3):
        for one in range(3):
            sent.append(f"good7{number}{one}@example.com")
            send(mta, sent[-1])
        if number == 1:
            log.restart()
        mta.wait_for_log(rf"to=<{sent[-1]}>.*status=sent")
        rotate(mta)
    send(mta, last := "good7@example.com")
    log.wait_for(last)
    got = [one.recipient for one in log.events if one.recipient.startswith("good7")]
    assert sorted(got) == sorted([*sent, last])


def rotate(mta: Postfix) -> None:
    """`postfix logrotate`: rename, then gzip."""
    command = [command_path("postfix"), "-c", str(mta.config), "logrotate"]
    subprocess.run(command, check=True, capture_output=True, start_new_session=True)
