"""The images, built once for the whole run, as the tests of the images have them."""

from __future__ import annotations

import pytest

from images.store import Images, built, shared_folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """All images, as folders that are not to be written to."""
    return built(shared_folder(tmp_path_factory))
