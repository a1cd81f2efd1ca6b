"""The messages in a file or folder: .eml, mbox, maildir, a folder of them, gzipped or not.

In: a path. Out: each message's name (`old.mbox#12`, from 1) and its octets, one at a time: a file is never read whole.
Refused: `OSError` for what cannot be opened. What is in a file never is: any octets are messages, damaged gzip ends
where it is damaged. Of a message longer than MOST_OCTETS, its beginning.

    mbox      by its first line: `From ` and a time. Messages begin with such a line after an empty one or the start;
              `>From ` in a body loses one `>` (mboxrd)
    maildir   a folder with new/ and cur/; tmp/ is what is not delivered yet
    folder    all files in it and below, in the order of their names, maildirs and mboxes too; hidden ones are passed over
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
    for one in sorted(folder.iterdir()):
        if is_maildir and one.name in ("new", "cur"):
            yield from (file for file in sorted(one.iterdir()) if _is_plain(file))
        elif is_maildir and not one.is_dir():
            continue  # what the server keeps there for itself: dovecot-uidlist and the like
        elif one.is_dir():
            if not one.is_symlink() and not (is_maildir and one.name == "tmp") and _is_shown(one, is_maildir):
                yield from _files_in(one)
        elif _is_plain(one):
            yield one


def _is_plain(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def _is_shown(folder: Path, in_maildir: bool) -> bool:
    """Whether to look into a folder: in a maildir, `.Junk` is a folder of mail."""
    return in_maildir or not folder.name.startswith(".")


def _in_file(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as raw:
        if raw.read(2) != _GZIP:
            raw.seek(0)
            yield from _in_stream(str(path), raw)
            return
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield from _in_stream(str(path), unpacked)


def _in_stream(name: str, stream: BinaryIO | gzip.GzipFile) -> Iterator[tuple[str, bytes]]:
    lines = _lines(stream)
    first = next(lines, b"")
    if _FROM_LINE.match(first):
        for number, message in enumerate(_split(lines), 1):
            yield f"{name}#{number}", message
        return
    if first:
        yield name, _joined(first, lines)


def _split(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The messages of an mbox, whose first From line is read."""
    kept: list[bytes] = []
    octets, after_empty = 0, False
    at_start = True  # of a line: a long one comes in pieces
    for line in lines:
        if at_start and after_empty and line.startswith(b"From ") and _FROM_LINE.match(line):
            yield _without_last_empty(kept)
            kept, octets = [], 0
            at_start = line.endswith(b"\n")
            after_empty = False
            continue
        if at_start and _QUOTED_FROM.match(line):
            line = line[1:]
        if octets < MOST_OCTETS:
            kept.append(line)
            octets += len(line)
        after_empty = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")
    yield _without_last_empty(kept)


def _without_last_empty(lines: list[bytes]) -> bytes:
    """A message without the empty line that an mbox adds."""
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines = lines[:-1]
    return b"".join(lines)


def _joined(first: bytes, lines: Iterator[bytes]) -> bytes:
    kept, octets = [first], len(first)
    for line in lines:
        if octets >= MOST_OCTETS:
            break
        kept.append(line)
        octets += len(line)
    return b"".join(kept)


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
