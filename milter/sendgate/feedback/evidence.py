"""What an entry made by feedback rests on, as its note tells it: one line, for people and for programs.

In: an event, or the note of an entry. Out: `Evidence`, and its text of at most MAX_OCTETS octets.
Refused: nothing; a note that people wrote is no evidence (None).

    at=2026-11-22T10:00:00Z queue=4F1B2C host=mx.example.com provider=example.com campaign=sale source=log code=550
    status=5.1.1 strikes=bad_mailbox/4F1B2C/1795341600 text=550 5.1.1 <gone@example.com>: user unknown

Words that are not known have no field. `text` comes last, and is what is cut. A store that hashes addresses replaces
them in notes, with all that adjoins them: so no other field holds an at sign, and a text that does stands apart.
The local part alone would tell as much, so it is replaced here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sendgate.entry import MAX_TIME
from sendgate.feedback import strikes as striking
from sendgate.feedback.event import Event
from sendgate.feedback.provider import provider_of
from sendgate.feedback.strikes import Strike

MAX_OCTETS = 960
LOCAL_PART = "<local-part>"
_FIELD_OCTETS = {"host": 72, "campaign": 64, "derived": 48, "breaker": 64, "provider": 64}
_WORD_OCTETS = 24
_TEXT_READ = 4_000
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_UNFIT = re.compile(r'[\x00-\x20\x7f-\xa0\ud800-\udfff"<>()\s]+')
_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\ud800-\udfff\s]+")
_AT_SIGN = re.compile("@|\uff20|\ufe6b|%40")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The event that led to an entry last, and all strikes that are remembered. "" or nothing: not known.

    breaker: the provider whose breaker was open; derived: how the recipient or the campaign was found; delivered: when
    a delivery last made strikes forgotten, 0 for never.
    """

    at: int
    queue_id: str = ""
    host: str = ""
    provider: str = ""
    campaign: str = ""
    source: str = ""
    code: str = ""
    status: str = ""
    breaker: str = ""
    strikes: tuple[Strike, ...] = ()
    text: str = ""
    derived: tuple[str, ...] = ()
    delivered: int = 0

    def note(self) -> str:
        """The line for the entry's note."""
        fields = {
            "at": _iso(self.at),
            "queue": self.queue_id,
            "host": self.host,
            "provider": self.provider,
            "campaign": self.campaign,
            "source": self.source,
            "code": self.code,
            "status": self.status,
            "derived": ",".join(word.replace(",", "_") for word in self.derived),
            "breaker": self.breaker,
            "delivered": _iso(self.delivered) if self.delivered else "",
        }
        words = [f"{name}={value}" for name, given in fields.items() if (value := _fit(name, given))]
        if self.strikes:
            words.append(f"strikes={striking.write(self.strikes)}")
        text = _BREAKS.sub(" ", self.text[:_TEXT_READ]).strip()
        if text:
            words.append(f"text= {text}" if _AT_SIGN.search(text) else f"text={text}")
        return _cut(" ".join(words))

    @classmethod
    def from_note(cls, note: str) -> Evidence | None:
        """The evidence in a note, None when it holds none."""
        head, _, text = f"{note[:_TEXT_READ]} ".partition(" text=")
        fields: dict[str, str] = {}
        for word in head.split():
            name, _, value = word.partition("=")
            fields.setdefault(name, value)
        at = _seconds(fields.get("at", "")) if note.startswith("at=") else None
        if at is None:
            return None
        return cls(
            at=at,
            queue_id=fields.get("queue", ""),
            host=fields.get("host", ""),
            provider=fields.get("provider", ""),
            campaign=fields.get("campaign", ""),
            source=fields.get("source", ""),
            code=fields.get("code", ""),
            status=fields.get("status", ""),
            breaker=fields.get("breaker", ""),
            strikes=striking.read(fields.get("strikes", "")),
            text=text.strip(),
            derived=tuple(word for word in fields.get("derived", "").split(",") if word),
            delivered=_seconds(fields.get("delivered", "")) or 0,
        )


def evidence_of(event: Event, at: int, strikes: Iterable[Strike], breaker: str | None = None) -> Evidence:
    """The evidence that an event leaves. at: its time as it counts."""
    return Evidence(
        at=at,
        queue_id=event.queue_id,
        host=event.host,
        provider=provider_of(event),
        campaign=event.campaign,
        source=event.source.value,
        code=event.code,
        status=event.status,
        breaker=breaker or "",
        strikes=tuple(strikes),
        text=_impersonal(event.text[:_TEXT_READ], event.recipient),
        derived=event.derived,
    )


def _fit(name: str, value: str) -> str:
    """A value as a field may have it: one word, without quotes, brackets and at signs, not too long."""
    most = _FIELD_OCTETS.get(name, _WORD_OCTETS)
    fit = _UNFIT.sub("_", _AT_SIGN.sub("_at_", value[:most].strip()))
    return fit.encode(errors="replace")[:most].decode(errors="ignore")


def _cut(note: str) -> str:
    """At most MAX_OCTETS, in whole words: what is left of an address must not be a local part."""
    octets = note.encode(errors="replace")
    if len(octets) <= MAX_OCTETS:
        return note
    return octets[: MAX_OCTETS + 1].decode(errors="ignore").rpartition(" ")[0]


def _impersonal(text: str, recipient: str) -> str:
    """The text without the bare local part. An address in full stays; it is the store's to replace, if it hashes."""
    local = recipient[:320].rpartition("@")[0].strip('"')
    names = sorted({local, local.partition("+")[0]} - {""}, key=len, reverse=True)
    lower = text.lower()
    if all(lower.count(name) == lower.count(f"{name}@") for name in names):
        return text
    either = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![^\W_])(?:{either})(?![^\W_]|@)", LOCAL_PART, text, flags=re.IGNORECASE)


def _iso(at: int) -> str:
    return datetime.fromtimestamp(min(max(at, 0), MAX_TIME), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> int | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
