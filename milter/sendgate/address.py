"""Addresses: parse them as mail systems write them, and reduce each to one spelling.

In: the text of an address, as bytes or str, with or without angle brackets.
Out: an `Address` (local part and domain, normalised), the same for every spelling of one mailbox address.
Refused: `AddressError`, with the reason in words.

    local part   quoted strings reduced, Unicode NFC, lower case (RFC 5321 lets the case matter; no provider does)
    domain       IDNA2008 A-label, lower case, no trailing dot; literals in brackets
    around it    angle brackets and source routes (RFC 5321, appendix C) removed

Nearly every address is plain ASCII and takes one regular expression; all others take the careful path.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import NamedTuple

import idna

from sendgate.providers import DEFAULT, PROVIDERS

MAX_OCTETS = 320
"""RFC 5321, 4.5.3.1: 64 octets of local part, "@" and 255 of domain. Only the sum is held: longer local parts
(VERP, BATV) are in daily use."""
MAX_DOMAIN_OCTETS = 255

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# "%" and "!" are left to the careful path: a mail system may read them as routes.
_PLAIN = re.compile(rf"<?([A-Za-z0-9#$&'*+/=?^_`{{|}}~.-]+@{_LABEL}(?:\.{_LABEL})*)>?")
_ASCII_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ATOM = re.compile(r"[^\x00-\x20\x7f()<>\[\]:;@\\,\"]+")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*)"')
_ROUTE = re.compile(r"@[^:@,]+(?:,\s*@[^:@,]+)*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})


class AddressError(ValueError):
    """An address that cannot be read; the message says what is wrong with it."""


class Address(NamedTuple):
    """A normalised address.

    local: the value of the local part, without quotes; domain; text: `local@domain`, quoted as RFC 5321 asks when
    the local part is no dot-atom.
    """

    local: str
    domain: str
    text: str

    @classmethod
    def of(cls, local: str, domain: str) -> Address:
        """The address of a normalised local part and domain."""
        if _ATOM.fullmatch(local):
            return cls(local, domain, f"{local}@{domain}")
        quoted = re.sub(r'(["\\])', r"\\\1", local)
        return cls(local, domain, f'"{quoted}"@{domain}')


def parse(raw: bytes | str) -> Address:
    """Read an address and normalise it.

    Raises AddressError when it is empty, has no domain, is longer than MAX_OCTETS, holds control characters or
    bytes that are not UTF-8, or has a local part or domain that no RFC allows.
    """
    text = raw if isinstance(raw, str) else _decode(raw)
    return parse_plain(text) or _parse_carefully(text)


def parse_plain(text: str) -> Address | None:
    """Read an address that every mail system reads alike: plain ASCII, no quotes, no routes. None for any other.

    None too for one that is longer than a domain may be: the careful path looks at the parts.
    """
    plain = _PLAIN.fullmatch(text)
    if plain is None or len(text) > MAX_DOMAIN_OCTETS or (text[0] == "<") != (text[-1] == ">"):
        return None
    bare = plain[1].lower()
    local, _, domain = bare.partition("@")
    return Address(local, domain, bare)


def mailbox(address: Address) -> Address:
    """The mailbox that `address` is delivered to, by the provider's rules; `address` itself when they are one."""
    local, domain, _ = address
    if domain not in PROVIDERS and "+" not in local:
        return address
    rule = PROVIDERS.get(domain, DEFAULT)
    base = local.partition(rule.tag)[0] if rule.tag else local
    for character in rule.ignored:
        base = base.replace(character, "")
    if not base:
        return address
    reduced = Address.of(base, rule.domain or domain)
    return address if reduced == address else reduced


def normalise_domain(text: str) -> str:
    """A domain as A-label, lower case, without trailing dot; a literal as `[192.0.2.1]` or `[ipv6:2001:db8::1]`.

    U-labels go through UTS 46 and IDNA2008 (RFC 5891). A label that IDNA2008 refuses but that mail systems
    nevertheless resolve (an emoji domain) is encoded as it is, so that both its spellings stay one.
    """
    if text.startswith("["):
        return _literal(text)
    text = text.translate(_DOTS).removesuffix(".")
    if not text.isascii():
        try:
            text = idna.uts46_remap(text, std3_rules=False, transitional=False)
        except (idna.IDNAError, UnicodeError):
            text = unicodedata.normalize("NFKC", text).lower()
        text = ".".join(_a_label(label) for label in text.translate(_DOTS).split("."))
    text = text.lower()
    if len(text) > MAX_DOMAIN_OCTETS or not _ASCII_DOMAIN.fullmatch(text):
        raise AddressError("not a valid domain")
    return text


def normalise_local(value: str) -> str:
    """The value of a local part in NFC and lower case.

    Both small sigmas become one: which of them a capital one turns into depends on the letters around it.
    """
    if value.isascii():
        return value.lower()
    lower = unicodedata.normalize("NFC", value).lower().replace("ς", "σ")
    return unicodedata.normalize("NFC", lower)


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise AddressError("not UTF-8") from None


def _parse_carefully(text: str) -> Address:
    _check_characters(text)
    text = text.strip(" ")
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip(" ")
    if not text:
        raise AddressError("empty")
    route = _ROUTE.match(text)
    if route:
        text = text[route.end() :].lstrip(" ")
    if len(text.encode()) > MAX_OCTETS:
        raise AddressError(f"longer than {MAX_OCTETS} octets")
    value, rest = _local_part(text)
    if not rest:
        raise AddressError("no domain")
    if rest[0] != "@":
        raise AddressError("not a valid local part")
    return Address.of(normalise_local(value), normalise_domain(rest[1:].strip(" ")))


def _check_characters(text: str) -> None:
    if _CONTROL.search(text):
        raise AddressError("control characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise AddressError("not UTF-8")


def _local_part(text: str) -> tuple[str, str]:
    """Split `text` into the value of its local part and what follows; words may be quoted one by one."""
    words = []
    position = 0
    while position < len(text) and text[position] != "@":
        quoted = _QUOTED.match(text, position)
        word = quoted or _ATOM.match(text, position)
        if word is None:
            raise AddressError("not a valid local part")
        words.append(re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else word[0])
        position = word.end()
    value = "".join(words)
    if not value:
        raise AddressError("no local part")
    return value, text[position:]


def _literal(text: str) -> str:
    inner = text[1:-1].lower()
    if not text.endswith("]") or not inner.isascii() or "[" in inner or "]" in inner:
        raise AddressError("not a valid domain literal")
    tag, six, address = inner.rpartition("ipv6:")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise AddressError("not a valid domain literal") from None
    if tag or "%" in address or bool(six) != (parsed.version == 6):
        raise AddressError("not a valid domain literal")
    return f"[{six}{parsed}]"


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return "xn--" + label.encode("punycode").decode("ascii")
