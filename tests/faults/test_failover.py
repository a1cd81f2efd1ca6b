"""Servers of a Sentinel set and of a Cluster are lost: a gate that follows goes on by itself, and releases nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from faults.parts import events
from faults.shared import (
    BAD,
    BUCKETS,
    PATIENCE,
    SHARDS,
    TIMEOUT_SECONDS,
    Asker,
    add,
    kept,
    resyncs,
    running,
    wait_until_caught_up,
    wait_until_said,
)
from sendgate.cli import stores
from sendgate.keys import Keyer
from sendgate.settings import Settings
from sendgate.store.errors import StoreError
from sendgate.store.opening import make_missing
from sendgate.store.shared import SharedOrigin
from trial.gate import Gate
from trial.redis_cluster import RedisCluster
from trial.redis_sentinel import RedisSentinels
from trial.waiting import wait_until

LATE = tuple(f"late{number}@example.com" for number in range(8))
"""Added after the fault; they are on all shards."""


def section(url: str) -> dict[str, object]:
    return {"url": url, "shards": SHARDS, "buckets": BUCKETS, "timeout": TIMEOUT_SECONDS, "resync_spread": 0}


@contextmanager
def lists_at(url: str) -> Iterator[SharedOrigin]:
    """The lists there, made with BAD on them."""
    settings = Settings.model_validate({"store": section(url)})
    with closing(SharedOrigin(stores.connect(settings, create=True), Keyer())) as origin:
        add(origin, *BAD)
        yield origin


@contextmanager
def gate_at(url: str, origin: SharedOrigin) -> Iterator[Gate]:
    """A gate that has caught up."""
    with running(Gate({"milter": {"workers": 1}, "store": section(url)})) as gate:
        wait_until_caught_up(gate, origin)
        wait_until_said(gate, "550", *BAD)
        yield gate


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    with RedisSentinels(tmp_path / "sentinels") as started:
        yield started


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three nodes that keep nothing by themselves, and serve what they have when another is away."""
    with RedisCluster(tmp_path / "cluster", full_coverage=False) as started:
        yield started


def add_late(origin: SharedOrigin, *recipients: str) -> None:
    """Add, as often as it takes: a command that meets the fault ends with an error, and is run again."""

    def added() -> bool:
        try:
            add(origin, *recipients)
        except StoreError:
            return False
        return True

    wait_until(added, PATIENCE, "commands are heard again")


def test_a_failover_of_a_sentinel_set_is_followed(sentinels: RedisSentinels) -> None:
    with lists_at(sentinels.url) as origin, gate_at(sentinels.url, origin) as gate:
        with Asker(gate) as asker:
            sentinels.fail_over()
            add_late(origin, *LATE)
            wait_until_said(gate, "550", *LATE)
        assert asker.not_right() == []
        wait_until_caught_up(gate, origin)
        assert resyncs(gate) == {"bootstrap": 1}


def test_what_a_failover_of_a_sentinel_set_loses_is_still_refused(sentinels: RedisSentinels) -> None:
    with lists_at(sentinels.url) as origin, gate_at(sentinels.url, origin) as gate:

        def write() -> None:
            add(origin, "lost@example.com")
            wait_until_said(gate, "550", "lost@example.com")

        with Asker(gate) as asker:
            sentinels.fail_over_losing_writes(write)
            wait_until(lambda: kept(gate) == 1, PATIENCE, "the gate keeps what was lost")
            wait_until_said(gate, "550", "lost@example.com")
            add_late(origin, *LATE)
            wait_until_said(gate, "550", *LATE, "lost@example.com")
        assert asker.not_right() == []
        assert sum(origin.counts().values()) == len(BAD) + len(LATE)
        assert resyncs(gate) == {"bootstrap": 1, "lost_writes": 1}
        assert [line["kept"] for line in events(gate, "resync_done")] == [0, 1]


def test_a_replica_that_takes_over_in_a_cluster_is_followed(tmp_path: Path) -> None:
    with (
        RedisCluster(tmp_path / "cluster", replicas_each=1) as cluster,
        lists_at(cluster.url) as origin,
        gate_at(cluster.url, origin) as gate,
    ):
        with Asker(gate) as asker:
            cluster.wait_failover(0)
            add_late(origin, *LATE)
            wait_until_said(gate, "550", *LATE)
        assert asker.not_right() == []
        wait_until_caught_up(gate, origin)
        assert resyncs(gate) == {"bootstrap": 1}


def flush(cluster: RedisCluster, index: int) -> None:
    cluster.nodes[index].command("FLUSHALL")


def lose_the_disk(cluster: RedisCluster, index: int) -> None:
    """It comes back with its name and its slots, and nothing else."""
    cluster.kill(index)
    cluster.restart(index)


@pytest.mark.parametrize(("wipe", "at"), [(flush, "sendgate:{0.1}:meta"), (lose_the_disk, "sendgate:layout")])
def test_a_wiped_node_of_a_cluster_takes_only_its_shards(
    cluster: RedisCluster, wipe: Callable[[RedisCluster, int], None], at: str
) -> None:
    index = owner_of(cluster, at)
    with lists_at(cluster.url) as origin, gate_at(cluster.url, origin) as gate:
        wiped = [shard for shard, names in enumerate(origin.shards.names) if owner_of(cluster, names.meta) == index]
        others = [name for name in LATE if shard_of(origin, name) not in wiped]
        there = sum(shard_of(origin, name) in wiped for name in BAD)
        assert others and there
        with Asker(gate) as asker:
            wipe(cluster, index)
            add_late(origin, *others)
            wait_until_said(gate, "550", *others)
            make_missing(origin.shards, b"")
            wait_until(lambda: kept(gate) == there, PATIENCE, "the gate keeps what was lost")
            add_late(origin, *LATE)
            wait_until_said(gate, "550", *LATE)
        assert asker.not_right() == []
        assert sum(origin.counts().values()) == len(BAD) + len(LATE) - there
        assert gate.run("repair", "--from-replica").returncode == 0
        wait_until(lambda: kept(gate) == 0, PATIENCE, "the origin has all again")
        assert sum(origin.counts().values()) == len(BAD) + len(LATE)
        assert resyncs(gate).keys() == {"bootstrap", "new_epoch"}


def shard_of(origin: SharedOrigin, address: str) -> int:
    return origin.shards.layout.shard_of(Keyer().key(address))


def owner_of(cluster: RedisCluster, name: str) -> int:
    return cluster.owner(cluster.nodes[0].command("CLUSTER", "KEYSLOT", name))
