"""Where benches keep their files.

Out: temporary folders that end with their context. Postfix's queue goes into memory where the machine has a place
for that: a bench of the gate is none of the disk, and fsync would hide every difference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")


@contextmanager
def in_memory() -> Iterator[None]:
    """Temporary folders made meanwhile are in memory, if the machine has such a place."""
    before = tempfile.tempdir
    tempfile.tempdir = str(_MEMORY) if _MEMORY.is_dir() else before
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that the processes of other users may enter."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
