"""Taking back what feedback did in some time: the strikes of that time, and what they made. Pure.

In: entries of feedback's list, the time, a provider. Out: what each becomes, and the changes that do it.
Refused: nothing; entries without evidence, and those of others, are passed over.

Each entry lists the strikes that made it. Without those of the time it is what the others make of it: the same, held
for less long, or gone. Complaints stay: an outage of a provider forges none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from sendgate.entry import Add, Change, Entry, Kind, Origin, Reason, Remove
from sendgate.feedback import strikes as striking
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.strikes import Group, Strike
from sendgate.settings_feedback import FeedbackSettings

TAKEN_BACK = "a later failure was taken back"
_GROUPS = {group.value: group for group in Group if group is not Group.COMPLAINT}


class Wanted(NamedTuple):
    """What to take back: strikes at or after `since` and before `until` (None: all), of a provider ("": of all)."""

    since: float
    until: float | None = None
    provider: str = ""

    def covers(self, at: int) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


class Undone(NamedTuple):
    """An entry, and what it becomes; None: nothing, it goes."""

    entry: Entry
    becomes: Entry | None

    @property
    def changes(self) -> list[Change]:
        """In one batch: an addition alone never shortens an expiry."""
        entry = self.entry
        gone: list[Change] = [Remove(entry.subject, entry.reason, entry.scope, entry.list)]
        return gone if self.becomes is None else [*gone, Add(self.becomes)]


def plan(entries: Iterable[Entry], wanted: Wanted, settings: FeedbackSettings, now: float) -> Iterator[Undone]:
    """What becomes of those entries that change."""
    for entry in entries:
        evidence = Evidence.from_note(entry.note)
        ours = entry.origin is Origin.FEEDBACK and entry.list == settings.list
        if evidence is None or not ours or not _is_of(wanted.provider, entry, evidence):
            continue
        left = _left(evidence, wanted)
        if left is not None and (entry.reason is Reason.STRIKE or entry.reason in _GROUPS):
            yield Undone(entry, _becomes(entry, evidence, left, settings, now))


def _left(evidence: Evidence, wanted: Wanted) -> tuple[Strike, ...] | None:
    """The strikes that stay; None when nothing is taken back."""
    left = tuple(strike for strike in evidence.strikes if not wanted.covers(strike.at))
    if evidence.strikes:
        return left if len(left) < len(evidence.strikes) else None
    return () if wanted.covers(evidence.at) else None


def _becomes(
    entry: Entry, evidence: Evidence, left: tuple[Strike, ...], settings: FeedbackSettings, now: float
) -> Entry | None:
    if not left:
        return None
    if entry.reason is Reason.STRIKE:
        expires: int | None = striking.forgotten_at(left, settings)
    else:
        outcome = striking.outcome(_GROUPS[entry.reason], left, settings)
        if outcome is None:
            return None
        expires = outcome.expires
    if expires is not None and expires <= now:
        return None
    return replace(entry, expires=expires, strikes=len(left), note=_evidence_left(evidence, left).note())


def _evidence_left(evidence: Evidence, left: tuple[Strike, ...]) -> Evidence:
    """What is still known of the last strike that stays: the words of the last event went with it, if it did."""
    last = left[-1]
    if evidence.at == last.at:
        return replace(evidence, strikes=left)
    queue_id = last.id if not last.id.startswith("~") else ""
    return Evidence(
        at=last.at,
        queue_id=queue_id,
        provider=evidence.provider,
        strikes=left,
        text=TAKEN_BACK,
        delivered=evidence.delivered,
    )


def _is_of(provider: str, entry: Entry, evidence: Evidence) -> bool:
    """Whether an entry is of a provider: by who answered, or by the recipient's domain, which a hashed store hides."""
    if not provider:
        return True
    named = entry.subject.kind in (Kind.ADDRESS, Kind.DOMAIN) and "@" in entry.subject.text
    domain = entry.subject.text.rpartition("@")[2] if named else ""
    return provider.lower().rstrip(".") in (evidence.provider, evidence.breaker, domain)
