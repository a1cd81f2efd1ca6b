"""Our spamc alone, between a milter and a spamd that are made up here: what it hands on, and when it says nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from filters.manifest import COMPONENTS
from trial.waiting import wait_until

SPAMC = COMPONENTS / "spamassassin" / "spamc"
PATIENCE = "($patience, $until_postfix_gave_up, $at_once) = (50, 300, 4)"
MESSAGE = b"Subject: News\r\n\r\nhello\r\n"
VERDICT = b"X-Spam-Flag: NO\r\n" + MESSAGE
WHOLE = b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: False ; 1.0 / 5.0\r\n\r\n%s" % (len(VERDICT), VERDICT)


class Spamd:
    """Takes messages, and answers each of them once it is let."""

    def __init__(self, place: Path, answer: bytes) -> None:
        self._answer = answer
        self.let = threading.Event()
        self.taken: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(place))
        self.listener.listen(64)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):  # closed
            while True:
                threading.Thread(target=self._take, args=(self.listener.accept()[0],), daemon=True).start()

    def _take(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self.taken.append(b"".join(iter(lambda: client.recv(65536), b"")))
            self.let.wait(30)
            client.sendall(self._answer)


@contextmanager
def scans(place: Path, count: int, patience: int = 50) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many at once. The parent of each is a shell: it is what a spamc ends that finds no spamd."""
    text = SPAMC.read_text(encoding="utf-8")
    assert PATIENCE in text
    script = place.with_name("spamc")
    script.write_text(text.replace(PATIENCE, PATIENCE.replace("50", str(patience))), encoding="utf-8")
    told = os.environ | {"SPAMD_SOCKET": str(place)}
    command = ["sh", "-c", f"perl {script}; :"]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, env=told, start_new_session=True) for _ in range(count)
    ]
    for scan in started:
        assert scan.stdin
        scan.stdin.write(MESSAGE)
        scan.stdin.close()
        scan.stdin = None
    try:
        yield started
    finally:
        for scan in started:
            with suppress(ProcessLookupError):
                os.killpg(scan.pid, 9)
            scan.communicate()


def test_a_burst_is_scanned_four_at_a_time_and_all_of_it(tmp_path: Path) -> None:
    """More would take the memory of the container, and leave spamd with work that nobody waits for."""
    place = tmp_path / "spamd.sock"
    spamd = Spamd(place, WHOLE)
    with spamd.listener, scans(place, 20) as started:
        wait_until(lambda: len(spamd.taken) == 4, 20, "four messages are with spamd")
        with pytest.raises(TimeoutError):
            wait_until(lambda: len(spamd.taken) > 4, 0.5, "a fifth one")
        spamd.let.set()
        assert {scan.communicate(timeout=20)[0] for scan in started} == {VERDICT}
    assert len(spamd.taken) == 20
    assert all(taken.endswith(MESSAGE) for taken in spamd.taken)


@pytest.mark.parametrize("answer", [b"", WHOLE[:-1], WHOLE[:30], b"SPAMD/1.0 79 Timeout: (30 second timeout)\r\n"])
def test_without_a_whole_verdict_nothing_is_said(tmp_path: Path, answer: bytes) -> None:
    """Also when its patience is over: the milter takes the end of silence for no spam."""
    place = tmp_path / "spamd.sock"
    spamd = Spamd(place, answer)
    spamd.let.set()
    with spamd.listener, scans(place, 1, patience=1) as (scan,):
        wait_until(lambda: len(spamd.taken) == 1, 20, "the message is with spamd")
        with pytest.raises(subprocess.TimeoutExpired):
            scan.communicate(timeout=1.5)


def test_who_waits_too_long_for_its_turn_says_nothing_and_the_next_ones_are_scanned(tmp_path: Path) -> None:
    place = tmp_path / "spamd.sock"
    spamd = Spamd(place, WHOLE)
    with spamd.listener, scans(place, 8, patience=1) as started:
        wait_until(lambda: len(spamd.taken) == 4, 20, "four messages are with spamd")
        with pytest.raises(subprocess.TimeoutExpired):
            started[0].wait(1.5)
        spamd.let.set()
        assert [scan.poll() for scan in started] == [None] * 8
        with scans(place, 4) as later:
            assert {scan.communicate(timeout=20)[0] for scan in later} == {VERDICT}


def test_without_spamd_the_milter_is_ended(tmp_path: Path) -> None:
    with scans(tmp_path / "spamd.sock", 1) as (scan,):
        assert scan.wait(20) == -9
