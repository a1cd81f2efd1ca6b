"""The demo as a new user runs it: what it shows, how it ends, what it leaves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from postfix.parts import processes_in
from trial.demo import SAMPLE
from trial.mta import SHIPPED
from trial.ports import free_port
from trial.waiting import wait_until

pytestmark = pytest.mark.root

PATIENCE = 60


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo puts its files: a short path, open to Postfix's user. Nothing may be left in it."""
    with TemporaryDirectory(prefix="demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        assert list(folder.iterdir()) == []
        assert processes_in(folder) == []


def environment(place: Path) -> dict[str, str]:
    path = os.pathsep.join([str(SHIPPED), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"TMPDIR": str(place), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def demo(place: Path, *arguments: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(arguments or ("-m", "trial.demo")), "--once", "--port", str(port or free_port())]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment(place))


@contextmanager
def staying_demo(place: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """The demo without --once, when it has said something."""
    with TemporaryDirectory() as other:
        log = Path(other, "log")
        command = [sys.executable, "-m", "trial.demo", "--port", str(free_port())]
        with (
            log.open("w") as out,
            subprocess.Popen(
                command, stdout=out, stderr=out, text=True, env=environment(place), start_new_session=True
            ) as process,
        ):
            try:
                wait_until(lambda: until in log.read_text() or process.poll() is not None, PATIENCE, until)
                assert until in log.read_text()
                yield process
            finally:
                process.terminate()


def test_once_shows_the_replies_and_the_metrics_and_ends(place: Path) -> None:
    done = demo(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "S: 550 5.7.1 <pristine@trap.test>: recipient suppressed: trap" in done.stdout
    assert re.search(r"sendgate_recipients_total .*decision=pass reason=none +. 3 ", done.stdout)
    assert "took the message for: anna@example.com" in done.stdout
    assert "Every reply was right." in done.stdout


def test_there_is_no_colour_in_a_pipe(place: Path) -> None:
    assert "\x1b" not in demo(place).stdout


def test_a_wrong_reply_is_shown_and_fails(place: Path) -> None:
    with TemporaryDirectory() as name:
        sample = Path(name)
        (sample / "list.csv").write_text((SAMPLE / "list.csv").read_text())
        text = (SAMPLE / "conversation.txt").read_text().replace("<anna@example.com>", "<gone@example.com>")
        (sample / "conversation.txt").write_text(text)
        code = f"import sys, pathlib, trial.demo as d; d.SAMPLE = pathlib.Path({name!r}); sys.exit(d.main())"
        done = demo(place, "-c", code)
    assert done.returncode == 1
    assert "WRONG, should begin with 250 2.1.5" in done.stdout


def test_a_port_in_use_is_named_with_the_remedy(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo(place, port=port)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert f'make run ARGS="--port {port + 1}"' in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_until_it_is_told_to_end(place: Path, number: signal.Signals) -> None:
    with staying_demo(place, "Ctrl-C ends it") as process:
        assert processes_in(place)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("moment", ["Starting Sendgate", "The sample list", "Starting a private Postfix", "C: EHLO"])
def test_the_end_can_come_at_any_moment(place: Path, moment: str) -> None:
    with staying_demo(place, moment) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) in (130, 0)  # 0: the conversation was over by then
