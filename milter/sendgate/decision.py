"""The decision about one recipient. Pure: no clock, no I/O, no log, no metric.

In: the entries found for the recipient, the campaign, the time, the rules (actions and dry run).
Out: a `Decision`: what to do, the entry that caused it, and whether it is enforced or only observed.
Nothing is refused: every recipient gets a decision.

The order of thought: strikes, and entries that are expired or out of scope, do not exist; an enforced `allow` removes
all but legal, complaint and unsubscribe; then the strongest reason that is enforced decides; if none is, the strongest
observed one is reported and the recipient passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sendgate.entry import OVERRIDES_ALLOW, PRECEDENCE, Found, Reason


class Action(StrEnum):
    """What the settings may ask for by reason."""

    REJECT = "reject"
    TEMPFAIL = "tempfail"
    HOLD = "hold"
    DISCARD = "discard"
    OBSERVE = "observe"


class Verdict(StrEnum):
    """What happens to the recipient."""

    PASS = "pass"
    REJECT = "reject"
    TEMPFAIL = "tempfail"
    HOLD = "hold"
    DISCARD = "discard"


class Cause(StrEnum):
    """Why a recipient does not simply pass, when it is not for an entry."""

    ENTRY = "entry"
    STORE_UNAVAILABLE = "store_unavailable"
    REPLICA_STALE = "replica_stale"
    BAD_ADDRESS = "bad_address"
    OTHER_FATE = "other_fate"
    """Held and not held recipients cannot share a message: the later ones are asked to come in another."""


class Campaign(NamedTuple):
    """What a message belongs to. `stream` is "" when the campaign is in none."""

    name: str
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's settings that a decision needs."""

    default_action: Action = Action.REJECT
    actions: Mapping[Reason, Action] = field(default_factory=dict)
    observe_all: bool = False
    observed_lists: frozenset[str] = frozenset()
    observed_campaigns: frozenset[str] = frozenset()

    def action(self, found: Found, campaign: Campaign) -> Action:
        """The action for an entry that applies to a message of `campaign`; OBSERVE when it is only a dry run."""
        if self.observe_all or found.list in self.observed_lists or campaign.name in self.observed_campaigns:
            return Action.OBSERVE
        if found.reason is Reason.ALLOW:
            return Action.REJECT
        return self.actions.get(found.reason, self.default_action)


class Decision(NamedTuple):
    """What to do with a recipient. `entry` is set for cause ENTRY; `observed` means: passes, but would not have."""

    verdict: Verdict
    cause: Cause | None = None
    entry: Found | None = None
    observed: bool = False


PASS = Decision(Verdict.PASS)
STORE_UNAVAILABLE = Decision(Verdict.TEMPFAIL, Cause.STORE_UNAVAILABLE)
REPLICA_STALE = Decision(Verdict.TEMPFAIL, Cause.REPLICA_STALE)
BAD_ADDRESS = Decision(Verdict.REJECT, Cause.BAD_ADDRESS)
OTHER_FATE = Decision(Verdict.TEMPFAIL, Cause.OTHER_FATE)


def decide(found: Sequence[Found], campaign: Campaign, now: float, rules: Rules) -> Decision:
    """Decide about one recipient from all entries that name it.

    found: entries in any order; campaign: of the message; now: Unix time in seconds; rules: the settings.
    """
    if not found:
        return PASS
    live = [
        entry
        for entry in found
        if entry.reason is not Reason.STRIKE
        and not entry.expired(now)
        and entry.scope.covers(campaign.name, campaign.stream)
    ]
    enforced, observed = _split(live, campaign, rules)
    if any(entry.reason is Reason.ALLOW for entry in enforced):
        enforced = [entry for entry in enforced if entry.reason in OVERRIDES_ALLOW]
        observed = [entry for entry in observed if entry.reason in OVERRIDES_ALLOW]
    strongest = _strongest(enforced)
    if strongest is not None:
        return Decision(Verdict(rules.action(strongest, campaign)), Cause.ENTRY, strongest)
    if any(entry.reason is Reason.ALLOW for entry in observed):
        observed = [entry for entry in observed if entry.reason in OVERRIDES_ALLOW]
    strongest = _strongest(observed)
    if strongest is not None:
        return Decision(Verdict.PASS, Cause.ENTRY, strongest, observed=True)
    return PASS


def _split(live: list[Found], campaign: Campaign, rules: Rules) -> tuple[list[Found], list[Found]]:
    enforced: list[Found] = []
    observed: list[Found] = []
    for entry in live:
        target = observed if rules.action(entry, campaign) is Action.OBSERVE else enforced
        target.append(entry)
    return enforced, observed


def _strongest(entries: list[Found]) -> Found | None:
    named = [entry for entry in entries if entry.reason is not Reason.ALLOW]
    return min(named, key=lambda entry: PRECEDENCE[entry.reason], default=None)
