"""Whether a store is sound, found out without trusting it: for use after a process died of reading it.

In: the store's folder. Out: nothing when it is sound.
Refused: `StoreCorruptError` with the first thing that is wrong.

LMDB maps its file; a damaged one can end a process that reads it. This walks the file's bytes instead.
"""

from __future__ import annotations

from pathlib import Path

from lmdb.verify import VerifyError, verify

from sendgate.store.errors import StoreCorruptError


def verify_store(folder: Path) -> None:
    """Walk through the whole store in `folder`. Raises StoreCorruptError."""
    try:
        problems = verify(str(folder))  # type: ignore[no-untyped-call]
    except (VerifyError, OSError) as error:
        problems = [error]
    if problems:
        raise StoreCorruptError(f"{folder}: damaged: {problems[0]}")
