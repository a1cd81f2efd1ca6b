"""Which format a list file has.

In: its name, or its first octets. Out: a `Format`. Nothing is refused: what looks like no other is txt.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath

from sendgate.entry import EntryError, parse_subject
from sendgate.listfile.columns import column_of

DELIMITERS = ",;\t"


class Format(StrEnum):
    """How a file writes its lines."""

    TXT = "txt"
    CSV = "csv"
    JSONL = "jsonl"


_BY_SUFFIX = {
    ".txt": Format.TXT,
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}


def format_by_name(name: str) -> Format | None:
    """The format that a file's extension tells, `.gz` behind it or not; None when it tells none."""
    path = PurePath(name.lower())
    if path.suffix == ".gz":
        path = path.with_suffix("")
    return _BY_SUFFIX.get(path.suffix)


def format_by_content(head: bytes) -> Format:
    """The format of a file that begins with `head`.

    The first line that is neither empty nor a comment tells: `{` begins jsonl; a subject alone is txt; a column
    name or a delimiter makes it csv; all else is txt.
    """
    for line in head.decode("utf-8-sig", errors="replace").splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            return _format_of_line(text)
    return Format.TXT


def delimiter_of(line: str) -> str:
    """The delimiter that a csv's first line uses most; a comma when it uses none."""
    return max(DELIMITERS, key=line.count)


def _format_of_line(text: str) -> Format:
    if text.startswith("{"):
        return Format.JSONL
    try:
        parse_subject(text)
    except EntryError:
        several = any(delimiter in text for delimiter in DELIMITERS)
        return Format.CSV if several or column_of(text.strip('"')) else Format.TXT
    return Format.TXT
