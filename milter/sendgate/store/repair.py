"""Writing back to a shared origin what it has lost and a pod's replica still knows.

In: the shards, the replica, open for reading. Out: what was missing, and what was written.
Refused: `StoreError`s.

Only what the origin has lost is written back, not what was removed from it: the entries that the replica keeps since a
loss, and all of shards that are gone, were made anew or are behind the replica, or do not have as many entries as they
count. A replica holds no notes, and no addresses in clear: what comes back has its subject by key, until the same entry
is added again.

In the end counts are put right, but for shards that count more than this replica could bring back: another may have
the rest, and until then no pod shall take a copy of them for whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from sendgate.keys import Secrets
from sendgate.store.chain import LOSSES, Cause, diagnose
from sendgate.store.counted import Progress, Recounted, ShardBusyError, ShardCount, count_all, recount
from sendgate.store.environment import Environment
from sendgate.store.errors import StoreCorruptError, StoreError
from sendgate.store.layout import FIELD_OCTETS, KEY_OCTETS, REMOVED, ROW_OCTETS, label_id, value_of_record
from sendgate.store.opening import make_missing
from sendgate.store.origin import Applied
from sendgate.store.record import Label, Record, unpack_records
from sendgate.store.replica import read_label
from sendgate.store.replica_writer import count_shards, read_marks
from sendgate.store.shards import NOWHERE, Mark, Shards
from sendgate.store.shared_batch import AddStep, Batch
from sendgate.store.tail import read_changes

_STEPS_AT_ONCE = 500
_TRIES = 20


@dataclass(slots=True)
class Repaired:
    """shards: those that are gone, made anew, behind the replica or without entries that they count; looked_at: entries
    that may be missing there; applied: what was written, or would be; recounted: counts that were put right; lacking:
    shards that still count more than they have."""

    shards: list[int] = field(default_factory=list)
    looked_at: int = 0
    applied: Applied = field(default_factory=Applied)
    recounted: list[Recounted] = field(default_factory=list)
    lacking: list[Recounted] = field(default_factory=list)


class Repair:
    """One repair. dry_run: only look."""

    def __init__(self, shards: Shards, environment: Environment, secret: Secrets, *, dry_run: bool = False) -> None:
        self._shards = shards
        self._environment = environment
        self._secret = secret
        self._dry_run = dry_run
        self._labels: dict[int, Label] = {}
        self._ours: list[Mark | None] = []
        self._behind: list[int] = []

    def write_back(self, progress: Progress) -> Repaired:
        """Write back all that is missing."""
        broken = self._broken_shards()
        if not self._dry_run and None in self._shards.marks:
            make_missing(self._shards, self._secret)
        counts = count_all(self._shards, progress)
        removed = {count.shard: self._removed_since(count.shard) for count in counts if _is_amiss(count)}
        done = Repaired(sorted({*broken, *removed}))
        steps, total = self._missing(done.shards), self._upper_bound(done.shards)
        added: Counter[int] = Counter()
        while some := list(islice(steps, _STEPS_AT_ONCE)):
            done.looked_at += len(some)
            for shard, part in _by_shard(some, self._shards).items():
                gone = set() if shard in broken else removed.get(shard, set())
                applied = self._add(shard, [step for step in part if step.key + label_id(step.label) not in gone])
                done.applied.merge(applied)
                added[shard] += applied.added
            progress("writing back", done.looked_at, max(total, done.looked_at))
        if not self._dry_run:
            self._recount(counts, added, done)
        return done

    def give_up(self) -> int:
        """Let go, in every pod, of what the origin has lost and this replica keeps. Returns how many entries went.

        They are added and removed again, so that every pod that follows hears of it.
        """
        gone = 0
        steps = (step for step in self._kept())
        while some := list(islice(steps, _STEPS_AT_ONCE)):
            for shard, part in _by_shard(some, self._shards).items():
                if self._dry_run:
                    gone += len(part)
                    continue
                added = [step for step in part if self._add(shard, [step]).added]
                fields = [step.key + label_id(step.label) for step in added]
                gone += self._shards.remove(shard, self._shards.values(shard, fields))
        return gone

    def recount(self, progress: Progress) -> list[Recounted]:
        """Put the counts of all shards right, whatever is missing. Returns what was wrong."""
        return recount(count_all(self._shards, progress))

    def _recount(self, counts: list[ShardCount], added: Mapping[int, int], done: Repaired) -> None:
        """Put counts right, but where more is missing than was added."""
        for count in counts:
            count.settle()
            wrong = count.wrong()
            # What came from a replica that has missed changes may have been removed, and stands for nothing missing.
            found = 0 if count.shard in self._behind else added[count.shard]
            if wrong is not None and count.missing() > found:
                done.lacking.append(wrong)
            else:
                done.recounted += recount([count])

    def _broken_shards(self) -> list[int]:
        """Shards of which the origin has not all that the replica has."""
        with self._environment.begin() as txn:
            ours = self._ours = read_marks(txn, self._environment, self._shards.layout.shards)
            cut_alike = count_shards(txn, self._environment) == self._shards.layout.shards
        if not cut_alike:  # the lists were made anew, in other parts
            return list(range(self._shards.layout.shards))
        known = {shard: mark for shard, mark in enumerate(ours) if mark is not None and mark.epoch}
        self._shards.look()
        causes = diagnose(self._shards, known)
        self._behind = [shard for shard, cause in causes.items() if cause == Cause.GAP]
        return [shard for shard, cause in causes.items() if cause in LOSSES]

    def _removed_since(self, shard: int) -> set[bytes]:
        """The fields that were removed after what this replica has taken in, as far as the origin still tells."""
        position, removed = (self._ours[shard] or NOWHERE).last, set[bytes]()
        while records := read_changes(self._shards, {shard: position}, 0).get(shard):
            position = records[-1].id
            for rows in (record.rows for record in records):
                for at in range(0, len(rows), ROW_OCTETS):
                    change = removed.add if rows[at + ROW_OCTETS - 1] & REMOVED else removed.discard
                    change(rows[at : at + FIELD_OCTETS])
        return removed

    def _upper_bound(self, broken: list[int]) -> int:
        with self._environment.begin() as txn:
            databases = self._environment.databases
            keys = int(txn.stat(databases["keys"])["entries"]) * len(broken) // self._shards.layout.shards
            return keys + int(txn.stat(databases["entries"])["entries"])

    def _missing(self, broken: list[int]) -> Iterator[AddStep]:
        for shard in broken:
            yield from self._whole(shard)
        for step in self._kept():
            if self._shards.layout.shard_of(step.key) not in broken:
                yield step

    def _whole(self, shard: int) -> Iterator[AddStep]:
        """All entries of a shard."""
        layout = self._shards.layout
        key, end = layout.first_key(shard, 0), layout.first_key(shard, layout.buckets)
        with self._environment.begin() as txn, txn.cursor(db=self._environment.databases["keys"]) as cursor:
            if not cursor.set_range(key):
                return
            for key, records in cursor:
                if key >= end:
                    return
                for record in unpack_records(records):
                    yield self._step(key, record)

    def _kept(self) -> Iterator[AddStep]:
        """The entries that the replica keeps since a loss."""
        databases = self._environment.databases
        with self._environment.begin() as txn:
            for name in txn.cursor(db=databases["entries"]).iternext(values=False):
                key, wanted = name[:KEY_OCTETS], name[KEY_OCTETS:]
                for record in unpack_records(txn.get(key, b"", db=databases["keys"])):
                    step = self._step(key, record)
                    if label_id(step.label) == wanted:
                        yield step

    def _step(self, key: bytes, record: Record) -> AddStep:
        label = self._labels.get(record.label)
        if label is None:
            with self._environment.begin() as txn:
                label = self._labels[record.label] = read_label(txn, self._environment, record.label)
        return AddStep(key, label, value_of_record(key, record))

    def _add(self, shard: int, steps: list[AddStep]) -> Applied:
        """Add entries of a shard, taking them for missing; those that are there are refreshed."""
        there: dict[bytes, dict[bytes, bytes]] = {step.key: {} for step in steps}
        if self._dry_run:
            fields = [step.key + label_id(step.label) for step in steps]
            _note(there, self._shards.values(shard, fields))
        for _ in range(_TRIES):
            batch = Batch(there, _no_label)
            for step in steps:
                batch.take(step)
            changed = self._shards.write(shard, batch.ops, batch.labels) if batch.ops and not self._dry_run else {}
            if not changed:
                return batch.applied
            _note(there, changed)
        raise StoreError(f"{self._shards.client.place}: others change the same entries all the time; try again")


def _is_amiss(count: ShardCount) -> bool:
    """Whether a shard does not have what it counts; or changes too fast to be told."""
    try:
        count.settle()
    except ShardBusyError:
        return True
    return count.wrong() is not None


def _note(there: dict[bytes, dict[bytes, bytes]], values: Mapping[bytes, bytes]) -> None:
    for name, value in values.items():
        found = there[name[:KEY_OCTETS]]
        if value:
            found[name] = value
        else:
            found.pop(name, None)


def _by_shard(steps: list[AddStep], shards: Shards) -> dict[int, list[AddStep]]:
    parts: dict[int, list[AddStep]] = {}
    for step in steps:
        parts.setdefault(shards.layout.shard_of(step.key), []).append(step)
    return parts


def _no_label(name: bytes) -> Label:
    raise StoreCorruptError(f"no label {name.hex()}")
