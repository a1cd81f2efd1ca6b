"""A whole day's log through the parser and the joining by queue id, as the follower reads it.

In: a number of lines, and a file to keep them in. Out: lines a second of one core's CPU, and whether the events are
those that the day had, by campaign and kind. A file that is already there is read instead, and only timed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from bench import accuracy_product as product
from bench.accuracy_speed import rate, rate_of_stream
from bench.maillog import Day, write_day
from bench.report import Report, Target, progress

LINES_A_SECOND = 100_000


def day(count: int, kept: Path | None) -> list[Report]:
    parse, follow = product.line_parser(), product.log_follower()
    progress(f"accuracy: a day's log of {count:,} lines")
    made = Day()
    texts = _read_or_make(count, kept, made)
    events: list[Any] = []
    alone = rate(texts, parse, passes=1)
    followed = rate_of_stream(texts, lambda lines: events.extend(follow(lines)))
    report = Report(
        "log of a day",
        "A day's log",
        ("", "lines", "messages", "events", "lines/s"),
        rows=[
            ("parsed", f"{len(texts):,}", "", "", f"{alone:,.0f}"),
            ("parsed and joined", f"{len(texts):,}", f"{made.messages:,}", f"{len(events):,}", f"{followed:,.0f}"),
        ],
        figures={"parsed, lines/s": alone, "parsed and joined, lines/s": followed},
        targets=[Target("a day's log: lines/s on one core", followed, LINES_A_SECOND, at_least=True)],
    )
    if made.messages:
        _compare(report, made, events)
    return [report]


def _read_or_make(count: int, kept: Path | None, made: Day) -> list[str]:
    if kept is not None and kept.exists():
        return kept.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    texts = list(write_day(count, made))
    if kept is not None:
        kept.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return texts


def _compare(report: Report, made: Day, events: list[Any]) -> None:
    """Whether each campaign of the day has exactly its events."""
    campaigns = {campaign for campaign, _ in made.events}
    got = Counter((event.campaign, product.kind_of(event)) for event in events if event.campaign in campaigns)
    wrong = (made.events - got) + (got - made.events)
    report.details += [
        f"{campaign}, {kind}: expected {made.events[campaign, kind]:,}, got {got[campaign, kind]:,}"
        for campaign, kind in sorted(wrong)
    ]
    report.targets.append(Target("a day's log: events too few or too many", wrong.total(), 0))
