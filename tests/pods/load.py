"""Injectors that send to a Service without a pause, and judge every reply.

In: the pods behind the Service, as they come and go. Out: which messages were accepted, for whom; which reply came how
often; every wrong one. Wrong is a 2xx for a suppressed recipient, in whatever spelling, and a 5xx for anything else.
An injector that is put off or cut off asks the next pod, as an SMTP client does; if all put it off, that is counted.
"""

from __future__ import annotations

import itertools
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from pods.kubelet import Pod
from pods.network import SMTP, Network
from pods.parts import SENDER, SMTP_PORT
from pods.sink import Sink
from trial.background import Background
from trial.waiting import wait_until

BAD = ("pristine@trap.test", "gone@example.org")
SPELLINGS = (
    "pristine@trap.test", "PRISTINE@Trap.Test", '"pristine"@trap.test', "@relay.example:pristine@trap.test",
    '"gone"@EXAMPLE.org', "Gone@example.org",
)  # fmt: skip
GOOD = ("reader@example.org", "Friend@example.net", "subscriber@example.com")
MESSAGES = 3  # in a session
PAUSE = 0.01
_loads = itertools.count()


class Load(Background):
    """Running injectors. Context manager: at its end each finishes its message. pods: who is behind the Service now."""

    def __init__(self, network: Network, pods: Callable[[], Sequence[Pod]], threads: int = 4) -> None:
        super().__init__(threads)
        self._network, self._pods = network, pods
        # Of one process, never the same again: a sink outlives its loads. (An id() comes again after its object's end.)
        self._name = f"load{next(_loads)}"
        self._sessions = itertools.count()
        self._lock = threading.Lock()
        self.replies: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.accepted: dict[str, frozenset[str]] = {}
        self.unknown: set[str] = set()
        self.put_off = 0

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many more messages are accepted."""
        before = len(self.accepted)
        wait_until(lambda: len(self.accepted) >= before + count, 40, f"{count} more messages are accepted")

    def wait_for_replies(self, kind: str, code: int) -> None:
        """Wait until such a reply comes once more."""
        before = self.replies[kind, code]
        wait_until(lambda: self.replies[kind, code] > before, 40, f"{code} for {kind}")

    def assert_right(self) -> None:
        """No reply was wrong, and all kinds have come."""
        assert not self.wrong, self.wrong[:5]
        assert self.replies["bad", 550]
        assert self.accepted

    def assert_arrived(self, sink: Sink, twice: bool = False) -> None:
        """What was accepted arrives, and nothing else, for nobody else. twice: as may be after a kill."""
        wait_until(lambda: self.accepted.keys() <= {number for number, _ in sink.taken}, 60, "all mail arrives")
        found = [(number, people) for number, people in sink.taken if number.startswith(f"{self._name}-")]
        for number, people in found:
            assert number in self.accepted or number in self.unknown, number
            assert people <= {name.lower() for name in GOOD}, number
        for number, people in self.accepted.items():
            assert people == frozenset[str]().union(*(some for known, some in found if known == number)), number
        if not twice:
            # One message may go in several transactions, never twice to anybody.
            times = Counter((number, name) for number, people in found for name in people)
            assert [which for which, count in times.items() if count > 1] == []

    def _run(self) -> None:
        while not self._ending.is_set():
            number, pods = next(self._sessions), list(self._pods())
            begin = number % len(pods) if pods else 0
            if not any(self._session(pod, f"{self._name}-{number}") for pod in pods[begin:] + pods[:begin]):
                with self._lock:
                    self.put_off += 1
            self._ending.wait(PAUSE)

    def _session(self, pod: Pod, number: str) -> bool:
        """Some messages. Returns whether the first was accepted."""
        done = 0
        try:
            with SMTP(self._network.node, pod.address, SMTP_PORT) as smtp:
                if self._reply("ehlo", smtp.ehlo()) == 250:
                    while done < MESSAGES and self._message(smtp, f"{number}.{done}@{pod.name}"):
                        done += 1
        except (OSError, smtplib.SMTPException) as error:
            if isinstance(error, smtplib.SMTPResponseException):  # the greeting
                self._reply("greeting", (error.smtp_code, b""))
        return done > 0

    def _message(self, smtp: SMTP, number: str) -> bool:
        if self._reply("mail", smtp.mail(SENDER)) != 250:
            return False
        people = set()
        for at, good in enumerate(GOOD):
            spelling = SPELLINGS[(len(self.accepted) + at) % len(SPELLINGS)]
            self._reply("bad", smtp.rcpt(spelling), spelling)
            if self._reply("good", smtp.rcpt(good)) == 250:
                people.add(good.lower())
        if not people or self._reply("data", smtp.docmd("DATA")) != 354:
            return False
        with self._lock:
            self.unknown.add(number)  # until there is a reply
        text = f"From: news@example.com\r\nX-Number: {number}\r\nSubject: Hello\r\n\r\nHello.\r\n.\r\n"
        smtp.send(text)
        code = self._reply("end", smtp.getreply())
        with self._lock:
            self.unknown.discard(number)
            if code == 250:
                self.accepted[number] = frozenset(people)
        return code == 250

    def _reply(self, kind: str, reply: tuple[int, bytes], whom: str = "") -> int:
        code, text = reply
        if code == -1:  # smtplib's word for a connection that broke
            raise smtplib.SMTPServerDisconnected(text)
        right = code // 100 in ((4, 5) if kind == "bad" else (2, 3, 4))
        with self._lock:
            self.replies[kind, code] += 1
            if not right:
                self.wrong.append(f"{kind} {whom}: {code} {text.decode(errors='replace')}")
        return code
