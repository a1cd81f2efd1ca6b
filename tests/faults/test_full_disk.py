"""A disk without room for the store: commands say so and change nothing, and the gate goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.load import ENTRIES
from faults.parts import ask, behind_postfix
from sendgate.entry import Add
from smtp.arena import change
from smtp.script import entry_of
from trial.disk import small_disk
from trial.gate import Gate

pytestmark = pytest.mark.root
LINES = "".join(f"user{number}@example.net\n" for number in range(20_000))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    with small_disk(tmp_path / "disk", "1m") as place:
        yield place


def test_import_and_add_say_so_and_the_gate_goes_on(disk: Path) -> None:
    gate = Gate({"milter": {"workers": 1}, "store": {"url": f"lmdb://{disk}/store"}})
    change(gate, [Add(entry_of(entry)) for entry in ENTRIES])
    with gate, behind_postfix(gate) as mta:
        failed = gate.run("import", "-", "--reason", "hard_bounce", input=LINES)
        assert failed.returncode == 3, failed.stderr
        assert f"{disk}/store: no room" in failed.stderr
        assert "Nothing was changed" in failed.stderr
        fill(disk)
        failed = gate.run("add", *(f"user{number}@example.net" for number in range(2_000)), "--reason", "trap")
        assert failed.returncode == 3, failed.stderr
        assert "no room" in failed.stderr

        assert ask(mta, "bad@example.com").startswith("550")
        assert ask(mta, "good@example.com").startswith("250")
        assert ask(mta, "user1@example.net").startswith("250")
        assert gate.get("/readyz")[0] == 200
        assert gate.metric("sendgate_store_faults_total") == 0

        (disk / "filler").unlink()
        assert gate.run("add", "user1@example.net", "--reason", "trap").returncode == 0
        assert ask(mta, "user1@example.net").startswith("550")


def fill(disk: Path) -> None:
    """Take all the room that is left."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return
