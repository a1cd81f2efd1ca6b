"""The images, built once for the whole run, and arenas made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from images.parts import ImageArena
from images.store import Images, built, shared_folder
from smtp.arena import Arena
from smtp.variants import VARIANTS


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All images, as folders that are not to be written to."""
    return built(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def image_arena_of(images: Images) -> Iterator[Callable[[str], Arena]]:
    """The arena of a variant out of the images, started when it is asked for first."""
    running: dict[str, Arena] = {}
    with ExitStack() as stack:

        def arena(name: str) -> Arena:
            if name not in running:
                running[name] = stack.enter_context(ImageArena(images, VARIANTS[name]))
            return running[name]

        yield arena
