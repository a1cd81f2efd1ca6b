"""How right a message, a reply or a line was judged.

In: rows of a corpus and what the product made of them. Out: counts, and a `Miss` for everything that is not as it
should be. Nothing is refused.

A recipient is found when an event names one of its accepted spellings, in lower case and to the letter. With several
events for one recipient the harshest counts. Wrongly suppressed is who gets a hard bounce or a complaint without being
a recipient for whom the row tolerates one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench.accuracy_corpus import Expected, LogRow, MessageRow, ReplyRow
from bench.accuracy_product import Got

MISSING = "missing"
SUPPRESSING = frozenset({"hard", "complaint"})
_HARSHEST_FIRST = ("complaint", "hard", "block", "soft", "other", "none")


class Miss(NamedTuple):
    """One thing that is not as it should be: where, of which kind, what was expected, what came."""

    where: str
    kind: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: expected {self.expected}, got {self.got}"


@dataclass(slots=True)
class Score:
    """The counts of one set. `rows` and all below are counted in the words of the set: recipients, replies or lines."""

    rows: int = 0
    recipients: int = 0
    found: int = 0
    within: int = 0
    false_hard: int = 0
    persons: int = 0
    persons_hit: int = 0
    wrongly: list[str] = field(default_factory=list)
    exceptions: int = 0
    not_allowed: int = 0
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)

    def miss(self, where: str, kind: str, expected: str, got: str) -> None:
        self.misses.append(Miss(where, kind, expected, got))

    def raised(self, where: str, error: Exception) -> None:
        self.exceptions += 1
        self.miss(where, "exception", "none", f"{type(error).__name__}: {error}"[:300])

    def judged(self, expected: str, accept: frozenset[str], got: str, where: str, about: str) -> None:
        """One class for one recipient, reply or line that was found."""
        self.found += 1
        self.confusion[expected, got] += 1
        if got in accept:
            self.within += 1
        else:
            self.miss(where, "false hard" if got == "hard" else "class", "/".join(sorted(accept)), f"{got} {about}")
        self.false_hard += got == "hard" and "hard" not in accept


def score_message(score: Score, row: MessageRow, got: Sequence[Got]) -> None:
    """Count what a message was turned into."""
    score.rows += 1
    for expected in row.recipients:
        _score_recipient(score, row, expected, got)
    for person in row.must_suppress:
        score.persons += 1
        if any(event.suppresses and event.recipient in person for event in got):
            score.persons_hit += 1
        else:
            score.miss(row.file, "not suppressed", "|".join(sorted(person)), _told(got))
    for event in got:
        if event.suppresses and not may_be_suppressed(row, event.recipient):
            score.wrongly.append(f"{row.file}: {event.recipient}")
            score.miss(row.file, "wrongly suppressed", "nobody" if row.nobody else _who(row), _told([event]))
        elif row.allowed and event.event_class not in row.allowed:
            score.not_allowed += 1
            score.miss(row.file, "class not allowed", "/".join(sorted(row.allowed)), _told([event]))


def may_be_suppressed(row: MessageRow, address: str) -> bool:
    """Whether the row tolerates that this address is suppressed for its message."""
    if row.nobody or address in row.must_not_suppress:
        return False
    if any(address in person for person in row.must_suppress):
        return True
    return any(
        address in expected.any_of and not expected.redacted and expected.accept & SUPPRESSING
        for expected in row.recipients
    )


def _score_recipient(score: Score, row: MessageRow, expected: Expected, got: Sequence[Got]) -> None:
    if not expected.any_of or expected.redacted:
        return
    score.recipients += 1
    classes = {event.event_class: event for event in got if event.recipient in expected.any_of}
    harshest = next((name for name in _HARSHEST_FIRST if name in classes), None)
    if harshest is not None:
        event = classes[harshest]
        score.judged(expected.expected, expected.accept, harshest, row.file, f"({event.reason}) for {expected}")
        return
    score.confusion[expected.expected, MISSING] += 1
    score.miss(row.file, "not found", f"{expected} ({expected.expected})", _told(got))


def score_reply(score: Score, row: ReplyRow, got: Got) -> None:
    """Count how a reply was judged."""
    score.rows += 1
    score.recipients += 1
    score.judged(row.expected, row.accept, got.event_class, row.reply[:200], f"({got.reason})")


def score_line(score: Score, row: LogRow, fields: Mapping[str, Any] | None) -> None:
    """Count whether a line gave all its fields, and nothing else."""
    score.rows += 1
    if row.no_event:
        if fields is not None:
            score.not_allowed += 1
            score.miss(row.line, "not silent", "nothing", str(dict(fields)))
        return
    if row.fields is None:
        return
    score.recipients += 1
    if fields is None:
        score.miss(row.line, "not found", str(dict(row.fields)), "nothing")
        return
    score.found += 1
    other = [
        f"{name}: {row.fields.get(name)!r} is {fields.get(name)!r}"
        for name in sorted(row.fields.keys() | fields.keys())
        if (name in row.fields, row.fields.get(name)) != (name in fields, fields.get(name))
    ]
    if other:
        score.miss(row.line, "fields", "as the row has them", "; ".join(other))
    else:
        score.within += 1


def score_line_class(score: Score, row: LogRow, event_class: str) -> None:
    """Count the class that the event of a line got: `none` for a delivery, and for no event at all."""
    score.recipients += 1
    accept = row.accept | {"none"} if row.silent else row.accept
    if row.silent and event_class != "none":
        score.not_allowed += 1
    score.judged(row.expected, accept, event_class, row.line, "")


def _who(row: MessageRow) -> str:
    return ", ".join(f"{one} {'/'.join(sorted(one.accept))}" for one in row.recipients) or "nobody"


def _told(got: Sequence[Got]) -> str:
    return ", ".join(f"{e.recipient or '(nobody)'} {e.event_class} ({e.reason})" for e in got[:10]) or "no event"
