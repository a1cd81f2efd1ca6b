"""A small SMTP server that accepts everything and remembers it: the world, as far as a trial is concerned.

In: SMTP on a free loopback port. Out: one `Delivery` for each message, envelope and content as received.
Nothing is refused, and nothing goes any further.
"""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from types import TracebackType

from trial.ports import LOOPBACK
from trial.waiting import wait_until

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
_PATH = re.compile(r"(?:MAIL FROM|RCPT TO):\s*<(.*?)>(?:\s+(.*))?", re.IGNORECASE)


@dataclass
class Delivery:
    """One message: bare addresses, the arguments after them as sent, and the content with CRLF line ends."""

    sender: str
    sender_arguments: str
    recipients: list[str] = field(default_factory=list)
    recipient_arguments: list[str] = field(default_factory=list)
    content: bytes = b""

    @property
    def message(self) -> Message:
        return message_from_bytes(self.content)

    @property
    def body(self) -> bytes:
        return self.content.partition(b"\r\n\r\n")[2]

    def headers(self, name: str) -> list[str]:
        """All values of one header, first to last."""
        return [str(value) for value in self.message.get_all(name, [])]


class Sink:
    """A running sink. Context manager; `port` is known from the start."""

    def __init__(self) -> None:
        self._deliveries: list[Delivery] = []
        self._server = _Server(self._deliveries.append)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def deliveries(self) -> list[Delivery]:
        """What was received up to now."""
        return list(self._deliveries)

    def wait_for(self, count: int, timeout: float = 20) -> list[Delivery]:
        """Wait until at least `count` messages were received. Raises TimeoutError."""
        wait_until(lambda: len(self._deliveries) >= count, timeout, f"{count} messages in the sink")
        return self.deliveries


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, received: Callable[[Delivery], None]) -> None:
        self.received = received
        super().__init__((LOOPBACK, 0), _Session)


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        delivery: Delivery | None = None
        self._say("220 sink ESMTP")
        while line := self.rfile.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = command.partition(" ")[0].upper()
            if verb == "MAIL":
                delivery = Delivery(*_split(command))
            elif verb == "RCPT" and delivery:
                address, arguments = _split(command)
                delivery.recipients.append(address)
                delivery.recipient_arguments.append(arguments)
            elif verb == "DATA" and delivery:
                self._receive(delivery)
                delivery = None
                continue
            self._answer(verb)
            if verb == "QUIT":
                return

    def _receive(self, delivery: Delivery) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        if line:
            delivery.content = b"".join(lines)
            self.server.received(delivery)
            self._say("250 2.0.0 taken")

    def _answer(self, verb: str) -> None:
        if verb == "EHLO":
            self._say("\r\n".join(["250-sink", *(f"250-{name}" for name in EXTENSIONS[:-1]), f"250 {EXTENSIONS[-1]}"]))
        else:
            self._say("221 2.0.0 bye" if verb == "QUIT" else "250 2.0.0 ok")

    def _say(self, reply: str) -> None:
        self.wfile.write(reply.encode() + b"\r\n")


def _split(command: str) -> tuple[str, str]:
    match = _PATH.match(command)
    return (match[1], match[2] or "") if match else (command, "")
