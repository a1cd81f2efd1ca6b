"""A shared origin for benches: lists in a private Redis, laid out as the settings' defaults have it.

In: the URL of a running server. Out: open shards and origins. Refused: `StoreError`s.
"""

from __future__ import annotations

from sendgate.keys import Keyer
from sendgate.origin_url import parse_origin_url
from sendgate.settings import StoreSettings
from sendgate.store.layout import Layout
from sendgate.store.opening import open_shards
from sendgate.store.redis_client import Access, RedisClient
from sendgate.store.shards import Shards
from sendgate.store.shared import SharedOrigin

SETTINGS = StoreSettings()


def open_lists(url: str, buckets: int = SETTINGS.buckets, history: int = SETTINGS.history) -> Shards:
    """The lists of a server over a connection of their own; made if there are none."""
    client = RedisClient(Access(parse_origin_url(url)))
    return open_shards(client, Layout(SETTINGS.prefix, SETTINGS.shards, buckets), b"", history, create=True)


def open_origin(url: str) -> SharedOrigin:
    """The same, open for reading and writing."""
    return SharedOrigin(open_lists(url), Keyer())
