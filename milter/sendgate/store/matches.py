"""What the gate would find for a recipient, with the entries in full: for people who ask why.

In: a normalised address. Out: every text it was looked up by, and every entry found there, as the gate sees it and
in full. Refused: `StoreError`s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from sendgate.address import Address
from sendgate.entry import Entry, Found
from sendgate.keys import Keyer
from sendgate.store.environment import Environment, Transaction
from sendgate.store.record import Label, Record, unpack_records
from sendgate.store.replica import Replica


class Match(NamedTuple):
    """An entry that names the recipient: as the gate sees it, and in full."""

    found: Found
    entry: Entry


@dataclass(slots=True)
class Matches:
    """All that a lookup did. `keys`: each text that was looked up, and its key."""

    keys: list[tuple[str, bytes]] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)

    @property
    def found(self) -> list[Found]:
        return [match.found for match in self.matches]


InFull = Callable[[Transaction, bytes, Label, Record], Entry]
"""Gives the entry of a record that was found under a key and has a label."""


def find_matches(environment: Environment, keyer: Keyer, address: Address, in_full: InFull) -> Matches:
    """Look an address up as the gate does. Raises StoreError."""
    replica = _TracedReplica(environment, keyer, in_full)
    replica.lookup(address)
    return replica.trace


class _TracedReplica(Replica):
    """A replica for one lookup, which notes what it looks up. It remembers no domain from before, so it sees all."""

    def __init__(self, environment: Environment, keyer: Keyer, in_full: InFull) -> None:
        super().__init__(environment, keyer)
        self._in_full = in_full
        self.trace = Matches()

    def _at(self, txn: Transaction, text: str, *, all_match: bool) -> list[Found]:
        self.trace.keys += [(text, key) for key in self._keyer.keys(text)]
        return super()._at(txn, text, all_match=all_match)

    def _decode(self, txn: Transaction, key: bytes, value: bytes, all_match: bool) -> list[Found]:
        entries = super()._decode(txn, key, value, all_match=all_match)
        labelled = [(self._label(txn, record.label), record) for record in unpack_records(value)]
        counting = [pair for pair in labelled if all_match or pair[0].mailbox_wide]
        for one, (label, record) in zip(entries, counting, strict=True):
            self.trace.matches.append(Match(one, self._in_full(txn, key, label, record)))
        return entries
