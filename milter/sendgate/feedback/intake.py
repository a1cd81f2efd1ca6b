"""From events to entries: what is asked of the lists, what is changed in them, what is remembered and counted.

In: a batch of believed events, in order. Out: changed lists, then a saved state, then log lines.
Refused: nothing of its own; an origin that is away raises what it raises, nothing is saved, and the same batch again
does the rest.

Exactly once: the lists are changed first, the state (with the place in the log) is saved after. Killed between the two,
the batch comes again; a strike is known by its id, which is kept in the entry itself, and so changes nothing then.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sendgate import events
from sendgate.address import Address, AddressError, parse
from sendgate.entry import Add, Change, Entry, Reason, Remove, Subject
from sendgate.feedback.breaker import Breaker, Transition
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.policy import Policy
from sendgate.feedback.provider import provider_of
from sendgate.feedback.state import State
from sendgate.feedback.strikes import event_id
from sendgate.metrics_feedback import BOUNCES, BREAKER, COMPLAINTS, DELIVERIES, ENTRIES
from sendgate.settings_feedback import FeedbackSettings

BREAKER_STATE = "breaker"
BREAKER_SAVED_EVERY_SECONDS = 10.0
"""The providers' past may be large, and lacks little when the last seconds of it are lost."""
BAD_MAILBOXES = frozenset({BounceType.BAD_MAILBOX, BounceType.INACTIVE})
ID_OCTETS = 12
_RECENT = 10_000
"""Subjects struck lately by this process, which its replica may not know yet."""


Save = Callable[[State], None]
_NOTHING: Mapping[tuple[str, str, str], int] = {}


def _no_more(_state: State) -> None:
    """Nothing else is saved with the batch."""


class Lists(Protocol):
    """What the intake needs of an origin."""

    def get(self, subject: Subject) -> list[Entry]: ...

    def apply(self, changes: Iterable[Change]) -> object: ...


Strikes = Callable[[Sequence[Address]], set[Address]]
"""Those of the addresses that have strikes, or whose domain has, as far as this pod's replica knows."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What the intake reaches the world by. lists: the origin, opened for a batch.

    sees_all: whether deliveries come in, too, as they do from the log: only then can a share of failures be told, and
    the breaker be kept. Without, it is read as another process keeps it.
    tell: write log lines; a command's standard output is its user's. secret: of a store that hashes addresses.
    """

    lists: Callable[[], AbstractContextManager[Lists]]
    struck: Strikes
    sees_all: bool = False
    tell: bool = True
    secret: bytes = b""
    now: Callable[[], float] = time.time


@dataclass(slots=True)
class Outcome:
    """What a batch did. entries: those made, longer ones and marked ones included."""

    entries: list[Entry] = field(default_factory=list)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    transitions: list[Transition] = field(default_factory=list)


class Intake:
    """Takes events in. One for each process; `take` may wait for those of other processes."""

    def __init__(self, settings: FeedbackSettings, state: State, edges: Edges) -> None:
        self._settings = settings
        self._policy = Policy(settings)
        self._state = state
        self._edges = edges
        self._recent: dict[str, None] = {}
        self._kept_breaker = self._saved_breaker() if edges.sees_all else None
        self._breaker_saved_at = 0.0
        self._observed: Sequence[Event] | None = None
        self._untold: list[Transition] = []

    def take(
        self, batch: Sequence[Event], counts: Mapping[tuple[str, str, str], int] = _NOTHING, save: Save = _no_more
    ) -> Outcome:
        """Take a batch in. counts: what else to count with it; save: writes more into the same transaction.

        Raises what the origin raises, and StateError; nothing is saved then.
        """
        with self._state.lock():
            now = self._edges.now()
            fresh, ids = self._unseen(batch)
            outcome = Outcome(counts=Counter(counts))
            self._change_lists(fresh, self._observe(batch, fresh, now, outcome), now, outcome)
            with self._state.transaction():
                self._save_breaker(now, bool(outcome.transitions))
                self._state.put_seen(ids, now)
                self._state.add_counts(outcome.counts)
                save(self._state)
            self._untold = []
        if self._edges.tell:
            _tell(outcome)
        return outcome

    def _saved_breaker(self) -> Breaker:
        return Breaker(self._settings, self._state.get(BREAKER_STATE))

    def _save_breaker(self, now: float, changed: bool) -> None:
        if self._kept_breaker and (changed or abs(now - self._breaker_saved_at) >= BREAKER_SAVED_EVERY_SECONDS):
            self._state.put(BREAKER_STATE, self._kept_breaker.as_object())
            self._breaker_saved_at = now

    def _unseen(self, batch: Sequence[Event]) -> tuple[list[Event], list[str]]:
        """The events but for failures that were told before, by the log or by a message; the ids of the new ones."""
        named = [(event, _failure_id(event, self._edges.secret)) for event in batch]
        known = self._state.seen(name for _, name in named if name)
        fresh, ids = [], []
        for event, name in named:
            if name in known:
                continue
            fresh.append(event)
            if name:
                known.add(name)
                ids.append(name)
        return fresh, ids

    def _observe(self, batch: Sequence[Event], fresh: Sequence[Event], now: float, outcome: Outcome) -> Breaker:
        """Count the events. Returns the breaker as it is with them."""
        for event in fresh:
            outcome.counts.update(_counted(event))
        breaker = self._kept_breaker
        if breaker is None:
            return self._saved_breaker()
        if batch is not self._observed:  # the same batch again, after it could not be written, tells nothing new
            self._observed = batch
            for event in fresh:
                if event.final and event.source is Source.LOG:
                    breaker.observe(provider_of(event), event.type in BAD_MAILBOXES, min(event.at, now))
            self._untold += breaker.transitions()
        outcome.transitions = self._untold
        for change in outcome.transitions:
            if change.opened:
                outcome.counts[BREAKER, "", change.provider] += 1
        return breaker

    def _change_lists(self, fresh: Sequence[Event], breaker: Breaker, now: float, outcome: Outcome) -> None:
        delivered = self._delivered_to_struck(fresh)
        concerned = [event for event in fresh if _may_strike(event) or id(event) in delivered]
        if not concerned:
            return
        with self._edges.lists() as lists:
            pending = _Pending(lists, self._settings.list)
            for event in concerned:
                for subject in self._subjects(event):
                    known = pending.known(subject)
                    if _may_strike(event):
                        provider = provider_of(event)
                        is_open = provider if breaker.open_since(provider, event.at) is not None else None
                        changes = self._policy.judge(event, known, now, is_open)
                    else:
                        changes = self._policy.forget(event, known)
                    pending.add(changes)
                    self._note_recent(subject, changes)
            pending.finish()
        outcome.entries = pending.made
        for entry in pending.made:
            outcome.counts[ENTRIES, "", entry.reason.value] += 1

    def _subjects(self, event: Event) -> list[Subject]:
        if _may_strike(event):
            subject = self._policy.subject_of(event)
            return [subject] if subject else []
        return self._policy.delivered_subjects(event)

    def _delivered_to_struck(self, fresh: Sequence[Event]) -> set[int]:
        """Deliveries to recipients that may have strikes: in the replica, lately, or in this very batch."""
        deliveries = [(event, address) for event in fresh if _is_delivery(event) and (address := _address(event))]
        if not deliveries:
            return set()
        struck = self._edges.struck([address for _, address in deliveries])
        failed = {subject.text for event in fresh if _may_strike(event) for subject in self._subjects(event)}
        failed.update(self._recent)
        return {
            id(event)
            for event, address in deliveries
            if address in struck or address.text in failed or f"@{address.domain}" in failed
        }

    def _note_recent(self, subject: Subject, changes: Iterable[Change]) -> None:
        if any(isinstance(change, Add) for change in changes):
            self._recent[subject.text] = None
            if len(self._recent) > _RECENT:
                del self._recent[next(iter(self._recent))]


class _Pending:
    """Changes of a batch, together with what they make of the entries that later events ask for."""

    def __init__(self, lists: Lists, list_name: str) -> None:
        self._lists = lists
        self._list = list_name
        self._changes: list[Change] = []
        self._changed: set[Subject] = set()
        self._known: dict[Subject, list[Entry]] = {}
        self.made: list[Entry] = []

    def known(self, subject: Subject) -> list[Entry]:
        """The entries of feedback about a subject; those that this batch has changed are written first."""
        if subject in self._changed:
            self.finish()
        if subject not in self._known:
            self._known[subject] = [entry for entry in self._lists.get(subject) if entry.list == self._list]
        return self._known[subject]

    def add(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._changes.append(change)
            if isinstance(change, Add):
                self._changed.add(change.entry.subject)
                if change.entry.reason is not Reason.STRIKE:
                    self.made.append(change.entry)
            elif isinstance(change, Remove):
                self._changed.add(change.subject)

    def finish(self) -> None:
        """Write what is pending."""
        if self._changes:
            self._lists.apply(self._changes)
        for subject in self._changed:
            self._known.pop(subject, None)
        self._changes, self._changed = [], set()


def _may_strike(event: Event) -> bool:
    return event.final and event.event_class in (EventClass.HARD, EventClass.SOFT, EventClass.COMPLAINT)


def _is_delivery(event: Event) -> bool:
    return event.final and event.event_class is EventClass.NONE and event.source is Source.LOG


def _failure_id(event: Event, secret: bytes) -> str:
    """What a final failure or complaint is known by: a keyed hash, as it names a recipient. "" for all else."""
    if not event.final or event.event_class is EventClass.NONE:
        return ""
    kind = "complaint" if event.event_class is EventClass.COMPLAINT else "failure"
    text = f"{kind} {event_id(event)} {event.recipient}"
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=ID_OCTETS, key=secret).hexdigest()


def _address(event: Event) -> Address | None:
    try:
        return parse(event.recipient)
    except AddressError:
        return None


def _counted(event: Event) -> dict[tuple[str, str, str], int]:
    """What one event adds to the counts."""
    if event.event_class is EventClass.COMPLAINT:
        return {(COMPLAINTS, event.campaign, ""): 1}
    counts: dict[tuple[str, str, str], int] = {}
    failed = event.event_class is not EventClass.NONE
    if event.source is Source.LOG:
        result = ("expired" if event.expired else "bounced") if failed else "sent"
        counts[DELIVERIES, event.campaign, result if event.final else "deferred"] = 1
    if failed and event.final and event.type is not None:
        counts[BOUNCES, event.campaign, event.type.value] = 1
    return counts


def _tell(outcome: Outcome) -> None:
    for change in outcome.transitions:
        tell = events.breaker_opened if change.opened else events.breaker_closed
        tell(change.provider, change.share, change.past_share, change.volume)
    for entry in outcome.entries:
        evidence = Evidence.from_note(entry.note)
        campaign = evidence.campaign if evidence else ""
        events.feedback_entry(entry.subject.text, entry.reason.value, campaign, entry.expires, entry.note)
