"""The worlds of this folder: one with each origin, for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from feedback.world import World, running_world
from trial.redis_server import RedisServer


@pytest.fixture(scope="package", params=["embedded", "shared"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        store = {}
        if request.param == "shared":
            server = stack.enter_context(RedisServer(Path(tmp_path_factory.mktemp("redis"))))
            store = {"url": server.url, "shards": 4, "buckets": 64}
        yield stack.enter_context(running_world(store))
