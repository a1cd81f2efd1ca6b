"""Whether a bounce or a complaint that came by mail is believed: anybody can write one about anybody.

In: an event, what its message shows (`Facts`), whom we trust. Out: a `Belief` with a word for the metrics.
Nothing is refused; what cannot be read proves nothing.

    verp            a signed sender of ours names the recipient
    authenticated   our own receiving server found the message to come from a trusted domain
    expired         the signature is of long ago
    forged          not our signature, or one for somebody else
    unsigned        nothing of all that

A signature counts wherever it is found: only we can make it, and only who got our message can show it. One that is not
ours, or for another, is never outdone by authentication: a report that is honest may be about mail that is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from sendgate.address import AddressError, mailbox, normalise_domain, parse
from sendgate.feedback.event import Event
from sendgate.feedback.mail.mime import Message
from sendgate.feedback.verp import Checked, Expired, Forged, Unsigned, Verified, VerpChecker

MOST_SIGNED = 32
"""Signed senders that are looked at in one message; an honest one repeats a single one."""
_MOST_FIELD = 8_000

_TO_US = frozenset({"to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-rcpt-to", "received"})
_PROPERTY = re.compile(
    r"(?<![\w.-])([a-z][\w-]{0,30}(?:\s{0,9}\.\s{0,9}[\w-]{1,30})?)\s{0,9}=\s{0,9}"
    r"((?:\"(?:[^\"\\]|\\.){0,400}\"|[^\s;\"]){0,400})",
    re.IGNORECASE,
)
_METHOD = re.compile(r"\s{0,99}(dkim|spf)\s{0,9}(?:/\s{0,9}\d{1,3}\s{0,9})?=\s{0,9}([a-z]{1,20})\b", re.IGNORECASE)
_WHOLLY_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.){0,400}\"")
_SERVER = re.compile(r"\s{0,99}(?:\"((?:[^\"\\]|\\.){1,300})\"|([^\s;\"]{1,300}))(?:\s{1,99}\d{1,3})?\s{0,99}(?:;|$)")


class Why(StrEnum):
    """The ground of a belief; a metric label."""

    VERP = "verp"
    AUTHENTICATED = "authenticated"
    EXPIRED = "expired"
    FORGED = "forged"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we believe. verp: checks our signatures, None when we sign none; authserv_id: "" for no server."""

    verp: VerpChecker | None = None
    authserv_id: str = ""
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message shows. texts: where a signed sender may stand; authentication: its Authentication-Results fields,
    topmost first."""

    texts: tuple[str, ...] = ()
    authentication: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Belief:
    """Whether an event is believed, and why. recipient: whom the signature names, "" without one: the event is
    about that address, of which its own recipient may be another spelling (a tag left out)."""

    believed: bool
    why: Why
    recipient: str = ""


def facts_of(message: Message, envelope_recipients: Iterable[str] = ()) -> Facts:
    """What a message shows. envelope_recipients: the addresses it came to, when we got it by LMTP or pipe."""
    texts = [*envelope_recipients]
    texts += [value for name, value in message.headers if name in _TO_US]
    for part in message.parts:
        if part.inner is not None:
            texts += [value for _, value in part.inner]
        elif part.type == "message/feedback-report":
            texts.append(part.text)
    return Facts(tuple(texts), tuple(message.headers.all("authentication-results")))


def judge(event: Event, facts: Facts, trust: Trust, now: float) -> Belief:
    """Whether an event of a message is believed."""
    texts = (event.sent_to, *facts.texts)
    found = list(signatures_in(texts, trust.verp, (event.recipient,), now)) if trust.verp else []
    for one in found:
        if isinstance(one, Verified) and _same_mailbox(one.recipient, event.recipient):
            return Belief(True, Why.VERP, one.recipient)
    expired = [one for one in found if isinstance(one, Expired) and _same_mailbox(one.recipient, event.recipient)]
    if found and not expired:
        return Belief(False, Why.FORGED, next((one.recipient for one in found if not isinstance(one, Forged)), ""))
    if is_authenticated(facts.authentication, trust):
        return Belief(True, Why.AUTHENTICATED)
    return Belief(False, Why.EXPIRED, expired[0].recipient) if expired else Belief(False, Why.UNSIGNED)


def signatures_in(
    texts: Iterable[str], verp: VerpChecker, candidates: tuple[str, ...], now: float
) -> Iterator[Verified | Expired | Forged]:
    """What the signed senders in some texts prove, each once; candidates: see `VerpChecker.check`."""
    addresses = dict.fromkeys(islice((one for text in texts for one in verp.addresses_in(text)), 10 * MOST_SIGNED))
    for address in islice(addresses, MOST_SIGNED):
        checked: Checked = verp.check(address, candidates, now)
        if not isinstance(checked, Unsigned):
            yield checked


def is_authenticated(fields: Iterable[str], trust: Trust) -> bool:
    """Whether the topmost field of the trusted server says that DKIM or SPF passed for a trusted domain (RFC 8601).

    Only the topmost: the ones below may have come with the message.
    """
    if not trust.authserv_id or not trust.domains:
        return False
    wanted = trust.authserv_id.lower()
    for field in fields:
        text = _without_comments(field[:_MOST_FIELD])
        server = _SERVER.match(text)
        if server is not None and (server[1] or server[2]).lower() == wanted:
            return any(_passes(result, trust.domains) for result in _results(text[server.end() :]))
    return False


def _passes(result: str, domains: frozenset[str]) -> bool:
    method = _METHOD.match(result)
    if method is None or method[2].lower() != "pass":
        return False
    if method[1].lower() == "dkim":
        domain = _said(result, "header.d") or _said(result, "header.i")
    else:
        domain = _said(result, "smtp.mailfrom") or _said(result, "smtp.helo")
    return _is_within(domain.rpartition("@")[2], domains)


def _said(result: str, name: str) -> str:
    """The value of a property; "" when it is missing, or said twice: one of them is a sender's trick, then."""
    values = {value for said, value in _PROPERTY.findall(result) if re.sub(r"\s", "", said).lower() == name}
    if len(values) != 1:
        return "" if not values else "?"
    value = str(values.pop())
    return (value[1:-1] if _WHOLLY_QUOTED.fullmatch(value) else value).strip("<>")


def _is_within(domain: str, domains: frozenset[str]) -> bool:
    """Whether a domain is one of these, or below one."""
    try:
        labels = normalise_domain(domain).split(".")
    except AddressError:
        return False
    return any(".".join(labels[start:]) in domains for start in range(len(labels)))


def _results(text: str) -> list[str]:
    """The results of a field: what stands between semicolons that are not quoted."""
    results, start, quoted, position = [], 0, False, 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quoted:
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            results.append(text[start:position])
            start = position + 1
        position += 1
    return [*results, text[start:]]


def _without_comments(text: str) -> str:
    """A field without its comments (RFC 5322, 3.2.2), which nest; quotes keep theirs."""
    if "(" not in text:
        return text
    kept: list[str] = []
    depth, quoted, position = 0, False, 0
    while position < len(text):
        character = text[position]
        if character == "\\" and (quoted or depth):
            kept.append(text[position : position + 2] if not depth else "")
            position += 2
            continue
        if character == '"' and not depth:
            quoted = not quoted
        if character == "(" and not quoted:
            depth += 1
            kept.append(" ")
        elif not depth:
            kept.append(character)
        elif character == ")":
            depth -= 1
        position += 1
    return "".join(kept)


def _same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses are one, or one mailbox by the rules of its provider."""
    if one == other:
        return True
    try:
        return mailbox(parse(one)) == mailbox(parse(other))
    except AddressError:
        return False
