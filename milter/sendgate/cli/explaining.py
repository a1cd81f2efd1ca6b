"""What `explain` tells, as data.

In: a recipient as a client would write it, a campaign's name, the settings, the store.
Out: an `Explanation`: what the gate would look up, find, decide and answer; the evidence that feedback left in entries.
Refused: `StoreError`s.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import NamedTuple

from sendgate.address import AddressError, mailbox, parse
from sendgate.campaign import CampaignResolver
from sendgate.decision import Action, Campaign, Decision, Rules
from sendgate.entry import OVERRIDES_ALLOW, Entry, Found, Reason
from sendgate.feedback.evidence import Evidence
from sendgate.feedback.strikes import Strike
from sendgate.gate import Gate
from sendgate.listfile.times import iso
from sendgate.reply import reply_to
from sendgate.settings import Settings
from sendgate.store.matches import Match, Matches
from sendgate.store.origin import Explains


class Explained(NamedTuple):
    """An entry, and whether and why it counts for this campaign now."""

    match: Match
    applies: bool
    why: str


class Explanation(NamedTuple):
    """All there is to tell about a recipient. `problem` says why it is no address; then there is nothing else."""

    recipient: str
    campaign: Campaign
    address: str | None
    mailbox: str | None
    problem: str | None
    keys: list[tuple[str, bytes]]
    entries: list[Explained]
    decision: Decision
    reply: str | None


def explain_recipient(origin: Explains, settings: Settings, recipient: str, campaign_name: str) -> Explanation:
    """Judge a recipient as the gate would now, and keep what led to it."""
    judge = _Judge(settings.rules(), CampaignResolver(settings.campaign).named(campaign_name), time.time())
    address, reduced, problem, matches = None, None, None, Matches()
    try:
        parsed = parse(recipient)
        address, reduced = parsed.text, mailbox(parsed).text
        matches = origin.matches(parsed)
    except AddressError as error:
        problem = str(error)
    decision = judge.decision(recipient, matches)
    reply = None if decision.observed else reply_to(decision, recipient)
    entries = [judge.explained(match, matches, decision) for match in matches.matches]
    shown = str(reply) if reply else None
    return Explanation(recipient, judge.campaign, address, reduced, problem, matches.keys, entries, decision, shown)


def evidence_lines(entry: Entry) -> list[str]:
    """The evidence in an entry's note, for people; nothing when there is none."""
    evidence = Evidence.from_note(entry.note)
    if evidence is None:
        return []
    facts = {
        "status": " ".join(filter(None, (evidence.code, evidence.status))),
        "host": evidence.host,
        "provider": evidence.provider,
        "queue": evidence.queue_id,
        "campaign": evidence.campaign,
        "source": evidence.source,
        "derived": ", ".join(evidence.derived),
    }
    lines = [
        ", ".join([f"evidence of {iso(evidence.at)}", *(f"{name} {value}" for name, value in facts.items() if value)])
    ]
    if evidence.text:
        lines.append(f"answer: {evidence.text}")
    if evidence.breaker:
        lines.append(f"the breaker of {evidence.breaker} was open: not for ever by this")
    if evidence.strikes:
        lines.append(f"strikes: {', '.join(map(_strike, evidence.strikes))}")
    return lines


def evidence_object(entry: Entry) -> dict[str, object] | None:
    """The evidence in an entry's note, for programs."""
    evidence = Evidence.from_note(entry.note)
    if evidence is None:
        return None
    strikes = [
        {"kind": strike.kind, "id": strike.id, "at": iso(strike.at), "doubted": strike.doubted}
        for strike in evidence.strikes
    ]
    return {**asdict(evidence), "at": iso(evidence.at), "strikes": strikes}


def _strike(strike: Strike) -> str:
    doubted = ", doubted" if strike.doubted else ""
    return f"{strike.kind} {iso(strike.at)} ({strike.id}{doubted})"


class _Judge(NamedTuple):
    rules: Rules
    campaign: Campaign
    now: float

    def decision(self, recipient: str, matches: Matches) -> Decision:
        gate = Gate(lambda _: matches.found, self.rules, lambda: self.now)
        return gate.judge(recipient.encode(errors="surrogateescape"), lambda: None, self.campaign)

    def explained(self, match: Match, matches: Matches, decision: Decision) -> Explained:
        found = match.found
        missed = self._missed(found)
        if missed:
            return Explained(match, False, missed)
        if found is decision.entry:
            return Explained(match, True, "decides" + (", in dry run only" if decision.observed else ""))
        if self.rules.action(found, self.campaign) is Action.OBSERVE:
            return Explained(match, False, "in dry run: only counted")
        if found.reason is Reason.ALLOW:
            return Explained(match, True, f"allows, except for {', '.join(sorted(OVERRIDES_ALLOW))}")
        if found.reason not in OVERRIDES_ALLOW and any(self._allows(other) for other in matches.found):
            return Explained(match, False, "overruled by an allow entry")
        return Explained(match, True, "applies; another entry is as strong or stronger")

    def _missed(self, found: Found) -> str:
        """Why an entry does not exist for this campaign now; "" when it does."""
        if found.reason is Reason.STRIKE:
            return "remembers a failure; refuses nobody"
        if found.expires is not None and found.expired(self.now):
            return f"does not apply: expired {iso(found.expires)}"
        if not found.scope.covers(self.campaign.name, self.campaign.stream):
            stream = self.campaign.stream or "no stream"
            return f"does not apply: only in {found.scope}, not in campaign {self.campaign.name} ({stream})"
        return ""

    def _allows(self, found: Found) -> bool:
        live = found.reason is Reason.ALLOW and not self._missed(found)
        return live and self.rules.action(found, self.campaign) is not Action.OBSERVE
