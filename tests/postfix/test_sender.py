"""What main.cf promises, tried on a real Postfix: who may send, what is bulk, what an address means."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from postfix.milter_stub import StubMilter
from postfix.parts import Sender
from trial.dialogue import parse
from trial.mta import Postfix, command_path
from trial.player import play
from trial.ports import free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root

HELLO = "S: 220\nC: EHLO client.test\nS: 250 CHUNKING\n"
MAIL = "C: MAIL FROM:<news@sender.test>\nS: 250 2.1.0\n"
DATA = "C: DATA\nS: 354\nC: Subject: test\nC:\nC: text\nC: .\nS: 250 2.0.0\nC: QUIT\nS: 221\n"


def recipients_that_arrive(sender: Sender, dialogue: str) -> list[str]:
    before = len(sender.sink.deliveries)
    play(parse(HELLO + MAIL + dialogue + DATA), sender.mta.port)
    return sender.sink.wait_for(before + 1)[before].recipients


@pytest.fixture(scope="module")
def stranger() -> Iterator[Postfix]:
    """A sender to which every client here is a stranger."""
    with Postfix(overrides={"mynetworks": "[::1]/128"}) as mta:
        yield mta


@pytest.mark.parametrize("address", ["user@example.com", "user@sender.test", "@sender.test:user@example.com"])
def test_a_client_outside_mynetworks_sends_to_nobody(stranger: Postfix, address: str) -> None:
    play(parse(f"{HELLO}{MAIL}C: RCPT TO:<{address}>\nS: 554 5.7.1\nC: DATA\nS: 554 5.5.1"), stranger.port)


@pytest.mark.parametrize("command", ["DATA", "BDAT 3 LAST\nC! ."])
def test_a_client_outside_mynetworks_cannot_even_write_to_postmaster(stranger: Postfix, command: str) -> None:
    # Postfix accepts this one recipient from anybody, before it asks any restriction
    play(parse(f"{HELLO}{MAIL}C: RCPT TO:<postmaster>\nS: 250\nC: {command}\nS: 554 5.7.1"), stranger.port)


def test_without_the_gate_every_recipient_is_put_off() -> None:
    with Postfix(milters=["unix:/nonexistent/milter.sock"]) as mta:
        play(parse("S~ (?:220|4..) "), mta.port)
        play(parse("S: 220\nC: EHLO client.test\nS~ [24]\nC: MAIL FROM:<a@sender.test>\nS: 451"), mta.port)


def test_a_gate_that_is_gone_in_mid_session_lets_nobody_through() -> None:
    with StubMilter() as milter, Postfix([milter.entry]) as mta:
        milter.hang_up_at("R")
        play(parse(HELLO + MAIL + "C: RCPT TO:<one@example.com>\nS: 4\nC: RCPT TO:<two@example.com>\nS: 4"), mta.port)


def test_sendmail_submits_nothing(sender: Sender) -> None:
    for arguments in (["user@example.com"], ["-t"], ["-bs"]):
        said = subprocess.run(
            [command_path("sendmail"), "-C", str(sender.mta.config), *arguments],
            input="To: user@example.com\n\ntext\n",
            capture_output=True,
            text=True,
        )
        assert said.returncode != 0
        assert "not allowed to submit mail" in said.stderr
    assert sender.mta.queue() == []


def test_postdrop_submits_nothing(sender: Sender) -> None:
    said = subprocess.run(
        [command_path("postdrop"), "-r"],
        input="text",
        capture_output=True,
        text=True,
        env=os.environ | {"MAIL_CONFIG": str(sender.mta.config)},
    )
    assert said.returncode != 0
    assert "not allowed to submit mail" in said.stderr
    assert list((sender.mta.queue_directory / "maildrop").iterdir()) == []


def test_what_is_in_maildrop_goes_nowhere() -> None:
    with Postfix(relayhost=f"[127.0.0.1]:{free_port()}") as mta:
        play(parse(HELLO + MAIL + "C: RCPT TO:<user@example.com>\nS: 250 2.1.5\n" + DATA), mta.port)
        mta.wait_for_log("status=deferred")
        subprocess.run([command_path("postsuper"), "-c", str(mta.config), "-r", "ALL"], check=True)
        mta.reload()  # wakes up all services that there are
        wait_until(lambda: mta.log_text().count("reload -- version") == 1, 10, "the reload")
        assert [message["queue_name"] for message in mta.queue()] == ["maildrop"]


def test_a_thousand_recipients_fit_in_one_message(sender: Sender) -> None:
    wanted = [f"user{number}@example.com" for number in range(1000)]
    commands = "".join(f"C> RCPT TO:<{address}>\n" for address in wanted)
    before = len(sender.sink.deliveries)
    play(parse(HELLO + MAIL + commands + "S: 250 2.1.5\n" * 1000 + DATA), sender.mta.port)

    def arrived() -> list[str]:  # in groups of 50
        return [address for delivery in sender.sink.deliveries[before:] for address in delivery.recipients]

    wait_until(lambda: len(arrived()) >= 1000, 20, "all recipients arrive")
    assert sorted(arrived()) == sorted(wanted)


def test_hundreds_of_refused_recipients_cost_no_time_and_no_session(sender: Sender) -> None:
    refused = "C: RCPT TO:<bad@example.com>\nS: 550 5.7.1\n"
    started = time.monotonic()
    play(parse(HELLO + MAIL + refused * 300 + "C: RCPT TO:<good@example.com>\nS: 250 2.1.5\n" + DATA), sender.mta.port)
    assert time.monotonic() - started < 10  # with Postfix's defaults: a second for each, and 421 at the 21st


def test_hundreds_of_messages_without_a_recipient_cost_no_session(sender: Sender) -> None:
    transaction = MAIL + "C: RCPT TO:<bad@example.com>\nS: 550 5.7.1\nC: RSET\nS: 250 2.0.0\n"
    play(parse(HELLO + transaction * 200 + "C: QUIT\nS: 221"), sender.mta.port)


@pytest.mark.parametrize("address", ["user%example.org@example.com", "example.org!user@example.com"])
def test_old_routing_tricks_stay_what_they_are_written_as(sender: Sender, address: str) -> None:
    assert recipients_that_arrive(sender, f"C: RCPT TO:<{address}>\nS: 250 2.1.5\n") == [address]


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("user@example.com", "501 5.1.3"),
        ("User <user@example.com>", "501 5.1.3"),
        ("<user>", "504 5.5.2"),
        ("<user@host>", "504 5.5.2"),
        ("<user%example.com>", "504 5.5.2"),
        ("<example.com!user>", "504 5.5.2"),
        ("<user@[127.0.0.1]>", "550 5.1.1"),
        ("<us(er)@example.com>", "501 5.1.3"),
    ],
)
def test_addresses_that_postfix_would_complete_or_reinterpret_are_refused(
    sender: Sender, address: str, reply: str
) -> None:
    play(parse(f"{HELLO}{MAIL}C: RCPT TO:{address}\nS: {reply}\nC: QUIT\nS: 221"), sender.mta.port)


def test_an_address_beyond_ascii_is_served(sender: Sender) -> None:
    before = len(sender.sink.deliveries)
    mail = "C: MAIL FROM:<news@sender.test> SMTPUTF8\nS: 250 2.1.0\nC: RCPT TO:<jürgen@bücher.example>\nS: 250 2.1.5\n"
    play(parse(HELLO + mail + DATA), sender.mta.port)
    assert sender.sink.wait_for(before + 1)[before].recipients == ["jürgen@bücher.example"]


def test_a_line_feed_alone_ends_no_message(sender: Sender) -> None:
    before = len(sender.sink.deliveries)
    smuggled = r"C! text\n.\nMAIL FROM:<x@sender.test>\nRCPT TO:<bad@example.com>\nDATA\nsmuggled"
    dialogue = f"{HELLO}{MAIL}C: RCPT TO:<good@example.com>\nS: 250 2.1.5\nC: DATA\nS: 354\n{smuggled}\nC: .\n"
    play(parse(dialogue + "S: 250 2.0.0\nC: QUIT\nS: 221"), sender.mta.port)
    assert sender.sink.wait_for(before + 1)[before].recipients == ["good@example.com"]
    assert b"smuggled" in sender.sink.deliveries[before].content


def test_milters_that_ask_for_no_macros_get_few(sender: Sender) -> None:
    sender.milter.macros.clear()
    recipients_that_arrive(sender, "C: RCPT TO:<First@Example.COM>\nS: 250 2.1.5\n")
    assert sender.milter.macros["M"] == [{}]
    assert sender.milter.macros["R"] == [{"{rcpt_addr}": "first@example.com"}]


@pytest.mark.parametrize("written", ['"user@example.com"', "user @ example.com", "@a.test,@b.test:user@example.com"])
def test_milters_learn_whom_postfix_delivers_to(sender: Sender, written: str) -> None:
    sender.milter.macros.clear()
    assert recipients_that_arrive(sender, f"C: RCPT TO:<{written}>\nS: 250 2.1.5\n") == ["user@example.com"]
    assert sender.milter.macros["R"] == [{"{rcpt_addr}": "user@example.com"}]


def test_vrfy_tells_nothing(sender: Sender) -> None:
    play(parse(f"{HELLO}C: VRFY user@example.com\nS: 502 5.5.1\nC: QUIT\nS: 221"), sender.mta.port)
