"""A data.mdb that is exchanged while processes have it open: LMDB's lock.mdb still speaks of the old one.

And a replica's versions, of which another becomes current: what serves goes over to it, and nobody notices.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from sendgate.address import parse
from sendgate.entry import Add, Entry, Reason, parse_subject
from sendgate.gate import LookupFailedError
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreCorruptError, StoreError, StoreMissingError
from sendgate.store.replica import Replica, open_replica
from sendgate.store.replica_folder import ReplicaFolder
from sendgate.store.serving import ServingReplica

MAX_SIZE = 2**30
KEYER = Keyer()


def add(store: Path, *subjects: str) -> None:
    origin = EmbeddedOrigin(store, KEYER, MAX_SIZE)
    for subject in subjects:  # a transaction each: the two files shall differ in their numbers
        origin.apply([Add(Entry(parse_subject(subject), Reason.HARD_BOUNCE))])
    origin.close()


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """A store, and the store to restore, which is further on."""
    add(tmp_path / "now", "gone@example.com")
    add(tmp_path / "other", "gone@example.com", "trap@example.com", "left@example.com")
    return tmp_path / "now", tmp_path / "other"


def test_a_file_overwritten_in_place_is_noticed_by_those_who_have_it_open(stores: tuple[Path, Path]) -> None:
    now, other = stores
    replica = open_replica(now, KEYER, MAX_SIZE)
    replica.check_current()
    shutil.copyfile(other / "data.mdb", now / "data.mdb")
    with pytest.raises(StoreError):
        replica.check_current()
    replica.close()


def test_a_file_exchanged_by_rename_is_noticed_by_those_who_have_it_open(stores: tuple[Path, Path]) -> None:
    now, other = stores
    replica = open_replica(now, KEYER, MAX_SIZE)
    (other / "data.mdb").rename(now / "data.mdb")
    with pytest.raises(StoreMissingError, match="replaced"):
        replica.check_current()
    replica.close()


def test_nobody_opens_an_exchanged_file_while_the_old_lock_is_held(stores: tuple[Path, Path]) -> None:
    now, other = stores
    holder = os.fork()
    if holder == 0:
        held = Environment(now, MAX_SIZE, b"", write=False)
        (now / "held").touch()
        while not (now / "let go").exists():
            pass
        held.close()
        os._exit(0)
    while not (now / "held").exists():
        pass
    try:
        (other / "data.mdb").rename(now / "data.mdb")
        with pytest.raises(StoreCorruptError, match="replaced while in use"):
            open_replica(now, KEYER, MAX_SIZE)
    finally:
        (now / "let go").touch()
        os.waitpid(holder, 0)
    assert lookup(now, "trap@example.com"), "when all have let go, the new file is in force"


def lookup(store: Path, address: str) -> bool:
    replica: Replica = open_replica(store, KEYER, MAX_SIZE)
    try:
        return bool(replica.lookup(parse(address)))
    finally:
        replica.close()


class Pod:
    """A replica's folder and what serves from it. `told`: how often of a fault and of a recovery."""

    def __init__(self, folder: Path) -> None:
        self.folder = ReplicaFolder(folder)
        self.told: Counter[str] = Counter()
        self.stale = False
        self.serving = ServingReplica(
            lambda: open_replica(self.folder.current(), KEYER, MAX_SIZE),
            lambda _error: self.told.update(["fault"]),
            lambda: self.told.update(["recovery"]),
            place=self.folder.current,
            is_stale=lambda: self.stale,
        )

    def switch_to(self, *subjects: str) -> Path:
        """A new version with these subjects, made current; what it was before is deleted."""
        version = self.folder.new_version()
        add(version, *subjects)
        self.folder.switch(version)
        self.folder.tidy()
        return version

    def names(self, address: str) -> bool:
        return bool(self.serving.lookup(parse(address)))


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """A pod that serves a version in which `old@example.com` is."""
    made = Pod(tmp_path / "replica")
    made.switch_to("old@example.com")
    made.serving.check()
    yield made
    made.serving._drop()


def test_a_version_that_becomes_current_is_served_from_the_next_look_on(pod: Pod) -> None:
    pod.switch_to("new@example.com")
    assert (pod.names("old@example.com"), pod.names("new@example.com")) == (True, False)
    pod.serving.check()
    assert (pod.names("old@example.com"), pod.names("new@example.com")) == (False, True)
    assert pod.told == {}


def test_no_lookup_fails_while_versions_take_each_other_s_place(pod: Pod) -> None:
    over = Event()

    def look() -> int:
        looked = 0
        while not over.is_set():
            assert pod.names("old@example.com")
            looked += 1
        return looked

    with ThreadPoolExecutor(4) as threads:
        looking = [threads.submit(look) for _ in range(4)]
        try:
            for number in range(15):
                pod.switch_to("old@example.com", f"new{number}@example.com")
                pod.serving.check()
        finally:
            over.set()
        assert all(each.result() for each in looking)
    assert pod.told == {}


def test_a_version_that_cannot_be_opened_leaves_the_one_that_is_served(pod: Pod) -> None:
    broken = pod.folder.new_version()
    (broken / "data.mdb").write_bytes(b"no lists")
    pod.folder.switch(broken)
    pod.serving.check()
    assert pod.names("old@example.com")
    assert pod.told == {}
    pod.switch_to("new@example.com")
    pod.serving.check()
    assert pod.names("new@example.com")


def test_a_replica_that_is_discarded_is_told_once_and_so_is_the_next_one(pod: Pod) -> None:
    pod.folder.discard()
    for _ in range(3):
        pod.serving.check()
        with pytest.raises(LookupFailedError):
            pod.names("old@example.com")
    assert pod.told == {"fault": 1}
    pod.switch_to("new@example.com")
    for _ in range(3):
        pod.serving.check()
        assert pod.names("new@example.com")
    assert pod.told == {"fault": 1, "recovery": 1}


def test_before_the_first_version_there_is_nothing_to_look_up_in(tmp_path: Path) -> None:
    pod = Pod(tmp_path / "replica")
    pod.serving.check()
    with pytest.raises(LookupFailedError):
        pod.names("old@example.com")
    pod.switch_to("old@example.com")
    pod.serving.check()
    assert pod.names("old@example.com")
    assert pod.told == {"fault": 1, "recovery": 1}
    pod.serving._drop()


def test_whether_the_replica_is_too_old_is_known_from_the_last_look(pod: Pod) -> None:
    pod.stale = True
    assert not pod.serving.stale()
    pod.serving.check()
    assert pod.serving.stale()
    pod.stale = False
    pod.serving.check()
    assert not pod.serving.stale()
