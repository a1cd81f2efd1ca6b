"""The byte layout: what is packed is unpacked the same, and no bytes whatever raise anything but StoreCorruptError."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.strategies import names, reasons, scopes, texts
from sendgate.entry import MAX_STRIKES, MAX_TIME, Origin, check_note
from sendgate.store.errors import StoreCorruptError
from sendgate.store.record import (
    Details,
    Label,
    Record,
    pack_details,
    pack_label,
    pack_records,
    unpack_details,
    unpack_label,
    unpack_records,
)

_NUMBERS = st.integers(0, MAX_TIME)
_RECORDS = st.builds(Record, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS)
_LABELS = st.builds(Label, reasons, scopes, names, st.booleans())
_DETAILS = st.builds(
    Details,
    _NUMBERS,
    _NUMBERS,
    _NUMBERS,
    st.sampled_from(Origin),
    st.integers(0, MAX_STRIKES),
    st.sampled_from(["user@example.com", "@.example.com", '"é b"@']),
    texts.map(check_note),
)


@given(st.lists(_RECORDS, max_size=4))
def test_records_are_unpacked_as_they_were_packed(records: list[Record]) -> None:
    packed = pack_records(records)
    assert len(packed) == 16 * len(records)
    assert unpack_records(packed) == records


@given(_LABELS)
def test_a_label_is_unpacked_as_it_was_packed(label: Label) -> None:
    assert unpack_label(pack_label(label)) == label


@given(_DETAILS)
def test_details_are_unpacked_as_they_were_packed(details: Details) -> None:
    assert unpack_details(pack_details(details)) == details


@given(st.binary(max_size=64))
@example(b"null")
@example(b"[1, 2, 3, 4]")
@example(b'["trap", "*", "default"]')
@example(b'["trap", 5, "default", true]')
@example(b'{"a": 1}')
def test_any_bytes_are_unpacked_or_told_to_be_damaged(value: bytes) -> None:
    for unpack in (unpack_records, unpack_label, unpack_details):
        with suppress(StoreCorruptError):
            unpack(value)
