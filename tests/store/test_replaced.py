"""A data.mdb that is exchanged while processes have it open: LMDB's lock.mdb still speaks of the old one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sendgate.address import parse
from sendgate.entry import Add, Entry, Reason, parse_subject
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreCorruptError, StoreError, StoreMissingError
from sendgate.store.replica import Replica, open_replica

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
