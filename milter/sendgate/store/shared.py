"""The shared origin: the lists in Redis, for all pods.

In: changes and rows. Out: counts and entries. Refused: `StoreError`s, `ShrinkError`.

Every change goes as "this entry was so and shall be so" to the shard's script, which does all of a call or, when an
entry was not as expected, nothing and says how it is. So what an addition or a removal means is decided here, in one
place, and two writers never undo each other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from sendgate.address import Address
from sendgate.entry import Add, Change, Entry, Kind, Reason, Remove, RemoveList, Scope, Subject
from sendgate.keys import Keyer
from sendgate.store.errors import SecretChangedError, StoreError
from sendgate.store.layout import KEY_OCTETS, entry_of, kind_of_code, unpack_value, value_of
from sendgate.store.matches import Matches
from sendgate.store.origin import Applied, LoadOptions, Progress, Rekeyed, label_of
from sendgate.store.record import Label
from sendgate.store.rekey_shared import SharedRekey
from sendgate.store.shards import Shards, secret_of
from sendgate.store.shared_batch import AddStep, Batch, RemoveStep, Step
from sendgate.store.shared_load import SharedLoad
from sendgate.store.shared_matches import find_matches

SAMPLES = 64
_CHANGES_AT_ONCE = 1000
_TRIES = 20


class SharedOrigin:
    """The lists in Redis, open for reading and writing; what the server lets us do is its ACL's matter.

    match_by_list: lists whose entries match the mailbox (True) or the exact address (False) whatever their reason;
    sweep_lease_seconds: so long after a sweep of a shard no other process sweeps it.
    """

    def __init__(
        self,
        shards: Shards,
        keyer: Keyer,
        match_by_list: Mapping[str, bool] | None = None,
        *,
        sweep_lease_seconds: int = 3600,
    ) -> None:
        self.shards = shards
        self._sweep_lease_seconds = sweep_lease_seconds
        self._keyer = keyer
        self._match_by_list = match_by_list or {}

    def label(self, like: Entry) -> Label:
        """The label an entry gets, with how it matches."""
        return label_of(like, self._match_by_list)

    def apply(self, changes: Iterable[Change]) -> Applied:
        all_of_them = list(changes)
        self.shards.check(self._concerned(all_of_them))
        try:
            return self._apply(all_of_them)
        except SecretChangedError:
            self.shards.look()
            return self._apply(all_of_them)

    def load(self, rows: Iterable[tuple[Subject, Entry]], options: LoadOptions, progress: Progress) -> Applied:
        self.shards.look()
        self.shards.check(range(self.shards.layout.shards))
        return SharedLoad(self.shards, self._active(), self.label, options, progress).run(rows)

    def rekey(self, subjects: Iterable[Subject], progress: Progress, *, dry_run: bool) -> Rekeyed:
        return SharedRekey(self.shards, self._keyer, self.kinds(), progress, dry_run=dry_run).run(subjects)

    def get(self, subject: Subject) -> list[Entry]:
        places = self._keyer.keys_of(subject)
        entries = []
        for (_, only_wide), found in zip(places, self.shards.at_keys([key for key, _ in places]), strict=True):
            for field, value in found.items():
                label = self._label(field)
                if label.mailbox_wide or not only_wide:
                    entries.append(entry_of(label, unpack_value(value)))
        return entries

    def scan(
        self, list_name: str | None = None, reason: Reason | None = None, scope: Scope | None = None
    ) -> Iterator[Entry]:
        def wanted(label: Label) -> bool:
            return list_name in (None, label.list) and reason in (None, label.reason) and scope in (None, label.scope)

        for _, found in self._select(wanted):
            for field, value in found.items():
                yield entry_of(self._label(field), unpack_value(value))

    def by_ref(self, ref: str) -> list[Entry]:
        prefix = bytes.fromhex(ref)
        return [
            entry_of(self._label(field), unpack_value(value))
            for found in self.shards.at_keys([prefix])
            for field, value in found.items()
        ]

    def matches(self, address: Address) -> Matches:
        """All entries that name `address`, found as the gate finds them, and how."""
        return find_matches(self.shards, self._keyer, address, self.kinds())

    def counts(self) -> dict[Label, int]:
        counts: dict[Label, int] = {}
        for label, _, count in self.shards.counts():
            counts[label] = counts.get(label, 0) + count
        return counts

    def kinds(self) -> dict[Kind, int]:
        """Entries by kind of subject; kinds without entries are left out."""
        counts: dict[Kind, int] = {}
        for _, code, count in self.shards.counts():
            kind = kind_of_code(code)
            counts[kind] = counts.get(kind, 0) + count
        return {kind: counts[kind] for kind in Kind if kind in counts}

    def position(self) -> int:
        return sum(mark.sequence for mark in self.shards.look() if mark)

    def sweep(self, now: float) -> int:
        """Delete expired entries, shard by shard; one that another process has swept of late is left to it."""
        holder = f"{socket.gethostname()}.{os.getpid()}"
        swept, held = 0, False
        for shard, buckets in self.shards.ranges(sum(self.counts().values())):
            if held or not buckets.start:
                held = self.shards.client.take_lease(self.shards.names[shard].lease, holder, self._sweep_lease_seconds)
            if held:
                swept += self.shards.remove(shard, self.shards.select(shard, buckets, expired_at=int(now)))
        return swept

    def size(self) -> int:
        """Octets that the lists take in the server, told from a sample of buckets."""
        shards, layout = self.shards, self.shards.layout
        total, sampled = layout.shards * layout.buckets, min(SAMPLES, layout.buckets)
        names = shards.names[0]
        octets = sum(shards.client.memory_of(names.bucket(number)) for number in range(sampled))
        return round(octets / sampled * total)

    def close(self) -> None:
        self.shards.client.close()

    def _active(self) -> Keyer:
        """The one of both keyers that entries are written by now. From now on only what is under it is written to."""
        accepted = [keyer.fingerprint for keyer in self._keyer.both]
        place = accepted.index(secret_of(self.shards.marks, accepted))
        self.shards.under = tuple(accepted[place:])
        return self._keyer.both[place]

    def _apply(self, changes: list[Change]) -> Applied:
        applied, active = Applied(), self._active()
        for keyer in self._keyer.both if self._keyer.previous else ():
            if keyer is not active:  # entries move from there: a removal that looked there last could miss one
                self._do([step for change in changes for step in _removals(change, keyer)], applied)
        steps: list[Step] = []
        for change in changes:
            if isinstance(change, RemoveList):
                self._do(steps, applied)
                steps = []
                applied.removed += self._remove_list(change.list)
            elif isinstance(change, Add):
                steps.append(self._addition(active, change.entry))
            else:
                steps += _removals(change, active)
        self._do(steps, applied)
        return applied

    def _concerned(self, changes: list[Change]) -> set[int]:
        """The shards that changes are about."""
        layout = self.shards.layout
        keys: set[bytes] = set()
        for change in changes:
            if isinstance(change, RemoveList):
                return set(range(layout.shards))
            subject = change.entry.subject if isinstance(change, Add) else change.subject
            keys.update(key for key, _ in self._keyer.keys_of(subject))
        return {layout.shard_of(key) for key in keys}

    def _addition(self, active: Keyer, new: Entry) -> Step:
        label = self.label(new)
        key = active.subject_key(new.subject, label.mailbox_wide)
        value = value_of(new, active.stored_text(new.subject, key))
        return AddStep(key, label, value._replace(note=active.stored_note(new.note)))

    def _do(self, steps: list[Step], applied: Applied) -> None:
        """Take steps, in their order, shard by shard."""
        by_shard: dict[int, list[Step]] = {}
        for step in steps:
            by_shard.setdefault(self.shards.layout.shard_of(step.key), []).append(step)
        for shard, all_of_it in by_shard.items():
            left = iter(all_of_it)
            while some := list(islice(left, _CHANGES_AT_ONCE)):
                self._do_in_shard(shard, some, applied)

    def _do_in_shard(self, shard: int, steps: list[Step], applied: Applied) -> None:
        for _ in range(_TRIES):
            keys = list({step.key for step in steps})
            there = dict(zip(keys, self.shards.at_keys(keys), strict=True))
            batch = Batch(there, lambda field: self.shards.label(shard, field[KEY_OCTETS:]))
            for step in steps:
                batch.take(step)
            if not batch.ops or not self.shards.write(shard, batch.ops, batch.labels):
                applied.merge(batch.applied)
                return
        raise StoreError(f"{self.shards.client.place}: others change the same entries all the time; try again")

    def _remove_list(self, name: str) -> int:
        removed = 0
        for _ in self._keyer.both:  # while the secret changes, an entry can move to where was looked already
            for shard, found in self._select(lambda label: label.list == name):
                removed += self.shards.remove(shard, found)
        return removed

    def _select(self, wanted: Callable[[Label], bool]) -> Iterator[tuple[int, dict[bytes, bytes]]]:
        """Shards and what they have of some labels, range by range."""
        entries = sum(self.counts().values())
        ids: dict[int, list[bytes]] = {}
        for shard, buckets in self.shards.ranges(entries):
            if shard not in ids:
                labels = self.shards.labels(shard)
                ids[shard] = [label_id for label_id, label in labels.items() if wanted(label)]
            if ids[shard]:
                yield shard, self.shards.select(shard, buckets, label_ids=ids[shard])

    def _label(self, field: bytes) -> Label:
        return self.shards.label(self.shards.layout.shard_of(field), field[KEY_OCTETS:])


def _removals(change: Change, keyer: Keyer) -> list[Step]:
    """The steps of a removal, at one keyer's places."""
    if not isinstance(change, Remove):
        return []
    places = keyer.keys_of(change.subject)
    return [RemoveStep(key, change.reason, change.scope, change.list, only_wide) for key, only_wide in places]
