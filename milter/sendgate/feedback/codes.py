"""What enhanced status codes mean (RFC 3463, 5248, 7372, 7505, and those of Exchange Online). Data only.

The step after the text rules: many servers give one code for everything, so a code counts when the text says nothing.
"""

from __future__ import annotations

from sendgate.feedback.event import BounceType as B

_EXACT: dict[str, B] = {
    "1.1": B.BAD_MAILBOX,  # no such mailbox
    "1.2": B.BAD_DOMAIN,  # no such system
    "1.3": B.BAD_MAILBOX,  # no valid mailbox address
    "1.6": B.BAD_MAILBOX,  # has moved, no forwarding
    "1.7": B.POLICY,  # sender's address, syntax
    "1.8": B.POLICY,  # sender's system
    "1.10": B.BAD_MAILBOX,  # RFC 7505 means a null MX by it, Exchange an unknown recipient: the lesser of both
    "2.1": B.INACTIVE,  # mailbox disabled
    "2.2": B.FULL,
    "2.3": B.CONTENT,  # message too large for the mailbox
    "3.1": B.NETWORK,  # mail system full
    "3.2": B.NETWORK,  # system not accepting messages
    "3.4": B.CONTENT,  # message too large for the system
    "4.7": B.EXPIRED,
    "4.300": B.EXPIRED,
    "4.310": B.BAD_DOMAIN,  # Exchange: no such domain in the DNS
    "5.3": B.RATE,  # too many recipients
    "7.25": B.AUTHENTICATION,  # no PTR
    "7.26": B.AUTHENTICATION,  # several checks failed
    "7.27": B.AUTHENTICATION,  # the sender's domain takes no mail
    "7.28": B.RATE,  # mail flood
    "7.29": B.AUTHENTICATION,  # ARC
    "7.30": B.AUTHENTICATION,  # TLS required
    "7.509": B.AUTHENTICATION,  # Exchange: DMARC
    "7.515": B.AUTHENTICATION,  # Exchange: bulk senders must authenticate
    **{f"7.{number}": B.AUTHENTICATION for number in range(20, 25)},  # DKIM, SPF
    **{f"7.{number}": B.REPUTATION for number in (501, 502, 503, 508, 510, 511, *range(606, 650))},
    **{f"7.{number}": B.RATE for number in range(703, 751)},
}
_BY_SUBJECT: dict[str, B] = {"4": B.NETWORK, "6": B.CONTENT, "7": B.POLICY}


def type_of_code(enhanced: str) -> B | None:
    """What a code means, None when it says nothing."""
    if not enhanced:
        return None
    detail = enhanced[2:]
    return _EXACT.get(detail) or _BY_SUBJECT.get(detail.partition(".")[0])
