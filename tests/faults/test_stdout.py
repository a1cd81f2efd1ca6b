"""A log that nobody reads, or that cannot be written, stops neither decisions nor the end of the gate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from faults.parts import ask, behind_postfix, filled_gate
from trial.mta import Postfix
from trial.waiting import wait_until

pytestmark = pytest.mark.root
MORE_THAN_A_PIPE_HOLDS = 300
ENDS_WITHIN = 15


@contextmanager
def logging_to(stdout: int | IO[bytes]) -> Iterator[tuple[Postfix, subprocess.Popen[bytes]]]:
    """A gate with one worker and this standard output, and a Postfix in front of it."""
    gate = filled_gate({"milter": {"workers": 1}})
    command = [sys.executable, "-m", "sendgate", "serve", "--config", str(gate.config)]
    process = subprocess.Popen(command, stdout=stdout, start_new_session=True)
    try:
        with behind_postfix(gate) as mta:
            wait_until(lambda: ask(mta).startswith("250"), 20, "it serves")
            yield mta, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        gate.remove()


def test_a_pipe_that_nobody_reads_stops_nothing_and_lost_lines_are_counted() -> None:
    with logging_to(subprocess.PIPE) as (mta, process):
        for _ in range(MORE_THAN_A_PIPE_HOLDS):
            assert ask(mta, "bad@example.com").startswith("550")
        assert ask(mta).startswith("250")
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        before = read_all(process.stdout)
        assert before.endswith(b"\n"), "no line is cut"
        assert ask(mta, "bad@example.com").startswith("550"), "it writes on"
        process.terminate()
        assert process.wait(ENDS_WITHIN) == 0
        lines = [json.loads(line) for line in (before + read_all(process.stdout)).splitlines()]
    written = len([line for line in lines if line["event"] == "recipient"])
    dropped = sum(line["count"] for line in lines if line["event"] == "lines_dropped")
    assert dropped
    assert written + dropped == MORE_THAN_A_PIPE_HOLDS + 1


def test_a_full_pipe_does_not_keep_it_from_ending() -> None:
    with logging_to(subprocess.PIPE) as (mta, process):
        for _ in range(MORE_THAN_A_PIPE_HOLDS):
            ask(mta, "bad@example.com")
        process.terminate()
        assert process.wait(ENDS_WITHIN) == 0


def test_a_reader_that_is_gone_stops_nothing() -> None:
    with logging_to(subprocess.PIPE) as (mta, process):
        assert process.stdout is not None
        process.stdout.close()
        assert ask(mta, "bad@example.com").startswith("550")
        assert ask(mta).startswith("250")
        process.terminate()
        assert process.wait(ENDS_WITHIN) == 0


def test_a_log_on_a_full_disk_stops_nothing() -> None:
    with Path("/dev/full").open("wb") as full, logging_to(full) as (mta, process):
        assert ask(mta, "bad@example.com").startswith("550")
        assert ask(mta).startswith("250")
        process.terminate()
        assert process.wait(ENDS_WITHIN) == 0


def read_all(pipe: IO[bytes]) -> bytes:
    """What is in a pipe now."""
    parts = []
    while part := pipe.read(65536):
        parts.append(part)
    return b"".join(parts)
