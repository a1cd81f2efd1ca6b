"""What every origin of the lists can do, whatever keeps them.

In and out: the words of `sendgate.entry`. Refused: `StoreError`s; `ShrinkError` by `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sendgate.entry import Change, Entry, Reason, Scope, Subject
from sendgate.store.record import Label


@dataclass(slots=True)
class Applied:
    """What a batch of changes did, in entries. `unchanged` were there already, with the same or a later expiry."""

    added: int = 0
    refreshed: int = 0
    unchanged: int = 0
    removed: int = 0


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


class Origin(Protocol):
    """The lists, written. One instance belongs to one process."""

    def apply(self, changes: Iterable[Change]) -> Applied:
        """Do all changes or none. Raises StoreError."""

    def load(self, rows: Iterable[tuple[Subject, Entry]], options: LoadOptions, progress: Progress) -> Applied:
        """Add many entries, all or none; with `replace`, remove the others of that list."""

    def get(self, subject: Subject) -> list[Entry]:
        """The entries about exactly this subject (or its mailbox)."""

    def scan(
        self, list_name: str | None = None, reason: Reason | None = None, scope: Scope | None = None
    ) -> Iterator[Entry]:
        """All entries, or those of a list, reason or scope, in the order they were added."""

    def by_ref(self, ref: str) -> list[Entry]:
        """The entries that a reply's reference stands for."""

    def counts(self) -> dict[Label, int]:
        """Entries by label."""

    def position(self) -> int:
        """How many changes there were."""

    def close(self) -> None: ...
