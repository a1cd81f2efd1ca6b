"""`sendgate explain` while the shared origin is away: the pod's replica answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

ENTRY = ["--reason", "complaint", "--list", "fbl", "--note", "by post"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def gate(server: RedisServer) -> Iterator[Gate]:
    with Gate({"store": {"url": server.url, "shards": 4, "buckets": 64}, "milter": {"workers": 1}}) as running:
        added = running.run("add", "first.last@gmail.com", *ENTRY)
        assert added.returncode == 0, added.stderr
        wait_until(lambda: running.metric("sendgate_entries") == 1, 20, "the replica has the entry")
        yield running


def test_an_address_is_explained_from_the_replica(gate: Gate, server: RedisServer) -> None:
    server.stop()
    answer = gate.run("explain", "firstlast+x@googlemail.com", "--json")
    told = json.loads(answer.stdout)
    (entry,) = told["entries"]
    assert (answer.returncode, told["decision"], entry["reason"], entry["list"]) == (1, "reject", "complaint", "fbl")
    assert entry["subject"].startswith("key:")
    assert "does not answer" in answer.stderr
    assert "what this pod's replica knows, without notes" in answer.stderr


def test_the_reference_of_a_reply_is_explained_from_the_replica(gate: Gate, server: RedisServer) -> None:
    ref = json.loads(gate.run("explain", "firstlast@gmail.com", "--json").stdout)["entries"][0]["ref"]
    server.stop()
    answer = gate.run("explain", ref, "--json")
    assert (answer.returncode, [one["list"] for one in json.loads(answer.stdout)["entries"]]) == (0, ["fbl"])


def test_the_replica_answers_when_it_is_asked_by_name(gate: Gate) -> None:
    by_origin, by_replica = (
        json.loads(gate.run("explain", "firstlast@gmail.com", "--json", *options).stdout)
        for options in ([], ["--replica"])
    )
    for told, subject, note in ((by_origin, "first.last@gmail.com", "by post"), (by_replica, None, "")):
        (entry,) = told["entries"]
        assert (entry["note"], subject in (None, entry["subject"])) == (note, True)
    assert by_origin["reply"] == by_replica["reply"]
    assert by_origin["keys"] == by_replica["keys"]


def test_a_part_of_the_lists_that_is_gone_does_not_look_like_no_entry(gate: Gate, server: RedisServer) -> None:
    for key in server.client.scan_iter(match="sendgate:{*", count=1000):
        if key.endswith(b":meta"):
            server.client.delete(key)
            break
    answer = gate.run("explain", "firstlast@gmail.com")
    assert answer.returncode == 1
    assert "is gone; `sendgate repair --from-replica`" in answer.stderr
    for command in (["stats"], ["export"], ["lists"]):
        assert gate.run(*command).returncode == 3
