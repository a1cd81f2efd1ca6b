"""`sendgate ingest --log`: take old logs of Postfix in, beside the one that is followed or instead of it.

In: logs, gzipped or not, the oldest first. Out: changed lists, and how much was read.
Refused: files that cannot be read. A log that was followed already changes nothing: its failures are known.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain

from sendgate.campaign import CampaignResolver
from sendgate.cli import feedback_parts, progress
from sendgate.cli.feedback_rules import rules_of
from sendgate.cli.log_files import lines_of
from sendgate.cli.output import print_json, print_pairs
from sendgate.cli.problems import Exit, complain
from sendgate.cli.stores import keyer
from sendgate.feedback.classify import classify
from sendgate.feedback.event import Event, EventClass
from sendgate.feedback.log.maillog import parse_line
from sendgate.feedback.log.queue import QueueTracker
from sendgate.settings import Settings

BATCH = 5_000


def ingest_logs(settings: Settings, files: list[str], *, dry_run: bool, as_json: bool) -> int:
    """Take logs in, file by file. Returns the exit status."""
    rules = rules_of(settings)
    tracker = QueueTracker(
        CampaignResolver(settings.campaign, settings.campaign_id), lambda answer: classify(answer, rules)
    )
    counts: Counter[str] = Counter()
    unread: list[str] = []
    with progress.show() as display, closing(feedback_parts.open_state(settings)) as state:
        intake = feedback_parts.intake(settings, keyer(settings), state, sees_all=True, tell=False)
        found = chain.from_iterable(_events(file, tracker, counts, unread, display) for file in files)
        for batch in _batches(found):
            counts.update(_results(batch))
            if not dry_run:
                counts["entries"] += len(intake.take(batch).entries)
    for problem in unread:
        complain(problem)
    if as_json:
        print_json({"dry_run": dry_run, **counts})
    else:
        print_pairs(counts.items())
    return Exit.USAGE if unread else Exit.YES


def _events(
    file: str, tracker: QueueTracker, counts: Counter[str], unread: list[str], display: progress.Display
) -> Iterator[Event]:
    try:
        for line, taken, size in lines_of(file):
            counts["lines"] += 1
            display.reading(counts["lines"], taken, size)
            record = parse_line(line, time.time())
            if record is not None:
                yield from tracker.feed(record)
    except OSError as error:
        unread.append(f"{file}: {error.strerror or error}")


def _batches(found: Iterable[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    for event in found:
        batch.append(event)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _results(batch: list[Event]) -> Counter[str]:
    return Counter(
        "deferred" if not one.final else "sent" if one.event_class is EventClass.NONE else one.event_class.value
        for one in batch
    )
