"""The shared origin loses what it had: that is noticed and told, and nobody suppressed is released by it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that keeps nothing by itself."""
    with RedisServer(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def origin(server: RedisServer) -> SharedOrigin:
    lists = open_lists(server)
    add(lists, *BAD)
    return lists


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
    server: RedisServer, origin: SharedOrigin, lose: Callable[[RedisServer], None]
) -> None:
    with following(server, origin) as gate, Asker(gate) as asker:
        lose(server)
        wait_until_lost(gate, "no lists under 'sendgate'")
        assert resyncs(gate) == {}
        done = gate.run("add", *LATE, "--reason", "trap")
        assert done.returncode == 0, done.stderr
        assert wait_until_resynced(gate, "new_epoch") == len(BAD)
        wait_until_said(gate, "550", *BAD, *LATE)
        assert gate.metric("sendgate_entries") == len(BAD) + len(LATE)
        assert asker.not_right() == []


def test_an_emptied_origin_empties_no_replica(server: RedisServer, origin: SharedOrigin) -> None:
    before = origin_records(origin)
    with following(server, origin) as gate, Asker(gate) as asker:
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


def test_a_wiped_shard_releases_nobody_and_holds_no_other_up(server: RedisServer, origin: SharedOrigin) -> None:
    wiped = shard_of(origin, BAD[0])
    lost = [subject for subject in BAD if shard_of(origin, subject) == wiped]
    others = [subject for subject in LATE if shard_of(origin, subject) != wiped]
    [here, *_] = [subject for subject in LATE if shard_of(origin, subject) == wiped]
    with following(server, origin) as gate, Asker(gate) as asker:
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


def test_an_older_dump_releases_nobody_whom_it_lacks(server: RedisServer, origin: SharedOrigin, tmp_path: Path) -> None:
    server.command("SAVE")
    dump = Path(shutil.copy(server.folder / "dump.rdb", tmp_path))
    with following(server, origin) as gate, Asker(gate) as asker:
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


def test_an_older_dump_is_noticed_though_others_have_written_since(
    server: RedisServer, origin: SharedOrigin, tmp_path: Path
) -> None:
    server.command("SAVE")
    dump = Path(shutil.copy(server.folder / "dump.rdb", tmp_path))
    with following(server, origin) as gate, Asker(gate) as asker:
        add(origin, *LATE)
        wait_until_caught_up(gate, origin)
        server.stop()
        wait_until(lambda: events(gate, "following_interrupted"), PATIENCE, "it does not follow")
        shutil.copy(dump, server.folder / "dump.rdb")
        server.start()
        add(open_lists(server), *(f"after{number}@example.com" for number in range(20)))
        assert wait_until_resynced(gate, "lost_writes") == len(LATE)
        wait_until_said(gate, "550", *BAD, *LATE, "after0@example.com")
        assert asker.not_right() == []


def test_after_a_trimmed_stream_the_origin_is_trusted(server: RedisServer, origin: SharedOrigin) -> None:
    add(origin, *LATE)
    with following(server, origin) as gate, Asker(gate) as asker:
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
