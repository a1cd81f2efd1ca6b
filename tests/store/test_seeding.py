"""A pod that begins with a copy of another pod's replica, made while that one follows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sendgate.address import parse
from sendgate.keys import Keyer
from sendgate.store.environment import Environment
from sendgate.store.followed import FollowedReplica
from sendgate.store.replica import Replica
from store.parts import MAX_SIZE, SharedLists, add, entry


def test_a_copied_replica_goes_on_where_the_copy_was_made(tmp_path: Path) -> None:
    lists = SharedLists(tmp_path / "replica")
    add(lists, *(entry(f"user{number}@example.com") for number in range(100)))
    lists.catch_up()
    seed = tmp_path / "seed"
    seed.mkdir()
    lists.followed.environment.env.copy(str(seed))  # what mdb_copy does
    add(lists, entry("late@example.com", "trap"))
    with closing(Environment(seed, MAX_SIZE, b"", write=True)) as environment:
        followed = FollowedReplica(environment, lists.shards)
        replica = Replica(environment, Keyer())
        assert (len(replica.lookup(parse("user7@example.com"))), replica.lookup(parse("late@example.com"))) == (1, [])
        followed.catch_up()
        assert [found.reason for found in replica.lookup(parse("late@example.com"))] == ["trap"]
        assert environment.file.stat().st_size > 0
    lists.close()
