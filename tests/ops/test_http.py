"""/healthz, /readyz and /metrics, as a kubelet and a Prometheus ask for them."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.parts import all_workers_serve, ask, filled_gate
from sendgate.entry import Add
from smtp.arena import change
from smtp.script import entry_of
from trial.dialogue import parse
from trial.gate import Gate
from trial.mta import Postfix
from trial.player import play
from trial.ports import LOOPBACK
from trial.waiting import wait_until

pytestmark = pytest.mark.root
METRICS = {
    "sendgate_recipients": "counter",
    "sendgate_messages": "counter",
    "sendgate_trap_hits": "counter",
    "sendgate_decision_seconds": "histogram",
    "sendgate_store_faults": "counter",
    "sendgate_exceptions": "counter",
    "sendgate_workers": "gauge",
    "sendgate_worker_restarts": "counter",
    "sendgate_config_reloads": "counter",
    "sendgate_entries": "gauge",
    "sendgate_store_up": "gauge",
    "sendgate_replica_age_seconds": "gauge",
    "sendgate_replica_changes": "counter",
}

MESSAGE = """S: 220
C: EHLO client.test
S: 250 CHUNKING
C: MAIL FROM:<bounce+spring@x.test>
S: 250
C: RCPT TO:<trap@example.com>
S: 550
C: RCPT TO:<good@example.com>
S: 250
C: DATA
S: 354
C: Subject: test
C:
C: text
C: .
S: 250
C: QUIT
S: 221
"""


def test_a_running_gate_is_healthy_and_ready(gate: Gate) -> None:
    assert gate.get("/healthz") == (200, "ok\n")
    assert gate.get("/readyz") == (200, "ok\n")


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/x", "/../etc/passwd"])
def test_there_is_nothing_else(gate: Gate, path: str) -> None:
    assert gate.get(path)[0] == 404


def test_nothing_can_be_posted(gate: Gate) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, gate.ops_port, timeout=5)
    connection.request("POST", "/metrics", body=b"x")
    assert connection.getresponse().status == 405
    connection.close()


def test_metrics_say_what_they_are(gate: Gate, mta: Postfix) -> None:
    change(gate, [Add(entry_of("trap trap@example.com"))])
    play(parse(MESSAGE), mta.port)
    wait_until(lambda: gate.metric("sendgate_messages_total") == 1, 10, "the message is counted")
    connection = http.client.HTTPConnection(LOOPBACK, gate.ops_port, timeout=5)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    for name, kind in METRICS.items():
        full = f"{name}_total" if kind == "counter" else name
        assert f"# TYPE {full} {kind}\n" in text
        assert f"# HELP {full} " in text
    assert "pid=" not in text
    assert gate.metric("sendgate_entries", reason="hard_bounce") == 2
    assert gate.metric("sendgate_trap_hits_total", campaign="spring") == 1
    assert gate.metric("sendgate_store_up") == 1
    assert gate.metric("sendgate_workers") == 2


def test_promtool_finds_no_fault(gate: Gate, mta: Postfix) -> None:
    assert ask(mta, "bad@example.com").startswith("550")
    text = gate.get("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_decision_times_are_counted_once_for_each_decision(gate: Gate, mta: Postfix) -> None:
    def decided() -> tuple[float, float]:
        return (gate.metric("sendgate_decision_seconds_count"), gate.metric("sendgate_recipients_total"))

    before = decided()
    for recipient in ("good@example.com", "bad@example.com", "fine@example.com"):
        ask(mta, recipient)
    wait_until(lambda: decided() == (before[0] + 3, before[1] + 3), 10, "three more of each")
    assert gate.metric("sendgate_decision_seconds_bucket", le="1.0") == decided()[0]
    assert 0 < gate.metric("sendgate_decision_seconds_sum") < 3 * decided()[0]


def test_many_scrapes_at_once_are_all_answered(gate: Gate) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(gate.get, ["/metrics", "/readyz", "/healthz"] * 16))
    assert {status for status, _ in answers} == {200}


@pytest.fixture
def own() -> Gate:
    return filled_gate({"milter": {"workers": 1}})


def remove_the_file(gate: Gate) -> None:
    (gate.store / "data.mdb").unlink()


def write_garbage(gate: Gate) -> None:
    (gate.store / "data.mdb").write_bytes(b"garbage\n" * 1000)


@pytest.mark.parametrize("damage", [remove_the_file, write_garbage])
def test_without_its_store_it_is_not_ready_and_says_why(
    own: Gate, damage: Callable[[Gate], None], tmp_path: Path
) -> None:
    with own:
        shutil.copytree(own.store, tmp_path / "copy")
        damage(own)
        status, words = own.get("/readyz")
        assert status == 503
        assert words.startswith(f"store: {own.store}: ")
        assert own.get("/healthz") == (200, "ok\n"), "a restart would not help"
        assert own.get("/metrics")[0] == 200
        assert own.metric("sendgate_store_up") == 0
        all_workers_serve(own, 1)
        shutil.rmtree(own.store)
        shutil.copytree(tmp_path / "copy", own.store)
        wait_until(lambda: own.get("/readyz") == (200, "ok\n"), 15, "it is ready again")
        assert own.metric("sendgate_store_up") == 1


def test_with_a_stopped_worker_it_is_not_ready(own: Gate) -> None:
    with own:
        (worker,) = own.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        try:
            status, words = own.get("/readyz")
            assert status == 503
            assert words.startswith("milter: ")
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_until(lambda: own.get("/readyz")[0] == 200, 10, "it is ready again")
