"""The words of the lists: subject, reason, scope, origin, entry, change. All frozen.

In: the texts that operators, files and feedback use. Out: typed values, normalised.
Refused: `EntryError` (and `AddressError` for an address), with what is wrong and what is allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from sendgate.address import Address, AddressError, mailbox, normalise_domain, normalise_local, parse, parse_plain

DEFAULT_LIST = "default"
MAX_NAME_OCTETS = 128
MAX_NOTE_OCTETS = 1024
MAX_TIME = 2**32 - 1
"""Unix time in 2106; an expiry beyond it falls there."""
MAX_STRIKES = 255

_NAME = re.compile(r"[^\x00-\x20\x7f-\x9f,;\"'\ud800-\udfff]+")
_HASH_DIGITS = {"sha256": 64, "sha1": 40, "md5": 32}
_KEY_TEXT = re.compile(r"key:(?:([a-z0-9]+):)?([0-9a-f]{32})")


class EntryError(ValueError):
    """A subject, reason, scope or name that cannot be used; the message says why."""


class Reason(StrEnum):
    """Why an entry is there, strongest first. `allow` beats all but those in `OVERRIDES_ALLOW`, `strike` nothing."""

    TRAP = "trap"
    LEGAL = "legal"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    HARD_BOUNCE = "hard_bounce"
    INVALID_DOMAIN = "invalid_domain"
    DISPOSABLE = "disposable"
    ROLE = "role"
    TYPO = "typo"
    SOFT_BOUNCE = "soft_bounce"
    MANUAL = "manual"
    ALLOW = "allow"
    STRIKE = "strike"
    """A failure that is remembered: counted when the next one comes, and no ground to refuse anybody."""


PRECEDENCE: dict[Reason, int] = {reason: rank for rank, reason in enumerate(Reason)}
OVERRIDES_ALLOW = frozenset({Reason.LEGAL, Reason.COMPLAINT, Reason.UNSUBSCRIBE})
WITHOUT_ACTION = frozenset({Reason.ALLOW, Reason.STRIKE})
"""Reasons that never refuse a recipient, so that there is nothing to set for them."""
MAILBOX_WIDE = frozenset({Reason.TRAP, Reason.COMPLAINT, Reason.LEGAL})
"""Reasons about a person or a trap rather than a spelling: they match the mailbox, not the exact address."""


class Origin(StrEnum):
    """Who made an entry."""

    RECIPIENT = "recipient"
    FEEDBACK = "feedback"
    OPERATOR = "operator"
    IMPORT = "import"


class Kind(Enum):
    """What a subject names. The value is the bit that a store keeps to know which kinds it holds."""

    ADDRESS = 0
    DOMAIN = 1
    SUBTREE = 2
    LOCAL = 4
    SHA256 = 8
    SHA1 = 16
    MD5 = 32


class Subject(NamedTuple):
    """What an entry names. `text` is the normalised spelling that keys are made of; `address` only for an address."""

    kind: Kind
    text: str
    address: Address | None = None

    def matched_text(self, mailbox_wide: bool) -> str:
        """The text an entry is filed under: the mailbox's when it matches mailbox-wide, else the exact one."""
        if not mailbox_wide or self.address is None:
            return self.text
        return mailbox(self.address).text


class Scope(NamedTuple):
    """Where an entry holds: everywhere (`kind` is "*"), in one stream, or in one campaign."""

    kind: str = "*"
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def covers(self, campaign: str, stream: str) -> bool:
        """Whether an entry of this scope holds for a message of `campaign` in `stream` ("" for none)."""
        if self.kind == "*":
            return True
        return self.name == (campaign if self.kind == "campaign" else stream)


EVERYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list. Identity is (subject, reason, scope, list).

    created, expires: Unix times in seconds; expires is None for an entry that never does.
    strikes: how many events led to it; note: free text for people, up to MAX_NOTE_OCTETS.
    Times and strikes beyond what every store can hold are brought to the nearest that it can.
    """

    subject: Subject
    reason: Reason
    scope: Scope = EVERYWHERE
    list: str = DEFAULT_LIST
    origin: Origin = Origin.OPERATOR
    created: int = 0
    expires: int | None = None
    strikes: int = 1
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "created", min(max(self.created, 0), MAX_TIME))
        object.__setattr__(self, "strikes", min(max(self.strikes, 0), MAX_STRIKES))
        if self.expires is not None:
            object.__setattr__(self, "expires", min(max(self.expires, 1), MAX_TIME))


class Found(NamedTuple):
    """What a lookup knows of an entry that matches a recipient. `ref` is what the reply shows and explain finds."""

    reason: Reason
    scope: Scope
    list: str
    created: int
    expires: int | None
    ref: str

    def expired(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class Add:
    """Add an entry, or refresh the one with the same identity: its expiry is extended, never shortened."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the entries of a subject; a reason, scope or list narrows it to those."""

    subject: Subject
    reason: Reason | None = None
    scope: Scope | None = None
    list: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveList:
    """Remove all entries of one list."""

    list: str


Change = Add | Remove | RemoveList


def parse_subject(text: str) -> Subject:
    """Read a subject: `user@example.com`, `@example.com`, `@.example.com`, `user@`, `sha256:…`, `sha1:…`, `md5:…`,
    or `key:…` (a subject of a store with `hash_key_file`, as `export` writes it).

    Raises EntryError (or AddressError, which is told in the same words) when it is none of them.
    """
    plain = parse_plain(text)
    if plain is not None:
        return Subject(Kind.ADDRESS, plain.text, plain)
    text = text.strip(" \t\r\n")  # no other white space: a local part may begin with it
    scheme, colon, digits = text.partition(":")
    if colon and scheme.lower() in _HASH_DIGITS:
        return _parse_hash(scheme.lower(), digits.strip().lower())
    if colon and scheme == "key":
        return _parse_key(text)
    try:
        if text.startswith("@.") and "," not in text:
            return Subject(Kind.SUBTREE, "@." + normalise_domain(text[2:]))
        if text.startswith("@") and ":" not in text.partition("[")[0]:
            return Subject(Kind.DOMAIN, "@" + normalise_domain(text[1:]))
        if text.endswith("@"):
            local = parse(text + "local.invalid").local
            return Subject(Kind.LOCAL, local_text(local))
        address = parse(text)
    except AddressError as error:
        raise EntryError(f"{text!r} is no subject: {error}") from None
    return Subject(Kind.ADDRESS, address.text, address)


def local_text(local: str) -> str:
    """The subject text for a local part at any domain: `user@`, quoted as in an address."""
    return Address.of(normalise_local(local), "").text


def parse_reason(text: str) -> Reason:
    """Read a reason by its name. Raises EntryError naming the allowed ones."""
    try:
        return Reason(text.strip().lower())
    except ValueError:
        raise EntryError(f"{text!r} is no reason; one of: {', '.join(Reason)}") from None


def parse_scope(text: str) -> Scope:
    """Read a scope: `*`, `stream:<name>` or `campaign:<name>`. Raises EntryError for anything else."""
    text = text.strip()
    if text in ("", "*"):
        return EVERYWHERE
    kind, colon, name = text.partition(":")
    if not colon or kind not in ("stream", "campaign"):
        raise EntryError(f"{text!r} is no scope; one of: *, stream:<name>, campaign:<name>")
    return Scope(kind, check_name(name, kind))


def check_name(text: str, what: str) -> str:
    """A list, stream or campaign name: printable, without spaces, quotes, commas or semicolons, up to 128 octets."""
    name = text.strip()
    if not _NAME.fullmatch(name) or len(name.encode()) > MAX_NAME_OCTETS:
        raise EntryError(
            f"{text!r} is no {what} name; up to {MAX_NAME_OCTETS} octets without spaces, quotes, commas, semicolons"
        )
    return name


def check_note(text: str) -> str:
    """A note: control characters become spaces, the rest is cut at MAX_NOTE_OCTETS."""
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).strip()
    return clean.encode(errors="replace")[:MAX_NOTE_OCTETS].decode(errors="ignore")


def _parse_hash(scheme: str, digits: str) -> Subject:
    if len(digits) != _HASH_DIGITS[scheme] or not re.fullmatch(r"[0-9a-f]+", digits):
        raise EntryError(f"'{scheme}:{digits}' is no subject: {scheme} takes {_HASH_DIGITS[scheme]} hex digits")
    return Subject(Kind[scheme.upper()], f"{scheme}:{digits}")


def _parse_key(text: str) -> Subject:
    match = _KEY_TEXT.fullmatch(text)
    if not match or (match[1] or "address").upper() not in Kind.__members__:
        raise EntryError(f"{text!r} is no subject: a key is key:<32 hex digits> or key:<kind>:<32 hex digits>")
    return Subject(Kind[(match[1] or "address").upper()], text)
