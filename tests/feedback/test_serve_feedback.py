"""`sendgate serve` with feedback: the log that is followed, the LMTP socket, their metrics, reload and restart."""

from __future__ import annotations

import json
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trial.gate import Gate
from trial.waiting import wait_until

GONE = "550 5.1.1 <{0}>: Recipient address rejected: User unknown"
BOUNCE = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example.com>
To: {sender}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you that your message could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>: no such user

--b
Content-Type: message/rfc822

Return-Path: <{sender}>
From: news@example.net
To: {recipient}
Subject: News

--b--
"""


class Log:
    """A log as Postfix writes it, one message at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0

    def deliver(self, recipient: str, said: str = "", *, campaign: str = "spring") -> None:
        """A message of a campaign to a recipient, and the answer; "" for one that was taken."""
        self._number += 1
        queue_id = f"4ZQ{self._number:05d}zz1z9"
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime())
        relay = "mx.example.com[192.0.2.1]:25"
        outcome = f"bounced (host mx.example.com[192.0.2.1] said: {said} (in reply to RCPT TO command))"
        result = outcome if said else "sent (250 2.0.0 taken)"
        dsn = "5.1.1" if said else "2.0.0"
        lines = [
            f"postfix/smtpd[7]: {queue_id}: client=app[192.0.2.9]",
            f"postfix/qmgr[8]: {queue_id}: from=<bounce+{campaign}@example.net>, size=312, nrcpt=1 (queue active)",
            f"postfix/smtp[9]: {queue_id}: to=<{recipient}>, relay={relay}, delay=0.4,"
            f" delays=0.1/0/0.1/0.2, dsn={dsn}, status={result}",
            f"postfix/qmgr[8]: {queue_id}: removed",
        ]
        with self.path.open("a") as file:
            file.write("".join(f"{at} pod-0 {line}\n" for line in lines))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "maillog")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "verp.key"
    path.write_text("0123456789abcdef")
    return path


@pytest.fixture
def gate(log: Log, key_file: Path) -> Iterator[Gate]:
    settings = {"log": str(log.path), "lmtp": f"unix:{log.path.parent}/lmtp.sock", "verp_key_file": str(key_file)}
    with Gate({"feedback": settings}) as one:
        yield one


def explained(gate: Gate, recipient: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(gate.run("explain", recipient, "--json").stdout)
    return told


def wait_for_decision(gate: Gate, recipient: str, decision: str) -> None:
    what = f"{recipient} to be {decision}"
    wait_until(lambda: explained(gate, recipient)["decision"] == decision, timeout=20, what=what)


def test_a_failure_in_the_log_becomes_an_entry_and_counts(gate: Gate, log: Log) -> None:
    log.deliver("anna@example.com")
    log.deliver("gone@example.com", GONE.format("gone@example.com"))
    wait_for_decision(gate, "gone@example.com", "reject")
    assert explained(gate, "anna@example.com")["decision"] == "pass"
    assert gate.metric("sendgate_deliveries_total", campaign="spring", result="sent") == 1
    assert gate.metric("sendgate_deliveries_total", campaign="spring", result="bounced") == 1
    assert gate.metric("sendgate_bounces_total", campaign="spring", bounce_type="bad_mailbox") == 1
    assert gate.metric("sendgate_feedback_log_behind_bytes") == 0


def test_a_signed_bounce_by_lmtp_becomes_an_entry_and_an_unsigned_one_does_not(gate: Gate, log: Log) -> None:
    sender = gate.run("verp", "sign", "--campaign", "spring", "--domain", "example.net", "gone@example.com").stdout
    with smtplib.LMTP(f"{log.path.parent}/lmtp.sock") as client:
        forged = BOUNCE.format(sender="bounce+spring@example.net", recipient="anna@example.com")
        client.sendmail("", ["bounce+spring@example.net"], forged)
        client.sendmail("", [sender.strip()], BOUNCE.format(sender=sender.strip(), recipient="gone@example.com"))
    wait_for_decision(gate, "gone@example.com", "reject")
    assert explained(gate, "anna@example.com")["decision"] == "pass"
    assert gate.metric("sendgate_feedback_reports_total", belief="verp") == 1
    assert gate.metric("sendgate_feedback_reports_total", belief="unsigned") == 1
    assert gate.metric("sendgate_bounces_total", campaign="spring", bounce_type="bad_mailbox") == 1


def test_a_gate_that_starts_again_goes_on_where_it_was(gate: Gate, log: Log) -> None:
    log.deliver("gone@example.com", GONE.format("gone@example.com"))
    wait_for_decision(gate, "gone@example.com", "reject")
    gate.stop()
    log.deliver("late@example.com", GONE.format("late@example.com"))
    gate.start()
    wait_for_decision(gate, "late@example.com", "reject")
    assert gate.metric("sendgate_bounces_total", campaign="spring", bounce_type="bad_mailbox") == 2
    strikes = [entry["strikes"] for entry in explained(gate, "gone@example.com")["entries"]]
    assert strikes == [1, 1]


def test_a_reload_keeps_following_and_the_lmtp_socket(gate: Gate, log: Log) -> None:
    gate.sighup()
    wait_until(
        lambda: any(line["event"] == "settings_reloaded" for line in gate.log_lines()),
        timeout=20,
        what="the reload",
    )
    log.deliver("gone@example.com", GONE.format("gone@example.com"))
    wait_for_decision(gate, "gone@example.com", "reject")
    with smtplib.LMTP(f"{log.path.parent}/lmtp.sock") as client:
        assert client.noop()[0] == 250
