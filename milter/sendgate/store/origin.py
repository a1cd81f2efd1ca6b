"""What every origin of the lists can do, whatever keeps them.

In and out: the words of `sendgate.entry`. Refused: `StoreError`s; `ShrinkError` by `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sendgate.address import Address
from sendgate.entry import MAILBOX_WIDE, Change, Entry, Kind, Reason, Scope, Subject
from sendgate.store.errors import ShrinkError
from sendgate.store.matches import Matches
from sendgate.store.record import Label


@dataclass(slots=True)
class Applied:
    """What a batch of changes did, in entries. `unchanged` were there already, with the same or a later expiry."""

    added: int = 0
    refreshed: int = 0
    unchanged: int = 0
    removed: int = 0

    def merge(self, other: Applied) -> None:
        """Add what another batch did."""
        self.added += other.added
        self.refreshed += other.refreshed
        self.unchanged += other.unchanged
        self.removed += other.removed


@dataclass(slots=True)
class Rekeyed:
    """What a change of the secret did, in entries, or would do.

    changed: whether the store was under the secret before; moved: entries that were; merged: how many of those were
    under both; already: entries that were named, and under the current one before; unnamed: all that were not named.
    """

    changed: bool = False
    moved: int = 0
    merged: int = 0
    already: int = 0
    unnamed: int = 0


class Row(NamedTuple):
    """One line of a mass import: a subject, and an entry with all the rest, shared by many lines."""

    subject: Subject
    like: Entry


Progress = Callable[[str, int, int], None]
"""Called with a phase ("writing"), how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load: `replace` names the list to replace; `force` overrides the guard; `dry_run` undoes it all."""

    replace: str | None = None
    force: bool = False
    dry_run: bool = False
    max_shrink: float = 0.20


def label_of(like: Entry, match_by_list: Mapping[str, bool]) -> Label:
    """The label that an entry gets. match_by_list: lists that say how they match, True for the mailbox."""
    wide = match_by_list.get(like.list, like.reason in MAILBOX_WIDE)
    return Label(like.reason, like.scope, like.list, wide)


def check_shrinking(name: str, before: int, after: int, options: LoadOptions) -> None:
    """The guard of replacing imports. Raises ShrinkError when list `name` would lose more than is allowed."""
    if after < before * (1 - options.max_shrink) and not options.force:
        raise ShrinkError(
            f"list {name!r} would shrink from {before:,} to {after:,} entries; "
            "look at the file again, or insist with --force. Nothing was changed."
        )


class Explains(Protocol):
    """What can tell why an address passes or not."""

    def matches(self, address: Address) -> Matches:
        """All entries that name `address`, found as the gate finds them, and how."""

    def by_ref(self, ref: str) -> list[Entry]:
        """The entries that a reply's reference stands for."""


class Origin(Explains, Protocol):
    """The lists, written. One instance belongs to one process.

    Embedded, every call does all or nothing. Shared, it does so for each of the shards that it concerns: when the
    server goes away in the middle, it raises, and the same call again does the rest.
    """

    def apply(self, changes: Iterable[Change]) -> Applied:
        """Do all changes. Raises StoreError."""

    def load(self, rows: Iterable[tuple[Subject, Entry]], options: LoadOptions, progress: Progress) -> Applied:
        """Add many entries; with `replace`, then remove the others of that list. Raises StoreError, ShrinkError."""

    def rekey(self, subjects: Iterable[Subject], progress: Progress, *, dry_run: bool) -> Rekeyed:
        """Have the store under the current secret, and move there what the subjects name. Raises StoreError.

        Every entry is in force at every moment; cut short, the same again does the rest.
        """

    def get(self, subject: Subject) -> list[Entry]:
        """The entries about exactly this subject (or its mailbox)."""

    def scan(
        self, list_name: str | None = None, reason: Reason | None = None, scope: Scope | None = None
    ) -> Iterator[Entry]:
        """All entries, or those of a list, reason or scope; embedded in the order they were added."""

    def counts(self) -> dict[Label, int]:
        """Entries by label."""

    def kinds(self) -> dict[Kind, int]:
        """Entries by kind of subject; kinds without entries are left out."""

    def sweep(self, now: float) -> int:
        """Delete expired entries, in batches so that other writers get their turn. Returns how many."""

    def size(self) -> int:
        """Octets that the lists take, in the file or, about, in the server's memory."""

    def position(self) -> int:
        """How many changes there were."""

    def close(self) -> None: ...
