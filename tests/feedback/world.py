"""A sender and its world: Postfix with the gate in front, receivers that answer as told, bounces that come back.

In: the URL of a shared origin, or none for the embedded one. Out: a running `World`: mail can be sent through it,
recipients asked about, bounces handed in at the front door, from where Postfix gives them to the gate by LMTP or
pipe(8).

The program behind pipe(8) is a shell that hands the message to this process, which runs `sendgate ingest --pipe` and
hands back its exit status: pipe(8) never runs anything as root, and nobody else may read the program from everywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import smtplib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.parts import DSN
from sendgate.feedback.verp import VerpSigner
from trial.answering import AnsweringServer, relay_settings
from trial.gate import Gate, merged
from trial.mta import Postfix
from trial.ports import LOOPBACK
from trial.waiting import wait_until

PATIENCE = 30
KEY = "0123456789abcdef"
LMTP_DOMAIN, PIPE_DOMAIN = "bounces.test", "pipes.test"
CAMPAIGN = "spring"
HOUR = 3600

_ARF = """\
From: Complaints <fbl@example.com>
To: {sender}
Subject: FW: News
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Test/1
Version: 1
Original-Mail-From: <{sender}>
Original-Rcpt-To: <{recipient}>

--b
Content-Type: message/rfc822

Return-Path: <{sender}>
From: news@example.net
To: {recipient}
Subject: News

Hello.
--b--
"""
_PIPE = "cat > {0}/in; read status < {0}/out; exit $$status"


@dataclass
class World:
    """The parts, and what tests do with them. seen: addresses in use, so that each test has its own."""

    gate: Gate
    mta: Postfix
    receivers: AnsweringServer
    folder: Path

    def send(self, recipient: str, campaign: str = CAMPAIGN, sender: str = "") -> None:
        """Inject a message to one recipient. Raises smtplib.SMTPRecipientsRefused when the gate refuses it."""
        with self._client() as client:
            client.sendmail(sender or f"bounce+{campaign}@news.test", [recipient], "Subject: News\r\n\r\nHello.\r\n")

    def ask(self, recipient: str) -> str:
        """The reply to one recipient."""
        with self._client() as client:
            client.ehlo()
            client.mail("bounce+ask@news.test")
            code, text = client.rcpt(recipient)
            return f"{code} {text.decode()}"

    def come_back(self, sender: str, content: str) -> None:
        """A message from outside to the envelope sender of one of ours, at the front door."""
        with self._client() as client:
            client.sendmail("", [sender], content)

    def signed(self, recipient: str, campaign: str = CAMPAIGN, domain: str = LMTP_DOMAIN, *, key: str = KEY) -> str:
        """The envelope sender that we signed hours ago."""
        return VerpSigner(key.encode(), "bounce", domain).sign(recipient, campaign, time.time() - 5 * HOUR)

    def wait_until_refused(self, recipient: str, code: str = "550") -> str:
        """Ask until the gate refuses; returns the reply."""

        def refused() -> str:
            reply = self.ask(recipient)
            return reply if reply.startswith(code) else ""

        return wait_until(refused, PATIENCE, f"{code} for {recipient}")

    def wait_until_logged(self, recipient: str, status: str) -> None:
        self.mta.wait_for_log(rf"to=<{re.escape(recipient)}>.*status={status}", PATIENCE)

    def settle(self) -> None:
        """Wait until nothing is in Postfix's queue, and all that it logged is taken in."""
        wait_until(lambda: not self.mta.queue(), PATIENCE, "an empty queue")
        self.caught_up()

    def caught_up(self) -> None:
        """Wait until all of the log is taken in."""
        mark = f"mark{time.monotonic_ns()}@example.com"
        self.send(mark, campaign="mark")
        self.wait_until_logged(mark, "sent")
        behind = "sendgate_feedback_log_behind_bytes"
        wait_until(lambda: self.gate.metrics().get((behind, frozenset())) == 0, PATIENCE, "the log is taken in")

    def bounces(self, kind: str = "", campaign: str = CAMPAIGN) -> int:
        """How many bounces were counted."""
        labels = {"campaign": campaign} | ({"bounce_type": kind} if kind else {})
        return int(self.gate.metric("sendgate_bounces_total", **labels))

    def deliveries(self, result: str, campaign: str = CAMPAIGN) -> int:
        return int(self.gate.metric("sendgate_deliveries_total", campaign=campaign, result=result))

    def reports(self, belief: str) -> int:
        return int(self.gate.metric("sendgate_feedback_reports_total", belief=belief))

    def wait_for_reports(self, belief: str, count: int) -> None:
        wait_until(lambda: self.reports(belief) >= count, PATIENCE, f"{count} reports that are {belief}")

    def _client(self) -> smtplib.SMTP:
        return smtplib.SMTP(LOOPBACK, self.mta.port, timeout=PATIENCE)


def dsn(sender: str, recipient: str, reply: str = "550 5.1.1 no such user here", status: str = "5.1.1") -> str:
    """A bounce from elsewhere."""
    return DSN.format(sender=sender, recipient=recipient, reply=reply, status=status)


def complaint(sender: str, recipient: str, kind: str = "abuse") -> str:
    return _ARF.format(sender=sender, recipient=recipient, kind=kind)


@contextmanager
def running_world(store: Mapping[str, Any] | None = None, feedback: Mapping[str, Any] | None = None) -> Iterator[World]:
    """All parts, started. store, feedback: settings of the gate, over what is used here."""
    folder = Path(tempfile.mkdtemp(prefix="feedback-"))
    folder.chmod(0o755)  # Postfix's user must reach the socket
    try:
        (folder / "verp.key").write_text(KEY)
        given = {
            "log": f"{folder}/maillog",
            "lmtp": f"unix:{folder}/lmtp.sock",
            "lmtp_mode": "0666",
            "verp_key_file": f"{folder}/verp.key",
        }
        settings = {"feedback": merged(given, feedback or {}), "store": dict(store or {}), "milter": {"workers": 1}}
        with (
            AnsweringServer() as receivers,
            Gate(settings) as gate,
            piping(gate, folder),
            Postfix(
                [gate.milter],
                relay_settings(receivers.port, transport_maps=_transports(folder)),
                log=folder / "maillog",
                services=_services(folder),
            ) as mta,
        ):
            yield World(gate, mta, receivers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _transports(folder: Path) -> str:
    return f"inline:{{ {{{LMTP_DOMAIN}=lmtp:unix:{folder}/lmtp.sock}}, {{{PIPE_DOMAIN}=sendgate:}} }}"


def _services(folder: Path) -> list[str]:
    piped = folder / "piped"
    program = f"/bin/sh -c {{{_PIPE.format(piped)}}}"
    return [
        "lmtp unix - - n - - lmtp",
        f"sendgate unix - n n - 1 pipe flags=q user=nobody argv={program} ${{recipient}}",
    ]


@contextmanager
def piping(gate: Gate, folder: Path) -> Iterator[None]:
    """Meanwhile what pipe(8) hands over is ingested, one message after the other."""
    piped = folder / "piped"
    piped.mkdir()
    piped.chmod(0o755)
    for name in ("in", "out"):
        os.mkfifo(piped / name)
        (piped / name).chmod(0o666)
    ended = threading.Event()
    thread = threading.Thread(target=_pipe, args=(gate, piped, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            os.close(os.open(piped / "in", os.O_WRONLY | os.O_NONBLOCK))
        thread.join(PATIENCE)


def _pipe(gate: Gate, piped: Path, ended: threading.Event) -> None:
    while not ended.is_set():
        message = (piped / "in").read_text()
        if message and not ended.is_set():
            done = gate.run("ingest", "--pipe", "-", input=message)
            (piped / "out").write_text(f"{done.returncode}\n")
