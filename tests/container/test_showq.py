"""The listener for queue figures says what Postfix's own socket says, and nobody harms mail through it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from container.parts import Container
from trial.ports import LOOPBACK, free_port
from trial.sink import Sink
from trial.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
Make = Callable[..., Container]


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    connection.settimeout(20)
    data = b""
    while block := connection.recv(65536):
        data += block
    return data


def over_tcp(container: Container, say: bytes = b"") -> bytes:
    with socket.create_connection((LOOPBACK, container.showq_port), timeout=10) as connection:
        if say:
            connection.sendall(say)
        return everything(connection)


def over_the_socket(container: Container) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        here = Path(f"/proc/{container.init}/root/srv/spool/postfix/public/showq")
        connection.connect(str(here))
        return everything(connection)


def test_it_says_what_the_socket_says(make: Make) -> None:
    container = make(relay=free_port())
    container.start()
    container.send("one@example.net", "two@example.net")
    wait_until(lambda: container.messages("deferred") == 2, 10, "both are deferred")
    assert over_tcp(container) == over_the_socket(container)
    assert b"two@example.net" in over_tcp(container)


def test_other_protocols_and_clients_that_do_not_read_harm_nothing(container: Container, sink: Sink) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection((LOOPBACK, container.showq_port), timeout=10))
        garbage = b"GET / HTTP/1.0\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.com>\r\n" * 100
        with pytest.raises(ConnectionResetError):
            over_tcp(container, garbage)
            raise ConnectionResetError  # answered and closed is as good
        container.send("user@example.net")
        assert sink.wait_for(1)[0].recipients == ["user@example.net"]
    assert over_tcp(container) == over_the_socket(container)
    assert container.warnings() == []


def test_it_listens_on_loopback_alone(container: Container) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    ends = [line.split()[1] for line in listening.splitlines() if f":{container.showq_port:04X} " in line]
    assert set(ends) == {f"0100007F:{container.showq_port:04X}"}
