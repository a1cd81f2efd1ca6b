"""Which campaign a message belongs to, and which stream the campaign is in.

In: what the envelope tells (ENVID, sender, SASL login), the settings. Out: a `Resolved` campaign.
Nothing is refused: a source whose name is missing or unusable is passed over; without any it is `unknown`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sendgate.decision import Campaign
from sendgate.entry import EntryError, check_name
from sendgate.settings import CampaignSettings

UNKNOWN = "unknown"
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_FROM_ENVELOPE = frozenset({"envid", "sender"})
_REMEMBERED = 10_000


class Resolved(NamedTuple):
    """A campaign, and whether this message's own envelope named it (then no header may refine it)."""

    campaign: Campaign
    by_envelope: bool


class CampaignResolver:
    """Resolves campaigns by the settings; `campaign_id` is the pod's CAMPAIGN_ID or ""."""

    def __init__(self, settings: CampaignSettings, campaign_id: str = "") -> None:
        self._sources = settings.sources
        self._patterns = {
            "envid": re.compile(settings.envid_pattern),
            "sender": re.compile(settings.sender_pattern),
            "sasl": re.compile(settings.sasl_pattern),
        }
        self._streams = [(name, re.compile(pattern)) for name, pattern in settings.streams.items()]
        self._campaign_id = campaign_id
        self._known: dict[str, Campaign] = {}
        self.needs_login = "sasl" in settings.sources

    def resolve(self, envid: str, sender: str, login: str) -> Resolved:
        """Find the campaign. envid: still in xtext (RFC 3461, 4), sender without brackets, login; "" when absent."""
        for source in self._sources:
            if source == "env":
                name = self._campaign_id
            else:
                text = sender if source == "sender" else login if source == "sasl" else envid
                name = self._find(source, text) if text else ""
            if name:
                return Resolved(self.named(name), source in _FROM_ENVELOPE)
        return Resolved(self.named(UNKNOWN), by_envelope=False)

    def refine(self, header_value: str) -> Campaign | None:
        """The campaign that a header names, or None when its value is no campaign name."""
        name = _usable(header_value)
        return self.named(name) if name else None

    def named(self, name: str) -> Campaign:
        """The campaign of this name with its stream."""
        campaign = self._known.get(name)
        if campaign is None:
            stream = next((stream for stream, pattern in self._streams if pattern.search(name)), "")
            campaign = Campaign(name, stream)
            if len(self._known) < _REMEMBERED:
                self._known[name] = campaign
        return campaign

    def _find(self, source: str, text: str) -> str:
        match = self._patterns[source].search(_from_xtext(text) if source == "envid" else text)
        name = match["campaign"] if match else None
        if not name:
            return ""
        return name if name in self._known else _usable(name)


def _from_xtext(text: str) -> str:
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text) if "+" in text else text


def _usable(name: str) -> str:
    try:
        return check_name(name, "campaign")
    except EntryError:
        return ""
