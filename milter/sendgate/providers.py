"""How mailbox providers spell one mailbox in several ways. Data only.

A provider delivers several addresses to one mailbox: `first.last+shop@googlemail.com` is `firstlast@gmail.com`.
Entries about a person (trap, complaint, legal) must follow the mailbox; this table says how to find it.
A domain not listed here gets `DEFAULT`: RFC 5233 sub-addressing with "+", which is the common spelling.
"""

from __future__ import annotations

from typing import NamedTuple


class Provider(NamedTuple):
    """What a provider ignores in an address.

    domain: the domain to write instead, or "" to keep the one given.
    tag: the character that starts a sub-address, or "" when the provider has none.
    ignored: characters without meaning in the local part.
    """

    domain: str = ""
    tag: str = "+"
    ignored: str = ""


DEFAULT = Provider()

_GMAIL = Provider(domain="gmail.com", ignored=".")
_YANDEX = Provider(domain="yandex.ru")
_PROTON = Provider(domain="proton.me", ignored=".-_")

PROVIDERS: dict[str, Provider] = {
    "gmail.com": _GMAIL,
    "googlemail.com": _GMAIL,
    "yandex.ru": _YANDEX,
    "yandex.com": _YANDEX,
    "yandex.by": _YANDEX,
    "yandex.kz": _YANDEX,
    "ya.ru": _YANDEX,
    "proton.me": _PROTON,
    "protonmail.com": _PROTON,
    "protonmail.ch": _PROTON,
    "pm.me": _PROTON,
}
