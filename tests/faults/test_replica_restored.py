"""A replica that an operator puts back while the gate runs: what it lacks is refused again within seconds.

What the follower has open is then another file than the one that is served, of the same name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.shared import BAD, GOOD, add, following, open_lists, wait_until_caught_up, wait_until_said
from sendgate.store.shared import SharedOrigin
from trial.gate import Gate
from trial.redis_server import RedisServer

LATER = "later@example.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def origin(server: RedisServer) -> Iterator[SharedOrigin]:
    lists = open_lists(server)
    add(lists, *BAD)
    yield lists
    lists.close()


@pytest.fixture
def gate(server: RedisServer, origin: SharedOrigin) -> Iterator[Gate]:
    """It follows; LATER was added after its replica was copied to `copy`."""
    with following(server, origin) as running:
        wait_until_said(running, "550", BAD[0])
        shutil.copytree(running.store, running.folder / "copy", symlinks=True)
        add(origin, LATER)
        wait_until_said(running, "550", LATER)
        yield running


def test_an_older_replica_put_back_under_a_running_gate_is_brought_in_step(gate: Gate, origin: SharedOrigin) -> None:
    gate.store.rename(gate.folder / "before")
    (gate.folder / "copy").rename(gate.store)
    wait_until_caught_up(gate, origin)
    wait_until_said(gate, "550", LATER, *BAD[:3])
    wait_until_said(gate, "250", GOOD)


def test_a_version_deleted_under_a_running_gate_is_copied_anew(gate: Gate, origin: SharedOrigin) -> None:
    for version in gate.store.glob("version-*"):
        shutil.rmtree(version)
    wait_until_caught_up(gate, origin)
    wait_until_said(gate, "550", LATER, *BAD[:3])
    wait_until_said(gate, "250", GOOD)
