"""Names and bytes of the shared origin: what goes in comes out, in the order of the keys, spread over all slots."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from sendgate.entry import MAX_STRIKES, MAX_TIME, Entry, Kind, Origin, Reason, Scope, parse_subject
from sendgate.keys import Keyer
from sendgate.store.errors import StoreCorruptError
from sendgate.store.layout import (
    FIELD_OCTETS,
    KEY_OCTETS,
    KIND_CODES,
    REMOVED,
    ROW_OCTETS,
    Layout,
    Row,
    Value,
    entry_of,
    kind_of_code,
    label_id,
    merged,
    pack_value,
    unpack_rows,
    unpack_value,
    value_from_spill,
    value_of,
    value_of_record,
)
from sendgate.store.record import Label, Record, later_expiry, pack_shared

LAYOUTS = [(1, 1), (1, 2**20), (256, 1), (4, 64), (16, 16384), (256, 2**20)]
SHARDS = [2**power for power in range(9)]

_times = st.integers(0, MAX_TIME)
_subjects = st.sampled_from(
    ["user@example.com", "josé@bücher.example", "@example.com", "@.example.com", "user@", "md5:" + "0" * 32,
     "sha1:" + "1" * 40, "sha256:" + "2" * 64, "key:" + "3" * 32, "key:local:" + "4" * 32]
)  # fmt: skip
_notes = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
_values = st.builds(
    Value,
    _times,
    _times,
    st.sampled_from(Origin),
    st.integers(0, MAX_STRIKES),
    st.sampled_from(Kind),
    _subjects,
    _notes,
)
_entries = st.builds(
    Entry,
    _subjects.map(parse_subject),
    st.sampled_from(Reason),
    st.sampled_from([Scope(), Scope("stream", "news"), Scope("campaign", "spring")]),
    st.sampled_from(["default", "partners"]),
    st.sampled_from(Origin),
    _times,
    st.none() | st.integers(1, MAX_TIME),
    st.integers(0, MAX_STRIKES),
    _notes,
)
_keys = st.binary(min_size=KEY_OCTETS, max_size=KEY_OCTETS)
_layouts = st.sampled_from([Layout("lists", shards, buckets) for shards, buckets in LAYOUTS])


def label_of(entry: Entry) -> Label:
    return Label(entry.reason, entry.scope, entry.list, mailbox_wide=False)


def row_of(field: bytes, value: bytes) -> bytes:
    """A row as the scripts make it."""
    return field + value[: ROW_OCTETS - FIELD_OCTETS]


@given(_values)
def test_a_value_is_read_as_it_was_written(value: Value) -> None:
    assert unpack_value(pack_value(value)) == value


@given(_entries)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    packed = pack_value(value_of(entry, entry.subject.text))
    assert entry_of(label_of(entry), unpack_value(packed)) == entry


@given(_entries)
def test_an_imported_value_is_the_one_that_is_added(entry: Entry) -> None:
    before, after = pack_shared(entry)
    spilled = before + entry.subject.text.encode() + after
    assert value_from_spill(spilled, entry.subject.kind) == pack_value(value_of(entry, entry.subject.text))


@given(_keys, _entries)
def test_a_row_has_what_a_replica_needs(key: bytes, entry: Entry) -> None:
    label = label_id(label_of(entry))
    (row,) = unpack_rows(row_of(key + label, pack_value(value_of(entry, entry.subject.text))))
    kind = KIND_CODES[entry.subject.kind]
    assert row[:5] == (key, label, entry.created, entry.expires or 0, list(Origin).index(entry.origin))
    assert row[5:] == (entry.strikes, kind)
    assert not row.removed


@given(_keys, _entries)
def test_a_replica_s_record_tells_all_but_the_subject_and_the_note(key: bytes, entry: Entry) -> None:
    (row,) = unpack_rows(row_of(key + bytes(8), pack_value(value_of(entry, entry.subject.text))))
    told = value_of_record(key, Record(1, row.created, row.expires, row.number))
    subject = parse_subject(told.subject)
    assert told == value_of(entry, told.subject)._replace(note="")
    assert (subject.kind, Keyer().subject_key(subject, mailbox_wide=False)) == (entry.subject.kind, key)


@given(st.lists(st.tuples(_keys, _values)))
def test_rows_are_read_in_their_order(given: list[tuple[bytes, Value]]) -> None:
    packed = b"".join(row_of(key + bytes(8), pack_value(value)) for key, value in given)
    assert [row.key for row in unpack_rows(packed)] == [key for key, _ in given]


@pytest.mark.parametrize("kind", Kind)
def test_a_removed_row_keeps_its_kind(kind: Kind) -> None:
    row = Row(bytes(16), bytes(8), 0, 0, 0, 1, KIND_CODES[kind] | REMOVED)
    assert row.removed
    assert kind_of_code(row.kind) is kind
    assert row.number & 0xFF == KIND_CODES[kind]


def test_every_kind_has_a_code_of_its_own() -> None:
    assert sorted(KIND_CODES.values()) == list(range(len(Kind)))


@given(st.binary(max_size=60))
def test_any_octets_are_a_value_or_told_to_be_damaged(packed: bytes) -> None:
    try:
        assert isinstance(unpack_value(packed), Value)
    except StoreCorruptError as error:
        assert str(error)


@pytest.mark.parametrize("octets", [1, ROW_OCTETS - 1, ROW_OCTETS + 1])
def test_rows_of_another_length_are_damage(octets: int) -> None:
    with pytest.raises(StoreCorruptError):
        list(unpack_rows(bytes(octets)))


def test_an_unknown_kind_is_damage() -> None:
    with pytest.raises(StoreCorruptError):
        kind_of_code(len(Kind))


@given(_values, _values)
def test_adding_again_extends_and_never_shortens(old: Value, new: Value) -> None:
    both = merged(old, new)
    assert both.expires == later_expiry(old.expires, new.expires)
    assert both.strikes == max(old.strikes, new.strikes)
    assert (both.created, both.origin) == (old.created, new.origin)
    assert both.note == (new.note or old.note)
    assert (both.subject, both.kind) in ((old.subject, old.kind), (new.subject, new.kind))


@given(_values, _values)
def test_adding_the_same_twice_changes_nothing(old: Value, new: Value) -> None:
    assert merged(merged(old, new), new) == merged(old, new)


def test_a_subject_known_by_its_key_is_told_in_clear_by_one_who_knows() -> None:
    known = Value(1, 0, Origin.IMPORT, 1, Kind.ADDRESS, "key:" + "0" * 32, "")
    clear = known._replace(subject="user@example.com")
    assert merged(known, clear).subject == merged(clear, known).subject == "user@example.com"


@given(_layouts, _keys)
def test_a_key_is_in_the_bucket_whose_range_it_is_in(layout: Layout, key: bytes) -> None:
    shard, bucket = layout.shard_of(key), layout.bucket_of(key)
    assert 0 <= shard < layout.shards
    assert 0 <= bucket < layout.buckets
    assert layout.first_key(shard, bucket) <= key < layout.first_key(shard, bucket + 1)


@given(_layouts, st.lists(_keys, min_size=2))
def test_buckets_are_ordered_as_the_keys_are(layout: Layout, keys: list[bytes]) -> None:
    places = [(layout.shard_of(key), layout.bucket_of(key)) for key in sorted(keys)]
    assert places == sorted(places)


@pytest.mark.parametrize(("shards", "buckets"), LAYOUTS)
def test_the_first_key_of_a_bucket_is_in_it(shards: int, buckets: int) -> None:
    layout = Layout("lists", shards, buckets)
    for shard in {0, shards // 2, shards - 1}:
        for bucket in {0, buckets // 2, buckets - 1}:
            first = layout.first_key(shard, bucket).ljust(KEY_OCTETS, b"\0")
            assert (layout.shard_of(first), layout.bucket_of(first)) == (shard, bucket)


@pytest.mark.parametrize(("shards", "buckets"), LAYOUTS)
def test_behind_the_last_bucket_of_a_shard_comes_the_next_shard_or_no_key_at_all(shards: int, buckets: int) -> None:
    layout = Layout("lists", shards, buckets)
    for shard in range(shards - 1):
        assert layout.first_key(shard, buckets) == layout.first_key(shard + 1, 0)
    assert layout.first_key(shards - 1, buckets) > b"\xff" * KEY_OCTETS


@given(_layouts, _keys)
def test_the_start_of_a_key_is_in_the_bucket_of_the_key(layout: Layout, key: bytes) -> None:
    assert (layout.shard_of(key[:4]), layout.bucket_of(key[:4])) == (layout.shard_of(key), layout.bucket_of(key))


@pytest.mark.parametrize("secret", [b"", b"one", b"two"])
def test_keys_spread_over_all_shards(secret: bytes) -> None:
    layout, keyer = Layout("lists", 16, 4), Keyer(secret)
    found = {layout.shard_of(keyer.key(f"user{number}@example.com")) for number in range(500)}
    assert found == set(range(16))


@pytest.mark.parametrize("shards", SHARDS)
def test_each_shard_is_in_its_own_part_of_the_slots(shards: int) -> None:
    share = REDIS_CLUSTER_HASH_SLOTS // shards
    slots = [key_slot(names.meta.encode()) for names in Layout("lists", shards, 1).names()]
    assert [slot // share for slot in slots] == list(range(shards))


def test_all_keys_of_a_shard_are_in_one_slot() -> None:
    for names in Layout("lists", 256, 4).names():
        keys = [names.meta, names.labels, names.counts, names.changes, names.lease, names.bucket(0), names.bucket(3)]
        assert len({key_slot(key.encode()) for key in keys}) == 1


def test_no_two_keys_have_one_name() -> None:
    names = [
        name
        for shard in Layout("lists", 16, 32).names()
        for name in (shard.meta, shard.labels, shard.counts, shard.changes, shard.lease, *map(shard.bucket, range(32)))
    ]
    assert len(set(names)) == len(names)
    assert all(name.startswith("lists:{") for name in names)


@given(_entries, _entries)
def test_labels_are_one_only_if_all_of_them_is(one: Entry, other: Entry) -> None:
    first, second = label_of(one), label_of(other)
    assert (label_id(first) == label_id(second)) == (first == second)
    assert label_id(first) != label_id(first._replace(mailbox_wide=True))
    assert label_id(label_of(replace(one, note="", created=0))) == label_id(first)
