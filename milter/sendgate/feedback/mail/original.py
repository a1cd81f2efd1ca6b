"""What a bounce carries of our own message: to whom we sent it, as whom, for which campaign.

In: the header of the returned message. Out: an `Original`; an empty one when nothing came back.
Nothing is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sendgate.feedback.mail.addresses import find_addresses, spelling
from sendgate.feedback.mail.headers import EMPTY, Headers

_TO = ("to", "cc", "bcc", "apparently-to", "x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "x-rcpt-to")
_FROM = ("return-path", "from", "sender", "reply-to", "errors-to", "x-envelope-from", "x-sender", "resent-from")
_FOR = re.compile(r"\bfor\s+<?([^\s<>;]{1,255}@[^\s<>;]{1,255})>?\s*(?:;|$)")


@dataclass(frozen=True, slots=True)
class Original:
    """The message that could not be delivered, as far as it came back.

    to: those in To alone; recipients: everybody it was sent to, that its header tells; senders: who sent it.
    """

    headers: Headers = EMPTY
    to: tuple[str, ...] = ()
    recipients: frozenset[str] = frozenset()
    senders: frozenset[str] = frozenset()

    def with_local(self, local: str) -> str:
        """The one recipient with this local part, or ""."""
        name = local.strip("<> ").lower()
        fitting = {one for one in self.recipients if one.rpartition("@")[0] == name}
        return fitting.pop() if len(fitting) == 1 and name else ""


NO_ORIGINAL = Original()


def read_original(headers: Headers) -> Original:
    """What the header of a returned message tells."""
    if not headers.items:
        return NO_ORIGINAL
    to = tuple(dict.fromkeys(addresses_of(headers, ("to",))))
    recipients = set(addresses_of(headers, _TO))
    for value in headers.all("received"):
        found = _FOR.search(value)
        if found:
            recipients.add(spelling(found[1]))
    return Original(headers, to, frozenset(recipients), frozenset(addresses_of(headers, _FROM)))


def addresses_of(headers: Headers, names: tuple[str, ...]) -> list[str]:
    """The addresses in the fields of these names, in one spelling each."""
    return [
        spelling(found.text) for name, value in headers.items if name in names for found in find_addresses(value)[:100]
    ]
