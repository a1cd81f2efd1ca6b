"""The messages that `sendgate ingest` takes in.

In: files, how to take them in. Out: changed lists, and what became of each message, on stdout.
Refused: files that cannot be read, told by their names after the others were taken in.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sendgate.cli import feedback_parts, progress
from sendgate.cli.output import print_pairs
from sendgate.cli.problems import complain
from sendgate.cli.stores import keyer
from sendgate.feedback.mail.mailboxes import messages_in
from sendgate.feedback.receiver import Judged
from sendgate.settings import Settings

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to take messages in. recipients: whom they came to; silent: nothing is printed."""

    recipients: tuple[str, ...] = ()
    trusted: bool = False
    dry_run: bool = False
    as_json: bool = False
    silent: bool = False


def ingest_messages(settings: Settings, files: list[str], wishes: Wishes) -> int:
    """Take all messages of all files in. Returns how many files could not be read, which is told."""
    counts: Counter[str] = Counter()
    unread: list[str] = []
    with closing(feedback_parts.open_state(settings)) as state, progress.show() as display:
        receiver = feedback_parts.receiver(settings, keyer(settings), None if wishes.dry_run else state, tell=False)
        taken = 0
        for name, data in _messages(files, unread):
            judged = receiver.receive(data, wishes.recipients, vouched=wishes.trusted)
            taken += len(data)
            counts["messages"] += 1
            counts.update(_counted(judged))
            display.reading(counts["messages"], taken, None)
            if wishes.as_json and not wishes.silent:
                _print_line(name, judged)
    for problem in unread:
        complain(problem)
    if not wishes.as_json and not wishes.silent:
        _answer(counts, wishes.dry_run)
    return len(unread)


def _messages(files: list[str], unread: list[str]) -> Iterator[tuple[str, bytes]]:
    """All messages of all files, by name. Files that cannot be read are noted in `unread`."""
    for file in files:
        try:
            if file == STDIN:
                yield STDIN, sys.stdin.buffer.read()
            else:
                yield from messages_in(Path(file))
        except OSError as error:
            unread.append(f"{file}: {error.strerror or error}")


def _counted(judged: list[Judged]) -> Counter[str]:
    counts = Counter(one.why for one in judged)
    counts["believed"] = sum(one.believed for one in judged)
    counts["not believed"] = len(judged) - counts["believed"]
    counts["without events"] = not judged
    return counts


def _print_line(name: str, judged: list[Judged]) -> None:
    """What a message told, as a line of JSON."""
    told = [{**one.event.as_object(), "believed": one.believed, "why": one.why} for one in judged]
    print(json.dumps({"file": name, "events": told}, ensure_ascii=True))


def _answer(counts: Counter[str], dry_run: bool) -> None:
    if dry_run:
        print("dry run: nothing was changed or counted")
    first = ("messages", "without events", "believed", "not believed")
    others = sorted(counts.keys() - set(first))
    print_pairs([(name, counts[name]) for name in first] + [(f"  {name}", counts[name]) for name in others])
