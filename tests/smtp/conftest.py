"""One gate and one Postfix for each variant of settings, for the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from smtp.arena import Arena
from smtp.variants import VARIANTS


@pytest.fixture(scope="session")
def arena_of() -> Iterator[Callable[[str], Arena]]:
    """The arena of a variant, by its name; started when it is asked for first."""
    running: dict[str, Arena] = {}
    with ExitStack() as stack:

        def arena(name: str) -> Arena:
            if name not in running:
                running[name] = stack.enter_context(Arena(VARIANTS[name]))
            return running[name]

        yield arena
        for one in running.values():
            one.expect(Counter())  # nothing was counted late


@pytest.fixture
def shipped(arena_of: Callable[[str], Arena]) -> Arena:
    """The gate with its defaults behind the Postfix that is shipped."""
    return arena_of("shipped")
