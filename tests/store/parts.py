"""An origin of the lists together with the replica a gate would read, as the suite of this folder wants it.

To bring another origin under the suite, write a class like `EmbeddedLists` and name it in `LISTS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from sendgate.address import parse
from sendgate.entry import Add, Change, Entry, Found, Reason, Remove, Subject, parse_scope, parse_subject
from sendgate.keys import Keyer
from sendgate.store.embedded import EmbeddedOrigin
from sendgate.store.origin import Applied, LoadOptions, Origin
from sendgate.store.replica import Replica

NOW = 1_772_366_400
MAX_SIZE = 2**30


class Lists(Protocol):
    """An open origin, and what a gate finds in it."""

    @property
    def origin(self) -> Origin: ...

    def lookup(self, address: str) -> list[Found]:
        """All entries that name an address, as the gate finds them once it has caught up."""

    def sweep(self, now: float) -> int: ...

    def close(self) -> None: ...


class EmbeddedLists:
    """The embedded store: one LMDB file is origin and replica."""

    def __init__(
        self,
        folder: Path,
        secret: bytes = b"",
        match_by_list: Mapping[str, bool] | None = None,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.folder = folder
        keyer = Keyer(secret)
        self.origin = EmbeddedOrigin(folder, keyer, max_size, match_by_list)
        # One process must not open an LMDB file twice, so the replica here shares the origin's.
        self.replica = Replica(self.origin._environment, keyer)

    def lookup(self, address: str) -> list[Found]:
        return self.replica.lookup(parse(address))

    def sweep(self, now: float) -> int:
        return self.origin.sweep(now)

    def close(self) -> None:
        self.origin.close()


LISTS = {"embedded": EmbeddedLists}


def entry(
    subject: str,
    reason: str = "manual",
    scope: str = "*",
    list_name: str = "default",
    *,
    created: int = NOW,
    expires: int | None = None,
    strikes: int = 1,
    note: str = "",
) -> Entry:
    """An entry from the words a person would use."""
    return Entry(
        parse_subject(subject), Reason(reason), parse_scope(scope), list_name,
        created=created, expires=expires, strikes=strikes, note=note,
    )  # fmt: skip


def add(lists: Lists, *entries: Entry) -> Applied:
    return lists.origin.apply([Add(one) for one in entries])


def remove(
    lists: Lists, subject: str, reason: str | None = None, scope: str | None = None, list_name: str | None = None
) -> int:
    """Remove as `sendgate remove` does; returns how many entries went."""
    change: Change = Remove(
        parse_subject(subject), Reason(reason) if reason else None, parse_scope(scope) if scope else None, list_name
    )
    return lists.origin.apply([change]).removed


def rows(subjects: Iterable[str], like: Entry) -> Iterable[tuple[Subject, Entry]]:
    """The rows of an import: many subjects with one entry for all the rest."""
    return ((parse_subject(subject), like) for subject in subjects)


def load(lists: Lists, given: Iterable[tuple[Subject, Entry]], **options: object) -> Applied:
    """Import rows, with `LoadOptions`."""
    return lists.origin.load(given, LoadOptions(**options), lambda _phase, _done, _all: None)  # type: ignore[arg-type]


def reasons(lists: Lists, address: str) -> list[str]:
    """The reasons of what a gate finds for an address, sorted."""
    return sorted(found.reason for found in lists.lookup(address))


def everything(lists: Lists) -> list[Entry]:
    """All entries, in an order that does not depend on the origin."""
    return sorted(lists.origin.scan(), key=repr)
