"""Differences between a replica and its origin that no change tells of: found and mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sendgate.keys import Keyer
from sendgate.store.audit import Audit, Divergence
from sendgate.store.layout import label_id, pack_value, unpack_value
from store.parts import NOW, SharedLists, add, entry, reasons, shared_server

USERS = [entry(f"user{number}@example.com", "hard_bounce", list_name="partners") for number in range(200)]
PERIOD = 3600.0


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[SharedLists]:
    opened = SharedLists(tmp_path / "replica")
    add(opened, *USERS)
    opened.catch_up()
    yield opened
    opened.close()


def audited(lists: SharedLists) -> list[Divergence]:
    """What one whole comparison finds."""
    clock = Clock()
    audit = Audit(lists.followed, lists.shards, PERIOD, clock)
    found: list[Divergence] = []
    while clock.now <= PERIOD:
        found += audit.go_on()
        clock.now += PERIOD / 100
    return found


def place(lists: SharedLists, number: int) -> tuple[int, str, bytes]:
    """Where a user's entry is in Redis: the shard, the bucket's name and the field."""
    key = Keyer().subject_key(USERS[number].subject, False)
    shard = lists.shards.layout.shard_of(key)
    bucket = lists.shards.names[shard].bucket(lists.shards.layout.bucket_of(key))
    return shard, bucket, key + label_id(lists.origin.label(USERS[number]))


def test_a_replica_in_step_has_no_difference(lists: SharedLists) -> None:
    assert audited(lists) == []


def test_an_entry_that_vanished_from_the_origin_stays_in_force_and_is_told_once(lists: SharedLists) -> None:
    shard, bucket, field = place(lists, 7)
    shared_server().client.hdel(bucket, field)
    assert audited(lists) == [Divergence(shard, taken_in=0, kept=1)]
    assert reasons(lists, "user7@example.com") == ["hard_bounce"]
    assert lists.replica.kept() == 1
    assert audited(lists) == []


def test_an_entry_that_only_the_origin_has_is_taken_in(lists: SharedLists) -> None:
    _, bucket, field = place(lists, 7)
    value = shared_server().client.hget(bucket, field)
    stranger = Keyer().subject_key(entry("stranger@example.com").subject, False)
    assert isinstance(value, bytes)
    there = lists.shards.layout.shard_of(stranger), lists.shards.layout.bucket_of(stranger)
    shared_server().client.hset(lists.shards.names[there[0]].bucket(there[1]), stranger + field[16:], value)
    assert audited(lists) == [Divergence(there[0], taken_in=1, kept=0)]
    assert reasons(lists, "stranger@example.com") == ["hard_bounce"]


def test_an_entry_that_is_otherwise_at_the_origin_is_taken_over(lists: SharedLists) -> None:
    shard, bucket, field = place(lists, 7)
    value = shared_server().client.hget(bucket, field)
    assert isinstance(value, bytes)
    shared_server().client.hset(bucket, field, pack_value(unpack_value(value)._replace(expires=NOW + 60)))
    assert audited(lists) == [Divergence(shard, taken_in=1, kept=0)]
    assert [found.expires for found in lists.lookup("user7@example.com")] == [NOW + 60]


def test_what_is_on_its_way_is_no_difference(lists: SharedLists) -> None:
    add(lists, *(entry(f"late{number}@example.com") for number in range(50)))  # and not yet taken in
    assert audited(lists) == []
    assert reasons(lists, "late7@example.com") == ["manual"]


def test_a_shard_that_moves_is_tried_again_and_the_comparison_spread_over_its_period(
    lists: SharedLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def moving(shard: int, _buckets: range) -> tuple[bytes, bytes, int, int]:
        asked.append(shard)
        return b"", b"", 0, 0

    monkeypatch.setattr(lists.shards, "digest", moving)
    clock = Clock()
    audit = Audit(lists.followed, lists.shards, PERIOD, clock)
    for _ in range(20):
        assert list(audit.go_on()) == []
    assert asked == [0] * 20
    assert list(audit.go_on()) == []
    assert asked == [0] * 20  # the next range is not due yet
    clock.now = PERIOD / 2
    assert list(audit.go_on()) == []
    assert asked == [0] * 20 + [1]


def test_no_period_means_never(lists: SharedLists) -> None:
    _, bucket, field = place(lists, 7)
    shared_server().client.hdel(bucket, field)
    assert list(Audit(lists.followed, lists.shards, 0, Clock()).go_on()) == []
