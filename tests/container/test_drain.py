"""postfix-drain takes nothing new, cuts nothing off, and says what is left."""

from __future__ import annotations

import os
import smtplib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from container.parts import Container
from trial.ports import LOOPBACK, free_port
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]
SLOW_SECONDS = 4
FUTURE = 2**32


@contextmanager
def slow_sink(container: Container, seconds: int) -> Iterator[int]:
    """Postfix's own sink in the container, which thinks before it takes a message. Gives its port."""
    port = free_port()
    command = container.exec_command("smtp-sink", "-u", "postfix", "-w", str(seconds), f"{LOOPBACK}:{port}", "50")
    sink = subprocess.Popen(command, start_new_session=True)
    try:
        yield port
    finally:
        sink.kill()
        sink.wait()


def drain(container: Container, *arguments: str) -> subprocess.Popen[str]:
    command = container.exec_command("postfix-drain", *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_closed(container: Container) -> None:
    """Wait until new clients are sent away."""

    def refused() -> bool:
        try:
            container.client().close()
        except smtplib.SMTPConnectError as error:
            return error.smtp_code == 421
        return False

    wait_until(refused, 15, "new clients get 421")


def test_an_empty_queue_is_drained_at_once(container: Container) -> None:
    done = container.exec("postfix-drain", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert "drained: 0 sessions, 0 messages in incoming, 0 in active, 0 in deferred" in done.stdout


def test_a_running_session_goes_on_to_its_end(container: Container, sink: Sink) -> None:
    with container.client() as client:
        client.ehlo()
        draining = drain(container, "60")
        wait_until_closed(container)
        assert draining.poll() is None
        client.sendmail("sender@example.com", "user@example.net", "Subject: late\r\n\r\nhello\r\n")
    assert draining.communicate(timeout=60)[0].splitlines()[-1].startswith("postfix-drain: drained")
    assert draining.returncode == 0
    assert len(sink.wait_for(1)) == 1


def test_a_session_that_never_ends_is_waited_for_until_the_time_is_over(container: Container) -> None:
    with container.client() as client:
        client.ehlo()
        done = container.exec("postfix-drain", "3")
        assert client.noop()[0] == 250
    assert done.returncode == 1
    assert "the time is over; what is left stays on the volume: 1 sessions" in done.stdout


def test_messages_on_their_way_are_waited_for_and_sent_once(make: Make) -> None:
    container = make()
    container.start()
    with slow_sink(container, SLOW_SECONDS) as port:
        container.exec("postconf", "-e", f"relayhost=[{LOOPBACK}]:{port}")
        container.exec("touch", "-d", "-1 minute", "/etc/postfix/main.cf")
        container.exec("postfix", "reload")
        container.send("one@example.net", "two@example.net")
        wait_until(lambda: container.messages("active") == 2, 10, "they are being delivered")
        done = container.exec("postfix-drain", "60")
    assert done.returncode == 0, done.stdout + container.log_text()
    assert container.log_text().count("status=sent") == 2
    assert container.messages("incoming", "active", "deferred") == 0


def test_what_does_not_get_out_in_time_is_counted_and_stays(make: Make) -> None:
    container = make()
    container.start()
    with slow_sink(container, 30) as port:
        container.exec("postconf", "-e", f"relayhost=[{LOOPBACK}]:{port}")
        container.exec("touch", "-d", "-1 minute", "/etc/postfix/main.cf")
        container.exec("postfix", "reload")
        container.send("one@example.net", "two@example.net")
        wait_until(lambda: container.messages("active") == 2, 10, "they are being delivered")
        done = container.exec("postfix-drain", "2")
        assert done.returncode == 1
        assert "0 sessions, 2 messages in incoming, 0 in active" in done.stdout.splitlines()[-1]
        assert container.stop() == 0
    assert container.messages("incoming", "active") == 2


def test_half_a_message_that_a_killed_postfix_left_is_not_waited_for(container: Container) -> None:
    half = container.queue / "incoming" / "4jXXXX0000z0000"
    half.touch(0o600)
    done = container.exec("postfix-drain", "20")
    assert (done.returncode, done.stdout.splitlines()[-1].split(":")[1]) == (0, " drained")


@contextmanager
def busy(folder: Path) -> Iterator[None]:
    """Files come and go in a folder of the queue, as under load, with a time in the future, as after a reload."""
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for path in [folder / f"begun{number}" for number in range(50)]:
                path.touch(0o600)
                os.utime(path, (FUTURE, FUTURE))
                path.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_files_that_go_while_they_are_looked_at_do_not_end_the_drain(container: Container) -> None:
    with container.client() as client, busy(container.queue / "incoming"):
        client.ehlo()
        done = container.exec("postfix-drain", "3")
    assert "the time is over" in done.stdout
    assert container.messages("incoming") == 0


def test_deferred_mail_stays(make: Make) -> None:
    container = make(relay=free_port())
    container.start()
    container.send("user@example.net")
    wait_until(lambda: container.messages("deferred") == 1, 10, "the message is deferred")
    done = container.exec("postfix-drain")
    assert done.returncode == 0
    assert "1 in deferred" in done.stdout
    assert container.messages("deferred") == 1


def test_progress_is_on_the_containers_stdout(container: Container) -> None:
    assert container.exec("postfix-drain", "20").returncode == 0
    wait_until(lambda: "drained: 0 sessions" in container.output(), 5, "it is on stdout")


def test_the_time_may_come_from_the_environment(make: Make) -> None:
    container = make({"DRAIN_SECONDS": "2"})
    container.start()
    with container.client() as client:
        client.ehlo()
        assert "draining for up to 2 s" in container.exec("postfix-drain").stdout


@pytest.mark.parametrize("arguments", [("soon",), ("1", "2"), ("-1",)])
def test_usage(container: Container, arguments: tuple[str, ...]) -> None:
    done = container.exec("postfix-drain", *arguments)
    assert (done.returncode, done.stderr) == (2, "usage: postfix-drain [SECONDS]\n")


def test_without_postfix_there_is_nothing_to_drain(make: Make) -> None:
    done = make().once("sh", "-c", "postfix-render && mkdir -p /srv/spool/postfix/pid && postfix-drain")
    assert (done.returncode, done.stderr) == (3, "postfix-drain: Postfix does not run\n")


def test_a_restart_after_a_drain_takes_clients_again(container: Container, sink: Sink) -> None:
    assert container.exec("postfix-drain", "20").returncode == 0
    wait_until_closed(container)
    assert container.stop() == 0
    container.start()
    container.send("user@example.net")
    assert len(sink.wait_for(1)) == 1
