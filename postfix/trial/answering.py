"""An SMTP server that answers as told: the receivers of the world, with their bad days.

In: SMTP on a free loopback port; for each recipient an answer, by the word its local part begins with ("unknown" of
`unknown17@example.com`), or by the whole address. Out: what it accepted, and how often each recipient was tried.
Nothing is refused but what the answers refuse.

`relay_settings` are main.cf's for a Postfix whose mail all goes there, with retries within seconds.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from trial.ports import LOOPBACK
from trial.sink import Delivery
from trial.waiting import wait_until

DROP = ""
"""As a reply: none, the line is dropped."""
MAX_OCTETS = 64 << 20
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a recipient: after RCPT, and at the end of a message to it. "\\n" makes a reply of many lines."""

    rcpt: str = "250 2.1.5 ok"
    end_of_data: str = "250 2.0.0 taken"


ANSWERS = {
    "good": Answer(),
    "full": Answer("450 4.2.2 mailbox is full, come back later"),
    "unknown": Answer("550 5.1.1 no such user here"),
    "gone": Answer("550-5.1.1 The email account that you tried to reach\n550-5.1.1 does not exist.\n550 5.1.1 - rules"),
    "policy": Answer("550 5.7.1 message refused by our policy"),
    "content": Answer(end_of_data="550 5.7.1 this looks like spam"),
    "late": Answer(end_of_data="550 5.1.1 no such user here"),
    "busy": Answer("421 4.3.2 too many connections, going away"),
    "dropped": Answer(DROP),
    "lost": Answer(end_of_data=DROP),
}
"""By the word that local parts begin with; any other is accepted."""


def relay_settings(port: int, **more: str) -> dict[str, str]:
    """Settings of main.cf, as `overrides` of `trial.mta.Postfix`: all mail to this port, and quick about it."""
    return {
        "relayhost": f"[{LOOPBACK}]:{port}",
        "default_transport": "smtp",
        # Not 1s: whole seconds are compared, so the next look may come at once, while the one who has just failed still
        # holds the message; the queue manager then leaves it for a minute ("skipped, still being delivered").
        "minimal_backoff_time": "2s",
        "maximal_backoff_time": "3s",
        "queue_run_delay": "1s",
        # one recipient's 421 must not keep the others from being tried
        "smtp_destination_concurrency_failed_cohort_limit": "100000",
        "smtp_destination_recipient_limit": "1",
        "smtp_connection_cache_on_demand": "no",
        **more,
    }


@dataclass(slots=True)
class _Kept:
    deliveries: list[Delivery] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)


class AnsweringServer:
    """A running server, with a thread of its own. Context manager; `port` is known from then on.

    answers: laid over ANSWERS; may be changed at any time. at_connect, at_mail: a reply (a 421 ends the session), or
    DROP, to whoever comes; None lets them through.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers = {**ANSWERS, **(answers or {})}
        self.at_connect: str | None = None
        self.at_mail: str | None = None
        self.port = 0
        self._kept = _Kept()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> AnsweringServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def deliveries(self) -> list[Delivery]:
        """What was accepted up to now."""
        return list(self._kept.deliveries)

    def accepted(self, recipient: str) -> int:
        """How many messages to a recipient were accepted."""
        return sum(delivery.recipients.count(recipient) for delivery in self.deliveries)

    def attempts(self, recipient: str) -> int:
        """How often a recipient was named at RCPT."""
        return self._kept.attempts[recipient]

    def wait_for(self, recipient: str, attempts: int = 1, timeout: float = 60) -> None:
        """Wait until a recipient was tried so often. Raises TimeoutError."""
        wait_until(lambda: self.attempts(recipient) >= attempts, timeout, f"{attempts} attempts for {recipient}")

    def answer_to(self, recipient: str) -> Answer:
        word = _WORD.match(recipient.partition("@")[0])
        return self.answers.get(recipient) or self.answers.get(word[0] if word else "", Answer())

    async def _listen(self) -> asyncio.Server:
        handler = _Handler(self, self._kept)
        return await self._loop.create_server(lambda: _Session(handler, self), LOOPBACK, 0)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        ours = asyncio.current_task()
        sessions = [task for task in asyncio.all_tasks() if task is not ours]
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)


class _Session(SMTP):
    """One session, which can end before it begins."""

    def __init__(self, handler: _Handler, told: AnsweringServer) -> None:
        super().__init__(
            handler, hostname="receiver.test", ident="trial", data_size_limit=MAX_OCTETS, enable_SMTPUTF8=True
        )
        self._told = told

    async def _handle_client(self) -> None:
        if self._told.at_connect is None:
            await super()._handle_client()
            return
        if self._told.at_connect != DROP:
            await self.push(self._told.at_connect)
        assert self.transport is not None
        self.transport.close()


class _Handler:
    """aiosmtpd's hooks. The answers after RCPT and at the end are looked up when they are due."""

    def __init__(self, told: AnsweringServer, kept: _Kept) -> None:
        self._told = told
        self._kept = kept

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._told.at_mail
        if reply is not None:
            return self._said(server, reply)
        envelope.mail_from = address  # "<>" for the null sender: an empty one counts as none
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self._kept.attempts[address] += 1
        reply = self._told.answer_to(address).rcpt
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self._said(server, reply)

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        replies = [self._told.answer_to(address).end_of_data for address in envelope.rcpt_tos]
        reply = next((reply for reply in replies if not reply.startswith("2")), replies[0])
        if reply.startswith("2"):
            content = envelope.content
            assert isinstance(content, bytes)
            self._kept.deliveries.append(
                Delivery(
                    (envelope.mail_from or "").removeprefix("<>"),
                    " ".join(envelope.mail_options),
                    list(envelope.rcpt_tos),
                    [],
                    content,
                )
            )
        return self._said(server, reply)

    def _said(self, server: SMTP, reply: str) -> str:
        """A reply as aiosmtpd sends it; after a 421 the session ends, and instead of DROP, too."""
        transport: Any = server.transport
        if reply == DROP:
            transport.abort()
            raise ConnectionResetError("dropped on purpose")
        if reply.startswith("421"):
            asyncio.get_running_loop().call_later(0, transport.close)
        return reply.replace("\n", "\r\n")
