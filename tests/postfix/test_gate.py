"""The gate as a private instance: what the tests and benches that use it rely on."""

from __future__ import annotations

import os
import signal

import pytest

from postfix.parts import processes_in
from trial.dialogue import parse
from trial.gate import Gate, merged
from trial.mta import Postfix, TrialError
from trial.player import play
from trial.waiting import wait_until


def test_settings_are_merged_key_by_key() -> None:
    base = {"milter": {"socket": "unix:/a", "workers": 1}, "ops": {"listen": "x:1"}}
    over = {"milter": {"workers": 2}, "observe": {"all": True}}
    assert merged(base, over) == {
        "milter": {"socket": "unix:/a", "workers": 2},
        "ops": {"listen": "x:1"},
        "observe": {"all": True},
    }


@pytest.mark.root
def test_a_gate_behind_postfix_refuses_counts_and_logs() -> None:
    with Gate({"milter": {"workers": 1}}) as gate, Postfix([gate.milter]) as mta:
        assert gate.run("add", "bad@example.com", "--reason", "trap").returncode == 0
        play(
            parse(
                "S: 220\nC: EHLO c.test\nS: 250 CHUNKING\nC: MAIL FROM:<a@b.test>\nS: 250\n"
                "C: RCPT TO:<bad@example.com>\nS: 550 5.7.1\nC: QUIT\nS: 221"
            ),
            mta.port,
        )
        wait_until(lambda: gate.metric("sendgate_recipients_total", decision="reject") == 1, 10, "one refusal counted")
        (refusal,) = [line for line in gate.log_lines() if line.get("decision") == "reject"]
        assert refusal["reason"] == "trap"


def test_workers_are_found_and_replaced() -> None:
    with Gate({"milter": {"workers": 2}}) as gate:
        wait_until(lambda: len(gate.worker_pids()) == 2, 10, "two workers")
        first, second = gate.worker_pids()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(set(gate.worker_pids()) - {first, second}) == 1, 10, "a worker in its place")


def test_it_leaves_no_process_and_no_file() -> None:
    with Gate() as gate:
        assert processes_in(gate.folder)
    assert processes_in(gate.folder) == []
    assert not gate.folder.exists()


def test_it_can_be_killed_and_started_again() -> None:
    with Gate() as gate:
        os.kill(gate.pid, signal.SIGKILL)
        gate.stop()
        assert processes_in(gate.folder) == []
        gate.start()
        assert gate.get("/healthz")[0] == 200


def test_wrong_settings_are_shown() -> None:
    gate = Gate({"milter": {"workers": "many"}})
    try:
        with pytest.raises(TrialError, match="workers"):
            gate.start()
    finally:
        gate.remove()
