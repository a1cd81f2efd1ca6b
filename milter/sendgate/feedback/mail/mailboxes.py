"""The messages in a file or folder: .eml, mbox, maildir, a folder of them, gzipped or not.

In: a path. Out: each message's name and its octets, one at a time: a file is never read whole.
Refused: `OSError` for what cannot be opened. What is in a file never is: any octets are a message; damaged gzip ends
where it is damaged. Of a message longer than MOST_OCTETS, its beginning.

    mbox      any file (but .eml) that begins with `From ` and a time; each message does so, after an empty line.
              Its messages are named `old.mbox#12`, from 1, when there is more than one. `>From ` loses one `>` (mboxrd)
    maildir   a folder with new/ and cur/, and its folders; tmp/ is what is not delivered yet
    folder    all files in it and below, by name, maildirs and mboxes too; hidden ones are passed over
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MOST_OCTETS = 4 * 2**20
"""Of a message that is longer, only this much is kept; the rest is attachments."""
_LINE_OCTETS = 64 * 1024
_EMPTY = (b"\n", b"\r\n")
_GZIP = b"\x1f\x8b"

_TIME = rb"(?:[A-Z][a-z]{2},? +)?(?:[A-Z][a-z]{2} +\d{1,2}|\d{1,2} +[A-Z][a-z]{2},?|\d{4}-\d\d-\d\d)\b.{0,60}\d\d:\d\d"
_FROM_LINE = re.compile(rb"From (?:.{0,400}? )??" + _TIME)
"""RFC 4155 and what others write: a sender, perhaps none, and a time."""
_QUOTED_FROM = re.compile(rb">+From ")


def messages_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """All messages of a file or folder, with their names."""
    if not path.is_dir():
        yield from _in_file(path)
        return
    for file in _files_in(path):
        try:
            yield from _in_file(file)
        except OSError:
            continue  # one that went away meanwhile, or is not for us; the others are


def _files_in(folder: Path) -> Iterator[Path]:
    is_maildir = (folder / "new").is_dir() and (folder / "cur").is_dir()
    for name in _names(folder):
        one = folder / name
        if one.is_symlink() and one.is_dir():
            continue  # it may lead back to where we are
        if is_maildir and name in ("new", "cur"):
            yield from (one / file for file in _names(one) if _is_mail(one / file))
        elif is_maildir:  # its other files are the server's own; its folders are called .Junk and the like
            if name != "tmp" and one.is_dir():
                yield from _files_in(one)
        elif one.is_dir() and not name.startswith("."):
            yield from _files_in(one)
        elif _is_mail(one):
            yield one


def _names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def _is_mail(file: Path) -> bool:
    return not file.name.startswith(".") and file.is_file()


def _in_file(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as raw:
        if not raw.peek(2).startswith(_GZIP):
            yield from _in_stream(path, raw)
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield from _in_stream(path.with_suffix("") if path.suffix == ".gz" else path, unpacked, str(path))


def _in_stream(path: Path, stream: BinaryIO | gzip.GzipFile, name: str = "") -> Iterator[tuple[str, bytes]]:
    name = name or str(path)
    lines = _lines(stream)
    first = next(lines, b"")
    if path.suffix.lower() == ".eml" or not _FROM_LINE.match(first):
        yield name, _joined(first, lines)
        return
    number, before = 1, None
    for message in _split(lines):
        if before is not None:
            yield f"{name}#{number}", before
            number += 1
        before = message
    yield (name if number == 1 else f"{name}#{number}"), before or b""


def _split(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The messages of an mbox, whose first From line is read."""
    kept = bytearray()
    after_empty = False
    at_start = True  # of a line: a long one comes in pieces
    for line in lines:
        if at_start and after_empty and _FROM_LINE.match(line):
            yield _without_last_empty(kept)
            kept = bytearray()
            at_start, after_empty = line.endswith(b"\n"), False
            continue
        if at_start and _QUOTED_FROM.match(line):
            line = line[1:]
        if len(kept) < MOST_OCTETS:
            kept += line
        after_empty = at_start and line in _EMPTY
        at_start = line.endswith(b"\n")
    yield _without_last_empty(kept)


def _without_last_empty(message: bytearray) -> bytes:
    """A message without the empty line that an mbox adds."""
    last = next((line for line in _EMPTY if message == line or message.endswith(b"\n" + line)), b"")
    return bytes(message[: len(message) - len(last)])


def _joined(first: bytes, lines: Iterator[bytes]) -> bytes:
    kept = bytearray(first)
    for line in lines:
        if len(kept) >= MOST_OCTETS:
            break
        kept += line
    return bytes(kept)


def _lines(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a stream, long ones in pieces; it ends where gzip is damaged."""
    while True:
        try:
            line = stream.readline(_LINE_OCTETS)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        if not line:
            return
        yield line
