"""What can be wrong with a store, each with the remedy in its message."""

from __future__ import annotations


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


class OriginLostError(StoreError):
    """The server answers, but has lost lists that were there, or a part of them."""


class WrongKeyError(StoreError):
    """The store was written with another `store.hash_key_file` than the settings name."""


class ShrinkError(Exception):
    """A replacing import would remove more of a list than the guard allows. Nothing was changed."""
