"""The octets of a list file, unpacked when it is gzipped.

In: a path, or `-` for standard input. Out: a `Source` to read from.
Refused: `ListFileError`: no such file, not readable, damaged gzip.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, cast

from sendgate.listfile.errors import ListFileError

STDIN = "-"
HEAD_OCTETS = 16 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_PART_OCTETS = 64 * 1024

Read = Callable[[int], bytes]


class _Peekable:
    """Octets that can be looked at before they are read, from a pipe too. `taken`: how many were got so far."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._ahead = b""
        self.taken = 0

    def peek(self, octets: int) -> bytes:
        """The next `octets` octets, fewer only at the end."""
        while len(self._ahead) < octets and (more := self._read(octets)):
            self.taken += len(more)
            self._ahead += more
        return self._ahead[:octets]

    def read(self, octets: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:octets], self._ahead[octets:]
            return data
        data = self._read(octets)
        self.taken += len(data)
        return data


class Source:
    """One file. `name` is for people, `head` how it begins, `size` its octets on disk (None: not known)."""

    def __init__(self, name: str, read: Read, size: int | None) -> None:
        self.name = name
        self.size = size
        self._file = _Peekable(read)
        self._content = self._file
        if self._file.peek(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
            # GzipFile asks no more of a file than to read it.
            packed = gzip.GzipFile(fileobj=cast("IO[bytes]", self._file), mode="rb")
            self._content = _Peekable(packed.read)
        with self._translated():
            self.head = self._content.peek(HEAD_OCTETS)

    @property
    def taken(self) -> int:
        """How many octets of the file were read so far, as they are on disk."""
        return self._file.taken

    def read(self, octets: int) -> bytes:
        """Up to `octets` octets of what is in the file; none at its end. Raises ListFileError."""
        with self._translated():
            return self._content.read(octets)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ListFileError(f"{self.name}: damaged gzip: {error}") from None
        except OSError as error:
            raise ListFileError(f"{self.name}: cannot be read: {error.strerror}") from None


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a list file for reading; `-` is standard input. Raises ListFileError."""
    if name == STDIN:
        # read1, because read takes no notice of Ctrl-C between the parts of what it reads.
        yield Source("standard input", cast(BufferedReader, sys.stdin.buffer).read1, None)
        return
    with _open(name) as file:
        status = os.fstat(file.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        yield Source(name, file.read, size)


def _open(name: str) -> FileIO:
    try:
        return Path(name).open("rb", buffering=0)
    except OSError as error:
        raise ListFileError(f"{name}: cannot be read: {error.strerror}") from None
