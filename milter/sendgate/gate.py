"""The gate's judgement: from what the client wrote to a decision, with the parts it is made of passed in.

In: an RCPT argument, Postfix's own reading of it, the campaign. Out: a `Decision`; never an exception.
Refused: what neither we nor Postfix can read as an address is decided BAD_ADDRESS; where the store is broken,
STORE_UNAVAILABLE; where it is too old, REPLICA_STALE instead of a pass.
"""

from __future__ import annotations

from collections.abc import Callable

from sendgate.address import Address, AddressError, parse, parse_plain
from sendgate.decision import (
    BAD_ADDRESS,
    PASS,
    REPLICA_STALE,
    STORE_UNAVAILABLE,
    Campaign,
    Decision,
    Rules,
    Verdict,
    decide,
)
from sendgate.entry import Found


class LookupFailedError(Exception):
    """What a lookup raises when it cannot tell; the recipient is then neither passed nor refused for good."""


_STRICTEST_FIRST = (Verdict.REJECT, Verdict.TEMPFAIL, Verdict.HOLD, Verdict.DISCARD, Verdict.PASS)
Lookup = Callable[[Address], list[Found]]


class Gate:
    """Judges recipients.

    lookup: all entries that name an address, or LookupFailedError; rules: the settings; clock: Unix time in seconds;
    stale: whether the lists are too old to let anybody pass by them.
    """

    def __init__(
        self, lookup: Lookup, rules: Rules, clock: Callable[[], float], stale: Callable[[], bool] = lambda: False
    ) -> None:
        self._lookup = lookup
        self._rules = rules
        self._clock = clock
        self._stale = stale

    def judge(self, recipient: bytes, resolved: Callable[[], str | None], campaign: Campaign) -> Decision:
        """Decide about one recipient.

        recipient: the argument of RCPT TO as the client wrote it; resolved: asks for the address that Postfix made
        of it (its macro {rcpt_addr}), called only when the client's writing could be read in more than one way.
        """
        plain = parse_plain(recipient.decode("ascii", "replace"))
        try:
            if plain is not None:
                return self._decide(plain, campaign)
            decisions = [self._decide(reading, campaign) for reading in _readings(recipient, resolved())]
        except LookupFailedError:
            return STORE_UNAVAILABLE
        return min(decisions, key=_leniency, default=BAD_ADDRESS)

    def _decide(self, address: Address, campaign: Campaign) -> Decision:
        found = self._lookup(address)
        decision = decide(found, campaign, self._clock(), self._rules) if found else PASS
        return REPLICA_STALE if decision.verdict is Verdict.PASS and self._stale() else decision


def _leniency(decision: Decision) -> int:
    """Orders decisions, the strictest first; an observed one comes before a plain pass, so that it is told."""
    return 2 * _STRICTEST_FIRST.index(decision.verdict) + (decision.cause is None)


def _readings(recipient: bytes, resolved: str | None) -> set[Address]:
    """All addresses that a recipient may mean: ours and Postfix's. The strictest decision about any of them counts."""
    readings = set()
    for text in (recipient, resolved):
        if text:
            try:
                readings.add(parse(text))
            except AddressError:
                continue
    return readings
