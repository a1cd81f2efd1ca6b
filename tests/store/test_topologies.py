"""The lists over every kind of Redis: a server with TLS, a Cluster with and without, a Sentinel set; all with users."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Any

import pytest

from sendgate.address import parse
from sendgate.cli import stores
from sendgate.entry import Add, Entry, Reason, Remove, RemoveList, parse_subject
from sendgate.settings import Settings
from sendgate.store.errors import ShrinkError, StoreError
from sendgate.store.layout import Layout
from sendgate.store.origin import Applied, LoadOptions, Origin
from smtp.mta_side import MtaSide
from store.parts import BUCKETS, NOW, SHARDS, entry, rows
from store.topologies import PLACES, Place, cluster
from trial.gate import Gate
from trial.redis_cluster import RedisCluster, slot_parts
from trial.redis_server import RedisServer
from trial.waiting import wait_until

LIKE = entry("like@example.com", list_name="partners")
PATIENCE = 20


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]()


@pytest.fixture
def prefix() -> str:
    """The name of lists of their own."""
    return f"test-{uuid.uuid4()}"


@pytest.fixture
def origin(place: Place, prefix: str) -> Iterator[Origin]:
    with stores.open_origin(place.settings(prefix=prefix), create=True) as opened:
        yield opened


@pytest.fixture
def gate(place: Place, prefix: str, origin: Origin) -> Iterator[Gate]:  # noqa: ARG001
    """`sendgate serve` on lists that are there, if empty."""
    running = Gate({"store": place.section(prefix=prefix), "milter": {"workers": 1}})
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.remove()


class Writer:
    """Adds entries one by one in a thread, each until it is told that it is there. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = Event()
        self._thread = Thread(target=self._run)
        self.written: list[str] = []

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.written) + count
        wait_until(lambda: len(self.written) >= wanted, PATIENCE, f"{count} more entries are written")

    def _run(self) -> None:
        with stores.open_origin(self._settings, create=False) as origin:
            while not self._stop.is_set():
                address = f"written{len(self.written)}@example.com"
                with suppress(StoreError):
                    add(origin, entry(address))
                    self.written.append(address)


def users(count: int) -> list[str]:
    return [f"user{number}@example.com" for number in range(count)]


def add(origin: Origin, *entries: Entry) -> Applied:
    return origin.apply([Add(one) for one in entries])


def load(origin: Origin, addresses: Iterable[str], like: Entry = LIKE, **options: Any) -> Applied:
    return origin.load(rows(addresses, like), LoadOptions(**options), lambda _phase, _done, _all: None)


def subjects(origin: Origin, **filters: Any) -> list[str]:
    return sorted(one.subject.text for one in origin.scan(**filters))


def reasons(origin: Origin, address: str) -> list[str]:
    """The reasons of what the gate would find for an address."""
    return sorted(match.found.reason for match in origin.matches(parse(address)).matches)


def refused(gate: Gate, addresses: Iterable[str]) -> list[str]:
    """The recipients, of these, that a gate refuses, once its worker has opened the replica."""
    with MtaSide(gate.socket) as mta:
        mta.mail(b"<bounce+test@example.net>")

        def reply(address: str) -> str:
            return mta.rcpt(f"<{address}>".encode()).text

        wait_until(lambda: not reply("any@example.net").startswith("451"), PATIENCE, "the worker has the replica")
        return [address for address in addresses if reply(address).startswith("550")]


def wait_until_caught_up(gate: Gate, origin: Origin) -> None:
    there = origin.position()
    wait_until(lambda: gate.metric("sendgate_replica_changes_total") == there, PATIENCE, f"the replica is at {there}")


def move_slowly(nodes: RedisCluster, slot: int) -> None:
    """Move a slot to the next node, and leave it half moved until a script and a follower have come upon that."""
    source = nodes.owner(slot)
    before = turned_away(nodes.nodes[source])

    def met() -> bool:
        return all(now > then for now, then in zip(turned_away(nodes.nodes[source]), before, strict=True))

    nodes.begin_move(slot, (source + 1) % 3)
    while nodes.move_keys(slot, (source + 1) % 3, 10):
        pass
    wait_until(met, PATIENCE, "both were sent to the other node")
    nodes.end_move(slot, (source + 1) % 3)


def turned_away(node: RedisServer) -> list[int]:
    """How many calls a node has sent elsewhere: of scripts, and of reading streams."""
    told = node.client.info("commandstats")
    return [told.get(f"cmdstat_{name}", {}).get("rejected_calls", 0) for name in ("evalsha", "xread")]


def test_entries_are_added_refreshed_and_removed(origin: Origin) -> None:
    assert add(origin, entry("user@example.com"), entry("other@example.com", "trap")) == Applied(added=2)
    assert add(origin, entry("user@example.com", note="again")) == Applied(refreshed=1)
    assert (reasons(origin, "user@example.com"), reasons(origin, "other@example.com")) == (["manual"], ["trap"])
    assert origin.apply([Remove(parse_subject("user@example.com"))]) == Applied(removed=1)
    assert (reasons(origin, "user@example.com"), reasons(origin, "other@example.com")) == ([], ["trap"])


def test_a_list_is_imported_and_removed(origin: Origin) -> None:
    add(origin, entry("user0@example.com", "trap"))
    assert load(origin, users(1000)) == Applied(added=1000)
    assert (reasons(origin, "user0@example.com"), reasons(origin, "user999@example.com")) == (
        ["manual", "trap"],
        ["manual"],
    )
    assert origin.apply([RemoveList("partners")]) == Applied(removed=1000)
    assert [one.reason for one in origin.scan()] == ["trap"]


def test_a_replacing_import_removes_the_rest_unless_that_is_too_much(origin: Origin) -> None:
    load(origin, users(100))
    with pytest.raises(ShrinkError):
        load(origin, users(70), replace="partners")
    assert subjects(origin) == sorted(users(100))
    assert load(origin, users(90), replace="partners", dry_run=True) == Applied(unchanged=90, removed=10)
    assert load(origin, users(90), replace="partners") == Applied(unchanged=90, removed=10)
    assert subjects(origin) == sorted(users(90))


def test_entries_are_scanned_got_and_explained(origin: Origin) -> None:
    given = entry("user@example.com", "hard_bounce", "stream:news", "partners", note="550 5.1.1, é")
    add(origin, given, entry("@example.com", "role"), entry("other@example.com"))
    assert list(origin.scan("partners")) == [given]
    assert subjects(origin, reason=Reason.MANUAL) == ["other@example.com"]
    assert origin.get(given.subject) == [given]
    matches = origin.matches(parse("user@example.com")).matches
    (ref,) = {match.found.ref for match in matches if match.found.reason == "hard_bounce"}
    assert origin.by_ref(ref) == [given]
    assert reasons(origin, "user@example.com") == ["hard_bounce", "role"]


def test_what_has_expired_is_swept(origin: Origin) -> None:
    load(origin, users(100), entry("like@example.com", expires=NOW))
    add(origin, entry("left@example.com", expires=NOW + 1))
    assert origin.sweep(NOW) == 100
    assert subjects(origin) == ["left@example.com"]


def test_counts_size_and_position_are_of_all_shards(origin: Origin) -> None:
    load(origin, users(500))
    origin.apply([Remove(parse_subject("user0@example.com"))])
    assert list(origin.counts().values()) == [499]
    assert origin.position() == 501
    assert origin.size() > 499 * 40


def test_a_gate_follows_every_change_on_every_shard(gate: Gate, origin: Origin) -> None:
    load(origin, users(1000))
    add(origin, entry("added@example.com"))
    origin.apply([Remove(parse_subject("user0@example.com"))])
    wait_until_caught_up(gate, origin)
    assert refused(gate, [*users(1000), "added@example.com"]) == [*users(1000)[1:], "added@example.com"]
    assert gate.metric("sendgate_resyncs_total") == gate.metric("sendgate_resyncs_total", cause="bootstrap") == 1


@pytest.mark.parametrize("place", ["cluster"], indirect=True)
def test_a_slot_that_moves_while_lists_change_and_are_followed_loses_nothing(
    place: Place, prefix: str, gate: Gate, origin: Origin
) -> None:
    assert place.cluster
    names = Layout(prefix, SHARDS, BUCKETS).names()
    slots = [place.servers[0].command("CLUSTER", "KEYSLOT", shard.changes) for shard in names]
    with Writer(place.settings(prefix=prefix)) as writer:
        for slot in slots[:2]:
            writer.wait_for_more(50)
            move_slowly(place.cluster, slot)
        writer.wait_for_more(50)
    assert subjects(origin) == sorted(writer.written)
    wait_until_caught_up(gate, origin)
    assert refused(gate, writer.written) == writer.written
    assert gate.metric("sendgate_resyncs_total") == 1


@pytest.mark.parametrize("shards", [4, 8, 16, 64, 256])
def test_shards_are_spread_evenly_over_three_nodes(shards: int) -> None:
    node = cluster().servers[0]
    slots = [node.command("CLUSTER", "KEYSLOT", names.meta) for names in Layout("sendgate", shards, BUCKETS).names()]
    each = [sum(slot in part for slot in slots) for part in slot_parts(3)]
    assert sum(each) == shards
    assert max(each) - min(each) <= 1


def test_all_keys_of_a_shard_are_in_one_slot() -> None:
    node = cluster().servers[0]
    for names in Layout("sendgate", SHARDS, BUCKETS).names():
        keys = [names.meta, names.labels, names.counts, names.changes, names.lease, names.bucket(BUCKETS - 1)]
        assert len({node.command("CLUSTER", "KEYSLOT", key) for key in keys}) == 1
