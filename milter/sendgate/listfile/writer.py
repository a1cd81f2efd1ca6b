"""Lists as files.

In: entries. Out: csv or jsonl that `reader` reads back with nothing lost: times to the second, `never` as nothing.
Refused: nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import TextIO

from sendgate.entry import Entry
from sendgate.listfile.columns import COLUMNS
from sendgate.listfile.formats import Format
from sendgate.listfile.times import iso


def write(entries: Iterable[Entry], file_format: Format, out: TextIO) -> int:
    """Write all entries. Returns how many there were."""
    return _write_jsonl(entries, out) if file_format is Format.JSONL else _write_csv(entries, out)


def as_object(entry: Entry) -> dict[str, str | int | None]:
    """An entry as a JSON object, its keys named and ordered like the columns of a file."""
    return {
        "subject": entry.subject.text,
        "reason": entry.reason.value,
        "scope": str(entry.scope),
        "list": entry.list,
        "origin": entry.origin.value,
        "created": iso(entry.created),
        "expires": None if entry.expires is None else iso(entry.expires),
        "strikes": entry.strikes,
        "note": entry.note,
    }


def _write_csv(entries: Iterable[Entry], out: TextIO) -> int:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for entry in entries:
        table.writerow(as_object(entry).values())
        count += 1
    return count


def _write_jsonl(entries: Iterable[Entry], out: TextIO) -> int:
    count = 0
    for entry in entries:
        out.write(json.dumps(as_object(entry), ensure_ascii=False) + "\n")
        count += 1
    return count
