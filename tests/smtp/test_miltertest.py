"""The gate driven by OpenDKIM's miltertest, over a Unix socket and TCP. Scripts have the headings of dialogues."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from smtp.arena import Arena
from smtp.script import Script, read

pytestmark = pytest.mark.root  # the arena's Postfix
FOLDER = Path(__file__).parent / "miltertest"
COMMON = FOLDER / "common.lua"
SCRIPTS = sorted(set(FOLDER.glob("*.lua")) - {COMMON})


def headings(path: Path) -> Script:
    lines = [line for line in path.read_text().splitlines() if line.startswith("--")]
    return read("\n".join("#" + line.removeprefix("--") for line in lines), path.name)


def run(path: Path, arena: Arena) -> None:
    script = headings(path)
    with arena.listed(script.listed):
        text = COMMON.read_text() + path.read_text()
        command = ["miltertest", "-v", "-D", f"socket={arena.socket}"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        arena.expect(script.counts)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_script_ends_well(path: Path, arena_of: Callable[[str], Arena]) -> None:
    run(path, arena_of(headings(path).settings))


@pytest.mark.parametrize("name", ["one-message", "two-messages", "aborts"])
def test_the_same_over_tcp(name: str, arena_of: Callable[[str], Arena]) -> None:
    run(FOLDER / f"{name}.lua", arena_of("tcp"))
