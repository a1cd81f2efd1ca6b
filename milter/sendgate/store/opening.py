"""Opening the lists in Redis: finding them, whatever their layout, or making them.

In: an open client, the layout of new lists, the secret, or two that they may be under. Out: `Shards`.
Refused: `StoreMissingError` when there are no lists, `WrongKeyError` for another secret, `StoreError`s of the
connection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sendgate.keys import Secrets, fingerprints
from sendgate.store.errors import StoreCorruptError, StoreError, StoreMissingError, WrongKeyError
from sendgate.store.layout import FORMAT, MAX_SHARDS, Layout
from sendgate.store.redis_client import RedisClient
from sendgate.store.shards import Shards, secret_of

CREATING, COMPLETE = b"creating", b"complete"
"""What the layout says of itself: a creation that was cut short is taken up again, a loss later is not."""


def open_shards(
    client: RedisClient, wanted: Layout, secret: Secrets, history: int, *, create: bool = False, empty: bool = False
) -> Shards:
    """The lists that are there, whatever their layout; `create` makes them as `wanted` where there are none at all,
    and `empty` takes it that there are none.

    history: octets of changes to keep for followers. Raises StoreMissingError, WrongKeyError, StoreError.
    """
    there = client.hash(f"{wanted.prefix}:layout")
    layout = _layout(wanted, there or _told_by_a_shard(client, wanted.prefix), client.place)
    shards = Shards(client, layout, history)
    marks = shards.look()
    if create and any(marks) and not all(marks) and there.get(b"state") != COMPLETE:
        there = client.hash(f"{wanted.prefix}:layout")  # another process began to make them meanwhile
        marks = shards.look()
    if create and there.get(b"state") == CREATING:
        make_missing(shards, secret)
    elif not any(marks):
        if empty:
            return shards
        if not create:
            raise StoreMissingError(
                f"{client.place}: no lists under {layout.prefix!r}; `sendgate add` or `sendgate import` creates them"
            )
        make_missing(shards, secret)
    _check_secret(shards, secret)
    return shards


def make_missing(shards: Shards, secret: Secrets) -> list[int]:
    """Make every shard that is not there, each with an epoch of its own. Returns which."""
    layout, client = shards.layout, shards.client
    missing = [shard for shard, mark in enumerate(shards.look()) if mark is None]
    under = secret_of(shards.marks, fingerprints(secret))
    facts = {"shards": layout.shards, "buckets": layout.buckets}
    client.set_fields(f"{layout.prefix}:layout", {**facts, "state": CREATING})
    for shard in missing:
        meta: list[str | bytes | int] = ["format", FORMAT, "secret", under, "epoch", os.urandom(8).hex()]
        client.run("create", [shards.names[shard].meta], [*meta, "shards", layout.shards, "buckets", layout.buckets])
    client.set_fields(f"{layout.prefix}:layout", {"state": COMPLETE})
    shards.look()
    return missing


def _check_secret(shards: Shards, secret: Secrets) -> None:
    accepted = fingerprints(secret)
    there = [(names, mark) for names, mark in zip(shards.names, shards.marks, strict=True) if mark]
    for names, _ in there[:1]:
        if shards.client.fields(names.meta, "format") != [FORMAT]:
            raise StoreError(f"{shards.client.place}: not the lists of this version of Sendgate")
    for _, mark in there:
        if mark.secret not in accepted:
            raise WrongKeyError(shards.client.place, mark.secret)


def _told_by_a_shard(client: RedisClient, prefix: str) -> Mapping[bytes, bytes]:
    """The layout of lists whose layout was lost, with a node or by hand: any shard that is left knows it."""
    cuts = [2**bits for bits in range(MAX_SHARDS.bit_length())]
    names = [name.meta for shards in cuts for name in Layout(prefix, shards, 1).names()]
    return next((meta for meta in client.hashes(names) if b"shards" in meta), {})


def _layout(wanted: Layout, there: Mapping[bytes, bytes], place: str) -> Layout:
    """The layout that the lists have; the one that is wanted when they do not say."""
    try:
        return wanted._replace(shards=int(there[b"shards"]), buckets=int(there[b"buckets"])) if there else wanted
    except (KeyError, ValueError) as error:
        raise StoreCorruptError(f"{place}: {wanted.prefix}:layout cannot be read: {error}") from None
