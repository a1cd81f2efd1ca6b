"""`sendgate add`: put subjects on a list.

In: subjects, from the command line or stdin, and what they have in common. Out: how many were added.
Refused: all of them, when one cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from sendgate.cli.options import ConfigOption, JsonOption, list_of, now, scope_or_everywhere, settings_of
from sendgate.cli.output import print_json
from sendgate.cli.problems import Exit, UsageError
from sendgate.cli.stores import open_origin
from sendgate.entry import (
    DEFAULT_LIST,
    Add,
    Entry,
    EntryError,
    Origin,
    Reason,
    Subject,
    check_note,
    parse_subject,
)
from sendgate.listfile.columns import Defaults
from sendgate.listfile.formats import Format
from sendgate.listfile.lines import BadLine
from sendgate.listfile.reader import ListReader
from sendgate.listfile.source import STDIN, open_source
from sendgate.listfile.times import parse_expiry


def add(
    context: typer.Context,
    subjects: Annotated[list[str], typer.Argument(metavar="SUBJECT...", help="What to add; - reads lines from stdin.")],
    reason: Annotated[Reason, typer.Option("--reason", help="Why they are there.")],
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="*, stream:NAME or campaign:NAME.")
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="WHEN", help="30d, 2026-12-31, Unix seconds or never.")
    ] = "never",
    list_name: Annotated[str | None, typer.Option("--list", metavar="LIST", help="The list they go on.")] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="For people.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Put subjects on a list, or extend what is there.

    A subject is user@example.com, @example.com (the domain), @.example.com (it and all below), user@ (that local
    part anywhere), sha256:HEX, sha1:HEX or md5:HEX. When one cannot be read, none is added.
    """
    settings = settings_of(context, config)
    created = now()
    until = parse_expiry(expires, created)
    if until is not None and until <= created:
        raise UsageError(f"--expires {expires} is past; nothing was changed")
    like = Entry(
        subject=parse_subject("@example.com"),
        reason=reason,
        scope=scope_or_everywhere(scope),
        list=list_of(list_name) or DEFAULT_LIST,
        origin=Origin.OPERATOR,
        created=created,
        expires=until,
        note=check_note(note),
    )
    changes = [Add(replace(like, subject=subject)) for subject in read_subjects(subjects)]
    with open_origin(settings, create=True) as origin:
        applied = origin.apply(changes)
    counts = {"added": applied.added, "refreshed": applied.refreshed, "unchanged": applied.unchanged}
    if as_json:
        print_json(counts)
    else:
        print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    return Exit.YES


def read_subjects(texts: list[str]) -> list[Subject]:
    """Subjects from arguments; `-` stands for the lines of stdin. Raises UsageError with all that cannot be read."""
    subjects: list[Subject] = []
    problems: list[str] = []
    for text in texts:
        if text == STDIN:
            subjects += _from_stdin(problems)
            continue
        try:
            subjects.append(parse_subject(text))
        except EntryError as error:
            problems.append(str(error))
    if problems:
        raise UsageError(*problems, "nothing was changed")
    if not subjects:
        raise UsageError("no subjects were given; nothing was changed")
    return subjects


def _from_stdin(problems: list[str]) -> Iterator[Subject]:
    def bad(line: BadLine) -> None:
        problems.append(f"standard input, line {line.number}: {line.reason}")

    # The reason is for the reader alone, which makes entries of a kind that has one.
    with open_source(STDIN) as source:
        for subject, _ in ListReader(source, Format.TXT, Defaults(now=0, reason=Reason.MANUAL), bad):
            yield subject
