"""The process that follows the shared origin: paused, killed and left behind. Nothing is lost, nobody is released."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from faults.parts import events
from faults.shared import (
    BAD,
    GOOD,
    PATIENCE,
    Asker,
    add,
    ask,
    assert_same,
    follow_pid,
    following,
    frozen_follower,
    load,
    open_lists,
    origin_records,
    resyncs,
    running,
    shared_gate,
    versions,
    wait_until_caught_up,
    wait_until_said,
)
from sendgate.entry import Add, Change, Remove, parse_subject
from sendgate.store.shared import SharedOrigin
from store.parts import NOW, entry
from trial.background import Background
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

ENTRIES = 60_000
PODS, KILLS_OF_EACH = 5, 3
SEED = 20_260_301


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a long list in it."""
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as started:
        load(open_lists(started), (*BAD, *(f"user{number}@example.com" for number in range(ENTRIES))))
        yield started


@pytest.fixture
def origin(server: RedisServer) -> Iterator[SharedOrigin]:
    lists = open_lists(server)
    yield lists
    lists.close()


class Writer(Background):
    """Changes the lists without a pause, at random: adds, refreshes, removes. Context manager."""

    def __init__(self, origin: SharedOrigin, seed: int) -> None:
        super().__init__()
        self._origin = origin
        self._random = random.Random(seed)
        self.changes = 0

    def wait_for_more(self, count: int) -> None:
        wanted = self.changes + count
        wait_until(lambda: self.changes >= wanted, PATIENCE, f"{count} more changes")

    def _run(self) -> None:
        while not self._ending.wait(0.01):
            changes = [self._change() for _ in range(self._random.randint(1, 30))]
            self._origin.apply(changes)
            self.changes += len(changes)

    def _change(self) -> Change:
        subject = f"user{self._random.randrange(ENTRIES + 5_000)}@example.com"
        if self._random.random() < 0.5:
            return Remove(parse_subject(subject))
        reason = self._random.choice(["hard_bounce", "complaint"])
        expires = self._random.choice([None, NOW + self._random.randrange(10**6, 10**8)])
        return Add(entry(subject, reason, created=NOW + self._random.randrange(1000), expires=expires))


def has_told(gate: Gate, pid: int, event: str) -> bool:
    """Whether an event is in the log behind the start of a process."""
    lines = gate.log_lines()
    started = next(at for at, line in enumerate(lines) if line["event"] == "process_started" and line["pid"] == pid)
    return any(line["event"] == event for line in lines[started:])


def kill_after(gate: Gate, event: str, seconds: float, dead: int) -> int:
    """Kill -9 what follows, in the place of one that is dead, so long after it has told an event. Returns its id."""
    victim = wait_until(lambda: (pid := follow_pid(gate)) != dead and pid, PATIENCE, "it was started again")
    wait_until(lambda: has_told(gate, victim, event), PATIENCE, event)
    time.sleep(seconds)
    os.kill(victim, signal.SIGKILL)
    return victim


def kill_at_random_moments(gate: Gate, seed: int) -> int:
    """Kill what follows again and again: while it copies, then while it takes in changes. Returns how often."""
    dice = random.Random(seed)
    dead = 0
    while_copying = 1 + seed % 2
    for _ in range(while_copying):
        dead = kill_after(gate, "resync_started", dice.uniform(0, 0.1), dead)
    for _ in range(KILLS_OF_EACH - while_copying):
        dead = kill_after(gate, "following", dice.uniform(0, 0.6), dead)
    return KILLS_OF_EACH


def assert_never_released(asker: Asker) -> None:
    """Until there is a replica nobody passes; from then on the suppressed are refused without a break."""
    replies = [said.reply[:3] for said in asker.said if said.recipient in BAD]
    unserved = replies.index("550")
    assert set(replies[:unserved]) <= {"451"}
    assert set(replies[unserved:]) == {"550"}


def test_nobody_is_served_before_the_first_copy_is_complete(server: RedisServer) -> None:
    gate = shared_gate(server)
    server.pause()
    try:
        with running(gate, wait=False):
            wait_until(lambda: len(gate.worker_pids()) == 2 and gate.socket.exists(), PATIENCE, "it answers")
            wait_until_said(gate, "451 4.3.0", GOOD, BAD[0])
            server.resume()
            wait_until(lambda: versions(gate), PATIENCE, "the copy has begun")
            server.pause()
            for _ in range(5):
                assert ask(gate, GOOD).startswith("451 4.3.0")
                assert ask(gate, BAD[0]).startswith("451 4.3.0")
            status, body = gate.get("/readyz")
            assert (status, "no replica yet" in body) == (503, True)
            assert not events(gate, "resync_done")
            with Asker(gate) as asker:
                server.resume()
                wait_until(gate.is_ready, PATIENCE, "it is ready")
                wait_until_said(gate, "550", *BAD)
                wait_until_said(gate, "250", GOOD)
            assert_never_released(asker)
    finally:
        server.resume()


def test_followers_killed_at_any_moment_lose_nothing_and_release_nobody(
    server: RedisServer, origin: SharedOrigin
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(PODS) as pool:
        gates = [stack.enter_context(running(shared_gate(server, workers=1), wait=False)) for _ in range(PODS)]
        with Writer(open_lists(server), SEED) as writer, ExitStack() as asking:
            askers = [asking.enter_context(Asker(gate, 0.05)) for gate in gates]
            kills = sum(pool.map(kill_at_random_moments, gates, range(SEED, SEED + PODS)))
            wait_until(lambda: all(map(follow_pid, gates)), PATIENCE, "all follow again")
            writer.wait_for_more(200)
            for asker in askers:
                asker.wait_for_more(10)
        for gate in gates:
            wait_until_caught_up(gate, origin)
        expected = origin_records(origin)
        for gate in gates:
            assert_same(gate, origin, expected)
        for asker in askers:
            assert_never_released(asker)
        assert kills >= 15
        cut_short = [len(events(gate, "resync_started")) - len(events(gate, "resync_done")) for gate in gates]
        assert sum(cut_short) >= PODS


def test_a_copy_beside_is_swapped_in_and_nobody_who_asks_notices(server: RedisServer, origin: SharedOrigin) -> None:
    forgetful = open_lists(server, history=4096)
    with following(server, origin) as gate, Asker(gate) as asker:
        workers, first = gate.worker_pids(), versions(gate)
        with frozen_follower(gate):
            for number in range(20):
                add(forgetful, *(f"meanwhile{number}.{n}@example.com" for n in range(20)))
        wait_until(lambda: events(gate, "resync_done"), PATIENCE, "the lists were copied anew")
        wait_until_said(gate, "550", *(f"meanwhile{number}.0@example.com" for number in range(20)))
        wait_until_caught_up(gate, origin)
        asker.wait_for_more()
        assert asker.not_right() == []
        assert resyncs(gate) == {"gap": 1}
        assert gate.worker_pids() == workers
        assert gate.metric("sendgate_store_faults_total") == 0
        wait_until(lambda: len(versions(gate)) == 1, PATIENCE, "the old copy is deleted")
        assert versions(gate) != first


def test_what_a_killed_copy_left_is_gone_after_the_next_start(server: RedisServer) -> None:
    gate = shared_gate(server)
    with running(gate, wait=False):
        wait_until(lambda: events(gate, "resync_started"), PATIENCE, "it copies")
        server.pause()
        try:
            wait_until(lambda: versions(gate), PATIENCE, "it has begun to write")
            os.kill(gate.pid, signal.SIGKILL)
            gate.stop()
        finally:
            server.resume()
        left = versions(gate)
        assert left
        assert not (gate.store / "current").exists()
        (gate.store / "version-half.link").symlink_to("version-half")
        gate.start()
        wait_until_said(gate, "550", *BAD)
        wait_until(lambda: len(versions(gate)) == 1, PATIENCE, "only what is served is there")
        assert not versions(gate) & left
