"""Opening the store that the settings name."""

from __future__ import annotations

from pathlib import Path

from sendgate.settings import Settings
from sendgate.settings_file import SettingsError


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
