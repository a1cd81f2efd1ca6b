"""SpamAssassin as shipped: it sees only what the gate let through, refuses or holds spam, and leaves no trace."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from filters.chain import GTUBE, Chain, Keys
from filters.zone import NameServer
from trial.mta import Postfix
from trial.waiting import wait_until

pytestmark = pytest.mark.root

SPAM = "550 5.7.1 message content looks like spam"
AWAY = "451 4.7.1 Service unavailable - try again later"


@pytest.fixture(scope="module")
def holding(keys: Keys, name_server: NameServer) -> Iterator[Chain]:
    """The variant that holds."""
    environment = {"spamass-milter": {"SPAM_ACTION": "hold"}}
    with Chain(("spamassassin",), keys, name_server, environment) as running:
        yield running


def scans(chain: Chain) -> int:
    """How many messages spamd has judged."""
    return chain.sidecars["spamd"].log_text().count("spamd: result:")


def test_spam_is_refused_in_the_session(chain: Chain) -> None:
    assert chain.reply("news@example.com", text=GTUBE) == SPAM


def test_a_suppressed_recipient_is_refused_first_and_the_others_get_the_mail(chain: Chain) -> None:
    before = len(chain.sink.deliveries)
    refused = chain.send("news@example.com", "gone@example.com", "anna@example.com", "bert@example.com")
    assert list(refused) == ["gone@example.com"]
    assert refused["gone@example.com"][1].startswith(b"5.7.1 <gone@example.com>: recipient suppressed: hard_bounce")
    assert chain.sink.wait_for(before + 1)[before].recipients == ["anna@example.com", "bert@example.com"]


def test_a_suppressed_recipient_of_spam_is_refused_first_and_the_rest_at_the_end(chain: Chain) -> None:
    assert chain.reply("news@example.com", text=GTUBE) == SPAM
    log = chain.mta.log_text()
    chain.send_refused("news@example.com", "gone@example.com", "anna@example.com", text=GTUBE)
    rcpt, end = [line for line in chain.mta.log_text()[len(log) :].splitlines() if "milter-reject" in line]
    assert "milter-reject: RCPT" in rcpt
    assert "gone@example.com" in rcpt
    assert "milter-reject: END-OF-MESSAGE" in end
    assert "to=<anna@example.com>" in end


def test_a_message_without_recipients_is_not_shown_to_the_filter(chain: Chain) -> None:
    chain.deliver("news@example.com")
    before = scans(chain)
    chain.send_refused("news@example.com", "gone@example.com", text=GTUBE)
    chain.deliver("news@example.com")
    assert scans(chain) == before + 1


def test_a_mail_cannot_say_itself_that_it_is_no_spam(chain: Chain) -> None:
    claim = "X-Spam-Status: No, score=-100\nX-Spam-Flag: NO"
    assert chain.reply("news@example.com", text=GTUBE, more=claim) == SPAM


def test_a_large_mail_is_read_too(chain: Chain) -> None:
    """Debian's spamc passes what is above 500 kB unread."""
    lines = "one of many lines of a newsletter\r\n" * 30_000
    assert chain.reply("news@example.com", text=GTUBE + "\r\n" + lines) == SPAM


def test_without_spamd_no_mail_is_taken_and_with_it_again(chain: Chain) -> None:
    before = len(chain.sink.deliveries)
    chain.sidecars["spamd"].kill()
    try:
        for _ in range(2):  # the first one ends spamass-milter, the second one finds none
            assert chain.reply("news@example.com") == AWAY
    finally:
        chain.sidecars["spamd"].start()
    assert len(chain.sink.deliveries) == before
    wait_until(chain.sidecars["spamass-milter"].answers, 20, "spamass-milter listens again")
    chain.deliver("news@example.com")


def test_a_spamd_that_hangs_lets_no_mail_through(chain: Chain) -> None:
    """Postfix gives up, after three seconds here, and the mail is not taken; the next one is."""
    before = len(chain.sink.deliveries)
    pids = chain.sidecars["spamd"].pids()
    with Postfix(chain.smtpd_milters(content_timeout="3s"), relayhost=f"[127.0.0.1]:{chain.sink.port}") as impatient:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert chain.reply("news@example.com", mta=impatient) == AWAY
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    assert len(chain.sink.deliveries) == before
    chain.deliver("news@example.com")


def test_held_spam_waits_in_the_hold_queue_and_leaves_without_marks_when_released(holding: Chain) -> None:
    before = len(holding.sink.deliveries)
    assert holding.reply("news@example.com", text=GTUBE) == "250"
    (message,) = holding.mta.queue()
    assert message["queue_name"] == "hold"
    holding.release_all()
    delivery = holding.sink.wait_for(before + 1)[before]
    assert GTUBE.encode() in delivery.body
    assert delivery.headers("Subject") == ["News"]
    assert not [name for name in delivery.message if name.lower().startswith("x-spam")]


def test_where_spam_is_held_other_mail_leaves_without_marks(holding: Chain) -> None:
    delivery = holding.deliver("news@example.com")
    assert not [name for name in delivery.message if name.lower().startswith("x-spam")]
