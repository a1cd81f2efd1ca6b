"""The lines of Postfix's logs that are files: plain, gzipped, or standard input.

In: a path, or `-`. Out: lines, with how far the file is read. A line over MAX_LINE comes as an empty one, so that the
lines after it keep their numbers.
Refused: OSError for what cannot be read, damaged gzip included.
"""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from sendgate.feedback.log.tail import MAX_LINE

STDIN = "-"
_BLOCK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def blocks_of(file: str) -> Iterator[tuple[list[str], int, int | None]]:
    """Lines, block by block, with the octets of the file that are read so far, and its size if that is known."""
    with ExitStack() as stack:
        if file == STDIN:
            raw, size = cast(BinaryIO, sys.stdin.buffer), None
        else:
            raw = stack.enter_context(Path(file).open("rb"))
            size = os.fstat(raw.fileno()).st_size or None
        source = _Counted(raw)
        is_packed = source.begins_with(_GZIP_MAGIC)
        data = gzip.GzipFile(fileobj=cast(BinaryIO, source), mode="rb") if is_packed else source
        try:
            for lines in _split(data.read):
                yield lines, source.taken, size
        except (EOFError, zlib.error) as error:
            raise OSError(f"damaged gzip: {error}") from None


def lines_of(file: str) -> Iterator[tuple[str, int, int | None]]:
    """Each line, and the same."""
    for lines, taken, size in blocks_of(file):
        for line in lines:
            yield line, taken, size


class _Counted:
    """A file that can be looked into before it is read, and says how much of it was taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = b""
        self.taken = 0

    def begins_with(self, magic: bytes) -> bool:
        self._ahead = self._file.read(len(magic))
        self.taken = len(self._ahead)
        return self._ahead == magic

    def read(self, octets: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:octets], self._ahead[octets:]
            return data
        # read1 gives what a pipe has, instead of waiting for a whole block
        read: Callable[[int], bytes] = getattr(self._file, "read1", self._file.read)
        data = read(octets)
        self.taken += len(data)
        return data


def _split(read: Callable[[int], bytes]) -> Iterator[list[str]]:
    rest = b""
    is_endless = False
    while block := read(_BLOCK):
        whole, newline, last = block.rpartition(b"\n")
        if newline:
            lines = _texts(rest + whole)
            if is_endless:
                lines[0] = ""
            yield lines
            rest, is_endless = b"", False
        rest += last
        if len(rest) > MAX_LINE:
            rest, is_endless = b"", True
    if rest or is_endless:
        yield [""] if is_endless else _texts(rest)


def _texts(data: bytes) -> list[str]:
    # decoded at once and then split: one by one takes twice as long
    lines = data.decode("utf-8", "replace").split("\n")
    return [line.rstrip("\r") if len(line) <= MAX_LINE else "" for line in lines]
