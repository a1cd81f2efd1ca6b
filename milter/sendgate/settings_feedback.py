"""The settings of feedback: where bounces and complaints come from, whom we believe, what follows.

In: the section `feedback` of the settings. Out: `FeedbackSettings`, frozen. Refused: see `settings`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from sendgate.address import AddressError, normalise_domain
from sendgate.settings_types import ListName, Seconds, Section, octal_mode


def _unix_socket(value: str) -> str:
    if not value.startswith("unix:/") or len(value) <= len("unix:/"):
        raise ValueError("must be unix:/path")
    return value


def _domain(value: str) -> str:
    try:
        return normalise_domain(value)
    except AddressError as error:
        raise ValueError(f"is no domain: {error}") from None


UnixSocket = Annotated[str, AfterValidator(_unix_socket)]
Domain = Annotated[str, AfterValidator(_domain)]


class FeedbackSettings(Section):
    log: str | None = None
    """Postfix's log file (`maillog_file`), which is followed; null: none is."""
    lmtp: UnixSocket | None = None
    """Unix socket (`unix:/path`) where Postfix hands over bounces and complaints by LMTP; null: none."""
    lmtp_mode: Annotated[str, BeforeValidator(octal_mode)] = "0660"
    """Mode of the LMTP socket, octal. Postfix's user must be able to write to it."""
    lmtp_group: str | None = None
    """Group that owns the LMTP socket; null leaves the group of the process."""
    state: str = "/var/lib/sendgate/feedback"
    """Folder for what must outlive a restart: the place in the log, messages under way, the providers' past."""
    list: ListName = "feedback"
    """List that entries made by feedback belong to."""
    rules_file: str | None = None
    """Rules of your own (YAML) that are asked before those that come with Sendgate; null: none."""
    verp_key_file: str | None = None
    """File with the secret (16 to 64 bytes) that envelope senders are signed with; null: none is signed."""
    verp_previous_key_file: str | None = None
    """File with the secret before that one, which still counts when signatures are checked."""
    verp_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,15}$")] = "bounce"
    """What a signed envelope sender begins with, before the first plus sign."""
    verp_max_age: Seconds = 30 * 86400
    """A signature counts for this long after it was made."""
    trusted_authserv_id: str | None = None
    """Name that your own receiving server writes into Authentication-Results; null: only signatures are believed."""
    trusted_domains: frozenset[Domain] = frozenset()
    """Domains whose unsigned reports are believed when that server found their DKIM signature or SPF to pass."""
    hard_provisional: Seconds = 7 * 86400
    """How long the first strike of a bad or inactive mailbox suppresses."""
    hard_strikes: int = Field(default=2, ge=1, le=8)
    """Strikes of a bad or inactive mailbox that make it permanent."""
    hard_within: Seconds = 30 * 86400
    """Strikes of a bad or inactive mailbox count together within this time."""
    domain_strikes: int = Field(default=3, ge=1, le=8)
    """Failures in a row, without a delivery between them, that make a domain invalid."""
    domain_over: Annotated[Seconds, Field(ge=1)] = 3 * 86400
    """Time that must lie between the first and the last of those."""
    full_first: Seconds = 86400
    """How long the first strike of a full mailbox suppresses; each further one four times as long."""
    full_most: Seconds = 180 * 86400
    """How long a full mailbox is suppressed at most."""
    breaker_window: Seconds = 900
    """Time over which a provider's share of bad mailboxes is compared to its past."""
    breaker_volume: int = Field(default=50, ge=2)
    """Recipients of a provider within that time below which the breaker does not judge."""
    breaker_factor: float = Field(default=4.0, gt=1.0)
    """How many times its past a provider's share must certainly be for the breaker to open."""
    breaker_hold: Seconds = 3600
    """How long an open breaker stays so after the share is back to normal."""
