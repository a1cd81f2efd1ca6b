"""Every dialogue file: the replies, and all that it leaves in metrics, log, queue and at the next hop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smtp.arena import Arena
from smtp.script import FOLDER, load

pytestmark = pytest.mark.root


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_dialogue_goes_as_written(path: Path, arena_of: Callable[[str], Arena]) -> None:
    script = load(path)
    arena_of(script.settings).play(script)
