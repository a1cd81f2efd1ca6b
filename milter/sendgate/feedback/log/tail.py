"""A log file that grows, is rotated and truncated: its lines, each once, over restarts too.

In: its path, and a `Position` from an earlier run. Out: complete lines, each with the position behind it.
Refused: `OSError` when a file is there but cannot be read. A missing file has no lines yet.

    rotation by renaming    the old file is read to its end, gzipped meanwhile or not, then those rotated after it, then
                            the new one; a half line at the end of an old file counts as a line
    copying and truncating  what was not read is looked for in the copy; if there is none, it is lost: what is gone
                            before it was read nobody can read
    a line over MAX_LINE    is passed over

A file is known by its first line as much as by its inode, which a new file may get again. Rotated files are those of
the same folder whose names go on with digits after a "." or "-": maillog.1, maillog-20261122,
maillog.20261122-030000.gz.
Other compressions than gzip are not read. When the file of a position is nowhere, reading begins with the log as it is.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

MAX_LINE = 65536
BLOCK = 1 << 20
FIRST_OCTETS = 1024
"""Octets of the first line that a file is known by."""
_ROTATED = re.compile(r"[.-]\d[\dT_-]{0,32}(?:\.gz)?")
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


class Position(NamedTuple):
    """A place in a file: which one, how far, and what its first line is known by ("" at its beginning)."""

    device: int
    inode: int
    offset: int
    first: str

    def as_object(self) -> list[int | str]:
        """What JSON can hold; `of` takes it back."""
        return [*self]

    @classmethod
    def of(cls, value: Any) -> Position:
        device, inode, offset, first = value
        return cls(int(device), int(inode), int(offset), str(first))


@dataclass(slots=True)
class _Opened:
    """A file that is read. is_live: it was found under the log's own name, not under one of a rotated file."""

    file: IO[bytes]
    device: int
    inode: int
    is_live: bool
    is_packed: bool

    def read_at(self, offset: int, octets: int) -> bytes:
        if not self.is_packed:
            return os.pread(self.file.fileno(), octets, offset)
        try:
            self.file.seek(offset)
            return self.file.read(octets)
        except _DAMAGED:
            return b""

    def first(self) -> str:
        """What the file is known by; "" when its first line is not complete, and still may be."""
        head = self.read_at(0, FIRST_OCTETS)
        return _known_by(head if self.is_live or not head else head + b"\n")

    def reaches(self, offset: int) -> bool:
        return offset == 0 or bool(self.read_at(offset - 1, 1))

    def changed(self) -> int:
        return os.fstat(self.file.fileno()).st_mtime_ns


class LogFile:
    """Follows the log at `path` from a position on; without one, from its beginning."""

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self._path = path
        self._position = position
        self._now: _Opened | None = None
        self._before: tuple[str, int] | None = None
        """What the file before was known by, and when it was changed last."""
        self._passed_over = 0
        """Octets of an endless line that were read and dropped; its end is still to come."""

    @property
    def position(self) -> Position | None:
        """Where reading goes on; None before anything was found."""
        return self._position

    def place(self) -> Position | None:
        """Where reading goes on, or begins; None while there is no file."""
        if self._now is None:
            self._open()
        return self._position

    def read(self, limit: int = BLOCK) -> list[tuple[str, Position]]:
        """The next complete lines, from up to `limit` octets (but at least one line). Empty: none for now."""
        while self._now is not None or self._open():
            self._check()
            # asked before reading: what comes into the old file after a new one has content is nobody's line
            has_successor = self._has_successor()
            lines = self._take(limit)
            if lines or not has_successor:
                return lines
            lines = self._take_half_line()
            self._advance()
            if lines:
                return lines
        return []

    def close(self) -> None:
        """Close the file; `read` opens it again."""
        if self._now:
            self._now.file.close()
            self._now = None

    def _take(self, limit: int) -> list[tuple[str, Position]]:
        """Read on until there are lines, or no more that are complete."""
        now, position = self._now, self._position
        while now is not None and position is not None:
            start = position.offset + self._passed_over
            data = now.read_at(start, max(limit, MAX_LINE + 1))
            end = data.rfind(b"\n") + 1
            if not data or (not end and not self._passed_over and len(data) <= MAX_LINE):
                return []
            first = position.first or (now.first() if start else _known_by(data[:FIRST_OCTETS]))
            zeros = 0 if self._passed_over else len(data) - len(data.lstrip(b"\0"))
            if zeros > FIRST_OCTETS:
                # a writer that does not notice a truncation leaves a hole before its next line
                self._position = position = Position(now.device, now.inode, position.offset + zeros, first)
            elif end:
                lines = self._split(data[:end], Position(now.device, now.inode, position.offset, first))
                if lines:
                    return lines
                position = self._position
            else:
                self._passed_over += len(data)
        return []

    def _split(self, data: bytes, position: Position) -> list[tuple[str, Position]]:
        """The lines in `data`, which ends with one, and starts at `position` or in the line there."""
        device, inode, offset, first = position
        lines: list[tuple[str, Position]] = []
        for octets in data[:-1].split(b"\n"):
            offset += len(octets) + 1 + self._passed_over
            if len(octets) <= MAX_LINE and not self._passed_over:
                lines.append((_text(octets), Position(device, inode, offset, first)))
            self._passed_over = 0
        self._position = Position(device, inode, offset, first)
        return lines

    def _take_half_line(self) -> list[tuple[str, Position]]:
        """What is left of a file that nobody writes to any more."""
        now, position = self._now, self._position
        if now is None or position is None or self._passed_over:
            return []
        octets = now.read_at(position.offset, MAX_LINE + 1)
        if not octets or len(octets) > MAX_LINE or b"\n" in octets:
            return []
        first = position.first or _known_by(octets[:FIRST_OCTETS] + b"\n")
        self._position = Position(now.device, now.inode, position.offset + len(octets), first)
        return [(_text(octets), self._position)]

    def _check(self) -> None:
        """See whether the file was truncated, or rotated before the first line of it was read."""
        now, position = self._now, self._position
        if now is not None and position is not None and now.is_live and not position.offset and self._before:
            rotated = self._next_rotated(*self._before)
            if rotated:
                self._begin(rotated)
        elif now is not None and position is not None and not self._is_as_it_was(now, position):
            self._reopen_truncated(position)

    def _is_as_it_was(self, now: _Opened, position: Position) -> bool:
        if now.is_packed or not position.offset:
            return True
        return now.first() == position.first and now.reaches(position.offset)

    def _reopen_truncated(self, position: Position) -> None:
        """The file was truncated. What was not read may be in a copy; a shorter file that begins as before was cut."""
        now = self._now
        if now and now.first() == position.first:
            self._position = position._replace(offset=os.fstat(now.file.fileno()).st_size)
            self._passed_over = 0
            return
        self.close()
        self._open()

    def _open(self) -> bool:
        """Find the file that the position is in, else begin with the log as it is."""
        self._passed_over = 0
        found = self._find(self._position) if self._position else None
        if found is not None:
            self._now = found
            return True
        log = _open(self._path, is_live=True)
        if log is not None:
            self._begin(log)
        return log is not None

    def _find(self, position: Position) -> _Opened | None:
        for path in (self._path, *self._rotated()):
            candidate = _open(path, is_live=path == self._path)
            if candidate is None:
                continue
            first = candidate.first()
            same = first == position.first if position.first else candidate.inode == position.inode
            if same and candidate.reaches(position.offset):
                return candidate
            candidate.file.close()
        return None

    def _rotated(self) -> list[Path]:
        """Rotated files, the latest first. One that is just being packed is there twice: as it was, then packed."""
        found: list[tuple[int, bool, Path]] = []
        with suppress(FileNotFoundError), os.scandir(self._path.parent) as entries:
            for entry in entries:
                rest = entry.name.removeprefix(self._path.name)
                if rest != entry.name and _ROTATED.fullmatch(rest):
                    with suppress(FileNotFoundError):
                        found.append((-entry.stat().st_mtime_ns, rest.endswith(".gz"), Path(entry.path)))
        return [path for _, _, path in sorted(found)]

    def _has_successor(self) -> bool:
        """Whether there is another log with content in it: then the writer has left ours."""
        now = self._now
        if now is None:
            return False
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        if (status.st_dev, status.st_ino) == (now.device, now.inode) and now.is_live:
            return False
        return status.st_size > 0

    def _advance(self) -> None:
        """Go on with the file after ours: the first that was rotated after it, else the log itself."""
        now, position = self._now, self._position
        if now is None or position is None:
            return
        self._before = (now.first(), now.changed())
        following = self._next_rotated(*self._before) or _open(self._path, is_live=True)
        self.close()
        if following:
            self._begin(following)

    def _begin(self, file: _Opened) -> None:
        self.close()
        self._now, self._passed_over = file, 0
        self._position = Position(file.device, file.inode, 0, "")

    def _next_rotated(self, own_first: str, changed: int) -> _Opened | None:
        live = _open(self._path, is_live=True)
        known = {own_first}
        if live:
            known.add(live.first())
            live.file.close()
        for path in reversed(self._rotated()):
            candidate = _open(path, is_live=False)
            if candidate is None:
                continue
            if candidate.changed() > changed and candidate.first() not in known | {""}:
                return candidate
            candidate.file.close()
        return None


def _known_by(head: bytes) -> str:
    line, newline, _ = head.partition(b"\n")
    is_whole = newline or len(head) >= FIRST_OCTETS
    return blake2b(line[:FIRST_OCTETS], digest_size=8).hexdigest() if is_whole else ""


def _open(path: Path, is_live: bool) -> _Opened | None:
    is_packed = path.suffix == ".gz" and not is_live
    try:
        if not path.is_file():  # opening a pipe would wait for its other end
            return None
        file = cast("IO[bytes]", gzip.GzipFile(path, "rb") if is_packed else path.open("rb", buffering=0))
    except FileNotFoundError:
        return None
    except PermissionError:
        if is_live:
            raise
        return None
    status = os.fstat(file.fileno())
    return _Opened(file, status.st_dev, status.st_ino, is_live, is_packed)


def _text(octets: bytes) -> str:
    return octets.lstrip(b"\0").rstrip(b"\r").decode("utf-8", "replace")
