"""The shared origin is away for a while: decisions go on from the replica, and nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from faults.load import BAD as LOAD_BAD
from faults.load import Load
from faults.parts import behind_postfix, events
from faults.shared import (
    BAD,
    GOOD,
    IN_STEP_SECONDS,
    PATIENCE,
    Asker,
    add,
    age,
    following,
    open_lists,
    running,
    seed_replica,
    shared_gate,
    wait_until_caught_up,
    wait_until_said,
)
from sendgate.metrics import FollowMetrics
from sendgate.store.errors import StoreUnreachableError
from sendgate.store.follow import Follower, FollowPlan
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from store.parts import MAX_SIZE
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

EXIT_STORE = 3
OUT_OF_DATE = "451 4.3.0 <good@example.com>: suppression list out of date, try again later"
FOLLOWERS, TRIES = 20, 12
LONGEST_PAUSE, SPREAD = 10.0, 10.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", appendonly=True) as started:
        yield started


@pytest.fixture
def origin(server: RedisServer) -> SharedOrigin:
    lists = open_lists(server)
    add(lists, *BAD, *(f"{name}@example.com" for name in LOAD_BAD))
    return lists


def wait_until_away(gate: Gate) -> None:
    """Wait until the gate says that the origin is away, and its replica is older than one that follows can be."""
    wait_until(lambda: gate.metric("sendgate_origin_up") == 0, PATIENCE, "the origin is told away")
    wait_until(lambda: age(gate) > IN_STEP_SECONDS, PATIENCE, "the replica ages")


def wait_until_back(gate: Gate) -> None:
    wait_until(lambda: gate.metric("sendgate_origin_up") == 1, PATIENCE, "the origin is told back")
    wait_until(lambda: age(gate) < IN_STEP_SECONDS, PATIENCE, "the replica is in step")


def assert_add_fails(gate: Gate, server: RedisServer) -> None:
    done = gate.run("add", "new@example.com", "--reason", "trap")
    assert (done.returncode, done.stdout) == (EXIT_STORE, "")
    assert done.stderr.startswith(f"sendgate: {server.url.removesuffix('/0')}: does not answer: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.root
def test_under_load_decisions_go_on_while_redis_is_stopped_and_it_heals_by_itself(
    server: RedisServer, origin: SharedOrigin
) -> None:
    with following(server, origin) as gate, behind_postfix(gate) as mta, Load(mta.port, 2) as load:
        load.wait_for_more(50)
        server.stop()
        assert_add_fails(gate, server)
        wait_until_away(gate)
        before = age(gate)
        load.wait_for_more(50)
        load.wait_for_more(50, kind="bad", code="550")
        assert age(gate) > before
        assert gate.is_ready()
        server.start()
        add(open_lists(server), "meanwhile@example.com")
        wait_until_back(gate)
        wait_until_said(gate, "550", "meanwhile@example.com")
        load.stop()
        load.assert_right()
        assert load.total("good", "4") == load.total("bad", "4") == 0
        assert len(events(gate, "following_interrupted")) == 1
        assert len(events(gate, "following")) == 2
        assert gate.metric("sendgate_resyncs_total") == 0


def test_a_redis_that_comes_back_and_lets_nobody_in_is_told_as_that(server: RedisServer, origin: SharedOrigin) -> None:
    """A changed password, an ACL file, a certificate that has expired: they show when Redis starts again."""
    users = server.folder / "users.acl"
    lines = users.read_text()
    with following(server, origin) as gate:
        server.stop()
        wait_until(lambda: gate.metric("sendgate_origin_up") == 0, PATIENCE, "the origin is told away")
        users.write_text(lines.replace("user default on", "user default off"))
        server.start()
        away, shut = wait_until(lambda: told_twice(gate), PATIENCE, "the gate tells what is wrong now")
        assert "does not answer" in away["error"]
        assert "refused us" in shut["error"]
        users.write_text(lines)
        server.client.acl_load()
        wait_until_back(gate)


def told_twice(gate: Gate) -> list[dict[str, Any]] | None:
    told = events(gate, "following_interrupted")
    return told if len(told) == 2 else None


def test_while_redis_hangs_an_old_replica_turns_passes_into_451_and_refuses_as_before(
    server: RedisServer, origin: SharedOrigin
) -> None:
    with following(server, origin, max_staleness="5s") as gate, Asker(gate) as asker, ThreadPoolExecutor() as pool:
        asker.wait_for_more(20)
        server.pause()
        try:
            adding = pool.submit(assert_add_fails, gate, server)
            asker.wait_for_more(20)
            assert asker.not_right() == []
            wait_until_said(gate, OUT_OF_DATE, GOOD)
            status, body = gate.get("/readyz")
            assert (status, "more than store.max_staleness allows" in body) == (503, True)
            wait_until_said(gate, "550", *BAD)
            wait_until_away(gate)
            adding.result()
        finally:
            server.resume()
        add(origin, "meanwhile@example.com")
        wait_until_said(gate, "250", GOOD)
        wait_until_said(gate, "550", "meanwhile@example.com", *BAD)
        wait_until(gate.is_ready, PATIENCE, "it is ready")
        assert {said.reply for said in asker.not_right()} == {OUT_OF_DATE}


def test_a_gate_started_without_its_origin_serves_from_a_young_replica(
    server: RedisServer, origin: SharedOrigin
) -> None:
    gate = shared_gate(server)
    seed_replica(gate, origin, age_seconds=60)
    server.stop()
    with running(gate):
        wait_until_said(gate, "550", *BAD)
        wait_until_said(gate, "250", GOOD)
        [told] = wait_until(lambda: events(gate, "following_interrupted"), PATIENCE, "it says that it does not follow")
        assert 60 <= told["replica_age_seconds"] < 60 + PATIENCE
        assert (told["level"], "does not answer" in told["error"]) == ("error", True)
        assert gate.metric("sendgate_origin_up") == 0
        server.start()
        add(origin, "meanwhile@example.com")
        wait_until_caught_up(gate, origin)
        wait_until_back(gate)


def test_a_gate_started_without_its_origin_is_not_ready_with_an_old_replica(
    server: RedisServer, origin: SharedOrigin
) -> None:
    gate = shared_gate(server, max_staleness="1h")
    seed_replica(gate, origin, age_seconds=3700)
    server.stop()
    with running(gate, wait=False):
        wait_until_said(gate, "550", *BAD)
        wait_until_said(gate, OUT_OF_DATE, GOOD)
        [told] = wait_until(lambda: events(gate, "following_interrupted"), PATIENCE, "it says that it does not follow")
        assert told["replica_age_seconds"] >= 3700
        assert not gate.is_ready()
        server.start()
        wait_until(gate.is_ready, PATIENCE, "it is ready")
        wait_until_said(gate, "250", GOOD)


class Pauses:
    """The `stop` of a follower: notes how long it was to wait, and ends it after so many waits."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> bool:
        if seconds:
            self.seconds.append(seconds)
        return len(self.seconds) >= self._times


def away() -> Shards:
    raise StoreUnreachableError("redis://127.0.0.1:1: does not answer")


def test_followers_ask_again_at_times_of_their_own_ever_less_often_but_not_seldom(tmp_path: Path) -> None:
    waited = []
    for seed in range(FOLLOWERS):
        pauses = Pauses(TRIES)
        plan = FollowPlan(away, ReplicaFolder(tmp_path / "replica"), b"", MAX_SIZE, SPREAD, random=random.Random(seed))
        Follower(plan, FollowMetrics(tmp_path)).run(pauses)
        assert len(pauses.seconds) == TRIES
        assert max(pauses.seconds) <= LONGEST_PAUSE
        growing = [pause for pause in pauses.seconds if pause < LONGEST_PAUSE / 2]
        assert all(earlier < later for earlier, later in pairwise(growing))
        assert pauses.seconds[0] < 0.5
        assert min(pauses.seconds[-3:]) >= LONGEST_PAUSE / 2
        waited.append(pauses.seconds)
    for same_try in zip(*waited, strict=True):
        assert len(set(same_try)) == FOLLOWERS
        assert max(same_try) > 1.5 * min(same_try)


def test_followers_that_must_copy_begin_at_times_of_their_own(
    server: RedisServer, origin: SharedOrigin, tmp_path: Path
) -> None:
    gate = shared_gate(server)
    try:
        seed_replica(gate, origin)
        server.client.flushall()
        waited = set()
        for seed in range(FOLLOWERS):
            pauses = Pauses(1)
            folder = ReplicaFolder(gate.store)
            plan = FollowPlan(
                lambda: open_lists(server).shards, folder, b"", MAX_SIZE, SPREAD, random=random.Random(seed)
            )
            Follower(plan, FollowMetrics(tmp_path)).run(pauses)
            waited.update(pauses.seconds)
    finally:
        gate.remove()
    assert len(waited) == FOLLOWERS
    assert max(waited) <= SPREAD
    assert max(waited) - min(waited) > SPREAD / 2
