"""Lines of a file, some thousands at a time.

In: a function that reads octets. Out: blocks of lines with the number of their first.
Refused: a line that is longer than MAX_LINE or not UTF-8: it is reported, and an empty one stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_LINE = 64 * 1024
"""Characters of a line, and of a csv record with line breaks in it."""

_BLOCK_OCTETS = 256 * 1024
_CUT_OCTETS = 4 * MAX_LINE + 4
"""What is kept of a line without an end: more than MAX_LINE characters, however many octets each has."""

SHOWN = 80


class BadLine(NamedTuple):
    """A line that was passed over: its number, its text cut to SHOWN characters, and why."""

    number: int
    text: str
    reason: str


ReportBad = Callable[[BadLine], None]


class Block(NamedTuple):
    """Lines that follow each other, without their ends; `first` is the number of the first."""

    first: int
    lines: list[str]


def read_blocks(read: Callable[[int], bytes], bad: ReportBad) -> Iterator[Block]:
    """Split all that `read` gives into lines."""
    first, rest = 1, b""
    while data := read(_BLOCK_OCTETS):
        head, newline, tail = data.rpartition(b"\n")
        if not newline:
            rest = (rest + data)[:_CUT_OCTETS]
            continue
        block = Block(first, _decode(first, rest + head + newline, bad))
        first, rest = first + len(block.lines), tail
        yield block
    if rest:
        yield Block(first, _decode(first, rest + b"\n", bad))


def report(bad: ReportBad, number: int, text: str, reason: str) -> None:
    """Report a line as bad, cut to what is shown of it."""
    bad(BadLine(number, text[:SHOWN], reason))


def _decode(first: int, octets: bytes, bad: ReportBad) -> list[str]:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = "".join(_decode_each(first, octets, bad))
    if first == 1:
        text = text.removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").split("\n")
    lines.pop()
    if max(map(len, lines)) > MAX_LINE:
        _blank_long(first, lines, bad)
    return lines


def _decode_each(first: int, octets: bytes, bad: ReportBad) -> Iterator[str]:
    for number, line in enumerate(octets.split(b"\n")[:-1], first):
        try:
            yield line.decode() + "\n"
        except UnicodeDecodeError:
            reason = _too_long() if len(line) > 4 * MAX_LINE else "not UTF-8"
            report(bad, number, line[: 4 * SHOWN].decode(errors="backslashreplace"), reason)
            yield "\n"


def _blank_long(first: int, lines: list[str], bad: ReportBad) -> None:
    for index, line in enumerate(lines):
        if len(line) > MAX_LINE:
            report(bad, first + index, line, _too_long())
            lines[index] = ""


def _too_long() -> str:
    return f"longer than {MAX_LINE:,} characters"
