"""What can be wrong with a store, each with the remedy in its message."""

from __future__ import annotations

from sendgate.keys import NO_SECRET


class StoreError(Exception):
    """The store cannot be used now. Commands exit with 3; the gate answers 451 until it is back."""


class StoreMissingError(StoreError):
    """There is no store at the place the settings name."""


class StoreCorruptError(StoreError):
    """The store's file is damaged, cut short or of another program."""


class StoreFullError(StoreError):
    """There is no room: on the disk, or within `store.max_size`."""


class StoreUnreachableError(StoreError):
    """The server that keeps the lists does not answer, or refuses us."""


class ShutOutError(StoreUnreachableError):
    """The server is there: it refuses us, or we do not trust it. No waiting helps, but another password or file."""


class OriginLostError(StoreError):
    """The server answers, but has lost lists that were there, or a part of them."""


class WrongKeyError(StoreError):
    """The store was written with another `store.hash_key_file` than the settings name. known: its fingerprint."""

    def __init__(self, place: object, known: bytes | None) -> None:
        remedy = "written with another store.hash_key_file; name that one"
        if known == NO_SECRET:
            remedy = (
                "written without store.hash_key_file; leave that out or, to have keys in place of addresses from now "
                "on, `sendgate export` it without and `sendgate import` that into a new store with one"
            )
        super().__init__(f"{place}: {remedy}")


class SecretChangedError(StoreError):
    """The store has come under another secret since it was opened. Once more is enough, if that secret is known."""


class ShrinkError(Exception):
    """A replacing import would remove more of a list than the guard allows. Nothing was changed."""
