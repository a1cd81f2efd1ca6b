"""The lists as Redis keeps them: shards, each changed by one script and read in ranges of buckets.

In: an open client, the layout. Out: `Shards`, and the `Mark` of each.
Refused: `OriginLostError` when a part is gone, `StoreError`s of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sendgate.store.errors import OriginLostError, StoreCorruptError
from sendgate.store.layout import LABEL_ID_OCTETS, START, Layout, Row, kind_of_code, unpack_rows
from sendgate.store.record import Label, unpack_label
from sendgate.store.redis_client import RedisClient

ROWS_AT_ONCE = 2500
"""About so many entries are read by one call of a script, so that it takes the server a few milliseconds."""
MAX_BUCKETS_AT_ONCE = 512


class Mark(NamedTuple):
    """How far a shard is: in which history (`epoch`), after which change, how many there were.

    secret: fingerprint of the secret that new entries are written under.
    """

    epoch: bytes
    last: bytes
    sequence: int
    secret: bytes


NOWHERE = Mark(b"", START, 0, b"")


class Op(NamedTuple):
    """One entry to change: from the packed value that is expected to the new one; b"" is no entry."""

    field: bytes
    old: bytes
    new: bytes


class Shards:
    """The shards of one set of lists.

    marks: as last looked at. under: fingerprints of secrets; a shard that is under none of them is not written to.
    """

    def __init__(self, client: RedisClient, layout: Layout, history: int) -> None:
        self.client = client
        self.layout = layout
        self.names = layout.names()
        self.history = history // layout.shards
        self.marks: list[Mark | None] = []
        self.under: tuple[bytes, ...] = ()
        bits = (layout.shards * layout.buckets).bit_length() - 1
        self._bucket_bits = (32 - bits, layout.buckets - 1)
        self._labels: list[dict[bytes, Label]] = [{} for _ in self.names]

    def look(self) -> list[Mark | None]:
        """The mark of each shard now; None for one that is not there."""
        self.marks = [_mark(meta) for meta in self.client.hashes(names.meta for names in self.names)]
        return self.marks

    def marks_of(self, shards: list[int]) -> dict[int, Mark | None]:
        """The marks of some shards now."""
        metas = self.client.hashes(self.names[shard].meta for shard in shards)
        return {shard: _mark(meta) for shard, meta in zip(shards, metas, strict=True)}

    def write(self, shard: int, ops: Iterable[Op], labels: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Change entries of a shard, all or none.

        labels: id and text of those that new entries have. Returns the values of fields that were not as expected,
        empty when all is done. Raises OriginLostError when the shard is not the one that we know, SecretChangedError.
        """
        return self._write(shard, ops, labels, b"".join(self.under), "")

    def add(
        self, shard: int, entries: Iterable[tuple[bytes, bytes]], labels: Mapping[bytes, bytes]
    ) -> dict[bytes, bytes]:
        """Add entries, fields and values, all or none, taking them for missing; no field is named twice.

        As `write` in all else, and quicker.
        """
        parts: dict[int, list[bytes]] = {}
        shift, mask = self._bucket_bits
        for field, value in entries:
            bucket = int.from_bytes(field[:4], "big") >> shift & mask
            part = parts.get(bucket)
            if part is None:
                parts[bucket] = [field, value]
            else:
                part += (field, value)
        arguments: list[bytes | int] = []
        for part in parts.values():
            arguments += (len(part) // 2, 0, *part)
        return self._send(shard, parts, arguments, labels, b"".join(self.under), "")

    def _write(
        self, shard: int, ops: Iterable[Op], labels: Mapping[bytes, bytes], under: bytes, after: str
    ) -> dict[bytes, bytes]:
        parts: dict[int, tuple[list[bytes], list[bytes]]] = {}
        for field, old, new in ops:
            added, changed = parts.setdefault(self.layout.bucket_of(field), ([], []))
            if old:
                changed += (field, old, new)
            else:
                added += (field, new)
        arguments: list[bytes | int] = []
        for added, changed in parts.values():
            arguments += (len(added) // 2, len(changed) // 3, *added, *changed)
        return self._send(shard, parts, arguments, labels, under, after)

    def _send(
        self,
        shard: int,
        buckets: Iterable[int],
        parts: Iterable[bytes | int],
        labels: Mapping[bytes, bytes],
        under: bytes,
        after: str,
    ) -> dict[bytes, bytes]:
        names, mark = self.names[shard], self.marks[shard]
        if mark is None:
            raise self.lost(shard)
        keys = [names.meta, names.counts, names.labels, names.changes, *map(names.bucket, buckets)]
        pairs = (word for pair in labels.items() for word in pair)
        answer = self.client.run("write", keys, [mark.epoch, self.history, under, after, len(labels), *pairs, *parts])
        return {} if answer[0] else dict(zip(answer[1::2], answer[2::2], strict=True))

    def remove(self, shard: int, found: Mapping[bytes, bytes], after: Mapping[int, Mark | None] | None = None) -> int:
        """Remove entries as they were found; one that was changed since is let alone. Returns how many went.

        after: marks of other shards; no replica takes this in before the changes up to there.
        """
        return len(found) - len(self.changed_on_removal(shard, found, after))

    def changed_on_removal(
        self, shard: int, found: Mapping[bytes, bytes], after: Mapping[int, Mark | None] | None = None
    ) -> dict[bytes, bytes]:
        """The same; returns what was let alone, as it is now."""
        order = " ".join(f"{other} {mark.sequence}" for other, mark in (after or {}).items() if mark and other != shard)
        left = dict(found)
        changed: dict[bytes, bytes] = {}
        while left:
            found_now = self._write(shard, (Op(*one, b"") for one in left.items()), {}, b"", order)
            if not found_now:
                break
            changed |= found_now
            for field in found_now:
                del left[field]
        return changed

    def change_secret(self, shard: int, known: bytes) -> None:
        """Put a shard under another secret, which is given by its fingerprint."""
        names, mark = self.names[shard], self.marks[shard]
        if mark is None:
            raise self.lost(shard)
        self.client.run("secret", [names.meta, names.changes], [mark.epoch, known])

    def values(self, shard: int, fields: Iterable[bytes]) -> dict[bytes, bytes]:
        """The packed values of some fields; those that are not there are left out."""
        by_bucket: dict[str, list[bytes]] = {}
        for field in fields:
            by_bucket.setdefault(self.names[shard].bucket(self.layout.bucket_of(field)), []).append(field)
        found = self.client.fields_of(by_bucket)
        wanted = [field for names in by_bucket.values() for field in names]
        return {field: value for field, value in zip(wanted, found, strict=True) if value is not None}

    def at_keys(self, keys: list[bytes]) -> list[dict[bytes, bytes]]:
        """Of each key, the fields and values of all its entries."""
        names = [self.names[self.layout.shard_of(key)].bucket(self.layout.bucket_of(key)) for key in keys]
        return [
            {field: value for field, value in bucket.items() if field.startswith(key)}
            for key, bucket in zip(keys, self.client.hashes(names), strict=True)
        ]

    def select(
        self, shard: int, buckets: Iterable[int], expired_at: int | None = None, label_ids: Iterable[bytes] = ()
    ) -> dict[bytes, bytes]:
        """Fields and packed values in some buckets: all, what has expired, or what has one of the labels."""
        now = "" if expired_at is None else expired_at
        answer = self.client.run("select", map(self.names[shard].bucket, buckets), [now, *label_ids])
        return dict(zip(answer[::2], answer[1::2], strict=True))

    def rows(self, shard: int, buckets: Iterable[int]) -> Iterator[Row]:
        """What replicas hold of some buckets, in no order."""
        return unpack_rows(self.packed_rows(shard, buckets))

    def packed_rows(self, shard: int, buckets: Iterable[int]) -> bytes:
        """The same, as one text."""
        packed = self.client.run("rows", map(self.names[shard].bucket, buckets))
        return bytes(packed)

    def digest(self, shard: int, buckets: Iterable[int]) -> tuple[bytes, bytes, int, int]:
        """Epoch and last change of a shard, number and checksum of the rows in some buckets (see digest.lua)."""
        names = self.names[shard]
        epoch, last, count, total = self.client.run("digest", [names.meta, *map(names.bucket, buckets)])
        return epoch, last, int(count), int(total, 16)

    def label(self, shard: int, label_id: bytes) -> Label:
        """A label of a shard by its id."""
        label = self._labels[shard].get(label_id)
        if label is None:
            label = self.labels(shard).get(label_id)
        if label is None:
            raise StoreCorruptError(f"{self.client.place}: shard {shard} has no label {label_id.hex()}")
        return label

    def labels(self, shard: int) -> dict[bytes, Label]:
        """All labels of a shard, by id, as they are now."""
        stored = self.client.hash(self.names[shard].labels)
        self._labels[shard] = {label_id: unpack_label(text) for label_id, text in stored.items()}
        return self._labels[shard]

    def counts(self) -> list[tuple[Label, int, int]]:
        """Label, code of the kind and number of entries, of each shard that is there."""
        counted = []
        for shard, counts in self.counted(range(self.layout.shards)).items():
            for name, count in counts.items():
                label = self.label(shard, name[:LABEL_ID_OCTETS])
                kind_of_code(name[LABEL_ID_OCTETS])
                counted.append((label, name[LABEL_ID_OCTETS], count))
        return counted

    def counted(self, shards: Sequence[int]) -> dict[int, dict[bytes, int]]:
        """Of some shards, how many entries each counts, by label id and kind."""
        hashes = self.client.hashes(self.names[shard].counts for shard in shards)
        pairs = zip(shards, hashes, strict=True)
        return {shard: {name: int(count) for name, count in counts.items()} for shard, counts in pairs}

    def set_counts(self, shard: int, mark: Mark, counts: Mapping[bytes, int]) -> bool:
        """Have a shard count so many entries; False, and nothing is done, when it is no longer at this mark."""
        names = self.names[shard]
        pairs = (word for pair in counts.items() for word in pair)
        return bool(self.client.run("recount", [names.meta, names.counts], [mark.epoch, mark.last, *pairs]))

    def ranges(self, entries: int) -> Iterator[tuple[int, range]]:
        """All buckets, in the order of their keys, in ranges that one call reads; `entries`: how many there are."""
        step = self.step(entries)
        for shard in range(self.layout.shards):
            for first in range(0, self.layout.buckets, step):
                yield shard, range(first, min(first + step, self.layout.buckets))

    def step(self, entries: int) -> int:
        """How many buckets one call reads."""
        all_buckets = self.layout.shards * self.layout.buckets
        return max(1, min(MAX_BUCKETS_AT_ONCE, ROWS_AT_ONCE * all_buckets // max(entries, 1)))

    def close(self) -> None:
        self.client.close()

    def check(self, shards: Iterable[int]) -> None:
        """Raise OriginLostError when one of some shards was not there when they were last looked at."""
        for shard in shards:
            if self.marks[shard] is None:
                raise self.lost(shard)

    def lost(self, shard: int) -> OriginLostError:
        return OriginLostError(
            f"{self.client.place}: shard {shard} of {self.layout.shards} is gone; "
            "`sendgate repair --from-replica` in a pod that still has it writes it back"
        )


def secret_of(marks: Iterable[Mark | None], accepted: Sequence[bytes]) -> bytes:
    """The fingerprint of the secret that new entries are written under: the first of some that any shard is under.

    While it changes, shard by shard, that is the new one; without any shard, too.
    """
    known = {mark.secret for mark in marks if mark}
    return next((one for one in accepted if one in known), accepted[0])


def _mark(meta: Mapping[bytes, bytes]) -> Mark | None:
    try:
        return Mark(meta[b"epoch"], meta[b"last"], int(meta[b"sequence"]), meta[b"secret"]) if meta else None
    except (KeyError, ValueError) as error:
        raise StoreCorruptError(f"the meta of a shard cannot be read: {error}") from None
