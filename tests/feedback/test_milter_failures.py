"""Milters that fail for a real Postfix, in all ways that they can: each failure is counted once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from feedback.test_follower_killed import feedback_pid
from trial.gate import Gate
from trial.mta import Postfix
from trial.ports import LOOPBACK
from trial.waiting import wait_until

pytestmark = pytest.mark.root
PATIENCE = 30
FAILURES = "sendgate_postfix_milter_failures_total"


@dataclass
class Site:
    """A gate that follows the log of the Postfix in front of it."""

    gate: Gate
    mta: Postfix

    def session(self) -> smtplib.SMTP:
        """A session that has said MAIL."""
        client = smtplib.SMTP(LOOPBACK, self.mta.port, timeout=PATIENCE)
        client.ehlo()
        client.mail("bounce+spring@news.test")
        return client

    def ask(self) -> int:
        """The code of the reply to a recipient, in a session of its own."""
        with self.session() as client:
            return client.rcpt("anna@example.com")[0]

    def failures(self, milter: str) -> float | None:
        return self.gate.metrics().get((FAILURES, frozenset({("milter", milter)})))

    def sessions(self) -> int:
        """SMTP sessions up to now, that of the trial at its start included."""
        return len(re.findall(r"smtpd\[\d+\]: connect from", self.mta.log_text()))

    def settle(self) -> None:
        """Wait until all that Postfix has logged is taken in."""
        behind = ("sendgate_feedback_log_behind_bytes", frozenset[tuple[str, str]]())
        wait_until(lambda: self.gate.metrics().get(behind) == 0, PATIENCE, "the log is taken in")

    def failed(self) -> float:
        """Failures of the gate, when there can be no more of them."""
        self.settle()
        return self.failures(self.gate.milter) or 0


def entry(address: str, action: str = "tempfail") -> str:
    return f"{{ {address}, default_action={action}, connect_timeout=1s, command_timeout=1s, content_timeout=1s }}"


@contextmanager
def site_at(folder: Path, *others: str) -> Iterator[Site]:
    with (
        Gate({"feedback": {"log": f"{folder}/maillog"}, "milter": {"workers": 1}}) as gate,
        Postfix([entry(gate.milter), *others], log=folder / "maillog") as mta,
    ):
        mta.wait_for_log("disconnect from", PATIENCE)  # the session of the trial, which looked whether it listens
        yield Site(gate, mta)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose sockets Postfix's user can reach."""
    made = Path(tempfile.mkdtemp(prefix="milters-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with site_at(folder) as running:
        yield running


def test_a_gate_that_answers_is_there_at_zero(site: Site) -> None:
    assert site.ask() == 250
    site.settle()
    assert site.failures(site.gate.milter) == 0


def test_sessions_while_the_gate_is_away_are_counted_when_it_is_back(site: Site) -> None:
    site.gate.stop()
    assert [site.ask() for _ in range(3)] == [503] * 3
    site.gate.start()
    wait_until(lambda: site.failed() == 3, PATIENCE, "three sessions are counted")
    site.gate.stop()
    site.gate.start()
    assert site.ask() == 250
    assert site.failed() == 3


def test_a_gate_killed_within_a_session_is_counted_once_for_it(site: Site) -> None:
    with site.session() as client:
        (worker,) = site.gate.worker_pids()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in site.gate.worker_pids(), PATIENCE, "the worker is gone")
        assert [client.rcpt(f"{number}@example.com")[0] for number in range(3)] == [451] * 3
    wait_until(lambda: site.failed() == 1, PATIENCE, "it is counted")
    wait_until(lambda: site.ask() == 250, PATIENCE, "the gate serves again")
    assert site.failed() == 1


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def test_a_gate_that_hangs_is_counted_once_for_a_session(site: Site) -> None:
    with site.session() as client:
        (worker,) = site.gate.worker_pids()
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: is_stopped(worker), PATIENCE, "the worker stands still")
        try:
            assert [client.rcpt(f"{number}@example.com")[0] for number in range(2)] == [451] * 2
            assert site.ask() == 503
        finally:
            os.kill(worker, signal.SIGCONT)
    wait_until(lambda: site.failed() == 2, PATIENCE, "both sessions are counted")


class Garbler:
    """A milter that answers the first packet of a session with octets of its own."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.address = f"unix:{path}"
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        path.chmod(0o666)
        self._server.listen(16)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(self._answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">I", 0),
        struct.pack(">I", 3) + b"O\0\0",
        struct.pack(">I", 1) + b"c",
        struct.pack(">IcIII", 13, b"O", 99, 0, 0),
    ],
)
def test_a_milter_that_speaks_another_language_is_counted_once_for_a_session(folder: Path, answer: bytes) -> None:
    other = Garbler(folder / "other.sock", answer).address
    with site_at(folder, entry(other, "accept")) as site:
        assert [site.ask() for _ in range(2)] == [250] * 2
        wait_until(lambda: site.failures(other) == site.sessions(), PATIENCE, "all sessions are counted")
        assert site.sessions() == 3
        site.settle()
        assert site.failures(other) == 3
        assert site.failures(site.gate.milter) == 0


def test_a_follower_that_is_killed_again_and_again_counts_each_failure_once(folder: Path) -> None:
    missing = f"unix:{folder}/missing.sock"
    with site_at(folder, entry(missing, "accept")) as site:
        for number in range(60):
            assert site.ask() == 250
            if not number % 12:
                os.kill(wait_until(lambda: feedback_pid(site.gate), PATIENCE, "it follows"), signal.SIGKILL)
        wait_until(lambda: site.failures(missing) == site.sessions(), PATIENCE, "all are counted")
        assert site.sessions() == 61
        site.settle()
        assert site.failures(missing) == 61
