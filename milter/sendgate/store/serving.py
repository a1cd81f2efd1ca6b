"""The replica as a serving process holds it: opened again when the file is replaced or mended.

In: addresses. Out: the entries that name them.
Refused: `LookupFailedError` while the store cannot be read. Each change of that state is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sendgate.address import Address
from sendgate.entry import Found
from sendgate.gate import LookupFailedError
from sendgate.store.errors import StoreError
from sendgate.store.replica import Replica


class ServingReplica:
    """A replica that heals, and follows when another takes its place.

    open_replica: opens the store or raises StoreError; on_fault, on_recovery: told once at each change;
    place: the folder that is to be served now; StoreError while there is none;
    is_stale: whether what is served is too old to let anybody pass by it, asked about once a second.
    """

    def __init__(
        self,
        open_replica: Callable[[], Replica],
        on_fault: Callable[[StoreError], None],
        on_recovery: Callable[[], None],
        place: Callable[[], Path] | None = None,
        is_stale: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open = open_replica
        self._on_fault = on_fault
        self._on_recovery = on_recovery
        self._place = place
        self._is_stale = is_stale
        self._replica: Replica | None = None
        self._failed = False
        self._stale = False

    def lookup(self, address: Address) -> list[Found]:
        """All entries that name `address`. Raises LookupFailedError while the store cannot be read."""
        while True:
            replica = self._replica
            if replica is None:
                raise LookupFailedError("the store is not open")
            try:
                return replica.lookup(address)
            except StoreError as error:
                if self._replica is not replica:  # another took its place meanwhile, and it was closed
                    continue
                self._fault(error)
                raise LookupFailedError(str(error)) from error

    def stale(self) -> bool:
        """Whether what is served was too old when it was last looked at."""
        return self._stale

    def check(self) -> None:
        """See whether the file is still the one to serve and sound, and open it (again) if it is not.

        To be called about once a second, and by one thread only; never at RCPT, which does not touch files.
        """
        self._stale = self._is_stale()
        try:
            if self._replica is not None and not self._has_moved(self._replica):
                self._replica.check_current()
                return
        except StoreError:
            self._drop()
        try:
            opened = self._open()
        except StoreError as error:
            if self._replica is None:
                self._fault(error)
            return
        replaced, self._replica = self._replica, opened
        if replaced is not None:
            replaced.close()
        if self._failed:
            self._failed = False
            self._on_recovery()

    def _has_moved(self, replica: Replica) -> bool:
        return self._place is not None and self._place() != replica.folder

    def _fault(self, error: StoreError) -> None:
        self._drop()
        if not self._failed:
            self._failed = True
            self._on_fault(error)

    def _drop(self) -> None:
        replica, self._replica = self._replica, None
        if replica is not None:
            replica.close()
