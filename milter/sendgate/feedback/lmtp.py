"""The LMTP server (RFC 2033) to which Postfix hands bounces and complaints: a Unix socket, a process of its own.

In: a listening socket, what to do with a message. Out: `250` for each recipient once the message has been taken in,
whether it was believed or not; `451` when the lists or the state cannot be written, so that Postfix keeps it.
Refused: messages beyond MAX_OCTETS (552).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import Envelope

from sendgate import events

MAX_OCTETS = 256 << 20
"""Postfix's message_size_limit, 10 MiB unless set, is the real limit."""
MAX_LINE_OCTETS = 1 << 20
"""Bounces quote what senders write, and senders write lines of any length."""
TAKEN = "250 2.0.0 taken in"
AGAIN = "451 4.3.0 feedback cannot be written now, try again later"

Receive = Callable[[bytes, Sequence[str]], object]
"""Takes a message and the recipients it came to; raises when it could not be taken in."""


class _Lmtp(LMTP):
    line_length_limit = MAX_LINE_OCTETS


class _Handler:
    """Hands one message after the other to `receive`, in a thread of its own."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._worker = ThreadPoolExecutor(max_workers=1)

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _server: object, _session: object, envelope: Envelope
    ) -> str:
        """The reply after the message: a line for each recipient (RFC 2033, 4.2)."""
        content = envelope.content
        data = content if isinstance(content, bytes) else (content or "").encode("utf-8", "surrogateescape")
        recipients = list(envelope.rcpt_tos)
        try:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._receive, data, recipients)
        except Exception as error:
            events.feedback_waits(f"{type(error).__name__}: {error}")
            return "\r\n".join([AGAIN] * len(recipients))
        return "\r\n".join([TAKEN] * len(recipients))


def run(listener: socket.socket, receive: Receive, control: int) -> None:
    """Serve on a listening socket until the control pipe ends; a message that is being taken in is finished."""
    asyncio.run(_serve(listener, receive, control))


async def _serve(listener: socket.socket, receive: Receive, control: int) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(control, ended.set)
    handler = _Handler(receive)

    def protocol() -> _Lmtp:
        return _Lmtp(
            handler, data_size_limit=MAX_OCTETS, enable_SMTPUTF8=True, hostname="sendgate", ident="sendgate", loop=loop
        )

    server = await loop.create_unix_server(protocol, sock=listener)
    await ended.wait()
    loop.remove_reader(control)
    server.close()
    await loop.run_in_executor(handler._worker, lambda: None)
