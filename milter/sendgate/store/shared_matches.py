"""What the gate would find for a recipient, asked of the shared origin: with the entries in full, for people.

In: a normalised address and the kinds of subjects that there are. Out: every text it is looked up by, and every entry
found there. Refused: `StoreError`s.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from sendgate.address import Address, mailbox
from sendgate.entry import Found, Kind
from sendgate.keys import Keyer, domain_texts, local_and_hash_texts, ref_of
from sendgate.store.layout import KEY_OCTETS, entry_of, unpack_value
from sendgate.store.matches import Match, Matches
from sendgate.store.shards import Shards


def find_matches(shards: Shards, keyer: Keyer, address: Address, kinds: Container[Kind]) -> Matches:
    """Look an address up as the gate does, but in Redis. Raises StoreError."""
    wanted = list(lookup_texts(address, kinds))
    places = [(text, one.key(text), all_match) for one in reversed(keyer.both) for text, all_match in wanted]
    matches = Matches([(text, key) for text, _ in wanted for key in keyer.keys(text)])
    # While the secret changes, entries move from the places that are read first.
    at_places = shards.at_keys([key for _, key, _ in places])
    for (_, key, all_match), there in zip(places, at_places, strict=True):
        for field, packed in there.items():
            label = shards.label(shards.layout.shard_of(key), field[KEY_OCTETS:])
            if all_match or label.mailbox_wide:
                value = unpack_value(packed)
                found = Found(label.reason, label.scope, label.list, value.created, value.expires or None, ref_of(key))
                matches.matches.append(Match(found, entry_of(label, value)))
    return matches


def lookup_texts(address: Address, kinds: Container[Kind]) -> Iterator[tuple[str, bool]]:
    """The texts that the gate looks an address up by; False: only what is mailbox-wide counts there."""
    reduced = mailbox(address)
    yield address.text, True
    if reduced is not address:
        yield reduced.text, False
    if Kind.DOMAIN in kinds or Kind.SUBTREE in kinds:
        yield from ((text, True) for text in domain_texts(address.domain))
    bits = sum(kind.value for kind in Kind if kind in kinds)
    texts = list(local_and_hash_texts(address, bits))
    yield from ((text, True) for text in texts)
    if reduced is not address:
        yield from ((text, False) for text in local_and_hash_texts(reduced, bits) if text not in texts)
