"""`sendgate remove`: take subjects off their lists, or remove a whole list.

In: subjects, from the command line or stdin, narrowed by reason, scope and list; or a list alone.
Out: how many entries were removed, and what still names the addresses. Refused: a whole list without a yes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sendgate.cli.add import read_subjects
from sendgate.cli.options import (
    ConfigOption,
    JsonOption,
    ListOption,
    ReasonOption,
    ScopeOption,
    list_of,
    now,
    scope_of,
    settings_of,
)
from sendgate.cli.output import brief, print_json
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.cli.stores import open_for_reading, open_origin
from sendgate.entry import WITHOUT_ACTION, Change, Entry, Remove, RemoveList, Subject
from sendgate.listfile.writer import as_object
from sendgate.settings import Settings
from sendgate.store.origin import Origin


def remove(
    context: typer.Context,
    subjects: Annotated[
        list[str] | None, typer.Argument(metavar="[SUBJECT]...", help="What to remove; - reads lines from stdin.")
    ] = None,
    reason: ReasonOption = None,
    scope: ScopeOption = None,
    list_name: ListOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove a whole list without asking.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Take subjects off their lists; with --list alone, remove that whole list.

    Says what else still names the addresses. Exit status 1 when there was nothing to remove.
    """
    settings = settings_of(context, config)
    name = list_of(list_name)
    if subjects:
        named = read_subjects(subjects)
        narrowed = scope_of(scope)
        return _remove(settings, [Remove(subject, reason, narrowed, name) for subject in named], named, as_json)
    if name is None:
        raise UsageError("name what to remove: subjects, or a whole list with --list")
    if reason is not None or scope is not None:
        raise UsageError("--reason and --scope narrow the entries of subjects; with --list alone all of it goes")
    if not yes and not _agreed(settings, name):
        return Exit.NO
    return _remove(settings, [RemoveList(name)], [], as_json)


def _remove(settings: Settings, changes: Sequence[Change], subjects: list[Subject], as_json: bool) -> int:
    with open_origin(settings, create=False) as origin:
        applied = origin.apply(changes)
        left = {subject.text: _still_naming(origin, subject) for subject in subjects}
    still = {text: entries for text, entries in left.items() if entries}
    if as_json:
        shown = {text: [as_object(entry) for entry in entries] for text, entries in still.items()}
        print_json({"removed": applied.removed, "still_suppressed": shown})
    else:
        print(f"{applied.removed:,} removed")
        for text, entries in still.items():
            print(f"{text} is still suppressed by {', '.join(brief(entry) for entry in entries)}")
    return Exit.YES if applied.removed else Exit.NO


def _still_naming(origin: Origin, subject: Subject) -> list[Entry]:
    """The live entries that suppress an address, whatever their scope."""
    if subject.address is None:
        return []
    time_now = now()
    return [
        entry
        for found, entry in origin.matches(subject.address).matches
        if found.reason not in WITHOUT_ACTION and not found.expired(time_now)
    ]


def _agreed(settings: Settings, name: str) -> bool:
    if not _is_terminal():
        raise UsageError(f"--list {name} alone removes the whole list; say --yes, as nobody can be asked here")
    with open_for_reading(settings) as origin:
        count = sum(count for label, count in origin.counts().items() if label.list == name)
    if typer.confirm(f"Remove all {count:,} entries of list {name}?", err=True):
        return True
    complain("nothing was changed")
    return False


def _is_terminal() -> bool:
    return sys.stdin.isatty()
