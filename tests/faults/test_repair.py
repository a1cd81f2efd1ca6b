"""`sendgate repair` in a pod whose origin has lost its lists, with the gate running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

PATIENCE = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def gate(server: RedisServer) -> Iterator[Gate]:
    store = {"url": server.url, "shards": 4, "buckets": 64, "resync_spread": 0}
    with Gate({"store": store, "milter": {"workers": 1}}) as running:
        done = running.run("import", "-", "--reason", "trap", input="".join(f"u{n}@example.com\n" for n in range(50)))
        assert done.returncode == 0, done.stderr
        wait_until(lambda: running.metric("sendgate_entries") == 50, PATIENCE, "the replica has all entries")
        yield running


def kept(gate: Gate) -> float:
    return gate.metric("sendgate_replica_kept_entries")


def test_lists_that_were_flushed_are_written_back(gate: Gate, server: RedisServer) -> None:
    server.client.flushall()
    dry = gate.run("repair", "--from-replica", "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["added"]) == (1, 50), dry.stderr
    assert server.client.dbsize() == 0
    done = gate.run("repair", "--from-replica")
    assert done.returncode == 0, done.stderr
    assert json.loads(gate.run("stats", "--json").stdout)["entries"] == 50
    wait_until(
        lambda: gate.metric("sendgate_resyncs_total", cause="new_epoch") == 1, PATIENCE, "the lists are copied anew"
    )
    assert (gate.metric("sendgate_entries"), kept(gate)) == (50, 0)
    assert gate.run("repair", "--from-replica", "--dry-run").returncode == 0


def test_new_lists_after_a_loss_take_the_old_entries_back(gate: Gate, server: RedisServer) -> None:
    server.client.flushall()
    assert gate.run("add", "new@example.com", "--reason", "trap").returncode == 0
    wait_until(lambda: kept(gate) == 50, PATIENCE, "the replica keeps what the origin has lost")
    assert gate.metric("sendgate_entries") == 51
    assert gate.run("repair", "--from-replica").returncode == 0
    wait_until(lambda: kept(gate) == 0, PATIENCE, "nothing is lost any more")
    assert json.loads(gate.run("stats", "--json").stdout)["entries"] == 51


def test_lists_that_are_made_anew_in_other_parts_take_all_entries_back(gate: Gate, server: RedisServer) -> None:
    server.client.flushall()
    gate.config.write_text(gate.config.read_text().replace("shards: 4", "shards: 16"))
    assert gate.run("add", "new@example.com", "--reason", "trap").returncode == 0
    done = gate.run("repair", "--from-replica", "--json")
    assert (done.returncode, json.loads(done.stdout)["added"]) == (0, 50), done.stderr


def test_a_loss_of_everything_cannot_be_accepted_before_there_are_new_lists(gate: Gate, server: RedisServer) -> None:
    server.client.flushall()
    refused = gate.run("repair", "--accept-loss", "--yes")
    assert (refused.returncode, "no lists" in refused.stderr) == (3, True)


def test_a_change_that_concerns_a_part_that_is_gone_changes_nothing(gate: Gate, server: RedisServer) -> None:
    gone = sorted(key for key in server.client.scan_iter(match="sendgate:{*", count=1000) if key.endswith(b":meta"))[0]
    server.client.delete(gone)
    position = sum(int(server.client.hget(key, "sequence") or 0) for key in server.client.scan_iter(match="*:meta"))
    everybody = [f"u{number}@example.com" for number in range(60)]
    for command in (
        ["add", *everybody, "--reason", "role"],
        ["remove", *everybody],
        ["remove", "--list", "default", "--yes"],
    ):
        done = gate.run(*command)
        assert (done.returncode, "is gone" in done.stderr) == (3, True), done.stderr
    assert gate.run("import", "-", "--reason", "role", input="\n".join(everybody)).returncode == 3
    after = sum(int(server.client.hget(key, "sequence") or 0) for key in server.client.scan_iter(match="*:meta"))
    assert after == position


def test_two_gates_do_not_share_a_replica(gate: Gate, server: RedisServer) -> None:
    settings = {"store": {"url": server.url, "replica": str(gate.store)}, "milter": {"workers": 1}}
    with Gate(settings) as second:
        said = wait_until(
            lambda: [line for line in second.log_lines() if line["event"] == "following_interrupted"],
            PATIENCE,
            "the second gate tells",
        )
        assert "another process keeps this replica" in said[0]["error"]


def test_an_accepted_loss_lets_go_of_the_old_entries(gate: Gate, server: RedisServer) -> None:
    server.client.flushall()
    assert gate.run("add", "new@example.com", "--reason", "trap").returncode == 0
    wait_until(lambda: kept(gate) == 50, PATIENCE, "the replica keeps what the origin has lost")
    asked = gate.run("repair", "--accept-loss")
    assert (asked.returncode, "say --yes" in asked.stderr) == (2, True)
    assert gate.run("repair", "--accept-loss", "--yes").returncode == 0
    wait_until(lambda: gate.metric("sendgate_entries") == 1, PATIENCE, "the replica lets go of the old entries")
    assert kept(gate) == 0


@pytest.mark.parametrize("options", [[], ["--from-replica", "--accept-loss"]])
def test_a_repair_that_says_not_what_is_refused(gate: Gate, options: list[str]) -> None:
    refused = gate.run("repair", *options)
    assert (refused.returncode, "say which" in refused.stderr) == (2, True)


def test_an_embedded_store_has_nothing_to_repair_from() -> None:
    with Gate() as gate:
        refused = gate.run("repair", "--from-replica")
        assert (refused.returncode, "restore it from a copy" in refused.stderr) == (2, True)
