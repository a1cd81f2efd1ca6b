"""The fixtures `lists`, `opens`, `under` and `before`: every test that takes one runs over each origin there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.parts import LISTS, Lists, add, entry
from store.two_keys import ONLY_OLD, PEOPLE, Embedded, Opener, Shared


@pytest.fixture(params=sorted(LISTS))
def opens(request: pytest.FixtureRequest) -> Callable[..., Lists]:
    """Opens lists in a folder: `opens(folder, secret, match_by_list)`."""
    return LISTS[request.param]


@pytest.fixture
def lists(opens: Callable[..., Lists], tmp_path: Path) -> Iterator[Lists]:
    opened = opens(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture(params=[Embedded, Shared])
def under(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens lists under any secrets."""
    with closing(Opener(request.param, tmp_path)) as opener:
        yield opener


@pytest.fixture
def before(under: Opener) -> Opener:
    """Lists under the secret before: three people."""
    add(under(ONLY_OLD), *(entry(person) for person in PEOPLE))
    return under
