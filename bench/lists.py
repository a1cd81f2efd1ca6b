"""Made-up lists: addresses by number, and stores filled with them.

In: how many. Out: addresses that look like real ones in length and mix, the same on every machine; stores.
Numbers below the size of a list are on it, those from there on are not.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sendgate.entry import Entry, Origin, Reason, Subject, parse_subject
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.origin import LoadOptions

MAX_SIZE = 64 << 30
_NAMES = ("anna", "bob", "carlos", "dmitri", "elisabeth", "fatima", "george", "hiroshi", "ines", "jo", "kwame", "li")
_SEPARATORS = ("", "", "", ".", "_")
_DOMAINS = ("gmail.com", "gmail.com", "yahoo.com", "outlook.com", "mail.example.net", "example-isp.example.com")
_SMALL_DOMAINS = 2000
_MIXER, _MODULUS = 0x9E3779B97F4A7C15, 2**40
_BEYOND = 10_000_000


def address(number: int) -> str:
    """The address of this number; no two numbers below 2**40 have the same."""
    mixed = number * _MIXER % _MODULUS
    name = _NAMES[mixed % len(_NAMES)]
    separator = _SEPARATORS[mixed % len(_SEPARATORS)]
    pick = mixed % 11
    domain = _DOMAINS[pick] if pick < len(_DOMAINS) else f"firm{mixed % _SMALL_DOMAINS}.example.org"
    return f"{name}{separator}{mixed:x}@{domain}"


def sample(count: int, size: int, share: float, seed: int = 0) -> list[str]:
    """Addresses at random from everywhere: this share of them from a list of `size`, the others not on it."""
    chance = random.Random(seed)
    listed = round(count * share)
    numbers = [chance.randrange(size) for _ in range(listed)]
    numbers += [chance.randrange(size, size + _BEYOND) for _ in range(count - listed)]
    chance.shuffle(numbers)
    return [address(number) for number in numbers]


def fill(folder: Path, count: int) -> Path:
    """Make a store with the first `count` addresses. Returns its folder."""
    origin = EmbeddedOrigin(folder, Keyer(), MAX_SIZE)
    try:
        origin.load(rows(count), LoadOptions(), lambda *_: None)
    finally:
        origin.close()
    return folder


def write(path: Path, count: int) -> Path:
    """A list file with the first `count` addresses, one a line."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{address(number)}\n" for number in range(count))
    return path


def rows(count: int, first: int = 0, **details: Any) -> Iterator[tuple[Subject, Entry]]:
    """So many rows of an import, from the address of this number on; `details` of all their entries."""
    given = {"origin": Origin.IMPORT, "created": int(time.time()), **details}
    like = Entry(parse_subject(address(0)), Reason.HARD_BOUNCE, **given)
    for number in range(first, first + count):
        yield parse_subject(address(number)), like
