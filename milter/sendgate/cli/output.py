"""How commands answer: JSON for programs, aligned lines for people. Everything on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sendgate.entry import Entry
from sendgate.listfile.times import iso


def print_json(value: object) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def print_pairs(pairs: Iterable[tuple[str, object]], indent: int = 0) -> None:
    """Names and values below each other; numbers with separators, to the right of each other."""
    shown = [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{' ' * indent}{name:<{width}}  {value}")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns below each other, the last as it is."""
    if not rows:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def times_of(entry: Entry) -> str:
    """When an entry was made, and until when it holds."""
    until = "never expires" if entry.expires is None else f"expires {iso(entry.expires)}"
    return f"created {iso(entry.created)}, {until}"


def brief(entry: Entry) -> str:
    """An entry in a few words: `@example.com (trap, list default, scope *)`."""
    return f"{entry.subject.text} ({entry.reason}, list {entry.list}, scope {entry.scope})"
