"""The lists as a plain dict: what every origin must be like, in the fewest words."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from sendgate.address import Address, mailbox, parse
from sendgate.entry import MAILBOX_WIDE, Entry, Kind, Reason, Scope, Subject, local_text

Identity = tuple[str, Reason, Scope, str]


class Model:
    """Entries by identity, in the order they were added. Mailbox-wide reasons alone decide how an entry matches."""

    def __init__(self) -> None:
        self.entries: dict[Identity, Entry] = {}

    def add(self, new: Entry) -> None:
        old = self.entries.get(identity(new))
        if old is None:
            self.entries[identity(new)] = new
            return
        self.entries[identity(new)] = replace(
            old,
            expires=None if None in (old.expires, new.expires) else max(old.expires or 0, new.expires or 0),
            origin=new.origin,
            strikes=max(old.strikes, new.strikes),
            note=new.note or old.note,
        )

    def remove(self, subject: Subject, reason: Reason | None, list_name: str | None) -> None:
        self.keep(
            entry
            for entry in self.entries.values()
            if not about(entry, subject) or reason not in (None, entry.reason) or list_name not in (None, entry.list)
        )

    def keep(self, kept: Iterable[Entry]) -> None:
        self.entries = {identity(entry): entry for entry in kept}

    def replace_list(self, name: str, new: list[Entry]) -> None:
        named = {identity(entry) for entry in new}
        self.keep(entry for entry in list(self.entries.values()) if entry.list != name or identity(entry) in named)
        for entry in new:
            self.add(entry)

    def lookup(self, address: str) -> Counter[tuple[Reason, Scope, str, int | None]]:
        """What a gate must find for an address, as often as it must."""
        parsed = parse(address)
        return Counter(
            (entry.reason, entry.scope, entry.list, entry.expires)
            for entry in self.entries.values()
            if names(entry, parsed)
        )


def identity(entry: Entry) -> Identity:
    return entry.subject.matched_text(entry.reason in MAILBOX_WIDE), entry.reason, entry.scope, entry.list


def about(entry: Entry, subject: Subject) -> bool:
    """Whether an entry is about exactly this subject or, if it is about a person, about the same mailbox."""
    if entry.reason in MAILBOX_WIDE and entry.subject.address and subject.address:
        return mailbox(entry.subject.address) == mailbox(subject.address)
    return entry.subject.text == subject.text


def names(entry: Entry, address: Address) -> bool:
    spellings = {address, mailbox(address)} if entry.reason in MAILBOX_WIDE else {address}
    subject = entry.subject
    match subject.kind:
        case Kind.ADDRESS:
            return about(entry, Subject(Kind.ADDRESS, address.text, address))
        case Kind.DOMAIN:
            return subject.text == f"@{address.domain}"
        case Kind.SUBTREE:
            return f".{address.domain}".endswith(subject.text[1:])
        case Kind.LOCAL:
            return subject.text in {local_text(spelling.local) for spelling in spellings}
        case _:
            name = subject.kind.name.lower()
            digests = {hashlib.new(name, spelling.text.encode()).hexdigest() for spelling in spellings}
            return subject.text.partition(":")[2] in digests
