"""`sendgate undo`: take back what feedback did in some time, such as a provider's outage.

In: since when, until when, a provider. Out: each suppression that is taken back and what it becomes, and counts.
Refused: a time that is none, or lies ahead. Complaints are left alone: an outage forges none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import typer

from sendgate.cli import progress
from sendgate.cli.options import ConfigOption, JsonOption, now, settings_of
from sendgate.cli.output import brief, print_json, print_pairs
from sendgate.cli.problems import Exit, UsageError, complain
from sendgate.cli.stores import open_for_reading, open_origin
from sendgate.entry import Change, Entry, Reason, Subject
from sendgate.feedback.undo import Undone, Wanted, plan
from sendgate.listfile.times import iso, parse_time
from sendgate.listfile.writer import as_object
from sendgate.settings import Settings
from sendgate.store.origin import Origin
from sendgate.units import parse_duration

SUBJECTS_AT_ONCE = 500
_AGO = re.compile(r"\d{1,15}\s*[A-Za-z]+")


@dataclass(slots=True)
class Outcome:
    """What was taken back, or would be."""

    looked_at: int = 0
    undone: list[Undone] = field(default_factory=list)

    def count(self, *, strikes: bool = False, removed: bool = False) -> int:
        """Strike entries that change; else suppressions that go, or that are held for less long."""
        if strikes:
            return sum(one.entry.reason is Reason.STRIKE for one in self.undone)
        return sum(one.entry.reason is not Reason.STRIKE and (one.becomes is None) is removed for one in self.undone)


def undo(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", metavar="WHEN", help="A time, or how long ago: 2h.")],
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="The end; else now.")] = None,
    provider: Annotated[
        str, typer.Option("--provider", metavar="DOMAIN", help="Only what this provider answered, or its addresses.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Take back what feedback did in some time; complaints stay.

    Exit status 1 when there is nothing to take back.
    """
    settings = settings_of(context, config)
    time_now = now()
    begin, end = _moment("--since", since, time_now), None if until is None else _moment("--until", until, time_now)
    if begin >= (time_now if end is None else end):
        raise UsageError("--since must be before " + ("now" if end is None else "--until"))
    wanted = Wanted(begin, end, provider.strip().lower())
    try:
        outcome = _undo(settings, wanted, time_now, dry_run)
    except KeyboardInterrupt:
        complain("interrupted; the same again does the rest")
        return Exit.INTERRUPTED
    _answer(outcome, wanted, dry_run, as_json)
    return Exit.YES if outcome.undone else Exit.NO


def _undo(settings: Settings, wanted: Wanted, time_now: int, dry_run: bool) -> Outcome:
    outcome = Outcome()
    with (
        progress.show() as display,
        open_for_reading(settings) if dry_run else open_origin(settings, create=False) as origin,
    ):
        found = list(plan(_scanned(origin, settings, outcome, display), wanted, settings.feedback, time_now))
        if dry_run:
            outcome.undone = found
            return outcome
        subjects = list(dict.fromkeys(one.entry.subject for one in found))
        for start in range(0, len(subjects), SUBJECTS_AT_ONCE):
            display.storing("taking back", start, len(subjects))
            some = subjects[start : start + SUBJECTS_AT_ONCE]
            outcome.undone += _take_back(origin, some, wanted, settings, time_now)
    return outcome


def _scanned(origin: Origin, settings: Settings, outcome: Outcome, display: progress.Display) -> Iterator[Entry]:
    """The entries of feedback's list."""
    name = settings.feedback.list
    total = sum(count for label, count in origin.counts().items() if label.list == name)
    for entry in origin.scan(name):
        if outcome.looked_at % 1000 == 0:
            display.storing("looking", outcome.looked_at, max(total, outcome.looked_at, 1))
        outcome.looked_at += 1
        yield entry


def _take_back(
    origin: Origin, subjects: list[Subject], wanted: Wanted, settings: Settings, time_now: int
) -> list[Undone]:
    """Take back what was found about some subjects, as they are now: the log is followed meanwhile."""
    undone: list[Undone] = []
    for subject in subjects:
        undone += plan(origin.get(subject), wanted, settings.feedback, time_now)
    changes: list[Change] = [change for one in undone for change in one.changes]
    origin.apply(changes)
    return undone


def _moment(option: str, text: str, time_now: int) -> int:
    """A time, or a duration before now. Raises UsageError, EntryError."""
    text = text.strip()
    if _AGO.fullmatch(text):
        try:
            moment = time_now - parse_duration(text)
        except ValueError as error:
            raise UsageError(f"{option}: {text!r} {error}") from None
    else:
        moment = parse_time(text)
    if not 0 <= moment <= time_now:
        raise UsageError(f"{option}: {text!r} is not between 1970 and now")
    return moment


def _answer(outcome: Outcome, wanted: Wanted, dry_run: bool, as_json: bool) -> None:
    counts = {
        "looked_at": outcome.looked_at,
        "removed": outcome.count(removed=True),
        "shortened": outcome.count(removed=False),
        "strikes": outcome.count(strikes=True),
    }
    if as_json:
        until = None if wanted.until is None else iso(int(wanted.until))
        head = {
            "dry_run": dry_run,
            "since": iso(int(wanted.since)),
            "until": until,
            "provider": wanted.provider or None,
        }
        print_json({**head, **counts, "entries": [_as_object(one) for one in outcome.undone]})
        return
    for one in outcome.undone:
        if one.entry.reason is not Reason.STRIKE:
            print(f"{brief(one.entry)}: {_becomes(one)}")
    if dry_run:
        print("dry run: nothing was changed; without --dry-run this would have been done")
    print_pairs((name.replace("_", " "), count) for name, count in counts.items())


def _becomes(one: Undone) -> str:
    if one.becomes is None:
        return "removed"
    until = "for ever, by other strikes" if one.becomes.expires is None else f"until {iso(one.becomes.expires)}"
    return f"suppressed {until}"


def _as_object(one: Undone) -> dict[str, object]:
    becomes = None if one.becomes is None else as_object(one.becomes)
    return {**as_object(one.entry), "becomes": becomes}
