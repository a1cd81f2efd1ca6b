"""Opening the store that the settings name.

In: settings. Out: the secret, the folder, an open origin.
Refused: `SettingsError` for the secret, `StoreError` for the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sendgate.keys import Keyer
from sendgate.settings import Settings
from sendgate.settings_file import SettingsError
from sendgate.store.embedded import EmbeddedOrigin


def secret(settings: Settings) -> bytes:
    """The secret of store.hash_key_file, or b"" when there is none. Raises SettingsError."""
    if settings.store.hash_key_file is None:
        return b""
    try:
        value = Path(settings.store.hash_key_file).read_bytes().removesuffix(b"\n")
    except OSError as error:
        raise SettingsError([f"store.hash_key_file: {error}"]) from None
    if not 1 <= len(value) <= 64:
        raise SettingsError([f"store.hash_key_file: must hold 1 to 64 bytes, holds {len(value)}"])
    return value


def folder(settings: Settings) -> Path:
    """The folder of an embedded store."""
    return Path(settings.store.url.removeprefix("lmdb://"))


@contextmanager
def open_origin(settings: Settings, *, create: bool) -> Iterator[EmbeddedOrigin]:
    """The origin, open for writing. Only `create` makes one where there is none: it would let everybody pass."""
    with closing(_origin(settings, folder(settings), write=True, create=create)) as origin:
        yield origin


@contextmanager
def open_for_reading(settings: Settings) -> Iterator[EmbeddedOrigin]:
    """The origin, open for reading: needs no right to change the list, and creates nothing."""
    with closing(_origin(settings, folder(settings), write=False, create=False)) as origin:
        yield origin


@contextmanager
def open_scratch(settings: Settings, place: Path) -> Iterator[EmbeddedOrigin]:
    """A new, empty origin in another folder, for a dry run where there is no store yet."""
    with closing(_origin(settings, place, write=True, create=True)) as origin:
        yield origin


def exists(settings: Settings) -> bool:
    """Whether there is a store, readable or not."""
    return any(folder(settings).glob("data.mdb"))


def _origin(settings: Settings, place: Path, *, write: bool, create: bool) -> EmbeddedOrigin:
    keyer = Keyer(secret(settings))
    return EmbeddedOrigin(place, keyer, settings.store.max_size, settings.match_by_list(), write=write, create=create)
