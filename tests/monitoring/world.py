"""A sender at work: Redis, the gate with feedback, Postfix, receivers that answer, and mail that goes on being sent.

In: a folder. Out: a running `Sender`. The first mail is sent when told, so that whoever scrapes sees counters begin.
Of 100 recipients 4 are on the lists; the rest are taken, but for those few that bounce, wait or complain.
Refused: TrialError when a part does not start.
"""

from __future__ import annotations

import contextlib
import itertools
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from feedback.world import complaint
from trial.answering import AnsweringServer, relay_settings
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK, free_port
from trial.redis_server import RedisServer

PATIENCE = 30
CAMPAIGN = "spring"
TRAP = "trap@example.com"
LISTED = ("left@example.com", "moved@example.com")
# By the words that `trial.answering` goes by.
ODD = ("unknown1@example.com", "policy1@example.com", "content1@example.com", "full1@example.com")


@dataclass
class Sender:
    """The parts, and what tests do with them."""

    gate: Gate
    mta: Postfix
    receivers: AnsweringServer
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def good(self) -> str:
        """A recipient that is new, and takes what comes."""
        return f"good{next(self._numbers)}@example.com"

    def send(self, *recipients: str, campaign: str = CAMPAIGN) -> None:
        """A message to each, in one session; refusals are passed over. campaign: "" for mail that names none."""
        sender = f"bounce+{campaign}@news.test" if campaign else "news@news.test"
        with smtplib.SMTP(LOOPBACK, self.mta.port, timeout=PATIENCE) as client:
            for recipient in recipients:
                with contextlib.suppress(smtplib.SMTPRecipientsRefused):
                    client.sendmail(sender, [recipient], "Subject: News\r\n\r\nHello.\r\n")

    def complain(self, recipient: str) -> None:
        """A complaint that an operator vouches for."""
        report = complaint(f"bounce+{CAMPAIGN}@news.test", recipient)
        done = self.gate.run("ingest", "--trusted", "-", input=report)
        assert done.returncode == 0, done.stderr

    def begin(self) -> None:
        """A campaign with some of everything: 100 recipients, and one that names no campaign."""
        good = [self.good() for _ in range(100 - len(ODD) - len(LISTED) - 2)]
        self.send(*good, *ODD, *LISTED, TRAP, TRAP)
        self.send(self.good(), campaign="")
        self.complain(good[0])

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Meanwhile mail goes on being sent, as it was in the beginning, with a refusal now and then."""
        ended = threading.Event()
        thread = threading.Thread(target=self._work, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(PATIENCE)

    def _work(self, ended: threading.Event) -> None:
        while not ended.wait(0.1):
            with contextlib.suppress(OSError, smtplib.SMTPException):  # a test may have stopped the gate
                self.send(*(self.good() for _ in range(24)), LISTED[0])


@contextmanager
def running_sender(folder: Path) -> Iterator[Sender]:
    folder.chmod(0o755)  # Postfix's user must reach its log
    showq = free_port()
    with RedisServer(folder / "redis") as redis, AnsweringServer() as receivers:
        settings = {
            "milter": {"workers": 2},
            "store": {"url": redis.url, "shards": 4, "buckets": 64},
            "feedback": {"log": f"{folder}/maillog"},
            "postfix": {"showq": f"inet:{LOOPBACK}:{showq}", "interval": "1s"},
        }
        gate = Gate(settings)
        for recipient, reason in ((TRAP, "trap"), *((one, "hard_bounce") for one in LISTED)):
            assert gate.run("add", recipient, "--reason", reason).returncode == 0
        with (
            gate,
            Postfix(
                [gate.milter],
                relay_settings(receivers.port),
                log=folder / "maillog",
                services=[f"{LOOPBACK}:{showq} inet n - n - 1 showq"],
            ) as mta,
        ):
            yield Sender(gate, mta, receivers)
