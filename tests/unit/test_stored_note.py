"""Notes as a store with a secret writes them down: nothing in them that looks like an address."""

from __future__ import annotations

import pytest

from sendgate.entry import MAX_NOTE_OCTETS, check_note
from sendgate.keys import Keyer

KEYER = Keyer(b"secret")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("asked by phone, é", "asked by phone, é"),
        ("550 5.1.1 <anna@example.com>: unknown", "550 5.1.1 <address>: unknown"),
        ("rfc822;Anna.B+tag@example.com; 550", "rfc822;<address>; 550"),
        ('to "anna b"@example.com, cc o\'brien@example.org.', "to <address>, cc <address>"),
        ('he said "anna@example.com is gone"', 'he said "<address> is gone"'),
        ("bounce+anna=example.com@x.test: no", "<address>: no"),
        ("anna%example.com@relay.example", "<address>"),
        ("josé@bücher.example", "<address>"),
        ("anna＠example.com", "<address>"),
        ("https://x.test/?to=anna%40example.com", "https:<address>"),
        ("anna@[IPv6:2001:db8::1] and anna@[192.0.2.1]", "<address> and <address>"),
        ("<@relay.example:anna@example.com>", "<address>:<address>"),
        ("a@b@c", "<address>"),
        ("all of @example.com, and anna@", "all of <address>, and <address>"),
    ],
)
def test_an_address_in_a_note_is_replaced(given: str, stored: str) -> None:
    assert KEYER.stored_note(given) == stored


def test_without_a_secret_a_note_stays_as_it_is() -> None:
    assert Keyer().stored_note("550 5.1.1 <anna@example.com>: unknown") == "550 5.1.1 <anna@example.com>: unknown"


@pytest.mark.parametrize("left", range(1, 14))
def test_a_note_that_was_cut_within_an_address_shows_no_part_of_it(left: int) -> None:
    address = "wilhelmina@secretive.example"
    note = check_note("x " * (MAX_NOTE_OCTETS // 2 - 7) + " " * (14 - left) + address)
    assert note.endswith("x " + " " * (14 - left) + address[:left])
    assert "w" not in KEYER.stored_note(note)


@pytest.mark.parametrize("note", ["a@b " * 256, "é" * 512, "x" * MAX_NOTE_OCTETS, "word " * 204, '"' * 1024])
def test_a_stored_note_is_no_longer_than_a_note_and_is_stored_again_as_it_is(note: str) -> None:
    stored = KEYER.stored_note(check_note(note))
    assert len(stored.encode()) <= MAX_NOTE_OCTETS
    assert KEYER.stored_note(check_note(stored)) == check_note(stored)
