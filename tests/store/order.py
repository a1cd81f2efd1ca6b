"""What must hold of a shared origin and of every replica that has caught up, whoever wrote what. Asserts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from sendgate.entry import Kind
from sendgate.keys import Keyer
from sendgate.store.environment import Environment
from sendgate.store.layout import ROW_OCTETS
from sendgate.store.replica import Replica, read_kind
from store.parts import SharedLists, rows_of_origin, rows_of_replica, shared_server


def assert_counts_are_those_of_the_entries(lists: SharedLists) -> None:
    origin, entries = lists.origin, list(lists.origin.scan())
    assert origin.counts() == Counter(origin.label(entry) for entry in entries)
    assert origin.kinds() == Counter(entry.subject.kind for entry in entries)


def assert_streams_are_chains(lists: SharedLists) -> None:
    """From the first change on, each names the one before it, and counts its rows."""
    for names, mark in zip(lists.shards.names, lists.shards.look(), strict=True):
        records = [(b"0-0", {b"n": b"0", b"c": b""})]
        records += shared_server().command("XRANGE", names.changes, "-", "+")
        for (before, earlier), (_, later) in pairwise(records):
            assert later[b"p"] == before
            assert int(later[b"n"]) == int(earlier[b"n"]) + len(later[b"c"]) // ROW_OCTETS
        assert mark is not None
        assert (mark.last, mark.sequence) == (records[-1][0], int(records[-1][1][b"n"]))


def assert_replica_is_the_origin(environment: Environment, lists: SharedLists) -> None:
    """Record by record, and in all it says of itself."""
    assert rows_of_replica(environment) == rows_of_origin(lists.shards)
    replica = Replica(environment, Keyer())
    assert replica.count() == lists.origin.counts()
    assert replica.position() == lists.origin.position()
    with environment.begin() as txn:
        kinds = {kind: read_kind(txn, environment, kind) for kind in Kind}
    assert {kind: count for kind, count in kinds.items() if count} == lists.origin.kinds()


def assert_in_order(lists: SharedLists) -> None:
    """All of it, of lists and the replica that follows them."""
    assert_counts_are_those_of_the_entries(lists)
    assert_streams_are_chains(lists)
    lists.catch_up()
    assert_replica_is_the_origin(lists.followed.environment, lists)
