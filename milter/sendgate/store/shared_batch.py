"""What a batch of changes means for the entries that are there. Pure.

In: the entries under the keys concerned, packed, and the steps in their order. Out: for each entry that is to change
one `Op`, the labels that new entries need, and what was done, in entries. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sendgate.entry import Reason, Scope
from sendgate.store.layout import KEY_OCTETS, Value, label_id, merged, pack_value, unpack_value
from sendgate.store.origin import Applied
from sendgate.store.record import Label, pack_label
from sendgate.store.shards import Op


class AddStep(NamedTuple):
    """Add an entry under a key, or refresh the one with its label."""

    key: bytes
    label: Label
    value: Value


class RemoveStep(NamedTuple):
    """Remove the entries under a key that fit; None fits all; `only_wide`: mailbox-wide ones."""

    key: bytes
    reason: Reason | None
    scope: Scope | None
    list: str | None
    only_wide: bool

    def fits(self, label: Label) -> bool:
        return (
            self.reason in (None, label.reason)
            and self.scope in (None, label.scope)
            and self.list in (None, label.list)
            and (label.mailbox_wide or not self.only_wide)
        )


Step = AddStep | RemoveStep


class Batch:
    """A batch in the making. `there`: of each key, fields and values; label_of: the label of a field that is there."""

    def __init__(self, there: Mapping[bytes, Mapping[bytes, bytes]], label_of: Callable[[bytes], Label]) -> None:
        self._before = {field: value for found in there.values() for field, value in found.items()}
        self._now = {key: dict(found) for key, found in there.items()}
        self._label_of = label_of
        self._new_labels: dict[bytes, Label] = {}
        self.applied = Applied()

    def take(self, step: Step) -> None:
        """Take the next step."""
        if isinstance(step, AddStep):
            self._add(step)
        else:
            self._remove(step)

    @property
    def ops(self) -> list[Op]:
        """All that changes, from how it was before the first step to how it is after the last."""
        after = {field: value for found in self._now.values() for field, value in found.items()}
        fields = [*self._before, *(field for field in after if field not in self._before)]
        pairs = ((field, self._before.get(field, b""), after.get(field, b"")) for field in fields)
        return [Op(field, old, new) for field, old, new in pairs if old != new]

    @property
    def labels(self) -> dict[bytes, bytes]:
        """Id and text of the labels that were added under."""
        return {known: pack_label(label) for known, label in self._new_labels.items()}

    def _add(self, step: AddStep) -> None:
        known = label_id(step.label)
        found, field = self._now[step.key], step.key + known
        old = found.get(field)
        if old is None:
            found[field] = pack_value(step.value)
            self._new_labels[known] = step.label
            self.applied.added += 1
            return
        new = pack_value(merged(unpack_value(old), step.value))
        if new == old:
            self.applied.unchanged += 1
        else:
            found[field] = new
            self.applied.refreshed += 1

    def _remove(self, step: RemoveStep) -> None:
        found = self._now[step.key]
        gone = [field for field in found if step.fits(self._label(field))]
        for field in gone:
            del found[field]
        self.applied.removed += len(gone)

    def _label(self, field: bytes) -> Label:
        return self._new_labels.get(field[KEY_OCTETS:]) or self._label_of(field)
