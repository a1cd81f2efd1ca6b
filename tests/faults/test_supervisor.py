"""The gate as a whole: killed, stopped, started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults.load import Load
from faults.parts import all_workers_serve, ask, events, filled_gate, wait_until_said
from postfix.parts import processes_in
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root
EXIT_USAGE = 2
STOPPED_WITHIN = 15
STOPPED_IDLE_WITHIN = 3


def nothing_left(gate: Gate) -> None:
    assert processes_in(gate.folder) == []
    assert {path.name for path in gate.folder.iterdir()} == {"sendgate.yaml", "store", "secret", "log", "errors"}


def test_a_killed_supervisor_means_451_until_it_is_started_again(gate: Gate, mta: Postfix) -> None:
    assert ask(mta).startswith("250")
    os.kill(gate.pid, signal.SIGKILL)
    wait_until(lambda: processes_in(gate.folder) == [], 10, "its processes end with it")
    for recipient in ("good@example.com", "bad@example.com"):
        assert ask(mta, recipient).startswith("451")
    assert gate.socket.is_socket(), "the stale socket is in the way"
    gate.stop()
    gate.start()
    wait_until_said(mta, "250")
    assert ask(mta, "bad@example.com").startswith("550")


def test_a_supervisor_killed_under_load_lets_nobody_suppressed_pass(gate: Gate, mta: Postfix) -> None:
    with Load(mta.port, 4) as load:
        load.wait_for_more(30)
        os.kill(gate.pid, signal.SIGKILL)
        gate.stop()
        gate.start()
        load.wait_for_more(30)
        load.wait_for_more(10, kind="bad", code="550")
    load.assert_right()


def test_sigterm_under_load_ends_it_in_time_with_nothing_left_and_nothing_wrong(
    mta_of_stopped: tuple[Gate, Postfix],
) -> None:
    gate, mta = mta_of_stopped
    gate.start()
    with Load(mta.port, 6) as load:
        load.wait_for_more(60)
        started = time.monotonic()
        os.kill(gate.pid, signal.SIGTERM)
        status = gate.wait_for_end()
        assert time.monotonic() - started < STOPPED_WITHIN
    assert status == 0
    load.assert_right()
    assert [line["event"] for line in events(gate, "stopping") + events(gate, "stopped")] == ["stopping", "stopped"]
    nothing_left(gate)


def test_sessions_may_end_in_order_while_it_drains(mta_of_stopped: tuple[Gate, Postfix]) -> None:
    gate, mta = mta_of_stopped
    gate.start()
    with Load(mta.port, 4, messages=5) as load:
        load.wait_for_more(30)
        os.kill(gate.pid, signal.SIGTERM)
        wait_until(lambda: ask(mta)[:3] == "451", 5, "nobody new is served")
        assert gate.wait_for_end() == 0
    load.assert_right()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_gate_ends_at_once(number: signal.Signals) -> None:
    with filled_gate() as gate:
        all_workers_serve(gate)
        started = time.monotonic()
        os.kill(gate.pid, number)
        assert gate.wait_for_end() == 0
        assert time.monotonic() - started < STOPPED_IDLE_WITHIN
        nothing_left(gate)


def test_sigterm_during_start_ends_it(mta_of_stopped: tuple[Gate, Postfix]) -> None:
    gate, _ = mta_of_stopped
    command = [sys.executable, "-m", "sendgate", "serve", "--config", str(gate.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_until(gate.socket.exists, 20, "it has bound its socket")
    process.terminate()
    assert process.wait(STOPPED_WITHIN) in (0, -signal.SIGTERM)
    wait_until(lambda: processes_in(gate.folder) == [], 5, "nothing runs")


def test_sigterm_ends_it_as_process_1_also_while_it_starts(gate: Gate) -> None:
    # The kernel keeps from process 1 what it has no handler for. It waits for the socket of the gate that runs.
    command = ["unshare", "--pid", "--fork", "--kill-child", *gate.command("serve", "--config", str(gate.config))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:

        def told_to_end() -> bool:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
            return process.poll() is not None

        try:
            wait_until(told_to_end, 8, "it ends before its patience does")
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM


def test_a_second_gate_on_the_same_socket_refuses_to_start(gate: Gate, mta: Postfix) -> None:
    config = gate.folder / "second.yaml"
    config.write_text(gate.config.read_text().replace(str(gate.ops_port), str(free_port())))
    command = [sys.executable, "-m", "sendgate", "serve", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_USAGE
    assert f"{gate.socket}: another process serves here" in done.stderr
    assert "Traceback" not in done.stderr
    assert ask(mta).startswith("250")
    assert gate.get("/readyz")[0] == 200


def test_a_second_gate_on_the_same_http_port_refuses_to_start(gate: Gate, mta: Postfix) -> None:
    config = gate.folder / "second.yaml"
    config.write_text(gate.config.read_text().replace("milter.sock", "second.sock"))
    command = [sys.executable, "-m", "sendgate", "serve", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT_USAGE
    assert f"ops.listen 127.0.0.1:{gate.ops_port}: Address already in use" in done.stderr
    assert not (gate.folder / "second.sock").exists()
    assert ask(mta).startswith("250")


def test_a_file_in_the_place_of_the_socket_is_not_removed(mta_of_stopped: tuple[Gate, Postfix]) -> None:
    gate, _ = mta_of_stopped
    gate.socket.write_text("precious")
    done = gate.run("serve")
    assert done.returncode == EXIT_USAGE
    assert "there is a file that is no socket" in done.stderr
    assert gate.socket.read_text() == "precious"
