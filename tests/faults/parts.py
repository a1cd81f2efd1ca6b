"""What these tests share: a gate that can be broken, a Postfix in front of it, one recipient asked about."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from faults.load import ENTRIES
from sendgate.entry import Add
from smtp.arena import change, make_gate
from smtp.script import entry_of
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK
from trial.waiting import wait_until

WORKERS = 2


def filled_gate(settings: dict[str, Any] | None = None) -> Gate:
    """A gate with two workers and the entries of `load`, not yet started."""
    gate = make_gate({"milter": {"workers": WORKERS}} if settings is None else settings)
    change(gate, [Add(entry_of(entry)) for entry in ENTRIES])
    return gate


@contextmanager
def behind_postfix(gate: Gate) -> Iterator[Postfix]:
    """A Postfix that has this gate in front; accepted mail ends in it."""
    with Postfix([gate.milter]) as mta:
        yield mta


def ask(mta: Postfix, recipient: str = "good@example.com") -> str:
    """The reply to one recipient in a session of its own; what MAIL said when it came no further, "" for no session."""
    with contextlib.suppress(OSError, smtplib.SMTPException), smtplib.SMTP(LOOPBACK, mta.port, timeout=30) as client:
        client.ehlo()
        code, text = client.mail("bounce+ask@x.test")
        if code == 250:
            code, text = client.rcpt(recipient)
        return f"{code} {text.decode()}"
    return ""


def wait_until_said(mta: Postfix, start: str, recipient: str = "good@example.com", timeout: float = 15) -> str:
    """Ask until the reply begins with `start`."""

    def said() -> str:
        reply = ask(mta, recipient)
        return reply if reply.startswith(start) else ""

    return wait_until(said, timeout, f"{start} for {recipient}")


def events(gate: Gate, name: str) -> list[dict[str, Any]]:
    """The log lines of one event."""
    return [line for line in gate.log_lines() if line["event"] == name]


def all_workers_serve(gate: Gate, count: int = WORKERS) -> None:
    """Wait until the gate says that so many workers serve."""
    wait_until(lambda: gate.metric("sendgate_workers") == count, 15, f"{count} workers serve")
