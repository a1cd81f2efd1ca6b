"""`sendgate parse --log`: what Postfix's log says of each recipient, and what feedback would make of it.

In: logs, gzipped or not, the oldest first. Out: for each delivery event its line number, its fields, class, reason and
campaign, and whether the follower would take it for feedback. Nothing is changed.
Refused: files that cannot be read (told at the end, exit 2).

Refusals of a Sendgate gate are no delivery events. Probes (`deliverable`, `undeliverable`) and what happens to mail of
Postfix itself are shown, but are no feedback.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext

from sendgate.campaign import CampaignResolver
from sendgate.cli import progress
from sendgate.cli.feedback_rules import rules_of
from sendgate.cli.log_files import blocks_of
from sendgate.cli.problems import Exit, complain
from sendgate.feedback.classify import classify, is_own_refusal
from sendgate.feedback.event import BounceType, Event, EventClass
from sendgate.feedback.log.maillog import Delivery, Expired, parse_line
from sendgate.feedback.log.queue import PROBES, QueueTracker, answer_of
from sendgate.feedback.rules import Rules
from sendgate.settings import Settings

_encode = json.JSONEncoder(check_circular=False).encode


class LogReader:
    """Reads logs one after the other: what the queue held at the end of one counts in the next."""

    def __init__(self, settings: Settings, rules: Rules) -> None:
        self._rules = rules
        resolver = CampaignResolver(settings.campaign, settings.campaign_id)
        self._tracker = QueueTracker(resolver, lambda answer: classify(answer, rules))

    def read(self, line: str, now: float) -> dict[str, object] | None:
        """A line as an object; None when it is no delivery event."""
        record = parse_line(line, now)
        if record is None:
            return None
        if isinstance(record, Delivery):
            events = self._tracker.feed(record)
            if not events and record.text and is_own_refusal(record.text):
                return None
            return self._with_meaning(record, events, record.as_object())
        if isinstance(record, Expired):
            found = record.as_object() | {"recipients": self._tracker.waiting_for(record)}
            return self._with_meaning(record, self._tracker.feed(record), found)
        self._tracker.feed(record)
        return None

    def _with_meaning(
        self, record: Delivery | Expired, events: list[Event], found: dict[str, object]
    ) -> dict[str, object]:
        if events:
            found["class"], found["reason"] = events[0].event_class, events[0].type or ""
            found["campaign"] = events[0].campaign
        else:
            found["class"], reason = self._judge(record)
            found["reason"] = reason or ""
            found["campaign"] = self._tracker.campaign_of(record)
        found["event"] = bool(events)
        return found

    def _judge(self, record: Delivery | Expired) -> tuple[EventClass, BounceType | None]:
        """What a line says that is no feedback."""
        if isinstance(record, Expired):
            return EventClass.SOFT, BounceType.EXPIRED
        if record.status == "sent" or record.status in PROBES:
            return EventClass.NONE, None
        verdict = classify(answer_of(record, record.remote()), self._rules)
        return verdict.event_class, verdict.type


def parse_log(settings: Settings, files: list[str], *, as_json: bool) -> int:
    """Print what logs say. Returns the exit status. Raises SettingsError for rules that cannot be used."""
    reader = LogReader(settings, rules_of(settings))
    unread: list[str] = []
    # a bar on the terminal that the answers go to would be between them
    shown = nullcontext(None) if sys.stdout.isatty() else progress.show()
    with shown as display:
        for file in files:
            start = f'{{"file": {_encode(file)}, "line": '
            for block in _read_file(file, reader, unread, display):
                if as_json:
                    # the fields of the line follow those of its place
                    sys.stdout.writelines(f"{start}{number}, {_encode(found)[1:]}\n" for number, found in block)
                else:
                    sys.stdout.writelines(f"{file}:{number}: {_readable(found)}\n" for number, found in block)
    for problem in unread:
        complain(problem)
    return Exit.USAGE if unread else Exit.YES


def _read_file(
    file: str, reader: LogReader, unread: list[str], display: progress.Display | None
) -> Iterator[list[tuple[int, dict[str, object]]]]:
    """The objects of each block of lines, with their lines' numbers."""
    now, before, read = time.time(), 0, reader.read
    try:
        for lines, taken, size in blocks_of(file):
            if display is not None:
                display.reading(before, taken, size)
            numbered = enumerate(lines, before + 1)
            yield [(number, found) for number, line in numbered if (found := read(line, now)) is not None]
            before += len(lines)
    except OSError as error:
        unread.append(f"{file}: cannot be read: {error.strerror or error}")


def _readable(found: dict[str, object]) -> str:
    whom = found.get("to") or ", ".join(map(str, found.get("recipients", ()))) or "-"  # type: ignore[call-overload]
    meaning = f"{found['class']} {found['reason']}".strip() + ("" if found["event"] else ", no feedback")
    said = found.get("reply") or found.get("text") or ""
    return f"{whom} {found['status']} ({meaning}; {found['campaign']}) {said}".rstrip()
