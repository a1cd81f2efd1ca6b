"""Who complained: the recipients that a report states, or those that can be derived from the message it is about.

In: the fields of a report, its own header and that of the message. Out: recipients, and where each was found.
Refused: what stands for a hidden address, our own senders, those whom the report went to. Rather nobody than the
wrong one: of several that may be meant, none is.

    signed sender       we sent the message to this recipient: counts before what the report says, who may be the
                        last of those that it was forwarded to
    stated              Original-Rcpt-To, all of them; else Removal-Recipient
    derived             X-HmXmrOriginalRecipient; To, when it holds one address and no server on the way names
                        another; what those servers name, when it is one address and To does not name another
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sendgate.address import mailbox, parse
from sendgate.feedback.mail.addresses import find_addresses, is_address, spelling
from sendgate.feedback.mail.headers import Headers
from sendgate.feedback.mail.original import addresses_of

_STATED = ("original-rcpt-to", "removal-recipient")
_OF_PROVIDER = ("x-hmxmroriginalrecipient",)
_ON_THE_WAY = ("x-apparently-to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to")
_REPORTED_TO = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "from", "reply-to", "sender", "return-path")
_SENT_BY = ("from", "sender", "reply-to", "return-path", "errors-to", "list-post", "x-sender", "x-envelope-from")
_FOR = re.compile(r"\bfor\s{1,9}<?([^\s<>;()]{1,255}@[^\s<>;()]{1,255})>?")

_HIDDEN_WORDS = "redacted|redact|undisclosed|obfuscated|anonymi[sz]ed|anonymisiert|anonymisé|anonimizado|anonimizzato"
"""Words that no name has: they count wherever they stand in a local part or a domain."""
_HIDDEN_NAMES = (
    "hidden removed hashed hash suppressed withheld censored masked scrubbed sanitized sanitised deleted"
    " anonymous anonym anonyme anonimo anónimo anônimo masqué entfernt verborgen geschwärzt oculto eliminado"
    " borrado rimosso nascosto removido supprimé caché unknown none null nobody recipients"
    " скрыто скрыт удалено удален 非公開 匿名 已隐藏 隐藏"
)
"""Words that count only as the whole local part."""
_NAMES = frozenset(_HIDDEN_NAMES.split())
_HIDDEN = re.compile(rf"(?:^|[^a-z])(?:{_HIDDEN_WORDS})(?:[^a-z]|$)")
_MASK = re.compile(
    r"x{3,}"  # nothing but x
    r"|[^x]{0,2}x{4,}[^x]{0,2}"  # or all but the first and last letters
    r"|(?:x{2,}[._-])+x{2,}"
    r"|.*(?:[*•…█]|\?\?|##).*"
    r"|.*\.\.\."  # cut off; two dots within are an address of docomo.ne.jp
    r"|[_.-]{2,}"
)
_DIGEST = re.compile(r"(?=.*[0-9])(?=.*[a-f])[0-9a-f]{24,128}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_HIDDEN_DOMAIN = re.compile(rf"(?:.*\.)?(?:{_HIDDEN_WORDS}|x{{4,}})(?:\..*)?|(?:x{{3,}}\.)+[^.]+|(?:.*\.)?invalid")


class Found(NamedTuple):
    """A recipient, and where it was found; "" where the report simply says so."""

    recipient: str
    place: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What a report has: the header that it came with, its fields, the header of the message it is about."""

    header: Headers
    fields: Headers
    original: Headers

    def candidates(self) -> Iterator[str]:
        """Everybody who may be meant."""
        yield from _named(self.fields, *_STATED)
        yield from _named(self.original, *_OF_PROVIDER, "to", *_ON_THE_WAY)
        yield from _named_by_received(self.original)

    def senders(self) -> frozenset[str]:
        """Who sent the message: we."""
        return frozenset(addresses_of(self.fields, ("original-mail-from",)) + addresses_of(self.original, _SENT_BY))

    def own(self) -> frozenset[str]:
        """Ours, and the reporter's."""
        return self.senders() | frozenset(addresses_of(self.header, _REPORTED_TO))


def find_recipients(stated: Stated, signed: list[str], is_complaint: bool = True) -> list[Found]:
    """The recipients. signed: those that senders of ours prove, in the report or the message."""
    if signed:
        return [Found(one, "signed sender") for one in dict.fromkeys(signed)]
    own = stated.own()
    for name in _STATED:
        said = _usable(_named(stated.fields, name), own)
        if said:
            return [Found(one, "" if name == _STATED[0] else name) for one in said]
    for name in _OF_PROVIDER:
        said = _usable(_named(stated.original, name), own)
        if len(said) == 1:
            return [Found(said[0], name)]
    found = _from_original(stated, own, is_complaint)
    return [found] if found else []


def is_placeholder(address: str) -> bool:
    """Whether an address (in its one spelling) stands for one that is hidden."""
    local, _, domain = address.lower().rpartition("@")
    name = local.strip("\"'[](){}<> ")
    hidden = (
        _HIDDEN.search(name) or _MASK.fullmatch(name) or _DIGEST.fullmatch(name) or _HIDDEN_DOMAIN.fullmatch(domain)
    )
    return not name or name in _NAMES or bool(hidden)


def _from_original(stated: Stated, own: frozenset[str], is_complaint: bool) -> Found | None:
    """The recipient by the header of the message alone."""
    original = stated.original
    servers = {one: name for name in reversed(_ON_THE_WAY) for one in _usable(_named(original, name), own)}
    to = set(_named(original, "to"))
    only = to.copy().pop() if len(to) == 1 else ""
    if _usable([only], own):
        if any(_is_same(one, only) for one in (*servers, *_named_by_received(original))) or not is_complaint:
            return Found(only, "to")
        if servers and not _in_domain_of(only, stated.senders()):
            return None  # forwarded, or one of many: who of them complained is not told
        if not servers and not find_addresses(original.get("cc")):
            return Found(only, "to")
    return Found(*next(iter(servers.items()))) if len(servers) == 1 else None


def _is_same(server: str, to: str) -> bool:
    """Whether the address a server delivered to is that of To: its mailbox, or with the domain before the user."""
    local, _, domain = to.rpartition("@")
    return mailbox(parse(server)) == mailbox(parse(to)) or (server.endswith(f"-{local}@{domain}"))


def _in_domain_of(address: str, others: frozenset[str]) -> bool:
    return address.rpartition("@")[2] in {one.rpartition("@")[2] for one in others}


def _named(headers: Headers, *names: str) -> list[str]:
    """The addresses in fields, in one spelling. A field that is an address as a whole may be in any script."""
    found: list[str] = []
    for name in names:
        for value in headers.all(name):
            whole = value[:1000].rpartition(";")[2].strip().removeprefix("<").removesuffix(">")
            plain = whole.count("@") == 1 and not re.search(r"[\s,<>]", whole) and is_address(whole)
            found += [spelling(whole)] if plain else [spelling(one.text) for one in find_addresses(value)]
    return found


def _named_by_received(original: Headers) -> list[str]:
    found = (_FOR.search(value) for value in original.all("received"))
    named = (spelling(one[1].strip("\"'")) for one in found if one)
    return [one for one in named if is_address(one)]


def _usable(addresses: list[str], own: frozenset[str]) -> list[str]:
    """Those that can be a recipient's, each once."""
    return [
        one
        for one in dict.fromkeys(addresses)
        if one not in own and is_address(one) and "." in one.rpartition("@")[2] and not is_placeholder(one)
    ]
