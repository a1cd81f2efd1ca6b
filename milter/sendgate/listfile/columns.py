"""From the columns of a csv or jsonl file to entries.

In: the names of the columns, then the values of each line. Out: subjects, and entries shared by like lines.
Refused: `EntryError` for a value that cannot be used, or a line without a reason.

Making an entry costs more than all the rest of a line, and most lines of a file have the same attributes. So
entries are made once for each distinct set of attribute values and shared by the lines that have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sendgate.entry import (
    DEFAULT_LIST,
    EVERYWHERE,
    Entry,
    EntryError,
    Kind,
    Origin,
    Reason,
    Scope,
    Subject,
    check_name,
    check_note,
    parse_reason,
    parse_scope,
)
from sendgate.listfile.errors import ListFileError
from sendgate.listfile.times import parse_expiry, parse_time

SUBJECT = "subject"
ATTRIBUTES = ("reason", "scope", "list", "origin", "created", "expires", "strikes", "note")
COLUMNS = (SUBJECT, *ATTRIBUTES)

_NAMES: dict[str, tuple[str, ...]] = {
    SUBJECT: ("subject", "email", "email_address", "emailaddress", "e_mail", "recipient", "mail", "address"),
    "reason": ("reason",),
    "scope": ("scope",),
    "list": ("list", "list_name"),
    "origin": ("origin",),
    "created": ("created", "created_at", "date", "timestamp"),
    "expires": ("expires", "expires_at", "expiry"),
    "strikes": ("strikes",),
    "note": ("note", "notes", "comment"),
}
"""What a column may be called, the surest name first: of two columns with names for one thing that one is taken."""

_BY_NAME = {name: (column, rank) for column, names in _NAMES.items() for rank, name in enumerate(names)}
_REMEMBERED = 10_000
_UNNAMED = Subject(Kind.ADDRESS, "")

T = TypeVar("T")

Values = tuple[str | None, ...]
"""The attribute values of a line, in the order of ATTRIBUTES; None where the line has no such column."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a line gets for the columns that its file lacks. now: Unix seconds; only_list: refuse lines of others."""

    now: int
    reason: Reason | None = None
    scope: Scope = EVERYWHERE
    list: str = DEFAULT_LIST
    expires: int | None = None
    origin: Origin = Origin.IMPORT
    only_list: str | None = None


@dataclass(slots=True)
class Layout:
    """Where the columns of a file are. `ignored`: the names of columns that mean nothing here."""

    places: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    def attributes(self, values: Sequence[T]) -> tuple[T | None, ...]:
        """The attribute values of a line, in the order of ATTRIBUTES."""
        places = self.places
        return tuple([values[places[name]] if name in places else None for name in ATTRIBUTES])


def column_of(name: str) -> str | None:
    """The column that a name in a header means, in any case; None when it means none."""
    known = _BY_NAME.get(_plain(name))
    return known[0] if known else None


def layout_of(names: Sequence[str]) -> Layout:
    """Where each column is, by a header's names."""
    layout = Layout()
    ranks: dict[str, int] = {}
    for place, name in enumerate(names):
        column, rank = _BY_NAME.get(_plain(name), (None, 0))
        if column is None or rank >= ranks.get(column, len(_BY_NAME)):
            layout.ignored.append(name)
        else:
            if column in ranks:
                layout.ignored.append(names[layout.places[column]])
            layout.places[column], ranks[column] = place, rank
    return layout


class Likes:
    """The entries that lines share, by their attribute values. The entries' own subject means nothing."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._known: dict[Values, Entry] = {}

    def entry(self, values: Values) -> Entry:
        """The entry for a line with these attribute values. Raises EntryError."""
        known = self._known.get(values)
        if known is None:
            known = self._make(*values)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[values] = known
        return known

    def plain(self, where: str) -> Entry:
        """The entry for lines without attributes. Raises ListFileError when no default gives them a reason."""
        self.check_reason(where)
        return self.entry((None,) * len(ATTRIBUTES))

    def check_reason(self, where: str) -> None:
        """Raise ListFileError, beginning with `where`, when no default gives a reason."""
        if self._defaults.reason is None:
            raise ListFileError(f"{where}; give one for all lines with --reason")

    def _make(
        self,
        reason: str | None,
        scope: str | None,
        list_name: str | None,
        origin: str | None,
        created: str | None,
        expires: str | None,
        strikes: str | None,
        note: str | None,
    ) -> Entry:
        given = self._defaults
        return Entry(
            subject=_UNNAMED,
            reason=self._reason(reason),
            scope=parse_scope(scope) if scope else given.scope,
            list=self._list(list_name),
            origin=_origin(origin) if origin else given.origin,
            created=parse_time(created) if created else given.now,
            expires=given.expires if expires is None else parse_expiry(expires, given.now),
            strikes=_strikes(strikes) if strikes else 1,
            note=check_note(note) if note else "",
        )

    def _reason(self, text: str | None) -> Reason:
        if text and text.strip():
            return parse_reason(text)
        if self._defaults.reason is None:
            raise EntryError("no reason; give one for all such lines with --reason")
        return self._defaults.reason

    def _list(self, text: str | None) -> str:
        name = check_name(text, "list") if text and text.strip() else self._defaults.list
        only = self._defaults.only_list
        if only is not None and name != only:
            raise EntryError(f"is of list {name!r}, but list {only!r} is being replaced")
        return name


class SubjectsOnly(Likes):
    """For a file of which only the subjects matter: whatever else a line says, it has the same entry as the others."""

    def __init__(self) -> None:
        super().__init__(Defaults(now=0, reason=Reason.MANUAL))

    def entry(self, values: Values) -> Entry:  # noqa: ARG002 - they do not matter
        return super().entry((None,) * len(ATTRIBUTES))


def _plain(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").replace("_", " ").split())


def _origin(text: str) -> Origin:
    try:
        return Origin(text.strip().lower())
    except ValueError:
        raise EntryError(f"{text!r} is no origin; one of: {', '.join(Origin)}") from None


def _strikes(text: str) -> int:
    if not text.strip().isdecimal():
        raise EntryError(f"{text!r} is no number of strikes")
    return int(text[:9])
