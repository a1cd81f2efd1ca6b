"""`sendgate parse`: what bounces, complaints and other messages say of each recipient. Nothing is changed.

In: messages, mboxes, maildirs, folders of them, gzipped or not; `-` is stdin. Out: for each message its name and its
events; an ordinary message has none. A store is not needed, nor settings.
Refused: files that cannot be read; the others are read, and the exit status is 2.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from sendgate.cli import progress
from sendgate.cli.feedback_reader import reader_of
from sendgate.cli.problems import Exit, complain
from sendgate.feedback.event import Event
from sendgate.feedback.mail.mailboxes import messages_in
from sendgate.feedback.mail.parse import parse_message
from sendgate.settings import Settings

STDIN = "-"


def parse_mail(settings: Settings, files: list[str], *, as_json: bool) -> int:
    """Print what messages say. Returns the exit status. Raises SettingsError for rules and keys that cannot be used."""
    reader = reader_of(settings, time.time())
    unread: list[str] = []
    # a bar on the terminal that the answers go to would be between them
    shown = nullcontext(None) if sys.stdout.isatty() else progress.show()
    total = sum(_size(file) for file in files)
    taken = 0
    with shown as display:
        for name, data in _messages(files, unread):
            events = parse_message(data, reader)
            print(_as_json(name, events) if as_json else _text(name, events))
            taken += len(data)
            if display is not None and total:
                display.storing("reading", min(taken, total), total)
    for problem in unread:
        complain(problem)
    return Exit.USAGE if unread else Exit.YES


def _messages(files: list[str], unread: list[str]) -> Iterator[tuple[str, bytes]]:
    """The messages of all files; those that cannot be read are noted."""
    for file in files:
        try:
            yield from _from_stdin() if file == STDIN else messages_in(Path(file))
        except OSError as error:
            unread.append(f"{file}: cannot be read: {error.strerror or error}")


def _from_stdin() -> Iterator[tuple[str, bytes]]:
    """The messages on stdin, which is kept in a file meanwhile: it may be an mbox of any size."""
    with tempfile.NamedTemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        for name, data in messages_in(Path(kept.name)):
            yield STDIN + name.removeprefix(kept.name), data


def _size(file: str) -> int:
    path = Path(file)
    try:
        if path.is_dir():
            return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
        return path.stat().st_size if file != STDIN else 0
    except OSError:
        return 0


def _as_json(name: str, events: list[Event]) -> str:
    return json.dumps({"file": name, "events": [event.as_object() for event in events]})


def _text(name: str, events: list[Event]) -> str:
    if not events:
        return f"{name}: nothing"
    return "\n".join(f"{name}: {_event_text(event)}" for event in events)


def _event_text(event: Event) -> str:
    meaning = f"{event.event_class} {event.type or ''}".strip()
    codes = " ".join(filter(None, (event.code, event.status)))
    return " ".join(f"{event.recipient or '-'} ({meaning}; {event.campaign or '-'}) {codes} {event.text}".split())
