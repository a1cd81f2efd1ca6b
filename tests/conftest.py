"""What holds for every folder of tests."""

from __future__ import annotations

import shutil

import pytest

# It asserts, is no test module, and more than one folder uses it.
pytest.register_assert_rewrite("smtp.arena")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The images of tests/images are large, and shared by all processes of a run: the first of these removes them."""
    if not hasattr(session.config, "workerinput"):
        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        shutil.rmtree(folder / "images", ignore_errors=True)
