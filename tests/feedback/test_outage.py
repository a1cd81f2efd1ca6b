"""Feedback while the shared origin is away: bounces wait in the queue, the log waits on the disk, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.parts import events
from feedback.world import World, dsn, running_world
from trial.redis_server import RedisServer
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
PATIENCE = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as started:
        yield started


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    store = {"url": server.url, "shards": 4, "buckets": 64, "timeout": "2s"}
    with running_world(store) as running:
        yield running


def test_what_comes_while_the_origin_is_away_is_taken_in_afterwards(server: RedisServer, world: World) -> None:
    logged, mailed = "unknown-away@example.com", "good-away@example.com"
    sender = world.signed(mailed, "away")
    server.pause()
    try:
        world.send(logged, "away")
        world.wait_until_logged(logged, "bounced")
        world.come_back(sender, dsn(sender, mailed))
        world.mta.wait_for_log(r"status=deferred .*451 4\.3\.0 feedback cannot be written now", PATIENCE)
        wait_until(lambda: events(world.gate, "feedback_waits"), PATIENCE, "the gate says that feedback waits")
        assert world.ask(logged).startswith("250")
    finally:
        server.resume()
    world.wait_until_refused(logged)
    world.wait_until_refused(mailed)
    world.settle()
    assert world.bounces("bad_mailbox", "away") == 2
    assert world.deliveries("bounced", "away") == 1
