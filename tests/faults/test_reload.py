"""SIGHUP: new settings count without a lost session; settings that cannot be used change nothing."""

from __future__ import annotations

import smtplib
from functools import partial

import pytest

from faults.load import Load
from faults.parts import all_workers_serve, ask, events, wait_until_said
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK, free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root


def reloads(gate: Gate, result: str) -> float:
    return gate.metric("sendgate_config_reloads_total", result=result)


def has_reloaded(gate: Gate, times: int) -> bool:
    return reloads(gate, "ok") == times


def has_workers(gate: Gate, count: int) -> bool:
    return len(gate.worker_pids()) == count


def add_settings(gate: Gate, text: str) -> None:
    gate.config.write_text(gate.config.read_text() + text)


def test_new_settings_count_for_new_sessions_and_the_old_ones_go_on(gate: Gate, mta: Postfix) -> None:
    before = set(gate.worker_pids())
    with smtplib.SMTP(LOOPBACK, mta.port) as client:
        client.ehlo()
        assert client.mail("bounce+old@x.test")[0] == 250
        assert client.rcpt("bad@example.com")[0] == 550
        add_settings(gate, "actions: {hard_bounce: tempfail}\n")
        gate.sighup()
        wait_until_said(mta, "451 4.7.1 <bad@example.com>: recipient suppressed", "bad@example.com")
        wait_until(
            lambda: len(before & set(gate.worker_pids())) <= 1, 15, "only the busy one of the old workers is left"
        )
        assert client.rcpt("bad@example.com")[0] == 550, "one message is judged by one set of settings"
        assert client.rcpt("good@example.com")[0] == 250
        assert client.data("Subject: test\r\n\r\ntext")[0] == 250
        assert client.mail("bounce+old@x.test")[0] == 250
    wait_until(lambda: not before & set(gate.worker_pids()), 15, "all old workers have ended")
    all_workers_serve(gate)
    assert reloads(gate, "ok") == 1
    assert gate.metric("sendgate_worker_restarts_total", cause="reload") == 2
    assert gate.metric("sendgate_recipients_total", campaign="old", decision="reject") == 2
    assert gate.metric("sendgate_recipients_total", campaign="old", decision="pass") == 1


def test_under_load_no_session_is_lost(gate: Gate, mta: Postfix) -> None:
    with Load(mta.port, 6, messages=5) as load:
        for count in range(1, 4):
            load.wait_for_more(40)
            gate.sighup()
            wait_until(partial(has_reloaded, gate, count), 10, "it has read its settings")
            all_workers_serve(gate)
        load.wait_for_more(40)
    load.assert_right()
    assert load.lost == load.total("good", "4") == load.total("bad", "4") == 0


BROKEN = {
    "not-yaml": ("actions: {hard_bounce: tempfail\n", "not YAML"),
    "unknown-key": ("actions: {hard_bounced: tempfail}\n", "actions.hard_bounced: unknown key"),
    "wrong-value": ("actions: {hard_bounce: explode}\n", "actions.hard_bounce"),
    "wrong-type": ("lists: {}\nobserve: {all: 7x}\n", "observe.all"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_changes_nothing_and_says_so(gate: Gate, mta: Postfix, name: str) -> None:
    text, words = BROKEN[name]
    good = gate.config.read_text()
    workers = set(gate.worker_pids())
    add_settings(gate, text)
    gate.sighup()
    wait_until(lambda: reloads(gate, "failed") == 1, 10, "the failure is counted")
    (line,) = events(gate, "settings_refused")
    assert line["level"] == "error"
    assert words in " ".join(line["problems"])
    assert ask(mta, "bad@example.com").startswith("550")
    assert ask(mta).startswith("250")
    assert set(gate.worker_pids()) == workers
    assert gate.get("/readyz")[0] == 200
    gate.config.write_text(good + "actions: {hard_bounce: tempfail}\n")
    gate.sighup()
    wait_until_said(mta, "451 4.7.1", "bad@example.com")
    assert (reloads(gate, "failed"), reloads(gate, "ok")) == (1, 1)


def test_a_file_that_is_gone_changes_nothing(gate: Gate, mta: Postfix) -> None:
    gate.config.unlink()
    gate.sighup()
    wait_until(lambda: reloads(gate, "failed") == 1, 10, "the failure is counted")
    assert "no such file" in events(gate, "settings_refused")[0]["problems"][0]
    assert ask(mta, "bad@example.com").startswith("550")


def test_addresses_cannot_change_while_it_runs(gate: Gate, mta: Postfix) -> None:
    text = gate.config.read_text()
    gate.config.write_text(text.replace("milter.sock", "other.sock").replace(str(gate.ops_port), str(free_port())))
    gate.sighup()
    wait_until(lambda: reloads(gate, "failed") == 1, 10, "the failure is counted")
    assert events(gate, "settings_refused")[0]["problems"] == [
        "milter.socket: cannot change while running; restart",
        "ops.listen: cannot change while running; restart",
    ]
    assert ask(mta).startswith("250")


def test_the_number_of_workers_can_change(gate: Gate, mta: Postfix) -> None:
    text = gate.config.read_text()
    for count in (3, 1):
        gate.config.write_text(text.replace("workers: 2", f"workers: {count}"))
        gate.sighup()
        all_workers_serve(gate, count)
        wait_until(partial(has_workers, gate, count), 15, f"{count} workers, no more")
    assert ask(mta).startswith("250")
    assert ask(mta, "bad@example.com").startswith("550")


def test_a_hash_key_that_is_gone_is_no_good_setting(gate: Gate, mta: Postfix) -> None:
    text = gate.config.read_text()
    gate.config.write_text(text.replace("store:\n", f"store:\n  hash_key_file: {gate.folder}/nothing\n"))
    gate.sighup()
    wait_until(lambda: reloads(gate, "failed") == 1, 10, "the failure is counted")
    assert ask(mta, "bad@example.com").startswith("550")


def test_a_store_that_cannot_be_read_is_no_good_setting(gate: Gate, mta: Postfix) -> None:
    text = gate.config.read_text()
    gate.config.write_text(text.replace(f"lmdb://{gate.store}", f"lmdb://{gate.folder}/nothing"))
    gate.sighup()
    wait_until(lambda: reloads(gate, "failed") == 1, 10, "the failure is counted")
    assert f"{gate.folder}/nothing: no store" in events(gate, "settings_refused")[0]["problems"][0]
    assert ask(mta, "bad@example.com").startswith("550")
    assert ask(mta).startswith("250")
