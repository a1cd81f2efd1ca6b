"""What the tests of the shared mode have in common: lists in Redis, gates that follow them, recipients asked about.

In: a running server. Out: an open origin, gates, replies, and how a replica differs from its origin.
Recipients are asked about over the milter protocol, as Postfix does it, each in a connection of its own, so that
every worker gets some.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import cycle
from struct import Struct
from typing import Any, NamedTuple

from faults.parts import events
from sendgate.entry import Add, Remove, parse_subject
from sendgate.keys import Keyer
from sendgate.origin_url import parse_origin_url
from sendgate.store.copying import copy_lists
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreError
from sendgate.store.layout import Layout, label_id
from sendgate.store.opening import open_shards
from sendgate.store.origin import LoadOptions
from sendgate.store.record import unpack_label
from sendgate.store.redis_client import Access, RedisClient
from sendgate.store.replica import open_replica, read_counts, read_position
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.shared import SharedOrigin
from smtp.mta_side import CONTINUE, MtaSide
from store.parts import MAX_SIZE, entry, rows
from trial.background import Background
from trial.gate import Gate
from trial.redis_server import RedisServer, process_state
from trial.waiting import wait_until

SHARDS, BUCKETS = 4, 64
PREFIX = "sendgate"
HISTORY = 64 * 2**20
TIMEOUT_SECONDS = 2
PATIENCE = 30
IN_STEP_SECONDS = 1.5
"""A replica that follows is younger: the origin is looked at every second."""
GOOD = "good@example.com"
BAD = tuple(f"bad{number}@example.com" for number in range(40))
"""Suppressed from the start; they are on all shards."""

Records = dict[bytes, tuple[int, int]]
_RECORD = Struct(">4sII4x")  # label, created, expires


def shared_gate(server: RedisServer, *, workers: int = 2, **store: Any) -> Gate:
    """A gate that follows the lists of a server, not yet started. store: further settings of that section."""
    settings = {
        "url": server.url,
        "shards": SHARDS,
        "buckets": BUCKETS,
        "timeout": f"{TIMEOUT_SECONDS}s",
        "resync_spread": 0,
        **store,
    }
    return Gate({"milter": {"workers": workers}, "store": settings})


@contextmanager
def running(gate: Gate, *, wait: bool = True) -> Iterator[Gate]:
    """The gate, started. At the end it is killed, which is quicker than to drain it; nothing of it is left behind."""
    try:
        gate.start(wait=wait)
        yield gate
        os.kill(gate.pid, signal.SIGKILL)
    finally:
        try:
            gate.stop()
        finally:
            gate.remove()


@contextmanager
def following(server: RedisServer, origin: SharedOrigin, **store: Any) -> Iterator[Gate]:
    """A gate that was in step with the origin before, and follows it again."""
    gate = shared_gate(server, **store)
    seed_replica(gate, origin)
    with running(gate):
        wait_until(lambda: events(gate, "following"), PATIENCE, "it follows")
        yield gate


def seed_replica(gate: Gate, origin: SharedOrigin, age_seconds: float = 0) -> None:
    """Give a gate a replica from an earlier run, that was in step so long ago."""
    folder = ReplicaFolder(gate.store)
    version = folder.new_version()
    copy_lists(origin.shards, version, b"", MAX_SIZE, None, lambda _copied, _entries: None)
    folder.switch(version)
    folder.mark_in_step(time.time() - age_seconds)


def open_lists(server: RedisServer, history: int = HISTORY) -> SharedOrigin:
    """The lists of a server, as another client has them open; made when there are none."""
    client = RedisClient(Access(parse_origin_url(server.url), timeout=TIMEOUT_SECONDS))
    return SharedOrigin(open_shards(client, Layout(PREFIX, SHARDS, BUCKETS), b"", history, create=True), Keyer())


def add(origin: SharedOrigin, *subjects: str) -> None:
    origin.apply([Add(entry(subject, "hard_bounce")) for subject in subjects])


def remove(origin: SharedOrigin, *subjects: str) -> None:
    origin.apply([Remove(parse_subject(subject)) for subject in subjects])


def load(origin: SharedOrigin, subjects: Iterable[str]) -> None:
    """Import many subjects at once."""
    origin.load(rows(subjects, entry(BAD[0], "hard_bounce")), LoadOptions(), lambda _phase, _done, _all: None)


def ask(gate: Gate, recipient: str) -> str:
    """The reply to one recipient; 451 when there is nobody to ask, as Postfix has it."""
    try:
        with MtaSide(gate.socket) as mta:
            mta.mail(b"<bounce+ask@x.test>")
            answer = mta.rcpt(f"<{recipient}>".encode())
    except OSError:
        return "451 nobody answers"
    return "250" if answer.code == CONTINUE else answer.text


def wait_until_said(gate: Gate, start: str, *recipients: str) -> None:
    """Ask until all replies begin with `start`, several times, so that every worker gives some."""

    def said() -> bool:
        return all(ask(gate, recipient).startswith(start) for _ in range(4) for recipient in recipients)

    wait_until(said, PATIENCE, f"{start} for {', '.join(recipients)}")


class Said(NamedTuple):
    """Who was asked about, and what was said."""

    recipient: str
    reply: str


class Asker(Background):
    """Asks without end about suppressed recipients and a good one, in turn. Context manager."""

    def __init__(self, gate: Gate, every_seconds: float = 0.01) -> None:
        super().__init__()
        self._gate = gate
        self._every = every_seconds
        self._recipients = cycle(name for bad in BAD for name in (bad, GOOD))
        self.said: list[Said] = []

    def wait_for_more(self, count: int = 30) -> None:
        """Wait until so many more have been asked about."""
        wanted = len(self.said) + count
        wait_until(lambda: len(self.said) >= wanted, PATIENCE, f"{count} more replies")

    def not_right(self) -> list[Said]:
        """All replies but 550 for the suppressed and 250 for the good one, in their order."""
        return [said for said in self.said if not said.reply.startswith("250" if said.recipient == GOOD else "550")]

    def _run(self) -> None:
        while not self._ending.wait(self._every):
            recipient = next(self._recipients)
            self.said.append(Said(recipient, ask(self._gate, recipient)))


def follow_pid(gate: Gate) -> int:
    """The process that follows the origin; 0 while there is none."""
    started = [line["pid"] for line in events(gate, "process_started") if line["process"] == "follow"]
    return started[-1] if started and started[-1] in gate.child_pids() else 0


@contextmanager
def frozen_follower(gate: Gate) -> Iterator[None]:
    """Meanwhile no change is taken in."""
    follower = follow_pid(gate)
    os.kill(follower, signal.SIGSTOP)
    try:
        wait_until(lambda: process_state(follower) == "T", PATIENCE, "it is frozen")
        yield
    finally:
        os.kill(follower, signal.SIGCONT)


def versions(gate: Gate) -> set[str]:
    """The copies of the lists, and what is left of them, in the gate's replica."""
    return {path.name for path in gate.store.glob("version-*")}


def age(gate: Gate) -> float:
    return gate.metric("sendgate_replica_age_seconds")


def kept(gate: Gate) -> float:
    return gate.metric("sendgate_replica_kept_entries")


def resyncs(gate: Gate) -> dict[str, float]:
    """How often the lists were copied, by cause; without the causes that were not."""
    found = {
        dict(labels).get("cause", ""): n for (name, labels), n in gate.metrics().items() if "resyncs_total" in name
    }
    return {cause: count for cause, count in found.items() if count}


def wait_until_caught_up(gate: Gate, origin: SharedOrigin) -> None:
    """Wait until the replica is where the origin is."""
    there = origin.position()
    wait_until(lambda: _position(gate) == there, PATIENCE, f"the replica is at change {there}")


def _position(gate: Gate) -> int:
    try:
        with closing(open_replica(ReplicaFolder(gate.store).current(), Keyer(), MAX_SIZE)) as replica:
            return replica.position()
    except StoreError:
        return -1


def origin_records(origin: SharedOrigin) -> Records:
    """Key and label, created and expires of every entry of the origin."""
    keyer, ids = Keyer(), cache(label_id)
    records: Records = {}
    for found in origin.scan():
        label = origin.label(found)
        place = keyer.subject_key(found.subject, label.mailbox_wide) + ids(label)
        assert place not in records
        records[place] = found.created, found.expires or 0
    return records


def served_records(gate: Gate) -> Records:
    """The same of what a gate serves; none may be there twice."""
    records: Records = {}
    with _served(gate) as environment, environment.begin() as txn:
        stored = txn.cursor(db=environment.databases["labels"])
        ids = {number: label_id(unpack_label(text)) for number, text in stored}
        for key, packed in txn.cursor(db=environment.databases["keys"]):
            for number, created, expires in _RECORD.iter_unpack(packed):
                place = key + ids[number]
                assert place not in records
                records[place] = created, expires
    return records


def assert_same(gate: Gate, origin: SharedOrigin, expected: Records) -> None:
    """A gate serves exactly these records, counts them as the origin does, and is as far as the origin."""
    found = served_records(gate)
    if found != expected:
        missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
        other = [place for place in found.keys() & expected.keys() if found[place] != expected[place]]
        raise AssertionError(f"{len(missing)} missing, {len(extra)} too much, {len(other)} not the same")
    with _served(gate) as environment, environment.begin() as txn:
        assert read_counts(txn, environment) == origin.counts()
        assert read_position(txn, environment) == origin.position()


def _served(gate: Gate) -> closing[Environment]:
    return closing(Environment(ReplicaFolder(gate.store).current(), MAX_SIZE, b"", write=False))
