"""Moving entries from the secret before to the current one: which, by the addresses that somebody can name.

In: subjects; the kinds of subjects that the store holds. Out: the keys of each of their texts under both secrets, each
text once, in parts that fit into memory. Refused: `StoreError` without a secret before, and for the disk.

A key tells nobody its address. So an entry can only move when its address is given again; the others stay where they
are, and are looked up by the secret before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from sendgate.entry import Kind, Subject
from sendgate.keys import KEY_OCTETS, Keyer
from sendgate.store.environment import translated
from sendgate.store.errors import StoreError
from sendgate.store.shared_matches import lookup_texts

PARTS = 256
_BUFFER_OCTETS = 2**20
_PART_OCTETS = 2**13
"""Octets of a part that are kept before they go into the file, together."""
_REMEMBERED = 100_000
_PAIR_OCTETS = 2 * KEY_OCTETS


class TwoKeyers(NamedTuple):
    """The keyers of a change, each alone."""

    current: Keyer
    previous: Keyer


class Pairs:
    """The keys of texts under both secrets, on their way through a file."""

    def __init__(self, folder: Path, file: IO[bytes], keyers: TwoKeyers) -> None:
        self._folder = folder
        self._file = file
        self._keyers = keyers
        self._end = 0
        self._buffers = [bytearray() for _ in range(2 * PARTS)]
        self._places: list[list[tuple[int, int]]] = [[] for _ in self._buffers]
        self._lately: set[str] = set()

    def write(self, subjects: Iterable[Subject], kinds: Container[Kind]) -> None:
        """Take in all that the gate looks the subjects up by in a store with these kinds."""
        current, previous = self._keyers.current.key, self._keyers.previous.key
        for subject in subjects:
            for text in texts_of(subject, kinds):
                if text in self._lately:
                    continue
                if len(self._lately) >= _REMEMBERED:
                    self._lately.clear()
                self._lately.add(text)
                before, now = previous(text), current(text)
                self._put(before[0], before + now)
                self._put(PARTS + now[0], now)
        for part, buffer in enumerate(self._buffers):
            self._flush(part, buffer)
        with translated(self._folder):
            self._file.flush()

    def moves(self, part: int) -> dict[bytes, bytes]:
        """Keys under the secret before that begin with this octet, in order, each with the one under the current."""
        packed = self._read(part)
        keys = (packed[at : at + _PAIR_OCTETS] for at in range(0, len(packed), _PAIR_OCTETS))
        return {pair[:KEY_OCTETS]: pair[KEY_OCTETS:] for pair in sorted(set(keys))}

    def current(self, part: int) -> set[bytes]:
        """Keys under the current secret that begin with this octet."""
        packed = self._read(PARTS + part)
        return {packed[at : at + KEY_OCTETS] for at in range(0, len(packed), KEY_OCTETS)}

    def _put(self, part: int, keys: bytes) -> None:
        buffer = self._buffers[part]
        buffer += keys
        if len(buffer) >= _PART_OCTETS:
            self._flush(part, buffer)

    def _flush(self, part: int, buffer: bytearray) -> None:
        with translated(self._folder):
            self._file.write(buffer)
        self._places[part].append((self._end, len(buffer)))
        self._end += len(buffer)
        buffer.clear()

    def _read(self, part: int) -> bytes:
        with translated(self._folder):
            return b"".join(os.pread(self._file.fileno(), length, place) for place, length in self._places[part])


@contextmanager
def open_pairs(folder: Path, keyers: TwoKeyers) -> Iterator[Pairs]:
    """Pairs for one change, with their file in a folder. It has no name: however this ends, it leaves nothing."""
    with translated(folder):
        file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER_OCTETS)  # noqa: SIM115 - closed below
    try:
        yield Pairs(folder, file, keyers)
    finally:
        with suppress(OSError):  # what could not be written was told already
            file.close()


def two_keyers(keyer: Keyer) -> TwoKeyers:
    """The keyers that entries move between. Raises StoreError when there is just one."""
    if keyer.previous is None:
        raise StoreError("there is no secret before the current one that entries could be under")
    current, previous = keyer.both
    return TwoKeyers(current, previous)


def texts_of(subject: Subject, kinds: Container[Kind]) -> Iterator[str]:
    """The texts under which entries can be that somebody can name who names this subject.

    Those who name an address name all that it is looked up by: its mailbox, its domain, its hashes.
    """
    if subject.address is None:
        yield subject.text
        return
    for text, _ in lookup_texts(subject.address, kinds):
        yield text
