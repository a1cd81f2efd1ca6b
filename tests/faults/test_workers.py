"""Workers that die or are replaced under load: no wrong reply, no lost count, one in their place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from faults.load import Load
from faults.parts import WORKERS, all_workers_serve, behind_postfix, events, filled_gate
from trial.gate import Gate
from trial.mta import Postfix
from trial.waiting import wait_until

pytestmark = pytest.mark.root
CLIENTS = 6


def counted(gate: Gate, decision: str) -> float:
    return gate.metric("sendgate_recipients_total", campaign="load", decision=decision)


def is_gone(gate: Gate, worker: int) -> bool:
    return worker not in gate.worker_pids()


def test_a_killed_worker_costs_nobody_more_than_a_451(gate: Gate, mta: Postfix) -> None:
    rounds = 3
    with Load(mta.port, CLIENTS) as load:
        for number in range(1, rounds + 1):
            load.wait_for_more(60)
            before = counted(gate, "reject")
            victim = gate.worker_pids()[number % 2]
            os.kill(victim, signal.SIGKILL)
            wait_until(partial(is_gone, gate, victim), 10, "it is gone")
            all_workers_serve(gate)
            assert counted(gate, "reject") >= before, "its successor goes on counting"
        load.wait_for_more(60)
    load.assert_right()
    assert gate.metric("sendgate_worker_restarts_total", cause="killed") == rounds
    # A refusal is counted before it is said; a pass at the end of its message, which the victim may not have seen.
    refused, passed = load.total("bad", "550"), load.total("good", "250")
    wait_until(lambda: counted(gate, "pass") >= passed - 3 * rounds * CLIENTS, 10, "the passes are counted")
    assert refused <= counted(gate, "reject") <= refused + rounds * CLIENTS
    assert counted(gate, "pass") <= passed + rounds * CLIENTS
    assert [line["status"] for line in events(gate, "process_ended")] == ["signal 9"] * rounds


def test_all_workers_killed_at_once_come_back(gate: Gate, mta: Postfix) -> None:
    with Load(mta.port, CLIENTS) as load:
        load.wait_for_more(30)
        victims = gate.worker_pids()
        assert len(victims) == WORKERS
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(gate.worker_pids()) - set(victims)) == WORKERS, 15, "two others")
        load.wait_for_more(60)
    load.assert_right()


@contextmanager
def running(milter: dict[str, Any]) -> Iterator[tuple[Gate, Postfix]]:
    with filled_gate({"milter": {"workers": WORKERS} | milter}) as gate, behind_postfix(gate) as mta:
        all_workers_serve(gate)
        yield gate, mta


def test_workers_are_replaced_after_so_many_messages_without_a_wrong_or_lost_reply() -> None:
    with running({"recycle_after": 30}) as (gate, mta):
        first = set(gate.worker_pids())
        # clients that begin a new session now and then, as a worker drains only when its sessions have ended
        with Load(mta.port, CLIENTS, messages=10) as load:
            wait_until(
                lambda: gate.metric("sendgate_worker_restarts_total", cause="recycled") >= 3, 40, "three replaced"
            )
            load.wait_for_more(30)
        load.assert_right()
        assert load.total("good", "4") == load.total("bad", "4") == load.lost == 0
        all_workers_serve(gate)
        assert not first & set(gate.worker_pids())
        wait_until(lambda: counted(gate, "reject") == load.total("bad", "550"), 10, "every refusal is counted")
        wait_until(lambda: counted(gate, "pass") == load.total("good", "250"), 10, "every pass is counted")


def test_a_worker_that_grew_too_large_is_replaced() -> None:
    # no mail makes a worker grow that far, so one that does nothing else stands in for it
    command = [sys.executable, "-m", "faults.growing"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "restart memory\n" in iter(process.stdout.readline, "")
        process.terminate()
        assert process.wait(20) == 0


def test_the_helper_processes_come_back(gate: Gate) -> None:
    started = {line["process"]: line["pid"] for line in events(gate, "process_started")}
    os.kill(started["ops"], signal.SIGKILL)
    os.kill(started["sweep"], signal.SIGKILL)

    def back() -> bool:
        names = [line["process"] for line in events(gate, "process_started")]
        return names.count("ops") == names.count("sweep") == 2

    wait_until(back, 10, "both are started again")
    wait_until(lambda: answers(gate), 10, "HTTP answers")


def answers(gate: Gate) -> bool:
    try:
        return gate.get("/healthz")[0] == 200
    except OSError:
        return False
