"""Redis evicts keys: pods that have the lists keep them; a new pod is not ready before they are whole or given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.parts import events
from faults.shared import (
    BAD,
    GOOD,
    PATIENCE,
    add,
    frozen_follower,
    kept,
    load,
    open_lists,
    remove,
    resyncs,
    running,
    seed_replica,
    served_records,
    shared_gate,
    wait_until_said,
)
from sendgate.store.shared import SharedOrigin
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

MANY = [f"many{number}@example.com" for number in range(3000)]
EVICTED_OCTETS = 40_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", extra=["maxmemory-policy allkeys-lru", "maxmemory-samples 64"]) as running:
        yield running


@pytest.fixture
def origin(server: RedisServer) -> SharedOrigin:
    opened = open_lists(server)
    add(opened, *BAD)
    load(opened, MANY)
    return opened


@pytest.fixture
def old(server: RedisServer, origin: SharedOrigin) -> Iterator[Gate]:
    """A pod that follows since before anything was lost."""
    gate = shared_gate(server, workers=1)
    seed_replica(gate, origin)
    with running(gate):
        wait_until(lambda: events(gate, "following"), PATIENCE, "it follows")
        yield gate


@pytest.fixture
def new(server: RedisServer) -> Gate:
    """A pod without a replica, not yet started."""
    return shared_gate(server, workers=1)


def buckets(server: RedisServer) -> list[bytes]:
    return list(server.client.scan_iter(match="*:b:*", count=1000))


def evict(server: RedisServer) -> None:
    """Let the server come to its limit: it evicts what nobody has used for the longest time, which is buckets."""
    there, client = buckets(server), server.client
    wait_until(lambda: client.object("idletime", there[0]) >= 2, PATIENCE, "the buckets are idle")
    for key in {*client.scan_iter(count=1000)} - {*there}:
        client.touch(key)
    client.config_set("maxmemory", client.info("memory")["used_memory"] - EVICTED_OCTETS)
    wait_until(lambda: len(buckets(server)) < len(there), PATIENCE, "it evicts")
    client.config_set("maxmemory", 0)


def wait_until_refused(gate: Gate) -> str:
    """Wait until a pod says that it takes no copy of what is there. Returns how it says so."""

    def told() -> list[str]:
        return [line["error"] for line in events(gate, "following_interrupted") if "has lost entries" in line["error"]]

    [error] = wait_until(told, PATIENCE, "it takes no copy")
    return error


def test_a_new_pod_is_ready_when_another_has_written_back_what_was_evicted(
    server: RedisServer, origin: SharedOrigin, old: Gate, new: Gate
) -> None:
    evict(server)
    with running(new, wait=False):
        assert "sendgate repair --recount" in wait_until_refused(new)
        assert not new.is_ready()
        wait_until_said(new, "451", BAD[0], GOOD)
        done = old.run("repair", "--from-replica")
        assert done.returncode == 0, done.stderr
        wait_until(new.is_ready, PATIENCE, "it is ready")
        wait_until_said(new, "550", *BAD)
        wait_until_said(new, "250", GOOD)
        assert (new.metric("sendgate_entries"), kept(new)) == (len(BAD) + len(MANY), 0)
    assert old.metric("sendgate_entries") == len(list(origin.scan())) == len(BAD) + len(MANY)


def test_a_new_pod_is_ready_when_what_there_is_was_counted_anew(
    server: RedisServer, origin: SharedOrigin, new: Gate
) -> None:
    evict(server)
    with running(new, wait=False):
        wait_until_refused(new)
        assert not new.is_ready()
        assert new.run("repair", "--recount").returncode == 2
        done = new.run("repair", "--recount", "--yes")
        assert (done.returncode, "what was lost stays lost" in done.stdout) == (0, True), done.stderr
        wait_until(new.is_ready, PATIENCE, "it is ready")
        wait_until(lambda: new.metric("sendgate_entries") == len(list(origin.scan())), PATIENCE, "it has what is there")


def test_lists_are_not_copied_again_as_long_as_their_counts_say_that_they_lack_entries(
    server: RedisServer, origin: SharedOrigin, new: Gate
) -> None:
    add(origin, "one@example.com")
    server.client.delete(*buckets(server)[:50])
    with running(new, wait=False):
        wait_until_refused(new)
        calls = looks(server)
        wait_until(lambda: looks(server) > calls + 30, PATIENCE, "it has tried several times more")
        assert len(events(new, "resync_started")) == 1
        assert new.run("repair", "--recount", "--yes").returncode == 0
        wait_until(new.is_ready, PATIENCE, "it is ready")
        assert resyncs(new) == {"bootstrap": 1}


def looks(server: RedisServer) -> int:
    """How often a hash was read whole, by other than scripts."""
    return int(server.client.info("commandstats")["cmdstat_hgetall"]["calls"])


def test_a_pod_that_missed_changes_keeps_what_was_evicted_meanwhile(
    server: RedisServer, origin: SharedOrigin, old: Gate
) -> None:
    before = served_records(old)
    with frozen_follower(old):
        forgetful = open_lists(server, history=4096)
        server.client.delete(*buckets(server)[:100])
        for number in range(20):
            add(forgetful, *(f"meanwhile{number}.{n}@example.com" for n in range(20)))
            remove(forgetful, *(f"meanwhile{number}.{n}@example.com" for n in range(20)))
    wait_until(lambda: events(old, "resync_done"), PATIENCE, "the lists were copied anew")
    assert resyncs(old) == {"gap": 1}
    assert kept(old) >= len(BAD) + len(MANY) - len(list(origin.scan())) > 0
    assert before.items() <= served_records(old).items()
