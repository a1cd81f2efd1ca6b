"""Whom and for what we sent the message that a report is about: envelope sender, campaign, proved recipient.

In: a message, its report, what the reader knows. Out: texts. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from sendgate.campaign import UNKNOWN, CampaignResolver
from sendgate.feedback.mail.addresses import find_addresses, first_address, spelling
from sendgate.feedback.mail.headers import Headers
from sendgate.feedback.mail.mention import Mention
from sendgate.feedback.mail.original import Original
from sendgate.feedback.verp import Checked, Unsigned, Verified, VerpChecker

_CAME_TO = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to")
_SENT_AS = ("return-path", "x-envelope-from", "x-original-return-path", "sender")


def sent_to(headers: Headers) -> str:
    """The address that a message came to, normalised: our envelope sender, when it is a bounce."""
    for name in _CAME_TO:
        address = first_address(headers.get(name))
        if address:
            return spelling(address)
    return ""


def envelope_senders(headers: Headers, original: Original) -> list[str]:
    """What may be the envelope sender of our message, the likeliest first, as it is written."""
    values = [headers.get(name) for name in _CAME_TO]
    values += [original.headers.get(name) for name in _SENT_AS]
    found = [one.text for value in values for one in find_addresses(value)[:8]]
    return list(dict.fromkeys(found))


def proved(verp: VerpChecker | None, senders: Iterable[str], candidates: list[str], now: float) -> Verified | None:
    """What the first of our own signed senders proves, or None."""
    if verp is None:
        return None
    for sender in senders:
        checked: Checked = verp.check(sender, candidates, now)
        if isinstance(checked, Verified):
            return checked
        if not isinstance(checked, Unsigned):
            return None
    return None


def campaign_of(
    resolver: CampaignResolver, senders: list[str], original: Original, header: str, mentions: list[Mention]
) -> tuple[str, str]:
    """The campaign, and how it was found when the envelope did not tell it.

    The returned message's own envelope id and sender count first, as at the gate; then its header.
    """
    envelope_id = next((one.envelope_id for one in mentions if one.envelope_id), "")
    resolved = None
    for sender in senders or [""]:
        resolved = resolver.resolve(envelope_id, sender, "")
        if resolved.by_envelope:
            return resolved.campaign.name, ""
    refined = resolver.refine(original.headers.get(header.lower())) if header else None
    if refined is not None:
        return refined.name, f"campaign from {header}"
    return (resolved.campaign.name if resolved else UNKNOWN), ""
