"""csv files as rows.

In: blocks of lines. Out: rows. Refused: `ListFileError` when the first line neither names a column of addresses
nor is an address; lines with more or fewer fields than the first are bad lines.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from sendgate.entry import Entry, EntryError, Subject, parse_subject
from sendgate.listfile.columns import SUBJECT, Likes, layout_of
from sendgate.listfile.errors import ListFileError
from sendgate.listfile.formats import delimiter_of
from sendgate.listfile.lines import MAX_LINE, Block, ReportBad, report


class Record(NamedTuple):
    """The fields of one record, and the line that it begins in."""

    number: int
    fields: list[str]


class TableRows:
    """The rows of one csv file. `ignored` takes the names of the columns that mean nothing here."""

    def __init__(self, name: str, blocks: Iterator[Block], likes: Likes, bad: ReportBad, ignored: list[str]) -> None:
        self._name = name
        self._blocks = blocks
        self._likes = likes
        self._bad = bad
        self._ignored = ignored

    def __iter__(self) -> Iterator[tuple[Subject, Entry]]:
        records = read_records(self._blocks, self._bad)
        first = next(records, None)
        if first is None:
            return iter(())
        layout = layout_of(first.fields)
        if SUBJECT in layout.places:
            self._ignored += layout.ignored
            return self._with_header(first.fields, records)
        try:
            parse_subject(first.fields[0])
        except EntryError:
            raise ListFileError(
                f"{self._name}: line {first.number}: no column is named subject, email or address "
                "(and the first field is no address, so that this could be a file without names)"
            ) from None
        return self._without_header(chain([first], records))

    def _with_header(self, names: list[str], records: Iterator[Record]) -> Iterator[tuple[Subject, Entry]]:
        layout, width = layout_of(names), len(names)
        subject_place, attributes, entry = layout.places[SUBJECT], layout.attributes, self._likes.entry
        if "reason" not in layout.places:
            self._likes.check_reason(f"{self._name}: there is no column of reasons")
        for number, fields in records:
            try:
                if len(fields) != width:
                    raise EntryError(f"{len(fields)} fields, but the first line names {width}")
                yield parse_subject(fields[subject_place]), entry(attributes(fields))
            except EntryError as error:
                report(self._bad, number, ",".join(fields), str(error))

    def _without_header(self, records: Iterator[Record]) -> Iterator[tuple[Subject, Entry]]:
        like = self._likes.plain(f"{self._name}: without a first line that names columns there are no reasons")
        for number, fields in records:
            try:
                if len(fields) != 1:
                    raise EntryError(f"{len(fields)} fields, but no first line that names them")
                yield parse_subject(fields[0]), like
            except EntryError as error:
                report(self._bad, number, ",".join(fields), str(error))


def read_records(blocks: Iterator[Block], bad: ReportBad) -> Iterator[Record]:
    """Records with at least one field, and the number of the line each begins in.

    A record that is broken, or in which a quote is never closed, costs its first line only: reading goes on with
    the next line.
    """
    feed = _Feed(blocks)
    reader = csv.reader(feed, delimiter=feed.delimiter(), strict=True, skipinitialspace=True)
    while True:
        feed.begin_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            report(bad, feed.first, feed.record[0].rstrip("\n"), f"not csv: {error}")
            feed.back_to_second_line()
            continue
        if fields:
            yield Record(feed.first, fields)


class _Feed:
    """Lines for csv.reader, which asks for one more as long as a quote is open."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._lines = (line for block in blocks for line in block.lines)
        self._again: deque[str] = deque()
        self._given = 0
        self._size = 0
        self.record: list[str] = []
        self.first = 1

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines) + "\n"
        self.record.append(line)
        self._given += 1
        self._size += len(line)
        if self._size > MAX_LINE + 1:
            raise csv.Error(f"a record of more than {MAX_LINE:,} characters; a quote may not be closed")
        return line

    def delimiter(self) -> str:
        """The delimiter, by the first line that is not empty."""
        for line in self._lines:
            self._again.append(line + "\n")
            if line:
                return delimiter_of(line)
        return ","

    def begin_record(self) -> None:
        self.record = []
        self._size = 0
        self.first = self._given + 1

    def back_to_second_line(self) -> None:
        """Give the lines of the record again, but for its first."""
        again = self.record[1:]
        self._again.extendleft(reversed(again))
        self._given -= len(again)
