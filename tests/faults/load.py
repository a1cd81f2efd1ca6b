"""SMTP clients that send without a pause, and judge every reply to a recipient.

In: a port, how many clients. Out: how often which reply came, and every wrong one. Wrong is a 2xx for a suppressed
recipient (`bad...`), a 5xx for a good one, and anything but 2xx, 4xx and 5xx. A client whose session is closed or
put off begins another.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from types import TracebackType

from trial.background import Background
from trial.ports import LOOPBACK
from trial.waiting import wait_until

TIMEOUT = 40
GOOD, BAD = ("good", "fine", "right"), ("bad", "badly")
ORDER = ("good", "bad", "fine", "badly", "right")  # a suppressed one before, between and never alone
ENTRIES = [f"hard_bounce {name}@example.com" for name in BAD]


class Load(Background):
    """Running clients. Context manager. messages: how many a session has; 0 is no limit."""

    def __init__(self, port: int, clients: int = 8, messages: int = 0) -> None:
        super().__init__(clients)
        self._port = port
        self._messages = messages
        self._lock = threading.Lock()
        self.replies: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self.lost = 0

    def total(self, kind: str, code: str) -> int:
        """How many recipients of a kind (good or bad) got a reply that begins with `code`."""
        return sum(count for (name, reply), count in self.replies.items() if name == kind and reply.startswith(code))

    def wait_for_more(self, count: int = 100, kind: str = "good", code: str = "250", timeout: float = 30) -> None:
        """Wait until so many more such replies have come."""
        before = self.total(kind, code)
        wait_until(lambda: self.total(kind, code) >= before + count, timeout, f"{count} more {code} for {kind} ones")

    def assert_right(self) -> None:
        assert self.wrong == []
        assert self.total("good", "250")
        assert self.total("bad", "550")

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with _Session(self._port) as session:
                    session.greet()
                    sent = 0
                    while not self._ending.is_set() and self._message(session) and (sent := sent + 1) != self._messages:
                        pass
            except OSError:
                self.lost += 1
                self._ending.wait(0.02)

    def _message(self, session: _Session) -> bool:
        """One message. False when the session is of no more use."""
        if not session.command("MAIL FROM:<bounce+load@x.test>").startswith("250"):
            return False
        accepted = 0
        for name in ORDER:
            reply = session.command(f"RCPT TO:<{name}@example.com>")
            self._judge(name, reply)
            accepted += reply.startswith("250")
        if not accepted or not session.command("DATA").startswith("354"):
            return session.command("RSET").startswith("250")
        return session.command("Subject: test\r\n\r\ntext\r\n.").startswith("250")

    def _judge(self, name: str, reply: str) -> None:
        kind = "bad" if name in BAD else "good"
        wrong = reply[:1] not in ("245" if kind == "good" else "45") or (kind == "good" and reply.startswith("5"))
        with self._lock:
            self.replies[kind, reply[:9]] += 1
            if wrong:
                self.wrong.append(f"{name}: {reply}")


class _Session:
    """One SMTP session, read line by line."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), TIMEOUT)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> _Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(b"QUIT\r\n")
        self._replies.close()
        self._socket.close()

    def greet(self) -> None:
        if not self.reply().startswith("220") or not self.command("EHLO client.test").startswith("250"):
            raise ConnectionError("no greeting")

    def command(self, line: str) -> str:
        self._socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> str:
        while line := self._replies.readline(4096).decode():
            if line[3:4] != "-":
                return line.rstrip()
        raise ConnectionError("closed")
