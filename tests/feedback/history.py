"""A made-up history of deliveries: as Postfix logs it, and what it must make of the lists and the counts.

In: a seed. Out: lines, and a `Truth` that is told by other means than the product's: by counting.
Messages overlap in the log, a message may be deferred and expire, and the log is rotated meanwhile.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trial.background import Background

CAMPAIGNS = ("spring", "receipts", "survey")
RECIPIENTS = 150
MOST_STRIKES = 8
"""That an entry keeps."""
UNDER_WAY = 15
_STEP_SECONDS = 1
"""Each line has a second of its own, so that the order of what happened to a recipient is plain."""
_BEGAN_SECONDS_AGO = 86_400
_REMOTE = "mx.example.com[192.0.2.1]:25"
_SAID = "host mx.example.com[192.0.2.1] said: {} (in reply to RCPT TO command)"
_GONE = "550 5.1.1 <{}>: Recipient address rejected: User unknown"
_FULL = "452 4.2.2 The recipient's mailbox is full"
_OUTCOMES = ("sent", "gone", "refused", "deferred", "expired")
_SHARES = (45, 30, 8, 10, 7)


@dataclass(slots=True)
class Truth:
    """What the log says. strikes: by recipient, the kinds since the last delivery, the oldest first."""

    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    bounces: Counter[tuple[str, str]] = field(default_factory=Counter)
    strikes: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    provisional: set[str] = field(default_factory=set)
    permanent: set[str] = field(default_factory=set)

    def delivered(self, campaign: str, recipient: str) -> None:
        self.deliveries[campaign, "sent"] += 1
        self.strikes[recipient] = []

    def failed(self, campaign: str, recipient: str, result: str, kind: str) -> None:
        self.deliveries[campaign, result] += 1
        self.bounces[campaign, kind] += 1
        if kind not in ("bad_mailbox", "full"):
            return
        kinds = self.strikes[recipient]
        kinds.append(kind)
        del kinds[:-MOST_STRIKES]
        if kind == "bad_mailbox":
            self.provisional.add(recipient)
            if kinds.count(kind) >= 2:
                self.permanent.add(recipient)


class History(Background):
    """Writes the log from a thread, message by message, until it is told to stop. Context manager."""

    def __init__(self, log: Path, seed: int, *, pause_seconds: float = 0.01) -> None:
        super().__init__()
        self.log = log
        self.rotate_every = 0
        """Messages after which the log is rotated, 0 for never; may be changed at any time."""
        self.truth = Truth()
        self.messages = 0
        self._random = random.Random(seed)
        self._pause_seconds = pause_seconds
        self._at = time.time() - _BEGAN_SECONDS_AGO
        self._under_way: list[Iterator[str]] = []

    def _run(self) -> None:
        while not self._ending.wait(self._pause_seconds):
            self._write(self._message())
            if self.rotate_every and not self.messages % self.rotate_every:
                self.log.rename(self.log.with_name(f"{self.log.name}.{self.messages:06d}"))
        while self._under_way:
            self._go_on(self._random.randrange(len(self._under_way)))

    def _write(self, message: Iterator[str]) -> None:
        """The first lines of a message, and some more of others."""
        self._under_way.append(message)
        self._go_on(-1)
        while len(self._under_way) > UNDER_WAY:
            self._go_on(self._random.randrange(len(self._under_way)))

    def _go_on(self, which: int) -> None:
        """One more step of a message, in one write that may be cut into two."""
        text = next(self._under_way[which], None)
        if text is None:
            del self._under_way[which]
            return
        cut = self._random.randrange(len(text)) if self._random.random() < 0.2 else len(text)
        for part in (text[:cut], text[cut:]):
            with self.log.open("a") as file:
                file.write(part)

    def _message(self) -> Iterator[str]:
        """A message to one recipient: each of its texts is written at once, with those of others in between."""
        self.messages += 1
        number = self._random.randrange(RECIPIENTS)
        recipient = f"user{number}@example{number % 7}.com"
        campaign = self._random.choice(CAMPAIGNS)
        outcome = self._random.choices(_OUTCOMES, _SHARES)[0]
        return self._steps(f"4jX{self.messages:06d}z{self.messages % 97}", recipient, campaign, outcome)

    def _steps(self, queue_id: str, recipient: str, campaign: str, outcome: str) -> Iterator[str]:
        sender = f"bounce+{campaign}@news.test"
        yield self._lines(
            f"smtpd[7]: {queue_id}: client=app[192.0.2.9], sasl_method=PLAIN, sasl_username=nobody",
            f"qmgr[8]: {queue_id}: from=<{sender}>, size=312, nrcpt=1 (queue active)",
        )
        if outcome in ("deferred", "expired"):
            yield self._attempt(queue_id, recipient, "4.2.2", f"deferred ({_SAID.format(_FULL)})")
            self.truth.deliveries[campaign, "deferred"] += 1
        match outcome:
            case "gone":
                said = _SAID.format(_GONE.format(recipient))
                self.truth.failed(campaign, recipient, "bounced", "bad_mailbox")
                yield self._attempt(queue_id, recipient, "5.1.1", f"bounced ({said})")
            case "refused":
                self.truth.failed(campaign, recipient, "bounced", "policy")
                said = _SAID.format("550 5.7.1 message refused by our policy")
                yield self._attempt(queue_id, recipient, "5.7.1", f"bounced ({said})")
            case "expired":
                self.truth.failed(campaign, recipient, "expired", "full")
                yield self._lines(f"qmgr[8]: {queue_id}: from=<{sender}>, status=expired, returned to sender")
            case _:
                self.truth.delivered(campaign, recipient)
                yield self._attempt(queue_id, recipient, "2.0.0", "sent (250 2.0.0 taken)")
        yield self._lines(f"qmgr[8]: {queue_id}: removed")

    def _attempt(self, queue_id: str, recipient: str, dsn: str, status: str) -> str:
        return self._lines(
            f"smtp[9]: {queue_id}: to=<{recipient}>, relay={_REMOTE}, delay=0.4, delays=0.1/0/0.1/0.2,"
            f" dsn={dsn}, status={status}"
        )

    def _lines(self, *texts: str) -> str:
        self._at += _STEP_SECONDS
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._at))
        return "".join(f"{stamp}.{int(self._at % 1 * 1e6):06d}+00:00 mx1 postfix/{text}\n" for text in texts)
