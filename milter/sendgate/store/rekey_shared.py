"""Changing the secret of the shared origin: entries move from the secret before to the current one.

In: subjects. Out: what was done, as `Rekeyed`. Refused: `StoreError`s; `OriginLostError` when a shard is gone.

First all shards come under the current secret, so that nobody writes by the one before any more. An entry then is
written under its new key, mostly in another shard, and only then removed under the old one. That removal says which
changes of other shards come before it, so that no replica is ever without the entry. Whatever stops it, each entry is
found in one place at least, and the same again does the rest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sendgate.entry import Kind, Subject
from sendgate.keys import Keyer, key_text
from sendgate.store.errors import StoreError
from sendgate.store.layout import KEY_OCTETS, ROW_OCTETS, merged, pack_value, unpack_value
from sendgate.store.origin import Progress, Rekeyed
from sendgate.store.record import pack_label
from sendgate.store.rekey import PARTS, open_pairs, two_keyers
from sendgate.store.shards import Op, Shards

_AT_ONCE = 500
"""So many entries are written by one call of a script, which then takes the server a few milliseconds."""
_TRIES = 20

Entries = dict[bytes, bytes]
"""Fields and packed values."""


class Coming(NamedTuple):
    """An entry on its way: the field it comes from, the field it goes to, and its packed value there."""

    source: bytes
    field: bytes
    value: bytes


class Landed(NamedTuple):
    """An entry at its new place: its value there before (b"": none) and now."""

    field: bytes
    before: bytes
    now: bytes


class SharedRekey:
    """One change of the secret. dry_run: only look."""

    def __init__(
        self, shards: Shards, keyer: Keyer, kinds: Container[Kind], progress: Progress, *, dry_run: bool
    ) -> None:
        self._shards = shards
        self._keyers = two_keyers(keyer)
        self._kinds = kinds
        self._progress = progress
        self._dry_run = dry_run
        self._done = Rekeyed()
        self._step = 1

    def run(self, subjects: Iterable[Subject]) -> Rekeyed:
        """Move what the subjects name. An error of their own source changes nothing."""
        done = self._done
        with open_pairs(Path(tempfile.gettempdir()), self._keyers) as pairs:
            pairs.write(subjects, self._kinds)
            self._change_secret()
            self._step = self._shards.step(self._count())
            for part in range(PARTS):
                done.already += self._count_at(pairs.current(part))
                self._progress("comparing", part + 1, PARTS)
            for part in range(PARTS):
                self._move_all(pairs.moves(part))
                self._progress("moving", part + 1, PARTS)
        done.unnamed = max(0, self._count() + (0 if self._dry_run else done.merged) - done.moved - done.already)
        return done

    def _change_secret(self) -> None:
        current, shards = self._keyers.current.fingerprint, self._shards
        for shard, mark in enumerate(shards.look()):
            if mark is None:
                raise shards.lost(shard)
            self._done.changed |= mark.secret != current
        if self._dry_run:
            return
        for shard in range(shards.layout.shards):
            shards.change_secret(shard, current)
        shards.look()
        shards.under = (current,)

    def _count(self) -> int:
        return sum(count for _, _, count in self._shards.counts())

    def _count_at(self, keys: set[bytes]) -> int:
        """How many entries there are under some keys."""
        found = 0
        for shard, buckets in self._ranges(keys):
            rows = self._shards.packed_rows(shard, buckets)
            found += sum(rows[at : at + KEY_OCTETS] in keys for at in range(0, len(rows), ROW_OCTETS))
        return found

    def _move_all(self, moves: dict[bytes, bytes]) -> None:
        for shard, buckets in self._ranges(moves):
            there = self._shards.select(shard, buckets)
            found = {field: value for field, value in there.items() if field[:KEY_OCTETS] in moves}
            if self._dry_run:
                self._done.moved += len(found)
            elif found:
                self._move(shard, found, moves)

    def _ranges(self, keys: Iterable[bytes]) -> Iterator[tuple[int, list[int]]]:
        """The buckets that some keys are in, as many as one call reads; all of a call in one shard."""
        layout = self._shards.layout
        by_shard: dict[int, set[int]] = {}
        for key in keys:
            by_shard.setdefault(layout.shard_of(key), set()).add(layout.bucket_of(key))
        for shard, buckets in by_shard.items():
            left = iter(sorted(buckets))
            while some := list(islice(left, self._step)):
                yield shard, some

    def _move(self, shard: int, found: Entries, moves: Mapping[bytes, bytes]) -> None:
        """Move entries of a shard; those that somebody changes meanwhile, once more."""
        ours: set[bytes] = set()
        for _ in range(_TRIES):
            landed = self._land(shard, found, moves)
            ours |= {source for source, one in landed.items() if not one.before}
            changed = self._remove(shard, found, {self._shards.layout.shard_of(one.field) for one in landed.values()})
            self._done.moved += len(found) - len(changed)
            self._done.merged += len(found.keys() - changed.keys() - ours)
            for source in [source for source, value in changed.items() if not value]:
                if source in ours:  # somebody removed it while it was on its way
                    one = landed[source]
                    self._shards.remove(self._shards.layout.shard_of(one.field), {one.field: one.now})
                del changed[source]
            found = changed
            if not found:
                return
        raise StoreError(f"{self._shards.client.place}: others change the same entries all the time; try again")

    def _remove(self, shard: int, found: Entries, places: Iterable[int]) -> Entries:
        """Remove entries that are at other places now. Returns those that are not as they were found."""
        after = self._shards.marks_of(sorted(places))
        changed: Entries = {}
        left = iter(found.items())
        while some := dict(islice(left, _AT_ONCE)):
            changed |= self._shards.changed_on_removal(shard, some, after)
        return changed

    def _land(self, shard: int, found: Entries, moves: Mapping[bytes, bytes]) -> dict[bytes, Landed]:
        """Write entries at their new places. Returns where each is, by the field it came from."""
        by_shard: dict[int, list[Coming]] = {}
        for source, value in found.items():
            key, old = moves[source[:KEY_OCTETS]], unpack_value(value)
            moved = pack_value(old._replace(subject=key_text(old.kind, key)))
            target = self._shards.layout.shard_of(key)
            by_shard.setdefault(target, []).append(Coming(source, key + source[KEY_OCTETS:], moved))
        labels = {source[KEY_OCTETS:] for source in found}
        packed = {known: pack_label(self._shards.label(shard, known)) for known in labels}
        landed: dict[bytes, Landed] = {}
        for target, coming in by_shard.items():
            left = iter(coming)
            while some := list(islice(left, _AT_ONCE)):
                landed |= self._write(target, some, packed)
        return landed

    def _write(self, shard: int, coming: list[Coming], labels: Mapping[bytes, bytes]) -> dict[bytes, Landed]:
        """Add entries, taking them for missing; what turns out to be there becomes one with what comes."""
        there: Entries = {}
        used = {one.field[KEY_OCTETS:] for one in coming}
        for _ in range(_TRIES):
            landed = {}
            for source, field, value in coming:
                before = there.get(field, b"")
                landed[source] = Landed(field, before, _joined(value, before))
            ops = [Op(*one) for one in landed.values() if one.before != one.now]
            changed = self._shards.write(shard, ops, {known: labels[known] for known in used}) if ops else {}
            if not changed:
                return landed
            there |= changed
        raise StoreError(f"{self._shards.client.place}: others change the same entries all the time; try again")


def _joined(older: bytes, newer: bytes) -> bytes:
    """What would be there had the newer entry been added to the older one."""
    return pack_value(merged(unpack_value(older), unpack_value(newer))) if newer else older
