"""Signed envelope senders (VERP): whom a bounce or a complaint is about, proved by what we sent.

In: a secret, a recipient and a campaign, or an address that came back. Out: a sender, or what its signature proves.
Refused: `VerpError` for a recipient or campaign that no sender can carry. Checking refuses nothing.

    bounce+CAMPAIGN+TOKEN+LOCAL=DOMAIN@our.domain     the recipient in it, what cannot stand there as =xx
    bounce+CAMPAIGN+TOKEN@our.domain                  when that is longer than 64 octets, or the domain is a literal:
                                                      the recipient is proved by trying those that the bounce names

TOKEN is the day (4 characters) and 80 bits of HMAC-SHA256 over campaign, day and normalised recipient (16), in base32.
All of it holds, too, when a server on the way puts it in lower case or wraps it (SRS, BATV). `=` is what escapes, since
it is there anyway; `%`, `!`, `/` and `|` are not used: servers read routes in them, or refuse them.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sendgate.address import Address, AddressError, normalise_domain, normalise_local, parse

DAY = 86_400
MAX_LOCAL_OCTETS = 64
"""RFC 5321, 4.5.3.1.1."""
MOST_CANDIDATES = 64
_TOKEN = 20
_VERSION = b"sendgate verp 1"

_CAMPAIGN = re.compile(r"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_CARRIED_DOMAIN = re.compile(r"[a-z0-9._-]+")
_ESCAPE = re.compile(r"=([0-9a-f]{2})")
_FORM = (
    r"{}\+(?P<campaign>[A-Za-z0-9_.~-]{{1,64}})\+(?P<day>[a-z2-7]{{4}})(?P<code>[a-z2-7]{{16}})"
    r"(?:\+(?P<carried>[^+@\s]{{1,400}}))?@"
)


class VerpError(ValueError):
    """A recipient or a campaign that a signed sender cannot carry; the message says why."""


@dataclass(frozen=True, slots=True)
class Verified:
    """We sent to `recipient` (normalised) for `campaign` on `day` (since 1970)."""

    recipient: str
    campaign: str
    day: int


@dataclass(frozen=True, slots=True)
class Forged:
    """It looks like a sender of ours, and no key of ours signed it for any recipient that is named."""


@dataclass(frozen=True, slots=True)
class Expired:
    """We signed it, for a day too long ago, or for one that is yet to come."""

    recipient: str
    campaign: str
    day: int


@dataclass(frozen=True, slots=True)
class Unsigned:
    """It does not look like a sender of ours."""


Checked = Verified | Forged | Expired | Unsigned


class VerpSigner:
    """Signs senders at `domain`."""

    def __init__(self, key: bytes, prefix: str, domain: str) -> None:
        self._key = key
        self._prefix = prefix.lower()
        try:
            self._domain = normalise_domain(domain)
        except AddressError as error:
            raise VerpError(f"{domain!r}: {error}") from None

    def sign(self, recipient: str, campaign: str, now: float) -> str:
        """The envelope sender for a message to `recipient`. Raises VerpError."""
        try:
            address = parse(recipient)
        except AddressError as error:
            raise VerpError(f"{recipient!r}: {error}") from None
        self._check_campaign(campaign)
        day = int(now // DAY)
        short = f"{self._prefix}+{campaign}+{_day_text(day)}{_code(self._key, campaign, day, address.text)}"
        carried = _carry(address)
        full = f"{short}+{carried}"
        return f"{full if carried and len(full) <= MAX_LOCAL_OCTETS else short}@{self._domain}"

    def _check_campaign(self, campaign: str) -> None:
        if not _CAMPAIGN.fullmatch(campaign):
            raise VerpError(
                f"campaign {campaign!r} cannot stand in an envelope sender:"
                " only letters, digits, - _ ~ and single dots within can"
            )
        most = MAX_LOCAL_OCTETS - len(self._prefix) - _TOKEN - 2
        if len(campaign) > most:
            raise VerpError(f"campaign {campaign!r} is too long for an envelope sender: {len(campaign)} of {most}")


class VerpChecker:
    """Checks what looks like senders of ours. keys: all that may have signed, at least one."""

    def __init__(self, keys: Sequence[bytes], prefix: str, max_age_seconds: int) -> None:
        self._keys = tuple(keys)
        self._max_age = max_age_seconds
        form = _FORM.format(re.escape(prefix.lower()))
        self._whole = re.compile(rf"(?:[^@\s]{{1,200}}=)?{form}[^@\s]{{0,255}}", re.ASCII | re.IGNORECASE)
        # whatever follows the at sign: in another's text it may be cut, or hidden
        self._within = re.compile(rf"(?<![A-Za-z0-9._+-]){form}[A-Za-z0-9.-]{{0,255}}", re.ASCII | re.IGNORECASE)

    def check(self, address: str, candidates: Iterable[str], now: float) -> Checked:
        """What `address` proves. candidates: recipients that the bounce names, tried when it does not carry its own."""
        form = self._whole.fullmatch(address.strip().removeprefix("<").removesuffix(">"))
        if form is None:
            return Unsigned()
        campaign, day = form["campaign"], _day_of(form["day"].lower())
        recipient = self._signed_for(form, day, candidates)
        if recipient is None:
            return Forged()
        too_old = now >= (day + 1) * DAY + self._max_age
        if too_old or day > now // DAY + 1:
            return Expired(recipient, campaign, day)
        return Verified(recipient, campaign, day)

    def addresses_in(self, text: str) -> Iterator[str]:
        """What looks like senders of ours in a text, such as a header's value."""
        if "+" in text:
            for found in self._within.finditer(text):
                yield found[0]

    def _signed_for(self, form: re.Match[str], day: int, candidates: Iterable[str]) -> str | None:
        code = form["code"].lower()
        for recipient in _recipients(form["carried"], candidates):
            for key in self._keys:
                if hmac.compare_digest(_code(key, form["campaign"], day, recipient), code):
                    return recipient
        return None


def _recipients(carried: str | None, candidates: Iterable[str]) -> Iterator[str]:
    """Whom a sender may be signed for, normalised: whom it carries, and the candidates."""
    recipient = _carried(carried.lower()) if carried else None
    if recipient is not None:
        yield recipient
    for candidate in islice(candidates, MOST_CANDIDATES):
        try:
            yield parse(candidate).text
        except AddressError:
            continue


def _carry(address: Address) -> str:
    """A recipient as a sender carries it; "" for a domain that cannot stand there."""
    if not _CARRIED_DOMAIN.fullmatch(address.domain):
        return ""
    octets = address.local.encode()
    dotted = ["." if octet == 0x2E else chr(octet) if octet in _PLAIN else f"={octet:02x}" for octet in octets]
    return f"{''.join(dotted).replace('..', '.=2e')}={address.domain}"


def _carried(text: str) -> str | None:
    """The recipient that a sender carries, normalised, or None."""
    local, separator, domain = text.rpartition("=")
    if not separator:
        return None
    try:
        octets = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), local).encode("latin-1")
        return Address.of(normalise_local(octets.decode()), normalise_domain(domain)).text
    except (AddressError, UnicodeError):
        return None


def _code(key: bytes, campaign: str, day: int, recipient: str) -> str:
    """80 bits over what a sender says, in lower-case base32. The campaign may have lost its capitals on the way."""
    said = b"\0".join((_VERSION, campaign.lower().encode(), b"%d" % day, recipient.encode()))
    return base64.b32encode(hmac.digest(key, said, "sha256")[:10]).decode().lower()


def _day_text(day: int) -> str:
    return base64.b32encode((day << 4).to_bytes(3, "big"))[:4].decode().lower()


def _day_of(text: str) -> int:
    return int.from_bytes(base64.b32decode(text.upper() + "A==="), "big") >> 4
