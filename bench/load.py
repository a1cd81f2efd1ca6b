"""An SMTP client for load: many sessions at once, pipelined, with recipients of the caller's choice.

In: messages as lists of recipients. Out: how many recipients were accepted and refused, and the time it took.
Refused: `UnexpectedReplyError` for any reply that is neither success nor a 550.
Beside smtp-source it can vary the recipients and goes on after a refusal; its own CPU time is not measured.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from trial.ports import LOOPBACK

NAMED_SENDER = "bounce+spring@example.com"
"""A sender that names its campaign: Sendgate is done with the message at DATA."""
PLAIN_SENDER = "news@example.com"
"""One that does not: Sendgate waits for the header that may."""
_CONTENT = b"From: <news@example.com>\r\nSubject: hello\r\n\r\n" + b"Some text, as mails have it.\r\n" * 20 + b".\r\n"
_TIMEOUT_SECONDS = 60


class UnexpectedReplyError(RuntimeError):
    """Postfix said something that no load should meet."""


class Outcome(NamedTuple):
    """What came of a load."""

    accepted: int
    refused: int
    seconds: float

    @property
    def recipients(self) -> int:
        return self.accepted + self.refused


def send(port: int, messages: Sequence[Sequence[str]], sender: str = NAMED_SENDER, sessions: int = 8) -> Outcome:
    """Send all messages over so many sessions at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(sessions) as pool:
        shares = [messages[first::sessions] for first in range(sessions)]
        counts = list(pool.map(lambda share: _session(port, share, sender), shares))
    seconds = time.perf_counter() - started
    return Outcome(sum(count[0] for count in counts), sum(count[1] for count in counts), seconds)


def _session(port: int, messages: Sequence[Sequence[str]], sender: str) -> tuple[int, int]:
    accepted = refused = 0
    with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_SECONDS) as connection:
        client = _Client(connection)
        client.replies(1)
        client.say(b"EHLO bench\r\n", 1)
        for recipients in messages:
            taken = client.message(sender, recipients)
            accepted += taken
            refused += len(recipients) - taken
        client.say(b"QUIT\r\n", 1)
    return accepted, refused


class _Client:
    """One connection, with what was read of it but not yet used."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def message(self, sender: str, recipients: Sequence[str]) -> int:
        """One transaction. Returns how many recipients were accepted."""
        envelope = "".join([f"MAIL FROM:<{sender}>\r\n", *(f"RCPT TO:<{each}>\r\n" for each in recipients), "DATA\r\n"])
        mail, *answers, data = self.say(envelope.encode(), len(recipients) + 2)
        taken = sum(code == b"250" for code in answers)
        if mail != b"250" or any(code not in (b"250", b"550") for code in answers):
            raise UnexpectedReplyError(f"{mail!r} {answers}")
        if (data == b"354") != (taken > 0):
            raise UnexpectedReplyError(f"{data!r} to DATA after {taken} accepted recipients")
        end = self.say(_CONTENT if taken else b"RSET\r\n", 1)
        if end != [b"250"]:
            raise UnexpectedReplyError(f"{end} at the end of a message")
        return taken

    def say(self, octets: bytes, replies: int) -> list[bytes]:
        self._connection.sendall(octets)
        return self.replies(replies)

    def replies(self, count: int) -> list[bytes]:
        """The codes of the next replies."""
        codes: list[bytes] = []
        while True:
            *lines, self._rest = self._rest.split(b"\r\n")
            codes += [line[:3] for line in lines if line[3:4] != b"-"]
            if len(codes) >= count:
                return codes
            received = self._connection.recv(65536)
            if not received:
                raise UnexpectedReplyError("the connection was closed")
            self._rest += received
