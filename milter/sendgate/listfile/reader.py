"""List files as rows.

In: a source in any of the formats, and the defaults for what its lines do not say.
Out: rows of (subject, entry), in the order of the file; an entry is shared by all lines with the same attributes.
Refused: `ListFileError` for a file without a usable line (no column of addresses, no reasons, UTF-16). A line that
cannot be used is reported, with its number and the reason, and passed over.

    txt    one subject a line; empty lines and lines that begin with # are skipped
    csv    the first line names the columns, in any order and case; comma, semicolon or tab; without such a line
           each line must be one subject alone
    jsonl  one JSON object a line, its keys named like csv's columns

Nothing is kept: memory stays the same however long the file is.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from sendgate.entry import Entry, EntryError, Subject, parse_subject
from sendgate.listfile.columns import Defaults, Likes, SubjectsOnly
from sendgate.listfile.errors import ListFileError
from sendgate.listfile.formats import Format, format_by_content, format_by_name
from sendgate.listfile.lines import Block, ReportBad, read_blocks, report
from sendgate.listfile.objects import ObjectRows
from sendgate.listfile.source import Source
from sendgate.listfile.tables import TableRows

Row = tuple[Subject, Entry]
"""A subject, and an entry with all the rest. The entry's own subject means nothing."""

Watch = Callable[[], None]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class ListReader:
    """The rows of one file, once.

    defaults: what lines get that do not say; None when only their subjects matter.
    lines: how many were read so far; ignored: columns that mean nothing here; watch: called after each block of
    lines.
    """

    def __init__(self, source: Source, file_format: Format | None, defaults: Defaults | None, bad: ReportBad) -> None:
        if source.head.startswith(_UTF16):
            raise ListFileError(f"{source.name}: UTF-16; save it as UTF-8")
        self.format = file_format or format_by_name(source.name) or format_by_content(source.head)
        self.lines = 0
        self.ignored: list[str] = []
        self.watch: Watch = lambda: None
        self._source = source
        self._likes = SubjectsOnly() if defaults is None else Likes(defaults)
        self._bad = bad

    def __iter__(self) -> Iterator[Row]:
        """All rows. Raises ListFileError."""
        blocks = self._blocks()
        match self.format:
            case Format.TXT:
                return self._plain_rows(blocks)
            case Format.CSV:
                return iter(TableRows(self._source.name, blocks, self._likes, self._bad, self.ignored))
            case Format.JSONL:
                return iter(ObjectRows(blocks, self._likes, self._bad, self.ignored))

    def _blocks(self) -> Iterator[Block]:
        for block in read_blocks(self._source.read, self._bad):
            self.lines += len(block.lines)
            self.watch()
            yield block

    def _plain_rows(self, blocks: Iterator[Block]) -> Iterator[Row]:
        like: Entry | None = None
        for first, lines in blocks:
            for number, line in enumerate(lines, first):
                if not line or line[0] == "#" or line.isspace():
                    continue
                if like is None:
                    like = self._likes.plain(f"{self._source.name}: a txt file has no reasons")
                try:
                    yield parse_subject(line), like
                except EntryError as error:
                    report(self._bad, number, line, str(error))
