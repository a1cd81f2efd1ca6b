"""The LMTP server, spoken to over its socket by Python's own LMTP client."""

from __future__ import annotations

import os
import smtplib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sendgate.feedback import lmtp

BOUNCE = "Subject: Undelivered Mail Returned to Sender\r\n\r\nUser unknown\r\n"


@dataclass
class Server:
    """A server in a thread, and what it was given. away: nothing can be taken in."""

    path: str
    given: list[tuple[bytes, tuple[str, ...]]] = field(default_factory=list)
    away: bool = False

    def receive(self, data: bytes, recipients: Sequence[str]) -> None:
        if self.away:
            raise OSError("the lists are away")
        self.given.append((data, tuple(recipients)))

    def client(self) -> smtplib.LMTP:
        return smtplib.LMTP(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "lmtp.sock"))
    listener.listen()
    listener.setblocking(False)
    one = Server(str(tmp_path / "lmtp.sock"))
    control, end = os.pipe()
    thread = threading.Thread(target=lmtp.run, args=(listener, one.receive, control))
    thread.start()
    yield one
    os.close(end)
    thread.join(10)
    os.close(control)
    assert not thread.is_alive()


def test_a_message_is_handed_over_with_whom_it_came_to(server: Server) -> None:
    with server.client() as client:
        client.sendmail("", ["bounce+spring@bounces.example.net"], BOUNCE)
    [(data, recipients)] = server.given
    assert data == BOUNCE.encode()
    assert recipients == ("bounce+spring@bounces.example.net",)


def test_each_recipient_gets_an_answer(server: Server) -> None:
    both = ("bounce+a@bounces.example.net", "bounce+b@bounces.example.net")
    with server.client() as client:
        client.ehlo_or_helo_if_needed()
        client.mail("")
        for recipient in both:
            client.rcpt(recipient)
        first, second = client.data(BOUNCE)[0], client.getreply()[0]  # Python's client reads one
    assert (first, second) == (250, 250)
    assert server.given[0][1] == both


def test_what_cannot_be_taken_in_is_to_come_again(server: Server) -> None:
    server.away = True
    with server.client() as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("", ["bounce+spring@bounces.example.net"], BOUNCE)
    assert refused.value.smtp_code == 451
    server.away = False
    with server.client() as client:
        client.sendmail("", ["bounce+spring@bounces.example.net"], BOUNCE)
    assert len(server.given) == 1


def test_lines_of_any_length_and_of_any_octets_come_through(server: Server) -> None:
    long = b"X-Spam: " + b"x" * 100_000 + b"\r\n\r\n\xff\xfe caf\xe9\r\n.\r\n"
    with server.client() as client:
        client.sendmail("", ["bounce+spring@bounces.example.net"], long)
    assert server.given[0][0] == long


def test_addresses_outside_of_ascii_are_taken(server: Server) -> None:
    with server.client() as client:
        client.ehlo_or_helo_if_needed()
        client.sendmail("", ["bounce+\u00e4pfel@bounces.example.net"], BOUNCE, ["SMTPUTF8", "BODY=8BITMIME"])
    assert server.given[0][1] == ("bounce+\u00e4pfel@bounces.example.net",)


def test_many_connections_at_once_are_served_one_after_the_other(server: Server) -> None:
    def send(number: int) -> None:
        with server.client() as client:
            for _ in range(10):
                client.sendmail("", [f"bounce+{number}@bounces.example.net"], BOUNCE)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(server.given) == 80
