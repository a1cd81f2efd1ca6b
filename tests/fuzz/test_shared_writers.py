"""Writers of a shared origin that come between each other's reading and writing, and between the parts of a copy.

Whatever they do: what was told as added and removed is what there is, no refresh is lost, the counts are those of the
entries, each stream is one chain, and a replica has in the end just what the origin has, whenever it was copied.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.model import Model, identity
from fuzz.strategies import names, scopes
from sendgate.entry import Add, Change, Entry, Reason, Remove, RemoveList, parse_subject
from sendgate.keys import Keyer
from sendgate.store.copying import copy_lists
from sendgate.store.environment import Environment
from sendgate.store.followed import FollowedReplica
from sendgate.store.origin import Applied, LoadOptions
from sendgate.store.redis_client import Argument, Key, RedisClient
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin
from store.order import assert_in_order, assert_replica_is_the_origin
from store.parts import (
    HISTORY,
    MAX_SIZE,
    SharedLists,
    shards_of,
)

_SUBJECTS = ["user@example.com", "user+a@example.com", "u.ser@gmail.com", "@example.com", "user@", "md5:" + "0" * 32]
_BY_KEY = f"key:local:{Keyer().key('user@').hex()}"
_subjects = st.sampled_from(_SUBJECTS).map(parse_subject)
_reasons = st.sampled_from([Reason.TRAP, Reason.MANUAL])


def entries_about(subjects: Iterable[str]) -> st.SearchStrategy[Entry]:
    return st.builds(
        Entry,
        st.sampled_from(list(subjects)).map(parse_subject),
        _reasons,
        scopes,
        names,
        created=st.integers(0, 9),
        expires=st.none() | st.integers(1, 30),
        strikes=st.integers(1, 9),
    )


_entries = entries_about([*_SUBJECTS, _BY_KEY])
_removals = st.builds(Remove, _subjects, st.none() | _reasons, st.none(), st.none() | names)
_changes = st.one_of(_entries.map(Add), _entries.map(Add), _removals, names.map(RemoveList))
_batches = st.lists(st.lists(_changes, min_size=1, max_size=4), max_size=6)
_few = st.lists(_entries, min_size=1, max_size=4)
_additions = st.lists(st.lists(entries_about(_SUBJECTS), min_size=1, max_size=4), max_size=6)

Write = Callable[[SharedOrigin], Applied]


def apply(changes: list[Change]) -> Write:
    return lambda origin: origin.apply(changes)


def load(entries: list[Entry], replace: str | None) -> Write:
    options = LoadOptions(replace=replace, force=True)
    rows = [(entry.subject, entry) for entry in entries]
    return lambda origin: origin.load(rows, options, lambda _phase, _done, _all: None)


_writes = st.lists(
    st.builds(apply, st.lists(_changes, min_size=1, max_size=4)) | st.builds(load, _few, st.none() | names)
)


class InterruptedClient(RedisClient):
    """A connection whose user is interrupted before each of its writings and after each of its readings."""

    def __init__(self, others: list[Callable[[], None]], known: RedisClient) -> None:
        super().__init__(known.access)
        self._others = others

    def run(self, name: str, keys: Iterable[Key], arguments: Iterable[Argument] = ()) -> Any:
        if name == "write":
            self._interrupt()
        answer = super().run(name, keys, arguments)
        if name != "write":
            self._interrupt()
        return answer

    def _interrupt(self) -> None:
        if self._others:
            self._others.pop(0)()


class Writers:
    """Lists with a replica, one writer that is interrupted, and another that interrupts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lists = SharedLists(folder / "early", buckets=2)
        self.other = SharedOrigin(shards_of(self.lists.prefix), Keyer())
        self.told = Applied()
        self.waiting: list[Callable[[], None]] = []

    def interrupted(self) -> Shards:
        """The lists over a connection that is interrupted by what waits."""
        known = self.lists.shards
        shards = Shards(InterruptedClient(self.waiting, known.client), known.layout, HISTORY)
        shards.look()
        return shards

    def interrupt(self, batches: list[list[Change]]) -> None:
        """Let the other writer do these, one at each interruption from now on."""
        self.waiting += [partial(self._apply, changes) for changes in batches]

    def do(self, write: Write) -> None:
        """Write as the one that is interrupted."""
        shards = self.interrupted()
        self.told.merge(write(SharedOrigin(shards, Keyer())))
        shards.client.close()

    def copy(self) -> FollowedReplica:
        """Copy the lists, interrupted by what waits; then let it do what it has left."""
        shards = self.interrupted()
        copy_lists(shards, self.folder / "late", b"", MAX_SIZE, None, lambda _copied, _entries: None)
        shards.client.close()
        for rest in self.waiting:
            rest()
        late = FollowedReplica(Environment(self.folder / "late", MAX_SIZE, b"", write=True), self.lists.shards)
        late.catch_up()
        return late

    def close(self) -> None:
        self.other.close()
        self.lists.close()

    def _apply(self, changes: list[Change]) -> None:
        self.told.merge(self.other.apply(changes))


@given(_writes, _batches, _batches)
@settings(max_examples=settings.default.max_examples // 10 if settings.default else 30)
def test_interrupted_writers_and_copies_leave_all_in_order(
    writes: list[Write], meanwhile: list[list[Change]], while_copying: list[list[Change]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writers = Writers(Path(folder))
        lists = writers.lists
        writers.interrupt(meanwhile)
        for write in writes:
            writers.do(write)
        writers.interrupt(while_copying)
        late = writers.copy()
        assert writers.told.added - writers.told.removed == len(list(lists.origin.scan()))
        assert_in_order(lists)
        assert_replica_is_the_origin(late.environment, lists)
        late.environment.close()
        writers.close()


@given(_additions, _additions)
@settings(max_examples=settings.default.max_examples // 10 if settings.default else 30)
def test_no_refresh_is_lost(mine: list[list[Entry]], theirs: list[list[Entry]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writers, model = Writers(Path(folder)), Model()
        writers.interrupt([[Add(entry) for entry in entries] for entries in theirs])
        for number, entries in enumerate(mine):
            writers.do(load(entries, None) if number % 2 else apply([Add(entry) for entry in entries]))
        for rest in writers.waiting:
            rest()
        for entry in (entry for entries in [*mine, *theirs] for entry in entries):
            model.add(entry)
        found = {identity(entry): (entry.expires, entry.strikes) for entry in writers.lists.origin.scan()}
        assert found == {known: (entry.expires, entry.strikes) for known, entry in model.entries.items()}
        writers.close()
