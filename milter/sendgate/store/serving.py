"""The replica as a serving process holds it: opened again when the file is replaced or mended.

In: addresses. Out: the entries that name them.
Refused: `LookupFailedError` while the store cannot be read. Each change of that state is told once.
"""

from __future__ import annotations

from collections.abc import Callable

from sendgate.address import Address
from sendgate.entry import Found
from sendgate.gate import LookupFailedError
from sendgate.store.errors import StoreError
from sendgate.store.replica import Replica


class ServingReplica:
    """A replica that heals.

    open_replica: opens the store or raises StoreError; on_fault, on_recovery: told once at each change.
    """

    def __init__(
        self,
        open_replica: Callable[[], Replica],
        on_fault: Callable[[StoreError], None],
        on_recovery: Callable[[], None],
    ) -> None:
        self._open = open_replica
        self._on_fault = on_fault
        self._on_recovery = on_recovery
        self._replica: Replica | None = None
        self._failed = False

    def lookup(self, address: Address) -> list[Found]:
        """All entries that name `address`. Raises LookupFailedError while the store cannot be read."""
        replica = self._replica
        if replica is None:
            raise LookupFailedError("the store is not open")
        try:
            return replica.lookup(address)
        except StoreError as error:
            self._fault(error)
            raise LookupFailedError(str(error)) from error

    def check(self) -> None:
        """See whether the file is still the one that is open and sound, and open it (again) if it is not.

        To be called about once a second, and by one thread only; never at RCPT, which does not touch files.
        """
        try:
            if self._replica is not None:
                self._replica.check_current()
                return
        except StoreError:
            self._drop()
        try:
            self._replica = self._open()
        except StoreError as error:
            self._fault(error)
            return
        if self._failed:
            self._failed = False
            self._on_recovery()

    def _fault(self, error: StoreError) -> None:
        self._drop()
        if not self._failed:
            self._failed = True
            self._on_fault(error)

    def _drop(self) -> None:
        replica, self._replica = self._replica, None
        if replica is not None:
            replica.close()
