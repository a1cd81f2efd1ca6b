"""The length of the store's file: LMDB leaves away pages at its end that no transaction needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sendgate.entry import RemoveList
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreCorruptError
from sendgate.store.replica import open_replica
from store.parts import MAX_SIZE, EmbeddedLists, add, entry, load, rows


def freed_at_the_end(folder: Path) -> EmbeddedLists:
    """A store whose last transaction took pages behind the end of the file, and needed none of them in the end."""
    lists = EmbeddedLists(folder)
    load(lists, rows((f"u{number}@example.com" for number in range(400)), entry("x@x.com", "hard_bounce")))
    for first in range(0, 1500, 500):
        add(lists, *(entry(f"v{number}@example.com", list_name="big") for number in range(first, first + 500)))
    lists.origin.apply([RemoveList("big")])
    return lists


def missing_octets(folder: Path, environment: Environment) -> int:
    """By how much the file is shorter than all pages that were ever given out."""
    pages = int(environment.env.info()["last_pgno"]) + 1
    return pages * environment.psize - (folder / "data.mdb").stat().st_size


def test_a_store_is_whole_after_a_large_removal(tmp_path: Path) -> None:
    lists = freed_at_the_end(tmp_path)
    lists.origin._environment.check_length()
    lists.close()
    open_replica(tmp_path, Keyer(), MAX_SIZE).close()
    EmbeddedOrigin(tmp_path, Keyer(), MAX_SIZE, create=False).close()


def test_a_file_that_a_killed_writer_left_short_is_lengthened_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Environment, "_lengthen", lambda _self: None)
        lists = freed_at_the_end(tmp_path)
        assert missing_octets(tmp_path, lists.origin._environment) > 0
        lists.close()
    origin = EmbeddedOrigin(tmp_path, Keyer(), MAX_SIZE, create=False)
    assert sum(origin.counts().values()) == 400
    origin.close()
    open_replica(tmp_path, Keyer(), MAX_SIZE).close()


def test_a_file_that_was_cut_within_its_pages_is_damaged_for_readers_and_writers(tmp_path: Path) -> None:
    lists = EmbeddedLists(tmp_path)
    load(lists, rows((f"u{number}@example.com" for number in range(5000)), entry("x@x.com")))
    lists.close()
    os.truncate(tmp_path / "data.mdb", (tmp_path / "data.mdb").stat().st_size // 2)
    with pytest.raises(StoreCorruptError, match="cut short"):
        open_replica(tmp_path, Keyer(), MAX_SIZE)
    with pytest.raises(StoreCorruptError, match="cut short"):
        EmbeddedOrigin(tmp_path, Keyer(), MAX_SIZE, create=False)
