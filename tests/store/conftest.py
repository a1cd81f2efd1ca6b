"""The fixtures `lists` and `opens`: every test that takes one runs over each origin there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.parts import LISTS, Lists


@pytest.fixture(params=sorted(LISTS))
def opens(request: pytest.FixtureRequest) -> Callable[..., Lists]:
    """Opens lists in a folder: `opens(folder, secret, match_by_list)`."""
    return LISTS[request.param]


@pytest.fixture
def lists(opens: Callable[..., Lists], tmp_path: Path) -> Iterator[Lists]:
    opened = opens(tmp_path / "store")
    yield opened
    opened.close()
