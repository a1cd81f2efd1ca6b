"""What reads bounces and complaints, as the settings want it.

In: settings, the time. Out: a `Reader`. Refused: `SettingsError` for rules and secrets that cannot be used.
"""

from __future__ import annotations

from sendgate.campaign import CampaignResolver
from sendgate.cli.feedback_rules import rules_of
from sendgate.cli.verp import checker_of
from sendgate.feedback.mail.parse import Reader
from sendgate.settings import Settings


def reader_of(settings: Settings, now: float) -> Reader:
    """The reader of messages. now: Unix time in seconds. Raises SettingsError."""
    return Reader(
        rules=rules_of(settings),
        resolver=CampaignResolver(settings.campaign, settings.campaign_id),
        now=now,
        verp=checker_of(settings.feedback),
        campaign_header=settings.campaign.header or "",
    )
