"""What a batch of changes means for the entries that are there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sendgate.entry import EVERYWHERE, Entry, Reason, Scope, parse_scope, parse_subject
from sendgate.store.layout import label_id, pack_value, unpack_value, value_of
from sendgate.store.origin import Applied
from sendgate.store.record import Label, pack_label
from sendgate.store.shared_batch import AddStep, Batch, RemoveStep, Step

ONE, OTHER = b"1" * 16, b"2" * 16
MANUAL = Label(Reason.MANUAL, EVERYWHERE, "default", False)
TRAP = Label(Reason.TRAP, EVERYWHERE, "default", True)
PARTNERS = Label(Reason.MANUAL, parse_scope("stream:news"), "partners", False)
LABELS = {label_id(label): label for label in (MANUAL, TRAP, PARTNERS)}


def packed(*, created: int = 1, expires: int | None = None, strikes: int = 1, note: str = "") -> bytes:
    entry = Entry(
        parse_subject("user@example.com"), Reason.MANUAL, created=created, expires=expires, strikes=strikes, note=note
    )
    return pack_value(value_of(entry, "user@example.com"))


def adding(label: Label = MANUAL, key: bytes = ONE, value: bytes | None = None) -> AddStep:
    return AddStep(key, label, unpack_value(packed() if value is None else value))


def removing(
    reason: Reason | None = None,
    scope: Scope | None = None,
    list_name: str | None = None,
    key: bytes = ONE,
    *,
    only_wide: bool = False,
) -> RemoveStep:
    return RemoveStep(key, reason, scope, list_name, only_wide)


def batch(there: Mapping[bytes, bytes], *steps: Step) -> Batch:
    """A batch over two keys, with its steps taken."""
    by_key = {key: {field: value for field, value in there.items() if field.startswith(key)} for key in (ONE, OTHER)}
    made = Batch(by_key, lambda field: LABELS[field[16:]])
    for step in steps:
        made.take(step)
    return made


def field(label: Label = MANUAL, key: bytes = ONE) -> bytes:
    return key + label_id(label)


def test_an_addition_goes_from_nothing_to_the_value_and_brings_its_label() -> None:
    done = batch({}, adding())
    assert done.ops == [(field(), b"", packed())]
    assert done.labels == {label_id(MANUAL): pack_label(MANUAL)}
    assert done.applied == Applied(added=1)


def test_an_addition_of_what_is_there_goes_from_that_to_both() -> None:
    old, new = packed(expires=5, note="old"), packed(created=9, expires=7, strikes=3)
    done = batch({field(): old}, adding(value=new))
    assert done.ops == [(field(), old, packed(expires=7, strikes=3, note="old"))]
    assert done.labels == {}
    assert done.applied == Applied(refreshed=1)


def test_an_addition_that_says_nothing_new_is_no_change() -> None:
    done = batch({field(): packed(expires=9)}, adding(value=packed(created=7, expires=5)))
    assert done.ops == []
    assert done.applied == Applied(unchanged=1)


def test_two_additions_of_one_entry_are_one_change() -> None:
    done = batch({}, adding(value=packed(expires=5)), adding(value=packed(expires=7)))
    assert done.ops == [(field(), b"", packed(expires=7))]
    assert done.applied == Applied(added=1, refreshed=1)


def test_each_label_and_each_key_has_an_entry_of_its_own() -> None:
    done = batch({}, adding(MANUAL), adding(TRAP), adding(MANUAL, OTHER))
    assert {op.field for op in done.ops} == {field(MANUAL), field(TRAP), field(MANUAL, OTHER)}
    assert done.labels.keys() == {label_id(MANUAL), label_id(TRAP)}


def test_a_removal_goes_from_what_is_there_to_nothing() -> None:
    done = batch({field(): packed(), field(TRAP): packed(note="trap")}, removing())
    assert set(done.ops) == {(field(), packed(), b""), (field(TRAP), packed(note="trap"), b"")}
    assert done.applied == Applied(removed=2)


def test_a_removal_of_what_is_not_there_is_no_change() -> None:
    done = batch({field(key=OTHER): packed()}, removing())
    assert done.ops == []
    assert done.applied == Applied()


@pytest.mark.parametrize(
    ("step", "removed"),
    [
        (removing(), {MANUAL, TRAP, PARTNERS}),
        (removing(Reason.TRAP), {TRAP}),
        (removing(Reason.MANUAL), {MANUAL, PARTNERS}),
        (removing(scope=EVERYWHERE), {MANUAL, TRAP}),
        (removing(scope=parse_scope("stream:news")), {PARTNERS}),
        (removing(list_name="partners"), {PARTNERS}),
        (removing(Reason.TRAP, list_name="partners"), set()),
        (removing(only_wide=True), {TRAP}),
        (removing(Reason.MANUAL, only_wide=True), set()),
    ],
)
def test_a_removal_takes_what_fits_alone(step: RemoveStep, removed: set[Label]) -> None:
    there = {field(label): packed() for label in LABELS.values()}
    assert {op.field for op in batch(there, step).ops} == {field(label) for label in removed}


def test_what_is_added_and_removed_again_was_never_there() -> None:
    done = batch({}, adding(), removing())
    assert done.ops == []
    assert done.applied == Applied(added=1, removed=1)


def test_what_is_removed_and_added_again_is_new() -> None:
    old, new = packed(expires=9, strikes=7, note="old"), packed(created=5)
    done = batch({field(): old}, removing(), adding(value=new))
    assert done.ops == [(field(), old, new)]
    assert done.applied == Applied(added=1, removed=1)


def test_what_is_removed_and_added_again_just_as_it_was_is_no_change_at_the_origin() -> None:
    done = batch({field(): packed()}, removing(), adding())
    assert done.ops == []
    assert done.applied == Applied(added=1, removed=1)


def test_a_removal_in_a_batch_knows_the_labels_that_the_batch_brings() -> None:
    new = Label(Reason.LEGAL, EVERYWHERE, "court", True)
    done = batch({}, adding(new), adding(MANUAL), removing(Reason.LEGAL))
    assert [op.field for op in done.ops] == [field(MANUAL)]
