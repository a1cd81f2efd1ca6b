"""Find the addresses in a text, and bring each to one spelling.

In: text as it stands in headers and reports. Out: addresses with their place, normalised texts.
Nothing is refused: what is no address is not found. The time is linear in the length of the text.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from sendgate.address import AddressError, parse

MOST_FOUND = 1000
_MOST_LOCAL = 192
_REMEMBERED = 2000
_MOST_DOMAIN = 255

# Both are matched from the "@" outwards, the local part on reversed text.
_LOCAL_BACKWARDS = re.compile(r"[^\x00-\x20\x7f-\x9f\"(),:;<>@\[\\\]\u3000-\u303f\uff00-\uffef]+")
_LETTER = r"A-Za-z0-9_\u00c0-\u024f\u0370-\u1fff"
_DOMAIN = re.compile(rf"[{_LETTER}][{_LETTER}-]*(?:\.[{_LETTER}][{_LETTER}-]*)+")
_QUOTED_BACKWARDS = re.compile(r'"(?:[^"\\\n]|\\.)+"')
_AROUND = "'`*=|&{}/!?#%$~^+"
_PREFIX = re.compile(r"(?:smtp|rfc-?822|mailto|recipient|rcpt|to|user|address|e?mail)=", re.IGNORECASE)
_NUMERIC = re.compile(r"[0-9]+")


class Found(NamedTuple):
    """An address in a text: as it is written, and where."""

    text: str
    start: int
    end: int


def find_addresses(text: str) -> list[Found]:
    """All addresses in a text that have a domain of at least two labels, in their order."""
    found: list[Found] = []
    at = text.find("@")
    while at >= 0 and len(found) < MOST_FOUND:
        one = _around(text, at)
        if one is not None:
            found.append(one)
        at = text.find("@", at + 1)
    return found


def first_address(text: str) -> str:
    """The first address in a text, as it is written, or ""."""
    found = find_addresses(text[:2000])
    return found[0].text if found else ""


@functools.lru_cache(maxsize=_REMEMBERED)
def spelling(text: str) -> str:
    """The one spelling of an address; of what is none, the text in lower case."""
    try:
        return parse(text).text
    except (AddressError, ValueError):
        return text.strip().lower()


def is_address(text: str) -> bool:
    """Whether a text is an address as the lists know it."""
    try:
        return bool(parse(text).domain)
    except (AddressError, ValueError):
        return False


def _around(text: str, at: int) -> Found | None:
    domain = _DOMAIN.match(text, at + 1, at + 1 + _MOST_DOMAIN)
    if domain is None:
        return None
    name = domain[0].rstrip("-")
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):
        return None
    before = text[max(0, at - _MOST_LOCAL) : at]
    if before.endswith('"'):
        quoted = _QUOTED_BACKWARDS.match(before[::-1])
        if quoted is None:
            return None
        start = at - quoted.end()
    else:
        local = _LOCAL_BACKWARDS.match(before[::-1])
        if local is None:
            return None
        start = at - local.end()
        start += len(text[start:at]) - len(text[start:at].lstrip(_AROUND))
        if name.isascii() and not text[start:at].isascii():
            start = _ascii_tail(text, start, at)
    if start >= at:
        return None
    end = at + 1 + len(name)
    prefix = _PREFIX.match(text, start, at)
    if prefix is not None and prefix.end() < at:
        start = prefix.end()
    return Found(text[start:end], start, end)


def _ascii_tail(text: str, start: int, at: int) -> int:
    """Where the ASCII end of a local part begins: words of a language without spaces run into an address."""
    position = at
    while position > start and text[position - 1].isascii():
        position -= 1
    return position if position < at else start
