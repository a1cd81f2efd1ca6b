"""Mass import into the shared origin: millions of rows, in bounded memory.

In: rows in any order. Out: what was done, as `Applied`.
Refused: `ShrinkError` when a replacing import would remove more of its list than `max_shrink`; `StoreError`s.

The rows are first spilled to a file, by their keys, so that a source that breaks off changes nothing. A replacing or a
dry import then compares them to what is there, which changes nothing either. Only then is it written: first all that
is new or refreshed, and at the very end what the list no longer has. An import that is cut short so leaves more on the
lists than before, never less; the same import again does the rest.
"""

from __future__ import annotations

import marshal
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO, NamedTuple

from sendgate.entry import Entry, Subject
from sendgate.keys import Keyer
from sendgate.store.errors import StoreError
from sendgate.store.layout import KEY_OCTETS, label_id, merged, pack_value, unpack_value, value_from_spill
from sendgate.store.origin import Applied, LoadOptions, Progress, check_shrinking
from sendgate.store.record import Label, pack_label
from sendgate.store.shards import Op, Shards
from sendgate.store.spill import BUCKETS, Spill, open_spill

ROWS_AT_ONCE = 500
"""So many entries are written by one call of a script, which then takes the server a few milliseconds."""
_WRITERS = 2
_TRIES = 20


class Unit(NamedTuple):
    """The part of an import that is worked through at once: some parts of the spill, the same buckets of a shard."""

    shard: int
    buckets: range
    spilled: range


New = tuple[bytes, bytes]
"""Field and value of a row as it is to be stored."""


class SharedLoad:
    """One mass import. `label_of` gives the label of an entry, with how it matches."""

    def __init__(
        self,
        shards: Shards,
        keyer: Keyer,
        label_of: Callable[[Entry], Label],
        options: LoadOptions,
        progress: Progress,
    ) -> None:
        self._shards = shards
        self._keyer = keyer
        self._label_of = label_of
        self._options = options
        self._progress = progress
        self._labels: dict[bytes, bytes] = {}
        self._lists: dict[bytes, str] = {}
        self._entries = 0
        self._applied = Applied()

    def run(self, rows: Iterable[tuple[Subject, Entry]]) -> Applied:
        """Import all rows. Raises ShrinkError, and then nothing has changed, or StoreError."""
        folder = Path(tempfile.gettempdir())
        with open_spill(folder, self._keyer, self._label_of) as spill, tempfile.TemporaryFile() as stale:
            spill.write(rows)
            self._labels = {label_id(sort.label): pack_label(sort.label) for sort in spill.sorts}
            self._lists = {label_id(sort.label): sort.label.list for sort in spill.sorts}
            if self._options.replace is not None or self._options.dry_run:
                self._entries = sum(count for _, _, count in self._shards.counts())
                compared = self._compare(spill, stale)
                if self._options.dry_run:
                    return compared
            self._write(spill)
            self._drop(stale)
        return self._applied

    def _compare(self, spill: Spill, stale: IO[bytes]) -> Applied:
        """See what an import would do, and note what it would remove. Raises ShrinkError."""
        name = self._options.replace
        outcome, before, after = Applied(), 0, 0
        units = self._units()
        for number, unit in enumerate(units, 1):
            new = self._rows(spill, unit)
            there = self._of_list(unit, name) if name is not None else {}
            if self._options.dry_run:
                others = {field for field, _ in new if name is None or not self._is_of(field, name)}
                outcome.merge(_ops(new, there | self._shards.values(unit.shard, others))[1])
            if name is not None:
                kept = {field for field, _ in new if self._is_of(field, name)}
                gone = {field: value for field, value in there.items() if field not in kept}
                marshal.dump((unit.shard, gone), stale)
                before, after = before + len(there), after + len(kept)
                outcome.removed += len(gone)
            self._progress("comparing", number, len(units))
        if name is not None:
            check_shrinking(name, before, after, self._options)
        return outcome

    def _write(self, spill: Spill) -> None:
        """Write all rows, some units at once: while the server works on one, the next is made ready."""
        units = self._units()
        running: deque[Future[Applied]] = deque()
        with ThreadPoolExecutor(_WRITERS, "import") as pool:
            try:
                for number, unit in enumerate(units, 1):
                    running.append(pool.submit(self._write_unit, unit.shard, self._rows(spill, unit)))
                    if len(running) > _WRITERS:
                        self._applied.merge(running.popleft().result())
                    self._progress("writing", number, len(units))
                for future in running:
                    self._applied.merge(future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _write_unit(self, shard: int, rows: list[New]) -> Applied:
        applied, left = Applied(), iter(rows)
        while some := list(islice(left, ROWS_AT_ONCE)):
            applied.merge(self._write_rows(shard, some))
        return applied

    def _write_rows(self, shard: int, rows: list[New]) -> Applied:
        """Write some rows, taking them for new; what turns out to be there already is refreshed."""
        there: dict[bytes, bytes] = {}
        changed = self._add(shard, rows)
        if changed is not None and not changed:
            return Applied(added=len(rows))
        for _ in range(_TRIES):
            there |= changed or {}
            if not all(there.values()):
                there = {field: value for field, value in there.items() if value}
            ops, applied = _ops(rows, there)
            changed = self._shards.write(shard, ops, self._labels_of(op.field for op in ops)) if ops else {}
            if not changed:
                return applied
        raise StoreError(f"{self._shards.client.place}: others change the same entries all the time; try again")

    def _add(self, shard: int, rows: list[New]) -> dict[bytes, bytes] | None:
        """Add rows as new ones. Returns what is there already, and then none was; None when some name one entry."""
        new = dict(rows)
        if len(new) < len(rows):
            return None
        return self._shards.add(shard, rows, self._labels_of(new))

    def _labels_of(self, fields: Iterable[bytes]) -> dict[bytes, bytes]:
        if len(self._labels) == 1:
            return self._labels
        used = {field[KEY_OCTETS:] for field in fields}
        return {known: text for known, text in self._labels.items() if known in used}

    def _drop(self, stale: IO[bytes]) -> None:
        """Remove what the list no longer has. An entry that was changed since it was looked at is let alone."""
        if self._options.replace is None:
            return
        stale.seek(0)
        # While the secret changes, the same entry was written in another shard: no replica loses it before it has that.
        after = self._shards.marks_of(list(range(self._shards.layout.shards)))
        units = len(self._units())
        for number in range(1, units + 1):
            shard, gone = marshal.load(stale)
            left = iter(gone.items())
            while some := dict(islice(left, ROWS_AT_ONCE)):
                self._applied.removed += self._shards.remove(shard, some, after)
            self._progress("removing", number, units)

    def _units(self) -> list[Unit]:
        """All parts, in the order of their keys."""
        layout = self._shards.layout
        total = layout.shards * layout.buckets
        units = min(BUCKETS, total)
        in_shard, spilled, buckets = units // layout.shards, BUCKETS // units, total // units
        return [
            Unit(
                unit // in_shard,
                range(unit % in_shard * buckets, (unit % in_shard + 1) * buckets),
                range(unit * spilled, (unit + 1) * spilled),
            )
            for unit in range(units)
        ]

    def _rows(self, spill: Spill, unit: Unit) -> list[New]:
        """The rows of a unit in the order of their keys; those of one key in the order they came."""
        sorts = [(label_id(sort.label), value_from_spill(_BLANK, sort.kind)[-1:]) for sort in spill.sorts]
        rows: list[New] = []
        for number in unit.spilled:
            for key, sort, body in spill.read(number):
                label, kind = sorts[sort]
                # What value_from_spill() does, in place: a call for each row would take longer than all the rest.
                rows.append((key + label, body[:_HEAD] + kind + body[_HEAD:].removesuffix(b"\0")))
        rows.sort(key=_FIELD)
        return rows

    def _of_list(self, unit: Unit, name: str) -> dict[bytes, bytes]:
        """What a unit has of a list now."""
        labels = self._shards.labels(unit.shard)
        ids = [known for known, label in labels.items() if label.list == name]
        found: dict[bytes, bytes] = {}
        step = self._shards.step(self._entries)
        for first in range(unit.buckets.start, unit.buckets.stop, step) if ids else ():
            buckets = range(first, min(first + step, unit.buckets.stop))
            found.update(self._shards.select(unit.shard, buckets, label_ids=ids))
        return found

    def _is_of(self, field: bytes, name: str) -> bool:
        return self._lists[field[KEY_OCTETS:]] == name


_FIELD = itemgetter(0)
_HEAD = 10
_BLANK = bytes(_HEAD)


def _ops(rows: list[New], there: Mapping[bytes, bytes]) -> tuple[list[Op], Applied]:
    """What rows mean for the entries that are there."""
    applied = Applied()
    now: dict[bytes, bytes] = {}
    for field, new in rows:
        old = now.get(field) or there.get(field)
        if old is None:
            now[field] = new
            applied.added += 1
        elif old[4:] == new[4:] or (after := _merged(old, new)) == old:
            applied.unchanged += 1
        else:
            now[field] = after
            applied.refreshed += 1
    ops = [Op(field, there.get(field, b""), value) for field, value in now.items()]
    return [op for op in ops if op.old != op.new], applied


def _merged(old: bytes, new: bytes) -> bytes:
    return pack_value(merged(unpack_value(old), unpack_value(new)))
