"""The MTA's side of the milter protocol, without an MTA: for what no Postfix would ever send.

In: a gate's Unix socket, octets. Out: `Answer`s. Refused: ConnectionError when the gate hangs up.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

ALL_ACTIONS = 0x1FF
ALL_EVENTS = 0x1FFFFF
NO_REPLY = 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x40000 | 0x80000 | 0x80
CONTINUE, ACCEPT, DISCARD, TEMPFAIL, REPLY = "c", "a", "d", "t", "y"


class Answer(NamedTuple):
    """code: the SMFIR letter; text: the SMTP reply that came with it."""

    code: str
    text: str = ""


class MtaSide:
    """One connection to the gate, negotiated. Without `offered` no event may go unanswered."""

    def __init__(self, path: Path, offered: int = ALL_EVENTS & ~NO_REPLY) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._packets = self._socket.makefile("rb")
        self.send("O", struct.pack("!III", 6, ALL_ACTIONS, offered))
        answer, body = self._receive()
        assert answer == "O"
        self.events = struct.unpack("!III", body[:12])[2]

    def __enter__(self) -> MtaSide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def macro(self, command: str, **values: str) -> None:
        """Macros for the next command, named without braces."""
        pairs = b"".join(f"{{{name}}}\0{value}\0".encode() for name, value in values.items())
        self.send("D", command.encode() + pairs)

    def mail(self, *arguments: bytes) -> Answer:
        return self.ask("M", _strings(*arguments))

    def rcpt(self, *arguments: bytes) -> Answer:
        return self.ask("R", _strings(*arguments))

    def ask(self, command: str, body: bytes = b"") -> Answer:
        """Send a command and wait for the answer to it."""
        self.send(command, body)
        code, rest = self._receive()
        return Answer(code, rest.rstrip(b"\0").decode("utf-8", "backslashreplace"))

    def end_of_message(self) -> list[Answer]:
        """Everything the gate does at the end of a message; its verdict is the last."""
        self.send("E")
        answers: list[Answer] = []
        while not answers or answers[-1].code not in (CONTINUE, ACCEPT, DISCARD, TEMPFAIL, REPLY, "r"):
            code, rest = self._receive()
            answers.append(Answer(code, rest.rstrip(b"\0").decode()))
        return answers

    def abort(self) -> None:
        self.send("A")

    def send(self, command: str, body: bytes = b"") -> None:
        self._socket.sendall(struct.pack("!I", len(body) + 1) + command.encode() + body)

    def hang_up(self) -> None:
        """Close without QUIT."""
        self._packets.close()
        self._socket.close()

    def _receive(self) -> tuple[str, bytes]:
        header = self._packets.read(4)
        if len(header) < 4:
            raise ConnectionError("the gate hung up")
        packet = self._packets.read(struct.unpack("!I", header)[0])
        return chr(packet[0]), packet[1:]


def _strings(*texts: bytes) -> bytes:
    return b"".join(text + b"\0" for text in texts)
