"""The header of a message: its fields in order, unfolded, and what their values say.

In: text whose characters are the message's octets (latin-1), lines ended by "\\n". Out: `Headers`, texts.
Nothing is refused: a line that is no field ends the header, or is passed over when fields go on after it.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from email.utils import mktime_tz, parsedate_tz

MOST_FIELDS = 1000
_ODD_LINES = 3

_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]{0,20}:[ \t]*(.*(?:\n[ \t]+\S.*)*)\n?")
_FOLD = re.compile(r"\n[ \t]+")
_ENCODED = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]{0,4000})\?=(?:\s+(?==\?))?")
_PARAMETER = re.compile(r';\s*([!-:<>-~]{1,60}?)\*?\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;]*))')
_HIGH = re.compile(rb"[\xa1-\xff]+")
_ASCII_LETTER = re.compile(rb"[A-Za-z]")
_FEWEST_HIGH = 6
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


class Headers:
    """The fields of a header: (name in lower case, value), in the order of the message."""

    __slots__ = ("_first", "items")

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self.items = items
        self._first = dict(reversed(items))

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def get(self, name: str) -> str:
        """The value of the first field of this name (in lower case), or ""."""
        return self._first.get(name, "")

    def all(self, name: str) -> list[str]:
        """The values of all fields of this name (in lower case)."""
        return [value for one, value in self.items if one == name] if name in self._first else []

    def decoded(self, name: str) -> str:
        """Like `get`, with encoded words (RFC 2047) decoded."""
        return decode_words(self.get(name))


EMPTY = Headers([])


def read_headers(text: str, start: int = 0) -> tuple[Headers, int]:
    """Read the header that begins at `start`. Returns it and where the body begins."""
    items: list[tuple[str, str]] = []
    position, odd = start, 0
    while len(items) < MOST_FIELDS:
        field = _FIELD.match(text, position)
        if field is not None:
            value = field[2]
            if "\n" in value:
                value = _FOLD.sub(" ", value)
            items.append((field[1].lower(), value.rstrip() if _is_plain(value) else octets_text(value.rstrip())))
            position = field.end()
            continue
        line_end = _line_end(text, position)
        goes_on = odd < _ODD_LINES and bool(items) and line_end > position and _goes_on(text, line_end)
        if not goes_on:
            blank = not text[position:line_end].strip()
            position = line_end + 1 if blank else position
            break
        odd += 1
        position = line_end + 1
    return Headers(items), min(position, len(text))


def sent_at(headers: Headers, now: float) -> int:
    """When a message was sent, in Unix seconds, if that is possible; else now."""
    try:
        parsed = parsedate_tz(headers.get("date")[:100])
        at = mktime_tz(parsed) if parsed else 0
    except (ValueError, OverflowError, TypeError, IndexError):
        at = 0
    return int(at) if 0 < at <= now else int(now)


def decode_words(text: str) -> str:
    """Decode the encoded words (RFC 2047) of a field's value."""
    return _ENCODED.sub(_decode_word, text) if "=?" in text else text


def read_content_type(value: str) -> tuple[str, dict[str, str]]:
    """The type (`text/plain`, lower case) and the parameters (names in lower case) of a Content-Type-like value."""
    kind = value.partition(";")[0].strip().lower()
    if ";" not in value:
        return kind, {}
    parameters = {
        found[1].lower(): found[3] if found[2] is None else found[2].replace("\\", "")
        for found in _PARAMETER.finditer(value[:2000])
    }
    return kind, parameters


def octets_text(text: str) -> str:
    """The text that octets (as latin-1) mean when nothing tells their charset."""
    if "\x1b" in text:
        return decode_octets(text.encode("latin-1", "replace"), "iso-2022-jp")
    return decode_octets(text.encode("latin-1", "replace"), "")


def decode_octets(octets: bytes, charset: str) -> str:
    """Decode octets; an unknown or wrong charset falls back to UTF-8, then to latin-1."""
    if charset:
        try:
            codec = codecs.lookup(charset)
            if codec.name.replace("-", "_") not in _NO_CHARSETS:
                text = octets.decode(charset, "replace" if codec.name.startswith(("iso2022", "utf-7")) else "strict")
                return text.replace("\x00", "") if isinstance(text, str) else ""
        except (LookupError, ValueError):
            pass  # an unknown charset, or octets that are not in it
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode(_likely_charset(octets), "replace")


def decode_base64(text: str | bytes) -> bytes:
    """Decode base64, whatever else stands between its characters and however it ends."""
    octets = text if isinstance(text, bytes) else text.encode("latin-1", "replace")
    for cut in (b"", b"=", b"=="):
        try:
            return binascii.a2b_base64(octets + cut)
        except binascii.Error:
            continue
    try:
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4])
    except binascii.Error:
        return b""


def _likely_charset(octets: bytes) -> str:
    """The charset of octets that do not tell it, and are not UTF-8: what is nearly all letters beyond ASCII is not
    latin-1 but Chinese (in pairs) or Russian (where small letters are the upper half in one charset, not the other).
    """
    high = _HIGH.findall(octets)
    many = sum(map(len, high))
    if many < _FEWEST_HIGH or many < len(_ASCII_LETTER.findall(octets)):
        return "latin-1"
    if all(len(run) % 2 == 0 for run in high):
        return "gb18030"
    small = sum(octet >= 0xE0 for run in high for octet in run)
    return "windows-1251" if 2 * small > many else "koi8-r"


def _decode_word(word: re.Match[str]) -> str:
    if word[2] in "bB":
        octets = decode_base64(word[3])
    else:
        octets = binascii.a2b_qp(word[3].encode("latin-1", "replace"), header=True)
    return decode_octets(octets, word[1].partition("*")[0])


def _is_plain(value: str) -> bool:
    return value.isascii() and "\x1b" not in value


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _goes_on(text: str, line_end: int) -> bool:
    """Whether, after a line that is no field, fields follow up to an empty line."""
    position, fields = line_end + 1, 0
    while fields < MOST_FIELDS:
        field = _FIELD.match(text, position)
        if field is None:
            break
        position, fields = field.end(), fields + 1
    return fields > 0 and text[position : position + 1] == "\n"
