"""`sendgate ingest`: take bounces and complaints in that are files, or come by Postfix's pipe(8); or an old log.

In: messages (.eml, mbox, maildir, - for stdin), or logs with --log. Out: changed lists, what became of them.
Refused: files that cannot be read (exit 2, after the others were taken in), a store that cannot be reached (exit 3).

With --pipe all that fails ends with 75 (EX_TEMPFAIL of sysexits.h), so that Postfix keeps the message and tries again.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from sendgate.cli import feedback_parts, progress
from sendgate.cli.ingest_log import ingest_logs
from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.output import print_pairs
from sendgate.cli.problems import EXPECTED, Exit, complain, tell
from sendgate.cli.stores import keyer
from sendgate.feedback.mail.mailboxes import messages_in
from sendgate.feedback.receiver import Judged
from sendgate.settings import Settings

TRY_AGAIN = 75
STDIN = "-"


def ingest(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=".eml, mbox, maildir, or -; with --log logs.")],
    recipients: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="ADDRESS", help="Whom the messages came to.")
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Believe all of them: you know where they are from.")
    ] = False,
    pipe: Annotated[bool, typer.Option("--pipe", help="For pipe(8): exit 75 on any failure, print nothing.")] = False,
    log: Annotated[bool, typer.Option("--log", help="The files are logs of Postfix.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be believed; change nothing.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Take bounces and complaints in: what is believed becomes entries, the rest is counted."""
    try:
        settings = settings_of(context, config)
        if log:
            return ingest_logs(settings, files, dry_run=dry_run, as_json=as_json)
        return _ingest(settings, files, recipients or [], trusted, pipe, dry_run, as_json)
    except EXPECTED as error:
        if not pipe:
            raise
        tell(error)
        return TRY_AGAIN


def _ingest(
    settings: Settings, files: list[str], recipients: list[str], trusted: bool, pipe: bool, dry_run: bool, as_json: bool
) -> int:
    counts: Counter[str] = Counter()
    unread: list[str] = []
    with closing(feedback_parts.open_state(settings)) as state, progress.show() as display:
        receiver = feedback_parts.receiver(settings, keyer(settings), None if dry_run else state, tell=False)
        taken = 0
        for name, data in _messages(files, unread):
            judged = receiver.receive(data, recipients, vouched=trusted)
            taken += len(data)
            counts["messages"] += 1
            counts.update(_counted(judged))
            display.reading(counts["messages"], taken, None)
            if as_json and not pipe:
                _print_line(name, judged)
    for problem in unread:
        complain(problem)
    if not as_json and not pipe:
        _answer(counts, dry_run)
    return (TRY_AGAIN if pipe else Exit.USAGE) if unread else Exit.YES


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
