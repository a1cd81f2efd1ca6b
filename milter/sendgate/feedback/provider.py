"""Whose servers answered: the provider of an event, by which outages are recognised.

In: an event. Out: the registrable-like domain of the host that answered, else the recipient's domain, in lower case.
Nothing is refused: "unknown" for an event that names neither.

Google answers for many domains as gmail-smtp-in.l.google.com and aspmx.l.google.com; when it is out of order, it is so
for all of them. What a domain is registered under is told by a small table, not by the public suffix list: taking two
customers of an unlisted suffix for one provider does little harm, and so does the opposite.
"""

from __future__ import annotations

import ipaddress
import re

from sendgate.feedback.event import Event

UNKNOWN = "unknown"
MAX_PROVIDER_CHARACTERS = 64

_SECOND_LEVEL = frozenset(
    "ac ad co com ed edu gob gov go gr gv ltd me mil ne net nom or org plc sch".split()  # noqa: SIM905
)
"""Labels under which a country's registry gives out names: co.uk, ne.jp, com.br, or.at, gob.mx."""
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62}){1,20}")


def provider_of(event: Event) -> str:
    """The provider that an event is about."""
    host = event.host[:300].partition("[")[0].partition(":")[0].strip(" .").lower()
    if _HOST.fullmatch(host) and not _is_number(host):
        return registrable(host)[:MAX_PROVIDER_CHARACTERS]
    domain = event.recipient[-300:].rpartition("@")[2].strip(" .>").lower()
    return re.sub(r"[^\w.:\[\]-]", "", domain)[:MAX_PROVIDER_CHARACTERS] or UNKNOWN


def registrable(host: str) -> str:
    """The last two labels of a host's name; three when the last two are what a registry gives names under."""
    labels = host.split(".")
    national = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3 if national else -2 :])


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
