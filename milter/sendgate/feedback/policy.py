"""What an event changes in the lists: strikes, suppressions, and what a delivery forgets. Pure.

In: an event, the entries of feedback's list about its subject, the time, whether its provider's breaker is open.
Out: changes. Refused: nothing; an event that concerns nobody we know how to name changes nothing.

    bad_mailbox, inactive   hard_bounce for `hard_provisional`; the `hard_strikes`-th within `hard_within`: for ever
    bad_domain              invalid_domain for ever, after `domain_strikes` in a row over `domain_over`
    full                    soft_bounce for `full_first`, four times as long with each further one, up to `full_most`
    complaint               complaint for ever
    all else                nothing

Strikes are an entry of reason `strike` beside the suppressions, which its note lists; suppressions list those that made
them. An event whose strike is listed changes nothing, however often it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sendgate.address import AddressError, parse
from sendgate.entry import EVERYWHERE, Add, Change, Entry, Kind, Origin, Reason, Remove, Subject
from sendgate.feedback import strikes as striking
from sendgate.feedback.event import BounceType, Event, EventClass, Source
from sendgate.feedback.evidence import Evidence, evidence_of
from sendgate.feedback.strikes import COMPLAINT, GROUPS, MAX_KEPT, Group, Strike, event_id
from sendgate.settings_feedback import FeedbackSettings

DELIVERY_REMEMBERED_SECONDS = 8 * 86400
"""Longer than any message stays in Postfix's queue, and so than a failure before it may be told."""
_CLASSES = {Group.HARD: EventClass.HARD, Group.DOMAIN: EventClass.HARD, Group.FULL: EventClass.SOFT}


class Policy:
    """Judges events by the settings."""

    def __init__(self, settings: FeedbackSettings) -> None:
        self._settings = settings

    def subject_of(self, event: Event) -> Subject | None:
        """Whom a failure or complaint is about: the address, or the domain when our own Postfix found it to be bad.

        None when the recipient is no address.
        """
        of_domain = event.type is BounceType.BAD_DOMAIN and not event.host and event.source is Source.LOG
        subjects = self.delivered_subjects(event)
        return subjects[1 if of_domain else 0] if subjects else None

    def delivered_subjects(self, event: Event) -> list[Subject]:
        """All whose strikes a delivery ends: the address and its domain. Nothing when the recipient is no address."""
        try:
            address = parse(event.recipient)
        except AddressError:
            return []
        return [Subject(Kind.ADDRESS, address.text, address), Subject(Kind.DOMAIN, f"@{address.domain}")]

    def judge(self, event: Event, known: Sequence[Entry], now: float, breaker_open: str | None) -> list[Change]:
        """What an event changes. known: the entries about its subject; breaker_open: the provider, when it is open."""
        subject, kind = self.subject_of(event), _kind_of(event)
        if subject is None or not kind:
            return []
        at = min(event.at, int(now)) if event.at > 0 else int(now)
        group = GROUPS[kind]
        doubted = breaker_open is not None and group is Group.HARD
        strike = Strike(kind, event_id(event), at, doubted)
        if group is Group.COMPLAINT:
            return self._complaint(subject, event, strike, known)
        before = self._strikes(known)
        delivered = self._delivered(known)
        if at < delivered or not self._is_new(strike, before, now):
            return []
        left = striking.remembered(before, now, self._settings)  # alone: a row that is forgotten does not go on
        strikes = striking.remembered((*left, strike), now, self._settings)
        breaker = breaker_open if doubted else None
        evidence = evidence_of(event, at, strikes, breaker)
        forgotten_at = striking.forgotten_at(strikes, self._settings)
        memory = self._entry(subject, Reason.STRIKE, replace(evidence, delivered=delivered), forgotten_at)
        changes = put(memory, self._known(known, Reason.STRIKE), now)
        return changes + self._suppression(subject, group, evidence, known, now)

    def forget(self, event: Event, known: Sequence[Entry]) -> list[Change]:
        """What a delivery changes: older strikes of a subject go. What they suppress stays until it expires.

        That it came is remembered for a while: those strikes may be told again, after a crash, and must not count then.
        """
        changes: list[Change] = []
        for entry in known:
            if entry.reason is not Reason.STRIKE or entry.list != self._settings.list:
                continue
            newest = max((strike.at for strike in strikes_of(entry)), default=event.at)
            if newest < event.at:
                evidence = Evidence(event.at, campaign=event.campaign, source=event.source, delivered=event.at)
                until = event.at + DELIVERY_REMEMBERED_SECONDS
                rest = replace(entry, expires=until, strikes=0, note=evidence.note())
                changes += [Remove(entry.subject, Reason.STRIKE, entry.scope, entry.list), Add(rest)]
        return changes

    def _complaint(self, subject: Subject, event: Event, strike: Strike, known: Sequence[Entry]) -> list[Change]:
        entry = self._known(known, Reason.COMPLAINT)
        before = strikes_of(entry) if entry else ()
        if _lists(before, strike):
            return []
        evidence = evidence_of(event, strike.at, striking.in_order((*before, strike))[-MAX_KEPT:])
        made = self._entry(subject, Reason.COMPLAINT, evidence, None)
        if entry is None or entry.origin is not Origin.FEEDBACK:
            return suppress(made, entry, strike.at)
        return put(replace(made, strikes=entry.strikes + 1), entry, strike.at)

    def _suppression(
        self, subject: Subject, group: Group, evidence: Evidence, known: Sequence[Entry], now: float
    ) -> list[Change]:
        strikes = striking.of_group(evidence.strikes, group)
        outcome = striking.outcome(group, strikes, self._settings)
        if outcome is None or outcome.over(now):
            return []
        made = self._entry(subject, group.value, replace(evidence, strikes=strikes), outcome.expires)
        return suppress(made, self._known(known, group.value), now)

    def _is_new(self, strike: Strike, before: Sequence[Strike], now: float) -> bool:
        """Whether a strike is to be remembered: not listed, not one that made room, not so old as to be forgotten."""
        made_room = len(before) >= MAX_KEPT and strike.at <= before[-1].at
        return not _lists(before, strike) and not made_room and bool(striking.remembered([strike], now, self._settings))

    def _delivered(self, known: Sequence[Entry]) -> int:
        """When a delivery last made strikes forgotten, 0 for never."""
        ours = (entry for entry in known if entry.reason is Reason.STRIKE and entry.list == self._settings.list)
        found = (Evidence.from_note(entry.note) for entry in ours)
        return max((evidence.delivered for evidence in found if evidence), default=0)

    def _strikes(self, known: Sequence[Entry]) -> tuple[Strike, ...]:
        """All strikes that are listed; while a store changes its secret there can be two lists of them."""
        ours = (entry for entry in known if entry.reason is Reason.STRIKE and entry.list == self._settings.list)
        return striking.in_order(strike for entry in ours for strike in strikes_of(entry))

    def _known(self, known: Sequence[Entry], reason: Reason) -> Entry | None:
        ours = (entry for entry in known if entry.list == self._settings.list and entry.scope == EVERYWHERE)
        return next((entry for entry in ours if entry.reason is reason), None)

    def _entry(self, subject: Subject, reason: Reason, evidence: Evidence, expires: int | None) -> Entry:
        return Entry(
            subject,
            reason,
            list=self._settings.list,
            origin=Origin.FEEDBACK,
            created=evidence.strikes[0].at if reason is Reason.STRIKE else evidence.at,
            expires=expires,
            strikes=len(evidence.strikes),
            note=evidence.note(),
        )


def put(entry: Entry, known: Entry | None, now: float) -> list[Change]:
    """Have an entry as it is given. One that is over, or counts more, goes first: adding would keep some of it."""
    if known is not None and (_is_over(known, now) or known.strikes > entry.strikes):
        return [Remove(known.subject, known.reason, known.scope, known.list), Add(entry)]
    return [Add(entry)]


def suppress(entry: Entry, known: Entry | None, now: float) -> list[Change]:
    """Have a suppression hold at least as long as given.

    One that does so already stays as it is, with the evidence of what made it. What somebody else made stays theirs.
    """
    if known is None or _is_over(known, now):
        return put(entry, known, now)
    if known.expires is None or (entry.expires is not None and entry.expires <= known.expires):
        return []
    return (
        put(entry, known, now)
        if known.origin is Origin.FEEDBACK
        else [Add(replace(entry, origin=known.origin, note=""))]
    )


def strikes_of(entry: Entry) -> tuple[Strike, ...]:
    """The strikes that an entry lists."""
    evidence = Evidence.from_note(entry.note)
    return evidence.strikes if evidence else ()


def _kind_of(event: Event) -> str:
    """The kind of strike that an event is; "" for those that are none."""
    if event.event_class is EventClass.COMPLAINT:
        return COMPLAINT
    group = GROUPS.get(event.type or "")
    return event.type or "" if event.final and group and _CLASSES.get(group) is event.event_class else ""


def _lists(strikes: Sequence[Strike], strike: Strike) -> bool:
    """Whether an event is among strikes; its kind may have been told otherwise in the log and in a message."""
    return any(one.id == strike.id for one in strikes)


def _is_over(entry: Entry, now: float) -> bool:
    return entry.expires is not None and entry.expires <= now
