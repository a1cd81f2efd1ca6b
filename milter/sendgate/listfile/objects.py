"""jsonl files as rows.

In: blocks of lines. Out: rows. Refused: nothing as a whole; what is no JSON object with an address is a bad line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from sendgate.entry import Entry, EntryError, Subject, parse_subject
from sendgate.listfile.columns import SUBJECT, Layout, Likes, layout_of
from sendgate.listfile.lines import Block, ReportBad, report

_REMEMBERED_LAYOUTS = 1_000


class ObjectRows:
    """The rows of one jsonl file. `ignored` takes the keys that mean nothing here."""

    def __init__(self, blocks: Iterator[Block], likes: Likes, bad: ReportBad, ignored: list[str]) -> None:
        self._blocks = blocks
        self._likes = likes
        self._bad = bad
        self._ignored = ignored
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def __iter__(self) -> Iterator[tuple[Subject, Entry]]:
        for first, lines in self._blocks:
            for number, line in enumerate(lines, first):
                if not line or line.isspace():
                    continue
                try:
                    yield self._row(line)
                except EntryError as error:
                    report(self._bad, number, line, str(error))

    def _row(self, line: str) -> tuple[Subject, Entry]:
        given = _parse(line)
        names = tuple(given)
        layout = self._layouts.get(names) or self._learn(names)
        place = layout.places.get(SUBJECT)
        if place is None:
            raise EntryError("no key is named subject, email or address")
        values = list(given.values())
        subject = values[place]
        if not isinstance(subject, str):
            raise EntryError(f"{names[place]} must be text")
        attributes = layout.attributes([value if isinstance(value, str) else _text(value) for value in values])
        return parse_subject(subject), self._likes.entry(attributes)

    def _learn(self, names: tuple[str, ...]) -> Layout:
        layout = layout_of(names)
        if len(self._layouts) >= _REMEMBERED_LAYOUTS:
            self._layouts.clear()
        self._layouts[names] = layout
        if len(self._ignored) < _REMEMBERED_LAYOUTS:
            self._ignored += [name for name in layout.ignored if name not in self._ignored]
        return layout


def _parse(line: str) -> dict[str, object]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise EntryError("not a JSON object")
    return given


def _text(value: object) -> str:
    """A value as csv would have it. What no column takes is refused later, by what the column is for."""
    return "" if value is None else str(value)
