"""Keys and a name server for all tests of this folder, and the chain of all three components."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filters.chain import Chain, Keys
from filters.zone import NameServer

ALL = ("spamassassin", "opendkim", "dmarc-check")


@pytest.fixture(scope="package")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys") / "secret")


@pytest.fixture(scope="package")
def name_server(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NameServer]:
    with NameServer(tmp_path_factory.mktemp("dns"), keys.records()) as server:
        yield server


@pytest.fixture(scope="package")
def chain(keys: Keys, name_server: NameServer) -> Iterator[Chain]:
    """All filters as they are shipped."""
    with Chain(ALL, keys, name_server) as running:
        yield running
