"""The fixture `lists`: every test that takes it runs over each origin there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.parts import LISTS, Lists


@pytest.fixture(params=sorted(LISTS))
def lists(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lists]:
    opened = LISTS[request.param](tmp_path / "store")
    yield opened
    opened.close()
