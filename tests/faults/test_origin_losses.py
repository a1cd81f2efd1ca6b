"""The shared origin loses what it had: that is noticed and told, and nobody suppressed is released by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.parts import events
from faults.shared import (
    BAD,
    GOOD,
    IN_STEP_SECONDS,
    PATIENCE,
    Asker,
    add,
    age,
    assert_same,
    following,
    frozen_follower,
    kept,
    open_lists,
    origin_records,
    remove,
    resyncs,
    served_records,
    wait_until_caught_up,
    wait_until_said,
)
from sendgate.keys import Keyer
from sendgate.store.errors import OriginLostError
from sendgate.store.opening import make_missing
from sendgate.store.shared import SharedOrigin
from trial.gate import Gate
from trial.redis_server import RedisServer
from trial.waiting import wait_until

LATE = tuple(f"late{number}@example.com" for number in range(20))


class Pod(NamedTuple):
    """A server that keeps nothing by itself, its lists, a gate that follows them, and what ends them."""

    server: RedisServer
    origin: SharedOrigin
    gate: Gate
    end: Callable[[], None]


def start_pod(folder: Path) -> Pod:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(folder))
        origin = open_lists(server)
        add(origin, *BAD)
        gate = stack.enter_context(following(server, origin))
        return Pod(server, origin, gate, stack.pop_all().close)


@pytest.fixture(scope="module")
def next_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Pod]]:
    """Gives a pod; while a test has it, the next one is started."""
    with ThreadPoolExecutor(1) as pool:

        def start() -> Future[Pod]:
            return pool.submit(start_pod, tmp_path_factory.mktemp("redis"))

        ahead = [start()]

        def take() -> Pod:
            pod = ahead.pop().result()
            ahead.append(start())
            return pod

        yield take
        ahead.pop().result().end()


@pytest.fixture
def pod(next_pod: Callable[[], Pod]) -> Iterator[Pod]:
    taken = next_pod()
    yield taken
    taken.end()


def shard_of(origin: SharedOrigin, subject: str) -> int:
    return origin.shards.layout.shard_of(Keyer().key(subject))


def flush(server: RedisServer) -> None:
    server.client.flushall()


def kill_and_start_empty(server: RedisServer) -> None:
    server.kill()
    server.start()


def restore(server: RedisServer, dump: Path) -> None:
    """Stop it, put an older dump in the place of its own, and start it."""
    server.stop(save=True)
    shutil.copy(dump, server.folder / "dump.rdb")
    server.start()


def wait_until_lost(gate: Gate, word: str) -> None:
    """Wait until the gate says what is lost, and its replica ages."""

    def told() -> bool:
        return any(word in line["error"] for line in events(gate, "following_interrupted"))

    wait_until(told, PATIENCE, f"{word!r} is told")
    wait_until(lambda: age(gate) > IN_STEP_SECONDS, PATIENCE, "the replica ages")
    assert gate.metric("sendgate_origin_up") == 0


def wait_until_resynced(gate: Gate, cause: str) -> int:
    """Wait for the one copy of a gate. Returns how many entries it kept."""
    [done] = wait_until(lambda: events(gate, "resync_done"), PATIENCE, "the lists were copied anew")
    assert done["cause"] == cause
    assert resyncs(gate) == {cause: 1}
    assert done["level"] == ("error" if done["kept"] else "info")
    wait_until(lambda: gate.metric("sendgate_origin_up") == 1, PATIENCE, "it follows")
    assert kept(gate) == done["kept"]
    return int(done["kept"])


@pytest.mark.parametrize("lose", [flush, kill_and_start_empty])
def test_an_origin_without_lists_releases_nobody_and_new_lists_come_on_top(
    pod: Pod, lose: Callable[[RedisServer], None]
) -> None:
    server, gate = pod.server, pod.gate
    with Asker(gate) as asker:
        lose(server)
        wait_until_lost(gate, "no lists under 'sendgate'")
        assert resyncs(gate) == {}
        done = gate.run("add", *LATE, "--reason", "trap")
        assert done.returncode == 0, done.stderr
        assert wait_until_resynced(gate, "new_epoch") == len(BAD)
        wait_until_said(gate, "550", *BAD, *LATE)
        assert gate.metric("sendgate_entries") == len(BAD) + len(LATE)
        assert asker.not_right() == []


def test_an_emptied_origin_empties_no_replica(pod: Pod) -> None:
    server, origin, gate, _ = pod
    before = origin_records(origin)
    with Asker(gate) as asker:
        flush(server)
        emptied = open_lists(server)
        assert list(emptied.scan()) == []
        assert wait_until_resynced(gate, "new_epoch") == len(BAD)
        assert served_records(gate) == before
        add(emptied, BAD[0])
        wait_until(lambda: kept(gate) == len(BAD) - 1, PATIENCE, "what is there again is no longer kept")
        remove(emptied, BAD[0])
        wait_until_said(gate, "250", BAD[0])
        add(emptied, BAD[0])
        wait_until_said(gate, "550", *BAD)
        wait_until(lambda: age(gate) < IN_STEP_SECONDS, PATIENCE, "the replica is in step")
        assert {said.recipient for said in asker.not_right()} <= {BAD[0]}


def test_a_wiped_shard_releases_nobody_and_holds_no_other_up(pod: Pod) -> None:
    server, origin, gate, _ = pod
    wiped = shard_of(origin, BAD[0])
    lost = [subject for subject in BAD if shard_of(origin, subject) == wiped]
    others = [subject for subject in LATE if shard_of(origin, subject) != wiped]
    [here, *_] = [subject for subject in LATE if shard_of(origin, subject) == wiped]
    with Asker(gate) as asker:
        names = origin.shards.names[wiped]
        assert server.client.delete(*server.client.scan_iter(match=f"{names.stem}:*"))
        wait_until_lost(gate, f"shard {wiped} of 4 is gone")
        add(open_lists(server), *others)
        wait_until_said(gate, "550", *others)
        with pytest.raises(OriginLostError, match=f"shard {wiped} of 4 is gone"):
            add(open_lists(server), here)
        assert resyncs(gate) == {}
        mended = open_lists(server)
        assert make_missing(mended.shards, b"") == [wiped]
        add(mended, here)
        assert wait_until_resynced(gate, "new_epoch") == len(lost)
        wait_until_said(gate, "550", here, *others, *BAD)
        assert asker.not_right() == []


def test_an_older_dump_releases_nobody_whom_it_lacks(pod: Pod, tmp_path: Path) -> None:
    server, origin, gate, _ = pod
    server.command("SAVE")
    dump = Path(shutil.copy(server.folder / "dump.rdb", tmp_path))
    with Asker(gate) as asker:
        add(origin, *LATE)
        remove(origin, LATE[0])
        wait_until_caught_up(gate, origin)
        before = served_records(gate)
        restore(server, dump)
        assert wait_until_resynced(gate, "lost_writes") == len(LATE) - 1
        assert served_records(gate) == before
        wait_until_said(gate, "550", *BAD, *LATE[1:])
        add(open_lists(server), "after@example.com")
        wait_until_said(gate, "550", "after@example.com")
        assert asker.not_right() == []


def test_an_older_dump_is_noticed_though_others_have_written_since(pod: Pod, tmp_path: Path) -> None:
    server, origin, gate, _ = pod
    server.command("SAVE")
    dump = Path(shutil.copy(server.folder / "dump.rdb", tmp_path))
    with Asker(gate) as asker:
        add(origin, *LATE)
        wait_until_caught_up(gate, origin)
        with frozen_follower(gate):
            restore(server, dump)
            add(open_lists(server), *(f"after{number}@example.com" for number in range(20)))
        assert wait_until_resynced(gate, "lost_writes") == len(LATE)
        wait_until_said(gate, "550", *BAD, *LATE, "after0@example.com")
        assert asker.not_right() == []


def test_after_a_trimmed_stream_the_origin_is_trusted(pod: Pod) -> None:
    server, origin, gate, _ = pod
    add(origin, *LATE)
    wait_until_caught_up(gate, origin)
    with Asker(gate) as asker:
        with frozen_follower(gate):
            forgetful = open_lists(server, history=4096)
            remove(forgetful, *LATE)
            for number in range(20):
                add(forgetful, *(f"meanwhile{number}.{n}@example.com" for n in range(20)))
        expected = origin_records(forgetful)
        assert wait_until_resynced(gate, "gap") == 0
        wait_until_said(gate, "250", *LATE, GOOD)
        wait_until_said(gate, "550", *BAD)
        wait_until_caught_up(gate, forgetful)
        assert_same(gate, forgetful, expected)
        assert asker.not_right() == []
