"""The byte layout of the embedded store and of every replica.

In: typed values. Out: bytes, and back. Refused: `StoreCorruptError` for bytes of another length or unknown codes.

    keys     16-byte key -> one 16-byte record for each entry filed under it
             label, created, expires (0: never), entry number; four big-endian unsigned 32-bit integers
    entries  entry number (32 bits, big-endian) -> label, created, expires, origin, strikes, subject, NUL, note
    labels   label number (32 bits, big-endian) -> JSON of reason, scope, list and matching; never changed
    counts   label number -> entries that have it (64 bits, big-endian)
    expiry   expires, entry number (32 bits each) -> nothing; entries that never expire are not there
    meta     a few named values

A *label* is what many entries share. Records name it by number, so that they stay small and of one size.
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from sendgate.entry import Entry, Found, Origin, Reason, Scope, parse_scope, parse_subject
from sendgate.store.errors import StoreCorruptError

FORMAT = b"sendgate 1"
RECORD = struct.Struct(">IIII")
NUMBER = struct.Struct(">I")
COUNT = struct.Struct(">Q")
EXPIRY = struct.Struct(">II")
_DETAILS = struct.Struct(">IIIBB")
_SHARED = struct.Struct(">IIBB")

_ORIGINS = tuple(Origin)
_ORIGIN_CODES = {origin: code for code, origin in enumerate(_ORIGINS)}


class Label(NamedTuple):
    """What entries have in common: all of their identity but the subject, and how the subject matches."""

    reason: Reason
    scope: Scope
    list: str
    mailbox_wide: bool


class Record(NamedTuple):
    """One entry as the gate sees it. Times in Unix seconds; `expires` 0 is never; `number` is the entry's."""

    label: int
    created: int
    expires: int
    number: int


class Details(NamedTuple):
    """One entry in full, but for its label, which is given by number."""

    label: int
    created: int
    expires: int
    origin: Origin
    strikes: int
    subject: str
    note: str


def pack_records(records: list[Record]) -> bytes:
    return b"".join(RECORD.pack(*record) for record in records)


def unpack_records(value: bytes) -> list[Record]:
    if len(value) % RECORD.size:
        raise StoreCorruptError(f"a value of {len(value)} bytes is no list of records")
    return [Record._make(fields) for fields in RECORD.iter_unpack(value)]


def pack_label(label: Label) -> bytes:
    return json.dumps([label.reason, str(label.scope), label.list, label.mailbox_wide]).encode()


def unpack_label(value: bytes) -> Label:
    try:
        reason, scope, list_name, mailbox_wide = json.loads(value)
        return Label(Reason(reason), parse_scope(scope), list_name, mailbox_wide)
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreCorruptError(f"a label cannot be read: {error}") from None


def pack_details(details: Details) -> bytes:
    head = _DETAILS.pack(
        details.label, details.created, details.expires, _ORIGIN_CODES[details.origin], details.strikes
    )
    return head + details.subject.encode() + b"\0" + details.note.encode()


def pack_shared(like: Entry) -> tuple[bytes, bytes]:
    """What entries like this one have in `entries` between the label and the subject, and after the subject.

    So pack_details() is the label, the first of the two, the subject and the second. Mass imports, which have one
    entry for many subjects, put these together themselves. The first begins with created and expires, as a record
    has them.
    """
    return (
        _SHARED.pack(like.created, like.expires or 0, _ORIGIN_CODES[like.origin], like.strikes),
        b"\0" + like.note.encode(),
    )


def unpack_details(value: bytes) -> Details:
    try:
        label, created, expires, origin, strikes = _DETAILS.unpack_from(value)
        subject, _, note = value[_DETAILS.size :].decode().partition("\0")
        return Details(label, created, expires, _ORIGINS[origin], strikes, subject, note)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise StoreCorruptError(f"an entry cannot be read: {error}") from None


def details_of(entry: Entry, label: int, subject: str) -> Details:
    """An entry as it is to be stored, with its label by number and its subject as the store may show it."""
    return Details(label, entry.created, entry.expires or 0, entry.origin, entry.strikes, subject, entry.note)


def later_expiry(one: int, other: int) -> int:
    """The later of two expiries; 0 is never."""
    return 0 if 0 in (one, other) else max(one, other)


def found(label: Label, record: Record, ref: str) -> Found:
    """A record as the decision wants it."""
    return Found(label.reason, label.scope, label.list, record.created, record.expires or None, ref)


def entry(label: Label, details: Details) -> Entry:
    """An entry in full."""
    return Entry(
        subject=parse_subject(details.subject),
        reason=label.reason,
        scope=label.scope,
        list=label.list,
        origin=details.origin,
        created=details.created,
        expires=details.expires or None,
        strikes=details.strikes,
        note=details.note,
    )
