"""`sendgate serve` with feedback: the log that is followed, the LMTP socket, their metrics, reload and restart."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback.parts import BOUNCE, GONE, Log
from trial.gate import Gate
from trial.waiting import wait_until


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
