"""Where things are in Redis, and their bytes.

In: keys and typed values. Out: the names of Redis's keys, fields and values, and back.
Refused: `StoreCorruptError` for bytes of another length or unknown codes.

The lists are cut into S shards by the first bits of the key. All of a shard is in one slot of a Cluster, by its hash
tag, so that one script can change it; the tags are such that the shards spread evenly over the slots.

    PREFIX:{TAG}:meta      format, secret, epoch, last (id of the last change), sequence (changes so far), octets
    PREFIX:{TAG}:labels    label id -> JSON of reason, scope, list and matching; never changed
    PREFIX:{TAG}:counts    label id, kind -> entries
    PREFIX:{TAG}:changes   stream; of each entry: p (id of the one before), n (sequence after it), c (rows); of some:
                           s (from here on under the secret of this fingerprint), a (changes that come before it:
                           numbers of other shards, and a sequence of each)
    PREFIX:{TAG}:lease     who deletes expired entries of the shard now
    PREFIX:{TAG}:b:NUMBER  bucket, by the next bits of the key; of each entry: field -> value

    field   16-byte key, 8-byte label id
    value   created, expires (0: never; both 32 bits, big-endian), origin, strikes, kind, subject, and NUL and note
    row     field and the first 11 octets of the value; kind with its highest bit set says: removed

A bucket is small, so that Redis keeps it as one listpack; a hash for each entry would take thrice the memory.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from sendgate.entry import Entry, Kind, Origin, parse_subject
from sendgate.keys import KEY_SCHEME, key_text
from sendgate.store.errors import StoreCorruptError
from sendgate.store.record import Label, Record, later_expiry, pack_label

FORMAT = b"sendgate 1"
KEY_OCTETS, LABEL_ID_OCTETS = 16, 8
FIELD_OCTETS = KEY_OCTETS + LABEL_ID_OCTETS
ROW_OCTETS = FIELD_OCTETS + 11
REMOVED = 0x80
MAX_SHARDS = 256
START = b"0-0"
"""The position before all changes."""

_VALUE = struct.Struct(">IIBBB")
_ROW = struct.Struct(">16s8sIIBBB")
_ORIGINS = tuple(Origin)
_ORIGIN_CODES = {origin: code for code, origin in enumerate(_ORIGINS)}
_KINDS = tuple(Kind)
KIND_CODES = {kind: code for code, kind in enumerate(_KINDS)}


class Value(NamedTuple):
    """One entry in full, but for its label. Times in Unix seconds; `expires` 0 is never."""

    created: int
    expires: int
    origin: Origin
    strikes: int
    kind: Kind
    subject: str
    note: str


class Row(NamedTuple):
    """One entry as a replica holds it, or the word that it is removed."""

    key: bytes
    label_id: bytes
    created: int
    expires: int
    origin: int
    strikes: int
    kind: int

    @property
    def removed(self) -> bool:
        return bool(self.kind & REMOVED)

    @property
    def number(self) -> int:
        """What a replica's record keeps where an embedded store has the number of the entry."""
        return self.origin << 16 | self.strikes << 8 | self.kind & ~REMOVED


class Layout(NamedTuple):
    """How the lists are cut: `shards` and `buckets` of each are powers of two."""

    prefix: str
    shards: int
    buckets: int

    def shard_of(self, key: bytes) -> int:
        return self._leading(key) // self.buckets

    def bucket_of(self, key: bytes) -> int:
        """The bucket within the key's shard."""
        return self._leading(key) % self.buckets

    def first_key(self, shard: int, bucket: int) -> bytes:
        """The lowest key of a bucket; of the one behind the last, the lowest that no bucket has (17 octets)."""
        place = (shard * self.buckets + bucket) << (32 - self._bits)
        return place.to_bytes(4, "big") if place < 2**32 else b"\xff" * (KEY_OCTETS + 1)

    def names(self) -> list[ShardNames]:
        """The names of each shard's keys."""
        return [ShardNames(f"{self.prefix}:{{{tag}}}") for tag in _tags(self.shards)]

    @property
    def _bits(self) -> int:
        return (self.shards * self.buckets).bit_length() - 1

    def _leading(self, key: bytes) -> int:
        return int.from_bytes(key[:4], "big") >> (32 - self._bits)


class ShardNames:
    """The names of one shard's keys in Redis."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.meta = f"{stem}:meta"
        self.labels = f"{stem}:labels"
        self.counts = f"{stem}:counts"
        self.changes = f"{stem}:changes"
        self.lease = f"{stem}:lease"

    def bucket(self, number: int) -> str:
        return f"{self.stem}:b:{number:x}"


def label_id(label: Label) -> bytes:
    """A label's name in fields and rows: a hash of it, so that it is the same wherever it is made."""
    return hashlib.blake2b(pack_label(label), digest_size=LABEL_ID_OCTETS).digest()


def pack_value(value: Value) -> bytes:
    head = _VALUE.pack(value.created, value.expires, _ORIGIN_CODES[value.origin], value.strikes, KIND_CODES[value.kind])
    return head + value.subject.encode() + (b"\0" + value.note.encode() if value.note else b"")


def unpack_value(value: bytes) -> Value:
    try:
        created, expires, origin, strikes, kind = _VALUE.unpack_from(value)
        subject, _, note = value[_VALUE.size :].decode().partition("\0")
        return Value(created, expires, _ORIGINS[origin], strikes, _KINDS[kind], subject, note)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise StoreCorruptError(f"an entry in Redis cannot be read: {error}") from None


def value_of(entry: Entry, subject: str) -> Value:
    """An entry as it is to be stored, with its subject as the store may show it."""
    kind = entry.subject.kind
    return Value(entry.created, entry.expires or 0, entry.origin, entry.strikes, kind, subject, entry.note)


def value_from_spill(body: bytes, kind: Kind) -> bytes:
    """A packed value from what a mass import spills of a row: the same, but for the kind and a closing NUL."""
    return body[:10] + bytes((KIND_CODES[kind],)) + body[10:].removesuffix(b"\0")


def merged(old: Value, new: Value) -> Value:
    """What becomes of an entry that is added again: the later expiry, the most strikes, the latest note and origin.

    A subject that was only known by its key is told in clear when the new entry does.
    """
    clear = old.subject.startswith(KEY_SCHEME) and not new.subject.startswith(KEY_SCHEME)
    return old._replace(
        expires=later_expiry(old.expires, new.expires),
        origin=new.origin,
        strikes=max(old.strikes, new.strikes),
        kind=new.kind if clear else old.kind,
        subject=new.subject if clear else old.subject,
        note=new.note or old.note,
    )


def entry_of(label: Label, value: Value) -> Entry:
    """An entry in full."""
    return Entry(
        subject=parse_subject(value.subject),
        reason=label.reason,
        scope=label.scope,
        list=label.list,
        origin=value.origin,
        created=value.created,
        expires=value.expires or None,
        strikes=value.strikes,
        note=value.note,
    )


def value_of_record(key: bytes, record: Record) -> Value:
    """What a replica's record knows of an entry: all but its subject in clear and its note."""
    kind = _KINDS[record.number & 0xFF]
    origin = _ORIGINS[record.number >> 16]
    return Value(record.created, record.expires, origin, record.number >> 8 & 0xFF, kind, key_text(kind, key), "")


def kind_of_code(code: int) -> Kind:
    """A kind from a row or a record's number. Raises StoreCorruptError."""
    try:
        return _KINDS[code & ~REMOVED]
    except IndexError:
        raise StoreCorruptError(f"unknown kind {code}") from None


def unpack_rows(packed: bytes) -> Iterator[Row]:
    """The rows of a change or of some buckets."""
    if len(packed) % ROW_OCTETS:
        raise StoreCorruptError(f"{len(packed)} octets are no rows")
    return map(Row._make, _ROW.iter_unpack(packed))


def _tags(shards: int) -> list[str]:
    """A hash tag for each shard, in slots that lie apart: shard i has one in the i-th part of all slots."""
    share = REDIS_CLUSTER_HASH_SLOTS // shards
    return [
        next(tag for extra in count() if key_slot((tag := f"{shard}.{extra}").encode()) // share == shard)
        for shard in range(shards)
    ]
