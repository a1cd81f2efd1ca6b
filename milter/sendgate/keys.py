"""Keys: what the store files an entry under, and what a recipient must be looked up by.

In: normalised subjects and addresses. Out: 16-byte keys. Nothing is refused: every text has a key.

A key is BLAKE2b-128 (RFC 7693) of the normalised text, keyed with the secret of `store.hash_key_file` when there
is one, so that neither a store nor a reply shows whom it is about. Nor does a note, then: addresses in it are replaced.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from sendgate.address import Address
from sendgate.entry import MAX_NOTE_OCTETS, Kind, Subject, local_text

KEY_OCTETS = 16
REF_DIGITS = 8
KEY_SCHEME = "key:"
NO_SECRET = b"none"
"""What stands for the fingerprint of a secret where there is none."""

_HASHES = (
    (Kind.SHA256, "sha256", hashlib.sha256),
    (Kind.SHA1, "sha1", hashlib.sha1),
    (Kind.MD5, "md5", hashlib.md5),
)

Secrets = bytes | tuple[bytes, ...]
"""One secret; or that of new stores and the one before, either of which a store may be under."""

_AT = "(?:[@\uff20\ufe6b]|%40)"
_CHARACTER = r'(?!%40)[^\s<>()\[\],;:"@\uff20\ufe6b]'
_WORDS = rf'(?>(?:"(?>(?:[^"\\]|\\.)*)"|{_CHARACTER})*)'
_ADDRESS_LIKE = re.compile(rf"<?(?:{_WORDS}{_AT})+(?:\[[^\]\s]*\]|{_CHARACTER})*>?", re.DOTALL)
"""What has an at sign, plain, wide or as in a URL, with all that adjoins it: rather too much than too little."""
_UNCUT_OCTETS = MAX_NOTE_OCTETS - 4
"""A longer note may have been cut to its length, and so within an address."""


class Keyer:
    """Makes keys, with or without a secret (bytes, at most 64).

    previous: the keyer of the secret before, for as long as a store can have entries under that. What a store writes is
    written under one of the two, and the store says which; what it looks up, it looks up under both.
    """

    def __init__(self, secret: bytes = b"", previous: Keyer | None = None) -> None:
        self.secret = secret
        self.previous = previous
        self.fingerprint = fingerprint(secret)
        self.both: tuple[Keyer, ...] = (self,) if previous is None else (Keyer(secret), previous)
        """This one and the one before, each alone; without one before, just this."""
        self._blank = hashlib.blake2b(digest_size=KEY_OCTETS, key=secret)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The secrets a store may be under, that of a new one first."""
        return tuple(keyer.secret for keyer in self.both)

    def named(self, known: bytes | None) -> Keyer | None:
        """The one of both whose secret has this fingerprint, or None."""
        return next((keyer for keyer in self.both if keyer.fingerprint == known), None)

    def key(self, text: str) -> bytes:
        """The key of a normalised text, 16 bytes."""
        state = self._blank.copy()  # a third quicker than to take in the secret and the size each time
        state.update(text.encode())
        return state.digest()

    def keys(self, text: str) -> list[bytes]:
        """The keys a text is looked up by, this keyer's first."""
        return [self.key(text)] if self.previous is None else [self.key(text), self.previous.key(text)]

    def subject_key(self, subject: Subject, mailbox_wide: bool) -> bytes:
        """The key an entry about `subject` is filed under."""
        if subject.text.startswith(KEY_SCHEME):
            return bytes.fromhex(subject.text.rpartition(":")[2])
        return self.key(subject.matched_text(mailbox_wide))

    def keys_of(self, subject: Subject) -> list[tuple[bytes, bool]]:
        """Where entries about a subject can be: under its own text; under its mailbox's, only mailbox-wide ones.

        Under the secret before, too, and those places first: entries move from there to the others.
        """
        own, of_mailbox = (self.subject_key(subject, wide) for wide in (False, True))
        places = [(own, False)] if own == of_mailbox else [(own, False), (of_mailbox, True)]
        if self.previous is None:
            return places
        return list(dict.fromkeys(self.previous.keys_of(subject) + places))  # `key:` names one place, whoever reads it

    def stored_text(self, subject: Subject, key: bytes) -> str:
        """How a store writes the subject down: in clear, or by its key when there is a secret."""
        if not self.secret or subject.text.startswith(KEY_SCHEME):
            return subject.text
        return key_text(subject.kind, key)

    def stored_note(self, note: str) -> str:
        """How a store writes a note down: as it is or, when there is a secret, with `<address>` for each address."""
        return _whole_words(_ADDRESS_LIKE.sub("<address>", _whole_words(note))) if self.secret else note


def _whole_words(note: str) -> str:
    octets = note.encode()
    return note if len(octets) <= _UNCUT_OCTETS else octets[:_UNCUT_OCTETS].decode(errors="ignore").rpartition(" ")[0]


def key_text(kind: Kind, key: bytes) -> str:
    """A subject that is only known by its key, as a text."""
    return f"{KEY_SCHEME}{'' if kind is Kind.ADDRESS else kind.name.lower() + ':'}{key.hex()}"


def fingerprint(secret: bytes) -> bytes:
    """Tells secrets apart without telling the secret; a word of its own for none. A store keeps it."""
    return hashlib.blake2b(b"sendgate store", key=secret, digest_size=16).digest() if secret else NO_SECRET


def fingerprints(secrets: Secrets) -> tuple[bytes, ...]:
    """The fingerprints of some secrets, in their order."""
    return tuple(map(fingerprint, (secrets,) if isinstance(secrets, bytes) else secrets))


def ref_of(key: bytes) -> str:
    """The reference a reply shows: the first 8 hex digits of the key, which `explain` finds by range."""
    return key[: REF_DIGITS // 2].hex()


def domain_texts(domain: str) -> list[str]:
    """The subjects that name `domain`: itself, then it and each parent as a subtree, nearest first."""
    labels = domain.split(".") if not domain.startswith("[") else [domain]
    subtrees = ["@." + ".".join(labels[index:]) for index in range(len(labels))]
    return ["@" + domain, *subtrees]


def local_and_hash_texts(address: Address, kinds: int) -> Iterator[str]:
    """The subjects other than the address itself and its domain, limited to the `kinds` (bits) a store holds."""
    if kinds & Kind.LOCAL.value:
        yield local_text(address.local)
    for kind, scheme, function in _HASHES:
        if kinds & kind.value:
            yield f"{scheme}:{function(address.text.encode(), usedforsecurity=False).hexdigest()}"
