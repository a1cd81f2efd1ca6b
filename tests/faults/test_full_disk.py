"""A disk without room for the store: commands say so and change nothing, and the gate goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.load import ENTRIES
from faults.parts import ask, behind_postfix, events
from sendgate.entry import Add
from smtp.arena import change
from smtp.mta_side import MtaSide
from smtp.script import entry_of
from trial.disk import fill, small_disk
from trial.gate import Gate
from trial.waiting import wait_until

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
        ballast = fill(disk)
        failed = gate.run("add", *(f"user{number}@example.net" for number in range(2_000)), "--reason", "trap")
        assert failed.returncode == 3, failed.stderr
        assert "no room" in failed.stderr

        assert ask(mta, "bad@example.com").startswith("550")
        assert ask(mta, "good@example.com").startswith("250")
        assert ask(mta, "user1@example.net").startswith("250")
        assert gate.get("/readyz")[0] == 200
        assert gate.metric("sendgate_store_faults_total") == 0

        ballast.unlink()
        assert gate.run("add", "user1@example.net", "--reason", "trap").returncode == 0
        assert ask(mta, "user1@example.net").startswith("550")


def test_without_room_for_counters_the_gate_decides_and_counts_on_when_there_is_some(disk: Path) -> None:
    gate = Gate({"milter": {"workers": 1, "socket": f"unix:{disk}/milter.sock"}})
    gate.socket = disk / "milter.sock"
    change(gate, [Add(entry_of(entry)) for entry in ENTRIES])
    with gate:
        refused(gate, "before")
        ballast = fill(disk)
        for number in range(60):  # more than the pages that are there hold
            refused(gate, f"full{number}")
        os.kill(gate.worker_pids()[0], signal.SIGKILL)
        wait_until(gate.worker_pids, 10, "another worker")
        refused(gate, "full60")
        assert [line["status"] for line in events(gate, "process_ended")] == ["signal 9"]
        assert events(gate, "metrics_incomplete")
        ballast.unlink()
        wait_until(lambda: refused(gate, "free") and counted(gate, "free"), 10, "new campaigns are counted again")
        assert gate.metric("sendgate_store_faults_total") == 0


def refused(gate: Gate, campaign: str) -> bool:
    """A message of a campaign to a suppressed recipient is refused."""
    with MtaSide(gate.socket) as side:
        side.mail(f"<bounce+{campaign}@x.test>".encode())
        assert side.rcpt(b"<bad@example.com>").text.startswith("550")
    return True


def counted(gate: Gate, campaign: str) -> float:
    return gate.metric("sendgate_recipients_total", campaign=campaign, decision="reject")
